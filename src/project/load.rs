//! Reading all files of a project, and which of them counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::listed;
use super::find::find;
use super::registries::{self, checked, of_variable};
use super::skaffold::Artifact;
use super::text::Text;
use super::{
    Application, Error, Kind, Note, Origin, Overruled, Project, Setting, environments, octopilot,
    overcoat_toml, properties, registry_file, skaffold,
};

/// The files of other tools, below the project's directory.
const PROPERTIES: &str = "pipeline.properties";
const REGISTRY_FILE: &str = ".registry";
const OCTOPILOT: [&str; 2] = [".github/octopilot.yaml", "octopilot.yaml"];
const SKAFFOLD: &str = "skaffold.yaml";

/// The default repository of Skaffold and op.
const DEFAULT_REPOSITORY: &str = "SKAFFOLD_DEFAULT_REPO";
/// The profiles of Skaffold.
const PROFILE: &str = "SKAFFOLD_PROFILE";
/// op's reader of settings takes this one for `default_repo`.
const OCTOPILOT_REPOSITORY: &str = "DEFAULT_REPO";
/// The project's own registry at GitLab, where its CI runs.
const GITLAB_REGISTRY: &str = "CI_REGISTRY_IMAGE";
/// `true` in GitLab's CI.
const GITLAB: &str = "GITLAB_CI";
/// Dev's registry is the default repository of op's older generation.
const DEV_REPOSITORY: &str = "GOOGLE_GKE_IMAGE_REPOSITORY";

/// What is to be loaded.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Where the search for `overcoat.toml` begins, absolute.
    pub directory: PathBuf,
    /// Our own file, where a person names it; it must exist then. Its directory is the project's.
    pub file: Option<PathBuf>,
    /// The properties, where a person names them; they must exist then. Else `pipeline.properties` of the project.
    pub properties: Option<PathBuf>,
    /// op's file, where a person names it; it must exist then.
    pub octopilot: Option<PathBuf>,
    /// Skaffold's file, where a person names it; it must exist then. Else `skaffold.yaml` of the project.
    pub skaffold: Option<PathBuf>,
    /// The profiles of Skaffold's file that a flag names; else those of `SKAFFOLD_PROFILE`.
    pub profiles: Vec<Setting<String>>,
    /// `.registry`, where a person names it; it must exist then.
    pub registry_file: Option<PathBuf>,
    /// The registry that a flag says.
    pub registry: Option<Setting<String>>,
    /// The variables of the environment.
    pub variables: BTreeMap<String, String>,
}

