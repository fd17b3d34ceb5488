//! Layers that were spliced from wheels, and layers of zstd, read by others: skopeo, umoci, podman, GNU gzip, zstd and
//! Python's `tarfile`. Needs the network.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::flask::with_builder;
use super::support::{Done, Overcoat, tool};

/// A wheel with many small files, one with C code, and one that is large enough for a layer of its own.
const REQUIREMENTS: &str =
    "jinja2==3.1.6\nmarkupsafe==3.0.2\npygments==2.19.2\nsetuptools==80.9.0\n";

/// Lists what was installed, as the image's own interpreter sees it, once everything was imported.
const LIST: &str = r#"
import hashlib, os
import jinja2, markupsafe._speedups, pygments.lexers, setuptools
assert jinja2.Template("{{ 6 * 7 }}").render() == "42"
for top, directories, files in sorted(os.walk("/opt/app-root")):
    for name in sorted(files):
        path = os.path.join(top, name)
        s = os.stat(path)
        print(path, oct(s.st_mode), s.st_uid, s.st_gid, hashlib.sha256(open(path, "rb").read()).hexdigest())
"#;

/// Reads a compressed archive once as a stream and once with seeking, and prints the digest of what is in it. (The stream
/// is gzip's: that of `tarfile` itself, `r|gz`, ends with the first member of any gzip file.)
const TARFILE: &str = r#"
import gzip, hashlib, sys, tarfile
counts = []
for name, file, mode in [(None, gzip.open(sys.argv[1]), "r|"), (sys.argv[1], None, "r:gz")]:
    with tarfile.open(name, mode, file) as tar:
        count = 0
        for member in tar:
            if member.isfile():
                file, size = tar.extractfile(member), 0
                while block := file.read(1 << 16):
                    size += len(block)
                assert size == member.size, member.name
            count += 1
        counts.append(count)
assert counts[0] == counts[1] > 0, counts
digest = hashlib.sha256()
with gzip.open(sys.argv[1]) as file:
    while block := file.read(1 << 20):
        digest.update(block)
print(digest.hexdigest())
"#;

struct Built {
    overcoat: Overcoat,
}

impl Built {
    /// The application as `gzip`, and as `zstd`, with what it writes itself in zstd.
    fn new() -> Self {
        let overcoat = with_builder(Overcoat::new());
        let source = overcoat.path().join("app");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("requirements.txt"), REQUIREMENTS).unwrap();
        fs::write(source.join("app.py"), "print('ran')\n").unwrap();
        // More than one job of zstd, and of a gzip block.
        let numbers: String = (0..700_000).map(|number| format!("{number}\n")).collect();
        fs::write(source.join("numbers.txt"), numbers).unwrap();
        for compression in ["gzip", "zstd"] {
            let layout = format!("oci:{}:app", overcoat.path().join(compression).display());
            let arguments = ["build", source.to_str().unwrap(), "-t", compression, "-o"];
            let more = [
                &layout,
                "--compression",
                compression,
                "--strategy",
                "direct",
            ];
            overcoat.run(&[&arguments[..], &more].concat()).ok();
        }
        Self { overcoat }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.overcoat.path().join(name)
    }

    /// Each layer that is not the builder's: media type, blob and diff id.
    fn layers(&self, image: &str) -> Vec<(String, PathBuf, String)> {
        let reference = format!("oci:{}:app", self.path(image).display());
        let json = |more: &[&str]| -> Value {
            let text = tool(
                "skopeo",
                &[&["inspect"], more, &[reference.as_str()]].concat(),
            );
            serde_json::from_str(&text).unwrap()
        };
        let (manifest, config) = (json(&["--raw"]), json(&["--config", "--raw"]));
        let base = self.overcoat.layers("builder/python-3.11").len();
        let layers = manifest["layers"].as_array().unwrap().iter();
        let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        let layers = layers.zip(diff_ids).skip(base);
        let layer = |(layer, diff_id): (&Value, &Value)| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let digest = text(&layer["digest"]).replace(':', "/");
            let blob = self.path(image).join("blobs").join(digest);
            let hex = text(diff_id).split_once(':').unwrap().1.to_owned();
            (text(&layer["mediaType"]), blob, hex)
        };
        layers.map(layer).collect()
    }
}

fn sha256_of(command: &str, file: &Path) -> String {
    let script = format!("{command} < \"$1\" | sha256sum");
    let text = tool("sh", &["-ec", &script, "sh", file.to_str().unwrap()]);
    text.split(' ').next().unwrap().to_owned()
}

/// How many members a gzip file has is not told by any tool: their headers are counted, which are the same in all.
fn members(file: &Path) -> usize {
    let bytes = fs::read(file).unwrap();
    let header = &bytes[..10];
    bytes.windows(10).filter(|window| *window == header).count()
}

/// Where podman keeps what it has.
struct Podman {
    storage: tempfile::TempDir,
}

impl Podman {
    fn new() -> Self {
        Self {
            storage: tempfile::tempdir().unwrap(),
        }
    }

