//! The signed description of a suite: `InRelease`.
//!
//! Nothing of it is parsed before [`signature`](super::signature) has found it signed by a key we believe.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::Error;
use super::signature::{Keys, verified_text};
use crate::digest::Digest;

/// A suite as its signed `InRelease` describes it.
#[derive(Clone, Debug)]
pub struct Release {
    /// The name that was asked for.
    pub suite: String,
    /// The name that never moves, `bookworm`.
    pub codename: String,
    /// Whether files can be fetched by the names that never change under a reader's feet.
    pub by_hash: bool,
    files: BTreeMap<String, (u64, Digest)>,
}

/// An index that a [`Release`] vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// The path below `dists/SUITE/`.
    pub path: String,
    /// The path below `dists/SUITE/` to ask for first, when the archive offers it.
    pub by_hash_path: Option<String>,
    /// Size in bytes, compressed.
    pub size_bytes: u64,
    /// SHA-256, compressed.
    pub digest: Digest,
}

impl Release {
    /// Checks the signature and the names of an `InRelease` document and parses the signed part.
    ///
    /// `suite` is the codename or suite that was asked for. `now` is compared with `Valid-Until` and with the
    /// expiry of keys and signatures; `None` (a machine without a clock) leaves those three out.
    ///
    /// # Errors
    /// [`Error::NotSigned`], [`Error::Untrusted`], [`Error::WrongSuite`], [`Error::Expired`], [`Error::Release`].
    pub fn read(
        document: &[u8],
        suite: &str,
        keys: &Keys,
        now: Option<SystemTime>,
    ) -> Result<Self, Error> {
        let text = verified_text(document, suite, keys, now)?;
        Self::parse(&text, suite, now)
    }

    /// Parses the signed text.
    fn parse(text: &str, suite: &str, now: Option<SystemTime>) -> Result<Self, Error> {
        let malformed = |field: &str| Error::Release {
            suite: suite.to_owned(),
            field: field.to_owned(),
        };
        let fields = fields(text).ok_or_else(|| malformed("fields"))?;
        let field = |name: &str| fields.get(name).map(|value| value.trim());
        let codename = field("Codename").ok_or_else(|| malformed("Codename"))?;
        if suite != codename && field("Suite") != Some(suite) {
            return Err(Error::WrongSuite {
                suite: suite.to_owned(),
                found: format!("{codename} ({})", field("Suite").unwrap_or("no suite")),
            });
        }
        let until = field("Valid-Until").zip(now);
        if let Some((until, now)) = until
            && parse_date(until).ok_or_else(|| malformed("Valid-Until"))? < now
        {
            return Err(Error::Expired {
                suite: suite.to_owned(),
                until: until.to_owned(),
            });
        }
        let table = field("SHA256").ok_or_else(|| malformed("SHA256"))?;
        Ok(Self {
            suite: suite.to_owned(),
            codename: codename.to_owned(),
            by_hash: field("Acquire-By-Hash") == Some("yes"),
            files: parse_table(table).ok_or_else(|| malformed("SHA256"))?,
        })
    }

    /// Size in bytes and digest of a file below `dists/SUITE/`.
    pub fn file(&self, path: &str) -> Option<(u64, &Digest)> {
        self.files.get(path).map(|(size, digest)| (*size, digest))
    }

    /// The package index of a component and an architecture in the best compression that we read.
    ///
    /// # Errors
    /// [`Error::Release`] when the suite has none.
    pub fn packages(&self, component: &str, architecture: &str) -> Result<IndexFile, Error> {
        let stem = format!("{component}/binary-{architecture}/Packages");
        for extension in [".xz", ".gz", ""] {
            let path = format!("{stem}{extension}");
            if let Some((size_bytes, digest)) = self.file(&path) {
                let directory = format!("{component}/binary-{architecture}");
                let by_hash_path = format!("{directory}/by-hash/SHA256/{}", digest.hex());
                return Ok(IndexFile {
                    by_hash_path: self.by_hash.then_some(by_hash_path),
                    size_bytes,
                    digest: digest.clone(),
                    path,
                });
            }
        }
        Err(Error::Release {
            suite: self.suite.clone(),
            field: format!("{stem}.xz"),
        })
    }
}

/// The fields of one stanza; continuation lines keep their line breaks. `None` when a line is neither field nor
/// continuation, or a field comes twice.
fn fields(text: &str) -> Option<BTreeMap<&str, String>> {
    let mut fields = BTreeMap::new();
    let mut current = None;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            let value: &mut String = fields.get_mut(current?)?;
            value.push('\n');
            value.push_str(line);
            continue;
        }
        let (name, value) = line.split_once(':')?;
        if fields.insert(name, value.to_owned()).is_some() {
            return None;
        }
        current = Some(name);
    }
    Some(fields)
}

/// Parses lines of `DIGEST SIZE PATH`.
fn parse_table(table: &str) -> Option<BTreeMap<String, (u64, Digest)>> {
    let mut files = BTreeMap::new();
    for line in table.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let digest = format!("sha256:{}", words.next()?).parse().ok()?;
        let size = words.next()?.parse().ok()?;
        files.insert(words.next()?.to_owned(), (size, digest));
    }
    Some(files)
}

/// Parses `Sat, 11 Jul 2026 10:16:37 UTC`, the only form that archives write.
fn parse_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_weekday, day, month, year, time, "UTC" | "GMT" | "+0000"] = words[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|&name| name == month)? as u64 + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<u64> = time
        .split(':')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [hours, minutes, seconds] = clock[..] else {
        return None;
    };
    if !(1..=31).contains(&day)
        || !(1970..=9999).contains(&year)
        || hours > 23
        || minutes > 59
        || seconds > 60
    {
        return None;
    }
    let days = days_since_epoch(year, month, day);
    Some(
        SystemTime::UNIX_EPOCH
            + Duration::from_secs(days * 86_400 + hours * 3_600 + minutes * 60 + seconds),
    )
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin in March so that the leap day is last.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days - 719_468
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
