//! Bytes kept on this machine: one directory that **is** an OCI image layout.
//!
//! ```text
//! STORE/
//!   oci-layout  index.json  blobs/sha256/…   the layout: `skopeo copy oci:STORE:NAME …` reads it
//!   unpacked/OWNERS/DIFF-ID/                 layers as directories, for overlay to stack
//!   unpacked/OWNERS/CHAIN-ID.merged/         all layers of an image as one directory, where overlay is refused
//!   cache/…  wheels/…                        what can be had or made again; a file's time is that of its last use
//!   tmp/work-…                               work in progress, removed when it ends or, later, when its process is gone
//! ```
//!
//! A blob is absent, or complete and right: it is written to a temporary file, hashed on the way, synced, and renamed
//! to its digest. Reading checks size and digest again. Several processes may work at once: adding needs no lock,
//! `index.json` changes under a lock on `blobs/`, and removing blobs needs the lock on the store's directory alone,
//! which every open store shares. `tmp/` and `unpacked/` are for their owner only: layers may hold set-user-id files.

mod content;
mod copy;
mod gc;
mod graph;
mod merged;
mod names;
#[cfg(test)]
mod same_bytes_cases;
#[cfg(test)]
mod same_bytes_tests;
#[cfg(test)]
mod test_steps;
mod unpacked;

pub use content::Stored;
pub use gc::{Alone, Reached, Unreached};
pub use graph::attached;
pub use merged::Lease;
pub use names::Named;
pub(crate) use names::REF_NAME;
pub use unpacked::{recorded_owners, unpack_layers};

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::digest::{Algorithm, Digest, DigestWriter, Digester, Mismatch, VerifyingReader};
use crate::fs::{self, Context, Workspace};
use crate::image::{self, Descriptor, Image, MAX_DOCUMENT_BYTES};

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A blob is not in the store.
    #[error("the store has no blob `{digest}`")]
    Absent {
        /// The blob.
        digest: Digest,
    },
    /// Bytes are not what their name says.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// A document in the store cannot be understood.
    #[error("`{digest}` cannot be used: {source}")]
    Document {
        /// The document.
        digest: Digest,
        /// What is wrong with it.
        source: image::Error,
    },
    /// The directory is something else than a store.
    #[error("`{}` is neither empty nor an OCI image layout: {reason}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What speaks against it.
        reason: String,
    },
    /// A layer could not be unpacked.
    #[error("cannot unpack the layer `{digest}`: {source}")]
    Unpack {
        /// The layer's blob.
        digest: Digest,
        /// What went wrong.
        source: Box<crate::layer::Error>,
    },
    /// Unpacked layers cannot be made one directory.
    #[error("cannot merge the layers into one directory: {source}")]
    Merge {
        /// What went wrong.
        source: Box<crate::layer::Error>,
    },
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// What an error means that came from reading the blob at `path`: [`Error::Mismatch`] when its bytes are others.
    pub fn reading(path: &Path, error: io::Error) -> Self {
        read_error(path, error)
    }

    /// True when the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::File(error) => error.is_full(),
            Self::Unpack { source, .. } | Self::Merge { source } => source.is_full(),
            _ => false,
        }
    }

    /// True when bytes were not what their digest says.
    pub fn is_mismatch(&self) -> bool {
        match self {
            Self::Mismatch(_) => true,
            Self::Unpack { source, .. } => {
                source.mismatch().is_some()
                    || matches!(**source, crate::layer::Error::DiffId { .. })
            }
            _ => false,
        }
    }
}

/// An open store.
#[derive(Debug)]
pub struct BlobStore {
    root: PathBuf,
    workspace: OnceLock<Workspace>,
    in_use: File,
}

