//! Objects given to the server as they are written: server-side apply.

use std::borrow::Cow;

use serde_json::Value;

use super::ask::Ask;
use super::{Cluster, Error, FIELD_MANAGER, Resource, Within};

/// What became of an object that was applied.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Applied {
    /// `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; empty for what has none.
    pub namespace: String,
    /// What was done.
    pub done: Done,
}

/// What applying did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// There was none.
    Created,
    /// It was changed.
    Configured,
    /// It was so already.
    Unchanged,
}

impl Cluster {
    /// What the server calls objects with this `apiVersion` and `kind`.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it knows no such kind; else as [`Cluster::get`].
    pub fn resource_of(
        &self,
        within: Within<'_>,
        api_version: &str,
        kind: &str,
    ) -> Result<Resource, Error> {
        let unknown = || Error::NotFound {
            what: format!("kind `{kind}` of `{api_version}`"),
            reason: "its definition is not installed there".to_owned(),
        };
        let is_part = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
                && part != ".."
        };
        if !(1..=2).contains(&api_version.split('/').count())
            || !api_version.split('/').all(is_part)
        {
            return Err(unknown());
        }
        let root = if api_version.contains('/') {
            "apis"
        } else {
            "api"
        };
        let ask = Ask::path(format!("/{root}/{api_version}"));
        let list = match self.ask(within, &ask) {
            Err(Error::NotFound { .. }) => return Err(unknown()),
            list => list?,
        };
        for resource in list["resources"].as_array().into_iter().flatten() {
            let name = resource["name"].as_str().unwrap_or_default();
            if resource["kind"].as_str() == Some(kind) && is_part(name) {
                return Ok(Resource {
                    api_version: Cow::Owned(api_version.to_owned()),
                    kind: Cow::Owned(kind.to_owned()),
                    plural: Cow::Owned(name.to_owned()),
                    is_namespaced: resource["namespaced"].as_bool().unwrap_or(true),
                });
            }
        }
        Err(unknown())
    }

    /// Applies an object as `kubectl apply --server-side --field-manager overcoat` does. An object without a namespace goes into
    /// that of the target.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what has no `apiVersion`, `kind` or `metadata.name`; [`Error::Conflict`] when another field manager
    /// has set one of its fields to something else; [`Error::NotFound`] for an unknown kind or an absent namespace; else as
    /// [`Cluster::get`].
    pub fn apply(
        &self,
        within: Within<'_>,
        object: &Value,
        is_dry_run: bool,
    ) -> Result<Applied, Error> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let name = text(&object["metadata"]["name"]);
        for (field, value) in [
            ("apiVersion", &api_version),
            ("kind", &kind),
            ("metadata.name", &name),
        ] {
            if value.is_empty() {
                let what = format!(
                    "{} `{}`",
                    if kind.is_empty() { "an object" } else { &kind },
                    name
                );
                return Err(Error::Invalid {
                    what,
                    reason: format!("it has no `{field}`"),
                });
            }
        }
        let resource = self.resource_of(within, &api_version, &kind)?;
        let mut object = object.clone();
        let namespace = match (
            resource.is_namespaced,
            text(&object["metadata"]["namespace"]),
        ) {
            (false, _) => String::new(),
            (true, own) if own.is_empty() => self.namespace().to_owned(),
            (true, own) => own,
        };
        if resource.is_namespaced {
            object["metadata"]["namespace"] = Value::from(namespace.as_str());
        }
        let before = self.get(within, &resource, &namespace, &name)?;
        let ask = Ask::new("patch", &resource, &namespace).name(&name);
        let ask = ask.query("fieldManager", FIELD_MANAGER).dry_run(is_dry_run);
        // JSON is YAML.
        let after = self.ask(within, &ask.body("application/apply-patch+yaml", &object))?;
        let done = match before {
            None => Done::Created,
            Some(before) if is_same(&before, &after) => Done::Unchanged,
            Some(_) => Done::Configured,
        };
        Ok(Applied {
            kind,
            name,
            namespace,
            done,
        })
    }
}

/// True when two states of an object differ in nothing but what the server writes about itself.
fn is_same(before: &Value, after: &Value) -> bool {
    let said = |object: &Value| {
        let mut object = object.clone();
        if let Some(object) = object.as_object_mut() {
            object.remove("status");
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
            metadata.remove("resourceVersion");
        }
        object
    };
    said(before) == said(after)
}
