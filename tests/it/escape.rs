//! What a hostile step tries, on every rung of the ladder; each attempt must fail, and nothing outside may change.
//!
//! The attempts are in `testdata/escape/attempts.c`, one line of output each. It is compiled here, statically, and part of
//! the application's source, so that it runs in the tiny builder. A test fails when a line begins with `ESCAPED`, when
//! something outside has changed, and when the program did not get to its end.
//!
//! * this file – the attempts themselves, as the image's root and, through a set-user-id file, as its ordinary user.
//! * [`leftovers`] – processes, secrets and files that must be gone afterwards.
//! * [`bad_input`] – images and disks that make a step impossible.

mod bad_input;
mod leftovers;

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;

use super::support::runner::{Runner, unpack};
use super::support::tiny::Tiny;
use super::support::{Done, ORDINARY_USER, Overcoat, tool};
use super::tiny::{application, shared};

/// Docker's default capabilities, and what of them a step has that could leave its root directory by `chroot`.
const DOCKER: u64 = 0xa804_25fb;
const WITHOUT_MOUNTS: u64 = DOCKER & !(1 << 27) & !(1 << 18);

/// In the environment of processes outside, and nowhere else.
const OUTSIDE: &str = "OVERCOAT_TEST_OUTSIDE";
const SECRET: &str = "hunter2-of-the-host";

/// Who builds, and how high the walls are.
pub(super) struct Rung {
    pub(super) name: &'static str,
    pub(super) overcoat: fn() -> Overcoat,
    pub(super) arguments: &'static [&'static str],
    /// The capabilities of a step that is root.
    capabilities: u64,
}

const fn rung(
    name: &'static str,
    overcoat: fn() -> Overcoat,
    arguments: &'static [&'static str],
    capabilities: u64,
) -> Rung {
    Rung {
        name,
        overcoat,
        arguments,
        capabilities,
    }
}

pub(super) const RUNGS: [Rung; 9] = [
    rung(
        "root, userns",
        Overcoat::new,
        &["--isolation", "userns"],
        DOCKER,
    ),
    rung(
        "root, root",
        Overcoat::new,
        &["--isolation", "root"],
        DOCKER,
    ),
    rung(
        "root, single-id",
        Overcoat::new,
        &["--isolation", "single-id"],
        DOCKER,
    ),
    rung(
        "root, chroot",
        Overcoat::new,
        &["--isolation", "chroot"],
        WITHOUT_MOUNTS,
    ),
    rung(
        "root, root, extracted",
        Overcoat::new,
        &["--isolation", "root", "--rootfs", "extracted"],
        DOCKER,
    ),
    rung(
        "user, userns",
        Overcoat::as_ordinary_user,
        &["--isolation", "userns"],
        DOCKER,
    ),
    rung(
        "user, single-id",
        Overcoat::as_ordinary_user,
        &["--isolation", "single-id"],
        DOCKER,
    ),
    rung(
        "user, userns, extracted",
        Overcoat::as_ordinary_user,
        &["--isolation", "userns", "--rootfs", "extracted"],
        DOCKER,
    ),
    rung(
        "user, single-id, extracted",
        Overcoat::as_ordinary_user,
        &["--isolation", "single-id", "--rootfs", "extracted"],
        DOCKER,
    ),
];

/// The program that makes the attempts, compiled once a run of this test binary.
pub(super) fn attempts() -> &'static Path {
    static PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("attempts");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/escape/attempts.c");
        let words = ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o"];
        let paths = [&program, &source].map(|path| path.to_str().unwrap());
        tool("cc", &[&words[..], &paths].concat());
        (directory, program)
    });
    program
}

