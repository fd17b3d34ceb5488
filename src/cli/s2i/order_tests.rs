use crate::cli::s2i::tests::{build_args, request, wished};

fn environment(flags: &[&str]) -> Vec<(String, String)> {
    request(flags).environment
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Cases 1, 2, 5 to 7 and 9; cases 3 and 4 are refused by the parser.
#[test]
fn variables_are_split_at_the_first_equals_sign_and_nowhere_else() {
    for (text, expected) in [
        ("FOO=bar", pair("FOO", "bar")),
        ("FOO=", pair("FOO", "")),
        ("FOO=bar,", pair("FOO", "bar,")),
        ("FOO=bar,BAR=foo", pair("FOO", "bar,BAR=foo")),
        ("A = b c ", pair("A", "b c")),
        ("K=Value=4", pair("K", "Value=4")),
        ("K=Value,5", pair("K", "Value,5")),
    ] {
        assert_eq!(environment(&["-e", text]), [expected], "{text}");
    }
    let two = environment(&["-e", "Key1=1", "-e", "Key2=2"]);
    assert_eq!(two, [pair("Key1", "1"), pair("Key2", "2")]);
    let (args, _) = build_args(&["-e", "FOO=bar,BAR=foo", "-e", "OK=a,b"]);
    let mut warnings = super::Warnings::default();
    super::variables(&args.flags.build, &mut request(&[]), &mut warnings).unwrap();
    assert_eq!(warnings.0.len(), 1);
    assert!(
        warnings.0[0].0.contains("the value of `FOO`"),
        "{warnings:?}"
    );
    let error = wished(&["-e", " =x"]).unwrap_err();
    assert!(format!("{error:?}").contains("no name"), "{error:?}");
}

/// Case M24, and M25: the file comes last, and one that is not there is only a warning.
#[test]
fn the_environment_file_is_stronger_than_the_flags() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("env");
    std::fs::write(&file, "A=file\nB=2\n").unwrap();
    let file = file.to_str().unwrap();
    let expected = [pair("A", "flag"), pair("A", "file"), pair("B", "2")];
    assert_eq!(environment(&["-E", file, "-e", "A=flag"]), expected);
    let (args, _) = build_args(&["-E", "/no/such/file", "-e", "A=flag"]);
    let mut warnings = super::Warnings::default();
    let mut built = request(&[]);
    super::variables(&args.flags.build, &mut built, &mut warnings).unwrap();
    assert_eq!(built.environment, [pair("A", "flag")]);
    assert!(warnings.0[0].0.contains("/no/such/file"), "{warnings:?}");
}

/// Case M3, and what s2i refuses beside it.
#[test]
fn what_cannot_go_together_is_refused() {
    for (flags, words) in [
        (
            &["--run", "--as-dockerfile", "f"][..],
            ["`--run`", "`--as-dockerfile`"],
        ),
        (
            &["--runtime-image", "r", "--as-dockerfile", "f"],
            ["`--runtime-image`", "`--as-dockerfile`"],
        ),
        (
            &["--runtime-image", "r", "--incremental"],
            ["`--incremental`", "`--runtime-image`"],
        ),
    ] {
        let error = wished(flags).unwrap_err();
        for word in words {
            assert!(error.what.contains(word), "{error}");
        }
    }
    for empty in [
        &["--run", "--as-dockerfile", ""][..],
        &["--runtime-image=", "--incremental"],
    ] {
        assert!(wished(empty).is_ok(), "{empty:?}: an empty value is none");
    }
}

#[test]
fn old_names_of_flags_win_with_a_warning() {
    let (args, _) = build_args(&[
        "-l",
        "/old",
        "-d",
        "/new",
        "--scripts",
        "image:///o",
        "-s",
        "image:///n",
    ]);
    let mut warnings = super::Warnings::default();
    let mut built = request(&[]);
    let super::S2iFlags { common, build } = &args.flags;
    super::scripts(common, build, &mut built, &mut warnings).unwrap();
    assert_eq!(built.s2i.destination.as_deref(), Some("/old"));
    assert_eq!(built.s2i.scripts_url.as_deref(), Some("image:///o"));
    assert_eq!(warnings.0.len(), 2);
    assert!(wished(&["-d", "relative"]).is_err());
}

#[test]
fn the_runtime_image_has_artifacts_of_all_flags_and_lists() {
    let built = request(&[
        "--runtime-image",
        "r:1",
        "-a",
        "/a:b;/c",
        "-a",
        "/d",
        "--assemble-runtime-user",
        "9",
        "--runtime-pull-policy",
        "always",
    ]);
    let runtime = built.s2i.runtime.unwrap();
    assert_eq!(runtime.image.to_string(), "r:1");
    let sources: Vec<_> = runtime
        .artifacts
        .iter()
        .map(|artifact| artifact.source.as_str())
        .collect();
    assert_eq!(sources, ["/a", "/c", "/d"]);
    assert_eq!(runtime.user.as_deref(), Some("9"));
}

#[test]
fn what_scripts_get_is_read_in_order() {
    let here = tempfile::tempdir().unwrap();
    let here = here.path().to_str().unwrap();
    let lists = [format!("{here}:y;{here}"), format!("{here}:/x")];
    let built = request(&[
        "--add-host",
        "a:1.2.3.4",
        "--add-host=b:::1",
        "-i",
        &lists[0],
        "--inject",
        &lists[1],
        "--cap-drop",
        "CHOWN,CAP_NET_RAW",
        "--cap-drop=all",
        "--network",
        "container:1f",
    ]);
    assert_eq!(built.inputs.hosts, [pair("a", "1.2.3.4"), pair("b", "::1")]);
    let injections = built.inputs.injections.iter();
    let destinations: Vec<_> = injections
        .map(|injection| injection.destination.as_str())
        .collect();
    assert_eq!(destinations, ["y", ".", "/x"]);
    assert!(built.inputs.dropped_capabilities.len() > 2);
    let error = wished(&["-i", "/no/such/file:x"]).unwrap_err();
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}
