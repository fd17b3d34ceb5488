//! A `.deb` file, opened without dpkg.
//!
//! ```text
//! NAME.deb (ar)
//! ├── debian-binary          "2.0\n"
//! ├── control.tar[.gz|.xz|.zst]   control, conffiles, md5sums, maintainer scripts
//! └── data.tar[.gz|.xz|.zst]      the files
//! ```
//!
//! The file's digest was in a signed index, yet nothing here relies on it: names are checked, sizes are bounded
//! before memory is taken, and a decompressor gets a memory limit. The tar is read record by record (GNU long names
//! included; pax records are refused, as dpkg refuses them), because a library that joins long names for us would
//! read them into memory whatever their size.
//!
//! # Spec
//! deb(5), deb-control(5).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::Error;
use crate::fs::{self, Context as _};

/// Memory that an xz decoder may take. `xz -9`, the most that dpkg-deb writes, takes 65 MiB.
const XZ_MEMORY_KIB: u32 = 80 * 1024;
/// The largest window that a zstd stream may ask for, as a power of two (64 MiB).
const ZSTD_WINDOW_LOG: u32 = 26;
/// How large the data of a package may be, uncompressed, in bytes.
const MAX_DATA: u64 = 8 << 30;
/// How large everything in `control.tar` may be together, in bytes. Debian's largest is below 4 MiB.
const MAX_CONTROL: u64 = 32 << 20;
/// The longest path or link target, in bytes (Linux's PATH_MAX).
const MAX_NAME: u64 = 4096;

/// An open package file, its structure checked.
#[derive(Debug)]
pub struct Deb {
    path: PathBuf,
    control: Section,
    data: Section,
}

/// Where a compressed tar lies in the file.
#[derive(Clone, Copy, Debug)]
struct Section {
    offset: u64,
    size: u64,
    compression: Compression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// One member of a package's data, with its body still to be read.
pub struct Member<'a> {
    /// The path relative to the root of the file system, without `./` and without a slash at its end; empty for
    /// the root itself. No part of it is empty, `.` or `..`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// The permission bits, including set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// The owner's id.
    pub uid: u64,
    /// The group's id.
    pub gid: u64,
    /// Seconds since the epoch.
    pub mtime: u64,
    /// The size of the body in bytes; 0 unless it is a file.
    pub size_bytes: u64,
    /// The content of a file. What is not read is skipped.
    pub body: &'a mut dyn Read,
}

impl std::fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What a [`Member`] is. Packages have nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link with its target as it stands: relative, absolute, perhaps dangling.
    Symlink(String),
    /// Another name of a file that came earlier; a path like [`Member::path`].
    HardLink(String),
}

impl Deb {
    /// Opens a package file and finds its parts.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Deb`] when it is no package of format 2.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = fs::open(path)?;
        let length = file.metadata().context("read", path)?.len();
        let refuse = |reason: &str| Error::Deb {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let mut members =
            ArMembers::new(BufReader::new(file), length).map_err(|reason| refuse(&reason))?;
        let (mut control, mut data) = (None, None);
        if members
            .next()
            .map_err(|reason| refuse(&reason))?
            .is_none_or(|member| member.name != "debian-binary")
        {
            return Err(refuse("its first member is not `debian-binary`"));
        }
        while let Some(member) = members.next().map_err(|reason| refuse(&reason))? {
            let (stem, extension) = member
                .name
                .split_once(".tar")
                .unwrap_or((&member.name, "?"));
            let part = match stem {
                "control" => &mut control,
                "data" => &mut data,
                _ => continue,
            };
            let compression = match extension {
                "" => Compression::None,
                ".gz" => Compression::Gzip,
                ".xz" => Compression::Xz,
                ".zst" => Compression::Zstd,
                _ => {
                    return Err(refuse(&format!(
                        "its member `{}` is compressed in an unknown way",
                        member.name
                    )));
                }
            };
            let section = Section {
                offset: member.offset,
                size: member.size,
                compression,
            };
            if part.replace(section).is_some() {
                return Err(refuse(&format!("it has more than one `{stem}.tar`")));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            control: control.ok_or_else(|| refuse("it has no `control.tar`"))?,
            data: data.ok_or_else(|| refuse("it has no `data.tar`"))?,
        })
    }

