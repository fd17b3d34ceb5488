//! From findings to components.

use super::interpreter::is_full;
use super::licence::Licence;
use super::origin::Origin;
use super::place::{DPKG_STATUS, OS_RELEASE};
use super::purl::{normalised, purl};
use super::scan::{Finding, Package};
use super::state::{self, Found, State};
use super::{Bom, Component, Distribution, Ecosystem, Error, text, time};
use crate::digest::Digest;
use crate::event::printable;
use crate::image::Image;

/// What an image is called, in an annotation or a label.
///
/// # Spec
/// OCI image-spec `annotations.md`, *Pre-Defined Annotation Keys*.
const TITLE: &str = "org.opencontainers.image.title";
/// How many sentences about what is not listed are written.
const MAX_UNLISTED: usize = 100;

/// Puts together what is known.
///
/// # Errors
/// [`Error::Extent`] for more components than any image has.
pub(super) fn collect(image: &Image, state: &State) -> Result<Bom, Error> {
    let layers: Vec<Digest> = image
        .layers()
        .map(|(descriptor, _)| descriptor.digest.clone())
        .collect();
    let distribution = distribution(state);
    let mut collector = Collector {
        image,
        state,
        layers,
        distribution,
        components: Vec::new(),
        unlisted: Vec::new(),
    };
    for (path, found) in &state.files {
        collector.add(path, found);
    }
    let config = &image.config.parsed;
    let title = image.manifest.parsed.annotations.get(TITLE).cloned();
    let title = title.or_else(|| config.labels().get(TITLE).cloned());
    let created = config.value().get("created").and_then(|it| it.as_str());
    let Collector {
        mut components,
        unlisted,
        distribution,
        ..
    } = collector;
    components.sort_by(|one, other| {
        let key = |it: &Component| (it.purl.clone(), it.location.clone());
        key(one).cmp(&key(other))
    });
    components.dedup_by(|one, other| one.purl == other.purl && one.location == other.location);
    Ok(Bom {
        image: image.digest().clone(),
        title: title.and_then(|title| text::value(&title, 128)),
        created: created.and_then(time::in_utc),
        distribution,
        components,
        unlisted: shortened(unlisted),
    })
}

/// The first of them, and how many there are more.
fn shortened(mut sentences: Vec<String>) -> Vec<String> {
    let more = sentences.len().saturating_sub(MAX_UNLISTED);
    sentences.truncate(MAX_UNLISTED);
    if more > 0 {
        sentences.push(format!("and {more} more"));
    }
    sentences
}

fn distribution(state: &State) -> Option<Distribution> {
    let found = OS_RELEASE.iter().find_map(|path| state.get(path));
    match found? {
        Finding::Release(id, version, name) => Some(Distribution {
            id: id.clone(),
            version: version.clone(),
            name: name.clone(),
        }),
        _ => None,
    }
}

struct Collector<'a> {
    image: &'a Image,
    state: &'a State,
    layers: Vec<Digest>,
    distribution: Option<Distribution>,
    components: Vec<Component>,
    unlisted: Vec<String>,
}

