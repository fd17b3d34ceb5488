//! After a digest exists: results, outputs for CI, promotion, deployment, hooks, history. Nothing here builds.

pub mod hopr;
pub mod inside;
pub mod secrets;
