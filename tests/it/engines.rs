//! Archives that container engines load, `--load`, and archives that they write.

use std::path::{Path, PathBuf};

use overcoat::event::Silent;
use overcoat::image::{Image, Platform};
use overcoat::output::archive::{self, Format};
use overcoat::store::BlobStore;
use serde_json::Value;

use super::support::engine::{Engine, Podman};
use super::support::tiny::Tiny;
use super::support::{Overcoat, copy_of_app, tool};

const NAMES: [&str; 2] = ["app:1", "registry.example:5000/team/app:v2"];
const FULL: [&str; 2] = [
    "docker.io/library/app:1",
    "registry.example:5000/team/app:v2",
];

struct Built {
    directory: tempfile::TempDir,
    overcoat: Overcoat,
    manifest: String,
    config: String,
}

impl Built {
    /// The tiny application under one name or two, in the forms that `outputs` name.
    fn new(overcoat: Overcoat, names: &[&str], more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let builder = Tiny::default().write(directory.path());
        let source = copy_of_app("no-requirements", directory.path());
        let archive = format!("archive:{}", directory.path().join("a.tar").display());
        let mut arguments = vec!["build", source.to_str().unwrap(), "--build-image", &builder];
        for name in names {
            arguments.extend(["-t", name]);
        }
        arguments.extend(["-o", &archive]);
        arguments.extend(more);
        let done = overcoat.run(&arguments).ok();
        let line = done.stdout.lines().next().unwrap().to_owned();
        let manifest = line.rsplit('@').next().unwrap().to_owned();
        let raw = overcoat.run(&["inspect", "--raw", names[0]]).ok().stdout;
        let raw: Value = serde_json::from_str(&raw).unwrap();
        let config = raw["config"]["digest"].as_str().unwrap().to_owned();
        Self {
            directory,
            overcoat,
            manifest,
            config,
        }
    }

    fn archive(&self) -> String {
        self.directory.path().join("a.tar").display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The image as it is in the store.
    fn image(&self) -> Image {
        let store = BlobStore::open(&self.overcoat.store()).unwrap();
        let named = store.resolve(&NAMES[0].parse().unwrap()).unwrap().unwrap();
        store.image(&named.manifest).unwrap()
    }

    /// Reads what another tool wrote of this image: the same configuration and layers must come out.
    #[track_caller]
    fn expect_in(&self, file: &Path, format: Format, name: Option<&str>) -> Image {
        let directory = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&directory.path().join("store")).unwrap();
        let read = archive::read(file, format, name, &Platform::host(), &store, &Silent);
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let expected = self.image();
        let diff_ids = |image: &Image| -> Vec<String> {
            image.layers().map(|(_, id)| id.to_string()).collect()
        };
        assert_eq!(diff_ids(&read), diff_ids(&expected));
        assert!(store.lacks(&(&read).into()).is_empty());
        read
    }

    /// As [`Self::expect_in`], with the configuration byte for byte.
    #[track_caller]
    fn expect_all_in(&self, file: &Path, format: Format, name: Option<&str>) -> Image {
        let read = self.expect_in(file, format, name);
        assert_eq!(read.config.descriptor.digest.to_string(), self.config);
        read
    }
}

/// The rows of `ctr images list` as name and digest.
fn listed(table: &str) -> Vec<(String, String)> {
    let row = |row: &str| {
        let mut columns = row.split_whitespace();
        let name = columns.next().unwrap().to_owned();
        (name, columns.nth(1).unwrap().to_owned())
    };
    table.lines().skip(1).map(row).collect()
}

#[test]
fn containerd_lists_our_archive_under_its_names_with_its_digest() {
    let built = Built::new(Overcoat::new(), &NAMES, &[]);
    let engine = Engine::containerd();
    engine.ctr(&[
        "--namespace",
        "k8s.io",
        "images",
        "import",
        "--all-platforms",
        &built.archive(),
    ]);
    let expected = FULL.map(|name| (name.to_owned(), built.manifest.clone()));
    assert_eq!(
        listed(&engine.ctr(&["--namespace", "k8s.io", "images", "list"])),
        expected
    );

    // What it writes, we read; with what was not ours in it taken away, nothing is left.
    let exported = built.path("exported.tar");
    let file = exported.to_str().unwrap();
    engine.ctr(&[
        "--namespace",
        "k8s.io",
        "images",
        "export",
        file,
        FULL[0],
        FULL[1],
    ]);
    for name in NAMES {
        let image = built.expect_all_in(&exported, Format::Both, Some(name));
        assert_eq!(image.digest().to_string(), built.manifest);
    }
}

