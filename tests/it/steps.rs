//! What a step gets beside its source – secrets, volumes, caches, an SSH agent, limits – and where its output goes.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::support::tiny::Tiny;
use super::support::{Done, Overcoat};
use super::tiny::{application, shared};

const SECRET: &str = "s3cr3t-of-the-registry";

/// A builder, and an application whose `assemble` hook is `script`.
fn hook(directory: &Path, script: &str) -> (String, String) {
    let builder = Tiny::default().write(directory);
    let script = format!("#!/bin/sh\nset -eu\n{script}\n");
    let source = application(
        directory,
        &[("app.py", "print(1)\n"), (".s2i/bin/assemble", &script)],
    );
    (builder, source)
}

fn build(overcoat: &Overcoat, source: &str, builder: &str, more: &[&str]) -> Done {
    let arguments = [
        &["build", source, "-t", "app", "--build-image", builder],
        more,
    ]
    .concat();
    overcoat.run(&arguments)
}

/// Root, and an ordinary user.
fn everybody() -> [Overcoat; 2] {
    [Overcoat::new(), Overcoat::as_ordinary_user()]
}

/// Every byte below a directory.
fn everything_in(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        match path.is_dir() {
            true => bytes.extend(everything_in(&path)),
            false => bytes.extend(fs::read(&path).unwrap_or_default()),
        }
    }
    bytes
}

#[test]
fn a_secret_is_a_file_in_memory_for_the_step_alone() {
    let directory = shared();
    let (builder, source) = hook(
        directory.path(),
        "cat /run/secrets/token\nwc -c < /run/secrets/from-env\n\
         grep -q ' /run/secrets tmpfs ' /proc/mounts && echo in memory\nls -ln /run/secrets\n\
         cp /run/secrets/token /tmp/elsewhere && rm /tmp/elsewhere\ncat /tmp/src/app.py > app.py",
    );
    let file = directory.path().join("token");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let from_file = format!("id=token,src={}", file.display());
    for overcoat in everybody() {
        let overcoat = overcoat.with("TOKEN_VARIABLE", SECRET);
        let more = [
            "--secret",
            &from_file,
            "--secret",
            "id=from-env,env=TOKEN_VARIABLE",
        ];
        let done = build(&overcoat, &source, &builder, &more).ok();
        assert!(done.stderr.contains("in memory"), "{}", done.stderr);
        assert!(
            done.stderr.contains("-r--------    1 1001"),
            "{}",
            done.stderr
        );
        assert!(
            done.stderr.contains(&SECRET.len().to_string()),
            "{}",
            done.stderr
        );
        assert!(
            !done.stderr.contains(SECRET) && done.stderr.contains("***"),
            "{}",
            done.stderr
        );
        // Nowhere: not in a layer, a document, a log, or a cache.
        for layer in overcoat.layers("app") {
            assert!(!overcoat.list_layer(&layer).contains("run/secrets"));
        }
        let stored = everything_in(&overcoat.store());
        assert!(
            !stored
                .windows(SECRET.len())
                .any(|bytes| bytes == SECRET.as_bytes())
        );
        // The next step does not see it.
        let after = build(&overcoat, &source, &builder, &[]);
        assert_eq!(after.code, Some(50), "{}", after.stderr);
        assert!(
            after.stderr.contains("/run/secrets/token"),
            "{}",
            after.stderr
        );
    }
}

#[test]
fn the_image_does_not_depend_on_a_secret() {
    let directory = shared();
    let (builder, source) = hook(directory.path(), "cp /tmp/src/app.py app.py");
    let overcoat = Overcoat::new()
        .with("A", "first-value")
        .with("B", "other-value");
    let digest = |more: &[&str]| build(&overcoat, &source, &builder, more).ok().digest("app");
    let without = digest(&[]);
    assert_eq!(digest(&["--secret", "id=x,env=A"]), without);
    assert_eq!(digest(&["--secret", "id=x,env=B"]), without);
}

