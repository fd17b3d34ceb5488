//! Archives made byte by byte, good ones and hostile ones.

use std::io::Write;

use super::*;

/// Name, flags, method, CRC-32, packed size and size.
type Local = (Vec<u8>, u16, u16, u32, u32, u32);

/// A member with all that an archive says of it, twice.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) name: Vec<u8>,
    pub(crate) data: Vec<u8>,
    method: u16,
    flags: u16,
    crc32: u32,
    size: u32,
    packed: u32,
    attributes: u32,
    extra: Vec<u8>,
    disk: u16,
    /// Name, flags, method, CRC-32, packed size, size of the local header.
    local: Option<Local>,
    local_extra: Vec<u8>,
    after: Vec<u8>,
    offset: Option<u32>,
}

impl Made {
    pub(crate) fn stored(name: &str, content: &[u8]) -> Self {
        let size = content.len() as u32;
        Self {
            name: name.as_bytes().to_vec(),
            data: content.to_vec(),
            method: 0,
            flags: 0,
            crc32: crc32fast::hash(content),
            size,
            packed: size,
            attributes: 0o100_644 << 16,
            extra: Vec::new(),
            disk: 0,
            local: None,
            local_extra: Vec::new(),
            after: Vec::new(),
            offset: None,
        }
    }

