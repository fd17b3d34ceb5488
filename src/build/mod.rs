//! The operation: source and builder image in, a named image out.
//!
//! [`prepare`] reads the source, obtains the builder image and decides; [`execute`] does what was decided. Between
//! the two a caller may enter a user namespace. [`plan`] decides only.

mod agent;
mod allowed_uids;
mod apt;
pub mod assemble;
mod base;
mod builder;
mod bytecode;
pub mod cache;
pub mod callback;
mod command;
mod commit;
pub mod compare;
mod confinement;
pub mod copy;
mod deciding;
mod dependencies;
mod direct;
mod engine;
mod errand;
mod execute;
mod facts;
mod fidelity;
mod find;
pub mod gc;
mod in_place;
mod incremental;
mod injected;
mod injection;
pub mod inputs;
mod look;
mod metadata;
mod onbuild;
pub mod packages;
mod plan;
mod prepare;
mod probe;
mod report;
mod request;
pub mod rootfs;
mod runtime;
mod s2i;
mod scripts;
mod send;
mod split;
mod step_output;
mod summary;
#[cfg(test)]
mod test_engine;
#[cfg(test)]
mod test_requests;
mod usage;
mod volatile;
mod volume_spec;
mod work;
mod workshop;

pub use allowed_uids::{AllowedUids, Forbidden};
pub use builder::{Bytes, ImageSource, obtain, pull};
pub use bytecode::Bytecode;
pub use confinement::{Confinement, RootfsKind};
pub use engine::EngineAccess;
pub use execute::{Decided, execute};
pub use find::find_image;
pub use in_place::InPlaceError;
pub use injection::Injection;
pub use metadata::MetadataError;
pub use onbuild::{OnBuild, Refusal as TriggerRefusal};
pub use plan::{BuildPlan, Direct, PlanError, Steps, Way};
pub use prepare::{Prepared, explain, lock, plan, prepare};
pub use report::{BuildReport, ReportedImage, ReportedLayer};
pub use request::{
    BuildRequest, CONTENT, Cache, DEFAULT_EPOCH, DEFAULT_MAX_LAYERS, MOST_LAYERS, Push, Strategy,
    Tag,
};
pub use runtime::RuntimePlan;
pub use s2i::{ArtifactError, Incremental, PullPolicy, RuntimeArtifact, RuntimeImage, S2iOptions};
pub use scripts::{Found as FoundScript, NoScripts, Scripts, fetch_scripts};
pub use send::send;
pub use step_output::log_file;
pub use usage::usage;
pub use work::{Found, Origin, PreviousImage, Step};

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use crate::builder_image::recipe;
use crate::debian::mirror::Mirrors;
use crate::http::{self, Http};
use crate::image::{self, Platform};
use crate::layer;
use crate::output;
use crate::python::index::Credentials;
use crate::registry::{self, RegistryClient};
use crate::sandbox;
use crate::source;
use crate::store::{self, BlobStore};

