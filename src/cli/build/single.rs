//! One build, from what was ordered to where the image is wanted.

mod engines;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::Args;
use super::facts;
use super::perform::{self, Built, Job};
use super::request::{self, Ordered};
use super::target::Target;
use crate::build::{self, BuildReport, BuildRequest, Push, Tag, Tools};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::records::Place;
use crate::cli::s2i::flags::given;
use crate::cli::s2i::order::Called;
use crate::cli::s2i::previous::Replaced;
use crate::cli::s2i::source::{self, Brought};
use crate::cli::s2i::{afterwards, dockerfile};
use crate::cli::{check, confine, env, load, observer, print, push, sbom};
use crate::event::{Observer, Silent};
use crate::http::Http;
use crate::image::Platform;
use crate::output::load::{Engine, Found};
use crate::project::Operation;
use crate::reference::Reference;
use crate::registry::RegistryClient;
use crate::release::history::{self, Begin};
use crate::release::operation::Done;
use crate::release::outputs::{Others, Outputs, ResultFile};
use crate::release::propagation::Pushed;
use crate::release::result;
use crate::source::git;
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
        return print_result(built);
    }
    if shared.begin_file.is_some() {
        // Who started this build keeps its record, and waits for it: without them it has none.
        let parent = rustix::process::Signal::TERM;
        let _ = rustix::process::set_parent_process_death_signal(Some(parent));
    }
    if shared.entered.is_none() {
        warnings.tell(shared, args.s2i.common.quiet)?;
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
}

