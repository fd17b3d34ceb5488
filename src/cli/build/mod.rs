//! `overcoat build`.

pub(super) mod perform;
mod request;

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use self::perform::{Built, Job};
use super::args::{self, Shared};
use super::confine;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::load;
use super::s2i::flags::{S2iFlags, given};
use super::s2i::order::Called;
use super::s2i::previous::Replaced;
use super::s2i::source::{self, Brought};
use super::s2i::{afterwards, dockerfile};
use super::step_args::StepArgs;
use super::{check, creds, env, observer, print};
use crate::build::{self, BuildRequest, Push, Tag, Tools};
use crate::image::{Platform, media_type};
use crate::output::Destination;
use crate::output::load::{Engine, Found};
use crate::reference::Reference;
use crate::store::BlobStore;

/// The builder that is used when none is named.
pub(super) const DEFAULT_BUILDER: &str = "builder:python-3.11";

/// Build an image from an application's source
///
/// Prints one line `NAME@sha256:…` for every name. The image stays in the store; `--push` and `-o` also send it
/// elsewhere.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The application: a directory that holds it
    #[arg(default_value = ".")]
    source: String,

    /// The builder image, as for `--build-image`
    #[arg(conflicts_with = "build_image")]
    builder: Option<String>,

    /// A name for the image, as for `-t`
    #[arg(value_name = "TAG", conflicts_with = "tags")]
    tag: Option<String>,

    /// A name for the image, `[HOST[:PORT]/]NAME[:TAG]`; may be given several times [default: the source's name]
    #[arg(short, long = "tag", value_name = "NAME")]
    tags: Vec<String>,

    /// The builder image
    ///
    /// A registry reference, `oci:DIR[:NAME]`, `archive:FILE[:NAME]`, `oci-archive:FILE[:NAME]`,
    /// `docker-archive:FILE[:NAME]`, or `builder:RECIPE` for one that overcoat makes itself (`overcoat builder list`).
    #[arg(long, value_name = "IMG", default_value = DEFAULT_BUILDER)]
    build_image: String,

    /// Push every name to its registry
    #[arg(long)]
    push: bool,

    #[command(flatten)]
    creds: creds::Flags,

    /// Also write the image to `archive:FILE`, which every container engine loads, to `oci:DIR`, `oci-archive:FILE` or
    /// `docker-archive:FILE`, each with `:NAME` for another name; may be repeated
    #[arg(short, long = "output", value_name = "TYPE:PATH")]
    outputs: Vec<Destination>,

    #[command(flatten)]
    load: load::Flags,

    /// Set a label of the image; may be repeated
    #[arg(long = "label", value_name = "K=V", value_parser = args::variable)]
    labels: Vec<(String, String)>,

    /// How to make the layers
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto")]
    strategy: Strategy,

    /// How to compress new layers
    #[arg(long, value_enum, value_name = "HOW", default_value = "gzip")]
    compression: Compression,

    /// Compile Python bytecode beforehand, as a layer of its own
    ///
    /// The image's interpreter compiles installed packages and the application in the sandbox, after everything else. The
    /// image gets larger and starts faster; in the running container nothing needs to be writable for it.
    #[arg(long)]
    compile_bytecode: bool,

    /// The platforms to build for, `OS/ARCHITECTURE[,…]` [default: this machine's]
    ///
    /// Several give an index of images. Nothing of another machine's kind can be executed here, so this needs `direct`.
    #[arg(long = "platform", value_name = "P", value_delimiter = ',')]
    platforms: Vec<Platform>,

    #[command(flatten)]
    confine: confine::Flags,

    #[command(flatten)]
    step: StepArgs,

    /// Write the image's digest to FILE
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,

    /// Do every step again, whatever is remembered of earlier builds
    #[arg(long)]
    no_cache: bool,

    /// Re-use layers of this image where their steps have the same inputs; may be repeated
    ///
    /// With `--push`, the images that are about to be replaced are looked at anyway.
    #[arg(long, value_name = "REF")]
    cache_from: Vec<Reference>,

    /// Look for newer versions of packages than those that were found before
    #[arg(long, conflicts_with = "locked")]
    refresh: bool,

    /// Fail rather than choose versions: `pylock.toml`, or pins with hashes, must say all of them
    #[arg(long)]
    locked: bool,

    /// How many layers the image may have, the builder's included
    #[arg(long, value_name = "N", default_value_t = build::DEFAULT_MAX_LAYERS,
          value_parser = args::layers)]
    max_layers: usize,

    /// Say of every step whether it has to be done again, and which input made it so
    #[arg(long)]
    explain: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    plan: bool,

    /// Build once more, kept apart in another way, and show every file that differs
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    s2i: S2iFlags,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Strategy {
    /// What fits the builder and the application.
    Auto,
    /// Write wheels and the source into layers without executing anything.
    Direct,
    /// Run the `assemble` script in the sandbox.
    Assemble,
}

