//! The runners of the tests are what they claim: each allows and refuses what the kind it stands for does.
//!
//! `testdata/runners/probe` tries everything in one command; a test compares the whole outcome with what was measured in
//! real Docker, containerd, podman, CRI-O and OpenShift containers. So a build that works in one of them proves something.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::runner::{Runner, UNKNOWN_USER, unpack};
use super::support::skip::skip;
use super::support::tiny::Tiny;
use super::support::{Done, tool};

/// What root of a machine can do by itself, and with it everything that a runner could pass on.
const MACHINE: &[&str] = &[
    "userns",
    "ns-mount",
    "ns-overlay",
    "ns-proc",
    "ns-bind-proc",
    "ns-chroot",
    "range",
    "mount",
    "chroot",
    "mknod",
    "chown",
    "setuid",
    "landlock",
    "notify",
];

/// A user namespace and all that it gives by itself, the outer `/proc` being masked.
const NAMESPACE: [&str; 5] = [
    "userns",
    "ns-mount",
    "ns-overlay",
    "ns-bind-proc",
    "ns-chroot",
];

/// What no kind of runner forbids.
const ALWAYS: [&str; 2] = ["landlock", "notify"];

/// The lines of the probe: what is possible, and the rest with its reason.
struct Probed {
    possible: Vec<String>,
    refused: Vec<String>,
}

fn probe(runner: &Runner) -> Probed {
    let script = include_str!("../../testdata/runners/probe");
    let directory = runner.volume().join("probe");
    let done = runner.command(&[
        "/bin/sh",
        "-c",
        script,
        "probe",
        directory.to_str().unwrap(),
    ]);
    let stdout = done.ok().stdout;
    let (possible, refused): (Vec<&str>, Vec<&str>) =
        stdout.lines().partition(|line| line.ends_with(" yes"));
    assert_eq!(
        possible.len() + refused.len(),
        MACHINE.len() + 2,
        "{stdout}"
    );
    Probed {
        possible: possible
            .iter()
            .map(|line| line.trim_end_matches(" yes").to_owned())
            .collect(),
        refused: refused.into_iter().map(str::to_owned).collect(),
    }
}

/// Checks that exactly this is possible in the runner; the refusals. None when this machine itself cannot do it all.
#[track_caller]
fn allows_exactly(test: &str, runner: &Runner, groups: &[&[&str]]) -> Option<Vec<String>> {
    let machine = probe(&Runner::host_root());
    let lacking = MACHINE
        .iter()
        .find(|name| !machine.possible.iter().any(|possible| possible == *name));
    if let Some(lacking) = lacking {
        skip(
            test,
            &format!("root of this machine is refused `{lacking}`"),
        );
        return None;
    }
    let probed = probe(runner);
    let mut expected = groups.concat();
    expected.sort_unstable();
    let mut possible = probed.possible.clone();
    possible.sort();
    assert_eq!(possible, expected, "refused: {:#?}", probed.refused);
    Some(probed.refused)
}

#[track_caller]
fn refused_with(refused: Option<Vec<String>>, line: &str) {
    if let Some(refused) = refused {
        assert!(
            refused.iter().any(|refused| refused.starts_with(line)),
            "{refused:#?}"
        );
    }
}

#[test]
fn docker_root_may_chroot_and_chown_but_make_no_namespace() {
    let refused = allows_exactly(
        "docker_root_may_chroot_and_chown_but_make_no_namespace",
        &Runner::docker_root(),
        &[&ALWAYS, &["chroot", "mknod", "chown", "setuid"]],
    );
    refused_with(
        refused,
        "userns no: unshare: unshare failed: Operation not permitted",
    );
}

#[test]
fn unconfined_root_has_namespaces_and_ranges_but_no_new_proc() {
    allows_exactly(
        "unconfined_root_has_namespaces_and_ranges_but_no_new_proc",
        &Runner::unconfined_root(),
        &[
            &ALWAYS,
            &NAMESPACE,
            &["range", "chroot", "mknod", "chown", "setuid"],
        ],
    );
}

#[test]
fn podman_root_has_namespaces_and_ranges_but_no_device_nodes() {
    allows_exactly(
        "podman_root_has_namespaces_and_ranges_but_no_device_nodes",
        &Runner::podman_root(),
        &[&ALWAYS, &NAMESPACE, &["range", "chroot", "chown", "setuid"]],
    );
}

