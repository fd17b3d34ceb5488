//! Layers written without executing anything, on the real recipe. **Needs the network**: a Debian mirror and a package
//! index.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::flask::with_builder;
use super::support::plain::plain_image;
use super::support::registry::Registry;
use super::support::{Overcoat, copy_of_app};

/// Lists every file below the application's root: kind, mode, owner, digest or target.
const LIST: &str = r#"
import hashlib, os, stat
for top, directories, files in sorted(os.walk("/opt/app-root")):
    for name in sorted(directories + files):
        path = os.path.join(top, name)
        s = os.lstat(path)
        if stat.S_ISLNK(s.st_mode): what = os.readlink(path)
        elif stat.S_ISREG(s.st_mode): what = hashlib.sha256(open(path, "rb").read()).hexdigest()
        else: what = "directory"
        print(path, oct(s.st_mode), s.st_uid, s.st_gid, what)
"#;

fn files(overcoat: &Overcoat, image: &str) -> Vec<String> {
    let done = overcoat
        .run(&["run", image, "--", "python3", "-c", LIST])
        .ok();
    done.stdout.lines().map(str::to_owned).collect()
}

/// What the two ways may differ in: docs/image-format.md names each.
fn is_known_difference(line: &str) -> bool {
    let path = line.split(' ').next().unwrap_or_default();
    path.contains("/__pycache__")
        || path.ends_with(".dist-info/INSTALLER")
        || path.ends_with(".dist-info/RECORD")
}

#[test]
fn network_direct_gives_what_the_stock_assemble_gives() {
    let overcoat = with_builder(Overcoat::new());
    for app in [
        "flask-hello",
        "flask-gunicorn",
        "app-home",
        "app-script",
        "no-requirements",
    ] {
        let source = copy_of_app(app, overcoat.path());
        let source = source.to_str().unwrap();
        let direct = overcoat
            .run(&["build", source, "-t", "direct", "--plan"])
            .ok();
        assert!(
            direct
                .stdout
                .contains("direct: nothing needs to be executed"),
            "{app}: {}",
            direct.stdout
        );
        overcoat.run(&["build", source, "-t", "direct"]).ok();
        overcoat
            .run(&["build", source, "-t", "assembled", "--strategy", "assemble"])
            .ok();
        let [direct, assembled] = ["direct", "assembled"].map(|image| {
            let mut files = files(&overcoat, image);
            files.retain(|line| !is_known_difference(line));
            files
        });
        assert!(direct.len() > 500, "{app}: {} files", direct.len());
        for (ours, theirs) in direct.iter().zip(&assembled) {
            assert_eq!(ours, theirs, "{app}");
        }
        assert_eq!(direct.len(), assembled.len(), "{app}");
        let command = |image: &str| overcoat.inspect(image)["config"].clone();
        assert_eq!(command("direct"), command("assembled"), "{app}");
    }
}

#[test]
fn network_pip_finds_what_was_installed_without_it() {
    let overcoat = with_builder(Overcoat::new());
    let source = copy_of_app("flask-hello", overcoat.path());
    let source = source.to_str().unwrap();
    overcoat.run(&["build", source, "-t", "direct"]).ok();
    overcoat
        .run(&["build", source, "-t", "assembled", "--strategy", "assemble"])
        .ok();
    let ask = |image: &str, arguments: &[&str]| {
        let command = [&["run", image, "--"], arguments].concat();
        overcoat.run(&command).ok().stdout
    };
    for arguments in [
        &["python", "-m", "pip", "list"][..],
        &["python", "-m", "pip", "freeze"],
        &["python", "-m", "pip", "check"],
        &["python", "-m", "pip", "list", "--not-required"],
        &["flask", "--version"],
        &[
            "python",
            "-c",
            "import importlib.metadata as m; print(sorted((d.name, d.version, len(d.entry_points)) for d in m.distributions()))",
        ],
    ] {
        assert_eq!(
            ask("direct", arguments),
            ask("assembled", arguments),
            "{arguments:?}"
        );
    }
    // And can take it away again.
    let gone = ask(
        "direct",
        &[
            "sh",
            "-c",
            "python -m pip uninstall -q -y flask && python -m pip check && python -m pip list",
        ],
    );
    assert!(!gone.to_lowercase().contains("flask"), "{gone}");
}

