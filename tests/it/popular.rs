//! The most downloaded projects of the public index, installed by overcoat and by pip, file for file. Needs the network.
//!
//! pip is the builder image's own, so paths and interpreters are the same on both sides. Its version matters: the text of
//! scripts changed with pip 25, `direct_url.json` after 23.0.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::flask::{unpacked_seed, with_builder};
use super::support::{Done, Overcoat, tool};

/// One project a line, `NAME==VERSION  # IMPORT`: a file of requirements, too.
const PROJECTS: &str = include_str!("../../testdata/popular-projects.txt");

/// What may differ from what pip installs, and why. `docs/image-format.md` has the same list.
const DIFFERENCES: [(&str, &str); 2] = [
    (
        ".dist-info/INSTALLER",
        "it says who installed the distribution",
    ),
    (
        ".dist-info/RECORD",
        "it has the hash and size of `INSTALLER`; no other row may differ",
    ),
];

/// Links the wheels in the cache `sys.argv[2]` that the lock `sys.argv[1]` lists into `sys.argv[3]`, by their names.
const WHEELS: &str = r#"
import os, sys, tomllib
lock, cache, into = sys.argv[1:]
for package in tomllib.load(open(lock, "rb"))["packages"]:
    for wheel in package["wheels"]:
        held = os.path.join(cache, "sha256", wheel["hashes"]["sha256"])
        if os.path.exists(held):
            os.chmod(held, 0o644)
            os.link(held, os.path.join(into, wheel["name"]))
"#;

/// Lists everything below `sys.argv[1]`: path, mode, owner, and the target of a link or the digest of a file; of a file that
/// ends in `sys.argv[2]` the text, of one that ends in `sys.argv[3]` the digest without the row of the former.
const LIST: &str = r#"
import hashlib, os, stat, sys
root, installer, record = sys.argv[1:]
for directory, directories, files in os.walk(root):
    for name in directories + files:
        path = os.path.join(directory, name)
        s = os.lstat(path)
        what = ""
        if stat.S_ISLNK(s.st_mode):
            what = os.readlink(path)
        elif stat.S_ISREG(s.st_mode):
            content = open(path, "rb").read()
            if path.endswith(record):
                rows = content.decode().splitlines(True)
                content = "".join(row for row in rows if not row.split(",")[0].endswith(installer)).encode()
            what = hashlib.sha256(content).hexdigest()
            if path.endswith(installer):
                what = content.decode().strip()
        print(ascii(path[len(root):]), oct(s.st_mode), s.st_uid, s.st_gid, what, sep="\t")
"#;

/// Imports each module of `sys.argv`, and names those that cannot be.
const IMPORT: &str = r#"
import importlib, sys, traceback
failed = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException:
        traceback.print_exc()
        failed.append(name)
print("imported", len(sys.argv) - 1, "failed", failed)
"#;

fn list(root: &Path) -> BTreeMap<String, String> {
    let [(installer, _), (record, _)] = DIFFERENCES;
    let arguments = ["-c", LIST, root.to_str().unwrap(), installer, record];
    let text = tool("python3", &arguments);
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines
        .map(|(path, what)| (path.to_owned(), what.to_owned()))
        .collect()
}

/// What overcoat must install where pip installed this: who did it is another. pip itself came with the builder.
fn as_ours(listed: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let as_ours = |(path, what): (String, String)| match what.strip_suffix("\tpip") {
        Some(rest) if !path.contains("/pip-") => {
            let what = format!("{rest}\tovercoat");
            (path, what)
        }
        _ => (path, what),
    };
    listed.into_iter().map(as_ours).collect()
}

/// The builder's files, to be changed: an overlay, for to copy them takes longer than anything else here.
struct Root(PathBuf);

