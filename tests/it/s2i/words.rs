//! Commands beside `build`, what is refused, and what is written down.

use super::*;

/// Cases M1 to M3 and 165, and what other commands want.
#[test]
fn what_cannot_be_meant_is_refused() {
    let overcoat = Overcoat::new();
    for (arguments, words) in [
        (&["build", "src"][..], &["a builder image is required"][..]),
        (
            &["build"],
            &["too few arguments", "`s2i build SOURCE BUILDER [TAG]`"],
        ),
        (&["build", "src", "b", "app:1.0+x"], &["app:1.0+x"]),
        (&["build", "src", "b", "app@sha256:00"], &["app@sha256:00"]),
        (
            &["build", "src", "b", "--run", "--as-dockerfile", "f"],
            &["`--run`", "`--as-dockerfile`"],
        ),
        (
            &["build", "src", "b", "--incremental", "--as-dockerfile", "f"],
            &["needs a TAG"],
        ),
        (&["build", "src", "oci://x", "app"], &["oci://x"]),
        (
            &["build", "src", "b", "app", "--network", "foobar"],
            &["foobar", "--network"],
        ),
        (
            &["build", "src", "b", "app", "-p", "sometimes"],
            &["sometimes", "--pull-policy"],
        ),
        (&["build", "--no-such-flag"], &["--no-such-flag"]),
        (&["rebuild"], &["`s2i rebuild IMAGE [NEW-TAG]`"]),
        (&["usage"], &["`s2i usage BUILDER`"]),
        (
            &["generate", "b"],
            &["`s2i generate BUILDER OUTFILE`", "1 given"],
        ),
        (&["create", "x"], &["`s2i create IMAGE DIRECTORY`"]),
        (&["completion"], &["<SHELL>"]),
        (&["completion", "cobol"], &["cobol"]),
        (&["nonsense"], &["nonsense"]),
    ] {
        let done = overcoat.s2i(arguments);
        refused(&done, 1, words, &[]);
    }
    assert!(
        !overcoat.store().join("index.json").exists(),
        "nothing was begun"
    );
}

/// Cases M4 and M5, and help.
#[test]
fn versions_and_help_are_results() {
    let overcoat = Overcoat::new();
    let version = format!("s2i v{} (overcoat)\n", env!("CARGO_PKG_VERSION"));
    for arguments in [&["version"][..], &["--version"]] {
        let done = overcoat.s2i(arguments).ok();
        assert_eq!((done.stdout, done.stderr.as_str()), (version.clone(), ""));
    }
    for arguments in [&[][..], &["help"], &["--help"], &["-h"]] {
        let done = overcoat.s2i(arguments).ok();
        for word in [
            "build",
            "rebuild",
            "usage",
            "generate",
            "create",
            "completion",
            "OVERCOAT_S2I_LOAD",
        ] {
            assert!(done.stdout.contains(word), "{}", done.stdout);
        }
        assert_eq!(done.stderr, "");
        assert!(!done.stdout.contains("--entered"), "{}", done.stdout);
    }
    let help = overcoat.s2i(&["help", "build"]).ok().stdout;
    for flag in [
        "--incremental",
        "-e, --env",
        "-v, --volume",
        "--scripts-url",
        "-U, --url",
    ] {
        assert!(help.contains(flag), "{help}");
    }
    for shell in ["bash", "zsh"] {
        let script = overcoat.s2i(&["completion", shell]).ok().stdout;
        assert!(script.contains("scripts-url"), "{script}");
    }
    let old: Done = overcoat
        .called("sti", &["version"])
        .output()
        .unwrap()
        .into();
    assert!(old.stderr.contains("`sti` is deprecated"), "{}", old.stderr);
    assert_eq!(old.ok().stdout, version);
}