impl BlobStore {
    /// Opens the store at `root`, making an empty one of an absent or empty directory. What processes that were
    /// killed left behind is removed.
    ///
    /// # Errors
    /// [`Error::NotAStore`] for a directory with other things in it or a layout of an unknown version.
    ///
    /// # Spec
    /// OCI image-spec `image-layout.md`, *oci-layout file*.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let layout = root.join("oci-layout");
        if layout.exists() {
            names::check_layout(root, &layout)?;
        } else {
            fs::create_dir_all(root)?;
            if fs::list(root)?.iter().any(|name| !is_ours(name)) {
                names::check_layout(root, &layout)?;
            }
        }
        fs::create_dir_all(&root.join("blobs/sha256"))?;
        names::create_layout(root)?;
        for private in ["tmp", "unpacked"].map(|name| root.join(name)) {
            if private.exists() {
                fs::create_private_dir(&private)?;
            }
        }
        // The directory itself is what is locked: others may use it as a layout and expect no other files.
        let in_use = fs::open(root)?;
        in_use.lock_shared().context("lock", root)?;
        Workspace::sweep(&root.join("tmp"));
        Ok(Self {
            root: root.to_owned(),
            workspace: OnceLock::new(),
            in_use,
        })
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory for work in progress on the store's file system, removed when the store is dropped.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be made.
    pub fn workspace(&self) -> Result<&Path, Error> {
        if let Some(workspace) = self.workspace.get() {
            return Ok(workspace.path());
        }
        let workspace = Workspace::create(&self.root.join("tmp"))?;
        Ok(self.workspace.get_or_init(|| workspace).path())
    }

    /// A directory for downloads that can be had again.
    pub fn cache(&self, name: &str) -> PathBuf {
        self.root.join("cache").join(name)
    }

