use crate::cli::s2i::args::BuildArgs;
use crate::cli::s2i::tests::build_args;

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