#[test]
fn crio_root_may_chown_and_nothing_more() {
    allows_exactly(
        "crio_root_may_chown_and_nothing_more",
        &Runner::crio_root(),
        &[&ALWAYS, &["chown", "setuid"]],
    );
}

#[test]
fn restricted_may_do_nothing() {
    allows_exactly(
        "restricted_may_do_nothing",
        &Runner::restricted(),
        &[&ALWAYS],
    );
}

#[test]
fn restricted_unconfined_has_namespaces_with_a_single_id() {
    allows_exactly(
        "restricted_unconfined_has_namespaces_with_a_single_id",
        &Runner::restricted_unconfined(),
        &[&ALWAYS, &NAMESPACE],
    );
}

#[test]
fn privileged_root_may_do_what_root_of_the_machine_may() {
    allows_exactly(
        "privileged_root_may_do_what_root_of_the_machine_may",
        &Runner::privileged_root(),
        &[MACHINE],
    );
}

#[test]
fn without_user_namespaces_root_may_do_the_rest_and_the_reason_is_enospc() {
    let name = "without_user_namespaces_root_may_do_the_rest_and_the_reason_is_enospc";
    let enospc = "userns no: unshare: unshare failed: No space left on device";
    let own = ["mount", "chroot", "chown", "setuid"];
    let before = fs::read("/proc/sys/user/max_user_namespaces").unwrap();
    let refused = allows_exactly(name, &Runner::no_user_namespaces(), &[&ALWAYS, &own]);
    refused_with(refused, enospc);
    let limit = Runner::no_user_namespaces().shell("cat /proc/sys/user/max_user_namespaces");
    assert_eq!(limit.ok().stdout, "0\n");
    assert_eq!(
        fs::read("/proc/sys/user/max_user_namespaces").unwrap(),
        before,
        "the machine's own limit"
    );
    let refused = allows_exactly(
        name,
        &Runner::root_without_user_namespaces(),
        &[&ALWAYS, &own, &["mknod"]],
    );
    refused_with(refused, enospc);
}

#[test]
fn without_user_namespaces_an_ordinary_user_may_do_nothing() {
    let refused = allows_exactly(
        "without_user_namespaces_an_ordinary_user_may_do_nothing",
        &Runner::no_user_namespaces().with_user(1000, 1000),
        &[&ALWAYS],
    );
    refused_with(
        refused,
        "userns no: unshare: unshare failed: No space left on device",
    );
}

#[test]
fn an_ordinary_user_has_namespaces_a_new_proc_and_subordinate_ids() {
    allows_exactly(
        "an_ordinary_user_has_namespaces_a_new_proc_and_subordinate_ids",
        &Runner::ordinary_user(),
        &[&ALWAYS, &NAMESPACE, &["ns-proc", "subids"]],
    );
    allows_exactly(
        "an_ordinary_user_has_namespaces_a_new_proc_and_subordinate_ids",
        &Runner::ordinary_user_without_subids(),
        &[&ALWAYS, &NAMESPACE, &["ns-proc"]],
    );
}

#[test]
fn a_runner_has_its_user_a_masked_proc_a_volume_that_stays_and_a_root_that_is_an_overlay() {
    let runner = Runner::docker_root();
    let seen = runner.shell(
        "id -u; grep NoNewPrivs /proc/self/status | tr '\\t' ' '; cat /proc/keys /proc/timer_list
         touch /proc/sys/vm/swappiness 2>/dev/null || echo read-only; stat -f -c %T /; ls /sys/firmware | wc -l
         pwd; echo one > kept; echo two > /etc/overcoat-kept",
    );
    let volume = runner.volume();
    let lines = format!(
        "0\nNoNewPrivs: 0\nread-only\noverlayfs\n0\n{}\n",
        volume.display()
    );
    assert_eq!(seen.ok().stdout, lines);
    let runner = runner.with("GIVEN", "three");
    let kept = runner.shell("cat kept /etc/overcoat-kept; echo $GIVEN$CARGO_MANIFEST_DIR");
    assert_eq!(kept.ok().stdout, "one\ntwo\nthree\n");
    assert!(!Path::new("/etc/overcoat-kept").exists());

    let restricted = Runner::restricted();
    let seen = restricted.shell(
        "id -u; id -g; grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t' ' '; touch mine",
    );
    assert_eq!(
        seen.ok().stdout,
        format!(
            "{UNKNOWN_USER}\n0\nCapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n"
        )
    );
    let mine = fs::metadata(restricted.volume().join("mine")).unwrap();
    assert_eq!((mine.uid(), mine.gid()), (UNKNOWN_USER, 0));
}

