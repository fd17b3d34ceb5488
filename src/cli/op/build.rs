//! `op build`, `op build-push`, `op build status` and `op push`.

use std::path::Path;

use super::args::{Build, BuildPush, Destination, Push};
use super::settings::{Settings, absolute, nothing_to_build, registry_of, result_in};
use super::step::{Step, run_all};
use super::{environment, say, settings};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{observer, print, project as loading, propagation};
use crate::project::{Application, Origin, Project, version};
use crate::release::propagation::{Error, Pushed};
use crate::release::result::BuildResult;

/// The variables in which a pipeline says the version, the first that is set counts.
///
/// # Spec
/// `path-to-production.md` §1.2.1.
const VERSIONS: [&str; 5] = [
    "DOCKER_METADATA_OUTPUT_VERSION",
    "SKAFFOLD_TAG",
    "VERSION",
    "TAG",
    "IMAGE_TAG",
];
/// What pipelines put behind a version for one of several platforms.
const PLATFORM_SUFFIX: &str = "_linux_";
/// A registry for everybody, which forgets.
const TTL: &str = "ttl.sh";

/// `op build`.
pub(super) fn build(args: &Build, settings: Settings) -> Result<u8, Diagnostic> {
    let settings = settings
        .with_skaffold(args.filename.as_deref())?
        .with_registry("--repo", args.repo.as_ref());
    let project = settings.project()?;
    let result = absolute(&result_in(Path::new(".")))?;
    let steps = build_steps(args, &settings, &project, &result)?;
    environment::tell(args, &settings, &project);
    forget(&result)?;
    let status = run_all(&steps)?;
    if status == 0 && args.push {
        wait_until_seen(args, &settings, &project, &result)?;
    }
    Ok(status)
}

/// Takes the results of earlier calls away: op writes the file anew each time, and after a failure there is none.
fn forget(result: &Path) -> Result<(), Diagnostic> {
    match std::fs::remove_file(result) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(crate::fs::Error::new("remove", result, error).into())
        }
        _ => Ok(()),
    }
}

/// The calls that `op build` stands for.
///
/// # Errors
/// When nothing can be built here, or something cannot.
pub(super) fn build_steps(
    args: &Build,
    settings: &Settings,
    project: &Project,
    result: &Path,
) -> Result<Vec<Step>, Diagnostic> {
    let applications = chosen(settings, project, args.artifact.as_deref())?;
    let common = |step: &mut Step| {
        if args.push {
            step.push("--push");
        }
        if !args.platform.is_empty() {
            step.flag("--platform", args.platform.join(","));
        }
        for host in environment::insecure_registries(args, settings) {
            step.flag("--insecure-registry", host);
        }
        if let Some(directory) = &args.sbom_output {
            step.flag("--sbom-dir", directory);
        }
        step.flag("--result-file", result);
    };
    let registry = registry_of(project).unwrap_or_default();
    let version = version_of(settings)?;
    let names = |application: &Application| match (&args.ttl_uuid, &version) {
        (Some(uuid), _) => {
            let image = application.image_name();
            let last = image.rsplit(['-', '/']).next().unwrap_or(image);
            Some(vec![format!("{TTL}/{uuid}-{last}:{}", args.ttl_tag)])
        }
        (None, Some(version)) => {
            let name = format!("{registry}/{}", application.image_name());
            Some(vec![
                format!("{name}:{version}"),
                format!("{name}:{}", version::LATEST),
            ])
        }
        (None, None) => None,
    };
    if names(applications[0]).is_none() {
        let mut step = settings.step("build");
        for application in applications {
            step.flag("--application", &application.name);
        }
        step.flag("--repo", registry);
        common(&mut step);
        return Ok(vec![step]);
    }
    let one = |application: &&Application| {
        let mut step = settings.step("build");
        step.flag("--application", &application.name);
        for name in names(application).unwrap_or_default() {
            step.flag("--tag", name);
        }
        common(&mut step);
        step
    };
    Ok(applications.iter().map(one).collect())
}