/// An application with the program in it and this script as its `assemble` hook.
pub(super) fn hostile(directory: &Path, script: &str) -> String {
    let hook = format!("#!/bin/sh\n{script}\ncp /tmp/src/app.py app.py\n");
    let source = application(
        directory,
        &[("app.py", "print(1)\n"), (".s2i/bin/assemble", &hook)],
    );
    let program = Path::new(&source).join("attempts");
    fs::copy(attempts(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    source
}

/// A process outside, which a step must not reach.
struct Canary(Child);

impl Canary {
    /// Of the same user as the build.
    fn start(rung: &Rung) -> Self {
        let mut command = if rung.name.starts_with("user") {
            let mut command = Command::new("setpriv");
            let ids = [
                format!("--reuid={ORDINARY_USER}"),
                format!("--regid={ORDINARY_USER}"),
            ];
            command
                .args(ids)
                .args(["--init-groups", "--", "sleep", "600"]);
            command
        } else {
            let mut command = Command::new("sleep");
            command.arg("600");
            command
        };
        Self(command.env(OUTSIDE, SECRET).spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `overcoat` with a directory of the host open as descriptor 9, which a step must not inherit.
fn with_open_directory(overcoat: &Overcoat, arguments: &[&str]) -> Done {
    let inner = overcoat.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", "exec 9</; exec \"$@\"", "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    let variables = inner.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    command.output().unwrap().into()
}

/// The line of the program's report that begins with `word`, without what the progress puts in front.
fn line<'a>(output: &'a str, word: &str) -> &'a str {
    let mut lines = output.lines().map(|line| line.trim_start_matches("  | "));
    lines
        .rfind(|line| line.starts_with(word))
        .unwrap_or_default()
}

/// What is wrong with a run of the attempts: escapes, limits and capabilities that are not as they should be.
fn faults(output: &str, uid: u32, effective: u64, bounding: u64) -> Vec<String> {
    let mut faults: Vec<String> = output
        .lines()
        .filter(|line| line.contains("ESCAPED"))
        .map(str::to_owned)
        .collect();
    let mut expect = |word: &str, expected: String| {
        let found = line(output, word);
        if found != expected {
            faults.push(format!("{found:?} and not {expected:?}"));
        }
    };
    expect("attempts as", format!("attempts as {uid}"));
    expect(
        "limits",
        "limits core 0 0 files 1024 umask 022 no_new_privs 1 seccomp 2".to_owned(),
    );
    // T16: the bounding set is cut as well, although nothing could be regained from it.
    expect(
        "capabilities",
        format!(
            "capabilities effective {effective:016x} permitted {effective:016x} inheritable {:016x} bounding \
             {bounding:016x} ambient {:016x}",
            0, 0
        ),
    );
    expect("all attempts", "all attempts made".to_owned());
    if !faults.is_empty() {
        faults.push(output.to_owned());
    }
    faults
}

/// The device number of a disk of this machine, `MAJOR:MINOR`; any that a kernel may have where there is none.
fn disk() -> String {
    let partitions = fs::read_to_string("/proc/partitions").unwrap_or_default();
    let numbers = partitions.lines().skip(2).find_map(|line| {
        let mut words = line.split_whitespace();
        Some(format!("{}:{}", words.next()?, words.next()?))
    });
    numbers.unwrap_or_else(|| "8:0".to_owned())
}

const SYSCTL: &str = "/proc/sys/vm/swappiness";

/// Everything, as root of the image and then as its ordinary user, who runs the program through a file that is
/// set-user-id root.
fn attempt(rung: &Rung) -> Vec<String> {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = hostile(
        directory.path(),
        "cp /tmp/src/attempts /opt/setuid && chmod 4755 /opt/setuid\n/tmp/src/attempts uid=0 $KEYS\n\
         find / -name oci-layout -o -name \"$MARKER_NAME\" 2> /dev/null | while read path; do echo ESCAPED $path; done",
    );
    let overcoat = (rung.overcoat)().with(OUTSIDE, SECRET);
    let name = format!("outside-{}", std::process::id());
    // Open to everybody, so that no mode helps; the directory around it is the build's own user's.
    let marker = overcoat.path().join(&name);
    fs::write(&marker, "unchanged").unwrap();
    fs::set_permissions(&marker, fs::Permissions::from_mode(0o666)).unwrap();
    let mut canary = Canary::start(rung);
    let hosts = fs::metadata("/etc/hosts").unwrap();
    let before = (
        hosts.mode(),
        hosts.ctime(),
        fs::read_to_string(SYSCTL).unwrap(),
    );
    let socket = format!("overcoat-{}", directory.path().display());
    let address = SocketAddr::from_abstract_name(&socket);
    let _listener = UnixListener::bind_addr(&address.unwrap()).unwrap();
    let keys = [
        format!("canary={}", canary.0.id()),
        format!("marker={}", marker.display()),
        format!("hosts={}:{}", hosts.dev(), hosts.ino()),
        format!("secret={SECRET}"),
        format!("disk={}", disk()),
        format!("socket={socket}"),
        "sysctl=1".to_owned(),
    ];
    let (for_hook, for_find) = (
        format!("KEYS={}", keys.join(" ")),
        format!("MARKER_NAME={name}"),
    );
    let arguments = ["build", &source, "-t", "app", "--build-image", &builder];
    let more = [
        "--assemble-user",
        "root",
        "--network",
        "none",
        "-e",
        &for_hook,
        "-e",
        &for_find,
    ];
    // A step without mounts has no network of its own either.
    let has_mounts = rung.capabilities == DOCKER;
    let more: Vec<&str> = more
        .into_iter()
        .filter(|word| has_mounts || !["--network", "none"].contains(word))
        .collect();
    let done = with_open_directory(&overcoat, &[&arguments, &more[..], rung.arguments].concat());
    let mut faults = faults(&done.stderr, 0, rung.capabilities, rung.capabilities);
    if done.code != Some(0) {
        faults.push(format!("the build ended with {:?}", done.code));
    }
    // Landlock closes abstract sockets where there is no network namespace.
    if line(&done.stderr, "abstract socket") != "abstract socket closed" {
        faults.push("an abstract socket outside was reached".to_owned());
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let command = [&["--", "/opt/setuid", "uid=1001"], &keys[..]].concat();
    let done = with_open_directory(
        &overcoat,
        &[&["run", "app"], rung.arguments, &command].concat(),
    );
    faults.extend(self::faults(&done.stdout, 1001, 0, rung.capabilities));
    if done.code != Some(0) {
        faults.push(format!(
            "the run ended with {:?}\n{}",
            done.code, done.stderr
        ));
    }
    if !canary.is_alive() {
        faults.push("a process outside was killed".to_owned());
    }
    let hosts = fs::metadata("/etc/hosts").unwrap();
    let after = (
        hosts.mode(),
        hosts.ctime(),
        fs::read_to_string(SYSCTL).unwrap(),
    );
    if after.2 != before.2 {
        fs::write(SYSCTL, &before.2).unwrap();
    }
    if after != before {
        faults.push(format!("outside, {before:?} became {after:?}"));
    }
    if fs::read_to_string(&marker).unwrap() != "unchanged" {
        faults.push("a file outside was changed".to_owned());
    }
    faults.extend(overcoat.left_behind());
    faults
        .into_iter()
        .map(|fault| format!("{}: {fault}", rung.name))
        .collect()
}

/// T9 (sysctls) and T16 (the bounding set) are among them.
#[test]
fn t9_t16_no_attempt_gets_out_of_any_rung() {
    let faults: Vec<String> = RUNGS.iter().flat_map(attempt).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// In a container: the outer processes are the container's, among them overcoat itself and a canary beside it.
fn attempt_in(runner: &Runner, more: &str, effective: u64, bounding: u64) {
    let volume = runner.volume();
    let tiny = Tiny {
        user: "0",
        ..Tiny::default()
    };
    let builder = tiny.write(&volume.join("builder"));
    let source = hostile(&volume, "/tmp/src/attempts uid=0 $KEYS");
    let before = fs::read_to_string(SYSCTL).unwrap();
    let program = env!("CARGO_BIN_EXE_overcoat");
    let script = format!(
        "export {OUTSIDE}={SECRET}\nsleep 600 & canary=$!\n\
         {program} build {source} -t app --build-image {builder} {more} \
         -e KEYS=\"canary=$canary secret={SECRET} disk={} sysctl=1\"\nstatus=$?\n\
         kill $canary && echo canary alive\nexit $status",
        disk()
    );
    let done = runner.shell(&script);
    let after = fs::read_to_string(SYSCTL).unwrap();
    if after != before {
        fs::write(SYSCTL, &before).unwrap();
    }
    let name = runner.name();
    assert_eq!(after, before, "{name}");
    let faults = faults(&done.stderr, 0, effective, bounding);
    assert!(faults.is_empty(), "{name}: {}", faults.join("\n"));
    assert!(
        done.stdout.contains("canary alive"),
        "{name}: {}",
        done.stdout
    );
    // The processes above were found: this one is the container's first.
    assert!(
        done.stderr.contains("process 1\n"),
        "{name}: {}",
        done.stderr
    );
    assert_eq!(done.code, Some(0), "{name}: {}", done.stderr);
}

#[test]
fn no_attempt_gets_out_in_containers() {
    attempt_in(
        &Runner::docker_root(),
        "--isolation chroot",
        WITHOUT_MOUNTS,
        WITHOUT_MOUNTS,
    );
    // The outer /proc is shown.
    attempt_in(
        &Runner::unconfined_root(),
        "--isolation userns",
        DOCKER,
        DOCKER,
    );
}

#[test]
fn no_attempt_gets_out_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Tiny::default().write(directory.path());
    let root = [unpack(
        layout.strip_prefix("oci:").unwrap(),
        directory.path(),
    )];
    let in_place = "--isolation in-place";
    let runner = Runner::docker_root().in_builder(&root);
    attempt_in(&runner, in_place, WITHOUT_MOUNTS, WITHOUT_MOUNTS);
    // No capabilities at all, in no set.
    attempt_in(&Runner::restricted().in_builder(&root), in_place, 0, 0);
}

/// Everything of a step that overcoat itself puts somewhere, in the way of links that lead out of the root file system.
#[test]
fn links_of_a_layer_lead_to_nothing_of_this_machine() {
    let outside = shared();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(outside.path().join("canary"), "alive").unwrap();
    let out = outside.path().to_str().unwrap().to_owned();
    let directory = shared();
    let tiny = Tiny {
        links: vec![
            ("etc/hosts", format!("../../../../../../..{out}/hosts")),
            ("etc/resolv.conf", format!("{out}/resolv.conf")),
            ("opt/linked", out.clone()),
            ("run", out.clone()),
            ("tmp/scripts", out.clone()),
            ("tmp/src", format!("{out}/src")),
        ],
        user: "0",
        ..Tiny::default()
    };
    let builder = tiny.write(directory.path());
    let secret = directory.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let secret = format!("id=canary,src={}", secret.display());
    let hook = format!(
        "#!/bin/sh\nset -e\ncat /tmp/src/app.py > /opt/app-root/src/app.py\necho x > /opt/linked/made\n\
         test -s /run/secrets/canary\nif [ -s {out}/canary ]; then echo ESCAPED reading; fi\necho through the links\n"
    );
    let source = application(
        directory.path(),
        &[("app.py", "1"), (".s2i/bin/assemble", &hook)],
    );
    for rung in &RUNGS {
        let overcoat = (rung.overcoat)();
        let words = ["build", &source, "-t", "app", "--build-image", &builder];
        let more = ["--secret", &secret, "--cache-mount", "/opt/linked/cache"];
        let done = overcoat.run(&[&words[..], &more, rung.arguments].concat());
        assert_eq!(done.code, Some(0), "{}: {}", rung.name, done.stderr);
        assert!(
            done.stderr.contains("through the links"),
            "{}: {}",
            rung.name,
            done.stderr
        );
        assert!(
            !done.stderr.contains("ESCAPED"),
            "{}: {}",
            rung.name,
            done.stderr
        );
        let names: Vec<_> = fs::read_dir(outside.path())
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(names, ["canary"], "{}", rung.name);
        assert_eq!(
            fs::read_to_string(outside.path().join("canary")).unwrap(),
            "alive",
            "{}",
            rung.name
        );
        // What the step made is where the links lead inside; what it was lent is in no layer.
        let listing: String = overcoat
            .layers("app")
            .iter()
            .skip(2)
            .map(|layer| overcoat.list_layer(layer))
            .collect();
        assert!(
            listing.contains(&format!("{}/made", out.trim_start_matches('/'))),
            "{}: {listing}",
            rung.name
        );
        for lent in ["secrets/", "resolv.conf\n", "/cache/", "overcoat/"] {
            assert!(
                !listing.contains(lent),
                "{}: `{lent}` in\n{listing}",
                rung.name
            );
        }
    }
}
