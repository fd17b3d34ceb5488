//! `s2i build`.

use clap::ArgMatches;

use super::args::BuildArgs;
use super::order::Called;
use super::wish::Wish;
use super::{file, too_few};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;

/// Runs the command; the exit status. `typed` is what clap found on the command line.
pub(super) fn run(
    args: BuildArgs,
    typed: &ArgMatches,
    engine: Option<&str>,
    shared: &Shared,
) -> Result<u8, Diagnostic> {
    let mut args = args;
    if args.flags.build.use_config {
        args = file::complete(args, typed, shared)?;
    }
    let (source, builder, tag) = match &args.positionals[..] {
        [source, builder] => (source, builder, None),
        // As in s2i, more of them are ignored.
        [source, builder, tag, ..] => (source, builder, Some(tag.as_str())),
        [_] => {
            return Err(Diagnostic::new(Code::Usage, "a builder image is required")
                .hint("the command is `s2i build SOURCE BUILDER [TAG]`"));
        }
        [] => return Err(too_few("build SOURCE BUILDER [TAG]", 0)),
    };
    let wish = Wish {
        source,
        builder,
        tag: tag.filter(|tag| !tag.is_empty()),
        flags: &args.flags,
        step: &args.step,
        confine: &args.confine,
        creds: &args.creds,
        engine,
        called: Called::S2i,
    };
    let request = wish.request()?;
    if args.flags.build.use_config && shared.entered.is_none() {
        file::save(&args, typed)?;
    }
    wish.build(request, shared)
}
