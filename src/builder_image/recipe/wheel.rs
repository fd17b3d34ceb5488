//! A wheel, read and checked.
//!
//! # Spec
//! packaging.python.org, *Binary distribution format* and *Recording installed projects*.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use sha2::{Digest as _, Sha256};

use crate::layer::EntryPath;

/// How large a wheel may be, unpacked, in bytes. pip has 11 MB.
const MAX_UNPACKED: u64 = 64 << 20;

/// What a wheel consists of.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The name of the `.dist-info` directory.
    pub(super) dist_info: String,
    /// The files without `RECORD`, by path relative to `site-packages`.
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

impl Wheel {
    /// Reads a wheel whose files all go into `site-packages`. Every file must be in `RECORD`, with its digest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut files = unzip(bytes)?;
        let dist_info = dist_info(&files)?;
        let record = files
            .remove(&format!("{dist_info}/RECORD"))
            .ok_or_else(|| format!("it has no `{dist_info}/RECORD`"))?;
        check(&files, &record, &dist_info)?;
        Ok(Self { dist_info, files })
    }

    /// The console scripts by name, each with its module and the name of what to call in it.
    pub(super) fn console_scripts(&self) -> BTreeMap<String, (String, String)> {
        let text = self
            .files
            .get(&format!("{}/entry_points.txt", self.dist_info));
        let text = text
            .map(|bytes| String::from_utf8_lossy(bytes))
            .unwrap_or_default();
        let mut scripts = BTreeMap::new();
        let mut is_ours = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                is_ours = line == "[console_scripts]";
            } else if let Some((name, target)) = line.split_once('=')
                && let Some((module, function)) = target.trim().split_once(':')
                && is_ours
                && [module, function].iter().all(|text| is_identifier(text))
                && is_script_name(name.trim())
            {
                scripts.insert(
                    name.trim().to_owned(),
                    (module.to_owned(), function.to_owned()),
                );
            }
        }
        scripts
    }
}

fn is_identifier(text: &str) -> bool {
    let is_word = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !part.is_empty() && part.bytes().all(allowed) && !part.as_bytes()[0].is_ascii_digit()
    };
    text.split('.').all(is_word)
}

fn is_script_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed) && !name.starts_with('.')
}

/// The files of a zip archive; the CRC of each is checked by reading it to its end.
fn unzip(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let broken = |error: &dyn std::fmt::Display| format!("it cannot be unpacked: {error}");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    let mut files = BTreeMap::new();
    let mut left = MAX_UNPACKED;
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(|error| broken(&error))?;
        let name = member.name().map_err(|error| broken(&error))?.into_owned();
        if member.is_symlink() || !is_plain(name.strip_suffix('/').unwrap_or(&name)) {
            return Err(format!(
                "its member `{name:.200}` is a link or has no usable name"
            ));
        }
        if member.is_dir() {
            continue;
        }
        let mut content = Vec::new();
        member
            .take(left + 1)
            .read_to_end(&mut content)
            .map_err(|error| broken(&error))?;
        left = left
            .checked_sub(content.len() as u64)
            .ok_or_else(|| format!("it unpacks to more than {MAX_UNPACKED} bytes"))?;
        if files.insert(name.clone(), content).is_some() {
            return Err(format!("it has `{name}` twice"));
        }
    }
    Ok(files)
}

/// True for a relative path as it should be written. Commas and quotes would need quoting in `RECORD`.
fn is_plain(name: &str) -> bool {
    let is_path =
        EntryPath::parse(name.as_bytes()).is_ok_and(|path| path.as_bytes() == name.as_bytes());
    is_path && !name.is_empty() && !name.contains([',', '"', '\n', '\r', '\\'])
}

fn dist_info(files: &BTreeMap<String, Vec<u8>>) -> Result<String, String> {
    let tops: BTreeSet<&str> = files
        .keys()
        .filter_map(|name| name.split_once('/').map(|(top, _)| top))
        .collect();
    if let Some(data) = tops.iter().find(|top| top.ends_with(".data")) {
        return Err(format!(
            "it has `{data}`: only wheels that go into `site-packages` whole can be used here"
        ));
    }
    let mut found = tops.iter().filter(|top| top.ends_with(".dist-info"));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok((*only).to_owned()),
        _ => Err("it has not exactly one `.dist-info` directory".to_owned()),
    }
}

