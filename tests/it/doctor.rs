//! What `overcoat doctor` finds out on this machine, as root, as an ordinary user, and under restrictions that are
//! really made: what is wrong is named by its code, what would help is named, and nothing is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use overcoat::sandbox::ladder::{IsoCode, Isolation, LadderError, Rung};
use overcoat::sandbox::probe::Prober;
use serde_json::Value;

use super::registry::private_registry;
use super::support::registry::Registry;
use super::support::{Done, ORDINARY_USER, Overcoat, free_port, tool};

const PROGRAM: &str = env!("CARGO_BIN_EXE_overcoat");

/// A place for stores that anybody may write to.
struct Scene {
    directory: tempfile::TempDir,
}

/// What the doctor said.
#[derive(Debug)]
struct Report {
    code: Option<i32>,
    json: Value,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        Self { directory }
    }

    fn path(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }

    /// Runs `WRAPPER… overcoat doctor ARGUMENTS…` with a store that does not exist yet.
    fn run(&self, wrapper: &Words, arguments: &[&str]) -> Done {
        self.run_with_store(wrapper, &format!("{}/store", self.path()), arguments)
    }

    fn run_with_store(&self, wrapper: &Words, store: &str, arguments: &[&str]) -> Done {
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let words = [
            &wrapper[..],
            &[PROGRAM, "doctor", "--store", store],
            arguments,
        ]
        .concat();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env("HOME", self.path())
            .env_remove("OVERCOAT_STORE")
            .stdin(Stdio::null());
        command.output().unwrap().into()
    }

    fn report(&self, wrapper: &Words, arguments: &[&str]) -> Report {
        self.run(wrapper, &[&["--format", "json"], arguments].concat())
            .into()
    }

    /// What is where the store would be.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl From<Done> for Report {
    #[track_caller]
    fn from(done: Done) -> Self {
        let json = serde_json::from_str(&done.stdout);
        let json = json.unwrap_or_else(|error| panic!("{error} in {done:?}"));
        assert_eq!(done.stderr, "");
        Self {
            code: done.code,
            json,
        }
    }
}

impl Report {
    fn rung(&self, name: &str) -> &Value {
        let rungs = self.json["rungs"].as_array().unwrap();
        rungs
            .iter()
            .find(|rung| rung["rung"] == name)
            .unwrap_or_else(|| panic!("no rung {name}"))
    }

    /// Checks the code with which a rung is refused, and gives the refusal's text.
    #[track_caller]
    fn refused(&self, rung: &str, code: &str, call: &str) -> String {
        let refusal = &self.rung(rung)["refusal"];
        assert_eq!(refusal["code"], code, "{rung}: {:#}", self.json);
        assert_eq!(refusal["call"], call, "{rung}: {refusal:#}");
        format!(
            "{}; {}",
            refusal["cause"].as_str().unwrap(),
            refusal["remedy"].as_str().unwrap()
        )
    }

    #[track_caller]
    fn chosen(&self) -> &str {
        assert_eq!(self.code, Some(0), "{:#}", self.json);
        assert_eq!(self.json["can_build"], true);
        self.json["chosen"]["rung"].as_str().unwrap()
    }

    /// Checks that nothing works, and gives the message with its hints.
    #[track_caller]
    fn nothing_works(&self) -> String {
        assert_eq!(self.code, Some(40), "{:#}", self.json);
        assert_eq!(self.json["can_build"], false);
        assert_eq!(self.json["chosen"], Value::Null);
        let error = &self.json["error"];
        format!("{}; {}", error["message"].as_str().unwrap(), error["hints"])
    }

    fn ingredient(&self, name: &str) -> (&str, &str) {
        let list = self.json["ingredients"].as_array().unwrap();
        let found = list.iter().find(|found| found["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no ingredient {name}"));
        (
            found["state"].as_str().unwrap(),
            found["text"].as_str().unwrap(),
        )
    }
}

/// The command line that a program is run by: words in front of its own.
type Words = Vec<String>;

