//! Hashes as requirements and locks write them.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Algorithm, Digest};

/// The algorithms that pip believes in (its `STRONG_HASHES`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashAlgorithm {
    /// SHA-256, what every index has.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    /// The name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Sha256, Self::Sha384, Self::Sha512];
        all.into_iter().find(|algorithm| algorithm.name() == name)
    }

    fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

/// A hash that a file must have, `algorithm:hex`; the digits are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileHash {
    algorithm: HashAlgorithm,
    hex: String,
}

/// Why a text is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a hash: {reason}")]
pub struct NotAHash {
    /// What was given, cut to 200 characters.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl FileHash {
    /// A hash from its two parts; upper-case digits are taken, as pip takes them.
    ///
    /// # Errors
    /// [`NotAHash`] for an algorithm that is not one of the three, and for the wrong number of digits.
    pub fn new(algorithm: &str, hex: &str) -> Result<Self, NotAHash> {
        let refuse = |reason| NotAHash {
            text: format!("{algorithm}:{hex}").chars().take(200).collect(),
            reason,
        };
        let known = HashAlgorithm::from_name(algorithm)
            .ok_or_else(|| refuse("its algorithm is not sha256, sha384 or sha512"))?;
        if hex.len() != known.hex_length() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse("it has not the right number of hexadecimal digits"));
        }
        Ok(Self {
            algorithm: known,
            hex: hex.to_ascii_lowercase(),
        })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The same as a digest of the OCI specifications; `None` for SHA-384, which they do not have.
    pub fn digest(&self) -> Option<Digest> {
        self.to_string().parse().ok()
    }
}

impl From<&Digest> for FileHash {
    fn from(digest: &Digest) -> Self {
        let algorithm = match digest.algorithm() {
            Algorithm::Sha256 => HashAlgorithm::Sha256,
            Algorithm::Sha512 => HashAlgorithm::Sha512,
        };
        let hex = digest.hex().to_owned();
        Self { algorithm, hex }
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl FromStr for FileHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        match text.split_once(':') {
            Some((algorithm, hex)) => Self::new(algorithm, hex),
            None => Err(NotAHash {
                text: text.chars().take(200).collect(),
                reason: "it is not an algorithm, a colon and hexadecimal digits",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_read_as_they_are_written_and_become_digests() {
        let digest = Digest::of(b"x");
        let hash: FileHash = digest
            .to_string()
            .to_uppercase()
            .replace("SHA", "sha")
            .parse()
            .unwrap();
        assert_eq!(hash, FileHash::from(&digest));
        assert_eq!(hash.digest(), Some(digest));
        let middle = FileHash::new("sha384", &"a".repeat(96)).unwrap();
        assert_eq!(middle.digest(), None);
        assert_eq!(middle.to_string().parse(), Ok(middle));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in [
            "",
            "sha256",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:abc",
            &format!("sha256:{}", "g".repeat(64)),
        ] {
            assert!(text.parse::<FileHash>().is_err(), "{text}");
        }
    }
}
