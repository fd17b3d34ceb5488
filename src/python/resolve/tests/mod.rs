//! Tests of the resolver against universes in memory.

mod messages;
mod prefetching;
mod properties;
mod rules;
mod scenarios;
pub(super) mod universe;
