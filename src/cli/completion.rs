//! `overcoat completion`.

use clap::Args as ClapArgs;
use clap::{Arg, Command};
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
pub(super) fn run(args: &Args, command: &Command, name: &str) -> Result<(), Diagnostic> {
    script(args.shell, command, name)
}

/// Prints the script for a shell in which the program is called `name`.
pub(super) fn script(shell: Shell, command: &Command, name: &str) -> Result<(), Diagnostic> {
    print(text(shell, command, name).trim_end())
}

fn text(shell: Shell, command: &Command, name: &str) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(command), name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// A command with what its help shows, and nothing else: the generator offers hidden flags and commands as well. Only what
/// completion needs is taken over, for other rules may be about what is hidden.
fn shown(command: &Command) -> Command {
    let mut copy = Command::new(kept(command.get_name()))
        .visible_aliases(command.get_visible_aliases().map(kept))
        .propagate_version(command.is_propagate_version_set())
        .disable_help_flag(command.is_disable_help_flag_set())
        .disable_version_flag(command.is_disable_version_flag_set())
        .disable_help_subcommand(command.is_disable_help_subcommand_set());
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        copy = copy.version(kept(version));
    }
    let generated = ["help", "version"];
    let arguments = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !generated.contains(&arg.get_id().as_str()));
    let commands = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help");
    copy.args(arguments.map(copied))
        .subcommands(commands.map(shown))
}

/// A name for as long as the program lives, which is not long after this: commands have no others.
fn kept(text: &str) -> &'static str {
    Box::leak(text.into())
}

fn copied(arg: &Arg) -> Arg {
    let mut copy = Arg::new(arg.get_id().clone())
        .action(arg.get_action().clone())
        .global(arg.is_global_set())
        .required(arg.is_required_set())
        .last(arg.is_last_set())
        .trailing_var_arg(arg.is_trailing_var_arg_set())
        .hide_possible_values(arg.is_hide_possible_values_set())
        .value_hint(arg.get_value_hint());
    if arg.get_action().takes_values() {
        copy = copy
            .value_parser(arg.get_value_parser().clone())
            .require_equals(arg.is_require_equals_set());
        if let Some(names) = arg.get_value_names() {
            copy = copy.value_names(names.to_vec());
        }
        if let Some(count) = arg.get_num_args() {
            copy = copy.num_args(count);
        }
    }
    if let Some(short) = arg.get_short() {
        copy = copy.short(short);
    }
    if let Some(long) = arg.get_long() {
        copy = copy.long(kept(long));
    }
    if let Some(aliases) = arg.get_visible_aliases() {
        copy = copy.visible_aliases(aliases.into_iter().map(kept));
    }
    if let Some(aliases) = arg.get_visible_short_aliases() {
        copy = copy.visible_short_aliases(aliases);
    }
    if let Some(help) = arg.get_help() {
        copy = copy.help(help.clone());
    }
    if let Some(index) = arg.get_index() {
        copy = copy.index(index);
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every long flag of a command and of those below it, shown or hidden as asked for.
    fn flags(command: &Command, is_hidden: bool) -> Vec<String> {
        let own = command.get_arguments();
        let own = own.filter(|arg| arg.is_hide_set() == is_hidden);
        let mut found: Vec<String> = own
            .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
            .collect();
        for below in command.get_subcommands() {
            found.extend(flags(below, is_hidden));
        }
        found.sort();
        found.dedup();
        found
    }

    /// True when a script has the flag as a word of its own.
    fn has(script: &str, flag: &str) -> bool {
        let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let is_word = |(at, _): (usize, &str)| {
            let after = script[at + flag.len()..].chars().next();
            !after.is_some_and(is_inside)
        };
        script.match_indices(flag).any(is_word)
    }

    #[test]
    fn what_help_hides_is_not_offered_and_what_it_shows_is() {
        let command = super::super::command();
        let (shown, hidden) = (flags(&command, false), flags(&command, true));
        // A flag may be hidden in one command and shown in another.
        let hidden: Vec<&String> = hidden.iter().filter(|flag| !shown.contains(flag)).collect();
        assert!(hidden.contains(&&"--entered".to_owned()), "{hidden:?}");
        assert!(shown.contains(&"--propagation-timeout".to_owned()));
        for shell in [Shell::Bash, Shell::Zsh, Shell::PowerShell, Shell::Elvish] {
            let script = text(shell, &command, "overcoat");
            for flag in &shown {
                assert!(has(&script, flag), "{shell}: {flag}");
            }
            for flag in &hidden {
                assert!(!has(&script, flag), "{shell}: {flag}");
            }
        }
        let fish = text(Shell::Fish, &command, "overcoat");
        assert!(fish.contains("-l store"), "{}", &fish[..2000]);
        assert!(!fish.contains("-l entered"));
    }
}
