//! Contexts of `--as-dockerfile`, built with the real buildah: the same tree as `overcoat build` makes, as
//! `docs/dockerfile.md` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use overcoat::dockerfile::{self, DockerfileRequest, Injection, Written};
use overcoat::event::Silent;
use overcoat::source::{SourceTree, local};
use serde_json::Value;

use super::flask::with_builder;
use super::support::tiny::{ASSEMBLE, Tiny};
use super::support::{Done, Overcoat, copy_of_app, tool};

/// What buildah leaves in the image and overcoat does not, by path or (with a slash) by what is below; `docs/dockerfile.md`
/// has the reasons.
const LEFT_BY_BUILDAH: [&str; 6] = [
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "run/",
    "sys",
    "tmp/src",
];

/// buildah with a storage of its own.
pub(super) struct Buildah(tempfile::TempDir);

impl Buildah {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        let at = |name: &str| self.0.path().join(name);
        command
            .arg("--root")
            .arg(at("root"))
            .arg("--runroot")
            .arg(at("run"));
        command
            .args(["--storage-driver", "overlay"])
            .args(arguments);
        command
    }

    #[track_caller]
    pub(super) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output();
        let output = output.expect("buildah, which ./test.sh installs");
        Done::from(output).ok().stdout
    }

    /// What skopeo calls an image of this storage.
    pub(super) fn name(&self, name: &str) -> String {
        let (root, run) = (self.0.path().join("root"), self.0.path().join("run"));
        format!(
            "containers-storage:[overlay@{}+{}]localhost/{name}",
            root.display(),
            run.display()
        )
    }

    /// Gives buildah an image of a layout, `oci:LAYOUT:NAME`; what `FROM` calls it then.
    #[track_caller]
    pub(super) fn take(&self, image: &str, name: &str) -> String {
        let arguments = [
            "copy",
            "--insecure-policy",
            "--quiet",
            image,
            &self.name(name),
        ];
        tool("skopeo", &arguments);
        format!("localhost/{name}")
    }

    /// Builds a context; what the steps printed.
    #[track_caller]
    fn build(&self, written: &Written, name: &str) -> String {
        let file = written.dockerfile.to_str().unwrap();
        let context = written.context.to_str().unwrap();
        let name = format!("localhost/{name}");
        self.run(&[
            "bud",
            "--isolation",
            "chroot",
            "--network",
            "host",
            "--file",
            file,
            "--tag",
            &name,
            context,
        ])
    }

    /// The tree and the configuration of an image in this storage.
    #[track_caller]
    fn image(&self, name: &str) -> (Tree, Value) {
        let container = self.run(&["from", &format!("localhost/{name}")]);
        let root = self.run(&["mount", container.trim()]);
        let mut tree = Tree::new();
        list(Path::new(root.trim()), Path::new(""), &mut tree);
        let config = tool("skopeo", &["inspect", "--config", &self.name(name)]);
        let config: Value = serde_json::from_str(&config).unwrap();
        (tree, config["config"].clone())
    }

    /// The same of an image in overcoat's store.
    #[track_caller]
    fn ours(&self, overcoat: &Overcoat, name: &str) -> (Tree, Value) {
        let image = format!("oci:{}:{name}:latest", overcoat.store().display());
        self.take(&image, &format!("ours-{name}"));
        self.image(&format!("ours-{name}"))
    }
}

impl Drop for Buildah {
    /// Or the directory could not be removed.
    fn drop(&mut self) {
        let _ = self.command(&["umount", "--all"]).output();
        // The storage itself is a mount.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path().join("root/overlay"))
            .output();
    }
}

/// Path below the root, without a slash, to what is there: type and mode, owner, content or target.
type Tree = BTreeMap<String, String>;

fn list(root: &Path, below: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        let real = root.join(&path);
        let metadata = real.symlink_metadata().unwrap();
        let owner = format!(
            "{:o} {}:{}",
            metadata.permissions().mode(),
            metadata.uid(),
            metadata.gid()
        );
        let content = if metadata.is_symlink() {
            fs::read_link(&real).unwrap().display().to_string()
        } else if metadata.is_file() {
            overcoat::digest::Digest::of(&fs::read(&real).unwrap()).to_string()
        } else {
            String::new()
        };
        tree.insert(
            path.to_str().unwrap().to_owned(),
            format!("{owner} {content}"),
        );
        if metadata.is_dir() {
            list(root, &path, tree);
        }
    }
}

