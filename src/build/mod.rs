//! The operation: source and builder image in, a named image out.
//!
//! [`prepare`] reads the source, obtains the builder image and decides; [`execute`] does what was decided. Between
//! the two a caller may enter a user namespace. [`plan`] decides only.

mod agent;
mod apt;
pub mod assemble;
mod builder;
pub mod cache;
mod commit;
pub mod compare;
mod confinement;
mod direct;
mod in_place;
pub mod inputs;
mod plan;
mod report;
mod request;
pub mod rootfs;
mod step_output;
mod volatile;
mod work;

pub use builder::{ImageSource, obtain, pull};
pub use confinement::{Confinement, RootfsKind};
pub use in_place::InPlaceError;
pub use plan::{BuildPlan, PlanError, Steps};
pub use report::{BuildReport, ReportedLayer};
pub use request::{BuildRequest, Cache, DEFAULT_EPOCH, Push, Strategy, Tag};
pub use step_output::log_file;
pub use work::{Found, Origin, PreviousImage, Step};

use cache::inputs::ASSEMBLE;
use cache::{Records, record};
use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::builder_image::{BuilderImage, recipe};
use crate::debian::mirror::Mirrors;
use crate::event::{Event, Observer, stage};
use crate::http::{self, Http};
use crate::image::edit::NewLayer;
use crate::image::{self, Image, Platform};
use crate::layer;
use crate::output;
use crate::registry::{self, RegistryClient};
use crate::sandbox;
use crate::source::content::Contents;
use crate::source::{self, SourceTree};
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
    client: OnceCell<Arc<Http>>,
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
            client: OnceCell::new(),
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

    /// A client for registries.
    ///
    /// # Errors
    /// As [`Self::http`].
    pub fn registry(&self) -> Result<RegistryClient, http::Error> {
        Ok(RegistryClient::new(
            Arc::clone(self.http()?),
            self.registries.clone(),
        ))
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
}

