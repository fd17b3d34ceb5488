//! Reading a layer's tar as entries.
//!
//! The tar crate splits the stream into raw members; the extension headers are read here, because it cuts PAX
//! records at line ends, and the value of an extended attribute may hold one.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use super::Error;
use super::entry::{Entry, EntryPath, Kind, is_portable_xattr};

/// The most that an extension header may hold: Linux's limit for one attribute value, a few times over.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;
const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// Calls `visit` with every member in order and its content. Content that is not read is skipped.
///
/// # Errors
/// [`Error::Io`] when the stream ends early or is no tar, [`Error::Path`] and [`Error::Hostile`] for members that no
/// file system should hold, and what `visit` returns.
///
/// # Spec
/// POSIX.1-2024 pax, *ustar Interchange Format* and *pax Extended Header*; GNU tar's `L` and `K` members.
pub fn for_each(
    tar: &mut dyn Read,
    mut visit: impl FnMut(Entry, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut archive = tar::Archive::new(Completed::new(tar));
    let entries = archive.entries().map_err(damaged)?;
    walk(entries, |entry, _, content| visit(entry, content))
}

/// Calls `visit` with every member of a seekable tar that begins where the reader is, and with the place of its content,
/// counted in bytes from there. Contents are passed over, not read: whether they are all there the caller must compare
/// with the end.
///
/// # Errors
/// As [`for_each`].
pub fn index(
    tar: impl Read + Seek,
    mut visit: impl FnMut(Entry, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut archive = tar::Archive::new(Completed::new(tar));
    let entries = archive.entries_with_seek().map_err(damaged)?;
    walk(entries, |entry, place, _| visit(entry, place))
}

fn damaged(source: io::Error) -> Error {
    Error::Io {
        action: "read",
        path: "the layer's tar".to_owned(),
        source,
    }
}

/// The members with what the extension headers before them say.
fn walk<R: Read>(
    entries: tar::Entries<'_, R>,
    mut visit: impl FnMut(Entry, u64, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut extensions = Extensions::default();
    for member in entries.raw(true) {
        let mut member = member.map_err(damaged)?;
        let kind = member.header().entry_type();
        match kind {
            tar::EntryType::XHeader => extensions.add_records(&small(&mut member)?)?,
            tar::EntryType::GNULongName => extensions.name = Some(until_nul(small(&mut member)?)),
            tar::EntryType::GNULongLink => extensions.target = Some(until_nul(small(&mut member)?)),
            // Global headers carry comments (git's commit) in practice; what they set is no part of a layer.
            tar::EntryType::XGlobalHeader => {}
            _ => {
                let entry =
                    std::mem::take(&mut extensions).entry(member.header(), member.size())?;
                let place = member.raw_file_position();
                visit(entry, place, &mut member)?;
            }
        }
    }
    Ok(())
}

/// Supplies the end that some writers leave out (umoci 0.4 does): padding up to a whole block and the two blocks of
/// zeros. Go's reader does without them too. What is cut off in the middle shows by its digest.
struct Completed<R> {
    inner: R,
    seen: u64,
    missing: Option<u64>,
}

impl<R> Completed<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            seen: 0,
            missing: None,
        }
    }
}

impl<R: Read> Read for Completed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(missing) = &mut self.missing {
            let count = buffer.len().min(usize::try_from(*missing).unwrap_or(0));
            buffer[..count].fill(0);
            *missing -= count as u64;
            return Ok(count);
        }
        let count = self.inner.read(buffer)?;
        self.seen += count as u64;
        if count == 0 && !buffer.is_empty() {
            self.missing = Some(self.seen.next_multiple_of(512) - self.seen + 1024);
            return self.read(buffer);
        }
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for Completed<R> {
    /// Forwards only, as contents are passed over.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Current(distance @ 0..) = to else {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        };
        let distance = distance.unsigned_abs();
        let beyond = || io::Error::other("it has a member beyond the largest file");
        self.seen = self.seen.checked_add(distance).ok_or_else(beyond)?;
        // Beyond the end there is nothing to be supplied: reading there ends the archive.
        match &mut self.missing {
            Some(missing) => *missing = missing.saturating_sub(distance),
            None => {
                self.inner.seek(to)?;
            }
        }
        Ok(self.seen)
    }
}

