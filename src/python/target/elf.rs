//! What a program's header tells of it.
//!
//! # Spec
//! System V ABI, chapters 4 and 5 (ELF header, program header); the numbers are those of Linux `elf.h`.

/// What an interpreter's ELF header tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The architecture as the kernel calls it; `None` for one that is not in our table.
    pub(super) architecture: Option<&'static str>,
    /// The dynamic linker, as `/lib64/ld-linux-x86-64.so.2`; `None` for a static program.
    pub(super) linker: Option<String>,
}

/// `PT_INTERP`.
const INTERPRETER: u64 = 3;
/// The longest path of a linker.
const MAX_LINKER: u64 = 4096;
/// More program headers no program has.
const MAX_HEADERS: u64 = 512;

struct Reader<'a> {
    bytes: &'a [u8],
    is_64_bit: bool,
    is_big_endian: bool,
}

impl Reader<'_> {
    /// An unsigned number of `width` bytes.
    fn number(&self, offset: u64, width: usize) -> Option<u64> {
        let start = usize::try_from(offset).ok()?;
        let bytes = self.bytes.get(start..start.checked_add(width)?)?;
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(match self.is_big_endian {
            true => bytes.iter().fold(0, fold),
            false => bytes.iter().rev().fold(0, fold),
        })
    }

    /// A field whose place and width depend on the class.
    fn field(&self, base: u64, narrow: (u64, usize), wide: (u64, usize)) -> Option<u64> {
        let (offset, width) = if self.is_64_bit { wide } else { narrow };
        self.number(base.checked_add(offset)?, width)
    }
}

/// Reads the header of a program; `None` when the bytes are no ELF file, or are cut off.
pub(super) fn read(bytes: &[u8]) -> Option<Program> {
    let [0x7f, b'E', b'L', b'F', class @ (1 | 2), order @ (1 | 2), ..] = bytes else {
        return None;
    };
    let reader = Reader {
        bytes,
        is_64_bit: *class == 2,
        is_big_endian: *order == 2,
    };
    let machine = reader.number(18, 2)?;
    let architecture = match (machine, *class, *order) {
        (62, 2, 1) => Some("x86_64"),
        (183, 2, 1) => Some("aarch64"),
        (3, 1, 1) => Some("i686"),
        (40, 1, 1) => Some("armv7l"),
        (21, 2, 1) => Some("ppc64le"),
        (22, 2, 2) => Some("s390x"),
        (243, 2, 1) => Some("riscv64"),
        (258, 2, 1) => Some("loongarch64"),
        _ => None,
    };
    let table = reader.field(0, (28, 4), (32, 8))?;
    let size = reader.field(0, (42, 2), (54, 2))?;
    let count = reader.field(0, (44, 2), (56, 2))?.min(MAX_HEADERS);
    let mut linker = None;
    for index in 0..count {
        let header = table.checked_add(index.checked_mul(size)?)?;
        if reader.number(header, 4)? == INTERPRETER {
            let offset = usize::try_from(reader.field(header, (4, 4), (8, 8))?).ok()?;
            let length = reader.field(header, (16, 4), (32, 8))?.min(MAX_LINKER);
            let path = bytes.get(offset..offset.checked_add(usize::try_from(length).ok()?)?)?;
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            linker = Some(String::from_utf8(path.to_vec()).ok()?);
            break;
        }
    }
    Some(Program {
        architecture,
        linker,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A program that has a header, a linker's path, and `rest`.
    pub(in super::super) fn program(
        machine: u16,
        is_64_bit: bool,
        is_big_endian: bool,
        linker: &str,
        rest: &[u8],
    ) -> Vec<u8> {
        let mut bytes = vec![0; if is_64_bit { 120 } else { 84 }];
        bytes[..6].copy_from_slice(&[
            0x7f,
            b'E',
            b'L',
            b'F',
            1 + u8::from(is_64_bit),
            1 + u8::from(is_big_endian),
        ]);
        let mut put = |offset: usize, width: usize, value: u64| {
            let all = if is_big_endian {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            };
            let part = if is_big_endian {
                &all[8 - width..]
            } else {
                &all[..width]
            };
            bytes[offset..offset + width].copy_from_slice(part);
        };
        put(18, 2, u64::from(machine));
        let length = linker.len() as u64 + 1;
        if is_64_bit {
            for (offset, width, value) in [
                (32, 8, 64),
                (54, 2, 56),
                (56, 2, 1),
                (64, 4, 3),
                (72, 8, 120),
                (96, 8, length),
            ] {
                put(offset, width, value);
            }
        } else {
            for (offset, width, value) in [
                (28, 4, 52),
                (42, 2, 32),
                (44, 2, 1),
                (52, 4, 3),
                (56, 4, 84),
                (68, 4, length),
            ] {
                put(offset, width, value);
            }
        }
        bytes.extend_from_slice(linker.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn headers_of_every_kind_are_read() {
        for (machine, wide, big, expected) in [
            (62, true, false, Some("x86_64")),
            (22, true, true, Some("s390x")),
            (40, false, false, Some("armv7l")),
            (3, false, false, Some("i686")),
            (21, true, true, None),
        ] {
            let bytes = program(machine, wide, big, "/lib/ld.so", b"rest");
            let found = read(&bytes).unwrap();
            assert_eq!(found.architecture, expected);
            assert_eq!(found.linker.as_deref(), Some("/lib/ld.so"));
        }
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(
            read(&own).unwrap().architecture,
            Some(std::env::consts::ARCH).filter(|arch| *arch != "x86")
        );
    }

    #[test]
    fn damaged_headers_are_none_and_never_a_panic() {
        let whole = program(62, true, false, "/lib/ld.so", b"");
        for length in 0..whole.len() {
            let _ = read(&whole[..length]);
        }
        for index in 4..120 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[index] = value;
                let _ = read(&damaged);
            }
        }
        assert_eq!(read(b"#!/bin/sh\n"), None);
        assert_eq!(read(&whole[..100]), None);
    }
}
