//! One value of a YAML text changed, and every other byte kept.
//!
//! A change is a [`Splice`]: bytes that go, and the text that comes. Before it counts, the changed text is read again
//! and compared with the old one ([`verify`]): positions come from a parser, and a parser can be wrong.

mod insert;
mod print;
mod scalar;
mod tree;
mod verify;

use std::ops::Range;

pub(super) use insert::{beside, gone, line_end};
pub(super) use print::Print;
pub(super) use scalar::{in_place_of, written};
pub(super) use tree::{Tree, duplicate_key};
pub(super) use verify::{Before, Change, same, verify};

/// The bytes of a text that go, and what comes in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Splice {
    /// In bytes; empty where nothing goes.
    pub at: Range<usize>,
    /// What comes.
    pub text: String,
}

impl Splice {
    /// The text with the change; none where the place is no place of the text.
    pub(super) fn apply(&self, text: &str) -> Option<String> {
        let (before, after) = (text.get(..self.at.start)?, text.get(self.at.end..)?);
        (self.at.start <= self.at.end).then(|| [before, &self.text, after].concat())
    }
}

/// Why a value cannot be changed where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its line, from 1.
    pub line: usize,
    /// A sentence without its subject: `has the tag …`.
    pub reason: String,
}
