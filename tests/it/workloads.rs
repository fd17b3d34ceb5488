//! What hooks really do, in every isolation, always with the same image. Tests that **need the network** are called
//! `network_…`.

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
fn what_a_step_does_to_its_builders_files_is_what_others_unpack() {
    let scene = Scene::new();
    let text = |path| (path, "old\n");
    let files = [
        "srv/emptied/a",
        "srv/emptied/b",
        "srv/file-a",
        "srv/gone",
        "srv/gone-tree/x/y",
        "srv/kept",
        "srv/moved/inner/deep/z",
        "srv/moved/w",
        "srv/now-file/a",
        "srv/now-tree",
        "srv/only-mode",
        "srv/only-owner",
        "srv/replaced",
        "srv/touched",
    ];
    let builder = scene.builder(CHANGES, files.map(text).to_vec());
    let source = scene.source();
    let arguments = [&source, "--build-image", &builder];
    let overcoat = same_everywhere(|it| it, &arguments);
    let listing = overcoat.list_layer(&overcoat.layers("app")[2]);
    let lines: Vec<String> = listing
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Without the times, which are the limit's.
            [&words[..3], &words[5..]].concat().join(" ")
        })
        .collect();
    assert_eq!(
        lines,
        [
            "drwxr-xr-x 0/0 0 opt/",
            "-rw-r--r-- 0/0 4 opt/kept-elsewhere",
            "drwxr-xr-x 0/0 0 srv/",
            "---------- 0/0 0 srv/.wh.file-a",
            "---------- 0/0 0 srv/.wh.gone",
            "---------- 0/0 0 srv/.wh.gone-tree",
            "---------- 0/0 0 srv/.wh.moved",
            "drwxr-xr-x 0/0 0 srv/emptied/",
            "---------- 0/0 0 srv/emptied/.wh.a",
            "---------- 0/0 0 srv/emptied/.wh.b",
            "-rw-r--r-- 0/0 6 srv/emptied/other",
            "-rw-r--r-- 0/0 4 srv/file-b",
            "hrw-r--r-- 0/0 0 srv/kept link to opt/kept-elsewhere",
            "hrw-r--r-- 0/0 0 srv/kept-link link to opt/kept-elsewhere",
            "lrwxrwxrwx 0/0 0 srv/link -> ../etc/passwd",
            "drwxr-xr-x 0/0 0 srv/moved-to/",
            "drwxr-xr-x 0/0 0 srv/moved-to/inner/",
            "drwxr-xr-x 0/0 0 srv/moved-to/up/",
            "-rw-r--r-- 0/0 4 srv/moved-to/up/z",
            "-rw-r--r-- 0/0 4 srv/moved-to/w",
            "-rw-r--r-- 0/0 5 srv/now-file",
            "drwxr-xr-x 0/0 0 srv/now-tree/",
            "-rw-r--r-- 0/0 7 srv/now-tree/inside",
            "-rwx------ 0/0 4 srv/only-mode",
            "-rw-r--r-- 33/33 4 srv/only-owner",
            "prw-r--r-- 0/0 0 srv/pipe",
            "-rw-r--r-- 0/0 4 srv/replaced",
            "-rwsr-sr-x 1001/2000 2 srv/setuid",
            "-rw-r--r-- 0/0 5000000 srv/sparse",
            "drwxrwxrwt 0/0 0 srv/sticky/",
        ]
    );
    let root = unpacked(&overcoat, &arguments);
    let mut names: Vec<String> = fs::read_dir(root.join("srv"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names.join(" "),
        "emptied file-b kept kept-link link moved-to now-file now-tree only-mode only-owner pipe replaced setuid \
         sparse sticky touched"
    );
    let metadata = |name: &str| fs::symlink_metadata(root.join(name)).unwrap();
    let setuid = metadata("srv/setuid");
    assert_eq!(
        (setuid.mode() & 0o7777, setuid.uid(), setuid.gid()),
        (0o6755, 1001, 2000)
    );
    let inodes =
        ["srv/kept", "srv/kept-link", "opt/kept-elsewhere"].map(|name| metadata(name).ino());
    assert_eq!(inodes, [inodes[0]; 3]);
    let sparse = fs::read(root.join("srv/sparse")).unwrap();
    assert_eq!(
        (sparse.len(), &sparse[4_000_000..4_000_004]),
        (5_000_000, &b"end\n"[..])
    );
    let emptied: Vec<_> = fs::read_dir(root.join("srv/emptied")).unwrap().collect();
    assert_eq!(emptied.len(), 1, "{emptied:?}");
}

