//! apk's database.
//!
//! # Spec
//! Alpine's wiki, *Apk spec*, "Installed Database V2": stanzas of lines `LETTER:VALUE`, ended by an empty line.

use std::io::{self, Read};

use super::dpkg::MAX_PACKAGES;
use super::licence::Licence;
use super::scan::Package;
use super::text::{self, Lines};

/// The largest database, in bytes.
const MAX_DATABASE: u64 = 128 << 20;

/// The packages in the order of the database; a reason when they cannot be read.
pub(super) fn installed(content: &mut dyn Read) -> io::Result<Result<Vec<Package>, String>> {
    let mut lines = Lines::new(content, MAX_DATABASE);
    let mut packages = Vec::new();
    let (mut name, mut version, mut architecture) = (None, None, None);
    let (mut origin, mut licence) = (None, None);
    loop {
        let line = lines.next()?;
        if line.as_ref().is_none_or(|line| line.is_empty()) {
            let (origin, licence) = (origin.take(), licence.take());
            let architecture = architecture.take();
            if let (Some(name), Some(version)) = (name.take(), version.take()) {
                packages.push(Package {
                    upstream: origin.filter(|origin| *origin != name),
                    name,
                    version,
                    architecture,
                    licences: Vec::from_iter(licence),
                });
            }
            if packages.len() > MAX_PACKAGES {
                return Ok(Err(format!("it has more than {MAX_PACKAGES} packages")));
            }
        }
        let Some(line) = line else {
            break;
        };
        match line.split_once(':') {
            Some(("P", value)) => name = text::word(value),
            Some(("V", value)) => version = text::word(value),
            Some(("A", value)) => architecture = text::word(value),
            Some(("o", value)) => origin = text::word(value),
            Some(("L", value)) => licence = Licence::declared(value),
            _ => {}
        }
    }
    Ok(match lines.is_cut() {
        true => Err(format!("it is larger than {MAX_DATABASE} bytes")),
        false => Ok(packages),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_become_packages() {
        let text = "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:x\n\n\
                    P:busybox-binsh\nV:1.36.1-r5\nL:GPL-2.0-only\no:busybox\nA:x86_64\n\nP:half\n\nV:1\n";
        let found = installed(&mut text.as_bytes()).unwrap().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].name.as_str(), found[0].upstream.as_deref()),
            ("musl", None)
        );
        assert_eq!(found[1].upstream.as_deref(), Some("busybox"));
        assert_eq!(
            found[1].licences,
            [Licence::Expression("GPL-2.0-only".to_owned())]
        );
        assert!(installed(&mut &b""[..]).unwrap().unwrap().is_empty());
    }
}