fn check(files: &BTreeMap<String, Vec<u8>>, record: &[u8], dist_info: &str) -> Result<(), String> {
    let record = std::str::from_utf8(record).map_err(|_| "its `RECORD` is not UTF-8".to_owned())?;
    let mut digests = BTreeMap::new();
    for line in record.lines().filter(|line| !line.is_empty()) {
        let mut fields = line.split(',');
        if let (Some(name), Some(digest)) = (fields.next(), fields.next()) {
            digests.insert(name, digest);
        }
    }
    // A signature over RECORD cannot be in it.
    let signatures = ["RECORD.jws", "RECORD.p7s"].map(|name| format!("{dist_info}/{name}"));
    for (name, bytes) in files.iter().filter(|(name, _)| !signatures.contains(name)) {
        match digests.get(name.as_str()) {
            Some(digest) if *digest == sha256(bytes) => {}
            Some(_) => return Err(format!("`{name}` is not as its `RECORD` says")),
            None => return Err(format!("`{name}` is not in its `RECORD`")),
        }
    }
    let gone =
        |name: &&&str| !files.contains_key(**name) && **name != format!("{dist_info}/RECORD");
    match digests.keys().find(gone) {
        Some(name) => Err(format!("its `RECORD` has `{name}`, which is not there")),
        None => Ok(()),
    }
}

/// A digest as `RECORD` has it.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("sha256={}", base64(&Sha256::digest(bytes)))
}

/// RFC 4648 base64 for URLs, without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0, |number: u32, index| {
            number << 8 | u32::from(chunk.get(index).copied().unwrap_or(0))
        });
        for index in 0..=chunk.len() {
            text.push(DIGITS[(number >> (18 - 6 * index) & 63) as usize] as char);
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    /// A wheel with these files, and a `RECORD` of them unless there is one among them.
    pub(in super::super) fn wheel(files: &[(&str, &str)]) -> Vec<u8> {
        let mut record = String::new();
        for (name, text) in files {
            record.push_str(&format!(
                "{name},{},{}\n",
                sha256(text.as_bytes()),
                text.len()
            ));
        }
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let record = ("zork-1.dist-info/RECORD", record.as_str());
        let has_record = files.iter().any(|(name, _)| name.ends_with("/RECORD"));
        for (name, text) in files.iter().chain((!has_record).then_some(&record)) {
            archive
                .start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn digests_are_written_as_record_has_them() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"\xff\xff", "__8"),
        ] {
            assert_eq!(base64(bytes), expected);
        }
        assert_eq!(
            sha256(b""),
            "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        );
    }

    #[test]
    fn a_wheel_gives_its_files_and_scripts() {
        let entry_points = "[other]\nx = a:b\n[console_scripts]\nzork = zork.main:run\nbad/name = a:b\nbad = a;b:c\n";
        let bytes = wheel(&[
            ("zork/__init__.py", "x = 1\n"),
            ("zork-1.dist-info/entry_points.txt", entry_points),
        ]);
        let wheel = Wheel::read(&bytes).unwrap();
        assert_eq!(wheel.dist_info, "zork-1.dist-info");
        assert_eq!(wheel.files.len(), 2);
        let scripts = wheel.console_scripts();
        let expected = ("zork.main".to_owned(), "run".to_owned());
        assert_eq!(scripts, BTreeMap::from([("zork".to_owned(), expected)]));
    }

    #[test]
    fn a_wheel_that_is_not_as_it_says_is_refused() {
        let metadata = ("zork-1.dist-info/METADATA", "Name: zork\n");
        let wrong = "zork.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,3\n";
        let rows: [(&[(&str, &str)], &str); 6] = [
            (&[metadata, ("../zork.py", "")], "no usable name"),
            (&[metadata, ("/zork.py", "")], "no usable name"),
            (&[metadata, ("a,b.py", "")], "no usable name"),
            (&[metadata, ("zork-1.data/scripts/x", "")], "`zork-1.data`"),
            (
                &[("zork.py", "x=1"), ("zork-1.dist-info/RECORD", wrong)],
                "not as its `RECORD` says",
            ),
            (
                &[("zork.py", "x=1"), ("zork-1.dist-info/RECORD", "")],
                "`zork.py` is not in its `RECORD`",
            ),
        ];
        for (files, expected) in rows {
            let error = Wheel::read(&wheel(files)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let error = Wheel::read(b"PK").unwrap_err();
        assert!(error.contains("cannot be unpacked"), "{error}");
        let gone = wheel(&[
            metadata,
            (
                "zork-1.dist-info/RECORD",
                &format!("{},x,1\ngone.py,y,2\n", metadata.0),
            ),
        ]);
        assert!(Wheel::read(&gone).is_err());
        let mut damaged = wheel(&[metadata]);
        let at = damaged
            .windows(4)
            .position(|bytes| bytes == b"Name")
            .unwrap_or(60);
        damaged[at] ^= 1;
        assert!(Wheel::read(&damaged).is_err());
    }
}
