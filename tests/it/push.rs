//! Pushes that move no byte twice, against Debian's docker-registry: bases that stay where they are, blobs that are
//! gone, indexes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use overcoat::event::Silent;
use overcoat::http::Http;
use overcoat::image::edit::{self, Changes, NewLayer};
use overcoat::image::{Descriptor, Image, ImageIndex, Platform, media_type};
use overcoat::layer::{Entry, EntryPath, Kind, LayerWriter};
use overcoat::reference::Reference;
use overcoat::registry::{
    Access, Layers, Previous, PushReport, PushRequest, RegistryClient, Settings,
};
use overcoat::store::BlobStore;

use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Overcoat, tool};

fn client(auth_files: &[&Registry]) -> RegistryClient {
    let settings = Settings {
        auth_files: auth_files
            .iter()
            .map(|registry| registry.auth_file())
            .collect(),
        ..Settings::default()
    };
    RegistryClient::new(Arc::new(Http::new(&Default::default()).unwrap()), settings)
}

fn reference(registry: &Registry, name: &str) -> Reference {
    format!("{}/{name}", registry.host()).parse().unwrap()
}

/// The tiny builder in a registry, as `builders/tiny:1`.
fn push_base(client: &RegistryClient, directory: &Path, registry: &Registry) -> Reference {
    Tiny::default().write(directory);
    let store = BlobStore::open(&directory.join("builder")).unwrap();
    let image = store.image(&store.names().unwrap()[0].manifest).unwrap();
    let base = reference(registry, "builders/tiny:1");
    let request = PushRequest::new(&image, &base, &store);
    client.push(&request, &Silent).unwrap();
    base
}

/// `base` with a layer on top that has one file, `text`; only that layer is put into the store.
fn application(store: &BlobStore, base: &Image, text: &str) -> Image {
    let size = text.len() as u64;
    let path = EntryPath::parse(b"opt/app-root/src/app.py").unwrap();
    let entry = Entry::new(path, Kind::File { size }, 0o644);
    let mut writer = LayerWriter::new(store.begin_blob().unwrap(), 0, 1);
    writer.append(&entry, text.as_bytes()).unwrap();
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
    let image = edit::append(base, &[layer], &changes).unwrap();
    store.put_documents(&image).unwrap();
    image
}

fn counts(report: &PushReport) -> (usize, usize, usize) {
    (report.uploaded_blobs, report.mounted, report.skipped)
}

#[test]
fn a_base_that_is_in_the_registry_is_mounted_and_not_downloaded() {
    for registry in [Registry::start(), Registry::with_login()] {
        let directory = tempfile::tempdir().unwrap();
        let client = client(&[&registry]);
        let bases = [push_base(&client, directory.path(), &registry)];
        let store = BlobStore::open(&directory.path().join("store")).unwrap();
        let platform = Platform::host();
        let base = client.pull(&bases[0], &platform, &store, Layers::None, &Silent);
        let base = base.unwrap();
        let image = application(&store, &base, "app 1");
        let to = reference(&registry, "team/app:1");
        let push = |image: &Image, previous: Previous<'_>| {
            let request = PushRequest {
                mount_from: &bases,
                origins: &bases,
                previous,
                ..PushRequest::new(image, &to, &store)
            };
            client.push(&request, &Silent).unwrap()
        };
        let before = client.manifest(&to, Access::PullAndPush, &Silent).unwrap();
        assert_eq!(before, None);
        // The tiny base has two layers; the application's layer and the configuration are new.
        assert_eq!(counts(&push(&image, Previous::Absent)), (2, 2, 0));
        assert_eq!(store.lacks(&(&image).into()).len(), 2);
        assert!(push(&image, Previous::Unknown).already_there);
        let previous = client.manifest(&to, Access::PullAndPush, &Silent).unwrap();
        let changed = application(&store, &base, "app 2");
        let report = push(&changed, Previous::Manifest(&previous.unwrap()));
        assert_eq!(counts(&report), (2, 0, 2));
        assert!(report.bytes < 5_000, "{}", report.bytes);

        // What the registry has is whole: another machine can pull it.
        let other = BlobStore::open(&directory.path().join("other")).unwrap();
        let pulled = client.pull(&to, &platform, &other, Layers::All, &Silent);
        assert_eq!(pulled.unwrap(), changed);
        assert!(other.lacks(&(&changed).into()).is_empty());
    }
}

