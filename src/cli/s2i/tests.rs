//! The command line of `s2i`, flag by flag.

use std::path::Path;

use super::args::BuildArgs;
use super::order::Called;
use super::wish::Wish;
use super::*;
use crate::build::{BuildRequest, PullPolicy};

pub(super) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

pub(super) fn parse(arguments: &[&str]) -> Result<(Cli, ArgMatches), clap::Error> {
    let matches = args::command().try_get_matches_from([&["s2i"], arguments].concat())?;
    Ok((Cli::from_arg_matches(&matches)?, matches))
}

pub(super) fn build_args(flags: &[&str]) -> (BuildArgs, ArgMatches) {
    let (cli, matches) =
        parse(&[&["build"], flags].concat()).unwrap_or_else(|error| panic!("{error}"));
    match cli.command {
        Some(Command::Build(args)) => (*args, matches.subcommand_matches("build").unwrap().clone()),
        other => panic!("{other:?}"),
    }
}

pub(super) fn wished(flags: &[&str]) -> Result<BuildRequest, Diagnostic> {
    let (args, _) = build_args(flags);
    let wish = Wish {
        source: "src",
        builder: "builder",
        tag: Some("app:1"),
        flags: &args.flags,
        step: &args.step,
        confine: &args.confine,
        creds: &args.creds,
        engine: None,
        called: Called::S2i,
    };
    wish.request().map(|(request, _)| request)
}

