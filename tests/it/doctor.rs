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

mod codes;

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
