//! A document with its aliases and merge keys: what is reached, by which way, and how often.

use std::collections::BTreeMap;

use crate::yaml::{Node, Value};

/// The key that merges other mappings into its own.
///
/// # Spec
/// YAML 1.1 type repository, *merge*; `kubectl` reads it.
const MERGE: &str = "<<";
/// Through how many merged mappings a key is looked for: mappings may merge mappings.
const MOST_MERGES: usize = 32;
/// How many uses of a value are counted; more than one is refused, and a message names these.
const MOST_USES: usize = 8;
/// How many ways to a value are followed. Aliases of aliases double with each level, and these are counted whether they
/// are uses or not.
const MOST_WAYS: usize = 256;

/// A document, with the places of its anchors.
pub(in super::super) struct Tree<'d> {
    root: &'d Node,
    anchors: BTreeMap<usize, &'d Node>,
    aliases: BTreeMap<usize, Vec<&'d Node>>,
}

impl<'d> Tree<'d> {
    pub(in super::super) fn new(root: &'d Node) -> Self {
        let mut tree = Self {
            root,
            anchors: BTreeMap::new(),
            aliases: BTreeMap::new(),
        };
        tree.gather(root);
        tree
    }

    fn gather(&mut self, node: &'d Node) {
        if let Some(number) = node.anchor {
            self.anchors.insert(number, node);
        }
        if let Value::Alias(number) = node.value {
            self.aliases.entry(number).or_default().push(node);
        }
        children(node).for_each(|child| self.gather(child));
    }

    /// What an alias stands for; anything else stands for itself.
    pub(in super::super) fn resolve(&self, node: &'d Node) -> &'d Node {
        match node.value {
            Value::Alias(number) => self.anchors.get(&number).copied().unwrap_or(node),
            _ => node,
        }
    }

    /// The key and the value, resolved, of an entry of a mapping: its own, else the first of the mappings that it merges.
    pub(in super::super) fn entry(
        &self,
        mapping: &'d Node,
        key: &str,
    ) -> Option<(&'d Node, &'d Node)> {
        let mut budget = MOST_MERGES;
        self.entry_within(mapping, key, &mut budget)
    }

    fn entry_within(
        &self,
        mapping: &'d Node,
        key: &str,
        budget: &mut usize,
    ) -> Option<(&'d Node, &'d Node)> {
        *budget = budget.checked_sub(1)?;
        let mapping = self.resolve(mapping);
        let own = mapping
            .entries()
            .iter()
            .find(|(name, _)| name.text() == Some(key));
        if let Some((name, value)) = own {
            return Some((name, self.resolve(value)));
        }
        let merges = mapping
            .entries()
            .iter()
            .filter(|(name, _)| name.text() == Some(MERGE));
        for (_, merged) in merges {
            let merged = self.resolve(merged);
            let several = merged.items().iter();
            for one in std::iter::once(merged).chain(several) {
                if let Some(found) = self.entry_within(one, key, budget) {
                    return Some(found);
                }
            }
        }
        None
    }

    /// The value, resolved, at a path of keys.
    pub(in super::super) fn at(&self, node: &'d Node, path: &[&str]) -> Option<&'d Node> {
        path.iter().try_fold(node, |node, key| {
            self.entry(node, key).map(|(_, value)| value)
        })
    }

    /// The items of a list, resolved.
    pub(in super::super) fn items(&self, node: &'d Node) -> impl Iterator<Item = &'d Node> {
        self.resolve(node)
            .items()
            .iter()
            .map(|item| self.resolve(item))
    }

    /// The lines on which a value is used: where it stands, and each alias that reaches it. A value that stands below a
    /// key of the document that means nothing to Kubernetes (`x-…`, `.…`, `_…`) is not used there. At most [`MOST_USES`];
    /// two or more for what is reached in more than [`MOST_WAYS`] ways.
    pub(in super::super) fn uses(&self, node: &'d Node) -> Vec<usize> {
        let mut lines = Vec::new();
        let mut ways = MOST_WAYS;
        self.add_uses(node, MOST_MERGES, &mut ways, &mut lines);
        while ways == 0 && lines.len() < 2 {
            lines.push(node.line);
        }
        lines
    }

    fn add_uses(&self, node: &'d Node, depth: usize, ways: &mut usize, lines: &mut Vec<usize>) {
        *ways = ways.saturating_sub(1);
        let mut chain = Vec::new();
        let is_there = chain_to(self.root, node, &mut chain);
        if lines.len() >= MOST_USES || depth == 0 || *ways == 0 || !is_there {
            return;
        }
        if !is_detached(&chain) {
            lines.push(node.line);
        }
        for anchored in chain.iter().filter_map(|node| node.anchor) {
            for alias in self.aliases.get(&anchored).into_iter().flatten() {
                self.add_uses(alias, depth - 1, ways, lines);
            }
        }
    }
}

/// The nodes from `node` to `wanted`, the wanted one first.
fn chain_to<'d>(node: &'d Node, wanted: &Node, chain: &mut Vec<&'d Node>) -> bool {
    let is_found =
        std::ptr::eq(node, wanted) || children(node).any(|child| chain_to(child, wanted, chain));
    if is_found {
        chain.push(node);
    }
    is_found
}

/// True below a key of the root that only holds what aliases use elsewhere.
fn is_detached(chain: &[&Node]) -> bool {
    let [.., below, root] = chain else {
        return false;
    };
    root.entries().iter().any(|(key, value)| {
        let is_for_aliases = key
            .text()
            .is_some_and(|key| key.starts_with("x-") || key.starts_with(['.', '_']));
        is_for_aliases && std::ptr::eq(value, *below)
    })
}

fn children(node: &Node) -> impl Iterator<Item = &Node> {
    let entries = node.entries().iter().flat_map(|(key, value)| [key, value]);
    entries.chain(node.items())
}

/// A key that a mapping has twice: its text, and the lines of both.
pub(in super::super) fn duplicate_key(node: &Node) -> Option<(String, usize, usize)> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (key, _) in node.entries() {
        let Some(text) = key.text() else { continue };
        if let Some(first) = seen.insert(text, key.line) {
            return Some((text.to_owned(), first, key.line));
        }
    }
    children(node).find_map(duplicate_key)
}
