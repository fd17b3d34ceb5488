//! The tags of the wheels that an interpreter can use, best first.
//!
//! # Spec
//! packaging.python.org, *Platform compatibility tags* (PEP 425, 513, 571, 599, 600, 656, 703); the order is that of
//! `packaging.tags.sys_tags()`, which pip and uv follow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::WheelName;

/// A C library and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Libc {
    /// The GNU C library, as `glibc 2.36`.
    Glibc {
        /// `2`.
        major: u32,
        /// `36`.
        minor: u32,
    },
    /// musl, as `musl 1.2`: the third number plays no part.
    Musl {
        /// `1`.
        major: u32,
        /// `2`.
        minor: u32,
    },
}

/// The largest number in a C library's version: wheels exist for each number below, so it bounds the list of tags.
const MAX_LIBC_MINOR: u32 = 200;
/// glibc's last 2.x when there shall be a 3.0; `packaging` assumes the same.
const LAST_GLIBC_MINOR: u32 = 50;

impl Libc {
    /// `None` for a version that no such library has: 0, or numbers over 200.
    pub fn glibc(major: u32, minor: u32) -> Option<Self> {
        is_plausible(major, minor).then_some(Self::Glibc { major, minor })
    }

    /// `None` for a version that no such library has: 0, or numbers over 200.
    pub fn musl(major: u32, minor: u32) -> Option<Self> {
        is_plausible(major, minor).then_some(Self::Musl { major, minor })
    }
}

fn is_plausible(major: u32, minor: u32) -> bool {
    (1..=9).contains(&major) && minor <= MAX_LIBC_MINOR
}

impl fmt::Display for Libc {
    /// As [`Libc::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc { major, minor } => write!(f, "glibc {major}.{minor}"),
            Self::Musl { major, minor } => write!(f, "musl {major}.{minor}"),
        }
    }
}

/// Why a text is no C library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a C library: expected one like `glibc 2.36` or `musl 1.2`")]
pub struct NotALibc {
    /// What was given, cut to 100 characters.
    pub text: String,
}

impl FromStr for Libc {
    type Err = NotALibc;

    /// Reads `glibc 2.36` or `musl 1.2`; what follows the second number is ignored.
    fn from_str(text: &str) -> Result<Self, NotALibc> {
        let refuse = || NotALibc {
            text: text.chars().take(100).collect(),
        };
        let (name, version) = text.split_once(' ').ok_or_else(refuse)?;
        let (major, minor) = version_pair(version).ok_or_else(refuse)?;
        let libc = match name {
            "glibc" => Self::glibc(major, minor),
            "musl" => Self::musl(major, minor),
            _ => None,
        };
        libc.ok_or_else(refuse)
    }
}

/// The first two numbers of a version.
pub(crate) fn version_pair(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once('.')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    Some((major.parse().ok()?, rest[..digits].parse().ok()?))
}

/// A CPython, as far as tags go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// `3`.
    pub major: u32,
    /// `11`; at most 99.
    pub minor: u32,
    /// True for a build without the global interpreter lock (`python3.13t`).
    pub is_free_threaded: bool,
}

impl Interpreter {
    /// The name of the directory of its library and of its program, as `python3.13t`.
    pub fn program(&self) -> String {
        let suffix = if self.is_free_threaded { "t" } else { "" };
        format!("python{}.{}{suffix}", self.major, self.minor)
    }
}

/// The tags of the wheels that CPython on Linux can use, best first, as `cp311-cp311-manylinux_2_36_x86_64`.
///
/// `architecture` is the kernel's name: `x86_64`, `aarch64`, `i686`, `armv7l`, `ppc64le`, `s390x`, …; for one that no
/// manylinux profile exists for, such wheels are not listed.
pub fn tags(interpreter: &Interpreter, libc: Libc, architecture: &str) -> Vec<String> {
    let platforms = platforms(libc, architecture);
    let Interpreter { major, minor, .. } = *interpreter;
    let python = format!("cp{major}{minor}");
    let mut found = Vec::new();
    let mut add = |python: &str, abi: &str| {
        let tag = |platform: &String| format!("{python}-{abi}-{platform}");
        found.extend(platforms.iter().map(tag));
    };
    let abi = match interpreter.is_free_threaded {
        true => format!("{python}t"),
        false => python.clone(),
    };
    add(&python, &abi);
    // The stable ABI does not exist for builds without the lock (PEP 703).
    let has_stable_abi = (major, minor) >= (3, 2) && !interpreter.is_free_threaded;
    if has_stable_abi {
        add(&python, "abi3");
    }
    add(&python, "none");
    if has_stable_abi {
        for older in (2..minor).rev() {
            add(&format!("cp{major}{older}"), "abi3");
        }
    }
    let generic: Vec<String> = [format!("py{major}{minor}"), format!("py{major}")]
        .into_iter()
        .chain((0..minor).rev().map(|older| format!("py{major}{older}")))
        .collect();
    generic.iter().for_each(|python| add(python, "none"));
    found.push(format!("{python}-none-any"));
    found.extend(generic.iter().map(|python| format!("{python}-none-any")));
    found
}

