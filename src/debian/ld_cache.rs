//! `/etc/ld.so.cache`, the dynamic linker's index of libraries, as `ldconfig` would write it.
//!
//! Programs start without it: the linker then looks into its default directories, which is where packages put their
//! libraries. But `ctypes.util.find_library` reads it (through `ldconfig -p`), so Python packages that load a C library by name
//! would not find it.
//!
//! # Spec
//! glibc, `sysdeps/generic/dl-cache.h` (`struct cache_file_new`, little-endian).

use std::cmp::Ordering;
use std::collections::BTreeMap;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const LITTLE_ENDIAN: u8 = 2;
const HEADER_SIZE: usize = 48;
const ENTRY_SIZE: usize = 24;

/// Collects libraries and writes the index.
#[derive(Clone, Debug)]
pub struct LdCache {
    flags: u32,
    directories: [String; 2],
    /// Path below the root → the name by which the library wants to be known.
    sonames: BTreeMap<String, String>,
    /// Path below the root → the name in the same directory that it links to.
    links: BTreeMap<String, String>,
}

impl LdCache {
    /// A cache for Debian's architecture of this name; `None` for those whose format we do not know. An image
    /// without the file works, see above.
    pub fn new(architecture: &str) -> Option<Self> {
        let (triplet, flags) = match architecture {
            "amd64" => ("x86_64-linux-gnu", 0x0303),
            "arm64" => ("aarch64-linux-gnu", 0x0a03),
            _ => return None,
        };
        Some(Self {
            flags,
            directories: [format!("usr/lib/{triplet}"), "usr/lib".to_owned()],
            sonames: BTreeMap::new(),
            links: BTreeMap::new(),
        })
    }

    /// True when the cache wants to see the content of a file at `path` (relative to the root, `/usr` merged).
    pub fn wants(&self, path: &str) -> bool {
        path.rsplit_once('/').is_some_and(|(directory, name)| {
            let is_library =
                (name.starts_with("lib") || name.starts_with("ld-")) && name.contains(".so");
            is_library && self.directories.iter().any(|known| known == directory)
        })
    }

    /// Takes note of a file. One that is no shared library is ignored.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        if let Some(soname) = self.wants(path).then(|| soname(content)).flatten() {
            self.sonames.insert(path.to_owned(), soname);
        }
    }

    /// Takes note of a symbolic link. One that leads out of its directory is ignored, as Debian has none.
    pub fn symlink(&mut self, path: &str, target: &str) {
        if self.wants(path) && !target.contains('/') {
            self.links.insert(path.to_owned(), target.to_owned());
        }
    }

    /// The bytes of the file.
    pub fn finish(&self) -> Vec<u8> {
        // Name → path. The first directory wins, as in the linker.
        let mut libraries: BTreeMap<&str, String> = BTreeMap::new();
        for directory in &self.directories {
            for path in self.sonames.keys().chain(self.links.keys()) {
                let Some((parent, name)) = path.rsplit_once('/') else {
                    continue;
                };
                if parent == directory && self.soname_of(path).is_some_and(|soname| soname == name)
                {
                    let shown = path.strip_prefix("usr").unwrap_or(path);
                    libraries.entry(name).or_insert_with(|| shown.to_owned());
                }
            }
        }
        let mut libraries: Vec<(&str, String)> = libraries.into_iter().collect();
        // The linker's binary search wants them backwards.
        libraries.sort_by(|(one, _), (other, _)| compare(other, one));
        self.write(&libraries)
    }

    /// What the file at `path`, or the one that it links to, wants to be called.
    fn soname_of(&self, path: &str) -> Option<&str> {
        let (directory, mut name) = path.rsplit_once('/')?;
        for _ in 0..8 {
            let path = format!("{directory}/{name}");
            match self.links.get(&path) {
                Some(target) => name = target,
                None => return self.sonames.get(&path).map(String::as_str),
            }
        }
        None
    }

    fn write(&self, libraries: &[(&str, String)]) -> Vec<u8> {
        let start = HEADER_SIZE + ENTRY_SIZE * libraries.len();
        let mut strings = Vec::new();
        let mut entries = Vec::new();
        for (name, path) in libraries {
            let value = start + strings.len();
            // The name is the end of its path, so it needs no text of its own.
            let key = value + path.len() - name.len();
            for number in [self.flags, key as u32, value as u32, 0, 0, 0] {
                entries.extend(number.to_le_bytes());
            }
            strings.extend_from_slice(path.as_bytes());
            strings.push(0);
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend((libraries.len() as u32).to_le_bytes());
        bytes.extend((strings.len() as u32).to_le_bytes());
        bytes.push(LITTLE_ENDIAN);
        bytes.resize(HEADER_SIZE, 0);
        bytes.extend(entries);
        bytes.extend(strings);
        bytes
    }
}

