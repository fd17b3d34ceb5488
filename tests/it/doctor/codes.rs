//! Each code, by making what it stands for.

use super::*;

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
