use std::fs as std_fs;

use super::*;
use crate::event::Silent;
use crate::image::edit::{Changes, NewLayer, from_scratch};
use crate::image::{Platform, media_type};
use crate::layer::{Entry, EntryPath, Kind, LayerWriter, Ownership};
use crate::reference::Reference;

fn store() -> (tempfile::TempDir, BlobStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = BlobStore::open(&directory.path().join("store")).unwrap();
    (directory, store)
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// An image of one layer with one file.
fn image_in(store: &BlobStore, content: &str) -> Image {
    let size = content.len() as u64;
    let mut entry = entry("file", Kind::File { size }, 0o644);
    entry.uid = rustix::process::getuid().as_raw();
    entry.gid = rustix::process::getgid().as_raw();
    image_of(store, &[(entry, content)])
}

fn entry(name: &str, kind: Kind, mode: u32) -> Entry {
    Entry::new(EntryPath::parse(name.as_bytes()).unwrap(), kind, mode)
}

/// An image of layers with one member each, base first.
fn image_of(store: &BlobStore, members: &[(Entry, &str)]) -> Image {
    let layer = |(entry, content): &(Entry, &str)| {
        let mut writer = LayerWriter::new(store.begin_blob().unwrap(), 0, 1);
        writer.append(entry, content.as_bytes()).unwrap();
        let (blob, layer) = writer.finish().unwrap();
        let (digest, size) = blob.finish().unwrap();
        NewLayer {
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
            diff_id: layer.diff_id,
            created_by: "test".to_owned(),
        }
    };
    let layers: Vec<NewLayer> = members.iter().map(layer).collect();
    let changes = Changes {
        created: "1980-01-01T00:00:00Z".to_owned(),
        ..Changes::default()
    };
    let image = from_scratch(&Platform::host(), &layers, &changes).unwrap();
    store.put_documents(&image).unwrap();
    image
}

/// Removes what no name reaches; how many blobs.
fn collect_garbage(store: &BlobStore) -> usize {
    let alone = store.alone().unwrap().unwrap();
    let reached = store.reached().unwrap();
    let blobs = store.unreached_blobs(&reached.blobs).unwrap();
    let unpacked = store.unreached_unpacked(&reached.unpacked).unwrap();
    let unreached = blobs.iter().chain(&unpacked);
    alone
        .remove(unreached.map(|unreached| &unreached.path))
        .unwrap();
    blobs.len()
}

fn blobs(store: &BlobStore) -> usize {
    fs::list(&store.root().join("blobs/sha256")).unwrap().len()
}

#[test]
fn a_blob_comes_back_and_a_damaged_one_does_not() {
    let (_directory, store) = store();
    let blob = Descriptor::of("text/plain", b"hello");
    store.put(&blob, b"hello").unwrap();
    store.put(&blob, b"hello").unwrap();
    assert_eq!(store.read_document(&blob).unwrap(), b"hello");
    std_fs::write(store.blob_path(&blob.digest), b"hallo").unwrap();
    assert!(matches!(
        store.read_document(&blob),
        Err(Error::Mismatch(Mismatch::Digest { .. }))
    ));
    std_fs::write(store.blob_path(&blob.digest), b"hello!").unwrap();
    assert!(!store.has(&blob));
}

#[test]
fn other_bytes_than_promised_are_never_stored() {
    let (_directory, store) = store();
    let blob = Descriptor::of("text/plain", b"hello");
    assert!(matches!(
        store.put(&blob, b"hallo"),
        Err(Error::Mismatch(_))
    ));
    assert!(matches!(
        store.put(&blob, b"hello!"),
        Err(Error::Mismatch(_))
    ));
    assert_eq!(blobs(&store), 0);
}

#[test]
fn an_unfinished_blob_leaves_nothing_behind() {
    let (directory, store) = store();
    let mut writer = store.begin_blob().unwrap();
    writer.write_all(b"half").unwrap();
    drop(writer);
    drop(store);
    let store = directory.path().join("store");
    assert_eq!(fs::list(&store.join("blobs/sha256")).unwrap().len(), 0);
    assert_eq!(fs::list(&store.join("tmp")).unwrap().len(), 0);
}

#[test]
fn sha512_blobs_are_kept_under_their_own_name() {
    let (_directory, store) = store();
    let mut digester = Digester::new(Algorithm::Sha512);
    digester.update(b"hello");
    let blob = Descriptor::new("text/plain", digester.finish(), 5);
    store.put(&blob, b"hello").unwrap();
    assert_eq!(store.read_document(&blob).unwrap(), b"hello");
    assert!(matches!(
        store.put(&Descriptor { size: 4, ..blob }, b"hall"),
        Err(Error::Mismatch(_))
    ));
}

#[test]
fn names_move_and_references_find_them() {
    let (_directory, store) = store();
    let (first, second) = (image_in(&store, "1"), image_in(&store, "2"));
    let platform = Platform::host();
    store
        .tag(&reference("app"), &first.manifest.descriptor, &platform)
        .unwrap();
    store
        .tag(
            &reference("quay.io/app:v1"),
            &first.manifest.descriptor,
            &platform,
        )
        .unwrap();
    store
        .tag(&reference("app"), &second.manifest.descriptor, &platform)
        .unwrap();
    let names: Vec<_> = store
        .names()
        .unwrap()
        .into_iter()
        .map(|named| named.name)
        .collect();
    assert_eq!(names, ["app:latest", "quay.io/app:v1"]);
    let find = |text: &str| {
        store
            .resolve(&reference(text))
            .unwrap()
            .map(|named| named.manifest.digest)
    };
    assert_eq!(
        find("docker.io/library/app:latest"),
        Some(second.digest().clone())
    );
    assert_eq!(find(&format!("app:latest@{}", first.digest())), None);
    assert_eq!(
        find(&format!("quay.io/app@{}", first.digest())),
        Some(first.digest().clone())
    );
    assert_eq!(find("app:other"), None);
    let image = store
        .image(&store.resolve(&reference("app")).unwrap().unwrap().manifest)
        .unwrap();
    assert_eq!(image, second);
}

#[test]
fn garbage_is_what_no_name_reaches() {
    let (_directory, store) = store();
    let (kept, gone) = (image_in(&store, "kept"), image_in(&store, "gone"));
    let platform = Platform::host();
    store
        .tag(&reference("kept"), &kept.manifest.descriptor, &platform)
        .unwrap();
    store
        .tag(&reference("gone"), &gone.manifest.descriptor, &platform)
        .unwrap();
    unpack_layers(&store, &kept, "test", Ownership::Real, 2, &Silent).unwrap();
    unpack_layers(&store, &gone, "test", Ownership::Real, 2, &Silent).unwrap();
    store.untag("gone:latest").unwrap();
    let other = BlobStore::open(store.root()).unwrap();
    assert!(
        store.alone().unwrap().is_none(),
        "somebody else uses the store"
    );
    drop(other);
    assert_eq!(collect_garbage(&store), 3);
    assert_eq!(store.image(&kept.manifest.descriptor).unwrap(), kept);
    assert_eq!(
        fs::list(&store.root().join("unpacked/test")).unwrap().len(),
        1
    );
}

#[test]
fn a_layer_is_unpacked_once_and_a_damaged_one_never() {
    let (_directory, store) = store();
    let image = image_in(&store, "content");
    let directories = unpack_layers(&store, &image, "test", Ownership::Real, 2, &Silent).unwrap();
    assert_eq!(
        std_fs::read_to_string(directories[0].join("file")).unwrap(),
        "content"
    );
    let blob = store.blob_path(&image.manifest.parsed.layers[0].digest);
    let mut bytes = std_fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std_fs::write(&blob, bytes).unwrap();
    assert_eq!(
        unpack_layers(&store, &image, "test", Ownership::Real, 2, &Silent).unwrap(),
        directories
    );
    let error = unpack_layers(&store, &image, "other", Ownership::Real, 2, &Silent).unwrap_err();
    assert!(
        error.is_mismatch() || matches!(error, Error::Unpack { .. }),
        "{error:?}"
    );
    assert_eq!(
        fs::list(&store.root().join("unpacked/other"))
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn a_directory_with_other_things_in_it_is_not_taken_for_a_store() {
    let directory = tempfile::tempdir().unwrap();
    std_fs::write(directory.path().join("thesis.tex"), "").unwrap();
    assert!(matches!(
        BlobStore::open(directory.path()),
        Err(Error::NotAStore { .. })
    ));
    assert_eq!(fs::list(directory.path()).unwrap().len(), 1);
}

fn mode(file: &Path) -> u32 {
    let metadata = std_fs::symlink_metadata(file).unwrap();
    std::os::unix::fs::MetadataExt::mode(&metadata) & 0o7777
}

#[test]
fn recorded_owners_are_kept_beside_the_directories() {
    let (_directory, store) = store();
    // One layer describes a directory, the other puts a file into it and leaves it out.
    let mut described = entry("opt", Kind::Directory, 0o750);
    (described.uid, described.gid) = (1001, 7);
    let mut file = entry("opt/app/file", Kind::File { size: 0 }, 0o600);
    file.uid = 33;
    let image = image_of(&store, &[(described, ""), (file, "")]);
    let unpack = || unpack_layers(&store, &image, "test", Ownership::Recorded, 2, &Silent);
    let directories = unpack().unwrap();
    let path = |name: &str| EntryPath::parse(name.as_bytes()).unwrap();
    let owner = |index: usize, name: &str| {
        let list = recorded_owners(&directories[index]).unwrap();
        let owned = list.get(&path(name));
        (owned.uid, owned.gid)
    };
    assert_eq!(owner(0, "opt"), (1001, 7));
    assert_eq!(
        owner(1, "opt"),
        (1001, 7),
        "as the layer below describes it"
    );
    assert_eq!(owner(1, "opt/app"), (0, 0));
    assert_eq!(owner(1, "opt/app/file"), (33, 0));
    assert_eq!(mode(&directories[1].join("opt")), 0o750);

    // A damaged list is never taken for one that says nothing; a lost one is made again.
    let list = directories[1].with_extension("owners");
    std_fs::write(&list, "overcoat owners 1\n").unwrap();
    let error = recorded_owners(&directories[1]).unwrap_err().to_string();
    assert!(
        error.contains("is damaged") && error.contains("; remove `"),
        "{error}"
    );
    std_fs::remove_file(&list).unwrap();
    assert_eq!(unpack().unwrap(), directories);
    assert_eq!(owner(1, "opt/app/file"), (33, 0));
}

/// A directory that a layer leaves out must not look like one of this machine that a link leads to.
#[test]
fn implied_directories_are_not_looked_up_through_links() {
    let (_directory, store) = store();
    let place = tempfile::tempdir().unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std_fs::set_permissions(place.path(), closed).unwrap();
    let target = place.path().to_str().unwrap().into();
    let link = entry("opt", Kind::Symlink { target }, 0o777);
    let file = entry("opt/file", Kind::File { size: 0 }, 0o600);
    let image = image_of(&store, &[(link, ""), (file, "")]);
    let directories =
        unpack_layers(&store, &image, "test", Ownership::Recorded, 1, &Silent).unwrap();
    assert_eq!(mode(&directories[1].join("opt")), 0o755);
}

#[test]
fn garbage_collection_takes_merged_trees_of_images_that_are_gone() {
    let (_directory, store) = store();
    let (kept, gone) = (image_in(&store, "kept"), image_in(&store, "gone"));
    let platform = Platform::host();
    store
        .tag(&reference("kept"), &kept.manifest.descriptor, &platform)
        .unwrap();
    let unpacked = store.root().join("unpacked/test");
    for image in [&kept, &gone] {
        let mut lowers = unpack_layers(&store, image, "test", Ownership::Real, 2, &Silent).unwrap();
        lowers.reverse();
        let chain_ids = crate::digest::chain_ids(image.config.parsed.diff_ids());
        let chain_id = chain_ids.last().unwrap();
        let real = Ownership::Real;
        let lease = Lease::take(&store, &lowers, chain_id, "test", real, &Silent).unwrap();
        assert!(lease.tree().starts_with(&unpacked) && lease.tree().join("file").exists());
        lease.restore(&Silent).unwrap();
    }
    let merged = || {
        let names = fs::list(&unpacked).unwrap().into_iter();
        names
            .filter(|name| {
                name.extension()
                    .is_some_and(|extension| extension == "merged")
            })
            .count()
    };
    assert_eq!(merged(), 2);
    assert_eq!(collect_garbage(&store), 3);
    assert_eq!(merged(), 1);
    assert_eq!(
        fs::list(&unpacked).unwrap().len(),
        3,
        "directory, tree, lock"
    );
}
