//! A build from the decision to the report, entering a user namespace on the way where that is needed.

use std::path::Path;
use std::time::Duration;

use crate::build::{
    self, BuildReport, BuildRequest, Decided, EngineAccess, ImageSource, PreviousImage, Push, Tag,
    Tools,
};
use crate::cli::args::Shared;
use crate::cli::confine::{self, HandedFiles, Needs, Way};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{creds, env, observer, open_store};
use crate::event::Observer;
use crate::image::Platform;
use crate::reference::Reference;
use crate::registry::RegistryClient;
use crate::release::history::Continuing;
use crate::ui::{Held, Muted};

/// What is built, and how.
pub(in crate::cli) struct Job<'a> {
    /// What was asked for.
    pub(in crate::cli) request: &'a BuildRequest,
    /// For which platforms; none means the request's.
    pub(in crate::cli) platforms: &'a [Platform],
    /// How scripts are to be kept apart.
    pub(in crate::cli) flags: &'a confine::Flags,
    /// Who to be at a registry.
    pub(in crate::cli) creds: &'a creds::Flags,
    /// `--dockercfg-path`: where credentials are looked for first.
    pub(in crate::cli) auth_file: Option<&'a Path>,
    /// A container engine whose images may be used.
    pub(in crate::cli) engine: Option<EngineAccess>,
    /// What tells this command, started again, which source is here already.
    pub(in crate::cli) brought: Option<&'a Path>,
    /// A file that is there in the end if the previous image gave artifacts.
    pub(in crate::cli) artifacts: Option<&'a Path>,
    /// The log of the record that this is a part of.
    pub(in crate::cli) log: Option<&'a Path>,
    /// Who is told what happens; one of our own where nobody is given.
    pub(in crate::cli) observer: Option<&'a dyn Observer>,
    /// `--explain`.
    pub(in crate::cli) explains: bool,
    /// `--quiet`.
    pub(in crate::cli) is_quiet: bool,
}

/// How a build ended well.
pub(in crate::cli) enum Built {
    /// In this process.
    Here(BuildReport),
    /// In another, which has told everything.
    Inside {
        /// Its exit status.
        status: u8,
        /// What it built, if it did.
        report: Option<BuildReport>,
    },
}

impl Built {
    /// What was built, if anything was.
    pub(in crate::cli) fn report(&self) -> Option<&BuildReport> {
        match self {
            Self::Here(report) => Some(report),
            Self::Inside { report, .. } => report.as_ref(),
        }
    }
}

/// How often whoever started this command is looked for, and how many times.
const LOOK: Duration = Duration::from_millis(5);
const ANSWER_LOOKS: u32 = 6000;
/// What sends a build's image to its registries afterwards: with the connections and the tokens that the build has.
pub(super) struct Sender {
    registry: RegistryClient,
    previous: Vec<PreviousImage>,
}

impl Sender {
    /// What is left of a build's tools; nothing unless the image is to be sent after the build.
    fn of(tools: Tools<'_>, builds: &[Decided], push: Push) -> Result<Option<Self>, Diagnostic> {
        if !matches!(push, Push::Later { .. }) {
            return Ok(None);
        }
        let previous = builds.iter().flat_map(|build| build.prepared.previous());
        Ok(Some(Self {
            previous: previous.cloned().collect(),
            registry: tools.into_registry().map_err(build::Error::from)?,
        }))
    }

    /// Sends what was built to the registries of these names.
    ///
    /// # Errors
    /// What a registry says.
    pub(super) fn send(
        &self,
        report: &BuildReport,
        tags: &[Tag],
        shared: &Shared,
        observer: &dyn Observer,
    ) -> Result<(), Diagnostic> {
        let store = open_store(shared)?;
        let names = tags.iter().map(|tag| tag.reference.without_digest());
        let names: Vec<Reference> = names.collect();
        Ok(build::send(
            report,
            &names,
            &self.previous,
            &self.registry,
            &store,
            observer,
        )?)
    }
}

/// Larger files are not ours, in bytes.
const MOST_REPORT: u64 = 16 << 20;

/// What a command that was started again wrote down.
///
/// # Errors
/// When it is not what such a command writes.
pub(in crate::cli) fn read_report(file: &Path) -> Result<BuildReport, Diagnostic> {
    let bytes = crate::fs::read_limited(file, MOST_REPORT)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let text = format!("`--report-file` is for overcoat itself: {error}");
        Diagnostic::new(Code::Internal, text)
    })
}

