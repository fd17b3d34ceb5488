//! Kubernetes: manifests edited byte by byte, clusters asked and told through their API, local clusters given images.
//!
//! Nothing here knows how an image is made, or of projects.

pub mod cluster;
mod document;
pub mod flux;
pub mod kustomization;
pub mod local;
pub mod manifest;
mod object;
pub mod ready;
pub mod rollout;
pub mod watch;