fn words(text: &str) -> Words {
    text.split(' ').map(str::to_owned).collect()
}

/// As the tests are run: root.
fn plain() -> Words {
    words("env")
}

/// What makes a user of what follows.
fn as_user(user: &str) -> Words {
    words(&format!(
        "setpriv --reuid={user} --regid={user} --clear-groups"
    ))
}

/// A shell in namespaces of its own, which runs `script` (with `argument` as `$1`) and then what follows.
fn after(unshare: &str, script: &str, argument: &str) -> Words {
    let script = format!("{script}\nshift\nexec \"$@\"");
    [
        words(&format!("unshare {unshare} sh -e -c")),
        vec![script, "sh".to_owned(), argument.to_owned()],
    ]
    .concat()
}

#[test]
fn root_maps_its_own_ids_and_nothing_is_left_behind() {
    let scene = Scene::new();
    let report = scene.report(&plain(), &[]);
    assert_eq!(report.chosen(), "userns-direct");
    assert_eq!(report.json["chosen"]["isolation"], "userns");
    let works = |rung: &str| report.rung(rung)["works"] == true;
    for rung in ["userns-direct", "single-id", "root", "chroot", "in-place"] {
        assert!(works(rung), "{rung}: {:#}", report.json);
    }
    let text = report.refused("userns-helper", "ISO16", "geteuid(): 0");
    assert!(text.contains("root needs no `newuidmap`"), "{text}");
    for part in [
        "overlay",
        "fresh_proc",
        "network_namespace",
        "cgroup_namespace",
        "ledger",
    ] {
        assert_eq!(
            report.rung("userns-direct")["parts"][part]["works"],
            true,
            "{part}"
        );
    }
    assert_eq!(
        report.rung("chroot")["parts"]["fresh_proc"]["refusal"]["code"],
        "ISO12"
    );
    assert_eq!(scene.names(), Vec::<String>::new());
}

#[test]
fn a_store_that_exists_is_used_and_left_as_it_was() {
    let overcoat = Overcoat::as_ordinary_user();
    overcoat.run(&["images"]).ok();
    fs::create_dir(overcoat.store().join("tmp")).unwrap();
    tool(
        "chown",
        &[
            ORDINARY_USER,
            overcoat.store().join("tmp").to_str().unwrap(),
        ],
    );
    let report: Report = overcoat.run(&["doctor", "--format", "json"]).into();
    assert_eq!(report.chosen(), "userns-helper");
    assert_eq!(overcoat.left_behind(), Vec::<String>::new());
}

#[test]
fn an_ordinary_user_has_the_helpers_rung_and_the_flags_ask_for_others() {
    let scene = Scene::new();
    let user = as_user(ORDINARY_USER);
    let report = scene.report(&user, &[]);
    assert_eq!(report.chosen(), "userns-helper");
    report.refused(
        "root",
        "ISO16",
        &format!("geteuid(): {}", tool("id", &["-u", ORDINARY_USER]).trim()),
    );
    assert_eq!(report.ingredient("newuidmap").0, "yes");
    let report = scene.report(&user, &["--isolation", "single-id"]);
    assert_eq!(report.chosen(), "single-id");
    let text = scene
        .report(&user, &["--isolation", "chroot"])
        .nothing_works();
    assert!(
        text.contains("`--isolation=chroot` cannot be had here: ISO16"),
        "{text}"
    );
    assert!(text.contains("`--isolation=userns` works here"), "{text}");
    let text = scene
        .report(&user, &["--isolation", "none"])
        .nothing_works();
    assert!(text.contains("--strategy direct"), "{text}");
    let report = scene.report(&user, &["--require-isolation", "root"]);
    assert_eq!(report.chosen(), "userns-helper");
}

