//! Writing layers. Nothing else in overcoat writes a tar header, so nothing can skip the normalising here.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use super::compressor::Compressor;
use super::entry::{Entry, Kind, is_portable_xattr};
use super::{Error, Layer};
use crate::digest::{DiffId, DigestWriter};
use crate::image::media_type::Compression;

/// What a ustar header can hold; beyond it a PAX record carries the value.
const MAX_USTAR_NAME: usize = 100;
const MAX_USTAR_ID: u64 = 0o777_7777;
const MAX_USTAR_NUMBER: u64 = 0o777_7777_7777;
const RECORD_BYTES: usize = 512;
/// POSIX.1-2024 pax: two records of zeros end the archive.
pub(super) const END: [u8; 2 * RECORD_BYTES] = [0; 2 * RECORD_BYTES];

/// Writes entries as a compressed layer.
///
/// Headers are ustar; what they cannot hold (long names, large numbers, extended attributes) goes into one PAX header
/// before, keys sorted. No user or group names, no sub-second times, no sparse files (T3), no entry for the root
/// itself. Times newer than the limit become the limit. docs/image-format.md lists each choice.
pub struct LayerWriter<W: Write> {
    tar: DigestWriter<Compressor<W>>,
    newest_mtime: i64,
}

impl<W: Write> std::fmt::Debug for LayerWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerWriter")
            .field("newest_mtime", &self.newest_mtime)
            .finish_non_exhaustive()
    }
}

impl<W: Write> LayerWriter<W> {
    /// Begins a layer that is compressed with gzip, by up to `threads` threads, which change the speed and not the
    /// bytes. `newest_mtime` (seconds since 1970) is the latest time an entry may show.
    pub fn new(sink: W, newest_mtime: i64, threads: usize) -> Self {
        Self::with(Compressor::gzip(sink, threads), newest_mtime)
    }

    /// As [`Self::new`], with another compression. [`crate::image::media_type::layer`] names the result.
    ///
    /// # Errors
    /// [`Error::Io`] when the compressor cannot start.
    pub fn with_compression(
        sink: W,
        newest_mtime: i64,
        threads: usize,
        compression: Compression,
    ) -> Result<Self, Error> {
        let compressor = Compressor::new(sink, threads, compression);
        let compressor = compressor.map_err(|source| Error::Io {
            action: "begin",
            path: "the layer".to_owned(),
            source,
        })?;
        Ok(Self::with(compressor, newest_mtime))
    }

    fn with(compressor: Compressor<W>, newest_mtime: i64) -> Self {
        Self {
            tar: DigestWriter::new(compressor),
            newest_mtime,
        }
    }

    /// Adds an entry; `content` is read for files and must give exactly the size that the entry says.
    ///
    /// # Errors
    /// [`Error::Content`] when it gives another size, [`Error::Io`] when reading or writing fails.
    pub fn append(&mut self, entry: &Entry, content: impl Read) -> Result<(), Error> {
        let write = |source| Error::Io {
            action: "write the layer entry",
            path: entry.path.to_string(),
            source,
        };
        self.tar
            .write_all(&header(entry, self.newest_mtime))
            .map_err(write)?;
        let Kind::File { size } = entry.kind else {
            return Ok(());
        };
        let mut content = Counted {
            inner: content.take(size),
            seen: 0,
        };
        io::copy(&mut content, &mut self.tar).map_err(write)?;
        let seen = content.seen;
        let more = content.inner.into_inner().read(&mut [0]).map_err(write)? > 0;
        if seen != size || more {
            return Err(Error::Content {
                path: entry.path.to_string(),
                expected: size,
            });
        }
        self.tar.write_all(padding(size)).map_err(write)
    }

    /// Ends the layer: the sink, and what is known of the uncompressed tar.
    ///
    /// # Errors
    /// [`Error::Io`] when writing fails.
    pub fn finish(mut self) -> Result<(W, Layer), Error> {
        let write = |source| Error::Io {
            action: "finish",
            path: "the layer".to_owned(),
            source,
        };
        self.tar.write_all(&END).map_err(write)?;
        let (compressor, digest, size) = self.tar.finish();
        let sink = compressor.finish().map_err(write)?;
        let layer = Layer {
            diff_id: DiffId(digest),
            uncompressed_bytes: size,
        };
        Ok((sink, layer))
    }
}

struct Counted<R> {
    inner: io::Take<R>,
    seen: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.seen += count as u64;
        Ok(count)
    }
}

