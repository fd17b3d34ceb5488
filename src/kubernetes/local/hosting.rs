//! The registry that a local cluster says it has: the ConfigMap `local-registry-hosting` in the namespace `kube-public`.
//!
//! # Spec
//! KEP-1755, *Communicating a local registry*; `path-to-production.md` §3.5.

use super::Error;
use crate::yaml::{self, Node};

/// The ConfigMap's name.
pub const NAME: &str = "local-registry-hosting";
/// Its namespace.
pub const NAMESPACE: &str = "kube-public";
/// Its key.
pub const KEY: &str = "localRegistryHosting.v1";

/// One registry under its two names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosting {
    /// Where this machine pushes to: `localhost:5001`.
    pub push: String,
    /// What manifests call it: the name by which the nodes find it, else that of this machine.
    pub pull: String,
}

/// Reads the value of the ConfigMap's key; `None` when it names no registry.
///
/// # Errors
/// [`Error::Hosting`] for what is no YAML, and for a host that is none.
pub fn read(text: &str) -> Result<Option<Hosting>, Error> {
    let refuse = |reason: String| Error::Hosting { reason };
    let documents = yaml::parse(text).map_err(|error| refuse(error.to_string()))?;
    let root = documents
        .first()
        .and_then(|document| document.root.as_ref());
    let value = |key: &str| -> Result<Option<String>, Error> {
        let text = root.and_then(|root| root.get(key)).and_then(Node::text);
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let host = text.trim_end_matches('/');
        // It becomes the first part of image names.
        match format!("{host}/x").parse::<crate::reference::Reference>() {
            Ok(reference) if reference.host() == host.split('/').next().unwrap_or(host) => {
                Ok(Some(host.to_owned()))
            }
            _ => Err(refuse(format!(
                "`{}` in `{key}` is no registry",
                crate::event::printable(text)
            ))),
        }
    };
    let Some(push) = value("host")? else {
        return Ok(None);
    };
    let pull = value("hostFromContainerRuntime")?;
    Ok(Some(Hosting {
        pull: pull.unwrap_or_else(|| push.clone()),
        push,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_and_pull_names_may_differ() {
        let both = "host: \"localhost:5001\"\nhostFromContainerRuntime: \"registry:5000\"\nhelp: \"https://x\"\n";
        assert_eq!(
            read(both).unwrap(),
            Some(Hosting {
                push: "localhost:5001".to_owned(),
                pull: "registry:5000".to_owned(),
            })
        );
        let one = read("host: localhost:5001/\n").unwrap().unwrap();
        assert_eq!(
            (one.push.as_str(), one.pull.as_str()),
            ("localhost:5001", "localhost:5001")
        );
        assert_eq!(read("help: x\n").unwrap(), None);
        assert_eq!(read("").unwrap(), None);
        for bad in [
            "host: a b",
            "host: [",
            "host: http://x:5000",
            "host: just-a-name",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
