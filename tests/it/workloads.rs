//! What hooks really do, in every isolation, always with the same image. Tests that **need the network** are called
//! `network_…`.

mod debian;
mod files;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::flask::with_builder;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, copy_of_app, free_port, get, tool, wait_for};

/// Who builds, and with which flags.
struct Isolation {
    name: &'static str,
    overcoat: fn() -> Overcoat,
    arguments: &'static [&'static str],
}

/// Each must build, and build the same image as the first.
const ISOLATIONS: [Isolation; 4] = [
    Isolation {
        name: "root",
        overcoat: Overcoat::new,
        arguments: &[],
    },
    Isolation {
        name: "an ordinary user",
        overcoat: Overcoat::as_ordinary_user,
        arguments: &[],
    },
    Isolation {
        name: "an ordinary user with one id",
        overcoat: Overcoat::as_ordinary_user,
        arguments: &["--isolation", "single-id"],
    },
    Isolation {
        name: "root without overlay",
        overcoat: Overcoat::new,
        arguments: &["--rootfs", "extracted"],
    },
];

/// Builds `app` in every isolation with `arguments` after `build`; gives the first store, in which the image is.
#[track_caller]
fn same_everywhere(prepare: fn(Overcoat) -> Overcoat, arguments: &[&str]) -> Overcoat {
    same_among(&ISOLATIONS, prepare, arguments)
}

#[track_caller]
fn same_among(
    isolations: &[Isolation],
    prepare: fn(Overcoat) -> Overcoat,
    arguments: &[&str],
) -> Overcoat {
    let mut first: Option<(Overcoat, String)> = None;
    for isolation in isolations {
        let overcoat = prepare((isolation.overcoat)());
        let all = [&["build", "-t", "app"], arguments, isolation.arguments].concat();
        let done = overcoat.run(&all);
        assert_eq!(done.code, Some(0), "{}:\n{}", isolation.name, done.stderr);
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
        let digest = done.digest("app");
        match &first {
            None => first = Some((overcoat, digest)),
            Some((other, expected)) if digest != *expected => panic!(
                "{} builds another image than {}:\n{}",
                isolation.name,
                isolations[0].name,
                difference(other, &overcoat)
            ),
            Some(_) => {}
        }
    }
    first.expect("there are isolations").0
}

/// The lines of two images' listings that only one of them has.
fn difference(one: &Overcoat, other: &Overcoat) -> String {
    let listing = |overcoat: &Overcoat| -> Vec<String> {
        let layers = overcoat.layers("app");
        let listings = layers.iter().map(|layer| overcoat.list_layer(layer));
        let lines: Vec<String> = listings
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        [lines, vec![overcoat.inspect("app").to_string()]].concat()
    };
    let (one, other) = (listing(one), listing(other));
    let only = |mark, these: &[String], those: &[String]| -> String {
        let lines = these.iter().filter(|line| !those.contains(line));
        lines.map(|line| format!("{mark} {line}\n")).collect()
    };
    only('-', &one, &other) + &only('+', &other, &one)
}

/// A directory that everybody may read, with an application that has `assemble` for its hook.
struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(directory.path().join("app")).unwrap();
        fs::write(directory.path().join("app/app.py"), "1").unwrap();
        Self { directory }
    }

    fn source(&self) -> String {
        self.directory.path().join("app").display().to_string()
    }

    /// The builder, whose `assemble` this script is and runs as root.
    fn builder(&self, assemble: &'static str, files: Vec<(&'static str, &'static str)>) -> String {
        let tiny = Tiny {
            assemble,
            files,
            user: "0",
            ..Tiny::default()
        };
        tiny.write(self.directory.path())
    }
}

/// Builds `app` once more and unpacks it with umoci; the root file system.
fn unpacked(overcoat: &Overcoat, arguments: &[&str]) -> PathBuf {
    let layout = overcoat.path().join("layout");
    let output = format!("oci:{}:app", layout.display());
    let all = [&["build", "-t", "app", "-o", &output], arguments].concat();
    overcoat.run(&all).ok();
    let bundle = overcoat.path().join("bundle");
    let image = format!("{}:app", layout.display());
    tool(
        "umoci",
        &["unpack", "--image", &image, bundle.to_str().unwrap()],
    );
    bundle.join("rootfs")
}

/// True when some process of this machine has `word` in its command line.
fn is_running(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(word))
}