#[test]
fn network_the_same_digest_cold_and_warm_for_root_and_an_ordinary_user() {
    let mut digests = Vec::new();
    for overcoat in [
        with_builder(Overcoat::new()),
        with_builder(Overcoat::as_ordinary_user()),
    ] {
        let source = copy_of_app("flask-hello", overcoat.path());
        let build = || {
            overcoat
                .run(&["build", source.to_str().unwrap(), "-t", "app"])
                .ok()
        };
        digests.push(build().digest("app"));
        for forgotten in ["cache/steps", "cache/resolutions", "wheels", "cache/pypi"] {
            fs::remove_dir_all(overcoat.store().join(forgotten)).unwrap();
            digests.push(build().digest("app"));
        }
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
}

#[test]
fn network_one_changed_requirement_changes_one_layer_and_keeps_every_other_version() {
    let overcoat = with_builder(Overcoat::new());
    let source = overcoat.path().join("app");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("app.py"), "").unwrap();
    let write = |text: &str| fs::write(source.join("requirements.txt"), text).unwrap();
    write("flask==3.0.0\nclick==8.1.6\n");
    let build = |more: &[&str]| {
        let arguments = [&["build", source.to_str().unwrap(), "-t", "app"], more].concat();
        overcoat.run(&arguments).ok()
    };
    build(&[]);
    let freeze = || {
        overcoat
            .run(&["run", "app", "--", "python", "-m", "pip", "freeze"])
            .ok()
            .stdout
    };
    assert!(freeze().contains("click==8.1.6"));
    let before = overcoat.layers("app");
    write("# the newest again\nflask==3.0.0\nclick==8.1.7\n");
    build(&[]);
    let after = overcoat.layers("app");
    let changed = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after);
    // The group of click, and the application, which has the list.
    assert_eq!((before.len(), changed.count()), (after.len(), 2));
    // A looser requirement is satisfied by what is there.
    write("flask==3.0.0\nclick\n");
    build(&[]);
    assert!(freeze().contains("click==8.1.7"), "{}", freeze());
    let log = build(&["--refresh"]).stderr;
    assert!(!freeze().contains("click==8.1.7"), "{log}");
}

#[test]
fn network_a_lock_says_every_version_and_locked_insists_on_it() {
    let overcoat = with_builder(Overcoat::new());
    let source = overcoat.path().join("app");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("app.py"), "").unwrap();
    fs::write(source.join("requirements.txt"), "flask==3.0.0\n").unwrap();
    let directory = source.to_str().unwrap();
    let refused = overcoat.run(&["build", directory, "-t", "app", "--locked"]);
    assert_eq!(refused.code, Some(14), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("overcoat lock"),
        "{}",
        refused.stderr
    );
    let locked = overcoat.run(&["lock", directory]).ok();
    assert!(locked.stdout.contains("packages"), "{}", locked.stdout);
    // An index that answers now with HTML and now with JSON says sizes or does not.
    let read = || {
        let text = fs::read_to_string(source.join("pylock.toml")).unwrap();
        let mut parts = text.split("size = ");
        let mut sizeless = parts.next().unwrap().to_owned();
        sizeless.extend(parts.map(|part| part.split_once(", ").unwrap().1));
        sizeless
    };
    let text = read();
    overcoat.run(&["lock", directory]).ok();
    assert_eq!(read(), text);
    let first = overcoat
        .run(&["build", directory, "-t", "app", "--locked"])
        .ok()
        .digest("app");
    // Another machine, years later: the versions are those of the lock.
    let other = with_builder(Overcoat::new());
    let second = other
        .run(&["build", directory, "-t", "app", "--locked"])
        .ok()
        .digest("app");
    assert_eq!(first, second);
    // A lock that answers other requirements is not believed.
    fs::write(source.join("requirements.txt"), "flask==3.0.1\n").unwrap();
    let refused = overcoat.run(&["build", directory, "-t", "app", "--locked"]);
    assert_eq!(refused.code, Some(14), "{}", refused.stderr);
    let done = overcoat.run(&["build", directory, "-t", "app"]).ok();
    assert!(
        done.stderr.contains("made for other requirements"),
        "{}",
        done.stderr
    );
}

#[test]
fn network_what_wheels_cannot_express_goes_to_the_sandbox_and_says_why() {
    let overcoat = with_builder(Overcoat::new());
    let source = overcoat.path().join("app");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("app.py"), "").unwrap();
    let plan = || {
        overcoat
            .run(&["build", source.to_str().unwrap(), "-t", "app", "--plan"])
            .ok()
            .stdout
    };
    fs::write(
        source.join("requirements.txt"),
        "--no-binary :all:\nblinker\n",
    )
    .unwrap();
    assert!(
        plan().contains("assemble: only pip can install"),
        "{}",
        plan()
    );
    fs::write(source.join("requirements.txt"), "blinker\n").unwrap();
    assert!(plan().contains("direct"), "{}", plan());
    fs::write(source.join("setup.py"), "").unwrap();
    assert!(plan().contains("setup.py"), "{}", plan());
}

