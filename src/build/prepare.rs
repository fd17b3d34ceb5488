//! Everything that is decided before anything is done.
//!
//! ```text
//! source ──┐
//!          ├─ what is required ─ for which interpreter ─ is `direct` the same? ─▶ versions ─▶ BuildPlan ─▶ steps, each
//! builder ─┘                                                 │ no: assemble, and why                      found or to do
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::cache::inputs::{
    ASSEMBLE, AssembleStep, BYTECODE, DependenciesStep, application, bytecode_inputs,
    of_this_machine,
};
use super::cache::{Records, record};
use super::fidelity::Case;
use super::packages::{self, How, NewLockText, PipSettings, Solved, Solver, Wanted};
use super::plan::{self, BuildPlan, Direct, PlanError, Steps, Way};
use super::request::{BuildRequest, Push, Strategy};
use super::work::{self, PreviousImage, Step};
use super::{Bytes, Error, Tools, about_builder, builder, look};
use crate::builder_image::{BuilderImage, Script};
use crate::event::{Event, Observer, stage};
use crate::python::target::{self, Detected, Provenance};
use crate::python::{Resolution, Target};
use crate::registry::Access;
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
    /// The packages to install without executing anything, when their layers have to be made.
    pub(super) packages: Option<Packages>,
    /// Images whose layers may be re-used.
    pub(super) previous: Vec<PreviousImage>,
}

/// Packages whose versions are known.
#[derive(Debug)]
pub(super) struct Packages {
    pub(super) wanted: Wanted,
    pub(super) settings: PipSettings,
    pub(super) target: Target,
    pub(super) resolution: Resolution,
    /// How many layers they may have.
    pub(super) budget: usize,
}

impl Prepared {
    /// True when something must be executed.
    pub fn needs_sandbox(&self) -> bool {
        let is_to_do = |name: &str| {
            let mut of_name = self
                .steps
                .iter()
                .filter(|step| step.portable.step() == name);
            of_name.any(|step| step.found.is_none())
        };
        let has_bytecode = self
            .steps
            .iter()
            .any(|step| step.portable.step() == BYTECODE);
        let is_compiled = self.plan.bytecode.is_none() || has_bytecode && !is_to_do(BYTECODE);
        is_to_do(ASSEMBLE) || !is_compiled
    }
}