fn plain_header(entry_type: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type);
    header.set_mode(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

/// Puts a name of at most 100 bytes into the header as it stands (`Header::set_path` would interpret it).
fn set_name(header: &mut Header, name: &[u8]) {
    let field = &mut header.as_old_mut().name;
    field[..name.len()].copy_from_slice(name);
}

fn set_link(header: &mut Header, target: &[u8]) {
    let field = &mut header.as_old_mut().linkname;
    field[..target.len()].copy_from_slice(target);
}

/// All that comes before an entry's content: a multiple of 512 bytes.
pub(super) fn header(entry: &Entry, newest_mtime: i64) -> Vec<u8> {
    let (header, records) = encode(entry, newest_mtime);
    if records.is_empty() {
        return header.as_bytes().to_vec();
    }
    let mut pax = plain_header(EntryType::XHeader, records.len() as u64);
    set_name(&mut pax, b"PaxHeaders/entry");
    pax.set_cksum();
    [
        pax.as_bytes(),
        &records[..],
        padding(records.len() as u64),
        header.as_bytes(),
    ]
    .concat()
}

/// The zeros after a content of so many bytes.
pub(super) fn padding(size: u64) -> &'static [u8] {
    // The remainder is below 512.
    let rest = (size % RECORD_BYTES as u64) as usize;
    &END[..(RECORD_BYTES - rest) % RECORD_BYTES]
}

/// The time that a layer shows for a file's, both in seconds since 1970.
pub(super) fn shown_mtime(mtime: i64, newest_mtime: i64) -> i64 {
    mtime.min(newest_mtime)
}

/// The header of an entry, and the PAX records that must come before it (may be none).
fn encode(entry: &Entry, newest_mtime: i64) -> (Header, Vec<u8>) {
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut number = |key: &str, value: u64, limit: u64| {
        if value <= limit {
            return value;
        }
        records.push((key.into(), value.to_string().into_bytes()));
        0
    };
    let (entry_type, size) = entry_type(&entry.kind);
    let mut header = plain_header(entry_type, size);
    header.set_mode(entry.mode & 0o7777);
    header.set_uid(number("uid", entry.uid.into(), MAX_USTAR_ID));
    header.set_gid(number("gid", entry.gid.into(), MAX_USTAR_ID));
    let mtime = shown_mtime(entry.mtime, newest_mtime);
    match u64::try_from(mtime) {
        Ok(mtime) => header.set_mtime(number("mtime", mtime, MAX_USTAR_NUMBER)),
        Err(_) => records.push((b"mtime".into(), mtime.to_string().into_bytes())),
    }
    if let Kind::CharacterDevice { major, minor } | Kind::BlockDevice { major, minor } = entry.kind
    {
        let ustar = header.as_ustar_mut().expect("the header was made as ustar");
        ustar.set_device_major(major);
        ustar.set_device_minor(minor);
    }

    let mut name = entry.path.as_bytes().to_vec();
    if entry.kind == Kind::Directory {
        name.push(b'/');
    }
    if name.len() > MAX_USTAR_NAME {
        set_name(&mut header, &name[..MAX_USTAR_NAME]);
        records.push((b"path".into(), name));
    } else {
        set_name(&mut header, &name);
    }
    let target = match &entry.kind {
        Kind::Symlink { target } => target.as_slice(),
        Kind::HardLink { target } => target.as_bytes(),
        _ => b"",
    };
    if target.len() > MAX_USTAR_NAME {
        set_link(&mut header, &target[..MAX_USTAR_NAME]);
        records.push((b"linkpath".into(), target.to_vec()));
    } else {
        set_link(&mut header, target);
    }
    for (name, value) in entry
        .xattrs
        .iter()
        .filter(|(name, _)| is_portable_xattr(name))
    {
        records.push(([b"SCHILY.xattr.", &name[..]].concat(), value.clone()));
    }
    header.set_cksum();
    records.sort();
    (
        header,
        records
            .iter()
            .flat_map(|(key, value)| pax_record(key, value))
            .collect(),
    )
}

fn entry_type(kind: &Kind) -> (EntryType, u64) {
    match kind {
        Kind::Directory => (EntryType::Directory, 0),
        Kind::File { size } => (EntryType::Regular, *size),
        Kind::Symlink { .. } => (EntryType::Symlink, 0),
        Kind::HardLink { .. } => (EntryType::Link, 0),
        Kind::CharacterDevice { .. } => (EntryType::Char, 0),
        Kind::BlockDevice { .. } => (EntryType::Block, 0),
        Kind::Fifo => (EntryType::Fifo, 0),
    }
}

