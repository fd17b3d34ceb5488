//! `overcoat build`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};

use super::args::{self, Shared};
use super::check;
use super::confine::{self, Needs, Way};
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::step_args::StepArgs;
use super::{env, observer, open_store, print};
use crate::build::{self, BuildRequest, Cache, ImageSource, Push, Tag, Tools};
use crate::event::Observer;
use crate::image::Platform;
use crate::output::Destination;
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
    /// A registry reference, `oci:DIR[:NAME]`, `oci-archive:FILE`, `docker-archive:FILE`, or `builder:RECIPE` for one
    /// that overcoat makes itself (`overcoat builder list`).
    #[arg(long, value_name = "IMG", default_value = DEFAULT_BUILDER)]
    build_image: String,

    /// Push every name to its registry
    #[arg(long)]
    push: bool,

    /// Also write the image to `oci:DIR[:NAME]`, `oci-archive:FILE` or `docker-archive:FILE`; may be repeated
    #[arg(short, long = "output", value_name = "TYPE:PATH")]
    outputs: Vec<Destination>,

    /// Set a variable for the scripts and in the image; may be repeated
    #[arg(short, long = "env", value_name = "K=V", value_parser = args::variable)]
    environment: Vec<(String, String)>,

    /// Set a label of the image; may be repeated
    #[arg(long = "label", value_name = "K=V", value_parser = args::variable)]
    labels: Vec<(String, String)>,

    /// How to make the layers
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto")]
    strategy: Strategy,

    /// The user that runs `assemble`, `USER[:GROUP]` by name or number [default: the builder image's label
    /// `io.openshift.s2i.assemble-user`, else its user]
    ///
    /// The image's own user stays what it is. A hook that installs Debian packages needs `root`.
    #[arg(long, value_name = "USER", value_parser = args::user)]
    assemble_user: Option<String>,

    /// The platform to build for, `OS/ARCHITECTURE` [default: this machine's]
    #[arg(long, value_name = "P")]
    platform: Option<Platform>,

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
    /// Write the layers without executing anything; for applications that install no packages.
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

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    let mut request = request(args)?;
    if args.plan {
        return plan(shared, &request);
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
        request.push = Push::No;
        request.cache.is_used = false;
        return build(&request, args, &again.flags, None, shared);
    }
    let digest_file = args.digest_file.as_deref();
    let status = build(&request, args, &args.confine, digest_file, shared)?;
    let is_outermost = shared.entered.is_none();
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
    let mut tools = Tools::new(&store, env::host(shared)?);
    let observer = observer(shared, args.quiet)?;
    // Scripts may need a user namespace, in which this command is run once more: what is said in this first pass would
    // be said twice.
    let muted = Muted(observer.as_ref());
    let watcher: &dyn Observer = match confine::may_go_inside(flags, shared) {
        true => &muted,
        false => observer.as_ref(),
    };
    let prepared = build::prepare(request, &tools, watcher)?;
    let mut nothing_better = None;
    if args.explain && shared.entered.is_none() {
        build::explain(request, &prepared, &tools, observer.as_ref());
    }
    if prepared.needs_sandbox() {
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
                return confine::go_inside(&program, &namespace, &decided);
            }
        }
    }
    let report = build::execute(request, &prepared, &tools, observer.as_ref());
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

/// Prints what would be done. Not even an empty store is made.
fn plan(shared: &Shared, request: &BuildRequest) -> Result<u8, Diagnostic> {
    let scratch = tempfile::tempdir().map_err(|error| {
        crate::fs::Error::new("create a directory in", std::env::temp_dir(), error)
    })?;
    let scratch = BlobStore::open(scratch.path())?;
    let root = env::store(shared)?;
    let existing = match root.join("oci-layout").exists() {
        true => Some(BlobStore::open(&root)?),
        false => None,
    };
    let tools = Tools::new(existing.as_ref().unwrap_or(&scratch), env::host(shared)?);
    let observer = observer(shared, true)?;
    let plan = build::plan(request, &tools, &scratch, observer.as_ref())?;
    print(plan.to_string().trim_end())?;
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
        platform: args.platform.clone().unwrap_or_else(Platform::host),
        environment: args.environment.clone(),
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        epoch: env::epoch()?,
        push: if args.push { Push::Yes } else { Push::No },
        outputs: args.outputs.clone(),
        inputs: args.step.read()?,
        cache: Cache {
            is_used: !args.no_cache,
            ..Cache::default()
        },
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
