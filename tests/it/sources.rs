//! What takes the sandbox even where no script is run: wheels built from source distributions, and interpreters that no
//! file describes. On the real recipe, so **all of them need the network** once: a Debian mirror.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::flask::with_builder;
use super::support::plain::plain_image;
use super::support::{Done, Overcoat};

/// Writes a wheel, with its `RECORD`.
const WHEEL: &str = r#"
import base64, hashlib, os, sys, zipfile

def write_wheel(path, project, text, more=""):
    info = project + "-1.0.dist-info/"
    files = {
        project + ".py": text,
        info + "METADATA": "Metadata-Version: 2.1\nName: " + project + "\nVersion: 1.0\n" + more,
        info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(path, "w") as wheel:
        def put(name, text):
            wheel.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += "%s,sha256=%s,%d\n" % (name, digest, len(text))
            put(name, text)
        put(info + "RECORD", record + info + "RECORD,,\n")
"#;

/// A build backend in the source distribution itself, so that nothing has to be fetched for it.
const BACKEND: &str = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "made-1.0-py3-none-any.whl"
    text = "EPOCH = %r\n" % os.environ["SOURCE_DATE_EPOCH"]
    write_wheel(os.path.join(directory, name), "made", text, "Requires-Dist: other\n")
    exec(open("extra.py").read())
    return name
"#;

/// Packs `made-1.0.tar.gz` into `directory`; `extra` is executed by the backend after it has written the wheel.
fn source_distribution(directory: &Path, extra: &str) {
    let tree = directory.join("made-1.0");
    fs::create_dir_all(&tree).unwrap();
    let project =
        "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    fs::write(tree.join("pyproject.toml"), project).unwrap();
    fs::write(tree.join("backend.py"), [WHEEL, BACKEND].concat()).unwrap();
    fs::write(tree.join("extra.py"), extra).unwrap();
    let information = "Metadata-Version: 2.1\nName: made\nVersion: 1.0\n";
    fs::write(tree.join("PKG-INFO"), information).unwrap();
    let packed = Command::new("tar")
        .args(["--sort=name", "--mtime=@0", "-czf"])
        .arg(directory.join("made-1.0.tar.gz"))
        .args(["-C".as_ref(), directory.as_os_str()])
        .arg("made-1.0")
        .status()
        .unwrap();
    assert!(packed.success());
    fs::remove_dir_all(&tree).unwrap();
    // What `made` needs is a wheel.
    let make = [WHEEL, "write_wheel(sys.argv[1], 'other', '')"].concat();
    let made = Command::new("python3")
        .args(["-c", &make])
        .arg(directory.join("other-1.0-py3-none-any.whl"))
        .status()
        .unwrap();
    assert!(made.success());
}

/// An application that requires `made`, whose files are beside it.
fn application(overcoat: &Overcoat, name: &str, extra: &str) -> PathBuf {
    let directory = overcoat.path().join(name);
    fs::create_dir(&directory).unwrap();
    source_distribution(&directory, extra);
    let requirements = "--no-index\n--find-links .\nmade\n";
    fs::write(directory.join("requirements.txt"), requirements).unwrap();
    let program = "import made, other\nprint(made.EPOCH)\n";
    fs::write(directory.join("app.py"), program).unwrap();
    directory
}

fn build(overcoat: &Overcoat, source: &Path, more: &[&str]) -> Done {
    let arguments = [&["build", source.to_str().unwrap(), "-t", "app"], more].concat();
    overcoat.run(&arguments)
}

/// The last line that the application prints.
fn output(overcoat: &Overcoat) -> String {
    let printed = overcoat.run(&["run", "app"]).ok().stdout;
    printed.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn network_a_source_distribution_is_built_once() {
    let overcoat = with_builder(Overcoat::new());
    let source = application(&overcoat, "one", "");
    let first = build(&overcoat, &source, &[]).ok();
    assert!(
        first.stderr.contains("==> build wheel: made 1.0"),
        "{}",
        first.stderr
    );
    assert_eq!(output(&overcoat), "315532800");
    let again = build(&overcoat, &source, &[]).ok();
    assert_eq!(again.digest("app"), first.digest("app"));
    assert!(!again.stderr.contains("wheel"), "{}", again.stderr);
    assert!(!again.stderr.contains("sandbox"), "{}", again.stderr);
    // What is remembered of the steps is gone, the wheel is not.
    fs::remove_dir_all(overcoat.store().join("cache/steps")).unwrap();
    fs::remove_dir_all(overcoat.store().join("cache/resolutions")).unwrap();
    let third = build(&overcoat, &source, &[]).ok();
    assert_eq!(third.digest("app"), first.digest("app"));
    assert!(!third.stderr.contains("build wheel"), "{}", third.stderr);
    // The wheel is gone, too: what was found with it counts no more.
    fs::remove_dir_all(overcoat.store().join("wheels")).unwrap();
    fs::remove_dir_all(overcoat.store().join("cache/steps")).unwrap();
    let fourth = build(&overcoat, &source, &[]).ok();
    assert_eq!(fourth.digest("app"), first.digest("app"));
    assert!(fourth.stderr.contains("build wheel"), "{}", fourth.stderr);
    // And everything anew, for who asks for it.
    let fifth = build(&overcoat, &source, &["--no-cache"]).ok();
    assert_eq!(fifth.digest("app"), first.digest("app"));
    assert!(
        overcoat.left_behind().is_empty(),
        "{:?}",
        overcoat.left_behind()
    );
}

#[test]
fn network_a_wheel_that_was_built_is_the_same_for_an_ordinary_user_and_in_assemble() {
    let root = with_builder(Overcoat::new());
    let user = with_builder(Overcoat::as_ordinary_user());
    let source = application(&root, "one", "");
    let copied = Command::new("cp")
        .arg("-r")
        .args([&source, user.path()])
        .status()
        .unwrap();
    assert!(copied.success());
    let theirs = user.path().join("one");
    assert_eq!(
        build(&root, &source, &[]).ok().digest("app"),
        build(&user, &theirs, &[]).ok().digest("app")
    );
    let list = |arguments: &[&str]| {
        build(&root, &source, arguments).ok();
        let command = ["run", "app", "--", "python", "-m", "pip", "list"];
        root.run(&command).ok().stdout
    };
    let direct = list(&[]);
    assert!(direct.contains("made"), "{direct}");
    assert_eq!(direct, list(&["--strategy", "assemble"]));
}

#[test]
fn network_another_variable_builds_another_wheel_and_direct_builds_none() {
    let overcoat = with_builder(Overcoat::new());
    let source = application(&overcoat, "one", "");
    build(&overcoat, &source, &[]).ok();
    let other = build(&overcoat, &source, &["-e", "CFLAGS=-O3", "--explain"]).ok();
    assert!(other.stderr.contains("build wheel"), "{}", other.stderr);
    assert!(
        other.stderr.contains("what builds wheels from sources"),
        "{}",
        other.stderr
    );
    let refused = build(&overcoat, &source, &["-e", "X=1", "--strategy", "direct"]);
    assert_eq!(refused.code, Some(22), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("source distribution"),
        "{}",
        refused.stderr
    );
}

#[test]
fn network_a_build_that_fails_or_cheats_is_told() {
    let overcoat = with_builder(Overcoat::new());
    let secret = overcoat.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let link = format!(
        "os.remove(os.path.join(directory, name)); os.symlink({:?}, os.path.join(directory, name))",
        secret
    );
    for (name, extra, word) in [
        (
            "fails",
            "print('no compiler here'); raise SystemExit(3)",
            "no compiler here",
        ),
        (
            "wrong-name",
            "old = os.path.join(directory, name); name = 'made-2.0-py3-none-any.whl'; os.rename(old, os.path.join(directory, name))",
            "made",
        ),
        (
            "wrong-tag",
            "old = os.path.join(directory, name); name = 'made-1.0-py2-none-any.whl'; os.rename(old, os.path.join(directory, name))",
            "made",
        ),
        (
            "not-a-zip",
            "open(os.path.join(directory, name), 'w').write('hello')",
            "made",
        ),
        ("link", link.as_str(), "made"),
    ] {
        let source = application(&overcoat, name, extra);
        let done = build(&overcoat, &source, &["-t", name]);
        assert_ne!(done.code, Some(0), "{name}: {}", done.stderr);
        assert!(done.stderr.contains(word), "{name}: {}", done.stderr);
        assert!(!done.stderr.contains("panicked"), "{name}: {}", done.stderr);
        let images = overcoat.run(&["images"]).ok().stdout;
        assert!(!images.contains(name), "{name}: {images}");
        assert!(overcoat.left_behind().is_empty(), "{name}");
    }
    let built = overcoat.store().join("wheels/built");
    assert!(!built.exists() || fs::read_dir(built).unwrap().next().is_none());
}

#[test]
fn network_an_interpreter_behind_a_script_is_asked_once() {
    let overcoat = with_builder(Overcoat::new());
    let more = overcoat.path().join("more");
    fs::create_dir_all(more.join("opt/shims")).unwrap();
    let shim = more.join("opt/shims/python");
    fs::write(&shim, "#!/bin/sh\nexec /opt/app-root/bin/python3 \"$@\"\n").unwrap();
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
    for directory in ["", "opt", "opt/shims"] {
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(more.join(directory), readable).unwrap();
    }
    let image = plain_image(&overcoat, &["PATH=/opt/shims:/usr/bin:/bin"], Some(&more));
    let source = overcoat.path().join("app");
    fs::create_dir(&source).unwrap();
    source_distribution(&source, "");
    let requirements = "--no-index\n--find-links .\nother\n";
    fs::write(source.join("requirements.txt"), requirements).unwrap();
    fs::write(
        source.join("app.py"),
        "import other\nprint(other.__file__)\n",
    )
    .unwrap();
    let first = build(&overcoat, &source, &["--build-image", &image]).ok();
    assert!(
        first.stderr.contains("==> ask: the interpreter what it is"),
        "{}",
        first.stderr
    );
    assert_eq!(
        output(&overcoat),
        "/opt/app-root/lib/python3.11/site-packages/other.py"
    );
    let again = build(&overcoat, &source, &["--build-image", &image, "--no-cache"]).ok();
    assert_eq!(again.digest("app"), first.digest("app"));
    assert!(!again.stderr.contains("==> ask"), "{}", again.stderr);
    assert!(!again.stderr.contains("==> sandbox"), "{}", again.stderr);
}

#[test]
fn network_a_real_source_distribution_is_installed_as_pip_installs_it() {
    let overcoat = with_builder(Overcoat::new());
    let source = overcoat.path().join("app");
    fs::create_dir(&source).unwrap();
    // Published as a source distribution only, with a `setup.py` and without a `pyproject.toml`.
    fs::write(source.join("requirements.txt"), "docopt==0.6.2\n").unwrap();
    fs::write(
        source.join("app.py"),
        "import docopt\nprint(docopt.__version__)\n",
    )
    .unwrap();
    let list = "import os\nfor top, _, files in sorted(os.walk('/opt/app-root')):\n for name in sorted(files):\n  \
                if 'docopt' in os.path.join(top, name) and '__pycache__' not in top and name not in ('RECORD', 'INSTALLER'): \
                print(os.path.join(top, name), oct(os.stat(os.path.join(top, name)).st_mode), hash(open(os.path.join(top, name)).read()))";
    let files = |arguments: &[&str]| {
        build(&overcoat, &source, arguments).ok();
        assert_eq!(output(&overcoat), "0.6.2");
        let command = [
            "run",
            "-e",
            "PYTHONHASHSEED=0",
            "app",
            "--",
            "python3",
            "-c",
            list,
        ];
        overcoat.run(&command).ok().stdout
    };
    let direct = files(&[]);
    assert!(direct.lines().count() > 3, "{direct}");
    assert_eq!(direct, files(&["--strategy", "assemble"]));
}

/// An official image names its pip and no other package, and older ones have `wheel`, too.
#[test]
fn network_what_an_official_image_does_not_tell_of_itself_is_looked_for_in_its_files() {
    let overcoat = with_builder(Overcoat::new());
    let more = overcoat.path().join("more");
    let library = more.join("usr/local/lib/python3.11");
    let installed = library.join("site-packages/wheel-0.40.0.dist-info");
    fs::create_dir_all(&installed).unwrap();
    fs::create_dir_all(more.join("usr/local/bin")).unwrap();
    fs::write(
        installed.join("METADATA"),
        "Metadata-Version: 2.1\nName: wheel\nVersion: 0.40.0\n",
    )
    .unwrap();
    fs::write(library.join("os.py"), "").unwrap();
    fs::copy("/usr/bin/python3.11", more.join("usr/local/bin/python3.11")).unwrap();
    std::os::unix::fs::symlink("python3.11", more.join("usr/local/bin/python")).unwrap();
    let environment = [
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
        "PYTHON_VERSION=3.11.2",
        "PYTHON_PIP_VERSION=23.1",
    ];
    let image = plain_image(&overcoat, &environment, Some(&more));
    let source = overcoat.path().join("app");
    fs::create_dir(&source).unwrap();
    source_distribution(&source, "");
    fs::write(source.join("app.py"), "").unwrap();
    let require = |what: &str| {
        let requirements = format!("--no-index\n--find-links .\n{what}\n");
        fs::write(source.join("requirements.txt"), requirements).unwrap();
        build(&overcoat, &source, &["--build-image", &image])
            .ok()
            .stderr
    };
    // Nothing needs to be looked for: the configuration tells enough.
    let log = require("other");
    assert!(!log.contains("==> look into"), "{log}");
    assert!(log.contains("==> packages: 1,"), "{log}");
    let make = [WHEEL, "write_wheel(sys.argv[1], 'wheel', '')"].concat();
    let made = Command::new("python3")
        .args(["-c", &make])
        .arg(source.join("wheel-1.0-py3-none-any.whl"))
        .status()
        .unwrap();
    assert!(made.success());
    // `wheel` 0.40.0 is there already, as pip would find.
    let log = require("other\nwheel");
    assert!(log.contains("==> look into"), "{log}");
    assert!(log.contains("==> packages: 1,"), "{log}");
}
