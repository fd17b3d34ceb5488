//! What goes wrong with clusters.

use std::path::PathBuf;

/// Why a cluster could not be asked or told. Texts of servers and plugins in it are one line, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no kubeconfig, and this is no pod.
    #[error("no cluster is known: {}", absent(.looked))]
    NoKubeconfig {
        /// Where one was looked for.
        looked: Vec<PathBuf>,
    },
    /// A kubeconfig cannot be read.
    #[error("the kubeconfig `{}` cannot be used: {reason}", .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The kubeconfigs have no such context, or one that leads nowhere.
    #[error("the kubeconfig has no context `{name}`")]
    UnknownContext {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// No context was asked for, and none is current.
    #[error("the kubeconfig has no current context")]
    NoContext {
        /// Those there are.
        known: Vec<String>,
    },
    /// What a context says of its cluster cannot be used.
    #[error("the context `{context}` cannot be used: {reason}")]
    Context {
        /// The context.
        context: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The files that a pod has of its cluster cannot be used.
    #[error("this pod's access to its cluster cannot be used: {reason}")]
    InCluster {
        /// What is wrong with them.
        reason: String,
    },
    /// Credentials cannot be had: a plugin fails, a token file is not there.
    #[error("there are no credentials for `{server}`: {reason}")]
    Credentials {
        /// The API server.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// The server cannot be reached, or closed the connection.
    #[error("the cluster at `{server}` cannot be reached: {reason}")]
    Unreachable {
        /// The API server.
        server: String,
        /// What the system says.
        reason: String,
    },
    /// The server is not who it should be, or TLS cannot be spoken with it.
    #[error("no secure connection to the cluster at `{server}`: {reason}")]
    Tls {
        /// The API server.
        server: String,
        /// What the TLS library says.
        reason: String,
    },
    /// 401: the server does not know who we are.
    #[error("the cluster at `{server}` does not accept the credentials{}", in_context(.context.as_deref()))]
    Unauthorised {
        /// The API server.
        server: String,
        /// The context that has the credentials.
        context: Option<String>,
    },
    /// 403: it knows, and does not allow it.
    #[error("the cluster does not allow to {verb} {resource}{}: {reason}", in_namespace(.namespace))]
    Forbidden {
        /// `get`, `list`, `patch` …
        verb: &'static str,
        /// `deployments.apps`.
        resource: String,
        /// The namespace; empty for what has none.
        namespace: String,
        /// What the server says.
        reason: String,
    },
    /// 404.
    #[error("the cluster has no {what}: {reason}")]
    NotFound {
        /// What was asked for.
        what: String,
        /// What the server says.
        reason: String,
    },
    /// 409: it was changed meanwhile, exists already, or belongs to another field manager.
    #[error("{what} was changed by somebody else: {reason}")]
    Conflict {
        /// What was to be changed.
        what: String,
        /// What the server says.
        reason: String,
    },
    /// 400, 413, 422: the server does not take it.
    #[error("the cluster refuses {what}: {reason}")]
    Invalid {
        /// What was sent.
        what: String,
        /// What the server says.
        reason: String,
    },
    /// Another answer than success.
    #[error("the cluster answers {status} to {what}: {reason}")]
    Api {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the server says.
        reason: String,
    },
    /// An answer that means nothing.
    #[error("the cluster's answer to {what} makes no sense: {reason}")]
    Answer {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An answer that is larger than anything sensible.
    #[error("the cluster's answer to {what} is larger than {limit}")]
    TooLarge {
        /// What was asked.
        what: String,
        /// `67108864 bytes`, `100000 objects`.
        limit: String,
    },
    /// The deadline has passed.
    #[error("the cluster at `{server}` did not answer in time: {what}")]
    Timeout {
        /// The API server.
        server: String,
        /// What was asked.
        what: String,
    },
    /// The client cannot be started.
    #[error("cannot start a client for the cluster: {reason}")]
    Start {
        /// What the system says.
        reason: String,
    },
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn absent(looked: &[PathBuf]) -> String {
    let names: Vec<String> = looked
        .iter()
        .map(|path| format!("`{}`", path.display()))
        .collect();
    match names.is_empty() {
        true => "neither `KUBECONFIG` nor `HOME` is set".to_owned(),
        false => format!("there is no {}", names.join(", no ")),
    }
}

fn in_context(context: Option<&str>) -> String {
    context.map_or_else(String::new, |context| {
        format!(" of the context `{context}`")
    })
}

fn in_namespace(namespace: &str) -> String {
    match namespace {
        "" => String::new(),
        namespace => format!(" in the namespace `{namespace}`"),
    }
}

impl Error {
    /// What a person can do about it.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NoKubeconfig { .. } => {
                "name one with `--kubeconfig FILE` or `KUBECONFIG`; `k3d kubeconfig get NAME` and `kind get kubeconfig` print those of \
                 local clusters"
                    .to_owned()
            }
            Self::UnknownContext { known, .. } | Self::NoContext { known } => match known.is_empty() {
                true => "it has no contexts at all".to_owned(),
                false => format!("choose one with `--context`: {}", known.join(", ")),
            },
            Self::Kubeconfig { .. } | Self::Context { .. } => {
                "`kubectl config view` shows what kubectl reads of it".to_owned()
            }
            Self::Credentials { .. } | Self::Unauthorised { .. } => {
                "they may have expired: log in again as you do for kubectl, or name another `--context`".to_owned()
            }
            Self::Forbidden { verb, resource, namespace, .. } => {
                let place = match namespace.as_str() {
                    "" => String::new(),
                    namespace => format!(" --namespace {namespace}"),
                };
                format!(
                    "ask for a role with the verb `{verb}` on `{resource}`, or name another `--context` or `--namespace`; \
                     `kubectl auth can-i {verb} {resource}{place}` asks the same question"
                )
            }
            Self::Unreachable { .. } | Self::Timeout { .. } => {
                "is the cluster running, and is this its address? `kubectl cluster-info` asks the same; behind a proxy, see `HTTPS_PROXY` and \
                 `NO_PROXY`"
                    .to_owned()
            }
            Self::Tls { .. } => {
                "the kubeconfig's `certificate-authority` must be that of the cluster; a cluster that was made anew has a new one".to_owned()
            }
            Self::Conflict { .. } => "look at it, and try again".to_owned(),
            _ => return Vec::new(),
        };
        vec![hint]
    }

    /// True for a refusal by the cluster: other credentials or other rights are needed.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Forbidden { .. } | Self::Unauthorised { .. } | Self::Credentials { .. }
        )
    }
}