pub(super) fn request(flags: &[&str]) -> BuildRequest {
    wished(flags).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_command_line_is_consistent() {
    args::command().debug_assert();
}

#[test]
fn it_is_called_by_its_name_or_by_itself() {
    let call = |words_of: &[&str]| {
        Call::of(&words(words_of)).map(|call| (call.arguments, call.is_deprecated))
    };
    let expected = words(&["s2i", "build", "a"]);
    assert_eq!(
        call(&["/usr/bin/s2i", "build", "a"]),
        Some((expected.clone(), false))
    );
    assert_eq!(call(&["sti", "build", "a"]), Some((expected.clone(), true)));
    assert_eq!(
        call(&["overcoat", AGAIN, "build", "a"]),
        Some((expected.clone(), false))
    );
    assert_eq!(call(&["s2i", AGAIN, "build", "a"]), Some((expected, false)));
    for other in [
        &["overcoat", "build"][..],
        &["xs2i"],
        &["overcoat"],
        &[],
        &["overcoat", "build", AGAIN],
    ] {
        assert!(call(other).is_none(), "{other:?}");
    }
}

#[test]
fn it_starts_itself_again_as_what_it_was() {
    let first = || words(&["--entered", "x"]);
    let again = |typed: &[&str]| again_of(&words(typed), first());
    assert_eq!(
        again(&["s2i", "build"]),
        words(&[AGAIN, "--entered", "x", "build"])
    );
    assert_eq!(
        again(&["overcoat", AGAIN, "build"]),
        words(&[AGAIN, "--entered", "x", "build"])
    );
    assert_eq!(
        again(&["overcoat", "build"]),
        words(&["--entered", "x", "build"])
    );
    // And it is understood.
    let (cli, _) = parse(&["--entered", "x", "build", "a", "b"]).unwrap();
    assert_eq!(cli.shared.entered.as_deref(), Some("x"));
}

/// §1.5 and §1.6: every flag in every spelling, its default, and where it arrives.
#[test]
fn every_flag_of_build_is_read() {
    type Shows = fn(&BuildArgs) -> String;
    let table: &[(&[&str], Shows, &str, &str)] = &[
        (
            &["-q", "--quiet", "--quiet=true", "--quiet=1"],
            |a| a.flags.common.quiet.to_string(),
            "false",
            "true",
        ),
        (
            &["--incremental", "--incremental=true"],
            |a| a.flags.common.incremental.to_string(),
            "false",
            "true",
        ),
        (
            &["--rm", "--rm=T"],
            |a| a.flags.common.rm.to_string(),
            "false",
            "true",
        ),
        (
            &["--callback-url=http://h/x", "--callback-url http://h/x"],
            |a| format!("{:?}", a.flags.common.callback_url),
            "None",
            "Some(\"http://h/x\")",
        ),
        (
            &[
                "-p always",
                "-palways",
                "--pull-policy=always",
                "--pull-policy always",
            ],
            |a| a.flags.common.pull_policy.to_string(),
            "if-not-present",
            "always",
        ),
        (
            &["--incremental-pull-policy=never"],
            |a| a.flags.common.incremental_pull_policy.to_string(),
            "if-not-present",
            "never",
        ),
        (
            &["--runtime-pull-policy never"],
            |a| a.flags.common.runtime_pull_policy.to_string(),
            "if-not-present",
            "never",
        ),
        (
            &["--save-temp-dir"],
            |a| a.flags.common.save_temp_dir.to_string(),
            "false",
            "true",
        ),
        (
            &["--dockercfg-path /c"],
            |a| format!("{:?}", a.flags.common.dockercfg()),
            "None",
            "Some(\"/c\")",
        ),
        (
            &["-d /x", "--destination=/x"],
            |a| format!("{:?}", a.flags.common.destination),
            "None",
            "Some(\"/x\")",
        ),
        (
            &["-u 1-", "--allowed-uids=1-"],
            |a| {
                format!(
                    "{:?}",
                    a.flags.build.allowed_uids.as_ref().map(ToString::to_string)
                )
            },
            "None",
            "Some(\"1-\")",
        ),
        (
            &["-n x", "--application-name x"],
            |a| format!("{:?}", a.flags.build.application_name),
            "None",
            "Some(\"x\")",
        ),
        (
            &["--as-dockerfile=f"],
            |a| format!("{:?}", a.flags.build.as_dockerfile),
            "None",
            "Some(\"f\")",
        ),
        (
            &["--assemble-user 5"],
            |a| format!("{:?}", a.flags.build.assemble_user),
            "None",
            "Some(\"5\")",
        ),
        (
            &["--assemble-runtime-user 5"],
            |a| format!("{:?}", a.flags.build.assemble_runtime_user),
            "None",
            "Some(\"5\")",
        ),
        (
            &["--context-dir=x"],
            |a| format!("{:?}", a.flags.build.context_dir),
            "None",
            "Some(\"x\")",
        ),
        (
            &["-c", "--copy", "--copy=true"],
            |a| a.flags.build.copy.to_string(),
            "false",
            "true",
        ),
        (
            &["--description x"],
            |a| format!("{:?}", a.flags.build.description),
            "None",
            "Some(\"x\")",
        ),
        (
            &["-e A=b", "--env=A=b", "-eA=b"],
            |a| format!("{:?}", a.flags.build.environment),
            "[]",
            "[(\"A\", \"b\")]",
        ),
        (
            &["-E f", "--environment-file f"],
            |a| format!("{:?}", a.flags.build.environment_file),
            "None",
            "Some(\"f\")",
        ),
        (
            &["--exclude=", "--exclude ''"],
            |a| format!("{:?}", a.flags.build.exclude),
            "None",
            "Some(\"\")",
        ),
        (
            &["--ignore-submodules"],
            |a| a.flags.build.ignore_submodules.to_string(),
            "false",
            "true",
        ),
        (
            &["--image-scripts-url=image:///x"],
            |a| format!("{:?}", a.flags.build.image_scripts_url),
            "None",
            "Some(\"image:///x\")",
        ),
        (
            &["--keep-symlinks"],
            |a| a.flags.build.keep_symlinks.to_string(),
            "false",
            "true",
        ),
        (
            &["-l /x", "--location=/x"],
            |a| format!("{:?}", a.flags.build.location),
            "None",
            "Some(\"/x\")",
        ),
        (
            &["-r v1", "--ref=v1"],
            |a| format!("{:?}", a.flags.build.reference),
            "None",
            "Some(\"v1\")",
        ),
        (
            &["--run", "--run=true"],
            |a| a.flags.build.run.to_string(),
            "false",
            "true",
        ),
        (
            &["-a /x:y", "--runtime-artifact /x:y"],
            |a| {
                a.flags
                    .build
                    .runtime_artifacts
                    .iter()
                    .flat_map(|list| &list.0)
                    .map(|i| format!("{}>{}", i.source, i.destination))
                    .collect()
            },
            "",
            "/x>y",
        ),
        (
            &["--runtime-image r"],
            |a| format!("{:?}", a.flags.build.runtime_image),
            "None",
            "Some(\"r\")",
        ),
        (
            &["--scripts u"],
            |a| format!("{:?}", a.flags.build.scripts),
            "None",
            "Some(\"u\")",
        ),
        (
            &["-s u", "--scripts-url=u"],
            |a| format!("{:?}", a.flags.build.scripts_url),
            "None",
            "Some(\"u\")",
        ),
        (
            &["--use-config"],
            |a| a.flags.build.use_config.to_string(),
            "false",
            "true",
        ),
    ];
    for (spellings, shows, default, expected) in table {
        assert_eq!(shows(&build_args(&["a", "b"]).0), *default, "{spellings:?}");
        for spelling in *spellings {
            let flags: Vec<&str> = spelling
                .split(' ')
                .map(|word| word.trim_matches('\''))
                .collect();
            let before = [&flags[..], &["a", "b"]].concat();
            let between = [&["a"], &flags[..], &["b"]].concat();
            for arguments in [before, between] {
                let (args, _) = build_args(&arguments);
                assert_eq!(shows(&args), *expected, "{arguments:?}");
                assert_eq!(args.positionals, ["a", "b"], "{arguments:?}");
            }
        }
    }
}

#[test]
fn pflag_has_habits() {
    let (args, _) = build_args(&["-qc", "a", "--copy=false", "-u", "-1000", "--", "-b", "t"]);
    assert!(args.flags.common.quiet && !args.flags.build.copy);
    assert_eq!(args.flags.build.allowed_uids.unwrap().to_string(), "0-1000");
    assert_eq!(args.positionals, ["a", "-b", "t"]);
    let (args, _) = build_args(&[
        "--description",
        "x",
        "--description=y",
        "-v",
        "/a:/b",
        "-v/c:/d",
    ]);
    assert_eq!(
        args.flags.build.description.as_deref(),
        Some("y"),
        "the last one counts"
    );
    assert_eq!(
        args.step
            .read()
            .map(|inputs| inputs.volumes.len())
            .unwrap_err()
            .code,
        Code::Usage,
        "no such directory here"
    );
    for wrong in [
        &["build", "--no-such-flag"][..],
        &["build", "-p", "sometimes"],
        &["build", "--quiet=maybe"],
        &["build", "-e", "FOO"],
        &["build", "-e", "="],
        &["build", "-i", "/a:b!c"],
        &["build", "-a", "src:dst"],
        &["build", "--allowed-uids=abc"],
        &["build", "--callback-url", "nowhere"],
        &["nonsense"],
        &["completion"],
        &["completion", "cobol"],
        &["--loglevel=x", "version"],
    ] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
}

/// §1.4. Cases 162 and 163 are about what the flags mean to an engine; here they are taken.
#[test]
fn flags_about_engines_are_taken_by_every_command() {
    let flags = [
        "-U",
        "unix:///x",
        "--url=unix:///x",
        "--ca",
        "a",
        "--cert=b",
        "--key",
        "c",
        "--tls",
        "--tlsverify=true",
        "--loglevel",
        "5",
    ];
    for command in ["build", "rebuild", "usage", "generate", "create", "version"] {
        for arguments in [
            [&[command], &flags[..]].concat(),
            [&flags[..], &[command]].concat(),
        ] {
            let (cli, _) = parse(&arguments).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(cli.engine.loglevel, 5);
            assert!(cli.engine.has_tls());
            assert_eq!(cli.engine.url(), Some("unix:///x"));
        }
    }
    let (cli, _) = parse(&["build", "-U", ""]).unwrap();
    assert_eq!(
        (cli.engine.url(), cli.engine.has_tls(), cli.engine.loglevel),
        (None, false, 0)
    );
}

/// Case 167.
#[test]
fn builders_are_references_with_or_without_docker_in_front() {
    for (text, expected) in [
        ("centos/python", "centos/python:latest"),
        ("docker://centos/python", "centos/python:latest"),
        ("docker://r.example/b:1", "r.example/b:1"),
    ] {
        assert_eq!(
            order::image_source(text, "x").unwrap().to_string(),
            expected
        );
    }
    for wrong in ["oci://x", "containers-storage://b", "docker://", "UPPER"] {
        let error = order::image_source(wrong, "the builder").unwrap_err();
        assert!(error.what.contains(wrong), "{error}");
    }
}

#[test]
fn the_request_has_what_was_asked_for() {
    let request = request(&[
        "-p",
        "always",
        "--incremental",
        "--rm",
        "--incremental-pull-policy",
        "never",
        "-d",
        "/dest",
        "-s",
        "image:///x",
        "-u",
        "5",
        "--assemble-user",
        "7:8",
        "--description",
        "d",
    ]);
    assert_eq!(request.s2i.pull, PullPolicy::Always);
    let incremental = request.s2i.incremental.unwrap();
    assert_eq!(incremental.previous.to_string(), "app:1");
    assert_eq!(
        (incremental.pull, incremental.removes_previous),
        (PullPolicy::Never, true)
    );
    assert_eq!(request.s2i.destination.as_deref(), Some("/dest"));
    assert_eq!(request.s2i.scripts_url.as_deref(), Some("image:///x"));
    assert_eq!(request.assemble_user.as_deref(), Some("7:8"));
    assert_eq!(request.s2i.allowed_uids.unwrap().to_string(), "5");
    // It is brought here later.
    assert_eq!(request.source, Path::new(""));
    let labels: Vec<_> = request.s2i.generated_labels.into_iter().collect();
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        labels,
        [
            label("io.k8s.description", "d"),
            label("io.k8s.display-name", "app:1")
        ]
    );
}
