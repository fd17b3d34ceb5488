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
pub(super) fn run(args: &Args, command: &mut clap::Command, name: &str) -> Result<(), Diagnostic> {
    script(args.shell, command, name)
}

/// Prints the script for a shell in which the program is called `name`.
pub(super) fn script(
    shell: Shell,
    command: &mut clap::Command,
    name: &str,
) -> Result<(), Diagnostic> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}
