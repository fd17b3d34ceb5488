//! What this machine knows of clusters.

use std::path::{Path, PathBuf};

use super::variable;
use crate::kubernetes::cluster::InCluster;

/// Where every pod has its credentials (Kubernetes, *Accessing the Kubernetes API from a Pod*).
const POD_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The kubeconfig files: those of `KUBECONFIG`, else `~/.kube/config`.
pub(in crate::cli) fn kubeconfigs() -> Vec<PathBuf> {
    let named: Vec<PathBuf> = std::env::var_os("KUBECONFIG")
        .iter()
        .flat_map(std::env::split_paths)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if !named.is_empty() {
        return named;
    }
    let home = variable("HOME").map(|home| Path::new(&home).join(".kube/config"));
    home.into_iter().collect()
}

/// What a pod knows of its cluster, if this is one.
pub(in crate::cli) fn in_cluster() -> Option<InCluster> {
    Some(InCluster {
        host: variable("KUBERNETES_SERVICE_HOST")?,
        port: variable("KUBERNETES_SERVICE_PORT")?,
        directory: PathBuf::from(POD_DIRECTORY),
    })
}