/// Compares as glibc's `_dl_cache_libcmp`: stretches of digits by value, and a digit comes after anything else.
fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        match (one.first(), other.first()) {
            (Some(a), Some(b)) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let order = take_number(&mut one).cmp(&take_number(&mut other));
                if order.is_ne() {
                    return order;
                }
            }
            (Some(a), Some(_)) if a.is_ascii_digit() => return Ordering::Greater,
            (Some(_), Some(b)) if b.is_ascii_digit() => return Ordering::Less,
            (Some(a), Some(b)) if a == b => (one, other) = (&one[1..], &other[1..]),
            (a, b) => return a.cmp(&b),
        }
    }
}

fn take_number(text: &mut &[u8]) -> u64 {
    let mut number = 0_u64;
    while let Some(digit) = text.first().filter(|byte| byte.is_ascii_digit()) {
        number = number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'));
        *text = &text[1..];
    }
    number
}

/// The `DT_SONAME` of a 64-bit little-endian ELF library; `None` for everything else, and for one without.
///
/// # Spec
/// elf(5).
pub fn soname(elf: &[u8]) -> Option<String> {
    const PT_LOAD: u64 = 1;
    const PT_DYNAMIC: u64 = 2;
    const DT_STRTAB: u64 = 5;
    const DT_SONAME: u64 = 14;
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count) = (
        number(elf, 32, 8)?,
        number(elf, 54, 2)?,
        number(elf, 56, 2)?,
    );
    let header = |index: u64| table.checked_add(index * size);
    let field =
        |index: u64, offset: u64, width| number(elf, header(index)?.checked_add(offset)?, width);
    let mut dynamic = None;
    let mut loads = Vec::new();
    for index in 0..count {
        let span = (
            field(index, 8, 8)?,
            field(index, 16, 8)?,
            field(index, 32, 8)?,
        );
        match field(index, 0, 4)? {
            PT_LOAD => loads.push(span),
            PT_DYNAMIC => dynamic = Some(span),
            _ => {}
        }
    }
    let (start, _address, length) = dynamic?;
    let (mut name, mut strings) = (None, None);
    for index in 0..length / 16 {
        let offset = start.checked_add(index * 16)?;
        match number(elf, offset, 8)? {
            0 => break,
            DT_STRTAB => strings = number(elf, offset + 8, 8),
            DT_SONAME => name = number(elf, offset + 8, 8),
            _ => {}
        }
    }
    let (strings, name) = (strings?, name?);
    let within = |&&(_, address, length): &&(u64, u64, u64)| {
        strings >= address && strings - address < length
    };
    let &(offset, address, _) = loads.iter().find(within)?;
    let at = usize::try_from((strings - address).checked_add(offset)?.checked_add(name)?).ok()?;
    let text = elf.get(at..)?;
    let end = text.iter().position(|&byte| byte == 0)?;
    String::from_utf8(text[..end].to_vec()).ok()
}