#[test]
fn iso07_without_new_privileges_newuidmap_is_powerless() {
    let scene = Scene::new();
    let user = as_user(ORDINARY_USER);
    let wrapper = [user, words("setpriv --no-new-privs")].concat();
    let report = scene.report(&wrapper, &[]);
    let call = "newuidmap: \"write to uid_map failed: Operation not permitted\"";
    let text = report.refused("userns-helper", "ISO07", call);
    assert!(
        text.contains("`NoNewPrivs` is 1") && text.contains("allowPrivilegeEscalation: true"),
        "{text}"
    );
    assert_eq!(report.chosen(), "single-id");
    let text = scene
        .report(&wrapper, &["--require-isolation", "userns"])
        .nothing_works();
    let expected = "ISO16 `--require-isolation=userns` is not met: the best available is `single-id` because ISO07";
    assert!(
        text.contains(expected) && text.contains("Nothing was built"),
        "{text}"
    );
}

#[test]
fn iso06_and_iso07_newuidmap_is_looked_at() {
    let scene = Scene::new();
    let user = as_user(ORDINARY_USER);
    let tools = scene.directory.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let path = format!("PATH={}", tools.display());
    // env finds the program by its path.
    let wrapper = [user, words(&format!("env {path}"))].concat();
    let text = scene.report(&wrapper, &[]).refused(
        "userns-helper",
        "ISO06",
        "newuidmap: \"`newuidmap`: no such file or directory\"",
    );
    assert!(
        text.contains("`newuidmap` and `newgidmap` cannot be found") && text.contains("`uidmap`"),
        "{text}"
    );
    for name in ["newuidmap", "newgidmap"] {
        // A copy has no set-user-id bit.
        fs::copy(Path::new("/usr/bin").join(name), tools.join(name)).unwrap();
        fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let call = "newuidmap: \"write to uid_map failed: Operation not permitted\"";
    let text = scene
        .report(&wrapper, &[])
        .refused("userns-helper", "ISO07", call);
    let lost = format!(
        "`{}/newuidmap` has lost its set-user-id bit",
        tools.display()
    );
    assert!(text.contains(&lost) && text.contains("chmod u+s"), "{text}");
}

#[test]
fn iso08_the_command_that_grants_ids_names_ids_that_nobody_has() {
    let scene = Scene::new();
    // `daemon` is a user of every Debian and has no ranges.
    let user = as_user("daemon");
    let report = scene.report(&user, &[]);
    let text = report.refused("userns-helper", "ISO08", "read(/etc/subuid, /etc/subgid)");
    assert!(
        text.contains("`daemon` has no ids in `/etc/subuid` and no ids in `/etc/subgid`"),
        "{text}"
    );
    let range = text
        .split("usermod --add-subuids ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    assert!(
        text.contains(&format!("--add-subgids {range} daemon`")),
        "{text}"
    );
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
    assert_eq!(last - first + 1, 65_536);
    for file in ["/etc/subuid", "/etc/subgid"] {
        for line in fs::read_to_string(file).unwrap().lines() {
            let numbers: Vec<u64> = line
                .split(':')
                .skip(1)
                .map(|word| word.parse().unwrap())
                .collect();
            let is_apart = last < numbers[0] || first >= numbers[0] + numbers[1];
            assert!(is_apart, "{range} meets {line} of {file}");
        }
    }
    assert_eq!(report.chosen(), "single-id");
    assert_eq!(report.ingredient("subuid"), ("no", "no range for `daemon`"));
    // A user without a name, as in a restricted pod.
    let report = scene.report(&as_user("1000680000"), &[]);
    let text = report.refused("userns-helper", "ISO08", "read(/etc/subuid, /etc/subgid)");
    assert!(
        text.contains("`echo 1000680000:") && text.contains("| tee --append"),
        "{text}"
    );
}

#[test]
fn iso03_no_user_namespaces_are_allowed() {
    let scene = Scene::new();
    let script = "echo 0 > /proc/sys/user/max_user_namespaces";
    let wrapper = after("--map-root-user", script, "");
    let report = scene.report(&wrapper, &[]);
    for rung in ["userns-direct", "single-id"] {
        let text = report.refused(rung, "ISO03", "unshare(CLONE_NEWUSER): ENOSPC");
        assert!(text.contains("no disk is full"), "{text}");
        assert!(
            text.contains("`sysctl -w user.max_user_namespaces=15000`"),
            "{text}"
        );
    }
    // That namespace has one id, so it is not good for much else.
    for rung in ["root", "chroot"] {
        report.refused(rung, "ISO09", "chown(65534, 65534): EINVAL");
    }
    assert_eq!(report.ingredient("user.max_user_namespaces"), ("no", "0"));
    let text = report.nothing_works();
    assert!(
        text.contains("--isolation=in-place") && text.contains("--strategy direct"),
        "{text}"
    );
}

#[test]
fn iso05_namespaces_are_nested_too_deep() {
    let scene = Scene::new();
    // The kernel allows 32 levels below the first.
    let wrapper = words(["unshare --map-root-user"; 33].join(" ").as_str());
    let report = scene.report(&wrapper, &[]);
    let text = report.refused("single-id", "ISO05", "unshare(CLONE_NEWUSER): ENOSPC");
    assert!(
        text.contains("nested too deep") && text.contains("one level further out"),
        "{text}"
    );
    report.nothing_works();
}

#[test]
fn iso08_in_a_namespace_with_one_id_that_one_is_used() {
    let scene = Scene::new();
    let user = as_user(ORDINARY_USER);
    let report = scene.report(&[user, words("unshare --map-root-user")].concat(), &[]);
    let text = report.refused("userns-direct", "ISO08", "read(/proc/self/uid_map)");
    assert!(text.contains("has only id 0"), "{text}");
    assert_eq!(report.chosen(), "single-id");
}

#[test]
fn iso01_in_a_chroot_there_are_no_user_namespaces() {
    let scene = Scene::new();
    let target = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
    // A plain directory with what the program needs in it.
    let script = format!(
        "root=$1/root; mkdir $root
         for name in usr dev proc etc; do mkdir $root/$name; mount --rbind /$name $root/$name; done
         for name in bin lib lib64; do ln -s usr/$name $root/$name; done
         mkdir -p $root/tmp $root{target}; mount --bind {target} $root{target}"
    );
    let mut wrapper = after("--mount", &script, scene.path());
    wrapper.extend(words(&format!("chroot {}/root", scene.path())));
    let report: Report = scene
        .run_with_store(&wrapper, "/tmp/store", &["--format", "json"])
        .into();
    for rung in ["userns-direct", "single-id"] {
        let text = report.refused(rung, "ISO01", "unshare(CLONE_NEWUSER): EPERM");
        assert!(
            text.contains("in a chroot") && text.contains("outside of the chroot"),
            "{text}"
        );
    }
    report.refused("root", "ISO01", "mount(/, MS_REC|MS_PRIVATE): EINVAL");
    assert_eq!(report.chosen(), "chroot");
    assert!(
        report.json["chosen"]["warning"]
            .as_str()
            .unwrap()
            .contains("this machine's processes")
    );
}

#[test]
fn iso14_root_without_capabilities() {
    let scene = Scene::new();
    let report = scene.report(&words("setpriv --bounding-set=-all"), &[]);
    // Even one id cannot be mapped: mapping user 0 takes CAP_SETFCAP.
    for rung in ["userns-direct", "single-id"] {
        let text = report.refused(rung, "ISO14", "write(/proc/PID/uid_map): EPERM");
        assert!(text.contains("CAP_SETFCAP"), "{text}");
    }
    let call = "unshare(CLONE_NEWNS|CLONE_NEWPID|CLONE_NEWIPC|CLONE_NEWUTS): EPERM";
    report.refused("root", "ISO14", call);
    let text = report.refused("chroot", "ISO14", "chroot: EPERM");
    assert!(
        text.contains("CAP_SYS_CHROOT, CAP_CHOWN, CAP_SETUID, CAP_SETGID"),
        "{text}"
    );
    report.nothing_works();
    // CRI-O's root has all but one of them.
    let report = scene.report(
        &words("setpriv --bounding-set=-sys_chroot,-sys_admin"),
        &["--isolation", "chroot"],
    );
    let text = report.refused("chroot", "ISO14", "chroot: EPERM");
    assert!(
        text.starts_with("root here lacks CAP_SYS_CHROOT;"),
        "{text}"
    );
    report.nothing_works();
}

#[test]
fn iso10_on_overlay_layers_are_extracted() {
    let scene = Scene::new();
    let script = "cd $1; mkdir lower upper work on; mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay on; \
                  chmod 1777 on";
    let wrapper = [
        after("--mount", script, scene.path()),
        as_user(ORDINARY_USER),
    ]
    .concat();
    let store = format!("{}/on/store", scene.path());
    let report: Report = scene
        .run_with_store(&wrapper, &store, &["--format", "json"])
        .into();
    assert_eq!(report.chosen(), "userns-helper");
    let refusal = &report.rung("userns-helper")["parts"]["overlay"]["refusal"];
    assert_eq!(
        (&refusal["code"], &refusal["call"]),
        (&"ISO10".into(), &"mount(overlay): EINVAL".into()),
        "{refusal:#}"
    );
    let cause = refusal["cause"].as_str().unwrap();
    assert!(
        cause.starts_with(&format!("`{store}` is on overlay")),
        "{cause}"
    );
    assert!(refusal["remedy"].as_str().unwrap().contains("--store DIR"));
    assert!(report.ingredient("store").1.contains("on overlay"));
}

#[test]
fn iso11_a_masked_proc_is_found_out() {
    let scene = Scene::new();
    // As container runtimes do it: something that is not empty is covered.
    let covered = after("--mount", "mount -t tmpfs -o ro tmpfs /proc/bus", "");
    let wrapper = [covered, as_user(ORDINARY_USER)].concat();
    let report = scene.report(&wrapper, &[]);
    assert_eq!(report.chosen(), "userns-helper");
    let refusal = &report.rung("userns-helper")["parts"]["fresh_proc"]["refusal"];
    assert_eq!(
        (&refusal["code"], &refusal["call"]),
        (&"ISO11".into(), &"mount(proc): EPERM".into()),
        "{refusal:#}"
    );
}

#[test]
fn iso13_mounts_on_which_nothing_can_be_executed_or_written() {
    let scene = Scene::new();
    let store = format!("{}/on/store", scene.path());
    let on = |script: &str, user: Words| {
        let wrapper = [after("--mount", script, scene.path()), user].concat();
        let _ = fs::create_dir(format!("{}/on", scene.path()));
        scene.run_with_store(&wrapper, &store, &["--format", "json"])
    };
    // The mount's options are not those of an overlay on it, but those of a chroot.
    let report: Report = on("mount -t tmpfs -o noexec,nodev tmpfs $1/on", plain()).into();
    let text = report.refused("chroot", "ISO13", "faccessat(X_OK): EACCES");
    assert!(
        text.contains("`noexec`")
            && text.contains(&format!("mount -o remount,exec {}/on", scene.path())),
        "{text}"
    );
    assert_eq!(report.chosen(), "userns-direct");
    assert!(
        report
            .ingredient("store")
            .1
            .ends_with("on tmpfs, `noexec`, `nodev`"),
        "{:?}",
        report.ingredient("store")
    );

    let read_only: Report = on("mount -t tmpfs -o ro tmpfs $1/on", plain()).into();
    let text = read_only.refused("in-place", "ISO13", "mkdir: EROFS");
    assert!(
        text.contains(&format!("read-only mount (`{}/on`)", scene.path())),
        "{text}"
    );
    // Not even `direct` can write there.
    let text = read_only.nothing_works();
    assert!(
        text.contains("nothing can be built here: ISO13") && !text.contains("direct`"),
        "{text}"
    );

    let script = "mount -t tmpfs -o size=1m tmpfs $1/on; head -c 2000000 /dev/zero > $1/on/filler 2> $1/log || true";
    let full: Report = on(script, plain()).into();
    let text = full.refused("userns-direct", "ISO13", "write: ENOSPC");
    assert!(text.contains("is full: 0 kB of 1048 kB are free"), "{text}");
    full.nothing_works();

    let closed: Report = on(
        "mount -t tmpfs -o mode=700 tmpfs $1/on",
        as_user(ORDINARY_USER),
    )
    .into();
    let text = closed.refused("single-id", "ISO13", "mkdir: EACCES");
    assert!(
        text.contains(&format!("`{ORDINARY_USER}` may not write to")),
        "{text}"
    );
}

/// What a build asks, in the library.
#[test]
fn a_build_takes_what_the_doctor_says() {
    let scene = Scene::new();
    let store = scene.directory.path().join("store");
    let prober = Prober::new(Path::new(PROGRAM), &store, "/usr/bin:/bin");
    let chosen = prober.choose(Isolation::Auto, None).unwrap();
    assert_eq!(chosen.rung, Rung::UsernsDirect);
    let passed_over: Vec<_> = chosen
        .passed_over
        .iter()
        .map(|(rung, refusal)| (*rung, refusal.code))
        .collect();
    assert_eq!(passed_over, [(Rung::UsernsHelper, IsoCode::Iso16)]);
    assert_eq!(chosen.warning(), None);
    let chosen = prober.choose(Isolation::Chroot, None).unwrap();
    assert_eq!((chosen.rung, chosen.passed_over.len()), (Rung::Chroot, 0));
    // An error has the verdicts of all rungs, also of those that were not asked for.
    let error = prober.choose(Isolation::None, None).unwrap_err();
    assert_eq!(error.table().len(), Rung::ALL.len());
    assert!(
        error.table().contains(&"single-id      works".to_owned()),
        "{:?}",
        error.table()
    );
    let error = prober
        .choose(Isolation::Chroot, Some(Isolation::Userns))
        .unwrap_err();
    assert!(
        matches!(error, LadderError::Contradiction { .. }),
        "{error}"
    );
    assert_eq!(scene.names(), Vec::<String>::new());
}

#[test]
fn the_report_reads_from_the_rungs_to_what_a_build_would_take() {
    let scene = Scene::new();
    let user = as_user("daemon");
    let done = scene.run(&user, &[]).ok();
    let table = "Kinds of isolation, the strongest first:\n\n\
                 \x20 userns-helper  no   ISO08 read(/etc/subuid, /etc/subgid)\n\
                 \x20 userns-direct  –    only root can write id maps itself\n\
                 \x20 single-id      yes  a user namespace with one id; owners are recorded\n\
                 \x20 root           –    this rung is for root\n\
                 \x20 chroot         –    this rung is for root\n\
                 \x20 in-place       yes  this container itself, if it is the builder image; the last resort\n\n\
                 What is in the way:\n\n\
                 \x20 ISO08  `daemon` has no ids in";
    assert!(done.stdout.starts_with(table), "{}", done.stdout);
    // The command to copy stands on one line.
    let command = done
        .stdout
        .lines()
        .find(|line| line.contains("`usermod --add-subuids"))
        .unwrap();
    assert!(command.contains(" daemon`"), "{command}");
    assert!(
        done.stdout.contains("\nIngredients:\n\n"),
        "{}",
        done.stdout
    );
    let last = done
        .stdout
        .trim_end()
        .rsplit("\n\n")
        .next()
        .unwrap()
        .replace('\n', " ");
    let expected = "A build would take `single-id` now (`--isolation=single-id`): a user namespace with one id; owners are recorded.";
    assert_eq!(last, expected);
    let long: Vec<_> = done
        .stdout
        .lines()
        .filter(|line| line.chars().count() > 100 && !line.contains('`'))
        .collect();
    assert_eq!(long, Vec::<&str>::new());
    assert_eq!(done.stderr, "");
}

#[test]
fn a_profile_for_apparmor_names_this_program() {
    let scene = Scene::new();
    let done = scene.run(&plain(), &["--apparmor"]).ok();
    let path = fs::canonicalize(PROGRAM).unwrap();
    let profile = format!(
        "profile overcoat \"{}\" flags=(unconfined) {{\n  userns,\n",
        path.display()
    );
    assert!(done.stdout.contains(&profile), "{}", done.stdout);
    let both = scene.run(&plain(), &["--apparmor", "--format", "json"]);
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[test]
fn a_registry_is_asked_when_it_is_named() {
    let scene = Scene::new();
    let ask = |host: &str, variable: &str| {
        let report = scene.report(&words(&format!("env {variable}")), &["--registry", host]);
        // It changes nothing about what can be built.
        assert_eq!(report.chosen(), "userns-direct");
        let answer = report.json["registry"].clone();
        assert_eq!(answer["host"], host);
        (
            answer["state"].as_str().unwrap().to_owned(),
            format!("{}; {}", answer["message"], answer["hints"]),
        )
    };
    let open = Registry::start();
    assert_eq!(ask(open.host(), "A=b").0, "reachable");
    let closed = Registry::with_login();
    let (state, text) = ask(closed.host(), "DOCKER_CONFIG=/nonexistent");
    assert_eq!(state, "needs-login", "{text}");
    assert!(
        text.contains(&format!("podman login {}", closed.host())),
        "{text}"
    );
    let credentials = format!("REGISTRY_AUTH_FILE={}", closed.auth_file().display());
    assert_eq!(ask(closed.host(), &credentials).0, "reachable");
    let wrong = scene.directory.path().join("auth.json");
    fs::write(
        &wrong,
        format!(
            r#"{{"auths":{{"{}":{{"auth":"dXNlcjp3cm9uZw=="}}}}}}"#,
            closed.host()
        ),
    )
    .unwrap();
    let wrong = format!("REGISTRY_AUTH_FILE={}", wrong.display());
    assert_eq!(ask(closed.host(), &wrong).0, "login-refused");
    let (state, text) = ask(&format!("127.0.0.1:{}", free_port()), "A=b");
    assert_eq!(state, "unreachable", "{text}");
    let (private, authority) = private_registry(scene.directory.path());
    let (state, text) = ask(private.host(), "A=b");
    assert_eq!(state, "untrusted-certificate", "{text}");
    assert!(text.contains("SSL_CERT_FILE"), "{text}");
    assert_eq!(
        ask(private.host(), "SSL_CERT_FILE=/nonexistent").0,
        "no-certificates"
    );
    assert_eq!(
        ask(private.host(), &format!("SSL_CERT_FILE={authority}")).0,
        "reachable"
    );
    let url = scene.run(&plain(), &["--registry", "https://registry.example.com"]);
    assert_eq!(url.code, Some(2), "{}", url.stderr);
    assert!(
        url.stderr
            .contains("hint: write it as in image names, without `https://`"),
        "{}",
        url.stderr
    );
}

#[test]
fn every_code_is_explained_in_the_documents() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md")).unwrap();
    for code in IsoCode::ALL {
        let row = format!("| {code} | {} |", code.meaning());
        assert!(
            text.contains(&row),
            "docs/doctor.md has no row that begins with\n{row}"
        );
    }
    let scene = Scene::new();
    let report = scene.report(&plain(), &[]);
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let rung = report.rung("userns-direct");
    let names = report.json["ingredients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["name"].as_str().unwrap().to_owned());
    let all = [
        keys(&report.json),
        keys(rung),
        keys(&rung["parts"]),
        keys(&report.json["chosen"]),
        names.collect(),
    ]
    .concat();
    for key in all {
        assert!(
            text.contains(&format!("`{key}`")),
            "docs/doctor.md does not name `{key}`"
        );
    }
}
