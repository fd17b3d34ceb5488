//! `overcoat build`.

mod all;
pub(super) mod args;
mod facts;
pub(super) mod perform;
mod request;
mod single;
mod skaffold;
mod target;
mod told;

use self::args::Args;
use self::target::Chosen;
use super::args::Shared;
use super::diagnostic::Diagnostic;

pub(super) use crate::project::DEFAULT_BUILDER;

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    if shared.report_file.is_some() && shared.entered.is_none() {
        // Whoever started this command for a report is gone when it cannot take it: then nobody wants the rest.
        let parent = rustix::process::Signal::TERM;
        let _ = rustix::process::set_parent_process_death_signal(Some(parent));
    }
    match target::choose(args, shared)? {
        Chosen::One(target) => single::run(args, &target, shared),
        Chosen::Several(project, applications) => all::run(args, &project, &applications, shared),
    }
}
