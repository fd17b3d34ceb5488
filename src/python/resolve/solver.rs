//! What PubGrub is told: packages, versions, dependencies, and in which order to decide.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pubgrub::{Dependencies, DependencyProvider, PackageResolutionStatistics};

use crate::event::Observer;
use crate::python::{ExtraName, PackageName, RemoteWheel, Version};

use super::candidate::{Candidate, Candidates, File, Permits};
use super::direct::wanted_by;
use super::error::Error;
use super::provider::Metadata;
use super::range::Set;
use super::want::{Node, Want, want};

/// How many versions are tried before the search is given up. The hardest real searches known take a few thousand.
const MOST_STEPS: usize = 20_000;

/// How often a package must have been part of a conflict before it is decided early (uv's number).
const MANY_CONFLICTS: u32 = 5;

/// Why PubGrub was stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Error(#[from] Error),
    /// A requirement permits versions that were passed over before: what was learnt from that is wrong.
    #[error("a permission came too late")]
    Again,
}

/// The order in which packages are decided; the greatest first. As pip's: `setuptools` last, pinned ones, those that
/// conflict much, those near to the application, in the order of the requirements, limited ones, by name.
type Priority = (
    bool,
    bool,
    bool,
    Reverse<usize>,
    Reverse<usize>,
    bool,
    Reverse<Option<PackageName>>,
    bool,
);

/// What is known of a package from the requirements on it that were seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) depth: usize,
    pub(super) is_pinned: bool,
    pub(super) is_limited: bool,
}

/// One search.
pub(super) struct Solver<'a> {
    pub(super) candidates: &'a Candidates<'a>,
    pub(super) observer: &'a dyn Observer,
    /// What requirements that were seen permit; kept from search to search.
    pub(super) permits: &'a RefCell<BTreeMap<PackageName, Permits>>,
    /// Packages for which only the application's own requirements may permit anything.
    pub(super) revoked: &'a BTreeSet<PackageName>,
    /// Core metadata, each asked for once; kept from search to search.
    pub(super) metadata: &'a RefCell<BTreeMap<(PackageName, Version), Arc<Metadata>>>,
    /// The application's requirements.
    pub(super) roots: Vec<Want>,
    pub(super) order: BTreeMap<PackageName, usize>,
    /// What each version that was looked at wants.
    pub(super) wants: RefCell<BTreeMap<(Node, Version), Vec<Want>>>,
    pub(super) expected: RefCell<BTreeMap<PackageName, Set>>,
    pub(super) crawled: RefCell<BTreeSet<(PackageName, Version, Vec<ExtraName>)>>,
    pub(super) seen: RefCell<BTreeMap<PackageName, Seen>>,
    last: RefCell<BTreeMap<PackageName, Version>>,
    tries: RefCell<BTreeMap<PackageName, usize>>,
    pub(super) exhausted: RefCell<BTreeSet<PackageName>>,
    steps: Cell<usize>,
}

impl<'a> Solver<'a> {
    pub(super) fn new(
        candidates: &'a Candidates<'a>,
        observer: &'a dyn Observer,
        permits: &'a RefCell<BTreeMap<PackageName, Permits>>,
        revoked: &'a BTreeSet<PackageName>,
        metadata: &'a RefCell<BTreeMap<(PackageName, Version), Arc<Metadata>>>,
    ) -> Self {
        let request = &candidates.request;
        let mut roots = Vec::new();
        let mut order = BTreeMap::new();
        for required in super::active(request.requirements, request.target) {
            let mut want = want(&required.requirement);
            want.text = wanted_by(required);
            let next = order.len();
            order.entry(want.name.clone()).or_insert(next);
            roots.push(want);
        }
        Self {
            candidates,
            observer,
            permits,
            revoked,
            metadata,
            roots,
            order,
            wants: RefCell::default(),
            expected: RefCell::default(),
            crawled: RefCell::default(),
            seen: RefCell::default(),
            last: RefCell::default(),
            tries: RefCell::default(),
            exhausted: RefCell::default(),
            steps: Cell::new(0),
        }
    }

    pub(super) fn permits(&self, name: &PackageName) -> Permits {
        self.permits.borrow().get(name).cloned().unwrap_or_default()
    }

    /// How far a package is from the application.
    pub(super) fn depth(&self, name: &PackageName) -> usize {
        self.seen.borrow().get(name).map_or(0, |seen| seen.depth)
    }

    /// The best candidate for a package in `set`, or what ends the search.
    fn candidate(&self, name: &PackageName, set: &Set) -> Result<Option<Candidate>, Error> {
        let permits = self.permits(name);
        let Some(candidate) = self.candidates.best(name, set, &permits)? else {
            let target = self.candidates.request.target;
            if let Some(have) = target.installed.get(name)
                && !self.candidates.directs.contains_key(name)
            {
                return Err(self.would_replace(name, have));
            }
            return Ok(None);
        };
        if candidate.file == File::Source {
            return Err(Error::NeedsBuild {
                name: name.clone(),
                version: candidate.version,
            });
        }
        Ok(Some(candidate))
    }

