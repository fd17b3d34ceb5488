//! What speaks for or against `direct`: what is required, for which interpreter, and whether the result would be the same.

use std::collections::BTreeMap;

use super::deciding::Deciding;
use super::fidelity::Case;
use super::packages::{PipSettings, Wanted};
use super::request::Strategy;
use super::{Error, ImageSource, about_builder, builder, look, plan};
use crate::python::target::{self, Detected, LayerFiles, Provenance};

/// What speaks for or against `direct`.
pub(super) struct Facts {
    pub(super) wanted: Wanted,
    pub(super) settings: PipSettings,
    pub(super) environment: Vec<(String, String)>,
    /// The interpreter, where it is known; why it is not, otherwise.
    pub(super) target: Result<Option<Detected>, String>,
    pub(super) obstacle: Option<String>,
}

impl Deciding<'_> {
    /// Finds out everything that the decision depends on. `may_look`: the builder's layers may be fetched and unpacked
    /// for it.
    pub(super) fn facts(&self, may_look: bool) -> Result<Facts, Error> {
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
            scripts: &self.scripts,
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
                true => Ok(Box::new(self.files()?)),
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
            Err(Error::Target(error)) => {
                // Where there are scripts, they install the packages.
                let may_ask = may_look
                    && error.is_for_probe()
                    && self.builder.scripts().is_none()
                    && self.request.strategy == Strategy::Auto;
                let asked = match may_ask {
                    true => self.probe(),
                    false => Ok(None),
                };
                match asked {
                    Ok(Some(found)) => Ok(Ok(Some(found))),
                    Ok(None) => Ok(Err(error.to_string())),
                    Err(Error::Target(other)) => Ok(Err(other.to_string())),
                    Err(other) => Err(other),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The builder's files.
    fn files(&self) -> Result<LayerFiles, Error> {
        self.fetch_builder()?;
        look::files(&self.builder, self.tools, self.observer)
    }

    /// The builder's interpreter with all that it has installed, where its configuration does not tell everything.
    pub(super) fn complete(&self) -> Result<Detected, Error> {
        let config = &self.builder.image().config.parsed;
        Ok(target::detect_in_files(config, &self.files()?)?)
    }

    /// Brings the builder's layers here.
    pub(super) fn fetch_builder(&self) -> Result<(), Error> {
        let origins = self.origins();
        let image = self.builder.image();
        let fetched = builder::fetch(image, &origins, self.tools, self.observer);
        fetched.map_err(|error| about_builder(self.request, error))?;
        if let ImageSource::Reference(reference) = &self.request.builder
            && self.request.s2i.keeps_builder
            && reference.digest().is_none()
            && self.tools.store.resolve(reference)?.is_none()
        {
            let platform = image.config.parsed.platform();
            let manifest = &image.manifest.descriptor;
            self.tools.store.tag(reference, manifest, &platform)?;
        }
        Ok(())
    }

    pub(super) fn case_of<'b>(&'b self, facts: &'b Facts) -> Case<'b> {
        Case {
            request: self.request,
            source: &self.source,
            builder: &self.builder,
            scripts: &self.scripts,
            environment: &facts.environment,
            wanted: &facts.wanted,
            settings: &facts.settings,
            are_labels_true: true,
        }
    }
}