#[test]
fn volumes_are_shown_and_stay_out_of_the_image() {
    let directory = shared();
    let (builder, source) = hook(
        directory.path(),
        "cat /mnt/data/in; cp /mnt/data/in app.py; if touch /mnt/data/new; then echo WRITTEN; fi; echo out > /mnt/out/out",
    );
    for (name, mode) in [("data", 0o777), ("out", 0o777)] {
        let path = directory.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(directory.path().join("data/in"), "from the volume\n").unwrap();
    let data = format!("{}:/mnt/data:ro", directory.path().join("data").display());
    let out = format!("{}:/mnt/out", directory.path().join("out").display());
    for overcoat in everybody() {
        let more = ["--volume", &data, "--volume", &out];
        let done = build(&overcoat, &source, &builder, &more).ok();
        assert!(done.stderr.contains("from the volume"), "{}", done.stderr);
        assert!(!done.stderr.contains("WRITTEN"), "{}", done.stderr);
        let written = directory.path().join("out/out");
        assert_eq!(fs::read_to_string(&written).unwrap(), "out\n");
        fs::remove_file(written).unwrap();
        for layer in overcoat.layers("app") {
            assert!(
                !overcoat.list_layer(&layer).contains("mnt"),
                "{}",
                overcoat.list_layer(&layer)
            );
        }
    }
}

#[test]
fn a_cache_is_kept_between_builds_and_is_no_part_of_the_image() {
    let directory = shared();
    let (builder, source) = hook(
        directory.path(),
        "echo \"had $(ls /var/cache/mine)\"; touch /var/cache/mine/item; cp /tmp/src/app.py app.py\n\
         test -w \"$PIP_CACHE_DIR\" && test -O \"$PIP_CACHE_DIR\"",
    );
    for overcoat in everybody() {
        let more = ["--cache-mount", "/var/cache/mine", "--no-cache"];
        let first = build(&overcoat, &source, &builder, &more).ok();
        let second = build(&overcoat, &source, &builder, &more).ok();
        assert!(
            first.stderr.contains("had \n") && second.stderr.contains("had item"),
            "{}",
            second.stderr
        );
        assert_eq!(first.digest("app"), second.digest("app"));
        for layer in overcoat.layers("app") {
            assert!(
                !overcoat.list_layer(&layer).contains("cache"),
                "{}",
                overcoat.list_layer(&layer)
            );
        }
    }
}

#[test]
fn without_a_network_there_is_a_loopback_interface_and_nothing_else() {
    let directory = shared();
    let (builder, source) = hook(
        directory.path(),
        "cat /proc/net/dev | grep -c : ; cp /tmp/src/app.py app.py\n\
         echo hello | nc -l -p 5999 & sleep 0.2; nc 127.0.0.1 5999 < /dev/null",
    );
    for overcoat in everybody() {
        let done = build(&overcoat, &source, &builder, &["--network", "none"]).ok();
        assert!(
            done.stderr.contains("| 1\n") && done.stderr.contains("hello"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn a_step_that_takes_too_long_is_ended() {
    let directory = shared();
    let (builder, source) = hook(directory.path(), "echo begun; sleep 61 & sleep 61");
    for overcoat in everybody() {
        let done = build(&overcoat, &source, &builder, &["--assemble-timeout", "1s"]);
        assert_eq!(done.code, Some(50), "{}", done.stderr);
        assert!(
            done.stderr
                .contains("did not end within 1 s (`--assemble-timeout`)"),
            "{}",
            done.stderr
        );
        assert!(
            overcoat.left_behind().is_empty(),
            "{:?}",
            overcoat.left_behind()
        );
    }
    let processes = super::support::tool("ps", &["-eo", "args"]);
    assert!(
        !processes.lines().any(|line| line.trim() == "sleep 61"),
        "{processes}"
    );
}

#[test]
fn memory_is_limited_where_groups_are_delegated_and_a_warning_says_where_not() {
    let directory = shared();
    // The shell doubles a text until there is no room for it.
    let (builder, source) = hook(
        directory.path(),
        "x=0123456789abcdef; while [ ${#x} -lt 200000000 ]; do x=$x$x; done; cp /tmp/src/app.py app.py",
    );
    let [root, user] = everybody();
    let done = build(&root, &source, &builder, &["--memory", "64m"]);
    assert_eq!(done.code, Some(50), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("67108864 bytes of memory (`--memory`)"),
        "{}",
        done.stderr
    );
    build(
        &root,
        &source,
        &builder,
        &["--memory", "2g", "--cpus", "0.9"],
    )
    .ok();
    let done = build(&user, &source, &builder, &["--memory", "64m"]).ok();
    assert!(
        done.stderr
            .contains("without the limits that were asked for"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_step_can_speak_with_the_persons_ssh_agent() {
    let directory = shared();
    // busybox's nc speaks no unix sockets: that the socket is there, and open for the image's user, must do for the
    // step; what goes through it is tested beside the code.
    let (builder, source) = hook(
        directory.path(),
        "test -S \"$SSH_AUTH_SOCK\" && test -w \"$SSH_AUTH_SOCK\" && echo there; cp /tmp/src/app.py app.py",
    );
    let socket = directory.path().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 16];
            let _ = stream.read(&mut bytes).map(|_| stream.write_all(b"answer"));
        }
    });
    for overcoat in everybody() {
        let overcoat = overcoat.with("SSH_AUTH_SOCK", socket.to_str().unwrap());
        let done = build(&overcoat, &source, &builder, &["--ssh"]).ok();
        assert!(done.stderr.contains("there"), "{}", done.stderr);
        for layer in overcoat.layers("app") {
            assert!(
                !overcoat.list_layer(&layer).contains("overcoat"),
                "{}",
                overcoat.list_layer(&layer)
            );
        }
    }
}

#[test]
fn all_that_a_step_printed_is_in_its_log() {
    let directory = shared();
    let (builder, source) = hook(
        directory.path(),
        "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; printf 'bell \\007 and \\033[2J clear\\n'; exit 3",
    );
    let overcoat = Overcoat::new();
    let done = build(&overcoat, &source, &builder, &["-q"]);
    assert_eq!(done.code, Some(50));
    let log = overcoat.store().join("logs/app.log");
    assert!(
        done.stderr.contains(log.to_str().unwrap()),
        "{}",
        done.stderr
    );
    let text = fs::read_to_string(log).unwrap();
    assert!(
        text.contains("line 0\n") && text.contains("line 299\n"),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{7}'),
        "{text:?}"
    );
    // The message has the end of it.
    assert!(
        !done.stderr.contains("line 10\n") && done.stderr.contains("line 299"),
        "{}",
        done.stderr
    );
}

#[test]
fn what_is_wrong_with_a_flag_is_said_before_anything_is_done() {
    let directory = shared();
    let (builder, source) = hook(directory.path(), "true");
    let overcoat = Overcoat::new();
    let table = [
        (["--secret", "id=x"], "either `src=FILE` or `env=VAR`"),
        (["--secret", "src=/etc/passwd"], "it has no `id`"),
        (
            ["--secret", "id=../x,src=/etc/passwd"],
            "no name for a file",
        ),
        (
            ["--secret", "id=x,src=/no/such/file"],
            "cannot read the secret `x`",
        ),
        (
            ["--secret", "id=x,env=NOT_SET_AT_ALL"],
            "`NOT_SET_AT_ALL` is not set",
        ),
        (
            ["--volume", "/no/such/directory:/mnt"],
            "/no/such/directory",
        ),
        (["--volume", "/tmp:/proc/x"], "the sandbox needs itself"),
        (["--cache-mount", "relative"], "absolute path"),
        (["--memory", "3"], "4m at least"),
        (["--cpus", "0"], "above 0"),
        (["--assemble-timeout", "soon"], "soon"),
    ];
    for (flags, expected) in table {
        let done = build(&overcoat, &source, &builder, &flags);
        assert_eq!(done.code, Some(2), "{flags:?}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{flags:?}: {}", done.stderr);
    }
    assert!(!overcoat.store().join("logs").exists());
}

#[test]
fn what_is_mounted_in_a_read_only_volume_is_read_only_too() {
    let directory = shared();
    let (builder, source) = hook(
        directory.path(),
        "if touch /mnt/data/inner/new; then echo WRITTEN; fi; cp /tmp/src/app.py app.py",
    );
    let volume = directory.path().join("data");
    fs::create_dir_all(volume.join("inner")).unwrap();
    let overcoat = Overcoat::new();
    let flag = format!("{}:/mnt/data:ro", volume.display());
    let words = [
        "build",
        &source,
        "-t",
        "app",
        "--build-image",
        &builder,
        "--volume",
        &flag,
    ];
    let inner = overcoat.command(&words);
    // The mount is this command's alone.
    let script = format!(
        "mount -t tmpfs -o mode=777 tmpfs {}/inner && exec \"$0\" \"$@\"",
        volume.display()
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.envs(
        inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let done: Done = command.output().unwrap().into();
    let done = done.ok();
    assert!(
        done.stderr.contains("Read-only file system"),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("WRITTEN"), "{}", done.stderr);
}
