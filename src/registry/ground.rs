//! What the tests of transfers stand on: a client, a store, and an image with one layer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Error, Limits, PushReport, PushRequest, RegistryClient, Settings};
use crate::digest::{DiffId, Digest};
use crate::event::{Observer, Silent};
use crate::http::{self, Http};
use crate::image::edit::{Changes, NewLayer, from_scratch};
use crate::image::{Descriptor, Image, Platform, media_type};
use crate::reference::Reference;
use crate::store::BlobStore;

pub(super) struct Ground {
    _directory: tempfile::TempDir,
    pub(super) client: RegistryClient,
    pub(super) store: BlobStore,
    pub(super) image: Image,
    pub(super) layer: Vec<u8>,
}

/// Bytes of which no two stretches are the same for long.
pub(super) fn bytes(size: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(next).collect()
}

impl Ground {
    pub(super) fn new(layer_bytes: usize) -> Self {
        Self::with(layer_bytes, Settings::default())
    }

    pub(super) fn limited(layer_bytes: usize, limits: Limits) -> Self {
        let settings = Settings {
            limits,
            ..Settings::default()
        };
        Self::with(layer_bytes, settings)
    }

    pub(super) fn with(layer_bytes: usize, settings: Settings) -> Self {
        Self::on(layer_bytes, settings, &http::Settings::default())
    }

    pub(super) fn on(layer_bytes: usize, settings: Settings, network: &http::Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            first_retry_delay: Duration::from_millis(1),
            ..settings
        };
        let layer = bytes(layer_bytes);
        let new = NewLayer {
            descriptor: Descriptor::of(media_type::OCI_LAYER_GZIP, &layer),
            diff_id: DiffId(Digest::of(b"not looked at")),
            created_by: "test".to_owned(),
        };
        let image = from_scratch(&Platform::host(), &[new], &Changes::default()).unwrap();
        Self {
            client: RegistryClient::new(Arc::new(Http::new(network).unwrap()), settings),
            store: BlobStore::open(&directory.path().join("store")).unwrap(),
            image,
            layer,
            _directory: directory,
        }
    }

    pub(super) fn blob(&self) -> &Descriptor {
        &self.image.manifest.parsed.layers[0]
    }

    /// Fetches the layer from `HOST/app`.
    pub(super) fn fetch(&self, host: &str) -> Result<(), Error> {
        self.fetch_watched(host, &Silent)
    }

    pub(super) fn fetch_watched(&self, host: &str, observer: &dyn Observer) -> Result<(), Error> {
        let origin: Reference = format!("{host}/app:1").parse().unwrap();
        self.client
            .fetch_layers(&self.image, &[origin], &self.store, observer)
    }

    /// The reason why the only origin did not give the layer, as text.
    pub(super) fn refusal(&self, host: &str) -> String {
        let error = self.fetch(host).unwrap_err();
        assert!(!self.store.has(self.blob()), "{error}");
        assert_eq!(self.files(), Vec::<PathBuf>::new(), "{error}");
        error.to_string()
    }

    /// Pushes the image with its layer in the store to `HOST/app:1`.
    pub(super) fn push(&self, host: &str) -> Result<PushReport, Error> {
        self.push_watched(host, &Silent)
    }

    pub(super) fn push_watched(
        &self,
        host: &str,
        observer: &dyn Observer,
    ) -> Result<PushReport, Error> {
        self.store.put(self.blob(), &self.layer).unwrap();
        let reference = format!("{host}/app:1").parse().unwrap();
        let request = PushRequest::new(&self.image, &reference, &self.store);
        self.client.push(&request, observer)
    }

    pub(super) fn assert_fetched(&self) {
        let kept = std::fs::read(self.store.blob_path(&self.blob().digest)).unwrap();
        assert!(kept == self.layer, "the layer's bytes are others");
        assert_eq!(self.files().len(), 1);
    }

    /// Every blob, and every file of work in progress.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let root = self.store.root();
        let walk = |name| walkdir::WalkDir::new(root.join(name)).into_iter().flatten();
        let files = walk("blobs").chain(walk("tmp"));
        let is_ours = |entry: &walkdir::DirEntry| {
            let is_lock = entry.file_name().to_string_lossy().contains("lock");
            entry.file_type().is_file() && !is_lock
        };
        files
            .filter(is_ours)
            .map(walkdir::DirEntry::into_path)
            .collect()
    }
}

/// Someone who asks for an end after so many bytes have moved.
pub(super) struct Leaving {
    after: u64,
    moved: std::sync::atomic::AtomicU64,
}

impl Leaving {
    pub(super) fn after(bytes: u64) -> Self {
        Self {
            after: bytes,
            moved: Default::default(),
        }
    }
}

impl Observer for Leaving {
    fn observe(&self, event: crate::event::Event) {
        if let crate::event::Event::TransferAdvanced { bytes, .. } = event {
            let order = std::sync::atomic::Ordering::SeqCst;
            self.moved.fetch_add(bytes, order);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.moved.load(std::sync::atomic::Ordering::SeqCst) >= self.after
    }
}
