//! Why nothing fits, told for people.
//!
//! PubGrub proves that there is no solution by a tree of derivations. Its leaves are what the proof rests on: what
//! wants what, and which versions there are not. Those facts are told; how they were combined is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pubgrub::{DerivationTree, External};

use crate::python::{PackageName, Version};

use super::candidate::{Exclusion, Listing};
use super::direct::wanted_by;
use super::error::Error;
use super::range::Set;
use super::solver::Solver;
use super::want::{Node, Want};
use super::wording::{list, nearest, sentence, told};

type Tree = DerivationTree<Node, Set, String>;

/// How many sentences a conflict has at most.
const MOST_FACTS: usize = 40;

/// The error that a proof stands for.
pub(super) fn explain(tree: Tree, solver: &Solver<'_>) -> Error {
    let facts = Facts::of(&tree, solver);
    dismantle(tree);
    let missing = facts.missing.iter().map(|(name, _)| name);
    // Of the others there are versions that were asked for; the proof only says that there are no more of them.
    let missing = missing.filter(|name| !facts.is_there(name));
    let mut names = missing.collect::<BTreeSet<_>>().into_iter();
    if let (Some(name), None) = (names.next(), names.next())
        && facts.unusable.is_empty()
        && !facts.is_disputed(name)
        && let Some(error) = facts.one_package(name)
    {
        return error;
    }
    Error::Conflict {
        facts: facts.text(),
    }
}

/// The leaves of a proof.
struct Facts<'s, 'a> {
    solver: &'s Solver<'a>,
    /// Who wants what, without repetitions.
    wants: Vec<(Option<(Node, Version)>, Want)>,
    /// There is no version of a package in a set.
    missing: Vec<(PackageName, Set)>,
    /// A version that cannot be used, and why.
    unusable: BTreeMap<(PackageName, Version), String>,
}

impl<'s, 'a> Facts<'s, 'a> {
    fn of(tree: &Tree, solver: &'s Solver<'a>) -> Self {
        let mut facts = Self {
            solver,
            wants: Vec::new(),
            missing: Vec::new(),
            unusable: BTreeMap::new(),
        };
        for leaf in leaves(tree) {
            match leaf {
                External::NotRoot(..) => {}
                External::NoVersions(node, set) => {
                    if let Some(name) = node.name() {
                        facts.missing.push((name.clone(), set.clone()));
                    }
                }
                External::Custom(node, set, reason) => facts.cannot(node, set, reason),
                External::FromDependencyOf(node, versions, on, set) => {
                    facts.depends(node, versions, on, set);
                }
            }
        }
        facts
    }

    fn cannot(&mut self, node: &Node, set: &Set, reason: &str) {
        if let (Some(name), Some(version)) = (node.name(), set.as_singleton()) {
            let key = (name.clone(), version.clone());
            self.unusable.insert(key, super::cut(reason));
        }
    }

    /// Finds the requirements that made a dependency.
    fn depends(&mut self, node: &Node, versions: &Set, on: &Node, set: &Set) {
        let Some(name) = on.name() else { return };
        let solver = self.solver;
        let is_on = |want: &Want| match on {
            Node::Extra(_, extra) => want.extras.contains(extra),
            Node::Root | Node::Package(_) => true,
        };
        for (who, want) in solver.wanting(name) {
            let is_from = match (&who, node) {
                (None, Node::Root) => true,
                (Some((owner, version)), node) => owner == node && versions.contains(version),
                (None, _) => false,
            };
            let is_told = |(told, known): &(Option<(Node, Version)>, Want)| {
                *told == who && known.text == want.text
            };
            if is_from && is_on(&want) && want.set == *set && !self.wants.iter().any(is_told) {
                self.wants.push((who, want));
            }
        }
    }

    /// The different requirements on a package.
    fn texts(&self, name: &PackageName) -> BTreeSet<&str> {
        let wants = self.wants.iter().filter(|(_, want)| want.name == *name);
        wants.map(|(_, want)| want.text.as_str()).collect()
    }

