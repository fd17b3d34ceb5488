//! The command line of `s2i`.

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use super::flags::S2iFlags;
use super::{generate, rebuild, usage, values};
use crate::cli::args::Shared;
use crate::cli::step_args::StepArgs;
use crate::cli::{confine, creds};

/// What `s2i version` says.
pub(super) const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"), " (overcoat)");

/// Build images from source with a builder image, without a container engine
///
/// This is overcoat, called as `s2i`. Images go into Docker's store when its socket answers, and stay in overcoat's own.
#[derive(Parser, Debug)]
#[command(name = "s2i", version = VERSION, args_override_self = true, after_help = AFTER_HELP)]
pub(super) struct Cli {
    /// Nothing means help.
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    /// About container engines.
    #[command(flatten)]
    pub(super) engine: EngineFlags,

    /// overcoat's own, which are taken but not shown.
    #[command(flatten)]
    pub(super) shared: Shared,
}

const AFTER_HELP: &str = "\
Environment:
  OVERCOAT_S2I_LOAD    where images go: none, docker, podman, containerd[:NAMESPACE], with commas [default: docker,
                       when its socket answers]
  OVERCOAT_S2I_PUSH    push them, too: yes, or HOST[:PORT]/PATH to put before their names
  OVERCOAT_S2I_NO_CACHE  yes: run every script again, also where nothing has changed
  OVERCOAT_STORE       the directory that keeps images

Everything but help and versions goes to stderr; what goes wrong begins with `ERROR: `.";

/// The commands.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Build an image from source
    Build(Box<BuildArgs>),
    /// Build an image again from the source that it says it is from
    Rebuild(Box<rebuild::Args>),
    /// Show how a builder image is used
    Usage(usage::Args),
    /// Write a Dockerfile for a builder image
    Generate(generate::Args),
    /// Make the project of a new builder image
    Create(CreateArgs),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completion(CompletionArgs),
}

impl Command {
    /// `--quiet`, where there is one.
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Self::Build(args) => args.flags.common.quiet,
            Self::Rebuild(args) => args.common.quiet,
            Self::Usage(args) => args.common.quiet,
            Self::Generate(args) => args.quiet,
            Self::Create(_) | Self::Version | Self::Completion(_) => false,
        }
    }
}

/// The flags of all commands. Images are built without an engine: most of them say nothing here.
///
/// # Spec
/// `s2i-compat.md` §1.4.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct EngineFlags {
    /// The engine that images are loaded into [default: DOCKER_HOST, else Docker's socket]
    #[arg(short = 'U', long, value_name = "URL", global = true)]
    url: Option<String>,

    /// Taken for the sake of scripts, and ignored
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<String>,

    /// Taken for the sake of scripts, and ignored
    #[arg(long, value_name = "FILE", global = true)]
    cert: Option<String>,

    /// Taken for the sake of scripts, and ignored
    #[arg(long, value_name = "FILE", global = true)]
    key: Option<String>,

    /// Taken for the sake of scripts, and ignored
    #[arg(long, global = true)]
    tls: bool,

    /// Taken for the sake of scripts, and ignored
    #[arg(long, global = true)]
    tlsverify: bool,

    /// How much to show: 0 what scripts print, 1 steps, 2 settings, 3 and more transfers
    #[arg(long, value_name = "N", default_value_t = 0, global = true)]
    pub(super) loglevel: u8,
}

impl EngineFlags {
    /// True when one of the flags that are ignored was used.
    pub(super) fn has_tls(&self) -> bool {
        let files = [&self.ca, &self.cert, &self.key];
        self.tls || self.tlsverify || files.iter().any(|file| file.is_some())
    }

    /// `--url`, unless it is empty.
    pub(super) fn url(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| !url.is_empty())
    }
}

/// `s2i build`.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "s2i build [FLAGS] SOURCE BUILDER [TAG]")]
pub(super) struct BuildArgs {
    /// The source, the builder image, and the name of the result
    #[arg(value_name = "SOURCE BUILDER [TAG]")]
    pub(super) positionals: Vec<String>,

    /// s2i's own flags.
    #[command(flatten)]
    pub(super) flags: S2iFlags,

    /// What scripts get.
    #[command(flatten)]
    pub(super) step: StepArgs,

    /// How scripts are kept apart.
    #[command(flatten)]
    pub(super) confine: confine::Flags,

    /// Who to be at a registry.
    #[command(flatten)]
    pub(super) creds: creds::Flags,
}

/// `s2i create`.
#[derive(Args, Debug)]
#[command(override_usage = "s2i create IMAGE DIRECTORY")]
pub(super) struct CreateArgs {
    /// The builder image's name, and the directory for its project
    #[arg(value_name = "IMAGE DIRECTORY")]
    pub(super) positionals: Vec<String>,
}

/// `s2i completion`.
#[derive(Args, Debug)]
pub(super) struct CompletionArgs {
    /// The shell, such as `bash` or `zsh`
    pub(super) shell: Shell,
}

/// overcoat's own flags, which are taken for whoever knows them.
const OWN: [&str; 7] = [
    "store",
    "insecure_registry",
    "registry_config",
    "registry_timeout",
    "registry_connections",
    "progress",
    "verbose",
];

/// The command line as it is read: with pflag's habits.
pub(super) fn command() -> clap::Command {
    let mut command = Cli::command();
    for own in OWN {
        command = command.mut_arg(own, |arg| arg.hide(true));
    }
    // `-v` is a volume here.
    command = command.mut_arg("verbose", |arg| arg.short(None::<char>));
    command = command.mut_subcommand("build", |build| {
        build.mut_arg("volumes", |arg| arg.short('v'))
    });
    values::with_dashes(values::with_truth_values(command))
}