/// Runs overcoat where `/etc/apt` holds nothing but `sources.list` with this text.
fn with_host_sources(overcoat: &Overcoat, text: &str, arguments: &[&str]) -> Done {
    let sources = overcoat.path().join("host-sources.list");
    fs::write(&sources, text).unwrap();
    fs::set_permissions(&sources, fs::Permissions::from_mode(0o644)).unwrap();
    let command = overcoat.command(arguments);
    let mount = "mount -t tmpfs -o mode=755 none /etc/apt && cp \"$1\" /etc/apt/sources.list && shift && exec \"$@\"";
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "sh", "-c", mount, "sh"]);
    shell
        .arg(&sources)
        .arg(command.get_program())
        .args(command.get_args());
    shell.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    shell.output().unwrap().into()
}

#[test]
fn a_step_sees_the_hosts_debian_mirror_and_the_image_never_does() {
    const SOURCES: &str = "Types: deb\nURIs: http://deb.debian.org/debian/\nSuites: bookworm\nComponents: main\n\n\
        Types: deb\nURIs: https://packages.example/debian\nSuites: other\nComponents: main\n";
    const HOST: &str = "deb http://user:hunter2@mirror.example/debian trixie main\n";
    let scene = Scene::new();
    let files = vec![
        ("etc/apt/sources.list.d/debian.sources", SOURCES),
        (
            "etc/apt/sources.list.d/edited.list",
            "deb http://deb.debian.org/debian sid main\n",
        ),
        (
            "etc/apt/sources.list.d/removed.list",
            "deb http://deb.debian.org/debian sid main\n",
        ),
        (
            "etc/apt/sources.list.d/third.list",
            "deb https://third.example/x ./\n",
        ),
    ];
    let builder = scene.builder(
        "#!/bin/sh\nset -e\ncd /etc/apt/sources.list.d\ncat debian.sources edited.list third.list\n\
         sed -i 's/main/main contrib/' edited.list\nrm removed.list\necho '# mine' > added.list\n",
        files,
    );
    let source = scene.source();
    let mut digests = Vec::new();
    for host in [HOST, "", "deb http://deb.debian.org/debian bookworm main\n"] {
        for isolation in &ISOLATIONS {
            let overcoat = (isolation.overcoat)();
            let arguments = ["build", &source, "-t", "app", "--build-image", &builder];
            let all = [&arguments, isolation.arguments].concat();
            let done = with_host_sources(&overcoat, host, &all).ok();
            let mirror = "user:hunter2@mirror.example/debian";
            assert_eq!(
                [
                    format!("URIs: http://{mirror}\n"),
                    format!("deb http://{mirror} sid main\n"),
                    "URIs: http://deb.debian.org/debian/\n".to_owned(),
                ]
                .map(|line| done.stderr.contains(&line)),
                [host == HOST, host == HOST, host != HOST],
                "{}",
                done.stderr
            );
            for kept in [
                "URIs: https://packages.example/debian\n",
                "deb https://third.example/x ./\n",
            ] {
                assert!(done.stderr.contains(kept), "{}", done.stderr);
            }
            let shown = overcoat
                .run(&[
                    "run",
                    "app",
                    "--",
                    "sh",
                    "-c",
                    "cd /etc/apt/sources.list.d; ls; cat edited.list debian.sources",
                ])
                .ok();
            let expected = format!(
                "added.list\ndebian.sources\nedited.list\nthird.list\ndeb http://deb.debian.org/debian sid main contrib\n{SOURCES}"
            );
            assert_eq!(shown.stdout, expected);
            let listing = overcoat.list_layer(&overcoat.layers("app")[2]);
            assert!(!listing.contains("debian.sources"), "{listing}");
            digests.push(done.digest("app"));
        }
    }
    assert!(
        digests.iter().all(|digest| *digest == digests[0]),
        "{digests:?}"
    );
}

#[test]
fn files_that_differ_on_every_run_stay_out_of_layers_and_what_the_builder_has_stays_in() {
    let scene = Scene::new();
    let builder = scene.builder(
        "#!/bin/sh\nset -e\nmkdir -p /var/log/apt /var/lib/apt/lists/partial /var/cache/ldconfig\n\
         for file in /var/log/apt/term.log /var/log/mine.log /var/lib/apt/lists/x_InRelease /var/cache/ldconfig/aux-cache; do\n  \
         echo $file > $file\ndone\necho more >> /var/log/dpkg.log\nrm /var/log/alternatives.log\n\
         ln /var/log/apt/term.log /var/log/term-link\n",
        vec![("var/log/alternatives.log", "base\n"), ("var/log/dpkg.log", "base\n")],
    );
    let source = scene.source();
    let overcoat = same_everywhere(|it| it, &[&source, "--build-image", &builder]);
    let listing = overcoat.list_layer(&overcoat.layers("app")[2]);
    let names: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split(' ').next_back())
        .collect();
    assert_eq!(
        names,
        [
            "var/",
            "var/cache/",
            "var/cache/ldconfig/",
            "var/lib/",
            "var/lib/apt/",
            "var/lib/apt/lists/",
            "var/lib/apt/lists/partial/",
            "var/log/",
            "var/log/.wh.alternatives.log",
            "var/log/apt/",
            "var/log/mine.log",
            "var/log/term-link",
        ]
    );
    let shown = overcoat.run(&[
        "run",
        "app",
        "--",
        "cat",
        "/var/log/dpkg.log",
        "/var/log/term-link",
    ]);
    assert_eq!(shown.ok().stdout, "base\n/var/log/apt/term.log\n");
}

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