    /// True when one requirement on a package could be satisfied, were it alone.
    fn is_there(&self, name: &PackageName) -> bool {
        let candidates = self.solver.candidates;
        let Ok(listing) = candidates.listing(name) else {
            return false;
        };
        let permits = self.solver.permits(name);
        let mut entries = listing.entries.iter();
        entries.any(|entry| {
            let mut wants = self.wants.iter().filter(|(_, want)| want.name == *name);
            let is_wanted = wants.any(|(_, want)| want.set.contains(&entry.version));
            is_wanted
                && candidates
                    .excluded(name, &listing, entry, &permits)
                    .is_none()
        })
    }

    /// True when there are different requirements on another package than `name`: there is more to tell than that
    /// `name` is missing.
    fn is_disputed(&self, name: &PackageName) -> bool {
        let others = self.wants.iter().map(|(_, want)| &want.name);
        let mut others = others.filter(|other| *other != name);
        others.any(|other| self.texts(other).len() > 1)
    }

    /// The error when all that is missing are versions of one package, and one requirement alone asks for them.
    fn one_package(&self, name: &PackageName) -> Option<Error> {
        let wants = self.wants.iter().filter(|(_, want)| want.name == *name);
        let wants: Vec<_> = wants.collect();
        let (who, want) = *wants.first()?;
        let wanted_by = sentence(who.as_ref(), &want.text);
        let (name, listing) = (name.clone(), self.solver.candidates.listing(name).ok()?);
        if listing.is_unknown {
            return Some(Error::Unknown { name, wanted_by });
        }
        if self.texts(&name).len() != 1 {
            return None;
        }
        let (reasons, only_python) = self.why_not(&name, &listing, &want.set, false);
        let reasons = reasons.join("\n");
        Some(if only_python {
            let python = self.solver.candidates.python.clone();
            Error::RequiresPython {
                name,
                python,
                wanted_by,
                reasons,
            }
        } else {
            Error::NoVersion {
                name,
                wanted_by,
                reasons,
            }
        })
    }