fn small(member: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    member
        .take(MAX_EXTENSION_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Io {
            action: "read",
            path: "an extension header of the layer's tar".to_owned(),
            source,
        })?;
    if bytes.len() as u64 > MAX_EXTENSION_BYTES {
        return Err(Error::Hostile(format!(
            "an extension header is larger than {MAX_EXTENSION_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// What the headers before a member say of it.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Extensions {
    fn add_records(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let malformed = || Error::Hostile("a PAX header is malformed".to_owned());
        while !bytes.is_empty() {
            let space = bytes
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or_else(malformed)?;
            let length = std::str::from_utf8(&bytes[..space])
                .ok()
                .and_then(|text| text.parse::<usize>().ok());
            let length = length
                .filter(|length| (space + 2..=bytes.len()).contains(length))
                .ok_or_else(malformed)?;
            let (record, rest) = bytes.split_at(length);
            let record = record[space + 1..]
                .strip_suffix(b"\n")
                .ok_or_else(malformed)?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(malformed)?;
            self.records
                .insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
            bytes = rest;
        }
        Ok(())
    }

    fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.records.get(key.as_bytes())?).ok()
    }

    fn entry(self, header: &tar::Header, size: u64) -> Result<Entry, Error> {
        let name = self
            .records
            .get(&b"path"[..])
            .cloned()
            .or_else(|| self.name.clone());
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let path = EntryPath::parse(&name)?;
        let broken = |source| Error::Io {
            action: "read the header of",
            path: path.to_string(),
            source,
        };
        // Two sizes for one member is how archives are made that two readers see differently.
        if self
            .text("size")
            .is_some_and(|text| text.parse() != Ok(size))
        {
            return Err(Error::Hostile(format!("`{path}` has two different sizes")));
        }
        let is_sparse = self
            .records
            .keys()
            .any(|key| key.starts_with(b"GNU.sparse."));
        if is_sparse || header.entry_type() == tar::EntryType::GNUSparse {
            return Err(Error::Hostile(format!(
                "`{path}` is a GNU sparse file, which images must not hold"
            )));
        }
        let kind = self.kind(header, size, &path)?;
        let id = |key, number: io::Result<u64>| -> Result<u32, Error> {
            let number = match self.text(key) {
                Some(text) => text.parse().unwrap_or(u64::MAX),
                None => number.map_err(broken)?,
            };
            u32::try_from(number)
                .map_err(|_| Error::Hostile(format!("`{path}` has the {key} {number}")))
        };
        let written = i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(i64::MAX);
        Ok(Entry {
            kind,
            mode: header.mode().map_err(broken)? & 0o7777,
            uid: id("uid", header.uid())?,
            gid: id("gid", header.gid())?,
            mtime: self
                .text("mtime")
                .and_then(whole_seconds)
                .unwrap_or(written),
            xattrs: self.xattrs(),
            path,
        })
    }

    fn kind(&self, header: &tar::Header, size: u64, path: &EntryPath) -> Result<Kind, Error> {
        let target = self
            .records
            .get(&b"linkpath"[..])
            .cloned()
            .or_else(|| self.target.clone());
        let target = target
            .or_else(|| header.link_name_bytes().map(|name| name.into_owned()))
            .unwrap_or_default();
        let device = || -> Result<(u32, u32), Error> {
            let broken = |_| Error::Hostile(format!("`{path}` is a device without numbers"));
            let major = header.device_major().map_err(broken)?.unwrap_or(0);
            let minor = header.device_minor().map_err(broken)?.unwrap_or(0);
            Ok((major, minor))
        };
        Ok(match header.entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                // Before POSIX, a directory was a file whose name ends in a slash.
                let is_old_directory = size == 0 && header.path_bytes().ends_with(b"/");
                if is_old_directory {
                    Kind::Directory
                } else {
                    Kind::File { size }
                }
            }
            tar::EntryType::Directory => Kind::Directory,
            tar::EntryType::Symlink => Kind::Symlink { target },
            tar::EntryType::Link => Kind::HardLink {
                target: EntryPath::parse(&target)?,
            },
            tar::EntryType::Char => {
                let (major, minor) = device()?;
                Kind::CharacterDevice { major, minor }
            }
            tar::EntryType::Block => {
                let (major, minor) = device()?;
                Kind::BlockDevice { major, minor }
            }
            tar::EntryType::Fifo => Kind::Fifo,
            other => {
                let kind = other.as_byte().escape_ascii();
                return Err(Error::Hostile(format!(
                    "`{path}` is of the unknown kind `{kind}`"
                )));
            }
        })
    }

    fn xattrs(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let portable = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            let name = key.strip_prefix(XATTR_PREFIX)?;
            is_portable_xattr(name).then(|| (name.to_vec(), value.clone()))
        };
        self.records.iter().filter_map(portable).collect()
    }
}

