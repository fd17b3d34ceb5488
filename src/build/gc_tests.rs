use std::fs;
use std::io::Write;
use std::time::Duration;

use super::*;
use crate::build::cache::{Inputs, Key, Record};
use crate::digest::DiffId;
use crate::image::edit::{Changes, NewLayer, from_scratch};
use crate::image::{Image, Platform, media_type};

const DAY: Duration = Duration::from_secs(86_400);

/// A store, and a clock that it is used by.
struct Fixture {
    _directory: tempfile::TempDir,
    store: BlobStore,
    now: SystemTime,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&directory.path().join("store")).unwrap();
        Self {
            _directory: directory,
            store,
            now: SystemTime::UNIX_EPOCH + 10_000 * DAY,
        }
    }

    /// Sets when something was used: so many days ago.
    fn age(&self, path: &Path, days: u32) {
        let file = fs::File::open(path).unwrap();
        file.set_modified(self.now - days * DAY).unwrap();
    }

    /// A file below the store.
    fn file(&self, path: &str, bytes: usize, days: u32) -> PathBuf {
        let path = self.store.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![b'x'; bytes]).unwrap();
        self.age(&path, days);
        path
    }

    fn layer(&self, content: &str) -> NewLayer {
        let mut blob = self.store.begin_blob().unwrap();
        blob.write_all(content.as_bytes()).unwrap();
        let (digest, size) = blob.finish().unwrap();
        NewLayer {
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest.clone(), size),
            diff_id: DiffId(digest),
            created_by: "a test".into(),
        }
    }

    /// A step that made these layers and was needed so many days ago; its record.
    fn step(&self, name: &str, layers: &[&NewLayer], days: u32) -> PathBuf {
        let layers = layers.iter().map(|layer| (*layer).clone()).collect();
        let record = Record { layers, made: 1 };
        let records = Records::new(&self.store);
        records.keep(name, &key(name), &record).unwrap();
        let path = self.store.cache(STEPS).join(format!("{}.json", key(name)));
        self.age(&path, days);
        path
    }

    /// An image with a name.
    fn image(&self, name: &str, layers: &[&NewLayer]) -> Image {
        let layers: Vec<NewLayer> = layers.iter().map(|layer| (*layer).clone()).collect();
        let platform = Platform::host();
        let image = from_scratch(&platform, &layers, &Changes::default()).unwrap();
        self.store.put_documents(&image).unwrap();
        let reference = name.parse().unwrap();
        let manifest = &image.manifest.descriptor;
        self.store.tag(&reference, manifest, &platform).unwrap();
        image
    }

    fn has(&self, layer: &NewLayer) -> bool {
        self.store.has(&layer.descriptor)
    }

    fn keep(&self, days: u32, max_bytes: Option<u64>) -> Keep {
        Keep::Recent {
            since: self.now - days * DAY,
            max_bytes,
        }
    }

    fn collect(&self, keep: Keep) -> Garbage {
        let expected = find(&self.store, keep).unwrap();
        let removed = collect(&self.store, keep).unwrap().unwrap();
        assert_eq!(removed, expected, "what a dry run says");
        assert!(removed.paths().iter().all(|path| !path.exists()));
        removed
    }
}

fn key(name: &str) -> Key {
    Inputs::new(name).key()
}

#[test]
fn layers_live_as_long_as_a_name_or_a_step_that_was_needed_lately() {
    let fixture = Fixture::new();
    let [named, recent, old, nobody] =
        ["named", "recent", "old", "nobody"].map(|name| fixture.layer(name));
    let image = fixture.image("app", &[&named]);
    let kept = fixture.step("recent", &[&recent], 29);
    let gone = fixture.step("old", &[&old, &named], 31);
    let garbage = fixture.collect(fixture.keep(30, None));
    assert_eq!(garbage.amounts()[&Kind::Blobs].count, 2);
    assert_eq!(
        garbage.amounts()[&Kind::Blobs].bytes,
        "oldnobody".len() as u64
    );
    assert_eq!(garbage.amounts()[&Kind::Records].count, 1);
    assert_eq!(garbage.total().count, 3);
    assert!(fixture.has(&named) && fixture.has(&recent));
    assert!(!fixture.has(&old) && !fixture.has(&nobody));
    assert!(kept.exists() && !gone.exists());
    assert_eq!(
        fixture.store.image(&image.manifest.descriptor).unwrap(),
        image
    );
    // Once more there is nothing to do.
    assert_eq!(
        fixture.collect(fixture.keep(30, None)).total(),
        Amount::default()
    );

    fixture.collect(Keep::Nothing);
    assert!(fixture.has(&named) && !fixture.has(&recent) && !kept.exists());
    assert_eq!(
        fixture.store.image(&image.manifest.descriptor).unwrap(),
        image
    );
}

