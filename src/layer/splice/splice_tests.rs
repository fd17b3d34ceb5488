//! Spliced layers against those that [`LayerWriter`] writes.

use std::io::Read;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::digest::Digest;
use crate::layer::zip::Limits;
use crate::layer::zip::tests::{Made, archive};
use crate::layer::{EntryPath, LayerWriter};

fn entry(name: &str, size: usize) -> Entry {
    let path = EntryPath::parse(name.as_bytes()).unwrap();
    let mut entry = Entry::new(path, Kind::File { size: size as u64 }, 0o644);
    (entry.uid, entry.gid, entry.mtime) = (1001, 0, 9_000);
    entry
}

fn unzip(gzip: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(gzip)
        .read_to_end(&mut tar)
        .unwrap();
    tar
}

/// The layer of these files, spliced.
fn spliced(bytes: &[u8], names: &[(String, usize)], threads: usize) -> (Vec<u8>, Layer) {
    let archive = Archive::open(bytes, &Limits::default()).unwrap();
    let mut writer = SplicedWriter::new(Vec::new(), 1_000, threads);
    for (name, size) in names {
        let member = &archive.members()[archive.find(name).unwrap()];
        let expected = archive.read(member, u64::MAX).unwrap();
        let expected = ContentHash::Sha256(Sha256::digest(expected).into());
        writer
            .append_member(&entry(name, *size), &archive, member, Some(&expected))
            .unwrap();
    }
    writer.finish().unwrap()
}

fn written(files: &[(String, Vec<u8>)]) -> (Vec<u8>, Layer) {
    let mut writer = LayerWriter::new(Vec::new(), 1_000, 1);
    for (name, content) in files {
        writer
            .append(&entry(name, content.len()), &content[..])
            .unwrap();
    }
    writer.finish().unwrap()
}

fn made(form: u8, name: &str, content: &[u8]) -> Made {
    match form % 6 {
        0 => Made::stored(name, content),
        1 => Made::deflated(name, content),
        2 => Made::deflated(name, content).described(true, false),
        3 => Made::deflated(name, content).described(false, true),
        4 => Made::deflated(name, content).long(),
        _ => Made::stored(name, content).described(false, false),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the archive's form, the tar is that of `LayerWriter`, and so is what is known of it.
    #[test]
    fn the_tar_is_that_of_the_layer_writer(
        files in prop::collection::btree_map("[a-d]{1,3}/[a-z]{1,120}", (0..6_u8, 0..40_000_usize, any::<u8>()), 0..12)
    ) {
        let files: Vec<(u8, (String, Vec<u8>))> = files
            .into_iter()
            .map(|(name, (form, size, seed))| {
                let content = (0..size).map(|index| (index * index / 7 + usize::from(seed)) as u8 | seed).collect();
                (form, (name, content))
            })
            .collect();
        let members: Vec<Made> = files.iter().map(|(form, (name, content))| made(*form, name, content)).collect();
        let names: Vec<_> = files.iter().map(|(_, (name, content))| (name.clone(), content.len())).collect();
        let plain: Vec<_> = files.into_iter().map(|(_, file)| file).collect();
        let bytes = archive(&members);
        let (gzip, layer) = spliced(&bytes, &names, 1);
        let (expected, expected_layer) = written(&plain);
        let tar = unzip(&gzip);
        prop_assert_eq!(&layer, &expected_layer);
        prop_assert_eq!(&layer.diff_id.0, &Digest::of(&tar));
        prop_assert!(tar == unzip(&expected));
        prop_assert!(spliced(&bytes, &names, 2) == (gzip, layer));
    }
}

/// A reader that gives `piece` bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(buffer.len());
        self.0.read(&mut buffer[..count])
    }
}

/// T5 and T6 of rust-crates.md, for what a spliced layer compresses itself.
#[test]
fn t5_neither_reads_nor_threads_change_the_bytes() {
    let content: Vec<u8> = (0..3 * BLOCK_BYTES + 77)
        .map(|index| (index * index / 1000) as u8)
        .collect();
    let bytes = archive(&[Made::deflated("large", &content)]);
    let zip = Archive::open(&bytes[..], &Limits::default()).unwrap();
    let layer = |piece, threads| {
        let mut writer = SplicedWriter::new(Vec::new(), 1_000, threads);
        writer
            .append(&entry("a", content.len()), Slow(&content, piece))
            .unwrap();
        writer
            .append_member(&entry("b", content.len()), &zip, &zip.members()[0], None)
            .unwrap();
        writer.append(&entry("c", 3), Slow(b"abc", piece)).unwrap();
        writer.finish().unwrap()
    };
    let expected = layer(usize::MAX, 1);
    for (piece, threads) in [(777, 1), (4096, 2), (BLOCK_BYTES + 1, 8)] {
        assert!(layer(piece, threads) == expected, "{piece}, {threads}");
    }
    let files = ["a", "b", "c"].map(|name| {
        (
            name.to_owned(),
            if name == "c" {
                b"abc".to_vec()
            } else {
                content.clone()
            },
        )
    });
    assert_eq!(expected.1, written(&files).1);
    // The stream of the archive is in the layer as it stands.
    let mut stream = Vec::new();
    zip.raw(&zip.members()[0]).read_to_end(&mut stream).unwrap();
    assert!(
        expected
            .0
            .windows(stream.len())
            .any(|window| window == stream)
    );
}

