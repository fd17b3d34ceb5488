//! The archives that a distribution consists of, from mirrors to one index and from packages to files.

use std::io::BufReader;
use std::path::PathBuf;
use std::time::SystemTime;

use super::Error;
use super::archive::decompress_index;
use super::mirror::{Fetcher, Mirrors, Wanted};
use super::packages::{Archive, Index, Package};
use super::release::{IndexFile, Release};
use super::signature::Keys;
use crate::fs;

/// The largest `InRelease`, in bytes; real ones are below 256 KiB.
const MAX_RELEASE: u64 = 4 << 20;
/// The largest compressed index, in bytes; Debian's largest has about 10 MiB.
const MAX_INDEX: u64 = 64 << 20;

/// Which packages to look among.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The release's codename: `bookworm`.
    pub suite: String,
    /// The suite of its updates, on the same mirror: `bookworm-updates`.
    pub updates: Option<String>,
    /// The suite of its security updates: `bookworm-security`.
    pub security: Option<String>,
    /// The components: `main`.
    pub components: Vec<String>,
    /// Debian's name of the architecture: `amd64`.
    pub architecture: String,
}

impl Distribution {
    /// Fetches the signed description of every suite, checks it, and reads the package indexes it vouches for.
    ///
    /// Suites are asked for anew every time (they are how updates arrive); indexes come out of the cache when they
    /// have not changed.
    ///
    /// # Errors
    /// What [`Release::read`], [`Fetcher::fetch`] and [`Index::add`] return.
    pub fn index(
        &self,
        fetcher: &Fetcher<'_>,
        mirrors: &Mirrors,
        keys: &Keys,
        now: Option<SystemTime>,
    ) -> Result<Index, Error> {
        let suites = self.suites(mirrors);
        let read = |suite: &Suite<'_>| {
            let document = fetcher.document(&format!("{}/InRelease", suite.url()), MAX_RELEASE)?;
            Release::read(&document, suite.name, keys, now)
        };
        let releases: Vec<Result<Release, Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = suites
                .iter()
                .map(|suite| scope.spawn(|| read(suite)))
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().ok())
                .collect()
        });
        let mut files = Vec::new();
        for (suite, release) in suites.iter().zip(releases) {
            let release = release?;
            for component in &self.components {
                files.push((suite, release.packages(component, &self.architecture)?));
            }
        }
        let wanted: Vec<Wanted> = files
            .iter()
            .map(|(suite, file)| suite.wanted(file))
            .collect::<Result<_, _>>()?;
        let paths = fetcher.fetch("package lists", &wanted)?;
        let mut index = Index::default();
        for ((suite, file), path) in files.iter().zip(paths) {
            let text = decompress_index(
                BufReader::with_capacity(64 << 10, fs::open(&path)?),
                &file.path,
            );
            let text = BufReader::with_capacity(256 << 10, text);
            index.add(
                text,
                &format!("{}/{}", suite.name, file.path),
                &self.architecture,
                suite.archive,
            )?;
        }
        Ok(index)
    }

    fn suites<'a>(&'a self, mirrors: &'a Mirrors) -> Vec<Suite<'a>> {
        let main = [Some(&self.suite), self.updates.as_ref()].map(|name| (name, Archive::Main));
        let all = main
            .into_iter()
            .chain([(self.security.as_ref(), Archive::Security)]);
        let suite = |(name, archive): (Option<&'a String>, Archive)| {
            let base = base(mirrors, archive);
            name.map(|name| Suite {
                name,
                base,
                archive,
            })
        };
        all.filter_map(suite).collect()
    }
}

/// Fetches the files of packages; their paths come in the order of the packages.
///
/// # Errors
/// What [`Fetcher::fetch`] returns.
pub fn fetch_packages<'p>(
    fetcher: &Fetcher<'_>,
    mirrors: &Mirrors,
    packages: impl IntoIterator<Item = &'p Package>,
) -> Result<Vec<PathBuf>, Error> {
    let wanted = |package: &Package| Wanted {
        urls: vec![format!(
            "{}/{}",
            base(mirrors, package.archive),
            package.filename()
        )],
        size_bytes: package.size_bytes,
        digest: package.digest(),
    };
    let wanted: Vec<Wanted> = packages.into_iter().map(wanted).collect();
    fetcher.fetch("packages", &wanted)
}

fn base(mirrors: &Mirrors, archive: Archive) -> &str {
    match archive {
        Archive::Main => &mirrors.archive,
        Archive::Security => &mirrors.security,
    }
}

struct Suite<'a> {
    name: &'a str,
    base: &'a str,
    archive: Archive,
}

impl Suite<'_> {
    fn url(&self) -> String {
        format!("{}/dists/{}", self.base, self.name)
    }

    fn wanted(&self, file: &IndexFile) -> Result<Wanted, Error> {
        let url = self.url();
        if file.size_bytes > MAX_INDEX {
            return Err(Error::TooLarge {
                url: format!("{url}/{}", file.path),
                limit_bytes: MAX_INDEX,
            });
        }
        let paths = file.by_hash_path.iter().chain([&file.path]);
        Ok(Wanted {
            urls: paths.map(|path| format!("{url}/{path}")).collect(),
            size_bytes: file.size_bytes,
            digest: file.digest.clone(),
        })
    }
}