#[test]
fn network_requirements_that_cannot_be_satisfied_are_told_in_sentences() {
    let overcoat = with_builder(Overcoat::new());
    let source = overcoat.path().join("app");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("app.py"), "").unwrap();
    let build = |text: &str| {
        fs::write(source.join("requirements.txt"), text).unwrap();
        let done = overcoat.run(&["build", source.to_str().unwrap(), "-t", "app"]);
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
        (done.code, done.stderr)
    };
    let (code, text) = build("flask==3.0.0\nwerkzeug<2\n");
    assert_eq!(code, Some(13), "{text}");
    assert!(
        text.contains("werkzeug") && text.contains("requirements.txt"),
        "{text}"
    );
    let (code, text) = build("overcoat-no-such-package-at-all\n");
    assert_eq!(code, Some(13), "{text}");
    assert!(text.contains("no index has a package named"), "{text}");
    let (code, text) = build("flask==999\n");
    assert_eq!(code, Some(13), "{text}");
}

/// Every blob that a registry has, by size.
fn bytes_below(directory: &Path) -> u64 {
    let list = std::process::Command::new("du")
        .args(["-sb"])
        .arg(directory)
        .output()
        .unwrap();
    let text = String::from_utf8(list.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn network_a_push_of_flask_hello_moves_the_new_wheels_and_little_else() {
    let overcoat = with_builder(Overcoat::new());
    let registry = Registry::start();
    let builder = format!("{}/builders/python:1", registry.host());
    overcoat
        .run(&["push", "builder/python-3.11", &builder])
        .ok();
    let other = Overcoat::new();
    let source = copy_of_app("flask-hello", other.path());
    let tag = format!("{}/team/app:1", registry.host());
    let build = |more: &[&str]| {
        let base = [
            "build",
            source.to_str().unwrap(),
            "-t",
            &tag,
            "--push",
            "--build-image",
            &builder,
        ];
        other.run(&[&base[..], more].concat()).ok()
    };
    build(&[]);
    // The builder is 40 MB; its bytes stay where they are.
    let blobs = bytes_below(&other.store().join("blobs"));
    assert!(blobs < 2_000_000, "{blobs} bytes of blobs are here");
    fs::write(source.join("app.py"), "print('edited')\n").unwrap();
    let log = build(&[]).stderr;
    assert!(log.contains("2 blobs sent"), "{log}");
    let sent = log
        .lines()
        .find_map(|line| line.split("blobs sent, ").nth(1))
        .unwrap();
    let sent: u64 = sent.split(' ').next().unwrap().parse().unwrap();
    assert!(sent < 15_000, "{log}");
    // What is there is whole.
    let third = Overcoat::new();
    third.run(&["pull", &tag]).ok();
    assert_eq!(
        third
            .run(&["run", &tag, "--", "python", "app.py"])
            .ok()
            .stdout,
        "edited\n"
    );
}

#[test]
fn network_several_platforms_give_an_index_without_emulation() {
    let overcoat = with_builder(Overcoat::new());
    let source = copy_of_app("flask-hello", overcoat.path());
    let source = source.to_str().unwrap();
    let build = |platforms: &str| {
        let arguments = [
            "build",
            source,
            "-t",
            "app",
            "--platform",
            platforms,
            "--label",
            "team=x",
        ];
        overcoat.run(&arguments).ok().digest("app")
    };
    let digest = build("linux/amd64,linux/arm64");
    assert_eq!(build("linux/arm64,linux/amd64"), digest);
    let described = overcoat.inspect("app");
    assert_eq!(described["digest"], digest.as_str());
    let images = described["images"].as_array().unwrap();
    let platforms: Vec<_> = images
        .iter()
        .map(|image| image["platform"].as_str().unwrap())
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    // A wheel that holds machine code is the other machine's.
    let registry = Registry::start();
    let name = format!("{}/team/app:1", registry.host());
    overcoat.run(&["push", "app", &name]).ok();
    let index = super::copy::skopeo_raw(&format!("docker://{name}"));
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert_eq!(index["annotations"], json!({ "team": "x" }));
    let target = overcoat.path().join("arm64");
    let copied = std::process::Command::new("skopeo")
        .args([
            "copy",
            "--quiet",
            "--override-arch",
            "arm64",
            "--src-tls-verify=false",
        ])
        .arg(format!("docker://{name}"))
        .arg(format!("oci:{}:app", target.display()))
        .status()
        .unwrap();
    assert!(copied.success());
    let listing = list(&target);
    assert!(
        listing.contains("_speedups.cpython-311-aarch64-linux-gnu.so"),
        "{listing}"
    );
    assert!(!listing.contains("x86_64-linux-gnu.so"), "{listing}");
    // Scripts of the other kind cannot be executed, and are not tried.
    fs::write(Path::new(source).join("setup.py"), "").unwrap();
    let refused = overcoat.run(&["build", source, "-t", "app", "--platform", "linux/arm64"]);
    assert_eq!(refused.code, Some(22), "{}", refused.stderr);
    assert!(refused.stderr.contains("linux/arm64"), "{}", refused.stderr);
}

/// The names in all layers of a layout, but for those of the builder's: what is below `site-packages`.
fn list(layout: &Path) -> String {
    let mut names = String::new();
    for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let output = std::process::Command::new("tar")
            .args(["--list", "--gzip", "--file"])
            .arg(blob.unwrap().path())
            .output()
            .unwrap();
        names.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    names
        .lines()
        .filter(|name| name.contains("site-packages/"))
        .map(|name| format!("{name}\n"))
        .collect()
}

#[test]
fn network_a_plain_python_image_is_a_builder_too() {
    let overcoat = with_builder(Overcoat::new());
    let image = plain_image(&overcoat, &["PATH=/opt/app-root/bin:/usr/bin:/bin"], None);
    let source = overcoat.path().join("app");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("requirements.txt"), "flask==3.0.0\n").unwrap();
    let program = "import flask, os\nprint(flask.__name__, os.getcwd())\n";
    fs::write(source.join("app.py"), program).unwrap();
    let source = source.to_str().unwrap();
    overcoat
        .run(&["build", source, "-t", "app", "--build-image", &image])
        .ok();
    assert_eq!(overcoat.run(&["run", "app"]).ok().stdout, "flask /app\n");
    overcoat
        .run(&["run", "app", "--", "python", "-m", "pip", "check"])
        .ok();
    assert_eq!(
        overcoat.inspect("app")["config"]["Cmd"],
        json!(["python", "app.py"])
    );
}

#[test]
fn network_with_an_empty_disk_one_manifest_tells_all_and_no_recipe_is_made() {
    let registry = Registry::start();
    let first = with_builder(Overcoat::new());
    let source = copy_of_app("flask-hello", first.path());
    let source = source.to_str().unwrap();
    let tag = format!("{}/team/app:1", registry.host());
    let build = |overcoat: &Overcoat| {
        let done = overcoat.run(&["build", source, "-t", &tag, "--push"]).ok();
        (done.digest(&tag), done.stderr)
    };
    let (digest, _) = build(&first);
    let before = registry.requests().len();
    let second = Overcoat::new();
    let (again, log) = build(&second);
    assert_eq!(again, digest);
    assert!(!log.contains("resolve"), "{log}");
    let asked = registry.requests().split_off(before);
    assert_eq!(asked, ["GET /v2/team/app/manifests/1 200"], "{log}");
    // An edit: a layer, a configuration, a manifest; and still no byte of the builder image.
    fs::write(Path::new(source).join("app.py"), "print('edited')\n").unwrap();
    let third = Overcoat::new();
    let (_, log) = build(&third);
    assert!(log.contains("2 blobs sent"), "{log}");
    assert!(!log.contains("resolve packages"), "{log}");
    let blobs = fs::read_dir(third.store().join("blobs/sha256")).unwrap();
    let largest = blobs.map(|blob| blob.unwrap().metadata().unwrap().len());
    assert!(largest.max().unwrap() < 50_000);
    // What has to be executed gets the builder image's layers from there.
    let (_, log) = {
        let arguments = [
            "build",
            source,
            "-t",
            &tag,
            "--push",
            "--strategy",
            "assemble",
        ];
        let done = third.run(&arguments).ok();
        (done.digest(&tag), done.stderr)
    };
    assert!(!log.contains("resolve packages"), "{log}");
    assert!(log.contains("==> pull"), "{log}");
    let printed = third.run(&["run", &tag]).ok().stdout;
    assert!(printed.ends_with("edited\n"), "{printed}");
}
