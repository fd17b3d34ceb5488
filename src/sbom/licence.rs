//! Licences as packages declare them.

use serde::{Deserialize, Serialize};

use super::text;

/// How many licences are kept of one package.
const MAX_LICENCES: usize = 32;
/// The longest name of a licence, in characters; what is longer is the licence itself.
const MAX_NAME: usize = 160;

/// A licence as declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Licence {
    /// An SPDX expression.
    Expression(String),
    /// A name in words of its own.
    Named(String),
}

impl Licence {
    /// The text.
    pub fn text(&self) -> &str {
        match self {
            Self::Expression(text) | Self::Named(text) => text,
        }
    }

    /// What somebody wrote: an expression if it is one of identifiers that are known, else a name. `None` for nothing, and
    /// for whole texts.
    pub(super) fn declared(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.contains('\n') || text.chars().count() > MAX_NAME {
            return None;
        }
        let text = text::value(text, MAX_NAME)?;
        if ["unknown", "none", "n/a"].contains(&text.to_ascii_lowercase().as_str()) {
            return None;
        }
        Some(match is_expression(&text) {
            true => Self::Expression(text),
            false => Self::Named(text),
        })
    }

    /// A trove classifier: `License :: OSI Approved :: MIT License` says `MIT License`.
    pub(super) fn of_classifier(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix("License ::")?;
        let last = rest.rsplit("::").next().unwrap_or_default().trim();
        match last {
            "OSI Approved" => None,
            last => text::value(last, MAX_NAME).map(Self::Named),
        }
    }
}

/// Each once, in order, and no more than anybody reads.
pub(super) fn distinct(mut licences: Vec<Licence>) -> Vec<Licence> {
    licences.sort();
    licences.dedup();
    licences.truncate(MAX_LICENCES);
    licences
}

/// True for an SPDX licence expression all of whose identifiers are known here.
///
/// # Spec
/// SPDX 2.3, annex D.
pub(super) fn is_expression(text: &str) -> bool {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut depth = 0_usize;
    let mut wants_operand = true;
    let mut words = spaced.split_whitespace().peekable();
    while let Some(word) = words.next() {
        match (word, wants_operand) {
            ("(", true) => depth += 1,
            (")", false) if depth > 0 => depth -= 1,
            ("AND" | "OR", false) => wants_operand = true,
            ("WITH", false) => {
                if !words.next().is_some_and(|word| EXCEPTIONS.contains(&word)) {
                    return false;
                }
            }
            (identifier, true) => {
                if !IDENTIFIERS.contains(&identifier) {
                    return false;
                }
                wants_operand = false;
            }
            _ => return false,
        }
    }
    !wants_operand && depth == 0
}

/// Identifiers of the SPDX licence list that packages of Python, Debian and Alpine use, without those that the list has
/// given up. One that is not here is written as a
/// name, which is true as well.
const IDENTIFIERS: [&str; 103] = [
    "0BSD",
    "AFL-2.1",
    "AFL-3.0",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-1.1",
    "Apache-2.0",
    "Artistic-1.0",
    "Artistic-1.0-Perl",
    "Artistic-2.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-2-Clause-Patent",
    "BSD-3-Clause",
    "BSD-3-Clause-Clear",
    "BSD-4-Clause",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDDL-1.0",
    "CDDL-1.1",
    "CECILL-2.1",
    "CNRI-Python",
    "CPL-1.0",
    "ECL-2.0",
    "EPL-1.0",
    "EPL-2.0",
    "EUPL-1.1",
    "EUPL-1.2",
    "FTL",
    "GFDL-1.2-only",
    "GFDL-1.2-or-later",
    "GFDL-1.3-only",
    "GFDL-1.3-or-later",
    "GPL-1.0-only",
    "GPL-1.0-or-later",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "HPND",
    "ICU",
    "IJG",
    "IPL-1.0",
    "ISC",
    "LGPL-2.0-only",
    "LGPL-2.0-or-later",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "LPPL-1.3c",
    "Libpng",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "MIT-Modern-Variant",
    "MPL-1.0",
    "MPL-1.1",
    "MPL-2.0",
    "MS-PL",
    "MulanPSL-2.0",
    "NCSA",
    "NIST-PD",
    "OFL-1.0",
    "OFL-1.1",
    "OLDAP-2.8",
    "OSL-3.0",
    "OpenSSL",
    "PHP-3.01",
    "PSF-2.0",
    "PostgreSQL",
    "Python-2.0",
    "Python-2.0.1",
    "QPL-1.0",
    "Ruby",
    "SGI-B-2.0",
    "SISSL",
    "SMLNJ",
    "SSH-OpenSSH",
    "Sendmail",
    "Sleepycat",
    "TCL",
    "UPL-1.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Vim",
    "W3C",
    "WTFPL",
    "X11",
    "XFree86-1.1",
    "ZPL-1.1",
    "ZPL-2.0",
    "ZPL-2.1",
    "Zlib",
    "bzip2-1.0.6",
    "curl",
    "libtiff",
];

/// Exceptions of the same list.
const EXCEPTIONS: [&str; 8] = [
    "Autoconf-exception-2.0",
    "Autoconf-exception-3.0",
    "Bison-exception-2.2",
    "Classpath-exception-2.0",
    "GCC-exception-2.0",
    "GCC-exception-3.1",
    "LLVM-exception",
    "Linux-syscall-note",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_reader_takes_is_an_expression() {
        for text in [
            "MIT",
            "Apache-2.0 OR BSD-2-Clause",
            "(MIT AND (Zlib OR ISC)) AND GPL-2.0-only WITH GCC-exception-2.0",
        ] {
            assert!(is_expression(text), "{text}");
        }
        for text in [
            "",
            "BSD",
            "MIT License",
            "MIT OR",
            "OR MIT",
            "(MIT",
            "MIT)",
            "MIT MIT",
            "mit",
            "MIT WITH",
            "MIT WITH me",
            "GPL-2.0+",
            "LicenseRef-x",
            "()",
        ] {
            assert!(!is_expression(text), "{text}");
        }
    }

    #[test]
    fn whole_texts_and_nothing_are_no_names() {
        assert_eq!(Licence::declared("Permission is\nhereby"), None);
        assert_eq!(Licence::declared(&"x".repeat(200)), None);
        assert_eq!(Licence::declared("UNKNOWN"), None);
        assert_eq!(
            Licence::declared("BSD"),
            Some(Licence::Named("BSD".to_owned()))
        );
        let classifier = Licence::of_classifier("License :: OSI Approved :: MIT License");
        assert_eq!(classifier, Some(Licence::Named("MIT License".to_owned())));
        assert_eq!(Licence::of_classifier("License :: OSI Approved"), None);
        assert_eq!(Licence::of_classifier("Topic :: x"), None);
        let mut identifiers = IDENTIFIERS.to_vec();
        identifiers.sort_unstable();
        identifiers.dedup();
        assert_eq!(identifiers.len(), IDENTIFIERS.len());
    }
}
