//! Which packages a set of packages needs.
//!
//! [`Index::resolve`] is no solver: like a first installation with the archive's own tools it takes the first
//! alternative that can be had unless another is there already, and the newest version of everything. The roots
//! and the essential packages are chosen before any dependency is looked at, so a recipe steers an alternative by
//! naming the package it wants (`mawk` for `awk`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Error;
use super::packages::{Index, Package};
use super::relation::{Relation, parse_relations};
use super::version::Version;

/// A package of a closure.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The package.
    pub package: Package,
    /// True when the essential packages need it; false when only the roots do.
    pub is_base: bool,
}

/// Whether a closure includes the packages that every system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Essential {
    /// With them.
    Include,
    /// Without them, unless something depends on them.
    Omit,
}

impl Index {
    /// The closure of `roots` and of the essential packages over `Pre-Depends` and `Depends`, sorted by name.
    ///
    /// # Errors
    /// [`Error::UnknownPackage`] for a root that is not there, [`Error::Unsatisfied`] with the chain of who needs
    /// it, [`Error::Conflict`], and [`Error::Index`] for a malformed field.
    pub fn resolve(
        &self,
        roots: &[&str],
        essential: Essential,
        architecture: &str,
    ) -> Result<Vec<Selected>, Error> {
        let mut resolver = Resolver::new(self, architecture)?;
        if essential == Essential::Include {
            for package in self
                .packages
                .iter()
                .filter(|package| package.is_essential())
            {
                resolver.select(package, None);
            }
        }
        for root in roots {
            let unknown = || Error::UnknownPackage {
                package: (*root).to_owned(),
            };
            resolver.select(self.get(root).ok_or_else(unknown)?, None);
        }
        while let Some(name) = resolver.queue.pop_front() {
            resolver.expand(name)?;
        }
        resolver.check_conflicts()?;
        Ok(resolver.finish())
    }
}

struct Resolver<'a> {
    index: &'a Index,
    architecture: &'a str,
    /// Virtual name → (who provides it, at which version), the best provider first.
    providers: BTreeMap<String, Vec<(&'a Package, Option<Version>)>>,
    /// Package → who made us take it.
    selected: BTreeMap<&'a str, Option<&'a str>>,
    /// Package → what satisfies its dependencies.
    needs: BTreeMap<&'a str, BTreeSet<&'a str>>,
    queue: VecDeque<&'a str>,
}

impl<'a> Resolver<'a> {
    fn new(index: &'a Index, architecture: &'a str) -> Result<Self, Error> {
        let mut providers: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for package in index
            .packages
            .iter()
            .filter(|package| !package.provides().is_empty())
        {
            for relation in relations(package, "Provides", package.provides())?
                .into_iter()
                .flatten()
            {
                let version = relation.constraint.map(|(_operator, version)| version);
                providers
                    .entry(relation.name)
                    .or_default()
                    .push((package, version));
            }
        }
        for several in providers.values_mut() {
            several.sort_by(|(one, _), (other, _)| {
                (one.rank(), one.name()).cmp(&(other.rank(), other.name()))
            });
        }
        Ok(Self {
            index,
            architecture,
            providers,
            selected: BTreeMap::new(),
            needs: BTreeMap::new(),
            queue: VecDeque::new(),
        })
    }

    fn select(&mut self, package: &'a Package, because_of: Option<&'a str>) {
        if !self.selected.contains_key(package.name()) {
            self.selected.insert(package.name(), because_of);
            self.queue.push_back(package.name());
        }
    }

    /// A package that is selected, and so exists.
    fn package(&self, name: &str) -> &'a Package {
        self.index
            .get(name)
            .expect("only packages of the index are selected")
    }

    /// Selects what a selected package depends on.
    fn expand(&mut self, name: &'a str) -> Result<(), Error> {
        let package = self.package(name);
        for (field, text) in [
            ("Pre-Depends", package.pre_depends()),
            ("Depends", package.depends()),
        ] {
            for alternatives in relations(package, field, text)? {
                let candidates = || {
                    alternatives
                        .iter()
                        .flat_map(|relation| self.candidates(relation))
                };
                let is_selected = |package: &&Package| self.selected.contains_key(package.name());
                let chosen = candidates()
                    .find(is_selected)
                    .or_else(|| candidates().next());
                let chosen = chosen.ok_or_else(|| self.unsatisfied(&alternatives, name))?;
                self.select(chosen, Some(name));
                self.needs.entry(name).or_default().insert(chosen.name());
            }
        }
        Ok(())
    }

    /// Everything that satisfies a relation: the package of that name, then those that provide it.
    fn candidates(&self, relation: &Relation) -> impl Iterator<Item = &'a Package> + use<'a> {
        let is_ours = match relation.qualifier.as_deref() {
            None | Some("any" | "native") => true,
            Some(architecture) => architecture == self.architecture,
        };
        let real = self
            .index
            .get(&relation.name)
            .filter(|package| is_ours && relation.accepts(&package.version()));
        let mut virtuals = Vec::new();
        for (package, version) in self.providers.get(&relation.name).into_iter().flatten() {
            // An unversioned `Provides` satisfies no versioned dependency (policy 7.5).
            let is_accepted = match version {
                Some(version) => relation.accepts(version),
                None => relation.constraint.is_none(),
            };
            if is_ours && is_accepted {
                virtuals.push(*package);
            }
        }
        real.into_iter().chain(virtuals)
    }

    fn unsatisfied(&self, alternatives: &[Relation], name: &str) -> Error {
        let mut chain = vec![name.to_owned()];
        let mut current = name;
        while let Some(Some(parent)) = self.selected.get(current) {
            chain.push((*parent).to_owned());
            current = parent;
        }
        let words: Vec<String> = alternatives.iter().map(Relation::to_string).collect();
        Error::Unsatisfied {
            relation: words.join(" | "),
            chain,
        }
    }

    fn check_conflicts(&self) -> Result<(), Error> {
        for name in self.selected.keys() {
            let package = self.package(name);
            for (field, text) in [
                ("Conflicts", package.conflicts()),
                ("Breaks", package.breaks()),
            ] {
                for relation in relations(package, field, text)?.into_iter().flatten() {
                    let is_other = |other: &&Package| {
                        other.name() != package.name() && self.selected.contains_key(other.name())
                    };
                    if let Some(other) = self.candidates(&relation).find(is_other) {
                        return Err(Error::Conflict {
                            package: package.name().to_owned(),
                            other: other.name().to_owned(),
                            relation: relation.to_string(),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Vec<Selected> {
        let is_essential = |name: &&&str| self.package(name).is_essential();
        let mut todo: Vec<&str> = self.selected.keys().filter(is_essential).copied().collect();
        let mut base = BTreeSet::new();
        while let Some(name) = todo.pop() {
            if base.insert(name) {
                todo.extend(self.needs.get(name).into_iter().flatten());
            }
        }
        let select = |name: &&str| Selected {
            package: self.package(name).clone(),
            is_base: base.contains(name),
        };
        self.selected.keys().map(select).collect()
    }
}

fn relations(package: &Package, field: &str, text: &str) -> Result<Vec<Vec<Relation>>, Error> {
    parse_relations(text).map_err(|part| Error::Index {
        index: package.filename().to_owned(),
        reason: format!(
            "`{part}` in the field `{field}` of `{}` is no relation",
            package.name()
        ),
    })
}

#[cfg(test)]
#[path = "closure_tests.rs"]
mod tests;
