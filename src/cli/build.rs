//! `overcoat build`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};

use super::args::{self, Shared};
use super::check;
use super::confine::{self, Needs, Way};
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::load;
use super::step_args::StepArgs;
use super::{creds, env, observer, open_store, print};
use crate::build::{self, BuildRequest, Cache, Decided, ImageSource, Push, Tag, Tools};
use crate::event::Observer;
use crate::image::{Platform, media_type};
use crate::output::Destination;
use crate::reference::Reference;
use crate::store::BlobStore;
use crate::ui::Muted;

/// The builder that is used when none is named.
pub(super) const DEFAULT_BUILDER: &str = "builder:python-3.11";

/// Build an image from an application's source
///
/// Prints one line `NAME@sha256:…` for every name. The image stays in the store; `--push` and `-o` also send it
/// elsewhere.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The directory that holds the application
    #[arg(default_value = ".")]
    source: PathBuf,

    /// A name for the image, `[HOST[:PORT]/]NAME[:TAG]`; may be given several times [default: the directory's name]
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

    /// Set a variable for the scripts and in the image; may be repeated
    #[arg(short, long = "env", value_name = "K=V", value_parser = args::variable)]
    environment: Vec<(String, String)>,

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

    /// The user that runs `assemble`, `USER[:GROUP]` by name or number [default: the builder image's label
    /// `io.openshift.s2i.assemble-user`, else its user]
    ///
    /// The image's own user stays what it is. A hook that installs Debian packages needs `root`.
    #[arg(long, value_name = "USER", value_parser = args::user)]
    assemble_user: Option<String>,

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

    /// Say nothing but the result and what goes wrong
    #[arg(short, long)]
    quiet: bool,
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
    let mut request = request(args)?;
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
        return build(&request, args, &again.flags, None, shared);
    }
    let digest_file = args.digest_file.as_deref();
    let is_outermost = shared.entered.is_none();
    // Engines are this user's, with this user's groups: never from inside a namespace.
    let engines = match is_outermost {
        true => args.load.find()?,
        false => Vec::new(),
    };
    let status = build(&request, args, &args.confine, digest_file, shared)?;
    if !engines.is_empty() && status == Code::Success as u8 {
        let references = request.tags.iter().map(|tag| tag.reference.clone());
        let references: Vec<Reference> = references.collect();
        let name = references[0].without_digest().to_string();
        load::load(&engines, &name, &references, shared, args.quiet)?;
    }
    if args.check && is_outermost && status == Code::Success as u8 {
        let tag = &request.tags[0];
        check::run(&args.confine, tag, shared)?;
    }
    Ok(status)
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

fn build(
    request: &BuildRequest,
    args: &Args,
    flags: &confine::Flags,
    digest_file: Option<&Path>,
    shared: &Shared,
) -> Result<u8, Diagnostic> {
    let store = open_store(shared)?;
    let mut host = env::host_for(shared, &args.source)?;
    let may_go_inside = confine::may_go_inside(flags, shared);
    let handed = args.creds.apply(
        &mut host.registries,
        registries(request),
        shared,
        may_go_inside,
    )?;
    let mut tools = Tools::new(&store, host);
    let observer = observer(shared, args.quiet)?;
    // Scripts may need a user namespace, in which this command is run once more: what is said in this first pass would
    // be said twice.
    let muted = Muted(observer.as_ref());
    let watcher: &dyn Observer = match may_go_inside {
        true => &muted,
        false => observer.as_ref(),
    };
    let requests = requests(request, &args.platforms);
    let prepare = |tools: &Tools<'_>| -> Result<Vec<Decided>, build::Error> {
        let mut builds = Vec::new();
        for request in &requests {
            let request = request.clone();
            let prepared = build::prepare(&request, tools, watcher)?;
            builds.push(Decided { request, prepared });
        }
        Ok(builds)
    };
    let needs_sandbox = |builds: &[Decided]| -> Result<bool, Diagnostic> {
        let mut needing = builds.iter().filter(|build| build.prepared.needs_sandbox());
        needing.try_fold(false, |_, build| can_execute(&build.request).map(|()| true))
    };
    let mut nothing_better = None;
    let mut builds = match prepare(&tools) {
        Ok(builds) => Some(builds),
        // Even the decision takes something that must be executed.
        Err(build::Error::NothingMayRun) => {
            requests.iter().try_for_each(can_execute)?;
            None
        }
        Err(error) => return Err(error.into()),
    };
    let is_sandbox_needed = match &builds {
        Some(builds) => needs_sandbox(builds)?,
        None => true,
    };
    let explain = |builds: &[Decided], tools: &Tools<'_>| {
        for Decided { request, prepared } in builds.iter().filter(|_| args.explain) {
            build::explain(request, prepared, tools, observer.as_ref());
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
        match confine::decide(
            flags,
            shared,
            needs,
            &tools.program,
            store.root(),
            observer.as_ref(),
        )? {
            Way::Here(confinement) => tools.confinement = Some(confinement),
            Way::LastResort(confinement, error) => {
                tools.confinement = Some(confinement);
                nothing_better = Some(error);
            }
            Way::Inside(namespace, decided) => {
                let program = tools.program.clone();
                return confine::go_inside(&program, &namespace, &decided, handed.as_ref());
            }
        }
    }
    let builds = match builds.take() {
        Some(builds) => builds,
        None => {
            let builds = prepare(&tools)?;
            explain(&builds, &tools);
            builds
        }
    };
    let report = build::execute(&builds, &tools, observer.as_ref());
    let report = match (report, nothing_better) {
        (Err(build::Error::InPlace(error)), Some(ladder)) => {
            return Err(Diagnostic::from(ladder).also(error));
        }
        (report, _) => report?,
    };
    if let Some(file) = digest_file {
        crate::fs::write_atomic(file, format!("{}\n", report.digest).as_bytes())?;
    }
    print(&report.references.join("\n"))?;
    Ok(Code::Success as u8)
}

