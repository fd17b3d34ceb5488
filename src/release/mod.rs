//! After a digest exists: results, outputs for CI, promotion, deployment, hooks, history. Nothing here builds.

pub mod history;
pub mod hooks;
pub mod hopr;
pub mod inside;
pub mod named;
pub mod operation;
pub mod outputs;
pub mod promote;
pub mod propagation;
pub mod prune;
pub mod result;
pub mod rollback;
pub mod rollouts;
pub mod samples;
pub mod secrets;
pub mod status;
