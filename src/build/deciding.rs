//! The decision: `direct` or `assemble`, and which steps have to be done.

use std::cell::OnceCell;

use super::cache::Records;
use super::cache::inputs::{application, bytecode_inputs};
use super::cache::step_inputs::{AssembleStep, local_of_step, on_build_inputs, runtime_inputs};
use super::facts::Facts;
use super::plan::{self, BuildPlan, Direct, PlanError, Steps, Way};
use super::prepare::Prepared;
use super::request::{BuildRequest, Strategy};
use super::runtime::RuntimePlan;
use super::scripts::{Found, Scripts, Search};
use super::work::{PreviousImage, Step};
use super::{Bytes, Error, Tools, builder, find_image};
use crate::builder_image::{self, BuilderImage, Script};
use crate::event::{Event, Observer, stage};
use crate::python::target::Provenance;
use crate::reference::Reference;
use crate::source::SourceTree;
use crate::source::content::Contents;

/// What is decided about.
pub(super) struct Deciding<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) tools: &'a Tools<'a>,
    pub(super) observer: &'a dyn Observer,
    pub(super) source: SourceTree,
    pub(super) builder: BuilderImage,
    /// Where its scripts are.
    pub(super) scripts: Scripts,
    /// The images that are caches, when they were looked at already.
    pub(super) previous: OnceCell<Vec<PreviousImage>>,
}

impl Deciding<'_> {
    pub(super) fn decide(self, contents: Contents) -> Result<Prepared, Error> {
        self.require_scripts()?;
        let facts = self.facts(true)?;
        let records = Records::new(self.tools.store);
        let look = |step: &mut Step| -> Result<(), Error> {
            if !self.request.cache.is_used {
                return Ok(());
            }
            step.look_here(records);
            if step.found.is_none() && step.is_kept && step.may_be_taken {
                let images = self.previous_images()?;
                images.iter().for_each(|image| step.look_in(image));
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
                match self.packages(&facts, &contents, found, &mut direct, &look)? {
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
        let (source, builder) = (&self.source, &self.builder);
        let plan = BuildPlan::new(self.request, source, builder, &self.scripts, way)?;
        match &plan.steps {
            Steps::OnBuild(_) => {}
            Steps::Direct(direct) => {
                let inputs = application(&plan, direct, self.request, &contents);
                let mut step = Step::new(inputs.clone(), inputs, true);
                look(&mut step)?;
                steps.push(step);
            }
            Steps::Assemble {
                process,
                destination,
                scripts,
            } => {
                let step = AssembleStep {
                    process,
                    destination,
                    scripts,
                    application_directory: plan.application_directory.to_string(),
                    request: self.request,
                    inputs: &self.request.inputs,
                };
                let portable = step.inputs(&self.builder, &contents);
                let of_step = &self.request.inputs;
                let local = local_of_step(&portable, of_step, &self.tools.loan);
                let mut step = Step::new(portable, local, of_step.can_be_kept());
                step.may_be_taken = of_step.can_be_taken();
                look(&mut step)?;
                if step.found.is_none() {
                    self.fetch_builder()?;
                }
                steps = vec![step];
            }
        }
        if let Steps::OnBuild(on_build) = &plan.steps {
            let inputs = on_build_inputs(on_build, &self.builder, &contents, self.request);
            let of_step = &self.request.inputs;
            let local = local_of_step(&inputs, of_step, &self.tools.loan);
            let mut step = Step::new(inputs, local, of_step.can_be_kept());
            step.may_be_taken = self.request.inputs.can_be_taken();
            look(&mut step)?;
            if step.found.is_none() {
                self.fetch_builder()?;
            }
            steps = vec![step];
        }
        let runtime = self.runtime(&plan, &contents, &look, &mut steps)?;
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
            runtime,
            packages,
            previous: self.previous.into_inner().unwrap_or_default(),
        })
    }

    /// Where scripts are a must, nothing is asked of an image before it is known that they are there.
    fn require_scripts(&self) -> Result<(), PlanError> {
        let has_triggers = !self.builder.image().config.parsed.on_build().is_empty();
        if !self.request.s2i.requires_scripts || has_triggers {
            return Ok(());
        }
        for script in [Script::Assemble, Script::Run] {
            if self.scripts.get(script).is_none() {
                let image = self.builder.name().to_owned();
                return Err(builder_image::Error::NotABuilder { image, script }.into());
            }
        }
        Ok(())
    }

    /// What is done in the runtime image, with its step if that is known yet.
    fn runtime(
        &self,
        plan: &BuildPlan,
        contents: &Contents,
        look: &dyn Fn(&mut Step) -> Result<(), Error>,
        steps: &mut Vec<Step>,
    ) -> Result<Option<RuntimePlan>, Error> {
        let Some(wanted) = &self.request.s2i.runtime else {
            return Ok(None);
        };
        let about = |error: Error| match error {
            Error::Interrupted | Error::WrongPlatform { .. } => error,
            error => Error::Runtime {
                image: wanted.image.to_string(),
                source: Box::new(error),
            },
        };
        let platform = &self.request.platform;
        let (image, name) = find_image(
            &wanted.image,
            platform,
            wanted.pull,
            Bytes::All,
            self.tools,
            self.observer,
        )
        .map_err(about)?;
        let image = BuilderImage::from_image(image, &name);
        let search = Search {
            url: self.request.s2i.scripts_url.as_deref(),
            source: &self.source,
            builder: &image,
            wanted: &[Script::AssembleRuntime, Script::Run],
            // Those for the builder may be all that it has.
            needs_one: false,
            scratch: self.tools.store.workspace()?.join("runtime-scripts"),
            http: &|| self.tools.http().map(std::sync::Arc::clone),
        };
        let scripts = search.run(self.observer)?;
        let runtime = RuntimePlan::new(self.request, &self.source, plan, image, &scripts)?;
        // What is taken over is known when the builder's own result is.
        let below: Option<Vec<_>> = steps.iter().map(|step| step.found.clone()).collect();
        if let Some(below) = below {
            let layers: Vec<_> = below.into_iter().flat_map(|found| found.layers).collect();
            let inputs = runtime_inputs(&runtime, &self.builder, &layers, contents, self.request);
            let of_step = &self.request.inputs;
            let local = local_of_step(&inputs, of_step, &self.tools.loan);
            let mut step = Step::new(inputs, local, of_step.can_be_kept());
            step.may_be_taken = of_step.can_be_taken();
            look(&mut step)?;
            if step.found.is_none() {
                self.fetch_builder()?;
            }
            steps.push(step);
        }
        Ok(Some(runtime))
    }

    /// `direct`, or `assemble` and why.
    pub(super) fn way(&self, facts: &Facts, versions: &str) -> Result<Way, PlanError> {
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

    /// The images that are caches, looked at once.
    fn previous_images(&self) -> Result<&[PreviousImage], Error> {
        if let Some(images) = self.previous.get() {
            return Ok(images);
        }
        let images = builder::previous_images(self.request, self.tools, self.observer)?;
        Ok(self.previous.get_or_init(|| images))
    }

    /// Where the builder image's layers are that are not here.
    pub(super) fn origins(&self) -> Vec<Reference> {
        let previous = self.previous.get().map_or(&[][..], Vec::as_slice);
        builder::origins(self.request, previous)
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
                let script = self.scripts.get(Script::Assemble);
                let brings_its_own = script.is_some_and(Found::is_uploaded);
                if is_ours && !brings_its_own && self.request.strategy == Strategy::Auto {
                    stage(self.observer, "not direct", why.clone()).finish("");
                }
            }
        }
    }
}
