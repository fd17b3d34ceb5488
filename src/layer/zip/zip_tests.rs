//! Archives made byte by byte, good ones and hostile ones.

use std::io::Write;

use super::*;

#[path = "hostile_tests.rs"]
mod hostile;

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