impl Root {
    fn new(directory: PathBuf) -> Self {
        let [upper, work, root] = ["upper", "work", "root"].map(|name| directory.join(name));
        for path in [&upper, &work, &root] {
            fs::create_dir_all(path).unwrap();
        }
        let lower = unpacked_seed();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let root_text = root.to_str().unwrap();
        tool(
            "mount",
            &["-t", "overlay", "overlay", "-o", &options, root_text],
        );
        Self(root)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Runs the interpreter of an environment, as the user that the builder image names.
fn python(root: &Path, arguments: &[&str]) -> Done {
    let script = "umask 0002; exec env -i LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \
        PATH=/opt/app-root/bin:/usr/sbin:/usr/bin:/bin chroot --userspec=1001:0 \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(root);
    command.arg("python").args(arguments);
    command.output().unwrap().into()
}

/// The modules to import, of the lines `NAME==VERSION  # MODULE`.
fn modules() -> Vec<&'static str> {
    let pins = PROJECTS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    pins.map(|line| {
        let (pin, module) = line.split_once("  # ").unwrap_or_else(|| panic!("{line}"));
        assert!(pin.contains("=="), "{line}");
        module
    })
    .collect()
}

#[test]
fn network_the_sixty_most_downloaded_projects_are_installed_as_pip_installs_them() {
    let modules = modules();
    assert!(modules.len() >= 60);
    let overcoat = with_builder(Overcoat::new());
    let source = overcoat.path().join("app");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("requirements.txt"), PROJECTS).unwrap();
    fs::write(source.join("app.sh"), "#!/bin/sh\n").unwrap();
    let directory = source.to_str().unwrap();
    overcoat
        .run(&["build", directory, "-t", "app", "--strategy", "direct"])
        .ok();
    let described = overcoat.inspect("app").to_string();
    assert!(described.contains("numpy"), "{described}");

    // Layers of packages are between the builder's and the application's. GNU tar unpacks them.
    let ours = Root::new(overcoat.path().join("ours"));
    let ours = ours.0.as_path();
    let base = overcoat.layers("builder/python-3.11").len();
    let layers = overcoat.layers("app");
    assert!(layers.len() > base + 10, "{layers:?}");
    for layer in &layers[base..layers.len() - 1] {
        let blob = overcoat.store().join("blobs").join(layer.replace(':', "/"));
        let mut tar = vec!["--extract", "--gzip", "--preserve-permissions"];
        tar.extend(["--same-owner", "--numeric-owner", "--directory"]);
        tar.extend([ours.to_str().unwrap(), "--file", blob.to_str().unwrap()]);
        tool("tar", &tar);
    }

    // pip has the same wheels, which were downloaded once: they lie in the upper directory before it is one.
    let wheels = overcoat.path().join("theirs/upper/wheels");
    fs::create_dir_all(&wheels).unwrap();
    overcoat.run(&["lock", directory]).ok();
    let lock = source.join("pylock.toml");
    let cache = overcoat.store().join("wheels");
    let paths = [&lock, &cache, &wheels].map(|path| path.to_str().unwrap());
    tool("python3", &[&["-c", WHEELS][..], &paths].concat());
    assert_eq!(fs::read_dir(&wheels).unwrap().count(), modules.len());
    let theirs = Root::new(overcoat.path().join("theirs"));
    let theirs = theirs.0.as_path();
    let wheels = theirs.join("wheels");
    fs::write(wheels.join("requirements.txt"), PROJECTS).unwrap();
    let install = "-m pip --isolated install --quiet --disable-pip-version-check --no-cache-dir --no-compile \
        --no-index --find-links /wheels --requirement /wheels/requirements.txt";
    let install: Vec<&str> = install.split_whitespace().collect();
    python(theirs, &install).ok();
    fs::remove_dir_all(&wheels).unwrap();

    let (listed, expected) = (list(ours), as_ours(list(theirs)));
    assert!(expected.len() > 20_000, "{}", expected.len());
    let paths: BTreeSet<&String> = listed.keys().chain(expected.keys()).collect();
    let wrong = paths.iter().filter_map(|path| {
        let (ours, pip) = (listed.get(*path), expected.get(*path));
        (ours != pip).then(|| format!("{path}: {ours:?}, pip {pip:?}"))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());

    let document = include_str!("../../docs/image-format.md");
    for (file, why) in DIFFERENCES {
        let row = format!("| `*{file}` | ");
        assert!(
            document.lines().any(|line| line.starts_with(&row)),
            "{file}: {why}"
        );
    }
    python(ours, &["-m", "pip", "check"]).ok();
    let imported = python(ours, &[&["-c", IMPORT][..], &modules].concat());
    let expected = format!("imported {} failed []\n", modules.len());
    assert!(
        imported.stdout.ends_with(&expected),
        "{}{}",
        imported.stdout,
        imported.stderr
    );
}