    /// Where a blob is or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root
            .join("blobs")
            .join(digest.algorithm().name())
            .join(digest.hex())
    }

    /// True when the blob is here with this size. Content is checked when it is read.
    pub fn has(&self, blob: &Descriptor) -> bool {
        std::fs::metadata(self.blob_path(&blob.digest))
            .is_ok_and(|metadata| metadata.len() == blob.size)
    }

    /// Opens a blob; reading it to the end checks size and digest.
    ///
    /// # Errors
    /// [`Error::Absent`] when it is not here.
    pub fn open_blob(&self, blob: &Descriptor) -> Result<VerifyingReader<File>, Error> {
        let path = self.blob_path(&blob.digest);
        match fs::open(&path) {
            Ok(file) => Ok(VerifyingReader::new(file, blob.digest.clone(), blob.size)),
            Err(error) if error.is_absent() => Err(Error::Absent {
                digest: blob.digest.clone(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a document (a manifest, a configuration) whole and checks it.
    ///
    /// # Errors
    /// As [`Self::open_blob`]; [`Error::Mismatch`] when it is damaged or larger than any document may be.
    pub fn read_document(&self, document: &Descriptor) -> Result<Vec<u8>, Error> {
        if document.size > MAX_DOCUMENT_BYTES {
            return Err(Error::Mismatch(Mismatch::Size {
                digest: document.digest.clone(),
                expected: MAX_DOCUMENT_BYTES,
                found: document.size,
            }));
        }
        let mut bytes = Vec::new();
        let path = self.blob_path(&document.digest);
        let read = self.open_blob(document)?.read_to_end(&mut bytes);
        read.map_err(|error| read_error(&path, error))?;
        Ok(bytes)
    }

    /// Reads an image by the descriptor of its manifest.
    ///
    /// # Errors
    /// As [`Self::read_document`], and [`Error::Document`] for documents that contradict themselves.
    pub fn image(&self, manifest: &Descriptor) -> Result<Image, Error> {
        let document = |source| Error::Document {
            digest: manifest.digest.clone(),
            source,
        };
        let bytes = self.read_document(manifest)?;
        let config = image::Manifest::parse(&bytes).map_err(document)?.config;
        let config = self.read_document(&config)?;
        let mut image = Image::parse(&manifest.media_type, bytes, config).map_err(document)?;
        // The name under which the bytes are, whatever its algorithm.
        image.manifest.descriptor.digest = manifest.digest.clone();
        Ok(image)
    }

    /// Begins a new blob.
    ///
    /// # Errors
    /// [`Error::File`] when no temporary file can be made.
    pub fn begin_blob(&self) -> Result<BlobWriter<'_>, Error> {
        let workspace = self.workspace()?;
        let file =
            tempfile::NamedTempFile::new_in(workspace).context("create a file in", workspace)?;
        Ok(BlobWriter {
            store: self,
            inner: DigestWriter::new(file),
        })
    }

    /// Stores bytes under the digest of `blob`, or finds that they are there.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when they are other bytes.
    pub fn put(&self, blob: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
        if self.has(blob) {
            return Ok(());
        }
        let mut writer = self.begin_blob()?;
        let path = self.blob_path(&blob.digest);
        writer.write_all(bytes).context("write", &path)?;
        writer.finish_as(blob)
    }

    /// Stores an image's two documents; its layers must be here already, or be known to be elsewhere.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn put_documents(&self, image: &Image) -> Result<(), Error> {
        self.put(&image.config.descriptor, &image.config.bytes)?;
        self.put(&image.manifest.descriptor, &image.manifest.bytes)
    }
}

/// True for names that a store has; a store that is being made has some of them.
fn is_ours(name: &Path) -> bool {
    let known = [
        "blobs",
        "cache",
        "index.json",
        "logs",
        "oci-layout",
        "tmp",
        "unpacked",
        "wheels",
    ];
    let name = name.to_string_lossy();
    known.contains(&name.as_ref()) || name.starts_with(".tmp-")
}

/// Makes a read error of a blob: a mismatch if the verifying reader found one, else one that names the path.
fn read_error(path: &Path, error: io::Error) -> Error {
    match error.downcast::<Mismatch>() {
        Ok(mismatch) => Error::Mismatch(mismatch),
        Err(error) => fs::Error::new("read", path, error).into(),
    }
}

/// A blob being written; dropped without `finish`, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a BlobStore,
    inner: DigestWriter<tempfile::NamedTempFile>,
}

impl BlobWriter<'_> {
    /// Completes the blob under the digest of what was written; gives digest (SHA-256) and size in bytes.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be made durable.
    pub fn finish(self) -> Result<(Digest, u64), Error> {
        let (file, digest, size) = self.inner.finish();
        persist(self.store, file, &digest)?;
        Ok((digest, size))
    }

    /// Completes the blob if it is the one that `blob` names.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it is not; nothing is kept then.
    pub fn finish_as(self, blob: &Descriptor) -> Result<(), Error> {
        let (mut file, found, size) = self.inner.finish();
        if size != blob.size {
            return Err(Error::Mismatch(Mismatch::Size {
                digest: blob.digest.clone(),
                expected: blob.size,
                found: size,
            }));
        }
        let found = match blob.digest.algorithm() {
            Algorithm::Sha256 => found,
            other => digest_again(&mut file, other)?,
        };
        if found != blob.digest {
            return Err(Error::Mismatch(Mismatch::Digest {
                expected: blob.digest.clone(),
                found,
            }));
        }
        persist(self.store, file, &blob.digest)
    }
}

fn digest_again(file: &mut tempfile::NamedTempFile, algorithm: Algorithm) -> Result<Digest, Error> {
    let path = file.path().to_owned();
    let mut digester = Digester::new(algorithm);
    let mut reader = fs::open(&path)?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match reader.read(&mut buffer).context("read", &path)? {
            0 => return Ok(digester.finish()),
            count => digester.update(&buffer[..count]),
        }
    }
}

fn persist(store: &BlobStore, file: tempfile::NamedTempFile, digest: &Digest) -> Result<(), Error> {
    let path = store.blob_path(digest);
    let directory = path.parent().unwrap_or(&store.root);
    fs::create_dir_all(directory)?;
    file.as_file().sync_all().context("sync", &path)?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file()
        .set_permissions(readable)
        .context("set the mode of", &path)?;
    file.persist(&path)
        .map_err(|error| error.error)
        .context("write", &path)?;
    fs::sync_directory(directory)?;
    Ok(())
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
