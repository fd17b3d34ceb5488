//! Everything decided, nothing done.

use std::collections::BTreeMap;
use std::fmt;

use super::allowed_uids::Forbidden;
use super::base;
use super::builder::ImageSource;
use super::bytecode::Bytecode;
use super::command;
use super::onbuild::{OnBuild, Refusal as TriggerRefusal};
use super::request::BuildRequest;
use super::s2i::ArtifactError;
use super::scripts::Scripts;
use super::summary;
use crate::builder_image::{self, BuilderImage, Script, labels};
use crate::digest::Digest;
use crate::image::edit::Changes;
use crate::layer::EntryPath;
use crate::sandbox::Process;
use crate::source::SourceTree;

/// Where an application goes on images that have no place for it.
const PLAIN_DIRECTORY: &str = "/app";
/// The variable that tells scripts of a destination other than [`labels::DEFAULT_DESTINATION`].
const DESTINATION_VARIABLE: &str = "S2I_DESTINATION";

/// What compiles bytecode.
pub(super) const INTERPRETER: &str = "python3";

/// Why a request cannot become a plan.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// The image is no builder for this application.
    #[error(transparent)]
    Builder(#[from] builder_image::Error),
    /// `direct` was asked for and something must be executed.
    #[error("`--strategy direct` executes nothing, but {reason}")]
    NeedsExecution {
        /// What needs it.
        reason: String,
    },
    /// Nothing says how the application is started, and the builder image has no script that would find out.
    #[error(
        "nothing says how to start the application in `{builder}`, which has no S2I `run` script"
    )]
    NoCommand {
        /// The builder image.
        builder: String,
    },
    /// The only list of packages is one that the `assemble` script does not read.
    #[error("`pylock.toml` is installed without executing anything, but {reason}")]
    LockNeedsDirect {
        /// What needs to be executed.
        reason: String,
    },
    /// An ONBUILD trigger.
    #[error(transparent)]
    Trigger(#[from] TriggerRefusal),
    /// Nothing in a source that is built by ONBUILD triggers can be the entry point.
    #[error(
        "no valid entry point: the source has no executable `run`, `start`, `exec` or `execute` (each also with `.sh`)"
    )]
    NoEntrypoint,
    /// `--runtime-image`.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// Two things that were asked for and cannot both be had.
    #[error("{one} cannot be had together with {other}")]
    Together {
        /// One.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// `--allowed-uids`.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The destination or the application directory in the builder's labels is no usable path.
    #[error("the builder image names the directory `{path}`, which cannot be used")]
    Directory {
        /// The path.
        path: String,
    },
}