#[test]
fn records_that_cannot_hit_any_more_go_however_new() {
    let fixture = Fixture::new();
    let layers = ["one", "two"].map(|name| fixture.layer(name));
    let lost = fixture.step("lost", &[&layers[0], &layers[1]], 0);
    fs::remove_file(fixture.store.blob_path(&layers[1].descriptor.digest)).unwrap();
    let damaged = fixture.file("cache/steps/damaged.json", 3, 0);
    let garbage = fixture.collect(fixture.keep(30, None));
    assert!(!lost.exists() && !damaged.exists());
    // The other layer of the step that lost one is of no use either.
    assert!(!fixture.has(&layers[0]));
    assert_eq!(garbage.amounts()[&Kind::Records].count, 2);
}

#[test]
fn each_cache_loses_what_was_not_used() {
    let caches = [
        ("cache/last/SLOT.json", Kind::Records),
        ("cache/sources/SLOT", Kind::Records),
        ("cache/resolutions/resolutions/KEY.json", Kind::Records),
        ("cache/resolutions/latest/SLOT", Kind::Records),
        ("cache/targets/KEY.json", Kind::Records),
        ("cache/pypi/pages-v1/KEY", Kind::Indexes),
        ("cache/debian/HEX.part", Kind::Debian),
        ("wheels/sha256/HEX", Kind::Wheels),
        ("cache/of-the-future/x", Kind::Other),
    ];
    for (path, kind) in caches {
        let fixture = Fixture::new();
        let old = fixture.file(path, 5, 31);
        let new = fixture.file(&format!("{path}-2"), 7, 30);
        // A clock that was wrong once must not make files live for ever, nor die at once.
        let future = fixture.file(&format!("{path}-3"), 7, 0);
        let ahead = fs::File::open(&future).unwrap();
        ahead.set_modified(fixture.now + DAY).unwrap();
        let garbage = fixture.collect(fixture.keep(30, None));
        let amount = Amount { count: 1, bytes: 5 };
        assert_eq!(
            garbage.amounts(),
            &BTreeMap::from([(kind, amount)]),
            "{path}"
        );
        assert!(!old.exists() && new.exists() && future.exists(), "{path}");
        assert_eq!(fixture.collect(Keep::Nothing).total().bytes, 14, "{path}");
    }
}

#[test]
fn a_cache_mount_goes_whole_and_is_as_new_as_its_newest_file() {
    let fixture = Fixture::new();
    fixture.file("cache/mounts/ids/pip/old/a", 5, 90);
    fixture.file("cache/mounts/ids/pip/b", 5, 2);
    fixture.file("cache/mounts/ids/npm/old/a", 5, 90);
    fixture.file("cache/mounts/ids/npm/b", 6, 90);
    let mounts = fixture.store.cache("mounts/ids");
    for directory in ["pip/old", "pip", "npm/old", "npm"] {
        fixture.age(&mounts.join(directory), 90);
    }
    let garbage = fixture.collect(fixture.keep(30, None));
    assert_eq!(garbage.paths(), [mounts.join("npm")]);
    assert_eq!(garbage.total().bytes, 11);
    assert!(mounts.join("pip/old/a").exists());
}

#[test]
fn what_killed_processes_left_goes_at_once() {
    let fixture = Fixture::new();
    let torn = fixture.file("cache/sources/.tmp-abc", 3, 0);
    fixture.file("wheels/tmp/work-1/torch.whl", 3, 0);
    assert_eq!(fixture.collect(fixture.keep(30, None)).total().bytes, 6);
    assert!(!torn.exists() && !fixture.store.root().join("wheels/tmp").exists());
}