/// Reads the source, obtains the builder image, finds versions, and decides everything.
///
/// # Errors
/// [`Error`], before anything was changed but what the store remembers.
pub fn prepare(
    request: &BuildRequest,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Prepared, Error> {
    let source = source::local::read(&request.source, observer)?;
    let obtained = builder::obtain(
        &request.builder,
        &request.platform,
        Bytes::DocumentsOnly,
        tools,
        observer,
    );
    let (image, name) = obtained.map_err(|error| about_builder(request, error))?;
    let builder = BuilderImage::from_image(image, &name).map_err(PlanError::from)?;
    let contents = digests(&source, tools, observer)?;
    Deciding {
        request,
        tools,
        observer,
        source,
        builder,
    }
    .decide(contents)
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
    let deciding = Deciding {
        request,
        tools,
        observer,
        source,
        builder,
    };
    let facts = deciding.facts(false)?;
    let way = deciding.way(&facts, "found when it is built")?;
    Ok(BuildPlan::new(
        request,
        &deciding.source,
        &deciding.builder,
        way,
    )?)
}

/// Finds the versions that the application requires, for the builder image's interpreter, as the text of a lock.
///
/// # Errors
/// [`Error::Packages`], and what reading source and builder image can fail with.
pub fn lock(
    request: &BuildRequest,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<NewLockText, Error> {
    let source = source::local::read(&request.source, observer)?;
    let obtained = builder::obtain(
        &request.builder,
        &request.platform,
        Bytes::DocumentsOnly,
        tools,
        observer,
    );
    let (image, name) = obtained.map_err(|error| about_builder(request, error))?;
    let builder = BuilderImage::from_image(image, &name).map_err(PlanError::from)?;
    let deciding = Deciding {
        request,
        tools,
        observer,
        source,
        builder,
    };
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
    };
    packages::lock(&solver, observer)
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
    record::slot(&[&root, tag, &request.platform.to_string()])
}

fn digests(
    source: &SourceTree,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Contents, Error> {
    let remembered = record::slot(&[&source.root.to_string_lossy()]);
    let remembered: PathBuf = tools.store.cache("sources").join(remembered);
    Ok(Contents::read(
        source,
        Some(&remembered),
        tools.now,
        tools.threads,
        observer,
    )?)
}

struct Deciding<'a> {
    request: &'a BuildRequest,
    tools: &'a Tools<'a>,
    observer: &'a dyn Observer,
    source: SourceTree,
    builder: BuilderImage,
}

/// What speaks for or against `direct`.
struct Facts {
    wanted: Wanted,
    settings: PipSettings,
    environment: Vec<(String, String)>,
    /// The interpreter, where it is known; why it is not, otherwise.
    target: Result<Option<Detected>, String>,
    obstacle: Option<String>,
}

impl Deciding<'_> {
    /// Finds out everything that the decision depends on. `may_look`: the builder's layers may be fetched and unpacked
    /// for it.
    fn facts(&self, may_look: bool) -> Result<Facts, Error> {
        let Self {
            request,
            source,
            builder,
            ..
        } = self;
        let environment = plan::script_environment(request, source, builder);
        let lent = self.tools.loan.environment.iter();
        let settings = PipSettings::read(lent.chain(&environment));
        let variables: BTreeMap<String, String> = environment.iter().cloned().collect();
        let mut facts = Facts {
            wanted: Wanted::default(),
            settings,
            environment,
            target: Ok(None),
            obstacle: None,
        };
        if request.strategy == Strategy::Assemble {
            facts.obstacle = Some("asked for".to_owned());
            return Ok(facts);
        }
        facts.wanted = Wanted::read(source, &variables)?;
        // Without scripts, the interpreter is what makes an image a builder.
        let is_needed = !facts.wanted.is_nothing() || builder.scripts().is_none();
        facts.target = self.target(may_look, is_needed)?;
        // A recipe that was not made yet has no layers; what it will be is known.
        let is_to_be_made = builder.image().manifest.parsed.layers.is_empty();
        if is_to_be_made && !may_look {
            facts.target = Ok(None);
        }
        let is_ours = |found: &Option<Detected>| match found {
            Some(found) => found.provenance == Provenance::Labels,
            None => is_to_be_made && !may_look,
        };
        let case = Case {
            request,
            source,
            builder,
            hooks: &plan::hooks(source),
            environment: &facts.environment,
            wanted: &facts.wanted,
            settings: &facts.settings,
            are_labels_true: facts.target.as_ref().is_ok_and(is_ours),
        };
        facts.obstacle = case.obstacle()?;
        if let (None, Err(reason)) = (&facts.obstacle, &facts.target) {
            facts.obstacle = Some(reason.clone());
        }
        Ok(facts)
    }

    /// The builder's interpreter. Where nothing is to be installed, only what its labels say.
    fn target(
        &self,
        may_look: bool,
        is_needed: bool,
    ) -> Result<Result<Option<Detected>, String>, Error> {
        let config = &self.builder.image().config.parsed;
        let look = || -> Result<Box<dyn target::Files>, Error> {
            match may_look && is_needed {
                true => {
                    self.fetch_builder()?;
                    let files = look::files(&self.builder, self.tools, self.observer)?;
                    Ok(Box::new(files))
                }
                false => Err(target::Error::Missing {
                    what: "the interpreter",
                    reason: "its labels and its environment do not tell".to_owned(),
                }
                .into()),
            }
        };
        match target::detect(config, look) {
            Ok(found) => Ok(Ok(Some(found))),
            Err(Error::Target(_)) if !is_needed => Ok(Ok(None)),
            Err(Error::Target(error)) => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Says what a person may wonder about: where versions come from, and why `direct` was not taken where it usually is.
    fn announce(&self, way: &Way, facts: &Facts) {
        match way {
            Way::Direct(direct, _) => {
                if let Some(count @ 1..) = direct.packages {
                    let text = format!("{count}, {}", direct.versions);
                    stage(self.observer, "packages", text).finish("");
                }
            }
            Way::Assemble(why) => {
                let is_ours = matches!(&facts.target, Ok(Some(found)) if found.provenance == Provenance::Labels);
                let brings_its_own = plan::hooks(&self.source).contains(&Script::Assemble);
                if is_ours && !brings_its_own && self.request.strategy == Strategy::Auto {
                    stage(self.observer, "not direct", why.clone()).finish("");
                }
            }
        }
    }

    /// Brings the builder's layers here.
    fn fetch_builder(&self) -> Result<(), Error> {
        let origins: Vec<_> = self.builder.name().parse().into_iter().collect();
        let fetched = builder::fetch(self.builder.image(), &origins, self.tools, self.observer);
        fetched.map_err(|error| about_builder(self.request, error))
    }

    /// `direct`, or `assemble` and why.
    fn way(&self, facts: &Facts, versions: &str) -> Result<Way, PlanError> {
        let is_asked_for = self.request.strategy == Strategy::Direct;
        match &facts.obstacle {
            Some(reason) => self.assemble(facts, reason.clone()),
            None => {
                let owner = match &facts.target {
                    Ok(Some(found)) => {
                        let layout = &found.target.layout;
                        Ok((layout.uid, layout.gid, layout.umask))
                    }
                    _ => plan::owner_by_user(&self.builder).map(|(uid, gid)| (uid, gid, 0o002)),
                };
                let (uid, gid, umask) = match owner {
                    Ok(owner) => owner,
                    Err(reason) => return self.assemble(facts, reason),
                };
                let is_nothing = facts.wanted.is_nothing();
                let direct = Direct {
                    uid,
                    gid,
                    umask,
                    packages: is_nothing.then_some(0),
                    versions: versions.to_owned(),
                };
                let why = match is_asked_for {
                    true => "asked for",
                    false => "nothing needs to be executed",
                };
                Ok(Way::Direct(direct, why.to_owned()))
            }
        }
    }

    fn assemble(&self, facts: &Facts, reason: String) -> Result<Way, PlanError> {
        if self.request.strategy == Strategy::Direct {
            return Err(PlanError::NeedsExecution { reason });
        }
        if facts.wanted.lock.is_some() && facts.wanted.requirements.is_none() {
            return Err(PlanError::LockNeedsDirect { reason });
        }
        if facts.wanted.lock.is_some() {
            self.observer.observe(Event::Warning {
                text: format!("`pylock.toml` is not used: {reason}, and `assemble` installs from `requirements.txt`"),
                hint: None,
            });
        }
        Ok(Way::Assemble(reason))
    }

    fn decide(self, contents: Contents) -> Result<Prepared, Error> {
        let facts = self.facts(true)?;
        let records = Records::new(self.tools.store);
        let mut previous = None;
        let mut look = |step: &mut Step| -> Result<(), Error> {
            if !self.request.cache.is_used {
                return Ok(());
            }
            step.look_here(records);
            if step.found.is_none() && step.is_kept && step.may_be_taken {
                if previous.is_none() {
                    previous = Some(self.previous_images()?);
                }
                previous
                    .iter()
                    .flatten()
                    .for_each(|image| step.look_in(image));
            }
            Ok(())
        };
        let way = self.way(&facts, "")?;
        let mut steps = Vec::new();
        let mut packages = None;
        let way = match way {
            Way::Direct(mut direct, why) if !facts.wanted.is_nothing() => {
                let Ok(Some(found)) = &facts.target else {
                    return Err(PlanError::NeedsExecution {
                        reason: "the builder image's interpreter is not known".to_owned(),
                    }
                    .into());
                };
                match self.packages(&facts, &contents, &found.target, &mut direct, &mut look)? {
                    Ok((step, solved)) => {
                        steps.push(step);
                        packages = solved;
                        Way::Direct(direct, why)
                    }
                    Err(reason) => self.assemble(&facts, reason)?,
                }
            }
            way => way,
        };
        self.announce(&way, &facts);
        let plan = BuildPlan::new(self.request, &self.source, &self.builder, way)?;
        match &plan.steps {
            Steps::Direct(direct) => {
                let inputs = application(&plan, direct, self.request, &contents);
                let mut step = Step::new(inputs.clone(), inputs, true);
                look(&mut step)?;
                steps.push(step);
            }
            Steps::Assemble {
                process,
                destination,
                ..
            } => {
                let step = AssembleStep {
                    process,
                    destination,
                    application_directory: plan.application_directory.to_string(),
                    request: self.request,
                    inputs: &self.request.inputs,
                };
                let portable = step.inputs(&self.builder, &contents);
                let local = step.local_inputs(&portable, &self.tools.loan);
                let may_be_taken = step.can_be_taken();
                let mut step = Step::new(portable, local, step.can_be_kept());
                step.may_be_taken = may_be_taken;
                look(&mut step)?;
                if step.found.is_none() {
                    self.fetch_builder()?;
                }
                steps = vec![step];
            }
        }
        if let Some(bytecode) = &plan.bytecode {
            // What is compiled is known when all below is.
            let below: Option<Vec<_>> = steps.iter().map(|step| step.found.clone()).collect();
            let mut is_found = false;
            if let Some(below) = below {
                let layers: Vec<_> = below.into_iter().flat_map(|found| found.layers).collect();
                let inputs = bytecode_inputs(bytecode, &self.builder, &layers, self.request);
                let mut step = Step::new(inputs.clone(), inputs, true);
                look(&mut step)?;
                is_found = step.found.is_some();
                steps.push(step);
            }
            if !is_found {
                self.fetch_builder()?;
            }
        }
        Ok(Prepared {
            source: self.source,
            contents,
            builder: self.builder,
            plan,
            steps,
            packages,
            previous: previous.unwrap_or_default(),
        })
    }

    /// The step that installs packages, and, when it has to be done, their versions; or why pip must do it.
    fn packages(
        &self,
        facts: &Facts,
        contents: &Contents,
        target: &Target,
        direct: &mut Direct,
        look: &mut dyn FnMut(&mut Step) -> Result<(), Error>,
    ) -> Result<Result<(Step, Option<Packages>), String>, Error> {
        let budget = self.budget();
        let application_directory = plan::application_directory(&self.builder, true)?;
        let portable = DependenciesStep {
            wanted: &facts.wanted,
            settings: &facts.settings,
            target,
            source: &self.source,
            contents,
            application_directory: &application_directory,
            budget,
            epoch: self.request.epoch,
        }
        .inputs();
        let local = of_this_machine(&portable, &self.tools.loan);
        let mut step = Step::new(portable, local, true);
        if self.request.is_locked {
            facts.wanted.check_locked()?;
        }
        let is_answer_wanted = !self.request.cache.refresh || facts.wanted.current_lock().is_some();
        if is_answer_wanted {
            look(&mut step)?;
        }
        if let Some(found) = &step.found {
            let names = packages::names(&found.layers);
            if let Some(reason) = self.case_of(facts).obstacle_of(&names) {
                return Ok(Err(reason));
            }
            direct.packages = Some(names.len());
            direct.versions = match (facts.wanted.is_locked(), &found.origin) {
                (true, _) => "versions from the lock".to_owned(),
                (false, work::Origin::Here { made }) => {
                    let age = work::age(record::seconds(self.tools.now), *made);
                    format!("versions found {age} ago (`--refresh` looks for newer ones)")
                }
                (false, work::Origin::Image(image)) => format!("versions of `{image}`"),
            };
            return Ok(Ok((step, None)));
        }
        let slot = slot(self.request, &self.source);
        let solver = Solver {
            request: self.request,
            source: &self.source,
            wanted: &facts.wanted,
            target,
            settings: &facts.settings,
            slot: &slot,
            tools: self.tools,
        };
        let Solved { solution, how } = match packages::solve(&solver, self.observer) {
            Ok(solved) => solved,
            Err(Error::Packages(error)) if error.is_for_pip() => {
                return Ok(Err(first_line(&error.to_string())));
            }
            Err(error) => return Err(error),
        };
        let resolution = solution.resolution;
        let names: Vec<String> = resolution
            .packages
            .iter()
            .map(|package| package.name.to_string())
            .collect();
        if let Some(reason) = self.case_of(facts).obstacle_of(&names) {
            return Ok(Err(reason));
        }
        direct.packages = Some(names.len());
        direct.versions = match how {
            How::Lock => "versions from the lock".to_owned(),
            How::Fresh => "versions found just now".to_owned(),
            How::Remembered { made } => {
                let age = work::age(record::seconds(self.tools.now), made);
                format!("versions found {age} ago (`--refresh` looks for newer ones)")
            }
        };
        Ok(Ok((
            step,
            Some(Packages {
                wanted: facts.wanted.clone(),
                settings: facts.settings.clone(),
                target: target.clone(),
                resolution,
                budget,
            }),
        )))
    }

    fn case_of<'b>(&'b self, facts: &'b Facts) -> Case<'b> {
        Case {
            request: self.request,
            source: &self.source,
            builder: &self.builder,
            hooks: &[],
            environment: &facts.environment,
            wanted: &facts.wanted,
            settings: &facts.settings,
            are_labels_true: true,
        }
    }

    /// How many layers packages may have: what is left beside the builder's and the application's.
    fn budget(&self) -> usize {
        let base = self.builder.image().manifest.parsed.layers.len();
        self.request.max_layers.saturating_sub(base + 1).max(1)
    }

    /// The images that the person named, as far as they are there: `--cache-from`, and what is about to be replaced.
    fn previous_images(&self) -> Result<Vec<PreviousImage>, Error> {
        let mut references = self.request.cache.from.clone();
        if self.request.push == Push::Yes {
            references.extend(self.request.tags.iter().map(|tag| tag.reference.clone()));
        }
        let mut found = Vec::new();
        for reference in references {
            let looking = stage(self.observer, "look at", reference.to_string());
            let access = match self.request.cache.from.contains(&reference) {
                true => Access::Pull,
                false => Access::PullAndPush,
            };
            let platform = &self.request.platform;
            let image = builder::previous(&reference, platform, self.tools, access, self.observer)?;
            looking.finish(match &image {
                Some(image) => format!("{} layers", image.manifest.layers.len()),
                None => "there is none yet".to_owned(),
            });
            found.extend(image);
        }
        Ok(found)
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