impl Collector<'_> {
    fn add(&mut self, path: &str, found: &Found) {
        match &found.finding {
            Finding::Python(distribution) => {
                let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                // pip renames what it is about to remove, and leaves it when it is killed.
                if directory
                    .rsplit('/')
                    .next()
                    .is_some_and(|it| it.starts_with('~'))
                {
                    return self.leave_out(path, "pip left it behind; it is not installed");
                }
                self.python(path, directory, found.layer, distribution);
            }
            Finding::Debian(packages) => {
                for (package, layer) in packages.iter().zip(&found.package_layers) {
                    self.package(path, package, *layer, Ecosystem::Debian);
                }
            }
            Finding::Alpine(packages) => {
                for (package, layer) in packages.iter().zip(&found.package_layers) {
                    self.package(path, package, *layer, Ecosystem::Alpine);
                }
            }
            Finding::Interpreter(minor, version) => {
                self.interpreter(path, minor, version.as_deref(), found.layer);
            }
            Finding::Unlisted(reason) => self.leave_out(path, reason),
            _ => {}
        }
    }

    fn leave_out(&mut self, path: &str, reason: &str) {
        let path: String = printable(path).chars().take(512).collect();
        self.unlisted.push(format!("/{path}: {reason}"));
    }

    fn python(
        &mut self,
        path: &str,
        directory: &str,
        layer: usize,
        distribution: &super::metadata::Distribution,
    ) {
        let beside = |name: &str| self.state.get(&format!("{directory}/{name}"));
        let mut facts = Vec::new();
        if let Some(Finding::Installer(installer)) = beside("INSTALLER") {
            facts.push(("installer", installer.clone()));
        }
        if let Some(Finding::Requested) = beside("REQUESTED") {
            facts.push(("requested", "true".to_owned()));
        }
        if let Some(Finding::Record(sha256)) = beside("RECORD") {
            facts.push(("record", format!("sha256:{sha256}")));
        }
        let origin = match beside("direct_url.json") {
            Some(Finding::Origin(origin)) => origin.clone(),
            _ => Origin::default(),
        };
        let Origin {
            archive,
            repository,
            hashes,
        } = origin;
        let (name, version) = (&distribution.name, &distribution.version);
        let qualifiers = [
            ("download_url", archive.as_deref().unwrap_or_default()),
            ("vcs_url", repository.as_deref().unwrap_or_default()),
        ];
        self.components.push(Component {
            ecosystem: Ecosystem::Python,
            purl: purl("pypi", None, &normalised(name), version, &qualifiers),
            name: name.clone(),
            version: version.clone(),
            licences: distribution.licences.clone(),
            hashes,
            url: archive.or(repository),
            location: format!("/{path}"),
            layer: self.layers[layer].clone(),
            facts,
        });
    }

    fn package(&mut self, path: &str, package: &Package, layer: usize, ecosystem: Ecosystem) {
        let (kind, usual) = match ecosystem {
            Ecosystem::Alpine => ("apk", "alpine"),
            _ => ("deb", "debian"),
        };
        let known = self.distribution.as_ref();
        let namespace = known.map_or(usual, |it| it.id.as_str());
        let distro = known.and_then(|it| Some(format!("{}-{}", it.id, it.version.as_ref()?)));
        let qualifiers = [
            ("arch", package.architecture.as_deref().unwrap_or_default()),
            ("distro", distro.as_deref().unwrap_or_default()),
            ("upstream", package.upstream.as_deref().unwrap_or_default()),
        ];
        let name = package.name.to_ascii_lowercase();
        let facts = package.architecture.iter();
        self.components.push(Component {
            ecosystem,
            purl: purl(kind, Some(namespace), &name, &package.version, &qualifiers),
            name: package.name.clone(),
            version: package.version.clone(),
            licences: self.licences(package, ecosystem),
            hashes: Vec::new(),
            url: None,
            location: format!("/{path}"),
            layer: self.layers[layer].clone(),
            facts: facts.map(|it| ("architecture", it.clone())).collect(),
        });
    }

    fn licences(&self, package: &Package, ecosystem: Ecosystem) -> Vec<Licence> {
        let file = format!("usr/share/doc/{}/copyright", package.name);
        match self.state.get(&file) {
            Some(Finding::Copyright(licences)) if ecosystem == Ecosystem::Debian => {
                licences.clone()
            }
            _ => package.licences.clone(),
        }
    }

    fn interpreter(&mut self, path: &str, minor: &str, version: Option<&str>, layer: usize) {
        let version = version
            .map(str::to_owned)
            .or_else(|| self.version_beside(path, minor))
            .or_else(|| {
                let variable = self
                    .image
                    .config
                    .parsed
                    .environment_variable("PYTHON_VERSION");
                variable.filter(|version| is_full(version, minor))
            });
        let Some(version) = version else {
            return self.leave_out(path, "an interpreter whose version cannot be told");
        };
        let provider = self.provider(path, minor);
        self.components.push(Component {
            ecosystem: Ecosystem::Interpreter,
            purl: purl("generic", None, "python", &version, &[]),
            name: "python".to_owned(),
            version,
            // What is known of CPython, and not said by the image, is not declared.
            licences: Vec::new(),
            hashes: Vec::new(),
            url: None,
            location: format!("/{path}"),
            layer: self.layers[layer].clone(),
            facts: Vec::from_iter(provider.map(|name| ("provided-by", name))),
        });
    }

    /// What the library or the headers of the interpreter at `path` say.
    fn version_beside(&self, path: &str, minor: &str) -> Option<String> {
        let name = path.rsplit('/').next()?;
        let prefix = path.strip_suffix(&format!("bin/{name}"))?;
        let of_minor = |finding: &Finding| match finding {
            Finding::Version(found, version) if found == minor => Some(version.clone()),
            _ => None,
        };
        let header = format!("{prefix}include/{name}/patchlevel.h");
        let header = self.state.get(&header).and_then(of_minor);
        header.or_else(|| {
            ["lib", "lib64"].iter().find_map(|directory| {
                let directory = format!("{prefix}{directory}");
                let known = self.state.below(&directory);
                known
                    .filter(|path| path.contains("/libpython"))
                    .find_map(|path| self.state.get(path).and_then(of_minor))
            })
        })
    }

    /// The distribution's package that an interpreter of the system is of: it is listed, too, and says which fixes it has.
    fn provider(&self, path: &str, minor: &str) -> Option<String> {
        let is_systems = ["usr/bin/", "bin/"].iter().any(|bin| {
            path.strip_prefix(bin)
                .is_some_and(|name| !name.contains('/'))
        });
        let names = [
            format!("python{minor}-minimal"),
            format!("python{minor}"),
            "python3".to_owned(),
        ];
        let databases = [
            DPKG_STATUS,
            "lib/apk/db/installed",
            "usr/lib/apk/db/installed",
        ];
        let installed = databases
            .iter()
            .filter_map(|path| state::packages(self.state.get(path)?))
            .flatten();
        let installed: Vec<&str> = installed.map(|package| package.name.as_str()).collect();
        let found = names
            .into_iter()
            .find(|name| installed.contains(&name.as_str()));
        found.filter(|_| is_systems)
    }
}
