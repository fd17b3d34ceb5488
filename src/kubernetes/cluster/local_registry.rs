//! A registry beside a local cluster has two names: one for whoever pushes, one for the nodes (KEP-1755; k3d and kind write
//! down both in the ConfigMap `local-registry-hosting`).

use super::{Cluster, Error, Within, objects, resource};
use crate::reference::Reference;

/// Where the ConfigMap is.
const NAMESPACE: &str = "kube-public";
const NAME: &str = "local-registry-hosting";
const KEY: &str = "localRegistryHosting.v1";

/// A local cluster's registry by its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalRegistry {
    /// As this machine knows it, with a path perhaps: `localhost:5001`.
    pub host: String,
    /// As the nodes' container runtimes know it; nothing where they know it by [`Self::host`].
    pub from_runtime: Option<String>,
    /// As pods know it.
    pub from_cluster_network: Option<String>,
}

impl LocalRegistry {
    /// The name under which nodes pull what was pushed as `pushed`, or nothing when it was pushed elsewhere or when both have the same
    /// name for it. Tag and digest stay.
    pub fn deploy_name(&self, pushed: &Reference) -> Option<Reference> {
        let name = translate(
            &pushed.to_string(),
            &self.host,
            self.from_runtime.as_deref()?,
        )?;
        name.parse().ok().filter(|name| name != pushed)
    }

    /// The name under which this machine reaches what nodes pull as `deployed`: the other way round.
    pub fn push_name(&self, deployed: &Reference) -> Option<Reference> {
        let name = translate(
            &deployed.to_string(),
            self.from_runtime.as_deref()?,
            &self.host,
        )?;
        name.parse().ok().filter(|name| name != deployed)
    }
}

fn translate(name: &str, from: &str, to: &str) -> Option<String> {
    let rest = name.strip_prefix(from.trim_end_matches('/'))?;
    rest.starts_with('/')
        .then(|| format!("{}{rest}", to.trim_end_matches('/')))
}

impl Cluster {
    /// The registry that the cluster says is beside it; `None` when it says nothing, or not to us.
    ///
    /// # Errors
    /// As [`Cluster::get`], but for refusals.
    pub fn local_registry(&self, within: Within<'_>) -> Result<Option<LocalRegistry>, Error> {
        let map = match self.get(within, &resource::CONFIG_MAP, NAMESPACE, NAME) {
            Ok(Some(map)) => map,
            Ok(None) | Err(Error::Forbidden { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let read = map["data"][KEY]
            .as_str()
            .and_then(|text| objects(text).ok());
        let Some(hosting) = read.and_then(|objects| objects.into_iter().next()) else {
            return Ok(None);
        };
        let name = |key: &str| {
            hosting[key]
                .as_str()
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
        };
        Ok(name("host").map(|host| LocalRegistry {
            host,
            from_runtime: name("hostFromContainerRuntime"),
            from_cluster_network: name("hostFromClusterNetwork"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_names_of_a_registry_are_translated_both_ways() {
        let registry = LocalRegistry {
            host: "localhost:5001".to_owned(),
            from_runtime: Some("registry:5000".to_owned()),
            from_cluster_network: None,
        };
        let digest = format!("sha256:{}", "a".repeat(64));
        let pushed: Reference = format!("localhost:5001/team/app:1@{digest}")
            .parse()
            .unwrap();
        let deployed = registry.deploy_name(&pushed).unwrap();
        assert_eq!(
            deployed.to_string(),
            format!("registry:5000/team/app:1@{digest}")
        );
        assert_eq!(registry.push_name(&deployed), Some(pushed));
        for other in [
            "localhost:50011/app:1",
            "ghcr.io/localhost:5001/app",
            "example.com/app:1",
        ] {
            if let Ok(other) = other.parse() {
                assert_eq!(registry.deploy_name(&other), None);
            }
        }
        let same = LocalRegistry {
            from_runtime: None,
            ..registry
        };
        assert_eq!(
            same.deploy_name(&"localhost:5001/app:1".parse().unwrap()),
            None
        );
    }
}
