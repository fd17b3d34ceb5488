//! op's command line, with the flags of both of its generations.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Build, push, promote and watch, as OctoPilot's op does
///
/// Flags are op's; the work is overcoat's: `-v` shows the command that each call stands for. docs/op.md has the differences.
#[derive(Parser, Debug)]
#[command(
    name = "op",
    disable_version_flag = true,
    arg_required_else_help = true
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,

    /// The settings: a properties file, or octopilot.yaml by its ending
    #[arg(long, value_name = "PATH", global = true)]
    pub(super) config: Option<PathBuf>,

    /// Show the commands of overcoat that are run
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    Build(Box<Build>),
    #[command(hide = true)]
    BuildStatus(BuildPush),
    BuildPush(BuildPush),
    Push(Box<Push>),
    PromoteImage(Promote),
    WatchDeployment(Watch),
    Run(Run),
    /// Show the version
    Version,
    /// Start a registry (refused: it takes Docker)
    #[command(hide = true)]
    StartRegistry(Anything),
}

/// Build the artifacts of skaffold.yaml, or the applications of overcoat.toml
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Build {
    #[command(subcommand)]
    pub(super) status: Option<BuildSub>,

    /// Where the images go [default: what the project says]
    #[arg(long, value_name = "REGISTRY")]
    pub(super) repo: Option<String>,

    /// Push the images
    #[arg(long)]
    pub(super) push: bool,

    /// The platforms to build for
    #[arg(long, value_name = "P", value_delimiter = ',')]
    pub(super) platform: Vec<String>,

    /// Skaffold's file
    #[arg(short, long, value_name = "FILE", alias = "skaffold-file")]
    pub(super) filename: Option<PathBuf>,

    /// Build this artifact alone
    #[arg(long, value_name = "NAME")]
    pub(super) artifact: Option<String>,

    /// Speak plain HTTP with these registries
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(super) insecure_registry: Vec<String>,

    /// Push to ttl.sh under this name
    #[arg(long, value_name = "UUID")]
    pub(super) ttl_uuid: Option<String>,

    /// How long ttl.sh keeps the image
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub(super) ttl_tag: String,

    /// Write a bill of materials of each artifact into DIR: `ARTIFACT.cdx.json`
    #[arg(long, value_name = "DIR")]
    pub(super) sbom_output: Option<PathBuf>,

    /// How long to wait until a pushed image can be seen
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = crate::cli::args::duration)]
    pub(super) propagation_timeout: std::time::Duration,
}

#[derive(Subcommand, Debug)]
pub(super) enum BuildSub {
    Status(BuildPush),
}

/// Build and push, and write build_result.json
#[derive(Args, Debug)]
pub(super) struct BuildPush {
    /// Where the images go [default: what the project says]
    #[arg(long, value_name = "REGISTRY")]
    pub(super) repo: Option<String>,

    /// Skaffold's file
    #[arg(long, value_name = "FILE")]
    pub(super) skaffold_file: Option<PathBuf>,

    /// The directory of build_result.json
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) output: PathBuf,
}

/// Build and push to the registries of .registry, or to another one
#[derive(Args, Debug)]
pub(super) struct Push {
    /// Where the images go
    #[arg(long, value_name = "REGISTRY", env = "SKAFFOLD_DEFAULT_REPO")]
    pub(super) default_repo: Option<String>,

    /// Which registry of .registry
    #[arg(long, value_enum, value_name = "WHICH", default_value = "auto")]
    pub(super) destination: Destination,

    /// The file `.registry`, or its directory
    #[arg(long, value_name = "PATH")]
    pub(super) registry_file: Option<PathBuf>,

    /// Push to all registries of `ci`, not to the first only
    #[arg(long)]
    pub(super) push_all: bool,

    /// A profile of skaffold.yaml [default: push, if there is one]
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Option<String>,

    /// The directory of build_result.json
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) output: PathBuf,

    /// Do not write build_result.json
    #[arg(long)]
    pub(super) no_file_output: bool,

    /// How op finds images in Skaffold's output (no effect: they are known here)
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub(super) image_pattern: Option<regex::Regex>,
}

/// Which registries of `.registry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Destination {
    /// `local`.
    Local,
    /// The first of `ci`.
    Ci,
    /// All of them.
    All,
    /// `ci` on GitHub Actions, else `local`.
    Auto,
}

/// Give an image of one environment to the next
#[derive(Args, Debug)]
pub(super) struct Promote {
    /// The environment that has it
    #[arg(long, value_name = "ENV")]
    pub(super) source: String,

    /// The environment that gets it
    #[arg(long, value_name = "ENV")]
    pub(super) destination: String,

    #[command(flatten)]
    pub(super) result: ResultFlags,
}

/// Where the results are, and which of them.
#[derive(Args, Debug)]
pub(super) struct ResultFlags {
    /// The directory of build_result.json
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) build_result_dir: PathBuf,

    /// The file of results
    #[arg(long, value_name = "FILE", conflicts_with = "build_result_dir")]
    pub(super) build_result: Option<PathBuf>,

    /// The image, by its `imageName` [default: all of them to promote, the last to watch]
    #[arg(long, value_name = "NAME")]
    pub(super) image_name: Option<String>,
}

/// Wait until the new image runs
#[derive(Args, Debug)]
pub(super) struct Watch {
    /// The deployment; may be repeated
    #[arg(long, value_name = "NAME", required = true)]
    pub(super) component: Vec<String>,

    /// The container that runs the image [default: the only one, or that with an image of this repository]
    #[arg(long, value_name = "NAME")]
    pub(super) container: Option<String>,

    /// The environment
    #[arg(long, value_name = "ENV")]
    pub(super) environment: String,

    /// The namespace
    #[arg(long, value_name = "NAME")]
    pub(super) namespace: Option<String>,

    /// How long to wait in all
    #[arg(long, value_name = "TIME", default_value = "30m")]
    pub(super) timeout: String,

    /// How long to wait for the image (no effect: `--timeout` is for everything)
    #[arg(long, value_name = "TIME")]
    pub(super) poll_timeout: Option<String>,

    #[command(flatten)]
    pub(super) result: ResultFlags,
}

/// Run an artifact on this machine: `run CONTEXT`; or list them: `run context list`
#[derive(Args, Debug)]
pub(super) struct Run {
    /// `context list`, or the name of a context
    #[arg(value_name = "CONTEXT")]
    pub(super) words: Vec<String>,

    /// Where the image is [default: what the project says]
    #[arg(long, value_name = "REGISTRY")]
    pub(super) repo: Option<String>,

    /// Skaffold's file
    #[arg(long, value_name = "FILE")]
    pub(super) skaffold_file: Option<PathBuf>,
}

/// Flags of what is not done here.
#[derive(Args, Debug)]
pub(super) struct Anything {
    /// They do not matter
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<String>,
}

/// Reads a pattern with the groups that op wants.
fn pattern(text: &str) -> Result<regex::Regex, String> {
    let pattern = regex::Regex::new(text).map_err(|error| error.to_string())?;
    let has = |name: &str| pattern.capture_names().flatten().any(|group| group == name);
    match has("image") && has("tag") {
        true => Ok(pattern),
        false => Err("it needs the groups `(?P<image>…)` and `(?P<tag>…)`".to_owned()),
    }
}