/// The applications to build: the named one, else all. What others have to build is not left out in silence.
///
/// # Errors
/// When there is none, or one cannot be built here.
fn chosen<'a>(
    settings: &Settings,
    project: &'a Project,
    artifact: Option<&str>,
) -> Result<Vec<&'a Application>, Diagnostic> {
    let applications: Vec<&Application> = match artifact {
        Some(name) => vec![project.application(name)?],
        None => project.applications.iter().collect(),
    };
    if applications.is_empty() {
        return Err(nothing_to_build(settings, project));
    }
    let foreign: Vec<&&Application> = applications
        .iter()
        .filter(|application| application.foreign.is_some())
        .collect();
    if foreign.is_empty() {
        return Ok(applications);
    }
    let names: Vec<String> = foreign.iter().map(|it| format!("`{}`", it.name)).collect();
    let mut diagnostic = Diagnostic::new(
        Code::NoEnvironment,
        format!("cannot build {} here", names.join(", ")),
    );
    for application in foreign {
        let reason = application.foreign.as_deref().unwrap_or_default();
        diagnostic = diagnostic.also(format!("`{}`: {reason}", application.name));
    }
    Err(diagnostic
        .hint("build the others one by one: `--artifact NAME`")
        .hint("a Python application needs no Dockerfile here: declare it in overcoat.toml, `[applications.NAME]` with the \
               same `image`, and overcoat builds it"))
}

/// The version that a pipeline says, without the platform behind it.
///
/// # Errors
/// For one that is too long for a tag.
fn version_of(settings: &Settings) -> Result<Option<String>, Diagnostic> {
    let said = |name: &&str| {
        let value = settings.variables().get(*name)?;
        let version = value.split(PLATFORM_SUFFIX).next().unwrap_or(value).trim();
        let origin = Origin::Variable((*name).to_owned());
        (!version.is_empty()).then(|| version::whole(version, "", &origin))
    };
    Ok(VERSIONS.iter().find_map(said).transpose()?)
}

/// Waits until the registry shows what was pushed; a registry that takes longer is told of, and is no failure.
fn wait_until_seen(
    args: &Build,
    settings: &Settings,
    project: &Project,
    result: &Path,
) -> Result<(), Diagnostic> {
    let mut shared = settings.shared();
    shared.insecure_registry = environment::insecure_registries(args, settings);
    let client = loading::registry_client(&shared, project)?;
    let observer = observer(&shared, true)?;
    let mut pushed = Vec::new();
    for entry in &BuildResult::read(result)?.builds {
        let reference = entry.reference(None)?;
        if let Some(digest) = reference.digest().cloned() {
            pushed.push(Pushed { reference, digest });
        }
    }
    let timeout = args.propagation_timeout;
    match propagation::wait(&pushed, timeout, &client, observer.as_ref()) {
        Ok(()) => Ok(()),
        Err(error @ Error::Registry(crate::registry::Error::Interrupted)) => Err(error.into()),
        Err(error) => {
            say(&format!("warning: {error}"));
            Ok(())
        }
    }
}

/// `op build-push`: the tag of a release if it is one, else that of the content.
pub(super) fn build_push(args: &BuildPush, settings: Settings) -> Result<u8, Diagnostic> {
    pushed(args, settings, version::TagFrom::Ci)
}

/// `op build status`.
pub(super) fn status(args: &BuildPush, settings: Settings) -> Result<u8, Diagnostic> {
    pushed(args, settings, version::TagFrom::Content)
}

fn pushed(args: &BuildPush, settings: Settings, from: version::TagFrom) -> Result<u8, Diagnostic> {
    let settings = settings
        .with_skaffold(args.skaffold_file.as_deref())?
        .with_registry("--repo", args.repo.as_ref());
    let project = settings.project()?;
    let result = absolute(&result_in(&args.output))?;
    let steps = pushed_steps(&settings, &project, &result, from)?;
    crate::fs::create_dir_all(&args.output)?;
    forget(&result)?;
    let status = run_all(&steps)?;
    if status == 0 {
        print(&format!("Wrote {}", result_in(&args.output).display()))?;
    }
    Ok(status)
}

/// The calls that `op build-push` stands for.
///
/// # Errors
/// As [`build_steps`].
pub(super) fn pushed_steps(
    settings: &Settings,
    project: &Project,
    result: &Path,
    from: version::TagFrom,
) -> Result<Vec<Step>, Diagnostic> {
    let registry = settings::registry_of(project).unwrap_or_default();
    Ok(vec![one_push(settings, project, registry, result, from)?])
}

fn one_push(
    settings: &Settings,
    project: &Project,
    registry: &str,
    result: &Path,
    from: version::TagFrom,
) -> Result<Step, Diagnostic> {
    let mut step = settings.step("build");
    for application in chosen(settings, project, None)? {
        step.flag("--application", &application.name);
    }
    step.push("--push").flag("--repo", registry);
    // What is no release has the tag of its content: op leaves that to Skaffold.
    if from == version::TagFrom::Ci && is_release(settings, project)? {
        step.flag("--tag-from", "ci");
    }
    step.flag("--result-file", result);
    Ok(step)
}

