//! `usage`: what a builder image says about itself.

use std::io;

use clap::Args as ClapArgs;

use super::flags::CommonFlags;
use super::{deliver, order, too_few};
use crate::build::{self, Bytes, ImageSource, PlanError, Tools};
use crate::builder_image::{self, BuilderImage, Script};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::run::{Attached, process_of};
use crate::cli::{confine, creds, env, observer, open_store};
use crate::image::Platform;

/// Show how a builder image is used
///
/// Runs its script `usage` in the sandbox. No source takes part, and no image is made.
#[derive(ClapArgs, Debug)]
pub(in crate::cli) struct Args {
    /// The builder image
    #[arg(value_name = "BUILDER")]
    positionals: Vec<String>,

    /// s2i's own flags.
    #[command(flatten)]
    pub(super) common: CommonFlags,

    /// Taken for the sake of scripts, and ignored
    #[arg(short, long, value_name = "DIR", hide = true)]
    location: Option<String>,

    /// How the script is kept apart.
    #[command(flatten)]
    confine: confine::Flags,

    /// Who to be at a registry.
    #[command(flatten)]
    creds: creds::Flags,
}

/// Runs the command; the exit status.
///
/// # Errors
/// [`Code::NotABuilder`] when the image has no such script.
///
/// # Spec
/// `s2i-compat.md` §3.2.
pub(in crate::cli) fn run(
    args: &Args,
    engine: Option<&str>,
    shared: &Shared,
) -> Result<u8, Diagnostic> {
    let [name, ..] = &args.positionals[..] else {
        return Err(too_few("usage BUILDER", 0));
    };
    let source = order::image_source(name, "the builder")?;
    let store = open_store(shared)?;
    let mut host = env::host(shared)?;
    if let Some(file) = args.common.dockercfg() {
        host.registries.auth_files.insert(0, file.to_owned());
    }
    let registry = match &source {
        ImageSource::Reference(reference) => vec![reference.host()],
        _ => Vec::new(),
    };
    let again = confine::may_go_inside(&args.confine, shared);
    let _handed = args
        .creds
        .apply(&mut host.registries, registry, shared, again)?;
    let image = {
        let mut tools = Tools::new(&store, host);
        if shared.s2i.is_some() {
            tools.engine = deliver::choose(engine, None)?.access(shared);
        }
        let observer = observer(shared, true)?;
        let platform = Platform::host();
        let policy = args.common.pull_policy;
        let found = build::find_image(
            &source,
            &platform,
            policy,
            Bytes::All,
            &tools,
            observer.as_ref(),
        );
        found
            .map_err(|error| {
                Diagnostic::from(build::Error::Builder {
                    image: source.to_string(),
                    source: Box::new(error),
                })
            })?
            .0
    };
    let missing = || {
        let error = builder_image::Error::NotABuilder {
            image: name.clone(),
            script: Script::Usage,
        };
        Diagnostic::from(PlanError::Builder(error))
    };
    let builder = BuilderImage::from_image(image, name).map_err(PlanError::Builder)?;
    let path = builder.scripts().ok_or_else(missing)?.script(Script::Usage);
    if shared.s2i.is_some() {
        // Also what the script prints: stdout is for results of `s2i` itself.
        to_stderr(args.common.quiet)?;
    }
    let attached = Attached {
        image: builder.image(),
        name,
        process: process_of(builder.image(), std::slice::from_ref(&path), &[]),
        flags: &args.confine,
        is_quiet: true,
    };
    let status = attached.run(&env::host(shared)?, store, shared);
    let status = status.map_err(|error| match error.code {
        Code::Process => Diagnostic {
            code: Code::NotABuilder,
            ..error
        },
        _ => error,
    })?;
    match (status, shared.entered.is_some()) {
        (0, _) | (_, true) => Ok(status),
        (status, false)
            if shared.s2i.is_some() && confine::may_go_inside(&args.confine, shared) =>
        {
            Ok(status)
        }
        (status, false) => Err(Diagnostic::new(
            Code::Script,
            format!("the `usage` script of `{name}` failed with exit status {status}"),
        )
        .hint(format!("it is `{path}` in the image"))),
    }
}

/// Sends what this process and its children print on stdout to stderr, or nowhere.
fn to_stderr(is_quiet: bool) -> Result<(), Diagnostic> {
    let failed = |error: io::Error| crate::fs::Error::new("redirect", "stdout", error);
    let done = match is_quiet {
        true => {
            let null = std::fs::File::options().write(true).open("/dev/null");
            rustix::stdio::dup2_stdout(null.map_err(failed)?)
        }
        false => rustix::stdio::dup2_stdout(io::stderr()),
    };
    Ok(done.map_err(|error| failed(error.into()))?)
}
