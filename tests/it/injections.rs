//! What a step gets of this machine by s2i's own flags – injected files, hosts, fewer capabilities, labelled volumes – on
//! every kind of runner, and how its output reaches whoever reads it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use overcoat::build::rootfs::{RootFs, Wanted};
use overcoat::build::{Confinement, RootfsKind};
use overcoat::event::{Event, Observer, Silent, Stream};
use overcoat::image::Platform;
use overcoat::output::oci_layout;
use overcoat::sandbox::{self, Capture, Input, Process, Rung, Sandbox};
use overcoat::store::BlobStore;

use super::runners_build::{listing, rung};
use super::support::runner::{Runner, unpack};
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, tool};
use super::tiny::{application, shared};

const SECRET: &str = "s3cr3t-that-is-injected";

/// Looks at what is injected, writes to it, and leaves nothing of it but what the stock script makes.
const HOOK: &str = "#!/bin/sh\nset -eu\n\
    for place in /tmp /opt/app-root/src /opt/app-root/src/secrets /etc/new; do\n\
    \x20 grep -q s3cr3t $place/key\n  grep -q s3cr3t $place/link\n  test ! -L $place/link\n  test ! -x $place/key\n\
    \x20 test ! -e $place/linked\n  test \"$(cat $place/sub/deep)\" = deep\n  $place/tool\n  echo more >> $place/key\ndone\n\
    cat /etc/settings\ncat /etc/single\n/usr/libexec/s2i/assemble\n";

/// A builder with a file that an injection takes the place of.
fn builder(user: &'static str) -> Tiny {
    Tiny {
        user,
        files: vec![("etc/settings", "of the image\n")],
        ..Tiny::default()
    }
}

/// Puts a builder, an application with this hook, and files to inject into a runner's volume; the arguments of a build.
fn prepare(volume: &Path, user: &'static str, hook: &str) -> Vec<String> {
    let image = builder(user).write(&volume.join("builder"));
    let script = volume.join("app/.s2i/bin/assemble");
    fs::create_dir_all(script.parent().unwrap()).unwrap();
    fs::write(&script, hook).unwrap();
    fs::write(volume.join("app/app.py"), "print(1)\n").unwrap();
    let given = volume.join("given");
    if !given.exists() {
        fs::create_dir_all(given.join("sub")).unwrap();
        fs::write(given.join("key"), format!("{SECRET}\n")).unwrap();
        fs::write(given.join("sub/deep"), "deep\n").unwrap();
        fs::write(given.join("tool"), "#!/bin/sh\necho the tool runs\n").unwrap();
        symlink("key", given.join("link")).unwrap();
        symlink("sub", given.join("linked")).unwrap();
        fs::write(volume.join("settings"), "injected settings\n").unwrap();
    }
    for file in [&script, &given.join("tool")] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let source = volume.join("app").to_str().unwrap().to_owned();
    let words = ["build", &source, "-t", "app", "--build-image", &image];
    words.map(str::to_owned).to_vec()
}

fn build(runner: &Runner, user: &'static str, hook: &str, more: &[&str]) -> Done {
    let arguments = prepare(&runner.volume(), user, hook);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    runner.overcoat(&[&arguments[..], &["--strategy", "assemble"], more].concat())
}

/// The flags that inject what [`HOOK`] looks for.
fn injected(volume: &Path) -> Vec<String> {
    let flag = |name: &str, to: &str| format!("--inject={}:{to}", volume.join(name).display());
    vec![
        flag("given", "/tmp"),
        flag("given", ""),
        flag("given", "secrets"),
        flag("given", "/etc/new"),
        flag("settings", "/etc/settings"),
        flag("settings", "/etc/single"),
    ]
}

/// Runners on all rungs, with what each takes. The last of them are inside the builder.
fn runners(unpacked: &[PathBuf]) -> Vec<(Runner, &'static str, Vec<&'static str>)> {
    let in_place = vec!["--isolation", "in-place"];
    let extracted = vec!["--rootfs", "extracted"];
    vec![
        (Runner::host_root(), "userns", Vec::new()),
        (Runner::host_root(), "userns", extracted),
        (Runner::ordinary_user(), "userns", Vec::new()),
        (
            Runner::ordinary_user_without_subids(),
            "single-id",
            Vec::new(),
        ),
        (Runner::root_without_user_namespaces(), "root", Vec::new()),
        (Runner::docker_root(), "chroot", Vec::new()),
        (
            Runner::docker_root().in_builder(unpacked),
            "in-place",
            in_place,
        ),
    ]
}