#[test]
fn a_base_in_another_registry_is_fetched_when_the_destination_does_not_have_it() {
    let (one, other) = (Registry::with_login(), Registry::start());
    let directory = tempfile::tempdir().unwrap();
    let client = client(&[&one]);
    let bases = [push_base(&client, directory.path(), &one)];
    let store = BlobStore::open(&directory.path().join("store")).unwrap();
    let platform = Platform::host();
    let base = client.pull(&bases[0], &platform, &store, Layers::None, &Silent);
    let image = application(&store, &base.unwrap(), "app");
    let to = reference(&other, "team/app:1");
    let request = PushRequest::new(&image, &to, &store);
    let refused = client.push(&request, &Silent).unwrap_err();
    let text = refused.to_string();
    let mut base_layers = image.manifest.parsed.layers[..2].iter();
    assert!(
        text.contains("nor on this machine")
            && base_layers.any(|layer| text.contains(&layer.digest.to_string())),
        "{text}"
    );
    // Elsewhere, for the refused push may have sent some of what is here.
    let to = reference(&other, "team/other:1");
    let request = PushRequest {
        mount_from: &bases,
        origins: &bases,
        ..PushRequest::new(&image, &to, &store)
    };
    let report = client.push(&request, &Silent).unwrap();
    assert_eq!(counts(&report), (4, 0, 0));
    assert!(store.lacks(&(&image).into()).is_empty());
}

#[test]
fn what_the_registry_lost_is_repaired_by_a_push() {
    for registry in [Registry::start(), Registry::with_login()] {
        let directory = tempfile::tempdir().unwrap();
        let client = client(&[&registry]);
        push_base(&client, directory.path(), &registry);
        let store = BlobStore::open(&directory.path().join("builder")).unwrap();
        let base = store.image(&store.names().unwrap()[0].manifest).unwrap();
        let to = reference(&registry, "team/app:1");
        let push = |image: &Image| {
            let request = PushRequest::new(image, &to, &store);
            client.push(&request, &Silent).unwrap()
        };
        push(&application(&store, &base, "app 1"));
        let lost = &base.manifest.parsed.layers[1].digest;
        fs::remove_file(registry.blob(&lost.to_string())).unwrap();
        let changed = application(&store, &base, "app 2");
        assert_eq!(counts(&push(&changed)), (3, 0, 1));
        let other = BlobStore::open(&directory.path().join("other")).unwrap();
        let pulled = client.pull(&to, &Platform::host(), &other, Layers::All, &Silent);
        assert_eq!(pulled.unwrap(), changed);
    }
}

/// An index of two images that share the tiny builder's layers, in a store under the name `multi:1`.
pub fn index_in(store: &BlobStore) -> ImageIndex {
    let base = store.image(&store.names().unwrap()[0].manifest).unwrap();
    let layers: Vec<NewLayer> = base
        .layers()
        .map(|(descriptor, diff_id)| NewLayer {
            descriptor: descriptor.clone(),
            diff_id: diff_id.clone(),
            created_by: "test".to_owned(),
        })
        .collect();
    let images = ["linux/arm64", "linux/amd64"].map(|platform| {
        let changes = Changes {
            created: "1980-01-01T00:00:00Z".to_owned(),
            ..Changes::default()
        };
        let base = edit::from_scratch(&platform.parse().unwrap(), &layers, &changes);
        application(store, &base.unwrap(), platform)
    });
    let index = edit::index(images.to_vec(), &BTreeMap::new()).unwrap();
    let content = (&index).into();
    store.put_content(&content).unwrap();
    store.tag_content("multi:1", &content).unwrap();
    index
}

