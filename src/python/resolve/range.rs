//! Version specifiers as sets of versions.
//!
//! `pep440_rs` converts specifiers itself, but its `==1.0` leaves `1.0+cpu` out and its `<=1.0` too, where PEP 440 says
//! that a specifier without a local version label ignores the candidate's; and it overflows at the largest numbers.

use pep440_rs::{Operator, Prerelease, Version, VersionSpecifier, VersionSpecifiers};
use pubgrub::Ranges;

/// A set of versions.
pub(super) type Set = Ranges<Version>;

/// The versions that satisfy all of `specifiers`. Pre-releases are in it wherever they lie between the bounds: whether
/// they may be taken is another question ([`mentions_prerelease`]).
///
/// # Spec
/// packaging.python.org, *Version specifiers*.
pub(super) fn set_of(specifiers: &VersionSpecifiers) -> Set {
    specifiers.iter().fold(Set::full(), |set, specifier| {
        set.intersection(&one(specifier))
    })
}

/// True when a specifier names a pre-release in a way that makes pip consider pre-releases of the project.
///
/// # Spec
/// `packaging.specifiers.Specifier.prereleases`: not for `<`, `>` and `!=`.
pub(super) fn mentions_prerelease(specifiers: &VersionSpecifiers) -> bool {
    specifiers.iter().any(|specifier| {
        let counts = !matches!(
            specifier.operator(),
            Operator::LessThan
                | Operator::GreaterThan
                | Operator::NotEqual
                | Operator::NotEqualStar
        );
        counts && specifier.version().any_prerelease()
    })
}

/// True when a specifier is `==` or `===` without a wildcard: pip then takes a yanked version.
pub(super) fn is_pin(specifiers: &VersionSpecifiers) -> bool {
    let is_exact = |specifier: &VersionSpecifier| {
        matches!(specifier.operator(), Operator::Equal | Operator::ExactEqual)
    };
    specifiers.iter().any(is_exact)
}

/// True when a specifier begins with `==`, also `==1.*`: what pip's order of work calls pinned.
pub(super) fn is_equal(specifiers: &VersionSpecifiers) -> bool {
    let star = |specifier: &VersionSpecifier| *specifier.operator() == Operator::EqualStar;
    is_pin(specifiers) || specifiers.iter().any(star)
}

fn one(specifier: &VersionSpecifier) -> Set {
    let version = specifier.version().clone();
    match specifier.operator() {
        Operator::Equal => equal(version),
        Operator::ExactEqual => Set::singleton(version),
        Operator::NotEqual => equal(version).complement(),
        Operator::EqualStar => star(&version),
        Operator::NotEqualStar => star(&version).complement(),
        Operator::TildeEqual => compatible(version),
        Operator::GreaterThanEqual => Set::higher_than(version),
        Operator::LessThanEqual => below(after_locals(&version)),
        Operator::LessThan if version.any_prerelease() => Set::strictly_lower_than(version),
        Operator::LessThan if version.is_post() => {
            Set::strictly_lower_than(version.with_dev(Some(0)))
        }
        Operator::LessThan => Set::strictly_lower_than(version.without_local().with_min(Some(0))),
        Operator::GreaterThan if version.is_dev() || version.is_post() => {
            from(after_locals(&version))
        }
        Operator::GreaterThan => {
            Set::strictly_higher_than(version.without_local().with_max(Some(0)))
        }
    }
}

/// `low` and what is above it up to, but not with, `high`; `None` is beyond every version.
fn between(low: Version, high: Option<Version>) -> Set {
    match high {
        Some(high) => Set::from_range_bounds(low..high),
        None => Set::higher_than(low),
    }
}

fn below(high: Option<Version>) -> Set {
    high.map_or_else(Set::full, Set::strictly_lower_than)
}

fn from(low: Option<Version>) -> Set {
    low.map_or_else(Set::empty, Set::higher_than)
}

fn equal(version: Version) -> Set {
    if version.is_local() {
        return Set::singleton(version);
    }
    let high = after_locals(&version);
    between(version, high)
}

/// The lowest version above `version` and all its local versions; `None` when there is no number for it.
fn after_locals(version: &Version) -> Option<Version> {
    let version = version.clone().without_local();
    if let Some(dev) = version.dev() {
        return Some(version.with_dev(Some(dev.checked_add(1)?)));
    }
    let post = match version.post() {
        Some(post) => post.checked_add(1)?,
        None => 0,
    };
    Some(version.with_post(Some(post)).with_dev(Some(0)))
}

/// `release` with its last number raised, as a version below all that begin so.
fn next_release(version: &Version, release: &[u64]) -> Option<Version> {
    let (last, rest) = release.split_last()?;
    let raised = last.checked_add(1)?;
    let next = Version::new(rest.iter().chain([&raised]));
    Some(next.with_epoch(version.epoch()).with_dev(Some(0)))
}

fn compatible(version: Version) -> Set {
    let release = version.release();
    let high = next_release(&version, &release[..release.len().saturating_sub(1)]);
    between(version, high)
}

fn star(version: &Version) -> Set {
    let low = version.clone().without_local().with_dev(Some(0));
    let high = if let Some(post) = low.post() {
        post.checked_add(1)
            .map(|post| low.clone().with_post(Some(post)))
    } else if let Some(pre) = low.pre() {
        pre.number.checked_add(1).map(|number| {
            let kind = pre.kind;
            low.clone().with_pre(Some(Prerelease { kind, number }))
        })
    } else {
        next_release(version, version.release())
    };
    between(low, high)
}

#[cfg(test)]
#[path = "tests/range.rs"]
mod tests;
