//! One build, from what was ordered to where the image is wanted.

mod engines;
mod recorded;

use std::path::Path;

use super::args::Args;
use super::facts;
use super::perform::{self, Built, Job, Sender};
use super::request::{self, Ordered};
use super::target::Target;
use super::told::{self, Told};
use crate::build::{self, BuildReport, BuildRequest, Push, Tag, Tools};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::s2i::flags::given;
use crate::cli::s2i::order::Called;
use crate::cli::s2i::previous::Replaced;
use crate::cli::s2i::source::{self, Brought};
use crate::cli::s2i::{afterwards, dockerfile};
use crate::cli::{check, confine, env, load, observer, print};
use crate::event::{Observer, stage};
use crate::image::Platform;
use crate::output::load::{Engine, Found};
use crate::project::Operation;
use crate::reference::Reference;
use crate::release::result;
use crate::store::BlobStore;

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, target: &Target, shared: &Shared) -> Result<u8, Diagnostic> {
    let Ordered {
        mut request,
        platforms,
        warnings,
    } = request::request(args, target)?;
    if args.propagation.is_given() && request.push == Push::No {
        let what = "`--propagation-timeout` is about what is pushed, and nothing is";
        return Err(Diagnostic::new(Code::Usage, what).hint("say `--push`, or leave it out"));
    }
    let flags = &args.s2i;
    let brought = source::bring(
        &target.source,
        flags,
        Called::Overcoat,
        &mut request,
        shared,
    )?;
    request.s2i.rules.left_out = results_in(target);
    let ordered = Order {
        args,
        target,
        platforms: &platforms,
        brought: &brought,
        shared,
    };
    if args.plan {
        return ordered.plan(&request);
    }
    if let Some(text) = &shared.check_with {
        let again = Again::parse(text)
            .ok_or_else(|| Diagnostic::new(Code::Usage, "`--check-with` is for overcoat itself"))?;
        // Nobody would take its result after the first build has ended.
        let parent = rustix::process::Signal::TERM;
        let _ = rustix::process::set_parent_process_death_signal(Some(parent));
        // Only the image matters this time.
        request.tags = vec![again.tag];
        request.outputs.clear();
        request.loads.clear();
        request.push = Push::No;
        request.cache.is_used = false;
        let built = perform::perform(&ordered.job(&request, &again.flags), shared)?;
        return Ok(status_of(&built));
    }
    if shared.begin_file.is_some() {
        // Who started this build keeps its record, and waits for it: without them it has none.
        let parent = rustix::process::Signal::TERM;
        let _ = rustix::process::set_parent_process_death_signal(Some(parent));
    }
    if shared.entered.is_none() {
        warnings.tell(shared, args.s2i.common.quiet)?;
        if let Some(wanted) = &target.skaffold {
            // A variable that the shell had before wins over Skaffold's: who wonders sees here what came.
            let observer = observer(shared, args.s2i.common.quiet)?;
            stage(observer.as_ref(), "from Skaffold", wanted.to_string()).finish("");
        }
    }
    if let Some(out) = given(&args.s2i.build.as_dockerfile) {
        if args.sbom.are_given() {
            return Err(Diagnostic::new(
                Code::Usage,
                "a bill of materials is of an image, and `--as-dockerfile` builds none",
            ));
        }
        let (builder, _) = request::builder(args, target);
        let written = dockerfile::write(&request, builder, flags, out.as_ref(), shared)?;
        print(&written.display().to_string())?;
        return Ok(Code::Success as u8);
    }
    let is_outermost = shared.entered.is_none();
    let delivered = ordered.deliver(&request);
    // What a callback is told of is what has a name now.
    let tag = match &delivered {
        Ok(Delivered { tags, .. }) => tags[0].clone(),
        Err(_) => request.tags[0].clone(),
    };
    let status = delivered.map(|delivered| delivered.status);
    let status = match is_outermost {
        true => afterwards::call_back(&args.s2i, &tag, status, shared),
        false => status,
    }?;
    if is_outermost && status == Code::Success as u8 && args.s2i.build.run {
        // What becomes another program drops nothing.
        drop(brought);
        return afterwards::run_image(&tag, &args.confine, shared);
    }
    Ok(status)
}

/// The file of results where it lies in the application's own source: a build would change what the next one is of.
fn results_in(target: &Target) -> Vec<Vec<u8>> {
    let (Some(project), Some(application)) = (&target.project, &target.application) else {
        return Vec::new();
    };
    let file = project.root.join(result::FILE);
    let below = file.strip_prefix(application.source(project)).ok();
    let below = below.map(|path| path.as_os_str().as_encoded_bytes().to_vec());
    below.into_iter().collect()
}

/// One build with all that it is made of.
struct Order<'a> {
    args: &'a Args,
    target: &'a Target,
    platforms: &'a [Platform],
    brought: &'a Brought,
    shared: &'a Shared,
}

/// Who is told of a build, and the log of its record.
struct Watcher<'a> {
    observer: &'a dyn Observer,
    log: Option<&'a Path>,
}

/// What came of a build.
struct Delivered {
    /// The exit status.
    status: u8,
    /// The names that the image has now.
    tags: Vec<Tag>,
    /// What was built, if it was.
    report: Option<BuildReport>,
    /// What sends it, where that is an operation of its own.
    sender: Option<Sender>,
}

