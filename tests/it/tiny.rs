//! Builds on the tiny builder: what the layers hold, whoever builds, and what a hook may do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, copy_of_app, tool, wait_for};

mod processes;

/// Writes a small application and gives its path.
pub(super) fn application(directory: &Path, files: &[(&str, &str)]) -> String {
    let root = directory.join("app");
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let mode = if name.starts_with(".s2i/bin") {
            0o755
        } else {
            0o644
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    root.to_str().unwrap().to_owned()
}

fn build(overcoat: &Overcoat, source: &str, builder: &str) -> String {
    overcoat
        .run(&["build", source, "-t", "app", "--build-image", builder])
        .ok()
        .digest("app")
}

/// A directory that an ordinary user can read.
pub(super) fn shared() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

#[test]
fn two_layers_with_parents_owners_and_clamped_times_are_put_on_top() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(
        directory.path(),
        &[("app.py", "print(1)\n"), (".s2i/environment", "A = b")],
    );
    let overcoat = Overcoat::new();
    build(&overcoat, &source, &builder);
    let layers = overcoat.layers("app");
    assert_eq!(layers.len(), 4);
    assert_eq!(
        overcoat.list_layer(&layers[2]),
        "drwxr-xr-x 0/0               0 1980-01-01 00:00:00 opt/\n\
         drwxrwxr-x 1001/0            0 1980-01-01 00:00:00 opt/app-root/\n\
         drwxr-xr-x 1001/0            0 1980-01-01 00:00:00 opt/app-root/lib/\n\
         -rw-r--r-- 1001/0           11 1980-01-01 00:00:00 opt/app-root/lib/dependency\n"
    );
    assert_eq!(
        overcoat.list_layer(&layers[3]),
        "drwxr-xr-x 0/0               0 1980-01-01 00:00:00 opt/\n\
         drwxrwxr-x 1001/0            0 1980-01-01 00:00:00 opt/app-root/\n\
         drwxrwxr-x 1001/0            0 1980-01-01 00:00:00 opt/app-root/src/\n\
         drwxr-xr-x 1001/0            0 1980-01-01 00:00:00 opt/app-root/src/.s2i/\n\
         -rw-r--r-- 1001/0            5 1980-01-01 00:00:00 opt/app-root/src/.s2i/environment\n\
         -rw-r--r-- 1001/0            9 1980-01-01 00:00:00 opt/app-root/src/app.py\n"
    );
    let config = overcoat.inspect("app")["config"].clone();
    assert_eq!(config["Cmd"], serde_json::json!(["/usr/libexec/s2i/run"]));
    assert_eq!(config["User"], "1001");
    let environment = config["Env"].as_array().unwrap();
    assert!(
        environment.contains(&"A=b".into()) && environment.contains(&"FROM_BUILDER=yes".into()),
        "{environment:?}"
    );
}

#[test]
fn an_ordinary_user_builds_the_same_digest_as_root() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(directory.path(), &[("app.py", "1"), ("pkg/b.py", "2")]);
    let root = build(&Overcoat::new(), &source, &builder);
    let user = build(&Overcoat::as_ordinary_user(), &source, &builder);
    assert_eq!(root, user);
}

#[test]
fn an_edit_changes_the_application_layer_and_no_other() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    let overcoat = Overcoat::new();
    let first = build(&overcoat, &source, &builder);
    let before = overcoat.layers("app");
    assert_eq!(
        build(&overcoat, &source, &builder),
        first,
        "nothing changed"
    );
    fs::write(directory.path().join("app/app.py"), "2").unwrap();
    assert_ne!(build(&overcoat, &source, &builder), first);
    let after = overcoat.layers("app");
    assert_eq!(before[..3], after[..3]);
    assert_ne!(before[3], after[3]);
    assert_eq!(overcoat.run(&["run", "app"]).ok().stdout, "2");
}

#[test]
fn umask_and_checkout_times_do_not_show() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(
        directory.path(),
        &[("app.py", "1"), ("run.sh", "#!/bin/sh\n")],
    );
    let file = |name: &str| directory.path().join("app").join(name);
    let set_mode = |name: &str, mode| {
        fs::set_permissions(file(name), fs::Permissions::from_mode(mode)).unwrap()
    };
    set_mode("run.sh", 0o755);
    let first = build(&Overcoat::new(), &source, &builder);
    set_mode("run.sh", 0o775);
    set_mode("app.py", 0o664);
    fs::File::open(file("app.py"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_500_000_000))
        .unwrap();
    assert_eq!(build(&Overcoat::new(), &source, &builder), first);
    set_mode("run.sh", 0o644);
    assert_ne!(
        build(&Overcoat::new(), &source, &builder),
        first,
        "whether a file can be executed does show"
    );
}

