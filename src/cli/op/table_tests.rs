//! The table of docs/op.md against the command line and against what the reference lists.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory;

use super::*;

/// op's commands and flags, both generations.
///
/// # Spec
/// `path-to-production.md` §1.2.
const SPEC: [(&str, &str); 8] = [
    ("all", "config"),
    (
        "build",
        "repo push platform filename artifact insecure-registry ttl-uuid ttl-tag sbom-output propagation-timeout",
    ),
    ("build status", "repo skaffold-file output"),
    ("build-push", "repo skaffold-file output"),
    (
        "push",
        "default-repo destination registry-file push-all profile output no-file-output image-pattern",
    ),
    (
        "promote-image",
        "source destination build-result-dir image-name build-result",
    ),
    (
        "watch-deployment",
        "component environment namespace timeout build-result-dir image-name poll-timeout build-result",
    ),
    ("run", "skaffold-file"),
];
const START_REGISTRY: &str = "image certs-dir trust-cert trust-cert-colima no-trust-cert-colima no-restart-colima user-keychain";

/// What the page says of each flag of each command.
fn documented() -> BTreeMap<(String, String), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/op.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("\n## Flag by flag\n").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let mut found = BTreeMap::new();
    for row in rows.skip(1) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [commands, flag, state] = cells[..] else {
            panic!("{row}")
        };
        let flag = flag.trim_matches('`').strip_prefix("--").expect(row);
        assert!(["done", "no effect", "refused"].contains(&state), "{row}");
        for command in commands.split(", ") {
            let key = (command.trim_matches('`').to_owned(), flag.to_owned());
            let before = found.insert(key, state.to_owned());
            assert_eq!(before, None, "{row}");
        }
    }
    found
}

/// The flags of a command, hidden ones too.
fn flags(command: &clap::Command) -> impl Iterator<Item = String> {
    let flags = command.get_arguments().filter_map(clap::Arg::get_long);
    flags.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// Every flag that the command line takes.
fn taken() -> BTreeSet<(String, String)> {
    let cli = Cli::command();
    let mut found = BTreeSet::new();
    found.extend(flags(&cli).map(|flag| ("all".to_owned(), flag)));
    for command in cli.get_subcommands() {
        let name = command.get_name();
        found.extend(flags(command).map(|flag| (name.to_owned(), flag)));
        for below in command.get_subcommands() {
            let name = format!("{name} {}", below.get_name());
            found.extend(flags(below).map(|flag| (name.clone(), flag)));
        }
    }
    found
}

#[test]
fn the_table_has_every_flag_of_op_and_none_that_is_not_taken() {
    let documented = documented();
    for (command, flags) in SPEC.iter().chain(&[("start-registry", START_REGISTRY)]) {
        for flag in flags.split_whitespace() {
            let key = ((*command).to_owned(), flag.to_owned());
            assert!(documented.contains_key(&key), "{key:?} is not in the table");
        }
    }
    let of_table: BTreeSet<_> = documented
        .into_keys()
        .filter(|(command, _)| command != "start-registry")
        .collect();
    assert_eq!(of_table, taken());
}

#[test]
fn what_has_no_effect_says_so_in_its_help_and_nothing_else_does() {
    let cli = Cli::command();
    for ((command, flag), state) in documented() {
        let place = command.split(' ').try_fold(&cli, |at, name| match name {
            "all" => Some(at),
            name => at.find_subcommand(name),
        });
        let place = place.unwrap_or_else(|| panic!("there is no `{command}`"));
        let mut arguments = place.get_arguments();
        let argument = arguments.find(|arg| arg.get_long() == Some(flag.as_str()));
        let Some(argument) = argument else {
            assert_eq!(command, "start-registry");
            continue;
        };
        let help = argument.get_help().unwrap().to_string();
        assert_eq!(
            help.contains("no effect"),
            state == "no effect",
            "{flag}: {help}"
        );
    }
}

#[test]
fn start_registry_is_refused_whatever_its_flags_and_says_what_else_will_do() {
    let flags = START_REGISTRY
        .split_whitespace()
        .map(|flag| format!("--{flag}"));
    let words: Vec<String> = ["op".to_owned(), "start-registry".to_owned()]
        .into_iter()
        .chain(flags)
        .collect();
    let cli = Cli::try_parse_from(words).unwrap();
    let error = dispatch(&cli, &[]).unwrap_err();
    assert_eq!(error.code, Code::Usage);
    let text = error.to_string();
    for part in ["Docker", "op build", "deploy --to k3d", "docker-registry"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
