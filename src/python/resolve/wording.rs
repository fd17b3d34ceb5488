//! How versions and wants are put into words.

use crate::python::Version;

use super::candidate::Listing;
use super::range::Set;
use super::want::{Node, Want};

/// `text` as said by `who`: ``flask-login 0.6 wants `flask>=2.2` ``; the application's requirements say where they stand.
pub(super) fn sentence(who: Option<&(Node, Version)>, text: &str) -> String {
    match who {
        None => text.to_owned(),
        Some((node, version)) => format!("`{node}` {version} wants `{text}`"),
    }
}

/// Sentences for what versions of one node want of one package: those that want the same in one, and of very
/// many different ones the newest and the oldest.
pub(super) fn told(group: &[(Option<(Node, Version)>, Want)]) -> Vec<String> {
    let mut lines: Vec<(Option<Node>, Vec<&Version>, &str)> = Vec::new();
    for (who, want) in group {
        let node = who.as_ref().map(|(node, _)| node.clone());
        let version = who.as_ref().map(|(_, version)| version);
        let same = lines.iter_mut().find(|line| line.2 == want.text);
        match same {
            Some(line) => line.1.extend(version),
            None => lines.push((node, version.into_iter().collect(), &want.text)),
        }
    }
    // From the newest to the oldest.
    lines.reverse();
    let text = |(node, versions, text): &(Option<Node>, Vec<&Version>, &str)| {
        let Some(node) = node else {
            return (*text).to_owned();
        };
        let mut versions = versions.clone();
        versions.reverse();
        let verb = if versions.len() == 1 { "wants" } else { "want" };
        format!("`{node}` {} {verb} `{text}`", list(&versions))
    };
    match lines.as_slice() {
        [first, middle @ .., last] if middle.len() > 2 => {
            let others = format!("… and so on for {} more", middle.len());
            vec![text(first), others, text(last)]
        }
        few => few.iter().map(text).collect(),
    }
}

/// Up to two versions on either side of a set, else the newest three.
pub(super) fn nearest<'l>(listing: &'l Listing, set: &Set) -> Vec<&'l Version> {
    use std::ops::Bound;
    let versions: Vec<&Version> = listing.entries.iter().map(|entry| &entry.version).collect();
    let Some((low, high)) = set.bounding_range() else {
        return versions.into_iter().take(3).collect();
    };
    let above = |version: &&&Version| match high {
        Bound::Included(high) => **version > high,
        Bound::Excluded(high) => **version >= high,
        Bound::Unbounded => false,
    };
    let below = |version: &&&Version| match low {
        Bound::Included(low) => **version < low,
        Bound::Excluded(low) => **version <= low,
        Bound::Unbounded => false,
    };
    let higher: Vec<&Version> = versions.iter().filter(above).copied().collect();
    let higher = higher.iter().rev().take(2).rev().copied();
    let near: Vec<&Version> = higher
        .chain(versions.iter().filter(below).copied().take(2))
        .collect();
    if near.is_empty() {
        versions.into_iter().take(3).collect()
    } else {
        near
    }
}

/// `3.0, 2.1 and 2.0`; of many the first and the last.
pub(super) fn list(versions: &[&Version]) -> String {
    match versions {
        [] => String::new(),
        [one] => one.to_string(),
        [first, .., last] if versions.len() > 4 => {
            format!("{first} … {last} ({} versions)", versions.len())
        }
        [others @ .., last] => {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
            format!("{} and {last}", others.join(", "))
        }
    }
}
