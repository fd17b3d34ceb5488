//! What a package says of itself: core metadata, as far as resolving needs it.

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName, Requirement};

use super::lenient;
use crate::event::printable;

/// The largest `METADATA` that is read: a description can be long.
pub(super) const MAX_METADATA_BYTES: u64 = 8 << 20;
/// How many fields are read; the most in use are some hundreds.
const MAX_FIELDS: usize = 10_000;

/// Core metadata of a distribution.
///
/// # Spec
/// packaging.python.org, *Core metadata specifications*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// `Metadata-Version`, as it is written.
    pub metadata_version: String,
    /// `Name`, normalised.
    pub name: PackageName,
    /// `Version`.
    pub version: Version,
    /// `Requires-Python`; a text that is no specifier counts as absent, as for pip.
    pub requires_python: Option<VersionSpecifiers>,
    /// `Requires-Dist`, in its order, those that can be understood.
    pub requires_dist: Vec<Requirement>,
    /// Those that cannot. Whoever is about to choose this version must refuse it (pip since 24.1 does): a requirement
    /// that is left out is a program that breaks later.
    pub unreadable: Vec<Unreadable>,
    /// `Provides-Extra`, those that are names.
    pub provides_extra: Vec<ExtraName>,
    /// `Dynamic`: fields that may differ in another build, in lower case.
    pub dynamic: Vec<String>,
}

/// A `Requires-Dist` that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a requirement: {reason}")]
pub struct Unreadable {
    /// Its text, cut to 200 characters.
    pub text: String,
    /// What is wrong.
    pub reason: String,
}

impl Metadata {
    /// Reads the text of a `METADATA` or `PKG-INFO` file; the description is not looked at.
    ///
    /// # Errors
    /// What is wrong with it, in a clause: `Name` or `Version` is missing or none, or there are too many fields.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let mut fields = Fields::default();
        let header = String::from_utf8_lossy(header(text));
        for (number, (name, value)) in unfolded(&header).enumerate() {
            if number == MAX_FIELDS {
                return Err(format!("it has more than {MAX_FIELDS} fields"));
            }
            fields.take(&name.to_ascii_lowercase(), value);
        }
        fields.finish()
    }
}

/// What comes before the first empty line: all fields, without the description.
pub(super) fn header(text: &[u8]) -> &[u8] {
    let is_end = |pair: &[u8]| pair == b"\n\n";
    let unix = text.windows(2).position(is_end).map(|end| end + 1);
    let dos = text.windows(4).position(|four| four == b"\r\n\r\n");
    let end = [unix, dos].into_iter().flatten().min();
    &text[..end.unwrap_or(text.len())]
}

/// Fields with their continuation lines, as the email format has them.
fn unfolded(header: &str) -> impl Iterator<Item = (&str, String)> {
    let mut lines = header.lines().peekable();
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            let Some((name, first)) = line.split_once(':') else {
                continue;
            };
            let mut value = first.trim().to_owned();
            while let Some(more) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
                value.push(' ');
                value.push_str(more.trim());
            }
            return Some((name.trim(), value));
        }
    })
}

#[derive(Default)]
struct Fields {
    metadata_version: String,
    name: Option<String>,
    version: Option<String>,
    requires_python: Option<VersionSpecifiers>,
    requires_dist: Vec<Requirement>,
    unreadable: Vec<Unreadable>,
    provides_extra: Vec<ExtraName>,
    dynamic: Vec<String>,
}

impl Fields {
    fn take(&mut self, name: &str, value: String) {
        match name {
            "metadata-version" => self.metadata_version = value,
            "name" => self.name = Some(value),
            "version" => self.version = Some(value),
            "requires-python" => self.requires_python = lenient::specifiers(&value).ok(),
            "requires-dist" => match lenient::requirement(&value) {
                Ok(requirement) => self.requires_dist.push(requirement),
                Err(reason) => self.unreadable.push(Unreadable {
                    text: shortened(&value),
                    reason,
                }),
            },
            "provides-extra" => self.provides_extra.extend(value.parse::<ExtraName>()),
            "dynamic" => self.dynamic.push(value.to_ascii_lowercase()),
            _ => {}
        }
    }

    fn finish(self) -> Result<Metadata, String> {
        let name = self.name.ok_or("it has no `Name`")?;
        let version = self.version.ok_or("it has no `Version`")?;
        Ok(Metadata {
            metadata_version: self.metadata_version,
            name: name
                .parse()
                .ok()
                .filter(|_| !name.is_empty())
                .ok_or_else(|| format!("its `Name`, `{}`, is none", shortened(&name)))?,
            version: version
                .parse()
                .map_err(|_| format!("its `Version`, `{}`, is none", shortened(&version)))?,
            requires_python: self.requires_python,
            requires_dist: self.requires_dist,
            unreadable: self.unreadable,
            provides_extra: self.provides_extra,
            dynamic: self.dynamic,
        })
    }
}

fn shortened(text: &str) -> String {
    printable(&text.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_email_has_them() {
        let text = "Metadata-Version: 2.4\nName: Flask_X\nVERSION: 1.0.0-rc1\nRequires-Python: >=3.8.*\n\
            Requires-Dist: a>=1 ;\n  extra == \"dot\"\nRequires-Dist: b (>=2.0)\nRequires-Dist: c<>1\nnonsense\n\
            Provides-Extra: Dot_Env\nProvides-Extra: -\nDynamic: Requires-Dist\nLicense: x\n        y: z\n\n\
            Requires-Dist: not-me\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let read = Metadata::parse(text.as_bytes()).unwrap();
            assert_eq!(read.name.as_ref(), "flask-x");
            assert_eq!(read.version.to_string(), "1.0.0rc1");
            assert_eq!(read.requires_python.unwrap().to_string(), ">=3.8");
            let names: Vec<String> = read.requires_dist.iter().map(ToString::to_string).collect();
            assert_eq!(names, ["a>=1 ; extra == 'dot'", "b>=2.0"]);
            assert_eq!(read.unreadable.len(), 1);
            assert!(read.unreadable[0].to_string().starts_with("`c<>1` is not"));
            assert_eq!(read.provides_extra, ["dot-env".parse().unwrap()]);
            assert_eq!(read.dynamic, ["requires-dist"]);
            assert_eq!(read.metadata_version, "2.4");
        }
    }

    #[test]
    fn metadata_without_name_or_version_is_none() {
        for (text, reason) in [
            ("", "it has no `Name`"),
            ("Name: a\n", "it has no `Version`"),
            ("Name:\nVersion: 1", "its `Name`, ``, is none"),
            ("Name: a b\nVersion: 1", "its `Name`, `a b`, is none"),
            (
                "Name: a\nVersion: one\u{1b}",
                "its `Version`, `one\u{fffd}`, is none",
            ),
        ] {
            let found = Metadata::parse(text.as_bytes());
            assert_eq!(found.unwrap_err(), reason);
        }
        let many = "Requires-Dist: a\n".repeat(MAX_FIELDS + 1);
        assert!(
            Metadata::parse(many.as_bytes())
                .unwrap_err()
                .contains("10000")
        );
    }
}
