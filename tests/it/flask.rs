//! The main job on the real recipe. **Needs the network**: a Debian mirror and a package index.
//!
//! The builder image is made once for all tests, in `target/tmp`, and copied from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::support::registry::Registry;
use super::support::runner::unpack;
use super::support::{Done, Overcoat, Running, copy_of_app, free_port, get, tool, wait_for};

/// A store with the default builder in it, made by whichever test comes first.
pub fn seed() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned();
    fs::create_dir_all(&directory).unwrap();
    let lock = fs::File::create(directory.join("seed.lock")).unwrap();
    lock.lock().unwrap();
    let store = directory.join("seed-store");
    // `builder build` asks the mirror whether packages are newer; the tests want one builder for the whole run.
    if !store.join("complete").exists() {
        let done: Done = Command::new(env!("CARGO_BIN_EXE_overcoat"))
            .args(["builder", "build", "python-3.11", "--store"])
            .arg(&store)
            .output()
            .unwrap()
            .into();
        done.ok();
        fs::write(store.join("complete"), "").unwrap();
    }
    store
}

/// The root file system of the default builder, unpacked once for all tests: the lower side of overlays, never written to.
pub fn unpacked_seed() -> PathBuf {
    let store = seed();
    let directory = store.with_file_name("seed-unpacked");
    let lock = fs::File::create(directory.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !directory.join("complete").exists() {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let image = format!("{}:builder/python-3.11:latest", store.display());
        unpack(&image, &directory);
        fs::write(directory.join("complete"), "").unwrap();
    }
    directory.join("umoci/rootfs")
}

pub(crate) fn with_builder(overcoat: Overcoat) -> Overcoat {
    let store = overcoat.store();
    let copied = Command::new("cp")
        .args(["--archive", "--reflink=auto"])
        .arg(seed())
        .arg(&store)
        .status()
        .unwrap();
    assert!(copied.success());
    let _ = fs::remove_dir_all(store.join("unpacked"));
    let owner = fs::metadata(overcoat.path()).unwrap();
    let owner = format!(
        "{}:{}",
        std::os::unix::fs::MetadataExt::uid(&owner),
        std::os::unix::fs::MetadataExt::gid(&owner)
    );
    assert!(
        Command::new("chown")
            .args(["-R", &owner])
            .arg(&store)
            .status()
            .unwrap()
            .success()
    );
    overcoat
}

/// An empty store, but for the packages: they need not be downloaded twice.
fn with_downloads(overcoat: Overcoat) -> Overcoat {
    let store = overcoat.store();
    fs::create_dir(&store).unwrap();
    let cache = seed().join("cache");
    let copied = Command::new("cp")
        .arg("--archive")
        .arg(cache)
        .arg(&store)
        .status()
        .unwrap();
    assert!(copied.success());
    overcoat
}

fn build(overcoat: &Overcoat, source: &Path, name: &str) -> String {
    overcoat
        .run(&["build", source.to_str().unwrap(), "-t", name])
        .ok()
        .digest(name)
}

/// Starts an image on a free port and waits until it answers.
fn serve(overcoat: &Overcoat, image: &str) -> (Running, String) {
    let port = free_port();
    let running = overcoat.spawn(&["run", image, "-e", &format!("PORT={port}")]);
    let body = wait_for("an answer", || get(port));
    (running, body)
}

#[test]
fn network_flask_builds_serves_and_ends_at_once_for_root_and_for_an_ordinary_user() {
    let mut digests = Vec::new();
    for overcoat in [
        with_builder(Overcoat::new()),
        with_builder(Overcoat::as_ordinary_user()),
    ] {
        let source = copy_of_app("flask-hello", overcoat.path());
        digests.push(build(&overcoat, &source, "flask-hello"));
        let (running, body) = serve(&overcoat, "flask-hello");
        assert_eq!(body, "Hello from flask-hello\n");
        running.signal("TERM");
        let (done, took) = running.wait(Duration::from_secs(5));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(took < Duration::from_secs(1), "it took {took:?}");
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
    }
    assert_eq!(
        digests[0], digests[1],
        "root and an ordinary user build different images"
    );
}

#[test]
fn network_two_builds_from_empty_stores_agree_and_an_edit_changes_one_small_layer() {
    let first = with_builder(Overcoat::new());
    let source = copy_of_app("flask-hello", first.path());
    let digest = build(&first, &source, "app");
    // The second makes its builder image itself.
    let second = with_downloads(Overcoat::new());
    assert_eq!(build(&second, &source, "app"), digest);
    let before = first.layers("app");
    let text = fs::read_to_string(source.join("app.py")).unwrap();
    fs::write(source.join("app.py"), text.replace("Hello", "Goodbye")).unwrap();
    assert_ne!(build(&first, &source, "app"), digest);
    let after = first.layers("app");
    assert_eq!(before.len(), after.len());
    assert_eq!(
        before[..before.len() - 1],
        after[..after.len() - 1],
        "only the topmost layer changes"
    );
    let size = first.inspect("app")["layers"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()["size_bytes"]
        .as_u64()
        .unwrap();
    assert!(size < 10_000, "the application layer has {size} bytes");
    let (_running, body) = serve(&first, "app");
    assert_eq!(body, "Goodbye from flask-hello\n");
}

#[test]
fn network_nothing_of_this_host_is_in_the_image() {
    let overcoat =
        with_builder(Overcoat::new()).with("OVERCOAT_TEST_SECRET", "hunter2-in-the-environment");
    let source = copy_of_app("flask-hello", overcoat.path());
    for strategy in ["direct", "assemble"] {
        let directory = source.to_str().unwrap();
        let arguments = ["build", directory, "-t", "app", "--strategy", strategy];
        overcoat.run(&arguments).ok();
        let builder_layers = overcoat.layers("builder/python-3.11").len();
        for layer in &overcoat.layers("app")[builder_layers..] {
            let blob = overcoat.store().join("blobs").join(layer.replace(':', "/"));
            let output = Command::new("zcat").arg(blob).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(!text.contains("hunter2-in-the-environment"));
            assert!(
                !text.contains("/run/overcoat"),
                "a path of the sandbox is in the image"
            );
            // No package of flask-hello brings certificates: any would be the host's.
            assert!(
                !text.contains("BEGIN CERTIFICATE"),
                "certificates are in the image"
            );
            assert!(
                !text.contains(source.to_str().unwrap()),
                "a path of the host is in the image"
            );
        }
        let documents = overcoat.inspect("app").to_string();
        for text in [
            "hunter2",
            "/run/overcoat",
            "SSL_CERT_FILE",
            "PIP_CERT",
            source.to_str().unwrap(),
        ] {
            assert!(
                !documents.contains(text),
                "{text} is in the configuration or manifest"
            );
        }
    }
}

#[test]
fn network_gunicorn_hooks_and_plain_scripts_serve_too() {
    let overcoat = with_builder(Overcoat::new());
    let apps = [
        ("flask-gunicorn", "Hello from flask-gunicorn"),
        ("hooks", "Hello from the assemble hook and the run hook"),
        ("app-home", "Hello from app-home in project"),
        ("app-script", "Hello from app.sh"),
        ("no-requirements", "Hello from no-requirements"),
    ];
    for (app, expected) in apps {
        let source = copy_of_app(app, overcoat.path());
        build(&overcoat, &source, app);
        let (running, body) = serve(&overcoat, app);
        assert_eq!(body.trim_end(), expected, "{app}");
        running.signal("TERM");
        let (done, took) = running.wait(Duration::from_secs(5));
        assert_eq!(done.code, Some(0), "{app}: {}", done.stderr);
        assert!(took < Duration::from_secs(2), "{app} took {took:?}");
    }
}

#[test]
fn network_the_builder_has_what_builders_have() {
    let overcoat = with_builder(Overcoat::new());
    let python = |code: &str| {
        overcoat
            .run(&["run", "builder/python-3.11", "--", "python3", "-c", code])
            .ok()
            .stdout
    };
    assert!(python("import sys; print(sys.version)").starts_with("3.11."));
    python("import ssl, sqlite3, ctypes, lzma, bz2, zlib, uuid, readline, venv, ensurepip");
    assert_eq!(python("import sys; print(sys.prefix)"), "/opt/app-root\n");
    let shell = |script: &str| {
        overcoat
            .run(&["run", "builder/python-3.11", "--", "bash", "-c", script])
            .ok()
            .stdout
    };
    assert_eq!(
        shell("id -u; id -g; pwd; echo $HOME; umask"),
        "1001\n0\n/opt/app-root/src\n/opt/app-root/src\n0022\n"
    );
    assert!(shell("pip --version").contains("/opt/app-root/lib"));
    assert_eq!(
        shell(
            "pip check && python3 -m venv /tmp/v && /tmp/v/bin/pip --version | cut -d' ' -f1 && tar --version | head -1 | cut -d' ' -f1-2"
        ),
        "No broken requirements found.\npip\ntar (GNU\n"
    );
    assert_eq!(
        shell(
            "dpkg --audit; dpkg -V; test -s /etc/ssl/certs/ca-certificates.crt && awk 'BEGIN { print 6 * 7 }'"
        ),
        "42\n"
    );
    assert!(shell("$STI_SCRIPTS_PATH/usage").contains("overcoat"));
    let config = overcoat.inspect("builder/python-3.11")["config"].clone();
    assert_eq!(
        (config["User"].as_str(), config["WorkingDir"].as_str()),
        (Some("1001"), Some("/opt/app-root/src"))
    );
    for label in [
        "io.openshift.s2i.scripts-url",
        "io.openshift.expose-services",
        "io.k8s.display-name",
    ] {
        assert!(config["Labels"][label].is_string(), "{label}");
    }
    assert!(
        overcoat
            .run(&["builder", "list"])
            .ok()
            .stdout
            .contains("python-3.13")
    );
    let inspected = overcoat
        .run(&["builder", "inspect", "builder:python-3.11"])
        .ok()
        .stdout;
    assert!(
        inspected.contains("/usr/libexec/s2i/assemble"),
        "{inspected}"
    );
}

#[test]
fn network_a_package_that_does_not_exist() {
    for overcoat in [
        with_builder(Overcoat::new()),
        with_builder(Overcoat::as_ordinary_user()),
    ] {
        let source = copy_of_app("missing-package", overcoat.path());
        let build = |strategy: &str| {
            let source = source.to_str().unwrap();
            overcoat.run(&["build", source, "-t", "app", "--strategy", strategy])
        };
        let expect = |strategy: &str, code: i32, texts: &[&str]| {
            let done = build(strategy);
            assert_eq!(done.code, Some(code), "{}", done.stderr);
            for text in texts {
                assert!(done.stderr.contains(text), "{}", done.stderr);
            }
        };
        expect(
            "auto",
            13,
            &["error: no index has a package named", "requirements.txt"],
        );
        expect(
            "assemble",
            50,
            &[
                "error: the `assemble` script failed with exit status 1\n",
                "No matching distribution found",
                "hint: a package or version in the requirements does not exist",
            ],
        );
        assert_eq!(overcoat.run(&["inspect", "app"]).code, Some(4));
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn network_ctrl_c_in_the_middle_of_pip() {
    for overcoat in [
        with_builder(Overcoat::new()),
        with_builder(Overcoat::as_ordinary_user()),
    ] {
        let source = copy_of_app("flask-hello", overcoat.path());
        let source = source.to_str().unwrap();
        let running = overcoat.spawn(&["build", source, "-t", "app", "--strategy", "assemble"]);
        wait_for("pip", || running.has_descendant("pip").then_some(()));
        running.signal("INT");
        let (done, _) = running.wait(Duration::from_secs(5));
        assert_eq!(done.code, Some(130), "{}", done.stderr);
        assert!(
            done.stderr.contains("error: interrupted"),
            "{}",
            done.stderr
        );
        assert_eq!(overcoat.run(&["inspect", "app"]).code, Some(4));
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn network_the_pushed_image_is_what_others_see() {
    let overcoat = with_builder(Overcoat::new());
    let registry = Registry::start();
    let source = copy_of_app("flask-hello", overcoat.path());
    let name = format!("{}/team/flask-hello:1", registry.host());
    let digest = overcoat
        .run(&["build", source.to_str().unwrap(), "-t", &name, "--push"])
        .ok()
        .digest(&name);
    let image = format!("docker://{name}");
    let inspected = tool("skopeo", &["inspect", "--tls-verify=false", &image]);
    assert!(inspected.contains(&digest), "{inspected}");
    let layout = overcoat.path().join("layout");
    let to = format!("oci:{}:app", layout.display());
    tool(
        "skopeo",
        &[
            "copy",
            "--insecure-policy",
            "--src-tls-verify=false",
            &image,
            &to,
        ],
    );
    let bundle = overcoat.path().join("bundle");
    tool(
        "umoci",
        &[
            "unpack",
            "--image",
            &format!("{}:app", layout.display()),
            bundle.to_str().unwrap(),
        ],
    );
    let root = bundle.join("rootfs");
    let version = tool(
        "chroot",
        &[
            root.to_str().unwrap(),
            "/opt/app-root/bin/python3",
            "-c",
            "import flask, gunicorn; print('ok')",
        ],
    );
    assert_eq!(version, "ok\n");
    let other = Overcoat::new();
    assert_eq!(other.run(&["pull", &name]).ok().digest(&name), digest);
    let (_running, body) = serve(&other, &name);
    assert_eq!(body, "Hello from flask-hello\n");
}
