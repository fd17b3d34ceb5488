//! What was asked for, already validated.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

use super::builder::ImageSource;
use super::inputs::StepInputs;
use super::s2i::S2iOptions;
use crate::digest::Digest;
use crate::image::Platform;
use crate::image::media_type::Compression;
use crate::output::Destination;
use crate::output::load::Engine;
use crate::reference::{self, Reference};

/// The latest modification time that an image shows when `SOURCE_DATE_EPOCH` does not say otherwise:
/// 1980-01-01T00:00:00Z, the first day that a zip file can hold.
pub const DEFAULT_EPOCH: i64 = 315_532_800;

/// A build, as asked for.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The application's directory.
    pub source: PathBuf,
    /// The names for the result; at least one.
    pub tags: Vec<Tag>,
    /// The builder image.
    pub builder: ImageSource,
    /// How to make the layers.
    pub strategy: Strategy,
    /// `--assemble-user`: who runs `assemble`, as an image configuration writes users (`user[:group]`, names or
    /// numbers). `None` leaves it to the builder image's label, else to its user. The result's user stays the builder
    /// image's either way.
    ///
    /// # Spec
    /// `s2i-compat.md` §2.10, §2.14.
    pub assemble_user: Option<String>,
    /// What the image is for.
    pub platform: Platform,
    /// `-e`: for the scripts and for the image, in order.
    pub environment: Vec<(String, String)>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// The latest time that a file or document may show, in seconds since 1970.
    pub epoch: i64,
    /// How new layers are compressed.
    pub compression: Compression,
    /// Whether to compile bytecode, as a layer of its own.
    pub compile_bytecode: bool,
    /// Whether to push every name.
    pub push: Push,
    /// Where else to write the image.
    pub outputs: Vec<Destination>,
    /// Which container engines will get the image afterwards: it must be whole in the store then.
    pub loads: Vec<Engine>,
    /// What the scripts get beside the source.
    pub inputs: StepInputs,
    /// What may be re-used of earlier builds.
    pub cache: Cache,
    /// `--locked`: fail rather than choose versions.
    pub is_locked: bool,
    /// What S2I adds.
    pub s2i: S2iOptions,
    /// `--max-layers`: how many layers the image may have, the builder's included.
    pub max_layers: usize,
}

/// How many layers an image has when nobody says otherwise.
pub const DEFAULT_MAX_LAYERS: usize = 30;
/// How many layers an image can have: overlay file systems and the older container engines take no more.
pub const MOST_LAYERS: usize = 127;

/// What may be re-used of earlier builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// False with `--no-cache`: every step is done again, and remembered again.
    pub is_used: bool,
    /// `--cache-from`: images whose layers may be re-used.
    pub from: Vec<Reference>,
    /// `--refresh`: look for newer versions of packages.
    pub refresh: bool,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            is_used: true,
            from: Vec::new(),
            refresh: false,
        }
    }
}

/// Whether the result is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// To the registry of every name.
    Yes,
    /// To the registry of every name, by [`super::send`] once the build is over: the two are operations of their own, each
    /// with its record and its hooks.
    Later {
        /// Whether the image is whole in the store before it is sent, for whoever looks at it in between. Otherwise layers
        /// that a registry has go from there to the other without coming here.
        is_whole: bool,
    },
    /// Nowhere.
    No,
}

impl Push {
    /// Whether every name gets to its registry in the end.
    pub fn is_wanted(self) -> bool {
        self != Self::No
    }
}

/// A name for the result: what it means, and how the person wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// As typed; the result line repeats it.
    pub typed: String,
    /// What it means; without a tag of its own where that comes of the image.
    pub reference: Reference,
    /// True for `NAME:{content}`: the tag is made of the image's digest, once that is known. The same content has the same
    /// tag for ever, and another content another.
    pub is_of_content: bool,
}

/// Stands for a tag that is made of the image's digest.
pub const CONTENT: &str = ":{content}";

impl FromStr for Tag {
    type Err = reference::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix(CONTENT);
        let reference: Reference = name.unwrap_or(text).parse()?;
        let has_tag = |name: &str| {
            name.rsplit('/')
                .next()
                .is_some_and(|last| last.contains(':'))
        };
        if name.is_some_and(has_tag) {
            return Err(reference::ParseError {
                text: text.to_owned(),
                reason: "`{content}` takes the place of the tag".to_owned(),
            });
        }
        if reference.digest().is_some() {
            return Err(reference::ParseError {
                text: text.to_owned(),
                reason: "a name to give must not have a digest; the digest is the result"
                    .to_owned(),
            });
        }
        Ok(Self {
            typed: text.to_owned(),
            reference,
            is_of_content: name.is_some(),
        })
    }
}

impl Tag {
    /// The name that an image of this digest gets: `NAME:` and the first twelve hexadecimal digits for `NAME:{content}`.
    pub fn of(&self, digest: &Digest) -> Self {
        let Some(name) = self
            .typed
            .strip_suffix(CONTENT)
            .filter(|_| self.is_of_content)
        else {
            return self.clone();
        };
        Self {
            typed: format!("{name}:{}", digest.short()),
            reference: self.reference.with_tag(digest.short()),
            is_of_content: false,
        }
    }

    /// A name made of a directory's name, for builds without `-t`; `None` when nothing of it can be used.
    pub fn from_directory_name(name: &str) -> Option<Self> {
        let word = |c: char| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        };
        let name: String = name.to_ascii_lowercase().chars().map(word).collect();
        name.split('-')
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("-")
            .parse()
            .ok()
    }
}

/// How layers are made (`--strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// What fits the builder and the application.
    Auto,
    /// Written without executing anything.
    Direct,
    /// By the `assemble` script in the sandbox.
    Assemble,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Direct => "direct",
            Self::Assemble => "assemble",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_its_content_has_the_first_digits_of_the_digest() {
        let digest = Digest::of(b"x");
        let tag: Tag = "ghcr.io:443/acme/web:{content}".parse().unwrap();
        assert!(tag.is_of_content);
        let named = tag.of(&digest);
        let expected = format!("ghcr.io:443/acme/web:{}", &digest.hex()[..12]);
        assert_eq!(
            (named.typed.as_str(), named.is_of_content),
            (expected.as_str(), false)
        );
        assert_eq!(named.reference.to_string(), expected);
        let plain: Tag = "web:1".parse().unwrap();
        assert_eq!(plain.of(&digest), plain);
        for bad in ["web:1:{content}", "web:{contents}", ":{content}"] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn directory_names_become_names() {
        let table = [
            ("flask-hello", Some("flask-hello")),
            ("My App_2", Some("my-app-2")),
            ("__", None),
            ("", None),
            ("héllo", Some("h-llo")),
        ];
        for (directory, expected) in table {
            let tag = Tag::from_directory_name(directory).map(|tag| tag.typed);
            assert_eq!(tag.as_deref(), expected, "{directory}");
        }
    }
}