impl PlanError {
    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Builder(
                builder_image::Error::NotABuilder { script, .. }
                | builder_image::Error::ScriptAbsent { script, .. },
            ) => vec![
                format!("put a script `{script}` into `.s2i/bin/` of the application, or name a place that has one: `--scripts-url URL`"),
                "or build on another image: overcoat's own builders have scripts (`overcoat builder list`)".to_owned(),
            ],
            Self::NeedsExecution { .. } => vec!["leave `--strategy` out, or use `--strategy assemble`".to_owned()],
            Self::NoCommand { .. } => vec![
                "add `app.py` or `app.sh`, or set APP_FILE, APP_SCRIPT or, with gunicorn among the packages, APP_MODULE".to_owned(),
            ],
            Self::Artifacts(error) => vec![error.hint().to_owned()],
            Self::Forbidden(_) => vec![
                "name an allowed user: `--assemble-user UID`".to_owned(),
            ],
            Self::LockNeedsDirect { .. } => vec![
                "add a `requirements.txt`, from which `assemble` installs".to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

/// What a build will do. Pure: made from a request, a source's list and a builder's configuration.
#[derive(Clone, Debug)]
pub struct BuildPlan {
    /// The builder image's name, as the person called it.
    pub builder: String,
    /// The builder image.
    pub builder_digest: Digest,
    /// How the layers are made.
    pub steps: Steps,
    /// What changes in the image's configuration.
    pub changes: Changes,
    /// The directory whose changes make up the application layer.
    pub application_directory: EntryPath,
    /// What compiles bytecode after all else, if that was asked for.
    pub bytecode: Option<Bytecode>,
    summary: Vec<(&'static str, String)>,
}

/// How the layers are made.
#[derive(Clone, Debug)]
pub enum Steps {
    /// Wheels and the source are written into layers.
    Direct(Direct),
    /// A script runs in the sandbox.
    Assemble {
        /// The script, as a process.
        process: Process,
        /// Where `src` and `scripts` go: absolute, no trailing slash.
        destination: String,
        /// Where each script is; those that are not in the image go to `scripts`.
        scripts: Scripts,
    },
    /// The builder image's ONBUILD triggers are carried out.
    OnBuild(OnBuild),
}

/// What is written without executing anything.
#[derive(Clone, Debug)]
pub struct Direct {
    /// Owner of the application's files.
    pub uid: u32,
    /// Group of the application's files.
    pub gid: u32,
    /// Permission bits that the application's files do not have.
    pub umask: u32,
    /// How many packages are installed; `None` when that is not known yet.
    pub packages: Option<usize>,
    /// Where their versions come from, in a few words.
    pub versions: String,
}

/// How the layers are to be made, and why so.
#[derive(Clone, Debug)]
pub enum Way {
    /// Without executing anything.
    Direct(Direct, String),
    /// By the `assemble` script.
    Assemble(String),
}

/// The directory that receives `src`, `scripts` and `artifacts`: absolute, no trailing slash.
pub(super) fn destination<'a>(request: &'a BuildRequest, builder: &'a BuilderImage) -> &'a str {
    let asked_for = request.s2i.destination.as_deref();
    let trimmed = asked_for.map(|path| path.trim_end_matches('/'));
    trimmed.unwrap_or(builder.destination())
}

/// The variables that a script sees, without those of this machine: the image's, the application's, the person's.
pub(super) fn script_environment(
    request: &BuildRequest,
    source: &SourceTree,
    builder: &BuilderImage,
) -> Vec<(String, String)> {
    let config = &builder.image().config.parsed;
    let mut variables: Vec<(String, String)> = config
        .environment()
        .iter()
        .filter_map(|line| split(line))
        .collect();
    let destination = destination(request, builder);
    if destination != labels::DEFAULT_DESTINATION {
        variables.push((DESTINATION_VARIABLE.to_owned(), destination.to_owned()));
    }
    variables.extend(source.environment.iter().cloned());
    variables.extend(request.environment.iter().cloned());
    last_wins(variables)
}

/// Where the application goes: where the builder image says, else where its scripts look for the source, else, when there
/// are none, a place of our own.
fn application_path(request: &BuildRequest, builder: &BuilderImage, is_direct: bool) -> String {
    let is_plain = builder.scripts().is_none() && is_direct;
    builder
        .application_directory()
        .unwrap_or_else(|| match is_plain {
            true => PLAIN_DIRECTORY.to_owned(),
            false => destination(request, builder).to_owned(),
        })
}

/// The directory of the application, without scripts if `is_direct`.
///
/// # Errors
/// [`PlanError::Directory`].
pub(super) fn application_directory(
    request: &BuildRequest,
    builder: &BuilderImage,
    is_direct: bool,
) -> Result<EntryPath, PlanError> {
    let path = application_path(request, builder, is_direct);
    EntryPath::parse(path.as_bytes()).map_err(|_| PlanError::Directory { path })
}

impl BuildPlan {
    /// Decides everything that is not decided by `way`.
    ///
    /// # Errors
    /// [`PlanError`]; nothing else can go wrong here.
    pub fn new(
        request: &BuildRequest,
        source: &SourceTree,
        builder: &BuilderImage,
        scripts: &Scripts,
        way: Way,
    ) -> Result<Self, PlanError> {
        let destination = destination(request, builder).to_owned();
        let (incremental, runtime) = (&request.s2i.incremental, &request.s2i.runtime);
        for (is_given, other) in [
            (incremental.is_some(), "`--incremental`"),
            (request.compile_bytecode, "`--compile-bytecode`"),
        ] {
            if runtime.is_some() && is_given {
                let one = "`--runtime-image`";
                return Err(PlanError::Together { one, other });
            }
        }
        if let Some(allowed) = &request.s2i.allowed_uids {
            let on_build = builder.image().config.parsed.on_build();
            match &request.assemble_user {
                Some(user) => allowed.check(&on_build, "`--assemble-user`", user)?,
                None => {
                    let user = builder.assemble_user();
                    allowed.check(&on_build, "the builder image's user", user)?;
                }
            }
        }
        let locate = |script: Script| -> Result<String, PlanError> {
            let path = scripts.path(script, &destination);
            Ok(path.ok_or_else(|| builder.lacks(script))?)
        };
        let environment = [source.environment.clone(), request.environment.clone()].concat();
        let has_triggers = !builder.image().config.parsed.on_build().is_empty();
        let mut on_build_changes = None;
        let (steps, why, run) = match way {
            Way::Assemble(why) if has_triggers => {
                let mut changed = changes(request, builder, Vec::new(), Vec::new());
                let on_build = OnBuild::plan(request, source, builder, scripts, &mut changed)?;
                on_build_changes = Some(changed);
                (Steps::OnBuild(on_build), why, Vec::new())
            }
            Way::Direct(direct, why) => {
                let run = match builder.scripts() {
                    Some(_) => vec![locate(Script::Run)?],
                    None => command::of(source, &environment, builder.name())?,
                };
                (Steps::Direct(direct), why, run)
            }
            Way::Assemble(why) => {
                let run = locate(Script::Run)?;
                let script = locate(Script::Assemble)?;
                let variables = script_environment(request, source, builder);
                let mut process = process(request, builder, &script, variables);
                if let Some(user) = &request.assemble_user {
                    process.user.clone_from(user);
                }
                let steps = Steps::Assemble {
                    process,
                    destination: destination.clone(),
                    scripts: scripts.clone(),
                };
                (steps, why, vec![run])
            }
        };
        let is_direct = matches!(steps, Steps::Direct(_));
        let application = application_path(request, builder, is_direct);
        let application_directory = application_directory(request, builder, is_direct)?;
        let application = match &steps {
            Steps::OnBuild(on_build) => on_build.directory.clone(),
            _ => application,
        };
        let application_directory = match &steps {
            Steps::OnBuild(_) => EntryPath::parse(application.as_bytes()).map_err(|_| {
                let path = application.clone();
                PlanError::Directory { path }
            })?,
            _ => application_directory,
        };
        let changes_of_this = || changes(request, builder, environment, run);
        let mut changes = on_build_changes.unwrap_or_else(changes_of_this);
        let is_plain = builder.scripts().is_none() && is_direct;
        if is_plain && builder.application_directory().is_none() {
            changes.working_directory = Some(application.clone());
        }
        let user = request.assemble_user.as_deref();
        let bytecode = request.compile_bytecode.then(|| Bytecode {
            interpreter: Process {
                working_directory: "/".to_owned(),
                user: user.unwrap_or(builder.assemble_user()).to_owned(),
                ..process(
                    request,
                    builder,
                    INTERPRETER,
                    script_environment(request, source, builder),
                )
            },
            directories: vec![application_directory.clone()],
        });
        let summary = summary::lines(
            request,
            source,
            builder,
            &steps,
            &why,
            &changes,
            &application,
        );
        Ok(Self {
            builder: builder.name().to_owned(),
            builder_digest: builder.image().digest().clone(),
            steps,
            changes,
            application_directory,
            bytecode,
            summary,
        })
    }

    /// True when something must be executed in the sandbox.
    pub fn needs_sandbox(&self) -> bool {
        !matches!(self.steps, Steps::Direct(_)) || self.bytecode.is_some()
    }
}

/// Owner and group of an application's files where only the image's configuration says so: its user, if that is a
/// number.
pub(super) fn owner_by_user(builder: &BuilderImage) -> Result<(u32, u32), String> {
    let user = builder.image().config.parsed.user();
    let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
    let uid = if uid.is_empty() { "0" } else { uid };
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) => Ok((uid, gid)),
        _ => Err(format!(
            "the builder image's user `{user}` is a name, which only the unpacked image can resolve"
        )),
    }
}

pub(super) fn process(
    request: &BuildRequest,
    builder: &BuilderImage,
    script: &str,
    environment: Vec<(String, String)>,
) -> Process {
    let config = &builder.image().config.parsed;
    // As `docker run IMAGE SCRIPT` would, and s2i does: an entry point wraps the command.
    let mut arguments = match request.s2i.ignores_entrypoint {
        true => Vec::new(),
        false => config.entrypoint(),
    };
    arguments.push(script.to_owned());
    Process {
        arguments,
        environment,
        working_directory: config.working_directory().to_owned(),
        user: builder.assemble_user().to_owned(),
    }
}

fn split(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    Some((name.to_owned(), value.to_owned()))
}

/// One value for each name, at the place where the name first stood.
pub(crate) fn last_wins(variables: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut result: Vec<(String, String)> = Vec::new();
    for (name, value) in variables {
        match result.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => result.push((name, value)),
        }
    }
    result
}