impl From<Strategy> for build::Strategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Auto => Self::Auto,
            Strategy::Direct => Self::Direct,
            Strategy::Assemble => Self::Assemble,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Compression {
    /// Everything reads it.
    Gzip,
    /// Smaller and several times faster; Docker before 23 and registries that know Docker's formats only refuse it.
    Zstd,
}

impl From<Compression> for media_type::Compression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    let (mut request, warnings) = request::request(args)?;
    let flags = &args.s2i;
    let brought = source::bring(&args.source, flags, Called::Overcoat, &mut request, shared)?;
    if args.plan {
        return plan(args, shared, &request, &args.platforms);
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
        let built = perform::perform(&job(args, &request, &again.flags, &brought), shared)?;
        return print_result(built);
    }
    let is_outermost = shared.entered.is_none();
    if is_outermost {
        warnings.tell(shared, args.s2i.common.quiet)?;
    }
    if let Some(out) = given(&args.s2i.build.as_dockerfile) {
        let builder = args.builder.as_ref().unwrap_or(&args.build_image);
        let written = dockerfile::write(&request, builder, flags, out.as_ref(), shared)?;
        print(&written.display().to_string())?;
        return Ok(Code::Success as u8);
    }
    let status = deliver(args, &request, &brought, shared);
    let status = match is_outermost {
        true => afterwards::call_back(&args.s2i, &request.tags[0], status, shared),
        false => status,
    }?;
    if is_outermost && status == Code::Success as u8 && args.s2i.build.run {
        // What becomes another program drops nothing.
        drop(brought);
        return afterwards::run_image(&request.tags[0], &args.confine, shared);
    }
    Ok(status)
}

/// Builds, and brings the image to where it is wanted beside the store; the exit status.
fn deliver(
    args: &Args,
    request: &BuildRequest,
    brought: &Brought,
    shared: &Shared,
) -> Result<u8, Diagnostic> {
    let is_outermost = shared.entered.is_none();
    // Engines are this user's, with this user's groups: never from inside a namespace.
    let engines: Vec<(Engine, Found)> = match is_outermost {
        true => args.load.find()?,
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
        ..job(args, request, &args.confine, brought)
    };
    let built = perform::perform(&job, shared)?;
    if let (Built::Here(report), Some(file)) = (&built, &args.digest_file) {
        crate::fs::write_atomic(file, format!("{}\n", report.digest).as_bytes())?;
    }
    let status = print_result(built)?;
    if !engines.is_empty() && status == Code::Success as u8 {
        let references = request.tags.iter().map(|tag| tag.reference.clone());
        let references: Vec<Reference> = references.collect();
        let name = references[0].without_digest().to_string();
        load::load(&engines, &name, &references, shared, is_quiet)?;
        if let Some(replaced) = replaced {
            replaced.remove(shared, is_quiet)?;
        }
    }
    if args.check && is_outermost && status == Code::Success as u8 {
        check::run(&args.confine, &request.tags[0], shared)?;
    }
    Ok(status)
}

fn job<'a>(
    args: &'a Args,
    request: &'a BuildRequest,
    flags: &'a confine::Flags,
    brought: &'a Brought,
) -> Job<'a> {
    Job {
        engine: None,
        artifacts: None,
        request,
        platforms: &args.platforms,
        flags,
        creds: &args.creds,
        auth_file: args.s2i.common.dockercfg(),
        brought: brought.handed(),
        explains: args.explain,
        is_quiet: args.s2i.common.quiet,
    }
}

/// Prints one line for every name, unless the process in the namespace has; the exit status.
fn print_result(built: Built) -> Result<u8, Diagnostic> {
    match built {
        Built::Inside(status) => Ok(status),
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

/// Prints what would be done. Not even an empty store is made.
fn plan(
    args: &Args,
    shared: &Shared,
    request: &BuildRequest,
    platforms: &[Platform],
) -> Result<u8, Diagnostic> {
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
    args.creds
        .apply(&mut host.registries, registries, shared, false)?;
    let tools = Tools::new(existing.as_ref().unwrap_or(&scratch), host);
    let observer = observer(shared, true)?;
    for request in perform::requests(request, platforms) {
        let plan = build::plan(&request, &tools, &scratch, observer.as_ref())?;
        print(plan.to_string().trim_end())?;
    }
    Ok(Code::Success as u8)
}