    pub(crate) fn deflated(name: &str, content: &[u8]) -> Self {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(content).unwrap();
        let data = encoder.finish().unwrap();
        let packed = data.len() as u32;
        Self {
            data,
            packed,
            method: 8,
            ..Self::stored(name, content)
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Sizes and CRC-32 in a descriptor of this form after the data, and zeros in the header.
    pub(crate) fn described(mut self, has_signature: bool, is_long: bool) -> Self {
        self.flags |= 8;
        self.local = Some((self.name.clone(), self.flags, self.method, 0, 0, 0));
        let mut after = Vec::new();
        if has_signature {
            after.extend(0x0807_4b50_u32.to_le_bytes());
        }
        after.extend(self.crc32.to_le_bytes());
        for size in [self.packed, self.size] {
            if is_long {
                after.extend(u64::from(size).to_le_bytes());
            } else {
                after.extend(size.to_le_bytes());
            }
        }
        self.after = after;
        self
    }

    /// Sizes in zip64 fields.
    pub(crate) fn long(mut self) -> Self {
        let mut field = vec![1, 0, 16, 0];
        field.extend(u64::from(self.size).to_le_bytes());
        field.extend(u64::from(self.packed).to_le_bytes());
        let all = u32::MAX;
        self.local = Some((
            self.name.clone(),
            self.flags,
            self.method,
            self.crc32,
            all,
            all,
        ));
        (self.size, self.packed) = (all, all);
        (self.extra, self.local_extra) = (field.clone(), field);
        self
    }
}

fn put16(bytes: &mut Vec<u8>, values: &[u16]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn put32(bytes: &mut Vec<u8>, values: &[u32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// The members and the directory, without an end; where the directory begins.
fn body(members: &[Made]) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let mut offsets = Vec::new();
    for member in members {
        offsets.push(bytes.len() as u32);
        let own = (
            member.name.clone(),
            member.flags,
            member.method,
            member.crc32,
            member.packed,
            member.size,
        );
        let (name, flags, method, crc32, packed, size) = member.local.clone().unwrap_or(own);
        put32(&mut bytes, &[0x0403_4b50]);
        put16(&mut bytes, &[20, flags, method, 0, 33]);
        put32(&mut bytes, &[crc32, packed, size]);
        put16(
            &mut bytes,
            &[name.len() as u16, member.local_extra.len() as u16],
        );
        for part in [&name, &member.local_extra, &member.data, &member.after] {
            bytes.extend(part);
        }
    }
    let start = bytes.len();
    for (member, offset) in members.iter().zip(offsets) {
        put32(&mut bytes, &[0x0201_4b50]);
        put16(
            &mut bytes,
            &[0x031e, 20, member.flags, member.method, 0, 33],
        );
        put32(&mut bytes, &[member.crc32, member.packed, member.size]);
        put16(
            &mut bytes,
            &[
                member.name.len() as u16,
                member.extra.len() as u16,
                0,
                member.disk,
                0,
            ],
        );
        put32(
            &mut bytes,
            &[member.attributes, member.offset.unwrap_or(offset)],
        );
        bytes.extend(&member.name);
        bytes.extend(&member.extra);
    }
    (bytes, start)
}

fn end(bytes: &mut Vec<u8>, count: u16, size: u32, offset: u32) {
    put32(bytes, &[0x0605_4b50]);
    put16(bytes, &[0, 0, count, count]);
    put32(bytes, &[size, offset]);
    put16(bytes, &[0]);
}

pub(crate) fn archive(members: &[Made]) -> Vec<u8> {
    let (mut bytes, start) = body(members);
    let size = (bytes.len() - start) as u32;
    end(&mut bytes, members.len() as u16, size, start as u32);
    bytes
}

fn archive64(members: &[Made], change: impl FnOnce(&mut [u64; 4])) -> Vec<u8> {
    let (mut bytes, start) = body(members);
    let at = bytes.len();
    let mut values = [44, members.len() as u64, (at - start) as u64, start as u64];
    change(&mut values);
    let [length, count, size, offset] = values;
    put32(&mut bytes, &[0x0606_4b50]);
    bytes.extend(length.to_le_bytes());
    put16(&mut bytes, &[45, 45]);
    put32(&mut bytes, &[0, 0]);
    for value in [count, count, size, offset] {
        bytes.extend(value.to_le_bytes());
    }
    put32(&mut bytes, &[0x0706_4b50, 0]);
    bytes.extend((at as u64).to_le_bytes());
    put32(&mut bytes, &[1]);
    end(&mut bytes, u16::MAX, u32::MAX, u32::MAX);
    bytes
}

/// Opens an archive and reads everything in it.
fn read_all(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let archive = Archive::open(bytes, &Limits::default())?;
    let read = |member: &Member| Ok((member.name.clone(), archive.read(member, 1 << 30)?));
    archive.members().iter().map(read).collect()
}

#[test]
fn every_form_of_a_member_is_read() {
    let content = b"some content, some content, some content".repeat(9000);
    let forms = [
        Made::stored("a", &content),
        Made::deflated("b/c", &content),
        Made::deflated("d", b""),
        Made::stored("e", b""),
        Made::stored("f/", b"").with(|made| made.attributes = 0o040_755 << 16),
        Made::stored("g/", b"").with(|made| made.attributes = 0),
        Made::deflated("h", &content).described(false, false),
        Made::deflated("i", &content).described(true, false),
        Made::deflated("j", &content).described(false, true),
        Made::stored("k", &content).described(true, true),
        Made::deflated("l", &content).long(),
        Made::stored("\u{e9}", b"x").with(|made| made.flags = 1 << 11),
        // Padding, and a field that means nothing here.
        Made::stored("m", b"x").with(|made| made.local_extra = vec![0x55, 0x54, 1, 0, 7, 0, 0]),
        Made::stored("n", b"x").with(|made| made.attributes = 0o100_755 << 16),
    ];
    for bytes in [archive(&forms), archive64(&forms, |_| {})] {
        let found = read_all(&bytes).unwrap();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "a", "b/c", "d", "e", "f/", "g/", "h", "i", "j", "k", "l", "m", "n", "\u{e9}"
            ]
        );
        for (name, found) in &found {
            match name.as_str() {
                "d" | "e" | "f/" | "g/" => assert!(found.is_empty()),
                "m" | "n" | "\u{e9}" => assert_eq!(found, b"x"),
                name => assert!(*found == content, "{name}"),
            }
        }
        let archive = Archive::open(&bytes[..], &Limits::default()).unwrap();
        let executable: Vec<_> = archive
            .members()
            .iter()
            .filter(|member| member.is_executable())
            .collect();
        assert_eq!(executable.len(), 1);
        assert_eq!(executable[0].name, "n");
        assert_eq!(
            archive.read_start(&archive.members()[1], 4).unwrap(),
            b"some"
        );
        assert_eq!(archive.find("b/c"), Some(1));
        assert_eq!(archive.find("b"), None);
    }
    assert!(read_all(&archive(&[])).unwrap().is_empty());
}

#[test]
fn hostile_members_are_refused_by_name() {
    let a = || Made::deflated("a", &b"content".repeat(20));
    let named = |name: &str| Made::stored(name, b"x");
    let long = "x".repeat(256);
    let field = |bytes: &[u8]| bytes.to_vec();
    let table: Vec<(Vec<Made>, &str)> = vec![
        (vec![named("../b")], "`../b` has a name that points outside"),
        (vec![named("a/../b")], "points outside"),
        (vec![named("/b")], "`/b` has an absolute name"),
        (vec![named("a\\b")], "has a backslash"),
        (vec![named("C:b")], "begins with a drive"),
        (vec![named("a\0b")], "has a control character"),
        (vec![named("a\nb")], "has a control character"),
        (vec![named("a//b")], "empty or `.` components"),
        (vec![named("./b")], "empty or `.` components"),
        (vec![named("")], "has no name"),
        (vec![named(&long)], "longer than 255 bytes"),
        (vec![named("\u{e9}")], "neither ASCII nor marked"),
        (
            vec![named("a").with(|made| {
                made.name = vec![0xff];
                made.flags = 1 << 11;
            })],
            "not UTF-8",
        ),
        (vec![a(), a()], "`a` is there twice"),
        (
            vec![
                a(),
                named("a/").with(|made| {
                    *made = Made::stored("a/", b"");
                    made.attributes = 0;
                }),
            ],
            "there twice",
        ),
        (vec![a(), named("a/b")], "`a/b` is in `a`, which is a file"),
        (vec![a().with(|made| made.flags = 1)], "`a` is encrypted"),
        (vec![a().with(|made| made.flags = 1 << 6)], "is encrypted"),
        (vec![a().with(|made| made.flags = 1 << 13)], "is encrypted"),
        (
            vec![a().with(|made| made.flags = 1 << 5)],
            "flags that are unknown",
        ),
        (vec![a().with(|made| made.method = 9)], "packed by method 9"),
        (
            vec![a().with(|made| made.method = 0)],
            "is stored, but its packed size",
        ),
        (
            vec![named("a").with(|made| made.attributes = 0o120_777 << 16)],
            "is a symbolic link",
        ),
        (
            vec![named("a").with(|made| made.attributes = 0o010_644 << 16)],
            "neither a file nor a directory",
        ),
        (
            vec![named("a").with(|made| made.attributes = 0o040_755 << 16)],
            "is a directory and has the name of a file",
        ),
        (
            vec![named("a/").with(|made| made.attributes = 0o100_644 << 16)],
            "has the name of a directory and is none",
        ),
        (
            vec![named("a/").with(|made| made.attributes = 0)],
            "is a directory with content",
        ),
        (vec![a().with(|made| made.disk = 1)], "on another disk"),
        (
            vec![a().with(|made| made.extra = field(&[1, 0, 9, 0]))],
            "extra field that is cut off",
        ),
        (
            vec![a().with(|made| made.extra = field(&[1, 0, 0, 0, 1, 0, 0, 0]))],
            "extra field twice",
        ),
        (
            vec![
                a().long()
                    .with(|made| made.extra.truncate(12))
                    .with(|made| made.extra[2] = 8),
            ],
            "zip64 field that is cut off",
        ),
        (
            vec![a().with(|made| made.extra = field(&[0x75, 0x70, 6, 0, 1, 0, 0, 0, 0, b'b']))],
            "second name",
        ),
        (
            vec![
                a().with(|made| made.local_extra = field(&[0x75, 0x70, 6, 0, 1, 0, 0, 0, 0, b'b'])),
            ],
            "second name",
        ),
        (
            vec![a().with(|made| made.after = b"x".to_vec())],
            "followed by bytes that belong to no member",
        ),
        (
            vec![a().described(true, false).with(|made| made.after.push(0))],
            "no data descriptor",
        ),
        (
            vec![a().described(true, false).with(|made| made.after[5] ^= 1)],
            "descriptor that does not agree",
        ),
        (
            vec![a().described(true, false).with(|made| made.after[0] ^= 1)],
            "descriptor that does not agree",
        ),
        (
            vec![
                a(),
                a().with(|made| {
                    made.name = b"b".to_vec();
                    made.offset = Some(0);
                }),
            ],
            "overlaps",
        ),
        (
            vec![a(), named("b").with(|made| made.offset = Some(3))],
            "overlaps",
        ),
        (
            vec![a().with(|made| made.offset = Some(4000))],
            "bytes before its first member",
        ),
        (vec![a().with(|made| made.packed += 1)], "overlaps"),
        (
            vec![a(), named("b").with(|made| made.data.clear())],
            "overlaps",
        ),
        (
            vec![a().with(|made| made.crc32 ^= 1)],
            "`a` has another CRC-32",
        ),
        (
            vec![named("a").with(|made| made.crc32 ^= 1)],
            "another CRC-32",
        ),
        (
            vec![a().with(|made| made.size += 1)],
            "has 140 bytes of content, not the 141",
        ),
        (
            vec![a().with(|made| made.size -= 1)],
            "has more content than the 139",
        ),
        (
            vec![a().with(|made| {
                made.data.push(0);
                made.packed += 1;
            })],
            "bytes after the end of its deflate",
        ),
        (
            vec![a().with(|made| {
                made.data.pop();
                made.packed -= 1;
            })],
            "without an end",
        ),
        (
            vec![a().with(|made| made.data = vec![0xff; made.data.len()])],
            "no deflate stream",
        ),
        (
            vec![a().with(|made| {
                made.data.clear();
                made.packed = 0;
            })],
            "without an end",
        ),
    ];
    for (members, expected) in table {
        let error = read_all(&archive(&members))
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{error} (expected: {expected})");
    }
    // What the local header says alone.
    let (other, sizes) = ("other than the directory says", "sizes or a CRC other than");
    let table: [(fn(&mut Local), &str); 7] = [
        (|local| local.0 = b"b".to_vec(), other),
        (|local| local.1 = 1 << 11, other),
        (|local| local.2 = 0, other),
        (|local| local.3 ^= 1, sizes),
        (|local| local.4 += 1, sizes),
        (|local| local.5 += 1, sizes),
        (|local| local.4 = 0, sizes),
    ];
    for (change, expected) in table {
        let made = a().with(|made| {
            let mut local = (
                made.name.clone(),
                made.flags,
                made.method,
                made.crc32,
                made.packed,
                made.size,
            );
            change(&mut local);
            made.local = Some(local);
        });
        let error = read_all(&archive(&[made])).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn hostile_archives_are_refused() {
    let members = [
        Made::deflated("a", b"content"),
        Made::stored("b", b"content"),
    ];
    let good = archive(&members);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let end = good.len() - 22;
    let two_ends = changed(&|bytes| {
        let again = bytes[end..].to_vec();
        bytes[end + 20] = 22;
        bytes.extend(again);
    });
    let prefixed = [b"#!x", &good[..]].concat();
    let table: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "is no zip archive"),
        (b"PK".to_vec(), "is no zip archive"),
        (vec![0; 70_000], "is no zip archive"),
        (changed(&|bytes| bytes.push(0)), "bytes after its end"),
        (prefixed, "not where it says"),
        (two_ends, "two ends"),
        (changed(&|bytes| bytes[end + 4] = 1), "several disks"),
        (
            changed(&|bytes| {
                bytes[end + 4] = 1;
                bytes[end + 6] = 1;
            }),
            "several disks",
        ),
        (changed(&|bytes| bytes[end + 8] = 1), "several disks"),
        (
            changed(&|bytes| {
                bytes[end + 8] = 3;
                bytes[end + 10] = 3;
            }),
            "2 members in its directory but says that there are 3",
        ),
        (changed(&|bytes| bytes[end + 12] ^= 1), "not where it says"),
        (changed(&|bytes| bytes[end + 16] ^= 1), "not where it says"),
        (
            changed(&|bytes| bytes[end - 47] ^= 1),
            "directory that is cut off or damaged",
        ),
        (
            changed(&|bytes| bytes[0] ^= 1),
            "`a` is not where the directory says",
        ),
        (
            archive64(&members, |values| values[0] = 43),
            "zip64 end that does not agree",
        ),
        (
            archive64(&members, |values| values[1] = 3),
            "says that there are 3",
        ),
        (
            archive64(&members, |values| values[2] -= 1),
            "not where it says",
        ),
        (
            archive64(&members, |values| values[3] = u64::MAX),
            "not where it says",
        ),
    ];
    for (bytes, expected) in table {
        let error = read_all(&bytes).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error} (expected: {expected})");
    }
    for length in 0..good.len() {
        assert!(read_all(&good[..length]).is_err(), "cut to {length} bytes");
    }
    // Cut off after it was opened.
    let archive = Archive::open(&good[..], &Limits::default()).unwrap();
    let member = archive.members()[0].clone();
    let cut = Archive {
        reader: &good[..35],
        members: vec![member.clone()],
    };
    let error = cut.read(&member, 100).unwrap_err().to_string();
    assert!(error.contains("`a` is cut off"), "{error}");
    let error = archive.read(&member, 3).unwrap_err().to_string();
    assert!(error.contains("larger than 3 bytes"), "{error}");
}

#[test]
fn bombs_and_floods_are_refused_before_anything_is_unpacked() {
    let bytes = archive(&[
        Made::deflated("zeros", &vec![0; 200_000]),
        Made::deflated("more", &vec![0; 200_000]),
    ]);
    let open = |limits: Limits| {
        Archive::open(&bytes[..], &limits)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let limits = Limits::default();
    open(limits).unwrap();
    let small = Limits {
        small_bytes: 100_000,
        ..limits
    };
    let error = open(small).unwrap_err();
    assert!(
        error.contains("`zeros` unpacks to 200000 bytes, more than 500 times"),
        "{error}"
    );
    let error = open(Limits {
        member_ratio: 2000,
        ..small
    })
    .unwrap_err();
    assert!(error.contains("unpacks to 400000 bytes"), "{error}");
    open(Limits {
        member_ratio: 2000,
        archive_ratio: 2000,
        ..small
    })
    .unwrap();
    let error = open(Limits {
        unpacked_bytes: 399_999,
        ..limits
    })
    .unwrap_err();
    assert!(error.contains("the limits are 399999 bytes"), "{error}");
    for limits in [
        Limits {
            members: 1,
            ..limits
        },
        Limits {
            directory_bytes: 50,
            ..limits
        },
    ] {
        let error = open(limits).unwrap_err();
        assert!(error.contains("directory of 2 members"), "{error}");
    }
}