/// Writes down what was built, for who started this command.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_report(file: &Path, report: &BuildReport) -> Result<(), Diagnostic> {
    let bytes = serde_json::to_vec(report).map_err(|error| {
        Diagnostic::new(
            Code::Internal,
            format!("cannot write down what was built: {error}"),
        )
    })?;
    Ok(crate::fs::write_atomic(file, &bytes)?)
}

/// Builds as asked for, here or in a user namespace.
///
/// # Errors
/// Whatever a build can fail of. What fails in the namespace was told there: [`Built::Inside`] has its status, and
/// what was built in it.
pub(in crate::cli) fn perform(job: &Job<'_>, shared: &Shared) -> Result<Built, Diagnostic> {
    perform_to_send(job, shared).map(|(built, _)| built)
}

/// As [`perform`], with what sends the image afterwards where the request is to push it later.
///
/// # Errors
/// As [`perform`].
pub(super) fn perform_to_send(
    job: &Job<'_>,
    shared: &Shared,
) -> Result<(Built, Option<Sender>), Diagnostic> {
    let (request, flags) = (job.request, job.flags);
    let store = open_store(shared)?;
    let mut host = env::host_for(shared, &request.source)?;
    if let Some(file) = job.auth_file {
        host.registries.auth_files.insert(0, file.to_owned());
    }
    let may_go_inside = confine::may_go_inside(flags, shared);
    let handed = job.creds.apply(
        &mut host.registries,
        registries(request),
        shared,
        may_go_inside,
    )?;
    let mut tools = Tools::new(&store, host);
    tools.engine.clone_from(&job.engine);
    let own = match job.observer {
        Some(_) => None,
        None => Some(observer(shared, job.is_quiet)?),
    };
    let given = job.observer.or(own.as_deref());
    let Some(observer) = given else {
        return Err(Diagnostic::new(Code::Internal, "nobody watches the build"));
    };
    let continuing = match &shared.log_file {
        Some(file) => Some(Continuing::open(file, observer)?),
        None => None,
    };
    let observer = match &continuing {
        Some(continuing) => continuing,
        None => observer,
    };
    // Scripts may need a user namespace, in which this command is run once more: what is said in this first pass would
    // be said twice.
    let muted = Muted(observer);
    let watcher: &dyn Observer = match may_go_inside {
        true => &muted,
        false => observer,
    };
    let requests = requests(request, job.platforms);
    let prepare = |tools: &Tools<'_>, watcher: &dyn Observer| {
        let mut builds = Vec::new();
        for request in &requests {
            let request = request.clone();
            let prepared = build::prepare(&request, tools, watcher)?;
            builds.push(Decided { request, prepared });
        }
        Ok::<Vec<Decided>, build::Error>(builds)
    };
    let needs_sandbox = |builds: &[Decided]| -> Result<bool, Diagnostic> {
        let mut needing = builds.iter().filter(|build| build.prepared.needs_sandbox());
        needing.try_fold(false, |_, build| can_execute(&build.request).map(|()| true))
    };
    let mut nothing_better = None;
    let held = Held::new(watcher);
    let mut builds = match prepare(&tools, &held) {
        Ok(builds) => Some(builds),
        // Even the decision takes something that must be executed.
        Err(build::Error::NothingMayRun) => {
            requests.iter().try_for_each(can_execute)?;
            None
        }
        Err(error) => {
            held.tell();
            return Err(error.into());
        }
    };
    let is_sandbox_needed = match &builds {
        Some(builds) => needs_sandbox(builds)?,
        None => true,
    };
    let is_made = builds
        .as_ref()
        .is_some_and(|builds| builds.iter().all(|build| build.prepared.is_made()));
    if let (false, Some(file), None) = (is_made, &shared.begin_file, &shared.entered) {
        announce(file, observer)?;
    }
    let explain = |builds: &[Decided], tools: &Tools<'_>| {
        for Decided { request, prepared } in builds.iter().filter(|_| job.explains) {
            build::explain(request, prepared, tools, observer);
        }
    };
    if let (Some(builds), None) = (&builds, &shared.entered) {
        explain(builds, &tools);
    }
    if is_sandbox_needed {
        let needs = Needs {
            network: request.inputs.network,
            may_be_in_place: true,
        };
        match confine::decide(flags, shared, needs, &tools.program, store.root(), observer)? {
            Way::Here(confinement) => tools.confinement = Some(confinement),
            Way::LastResort(confinement, error) => {
                tools.confinement = Some(confinement);
                nothing_better = Some(error);
            }
            Way::Inside(namespace, decided) => {
                let program = tools.program.clone();
                let handed = handed.as_ref();
                // Who started this command to know what it builds is told by the one inside.
                // The second build of `--check` is nobody's result.
                let is_told = shared.report_file.is_none() && shared.check_with.is_none();
                let ours = match is_told {
                    false => None,
                    true => Some(tempfile::tempdir().map_err(|error| {
                        crate::fs::Error::new("create a directory in", std::env::temp_dir(), error)
                    })?),
                };
                let ours = ours
                    .as_ref()
                    .map(|directory| directory.path().join("report"));
                let files = HandedFiles {
                    brought: job.brought,
                    artifacts: job.artifacts,
                    report: ours.as_deref(),
                    log: job.log,
                };
                let status = confine::go_inside(&program, &namespace, &decided, handed, files)?;
                let file = match shared.check_with {
                    None => ours.as_ref().or(shared.report_file.as_ref()),
                    Some(_) => None,
                };
                let report = match (status, file) {
                    (0, Some(file)) => Some(read_report(file)?),
                    _ => None,
                };
                let sender =
                    Sender::of(tools, builds.as_deref().unwrap_or_default(), request.push)?;
                return Ok((Built::Inside { status, report }, sender));
            }
        }
    }
    let builds = match builds.take() {
        Some(builds) => {
            held.tell();
            builds
        }
        None => {
            let builds = prepare(&tools, watcher)?;
            explain(&builds, &tools);
            builds
        }
    };
    let report = build::execute(&builds, &tools, observer);
    let report = match (report, nothing_better) {
        (Err(build::Error::InPlace(error)), Some(ladder)) => {
            return Err(Diagnostic::from(ladder).also(error));
        }
        (report, _) => report?,
    };
    if let (true, Some(file)) = (
        report.took_artifacts,
        job.artifacts.or(shared.artifacts_file.as_deref()),
    ) {
        crate::fs::write_atomic(file, b"")?;
    }
    if let (Some(file), None) = (&shared.report_file, &shared.check_with) {
        write_report(file, &report)?;
    }
    let sender = Sender::of(tools, &builds, request.push)?;
    Ok((Built::Here(report), sender))
}