#[test]
fn source_date_epoch_moves_the_limit_of_times() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    let overcoat = Overcoat::new().with("SOURCE_DATE_EPOCH", "1000000000");
    build(&overcoat, &source, &builder);
    assert_eq!(overcoat.inspect("app")["created"], "2001-09-09T01:46:40Z");
    let layers = overcoat.layers("app");
    assert!(
        overcoat
            .list_layer(&layers[3])
            .contains("2001-09-09 01:46:40 opt/app-root/src/app.py")
    );
}

#[test]
fn hooks_replace_the_stock_scripts_and_may_call_them() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let assemble =
        "#!/bin/sh\nset -e\n/usr/libexec/s2i/assemble\necho hook > /opt/app-root/src/trace\n";
    let run = "#!/bin/sh\ncat /opt/app-root/src/trace; exec /usr/libexec/s2i/run\n";
    let files = [
        ("app.py", "app"),
        (".s2i/bin/assemble", assemble),
        (".s2i/bin/run", run),
        (".s2i/bin/usage", "x"),
    ];
    let source = application(directory.path(), &files);
    let overcoat = Overcoat::new();
    build(&overcoat, &source, &builder);
    assert_eq!(
        overcoat.inspect("app")["config"]["Cmd"],
        serde_json::json!(["/tmp/scripts/run"])
    );
    assert_eq!(overcoat.run(&["run", "app"]).ok().stdout, "hook\napp");
    let layers = overcoat.layers("app");
    assert!(
        overcoat
            .list_layer(&layers[3])
            .contains(" tmp/scripts/run\n")
    );
}