#[test]
fn an_index_is_pushed_written_and_read_by_others() {
    let directory = tempfile::tempdir().unwrap();
    Tiny::default().write(directory.path());
    let overcoat = Overcoat::new();
    fs::create_dir_all(overcoat.store().parent().unwrap()).unwrap();
    fs::rename(directory.path().join("builder"), overcoat.store()).unwrap();
    let store = BlobStore::open(&overcoat.store()).unwrap();
    let index = index_in(&store);
    let digest = index.index().descriptor.digest.to_string();
    let registry = Registry::start();
    let name = format!("{}/team/multi:1", registry.host());
    let pushed = overcoat.run(&["push", "multi:1", &name]).ok();
    assert_eq!(pushed.digest(&name), digest);
    let again = overcoat.run(&["push", "multi:1", &name]).ok();
    assert!(again.stderr.contains("0 blobs sent"), "{}", again.stderr);

    let image = format!("docker://{name}");
    let raw = tool(
        "skopeo",
        &["inspect", "--raw", "--tls-verify=false", &image],
    );
    assert_eq!(raw.as_bytes(), index.index().bytes);
    assert_eq!(
        overcoat.run(&["inspect", "multi:1", "--raw"]).ok().stdout,
        raw
    );
    let copy = |from: &str, to: &str| {
        let usual = [
            "copy",
            "--all",
            "--insecure-policy",
            "--src-tls-verify=false",
        ];
        tool(
            "skopeo",
            &[&usual[..], &["--dest-tls-verify=false", from, to]].concat(),
        )
    };
    let path = |name: &str| directory.path().join(name).display().to_string();
    let blob = |layout: &str| {
        Path::new(layout)
            .join("blobs")
            .join(digest.replace(':', "/"))
    };
    copy(&image, &format!("oci:{}:multi", path("copy")));
    assert_eq!(fs::read(blob(&path("copy"))).unwrap(), index.index().bytes);

    // The store itself, and both outputs, are such layouts.
    let stored = format!("oci:{}:multi:1", overcoat.store().display());
    copy(
        &stored,
        &format!("docker://{}/team/from-store:1", registry.host()),
    );
    let names = ["multi:1".to_owned()];
    for kind in ["oci", "oci-archive"] {
        let to = format!("{kind}:{}", path(kind));
        let destination: overcoat::output::Destination = to.parse().unwrap();
        destination.write(&index, &names, &store, &Silent).unwrap();
        let again = path(&format!("{kind}-copy"));
        copy(&format!("{to}:multi:1"), &format!("oci:{again}:multi"));
        assert_eq!(
            fs::read(blob(&again)).unwrap(),
            index.index().bytes,
            "{kind}"
        );
    }
    let docker: overcoat::output::Destination = format!("docker-archive:{}", path("docker.tar"))
        .parse()
        .unwrap();
    let refused = docker.write(&index, &names, &store, &Silent).unwrap_err();
    assert!(
        refused.to_string().contains("one platform only"),
        "{refused}"
    );

    let listed = overcoat.run(&["images"]).ok().stdout;
    assert!(listed.contains("linux/amd64,linux/arm64"), "{listed}");
    let shown = overcoat.inspect("multi:1");
    assert_eq!(shown["digest"], digest.as_str());
    assert_eq!(shown["images"][1]["platform"], "linux/arm64");
    // Each platform finds its own.
    for (image, platform) in index.images().iter().zip(["linux/amd64", "linux/arm64"]) {
        let other = Overcoat::new();
        let pulled = other.run(&["pull", &name, "--platform", platform]).ok();
        assert_eq!(pulled.digest(&name), image.digest().to_string());
    }
}