#[test]
fn containerd_takes_all_platforms() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("index.tar");
    let store = BlobStore::open(&directory.path().join("store")).unwrap();
    let index = several(&store);
    let names = ["app:1".to_owned()];
    archive::write(
        &file,
        Format::Both,
        &(&index).into(),
        &names,
        &store,
        &Silent,
    )
    .unwrap();
    let engine = Engine::containerd();
    engine.ctr(&[
        "images",
        "import",
        "--all-platforms",
        file.to_str().unwrap(),
    ]);
    let digest = index.index().descriptor.digest.to_string();
    let expected = [(FULL[0].to_owned(), digest)];
    assert_eq!(listed(&engine.ctr(&["images", "list"])), expected);
    let raw = tool(
        "skopeo",
        &[
            "inspect",
            "--raw",
            &format!("oci-archive:{}", file.display()),
        ],
    );
    assert_eq!(raw.as_bytes(), index.index().bytes);
    // Of an index, podman takes this machine's image, Docker's readers the first.
    let podman = Podman::new();
    podman.run(&["load", "--input", file.to_str().unwrap()]);
    let id = podman.run(&["image", "inspect", "--format", "{{.Id}}", FULL[0]]);
    let is_for_host = |image: &&Image| image.config.parsed.platform() == Platform::host();
    let host = index.images().iter().find(is_for_host).unwrap();
    assert_eq!(id.trim(), host.config.descriptor.digest.hex());
}

/// An index with an image for another machine, and one for this; with their layers in the store.
fn several(store: &BlobStore) -> overcoat::image::ImageIndex {
    use overcoat::image::edit::{Changes, NewLayer, from_scratch, index};
    use overcoat::image::{Descriptor, media_type};
    use overcoat::layer::LayerWriter;
    let other: Platform = "linux/s390x".parse().unwrap();
    let images = [other, Platform::host()].map(|platform| {
        let mut writer = LayerWriter::new(store.begin_blob().unwrap(), 0, 1);
        let path = overcoat::layer::EntryPath::parse(platform.architecture.as_bytes()).unwrap();
        let kind = overcoat::layer::Kind::File { size: 1 };
        let entry = overcoat::layer::Entry::new(path, kind, 0o644);
        writer.append(&entry, &b"x"[..]).unwrap();
        let (blob, layer) = writer.finish().unwrap();
        let (digest, size) = blob.finish().unwrap();
        let layer = NewLayer {
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
            diff_id: layer.diff_id,
            created_by: "test".to_owned(),
        };
        let changes = Changes {
            created: "1980-01-01T00:00:00Z".to_owned(),
            ..Changes::default()
        };
        from_scratch(&platform, &[layer], &changes).unwrap()
    });
    index(images.to_vec(), &std::collections::BTreeMap::new()).unwrap()
}

#[test]
fn docker_loads_our_archive_and_we_read_what_it_saves() {
    let built = Built::new(Overcoat::new(), &NAMES, &[]);
    let engine = Engine::docker();
    engine.docker_command(&["load", "--input", &built.archive()]);
    let inspected = engine.docker_command(&["image", "inspect", NAMES[0]]);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected[0]["Id"], built.config.as_str());
    assert_eq!(inspected[0]["RepoTags"], serde_json::json!(NAMES));

    let saved = built.path("saved.tar");
    let file = saved.to_str().unwrap();
    engine.docker_command(&["save", "--output", file, NAMES[0], NAMES[1]]);
    built.expect_all_in(&saved, Format::Docker, Some(NAMES[1]));
    built.expect_all_in(&saved, Format::Both, None);
    tool("gzip", &["--keep", file]);
    built.expect_all_in(&built.path("saved.tar.gz"), Format::Docker, None);
    // Of an image that has lost its name there is one without any.
    engine.docker_command(&["save", "--output", file, &built.config]);
    built.expect_all_in(&saved, Format::Docker, Some("@0"));
}

#[test]
fn podman_loads_our_archive_and_we_read_what_it_saves() {
    let built = Built::new(Overcoat::new(), &NAMES, &[]);
    let podman = Podman::new();
    podman.run(&["load", "--input", &built.archive()]);
    for name in FULL {
        let id = podman.run(&["image", "inspect", "--format", "{{.Id}}", name]);
        assert_eq!(format!("sha256:{}", id.trim()), built.config);
    }
    // As buildah, it writes a configuration of its own: the layers are what must stay.
    for (kind, format) in [
        ("docker-archive", Format::Docker),
        ("oci-archive", Format::Oci),
    ] {
        let saved = built.path(kind);
        let file = saved.to_str().unwrap();
        podman.run(&["save", "--format", kind, "--output", file, FULL[0]]);
        built.expect_in(&saved, format, Some(NAMES[0]));
        built.expect_in(&saved, Format::Both, None);
    }
}