/// The platforms, best first.
fn platforms(libc: Libc, architecture: &str) -> Vec<String> {
    let mut found = Vec::new();
    match libc {
        Libc::Glibc { major, minor } => manylinux(major, minor, architecture, &mut found),
        Libc::Musl { major, minor } => {
            let tag = |minor| format!("musllinux_{major}_{minor}_{architecture}");
            found.extend((0..=minor).rev().map(tag));
        }
    }
    found.push(format!("linux_{architecture}"));
    found
}

fn manylinux(major: u32, minor: u32, architecture: &str, found: &mut Vec<String>) {
    let oldest = match architecture {
        "x86_64" | "i686" => 5,
        "aarch64" | "armv7l" | "ppc64" | "ppc64le" | "s390x" | "loongarch64" | "riscv64" => 17,
        _ => return,
    };
    let newest = std::iter::once((major, minor));
    let before = (2..major).rev().map(|major| (major, LAST_GLIBC_MINOR));
    for (major, newest) in newest.chain(before) {
        let oldest = if major == 2 { oldest } else { 0 };
        for minor in (oldest..=newest).rev() {
            found.push(format!("manylinux_{major}_{minor}_{architecture}"));
            let legacy = match (major, minor) {
                (2, 17) => "manylinux2014",
                (2, 12) => "manylinux2010",
                (2, 5) => "manylinux1",
                _ => continue,
            };
            found.push(format!("{legacy}_{architecture}"));
        }
    }
}

/// Tags prepared for looking wheels up: a package may have hundreds.
#[derive(Clone, Debug)]
pub struct Ranking {
    ranks: BTreeMap<String, usize>,
    /// The parts that occur at all: a hostile name may combine hundreds of tags, and all that is of no use goes first.
    pythons: BTreeSet<String>,
    abis: BTreeSet<String>,
    platforms: BTreeSet<String>,
}

impl Ranking {
    /// Prepares tags, best first, as [`tags`] gives them.
    pub fn new(tags: &[String]) -> Self {
        let mut ranking = Self {
            ranks: BTreeMap::new(),
            pythons: BTreeSet::new(),
            abis: BTreeSet::new(),
            platforms: BTreeSet::new(),
        };
        for (rank, tag) in tags.iter().enumerate() {
            ranking.ranks.entry(tag.clone()).or_insert(rank);
            let mut parts = tag.splitn(3, '-').map(str::to_owned);
            ranking.pythons.extend(parts.next());
            ranking.abis.extend(parts.next());
            ranking.platforms.extend(parts.next());
        }
        ranking
    }

    /// How good a wheel is: the place of the best of its tags in the list, 0 being the best; `None` for a wheel that
    /// cannot be used. Tags are compared without regard to case, as pip does.
    pub fn rank(&self, wheel: &WheelName) -> Option<usize> {
        let usable = |parts: &[String], known: &BTreeSet<String>| -> BTreeSet<String> {
            let lower = parts.iter().map(|part| part.to_ascii_lowercase());
            lower.filter(|part| known.contains(part)).collect()
        };
        let platforms = usable(&wheel.platforms, &self.platforms);
        if platforms.is_empty() {
            return None;
        }
        let abis = usable(&wheel.abis, &self.abis);
        let pythons = usable(&wheel.pythons, &self.pythons);
        let mut best = None;
        let mut key = String::new();
        for python in &pythons {
            for abi in &abis {
                for platform in &platforms {
                    key.clear();
                    for part in [python, "-", abi, "-", platform] {
                        key.push_str(part);
                    }
                    let rank = self.ranks.get(&key).copied();
                    best = best.into_iter().chain(rank).min();
                }
            }
        }
        best
    }

    /// The place in `wheels` of the one to install: the best tag, then the highest build number, then the name that
    /// sorts first, so that the answer does not depend on the order of the list. `None` when none can be used.
    pub fn best<'a>(&self, wheels: impl Iterator<Item = &'a WheelName>) -> Option<usize> {
        let ranked = wheels.enumerate().filter_map(|(index, wheel)| {
            let rank = self.rank(wheel)?;
            Some((rank, std::cmp::Reverse(&wheel.build), wheel.as_str(), index))
        });
        ranked.min().map(|(.., index)| index)
    }
}

#[cfg(test)]
#[path = "tags_tests.rs"]
mod tests;
