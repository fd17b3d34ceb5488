//! `usage`: what a builder image says about itself.

use clap::Args as ClapArgs;

use super::flags::{CommonFlags, given};
use super::{deliver, order, request, too_few};
use crate::build::{self, Bytes, ImageSource, Tools};
use crate::cli::args::Shared;
use crate::cli::confine::{self, HandedFiles, Needs, Way};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{creds, env, observer, open_store, print};
use crate::event::{Event, Observer};
use crate::ui::Muted;

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
    let builder = order::image_source(name, "the builder")?;
    let store = open_store(shared)?;
    let mut host = env::host(shared)?;
    if let Some(file) = args.common.dockercfg() {
        host.registries.auth_files.insert(0, file.to_owned());
    }
    let registry = match &builder {
        ImageSource::Reference(reference) => vec![reference.host().to_owned()],
        _ => Vec::new(),
    };
    let again = confine::may_go_inside(&args.confine, shared);
    let hosts: Vec<_> = registry.iter().map(String::as_str).collect();
    let handed = args
        .creds
        .apply(&mut host.registries, hosts, shared, again)?;
    let mut tools = Tools::new(&store, host);
    let is_s2i = shared.s2i.is_some();
    if is_s2i {
        tools.engine = deliver::choose(engine, None)?.access(shared);
    }
    let mut request = request::bare(Vec::new(), builder)?;
    request.s2i.pull = args.common.pull_policy;
    request.s2i.destination = given(&args.common.destination).map(str::to_owned);
    let observer = observer(shared, !is_s2i)?;
    let needs = Needs {
        network: request.inputs.network,
        may_be_in_place: false,
    };
    let program = tools.program.clone();
    // The engine answers out here only.
    if shared.entered.is_none() && again {
        let policy = request.s2i.pull;
        let (source, platform) = (&request.builder, &request.platform);
        let bytes = Bytes::All;
        build::find_image(source, platform, policy, bytes, &tools, observer.as_ref()).map_err(
            |error| build::Error::Builder {
                image: source.to_string(),
                source: Box::new(error),
            },
        )?;
    }
    match confine::decide(
        &args.confine,
        shared,
        needs,
        &program,
        store.root(),
        &Muted(observer.as_ref()),
    )? {
        Way::Here(confinement) | Way::LastResort(confinement, _) => {
            tools.confinement = Some(confinement);
        }
        Way::Inside(namespace, decided) => {
            return confine::go_inside(
                &program,
                &namespace,
                &decided,
                handed.as_ref(),
                HandedFiles::default(),
            );
        }
    }
    let shown = Shown {
        inner: observer.as_ref(),
        is_s2i,
    };
    build::usage(&request, &tools, &shown)?;
    Ok(Code::Success as u8)
}

/// For `overcoat usage`, what the script prints is the result: it goes to stdout as it is.
struct Shown<'a> {
    inner: &'a dyn Observer,
    is_s2i: bool,
}

impl Observer for Shown<'_> {
    fn observe(&self, event: Event) {
        match event {
            Event::Output { line, .. } if !self.is_s2i => drop(print(&line)),
            event => self.inner.observe(event),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.inner.is_cancelled()
    }
}
