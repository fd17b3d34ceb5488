//! What one command builds: a source that was typed, what Skaffold's variables say, or applications of a project.

use std::path::Path;

use super::args::{Args, TagFrom};
use super::skaffold;
use crate::build::{CONTENT, Tag};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{env, project};
use crate::image::Platform;
use crate::project::{Application, Origin, Project, version};
use crate::source::Location;

/// What to build.
pub(super) enum Chosen {
    /// One source.
    One(Box<Target>),
    /// Applications of a project, each in a process of its own.
    Several(Box<Project>, Vec<Application>),
}

/// One source, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// The source, as typed or as the project has it.
    pub(super) source: String,
    /// The builder image that was typed, and the name.
    pub(super) typed: (Option<String>, Option<String>),
    /// The project that it belongs to.
    pub(super) project: Option<Project>,
    /// Which of the project's applications it is.
    pub(super) application: Option<Application>,
    /// What Skaffold wants of it.
    pub(super) skaffold: Option<skaffold::Wanted>,
}

/// Finds out what is to be built.
///
/// # Errors
/// For settings that cannot be read, and applications that are not there or cannot be built here.
pub(super) fn choose(args: &Args, shared: &Shared) -> Result<Chosen, Diagnostic> {
    if let Some(name) = &shared.only_application {
        let project = project::load(shared)?;
        return one(project, name);
    }
    let typed: Vec<&String> = [&args.source, &args.builder, &args.tag]
        .into_iter()
        .flatten()
        .collect();
    if args.all || !args.applications.is_empty() {
        let project = project::load(shared)?;
        let names = match args.all {
            true => buildable(&project)?,
            false => args.applications.clone(),
        };
        return several(project, &names);
    }
    let Some(source) = &args.source else {
        return match skaffold::Wanted::read(&env::variable)? {
            Some(wanted) if args.tags.is_empty() => {
                of_source(wanted.context.clone(), Some(wanted), args, shared)
            }
            _ => of_source(".".to_owned(), None, args, shared),
        };
    };
    // One name is the application in the directory of that name, which may be another; several are no builder and tag.
    let may_be_names = !Path::new(source).exists() || typed.len() > 1;
    if !source.is_empty() && may_be_names && project::is_there(shared, Path::new("."))? {
        let project = project::load(shared)?;
        let is_known = |name: &&String| project.applications.iter().any(|it| it.name == **name);
        if typed.iter().all(is_known) {
            let names: Vec<String> = typed.into_iter().cloned().collect();
            return several(project, &names);
        }
    }
    of_source(source.clone(), None, args, shared)
}

/// The applications that overcoat can build.
fn buildable(project: &Project) -> Result<Vec<String>, Diagnostic> {
    let known = project.applications.iter();
    let names: Vec<String> = known
        .filter(|it| it.foreign.is_none())
        .map(|it| it.name.clone())
        .collect();
    match (names.is_empty(), project.applications.is_empty()) {
        (false, _) => Ok(names),
        (true, true) => Err(Diagnostic::new(
            Code::NoEnvironment,
            "this project has no applications",
        )
        .hint("name them in overcoat.toml: `[applications.NAME]` with `path = \"DIR\"`")),
        (true, false) => Err(Diagnostic::new(
            Code::NoEnvironment,
            "none of this project's applications can be built here",
        )),
    }
}

fn several(project: Project, names: &[String]) -> Result<Chosen, Diagnostic> {
    if let [name] = names {
        return one(project, name);
    }
    let mut chosen: Vec<Application> = Vec::new();
    for name in names {
        let application = found(&project, name)?;
        if !chosen.iter().any(|it| it.name == application.name) {
            chosen.push(application.clone());
        }
    }
    Ok(Chosen::Several(Box::new(project), chosen))
}

fn one(project: Project, name: &str) -> Result<Chosen, Diagnostic> {
    let application = found(&project, name)?.clone();
    Ok(Chosen::One(Box::new(Target::of(project, application))))
}

/// The application of that name, if overcoat can build it.
fn found<'a>(project: &'a Project, name: &str) -> Result<&'a Application, Diagnostic> {
    let application = project.application(name)?;
    match &application.foreign {
        None => Ok(application),
        Some(reason) => Err(Diagnostic::new(
            Code::NoEnvironment,
            format!("`{name}` cannot be built here: {reason}"),
        )),
    }
}

/// A source that was typed, or the one that nothing names. It may be an application of a project.
fn of_source(
    source: String,
    skaffold: Option<skaffold::Wanted>,
    args: &Args,
    shared: &Shared,
) -> Result<Chosen, Diagnostic> {
    let directory = match Location::parse(&source) {
        Ok(_) if Path::new(&source).is_dir() => Some(Path::new(&source)),
        _ => None,
    };
    let project = match directory {
        Some(directory) if project::is_there(shared, directory)? => {
            Some(project::load_from(shared, directory)?)
        }
        _ => None,
    };
    let application = directory
        .zip(project.as_ref())
        .and_then(|(directory, project)| {
            let directory = std::path::absolute(directory).ok()?;
            let found = project.application_of(&directory)?;
            // A directory within an application is a source of its own.
            let is_it = std::fs::canonicalize(found.source(project)).ok()
                == std::fs::canonicalize(&directory).ok();
            is_it.then(|| found.clone())
        });
    Ok(Chosen::One(Box::new(Target {
        source,
        typed: (args.builder.clone(), args.tag.clone()),
        project,
        application,
        skaffold,
    })))
}

