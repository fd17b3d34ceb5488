//! dpkg's database, and what packages say of their licences.
//!
//! # Spec
//! deb-control(5), dpkg-query(1) (`Status`); Debian's machine-readable `copyright`, version 1.0.

use std::io::{self, Read};

use super::licence::{self, Licence};
use super::scan::Package;
use super::text::{self, Lines};

/// The largest database, in bytes. Debian's, with everything that a desktop has, is 5 MB.
const MAX_STATUS: u64 = 128 << 20;
/// The most packages in one database.
pub(super) const MAX_PACKAGES: usize = 50_000;
/// How much of a `copyright` is read, in bytes.
const MAX_COPYRIGHT: u64 = 1 << 20;

/// The packages that are installed, in the order of the database; a reason when they cannot be read.
pub(super) fn status(content: &mut dyn Read) -> io::Result<Result<Vec<Package>, String>> {
    let mut lines = Lines::new(content, MAX_STATUS);
    let mut packages = Vec::new();
    let mut stanza = Stanza::default();
    loop {
        let line = lines.next()?;
        let is_end = line.as_ref().is_none_or(|line| line.trim().is_empty());
        if is_end {
            packages.extend(std::mem::take(&mut stanza).package());
            if packages.len() > MAX_PACKAGES {
                return Ok(Err(format!("it has more than {MAX_PACKAGES} packages")));
            }
        }
        let Some(line) = line else {
            break;
        };
        stanza.add(&line);
    }
    Ok(match lines.is_cut() {
        true => Err(format!("it is larger than {MAX_STATUS} bytes")),
        false => Ok(packages),
    })
}

/// The fields that matter.
#[derive(Default)]
struct Stanza {
    name: Option<String>,
    version: Option<String>,
    architecture: Option<String>,
    source: Option<String>,
    is_absent: bool,
}

impl Stanza {
    fn add(&mut self, line: &str) {
        if line.starts_with([' ', '\t']) {
            return;
        }
        let Some((field, value)) = line.split_once(':') else {
            return;
        };
        match field {
            "Package" => self.name = text::word(value),
            "Version" => self.version = text::word(value),
            "Architecture" => self.architecture = text::word(value),
            "Source" => self.source = text::value(value, 256),
            // What wants, flag, state; the parts of status.d have none.
            "Status" => self.is_absent = value.split_whitespace().nth(2) != Some("installed"),
            _ => {}
        }
    }

    fn package(self) -> Option<Package> {
        if self.is_absent {
            return None;
        }
        let (name, version) = (self.name?, self.version?);
        // `glibc`, or `glibc (2.36-9)` where the versions differ.
        let upstream = self.source.map(|source| {
            let (name, version) = source.split_once('(').unwrap_or((&source, ""));
            match version.trim_end_matches(')').trim() {
                "" => name.trim().to_owned(),
                version => format!("{}@{version}", name.trim()),
            }
        });
        Some(Package {
            upstream: upstream.filter(|upstream| *upstream != name),
            name,
            version,
            architecture: self.architecture,
            licences: Vec::new(),
        })
    }
}

/// The short names of the licences in a machine-readable `copyright`; none of any other.
pub(super) fn copyright(content: &mut dyn Read) -> io::Result<Vec<Licence>> {
    let mut lines = Lines::new(content, MAX_COPYRIGHT);
    let mut found = Vec::new();
    let is_readable = lines
        .next()?
        .is_some_and(|line| line.starts_with("Format:"));
    if !is_readable {
        return Ok(found);
    }
    while let Some(line) = lines.next()? {
        if let Some(name) = line.strip_prefix("License:") {
            found.extend(Licence::declared(name));
            if found.len() > 1024 {
                found = licence::distinct(found);
            }
        }
    }
    Ok(licence::distinct(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_is_listed() {
        let text = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b2\n\
                    Description: shell\n Package: not\nSource: bash (5.2.15-2)\n\n\
                    Package: old\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                    Package: half\nStatus: install ok unpacked\nVersion: 1\n\n\n\
                    Package: libc6\nStatus: hold ok installed\nSource: glibc\nVersion: 2.36-9";
        let found = status(&mut text.as_bytes()).unwrap().unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|it| {
                (
                    it.name.as_str(),
                    it.version.as_str(),
                    it.upstream.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("bash", "5.2.15-2+b2", Some("bash@5.2.15-2")),
                ("libc6", "2.36-9", Some("glibc"))
            ]
        );
        let part = "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n";
        assert_eq!(status(&mut part.as_bytes()).unwrap().unwrap().len(), 1);
    }

    #[test]
    fn hostile_databases_are_refused_and_bad_stanzas_left_out() {
        let many = "Package: a\nVersion: 1\n\n".repeat(MAX_PACKAGES + 1);
        assert!(
            status(&mut many.as_bytes())
                .unwrap()
                .is_err_and(|it| it.contains("more than"))
        );
        let bad = "Package: a b\nVersion: 1\n\nPackage: \u{1b}[2J\nVersion: 1\n\nVersion: 2\n\nnonsense\n";
        assert!(status(&mut bad.as_bytes()).unwrap().unwrap().is_empty());
        assert!(
            status(&mut io::repeat(b'x'))
                .unwrap()
                .is_err_and(|it| it.contains("larger"))
        );
    }

    #[test]
    fn licences_come_from_machine_readable_files_alone() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n\
                    License: GPL-2+ or MIT\n\nFiles: x\nLicense: MIT\n License: text\n\nLicense: MIT\n Permission\n";
        let found = copyright(&mut text.as_bytes()).unwrap();
        let expected = [
            Licence::Expression("MIT".to_owned()),
            Licence::Named("GPL-2+ or MIT".to_owned()),
        ];
        assert_eq!(found, expected);
        assert!(copyright(&mut &b"License: MIT\n"[..]).unwrap().is_empty());
    }
}