/// One request for each platform, alike in all else.
fn requests(request: &BuildRequest, platforms: &[Platform]) -> Vec<BuildRequest> {
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
fn registries(request: &BuildRequest) -> Vec<&str> {
    match (request.push, &request.builder) {
        (Push::Yes, _) => request
            .tags
            .iter()
            .map(|tag| tag.reference.host())
            .collect(),
        (Push::No, ImageSource::Reference(reference)) => vec![reference.host()],
        (Push::No, _) => Vec::new(),
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
    let mut host = env::host_for(shared, &args.source)?;
    args.creds
        .apply(&mut host.registries, registries(request), shared, false)?;
    let tools = Tools::new(existing.as_ref().unwrap_or(&scratch), host);
    let observer = observer(shared, true)?;
    for request in requests(request, platforms) {
        let plan = build::plan(&request, &tools, &scratch, observer.as_ref())?;
        print(plan.to_string().trim_end())?;
    }
    Ok(Code::Success as u8)
}

fn request(args: &Args) -> Result<BuildRequest, Diagnostic> {
    let mut tags = args
        .tags
        .iter()
        .map(|text| text.parse())
        .collect::<Result<Vec<Tag>, _>>()?;
    if tags.is_empty() {
        tags.push(default_tag(args)?);
    }
    let builder: ImageSource = args.build_image.parse().map_err(|error| {
        Diagnostic::from(error)
            .attempting(format!("cannot use `--build-image {}`", args.build_image))
    })?;
    Ok(BuildRequest {
        source: args.source.clone(),
        tags,
        builder,
        strategy: args.strategy.into(),
        // As in s2i: an empty value, as scripts pass it for an unset variable, is none.
        assemble_user: args.assemble_user.clone().filter(|user| !user.is_empty()),
        platform: args
            .platforms
            .first()
            .cloned()
            .unwrap_or_else(Platform::host),
        environment: args.environment.clone(),
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        epoch: env::epoch()?,
        compression: args.compression.into(),
        compile_bytecode: args.compile_bytecode,
        push: if args.push { Push::Yes } else { Push::No },
        outputs: args.outputs.clone(),
        loads: args.load.engines.clone(),
        inputs: args.step.read()?,
        cache: Cache {
            is_used: !args.no_cache,
            from: args.cache_from.clone(),
            refresh: args.refresh,
        },
        is_locked: args.locked,
        s2i: build::S2iOptions::default(),
        max_layers: args.max_layers,
    })
}

fn default_tag(args: &Args) -> Result<Tag, Diagnostic> {
    let absolute = std::fs::canonicalize(&args.source).unwrap_or_else(|_| args.source.clone());
    let name = absolute
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    Tag::from_directory_name(&name).ok_or_else(|| {
        Diagnostic::new(
            Code::InvalidReference,
            format!("no image name can be made of the directory name `{name}`"),
        )
        .hint("give a name: `-t NAME`")
    })
}
