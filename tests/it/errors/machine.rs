//! What is wrong with the machine.

use super::*;

#[test]
fn a_full_disk_as_root() {
    let overcoat = Overcoat::new();
    // Room for the builder's blobs (about 1 MB), not for what they unpack to and what the step writes.
    let small = SmallDisk::mount(&overcoat.path().join("small"), "4m");
    let scene = Scene::with(&Tiny {
        assemble: "#!/bin/sh\nset -e\ni=0\nwhile [ $i -lt 200 ]; do cat /bin/busybox /bin/busybox > /opt/app-root/src/$i; i=$((i+1)); done\n",
        ..Tiny::default()
    });
    let store = small.0.join("store");
    let build = |overcoat: &Overcoat| scene.build(overcoat, &["--store", store.to_str().unwrap()]);
    let done = build(&overcoat);
    assert!(matches!(done.code, Some(50 | 61)), "{done:?}");
    assert!(
        done.stderr
            .to_lowercase()
            .contains("no space left on device"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("--store DIR"), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    let names = overcoat
        .run(&[
            "images",
            "--format",
            "json",
            "--store",
            store.to_str().unwrap(),
        ])
        .ok()
        .stdout;
    assert_eq!(names, "[]\n");
    assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0);
    // Too small even for the builder image.
    let tiny = SmallDisk::mount(&overcoat.path().join("tiny"), "400k");
    let store = tiny.0.join("store");
    let done = scene.build(&overcoat, &["--store", store.to_str().unwrap()]);
    assert_eq!(done.code, Some(61), "{}", done.stderr);
    assert!(
        done.stderr.contains("hint: free some space"),
        "{}",
        done.stderr
    );
    assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0);
}

/// A tmpfs of a given size; unmounted when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(path: &Path, size: &str) -> Self {
        fs::create_dir(path).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(path)
            .status()
            .unwrap();
        assert!(mounted.success(), "mounting a tmpfs needs root");
        Self(path.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn an_output_that_cannot_be_written() {
    let scene = Scene::new();
    let overcoat = Overcoat::new();
    let done = scene.build(&overcoat, &["-o", "oci-archive:/no/such/directory/a.tar"]);
    assert_eq!(done.code, Some(60), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("error: cannot write to `/no/such/directory`: no such file"),
        "{}",
        done.stderr
    );
    let done = scene.build(&overcoat, &["-o", "oci:/etc"]);
    assert_eq!(done.code, Some(60), "{}", done.stderr);
    assert!(
        done.stderr.contains("hint: write to a new directory"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_user_namespace_that_cannot_be_made() {
    let scene = Scene::new();
    let overcoat = Overcoat::as_ordinary_user().with("PATH", "/nonexistent");
    let source = scene.source();
    let inner = overcoat.command(&[
        "build",
        &source,
        "-t",
        "app",
        "--build-image",
        &scene.builder,
        "--isolation",
        "userns",
    ]);
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(inner.get_args());
    command.envs(
        inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let done: Done = command.output().unwrap().into();
    assert_eq!(done.code, Some(40), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("`--isolation=userns` cannot be had here: ISO06"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("uidmap") && done.stderr.contains("hint: install"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_store_whose_path_is_not_utf_8() {
    let scene = Scene::new();
    let overcoat = Overcoat::new();
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"st\xffre");
    let source = scene.source();
    let mut command = overcoat.command(&[
        "build",
        &source,
        "-t",
        "app",
        "--build-image",
        &scene.builder,
    ]);
    let done: Done = command
        .env("OVERCOAT_STORE", overcoat.path().join(name))
        .output()
        .unwrap()
        .into();
    assert_eq!(done.code, Some(40), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("error: cannot describe the step: path contains invalid UTF-8"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr
            .contains("hint: keep the store where the path is UTF-8"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_store_that_is_something_else() {
    let overcoat = Overcoat::new();
    let thesis = overcoat.path().join("thesis");
    fs::create_dir(&thesis).unwrap();
    fs::write(thesis.join("chapter1.tex"), "x").unwrap();
    let done = overcoat.run(&["images", "--store", thesis.to_str().unwrap()]);
    assert_eq!(done.code, Some(62), "{}", done.stderr);
    assert!(
        done.stderr.contains(
            "is neither empty nor an OCI image layout: it holds other files and no `oci-layout`"
        ),
        "{}",
        done.stderr
    );
    assert_eq!(fs::read_dir(thesis).unwrap().count(), 1);
}

#[test]
fn an_ordinary_user_without_subordinate_ids_is_told_how_to_get_some() {
    let scene = Scene::new();
    let overcoat = Overcoat::new();
    let own = Command::new("chown")
        .args(["-R", "nobody"])
        .arg(overcoat.path())
        .status()
        .unwrap();
    assert!(own.success());
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=nobody",
        "--regid=nogroup",
        "--clear-groups",
        "--",
        env!("CARGO_BIN_EXE_overcoat"),
    ]);
    command.args([
        "build",
        &scene.source(),
        "-t",
        "app",
        "--build-image",
        &scene.builder,
        "--isolation",
        "userns",
    ]);
    command
        .env("HOME", overcoat.path())
        .env("OVERCOAT_STORE", overcoat.store());
    let done: Done = command.output().unwrap().into();
    assert_eq!(done.code, Some(40), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("ISO08 `nobody` has no ids in `/etc/subuid`"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("usermod --add-subuids"),
        "{}",
        done.stderr
    );
}

#[test]
fn ctrl_c_in_the_middle_of_a_step() {
    let scene = Scene::with(&Tiny {
        assemble: "#!/bin/sh\necho started\ntrap '' INT TERM\nwhile true; do sleep 1; done\n",
        ..Tiny::default()
    });
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        for signal in ["INT", "TERM"] {
            let source = scene.source();
            let running = overcoat.spawn(&[
                "build",
                &source,
                "-t",
                "app",
                "--build-image",
                &scene.builder,
            ]);
            wait_for("the step", || {
                let status = fs::read_dir(overcoat.store().join("tmp")).ok()?.flatten();
                status
                    .map(|entry| entry.path().join("assemble/status.json"))
                    .find(|path| path.exists())
            });
            running.signal(signal);
            let (done, _) = running.wait(Duration::from_secs(5));
            expect(
                &overcoat,
                &done,
                130,
                &["error: interrupted; nothing was left half-done\n"],
            );
        }
    }
}