/// Reads a project: `overcoat.toml` of the directory or of one above it, and the files of other tools beside it. Where there
/// is no `overcoat.toml`, the directory itself is the project's.
///
/// Of several that say a value the first counts: a flag, a variable of the environment, `overcoat.toml`, the files of other
/// tools, the default; docs/project.md has the order for each value.
///
/// # Errors
/// [`Error::Unreadable`] for a file that is there and cannot be read; [`Error::Invalid`] with the line for one that makes
/// no sense; nothing is passed over in silence.
///
/// # Spec
/// `path-to-production.md` §1.3.
pub fn load(wanted: &Wanted) -> Result<Project, Error> {
    let own = match &wanted.file {
        Some(file) => Some(Text::named(file, "`--config` or OVERCOAT_CONFIG")?),
        None => match find(&wanted.directory)? {
            Some(path) => Text::read(&path)?,
            None => None,
        },
    };
    let mut project = match &own {
        Some(file) => overcoat_toml::read(file)?,
        None => Project {
            root: wanted.directory.clone(),
            ..Project::default()
        },
    };
    let root = project.root.clone();
    let file = |named: &Option<PathBuf>, usual: &[&str], by: &str| match named {
        Some(path) => Text::named(path, by).map(Some),
        None => first_of(&root, usual),
    };
    let properties = file(
        &wanted.properties,
        &[PROPERTIES],
        "OCTOPILOT_PIPELINE_PROPERTIES or `--config`",
    )?;
    let registry_file = file(&wanted.registry_file, &[REGISTRY_FILE], "`--registry-file`")?;
    let octopilot = file(&wanted.octopilot, &OCTOPILOT, "`--config`")?;
    let skaffold = file(&wanted.skaffold, &[SKAFFOLD], "`--filename`")?;

    let properties = properties
        .as_ref()
        .map_or(Ok(Vec::new()), properties::read)?;
    let octopilot = octopilot
        .as_ref()
        .map_or(Ok(Default::default()), octopilot::read)?;
    if let Some(file) = &registry_file {
        project.destinations = registry_file::read(file)?;
    }
    let in_files: Vec<(String, Setting<String>)> = properties
        .iter()
        .cloned()
        .chain(octopilot.registries)
        .collect();
    default_registry(&mut project, wanted, octopilot.default_repo, &properties)?;
    environments::resolve(&mut project, &wanted.variables, &in_files)?;
    if let Some(file) = &skaffold {
        let profiles = profiles(wanted);
        let names: Vec<String> = profiles.iter().map(|it| it.value.clone()).collect();
        let skaffold = skaffold::read(file, &wanted.variables, &names)?;
        for profile in &profiles {
            if !skaffold.profiles.contains(&profile.value) {
                return Err(Error::Invalid {
                    place: profile.origin.clone(),
                    reason: format!(
                        "`{}` has no profile `{}`",
                        file.path.display(),
                        profile.value
                    ),
                    hints: vec![match skaffold.profiles.as_slice() {
                        [] => "it has none".to_owned(),
                        known => format!("it has {}", listed(known)),
                    }],
                });
            }
        }
        project.profiles = skaffold.profiles;
        for artifact in skaffold.artifacts {
            add(&mut project, artifact);
        }
    }
    project.tag = octopilot.tag;
    project.contexts = octopilot.contexts;
    give_contexts(&mut project, &root);
    check_hooks(&project)?;
    Ok(project)
}

/// The profiles of `skaffold.yaml` that count: those of a flag, else those of the variable.
///
/// # Spec
/// `path-to-production.md` §1.2.1; Skaffold, *Profiles*: `SKAFFOLD_PROFILE` is a list with commas.
fn profiles(wanted: &Wanted) -> Vec<Setting<String>> {
    if !wanted.profiles.is_empty() {
        return wanted.profiles.clone();
    }
    let said = wanted.variables.get(PROFILE).map_or("", String::as_str);
    let names = said
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let origin = Origin::Variable(PROFILE.to_owned());
    names
        .map(|name| Setting::new(name.to_owned(), origin.clone()))
        .collect()
}

