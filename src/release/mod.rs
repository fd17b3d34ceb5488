//! After a digest exists: results, outputs for CI, promotion, deployment, hooks, history. Nothing here builds.

pub mod history;
pub mod hooks;
pub mod hopr;
pub mod inside;
pub mod named;
pub mod operation;
pub mod outputs;
pub mod promote;
pub mod prune;
pub mod result;
pub mod rollback;
pub mod secrets;
pub mod status;
