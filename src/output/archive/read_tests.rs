//! Reading what other tools write, and refusing what nobody should.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::super::samples::{self, Impatient, gzip};
use super::*;
use crate::digest::Digest;
use crate::event::Silent;
use crate::image::{Content, media_type};

/// A tar made by hand.
pub(super) struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    pub(super) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(super) fn raw(
        mut self,
        kind: tar::EntryType,
        name: &str,
        link: &str,
        content: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        // Not through the crate, which refuses what a hostile writer writes.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub(super) fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(tar::EntryType::Regular, name, "", content)
    }

    pub(super) fn link(self, name: &str, target: &str) -> Self {
        self.raw(tar::EntryType::Symlink, name, target, b"")
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// Parts of a Docker archive: a configuration and the tars of its layers.
pub(super) struct Parts {
    pub(super) config: Vec<u8>,
    pub(super) layers: Vec<Vec<u8>>,
}

impl Parts {
    pub(super) fn new(layers: &[&str]) -> Self {
        let layers: Vec<Vec<u8>> = layers
            .iter()
            .map(|name| samples::tar(name, name.as_bytes()))
            .collect();
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        Self {
            config: config.to_string().into_bytes(),
            layers,
        }
    }

    pub(super) fn config_name(&self) -> String {
        format!("{}.json", Digest::of(&self.config).hex())
    }
}

pub(super) fn manifest(config: &str, tags: &[&str], layers: &[&str]) -> serde_json::Value {
    json!({ "Config": config, "RepoTags": tags, "Layers": layers })
}

pub(super) fn list(images: &[serde_json::Value]) -> Vec<u8> {
    json!(images).to_string().into_bytes()
}

/// A place for one archive and one store.
pub(super) struct Place {
    directory: tempfile::TempDir,
    pub(super) store: BlobStore,
}

impl Place {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = samples::store(&directory.path().join("store"));
        Self { directory, store }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.directory.path().join("a.tar")
    }

    pub(super) fn read(
        &self,
        archive: &[u8],
        format: Format,
        name: Option<&str>,
    ) -> Result<Image, Error> {
        std::fs::write(self.file(), archive).unwrap();
        let host = "linux/amd64".parse().unwrap();
        read(&self.file(), format, name, &host, &self.store, &Silent)
    }

    /// Reads a Docker archive, and checks that everything of it is here.
    #[track_caller]
    pub(super) fn docker(&self, archive: &[u8], parts: &Parts) -> Image {
        let image = self.read(archive, Format::Docker, None).unwrap();
        assert_eq!(image.config.bytes, parts.config);
        let diff_ids: Vec<Digest> = image.layers().map(|(_, id)| id.0.clone()).collect();
        let expected: Vec<Digest> = parts.layers.iter().map(|layer| Digest::of(layer)).collect();
        assert_eq!(diff_ids, expected);
        assert!(self.store.lacks(&(&image).into()).is_empty());
        image
    }

    #[track_caller]
    pub(super) fn refuses(&self, archive: &[u8], format: Format, reason: &str) {
        let error = self.read(archive, format, None).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(error.contains("a.tar"), "{error}");
    }
}

#[test]
fn what_docker_saved_before_version_25_is_read_with_its_links() {
    let place = Place::new();
    let parts = Parts::new(&["one", "two"]);
    let (a, b, c) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
    let layers = [&a, &b].map(|id| format!("{id}/layer.tar"));
    let layers = [layers[0].as_str(), &layers[1]];
    let image = manifest(&parts.config_name(), &["app:1"], &layers);
    // A second image that shares its layer: a link to the first's.
    let other = Parts::new(&["one"]);
    let linked = format!("{c}/layer.tar");
    let second = manifest(&other.config_name(), &["other:1"], &[&linked]);
    let archive = Tar::new()
        .file(&format!("{a}/VERSION"), b"1.0")
        .file(&format!("{a}/json"), b"{\"id\":\"a\"}")
        .file(&format!("{a}/layer.tar"), &parts.layers[0])
        .file(&parts.config_name(), &parts.config)
        .file(&format!("{b}/layer.tar"), &parts.layers[1])
        .link(&linked, &format!("../{a}/layer.tar"))
        .file(&other.config_name(), &other.config)
        .file("manifest.json", &list(&[image, second]))
        .file("repositories", b"{}")
        .bytes();
    for (name, expected) in [
        ("app:1", &parts),
        ("docker.io/library/app:1", &parts),
        ("other:1", &other),
        ("@1", &other),
    ] {
        let image = place.read(&archive, Format::Docker, Some(name)).unwrap();
        assert_eq!(image.config.bytes, expected.config, "{name}");
        assert_eq!(
            image.manifest.parsed.layers[0].media_type,
            media_type::OCI_LAYER
        );
        assert!(place.store.lacks(&(&image).into()).is_empty());
    }
    let refused = place.read(&archive, Format::Docker, None).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("no image that is the only one; it has `app:1`, `other:1`"),
        "{refused}"
    );
    let refused = place
        .read(&archive, Format::Docker, Some("none:1"))
        .unwrap_err();
    assert!(
        refused.to_string().contains("no image `none:1`; it has"),
        "{refused}"
    );
}

