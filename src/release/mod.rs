//! After a digest exists: results, outputs for CI, promotion, deployment, hooks, history. Nothing here builds.

pub mod outputs;
pub mod promote;
pub mod result;
pub mod history;
pub mod hopr;
pub mod hooks;
pub mod operation;