fn unpacked(directory: &Path, user: &'static str) -> PathBuf {
    let layout = builder(user).write(directory);
    unpack(layout.strip_prefix("oci:").unwrap(), directory)
}

fn contains(directory: &Path, text: &str) -> bool {
    let mut found = false;
    for entry in walkdir::WalkDir::new(directory) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            found |= bytes
                .windows(text.len())
                .any(|piece| piece == text.as_bytes());
        }
    }
    found
}

/// Cases 132, 133 and 218; M36.
#[test]
fn injected_files_are_there_for_the_script_and_in_no_layer_on_any_rung() {
    let directory = tempfile::tempdir().unwrap();
    let root = [unpacked(directory.path(), "1001")];
    let mut usual = None;
    for (runner, expected, more) in runners(&root) {
        let injected = injected(&runner.volume());
        let injected = injected.iter().map(String::as_str);
        let more: Vec<&str> = more.into_iter().chain(injected).collect();
        let done = build(&runner, "1001", HOOK, &more).ok();
        let name = format!("{} as {expected}:\n{}", runner.name(), done.stderr);
        assert_eq!(rung(&done), expected, "{name}");
        assert_eq!(done.stderr.matches("the tool runs").count(), 4, "{name}");
        assert_eq!(
            done.stderr.matches("injected settings").count(),
            2,
            "{name}"
        );
        let layers = listing(&runner);
        let own: Vec<&str> = layers
            .lines()
            .skip_while(|line| !line.ends_with(" opt/app-root/lib/dependency"))
            .collect();
        for gone in [
            "key",
            "secrets",
            "tool",
            "settings",
            "single",
            "new",
            "overcoat-kept",
        ] {
            let left = own.iter().find(|line| line.contains(gone));
            assert_eq!(left, None, "{gone}: {name}");
        }
        assert!(!contains(
            &runner.store_from_outside().join("blobs"),
            SECRET
        ));
        if !["chroot", "in-place"].contains(&expected) {
            assert!(!contains(&runner.store_from_outside(), SECRET), "{name}");
        }
        let digest = done.digest("app");
        assert_eq!(usual.get_or_insert(digest.clone()), &digest, "{name}");
    }
}

/// In the container itself everything is as before, too: the image's own file is back.
#[test]
fn where_files_are_copied_what_was_there_before_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let root = [unpacked(directory.path(), "1001")];
    let runner = Runner::docker_root().in_builder(&root);
    let words = prepare(&runner.volume(), "1001", HOOK);
    let failing = HOOK.replace("cat /etc/single\n", "exit 7\n");
    for (hook, status) in [(HOOK, "0"), (failing.as_str(), "50")] {
        fs::write(runner.volume().join("app/.s2i/bin/assemble"), hook).unwrap();
        let quoted: Vec<String> = words
            .iter()
            .cloned()
            .chain(injected(&runner.volume()))
            .map(|word| format!("'{word}'"))
            .collect();
        let script = format!(
            "{} --store {} {} --strategy assemble --isolation in-place; echo status $?\n\
             cat /etc/settings; ls -a /etc /tmp /opt/app-root/src",
            env!("CARGO_BIN_EXE_overcoat"),
            runner.store().display(),
            quoted.join(" ")
        );
        let done = runner.shell(&script).ok();
        assert!(
            done.stdout.contains(&format!("status {status}\n")),
            "{}\n{}",
            done.stdout,
            done.stderr
        );
        assert!(done.stdout.contains("of the image\n"), "{}", done.stdout);
        for gone in ["key", "overcoat-kept", "single"] {
            assert!(!done.stdout.contains(gone), "{}", done.stdout);
        }
    }
}

