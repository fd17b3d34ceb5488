//! Keys: what a step's result depends on, as one digest.
//!
//! Two results with the same key are the same result. A key is made of named inputs and of nothing else, so that an
//! unrelated edit never makes a step run again, and so that it can be told which input was another one.
//! docs/cache.md lists the inputs of each step.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Digest, Digester};

/// Part of every key: to be changed when a step makes other bytes of the same inputs.
const VERSION: &str = "overcoat key 1";

/// The digest of a step's inputs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The inputs of a step: each has a name for people and the digest of its value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    step: String,
    items: BTreeMap<String, String>,
}

impl Inputs {
    /// The inputs of a step that has none yet.
    pub fn new(step: &str) -> Self {
        Self {
            step: step.to_owned(),
            items: BTreeMap::new(),
        }
    }

    /// The step's name.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Adds an input. `name` says what it is, as a person would: ``variable `PORT` ``.
    pub fn add(&mut self, name: impl Into<String>, value: impl AsRef<[u8]>) {
        let digest = Digest::of(value.as_ref()).hex().to_owned();
        self.items.insert(name.into(), digest);
    }

    /// Adds an input that is a digest itself.
    pub fn add_digest(&mut self, name: impl Into<String>, digest: &Digest) {
        self.add(name, digest.to_string());
    }

    /// Adds an input whose value is a list: no two lists have the same digest, wherever their items begin and end.
    pub fn add_list<I: AsRef<[u8]>>(
        &mut self,
        name: impl Into<String>,
        items: impl IntoIterator<Item = I>,
    ) {
        let mut digester = Digester::new(Algorithm::Sha256);
        items
            .into_iter()
            .for_each(|item| frame(&mut digester, item.as_ref()));
        let digest = digester.finish();
        self.add(name, digest.to_string());
    }

    /// The key.
    pub fn key(&self) -> Key {
        let mut digester = Digester::new(Algorithm::Sha256);
        for part in [VERSION, &self.step] {
            frame(&mut digester, part.as_bytes());
        }
        for (name, value) in &self.items {
            frame(&mut digester, name.as_bytes());
            frame(&mut digester, value.as_bytes());
        }
        Key(digester.finish().hex().to_owned())
    }

    /// What is another input than in `before`, in sentences; empty when nothing is.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value) in &self.items {
            match before.items.get(name) {
                None => found.push(format!("{name} is new")),
                Some(old) if old != value => found.push(format!("{name} changed")),
                Some(_) => {}
            }
        }
        let gone = before
            .items
            .keys()
            .filter(|name| !self.items.contains_key(*name));
        found.extend(gone.map(|name| format!("{name} is gone")));
        found
    }
}

/// Adds bytes with their length before them, so that it is certain where they end.
pub(super) fn frame(digester: &mut Digester, bytes: &[u8]) {
    digester.update(&(bytes.len() as u64).to_le_bytes());
    digester.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(items: &[(&str, &str)]) -> Inputs {
        let mut inputs = Inputs::new("test");
        items
            .iter()
            .for_each(|(name, value)| inputs.add(*name, value));
        inputs
    }

    #[test]
    fn keys_tell_inputs_apart_wherever_they_begin_and_end() {
        let mut rows = vec![
            inputs(&[]),
            inputs(&[("a", "bc")]),
            inputs(&[("ab", "c")]),
            inputs(&[("a", "b"), ("c", "")]),
            Inputs::new("other"),
        ];
        for list in [&["a", "b"][..], &["ab"], &["ab", ""], &["", "ab"], &[]] {
            let mut inputs = Inputs::new("test");
            inputs.add_list("list", list);
            rows.push(inputs);
        }
        let keys: std::collections::BTreeSet<Key> = rows.iter().map(Inputs::key).collect();
        assert_eq!(keys.len(), rows.len());
        for key in keys {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
    }

    #[test]
    fn the_order_in_which_inputs_are_named_means_nothing() {
        assert_eq!(
            inputs(&[("a", "1"), ("b", "2")]).key(),
            inputs(&[("b", "2"), ("a", "1")]).key()
        );
    }

    #[test]
    fn differences_name_the_inputs() {
        let before = inputs(&[("file `a`", "1"), ("file `b`", "2"), ("file `c`", "3")]);
        let after = inputs(&[("file `a`", "1"), ("file `b`", "9"), ("file `d`", "4")]);
        assert_eq!(
            after.differences(&before),
            ["file `b` changed", "file `d` is new", "file `c` is gone"]
        );
        assert!(after.differences(&after).is_empty());
    }

    #[test]
    fn the_key_is_pinned() {
        // Another key for the same inputs makes every cache miss: that needs a reason and a line in the changelog.
        assert_eq!(
            inputs(&[("a", "1"), ("b", "2")]).key().to_string(),
            "53d2d4199a785e8b1fd3408815bbd23ff41850f1b0033d1674fd5baef14d334a"
        );
    }
}
