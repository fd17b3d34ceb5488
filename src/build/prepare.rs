//! Everything that is decided before anything is done.
//!
//! ```text
//! source ──┐
//!          ├─ what is required ─ for which interpreter ─ is `direct` the same? ─▶ versions ─▶ BuildPlan ─▶ steps, each
//! builder ─┘                                                 │ no: assemble, and why                      found or to do
//! ```

use std::cell::OnceCell;
use std::path::PathBuf;

use super::builder::{self, Obtained};
use super::cache::inputs::{ASSEMBLE, ASSEMBLE_RUNTIME, BYTECODE};
use super::cache::{Records, record};
use super::deciding::Deciding;
use super::dependencies::Packages;
use super::packages::{self, NewLockText, Solver};
use super::plan::{BuildPlan, PlanError};
use super::request::BuildRequest;
use super::runtime::RuntimePlan;
use super::scripts::{Scripts, Search};
use super::work::{self, PreviousImage, Step};
use super::{Error, Tools, about_builder};
use crate::builder_image::{BuilderImage, Script};
use crate::event::Observer;
use crate::source::content::Contents;
use crate::source::{self, SourceTree};
use crate::store::BlobStore;

/// All that is known before anything is done.
#[derive(Debug)]
pub struct Prepared {
    /// The application.
    pub source: SourceTree,
    /// Its digests.
    pub contents: Contents,
    /// The builder image; its layers may be elsewhere.
    pub builder: BuilderImage,
    /// What will be done.
    pub plan: BuildPlan,
    /// The steps, in order, each with its result if somebody made it before.
    pub steps: Vec<Step>,
    /// What is done in the runtime image, if there is one.
    pub runtime: Option<RuntimePlan>,
    /// The packages to install without executing anything, when their layers have to be made.
    pub(super) packages: Option<Packages>,
    /// Images whose layers may be re-used.
    pub(super) previous: Vec<PreviousImage>,
}

impl Prepared {
    /// True when somebody made all of it before: only names are to be given.
    pub fn is_made(&self) -> bool {
        self.steps.iter().all(|step| step.found.is_some()) && !self.needs_sandbox()
    }

    /// What the names that are to be pushed, and the images that are caches, stood for when it was looked.
    pub fn previous(&self) -> &[PreviousImage] {
        &self.previous
    }

    /// True when something must be executed.
    pub fn needs_sandbox(&self) -> bool {
        let is_to_do = |name: &str| {
            let mut of_name = self
                .steps
                .iter()
                .filter(|step| step.portable.step() == name);
            of_name.any(|step| step.found.is_none())
        };
        let has_runtime_step = self
            .steps
            .iter()
            .any(|step| step.portable.step() == ASSEMBLE_RUNTIME);
        let is_finished = self.runtime.is_none() || has_runtime_step && !is_to_do(ASSEMBLE_RUNTIME);
        let has_bytecode = self
            .steps
            .iter()
            .any(|step| step.portable.step() == BYTECODE);
        let is_compiled = self.plan.bytecode.is_none() || has_bytecode && !is_to_do(BYTECODE);
        is_to_do(ASSEMBLE) || !is_compiled || !is_finished
    }
}