fn changes(
    request: &BuildRequest,
    builder: &BuilderImage,
    environment: Vec<(String, String)>,
    run: Vec<String>,
) -> Changes {
    let mut all_labels =
        BTreeMap::from([(labels::BUILD_IMAGE.to_owned(), builder.name().to_owned())]);
    all_labels.extend(request.s2i.generated_labels.clone());
    all_labels.extend(request.labels.clone());
    let digest = builder.image().digest().to_string();
    // What a person says of the image, and only that: registries and their users see it without reading the configuration.
    let mut annotations = request.labels.clone();
    // Where the image comes from is not theirs to say.
    annotations.extend([
        (labels::BASE_NAME.to_owned(), builder.name().to_owned()),
        (labels::BASE_DIGEST.to_owned(), digest),
    ]);
    if matches!(request.builder, ImageSource::Recipe(_)) {
        // No registry has it.
        let carried = base::carried(builder.image());
        annotations.insert(base::DOCUMENTS.to_owned(), carried);
    }
    Changes {
        environment: last_wins(environment),
        labels: all_labels,
        command: Some(run),
        created: crate::image::rfc3339(request.epoch),
        author: "overcoat".to_owned(),
        annotations,
        ..Changes::default()
    }
}

impl fmt::Display for BuildPlan {
    /// One line for each decision; values of variables are left out, they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in &self.summary {
            writeln!(f, "{name:<15} {text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
