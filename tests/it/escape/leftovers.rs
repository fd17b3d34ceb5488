//! What must be gone when a step is: its processes, its secrets, its files; and the traps of overlay.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::super::support::tiny::Tiny;
use super::super::support::{Done, Overcoat, wait_for};
use super::super::tiny::shared;
use super::{RUNGS, Rung, hostile};

fn build(overcoat: &Overcoat, rung: &Rung, source: &str, builder: &str, more: &[&str]) -> Done {
    let arguments = ["build", source, "-t", "app", "--build-image", builder];
    overcoat.run(&[&arguments, rung.arguments, more].concat())
}

/// True when some process of this machine has `word` in its command line.
fn is_running(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(word))
}

/// Daemons that are deaf to signals, and a process that forks, ends and makes a new session all the time.
#[test]
fn no_process_of_a_step_outlives_it_nor_overcoat_that_is_killed() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    for (number, rung) in RUNGS.iter().enumerate() {
        let marker = format!("left-{}-{number}", std::process::id());
        let leave = format!(
            "trap '' TERM HUP INT\n/tmp/src/attempts daemon {marker} && /tmp/src/attempts fleeing {marker} && echo all left"
        );
        let overcoat = (rung.overcoat)();
        let source = hostile(&directory.path().join(number.to_string()), &leave);
        let start = Instant::now();
        let done = build(&overcoat, rung, &source, &builder, &[]).ok();
        assert!(
            done.stderr.contains("all left"),
            "{}: {}",
            rung.name,
            done.stderr
        );
        assert!(!is_running(&marker), "{}", rung.name);
        // By itself the fleeing one ends after 20 s.
        assert!(start.elapsed() < Duration::from_secs(15), "{}", rung.name);
        let marker = format!("{marker}-killed");
        let leave = leave.replace(&format!("left-{}-{number}", std::process::id()), &marker);
        let waiting = format!("{leave}\nsleep 60");
        let source = hostile(&directory.path().join(format!("{number}-killed")), &waiting);
        let arguments = ["build", &source, "-t", "app", "--build-image", &builder];
        let running = overcoat.spawn(&[&arguments, rung.arguments].concat());
        // The fleeing one is started when the daemon is there.
        for kind in ["daemon", "fleeing"] {
            let process = format!("{kind}\0{marker}");
            wait_for("the daemons", || is_running(&process).then_some(()));
        }
        running.signal("KILL");
        let start = Instant::now();
        wait_for("the end of the step", || {
            (!is_running(&marker)).then_some(())
        });
        assert!(start.elapsed() < Duration::from_secs(15), "{}", rung.name);
    }
}

#[test]
fn a_secret_is_gone_after_its_step_on_every_rung() {
    const SECRET: &str = "s3cr3t-of-one-step";
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let with = hostile(
        &directory.path().join("with"),
        "test -s /run/secrets/token && echo had it",
    );
    let without = hostile(
        &directory.path().join("without"),
        "find / -path /proc -prune -o -name token -print 2> /dev/null | while read path; do echo ESCAPED $path; done\n\
         grep -rl 's3cr3t-of-[o]ne' /run /tmp /dev/shm 2> /dev/null && echo ESCAPED\necho looked",
    );
    for rung in &RUNGS {
        let overcoat = (rung.overcoat)().with("TOKEN_OF_HOST", SECRET);
        let secret = ["--secret", "id=token,env=TOKEN_OF_HOST"];
        let done = build(&overcoat, rung, &with, &builder, &secret).ok();
        assert!(
            done.stderr.contains("had it"),
            "{}: {}",
            rung.name,
            done.stderr
        );
        let done = build(&overcoat, rung, &without, &builder, &[]).ok();
        assert!(
            done.stderr.contains("looked"),
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
        let found = Command::new("grep")
            .args(["-rl", SECRET])
            .arg(overcoat.store())
            .output()
            .unwrap();
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        assert_eq!(found, "", "{}", rung.name);
    }
}

/// Overlay: replaced directories (T10), hard links (T12), file capabilities (T13), its own marks (T14), its closed
/// directories (T15).
#[test]
fn t10_t12_t13_t14_t15_the_traps_of_overlay_on_every_rung() {
    let directory = shared();
    let tiny = Tiny {
        user: "0",
        ..Tiny::default()
    };
    let builder = tiny.write(directory.path());
    let first = hostile(
        &directory.path().join("first"),
        "set -e\nmkdir /srv\necho old > /srv/one\nln /srv/one /srv/two",
    );
    let second = hostile(
        &directory.path().join("second"),
        "set -e\nrm -r /usr/share/old\nmkdir /usr/share/old\necho new > /usr/share/old/new\n\
         echo more >> /srv/one\n\
         cp /tmp/src/attempts /opt/capable\n/tmp/src/attempts setcap /opt/capable\n\
         mkdir -p /opt/closed/within\necho x > /opt/closed/within/x\nchmod 0 /opt/closed/within /opt/closed\n\
         test -z \"$FAIL\" || exit 7",
    );
    // Version 2, effective; then capability 10.
    let capability = [
        &b"SCHILY.xattr.security.capability="[..],
        &[1, 0, 0, 2, 0, 4, 0, 0],
    ]
    .concat();
    for rung in &RUNGS {
        let overcoat = (rung.overcoat)();
        let layout = overcoat.path().join("first");
        let output = format!("oci:{}:first", layout.display());
        build(&overcoat, rung, &first, &builder, &["-o", &output]).ok();
        let image = format!("oci:{}:first", layout.display());
        let failed = build(&overcoat, rung, &second, &image, &["-e", "FAIL=1"]);
        assert_eq!(failed.code, Some(50), "{}: {}", rung.name, failed.stderr);
        assert_eq!(
            overcoat.left_behind(),
            Vec::<String>::new(),
            "{}: T15",
            rung.name
        );
        build(&overcoat, rung, &second, &image, &[]).ok();
        assert_eq!(
            overcoat.left_behind(),
            Vec::<String>::new(),
            "{}: T15",
            rung.name
        );
        let look = "ls /usr/share/old; cat /srv/one /srv/two";
        let run = [&["run", "app"], rung.arguments, &["--", "sh", "-c", look]].concat();
        let said = overcoat.run(&run).ok().stdout;
        assert_eq!(said, "new\nold\nmore\nold\n", "{}: T10, T12", rung.name);
        let mut has_capability = false;
        for digest in overcoat.layers("app") {
            let blob = overcoat
                .store()
                .join("blobs")
                .join(digest.replace(':', "/"));
            let tar = Command::new("gzip")
                .arg("-dc")
                .arg(blob)
                .output()
                .unwrap()
                .stdout;
            let has = |text: &[u8]| tar.windows(text.len()).any(|bytes| bytes == text);
            assert!(!has(b".overlay."), "{}: T14", rung.name);
            has_capability |= has(&capability);
        }
        assert!(has_capability, "{}: T13", rung.name);
    }
}