impl Target {
    /// An application of a project.
    pub(super) fn of(project: Project, application: Application) -> Self {
        let path = application
            .path
            .as_ref()
            .map_or(&project.root, |path| &path.value);
        Self {
            source: path.to_string_lossy().into_owned(),
            project: Some(project),
            application: Some(application),
            ..Self::default()
        }
    }

    /// The platforms: those typed, those that Skaffold wants, those of the application.
    ///
    /// # Errors
    /// When the application's are none.
    pub(super) fn platforms(&self, args: &Args) -> Result<Vec<Platform>, Diagnostic> {
        if !args.platforms.is_empty() {
            return Ok(args.platforms.clone());
        }
        if let Some(wanted) = self
            .skaffold
            .as_ref()
            .filter(|wanted| !wanted.platforms.is_empty())
        {
            return Ok(wanted.platforms.clone());
        }
        let Some(listed) = self
            .application
            .as_ref()
            .and_then(|it| it.platforms.as_ref())
        else {
            return Ok(Vec::new());
        };
        let read = |text: &String| {
            text.parse().map_err(|error| {
                Diagnostic::new(
                    Code::Project,
                    format!("{}: `{text}`: {error}", listed.origin),
                )
            })
        };
        listed.value.iter().map(read).collect()
    }

    /// True when the names are to be pushed.
    pub(super) fn is_pushed(&self, args: &Args) -> bool {
        args.push || self.skaffold.as_ref().is_some_and(|wanted| wanted.push)
    }

    /// The names: those typed, Skaffold's, or the application's image in the registry of its environment.
    ///
    /// # Errors
    /// For names that are none, and when there is no registry to push to.
    pub(super) fn names(&self, args: &Args) -> Result<Vec<Tag>, Diagnostic> {
        let typed: Vec<&String> = args.tags.iter().chain(&self.typed.1).collect();
        if !typed.is_empty() {
            let names = typed.into_iter().map(|text| text.parse());
            return Ok(names.collect::<Result<_, _>>()?);
        }
        if let Some(wanted) = &self.skaffold {
            let name = wanted.image.parse();
            return Ok(vec![name.map_err(|error| {
                Diagnostic::from(error).attempting("cannot use Skaffold's IMAGE")
            })?]);
        }
        let Some((project, application)) = self.project.as_ref().zip(self.application.as_ref())
        else {
            return Ok(Vec::new());
        };
        let image = application
            .image
            .as_ref()
            .map_or(&application.name, |image| &image.value);
        let name = match registry(project, args)? {
            Some(registry) => format!("{registry}/{image}"),
            None if args.push => {
                return Err(Diagnostic::new(
                    Code::Project,
                    format!("`{}` is to be pushed, and nothing says to which registry", application.name),
                )
                .hint("say `--repo REGISTRY`, or `default-registry = \"…\"` in overcoat.toml; `overcoat config explain` \
                       shows what is known"));
            }
            None => image.to_owned(),
        };
        let tags = match args.tag_from {
            TagFrom::Content => vec![CONTENT.to_owned(), ":latest".to_owned()],
            TagFrom::Git => version_tags(version::TagFrom::Git, Path::new(&self.source))?,
            TagFrom::Ci => version_tags(version::TagFrom::Ci, Path::new(&self.source))?,
        };
        let names = tags.iter().map(|tag| {
            let name: Result<Tag, _> = format!("{name}{tag}").parse();
            name.map_err(|error| {
                Diagnostic::from(error)
                    .attempting(format!("cannot name the image of `{}`", application.name))
            })
        });
        names.collect()
    }
}

/// Where the project's images go; nothing when nobody said.
fn registry(project: &Project, args: &Args) -> Result<Option<String>, Diagnostic> {
    if let Some(registry) = &args.repo {
        return Ok(Some(registry.trim_end_matches('/').to_owned()));
    }
    if let Some(name) = args.records.asked() {
        let environment = project.environment(name)?;
        if let Some(registry) = &environment.registry {
            return Ok(Some(registry.value.clone()));
        }
    }
    let said = project
        .registry
        .as_ref()
        .filter(|it| it.origin != Origin::Default);
    Ok(said.map(|it| it.value.clone()))
}

/// The tags that the repository or the CI says, with the `:` before them.
fn version_tags(from: version::TagFrom, source: &Path) -> Result<Vec<String>, Diagnostic> {
    let latest = format!(":{}", version::LATEST);
    Ok(match project::tag(from, source)? {
        version::Tag::Content => vec![CONTENT.to_owned(), latest],
        version::Tag::Commit { tag, .. } => vec![format!(":{tag}")],
        version::Tag::Release { tag, .. } => vec![format!(":{tag}"), latest],
    })
}