#[test]
fn other_writers_name_and_compress_things_in_other_ways() {
    let place = Place::new();
    let parts = Parts::new(&["one", "two"]);
    let compressed: Vec<Vec<u8>> = parts.layers.iter().map(|layer| gzip(layer)).collect();
    let digest = Digest::of(&parts.config);
    // go-containerregistry: kaniko's --tar-path, ko, crane, jib.
    let names: Vec<String> = compressed
        .iter()
        .map(|layer| format!("{}.tar.gz", Digest::of(layer).hex()))
        .collect();
    let image = manifest(&digest.to_string(), &[], &[&names[0], &names[1]]);
    let archive = Tar::new()
        .file(&digest.to_string(), &parts.config)
        .file(&names[0], &compressed[0])
        .file(&names[1], &compressed[1])
        .file("manifest.json", &list(&[image]));
    let read = place.docker(&archive.bytes(), &parts);
    let blob = place
        .store
        .blob_path(&read.manifest.parsed.layers[1].digest);
    assert_eq!(
        std::fs::read(blob).unwrap(),
        compressed[1],
        "gzip members as they were"
    );

    // rules_oci, and Docker 25: names below `blobs/`; the list first, and nothing in `RepoTags`.
    let config = format!("blobs/sha256/{}", digest.hex());
    let layers = [
        format!("blobs/sha256/{}.tar.gz", Digest::of(&compressed[0]).hex()),
        format!("blobs/sha256/{}", Digest::of(&parts.layers[1]).hex()),
    ];
    let image = json!([{ "Config": config, "RepoTags": null, "Layers": layers }]);
    let archive = Tar::new()
        .raw(tar::EntryType::Directory, "blobs/", "", b"")
        .file("manifest.json", image.to_string().as_bytes())
        .file(&layers[0], &compressed[0])
        .file(&layers[1], &parts.layers[1])
        .file(&config, &parts.config);
    place.docker(&archive.bytes(), &parts);

    // nixpkgs' dockerTools and podman: `./` before names, hard links, a layer twice in the list and once in the file.
    let twice = Parts::new(&["one", "one"]);
    let name = twice.config_name();
    let image = manifest(&name, &["app:1"], &["x/layer.tar", "./y/layer.tar"]);
    let archive = Tar::new()
        .file("./manifest.json", &list(&[image]))
        .file(&format!("./{name}"), &twice.config)
        .file("./x/layer.tar", &twice.layers[0])
        .raw(tar::EntryType::Link, "./y/layer.tar", "x/layer.tar", b"");
    place.docker(&archive.bytes(), &twice);
}

#[test]
fn long_names_of_both_kinds_are_read() {
    let parts = Parts::new(&["one"]);
    let long = format!("{}/layer.tar", "d".repeat(150));
    let image = list(&[manifest(&parts.config_name(), &[], &[&long])]);
    let start = || {
        Tar::new()
            .file("manifest.json", &image)
            .file(&parts.config_name(), &parts.config)
    };
    let gnu = start()
        .raw(
            tar::EntryType::GNULongName,
            "././@LongLink",
            "",
            format!("{long}\0").as_bytes(),
        )
        .file("cut", &parts.layers[0]);
    Place::new().docker(&gnu.bytes(), &parts);
    let record = format!(" path={long}\n");
    let record = format!("{}{record}", record.len() + 3);
    let pax = start()
        .raw(tar::EntryType::XHeader, "pax", "", record.as_bytes())
        .file("cut", &parts.layers[0]);
    Place::new().docker(&pax.bytes(), &parts);
}

