//! `rebuild`: what an image says of its source, built once more.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;

use super::flags::{BuildFlags, CommonFlags, S2iFlags};
use super::order::Called;
use super::wish::Wish;
use super::{deliver, labels, too_few};
use crate::build::{self, Bytes, Tools};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::step_args::StepArgs;
use crate::cli::{confine, creds, env, observer, open_store};
use crate::image::Platform;
use crate::source::Location;

/// Build an image again from the source that it says it is from
///
/// The image's labels tell the source, its branch, and the builder image. Variables that were given by flags are not
/// there, and must be given in the source's `.s2i/environment`.
#[derive(ClapArgs, Debug)]
pub(in crate::cli) struct Args {
    /// The image, of the store or of a registry, and a name for the new one [default: the same]
    #[arg(value_name = "IMAGE [NEW-TAG]")]
    positionals: Vec<String>,

    /// s2i's own flags.
    #[command(flatten)]
    pub(in crate::cli) common: CommonFlags,

    /// What scripts get.
    #[command(flatten)]
    step: StepArgs,

    /// How scripts are kept apart.
    #[command(flatten)]
    confine: confine::Flags,

    /// Who to be at a registry.
    #[command(flatten)]
    creds: creds::Flags,
}

/// Runs the command; the exit status. `engine` is `--url`.
pub(in crate::cli) fn run(
    args: &Args,
    called: Called,
    engine: Option<&str>,
    shared: &Shared,
) -> Result<u8, Diagnostic> {
    let (image, tag) = match &args.positionals[..] {
        [image] => (image, image),
        [image, tag, ..] => (image, tag),
        [] => return Err(too_few("rebuild IMAGE [NEW-TAG]", 0)),
    };
    let recorded = labels::read(&labels_of(image, args, called, engine, shared)?, image)?;
    if Location::parse(&recorded.source).is_ok_and(|location| location.helper().is_some()) {
        // `ext::COMMAND` would let whoever made the image run a command here.
        let text = format!(
            "`{image}` says that its source is `{}`, for which git would run a program that the image chooses",
            recorded.source
        );
        return Err(Diagnostic::new(Code::Usage, text)
            .hint("if you trust it, build from it by name: `s2i build SOURCE BUILDER TAG`"));
    }
    let flags = S2iFlags {
        common: args.common.clone(),
        build: BuildFlags {
            context_dir: recorded.context_dir,
            reference: recorded.reference,
            application_name: recorded.name,
            description: recorded.description,
            ..BuildFlags::default()
        },
    };
    // A digest says which image is meant, and cannot be the name of another.
    let tag = tag.split('@').next().unwrap_or(tag);
    let wish = Wish {
        source: &recorded.source,
        builder: &recorded.builder,
        tag: Some(tag),
        flags: &flags,
        step: &args.step,
        confine: &args.confine,
        creds: &args.creds,
        engine,
        called,
    };
    wish.build(wish.request()?, shared)
}

/// The labels of an image, wherever its policy lets it be looked for.
fn labels_of(
    image: &str,
    args: &Args,
    called: Called,
    engine: Option<&str>,
    shared: &Shared,
) -> Result<BTreeMap<String, String>, Diagnostic> {
    let source = super::order::image_source(image, "the image")?;
    let store = open_store(shared)?;
    let mut host = env::host(shared)?;
    if let Some(file) = args.common.dockercfg() {
        host.registries.auth_files.insert(0, file.to_owned());
    }
    let mut tools = Tools::new(&store, host);
    if called == Called::S2i {
        tools.engine = deliver::choose(engine, None)?.access(shared);
    }
    let observer = observer(shared, args.common.quiet)?;
    let platform = Platform::host();
    let bytes = Bytes::DocumentsOnly;
    let policy = args.common.pull_policy;
    let (found, _) =
        build::find_image(&source, &platform, policy, bytes, &tools, observer.as_ref())?;
    Ok(found.config.parsed.labels())
}