/// Why a build ended without an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The builder image cannot be had.
    #[error("cannot get the builder image `{image}`: {source}")]
    Builder {
        /// As the person named it.
        image: String,
        /// What the place said.
        source: Box<Error>,
    },
    /// The runtime image cannot be had.
    #[error("cannot get the runtime image `{image}`: {source}")]
    Runtime {
        /// As the person named it.
        image: String,
        /// What the place said.
        source: Box<Error>,
    },
    /// The builder image is for something else.
    #[error("the builder image `{image}` is for `{have}`, not for `{wanted}`")]
    WrongPlatform {
        /// The image.
        image: String,
        /// Its platform.
        have: Platform,
        /// What was asked for.
        wanted: Platform,
    },
    /// The labels that a script writes down.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// `--scripts-url` has no scripts.
    #[error(transparent)]
    Scripts(#[from] NoScripts),
    /// The packages that the application requires.
    #[error(transparent)]
    Packages(#[from] packages::Error),
    /// The builder image's interpreter.
    #[error(transparent)]
    Target(#[from] crate::python::target::Error),
    /// A recipe.
    #[error(transparent)]
    Recipe(#[from] recipe::Error),
    /// A script failed.
    #[error("the `{script}` script {how}")]
    Script {
        /// Which.
        script: &'static str,
        /// How.
        how: ScriptFailure,
        /// The last lines it printed.
        tail: Vec<String>,
        /// The file with all that it printed.
        log: PathBuf,
        /// The builder image's entry point, if that ran and the script was its argument.
        entrypoint: Option<String>,
    },
    /// A process of overcoat's own failed in an image.
    #[error("cannot {purpose}: it {how}")]
    Errand {
        /// What it was for, as half a sentence.
        purpose: String,
        /// How.
        how: ScriptFailure,
        /// The last lines it printed.
        tail: Vec<String>,
        /// The file with all that it printed.
        log: PathBuf,
    },
    /// Something must be executed, and nothing was chosen to keep it apart.
    #[error("scripts must be executed, and `--isolation none` allows none")]
    NothingMayRun,
    /// The container that we are in cannot be built in.
    #[error(transparent)]
    InPlace(#[from] in_place::InPlaceError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// A layer.
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A document.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A layout or archive.
    #[error(transparent)]
    Output(#[from] output::Error),
    /// The image is not on this machine, and its registry may not be asked.
    #[error("`{image}` is not in {asked}, and its registry is not asked (pull policy `never`)")]
    NotHere {
        /// The reference.
        image: String,
        /// Where it was looked for.
        asked: String,
    },
    /// A container engine has the image, and it cannot be taken from there.
    #[error(transparent)]
    Engine(output::load::Error),
    /// The HTTP client could not be started.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// How a script failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFailure {
    /// It ended with this status; 128 + N when signal N ended it.
    #[error("failed with exit status {0}")]
    Status(u8),
    /// The kernel killed it.
    #[error("was killed because it used more than {0} bytes of memory (`--memory`)")]
    Memory(u64),
    /// It took longer than it may.
    #[error("{0} (`--assemble-timeout`)")]
    Time(String),
}

impl From<layer::entry::PathError> for Error {
    fn from(error: layer::entry::PathError) -> Self {
        Self::Layer(error.into())
    }
}

/// What builds work with: this machine's store, network and program.
pub struct Tools<'a> {
    /// Where blobs are kept.
    pub store: &'a BlobStore,
    /// How to reach the network; a client is started when it is first needed.
    pub network: http::Settings,
    /// How to speak with registries.
    pub registries: registry::Settings,
    /// Where Debian packages come from.
    pub mirrors: Mirrors,
    /// This program, for the stages of the sandbox.
    pub program: PathBuf,
    /// What a step may use of this machine.
    pub loan: assemble::Loan,
    /// The time, to tell whether signed lists of packages have expired.
    pub now: SystemTime,
    /// How many threads to use for work that can be shared.
    pub threads: usize,
    /// What keeps steps apart; without it, none can run.
    pub confinement: Option<Confinement>,
    /// How to authenticate at package indexes.
    pub python_credentials: Credentials,
    /// Where images are looked for that are not in the store, before their registry; nowhere if `None`.
    pub engine: Option<EngineAccess>,
    client: OnceLock<Arc<Http>>,
    registry: OnceLock<RegistryClient>,
}

impl std::fmt::Debug for Tools<'_> {
    /// The loan and the network's settings may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl<'a> Tools<'a> {
    /// Puts tools together.
    pub fn new(store: &'a BlobStore, host: Host) -> Self {
        Self {
            store,
            network: host.network,
            registries: host.registries,
            mirrors: host.mirrors,
            program: host.program,
            loan: host.loan,
            now: host.now,
            threads: host.threads,
            confinement: None,
            python_credentials: host.python_credentials,
            engine: None,
            client: OnceLock::new(),
            registry: OnceLock::new(),
        }
    }

    /// The HTTP client.
    ///
    /// # Errors
    /// [`http::Error`] when it cannot be started.
    pub fn http(&self) -> Result<&Arc<Http>, http::Error> {
        match self.client.get() {
            Some(client) => Ok(client),
            None => {
                let client = Arc::new(Http::new(&self.network)?);
                Ok(self.client.get_or_init(|| client))
            }
        }
    }

    /// The client for registries, for what comes after the build: it has its connections and its tokens.
    ///
    /// # Errors
    /// As [`Self::http`].
    pub fn into_registry(self) -> Result<RegistryClient, http::Error> {
        self.registry()?;
        match self.registry.into_inner() {
            Some(client) => Ok(client),
            None => unreachable!("it was made a line above"),
        }
    }

    /// The client for registries: one for everything, for it remembers tokens.
    ///
    /// # Errors
    /// As [`Self::http`].
    pub fn registry(&self) -> Result<&RegistryClient, http::Error> {
        let http = self.http()?;
        let make = || RegistryClient::new(Arc::clone(http), self.registries.clone());
        Ok(self.registry.get_or_init(make))
    }
}

/// What there is to know of this machine; the command line finds it out.
pub struct Host {
    /// How to reach the network.
    pub network: http::Settings,
    /// How to speak with registries.
    pub registries: registry::Settings,
    /// Where Debian packages come from.
    pub mirrors: Mirrors,
    /// This program.
    pub program: PathBuf,
    /// What a step may use.
    pub loan: assemble::Loan,
    /// The time.
    pub now: SystemTime,
    /// How many threads to use.
    pub threads: usize,
    /// How to authenticate at package indexes.
    pub python_credentials: Credentials,
}

impl std::fmt::Debug for Host {
    /// The loan and the network's settings may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// Says of an error that it is about the builder image, unless it says so itself.
fn about_builder(request: &BuildRequest, error: Error) -> Error {
    match error {
        Error::Interrupted | Error::WrongPlatform { .. } | Error::Recipe(_) => error,
        error => Error::Builder {
            image: request.builder.to_string(),
            source: Box::new(error),
        },
    }
}