impl std::fmt::Debug for Host {
    /// The loan and the network's settings may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// All that is known before anything is done.
#[derive(Debug)]
pub struct Prepared {
    /// The application.
    pub source: SourceTree,
    /// Its digests.
    pub contents: Contents,
    /// The builder image, in the store with all its layers.
    pub builder: BuilderImage,
    /// What will be done.
    pub plan: BuildPlan,
    /// The step that makes the layers, and its result if somebody made them before.
    pub step: Step,
}

impl Prepared {
    /// True when something must be executed.
    pub fn needs_sandbox(&self) -> bool {
        self.plan.needs_sandbox() && self.step.found.is_none()
    }
}

/// Reads the source, obtains the builder image, and decides everything.
///
/// # Errors
/// [`Error`], before anything was changed but the store's cache of builder images.
pub fn prepare(
    request: &BuildRequest,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Prepared, Error> {
    let source = source::local::read(&request.source, observer)?;
    let obtained = obtain(&request.builder, &request.platform, tools, observer);
    let (image, name) = obtained.map_err(|error| about_builder(request, error))?;
    let builder = BuilderImage::from_image(image, &name).map_err(PlanError::from)?;
    let plan = BuildPlan::new(request, &source, &builder)?;
    let remembered = record::slot(&[&source.root.to_string_lossy()]);
    let remembered = tools.store.cache("sources").join(remembered);
    let contents = Contents::read(
        &source,
        Some(&remembered),
        tools.now,
        tools.threads,
        observer,
    )?;
    let mut step = plan.step(request, &contents, &builder, tools);
    let records = Records::new(tools.store);
    if request.cache.is_used {
        step.look_here(records);
    }
    Ok(Prepared {
        source,
        contents,
        builder,
        plan,
        step,
    })
}

/// Tells, for every step, whether it has to be done and why.
pub fn explain(
    request: &BuildRequest,
    prepared: &Prepared,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) {
    let before = Records::new(tools.store).last(&slot(request, prepared));
    work::explain(&[&prepared.step], &before, tools.now, observer);
}

/// What this application is called in the store's memory.
fn slot(request: &BuildRequest, prepared: &Prepared) -> String {
    let tag = request.tags.first().map_or("", |tag| tag.typed.as_str());
    let root = prepared.source.root.to_string_lossy();
    record::slot(&[&root, tag, &request.platform.to_string()])
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

/// Decides everything, and changes nothing: neither the store nor anything else. What must be read of a builder image
/// goes into `scratch`.
///
/// # Errors
/// [`Error`], as [`prepare`].
pub fn plan(
    request: &BuildRequest,
    tools: &Tools<'_>,
    scratch: &BlobStore,
    observer: &dyn Observer,
) -> Result<BuildPlan, Error> {
    let source = source::local::read(&request.source, observer)?;
    let described = builder::describe(
        &request.builder,
        &request.platform,
        tools,
        scratch,
        observer,
    );
    let (image, name) = described.map_err(|error| about_builder(request, error))?;
    let builder = BuilderImage::from_image(image, &name).map_err(PlanError::from)?;
    Ok(BuildPlan::new(request, &source, &builder)?)
}

/// Does what was decided: layers, image, names, outputs, pushes.
///
/// # Errors
/// [`Error`]. No name is given to an image that is not complete; outputs and pushes come after the names.
pub fn execute(
    request: &BuildRequest,
    prepared: &Prepared,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<BuildReport, Error> {
    let Prepared {
        source,
        contents,
        builder,
        plan,
        step,
    } = prepared;
    let records = Records::new(tools.store);
    let layers = match &step.found {
        Some(found) => {
            reuse(step, found, tools, observer);
            found.layers.clone()
        }
        None => {
            let mut layers = make(request, prepared, tools, observer)?;
            match contents.still_holds(source) {
                Ok(()) => step.keep(&mut layers, record::seconds(tools.now), records)?,
                // The script has its own copy; which one nobody knows.
                Err(error) if plan.needs_sandbox() => observer.observe(Event::Warning {
                    text: format!("the result is not remembered: {error}"),
                    hint: None,
                }),
                Err(error) => return Err(error.into()),
            }
            layers
        }
    };
    records.keep_last(&slot(request, prepared), std::slice::from_ref(&step.local))?;
    let image = image::edit::append(builder.image(), &layers, &plan.changes)?;
    tools.store.put_documents(&image)?;
    // A name is a promise that everything below it is here.
    for layer in &image.manifest.parsed.layers {
        if !tools.store.has(layer) {
            let digest = layer.digest.clone();
            return Err(store::Error::Absent { digest }.into());
        }
    }
    for tag in &request.tags {
        tools.store.tag(
            &tag.reference,
            &image.manifest.descriptor,
            &image.config.parsed.platform(),
        )?;
    }
    deliver(request, &image, builder, tools, observer)?;
    Ok(BuildReport::new(&image, &layers, &request.tags))
}

/// Says that a step need not be done.
fn reuse(step: &Step, found: &Found, tools: &Tools<'_>, observer: &dyn Observer) {
    let from = match &found.origin {
        Origin::Here { made } => {
            let age = work::age(record::seconds(tools.now), *made);
            format!("unchanged, made {age} ago")
        }
        Origin::Image(reference) => format!("unchanged, from `{reference}`"),
    };
    let name = match step.portable.step() {
        ASSEMBLE => "assemble",
        _ => "write layers",
    };
    stage(observer, name, from).finish(commit::describe(&found.layers));
}

/// Makes the layers.
fn make(
    request: &BuildRequest,
    prepared: &Prepared,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<NewLayer>, Error> {
    let Prepared {
        source,
        builder,
        plan,
        ..
    } = prepared;
    match &plan.steps {
        Steps::Direct { uid, gid } => {
            let placement = direct::Placement {
                directory: &plan.application_directory,
                uid: *uid,
                gid: *gid,
                epoch: request.epoch,
            };
            direct::layers(&placement, source, tools, observer)
        }
        Steps::Assemble {
            process,
            destination,
            hooks,
        } => {
            let step = assemble::Step {
                process,
                destination,
                hooks,
                application_directory: &plan.application_directory,
                epoch: request.epoch,
                inputs: &request.inputs,
                builder: builder.name(),
                name: request
                    .tags
                    .first()
                    .map_or("build", |tag| tag.typed.as_str()),
            };
            assemble::layers(&step, source, builder.image(), tools, observer)
        }
    }
}

fn deliver(
    request: &BuildRequest,
    image: &Image,
    builder: &BuilderImage,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let names: Vec<String> = request
        .tags
        .iter()
        .map(|tag| tag.reference.to_string())
        .collect();
    for destination in &request.outputs {
        let writing = stage(observer, "write", destination.to_string());
        destination.write(image, &names, tools.store, observer)?;
        writing.finish("");
    }
    if request.push == Push::Yes {
        let registry = tools.registry()?;
        let base = builder.name().parse().ok();
        for tag in &request.tags {
            let pushing = stage(observer, "push", tag.reference.to_string());
            let mount_from: Vec<_> = base.iter().cloned().collect();
            let report =
                registry.push(image, &tag.reference, tools.store, &mount_from, observer)?;
            pushing.finish(format!(
                "{} blobs sent, {} bytes",
                report.uploaded_blobs, report.bytes
            ));
        }
    }
    Ok(())
}