/// Cases 225 and M18, and a builder that says nothing of itself.
#[test]
fn usage_is_what_the_builder_prints_and_changes_nothing() {
    let scene = Scene::new(&Tiny::default());
    let here = scene.directory.path().join("here");
    std::fs::create_dir(&here).unwrap();
    std::fs::write(here.join(".s2iignore"), "*").unwrap();
    std::fs::write(here.join("precious"), "").unwrap();
    let usage = |builder: &str, more: &[&str]| -> Done {
        let arguments = [&["usage", builder], more].concat();
        let mut command = scene.overcoat.called("s2i", &arguments);
        command.current_dir(&here).output().unwrap().into()
    };
    let done = usage(&scene.builder, &[]).ok();
    assert_eq!(
        (done.stdout.as_str(), done.stderr.as_str()),
        ("", "usage\n")
    );
    let done = usage(&scene.builder, &["-q", "-l", "/ignored"]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""));
    assert!(here.join("precious").exists());
    nothing_is_left(&scene.overcoat);
    let done = scene.overcoat.run(&["usage", &scene.builder]).ok();
    assert_eq!(
        (done.stdout.as_str(), done.stderr.as_str()),
        ("usage\n", "")
    );
    // A place in the image is taken for granted, as by s2i, so it is missed where it runs.
    for (labels, code) in [
        (Vec::new(), 11),
        (
            vec![("io.openshift.s2i.scripts-url", "image:///no/such")],
            1,
        ),
    ] {
        let other = tempfile::tempdir().unwrap();
        let tiny = Tiny {
            labels,
            ..Tiny::default()
        };
        let done = usage(&tiny.write(other.path()), &[]);
        refused(&done, code, &["usage"], &[]);
    }
    let scene = Scene::of(Overcoat::as_ordinary_user(), &Tiny::default());
    let done = scene.overcoat.s2i(&["usage", &scene.builder]).ok();
    assert_eq!(
        (done.stdout.as_str(), done.stderr.as_str()),
        ("", "usage\n")
    );
}

/// Case 224, without a context directory: the labels are all that is needed.
#[test]
fn rebuild_reads_what_the_image_says_of_itself() {
    let registry = Registry::start();
    let scene = Scene::new(&Tiny::default());
    let builder = format!("{}/tiny:1", registry.host());
    scene.overcoat.run(&["copy", &scene.builder, &builder]).ok();
    let arguments = ["build", &scene.source, &builder, "app:1", "-n", "Name"];
    scene.overcoat.s2i(&arguments).ok();
    std::fs::write(Path::new(&scene.source).join("app.py"), "print(2)\n").unwrap();
    // The builder image has a name now, as if an engine had pulled it.
    drop(registry);
    let done = scene
        .overcoat
        .s2i(&["rebuild", "app:1", "app:2", "-p", "never"])
        .ok();
    assert_eq!(done.stdout, "");
    assert_eq!(
        scene.overcoat.run(&["run", "app:2"]).ok().stdout,
        "print(2)\n"
    );
    assert_eq!(
        scene.overcoat.run(&["run", "app:1"]).ok().stdout,
        "print(1)\n"
    );
    // The same by overcoat's own name, which prints the result.
    let done = scene.overcoat.run(&["rebuild", "app:1"]).ok();
    done.digest("app:1");
    assert_eq!(
        scene.overcoat.run(&["run", "app:1"]).ok().stdout,
        "print(2)\n"
    );

    scene
        .overcoat
        .run(&["build", &scene.source, &scene.builder, "plain"])
        .ok();
    let done = scene.overcoat.s2i(&["rebuild", "plain"]);
    refused(
        &done,
        1,
        &["no label `io.openshift.s2i.build.source-location`"],
        &[],
    );
    // An image must not choose what is run here.
    let trap = scene.directory.path().join("trap");
    let location = format!(
        "io.openshift.s2i.build.source-location=ext::touch {}",
        trap.display()
    );
    let build = ["build", &scene.source, &scene.builder, "trap"];
    let with_label = [&build[..], &["--label", &location]].concat();
    scene.overcoat.run(&with_label).ok();
    let done = scene.overcoat.s2i(&["rebuild", "trap"]);
    refused(&done, 1, &["git would run a program"], &[]);
    assert!(!trap.exists());
    let done = scene.overcoat.s2i(&["rebuild", "absent", "-p", "never"]);
    refused(&done, 1, &["`absent:latest`", "pull policy `never`"], &[]);
}

