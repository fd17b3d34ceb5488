//! The flags of s2i, for `s2i` and `overcoat build` alike.

use std::path::Path;

use clap::Args;

use super::values::{self, Artifacts};
use crate::build::{AllowedUids, PullPolicy};
use crate::cli::args;

/// The flags that s2i has for `build`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "As in s2i")]
pub(in crate::cli) struct S2iFlags {
    /// Those that other commands have, too.
    #[command(flatten)]
    pub(in crate::cli) common: CommonFlags,

    /// Those that only `build` has.
    #[command(flatten)]
    pub(in crate::cli) build: BuildFlags,
}

/// The flags of `build`, `rebuild` and `usage`.
///
/// # Spec
/// `s2i-compat.md` §1.5.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "As in s2i")]
pub(in crate::cli) struct CommonFlags {
    /// Show neither progress nor what scripts print on stdout; only what they print on stderr, and what goes wrong
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,

    /// Let `save-artifacts` of the image that has this name by now hand its files to `assemble`
    #[arg(long)]
    pub(in crate::cli) incremental: bool,

    /// Remove the image whose artifacts were used once there is a new one
    #[arg(long)]
    pub(in crate::cli) rm: bool,

    /// Tell this URL how the build ended: a POST of JSON with the image's labels
    #[arg(long, value_name = "URL", value_parser = values::callback_url)]
    pub(in crate::cli) callback_url: Option<String>,

    /// When to ask the registry for the builder image: `always`, `never`, `if-not-present`
    #[arg(short, long, value_name = "WHEN", default_value_t)]
    pub(in crate::cli) pull_policy: PullPolicy,

    /// When to ask the registry for the image that artifacts come from
    #[arg(long, value_name = "WHEN", default_value_t)]
    pub(in crate::cli) incremental_pull_policy: PullPolicy,

    /// When to ask the registry for the runtime image
    #[arg(long, value_name = "WHEN", default_value_t)]
    pub(in crate::cli) runtime_pull_policy: PullPolicy,

    /// Keep the directory that sources are brought to
    #[arg(long)]
    pub(in crate::cli) save_temp_dir: bool,

    /// Look into this file first for credentials of registries, as Docker's `config.json` has them
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) dockercfg_path: Option<String>,

    /// The directory in the builder that receives sources, scripts and artifacts
    #[arg(short, long, value_name = "DIR")]
    pub(in crate::cli) destination: Option<String>,
}

impl CommonFlags {
    /// `--dockercfg-path`, unless it is empty.
    pub(in crate::cli) fn dockercfg(&self) -> Option<&Path> {
        given(&self.dockercfg_path).map(Path::new)
    }
}

/// The flags that only `build` has.
///
/// # Spec
/// `s2i-compat.md` §1.6.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "As in s2i")]
pub(in crate::cli) struct BuildFlags {
    /// Set a variable for the scripts and in the image; may be repeated
    #[arg(short, long = "env", value_name = "K=V", value_parser = args::variable)]
    pub(in crate::cli) environment: Vec<(String, String)>,

    /// Set the variables of this file, which has one a line; they are stronger than those of `-e`
    #[arg(short = 'E', long, value_name = "FILE")]
    pub(in crate::cli) environment_file: Option<String>,

    /// Let only these users run scripts: numbers, `A-B`, `A-`, `-B`, with commas
    #[arg(short = 'u', long, value_name = "RANGES")]
    pub(in crate::cli) allowed_uids: Option<AllowedUids>,

    /// What the image is called for people: its label `io.k8s.display-name`
    #[arg(short = 'n', long, value_name = "TEXT")]
    pub(in crate::cli) application_name: Option<String>,

    /// What the image is: its label `io.k8s.description`
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) description: Option<String>,

    /// Write a Dockerfile and what it needs, and build nothing
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) as_dockerfile: Option<String>,

    /// The user that runs `assemble`, `USER[:GROUP]` by name or number [default: the builder image's label
    /// `io.openshift.s2i.assemble-user`, else its user]
    ///
    /// The image's own user stays what it is. A hook that installs Debian packages needs `root`.
    #[arg(long, value_name = "USER", value_parser = args::user)]
    pub(in crate::cli) assemble_user: Option<String>,

    /// The user that runs `assemble-runtime` in the runtime image
    #[arg(long, value_name = "USER", value_parser = args::user)]
    pub(in crate::cli) assemble_runtime_user: Option<String>,

    /// The application is in this directory of the source
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) context_dir: Option<String>,

    /// Take a local directory as it is, not the commit that git has of it
    #[arg(short, long)]
    pub(in crate::cli) copy: bool,

    /// Leave out what matches this regular expression, by its path in the source; an empty one leaves out nothing
    /// [default: what is in `.git`]
    #[arg(long, value_name = "REGEX")]
    pub(in crate::cli) exclude: Option<String>,

    /// Leave git's submodules out
    #[arg(long)]
    pub(in crate::cli) ignore_submodules: bool,

    /// Where a Dockerfile finds the scripts of the builder image
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) image_scripts_url: Option<String>,

    /// Take links of a local directory as links, not as what they point to
    #[arg(long)]
    pub(in crate::cli) keep_symlinks: bool,

    /// The old name of `--destination`
    #[arg(short, long, value_name = "DIR", hide = true)]
    pub(in crate::cli) location: Option<String>,

    /// The branch, tag or commit to build
    #[arg(short = 'r', long = "ref", value_name = "REF")]
    pub(in crate::cli) reference: Option<String>,

    /// Start the image afterwards
    #[arg(long)]
    pub(in crate::cli) run: bool,

    /// Take this file or directory from the builder into the runtime image, `/SRC[:DIR]`; may be repeated
    #[arg(short = 'a', long = "runtime-artifact", value_name = "SRC[:DIR]")]
    pub(in crate::cli) runtime_artifacts: Vec<Artifacts>,

    /// Put the result of `assemble` onto this image instead of the builder
    #[arg(long, value_name = "IMG")]
    pub(in crate::cli) runtime_image: Option<String>,

    /// The old name of `--scripts-url`
    #[arg(long, value_name = "URL", hide = true)]
    pub(in crate::cli) scripts: Option<String>,

    /// Where scripts are looked for first: `image://`, `file://` or `http(s)://`
    #[arg(short, long, value_name = "URL")]
    pub(in crate::cli) scripts_url: Option<String>,

    /// Take what is not said from `.s2ifile` here, and write down there what was
    #[arg(long)]
    pub(in crate::cli) use_config: bool,

    /// Leave out what this file of the source says, too: `.dockerignore` or `.gitignore`; may be repeated
    ///
    /// `.s2iignore` has its say in any case.
    #[arg(long = "ignore-file", value_name = "NAME")]
    pub(in crate::cli) ignore_files: Vec<values::IgnoreName>,

    /// Run scripts without the builder image's ENTRYPOINT, which wraps them otherwise
    #[arg(long)]
    pub(in crate::cli) ignore_entrypoint: bool,
}

/// The value of a flag, unless it is empty: scripts pass unset variables so.
pub(in crate::cli) fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

#[cfg(test)]
#[path = "flags_tests.rs"]
mod tests;
