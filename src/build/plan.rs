//! Everything decided, nothing done.

use std::collections::BTreeMap;
use std::fmt;

use super::Tools;
use super::cache::inputs::{AssembleStep, of_this_machine};
use super::direct::Placement;
use super::request::{BuildRequest, Push, Strategy};
use super::work::Step;
use crate::builder_image::{self, BuilderImage, Script, labels};
use crate::digest::Digest;
use crate::image::edit::Changes;
use crate::layer::EntryPath;
use crate::sandbox::Process;
use crate::source::SourceTree;
use crate::source::content::Contents;

/// Where in a source the application's own scripts are.
pub(super) const HOOKS: &str = ".s2i/bin";
/// The variable that tells scripts of a destination other than [`labels::DEFAULT_DESTINATION`].
const DESTINATION_VARIABLE: &str = "S2I_DESTINATION";

/// Files that say which packages an application needs; `direct` cannot install any yet.
const DEPENDENCY_FILES: [&str; 5] = [
    "requirements.txt",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "Pipfile",
];

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
            Self::Builder(builder_image::Error::NotABuilder { script, .. }) => vec![
                format!("put an executable `{script}` script into `{HOOKS}/` of the application"),
                "or leave out `--build-image`: the default builder has scripts (`overcoat builder list`)".to_owned(),
            ],
            Self::NeedsExecution { .. } => vec!["leave `--strategy` out, or use `--strategy assemble`".to_owned()],
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
    summary: Vec<(&'static str, String)>,
}

/// How the layers are made.
#[derive(Clone, Debug)]
pub enum Steps {
    /// The source is written into a layer.
    Direct {
        /// Owner of the files.
        uid: u32,
        /// Group of the files.
        gid: u32,
    },
    /// A script runs in the sandbox.
    Assemble {
        /// The script, as a process.
        process: Process,
        /// Where `src` and `scripts` go: absolute, no trailing slash.
        destination: String,
        /// The application's own scripts, which go to `scripts` and not to `src`.
        hooks: Vec<Script>,
    },
}

impl BuildPlan {
    /// Decides everything.
    ///
    /// # Errors
    /// [`PlanError`]; nothing else can go wrong here.
    pub fn new(
        request: &BuildRequest,
        source: &SourceTree,
        builder: &BuilderImage,
    ) -> Result<Self, PlanError> {
        let hooks: Vec<Script> = Script::ALL
            .into_iter()
            .filter(|script| source.file(&format!("{HOOKS}/{script}")).is_some())
            .collect();
        let destination = builder.destination().to_owned();
        let locate = |script: Script| -> Result<String, PlanError> {
            if hooks.contains(&script) {
                return Ok(format!("{destination}/scripts/{script}"));
            }
            let image = || builder.name().to_owned();
            let scripts = builder.scripts();
            let scripts = scripts.ok_or_else(|| builder_image::Error::NotABuilder {
                image: image(),
                script,
            })?;
            Ok(scripts.script(script))
        };
        let run = locate(Script::Run)?;
        let environment = [source.environment.clone(), request.environment.clone()].concat();
        let (steps, why) = match request.strategy {
            Strategy::Direct => (direct(request, source, builder, &hooks)?, "asked for"),
            Strategy::Auto | Strategy::Assemble => {
                let script = locate(Script::Assemble)?;
                let mut process = process(builder, &script, &destination, &environment);
                if let Some(user) = &request.assemble_user {
                    process.user.clone_from(user);
                }
                let steps = Steps::Assemble {
                    process,
                    destination: destination.clone(),
                    hooks: hooks.clone(),
                };
                let why = if hooks.contains(&Script::Assemble) {
                    "the application brings `.s2i/bin/assemble`"
                } else {
                    "the builder image has S2I scripts"
                };
                (steps, why)
            }
        };
        let application = builder.application_directory();
        let application = application.unwrap_or_else(|| destination.clone());
        let application_directory =
            EntryPath::parse(application.as_bytes()).map_err(|_| PlanError::Directory {
                path: application.clone(),
            })?;
        let changes = changes(request, builder, environment, run);
        let summary = summary(
            request,
            source,
            builder,
            &steps,
            why,
            &changes,
            &application,
        );
        Ok(Self {
            builder: builder.name().to_owned(),
            builder_digest: builder.image().digest().clone(),
            steps,
            changes,
            application_directory,
            summary,
        })
    }

    /// The step that makes the layers, with its key.
    pub(super) fn step(
        &self,
        request: &BuildRequest,
        contents: &Contents,
        builder: &BuilderImage,
        tools: &Tools<'_>,
    ) -> Step {
        match &self.steps {
            Steps::Direct { uid, gid } => {
                let placement = Placement {
                    directory: &self.application_directory,
                    uid: *uid,
                    gid: *gid,
                    epoch: request.epoch,
                };
                let inputs = placement.inputs(contents);
                Step::new(inputs.clone(), inputs, true)
            }
            Steps::Assemble {
                process,
                destination,
                ..
            } => {
                let step = AssembleStep {
                    process,
                    destination,
                    application_directory: self.application_directory.to_string(),
                    epoch: request.epoch,
                    inputs: &request.inputs,
                };
                let portable = step.inputs(builder, contents);
                let local = of_this_machine(&portable, &tools.loan);
                Step::new(portable, local, step.can_be_kept())
            }
        }
    }