/// Whether a release is built, by op's rule.
///
/// # Spec
/// `path-to-production.md` §1.2.2.
fn is_release(settings: &Settings, project: &Project) -> Result<bool, Diagnostic> {
    let variables = settings.variables();
    let is_told = version::TagFrom::Ci.needs_git(variables);
    let tag = match is_told && !crate::source::git::is_inside(&project.root) {
        true => version::Tag::Content,
        false => loading::tag_with(version::TagFrom::Ci, &project.root, variables)?,
    };
    Ok(matches!(tag, version::Tag::Release { .. }))
}

/// `op push`.
pub(super) fn push(args: &Push, mut settings: Settings) -> Result<u8, Diagnostic> {
    if let Some(path) = &args.registry_file {
        let file = match path.is_dir() {
            true => path.join(".registry"),
            false => path.clone(),
        };
        settings.wanted.registry_file = Some(absolute(&file)?);
    }
    if args.image_pattern.is_some() {
        say("the images are known here: `--image-pattern` has no effect");
    }
    let settings = settings.with_profile(args.profile.as_deref())?;
    let project = settings.project()?;
    // A build in a project always writes its results somewhere.
    let scratch = tempfile::tempdir().map_err(|error| {
        crate::fs::Error::new("create a directory in", std::env::temp_dir(), error)
    })?;
    let elsewhere = result_in(scratch.path());
    let result = match args.no_file_output {
        true => elsewhere.clone(),
        false => absolute(&result_in(&args.output))?,
    };
    let steps = push_steps(args, &settings, &project, &result, &elsewhere)?;
    if !args.no_file_output {
        crate::fs::create_dir_all(&args.output)?;
        forget(&result)?;
    }
    run_all(&steps)
}

/// The calls that `op push` stands for: one for each registry. `result` gets the results of the first, `elsewhere` those
/// of the others.
///
/// # Errors
/// When nothing says a registry, and as [`build_steps`].
pub(super) fn push_steps(
    args: &Push,
    settings: &Settings,
    project: &Project,
    result: &Path,
    elsewhere: &Path,
) -> Result<Vec<Step>, Diagnostic> {
    let registries = registries(args, settings, project)?;
    let step = |(position, registry): (usize, &String)| {
        let result = match position {
            0 => result,
            _ => elsewhere,
        };
        say(&format!("Pushing to {registry}"));
        one_push(
            settings,
            project,
            registry,
            result,
            version::TagFrom::Content,
        )
    };
    registries.iter().enumerate().map(step).collect()
}

/// Where `op push` goes.
///
/// # Spec
/// `path-to-production.md` §1.3, the row of Python's `push`.
fn registries(
    args: &Push,
    settings: &Settings,
    project: &Project,
) -> Result<Vec<String>, Diagnostic> {
    let variables = settings.variables();
    let is_auto = args.destination == Destination::Auto;
    if let Some(registry) = &args.default_repo {
        return Ok(vec![registry.trim_end_matches('/').to_owned()]);
    }
    let dev = project
        .environments
        .iter()
        .find(|environment| environment.name == "dev");
    if let Some(registry) = dev.and_then(|dev| dev.registry.as_ref())
        && is_auto
    {
        return Ok(vec![registry.value.clone()]);
    }
    let file = &project.destinations;
    let is_github = variables
        .get("GITHUB_ACTIONS")
        .is_some_and(|value| value == "true");
    let (has_local, has_ci) = match args.destination {
        Destination::Local => (true, false),
        Destination::Ci => (false, true),
        Destination::All => (true, true),
        Destination::Auto => (!is_github, is_github),
    };
    let is_every = args.push_all || args.destination == Destination::All;
    let ci = file.ci.iter().take(if is_every { usize::MAX } else { 1 });
    let local = file.local.iter().filter(|_| has_local);
    let chosen = local.chain(ci.filter(|_| has_ci));
    let found: Result<Vec<String>, Diagnostic> = chosen
        .map(|destination| Ok(destination.registry(variables)?.value))
        .collect();
    let mut found = found?;
    // Two entries that mean one registry are pushed to once.
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|registry| seen.insert(registry.clone()));
    match (found.is_empty(), is_auto, &project.registry) {
        (false, _, _) => Ok(found),
        (true, true, Some(registry)) if registry.origin != crate::project::Origin::Default => {
            Ok(vec![registry.value.clone()])
        }
        _ => Err(
            Diagnostic::new(Code::Project, "nothing says where to push to").hint(
                "say `--default-repo REGISTRY`, set SKAFFOLD_DEFAULT_REPO, or write `.registry`",
            ),
        ),
    }
}
