//! Whole images: layers on layers, whiteouts, hostile files, caches, and the same bytes each time.

use serde_json::Value;

use super::samples::{Member, image, store};
use super::*;
use crate::event::Silent;
use crate::store::BlobStore;

const SITE: &str = "opt/venv/lib/python3.11/site-packages";
const OS_RELEASE: Member<'_> = ("usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\n");

fn dist(name: &str, version: &str, file: &str) -> String {
    format!("{SITE}/{name}-{version}.dist-info/{file}")
}

fn metadata_of(name: &str, version: &str) -> String {
    format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n\ntext")
}

struct Bench {
    directory: tempfile::TempDir,
    store: BlobStore,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        Self { directory, store }
    }

    fn cache(&self) -> Cache {
        Cache::new(self.directory.path().join("cache"))
    }

    fn image(&self, layers: &[&[Member<'_>]]) -> Image {
        image(&self.store, layers)
    }

    fn bom(&self, layers: &[&[Member<'_>]]) -> Bom {
        let image = self.image(layers);
        let fresh = Cache::new(self.directory.path().join("none"));
        let bom = of(&image, &mut Local(&self.store), &fresh, &Silent).unwrap();
        // What is remembered of layers says the same as the layers.
        let again = of(&image, &mut Gone, &fresh, &Silent).unwrap();
        std::fs::remove_dir_all(self.directory.path().join("none")).unwrap();
        assert_eq!(bom, again);
        bom
    }

    fn purls(&self, layers: &[&[Member<'_>]]) -> Vec<String> {
        let components = self.bom(layers).components;
        components.into_iter().map(|it| it.purl).collect()
    }
}

/// Layers that nobody has.
struct Gone;

impl Layers for Gone {
    fn bring(&mut self, layer: &crate::image::Descriptor) -> Result<&BlobStore, Error> {
        Err(Error::Nowhere {
            digest: layer.digest.clone(),
        })
    }

    fn release(&mut self, _layer: &crate::image::Descriptor) {}
}

#[test]
fn distributions_are_listed_with_all_that_is_beside_them() {
    let hex = "ab".repeat(32);
    let origin = format!(
        "{{\"url\": \"https://u:p@example.org/f.whl\", \"archive_info\": {{\"hashes\": {{\"sha256\": \"{hex}\"}}}}}}"
    );
    let (one, two) = (
        metadata_of("Flask", "3.0.0"),
        metadata_of("zope.interface", "6.1"),
    );
    let bench = Bench::new();
    let bom = bench.bom(&[
        &[
            (&dist("flask", "3.0.0", "METADATA"), &one),
            (&dist("flask", "3.0.0", "INSTALLER"), "pip\n"),
        ],
        &[
            (&dist("flask", "3.0.0", "direct_url.json"), &origin),
            (&dist("flask", "3.0.0", "REQUESTED"), ""),
            (&dist("flask", "3.0.0", "RECORD"), ""),
            (&dist("zope.interface", "6.1", "METADATA"), &two),
        ],
    ]);
    let [flask, zope] = bom.components.as_slice() else {
        panic!("{bom:?}");
    };
    assert_eq!(
        flask.purl,
        "pkg:pypi/flask@3.0.0?download_url=https:%2F%2Fexample.org%2Ff.whl"
    );
    assert_eq!(
        (flask.name.as_str(), flask.hashes[0].hex.as_str()),
        ("Flask", hex.as_str())
    );
    let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(
        flask.facts,
        [
            ("installer", "pip".to_owned()),
            ("requested", "true".to_owned()),
            ("record", empty.to_owned())
        ]
    );
    assert_eq!(zope.purl, "pkg:pypi/zope-interface@6.1");
    assert_ne!(flask.layer, zope.layer);
    assert_eq!(bom.created.as_deref(), Some("2024-02-03T03:05:06Z"));
    assert!(bom.unlisted.is_empty());
}

#[test]
fn what_a_later_layer_removes_or_replaces_is_gone() {
    let (old, new) = (metadata_of("six", "1.15.0"), metadata_of("six", "1.16.0"));
    let path = dist("six", "1.15.0", "METADATA");
    let base: &[Member<'_>] = &[(&path, &old)];
    let bench = Bench::new();
    assert_eq!(bench.purls(&[base]), ["pkg:pypi/six@1.15.0"]);
    let removals: [&[Member<'_>]; 8] = [
        &[(&dist("six", "1.15.0", ".wh.METADATA"), "")],
        &[(&format!("{SITE}/.wh.six-1.15.0.dist-info"), "")],
        &[("opt/.wh.venv", "")],
        &[(".wh.opt", "")],
        &[("opt/venv/.wh..wh..opq", "")],
        &[(".wh..wh..opq", "")],
        &[("@opt/venv", "elsewhere")],
        &[("opt", "a file now")],
    ];
    for removal in removals {
        assert!(bench.purls(&[base, removal]).is_empty(), "{removal:?}");
        // It comes back with the layer above.
        assert_eq!(bench.purls(&[base, removal, base]), ["pkg:pypi/six@1.15.0"]);
    }
    let kept: [&[Member<'_>]; 4] = [
        &[("opt/venv/lib/", ""), ("opt/ven", "x")],
        &[("opt/.wh.ven", "")],
        &[(&dist("six", "1.15.0-x", ".wh..wh..opq"), "")],
        &[("opt/venv-x/.wh..wh..opq", "")],
    ];
    for layer in kept {
        assert_eq!(
            bench.purls(&[base, layer]),
            ["pkg:pypi/six@1.15.0"],
            "{layer:?}"
        );
    }
    // pip's upgrade in a layer of its own, in either order of the members.
    let upgrade = dist("six", "1.16.0", "METADATA");
    let removal = format!("{SITE}/.wh.six-1.15.0.dist-info");
    let mut layer: [Member<'_>; 2] = [(&removal, ""), (&upgrade, &new)];
    assert_eq!(bench.purls(&[base, &layer]), ["pkg:pypi/six@1.16.0"]);
    layer.reverse();
    assert_eq!(bench.purls(&[base, &layer]), ["pkg:pypi/six@1.16.0"]);
    // An opaque directory does not hide what its own layer has in it.
    let opaque: &[Member<'_>] = &[(&upgrade, &new), ("opt/.wh..wh..opq", "")];
    assert_eq!(bench.purls(&[base, opaque]), ["pkg:pypi/six@1.16.0"]);
}

#[test]
fn a_database_s_packages_are_of_the_layers_that_brought_them() {
    let stanza = |name: &str, version: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
        )
    };
    let lower = stanza("bash", "5.2") + &stanza("libc6", "2.36-9");
    let upper = stanza("bash", "5.2") + &stanza("libc6", "2.36-10") + &stanza("curl", "7.88");
    let licence = "Format: x\n\nLicense: GPL-3+\n";
    let bench = Bench::new();
    let layers: [&[Member<'_>]; 2] = [
        &[
            OS_RELEASE,
            ("var/lib/dpkg/status", &lower),
            ("usr/share/doc/bash/copyright", licence),
        ],
        &[("var/lib/dpkg/status", &upper)],
    ];
    let bom = bench.bom(&layers);
    let image = bench.image(&layers);
    let digests: Vec<Digest> = image.layers().map(|(it, _)| it.digest.clone()).collect();
    let found: Vec<_> = bom
        .components
        .iter()
        .map(|it| (it.purl.as_str(), &it.layer))
        .collect();
    assert_eq!(
        found,
        [
            (
                "pkg:deb/debian/bash@5.2?arch=amd64&distro=debian-12",
                &digests[0]
            ),
            (
                "pkg:deb/debian/curl@7.88?arch=amd64&distro=debian-12",
                &digests[1]
            ),
            (
                "pkg:deb/debian/libc6@2.36-10?arch=amd64&distro=debian-12",
                &digests[1]
            ),
        ]
    );
    assert_eq!(
        bom.components[0].licences,
        [Licence::Named("GPL-3+".to_owned())]
    );
    assert_eq!(bom.distribution.map(|it| it.id).as_deref(), Some("debian"));
}

#[test]
fn what_cannot_be_listed_is_said() {
    let bench = Bench::new();
    let left = metadata_of("pip", "23.0");
    let bom = bench.bom(&[&[
        ("var/lib/rpm/rpmdb.sqlite", "SQLite format 3"),
        (
            &dist("bad", "1", "METADATA"),
            "Name: \u{1b}[2J\nVersion: 1\n",
        ),
        (&format!("@{}", dist("linked", "1", "METADATA")), "/x"),
        (&dist("~ip", "23.0", "METADATA"), &left),
        ("usr/local/bin/python3.11", "no version in it"),
        ("usr/local/bin/python3.12", "\0"),
    ]]);
    assert!(bom.components.is_empty(), "{bom:?}");
    let expected = [
        "~ip-23.0.dist-info/METADATA: pip left",
        "bad-1.dist-info/METADATA: it says no name",
        "linked-1.dist-info/METADATA: it is a link",
        "python3.11: an interpreter whose version",
        "python3.12: an interpreter whose version",
        "/var/lib/rpm/rpmdb.sqlite: packages of RPM",
    ];
    assert_eq!(bom.unlisted.len(), expected.len(), "{:?}", bom.unlisted);
    for text in expected {
        assert!(
            bom.unlisted.iter().any(|it| it.contains(text)),
            "{text}: {:?}",
            bom.unlisted
        );
    }
    let document: Value = serde_json::from_slice(&write(&bom, Format::CycloneDx)).unwrap();
    assert_eq!(document["compositions"][0]["aggregate"], "incomplete");
    assert_eq!(
        document["metadata"]["properties"].as_array().map(Vec::len),
        Some(6)
    );
    let document: Value = serde_json::from_slice(&write(&bom, Format::Spdx)).unwrap();
    assert!(document["comment"].as_str().unwrap().contains("RPM"));
}

#[test]
fn interpreters_are_found_by_what_lies_beside_them() {
    let bench = Bench::new();
    let status = "Package: python3.11-minimal\nStatus: install ok installed\nVersion: 3.11.2-6\n";
    let bom = bench.bom(&[&[
        ("usr/bin/python3.11", "\0\x33.11.2\0"),
        ("usr/local/bin/python3.12", "small"),
        ("usr/local/lib/libpython3.12.so.1.0", "\0\x33.12.4+\0"),
        ("opt/conda/bin/python3.13", "small"),
        (
            "opt/conda/include/python3.13/patchlevel.h",
            "#define PY_VERSION \"3.13.0\"\n",
        ),
        ("var/lib/dpkg/status", status),
    ]]);
    let found: Vec<_> = bom
        .components
        .iter()
        .filter(|it| it.ecosystem == Ecosystem::Interpreter)
        .map(|it| (it.version.as_str(), it.location.as_str(), it.facts.first()))
        .collect();
    let provider = ("provided-by", "python3.11-minimal".to_owned());
    assert_eq!(
        found,
        [
            ("3.11.2", "/usr/bin/python3.11", Some(&provider)),
            ("3.12.4", "/usr/local/bin/python3.12", None),
            ("3.13.0", "/opt/conda/bin/python3.13", None),
        ]
    );
    assert!(bom.unlisted.is_empty());
}

#[test]
fn the_same_image_gives_the_same_bytes_and_is_read_once() {
    let bench = Bench::new();
    let (one, two) = (metadata_of("a", "1"), metadata_of("b", "2"));
    let below: &[Member<'_>] = &[OS_RELEASE, (&dist("a", "1", "METADATA"), &one)];
    let above: &[Member<'_>] = &[(&dist("b", "2", "METADATA"), &two)];
    let image = bench.image(&[below, above]);
    let cache = bench.cache();
    for format in [Format::CycloneDx, Format::Spdx] {
        let fresh = Cache::new(bench.directory.path().join("other"));
        let first = document(&image, format, &mut Local(&bench.store), &cache, &Silent).unwrap();
        let second = document(&image, format, &mut Local(&bench.store), &fresh, &Silent).unwrap();
        assert_eq!(first, second);
        // Now nothing is read any more.
        let third = document(&image, format, &mut Gone, &cache, &Silent).unwrap();
        assert_eq!(first, third);
    }
    // An edit reads its own layer alone.
    let edited: &[Member<'_>] = &[("app.py", "print()")];
    let image = bench.image(&[below, edited]);
    let mut counted = Counted(&bench.store, Vec::new());
    document(&image, Format::Spdx, &mut counted, &cache, &Silent).unwrap();
    let expected: Vec<Digest> = image
        .layers()
        .skip(1)
        .map(|(it, _)| it.digest.clone())
        .collect();
    assert_eq!(counted.1, expected);
}

/// Remembers which layers were read.
struct Counted<'a>(&'a BlobStore, Vec<Digest>);

impl Layers for Counted<'_> {
    fn bring(&mut self, layer: &crate::image::Descriptor) -> Result<&BlobStore, Error> {
        self.1.push(layer.digest.clone());
        Ok(self.0)
    }

    fn release(&mut self, _layer: &crate::image::Descriptor) {}
}

#[test]
fn two_of_the_same_have_two_names_in_the_document() {
    let bench = Bench::new();
    let text = metadata_of("six", "1.16.0");
    let bom = bench.bom(&[&[
        ("a/six-1.16.0.dist-info/METADATA", &text),
        ("b/six-1.16.0.dist-info/METADATA", &text),
    ]]);
    let document: Value = serde_json::from_slice(&write(&bom, Format::CycloneDx)).unwrap();
    let references: Vec<&str> = document["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["bom-ref"].as_str().unwrap())
        .collect();
    assert_eq!(references, ["pkg:pypi/six@1.16.0", "pkg:pypi/six@1.16.0#2"]);
    let document: Value = serde_json::from_slice(&write(&bom, Format::Spdx)).unwrap();
    let packages = document["packages"].as_array().unwrap();
    assert_eq!(packages.len(), 3);
    assert_ne!(packages[1]["SPDXID"], packages[2]["SPDXID"]);
}

#[test]
fn a_damaged_layer_gives_no_document_and_nothing_is_kept() {
    let bench = Bench::new();
    let text = metadata_of("six", "1.16.0");
    let image = bench.image(&[&[("six-1.16.0.dist-info/METADATA", &text)]]);
    let blob = bench
        .store
        .blob_path(&image.manifest.parsed.layers[0].digest);
    let mut bytes = std::fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let cache = bench.cache();
    let failed = of(&image, &mut Local(&bench.store), &cache, &Silent);
    assert!(matches!(failed, Err(Error::Layer { .. })), "{failed:?}");
    let kept = walkdir::WalkDir::new(bench.directory.path().join("cache"));
    assert_eq!(
        kept.into_iter()
            .flatten()
            .filter(|it| it.file_type().is_file())
            .count(),
        0
    );
}

#[test]
fn more_metadata_than_any_image_has_is_refused() {
    let bench = Bench::new();
    // Each keeps some kilobytes of names of licences.
    let classifiers: String = (0..64)
        .map(|it| format!("Classifier: License :: {it}{}\n", "x".repeat(150)))
        .collect();
    let text = format!("Name: a\nVersion: 1\n{classifiers}\n");
    let paths: Vec<String> = (0..8_000)
        .map(|it| format!("{it}.dist-info/METADATA"))
        .collect();
    let members: Vec<Member<'_>> = paths
        .iter()
        .map(|path| (path.as_str(), text.as_str()))
        .collect();
    let image = bench.image(&[&members]);
    let failed = of(&image, &mut Local(&bench.store), &bench.cache(), &Silent);
    assert!(
        matches!(&failed, Err(Error::Layer { source, .. }) if source.to_string().contains("bytes of it")),
        "{failed:?}"
    );
}

#[test]
fn uuids_have_their_form() {
    let one = uuid(&Digest::of(b"1"), Format::Spdx);
    assert_eq!(one.len(), 36);
    let parts: Vec<&str> = one.split('-').collect();
    assert_eq!(
        parts.iter().map(|it| it.len()).collect::<Vec<_>>(),
        [8, 4, 4, 4, 12]
    );
    assert!(parts[2].starts_with('8') && parts[3].starts_with(['8', '9', 'a', 'b']));
    assert_ne!(one, uuid(&Digest::of(b"1"), Format::CycloneDx));
}