#[test]
fn deletions_replacements_and_links_are_said_as_layers_say_them() {
    let directory = shared();
    let assemble = "#!/bin/sh\nset -e\ncd /usr/share\nrm old/a\nrm -r old\nmkdir old\necho new > old/c\n\
        cd /etc\necho more >> group\nrm passwd\nmkdir -p /opt/x\necho 1 > /opt/x/one\nln /opt/x/one /opt/x/two\n\
        cp /opt/x/one /opt/app-root/src/copy\nln /opt/x/one /opt/app-root/src/linked\nln -s /opt/x /opt/link\n\
        chmod 4755 /opt/x/one\n";
    let tiny = Tiny {
        assemble,
        user: "0",
        ..Tiny::default()
    };
    let builder = tiny.write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    let overcoat = Overcoat::new();
    let digest = build(&overcoat, &source, &builder);
    let layers = overcoat.layers("app");
    let dependencies = overcoat.list_layer(&layers[2]);
    let names = |listing: &str| -> Vec<String> {
        listing
            .lines()
            .map(|line| {
                line.split_whitespace()
                    .skip(5)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    };
    assert_eq!(
        names(&dependencies),
        [
            "etc/",
            "etc/.wh.passwd",
            "etc/group",
            "opt/",
            "opt/link -> /opt/x",
            "opt/x/",
            "opt/x/one",
            "opt/x/two link to opt/x/one",
            "usr/",
            "usr/share/",
            "usr/share/old/",
            "usr/share/old/.wh.a",
            "usr/share/old/.wh.b",
            "usr/share/old/c",
        ]
    );
    assert!(dependencies.contains("-rwsr-xr-x 0/0"), "{dependencies}");
    // The first name of `linked` is in the layer below: here it is a file of its own.
    let application = names(&overcoat.list_layer(&layers[3]));
    assert!(
        application.contains(&"opt/app-root/src/linked".to_owned()),
        "{application:?}"
    );
    assert_eq!(
        build(&Overcoat::as_ordinary_user(), &source, &builder),
        digest
    );
}

#[test]
fn a_step_sees_nothing_of_the_host_and_its_mounts_stay_out_of_the_image() {
    let directory = shared();
    let assemble = "#!/bin/sh\nset -e\n/bin/env | sort > /opt/app-root/src/env\nls /proc | grep -c '^[0-9]*$' || true\n\
        test -s /run/overcoat/ca-certificates.crt\ntest -s /etc/hosts\necho x > /dev/shm/x\n\
        ! echo 1 2>/dev/null > /proc/sys/vm/swappiness\nls -a /run > /opt/app-root/src/run\n\
        for file in /proc/[0-9]*/environ; do ! grep -q hunter2 $file 2>/dev/null || exit 6; done\n\
        ! chmod 4777 /proc/1/exe 2>/dev/null || exit 5\n! ls /proc/self/fd/9/ 2>/dev/null || exit 4\n\
        ! (: < /dev/tty) 2>/dev/null || exit 3\n\
        test ! -e /root/.cargo\ntest \"$(cat /proc/self/status | grep NoNewPrivs)\" = \"NoNewPrivs:\t1\"\n";
    for user in ["0", "1001"] {
        let tiny = Tiny {
            assemble,
            user,
            ..Tiny::default()
        };
        let builder = tiny.write(&directory.path().join(user));
        let source = application(directory.path(), &[("app.py", "1")]);
        let overcoat = Overcoat::new()
            .with("HOST_SECRET", "hunter2")
            .with("HTTPS_PROXY", "http://proxy.example:3128")
            .with("PIP_INDEX_URL", "https://index.example/simple");
        // Descriptor 9 is a directory of the host: a step must not inherit it.
        let mut shell = std::process::Command::new("sh");
        shell.args([
            "-c",
            "exec 9</; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_overcoat"),
        ]);
        shell.args(["build", &source, "-t", "app", "--build-image", &builder]);
        let command = overcoat.command(&[]);
        shell.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let done: Done = shell.output().unwrap().into();
        done.ok();
        let environment = overcoat
            .run(&["run", "app", "--", "/bin/cat", "env"])
            .ok()
            .stdout;
        assert!(
            environment.contains("https_proxy=http://proxy.example:3128\n"),
            "{environment}"
        );
        assert!(
            environment.contains("PIP_INDEX_URL=https://index.example/simple\n"),
            "{environment}"
        );
        assert!(!environment.contains("HOST_SECRET"), "{environment}");
        let image = overcoat.inspect("app").to_string();
        assert!(
            !image.contains("proxy.example") && !image.contains("index.example"),
            "{image}"
        );
        let all: String = overcoat.layers("app")[2..]
            .iter()
            .map(|layer| overcoat.list_layer(layer))
            .collect();
        for name in [
            "dev/",
            "proc/",
            "sys/",
            "run/overcoat",
            "etc/resolv.conf",
            "etc/hosts",
        ] {
            assert!(!all.contains(&format!(" {name}")), "{name} in\n{all}");
        }
    }
}

#[test]
fn a_step_that_is_root_gains_nothing_by_making_device_nodes() {
    let directory = shared();
    // 1:5 is /dev/zero: harmless to read, were it possible.
    let assemble = "#!/bin/sh\nfor place in /opt /dev /dev/shm /tmp; do\n  /bin/busybox mknod $place/zero c 1 5 || continue\n  \
        ! /bin/busybox head -c 1 $place/zero > /dev/null || exit 9\n  rm $place/zero\ndone\n\
        /bin/busybox head -c 1 /dev/zero > /dev/null || exit 8\n! /bin/busybox mount -t tmpfs none /opt || exit 7\n";
    let tiny = Tiny {
        assemble,
        user: "0",
        ..Tiny::default()
    };
    let builder = tiny.write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    build(&Overcoat::new(), &source, &builder);
    build(&Overcoat::as_ordinary_user(), &source, &builder);
}

/// Layers of many writers list only what they change; the directories above it are described further down.
#[test]
fn directories_that_a_layer_does_not_list_keep_what_lower_layers_say() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let note = directory.path().join("note");
    fs::write(&note, "x").unwrap();
    // umoci lists only the file: `/opt/app-root` belongs to 1001 and must stay so.
    let layout = format!("{}:tiny:latest", directory.path().join("builder").display());
    tool(
        "umoci",
        &[
            "insert",
            "--image",
            &layout,
            note.to_str().unwrap(),
            "/opt/app-root/note",
        ],
    );
    tool("chmod", &["-R", "a+rX", directory.path().to_str().unwrap()]);
    let source = application(directory.path(), &[("app.py", "1")]);
    let mut digests = Vec::new();
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        digests.push(build(&overcoat, &source, &builder));
        let list = [
            "run",
            "app",
            "--",
            "ls",
            "-ldn",
            "/opt/app-root",
            "/opt/app-root/note",
        ];
        let listing = overcoat.run(&list).ok().stdout;
        assert!(
            listing.contains("drwxrwxr-x") && listing.contains("1001     0"),
            "{listing}"
        );
        let arguments = [
            "build",
            &source,
            "-t",
            "direct",
            "--build-image",
            &builder,
            "--strategy",
            "direct",
        ];
        overcoat.run(&arguments).ok();
        let listing = overcoat
            .run(&["run", "direct", "--", "ls", "-ldn", "/opt/app-root"])
            .ok()
            .stdout;
        assert!(
            listing.contains("drwxrwxr-x") && listing.contains("1001     0"),
            "{listing}"
        );
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn direct_builds_without_executing_anything() {
    let directory = shared();
    let tiny = Tiny {
        assemble: "#!/bin/sh\nexit 99\n",
        ..Tiny::default()
    };
    let builder = tiny.write(directory.path());
    let source = copy_of_app("no-requirements", directory.path());
    let overcoat = Overcoat::new();
    let arguments = [
        "build",
        source.to_str().unwrap(),
        "-t",
        "app",
        "--build-image",
        &builder,
        "--strategy",
        "direct",
    ];
    let digest = overcoat.run(&arguments).ok().digest("app");
    assert_eq!(overcoat.layers("app").len(), 3);
    assert!(
        !overcoat.store().join("unpacked").exists(),
        "something was unpacked"
    );
    assert!(
        overcoat
            .run(&["run", "app"])
            .ok()
            .stdout
            .contains("http.server")
    );
    assert_eq!(
        Overcoat::as_ordinary_user()
            .run(&arguments)
            .ok()
            .digest("app"),
        digest
    );
}

#[test]
fn a_plan_is_printed_and_nothing_is_done() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        let plan = |image: &str| {
            let arguments = [
                "build",
                &source,
                "-t",
                "app",
                "--build-image",
                image,
                "--plan",
                "-e",
                "T=s3cret",
            ];
            let done = overcoat.run(&arguments).ok();
            assert!(!done.stdout.contains("s3cret"));
            assert_eq!(done.stderr, "");
            done.stdout
        };
        let text = plan(&builder);
        for expected in [
            "assemble: the builder image has S2I scripts",
            "/usr/libexec/s2i/assemble as 1001",
            "app:latest",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        // A recipe is described without being made, and so without the network.
        let text = plan("builder:python-3.13");
        assert!(
            text.contains("builder:python-3.13 (to be made first)"),
            "{text}"
        );
        assert!(
            text.contains("direct: nothing needs to be executed"),
            "{text}"
        );
        assert!(
            text.contains("written to /opt/app-root/src for 1001:0"),
            "{text}"
        );
        assert!(!overcoat.store().exists(), "a store was made");
    }
}

