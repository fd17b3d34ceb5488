//! Why an image did not get into a local cluster.

use std::path::PathBuf;

/// Why an image did not get into a local cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The context is no local cluster's, and nobody said that it is meant.
    #[error("the context `{context}` is no cluster of this machine's")]
    NotLocal {
        /// The context.
        context: String,
    },
    /// A local cluster is wanted by kind, and the context does not name one.
    #[error("no {kind} cluster is named: the context is {}", shown(context.as_deref()))]
    NoCluster {
        /// `k3d`.
        kind: &'static str,
        /// The context, if there is one.
        context: Option<String>,
    },
    /// What was wanted cannot be read.
    #[error("`{text}` is no place for an image")]
    Wanted {
        /// What was given.
        text: String,
    },
    /// The loader is not on this machine.
    #[error("there is no program `{program}`")]
    NoProgram {
        /// `k3d`.
        program: String,
    },
    /// The loader works, and knows no node of the cluster.
    #[error("{target} has no nodes, as far as `{program}` knows")]
    NoSuchCluster {
        /// The loader.
        program: &'static str,
        /// The cluster: `the k3d cluster `dev``.
        target: String,
    },
    /// The loader ended badly, or said that it failed and ended well.
    #[error("`{command}` failed: {how}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        how: String,
        /// The last lines that it printed.
        said: Vec<String>,
    },
    /// It took too long.
    #[error("`{command}` was stopped: it took longer than {seconds} seconds")]
    Timeout {
        /// What was run.
        command: String,
        /// How long it had.
        seconds: u64,
    },
    /// The node does not have the image, whatever the loader said.
    #[error("the node `{node}` does not have `{image}`, although `{program}` ended well")]
    NotOnNode {
        /// The node.
        node: String,
        /// The image.
        image: String,
        /// The loader.
        program: &'static str,
        /// The last lines that the loader printed.
        said: Vec<String>,
    },
    /// The node has another image under that name.
    #[error("the node `{node}` has another image as `{image}`: {found}, not {expected}")]
    OtherOnNode {
        /// The node.
        node: String,
        /// The name.
        image: String,
        /// What it has: `the configuration sha256:…`.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// A program cannot be started for another reason.
    #[error("cannot start `{}`: {}", program.display(), crate::fs::reason(source))]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn shown(context: Option<&str>) -> String {
    context.map_or_else(|| "not set".to_owned(), |context| format!("`{context}`"))
}

impl Error {
    /// What a person can do about it.
    pub fn hints(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::NotLocal { .. } => one(
                "say that it is meant with `--yes` or `--to registry`, or choose another: `--context NAME`",
            ),
            Self::NoCluster { kind, .. } => vec![format!(
                "name it: `--to {kind}:NAME`, or choose its context: `--context {kind}-NAME`"
            )],
            Self::Wanted { .. } => one(
                "expected `auto`, `k3d[:CLUSTER]`, `kind[:CLUSTER]`, `minikube[:PROFILE]`, `registry` or `archive[:FILE]`",
            ),
            Self::NoProgram { program } => vec![format!(
                "install {program}, or write the image to a file and load it yourself: `--to archive:FILE`"
            )],
            Self::NoSuchCluster { program, .. } => vec![format!(
                "`{program} {}` lists what there is; make the cluster, or name another: `--to {program}:NAME`",
                match *program {
                    "kind" => "get clusters",
                    _ => "cluster list",
                }
            )],
            Self::Failed { .. } | Self::NotOnNode { .. } => one(
                "look whether the cluster runs; the archive can be kept with `--to archive:FILE` and loaded by hand",
            ),
            Self::Timeout { .. } => one("give it longer: `--timeout`"),
            Self::OtherOnNode { .. } => one("remove that image from the node, or use another tag"),
            Self::File(_) | Self::Start { .. } | Self::Interrupted => Vec::new(),
        }
    }

    /// The last lines that a program printed.
    pub fn said(&self) -> &[String] {
        match self {
            Self::Failed { said, .. } | Self::NotOnNode { said, .. } => said,
            _ => &[],
        }
    }
}
