//! Which application and which environment are meant.

use std::collections::BTreeSet;

use super::{Flags, Place};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::env;
use crate::cli::exit::Code;
use crate::release::history::{Contents, DEFAULT_ENVIRONMENT};

impl Place {
    /// The application that is meant: the one that is named, else the one whose source this is, else the only one.
    ///
    /// # Errors
    /// With [`Code::NoEnvironment`] for a name that neither the project nor a record has, with [`Code::Usage`] when several
    /// may be meant.
    pub(in crate::cli) fn application(
        &self,
        name: Option<&str>,
        contents: &Contents,
    ) -> Result<String, Diagnostic> {
        let on_record: BTreeSet<&str> = contents
            .records
            .iter()
            .map(|record| record.application.as_str())
            .collect();
        if let Some(name) = name {
            let known = self.project.application(name);
            return match known {
                Ok(application) => Ok(application.name.clone()),
                Err(_) if on_record.contains(name) => Ok(name.to_owned()),
                Err(error) => Err(error.into()),
            };
        }
        let directory = env::project::directory()?;
        if let Some(application) = self.project.application_of(&directory) {
            return Ok(application.name.clone());
        }
        let in_project = self.project.applications.iter();
        let mut names: BTreeSet<&str> = in_project.map(|known| known.name.as_str()).collect();
        if names.is_empty() {
            names = on_record;
        }
        let names: Vec<&str> = names.into_iter().collect();
        match names.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => Err(
                Diagnostic::new(Code::History, "there are no records, and no applications")
                    .hint("`overcoat build`, `push` and `deploy` make records"),
            ),
            several => Err(
                Diagnostic::new(Code::Usage, "several applications may be meant")
                    .hint(format!("name one: {}", several.join(", "))),
            ),
        }
    }

    /// The environment that is meant: flag, then variable, then `default`.
    ///
    /// # Errors
    /// With [`Code::NoEnvironment`] for one that neither the project nor a record has.
    pub(in crate::cli) fn environment(
        &self,
        flags: &Flags,
        contents: &Contents,
    ) -> Result<String, Diagnostic> {
        let Some(name) = flags.asked() else {
            return Ok(DEFAULT_ENVIRONMENT.to_owned());
        };
        self.check_environment(name, contents)?;
        Ok(name.to_owned())
    }

    /// Refuses an environment that nobody has heard of.
    ///
    /// # Errors
    /// As [`Self::environment`].
    pub(in crate::cli) fn check_environment(
        &self,
        name: &str,
        contents: &Contents,
    ) -> Result<(), Diagnostic> {
        let mut records = contents.records.iter();
        if name == DEFAULT_ENVIRONMENT || records.any(|record| record.environment == name) {
            return Ok(());
        }
        self.project.environment(name)?;
        Ok(())
    }
}
