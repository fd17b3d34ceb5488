//! Images and disks that make a step impossible: one clear message and its code on every rung, and nothing left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::super::support::tiny::Tiny;
use super::super::support::{Done, Overcoat};
use super::super::tiny::{application, shared};
use super::RUNGS;

fn expect(name: &str, overcoat: &Overcoat, done: &Done, code: i32, message: &str) {
    assert_eq!(done.code, Some(code), "{name}: {}", done.stderr);
    assert_eq!(done.stdout, "", "{name}");
    assert!(
        done.stderr.contains(message),
        "{name}: {message:?} in\n{}",
        done.stderr
    );
    assert!(!done.stderr.contains("os error"), "{name}: {}", done.stderr);
    assert_eq!(overcoat.left_behind(), Vec::<String>::new(), "{name}");
    let images = overcoat.run(&["images", "--format", "json"]).ok().stdout;
    assert_eq!(images, "[]\n", "{name}");
}

/// What the builder's `assemble` is, as which user it runs, and what is said.
#[test]
fn scripts_that_cannot_be_executed_are_named_with_the_reason_on_every_rung() {
    let cases: [(&'static str, &'static str, &str); 4] = [
        (
            "#!/bin/bash\ntrue\n",
            "1001",
            "its interpreter is not in the image (`/bin/bash`)",
        ),
        (
            "#!/no/such/interpreter -x\n",
            "0",
            "its interpreter is not in the image (`/no/such/interpreter -x`)",
        ),
        // A program for another machine, and no program at all: the kernel says the same.
        (
            "\u{7f}ELF of another machine",
            "1001",
            "cannot execute `/usr/libexec/s2i/assemble`",
        ),
        (
            "#!/bin/sh\n",
            "nobody-here",
            "the image has no user `nobody-here`",
        ),
    ];
    for (assemble, user, message) in cases {
        let directory = shared();
        let tiny = Tiny {
            assemble,
            user,
            ..Tiny::default()
        };
        let builder = tiny.write(directory.path());
        let source = application(directory.path(), &[("app.py", "1")]);
        for rung in &RUNGS {
            let overcoat = (rung.overcoat)();
            let arguments = ["build", &source, "-t", "app", "--build-image", &builder];
            let done = overcoat.run(&[&arguments, rung.arguments].concat());
            expect(rung.name, &overcoat, &done, 41, message);
        }
    }
}

#[test]
fn an_assemble_of_the_image_that_is_not_executable_is_named_on_every_rung() {
    let directory = shared();
    let tiny = Tiny {
        assemble: "#!/bin/sh\nchmod 644 /usr/libexec/s2i/assemble\n",
        user: "0",
        ..Tiny::default()
    };
    let builder = tiny.write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    let layout = directory.path().join("closed");
    let image = format!("oci:{}:closed", layout.display());
    let arguments = [
        "build",
        &source,
        "-t",
        "app",
        "-o",
        &image,
        "--build-image",
        &builder,
    ];
    Overcoat::new().run(&arguments).ok();
    super::super::support::tool("chmod", &["-R", "a+rX", layout.to_str().unwrap()]);
    for rung in &RUNGS {
        let overcoat = (rung.overcoat)();
        let arguments = ["build", &source, "-t", "app", "--build-image", &image];
        let done = overcoat.run(&[&arguments, rung.arguments].concat());
        let message =
            "cannot execute `/usr/libexec/s2i/assemble` in the image: it is not an executable file";
        expect(rung.name, &overcoat, &done, 41, message);
    }
}

/// A tmpfs of 20 MB as store, mounted where this process alone sees it: in a mount namespace of the command's own.
#[test]
fn a_full_tmpfs_as_store_is_named_on_every_rung() {
    let directory = shared();
    let tiny = Tiny {
        assemble: "#!/bin/sh\nset -e\ni=0\nwhile [ $i -lt 40 ]; do cat /bin/busybox > /opt/app-root/src/$i; \
                   i=$((i+1)); done\n",
        ..Tiny::default()
    };
    let builder = tiny.write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    for rung in &RUNGS {
        let overcoat = (rung.overcoat)();
        let store = overcoat.store();
        fs::create_dir(&store).unwrap();
        fs::set_permissions(&store, fs::Permissions::from_mode(0o777)).unwrap();
        let arguments = ["build", &source, "-t", "app", "--build-image", &builder];
        let inner = overcoat.command(&[&arguments, rung.arguments].concat());
        let done = on_small_disk(&store, &inner);
        assert!(
            matches!(done.code, Some(50 | 61)),
            "{}: {done:?}",
            rung.name
        );
        let said = done.stderr.to_lowercase();
        assert!(
            said.contains("no space left on device"),
            "{}: {said}",
            rung.name
        );
        assert!(done.stderr.contains("--store DIR"), "{}: {said}", rung.name);
        assert!(
            done.stdout.contains("left: 0\n"),
            "{}: {}",
            rung.name,
            done.stdout
        );
        assert!(
            !done.stdout.contains("app@"),
            "{}: {}",
            rung.name,
            done.stdout
        );
    }
}

/// Runs a command while `store` is a small tmpfs; what it leaves in `tmp` there is counted after it.
fn on_small_disk(store: &Path, inner: &Command) -> Done {
    let script = "mount -t tmpfs -o size=20m,mode=777 tmpfs \"$1\"; store=$1; shift; \"$@\"; status=$?; \
                  echo \"left: $(ls -A \"$store/tmp\" | wc -l)\"; exit $status";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", script, "sh"]);
    command
        .arg(store)
        .arg(inner.get_program())
        .args(inner.get_args());
    let variables = inner.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    command.output().unwrap().into()
}
