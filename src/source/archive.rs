//! A tar archive as a source: unpacked into a directory of its own, whoever made it.
//!
//! An archive is believed nothing. Members are written below the directory without ever following a link, names that would
//! lead elsewhere are refused by name, and sizes are counted. What it was compressed with shows in its first bytes.
//! A single directory at the top is not taken away: `--context-dir` chooses it.

mod extensions;
mod unpacking;

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use rustix::fs::{self as rfs, Mode, OFlags};

use self::unpacking::Unpacking;
use super::Error;
use crate::event::{Observer, printable};
use crate::fs::Context;

/// The memory that unpacking `.xz` may take: `xz -9` needs 65 MiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;
/// The largest window of `.zst` that is accepted, as a power of two: what `zstd` itself accepts.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How much an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of all files together, unpacked.
    pub bytes: u64,
    /// How many members.
    pub members: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 16 << 30,
            members: 2_000_000,
        }
    }
}

/// Why an archive is not unpacked. Names are those of its members.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The first bytes are those of something else.
    #[error("it is no tar archive")]
    NotTar,
    /// A compression that overcoat does not read.
    #[error("it is compressed with {0}, which overcoat does not read")]
    Compression(&'static str),
    /// It ends early, or a checksum is wrong.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A name that leads out, or that no file can have.
    #[error("the name of its member `{0}` leads out of the archive, or is no file name")]
    Name(String),
    /// A link to what is not in the archive.
    #[error("its member `{name}` is a link to `{target}`, which leads out of the archive")]
    Link {
        /// The link.
        name: String,
        /// Where it points.
        target: String,
    },
    /// Devices, pipes, sparse files.
    #[error("its member `{0}` is no file, directory or link")]
    Kind(String),
    /// A member below another one that is no directory.
    #[error(
        "its member `{0}` lies below a link or a file, or takes the place of a directory that is not empty"
    )]
    Below(String),
    /// Too much.
    #[error("it holds more than {bytes} bytes or {members} members")]
    TooLarge {
        /// Of all files together.
        bytes: u64,
        /// How many members.
        members: u64,
    },
}

impl Refusal {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::NotTar => "make one with `tar -c`; plain, or compressed with gzip, xz or zstd",
            Self::Compression(_) => "unpack it first, or compress it with gzip, xz or zstd",
            Self::Damaged(_) => "make or fetch it again; `tar -t` reads it to the end",
            Self::Name(_) | Self::Below(_) => "make it from within the directory: `tar -c .`",
            Self::Link { .. } | Self::Kind(_) => "leave it out: `tar --exclude NAME`",
            Self::TooLarge { .. } => "leave out what the application does not need",
        }
    }
}

/// What stands in the way, before the archive's name is known.
enum Failure {
    Refused(Refusal),
    Other(Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<crate::fs::Error> for Failure {
    fn from(error: crate::fs::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Unpacks a tar archive into `directory`, which must exist and be empty; what was unpacked before a failure stays there.
///
/// Plain, or compressed with gzip, zstd or xz. Files keep their permission bits, without set-user-id and its like, and
/// may always be read by their owner; directories may be entered and written by theirs. Owners and times are not kept. A
/// member that comes again takes the place of the earlier one. `location` is what messages call the archive.
///
/// # Errors
/// [`Error::Archive`] for whatever an archive must not hold, [`Error::File`] when it cannot be written, and
/// [`Error::Interrupted`].
///
/// # Spec
/// POSIX.1-2024 pax; which names and links are refused is that of PEP 706, *data filter*.
pub fn unpack(
    archive: &mut dyn Read,
    location: &str,
    directory: &Path,
    limits: Limits,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let root = rfs::open(
        directory,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context("open", directory)?;
    let mut unpacking = Unpacking {
        root,
        directory,
        limits,
        left: limits,
    };
    let mut archive = BufReader::with_capacity(64 << 10, archive);
    let result = decompressed(&mut archive).and_then(|mut tar| unpacking.read(&mut *tar, observer));
    result.map_err(|failure| match failure {
        Failure::Refused(reason) => Error::Archive {
            location: location.to_owned(),
            reason,
        },
        Failure::Other(error) => error,
    })
}

/// The archive as plain tar; told by its first bytes.
fn decompressed<'a>(archive: &'a mut dyn BufRead) -> Result<Box<dyn Read + 'a>, Failure> {
    let mut start = Vec::new();
    archive.take(512).read_to_end(&mut start).map_err(damaged)?;
    let is = |magic: &[u8]| start.starts_with(magic);
    let is_gzip = is(&[0x1f, 0x8b]);
    let is_zstd = is(&[0x28, 0xb5, 0x2f, 0xfd]);
    let is_xz = is(&[0xfd, b'7', b'z', b'X', b'Z', 0]);
    let named = [
        (is(b"BZh"), "bzip2"),
        (is(b"PK\x03\x04"), "zip"),
        (is(b"7z\xbc\xaf"), "7-Zip"),
        (is(&[0x1f, 0x9d]), "compress"),
    ];
    if let Some((_, name)) = named.into_iter().find(|(is_it, _)| *is_it) {
        return Err(Refusal::Compression(name).into());
    }
    if !is_gzip && !is_zstd && !is_xz {
        check_header(&start)?;
    }
    let whole = io::Cursor::new(start).chain(archive);
    if is_gzip {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(whole)));
    }
    if is_zstd {
        let mut decoder = zstd::Decoder::with_buffer(whole).map_err(damaged)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damaged)?;
        return Ok(Box::new(decoder));
    }
    if is_xz {
        let decoder = lzma_rust2::XzReader::new_mem_limit(whole, true, XZ_MEMORY_KIB);
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(whole))
}

/// Whether the first block is one of tar: a header with a right checksum, or the end.
fn check_header(block: &[u8]) -> Result<(), Refusal> {
    if block.len() < 512 {
        return Err(Refusal::NotTar);
    }
    if block.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        })
        .sum();
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    match header.cksum() {
        Ok(written) if written == sum => Ok(()),
        _ => Err(Refusal::NotTar),
    }
}

fn damaged(error: io::Error) -> Failure {
    Refusal::Damaged(printable(&crate::fs::reason(&error))).into()
}

/// Whether a file of this machine begins as an archive does that [`unpack`] reads, or that it refuses for its compression.
pub(super) fn is_archive(file: &Path) -> Result<bool, Error> {
    let mut reader = BufReader::new(crate::fs::open(file)?);
    Ok(!matches!(
        decompressed(&mut reader),
        Err(Failure::Refused(Refusal::NotTar))
    ))
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