#[test]
fn of_too_much_the_longest_unused_goes_and_shared_layers_count_once() {
    let fixture = Fixture::new();
    let [shared, new, old] = ["shared", "new", "old"].map(|name| {
        // The records beside them are small.
        fixture.layer(&name.repeat(100_000))
    });
    fixture.image(
        "app",
        &[&fixture.layer("of an image, which is not counted")],
    );
    let first = fixture.step("new", &[&shared, &new], 1);
    let wheel = fixture.file("wheels/sha256/HEX", 500_000, 2);
    let second = fixture.step("old", &[&shared, &old], 3);
    let all = 900_000 + 500_000 + 300_000 + 10_000;
    let garbage = fixture.collect(fixture.keep(30, Some(all)));
    assert_eq!(garbage.total(), Amount::default(), "all of it fits");

    fixture.collect(fixture.keep(30, Some(1_450_000)));
    assert!(first.exists() && wheel.exists() && !second.exists());
    assert!(fixture.has(&shared) && fixture.has(&new) && !fixture.has(&old));

    fixture.collect(fixture.keep(30, Some(0)));
    assert!(!first.exists() && !wheel.exists() && !fixture.has(&shared));
    assert_eq!(fixture.store.names().unwrap().len(), 1);
}

#[test]
fn a_removed_image_takes_its_layers_and_leaves_those_of_others() {
    let fixture = Fixture::new();
    let [shared, own, before, nobody] =
        ["shared", "own", "before", "nobody"].map(|name| fixture.layer(name));
    let image = fixture.image("app", &[&shared, &own]);
    fixture.image("other", &[&shared]);
    fixture.step("app", &[&own], 0);
    fixture.step("app of yesterday", &[&before], 1);
    let manifest = &image.manifest.descriptor;
    let removed = remove_image(&fixture.store, "app:latest", manifest).unwrap();
    // Two documents, its own layer, and the one of nobody.
    assert_eq!(removed.unwrap().amounts()[&Kind::Blobs].count, 4);
    assert!(fixture.has(&shared) && fixture.has(&before));
    assert!(!fixture.has(&own) && !fixture.has(&nobody));
    assert_eq!(Records::new(&fixture.store).find(&key("app")), None);
}

#[test]
fn a_damaged_image_can_be_removed() {
    let fixture = Fixture::new();
    let layer = fixture.layer("layer");
    let image = fixture.image("app", &[&layer]);
    let manifest = &image.manifest.descriptor;
    fs::write(fixture.store.blob_path(&manifest.digest), "{").unwrap();
    assert!(
        find(&fixture.store, Keep::Nothing).is_err(),
        "who knows what it needs"
    );
    remove_image(&fixture.store, "app:latest", manifest)
        .unwrap()
        .unwrap();
    assert!(!fixture.has(&layer));
}

#[test]
fn nothing_goes_while_another_process_uses_the_store() {
    let fixture = Fixture::new();
    let wheel = fixture.file("wheels/sha256/HEX", 5, 90);
    let layer = fixture.layer("in the making");
    let other = BlobStore::open(fixture.store.root()).unwrap();
    assert_eq!(collect(&fixture.store, Keep::Nothing).unwrap(), None);
    assert!(wheel.exists() && fixture.has(&layer));
    assert_eq!(
        find(&fixture.store, Keep::Nothing).unwrap().total().count,
        2
    );
    let image = fixture.image("app", &[&layer]);
    let manifest = &image.manifest.descriptor;
    let removed = remove_image(&fixture.store, "app:latest", manifest).unwrap();
    assert!(removed.is_none() && fixture.has(&layer));
    assert_eq!(fixture.store.names().unwrap().len(), 0);
    drop(other);
    fixture.collect(Keep::Nothing);
    assert!(!wheel.exists() && !fixture.has(&layer));
    // The store is open to others again.
    BlobStore::open(fixture.store.root()).unwrap();
}

#[test]
fn use_makes_records_new_again() {
    let fixture = Fixture::new();
    let layer = fixture.layer("layer");
    let path = fixture.step("app", &[&layer], 90);
    let records = Records::new(&fixture.store);
    assert!(records.find(&key("app")).is_some());
    let used = || fs::metadata(&path).unwrap().modified().unwrap();
    assert!(used() > fixture.now, "the test's clock is one of 1997");
    // Looking for garbage is no use.
    fixture.age(&path, 1);
    find(&fixture.store, fixture.keep(30, None)).unwrap();
    assert_eq!(used(), fixture.now - DAY);

    let inputs = [Inputs::new("app")];
    records.keep_last("slot", &inputs).unwrap();
    let last = fixture.store.cache("last");
    let last = last.join(&crate::fs::list(&last).unwrap()[0]);
    fixture.age(&last, 90);
    records.keep_last("slot", &inputs).unwrap();
    let used = fs::metadata(&last).unwrap().modified().unwrap();
    assert!(used > fixture.now);
}
