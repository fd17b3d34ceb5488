//! `generate`: a Dockerfile for a builder image, without a source.

use std::path::Path;

use clap::Args as ClapArgs;

use super::flags::{BuildFlags, S2iFlags};
use super::{dockerfile, order, request, too_few};
use crate::cli::args::{self, Shared};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::step_args::StepArgs;

/// Write a Dockerfile for a builder image
///
/// It builds whatever is in `upload/src` beside it.
#[derive(ClapArgs, Debug)]
pub(in crate::cli) struct Args {
    /// The builder image, and the file to write
    #[arg(value_name = "BUILDER OUTFILE")]
    positionals: Vec<String>,

    /// Show only what goes wrong
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// Set a variable for the scripts and in the image; may be repeated
    #[arg(short, long = "env", value_name = "K=V", value_parser = args::variable)]
    environment: Vec<(String, String)>,

    /// The user that runs `assemble`
    #[arg(long, value_name = "USER", value_parser = args::user)]
    assemble_user: Option<String>,

    /// Taken for the sake of scripts, and ignored
    #[arg(long, value_name = "USER", hide = true)]
    assemble_runtime_user: Option<String>,
}

/// Runs the command.
pub(in crate::cli) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let [name, out] = &args.positionals[..] else {
        return Err(too_few("generate BUILDER OUTFILE", args.positionals.len()));
    };
    let flags = S2iFlags {
        build: BuildFlags {
            environment: args.environment.clone(),
            assemble_user: args.assemble_user.clone(),
            ..BuildFlags::default()
        },
        ..S2iFlags::default()
    };
    let builder = order::image_source(name, "the builder")?;
    let mut request = request::bare(Vec::new(), builder)?;
    order::apply(
        &flags,
        &StepArgs::default(),
        order::Called::S2i,
        &mut request,
    )?;
    dockerfile::write(&request, name, &flags, Path::new(out), shared).map(|_| ())
}
