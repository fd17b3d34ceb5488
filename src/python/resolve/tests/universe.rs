//! A small index in memory, written down line by line.
//!
//! ```text
//! flask 2.0 python>=3.8 yanked sdist: werkzeug>=2 | asgiref ; extra == 'async'
//! ```
//!
//! Words after the version: `yanked`, `sdist` (a source distribution and no wheel), `python…` (what the index says),
//! `metadata-python…` (what only the metadata says), `broken` (metadata that cannot be used), `other` (a second wheel).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::digest::Digest;
use crate::event::Silent;
use crate::layer::EntryPath;
use crate::python::resolve::*;
use crate::python::{
    Layout, MarkerEnvironment, PackageName, RemoteWheel, Target, Version, VersionSpecifiers,
};

pub(crate) fn name(text: &str) -> PackageName {
    PackageName::new(text.to_owned()).unwrap()
}

pub(crate) fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// CPython 3.11.2 on x86-64 Linux, with the packages given as `name==version`.
pub(crate) fn target(installed: &[&str]) -> Target {
    let markers = MarkerEnvironment::try_from(pep508_rs::MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: "3.11.2",
        os_name: "posix",
        platform_machine: "x86_64",
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Linux",
        platform_version: "",
        python_full_version: "3.11.2",
        python_version: "3.11",
        sys_platform: "linux",
    })
    .unwrap();
    let path = |text: &str| EntryPath::parse(text.as_bytes()).unwrap();
    let pair = |text: &&str| {
        let (package, have) = text.split_once("==").unwrap();
        (name(package), version(have))
    };
    Target {
        version: version("3.11.2"),
        markers,
        tags: vec!["py3-none-any".to_owned()],
        layout: Layout {
            interpreter: "/usr/bin/python3".to_owned(),
            site_packages: path("usr/lib/python3.11/site-packages"),
            scripts: path("usr/bin"),
            data: path("usr"),
            headers: path("usr/include"),
            uid: 0,
            gid: 0,
            umask: 0o022,
        },
        installed: installed.iter().map(pair).collect(),
    }
}

/// The digest of the wheel of a version, as universes have it.
pub(crate) fn wheel_digest(package: &str, version: &str) -> Digest {
    Digest::of(format!("{package} {version}").as_bytes())
}

fn wheel(package: &str, version: &str, build: &str) -> RemoteWheel {
    let file = format!(
        "{}-{version}{build}-py3-none-any.whl",
        package.replace('-', "_")
    );
    RemoteWheel {
        url: format!("https://files.example/{file}"),
        name: file.parse().unwrap(),
        digest: Some(wheel_digest(package, &format!("{version}{build}"))),
        size: Some(1000),
    }
}

#[derive(Default)]
pub(crate) struct Universe {
    pub(crate) releases: BTreeMap<PackageName, Vec<Release>>,
    pub(crate) metadata: BTreeMap<(PackageName, Version), Arc<Metadata>>,
    broken: BTreeSet<(PackageName, Version)>,
    /// Metadata of installed packages.
    pub(crate) installed: BTreeMap<PackageName, Arc<Metadata>>,
    /// Every question, as `page flask` or `metadata flask 2.0`.
    pub(crate) asked: RefCell<Vec<String>>,
    /// Everything that was asked for early, in the same words.
    early: RefCell<BTreeSet<String>>,
    /// How often the network would have been waited for.
    pub(crate) waits: RefCell<usize>,
}

impl Universe {
    pub(crate) fn new(text: &str) -> Self {
        let mut universe = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            universe.add(line);
        }
        universe
    }

    fn add(&mut self, line: &str) {
        let (head, wants) = line.split_once(':').unwrap_or((line, ""));
        let mut words = head.split_whitespace();
        let (package, number) = (words.next().unwrap(), words.next().unwrap());
        let wants = wants
            .split('|')
            .map(str::trim)
            .filter(|want| !want.is_empty());
        let requires_dist: Vec<pep508_rs::Requirement> =
            wants.map(|want| want.parse().unwrap()).collect();
        let mut metadata = Metadata {
            provides_extra: extras(line),
            requires_dist,
            requires_python: None,
        };
        let mut release = Release {
            version: version(number),
            wheels: vec![wheel(package, number, "")],
            source: None,
            yanked: None,
            requires_python: None,
        };
        for word in words {
            let python = |text: &str| Some(text.parse::<VersionSpecifiers>().unwrap());
            match word {
                "yanked" => release.yanked = Some("bad wheel".to_owned()),
                "sdist" => {
                    release.wheels.clear();
                    let digest = Some(wheel_digest(package, &format!("{number}.tar.gz")));
                    release.source = Some(Source {
                        digest,
                        built: None,
                    });
                }
                "other" => release.wheels.push(wheel(package, number, "-2")),
                "broken" => {
                    self.broken.insert((name(package), version(number)));
                }
                _ => match word.strip_prefix("metadata-python") {
                    Some(text) => metadata.requires_python = python(text),
                    None => {
                        release.requires_python = python(word.strip_prefix("python").unwrap());
                    }
                },
            }
        }
        let key = (name(package), version(number));
        self.metadata.insert(key, Arc::new(metadata));
        self.releases
            .entry(name(package))
            .or_default()
            .push(release);
    }

    /// How many questions began with `start`.
    pub(crate) fn count(&self, start: &str) -> usize {
        let asked = self.asked.borrow();
        asked.iter().filter(|what| what.starts_with(start)).count()
    }

    fn ask(&self, what: String) {
        if !self.early.borrow().contains(&what) {
            *self.waits.borrow_mut() += 1;
        }
        self.asked.borrow_mut().push(what);
    }
}

