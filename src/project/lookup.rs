//! Finding applications and environments of a project by name or place.

use std::path::Path;

use super::{Application, Environment, Error, Kind, Project, RunContext};

impl Project {
    /// The application that somebody names: by its name, by its image, or by the last part of either where only one
    /// application has it.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the names that there are, [`Error::Ambiguous`].
    pub fn application(&self, name: &str) -> Result<&Application, Error> {
        let exact = self
            .applications
            .iter()
            .find(|application| application.name == name);
        let by_image = || {
            let mut all = self.applications.iter();
            all.find(|application| application.image_name() == name)
        };
        if let Some(found) = exact.or_else(by_image) {
            return Ok(found);
        }
        let last = |text: &str| text.rsplit('/').next() == Some(name);
        let near: Vec<&Application> = self
            .applications
            .iter()
            .filter(|application| last(&application.name) || last(application.image_name()))
            .collect();
        let names = |applications: &[&Application]| {
            let names = applications.iter();
            names.map(|application| application.name.clone()).collect()
        };
        match near.as_slice() {
            [only] => Ok(only),
            [] => Err(Error::Unknown {
                kind: Kind::Application,
                name: name.to_owned(),
                known: names(&self.applications.iter().collect::<Vec<_>>()),
            }),
            several => Err(Error::Ambiguous {
                name: name.to_owned(),
                known: names(several),
            }),
        }
    }

    /// The applications that somebody names, in the project's order, each once; all of them for no names.
    ///
    /// # Errors
    /// As [`Self::application`].
    pub fn applications_named(&self, names: &[String]) -> Result<Vec<&Application>, Error> {
        let mut wanted = std::collections::BTreeSet::new();
        for name in names {
            wanted.insert(self.application(name)?.name.as_str());
        }
        let is_wanted = |application: &&Application| {
            names.is_empty() || wanted.contains(application.name.as_str())
        };
        Ok(self.applications.iter().filter(is_wanted).collect())
    }

    /// The application whose source a directory is in, the innermost; nothing when it is in none.
    pub fn application_of(&self, directory: &Path) -> Option<&Application> {
        let path = |application: &Application| {
            let path = application.path.as_ref()?;
            directory
                .starts_with(&path.value)
                .then(|| path.value.components().count())
        };
        let inside = self
            .applications
            .iter()
            .filter_map(|application| Some((path(application)?, application)));
        inside
            // Of several at one place the first counts.
            .rev()
            .max_by_key(|(depth, _)| *depth)
            .map(|(_, application)| application)
    }

    /// The environment of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the names that there are.
    pub fn environment(&self, name: &str) -> Result<&Environment, Error> {
        let found = self.environments.iter().find(|known| known.name == name);
        found.ok_or_else(|| Error::Unknown {
            kind: Kind::Environment,
            name: name.to_owned(),
            known: self
                .environments
                .iter()
                .map(|known| known.name.clone())
                .collect(),
        })
    }

    /// op's `run` context of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the names that there are.
    pub fn context(&self, name: &str) -> Result<&RunContext, Error> {
        let found = self.contexts.iter().find(|(known, _)| known == name);
        found
            .map(|(_, context)| context)
            .ok_or_else(|| Error::Unknown {
                kind: Kind::Context,
                name: name.to_owned(),
                known: self.contexts.iter().map(|(name, _)| name.clone()).collect(),
            })
    }
}

impl Application {
    /// Its image without registry and tag: what it says, else its name.
    pub fn image_name(&self) -> &str {
        self.image
            .as_ref()
            .map_or(self.name.as_str(), |image| image.value.as_str())
    }

    /// The directory of its source: what it says, else the project's.
    pub fn source<'a>(&'a self, project: &'a Project) -> &'a Path {
        self.path
            .as_ref()
            .map_or(project.root.as_path(), |path| path.value.as_path())
    }
}
