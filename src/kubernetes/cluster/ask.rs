//! Requests before they go out.

use kube::client::Body;
use serde_json::Value;

use super::access::one_line;
use super::resource::encoded;
use super::{Error, Resource};

/// How large one answer may be: etcd holds objects of 1.5 MB, and a page has 250.
const MOST_BYTES: usize = 64 << 20;

/// Which objects of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// `app=web,tier!=db`; all when empty.
    pub labels: String,
    /// `metadata.name=web`; all when empty.
    pub fields: String,
}

impl Selector {
    /// All objects.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those with these labels: `app=web,pod-template-hash=5d`.
    pub fn labels(labels: impl Into<String>) -> Self {
        Self {
            labels: labels.into(),
            fields: String::new(),
        }
    }

    /// Those with these fields: `involvedObject.uid=…`.
    pub fn fields(fields: impl Into<String>) -> Self {
        Self {
            labels: String::new(),
            fields: fields.into(),
        }
    }

    /// Those whose labels fit a workload's `spec.selector`, with its `matchLabels` and `matchExpressions`.
    pub fn of_workload(selector: &Value) -> Self {
        let mut terms = Vec::new();
        for (name, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            terms.push(format!("{name}={}", value.as_str().unwrap_or_default()));
        }
        for term in selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let key = term["key"].as_str().unwrap_or_default();
            let values: Vec<&str> = term["values"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let values = values.join(",");
            match term["operator"].as_str().unwrap_or_default() {
                "In" => terms.push(format!("{key} in ({values})")),
                "NotIn" => terms.push(format!("{key} notin ({values})")),
                "Exists" => terms.push(key.to_owned()),
                "DoesNotExist" => terms.push(format!("!{key}")),
                _ => {}
            }
        }
        Self::labels(terms.join(","))
    }
}

/// A request before it goes out.
pub(super) struct Ask {
    pub(super) verb: &'static str,
    pub(super) resource: String,
    pub(super) namespace: String,
    name: String,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<(&'static str, Vec<u8>)>,
    pub(super) most_bytes: usize,
}

impl Ask {
    pub(super) fn new(verb: &'static str, resource: &Resource, namespace: &str) -> Self {
        let namespace = if resource.is_namespaced {
            namespace
        } else {
            ""
        };
        Self {
            verb,
            resource: resource.full_name(),
            namespace: namespace.to_owned(),
            name: String::new(),
            path: resource.path(namespace),
            query: Vec::new(),
            body: None,
            most_bytes: MOST_BYTES,
        }
    }

    /// A path that is no object's: discovery.
    pub(super) fn path(path: String) -> Self {
        Self {
            verb: "get",
            resource: path.clone(),
            namespace: String::new(),
            name: String::new(),
            path,
            query: Vec::new(),
            body: None,
            most_bytes: MOST_BYTES,
        }
    }

    pub(super) fn name(mut self, name: &str) -> Self {
        self.path = format!("{}/{}", self.path, encoded(name));
        name.clone_into(&mut self.name);
        self
    }

    pub(super) fn subresource(mut self, name: &'static str) -> Self {
        self.path = format!("{}/{name}", self.path);
        self.resource = format!("{}/{name}", self.resource);
        self
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn dry_run(self, is_dry_run: bool) -> Self {
        match is_dry_run {
            true => self.query("dryRun", "All"),
            false => self,
        }
    }

    pub(super) fn body(mut self, kind: &'static str, body: &Value) -> Self {
        self.body = Some((kind, body.to_string().into_bytes()));
        self
    }

    pub(super) fn most_bytes(mut self, bytes: usize) -> Self {
        self.most_bytes = bytes;
        self
    }

    /// `deployments.apps "web" in the namespace "shop"`, for messages.
    pub(super) fn what(&self) -> String {
        let name = match self.name.as_str() {
            "" => String::new(),
            name => format!(" `{}`", one_line(name)),
        };
        let namespace = match self.namespace.as_str() {
            "" => String::new(),
            namespace => format!(" in the namespace `{}`", one_line(namespace)),
        };
        format!("{}{name}{namespace}", self.resource)
    }

    /// The path with its query.
    pub(super) fn target(&self) -> String {
        let query: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        match query.is_empty() {
            true => self.path.clone(),
            false => format!("{}?{}", self.path, query.join("&")),
        }
    }

    /// As it goes out.
    pub(super) fn request(&self) -> Result<http::Request<Body>, Error> {
        let method = match self.verb {
            "patch" => "PATCH",
            "create" => "POST",
            _ => "GET",
        };
        let request = http::Request::builder()
            .method(method)
            .uri(self.target())
            .header(
                "user-agent",
                concat!("overcoat/", env!("CARGO_PKG_VERSION")),
            )
            .header("accept", "application/json, */*");
        let request = match &self.body {
            None => request.body(Body::empty()),
            Some((kind, bytes)) => request
                .header("content-type", *kind)
                .body(Body::from(bytes.clone())),
        };
        request.map_err(|error| Error::Start {
            reason: error.to_string(),
        })
    }
}