/// Case M34.
#[test]
fn what_was_asked_for_is_written_down_and_asked_for_again() {
    let scene = Scene::new(&Tiny::default());
    let here = scene.directory.path().join("here");
    let volume = format!("{}:/mnt/one", here.display());
    std::fs::create_dir(&here).unwrap();
    let build = |arguments: &[&str]| -> Done {
        let arguments = [&["build", "--use-config"], arguments].concat();
        let mut command = scene.overcoat.called("s2i", &arguments);
        command.current_dir(&here).output().unwrap().into()
    };
    let stored = || -> Value {
        serde_json::from_slice(&std::fs::read(here.join(".s2ifile")).unwrap()).unwrap()
    };
    refused(&build(&[]), 1, &["too few arguments"], &[]);
    assert!(!here.join(".s2ifile").exists());
    build(&[
        &scene.source,
        &scene.builder,
        "app:1",
        "-e",
        "A=1",
        "-e",
        "B=2",
        "-v",
        &volume,
    ])
    .ok();
    let first = stored();
    assert_eq!(first["source"], scene.source.as_str());
    assert_eq!(first["builderImage"], scene.builder.as_str());
    assert_eq!(first["flags"]["env"], json!(["A=1", "B=2"]));
    assert_eq!(first["flags"]["volume"], json!([volume]));
    let mode = std::fs::metadata(here.join(".s2ifile")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
    // The source may be named with a password.
    assert_eq!(mode & 0o777, 0o600);
    let image = scene.overcoat.inspect("app:1")["digest"].clone();
    for _ in 0..2 {
        build(&[]).ok();
        assert_eq!(stored(), first);
        assert_eq!(scene.overcoat.inspect("app:1")["digest"], image);
    }
    build(&["-e", "C=3"]).ok();
    assert_eq!(stored()["flags"]["env"], json!(["C=3"]));
    std::fs::write(here.join(".s2ifile"), r#"{"flags":{"colour":"red"}}"#).unwrap();
    refused(&build(&[]), 1, &["`colour`"], &[]);
    std::fs::write(here.join(".s2ifile"), "no json").unwrap();
    refused(&build(&[]), 1, &["`.s2ifile` cannot be used"], &[]);
}

/// The same flags and words in `overcoat build`. Case 166: a label has a name.
#[test]
fn overcoat_build_takes_the_same_words() {
    let scene = Scene::new(&Tiny::default());
    let (source, builder) = (&scene.source, &scene.builder);
    let build = |arguments: &[&str]| scene.overcoat.run(&[&["build"], arguments].concat());
    build(&[
        source,
        builder,
        "app:1",
        "-e",
        "A=1",
        "-n",
        "Name",
        "-d",
        "/tmp",
        "--copy=true",
    ])
    .ok()
    .digest("app:1");
    build(&[
        source,
        "--build-image",
        builder,
        "-t",
        "app:2",
        "-q",
        "-p",
        "never",
        "-u",
        "1-",
    ])
    .ok()
    .digest("app:2");
    for (arguments, words) in [
        (
            &[source, builder, "--build-image", builder][..],
            ["--build-image", "[BUILDER]"],
        ),
        (&[source, builder, "app", "-t", "other"], ["--tag", "[TAG]"]),
        (&[source, "-d", "relative"], ["--destination", "relative"]),
        (&[source, "--label", "=x"], ["--label", "empty"]),
        (
            &[source, "--runtime-image", "r", "--incremental"],
            ["--runtime-image", "--incremental"],
        ),
    ] {
        let done = build(arguments);
        assert_eq!(done.code, Some(2), "{}", done.stderr);
        for word in words {
            assert!(done.stderr.contains(word), "{}", done.stderr);
        }
    }
}

/// `--as-dockerfile`, `generate` and `create`, as far as they are about words; what they write has tests of its own.
#[test]
fn files_are_written_instead_of_images() {
    let scene = Scene::new(&Tiny::default());
    let out = scene.directory.path().join("out/here/MyDockerfile");
    let path = out.to_str().unwrap();
    let done = scene
        .build(&[
            "--as-dockerfile",
            path,
            "-e",
            "A=b c",
            "-n",
            "Name",
            "--assemble-user",
            "1003",
        ])
        .ok();
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains(path), "{}", done.stderr);
    let text = std::fs::read_to_string(&out).unwrap();
    for words in [
        "A=\"b c\"",
        "\"io.k8s.display-name\"=\"Name\"",
        "/usr/libexec/s2i/assemble",
        "USER 1003",
    ] {
        assert!(text.contains(words), "expected {words:?} in:\n{text}");
    }
    assert!(out.with_file_name("upload/src/app.py").is_file());
    let refusal = scene.build(&["--as-dockerfile", path, "--assemble-user", "0", "-u", "1-"]);
    refused(&refusal, 15, &["--allowed-uids"], &[]);

    let generated = scene.directory.path().join("generated/");
    let arguments = [
        "generate",
        &scene.builder,
        &format!("{}/", generated.display()),
        "-e",
        "A=1",
    ];
    assert_eq!(scene.overcoat.s2i(&arguments).ok().stdout, "");
    let text = std::fs::read_to_string(generated.join("Dockerfile")).unwrap();
    assert!(text.contains("A=\"1\""), "{text}");
    nothing_is_left(&scene.overcoat);

    let project = scene.directory.path().join("project");
    let create = || {
        scene
            .overcoat
            .s2i(&["create", "my/builder", project.to_str().unwrap()])
    };
    assert_eq!(create().ok().stdout, "");
    assert!(project.join("s2i/bin/assemble").is_file());
    refused(&create(), 1, &["exists"], &[]);
}
