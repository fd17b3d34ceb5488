//! Filesystem changes as tar bytes: writing layers, reading them, finding what changed.
//!
//! A layer is a tar of changes to the layers below it. [`LayerWriter`] writes one, [`apply()`] unpacks one into a
//! directory of its own that overlay can stack, [`splice`] writes one from
//! files in a [`mod@zip`] archive without compressing them again, [`stack`] reads such directories as overlay would show them,
//! [`change`] finds what a step changed (of a tree, with a [`snapshot`]), [`owners`] says whose files are where the
//! disk cannot. This module does not know where layers come from or go.

mod apply;
mod bomb;
pub mod change;
mod codec;
pub mod compress;
mod compressor;
pub mod disk;
pub mod entry;
mod members;
pub mod owners;
pub mod pyc;
pub mod read;
mod read_ahead;
mod recorded;
pub mod snapshot;
pub mod splice;
pub mod stack;
mod tar;
mod unpacker;
mod visit;
pub mod whiteout;
pub(crate) mod within;
pub mod zip;
mod zstd_writer;

pub use apply::{Ownership, Report, apply};
pub use codec::Damaged;
pub use entry::{Entry, EntryPath, Kind};
pub use members::{Member, members};
pub use splice::SplicedWriter;
pub use tar::LayerWriter;
pub use visit::visit;

use std::io::{self, Read};

use crate::digest::DiffId;
use crate::image::media_type::Compression;

/// What is known of a layer's tar once it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// Its size in bytes.
    pub uncompressed_bytes: u64,
}

/// Why a layer cannot be written, read or applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing failed.
    #[error("cannot {action} `{path}`: {}", crate::fs::reason(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what, within the layer.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A file operation outside the layer failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// A file changed while it was read.
    #[error("`{path}` did not keep its size of {expected} bytes while it was read")]
    Content {
        /// Which file.
        path: String,
        /// The size when it was looked at.
        expected: u64,
    },
    /// A zip archive that files were to be taken from cannot be trusted.
    #[error(transparent)]
    Zip(#[from] zip::Error),
    /// A file's content is not what was promised of it.
    #[error("`{path}` does not have the {algorithm} that was promised for it")]
    ContentHash {
        /// Which file, within the layer.
        path: String,
        /// The hash's name.
        algorithm: &'static str,
    },
    /// A layer has an entry that must not be applied.
    #[error("the layer is unsafe or damaged: {0}")]
    Hostile(String),
    /// A name in a layer or on disk that no layer may hold.
    #[error(transparent)]
    Path(#[from] entry::PathError),
    /// The layer's tar is not the one the configuration promises.
    #[error(
        "the layer's tar has the diff id `{found}` but the image configuration says `{expected}`"
    )]
    DiffId {
        /// The promised diff id.
        expected: DiffId,
        /// The one found.
        found: DiffId,
    },
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// True when the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => crate::fs::is_full(source),
            Self::File(error) => error.is_full(),
            _ => false,
        }
    }

    /// The digest mismatch behind a failed read, if that is the reason.
    pub fn mismatch(&self) -> Option<&crate::digest::Mismatch> {
        match self {
            Self::Io { source, .. } => source.get_ref()?.downcast_ref(),
            _ => None,
        }
    }
}

/// Reads a compressed layer as its tar. Layers may consist of several gzip members or zstd frames (T18).
///
/// # Errors
/// When the decompressor cannot start.
pub fn decompress<'a>(
    compressed: impl io::BufRead + 'a,
    compression: Compression,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(compressed),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(compressed)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(compressed)?),
    })
}