impl Order<'_> {
    /// Builds, and brings the image to where it is wanted beside the store, with the project's hooks and a record around it.
    fn deliver(&self, request: &BuildRequest) -> Result<Delivered, Diagnostic> {
        let Self { target, shared, .. } = *self;
        if shared.entered.is_some() {
            return self.build(request, None);
        }
        let is_part = shared.only_application.is_some() || shared.report_file.is_some();
        // Of a build that another command of ours has started, that one writes what pipelines read.
        let outputs = match is_part {
            true => Outputs::default(),
            false => self.outputs()?,
        };
        let name = target
            .application
            .as_ref()
            .map(|it| it.image_name().to_owned());
        let bills = (!is_part && self.args.sbom.are_given()).then_some(&self.args.sbom);
        let bill = match &target.application {
            Some(application) => application.name.clone(),
            None => sbom::last_part(&request.tags[0].reference).to_owned(),
        };
        if let Some(bills) = bills {
            bills.prepare(&[&bill], self.platforms, request.push == Push::Yes)?;
        }
        outputs.check(1, self.platforms.len().max(1))?;
        let names = request.tags.iter().map(|tag| tag.reference.name());
        let names: Vec<String> = name.clone().into_iter().chain(names).collect();
        outputs.forget_stale(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let of_project = target.project.as_ref().zip(target.application.as_ref());
        // Who wants to be told when a build begins keeps its record.
        let delivered = match of_project.filter(|_| shared.begin_file.is_none()) {
            Some((project, application)) => {
                let place = Place::of(project.clone(), shared)?;
                self.recorded(request, &place, &application.name)?
            }
            None => {
                let delivered = self.build(request, None)?;
                if request.push == Push::Yes {
                    self.await_sight(&delivered, observer(shared, true)?.as_ref())?;
                }
                delivered
            }
        };
        if let Some(report) = &delivered.report {
            if let Some(bills) = bills {
                let name = bill.as_str();
                let observer = observer(shared, self.args.s2i.common.quiet)?;
                let built = [sbom::Built { name, report }];
                bills.deliver(&built, &self.args.creds, shared, observer.as_ref())?;
            }
            outputs.write(&[facts::of(report, name.as_deref())?])?;
        }
        Ok(delivered)
    }

    /// The build, and the push, each with its hooks and its record.
    fn recorded(
        &self,
        request: &BuildRequest,
        place: &Place,
        application: &str,
    ) -> Result<Delivered, Diagnostic> {
        let environment = self.args.records.asked();
        let begin = |operation, facts| Begin {
            commit: git::commit(&env::git(), &request.source, &Silent),
            ..place.beginning(operation, application, environment, facts)
        };
        let mut hooks = place.project.hooks.iter();
        let has_push_hooks = hooks.any(|hook| hook.operation == Operation::Push);
        let observer = observer(self.shared, self.args.s2i.common.quiet)?;
        let is_pushed = request.push == Push::Yes;
        // Layers go from registry to registry without coming here, unless something is to be done between.
        let is_pushed_later = is_pushed && has_push_hooks;
        let mut request = request.clone();
        if is_pushed_later {
            request.push = Push::No;
        }
        let built = place.perform(
            begin(Operation::Build, history::Facts::default()),
            observer.as_ref(),
            |observer, running| {
                let log = running.map(|running| place.history.log_path(running.id()));
                let watcher = Watcher {
                    observer,
                    log: log.as_deref(),
                };
                let delivered = self.build(&request, Some(watcher))?;
                let Some(report) = &delivered.report else {
                    return Err(Diagnostic::told(delivered.status));
                };
                Ok(Done {
                    facts: facts::recorded(&facts::of(report, None)?),
                    platforms: report
                        .images
                        .iter()
                        .map(|image| image.platform.clone())
                        .collect(),
                    result_file: self.result_file(),
                    value: delivered,
                })
            },
        )?;
        let mut delivered = built.value;
        let (true, Some(report)) = (is_pushed, delivered.report.as_mut()) else {
            return Ok(delivered);
        };
        let facts = history::Facts {
            links: built
                .record
                .iter()
                .map(|record| (Operation::Build, record.id.clone()))
                .collect(),
            ..facts::recorded(&facts::of(report, None)?)
        };
        report.is_pushed = true;
        let platforms = report.images.iter().map(|image| image.platform.clone());
        let platforms: Vec<String> = platforms.collect();
        let begin = begin(Operation::Push, facts);
        place.perform(begin, observer.as_ref(), |observer, _| {
            if is_pushed_later {
                for tag in &delivered.tags {
                    let name = tag.reference.without_digest().to_string();
                    push::send(&name, tag, &self.args.creds, self.shared)?;
                }
            }
            self.await_sight(&delivered, observer)?;
            Ok(Done {
                value: (),
                facts: history::Facts::default(),
                platforms: platforms.clone(),
                result_file: self.result_file(),
            })
        })?;
        Ok(delivered)
    }

    /// Waits until what was pushed is seen, if that was asked for.
    fn await_sight(
        &self,
        delivered: &Delivered,
        observer: &dyn Observer,
    ) -> Result<(), Diagnostic> {
        let propagation = self.args.propagation;
        let (true, Some(report)) = (propagation.is_given(), &delivered.report) else {
            return Ok(());
        };
        let mut host = env::host_for(self.shared, Path::new(&self.target.source))?;
        if let Some(file) = self.args.s2i.common.dockercfg() {
            host.registries.auth_files.insert(0, file.to_owned());
        }
        let hosts = delivered.tags.iter().map(|tag| tag.reference.host());
        let creds = &self.args.creds;
        creds.apply(&mut host.registries, hosts, self.shared, false)?;
        let http = Http::new(&host.network).map_err(build::Error::from)?;
        let registry = RegistryClient::new(Arc::new(http), host.registries);
        let pushed = delivered.tags.iter().map(|tag| Pushed {
            reference: tag.reference.clone(),
            digest: report.digest.clone(),
        });
        propagation.wait(&pushed.collect::<Vec<_>>(), &registry, observer)
    }

    /// The file of results that there will be.
    fn result_file(&self) -> Option<PathBuf> {
        let named = self.args.pipeline.result_file();
        let project = self.target.project.as_ref();
        named.or_else(|| project.map(|project| project.root.join(result::FILE)))
    }

    /// What pipelines read, and in a project the file of results.
    fn outputs(&self) -> Result<Outputs, Diagnostic> {
        let mut outputs = self.args.pipeline.outputs();
        if let (None, Some(project), Some(_)) = (
            &outputs.result,
            &self.target.project,
            &self.target.application,
        ) {
            outputs.result = Some(ResultFile {
                path: project.root.join(result::FILE),
                others: Others::Stay,
            });
        }
        Ok(outputs)
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
        let built = perform::perform(&job, shared)?;
        let report = built.report().cloned();
        let tags: Vec<Tag> = match &report {
            Some(report) => request
                .tags
                .iter()
                .map(|tag| tag.of(&report.digest))
                .collect(),
            None => request.tags.clone(),
        };
        let status = print_result(built)?;
        if !engines.is_empty() && status == Code::Success as u8 {
            let references = tags.iter().map(|tag| tag.reference.clone());
            let references: Vec<Reference> = references.collect();
            let name = references[0].without_digest().to_string();
            let loaded = load::load(&engines, &name, &references, shared, is_quiet);
            loaded.map_err(|error| self.of_skaffold(error))?;
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

/// Prints one line for every name, unless the process in the namespace has; the exit status.
fn print_result(built: Built) -> Result<u8, Diagnostic> {
    match built {
        Built::Inside { status, .. } => Ok(status),
        Built::Here(report) => {
            print(&report.references.join("\n"))?;
            Ok(Code::Success as u8)
        }
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