/// Reads the source, obtains the builder image, finds versions, and decides everything.
///
/// # Errors
/// [`Error`], before anything was changed but what the store remembers. [`Error::NothingMayRun`] when the decision itself
/// takes something that only the sandbox can tell (a wheel to be built from its source, an interpreter that no file
/// describes) and `tools` have none yet: with one, ask again.
pub fn prepare(
    request: &BuildRequest,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Prepared, Error> {
    let deciding = open(request, tools, observer)?;
    let contents = digests(request, &deciding.source, tools, observer)?;
    deciding.decide(contents)
}

/// Decides everything that can be decided without asking anybody, and changes nothing: neither the store nor anything
/// else. What must be read of a builder image goes into `scratch`.
///
/// # Errors
/// [`Error`], as [`prepare`].
pub fn plan(
    request: &BuildRequest,
    tools: &Tools<'_>,
    scratch: &BlobStore,
    observer: &dyn Observer,
) -> Result<BuildPlan, Error> {
    let source = source::local::read(&request.source, &request.s2i.rules, observer)?;
    let described = builder::describe(
        &request.builder,
        &request.platform,
        request.s2i.pull,
        tools,
        scratch,
        observer,
    );
    let (image, name) = described.map_err(|error| about_builder(request, error))?;
    let builder = BuilderImage::from_image(image, &name);
    let scripts = scripts_of(request, &source, &builder, scratch, tools, observer)?;
    let deciding = Deciding {
        request,
        tools,
        observer,
        source,
        builder,
        scripts,
        previous: OnceCell::new(),
    };
    let facts = deciding.facts(false)?;
    let way = deciding.way(&facts, "found when it is built")?;
    Ok(BuildPlan::new(
        request,
        &deciding.source,
        &deciding.builder,
        &deciding.scripts,
        way,
    )?)
}

/// Finds the versions that the application requires, for the builder image's interpreter, as the text of a lock.
///
/// # Errors
/// [`Error::Packages`], and what reading source and builder image can fail with; [`Error::NothingMayRun`] as [`prepare`].
pub fn lock(
    request: &BuildRequest,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<NewLockText, Error> {
    let deciding = open(request, tools, observer)?;
    let facts = deciding.facts(true)?;
    let found = match &facts.target {
        Ok(Some(found)) => found,
        Ok(None) => return Err(packages::Error::NothingToLock.into()),
        Err(reason) => {
            return Err(PlanError::NeedsExecution {
                reason: reason.clone(),
            }
            .into());
        }
    };
    let solver = Solver {
        request,
        source: &deciding.source,
        wanted: &facts.wanted,
        target: &found.target,
        settings: &facts.settings,
        slot: &slot(request, &deciding.source),
        tools,
        // A lock lists files of indexes.
        workshop: None,
    };
    packages::lock(&solver, observer)
}

/// Reads the source, and brings the builder image's documents here.
fn open<'a>(
    request: &'a BuildRequest,
    tools: &'a Tools<'a>,
    observer: &'a dyn Observer,
) -> Result<Deciding<'a>, Error> {
    let source = source::local::read(&request.source, &request.s2i.rules, observer)?;
    let Obtained {
        image,
        name,
        previous,
    } = builder::obtain_for(request, tools, observer)
        .map_err(|error| about_builder(request, error))?;
    let builder = BuilderImage::from_image(image, &name);
    let scripts = scripts_of(request, &source, &builder, tools.store, tools, observer)?;
    Ok(Deciding {
        request,
        tools,
        observer,
        source,
        builder,
        scripts,
        previous: previous.map(OnceCell::from).unwrap_or_default(),
    })
}

/// The scripts of a build. What has to be fetched goes into a directory of `store` that is gone afterwards.
fn scripts_of(
    request: &BuildRequest,
    source: &SourceTree,
    builder: &BuilderImage,
    store: &BlobStore,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Scripts, Error> {
    let mut wanted = vec![Script::Assemble, Script::Run, Script::SaveArtifacts];
    if request.s2i.runtime.is_some() {
        wanted.push(Script::AssembleRuntime);
    }
    let search = Search {
        url: request.s2i.scripts_url.as_deref(),
        source,
        builder,
        wanted: &wanted,
        needs_one: true,
        scratch: store.workspace()?.join("scripts"),
        http: &|| tools.http().map(std::sync::Arc::clone),
    };
    let scripts = search.run(observer)?;
    // Triggers need none: they make the application themselves.
    let are_required =
        request.s2i.requires_scripts && builder.image().config.parsed.on_build().is_empty();
    for script in [Script::Assemble, Script::Run] {
        if are_required && scripts.get(script).is_none() {
            return Err(PlanError::from(builder.lacks(script)).into());
        }
    }
    Ok(scripts)
}

/// Tells, for every step, whether it has to be done and why.
pub fn explain(
    request: &BuildRequest,
    prepared: &Prepared,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) {
    let before = Records::new(tools.store).last(&slot(request, &prepared.source));
    let steps: Vec<&Step> = prepared.steps.iter().collect();
    work::explain(&steps, &before, tools.now, observer);
}

/// What this application is called in the store's memory.
pub(super) fn slot(request: &BuildRequest, source: &SourceTree) -> String {
    let tag = request.tags.first().map_or("", |tag| tag.typed.as_str());
    let root = source.root.to_string_lossy();
    let name = request.s2i.identity.as_deref().unwrap_or(&root);
    record::slot(&[name, tag, &request.platform.to_string()])
}

fn digests(
    request: &BuildRequest,
    source: &SourceTree,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Contents, Error> {
    let remembered = record::slot(&[&source.root.to_string_lossy()]);
    let remembered: PathBuf = tools.store.cache("sources").join(remembered);
    Ok(Contents::read(
        source,
        // Files that were just brought here were never seen before.
        request.s2i.identity.is_none().then_some(&*remembered),
        tools.now,
        tools.threads,
        observer,
    )?)
}