/// The first of these files that is there.
fn first_of(directory: &Path, names: &[&str]) -> Result<Option<Text>, Error> {
    for name in names {
        if let Some(file) = Text::read(&directory.join(name))? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Where images go.
///
/// # Spec
/// `path-to-production.md` §1.3, the row of the Go generation, with the older one's variable behind it; §4.3 for GitLab's,
/// which is there in every job whether somebody wants it or not, and so counts only where nobody said anything.
fn default_registry(
    project: &mut Project,
    wanted: &Wanted,
    default_repo: Option<Setting<String>>,
    properties: &[(String, Setting<String>)],
) -> Result<(), Error> {
    let variables = &wanted.variables;
    let property = |name: &str| {
        let found = properties
            .iter()
            .find(|(key, setting)| key == name && !setting.value.is_empty());
        found.map(|(_, setting)| checked(setting)).transpose()
    };
    let mut candidates = Vec::new();
    candidates.extend(wanted.registry.as_ref().map(checked).transpose()?);
    candidates.extend(of_variable(DEFAULT_REPOSITORY, variables)?);
    candidates.extend(project.registry.take());
    candidates.extend(of_variable(OCTOPILOT_REPOSITORY, variables)?);
    candidates.extend(default_repo.as_ref().map(checked).transpose()?);
    candidates.extend(property(DEFAULT_REPOSITORY)?);
    if let Some(usual) = project.destinations.usual(variables) {
        match usual.registry(variables) {
            Ok(registry) => candidates.push(registry),
            // What something else has decided already need not be understood.
            Err(error) if candidates.is_empty() => return Err(error),
            Err(error) => project.notes.push(Note {
                key: "default-registry".to_owned(),
                text: match error {
                    Error::Invalid { reason, .. } => reason,
                    error => error.to_string(),
                },
                origin: usual.written.origin.clone(),
            }),
        }
    }
    candidates.extend(of_variable(DEV_REPOSITORY, variables)?);
    candidates.extend(property(DEV_REPOSITORY)?);
    if variables.get(GITLAB).is_some_and(|value| value == "true") {
        candidates.extend(of_variable(GITLAB_REGISTRY, variables)?);
    }
    let default = Setting::new(registries::DEFAULT.to_owned(), Origin::Default);
    candidates.push(default);
    project.registry = project.first("default-registry", candidates);
    Ok(())
}

/// Joins an artifact of `skaffold.yaml` with the application that has its image, or makes it one.
fn add(project: &mut Project, artifact: Artifact) {
    let image = artifact.image.value.clone();
    let named = project
        .applications
        .iter()
        .find(|application| application.image_name() == image);
    let key = format!(
        "applications.{}",
        named.map_or(&image, |application| &application.name)
    );
    let notes = artifact.notes.into_iter();
    let notes = notes.map(|(text, origin)| Note {
        key: key.clone(),
        text,
        origin,
    });
    project.notes.extend(notes.collect::<Vec<_>>());
    let known = project
        .applications
        .iter_mut()
        .find(|application| application.image_name() == image);
    let Some(application) = known else {
        project.applications.push(Application {
            name: image,
            path: Some(artifact.context),
            image: Some(artifact.image),
            environment: artifact.environment,
            platforms: artifact.platforms,
            foreign: artifact.foreign,
            requires: artifact.requires,
            ..Application::default()
        });
        return;
    };
    // `overcoat.toml` says that it is ours to build, whatever Skaffold does with it.
    application.requires = artifact.requires;
    let mut overruled = Vec::new();
    let mut lose = |key: &str, value: String, origin: Origin| {
        overruled.push(Overruled {
            key: format!("applications.{}.{key}", application.name),
            value,
            origin,
        });
    };
    match application.path {
        None => application.path = Some(artifact.context),
        Some(_) => lose(
            "path",
            artifact.context.value.display().to_string(),
            artifact.context.origin,
        ),
    }
    match (&application.platforms, artifact.platforms) {
        (Some(_), Some(other)) => lose("platforms", other.value.join(","), other.origin),
        (None, other) => application.platforms = other,
        (Some(_), None) => {}
    }
    for (name, setting) in artifact.environment {
        match application.environment.get(&name) {
            Some(_) => lose(
                &format!("environment.{name}"),
                setting.value,
                setting.origin,
            ),
            None => drop(application.environment.insert(name, setting)),
        }
    }
    project.overruled.extend(overruled);
}

/// Finds the application that each of op's contexts is for: by name, by image, or by its directory as it is written.
fn give_contexts(project: &mut Project, root: &Path) {
    for application in &mut project.applications {
        let place = application.path.as_ref().map(|path| path.value.clone());
        let last = |text: &str| text.rsplit('/').next().map(str::to_owned);
        let is_its = |name: &str| {
            name == application.name
                || name == application.image_name()
                || last(application.image_name()).as_deref() == Some(name)
                || place.as_deref() == Some(&overcoat_toml::absolute(root, name))
        };
        let found = project.contexts.iter().find(|(name, _)| is_its(name));
        application.context = found.map(|(_, context)| context.clone());
    }
}

/// Hooks are for applications and environments that there are.
fn check_hooks(project: &Project) -> Result<(), Error> {
    for hook in &project.hooks {
        let refuse = |error: Error| match error {
            Error::Unknown { kind, ref name, .. } => Error::Invalid {
                place: hook.origin.clone(),
                reason: format!("this hook is for the {kind} `{name}`, which there is not"),
                hints: error.hints(),
            },
            error => error,
        };
        for name in &hook.applications {
            let is_known = project.applications.iter().any(|known| known.name == *name);
            if !is_known {
                return Err(refuse(Error::Unknown {
                    kind: Kind::Application,
                    name: name.clone(),
                    known: project
                        .applications
                        .iter()
                        .map(|known| known.name.clone())
                        .collect(),
                }));
            }
        }
        for name in &hook.environments {
            project.environment(name).map_err(refuse)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