    /// Why no version in `set` may be taken, or which versions are near to it; true when Python alone is the reason.
    /// `is_there`: other versions would do, so that pre-releases and yanked versions are not worth telling.
    fn why_not(
        &self,
        name: &PackageName,
        listing: &Listing,
        set: &Set,
        is_there: bool,
    ) -> (Vec<String>, bool) {
        let candidates = self.solver.candidates;
        let permits = self.solver.permits(name);
        let mut groups: BTreeMap<Exclusion, Vec<&Version>> = BTreeMap::new();
        for entry in &listing.entries {
            if set.contains(&entry.version)
                && let Some(why) = candidates.excluded(name, listing, entry, &permits)
            {
                groups.entry(why).or_default().push(&entry.version);
            }
        }
        if is_there {
            groups.retain(|why, _| !matches!(why, Exclusion::Prerelease | Exclusion::Yanked(_)));
            if groups.is_empty() {
                return (Vec::new(), false);
            }
        }
        if groups.is_empty() {
            let text = match nearest(listing, set) {
                near if near.is_empty() => format!("no index lists a file of `{name}` that fits"),
                near => format!("the nearest versions are {}", list(&near)),
            };
            return (vec![text], false);
        }
        let only_python = groups.keys().all(|why| matches!(why, Exclusion::Python(_)));
        let mut lines = Vec::new();
        // The newest first; a group has at least one version.
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|(_, a), (_, b)| b.first().cmp(&a.first()));
        for (why, versions) in groups {
            lines.push(self.excluded(name, &why, &list(&versions)));
        }
        (lines, only_python)
    }

    fn excluded(&self, name: &PackageName, why: &Exclusion, versions: &str) -> String {
        let candidates = self.solver.candidates;
        match why {
            Exclusion::Python(wanted) => {
                let python = &candidates.python;
                format!(
                    "`{name}` {versions}: for Python {}; the builder has {python}",
                    super::cut(wanted)
                )
            }
            Exclusion::Constraint => {
                let request = &candidates.request;
                let on_it = super::active(request.constraints, request.target)
                    .filter(|constraint| constraint.requirement.name == *name)
                    .map(wanted_by);
                let texts: Vec<String> = on_it.collect();
                let texts = texts.join(", ");
                format!("`{name}` {versions}: not allowed by constraints ({texts})")
            }
            Exclusion::Format => {
                format!("`{name}` {versions}: no file of a kind that is allowed and fits")
            }
            Exclusion::Hash => {
                format!("`{name}` {versions}: no file has one of the hashes that are listed")
            }
            Exclusion::Yanked(reason) => {
                let reason = Some(super::cut(reason.trim()));
                let reason = reason.filter(|reason| !reason.is_empty());
                let reason = reason.map(|reason| format!(" ({reason})"));
                let reason = reason.unwrap_or_default();
                format!("`{name}` {versions}: yanked{reason}; pin it with `==` to take it")
            }
            Exclusion::Prerelease => format!(
                "`{name}` {versions}: a pre-release; name it in the requirement, or allow all (--pre)"
            ),
        }
    }

    /// All facts, the application's first.
    fn text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let order = |(who, want): &(Option<(Node, Version)>, Want)| {
            let own = self.solver.roots.iter();
            let at = own.clone().position(|root| root.text == want.text);
            let name = who.as_ref().and_then(|(node, _)| node.name());
            let depth = name.map_or(0, |name| self.solver.depth(name));
            let (node, version) = who.clone().unzip();
            (
                who.is_some(),
                at.filter(|_| who.is_none()),
                depth,
                node,
                want.name.clone(),
                version,
            )
        };
        let mut wants = self.wants.clone();
        wants.sort_by_key(order);
        let mut rest = wants.as_slice();
        while let Some((who, want)) = rest.first() {
            let same = |(other, next): &&(Option<(Node, Version)>, Want)| {
                let node =
                    |who: &Option<(Node, Version)>| who.as_ref().map(|(node, _)| node.clone());
                who.is_some() && node(other) == node(who) && next.name == want.name
            };
            let count = rest.iter().take_while(same).count().max(1);
            let (group, after) = rest.split_at(count);
            lines.extend(told(group));
            rest = after;
        }
        for ((name, version), reason) in &self.unusable {
            lines.push(format!("`{name}` {version} {reason}"));
        }
        let mut told = BTreeSet::new();
        for (name, set) in &self.missing {
            lines.extend(
                self.absent(name, set)
                    .into_iter()
                    .filter(|line| told.insert(line.clone())),
            );
        }
        if lines.len() > MOST_FACTS {
            let left_out = lines.len() - MOST_FACTS;
            lines.truncate(MOST_FACTS);
            lines.push(format!("… and {left_out} facts more"));
        }
        let lines: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
        lines.join("\n")
    }

    /// What is told of versions that there are not: nothing where the requirements say it already.
    fn absent(&self, name: &PackageName, set: &Set) -> Vec<String> {
        let Ok(listing) = self.solver.candidates.listing(name) else {
            return Vec::new();
        };
        if listing.is_unknown {
            return vec![format!("no index has a package named `{name}`")];
        }
        let is_listed = listing
            .entries
            .iter()
            .any(|entry| set.contains(&entry.version));
        let is_there = self.is_there(name);
        if is_listed || (!is_there && self.texts(name).len() == 1) {
            let (lines, _) = self.why_not(name, &listing, set, is_there);
            let about = |line: String| match line.strip_prefix("the nearest") {
                Some(rest) => format!("there is no such version of `{name}`: the nearest{rest}"),
                None => line,
            };
            return lines.into_iter().map(about).collect();
        }
        Vec::new()
    }
}

/// The leaves of a proof, each once, in the order of the proof. Without recursion: proofs may be deep.
fn leaves(tree: &Tree) -> Vec<&External<Node, Set, String>> {
    let mut found = Vec::new();
    let mut visited = BTreeSet::new();
    let mut stack = vec![tree];
    while let Some(tree) = stack.pop() {
        match tree {
            DerivationTree::External(external) => found.push(external),
            DerivationTree::Derived(derived) => {
                for cause in [&derived.cause2, &derived.cause1] {
                    if visited.insert(Arc::as_ptr(cause) as usize) {
                        stack.push(cause);
                    }
                }
            }
        }
    }
    found
}

/// Drops a proof without recursion.
fn dismantle(tree: Tree) {
    let mut stack = vec![tree];
    while let Some(tree) = stack.pop() {
        if let DerivationTree::Derived(derived) = tree {
            let causes = [derived.cause1, derived.cause2];
            stack.extend(causes.into_iter().filter_map(Arc::into_inner));
        }
    }
}