/// Extras that markers of a line name.
fn extras(line: &str) -> BTreeSet<crate::python::ExtraName> {
    let after = line.split("extra == '").skip(1);
    let names = after.map(|rest| rest.split('\'').next().unwrap());
    names.map(|name| name.parse().unwrap()).collect()
}

impl Provider for Universe {
    fn releases(&self, name: &PackageName) -> Result<Arc<Vec<Release>>, ProviderError> {
        self.ask(format!("page {name}"));
        let releases = self.releases.get(name).cloned();
        let releases = releases.ok_or_else(|| ProviderError::Unknown(name.clone()))?;
        Ok(Arc::new(releases))
    }

    fn metadata(
        &self,
        name: &PackageName,
        wheel: &RemoteWheel,
    ) -> Result<Arc<Metadata>, ProviderError> {
        let version = wheel.name.version.clone();
        self.ask(format!("metadata {name} {version}"));
        let key = (name.clone(), version.clone());
        if self.broken.contains(&key) {
            return Err(ProviderError::Unusable {
                name: name.clone(),
                version,
                reason: "has metadata that cannot be read".to_owned(),
            });
        }
        Ok(Arc::clone(&self.metadata[&key]))
    }

    fn installed(&self, name: &PackageName) -> Result<Option<Arc<Metadata>>, ProviderError> {
        Ok(self.installed.get(name).cloned())
    }

    fn prefetch(&self, names: &[PackageName]) {
        *self.waits.borrow_mut() += 1;
        let names = names.iter().map(|name| format!("page {name}"));
        self.early.borrow_mut().extend(names);
    }

    fn prefetch_metadata(&self, wanted: &[(PackageName, RemoteWheel)]) {
        *self.waits.borrow_mut() += 1;
        let wanted = wanted
            .iter()
            .map(|(name, wheel)| format!("metadata {name} {}", wheel.name.version));
        self.early.borrow_mut().extend(wanted);
    }
}

/// A request that is put together step by step.
pub(crate) struct Ask {
    pub(crate) requirements: Vec<Required>,
    pub(crate) constraints: Vec<Required>,
    pub(crate) target: Target,
    pub(crate) pre: bool,
    pub(crate) formats: Formats,
    pub(crate) preferences: BTreeMap<PackageName, Preference>,
    pub(crate) hashes: Option<BTreeMap<PackageName, BTreeSet<Digest>>>,
}

/// Requirements with the lines of a file as their origins.
pub(crate) fn required(file: &str, texts: &[&str]) -> Vec<Required> {
    let one = |(line, text): (usize, &&str)| Required {
        requirement: text.parse().unwrap(),
        origin: format!("{file}:{}", line + 1),
    };
    texts.iter().enumerate().map(one).collect()
}

impl Ask {
    pub(crate) fn new(requirements: &[&str]) -> Self {
        Self {
            requirements: required("requirements.txt", requirements),
            constraints: Vec::new(),
            target: target(&[]),
            pre: false,
            formats: Formats::default(),
            preferences: BTreeMap::new(),
            hashes: None,
        }
    }

    pub(crate) fn constrained(mut self, constraints: &[&str]) -> Self {
        self.constraints = required("constraints.txt", constraints);
        self
    }

    pub(crate) fn installed(mut self, installed: &[&str]) -> Self {
        self.target = target(installed);
        self
    }

    /// Versions of a previous answer, as `name==version`, without their wheels.
    pub(crate) fn preferring(mut self, previous: &[&str]) -> Self {
        for text in previous {
            let (package, number) = text.split_once("==").unwrap();
            let preference = Preference {
                version: version(number),
                wheel: None,
            };
            self.preferences.insert(name(package), preference);
        }
        self
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            requirements: &self.requirements,
            constraints: &self.constraints,
            target: &self.target,
            pre: self.pre,
            formats: &self.formats,
            preferences: &self.preferences,
            hashes: self.hashes.as_ref(),
        }
    }

    pub(crate) fn of(&self, universe: &Universe) -> Result<Solution, Error> {
        let solution = resolve(&self.request(), universe, &Silent)?;
        let unmet = check(&solution, &self.target, universe).unwrap();
        assert!(unmet.is_empty(), "{unmet:?}");
        Ok(solution)
    }

    /// The answer as `name==version …`.
    pub(crate) fn answer(&self, universe: &Universe) -> String {
        match self.of(universe) {
            Ok(solution) => pins(&solution).join(" "),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn error(&self, universe: &Universe) -> Error {
        match self.of(universe) {
            Ok(solution) => panic!("{:?}", pins(&solution)),
            Err(error) => error,
        }
    }
}

/// An answer as `name==version`, sorted.
pub(crate) fn pins(solution: &Solution) -> Vec<String> {
    let packages = solution.resolution.packages.iter();
    packages
        .map(|pinned| format!("{}=={}", pinned.name, pinned.version))
        .collect()
}

/// The answer for requirements in a universe, both written down.
pub(crate) fn answer(universe: &str, requirements: &[&str]) -> String {
    Ask::new(requirements).answer(&Universe::new(universe))
}

/// The error for requirements in a universe, both written down.
pub(crate) fn error(universe: &str, requirements: &[&str]) -> Error {
    Ask::new(requirements).error(&Universe::new(universe))
}