pub(super) fn simple() -> (Parts, Vec<u8>) {
    let parts = Parts::new(&["one"]);
    let image = manifest(&parts.config_name(), &["app:1"], &["l.tar"]);
    let archive = Tar::new()
        .file("l.tar", &parts.layers[0])
        .file(&parts.config_name(), &parts.config)
        .file("manifest.json", &list(&[image]))
        .bytes();
    (parts, archive)
}

#[test]
fn an_archive_may_be_compressed_as_a_whole_or_come_through_a_pipe() {
    let (parts, archive) = simple();
    let zstd = zstd::encode_all(&archive[..], 1).unwrap();
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(&archive).unwrap();
    for compressed in [gzip(&archive), zstd, xz.finish().unwrap()] {
        let place = Place::new();
        place.docker(&compressed, &parts);
        let error = place.read(&compressed[..compressed.len() / 2], Format::Docker, None);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("cannot be decompressed"), "{error}");
    }
    Place::new().refuses(b"BZh91AY", Format::Docker, "compressed with bzip2");
    let place = Place::new();
    for bytes in [archive.clone(), gzip(&archive)] {
        let pipe = place.directory.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&pipe, &bytes).unwrap());
            let host = "linux/amd64".parse().unwrap();
            let image = read(&pipe, Format::Both, None, &host, &place.store, &Silent).unwrap();
            assert_eq!(image.config.bytes, parts.config);
        });
        std::fs::remove_file(pipe).unwrap();
    }
}

#[test]
fn an_archive_of_the_other_kind_is_named_as_such() {
    let place = Place::new();
    let (_, docker) = simple();
    let error = place.read(&docker, Format::Oci, None).unwrap_err();
    assert!(error.hints()[0].contains("`docker-archive:`"), "{error}");
    let oci = Tar::new().file("index.json", b"{}").bytes();
    let error = place.read(&oci, Format::Docker, None).unwrap_err();
    assert!(error.hints()[0].contains("`oci-archive:`"), "{error}");
    let old = Tar::new().file("repositories", b"{}").bytes();
    let error = place.read(&old, Format::Docker, None).unwrap_err();
    assert!(error.hints()[0].contains("before 1.10"), "{error}");
    let host = "linux/amd64".parse().unwrap();
    let directory = read(
        place.directory.path(),
        Format::Oci,
        None,
        &host,
        &place.store,
        &Silent,
    );
    assert!(directory.unwrap_err().hints()[0].contains("`oci:DIR`"));
}

/// Our own archive of what is in another store.
pub(super) fn ours(
    format: Format,
    content: &Content<'_>,
    names: &[&str],
    store: &BlobStore,
) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let plan = plan("x", format, content, &names, None, store, &Silent).unwrap();
    let mut bytes = Vec::new();
    plan.write(&mut bytes, Path::new("x"), store, &Silent)
        .unwrap();
    bytes
}

#[test]
fn our_own_archives_keep_their_digests() {
    let (from, place) = (Place::new(), Place::new());
    let index = samples::index(&from.store);
    let image = &index.images()[0];
    for format in [Format::Both, Format::Oci] {
        let archive = ours(format, &image.into(), &["app:1", "app:2"], &from.store);
        for name in [None, Some("app:2"), Some("docker.io/library/app:1")] {
            assert_eq!(
                place.read(&archive, format, name).unwrap(),
                *image,
                "{name:?}"
            );
        }
    }
    let archive = ours(Format::Both, &(&index).into(), &["app:1"], &from.store);
    assert_eq!(place.read(&archive, Format::Both, None).unwrap(), *image);
    let docker = place.read(&archive, Format::Docker, None).unwrap();
    assert_eq!(docker.config, index.images()[0].config);
    let other = Place::new();
    std::fs::write(other.file(), &archive).unwrap();
    let all = read_all(&other.file(), Format::Both, None, &other.store, &Silent).unwrap();
    assert_eq!(all, Stored::Index(Box::new(index.clone())));
    assert!(other.store.lacks(&all.content()).is_empty());
    let host = "linux/s390x".parse().unwrap();
    let none = read(
        &other.file(),
        Format::Oci,
        None,
        &host,
        &other.store,
        &Silent,
    );
    assert!(
        none.unwrap_err()
            .to_string()
            .contains("no image for `linux/s390x`")
    );
    let stopped = read(
        &other.file(),
        Format::Oci,
        None,
        &host,
        &other.store,
        &Impatient,
    );
    assert!(matches!(stopped, Err(Error::Interrupted)));
}
