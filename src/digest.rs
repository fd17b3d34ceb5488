//! Names for bytes: digests, diff ids, and readers that check them.
//!
//! A *digest* is of the bytes as they are stored (for a layer: compressed); a *diff id* is of the uncompressed
//! tar. They are different types so that one can never stand in for the other.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

/// A content digest, `algorithm:hex`.
///
/// Parsing accepts the two registered algorithms, `sha256` and `sha512`, with the right number of lower-case
/// hexadecimal digits; so a digest is safe to use as a file name.
///
/// # Spec
/// OCI image-spec `descriptor.md`, *Digests*.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// The digest algorithms that the image specification registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, what every registry speaks.
    Sha256,
    /// SHA-512, allowed by the specification and rare.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// Why a text is not a digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a digest: expected `sha256:` and 64 lower-case hexadecimal digits")]
pub struct ParseError {
    /// What was given, cut to 200 characters.
    pub text: String,
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digester = Digester::new(Algorithm::Sha256);
        digester.update(bytes);
        digester.finish()
    }

    /// The algorithm before the colon.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hexadecimal digits after the colon.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError {
            text: text.chars().take(200).collect(),
        };
        let (name, hex) = text.split_once(':').ok_or_else(refuse)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(refuse()),
        };
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() != algorithm.hex_length() || !hex.bytes().all(is_hex) {
            return Err(refuse());
        }
        Ok(Self {
            algorithm,
            hex: hex.to_owned(),
        })
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digest of a layer's uncompressed tar.
///
/// # Spec
/// OCI image-spec `config.md`, *Layer DiffID*.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The chain ids of layers given by their diff ids, base first: each names a layer together with all below it.
///
/// # Spec
/// OCI image-spec `config.md`, *Layer ChainID*.
pub fn chain_ids(diff_ids: &[DiffId]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for DiffId(diff_id) in diff_ids {
        let id = match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(id);
    }
    chain
}

/// Computes a digest from bytes given piece by piece.
#[derive(Clone, Debug)]
pub struct Digester(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Digester {
    /// A digester that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(hash) => Digest {
                algorithm: Algorithm::Sha256,
                hex: to_hex(&hash.finalize()),
            },
            State::Sha512(hash) => Digest {
                algorithm: Algorithm::Sha512,
                hex: to_hex(&hash.finalize()),
            },
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        hex.push(DIGITS[usize::from(byte >> 4)] as char);
        hex.push(DIGITS[usize::from(byte & 15)] as char);
    }
    hex
}

/// Passes bytes through to a writer and digests them (SHA-256) on the way.
#[derive(Debug)]
pub struct DigestWriter<W> {
    inner: W,
    digester: Digester,
    size: u64,
}

impl<W: Write> DigestWriter<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            digester: Digester::new(Algorithm::Sha256),
            size: 0,
        }
    }

    /// The writer, the digest of what went through it, and its size in bytes.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.digester.finish(), self.size)
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digester.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What a [`VerifyingReader`] found wrong; travels inside an [`io::Error`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Mismatch {
    /// The bytes end early or go on past the size that was promised.
    #[error("`{digest}` should have {expected} bytes but has {found}")]
    Size {
        /// The digest that names the bytes.
        digest: Digest,
        /// The promised size in bytes.
        expected: u64,
        /// How many bytes there are, or "more" than expected by at least one.
        found: u64,
    },
    /// The bytes have the right size and the wrong content.
    #[error("the bytes named `{expected}` have the digest `{found}`")]
    Digest {
        /// The digest that was promised.
        expected: Digest,
        /// The digest of what was read.
        found: Digest,
    },
}

/// A reader that gives out bytes of a promised digest and size, or fails.
///
/// The check is made when the end is reached, and never more than the promised size is given out; a caller must
/// read to the end before it believes anything.
#[derive(Debug)]
pub struct VerifyingReader<R> {
    inner: R,
    digest: Digest,
    size: u64,
    seen: u64,
    digester: Option<Digester>,
}

impl<R: Read> VerifyingReader<R> {
    /// Wraps `inner`, which should hold exactly `size` bytes with this digest.
    pub fn new(inner: R, digest: Digest, size: u64) -> Self {
        let digester = Some(Digester::new(digest.algorithm()));
        Self {
            inner,
            digest,
            size,
            seen: 0,
            digester,
        }
    }

    fn check(&mut self) -> io::Result<()> {
        let Some(digester) = self.digester.take() else {
            return Ok(());
        };
        let mismatch = |mismatch| io::Error::new(io::ErrorKind::InvalidData, mismatch);
        if self.seen != self.size {
            return Err(mismatch(Mismatch::Size {
                digest: self.digest.clone(),
                expected: self.size,
                found: self.seen,
            }));
        }
        let found = digester.finish();
        if found != self.digest {
            return Err(mismatch(Mismatch::Digest {
                expected: self.digest.clone(),
                found,
            }));
        }
        Ok(())
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        if count == 0 {
            self.check()?;
            return Ok(0);
        }
        self.seen += count as u64;
        if self.seen > self.size {
            self.check()?;
        }
        if let Some(digester) = &mut self.digester {
            digester.update(&buffer[..count]);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_of_known_bytes_are_the_published_ones() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        let mut sha512 = Digester::new(Algorithm::Sha512);
        sha512.update(b"abc");
        assert!(
            sha512
                .finish()
                .to_string()
                .starts_with("sha512:ddaf35a193617abacc417349ae204131")
        );
    }

    #[test]
    fn a_chain_id_names_a_layer_and_all_below_it() {
        let (a, b) = (DiffId(Digest::of(b"a")), DiffId(Digest::of(b"b")));
        let chain = chain_ids(&[a.clone(), b.clone()]);
        assert_eq!(chain[0], a.0);
        assert_eq!(chain[1], Digest::of(format!("{a} {b}").as_bytes()));
        assert_ne!(chain_ids(&[b, a])[1], chain[1]);
    }

    #[test]
    fn only_registered_lower_case_digests_of_the_right_length_parse() {
        assert_eq!(EMPTY.parse::<Digest>().unwrap().to_string(), EMPTY);
        let refused = [
            "",
            "sha256",
            "sha256:",
            "sha256:abc",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
            "sha256:../../../../../../../../../../../../../../../../../../../etc/passwd1",
            "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ];
        for text in refused {
            assert!(text.parse::<Digest>().is_err(), "{text:?} was accepted");
        }
    }

    fn read(bytes: &[u8], promised: &[u8], size: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        VerifyingReader::new(bytes, Digest::of(promised), size).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn a_verifying_reader_gives_right_bytes_and_refuses_short_long_and_changed_ones() {
        assert_eq!(read(b"layer", b"layer", 5).unwrap(), b"layer");
        for (bytes, size) in [(&b"laye"[..], 5), (b"layers", 5), (b"lAyer", 5)] {
            let error = read(bytes, b"layer", size).unwrap_err();
            assert!(
                error.get_ref().unwrap().is::<Mismatch>(),
                "{bytes:?}: {error}"
            );
        }
    }
}
