//! What all of op's commands need: the project, and which files it is read from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::args::Cli;
use super::say;
use super::step::Step;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::env;
use crate::cli::exit::Code;
use crate::project::{self, Origin, Project, Setting, Wanted};
use crate::release::result;

/// The profile that op's `push` takes.
const PROFILE: &str = "push";

/// What is known before a command is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// What is loaded.
    pub(super) wanted: Wanted,
    /// Whether the commands of overcoat are shown.
    is_verbose: bool,
    /// Flags of overcoat's own that stood before `op`.
    before: Vec<OsString>,
}

impl Settings {
    /// What the command line and the environment say.
    ///
    /// # Errors
    /// With [`Code::Usage`] for a file that is named and not there, as with op.
    pub(super) fn new(cli: &Cli, before: &[OsString]) -> Result<Self, Diagnostic> {
        let mut wanted = Wanted {
            directory: env::project::directory()?,
            file: env::variable("OVERCOAT_CONFIG").map(PathBuf::from),
            properties: env::project::properties(),
            variables: env::project::variables(),
            ..Wanted::default()
        };
        if let Some(path) = &cli.config {
            let extension = path.extension().and_then(|extension| extension.to_str());
            match extension {
                Some("yaml" | "yml") => wanted.octopilot = Some(path.clone()),
                Some("toml") => wanted.file = Some(path.clone()),
                _ => wanted.properties = Some(path.clone()),
            }
        }
        for path in [&wanted.properties, &wanted.octopilot]
            .into_iter()
            .flatten()
        {
            if !path.is_file() {
                let what = format!("there is no file `{}`", path.display());
                return Err(Diagnostic::new(Code::Usage, what)
                    .hint("`--config` or OCTOPILOT_PIPELINE_PROPERTIES names it"));
            }
        }
        Ok(Self {
            wanted,
            is_verbose: cli.verbose,
            before: before.to_vec(),
        })
    }

    /// Takes another `skaffold.yaml`.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn with_skaffold(mut self, file: Option<&Path>) -> Result<Self, Diagnostic> {
        if let Some(file) = file {
            if !file.is_file() {
                return Err(no_skaffold(file));
            }
            self.wanted.skaffold = Some(absolute(file)?);
        }
        Ok(self)
    }

    /// Takes a profile of `skaffold.yaml`; without a name `push`, if the file has that.
    ///
    /// # Errors
    /// As [`project::load`].
    ///
    /// # Spec
    /// `path-to-production.md` §1.2: `--profile` of `push` is `push` by default.
    pub(super) fn with_profile(mut self, name: Option<&str>) -> Result<Self, Diagnostic> {
        let name = match name {
            Some(name) => name.to_owned(),
            None if self
                .project()?
                .profiles
                .iter()
                .any(|known| known == PROFILE) =>
            {
                PROFILE.to_owned()
            }
            None => return Ok(self),
        };
        self.wanted.profiles = vec![Setting::new(name, Origin::Flag("--profile"))];
        Ok(self)
    }

    /// Takes a registry that a flag says.
    pub(super) fn with_registry(mut self, flag: &'static str, registry: Option<&String>) -> Self {
        if let Some(registry) = registry {
            self.wanted.registry = Some(Setting::new(registry.clone(), Origin::Flag(flag)));
        }
        self
    }

    /// The project.
    ///
    /// # Errors
    /// As [`project::load`].
    pub(super) fn project(&self) -> Result<Project, Diagnostic> {
        Ok(project::load(&self.wanted)?)
    }

    /// The variables of the environment.
    pub(super) fn variables(&self) -> &BTreeMap<String, String> {
        &self.wanted.variables
    }

    /// A call of overcoat with the same files.
    pub(super) fn step(&self, command: &str) -> Step {
        let mut step = Step::new(&self.before, self.is_verbose);
        step.push(command);
        for (name, path) in [
            (env::project::PROPERTIES, &self.wanted.properties),
            (env::project::OCTOPILOT, &self.wanted.octopilot),
            (env::project::SKAFFOLD, &self.wanted.skaffold),
            ("OVERCOAT_CONFIG", &self.wanted.file),
        ] {
            if let Some(path) = path {
                step.variable(name, path.as_os_str());
            }
        }
        if let Some(profile) = self.wanted.profiles.first() {
            step.variable("SKAFFOLD_PROFILE", profile.value.as_ref());
        }
        step
    }

    /// What overcoat's own functions take.
    pub(super) fn shared(&self) -> Shared {
        Shared {
            store: env::variable(env::STORE).map(PathBuf::from),
            registry_connections: 4,
            config: self.wanted.file.clone(),
            ..Shared::default()
        }
    }
}

/// Where images go, with a line for people that says who said so.
pub(super) fn registry_of(project: &Project) -> Option<&str> {
    let registry = project.registry.as_ref()?;
    say(&format!(
        "Registry {} ({})",
        registry.value, registry.origin
    ));
    Some(&registry.value)
}

/// The file of results in a directory.
pub(super) fn result_in(directory: &Path) -> PathBuf {
    directory.join(result::FILE)
}

/// The message where there is nothing to build: `skaffold.yaml` is not there, or names nothing.
pub(super) fn nothing_to_build(settings: &Settings, project: &Project) -> Diagnostic {
    let usual = project.root.join("skaffold.yaml");
    let file = settings.wanted.skaffold.as_deref().unwrap_or(&usual);
    match file.is_file() {
        false => no_skaffold(file),
        true => Diagnostic::new(
            Code::Project,
            format!(
                "`{}` names no artifacts, so there is nothing to build",
                file.display()
            ),
        )
        .hint("list them below `build.artifacts`, or write the applications into `overcoat.toml`"),
    }
}

/// op's message for a file of Skaffold's that is not there.
pub(super) fn no_skaffold(file: &Path) -> Diagnostic {
    Diagnostic::new(
        Code::Project,
        format!("Skaffold file not found: `{}`", file.display()),
    )
    .hint("name it, or write the applications into `overcoat.toml`")
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, Diagnostic> {
    std::path::absolute(path)
        .map_err(|error| crate::fs::Error::new("find", path.to_owned(), error).into())
}