#[track_caller]
fn assert_same(theirs: &Tree, ours: &Tree) {
    let is_left = |path: &str| {
        let is = |left: &&str| path == *left || (left.ends_with('/') && path.starts_with(left));
        LEFT_BY_BUILDAH.iter().any(is)
    };
    let is_compared = |path: &&String| ours.contains_key(*path) || !is_left(path);
    let paths: BTreeSet<&String> = theirs
        .keys()
        .chain(ours.keys())
        .filter(is_compared)
        .collect();
    assert!(paths.len() > 30, "{paths:?}");
    let differences: Vec<String> = paths
        .into_iter()
        .filter(|path| theirs.get(*path) != ours.get(*path))
        .map(|path| {
            format!(
                "{path}: buildah {:?}, overcoat {:?}",
                theirs.get(path),
                ours.get(path)
            )
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn read(source: &Path) -> SourceTree {
    local::read(source, &Silent).unwrap()
}

fn put(path: PathBuf, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The variables of an image that the builder does not have.
fn environment(config: &Value) -> BTreeSet<String> {
    let all = config["Env"].as_array().unwrap().iter();
    all.map(|variable| variable.as_str().unwrap().to_owned())
        .collect()
}

/// An application with everything that a copy could get wrong: modes, links, names, an empty directory, own scripts.
fn application(directory: &Path) -> PathBuf {
    let source = directory.join("source");
    put(source.join("app.py"), "print('hello')\n", 0o664);
    put(source.join("tool.sh"), "#!/bin/sh\n", 0o700);
    put(source.join("with space/ü"), "", 0o600);
    put(source.join(".hidden/.x"), "x", 0o644);
    put(source.join(".s2i/environment"), "ignored = here\n", 0o644);
    put(source.join(".s2i/bin/helper"), "#!/bin/sh\n", 0o644);
    put(
        source.join(".s2i/bin/assemble"),
        "#!/bin/sh\nset -e\n/usr/libexec/s2i/assemble\necho \"$COST as $(id -u)\" > /opt/app-root/src/made\n",
        0o644,
    );
    fs::create_dir(source.join("empty")).unwrap();
    std::os::unix::fs::symlink("app.py", source.join("link")).unwrap();
    std::os::unix::fs::symlink("/nowhere", source.join("broken")).unwrap();
    source
}

/// Cases 184, 186, 192 and 202, by building: values arrive as they were given, and the trees are the same.
#[test]
fn buildah_makes_the_same_tree_and_environment() {
    let overcoat = Overcoat::new();
    let builder = Tiny::default().write(overcoat.path());
    let source = application(overcoat.path());
    let values = [
        ("COST", "\"5\" $HOME ${x:-y}\\"),
        ("EMPTY", ""),
        ("UMLAUT", "ü #x 'y'"),
    ];
    let mut arguments = vec![
        "build",
        source.to_str().unwrap(),
        "--build-image",
        &builder,
        "-t",
        "app",
    ];
    let flags: Vec<String> = values
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for flag in &flags {
        arguments.extend(["-e", flag]);
    }
    arguments.extend(["--label", "cost=$5 \"x\" \\"]);
    overcoat.run(&arguments).ok();
    let tree = read(&source);
    let given = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let buildah = Buildah::new();
    let request = DockerfileRequest {
        builder: buildah.take(&builder, "builder"),
        source: Some(&tree),
        environment: tree.environment.iter().cloned().chain(given).collect(),
        labels: BTreeMap::from([("cost".to_owned(), "$5 \"x\" \\".to_owned())]),
        ..DockerfileRequest::default()
    };
    let written = dockerfile::write(&request, &overcoat.path().join("out/")).unwrap();
    let printed = buildah.build(&written, "app");
    assert!(printed.contains("---> assembling as 1001:0"), "{printed}");
    let (theirs, their_config) = buildah.image("app");
    let (ours, our_config) = buildah.ours(&overcoat, "app");
    assert_same(&theirs, &ours);
    assert!(
        ours.contains_key("opt/app-root/src/made")
            && ours.contains_key("opt/app-root/src/.s2i/bin/helper")
    );
    assert_eq!(environment(&their_config), environment(&our_config));
    for field in ["User", "WorkingDir", "ExposedPorts"] {
        assert_eq!(their_config[field], our_config[field], "{field}");
    }
    assert_eq!(their_config["Labels"]["cost"], our_config["Labels"]["cost"]);
    assert_eq!(
        their_config["Cmd"][2].as_str(),
        Some("/usr/libexec/s2i/run")
    );
}

/// The stock scripts, on the real recipe.
#[test]
fn network_buildah_makes_the_same_tree_with_the_stock_scripts() {
    let overcoat = with_builder(Overcoat::new());
    let source = copy_of_app("no-requirements", overcoat.path());
    let build = [
        "build",
        source.to_str().unwrap(),
        "-t",
        "app",
        "--strategy",
        "assemble",
    ];
    overcoat.run(&build).ok();
    let tree = read(&source);
    let buildah = Buildah::new();
    let builder = format!(
        "oci:{}:builder/python-3.11:latest",
        overcoat.store().display()
    );
    let request = DockerfileRequest {
        builder: buildah.take(&builder, "builder"),
        source: Some(&tree),
        ..DockerfileRequest::default()
    };
    let written = dockerfile::write(&request, &overcoat.path().join("out/Dockerfile")).unwrap();
    buildah.build(&written, "app");
    let (theirs, _) = buildah.image("app");
    let (ours, _) = buildah.ours(&overcoat, "app");
    assert!(ours.contains_key("opt/app-root/src/app.py"));
    assert_same(&theirs, &ours);
}

/// Cases 198 to 200, by building, in a destination that the image does not have. The first build has nothing to save from
/// but an image without the script.
#[test]
fn buildah_carries_artifacts_from_one_build_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Tiny::default().write(directory.path());
    let source = directory.path().join("source");
    put(source.join("app.py"), "1\n", 0o644);
    let assemble = "#!/bin/sh\nset -e\ncd /opt/app-root/src\nif [ -f /build/artifacts/kept ]; then cp /build/artifacts/kept .; fi\necho x >> kept\n";
    put(source.join(".s2i/bin/assemble"), assemble, 0o755);
    let buildah = Buildah::new();
    let builder = buildah.take(&builder, "builder");
    let build = |previous: &str, name: &str| {
        let tree = read(&source);
        let request = DockerfileRequest {
            builder: builder.clone(),
            source: Some(&tree),
            destination: Some("/build".to_owned()),
            incremental: Some(previous.to_owned()),
            ..DockerfileRequest::default()
        };
        let written = dockerfile::write(&request, &directory.path().join("out/")).unwrap();
        buildah.build(&written, name);
        buildah.image(name).0
    };
    let kept = |count: usize| {
        let digest = overcoat::digest::Digest::of("x\n".repeat(count).as_bytes());
        format!("100644 1001:0 {digest}")
    };
    let first = build(&builder, "first");
    assert_eq!(first["opt/app-root/src/kept"], kept(1));
    put(
        source.join(".s2i/bin/save-artifacts"),
        "#!/bin/sh\ncd /opt/app-root/src\nexec tar -cf - kept\n",
        0o755,
    );
    let second = build("localhost/first", "second");
    assert_eq!(second["opt/app-root/src/kept"], kept(2));
    for left in ["tmp/artifacts.tar", "build/artifacts.tar"] {
        assert!(!second.contains_key(left), "{left}");
    }
}

/// Cases 188 and 218, by building: readable while `assemble` runs, and gone afterwards unless they are to stay.
#[test]
fn buildah_shows_injected_files_to_assemble_alone() {
    let directory = tempfile::tempdir().unwrap();
    let tiny = Tiny {
        assemble: "#!/bin/sh\nset -e\ncat /tmp/secret/token /opt/app-root/src/here/token /kept/token /etc/token > /opt/app-root/src/seen\n",
        ..Tiny::default()
    };
    assert_ne!(tiny.assemble, ASSEMBLE);
    let builder = tiny.write(directory.path());
    let secret = directory.path().join("secret");
    put(secret.join("token"), "s3cret\n", 0o600);
    let source = directory.path().join("source");
    put(source.join("app.py"), "1\n", 0o644);
    let tree = read(&source);
    let injection = |from: &Path, destination: &str, is_kept| Injection {
        source: from.to_owned(),
        destination: destination.to_owned(),
        is_kept,
    };
    let buildah = Buildah::new();
    let request = DockerfileRequest {
        builder: buildah.take(&builder, "builder"),
        source: Some(&tree),
        injections: vec![
            injection(&secret, "/tmp/secret", false),
            injection(&secret, "here", false),
            injection(&secret, "/kept", true),
            injection(&secret.join("token"), "/etc/token", false),
        ],
        ..DockerfileRequest::default()
    };
    let written = dockerfile::write(&request, &directory.path().join("out/")).unwrap();
    buildah.build(&written, "app");
    let (tree, _) = buildah.image("app");
    let secret = overcoat::digest::Digest::of(b"s3cret\n").to_string();
    let four = overcoat::digest::Digest::of("s3cret\n".repeat(4).as_bytes()).to_string();
    assert!(tree["opt/app-root/src/seen"].ends_with(&four));
    let with_secret: Vec<&String> = tree
        .iter()
        .filter(|(_, what)| what.ends_with(&secret))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(with_secret, ["kept/token"]);
    assert!(
        !tree.contains_key("tmp/secret/token") && !tree.contains_key("opt/app-root/src/here/token")
    );
    // /etc is closed to the user, so this one is emptied.
    let empty = overcoat::digest::Digest::of(b"").to_string();
    assert!(tree["etc/token"].ends_with(&empty), "{}", tree["etc/token"]);
}

/// `generate`, filled by hand.
#[test]
fn buildah_builds_a_generated_context_once_it_is_filled() {
    let directory = tempfile::tempdir().unwrap();
    let buildah = Buildah::new();
    let request = DockerfileRequest {
        builder: buildah.take(&Tiny::default().write(directory.path()), "builder"),
        assemble_user: Some("root".to_owned()),
        builder_user: Some("1001".to_owned()),
        ..DockerfileRequest::default()
    };
    let written = dockerfile::write(&request, &directory.path().join("new/out")).unwrap();
    put(written.context.join("upload/src/app.py"), "filled\n", 0o644);
    let printed = buildah.build(&written, "app");
    assert!(printed.contains("---> assembling as 0:0"), "{printed}");
    let (tree, config) = buildah.image("app");
    assert!(tree.contains_key("opt/app-root/src/app.py"));
    assert_eq!(config["User"], "1001");
}
