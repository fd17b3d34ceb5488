//! What makes an image a builder: labels, scripts, a user; and recipes for builders of our own.
//!
//! This module knows conventions. It does not fetch images and runs no scripts.

pub mod labels;
pub mod recipe;
mod scripts;

pub use scripts::{Script, ScriptsDirectory, ScriptsPlace};

use crate::image::Image;

/// An image that can build applications.
#[derive(Clone, Debug)]
pub struct BuilderImage {
    image: Image,
    name: String,
    scripts: Option<ScriptsDirectory>,
    destination: String,
    assemble_user: String,
}

/// Why an image cannot be used as a builder.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Neither the image nor the application has a required script.
    #[error(
        "`{image}` is not a builder image: it has no label `{}`, and the application brings no `.s2i/bin/{script}`",
        labels::SCRIPTS_URL
    )]
    NotABuilder {
        /// The image.
        image: String,
        /// The script that nobody has.
        script: Script,
    },
    /// It does not tell how it is used.
    #[error("the builder image `{image}` has no script `usage`")]
    NoUsage {
        /// The image.
        image: String,
    },
    /// The image says where its scripts are, and this one is not there, nor does the application bring it.
    #[error(
        "the script `{script}` is missing: it is not where `{declared_by}` of `{image}` says that scripts are, and the application \
         brings no `.s2i/bin/{script}`"
    )]
    ScriptAbsent {
        /// The image.
        image: String,
        /// The script that nobody has.
        script: Script,
        /// The label or variable.
        declared_by: &'static str,
    },
}

impl BuilderImage {
    /// What is to be said when neither this image nor the application has a script.
    pub fn lacks(&self, script: Script) -> Error {
        let image = self.name.clone();
        match &self.scripts {
            // It is asked of the image alone.
            _ if script == Script::Usage => Error::NoUsage { image },
            None => Error::NotABuilder { image, script },
            Some(ScriptsDirectory { declared_by, .. }) => Error::ScriptAbsent {
                image,
                script,
                declared_by,
            },
        }
    }
}

impl BuilderImage {
    /// Reads the conventions off an image's configuration. `name` is what the person called it.
    ///
    /// An image without scripts is fine here: the application may bring them.
    ///
    /// # Spec
    /// `s2i-compat.md` §2.8, §2.10: the lookup order of labels and variables.
    pub fn from_image(image: Image, name: &str) -> Self {
        let config = &image.config.parsed;
        let all = config.labels();
        let label = |name: &str| all.get(name).filter(|value| !value.is_empty()).cloned();
        let working_directory = config.working_directory();
        let from_url = |url: String, declared_by| ScriptsDirectory {
            place: ScriptsPlace::from_url(&url, working_directory),
            declared_by,
        };
        let scripts = if let Some(url) = label(labels::SCRIPTS_URL) {
            Some(from_url(url, labels::SCRIPTS_URL))
        } else if let Some(url) = label(labels::SCRIPTS_URL_DEPRECATED) {
            Some(from_url(url, labels::SCRIPTS_URL_DEPRECATED))
        } else if let Some(url) = config.environment_variable(labels::SCRIPTS_URL_VARIABLE) {
            Some(from_url(url, labels::SCRIPTS_URL_VARIABLE))
        } else {
            // Some builder images set no label; their scripts still find each other by this variable.
            let path = config.environment_variable(labels::SCRIPTS_PATH_VARIABLE);
            path.filter(|path| path.starts_with('/'))
                .map(|path| ScriptsDirectory {
                    place: ScriptsPlace::Image(path.trim_end_matches('/').to_owned()),
                    declared_by: labels::SCRIPTS_PATH_VARIABLE,
                })
        };
        let destination = label(labels::DESTINATION)
            .or_else(|| label(labels::DESTINATION_DEPRECATED))
            .or_else(|| config.environment_variable(labels::DESTINATION_VARIABLE))
            .filter(|path| path.starts_with('/'))
            .unwrap_or_else(|| labels::DEFAULT_DESTINATION.to_owned());
        let assemble_user =
            label(labels::ASSEMBLE_USER).unwrap_or_else(|| config.user().to_owned());
        Self {
            name: name.to_owned(),
            scripts,
            destination: destination.trim_end_matches('/').to_owned(),
            assemble_user,
            image,
        }
    }

    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// What the person called it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its scripts are, if it has any.
    pub fn scripts(&self) -> Option<&ScriptsDirectory> {
        self.scripts.as_ref()
    }

    /// The directory that receives `src`, `scripts` and `artifacts`; absolute, without a trailing slash.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// The user that runs `assemble`, as an image configuration writes users.
    pub fn assemble_user(&self) -> &str {
        &self.assemble_user
    }

    /// The user that runs `assemble-runtime` in it, as an image configuration writes users.
    pub fn assemble_runtime_user(&self) -> String {
        let config = &self.image.config.parsed;
        let label = config.labels().remove(labels::ASSEMBLE_RUNTIME_USER);
        let label = label.filter(|user| !user.is_empty());
        label.unwrap_or_else(|| config.user().to_owned())
    }

    /// What it takes from the builder when it is a runtime image, as its label writes it; empty when it does not say.
    pub fn assemble_input_files(&self) -> String {
        let mut all = self.image.config.parsed.labels();
        all.remove(labels::ASSEMBLE_INPUT_FILES).unwrap_or_default()
    }

    /// The directory that belongs to the application: the working directory, or where builders with `/` as working
    /// directory keep it. `None` when nothing says.
    pub fn application_directory(&self) -> Option<String> {
        let config = &self.image.config.parsed;
        let directory = match config.working_directory() {
            "/" => config
                .environment_variable("APP_ROOT")
                .map(|root| format!("{}/src", root.trim_end_matches('/')))
                .or_else(|| config.environment_variable("HOME")),
            directory => Some(directory.to_owned()),
        };
        directory.filter(|directory| {
            directory.starts_with('/') && !directory.trim_matches('/').is_empty()
        })
    }
}