    /// `podman ARGUMENTS` in a directory with images.
    fn run(&self, directory: &Path, arguments: &[&str]) -> String {
        let storage = self.storage.path();
        let mut command = Command::new("podman");
        command.arg("--root").arg(storage.join("root"));
        command.arg("--runroot").arg(storage.join("run"));
        // As on a runner without systemd.
        command.args(["--cgroup-manager", "cgroupfs", "--runtime", "runc"]);
        command
            .args(["--storage-driver", "overlay"])
            .args(arguments);
        let output = command.current_dir(directory).output();
        let output =
            output.unwrap_or_else(|error| panic!("podman: {error}; ./test.sh installs it"));
        Done::from(output).ok().stdout
    }
}

impl Drop for Podman {
    /// podman mounts its directory onto itself and leaves it so.
    fn drop(&mut self) {
        let mounted = self.storage.path().join("root/overlay");
        let _ = Command::new("umount").arg("--lazy").arg(mounted).status();
    }
}

/// What the image's own interpreter says, started by podman.
fn run(built: &Built, podman: &Podman, image: &str) -> String {
    // podman makes a name of the path, which may have no capital letters.
    let image = format!("oci:{image}:app");
    let run = ["run", "--rm", "--network", "host", "--quiet", "--env"];
    // podman asks for higher limits than it may have where it is confined itself.
    let limits = [
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1000:1000",
    ];
    let command = [image.as_str(), "python", "-c", LIST];
    let environment = ["PYTHONDONTWRITEBYTECODE=1"];
    let arguments = [&run[..], &environment, &limits, &command].concat();
    podman.run(built.overcoat.path(), &arguments)
}

#[test]
fn network_others_read_and_run_spliced_layers_and_layers_of_zstd() {
    let built = Built::new();
    let (gzip, zstd) = (built.layers("gzip"), built.layers("zstd"));
    let kinds = |layers: &[(String, PathBuf, String)]| {
        let mut kinds = BTreeMap::new();
        for (kind, _, _) in layers {
            let kind = kind.rsplit('+').next().unwrap().to_owned();
            *kinds.entry(kind).or_insert(0) += 1;
        }
        kinds
    };
    // Wheels are deflated; their layers are gzip whatever the others are.
    assert_eq!(kinds(&gzip)["gzip"], gzip.len());
    assert_eq!(kinds(&zstd)["zstd"], 1, "{zstd:?}");
    let mut most = 0;
    for (kind, blob, diff_id) in gzip.iter().chain(&zstd) {
        let file = blob.to_str().unwrap();
        if kind.ends_with("zstd") {
            tool("zstd", &["--test", "--quiet", file]);
            assert_eq!(sha256_of("zstd --decompress --stdout", blob), *diff_id);
            continue;
        }
        most = most.max(members(blob));
        tool("sh", &["-c", "gzip --test < \"$1\"", "sh", file]);
        assert_eq!(sha256_of("gzip --decompress --stdout", blob), *diff_id);
        assert_eq!(tool("python3", &["-c", TARFILE, file]).trim(), diff_id);
    }
    assert!(most > 100, "no layer is spliced: at most {most} members");

    // skopeo takes compression away: what comes out has the names that the configuration promises.
    for (image, layers) in [("gzip", &gzip), ("zstd", &zstd)] {
        let from = format!("oci:{}:app", built.path(image).display());
        let plain = built.path(&format!("{image}-plain"));
        let to = format!("dir:{}", plain.display());
        tool(
            "skopeo",
            &["copy", "--quiet", "--dest-decompress", &from, &to],
        );
        for (_, _, diff_id) in layers {
            assert!(plain.join(diff_id).exists(), "{image}: {diff_id}");
        }
    }
    // Archives of Docker's have layers without compression, too. skopeo 1.9 makes none of zstd.
    let from = format!("oci:{}:app", built.path("gzip").display());
    let archive = built.path("docker.tar");
    let archive = archive.to_str().unwrap();
    let to = format!("docker-archive:{archive}:app:latest");
    tool("skopeo", &["copy", "--quiet", &from, &to]);
    let names = tool("tar", &["--list", "--file", archive]);
    for (_, _, diff_id) in &gzip {
        assert!(names.contains(&format!("{diff_id}.tar")), "{names}");
    }

    let podman = Podman::new();
    let listed = run(&built, &podman, "gzip");
    assert!(listed.lines().count() > 500, "{listed}");
    assert_eq!(listed, run(&built, &podman, "zstd"));
    // umoci before 0.5 knows gzip only.
    let bundle = built.path("bundle");
    let layout = format!("{}:app", built.path("gzip").display());
    tool(
        "umoci",
        &["unpack", "--image", &layout, bundle.to_str().unwrap()],
    );
    let root = bundle.join("rootfs");
    let interpreter = "/opt/app-root/bin/python3";
    let arguments = [root.to_str().unwrap(), interpreter, "-B", "-c", LIST];
    assert_eq!(tool("chroot", &arguments), listed);
}