/// A PAX time, `seconds[.fraction]`, rounded down to whole seconds.
fn whole_seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let is_fractional = fraction.bytes().any(|digit| digit != b'0');
    Some(if whole.starts_with('-') && is_fractional {
        seconds - 1
    } else {
        seconds
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(tar: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Error> {
        let mut found = Vec::new();
        for_each(&mut &tar[..], |entry, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            found.push((entry, bytes));
            Ok(())
        })?;
        Ok(found)
    }

    fn member(kind: tar::EntryType, name: &str, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(7);
        header.set_size(content.len() as u64);
        header.set_cksum();
        let mut bytes = [header.as_bytes(), content].concat();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn long_names_of_gnu_tar_and_pax_records_are_applied_to_the_next_member_only() {
        let long = "n".repeat(180);
        let records = b"20 mtime=-1.50000000\n10 uid=55\n";
        let records = [&b"21 mtime=-1.50000000\n"[..], &records[21..]].concat();
        let tar = [
            member(
                tar::EntryType::GNULongName,
                "././@LongLink",
                format!("{long}\0").as_bytes(),
            ),
            member(tar::EntryType::Regular, "cut", b"1"),
            member(tar::EntryType::XHeader, "pax", &records),
            member(tar::EntryType::Regular, "b", b"2"),
            member(tar::EntryType::Regular, "c", b"3"),
        ]
        .concat();
        let found = entries(&tar).unwrap();
        assert_eq!(found[0].0.path.as_bytes(), long.as_bytes());
        assert_eq!((found[1].0.mtime, found[1].0.uid), (-2, 55));
        assert_eq!(
            (found[2].0.mtime, found[2].0.uid, found[2].1.as_slice()),
            (7, 0, &b"3"[..])
        );
    }

    #[test]
    fn a_missing_end_is_supplied_but_nothing_more() {
        let whole = [member(tar::EntryType::Regular, "a", b"12"), vec![0; 1024]].concat();
        for length in [512 + 2, 1024, 1536] {
            let found = entries(&whole[..length]).unwrap();
            assert_eq!(found[0].1, b"12", "cut to {length} bytes");
        }
        assert!(entries(&member(tar::EntryType::Regular, "a", &[1; 4096])[..1024]).is_err());
    }

    #[test]
    fn archives_that_two_readers_would_see_differently_are_refused() {
        let pax = |record: &str| member(tar::EntryType::XHeader, "pax", record.as_bytes());
        for record in [
            "10 size=9\n",
            "22 GNU.sparse.major=1\n",
            "99 path=x\n",
            "x path=x\n",
            "8 pathx\n",
            "9 path=x!",
        ] {
            let tar = [pax(record), member(tar::EntryType::Regular, "f", b"12")].concat();
            assert!(
                matches!(entries(&tar), Err(Error::Hostile(_))),
                "{record:?}"
            );
        }
        let sparse = member(tar::EntryType::GNUSparse, "f", b"12");
        assert!(entries(&sparse).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            let _ = entries(&bytes);
        }

        #[test]
        fn what_the_writer_writes_the_reader_reads(
            name in "[a-z]{1,20}(/[a-zA-Z0-9._ é-]{1,60}){0,3}",
            mode in 0u32..=0o7777,
            uid in any::<u32>(),
            mtime in -10_000i64..10_000_000_000,
            content in prop::collection::vec(any::<u8>(), 0..1500),
            value in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            prop_assume!(name.split('/').all(|part| part != "." && part != ".."));
            let mut entry = Entry::new(EntryPath::parse(name.as_bytes()).unwrap(), Kind::File { size: content.len() as u64 }, mode);
            (entry.uid, entry.mtime) = (uid, mtime);
            entry.xattrs.insert(b"user.x".to_vec(), value);
            let mut writer = super::super::LayerWriter::new(Vec::new(), i64::MAX, 1);
            writer.append(&entry, &content[..]).unwrap();
            let (layer, _) = writer.finish().unwrap();
            let mut tar = Vec::new();
            flate2::bufread::GzDecoder::new(&layer[..]).read_to_end(&mut tar).unwrap();
            prop_assert_eq!(entries(&tar).unwrap(), vec![(entry, content)]);
        }
    }
}