#[test]
fn network_apt_a_compiler_and_git_work_in_a_hook_and_two_builds_agree() {
    let arguments = |source: &str| -> Vec<String> {
        [source, "--assemble-user", "root"]
            .map(str::to_owned)
            .to_vec()
    };
    let scene = Scene::new();
    let source = copy_of_app("native", scene.directory.path());
    let arguments = arguments(source.to_str().unwrap());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let overcoat = same_everywhere(with_builder, &arguments);
    let config = overcoat.inspect("app")["config"].clone();
    assert_eq!(config["User"], "1001", "the image's own user is not root");

    let builder_layers = overcoat.layers("builder/python-3.11").len();
    let dependencies = overcoat.list_layer(&overcoat.layers("app")[builder_layers]);
    let line = |name: &str| -> String {
        let end = format!(" {name}");
        let line = dependencies.lines().find(|line| line.ends_with(&end));
        let words: Vec<&str> = line
            .unwrap_or_default()
            .split_whitespace()
            .take(2)
            .collect();
        words.join(" ")
    };
    for (name, expected) in [
        ("usr/bin/jq", "-rwxr-xr-x 0/0"),
        ("opt/data/spool/", "drwxr-s--- 2000/2000"),
        ("opt/data/spool/job", "-rw-r--r-- 1001/2000"),
        ("home/worker/", "drwxr-xr-x 2000/2000"),
        // apt hands it to the user that downloads.
        ("var/lib/apt/lists/partial/", "drwx------ 42/0"),
        ("var/log/dpkg.log", ""),
    ] {
        assert_eq!(line(name), expected, "{name}");
    }
    assert!(
        !dependencies.contains("_InRelease"),
        "package lists are in the layer"
    );

    let shell = |script: &str| {
        let done = overcoat
            .run(&["run", "app", "--", "bash", "-c", script])
            .ok();
        done.stdout
    };
    assert_eq!(
        shell(
            "dpkg-query --show --showformat '${Status}\\n' jq; dpkg --audit; echo '[6,7]' | jq '.[0]*.[1]'"
        ),
        "install ok installed\n42\n"
    );
    let attributes = "import os; f = '/opt/data/data.txt'; \
        print(os.getxattr(f, 'user.origin').decode(), os.getxattr(f, 'security.capability').hex())";
    let capability = "0000000200040000000000000000000000000000";
    assert_eq!(
        shell(&format!("python -c \"{attributes}\"")),
        format!("git {capability}\n")
    );
    let port = free_port();
    let _running = overcoat.spawn(&["run", "app", "-e", &format!("PORT={port}")]);
    assert_eq!(
        wait_for("an answer", || get(port)),
        "Hello from native: 42, cloned\n"
    );
}

#[test]
fn network_dpkg_and_apt_find_nothing_wrong_with_our_builders() {
    let overcoat = with_builder(Overcoat::new());
    overcoat.run(&["builder", "build", "python-3.13"]).ok();
    let scene = Scene::new();
    let hooks = Path::new(&scene.source()).join(".s2i/bin");
    fs::create_dir_all(&hooks).unwrap();
    let hook = hooks.join("assemble");
    let script = "#!/bin/bash\nset -e\n\
        test -z \"$(dpkg --audit; dpkg --configure -a; apt-get -qq check 2>&1; dpkg -V)\"\n\
        apt-get update 2>&1 | tee /tmp/update\n! grep -E '^(W|E):' /tmp/update\n\
        apt-get install -y --no-install-recommends jq 2>&1 | tee /tmp/install\n\
        ! grep -E '^(W|E):|triggers for (ca-cert|debianutils)' /tmp/install\n\
        rm /tmp/update /tmp/install\ntest -z \"$(ls /var/cache/apt/*.bin /var/cache/apt/archives/*.deb 2>/dev/null)\"\n";
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    for builder in ["builder:python-3.11", "builder:python-3.13"] {
        let source = scene.source();
        let arguments = ["build", &source, "-t", "app", "--assemble-user", "root"];
        overcoat
            .run(&[&arguments[..], &["--build-image", builder]].concat())
            .ok();
        let version = overcoat.run(&["run", "app", "--", "jq", "--version"]).ok();
        assert!(version.stdout.starts_with("jq-1."), "{builder}");
    }
}