#[test]
fn a_daemon_that_a_step_leaves_is_ended_and_not_waited_for() {
    let scene = Scene::new();
    // One gives up its streams as daemons should, one keeps them. A number that nobody else sleeps for.
    let builder = scene.builder(
        "#!/bin/sh\nset -e\n/bin/busybox setsid sleep 86399871 < /dev/null > /dev/null 2>&1 &\nsleep 86399872 &\n\
         while ! grep -q 86399871 /proc/[0-9]*/cmdline; do :; done\n\
         while ! grep -q 86399872 /proc/[0-9]*/cmdline; do :; done\necho done > /opt/app-root/src/done\n",
        Vec::new(),
    );
    let source = scene.source();
    for isolation in &ISOLATIONS {
        let overcoat = (isolation.overcoat)();
        let arguments = ["build", &source, "-t", "app", "--build-image", &builder];
        let running = overcoat.spawn(&[&arguments, isolation.arguments].concat());
        let (done, _) = running.wait(Duration::from_secs(60));
        assert_eq!(done.code, Some(0), "{}:\n{}", isolation.name, done.stderr);
        assert!(!is_running("8639987"), "{}", isolation.name);
        let said = overcoat
            .run(&["run", "app", "--", "cat", "done"])
            .ok()
            .stdout;
        assert_eq!(said, "done\n", "{}", isolation.name);
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn a_hundred_thousand_small_files() {
    let scene = Scene::new();
    let builder = scene.builder(
        "#!/bin/sh\nset -e\nfor a in $(/bin/busybox seq 100 199); do\n  mkdir -p /opt/many/$a\n  \
         for b in $(/bin/busybox seq 1000 1999); do echo $a$b > /opt/many/$a/$b; done\ndone\n",
        Vec::new(),
    );
    let source = scene.source();
    // An ordinary user, with a range of ids and with one: so many files take their time on every file system.
    let users = &ISOLATIONS[1..3];
    let overcoat = same_among(users, |it| it, &[&source, "--build-image", &builder]);
    let listing = overcoat.list_layer(&overcoat.layers("app")[2]);
    let files = listing.lines().filter(|line| line.starts_with('-'));
    assert_eq!(files.count(), 100_000);
    let blob = overcoat.layers("app")[2].replace(':', "/");
    let blob = overcoat.store().join("blobs").join(blob);
    let paths = ["opt/many/123/1456", "opt/many/199/1999"];
    let extract = [
        "--extract",
        "--gzip",
        "--to-stdout",
        "--file",
        blob.to_str().unwrap(),
    ];
    assert_eq!(
        tool("tar", &[&extract[..], &paths].concat()),
        "1231456\n1991999\n"
    );
}

/// Everything that a step can do to the files of its builder and that a layer can say.
const CHANGES: &str = "#!/bin/sh\nset -e\ncd /srv\n\
    rm gone\nrm -r gone-tree\n\
    echo new > replaced\n\
    rm -r now-file\necho file > now-file\n\
    rm now-tree\nmkdir now-tree\necho inside > now-tree/inside\n\
    rm -r emptied\nmkdir emptied\necho other > emptied/other\n\
    mv moved moved-to\nmv moved-to/inner/deep moved-to/up\n\
    mv file-a file-b\n\
    ln kept kept-link\nln kept /opt/kept-elsewhere\n\
    ln -s ../etc/passwd link\n\
    /bin/busybox truncate -s 5000000 sparse\n\
    echo end | /bin/busybox dd of=sparse bs=1 seek=4000000 conv=notrunc 2> /dev/null\n\
    echo x > setuid\n/bin/busybox chown 1001:2000 setuid\nchmod 6755 setuid\n\
    mkdir sticky\nchmod 1777 sticky\n/bin/busybox mkfifo pipe\n\
    chmod 0700 only-mode\n/bin/busybox chown 33:33 only-owner\n\
    touch touched\n";

#[test]
fn who_assembles_can_be_chosen_and_the_image_keeps_its_user() {
    let scene = Scene::new();
    let tiny = Tiny {
        assemble: "#!/bin/sh\nset -e\nid -u > /opt/app-root/src/who\nid -g >> /opt/app-root/src/who\n",
        labels: vec![
            ("io.openshift.s2i.scripts-url", "image:///usr/libexec/s2i"),
            ("io.openshift.s2i.assemble-user", "0:0"),
        ],
        ..Tiny::default()
    };
    let builder = tiny.write(scene.directory.path());
    let source = scene.source();
    let build = |more: &[&str]| {
        let overcoat = Overcoat::new();
        let arguments = ["build", &source, "-t", "app", "--build-image", &builder];
        let done = overcoat.run(&[&arguments, more].concat());
        (overcoat, done)
    };
    let rows: [(&[&str], &str); 4] = [
        (&[], "0\n0\n"),
        (&["--assemble-user", ""], "0\n0\n"),
        (&["--assemble-user", "default"], "1001\n0\n"),
        (&["--assemble-user=1001:7"], "1001\n7\n"),
    ];
    for (more, expected) in rows {
        let (overcoat, done) = build(more);
        done.ok();
        let who = overcoat
            .run(&["run", "app", "--", "cat", "who"])
            .ok()
            .stdout;
        assert_eq!(who, expected, "{more:?}");
        assert_eq!(overcoat.inspect("app")["config"]["User"], "1001");
    }
    let (_, done) = build(&["--assemble-user", "nobody-here"]);
    assert_eq!(done.code, Some(41), "{}", done.stderr);
    let expected = "the image has no user `nobody-here`\nhint: use a user that `/etc/passwd` of the image lists, or a number";
    assert!(done.stderr.contains(expected), "{}", done.stderr);
    let (_, done) = build(&["--assemble-user", "a b"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    let (_, done) = build(&["--assemble-user", "root", "--strategy", "direct"]);
    assert!(
        done.stderr
            .contains("`--assemble-user root` says who runs the `assemble` script"),
        "{}",
        done.stderr
    );
}
