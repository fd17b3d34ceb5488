//! The step that installs packages without executing anything: found, or with the versions to install.

use super::Error;
use super::cache::inputs::{DependenciesStep, of_this_machine};
use super::cache::{Inputs, record};
use super::deciding::Deciding;
use super::facts::Facts;
use super::packages::{self, How, PipSettings, Solved, Solver, Wanted};
use super::plan::{self, Direct};
use super::prepare::slot;
use super::request::Strategy;
use super::work::{self, Step};
use super::workshop::Workshop;
use crate::python::target::Detected;
use crate::python::{Resolution, Target};
use crate::source::content::Contents;

/// What a Python image may have installed without its configuration saying so.
const UNTOLD: [&str; 3] = ["pip", "setuptools", "wheel"];

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

impl Deciding<'_> {
    /// The step that installs packages, and, when it has to be done, their versions; or why pip must do it.
    pub(super) fn packages(
        &self,
        facts: &Facts,
        contents: &Contents,
        found: &Detected,
        direct: &mut Direct,
        look: &dyn Fn(&mut Step) -> Result<(), Error>,
    ) -> Result<Result<(Step, Option<Packages>), String>, Error> {
        let target = &found.target;
        let budget = self.budget();
        let application_directory = plan::application_directory(self.request, &self.builder, true)?;
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
        let step_of = |portable: Inputs| {
            let local = of_this_machine(&portable, &self.tools.loan);
            Step::new(portable, local, true)
        };
        let workshop = self.workshop(facts, target);
        // Wheels that were built make it another step: what they are depends on the builder image.
        let with_built = workshop.as_ref().map(|workshop| {
            let mut inputs = portable.clone();
            inputs.add("what builds wheels from sources", workshop.place());
            inputs
        });
        let mut step = step_of(portable);
        if self.request.is_locked {
            facts.wanted.check_locked()?;
        }
        let is_answer_wanted = !self.request.cache.refresh || facts.wanted.current_lock().is_some();
        if is_answer_wanted {
            look(&mut step)?;
            if let (None, Some(with_built)) = (&step.found, &with_built) {
                let mut other = step_of(with_built.clone());
                look(&mut other)?;
                if other.found.is_some() {
                    step = other;
                }
            }
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
            workshop: workshop.as_ref(),
        };
        let Solved {
            solution,
            how,
            built_in,
        } = match packages::solve(&solver, self.observer) {
            Ok(solved) => solved,
            Err(Error::Packages(error)) if error.is_for_pip() => {
                return Ok(Err(first_line(&error.to_string())));
            }
            Err(error) => return Err(error),
        };
        if let (Some(_), Some(with_built)) = (built_in, with_built) {
            step = step_of(with_built);
        }
        let resolution = solution.resolution;
        let names: Vec<String> = resolution
            .packages
            .iter()
            .map(|package| package.name.to_string())
            .collect();
        if !found.is_installed_complete && names.iter().any(|name| UNTOLD.contains(&name.as_str()))
        {
            // What is there decides whether it is installed at all.
            return self.packages(facts, contents, &self.complete()?, direct, look);
        }
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

    /// What builds wheels, where something may be executed.
    fn workshop<'b>(&'b self, facts: &'b Facts, target: &'b Target) -> Option<Workshop<'b>> {
        (self.request.strategy != Strategy::Direct).then_some(Workshop {
            request: self.request,
            builder: &self.builder,
            environment: &facts.environment,
            settings: &facts.settings,
            target,
            origins: self.origins(),
            tools: self.tools,
        })
    }

    /// How many layers packages may have: what is left beside the builder's and the application's.
    fn budget(&self) -> usize {
        let base = self.builder.image().manifest.parsed.layers.len();
        self.request.max_layers.saturating_sub(base + 1).max(1)
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