    /// Everything in `control.tar` by name: `control`, `md5sums`, `conffiles`, `postinst` and their kin.
    ///
    /// # Errors
    /// [`Error::Deb`] when it is malformed, larger than 32 MiB, has a member in a directory, or has no `control`.
    pub fn control_files(&self) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let mut files = BTreeMap::new();
        self.each(self.control, MAX_CONTROL, |member| -> Result<(), Error> {
            match member.kind {
                Kind::Directory => return Ok(()),
                Kind::File if !member.path.contains('/') => {}
                _ => {
                    return Err(self
                        .malformed(format!("`control.tar` has an odd member `{}`", member.path)));
                }
            }
            let mut bytes = Vec::new();
            member
                .body
                .read_to_end(&mut bytes)
                .map_err(|error| self.broken(&error))?;
            files.insert(member.path, bytes);
            Ok(())
        })?;
        if !files.contains_key("control") {
            return Err(self.malformed("`control.tar` has no `control`".to_owned()));
        }
        Ok(files)
    }

    /// Calls `visit` with every member of `data.tar`, in the order of the package.
    ///
    /// # Errors
    /// [`Error::Deb`] as `E` when it is malformed or larger than 8 GiB, and whatever `visit` returns.
    pub fn data<E: From<Error>>(
        &self,
        visit: impl FnMut(Member<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each(self.data, MAX_DATA, visit)
    }

    fn each<E: From<Error>>(
        &self,
        section: Section,
        limit_bytes: u64,
        mut visit: impl FnMut(Member<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut file = fs::open(&self.path).map_err(Error::File)?;
        file.seek(SeekFrom::Start(section.offset))
            .context("read", &self.path)
            .map_err(Error::File)?;
        let reader = decompress(file, section).map_err(|error| self.broken(&error))?;
        let mut archive = tar::Archive::new(Limited::new(reader, limit_bytes));
        let entries = archive
            .entries()
            .map_err(|error| self.broken(&error))?
            .raw(true);
        let mut long = LongNames::default();
        for entry in entries {
            let mut entry = entry.map_err(|error| self.broken(&error))?;
            if long
                .take(&mut entry)
                .map_err(|reason| self.malformed(reason))?
            {
                continue;
            }
            let (header, names) = (entry.header().clone(), std::mem::take(&mut long));
            let member =
                member(&header, names, &mut entry).map_err(|reason| self.malformed(reason))?;
            visit(member)?;
        }
        // The tar ends before its padding and the compressed stream's check sum; an error there counts too.
        let mut rest = archive.into_inner();
        io::copy(&mut rest, &mut io::sink()).map_err(|error| self.broken(&error))?;
        Ok(())
    }

    fn malformed(&self, reason: String) -> Error {
        Error::Deb {
            path: self.path.clone(),
            reason,
        }
    }

    fn broken(&self, error: &io::Error) -> Error {
        self.malformed(fs::reason(error))
    }
}

fn decompress(file: File, section: Section) -> io::Result<Box<dyn Read>> {
    let reader = BufReader::with_capacity(64 << 10, file).take(section.size);
    Ok(match section.compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(
            reader,
            true,
            XZ_MEMORY_KIB,
        )),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

/// Decompresses a package index by the extension of its name.
pub(super) fn decompress_index(reader: impl io::BufRead + 'static, name: &str) -> Box<dyn Read> {
    if name.ends_with(".xz") {
        Box::new(lzma_rust2::XzReader::new_mem_limit(
            reader,
            true,
            XZ_MEMORY_KIB,
        ))
    } else if name.ends_with(".gz") {
        Box::new(flate2::bufread::MultiGzDecoder::new(reader))
    } else {
        Box::new(reader)
    }
}

fn member<'a>(
    header: &tar::Header,
    names: LongNames,
    body: &'a mut dyn Read,
) -> Result<Member<'a>, String> {
    let own = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).map_err(|_| "a name is not UTF-8".to_owned())
    };
    let path = match names.path {
        Some(path) => path,
        None => own(&header.path_bytes())?,
    };
    let link = || match names.link {
        Some(link) => Ok(link),
        None => own(&header.link_name_bytes().unwrap_or_default()),
    };
    let refuse = |what: &str| format!("the member `{path}` {what}");
    let number = |value: io::Result<u64>| value.map_err(|_| refuse("has a malformed header"));
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Symlink => Kind::Symlink(link()?),
        EntryType::Link => {
            Kind::HardLink(inner_path(&link()?).ok_or_else(|| refuse("links out of the package"))?)
        }
        _ => return Err(refuse("is neither file, directory nor link")),
    };
    let size_bytes = number(header.entry_size())?;
    if size_bytes != 0 && kind != Kind::File {
        return Err(refuse("has a body although it is no file"));
    }
    if matches!(&kind, Kind::Symlink(target) if target.is_empty() || target.contains('\0')) {
        return Err(refuse("has no usable target"));
    }
    let checked = inner_path(&path).ok_or_else(|| refuse("lies outside the package"))?;
    if checked.is_empty() && kind != Kind::Directory {
        return Err(refuse("is no directory"));
    }
    Ok(Member {
        kind,
        mode: number(header.mode().map(u64::from))? as u32 & 0o7777,
        uid: number(header.uid())?,
        gid: number(header.gid())?,
        mtime: number(header.mtime())?,
        size_bytes,
        body,
        path: checked,
    })
}

