use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

const TEXT: &[u8] = b"Metadata-Version: 2.1\nName: a\nVersion: 1.0\n\nvery very very long\n";

/// A file in memory that knows what of it was read.
struct Fake {
    bytes: Vec<u8>,
    reads: Vec<Range<u64>>,
}

impl Bytes for Fake {
    type Error = ();

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, ()> {
        assert!(range.start <= range.end && range.end <= self.size());
        self.reads.push(range.clone());
        Ok(self.bytes[range.start as usize..range.end as usize].to_vec())
    }
}

fn wheel(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in members {
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn read(bytes: Vec<u8>) -> (Result<Vec<u8>, String>, usize) {
    let name = "A-1.0.0-py3-none-any.whl".parse().unwrap();
    let mut fake = Fake {
        bytes,
        reads: Vec::new(),
    };
    let result = metadata(&mut fake, &name).map_err(|failure| match failure {
        Failure::Zip(reason) => reason.to_owned(),
        Failure::Read(()) => unreachable!("this source never fails"),
    });
    (result, fake.reads.len())
}

#[test]
fn a_small_wheel_takes_one_read() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let bytes = wheel(
            &[("a.py", b"x"), ("a-1.0.dist-info/METADATA", TEXT)],
            method,
        );
        let (found, reads) = read(bytes);
        assert_eq!((found.unwrap().as_slice(), reads), (TEXT, 1));
    }
}

#[test]
fn a_large_one_takes_one_for_each_part_at_most() {
    let names: Vec<String> = (0..2000).map(|n| format!("a/{n:030}.py")).collect();
    let noise: Vec<u8> = (0..300_000_u32)
        .map(|n| (n.wrapping_mul(n) / 7) as u8)
        .collect();
    let metadata = ("A-1.dist-info/METADATA", TEXT);
    let mut members = vec![("other/a-1.dist-info/METADATA", TEXT), ("noise", &noise)];
    members.extend(names.iter().map(|name| (name.as_str(), &b"x"[..])));
    for (first, most) in [(true, 3), (false, 2)] {
        let mut members = members.clone();
        members.insert(if first { 0 } else { members.len() }, metadata);
        let (found, reads) = read(wheel(&members, CompressionMethod::Stored));
        assert_eq!(found.unwrap(), TEXT);
        assert_eq!(reads, most);
    }
}

#[test]
fn a_comment_at_the_end_is_no_obstacle() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.set_comment("PK\x05\x06 ".repeat(9000)).unwrap();
    zip.start_file("a-1.dist-info/METADATA", SimpleFileOptions::default())
        .unwrap();
    zip.write_all(TEXT).unwrap();
    assert_eq!(read(zip.finish().unwrap().into_inner()).0.unwrap(), TEXT);
}

#[test]
fn the_records_for_large_files_are_read() {
    let mut bytes = wheel(
        &[("a-1.0.dist-info/METADATA", TEXT)],
        CompressionMethod::Stored,
    );
    let end = bytes.split_off(bytes.len() - END_BYTES);
    let (size, offset) = (u32_at(&end, 12).unwrap(), u32_at(&end, 16).unwrap());
    let record = bytes.len() as u64;
    bytes.extend(b"PK\x06\x06");
    bytes.extend([0; 36]);
    bytes.extend(u64::from(size).to_le_bytes());
    bytes.extend(u64::from(offset).to_le_bytes());
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(record.to_le_bytes());
    bytes.extend([1, 0, 0, 0]);
    bytes.extend(&end[..12]);
    bytes.extend([0xff; 8]);
    bytes.extend(&end[20..]);
    assert_eq!(read(bytes).0.unwrap(), TEXT);
}

#[test]
fn what_is_wrong_is_said() {
    let stored = |members: &[(&str, &[u8])]| wheel(members, CompressionMethod::Stored);
    let right = stored(&[("a-1.0.dist-info/METADATA", TEXT)]);
    let mut changed = right.clone();
    let place = right.windows(4).position(|four| four == b"very").unwrap();
    changed[place] = b'V';
    for (bytes, reason) in [
        (Vec::new(), "no end record"),
        (b"PK\x05\x06".to_vec(), "no end record"),
        (
            stored(&[("b-1.0.dist-info/METADATA", TEXT)]),
            "no `METADATA`",
        ),
        (
            stored(&[("a-1.1.dist-info/METADATA", TEXT)]),
            "no `METADATA`",
        ),
        (
            stored(&[
                ("a-1.0.dist-info/METADATA", TEXT),
                ("A-1.dist-info/METADATA", TEXT),
            ]),
            "twice",
        ),
        (
            stored(&[("a-1.dist-info/METADATA", &vec![b' '; 9 << 20])]),
            "larger than 8 MiB",
        ),
        (changed, "not what its directory says"),
    ] {
        let found = read(bytes).0.unwrap_err();
        assert!(found.contains(reason), "{found}");
    }
}

#[test]
fn no_damage_makes_it_panic() {
    let right = wheel(
        &[("a.py", b"x"), ("a-1.0.dist-info/METADATA", TEXT)],
        CompressionMethod::Deflated,
    );
    let mut failures = 0;
    for position in 0..right.len() {
        for value in [0, 0x7f, 0xff] {
            let mut bytes = right.clone();
            bytes[position] = value;
            // A changed byte may be one that nobody looks at; then what is found is right.
            match read(bytes).0 {
                Ok(found) => assert_eq!(found, TEXT),
                Err(_) => failures += 1,
            }
        }
        assert!(read(right[..position].to_vec()).0.is_err());
    }
    assert!(failures > 100);
}
