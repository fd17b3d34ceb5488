//! What a file on disk is, said as a layer says it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs as rfs;
use rustix::io::Errno;

use super::Error;
use super::entry::{CAPABILITY_XATTR, Entry, EntryPath, Kind, is_portable_xattr};
use super::owners::Owned;
use super::whiteout;
use crate::digest::{Algorithm, Digest, Digester};
use crate::fs::Context;

/// The entry of `file`, with the owner that the layer gives it.
pub(super) fn entry(
    file: &Path,
    path: EntryPath,
    metadata: &Metadata,
    owned: Owned,
) -> Result<Entry, Error> {
    let xattrs = xattrs(file)?;
    entry_with(file, path, metadata, owned, xattrs)
}

/// As [`entry`], with extended attributes that were read before.
pub(super) fn entry_with(
    file: &Path,
    path: EntryPath,
    metadata: &Metadata,
    owned: Owned,
    mut xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<Entry, Error> {
    let kind = metadata.file_type();
    let device = metadata.rdev();
    let (major, minor) = (rfs::major(device), rfs::minor(device));
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        let target = fs::read_link(file).context("read link", file)?;
        Kind::Symlink {
            target: target.as_os_str().as_bytes().to_vec(),
        }
    } else if kind.is_char_device() {
        Kind::CharacterDevice { major, minor }
    } else if kind.is_block_device() {
        Kind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        Kind::File {
            size: metadata.len(),
        }
    };
    if let Some(capability) = owned.capability {
        xattrs.insert(CAPABILITY_XATTR.to_vec(), capability);
    }
    Ok(Entry {
        path,
        kind: owned.device.map_or(kind, |device| device.kind()),
        mode: metadata.mode() & 0o7777,
        uid: owned.uid,
        gid: owned.gid,
        mtime: metadata.mtime(),
        xattrs,
    })
}

/// The extended attributes that belong in a layer.
///
/// # Errors
/// [`Error::File`] with the file that could not be read.
pub fn xattrs(file: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let mut names = vec![0; 64 << 10];
    let length = match rfs::llistxattr(file, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(errno) => {
            return Err(crate::fs::Error::new("list the attributes of", file, errno.into()).into());
        }
    };
    let mut found = BTreeMap::new();
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| is_portable_xattr(name))
    {
        let mut value = vec![0; 64 << 10];
        let length = rfs::lgetxattr(file, OsStr::from_bytes(name), &mut value[..])
            .context("read an attribute of", file)?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

/// True for overlay's mark of a deleted name.
pub(crate) fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// True for what is in no layer and hides what a lower layer has: overlay's mark, and sockets, which belong to a
/// process.
pub(super) fn is_nothing(metadata: &Metadata) -> bool {
    is_whiteout(metadata) || metadata.file_type().is_socket()
}

/// True for a directory that hides what lower layers have in it.
pub(crate) fn is_opaque(directory: &Path) -> Result<bool, Error> {
    Ok(overlay_xattr(directory, whiteout::OPAQUE_XATTR)?.is_some_and(|value| value == b"y"))
}

/// One of overlay's own attributes; `None` when the file has none.
pub(super) fn overlay_xattr(file: &Path, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let mut value = [0; 256];
    match rfs::lgetxattr(file, name, &mut value) {
        Ok(length) => Ok(Some(value[..length].to_vec())),
        // Links and devices cannot have attributes of this kind.
        Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => Ok(None),
        Err(errno) => Err(crate::fs::Error::new("read an attribute of", file, errno.into()).into()),
    }
}

/// True when two files hold the same bytes.
pub(super) fn is_same_content(a: &Path, b: &Path) -> Result<bool, Error> {
    let (mut left, mut right) = (crate::fs::open(a)?, crate::fs::open(b)?);
    let (mut left_bytes, mut right_bytes) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = left.read(&mut left_bytes).context("read", a)?;
        if count == 0 {
            return Ok(right.read(&mut right_bytes[..1]).context("read", b)? == 0);
        }
        if right.read_exact(&mut right_bytes[..count]).is_err()
            || left_bytes[..count] != right_bytes[..count]
        {
            return Ok(false);
        }
    }
}

/// The SHA-256 of a file's content.
pub(super) fn content_digest(file: &Path) -> Result<Digest, Error> {
    let mut digester = Digester::new(Algorithm::Sha256);
    let mut reader = crate::fs::open(file)?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match reader.read(&mut buffer).context("read", file)? {
            0 => return Ok(digester.finish()),
            count => digester.update(&buffer[..count]),
        }
    }
}