/// Tells whoever started this command that there is something to be done, and waits until that is known there: a record has to be there
/// before the work.
fn announce(file: &Path, observer: &dyn Observer) -> Result<(), Diagnostic> {
    crate::fs::write_atomic(file, b"")?;
    for _ in 0..ANSWER_LOOKS {
        if observer.is_cancelled() {
            return Err(build::Error::Interrupted.into());
        }
        if !file.exists() {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    // It was killed: nobody waits for what would be built.
    Err(Diagnostic::new(
        Code::Internal,
        "whoever started this build does not answer",
    ))
}

/// One request for each platform, alike in all else.
pub(super) fn requests(request: &BuildRequest, platforms: &[Platform]) -> Vec<BuildRequest> {
    let mut wanted: Vec<Platform> = Vec::new();
    for platform in platforms {
        if !wanted.contains(platform) {
            wanted.push(platform.clone());
        }
    }
    if wanted.is_empty() {
        wanted.push(request.platform.clone());
    }
    let for_platform = |platform| BuildRequest {
        platform,
        ..request.clone()
    };
    wanted.into_iter().map(for_platform).collect()
}

/// # Errors
/// When what must be executed is for machines of another kind.
fn can_execute(request: &BuildRequest) -> Result<(), Diagnostic> {
    let host = Platform::host();
    let (wanted, here) = (&request.platform.architecture, &host.architecture);
    // A 64-bit machine may well execute programs of its smaller sister.
    let is_sister = matches!(
        (wanted.as_str(), here.as_str()),
        ("386", "amd64") | ("arm", "arm64")
    );
    if wanted == here || is_sister {
        return Ok(());
    }
    Err(Diagnostic::new(
        Code::UnsuitableBuilder,
        format!(
            "something must be executed for `{}`, and this machine is `{host}`",
            request.platform
        ),
    )
    .hint("`overcoat build --plan --platform P` says what, and why `direct` cannot do it"))
}

/// Whose registries `--creds` is for.
pub(super) fn registries(request: &BuildRequest) -> Vec<&str> {
    match (request.push, &request.builder) {
        (Push::Yes | Push::Later { .. }, _) => request
            .tags
            .iter()
            .map(|tag| tag.reference.host())
            .collect(),
        (Push::No, ImageSource::Reference(reference)) => vec![reference.host()],
        (Push::No, _) => Vec::new(),
    }
}