#[test]
fn the_format_is_pinned() {
    // A change of zlib-rs, of a constant or of the fixed coder shows here first; it is a change of image bytes.
    let text = b"def f(x): return x + 1\n".repeat(1000);
    let bytes = archive(&[
        Made::stored("a", b""),
        Made::stored("b", &text),
        Made::stored("c", b"tiny"),
    ]);
    let names = [("a", 0), ("b", text.len()), ("c", 4)].map(|(name, size)| (name.to_owned(), size));
    let (gzip, _) = spliced(&bytes, &names, 1);
    assert_eq!(
        Digest::of(&gzip).to_string(),
        "sha256:ae0525fff391c83778f74d5f140800c2be2f1aa93ebba9bd41d40d9b5f20d2c8"
    );
    let header = fixed::deflate(&tar::header(&entry("usr/lib/python3/x.py", 5000), 1_000));
    assert_eq!(
        Digest::of(&header).to_string(),
        "sha256:425ca2895313d2988e8937839f35a95f99629afa1905299cb57404e00d637b34"
    );
}

#[test]
fn what_is_not_as_promised_is_an_error() {
    let content = vec![7; 50_000];
    let wrong = ContentHash::Sha512([0; 64]);
    for name in ["large", "small"] {
        let content = if name == "large" {
            &content[..]
        } else {
            &content[..9]
        };
        let bytes = archive(&[Made::deflated(name, content)]);
        let zip = Archive::open(&bytes[..], &Limits::default()).unwrap();
        let member = &zip.members()[0];
        for threads in [1, 2] {
            let mut writer = SplicedWriter::new(Vec::new(), 0, threads);
            let added =
                writer.append_member(&entry(name, content.len()), &zip, member, Some(&wrong));
            let error = added
                .and_then(|()| writer.finish().map(drop))
                .unwrap_err()
                .to_string();
            assert_eq!(
                error,
                format!("`/{name}` does not have the SHA-512 that was promised for it")
            );
        }
        let mut writer = SplicedWriter::new(Vec::new(), 0, 1);
        let error = writer
            .append_member(&entry(name, 3), &zip, member, None)
            .unwrap_err();
        assert!(matches!(error, Error::Content { .. }));
        let mut damaged = member.clone();
        damaged.crc32 ^= 1;
        let error = writer
            .append_member(&entry(name, content.len()), &zip, &damaged, None)
            .unwrap_err();
        assert!(error.to_string().contains("another CRC-32"), "{error}");
    }
    for content in [&b"a"[..], b"abc"] {
        let mut writer = SplicedWriter::new(Vec::new(), 0, 1);
        let error = writer.append(&entry("f", 2), content).unwrap_err();
        assert!(matches!(error, Error::Content { expected: 2, .. }));
    }
}

/// Mutated archives must be read or refused, never more: the same function is fuzzed in `fuzz/`.
#[test]
fn mutated_archives_never_panic() {
    let text = b"def f(x): return x + 1\n".repeat(300);
    let good = archive(&[
        Made::deflated("a/b", &text),
        Made::stored("c", &text[..99]),
        Made::deflated("d", &text).described(true, false),
        Made::deflated("e", &text[..500]).long(),
    ]);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..4000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random(3) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = [0, 1, 0x7f, 0xff][random(4)],
                2 => bytes.truncate(at + 1),
                _ => {
                    let length = random(40).min(bytes.len() - at);
                    let piece = bytes[at..at + length].to_vec();
                    let to = random(bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
        match splice_everything(&bytes) {
            Ok(()) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        accepted > 50 && refused > 2000,
        "{accepted} accepted, {refused} refused"
    );
}

fn splice_everything(bytes: &[u8]) -> Result<(), Error> {
    let archive = Archive::open(bytes, &Limits::default())?;
    let mut writer = SplicedWriter::new(Vec::new(), 0, 1);
    for member in archive
        .members()
        .iter()
        .filter(|member| !member.is_directory())
    {
        let path = EntryPath::parse(member.name.as_bytes())?;
        let entry = Entry::new(path, Kind::File { size: member.size }, 0o644);
        writer.append_member(&entry, &archive, member, None)?;
    }
    let (gzip, layer) = writer.finish()?;
    assert_eq!(Digest::of(&unzip(&gzip)), layer.diff_id.0);
    Ok(())
}