/// POSIX.1-2024 pax: `LENGTH KEY=VALUE\n`, where the length counts itself.
fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::layer::entry::EntryPath;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    fn layer_of(entries: &[(Entry, &[u8])]) -> Vec<u8> {
        let mut writer = LayerWriter::new(Vec::new(), 1_000, 1);
        for (entry, content) in entries {
            writer.append(entry, *content).unwrap();
        }
        let (compressed, layer) = writer.finish().unwrap();
        let mut tar = Vec::new();
        flate2::read::MultiGzDecoder::new(&compressed[..])
            .read_to_end(&mut tar)
            .unwrap();
        assert_eq!(layer.diff_id.0, crate::digest::Digest::of(&tar));
        assert_eq!(layer.uncompressed_bytes, tar.len() as u64);
        tar
    }

    #[test]
    fn names_numbers_and_attributes_that_ustar_cannot_hold_come_back() {
        let long = "d/".repeat(60) + "file";
        let mut entry = Entry::new(path(&long), Kind::File { size: 3 }, 0o6755);
        entry.uid = 3_000_000_000;
        entry.gid = 1001;
        entry.mtime = -5;
        entry.xattrs = BTreeMap::from([
            (b"user.note".to_vec(), b"a=b\n\xff".to_vec()),
            (b"user.overlay.origin".to_vec(), b"x".to_vec()),
        ]);
        let link = Entry::new(
            path("link"),
            Kind::Symlink {
                target: vec![b't'; 150],
            },
            0o777,
        );
        let tar = layer_of(&[(entry.clone(), b"abc"), (link.clone(), b"")]);
        entry.xattrs.remove(&b"user.overlay.origin"[..]);
        let mut found = Vec::new();
        crate::layer::read::for_each(&mut &tar[..], |entry, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            found.push((entry, bytes));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [(entry, b"abc".to_vec()), (link, Vec::new())]);
    }

    #[test]
    fn the_compression_does_not_change_the_tar() {
        let mut entry = Entry::new(path("f"), Kind::File { size: 3 << 20 }, 0o644);
        entry.mtime = 7;
        let content = crate::layer::compress::sample(3 << 20);
        let written = |compression| {
            let mut writer =
                LayerWriter::with_compression(Vec::new(), 1_000, 2, compression).unwrap();
            writer.append(&entry, &content[..]).unwrap();
            writer.finish().unwrap()
        };
        let (plain, layer) = written(Compression::None);
        assert_eq!(layer.diff_id.0, crate::digest::Digest::of(&plain));
        for compression in [Compression::Gzip, Compression::Zstd] {
            let (compressed, found) = written(compression);
            assert_eq!(found, layer);
            assert!(compressed.len() * 2 < plain.len(), "{compression:?}");
            let mut tar = Vec::new();
            let mut reader = crate::layer::decompress(&compressed[..], compression).unwrap();
            reader.read_to_end(&mut tar).unwrap();
            assert!(tar == plain, "{compression:?}");
        }
    }

    /// T3 of rust-crates.md: the tar crate's builder writes GNU sparse entries by default; headers are our own.
    #[test]
    fn t3_a_file_with_holes_is_written_in_full() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("holes");
        let file = std::fs::File::create_new(&name).unwrap();
        file.set_len(4 << 20).unwrap();
        let content = std::fs::File::open(&name).unwrap();
        let mut writer = LayerWriter::new(Vec::new(), 0, 1);
        let entry = Entry::new(path("holes"), Kind::File { size: 4 << 20 }, 0o644);
        writer.append(&entry, content).unwrap();
        let (compressed, layer) = writer.finish().unwrap();
        assert!(layer.uncompressed_bytes >= 4 << 20);
        let reader = flate2::read::MultiGzDecoder::new(&compressed[..]);
        let mut archive = tar::Archive::new(reader);
        let types: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|e| e.unwrap().header().entry_type())
            .collect();
        assert_eq!(types, [EntryType::Regular]);
    }

    #[test]
    fn times_are_clamped_and_a_file_that_changes_size_is_an_error() {
        let mut entry = Entry::new(path("f"), Kind::File { size: 2 }, 0o644);
        entry.mtime = 5_000;
        let tar = layer_of(&[(entry.clone(), b"ab")]);
        let header = Header::from_byte_slice(&tar[..512]);
        assert_eq!(header.mtime().unwrap(), 1_000);
        for content in [&b"a"[..], b"abc"] {
            let mut writer = LayerWriter::new(Vec::new(), 0, 1);
            assert!(matches!(
                writer.append(&entry, content),
                Err(Error::Content { .. })
            ));
        }
    }
}
