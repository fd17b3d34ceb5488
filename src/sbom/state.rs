//! What is known of an image after some of its layers.

use std::collections::BTreeMap;

use super::cache::Cache;
use super::layers::Layers;
use super::scan::{self, Delta, Finding, Package};
use super::{Error, dpkg};
use crate::digest::{DiffId, Digest, Digester};
use crate::event::{Observer, stage};
use crate::image::{Descriptor, Image};

/// How many files of one image say something.
const MAX_FILES: usize = 200_000;
/// How much is kept of what they say, in bytes.
const MAX_KEPT: usize = 96 << 20;

/// A finding with the layer that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) finding: Finding,
    /// The number of the layer, the lowest is 0.
    pub(super) layer: usize,
    /// For each package of a database, the layer that brought it: the first with this name, version and architecture.
    pub(super) package_layers: Vec<usize>,
    /// How many bytes it takes, about.
    weight: usize,
}

/// All findings by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) files: BTreeMap<String, Found>,
}

impl State {
    /// Reads the layers of an image, those that are not known.
    ///
    /// # Errors
    /// As [`super::of`].
    pub(super) fn of(
        image: &Image,
        layers: &mut dyn Layers,
        cache: &Cache,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let mut state = Self::default();
        let mut chain = Chain::new();
        for (number, (descriptor, diff_id)) in image.layers().enumerate() {
            let key = chain.add(descriptor, diff_id);
            let delta = match cache.delta(&key) {
                Some(known) => known,
                None => {
                    let reading = stage(observer, "read layer", descriptor.digest.short());
                    let store = layers.bring(descriptor)?;
                    let delta = scan::scan((descriptor, diff_id), store, &state, observer)?;
                    layers.release(descriptor);
                    cache.keep_delta(&key, &delta)?;
                    reading.finish("");
                    delta
                }
            };
            state.apply(delta, number)?;
        }
        Ok(state)
    }

    /// The known files below a directory.
    pub(super) fn below<'a>(&'a self, directory: &str) -> impl Iterator<Item = &'a str> {
        let prefix = match directory {
            "" => String::new(),
            directory => format!("{directory}/"),
        };
        let from = self.files.range(prefix.clone()..);
        let within = from.take_while(move |(path, _)| path.starts_with(&prefix));
        within.map(|(path, _)| path.as_str())
    }

    /// What a file says.
    pub(super) fn get(&self, path: &str) -> Option<&Finding> {
        self.files.get(path).map(|found| &found.finding)
    }

    /// Puts a layer on top.
    pub(super) fn apply(&mut self, delta: Delta, layer: usize) -> Result<(), Error> {
        let Delta { mut removed, added } = delta;
        for (path, finding) in added {
            removed.remove(&path);
            // A database that is written anew keeps most of its packages.
            let below = self.files.remove(&path);
            let package_layers = origins(&finding, below.as_ref(), layer);
            self.files.insert(
                path,
                Found {
                    weight: finding.weight(),
                    finding,
                    layer,
                    package_layers,
                },
            );
        }
        for path in removed {
            self.files.remove(&path);
        }
        let packages: usize = self.files.values().map(|it| it.package_layers.len()).sum();
        let kept: usize = self
            .files
            .iter()
            .map(|(path, it)| path.len() + it.weight)
            .sum();
        let is_too_much =
            self.files.len() > MAX_FILES || packages > 2 * dpkg::MAX_PACKAGES || kept > MAX_KEPT;
        match is_too_much {
            true => Err(Error::Extent {
                limit: "the metadata of more packages than any image has".to_owned(),
            }),
            false => Ok(()),
        }
    }
}

/// The layer of each package of a database.
fn origins(finding: &Finding, below: Option<&Found>, layer: usize) -> Vec<usize> {
    let (Some(packages), below) = (packages(finding), below) else {
        return Vec::new();
    };
    let key = |package: &Package| {
        (
            package.name.clone(),
            package.version.clone(),
            package.architecture.clone(),
        )
    };
    let known = below.and_then(|below| Some((packages_of(below)?, &below.package_layers)));
    let known: BTreeMap<_, usize> = known
        .into_iter()
        .flat_map(|(packages, layers)| packages.iter().map(key).zip(layers.iter().copied()))
        .collect();
    let origin = |package| known.get(&key(package)).copied().unwrap_or(layer);
    packages.iter().map(origin).collect()
}

fn packages_of(found: &Found) -> Option<&[Package]> {
    packages(&found.finding)
}

/// The packages, if it is a database.
pub(super) fn packages(finding: &Finding) -> Option<&[Package]> {
    match finding {
        Finding::Debian(packages) | Finding::Alpine(packages) => Some(packages),
        _ => None,
    }
}

/// A name for a layer together with all below it.
struct Chain(Digester);

impl Chain {
    fn new() -> Self {
        let mut digester = Digester::new(crate::digest::Algorithm::Sha256);
        digester.update(b"overcoat sbom layers 1\n");
        Self(digester)
    }

    fn add(&mut self, descriptor: &Descriptor, diff_id: &DiffId) -> Digest {
        // How it is compressed is a matter of the media type, and what is in it of the digest.
        let line = format!(
            "{} {} {diff_id}\n",
            descriptor.media_type, descriptor.digest
        );
        self.0.update(line.as_bytes());
        self.0.clone().finish()
    }
}