/// A file that only root here may read, for a step of another user; and part of case 134: a step that did not get
/// everything does not begin.
#[test]
fn the_steps_user_can_read_what_is_only_roots_here() {
    let runner = Runner::host_root();
    let words = prepare(&runner.volume(), "1001", HOOK);
    drop(words);
    let key = runner.volume().join("given/key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let hook = "#!/bin/sh\nset -eu\nid -u\ngrep -c s3cr3t /tmp/key\n/usr/libexec/s2i/assemble\n";
    let flag = format!("--inject={}:/tmp", runner.volume().join("given").display());
    let done = build(&runner, "1001", hook, &[&flag]).ok();
    assert!(done.stderr.contains("| 1001\n  | 1\n"), "{}", done.stderr);

    fs::remove_file(&key).unwrap();
    let done = build(&runner, "1001", hook, &["--no-cache", &flag]);
    assert!(!matches!(done.code, None | Some(0)), "{}", done.stderr);
    assert!(
        done.stderr.contains("given/link`: no such file") && !done.stderr.contains("| 1001"),
        "{}",
        done.stderr
    );
}

/// Case 219.
#[test]
fn a_destination_in_a_directory_that_the_image_has_not_ends_the_build() {
    let directory = tempfile::tempdir().unwrap();
    let root = [unpacked(directory.path(), "1001")];
    for (runner, expected, more) in runners(&root) {
        if expected == "in-place" {
            continue;
        }
        let given = runner.volume().join("given");
        let flag = format!("--inject={}:/bad/dir", given.display());
        let more: Vec<&str> = more.into_iter().chain([flag.as_str()]).collect();
        let done = build(&runner, "1001", HOOK, &more);
        assert!(!matches!(done.code, None | Some(0)), "{}", done.stderr);
        for words in ["the image has no directory `/bad`", "/given` as `/bad/dir`"] {
            assert!(done.stderr.contains(words), "{expected}: {}", done.stderr);
        }
        let images = runner.overcoat(&["images"]).ok().stdout;
        assert_eq!(images.lines().count(), 1, "{images}");
    }
}

#[test]
fn a_dropped_capability_is_missing_on_every_rung() {
    let directory = tempfile::tempdir().unwrap();
    let root = [unpacked(directory.path(), "0")];
    let hook = "#!/bin/sh\nset -eu\necho x > /opt/app-root/given\n\
        if /bin/busybox chown 33:34 /opt/app-root/given; then echo GIVEN; else echo KEPT; fi\n\
        if test -e /proc/self/status; then grep CapEff /proc/self/status; fi\n/usr/libexec/s2i/assemble\n";
    for (runner, expected, more) in runners(&root) {
        if expected == "in-place" {
            continue;
        }
        let with = |flags: &[&'static str]| {
            let more: Vec<&str> = more.iter().copied().chain(flags.iter().copied()).collect();
            build(&runner, "0", hook, &more).ok()
        };
        assert!(with(&[]).stderr.contains("| GIVEN"), "{expected}");
        // Another set is another step: nothing is taken from the cache.
        let done = with(&["--cap-drop=-cap_chown,net_raw"]);
        assert!(
            done.stderr.contains("| KEPT"),
            "{expected}: {}",
            done.stderr
        );
        let done = with(&["--cap-drop=all"]);
        assert!(
            done.stderr.contains("| KEPT"),
            "{expected}: {}",
            done.stderr
        );
        let sets: Vec<&str> = done
            .stderr
            .lines()
            .filter(|line| line.contains("CapEff"))
            .collect();
        let is_none = |line: &&str| line.ends_with("0000000000000000");
        assert!(sets.iter().all(is_none), "{expected}: {sets:?}");
        assert_eq!(
            sets.is_empty(),
            expected == "chroot",
            "{expected}: {sets:?}"
        );
    }
}

/// Case 227: the host of a download is mapped to an address where nobody listens.
#[test]
fn added_hosts_are_resolved_by_the_step_and_stay_out_of_the_image() {
    let directory = tempfile::tempdir().unwrap();
    let root = [unpacked(directory.path(), "1001")];
    let hook = "#!/bin/sh\nset -eu\ncat /etc/hosts\nnc packages.example 9 < /dev/null || echo REFUSED\n/usr/libexec/s2i/assemble\n";
    let flags = [
        "--add-host=packages.example:0.0.0.0",
        "--add-host=six.example:fe80::1",
    ];
    for (runner, expected, more) in runners(&root) {
        let more: Vec<&str> = more.into_iter().chain(flags).collect();
        let done = build(&runner, "1001", hook, &more).ok();
        let said = &done.stderr;
        if expected == "in-place" {
            assert!(
                said.contains(
                    "does not know the addresses given for packages.example, six.example"
                ),
                "{said}"
            );
            continue;
        }
        assert!(
            said.contains("| 0.0.0.0\tpackages.example\n"),
            "{expected}: {said}"
        );
        assert!(
            said.contains("| fe80::1\tsix.example\n"),
            "{expected}: {said}"
        );
        assert!(said.contains("localhost"), "{expected}: {said}");
        assert!(
            said.contains("Connection refused") && said.contains("| REFUSED"),
            "{expected}: {said}"
        );
        assert!(!listing(&runner).contains("etc/hosts"), "{expected}");
    }
}

/// Case 222.
#[test]
fn a_volume_with_a_label_of_selinux_is_a_volume() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let hook = "#!/bin/sh\nset -eu\ncat /home/in\nif touch /home/new; then echo WRITTEN; fi\n/usr/libexec/s2i/assemble\n";
    let source = application(
        directory.path(),
        &[("app.py", "1\n"), (".s2i/bin/assemble", hook)],
    );
    let volume = directory.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("in"), "from the volume\n").unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o777)).unwrap();
    for (options, is_written) in [("z", true), ("Z,ro", false)] {
        let flag = format!("{}:/home/:{options}", volume.display());
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
        let done = Overcoat::new().run(&words).ok();
        assert!(done.stderr.contains("from the volume"), "{}", done.stderr);
        assert_eq!(
            done.stderr.contains("WRITTEN"),
            is_written,
            "{}",
            done.stderr
        );
    }
}

