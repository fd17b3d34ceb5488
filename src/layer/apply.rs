//! Unpacking one layer into a directory of its own, which overlay then stacks.
//!
//! ```text
//! tar                        directory
//! usr/bin/tool               usr/bin/tool
//! etc/.wh.motd               etc/motd            character device 0:0
//! opt/.wh..wh..opq           opt/                user.overlay.opaque=y
//! ```
//!
//! Every layer gets a fresh directory, so no layer ever writes through a symbolic link that another one made. Within
//! the layer, names are resolved by the kernel with that directory as the root (`openat2` with `RESOLVE_IN_ROOT`):
//! whatever `..`, absolute names and links say, nothing outside is reached (T4 of `rust-crates.md` is why this is
//! not `tar::Archive::unpack`).
//!
//! Where this user cannot give files away or make devices, their owners are recorded instead ([`Ownership`]).

use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{self as rfs, Mode, OFlags};

use super::bomb::Expansion;
use super::entry::EntryPath;
use super::owners::OwnerList;
use super::unpacker::Unpacker;
use super::{Error, read, visit};
use crate::digest::DiffId;
use crate::event::Observer;
use crate::fs::Context;
use crate::image::media_type::Compression;

/// Where the owners of a layer's files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Onto the disk. Devices that this user may not make are left out.
    Real,
    /// Into [`Report::owners`]: everything on disk belongs to this user. An empty file stands for each device that this
    /// user may not make, and `security.capability` is recorded where the kernel refuses it.
    Recorded,
}

/// What there is to say after a layer was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries applied.
    pub entries: u64,
    /// Devices that this user may not make, left out.
    pub skipped_devices: u64,
    /// Directories that had to be made and that the layer does not describe: what lies below it does.
    pub implied: Vec<EntryPath>,
    /// With [`Ownership::Recorded`]: what the layer says that is not on disk, by the paths that files have there.
    pub owners: OwnerList,
}

/// Unpacks a compressed layer into `directory`, which must be empty, with owners (by `ownership`), modes, times and
/// extended attributes, and checks the diff id. A second thread decompresses.
///
/// The caller verifies the compressed bytes (a [`crate::digest::VerifyingReader`]); this reads them to the end. After
/// an error the directory holds a part; the caller removes it.
///
/// # Errors
/// [`Error::Hostile`] for entries that point nowhere or outside and for decompression bombs (more than 4 GiB, and more
/// than 200 times what the layer has), [`Error::DiffId`] when the tar is another one than
/// promised, [`Error::Io`] with the entry's path for the rest, [`Error::Interrupted`].
pub fn apply(
    compressed: impl io::BufRead + Send,
    compression: Compression,
    expected: &DiffId,
    directory: &Path,
    ownership: Ownership,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    let target = Target {
        directory,
        ownership,
        expansion: Expansion::default(),
    };
    apply_to(&target, compressed, compression, expected, observer)
}

/// Where a layer goes, and how large it may be.
struct Target<'a> {
    directory: &'a Path,
    ownership: Ownership,
    expansion: Expansion,
}

fn apply_to(
    target: &Target<'_>,
    compressed: impl io::BufRead + Send,
    compression: Compression,
    expected: &DiffId,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    visit::through(compressed, compression, expected, target.expansion, |tar| {
        unpack(tar, target.directory, target.ownership, observer)
    })
}

fn unpack(
    tar: &mut dyn Read,
    directory: &Path,
    ownership: Ownership,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    let root = rfs::open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context("open directory", directory)?;
    let unpacker = Unpacker::new(root, ownership);
    let mut unpacker = unpacker.context("make a file in", directory)?;
    read::for_each(tar, |entry, content| {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        unpacker.apply(&entry, content)
    })?;
    unpacker.finish()
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod recorded_tests;