    fn would_replace(&self, name: &PackageName, have: &Version) -> Error {
        let mut wanted: Vec<String> = Vec::new();
        for (who, want) in self.wanting(name) {
            if !want.set.contains(have) {
                wanted.push(super::wording::sentence(who.as_ref(), &want.text));
            }
        }
        if !self.candidates.constrained(name, have) {
            wanted.push("the constraints".to_owned());
        }
        if wanted.is_empty() {
            wanted.push("what other packages want".to_owned());
        }
        Error::WouldReplace {
            name: name.clone(),
            have: have.clone(),
            wanted: wanted.join(", "),
        }
    }

    /// Everything that was seen to want `name`: the application's requirements first.
    pub(super) fn wanting(&self, name: &PackageName) -> Vec<(Option<(Node, Version)>, Want)> {
        let wants = self.wants.borrow();
        let is_on_it = |want: &&Want| want.name == *name;
        let roots = self.roots.iter().filter(is_on_it);
        let roots = roots.map(|want| (None, want.clone()));
        let others = wants.iter().flat_map(|(who, wants)| {
            let on_it = wants.iter().filter(is_on_it);
            on_it.map(|want| (Some(who.clone()), want.clone()))
        });
        roots.chain(others).collect()
    }

    /// After a few tries of one package, its next candidates are asked for together.
    fn read_ahead(&self, name: &PackageName, set: &Set) {
        let mut tries = self.tries.borrow_mut();
        let tries = tries.entry(name.clone()).or_default();
        *tries += 1;
        if !tries.is_power_of_two() || *tries < 4 {
            return;
        }
        let limit = (*tries).min(32);
        let permits = self.permits(name);
        let Ok(next) = self.candidates.several(name, set, &permits, limit) else {
            return;
        };
        let known = self.metadata.borrow();
        let wanted: Vec<(PackageName, RemoteWheel)> = next
            .into_iter()
            .filter(|next| !known.contains_key(&(name.clone(), next.version.clone())))
            .filter_map(|next| match next.file {
                File::Wheel(wheel) => Some((name.clone(), Arc::unwrap_or_clone(wheel))),
                File::Installed | File::Source => None,
            })
            .collect();
        self.candidates.provider.prefetch_metadata(&wanted);
    }
}

impl DependencyProvider for Solver<'_> {
    type P = Node;
    type V = Version;
    type VS = Set;
    type Priority = Priority;
    type M = String;
    type Err = Stop;

    fn prioritize(
        &self,
        node: &Node,
        _set: &Set,
        statistics: &PackageResolutionStatistics,
    ) -> Priority {
        let Some(name) = node.name() else {
            return (
                true,
                true,
                true,
                Reverse(0),
                Reverse(0),
                true,
                Reverse(None),
                true,
            );
        };
        let seen = self.seen.borrow().get(name).cloned().unwrap_or_default();
        let is_direct = self.candidates.directs.contains_key(name);
        let order = self.order.get(name).copied().unwrap_or(usize::MAX);
        (
            name.as_ref() != "setuptools",
            is_direct || seen.is_pinned,
            statistics.conflict_count() >= MANY_CONFLICTS,
            Reverse(seen.depth),
            Reverse(order),
            seen.is_limited,
            Reverse(Some(name.clone())),
            // A package before its extras: their version is then known.
            matches!(node, Node::Package(_)),
        )
    }

    fn choose_version(&self, node: &Node, set: &Set) -> Result<Option<Version>, Stop> {
        let name = match node {
            Node::Root => return Ok(Some(root_version())),
            Node::Package(name) | Node::Extra(name, _) => name,
        };
        if let Node::Extra(..) = node
            && let Some(version) = self.last.borrow().get(name)
            && set.contains(version)
        {
            return Ok(Some(version.clone()));
        }
        let Some(candidate) = self.candidate(name, set)? else {
            self.exhausted.borrow_mut().insert(name.clone());
            return Ok(None);
        };
        if let Node::Package(_) = node {
            self.read_ahead(name, set);
            let version = candidate.version.clone();
            self.last.borrow_mut().insert(name.clone(), version);
        }
        Ok(Some(candidate.version))
    }

    fn get_dependencies(
        &self,
        node: &Node,
        version: &Version,
    ) -> Result<Dependencies<Node, Set, String>, Stop> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > MOST_STEPS {
            return Err(Error::GaveUp { steps }.into());
        }
        let wants = match self.wants_at(node, version)? {
            Ok(wants) => wants,
            Err(reason) => return Ok(Dependencies::Unavailable(reason)),
        };
        self.check_listed((node, version), &wants)?;
        let Some(mut edges) = self.edges((node, version), &wants)? else {
            let reason = "wants another version of itself".to_owned();
            return Ok(Dependencies::Unavailable(reason));
        };
        if let Node::Extra(name, _) = node {
            let same = Set::singleton(version.clone());
            edges.insert(0, (Node::Package(name.clone()), same));
        }
        if *node != Node::Root {
            let key = (node.clone(), version.clone());
            self.wants.borrow_mut().insert(key, wants.clone());
        }
        self.crawl(wants)?;
        Ok(Dependencies::Available(edges.into_iter().collect()))
    }

    fn should_cancel(&self) -> Result<(), Stop> {
        if self.observer.is_cancelled() {
            return Err(Error::Interrupted.into());
        }
        Ok(())
    }
}

/// The application has one version.
pub(super) fn root_version() -> Version {
    Version::new([0])
}
