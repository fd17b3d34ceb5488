//! What a project says of itself: its applications, its environments, its hooks, and where each of these values came from.
//!
//! `overcoat.toml` is ours. The files of other tools (`.registry`, `pipeline.properties`, `.github/octopilot.yaml`,
//! `skaffold.yaml`) are read too, so that a project need not be written down twice.

mod environments;
mod error;
mod explain;
mod find;
mod hooks_toml;
mod interpolate;
mod load;
mod lookup;
mod nearest;
mod octopilot;
mod origin;
mod overcoat_toml;
pub mod ports;
mod properties;
mod registries;
mod registry_file;
mod rules;
mod skaffold;
mod table;
#[cfg(test)]
mod test_tree;
mod text;
pub mod version;
mod yaml_file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use environments::Role;
pub use error::{Error, Kind};
pub use explain::Row;
pub use find::find;
pub use load::{Wanted, load};
pub use origin::{Origin, Setting};
pub use registries::{Destination, Destinations};
pub use rules::check_label;

/// The name of our own file.
pub const FILE: &str = "overcoat.toml";

/// The builder image where nobody names one, as for `--build-image`.
pub const DEFAULT_BUILDER: &str = "builder:python-3.11";
/// The strategy where nobody names one, as for `--strategy`.
pub const DEFAULT_STRATEGY: &str = "auto";

/// A project: everything that was read, merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// The directory of `overcoat.toml`, else where the search began. Paths of the project are absolute already.
    pub root: PathBuf,
    /// Our own file, if there is one.
    pub file: Option<PathBuf>,
    /// The project's name.
    pub name: Option<Setting<String>>,
    /// Where images go when no environment says so: the `default repository` of Skaffold and op, without `/` at its end.
    /// After [`load`] there always is one; [`Origin::Default`] where nobody said any.
    pub registry: Option<Setting<String>>,
    /// What `.registry` says: op's `push --destination` chooses among it.
    pub destinations: Destinations,
    /// The registry of any environment in a role, where the environment has none of its own: `PROMOTE_SOURCE_REPOSITORY`
    /// and the like.
    pub fallbacks: BTreeMap<Role, Setting<String>>,
    /// The tag that `octopilot.yaml` names, which op's `run` uses.
    pub tag: Option<Setting<String>>,
    /// op's `run` contexts by name, in the order of the file.
    pub contexts: Vec<(String, RunContext)>,
    /// The profiles that `skaffold.yaml` has, whether they count or not.
    pub profiles: Vec<String>,
    /// The applications by name, in the order of the files.
    pub applications: Vec<Application>,
    /// The environments, in the order of the files: the order of promotion.
    pub environments: Vec<Environment>,
    /// All hooks, in the order of the file.
    pub hooks: Vec<Hook>,
    /// Labels for every image.
    pub labels: BTreeMap<String, Setting<String>>,
    /// What was said elsewhere too, but with less weight.
    pub overruled: Vec<Overruled>,
    /// What was read and has no effect here, and why.
    pub notes: Vec<Note>,
}

/// A value that another one has overruled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overruled {
    /// The setting, as `config explain` names it: `environments.dev.registry`.
    pub key: String,
    /// The value.
    pub value: String,
    /// Where it was said.
    pub origin: Origin,
}

/// Something that was read and has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The setting that it is about, as `config explain` names it: `default-registry`, `applications.web`.
    pub key: String,
    /// A sentence.
    pub text: String,
    /// Where it is written.
    pub origin: Origin,
}

/// One application of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// The directory of its source, absolute.
    pub path: Option<Setting<PathBuf>>,
    /// Its image without registry and tag, `team/web`; the application's name where nothing says otherwise.
    pub image: Option<Setting<String>>,
    /// Its builder image, as for `--build-image`.
    pub builder: Option<Setting<String>>,
    /// `auto`, `direct` or `assemble`.
    pub strategy: Option<Setting<String>>,
    /// Variables for the build and the image.
    pub environment: BTreeMap<String, Setting<String>>,
    /// `OS/ARCHITECTURE`, none for this machine's.
    pub platforms: Option<Setting<Vec<String>>>,
    /// Labels for its image.
    pub labels: BTreeMap<String, Setting<String>>,
    /// The container that runs it, in manifests and in the cluster.
    pub container: Option<Setting<String>>,
    /// The workload that runs it, `KIND/NAME` or `NAME`.
    pub workload: Option<Setting<String>>,
    /// Why it cannot be built here (`it is built by a Dockerfile`), if it cannot.
    pub foreign: Option<String>,
    /// The images of `skaffold.yaml` that must be built before it, and the variables that tell it their names.
    pub requires: Vec<Requirement>,
    /// `ports`, `env` and `volumes` of op's `run` context of this application.
    pub context: Option<RunContext>,
}

/// An image that an artifact of `skaffold.yaml` is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The image's name, as the other artifact has it.
    pub image: String,
    /// The variable that holds its reference during the build.
    pub alias: String,
}

/// How an application is started on a developer's machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunContext {
    /// `HOST:CONTAINER` or one number.
    pub ports: Vec<String>,
    /// Variables.
    pub environment: BTreeMap<String, String>,
    /// `SOURCE:TARGET[:ro]`.
    pub volumes: Vec<String>,
    /// Where it is written.
    pub origin: Origin,
}

/// Where images run: `dev`, `pp`, `prod`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Its name; also the workspace of its records.
    pub name: String,
    /// Its registry with a path perhaps, without `/` at its end: `ghcr.io/acme`.
    pub registry: Option<Setting<String>>,
    /// Its namespace in the cluster.
    pub namespace: Option<Setting<String>>,
    /// Its context in the kubeconfig.
    pub context: Option<Setting<String>>,
    /// Its manifests, absolute; `*` allowed in file names.
    pub manifests: Option<Setting<Vec<PathBuf>>>,
    /// True when `overcoat.toml` has it, rather than only a variable or a file of op's that says its registry.
    pub is_declared: bool,
}

/// What is done, as hooks and records name it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// An image is made.
    Build,
    /// An image is sent to a registry.
    Push,
    /// A digest goes from one environment's registry to another's.
    Promote,
    /// A digest is written into manifests, or given to a cluster.
    Deploy,
    /// The rollout of a deployment is awaited. It changes nothing, so there are no hooks beside it.
    Watch,
    /// A deployment is declared the one that counts.
    Release,
}

/// A command beside an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Beside which.
    pub operation: Operation,
    /// Before or after it.
    pub when: When,
    /// The program and its arguments; no shell.
    pub command: Vec<String>,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// For which applications; all when empty.
    pub applications: Vec<String>,
    /// In which environments; all when empty.
    pub environments: Vec<String>,
    /// Where it was written.
    pub origin: Origin,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the operation.
    Before,
    /// After it has succeeded.
    After,
    /// After it has failed.
    Failure,
}

/// What the failure of a hook means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing more is done.
    #[default]
    Fail,
    /// It is told, and the work goes on.
    Continue,
}