impl Order<'_> {
    /// Builds, and brings the image to where it is wanted beside the store, with the project's hooks and a record around it.
    fn deliver(&self, request: &BuildRequest) -> Result<Delivered, Diagnostic> {
        let Self { target, shared, .. } = *self;
        let owner = target.project.as_ref().zip(target.application.as_ref());
        // Who wants to be told when a build begins keeps its record.
        let owner = owner.filter(|_| shared.begin_file.is_none());
        let mut request = request.clone();
        if let (Some((project, _)), Push::Yes) = (owner, request.push) {
            // What hooks beside a push look at is the image in the store. Else its layers may go from registry to registry
            // without coming here.
            let mut hooks = project.hooks.iter();
            let is_whole = hooks.any(|hook| hook.operation == Operation::Push);
            request.push = Push::Later { is_whole };
        }
        if shared.entered.is_some() {
            return self.build(&request, None);
        }
        let told = Told::new(self.args, target, &request.tags, shared);
        told.begin(&request.tags, self.platforms, request.push.is_wanted())?;
        let delivered = match owner {
            Some((project, application)) => {
                self.recorded(&request, project, &application.name, &told)?
            }
            None => {
                let delivered = self.build(&request, None)?;
                if request.push.is_wanted() {
                    self.await_sight(&delivered, observer(shared, true)?.as_ref())?;
                }
                if let Some(report) = &delivered.report {
                    told.write(report)?;
                }
                delivered
            }
        };
        if let Some(report) = &delivered.report {
            let lines = told::lines(report, self.args.s2i.common.quiet);
            print(&lines.join("\n"))?;
        }
        Ok(delivered)
    }

    /// Builds, and gives the image to engines and comparisons.
    fn build(
        &self,
        request: &BuildRequest,
        watcher: Option<Watcher<'_>>,
    ) -> Result<Delivered, Diagnostic> {
        let Self { args, shared, .. } = *self;
        let is_outermost = shared.entered.is_none();
        // Engines are this user's, with this user's groups: never from inside a namespace.
        let engines: Vec<(Engine, Found)> = match is_outermost {
            true => self.engines()?,
            false => Vec::new(),
        };
        let is_quiet = args.s2i.common.quiet;
        let replaced = match is_outermost {
            true => Replaced::look(request, &engines, shared, is_quiet)?,
            false => None,
        };
        let marker = replaced.as_ref().map(Replaced::marker);
        let job = Job {
            artifacts: marker.as_deref(),
            observer: watcher.as_ref().map(|watcher| watcher.observer),
            log: watcher.as_ref().and_then(|watcher| watcher.log),
            ..self.job(request, &args.confine)
        };
        let (built, sender) = perform::perform_to_send(&job, shared)?;
        let report = built.report().cloned();
        let tags: Vec<Tag> = match &report {
            Some(report) => request
                .tags
                .iter()
                .map(|tag| tag.of(&report.digest))
                .collect(),
            None => request.tags.clone(),
        };
        let status = status_of(&built);
        if !engines.is_empty() && status == Code::Success as u8 {
            let references = tags.iter().map(|tag| tag.reference.clone());
            let references: Vec<Reference> = references.collect();
            let name = references[0].without_digest().to_string();
            load::load(&engines, &name, &references, shared, is_quiet)
                .map_err(|error| self.of_skaffold(error))?;
            if let Some(replaced) = replaced {
                replaced.remove(shared, is_quiet)?;
            }
        }
        if args.check && is_outermost && status == Code::Success as u8 {
            check::run(&args.confine, &tags[0], shared)?;
        }
        Ok(Delivered {
            status,
            tags,
            report,
            sender,
        })
    }

    fn job<'b>(&'b self, request: &'b BuildRequest, flags: &'b confine::Flags) -> Job<'b> {
        Job {
            engine: None,
            observer: None,
            log: None,
            artifacts: None,
            request,
            platforms: self.platforms,
            flags,
            creds: &self.args.creds,
            auth_file: self.args.s2i.common.dockercfg(),
            brought: self.brought.handed(),
            explains: self.args.explain,
            is_quiet: self.args.s2i.common.quiet,
        }
    }

    /// Prints what would be done. Not even an empty store is made.
    fn plan(&self, request: &BuildRequest) -> Result<u8, Diagnostic> {
        let shared = self.shared;
        let scratch = tempfile::tempdir().map_err(|error| {
            crate::fs::Error::new("create a directory in", std::env::temp_dir(), error)
        })?;
        let scratch = BlobStore::open(scratch.path())?;
        let root = env::store(shared)?;
        let existing = match root.join("oci-layout").exists() {
            true => Some(BlobStore::open(&root)?),
            false => None,
        };
        let mut host = env::host_for(shared, &request.source)?;
        let registries = perform::registries(request);
        let creds = &self.args.creds;
        creds.apply(&mut host.registries, registries, shared, false)?;
        let tools = Tools::new(existing.as_ref().unwrap_or(&scratch), host);
        let observer = observer(shared, true)?;
        for request in perform::requests(request, self.platforms) {
            let plan = build::plan(&request, &tools, &scratch, observer.as_ref())?;
            print(plan.to_string().trim_end())?;
        }
        Ok(Code::Success as u8)
    }
}

/// The exit status: that of the process in the namespace, where one was needed.
fn status_of(built: &Built) -> u8 {
    match built {
        Built::Inside { status, .. } => *status,
        Built::Here(_) => Code::Success as u8,
    }
}

/// The second build of `--check`.
struct Again {
    flags: confine::Flags,
    tag: Tag,
}

impl Again {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let isolation = parts.next()?.parse().ok()?;
        let flags = confine::Flags::of_check(isolation, parts.next()?)?;
        let tag = parts.next()?.parse().ok()?;
        Some(Self { flags, tag })
    }
}