/// The path without `./` and trailing slash, unless it is absolute, goes upwards, or is no path at all.
fn inner_path(path: &str) -> Option<String> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let trimmed = match trimmed.strip_prefix('.') {
        Some("") => return Some(String::new()),
        Some(rest) => rest.strip_prefix('/').unwrap_or(trimmed),
        None => trimmed,
    };
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    (!trimmed.contains('\0') && trimmed.split('/').all(is_part)).then(|| trimmed.to_owned())
}

/// GNU's records for names that do not fit into a header; they precede the member they belong to.
#[derive(Default)]
struct LongNames {
    path: Option<String>,
    link: Option<String>,
}

impl LongNames {
    /// Takes in a record of a long name; false when it is something else.
    fn take(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<bool, String> {
        let slot = match entry.header().entry_type() {
            EntryType::GNULongName => &mut self.path,
            EntryType::GNULongLink => &mut self.link,
            _ => return Ok(false),
        };
        let mut bytes = Vec::new();
        entry
            .take(MAX_NAME + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fs::reason(&error))?;
        if bytes.len() as u64 > MAX_NAME {
            return Err(format!("a name is longer than {MAX_NAME} bytes"));
        }
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        let name = String::from_utf8(bytes).map_err(|_| "a name is not UTF-8".to_owned())?;
        if slot.replace(name).is_some() {
            return Err("a member has two long names".to_owned());
        }
        Ok(true)
    }
}

/// A reader that fails, rather than ends, when more than a number of bytes come.
struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Limited<R> {
    fn new(inner: R, limit: u64) -> Self {
        let left = limit;
        Self { inner, left, limit }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let too_large =
            || io::Error::other(format!("it unpacks to more than {} bytes", self.limit));
        self.left = self.left.checked_sub(count as u64).ok_or_else(too_large)?;
        Ok(count)
    }
}

/// The members of an `ar` archive.
struct ArMembers<R> {
    reader: R,
    position: u64,
    length: u64,
}

struct ArMember {
    name: String,
    offset: u64,
    size: u64,
}

impl<R: Read + Seek> ArMembers<R> {
    fn new(mut reader: R, length: u64) -> Result<Self, String> {
        let mut magic = [0; 8];
        if reader.read_exact(&mut magic).is_err() || magic != *b"!<arch>\n" {
            return Err("it is no `ar` archive".to_owned());
        }
        let position = 8;
        Ok(Self {
            reader,
            position,
            length,
        })
    }

    /// The next member; its body is checked to lie within the file.
    fn next(&mut self) -> Result<Option<ArMember>, String> {
        if self.position >= self.length {
            return Ok(None);
        }
        let mut header = [0; 60];
        let read = self
            .reader
            .seek(SeekFrom::Start(self.position))
            .and_then(|_| self.reader.read_exact(&mut header));
        read.map_err(|_| "it ends in the middle of a header".to_owned())?;
        let text = |range: std::ops::Range<usize>| {
            std::str::from_utf8(&header[range])
                .unwrap_or_default()
                .trim_end()
        };
        if &header[58..] != b"`\n" {
            return Err("it has a malformed header".to_owned());
        }
        let name = text(0..16);
        let name = name.strip_suffix('/').unwrap_or(name).to_owned();
        let size: u64 = text(48..58)
            .parse()
            .map_err(|_| format!("its member `{name}` has no size"))?;
        let offset = self.position + 60;
        if size > self.length - offset {
            return Err(format!("it ends in the middle of its member `{name}`"));
        }
        self.position = offset + size + size % 2;
        Ok(Some(ArMember { name, offset, size }))
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
