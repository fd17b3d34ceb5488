//! Giving an image to a cluster on this machine, without a registry and without Docker having built it.
//!
//! ```text
//! target     which cluster a context names, and how an image gets there
//! loader     k3d, kind and minikube, told what to load; what they say is not believed
//! verify     the nodes asked whether they have it
//! process    one run of a program: bounded in time, its output bounded in size
//! ```
//!
//! An archive is handed over as a file: `k3d image import -` ends with 1 even when it has worked. A loaded image is found by its
//! tag, never by its digest, so manifests name it by tag alone.
//!
//! # Spec
//! `path-to-production.md` §3.5.

mod error;
pub mod loader;
pub mod process;
pub mod target;
pub mod verify;

pub use error::Error;
pub use loader::{Image, Loader};
pub use target::{Choice, Confirmed, Target, Wanted, choose};
pub use verify::Verified;

use crate::reference::Reference;

/// The name under which containerd keeps an image and the kubelet looks for it: with registry, `library/` and tag.
pub fn full_name(image: &Reference) -> String {
    let tag = image.tag().unwrap_or("latest");
    format!("{}/{}:{tag}", image.host(), image.repository())
}

/// Why a loaded image would never be used by a container with this `imagePullPolicy`: the kubelet would ask a registry. `None`
/// when it will be used.
///
/// # Spec
/// Kubernetes, *Images*, *Default image pull policy*.
pub fn pull_policy_problem(policy: Option<&str>, image: &Reference) -> Option<String> {
    match policy {
        Some("Always") => Some(
            "its `imagePullPolicy` is `Always`, so the node would ask a registry for an image that is only loaded".to_owned(),
        ),
        Some(_) => None,
        None if image.digest().is_none() && image.tag().is_none_or(|tag| tag == "latest") => Some(
            "it has no `imagePullPolicy` and the tag is `latest`, so the node would ask a registry for an image that is only \
             loaded"
                .to_owned(),
        ),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nodes_are_written_out() {
        for (name, full) in [
            ("app", "docker.io/library/app:latest"),
            ("team/app:1", "docker.io/team/app:1"),
            ("localhost:5001/a/b:2", "localhost:5001/a/b:2"),
        ] {
            assert_eq!(full_name(&name.parse().unwrap()), full);
        }
    }

    #[test]
    fn policies_that_would_ask_a_registry_are_found() {
        let problem =
            |policy, image: &str| pull_policy_problem(policy, &image.parse().unwrap()).is_some();
        assert!(problem(Some("Always"), "a:1") && problem(None, "a") && problem(None, "a:latest"));
        assert!(
            !problem(None, "a:1")
                && !problem(Some("IfNotPresent"), "a")
                && !problem(Some("Never"), "a")
        );
    }
}
