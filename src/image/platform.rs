//! What an image runs on: operating system, architecture and variant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A platform, written `os/architecture[/variant]` as in `linux/arm64/v8`.
///
/// # Spec
/// OCI image-spec `image-index.md`, *platform*; the values are Go's `GOOS` and `GOARCH`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, …
    pub architecture: String,
    /// `v7`, `v8`; rarely set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a platform: expected `os/architecture`, like `linux/amd64`")]
pub struct ParseError {
    /// What was given.
    pub text: String,
}

impl Platform {
    /// The platform that this program was compiled for, with Linux as the system: images are for Linux.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        }
    }

    /// True when an image for `self` may be used where `wanted` is asked for. Not equality: processors run what was
    /// made for older ones, so `arm/v7` may be had where `arm/v8` is wanted, and `amd64` where `amd64/v2` is; never
    /// the other way round. Without a variant, `arm` means `v7`, `arm64` `v8` and `amd64` `v1`.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.distance(wanted).is_some()
    }

    /// How far an image for `self` is from the best one for `wanted`; `None` when it may not be used. Of several, the
    /// nearest is taken.
    ///
    /// # Spec
    /// OCI image-spec `image-index.md`, *Platform Variants*; what may stand for what is containerd's
    /// `platforms.Only`, without its step from `arm64` to 32 bits.
    pub(super) fn distance(&self, wanted: &Self) -> Option<u32> {
        if self.os != wanted.os || self.architecture != wanted.architecture {
            return None;
        }
        let (have, want) = (self.variant.as_deref(), wanted.variant.as_deref());
        if have == want {
            return Some(0);
        }
        match (self.level(), wanted.level()) {
            (Some(have), Some(want)) => want.checked_sub(have),
            // Variants that nobody can compare, of which one is not given.
            _ if have.is_none() || want.is_none() => Some(1),
            _ => None,
        }
    }

    /// What a variant amounts to, in tenths, where later ones include earlier ones.
    fn level(&self) -> Option<u32> {
        let implied = match self.architecture.as_str() {
            "arm" => "v7",
            "arm64" => "v8",
            "amd64" => "v1",
            _ => return None,
        };
        let variant = self.variant.as_deref().unwrap_or(implied);
        // Some images say `7` or `8`.
        let number = variant.strip_prefix('v').unwrap_or(variant);
        let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
        let digit = |text: &str| text.parse::<u32>().ok().filter(|number| *number < 10);
        Some(digit(major)? * 10 + digit(minor)?)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &str| {
            // `arm64/v8.2` has a dot.
            let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.bytes().all(is_word)
        };
        match parts.as_slice() {
            [os, architecture, variant @ ..]
                if variant.len() <= 1 && parts.iter().all(|part| word(part)) =>
            {
                Ok(Self {
                    os: (*os).to_owned(),
                    architecture: (*architecture).to_owned(),
                    variant: variant.first().map(|variant| (*variant).to_owned()),
                })
            }
            _ => Err(ParseError {
                text: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_print_as_they_parse_and_nothing_else_parses() {
        for text in ["linux/amd64", "linux/arm/v7", "linux/arm64/v8.2"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "amd64",
            "linux/",
            "linux/arm/v7/x",
            "a b/c",
            "linux/..",
            "./amd64",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_requirement_is_satisfied_by_a_more_exact_platform() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        let table = [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64/v1", "linux/amd64", true),
            ("linux/amd64", "linux/amd64/v3", true),
            ("linux/amd64/v2", "linux/amd64/v3", true),
            ("linux/amd64/v2", "linux/amd64", false),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64/8", "linux/arm64", true),
            ("linux/arm64/v8.2", "linux/arm64", false),
            ("linux/arm64/v8.2", "linux/arm64/v9", true),
            ("linux/arm/v6", "linux/arm/v7", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm/v7", "linux/arm", true),
            ("linux/arm/v8", "linux/arm", false),
            ("linux/arm", "linux/arm/v8", true),
            ("linux/arm/v7", "linux/arm64", false),
            ("linux/ppc64le/power9", "linux/ppc64le", true),
            ("linux/ppc64le/power9", "linux/ppc64le/power8", false),
            ("linux/amd64", "linux/arm64", false),
            ("windows/amd64", "linux/amd64", false),
        ];
        for (have, want, expected) in table {
            assert_eq!(
                platform(have).satisfies(&platform(want)),
                expected,
                "{have} for {want}"
            );
        }
    }
}