/// Keeps the lines of a step, with their streams.
#[derive(Default)]
struct Lines(Mutex<Vec<(Stream, String)>>);

impl Observer for Lines {
    fn observe(&self, event: Event) {
        if let Event::Output { stream, line, .. } = event {
            self.0.lock().unwrap().push((stream, line));
        }
    }
}

impl Lines {
    fn of(&self, wanted: Stream) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let of_one = |(stream, line): &(Stream, String)| (*stream == wanted).then(|| line.clone());
        lines.iter().filter_map(of_one).collect()
    }
}

/// Runs a shell script in the tiny image, as a step of root's.
fn run_step(
    script: &str,
    capture: Option<Capture>,
    observer: &dyn Observer,
) -> Result<sandbox::Exit, sandbox::Error> {
    let directory = tempfile::tempdir().unwrap();
    let layout = Tiny::default().write(directory.path());
    let (place, name) = oci_layout::split_name(layout.strip_prefix("oci:").unwrap());
    let store = BlobStore::open(&directory.path().join("store")).unwrap();
    let image = oci_layout::read(Path::new(place), name, &Platform::host(), &store).unwrap();
    let wanted = Wanted {
        image: &image,
        name: "tiny",
        confinement: Confinement {
            rung: Rung::Root,
            rootfs: RootfsKind::Overlay,
        },
        threads: 1,
        ours: &[],
    };
    let scratch = store.workspace().unwrap().join("step");
    let root = RootFs::prepare(&wanted, &store, scratch, &Silent).unwrap();
    let sandbox: Sandbox = root
        .sandbox(Path::new(env!("CARGO_BIN_EXE_overcoat")))
        .unwrap();
    let process = Process {
        arguments: ["sh", "-c", script].map(str::to_owned).to_vec(),
        environment: vec![("PATH".to_owned(), "/bin".to_owned())],
        working_directory: "/".to_owned(),
        user: "1001".to_owned(),
    };
    let input = Input {
        capture,
        ..Input::default()
    };
    sandbox.run_step("save-artifacts", &process, input, observer)
}

#[test]
fn lines_say_which_stream_they_were_printed_on_in_order() {
    let lines = Lines::default();
    let script = "for n in 1 2 3 4 5; do echo \"  out $n\"; echo \"err $n\" >&2; done";
    run_step(script, None, &lines).unwrap();
    let expected = |name: &str| (1..=5).map(|n| format!("{name} {n}")).collect::<Vec<_>>();
    assert_eq!(lines.of(Stream::Out), expected("  out"));
    assert_eq!(lines.of(Stream::Err), expected("err"));
}

#[test]
fn a_captured_output_is_the_steps_bytes_and_its_messages_are_lines() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("artifacts.tar");
    let capture = |limit| Capture {
        file: file.clone(),
        limit,
    };
    // 9 MB of zeros behind the archive, as some writers pad.
    let script =
        "echo saving >&2; tar -C /usr/share -cf - old; head -c 9000000 /dev/zero; echo saved >&2";
    let script = script.replace("head", "/bin/busybox head");
    let lines = Lines::default();
    let exit = run_step(&script, Some(capture(64 << 20)), &lines).unwrap();
    assert_eq!(
        (exit.status, exit.tail),
        (0, vec!["saving".to_owned(), "saved".to_owned()])
    );
    assert_eq!(lines.of(Stream::Err), ["saving", "saved"]);
    assert!(lines.of(Stream::Out).is_empty());
    let metadata = fs::metadata(&file).unwrap();
    assert!(metadata.len() > 9_000_000 && metadata.permissions().mode() & 0o777 == 0o600);
    let listed = tool("tar", &["--list", "--file", file.to_str().unwrap()]);
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, ["old/", "old/a", "old/b"]);

    // It never ends by itself.
    let error = run_step("cat /dev/zero", Some(capture(5_000_000)), &lines).unwrap_err();
    assert!(
        matches!(error, sandbox::Error::TooMuchOutput { limit: 5_000_000 }),
        "{error}"
    );
    assert!(fs::metadata(&file).unwrap().len() <= 5_000_000);
}