#[test]
fn the_program_under_test_runs_in_every_runner_and_in_a_builder_that_has_no_libraries() {
    let directory = tempfile::tempdir().unwrap();
    let builder = tiny(directory.path());
    let runners = [
        Runner::docker_root(),
        Runner::unconfined_root(),
        Runner::podman_root(),
        Runner::crio_root(),
        Runner::restricted(),
        Runner::restricted_unconfined(),
        Runner::no_user_namespaces(),
        Runner::root_without_user_namespaces(),
        Runner::privileged_root(),
        Runner::ordinary_user(),
        Runner::ordinary_user_without_subids(),
        Runner::docker_root().in_builder(std::slice::from_ref(&builder)),
        Runner::restricted().in_builder(std::slice::from_ref(&builder)),
    ];
    for runner in &runners {
        let images = runner.command(&["overcoat", "images"]).ok();
        assert!(
            images.stdout.starts_with("NAME ") && images.stdout.lines().count() == 1,
            "{}: {}",
            runner.name(),
            images.stdout
        );
        assert!(runner.volume().join("store").is_dir(), "{}", runner.name());
    }
    let runner = Runner::docker_root().with_store_in_root();
    runner.overcoat(&["images"]).ok();
    runner.shell("test -d /overcoat-store/blobs").ok();
    assert!(runner.store_from_outside().join("blobs").is_dir());
    assert!(!Path::new("/overcoat-store").exists());
}

/// The tiny builder's root file system.
fn tiny(directory: &Path) -> std::path::PathBuf {
    let layout = Tiny::default().write(directory);
    unpack(layout.strip_prefix("oci:").unwrap(), directory)
}

#[test]
fn in_a_builder_nothing_else_of_this_machine_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let runner = Runner::docker_root().in_builder(&[tiny(directory.path())]);
    let seen = runner.shell("ls /usr /usr/libexec/s2i; ls -ln /opt | sed -n '$p'; echo x > /added");
    let stdout = seen.ok().stdout;
    assert!(
        stdout.starts_with("/usr:\nlibexec\nshare\n\n/usr/libexec/s2i:\nassemble\nrun\nusage\n"),
        "{stdout}"
    );
    let line: Vec<&str> = stdout.lines().last().unwrap().split_whitespace().collect();
    assert_eq!((line[2], line[3], line[8]), ("1001", "0", "app-root"));
    assert!(!directory.path().join("umoci/rootfs/added").exists());
}

#[test]
fn network_in_the_default_builder_any_user_runs_the_program_and_installs_packages() {
    let root = [super::flask::unpacked_seed()];
    for runner in [Runner::docker_root(), Runner::restricted()] {
        let runner = runner.in_builder(&root);
        runner.overcoat(&["images"]).ok();
        let script = "python3.11 -m pip download --no-deps --quiet itsdangerous==2.2.0 && ls *.whl";
        let downloaded = runner.shell(script).ok().stdout;
        assert_eq!(downloaded, "itsdangerous-2.2.0-py3-none-any.whl\n");
    }
}

/// Names of cgroups and processes of a runner, which `drop` must leave none of.
fn left(word: &str) -> Vec<String> {
    let cgroups = Command::new("find")
        .args(["/sys/fs/cgroup", "-maxdepth", "2", "-name"])
        .arg(format!("*{word}*"))
        .output()
        .unwrap();
    let processes = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).into_owned();
            command.contains(word).then_some(command)
        });
    let mut left: Vec<String> = processes.collect();
    left.extend(Done::from(cgroups).stdout.lines().map(str::to_owned));
    left
}

#[test]
fn nothing_of_a_runner_is_left_when_it_took_too_long_or_the_test_panicked() {
    let runner = Runner::docker_root().within(Duration::from_secs(2));
    let (volume, id) = (runner.volume(), runner.id().to_owned());
    let marker = format!("marker-{id}");
    let script =
        format!("echo started; (sleep 600; : {marker}) & setsid sleep 600 & sleep 600; : {marker}");
    let start = Instant::now();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        runner.shell(&script);
    }))
    .unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(
        message.contains("still ran after 2s\nstdout:\nstarted\n"),
        "{message}"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(!volume.exists());
    assert_eq!(left(&id), Vec::<String>::new());
    let mounts = tool("cat", &["/proc/self/mountinfo"]);
    assert!(!mounts.contains(volume.to_str().unwrap()), "{mounts}");
}