    /// True when something must be executed in the sandbox.
    pub fn needs_sandbox(&self) -> bool {
        matches!(self.steps, Steps::Assemble { .. })
    }
}

fn direct(
    request: &BuildRequest,
    source: &SourceTree,
    builder: &BuilderImage,
    hooks: &[Script],
) -> Result<Steps, PlanError> {
    let needs = |reason: String| Err(PlanError::NeedsExecution { reason });
    if let Some(user) = &request.assemble_user {
        return needs(format!(
            "`--assemble-user {user}` says who runs the `assemble` script"
        ));
    }
    if hooks.contains(&Script::Assemble) {
        return needs(format!("the application brings `{HOOKS}/assemble`"));
    }
    if hooks.contains(&Script::Run) {
        return needs(format!(
            "the application brings `{HOOKS}/run`, which the assemble step would install"
        ));
    }
    if let Some(file) = DEPENDENCY_FILES
        .into_iter()
        .find(|file| source.file(file).is_some())
    {
        return needs(format!(
            "the application has `{file}`, and installing packages runs pip"
        ));
    }
    let user = builder.image().config.parsed.user();
    let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
    let uid = if uid.is_empty() { "0" } else { uid };
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) => Ok(Steps::Direct { uid, gid }),
        _ => needs(format!(
            "the builder image's user `{user}` is a name, which only the unpacked image can resolve"
        )),
    }
}

fn process(
    builder: &BuilderImage,
    script: &str,
    destination: &str,
    environment: &[(String, String)],
) -> Process {
    let config = &builder.image().config.parsed;
    let mut variables: Vec<(String, String)> = config
        .environment()
        .iter()
        .filter_map(|line| split(line))
        .collect();
    if destination != labels::DEFAULT_DESTINATION {
        variables.push((DESTINATION_VARIABLE.to_owned(), destination.to_owned()));
    }
    variables.extend(environment.iter().cloned());
    // As `docker run IMAGE SCRIPT` would: an entry point wraps the command.
    let mut arguments = config.entrypoint();
    arguments.push(script.to_owned());
    Process {
        arguments,
        environment: last_wins(variables),
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
    run: String,
) -> Changes {
    let mut all_labels =
        BTreeMap::from([(labels::BUILD_IMAGE.to_owned(), builder.name().to_owned())]);
    all_labels.extend(request.labels.clone());
    let digest = builder.image().digest().to_string();
    let annotations = BTreeMap::from([
        (labels::BASE_NAME.to_owned(), builder.name().to_owned()),
        (labels::BASE_DIGEST.to_owned(), digest),
    ]);
    Changes {
        environment: last_wins(environment),
        labels: all_labels,
        command: Some(vec![run]),
        created: crate::image::rfc3339(request.epoch),
        author: "overcoat".to_owned(),
        annotations,
        ..Changes::default()
    }
}

fn summary(
    request: &BuildRequest,
    source: &SourceTree,
    builder: &BuilderImage,
    steps: &Steps,
    why: &str,
    changes: &Changes,
    application: &str,
) -> Vec<(&'static str, String)> {
    let files = source
        .entries
        .iter()
        .filter(|entry| matches!(entry.kind, crate::source::SourceKind::File { .. }));
    // Only a recipe that was not made yet is without layers.
    let identity = match builder.image().manifest.parsed.layers.is_empty() {
        true => "to be made first".to_owned(),
        false => builder.image().digest().to_string(),
    };
    let mut lines = vec![
        (
            "source",
            format!(
                "{} ({} files, {} bytes)",
                source.root.display(),
                files.count(),
                source.size_bytes()
            ),
        ),
        ("builder", format!("{} ({identity})", builder.name())),
        ("platform", request.platform.to_string()),
    ];
    match steps {
        Steps::Direct { uid, gid } => {
            lines.push(("strategy", format!("direct: {why}; nothing is executed")));
            lines.push((
                "application",
                format!("written to {application} for {uid}:{gid}"),
            ));
        }
        Steps::Assemble {
            process,
            destination,
            ..
        } => {
            lines.push(("strategy", format!("assemble: {why}")));
            lines.push(("source goes to", format!("{destination}/src")));
            let user = if process.user.is_empty() {
                "root"
            } else {
                &process.user
            };
            lines.push((
                "assemble",
                format!("{} as {user}", process.arguments.join(" ")),
            ));
            lines.push((
                "layers",
                format!("dependencies; application ({application})"),
            ));
        }
    }
    lines.push((
        "command",
        changes.command.clone().unwrap_or_default().join(" "),
    ));
    for (name, _) in &changes.environment {
        lines.push(("sets", name.clone()));
    }
    for tag in &request.tags {
        let push = if request.push == Push::Yes {
            ", pushed to its registry"
        } else {
            ""
        };
        lines.push(("name", format!("{}{push}", tag.reference)));
    }
    lines.extend(
        request
            .outputs
            .iter()
            .map(|output| ("writes", output.to_string())),
    );
    lines
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