#[test]
fn every_name_gets_a_line_and_the_digest_file_the_digest() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    let overcoat = Overcoat::new();
    let file = overcoat.path().join("digest");
    let done = overcoat
        .run(&[
            "build",
            &source,
            "-t",
            "a",
            "-t",
            "quay.io/org/b:1",
            "--build-image",
            &builder,
            "--digest-file",
            file.to_str().unwrap(),
            "--label",
            "team=blue",
        ])
        .ok();
    let digest = fs::read_to_string(file).unwrap();
    assert_eq!(digest.len(), "sha256:".len() + 64, "{digest:?}");
    assert_eq!(
        done.stdout,
        format!("a@{digest}\nquay.io/org/b:1@{digest}\n")
    );
    assert_eq!(
        overcoat.inspect("quay.io/org/b:1")["config"]["Labels"]["team"],
        "blue"
    );
    overcoat.run(&["rm", "a"]).ok();
    assert_eq!(
        overcoat.run(&["run", "quay.io/org/b:1"]).ok().stdout,
        "1",
        "the other name still has its layers"
    );
    overcoat
        .run(&["rm", &format!("quay.io/org/b:1@{digest}")])
        .ok();
    assert_eq!(
        fs::read_dir(overcoat.store().join("blobs/sha256"))
            .unwrap()
            .count(),
        0
    );
}