#[test]
fn skopeo_and_buildah_read_and_write_archives() {
    let built = Built::new(Overcoat::new(), &NAMES, &[]);
    let archive = built.archive();
    for (from, format) in [
        (format!("oci-archive:{archive}:{}", FULL[0]), Format::Oci),
        (
            format!("docker-archive:{archive}:{}", NAMES[1]),
            Format::Docker,
        ),
        (format!("docker-archive:{archive}"), Format::Docker),
    ] {
        let to = tempfile::tempdir().unwrap();
        let file = to.path().join("b.tar");
        let target = format!("{}:{}:{}", format.scheme(), file.display(), FULL[0]);
        tool("skopeo", &["copy", "--insecure-policy", &from, &target]);
        let image = built.expect_all_in(&file, format, Some(NAMES[0]));
        if format == Format::Oci {
            assert_eq!(image.digest().to_string(), built.manifest);
        }
    }
    // buildah writes a configuration of its own: the layers are what must stay.
    let podman = Podman::new();
    let storage = podman.configuration();
    let buildah = |arguments: &[&str]| {
        let mut command = std::process::Command::new("buildah");
        command.args(arguments);
        command.env("CONTAINERS_STORAGE_CONF", &storage);
        let output = command.output().expect("buildah, which ./test.sh installs");
        super::support::Done::from(output).ok().stdout
    };
    let from = format!("oci-archive:{archive}:{}", FULL[0]);
    let pulled = buildah(&["pull", "--signature-policy", &policy(&built), &from]);
    for (kind, format) in [
        ("docker-archive", Format::Docker),
        ("oci-archive", Format::Oci),
    ] {
        let file = built.path(&format!("buildah-{kind}"));
        let target = format!("{kind}:{}:{}", file.display(), FULL[0]);
        let policy = policy(&built);
        buildah(&[
            "push",
            "--signature-policy",
            &policy,
            pulled.trim(),
            &target,
        ]);
        built.expect_in(&file, format, None);
    }
}

/// That signatures are not asked for.
fn policy(built: &Built) -> String {
    let file = built.path("policy.json");
    std::fs::write(&file, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    file.display().to_string()
}

#[test]
fn build_loads_into_the_engines_of_this_machine() {
    let (containerd, docker, podman) = (Engine::containerd(), Engine::docker(), Podman::new());
    let overcoat = Overcoat::new()
        .with("CONTAINERD_ADDRESS", containerd.socket().to_str().unwrap())
        .with(
            "DOCKER_HOST",
            &format!("unix://{}", docker.socket().display()),
        )
        .with(
            "CONTAINERS_STORAGE_CONF",
            podman.configuration().to_str().unwrap(),
        );
    let loads = [
        "--load",
        "docker",
        "--load",
        "containerd:k8s.io",
        "--load",
        "podman",
    ];
    let built = Built::new(overcoat, &NAMES, &loads);
    let expected = FULL.map(|name| (name.to_owned(), built.manifest.clone()));
    let list = containerd.ctr(&["--namespace", "k8s.io", "images", "list"]);
    assert_eq!(listed(&list), expected);
    for name in FULL {
        let id = docker.docker_command(&["image", "inspect", "--format", "{{.Id}}", name]);
        assert_eq!(id.trim(), built.config);
        let id = podman.run(&["image", "inspect", "--format", "{{.Id}}", name]);
        assert_eq!(format!("sha256:{}", id.trim()), built.config);
    }
}

#[test]
fn an_engine_that_is_not_there_is_said_so_before_anything_is_built() {
    let directory = tempfile::tempdir().unwrap();
    let source = copy_of_app("no-requirements", directory.path());
    let overcoat = Overcoat::new().with("DOCKER_HOST", "unix:///no/such.sock");
    let arguments = ["build", source.to_str().unwrap(), "--load", "docker"];
    let done = overcoat.run(&arguments);
    assert_eq!(done.code, Some(60), "{}", done.stderr);
    assert!(
        done.stderr.starts_with(
            "error: cannot load into `docker`: there is no socket `/no/such.sock`, which DOCKER_HOST names\nhint: "
        ),
        "{}",
        done.stderr
    );
    assert!(!overcoat.store().exists());
    let done = overcoat.run(&["build", "--load", "k3d"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
}