/// A little-endian number of `width` bytes at `offset`.
fn number(bytes: &[u8], offset: u64, width: usize) -> Option<u64> {
    let offset = usize::try_from(offset).ok()?;
    let bytes = bytes.get(offset..offset.checked_add(width)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library with one segment and nothing but a name.
    fn library(soname: &str) -> Vec<u8> {
        let mut elf = vec![0; 64 + 2 * 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let mut put = |offset: usize, value: u64, width: usize| {
            elf[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
        };
        let (dynamic, strings) = (64 + 2 * 56, 64 + 2 * 56 + 48);
        let address = 0x1000;
        for (offset, value, width) in [(32, 64, 8), (54, 56, 2), (56, 2, 2)] {
            put(offset, value, width);
        }
        for (index, kind, start, length) in [(0, 1, 0, 4096), (1, 2, dynamic, 48)] {
            let header = 64 + index * 56;
            put(header, kind, 4);
            put(header + 8, start, 8);
            put(header + 16, address + start, 8);
            put(header + 32, length, 8);
        }
        for value in [14, 1, 5, address + strings, 0, 0] {
            elf.extend(u64::to_le_bytes(value));
        }
        elf.push(0);
        elf.extend(soname.as_bytes());
        elf.push(0);
        elf
    }

    #[test]
    fn a_library_tells_its_name_and_a_cut_one_does_not_hurt() {
        let elf = library("libzork.so.1");
        assert_eq!(soname(&elf).as_deref(), Some("libzork.so.1"));
        for end in 0..elf.len() {
            assert_eq!(soname(&elf[..end]), None, "cut at {end}");
        }
        for position in 0..elf.len() {
            let mut changed = elf.clone();
            changed[position] = 0xff;
            let _ = soname(&changed);
        }
        assert_eq!(soname(b"#!/bin/sh"), None);
    }

    #[test]
    fn the_cache_has_libraries_under_the_names_they_want() {
        let mut cache = LdCache::new("amd64").unwrap();
        let directory = "usr/lib/x86_64-linux-gnu";
        cache.file(
            &format!("{directory}/libzork.so.1.2.3"),
            &library("libzork.so.1"),
        );
        cache.symlink(&format!("{directory}/libzork.so.1"), "libzork.so.1.2.3");
        cache.symlink(&format!("{directory}/libzork.so"), "libzork.so.1");
        cache.symlink(&format!("{directory}/libdangling.so.1"), "libgone.so.1");
        cache.symlink(&format!("{directory}/libloop.so.1"), "libloop.so.1");
        cache.file(
            &format!("{directory}/libgrue.so.10"),
            &library("libgrue.so.10"),
        );
        cache.file(
            &format!("{directory}/libgrue.so.9"),
            &library("libgrue.so.9"),
        );
        cache.file(
            &format!("{directory}/plugins/libplugin.so"),
            &library("libplugin.so"),
        );
        cache.file("usr/lib/libgrue.so.9", &library("libgrue.so.9"));
        let bytes = cache.finish();
        let text = |offset: u64| {
            let rest = &bytes[offset as usize..];
            String::from_utf8(rest[..rest.iter().position(|&byte| byte == 0).unwrap()].to_vec())
                .unwrap()
        };
        let entry = |index: u64| {
            let at = 48 + 24 * index;
            assert_eq!(number(&bytes, at, 4), Some(0x303));
            (
                text(number(&bytes, at + 4, 4).unwrap()),
                text(number(&bytes, at + 8, 4).unwrap()),
            )
        };
        assert_eq!(number(&bytes, 20, 4), Some(3));
        let entries: Vec<_> = (0..3).map(entry).collect();
        let expected = ["libzork.so.1", "libgrue.so.10", "libgrue.so.9"];
        let expected =
            expected.map(|name| (name.to_owned(), format!("/lib/x86_64-linux-gnu/{name}")));
        assert_eq!(entries, expected);
        assert!(LdCache::new("mips").is_none());
    }

    #[test]
    fn names_are_ordered_as_the_linker_searches_them() {
        let rows = [
            ("liba.so.9", Ordering::Less, "liba.so.10"),
            ("liba.so", Ordering::Less, "liba.so.1"),
            ("liba1.so", Ordering::Greater, "libab.so"),
            ("libA.so", Ordering::Less, "liba.so"),
            ("liba.so.1", Ordering::Equal, "liba.so.01"),
        ];
        for (one, expected, other) in rows {
            assert_eq!(compare(one, other), expected, "{one} {other}");
            assert_eq!(compare(other, one), expected.reverse(), "{other} {one}");
        }
    }
}
