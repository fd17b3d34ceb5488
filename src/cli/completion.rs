//! `overcoat completion`.

use clap::Args as ClapArgs;
use clap_complete::Shell;

use super::diagnostic::Diagnostic;
use super::print;

/// Print a completion script for a shell
///
/// For instance `overcoat completion bash > /etc/bash_completion.d/overcoat`.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(args: &Args, command: &mut clap::Command) -> Result<(), Diagnostic> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "overcoat", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}
