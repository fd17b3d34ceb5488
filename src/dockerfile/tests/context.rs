//! What is refused, and what is written where.

use super::*;

#[test]
fn paths_with_spaces_are_lists_and_words() {
    let place = Place::new();
    place.put("two words/a b", "x");
    let source = place.path("two words");
    let read = place.write(|request| {
        request.destination = Some("/with space".to_owned());
        request.injections = vec![Injection {
            source,
            destination: "/in to".to_owned(),
            is_kept: false,
        }];
        request.scripts.scripts_url = Some("file:///s".to_owned());
        request.scripts.from_scripts_url =
            BTreeMap::from([("assemble".to_owned(), place.put("s/assemble", ""))]);
    });
    read.commands("'/with space/scripts/assemble'", "/usr/libexec/s2i/run");
    read.at("RUN (rm -f '/in to/a b' || : > '/in to/a b')");
    assert_eq!(read.all("COPY")[1].arguments[1], "/with space/src");
}

#[test]
fn what_a_dockerfile_cannot_say_is_refused_by_name_before_anything_is_written() {
    let place = Place::new();
    let source = place.source();
    let request = || DockerfileRequest {
        builder: "b".to_owned(),
        source: Some(&source),
        ..DockerfileRequest::default()
    };
    let environment = |name: &str, value: &str| DockerfileRequest {
        environment: list(&[(name, value)]),
        ..request()
    };
    let destination = |text: &str| DockerfileRequest {
        destination: Some(text.to_owned()),
        ..request()
    };
    let user = |text: &str| DockerfileRequest {
        assemble_user: Some(text.to_owned()),
        ..request()
    };
    let builder = |text: &str| DockerfileRequest {
        builder: text.to_owned(),
        ..request()
    };
    let injection = |destination: &str| DockerfileRequest {
        injections: vec![Injection {
            source: place.path("app"),
            destination: destination.to_owned(),
            is_kept: false,
        }],
        ..request()
    };
    let rows = [
        (
            environment("A", "secret\nRUN x"),
            "the variable `A` cannot be written",
        ),
        (environment("export A", "secret"), "the variable `export A`"),
        (environment("# x", "secret"), "the variable `# x`"),
        (
            DockerfileRequest {
                labels: map(&[("l", "secret\r")]),
                ..request()
            },
            "the label `l`",
        ),
        (destination("relative"), "the destination `relative`"),
        (destination("/"), "it is the root directory"),
        (destination("/a/../b"), "the destination `/a/../b`"),
        (destination("/$HOME"), "the destination `/$HOME`"),
        (destination("/a\nRUN x"), "the destination `/a\\nRUN x`"),
        (user("root;x"), "the user `root;x`"),
        (user(""), "the user ``"),
        (builder("b as c"), "the builder image `b as c`"),
        (builder("$B"), "the builder image `$B`"),
        (builder("--platform=x"), "the builder image"),
        (injection("../../etc"), "the injection's destination"),
        (injection("/a*"), "the injection's destination"),
    ];
    for (request, expected) in rows {
        let error = write(&request, &place.path("out/Dockerfile")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(expected) && !text.contains("secret"),
            "{text}"
        );
        assert_eq!(error.hints().len(), 1);
        assert!(!place.path("out").exists());
    }
}

#[test]
fn an_upload_is_replaced_if_it_is_ours_and_nothing_else_is_touched() {
    let place = Place::new();
    place.write(|_| ());
    let stale = place.put("out/upload/src/stale", "");
    let other = place.put("out/other", "mine");
    place.write(|_| ());
    assert!(!stale.exists() && other.exists());
    let names: Vec<_> = crate::fs::list(&place.path("out")).unwrap();
    assert_eq!(
        names,
        ["MyDockerfile", "other", "upload"].map(PathBuf::from)
    );

    // An application may have a directory of this name.
    let kept = place.put("app/upload/photo", "mine");
    let source = place.source();
    let request = DockerfileRequest {
        builder: "b".to_owned(),
        source: Some(&source),
        ..DockerfileRequest::default()
    };
    let error = write(&request, &place.path("app/Dockerfile")).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert_eq!(fs::read(kept).unwrap(), b"mine");
    assert!(!place.path("app/Dockerfile").exists());
}

#[test]
fn a_context_in_the_source_does_not_hold_itself() {
    let place = Place::new();
    let write = || {
        let source = place.source();
        let request = DockerfileRequest {
            builder: "b".to_owned(),
            source: Some(&source),
            ..DockerfileRequest::default()
        };
        super::write(&request, &place.path("app/Dockerfile")).unwrap();
        crate::fs::list(&place.path("app/upload/src")).unwrap()
    };
    let expected = ["app.py", "data", "link"].map(PathBuf::from);
    assert_eq!((write(), write()), (expected.to_vec(), expected.to_vec()));
}

#[test]
fn a_hostile_tree_is_not_written_elsewhere_and_leaves_nothing() {
    let place = Place::new();
    let file = |path: &str| crate::source::SourceEntry {
        path: path.as_bytes().to_vec(),
        kind: crate::source::SourceKind::File {
            is_executable: false,
            size: 0,
        },
    };
    let link = crate::source::SourceEntry {
        path: b"a".to_vec(),
        kind: crate::source::SourceKind::Symlink {
            target: place
                .path("elsewhere")
                .into_os_string()
                .into_encoded_bytes(),
        },
    };
    fs::create_dir(place.path("elsewhere")).unwrap();
    for entries in [
        vec![file("../x")],
        vec![file("/x")],
        vec![link, file("a/app.py")],
    ] {
        let source = SourceTree {
            entries,
            ..place.source()
        };
        let request = DockerfileRequest {
            builder: "b".to_owned(),
            source: Some(&source),
            ..DockerfileRequest::default()
        };
        let error = write(&request, &place.path("out/Dockerfile")).unwrap_err();
        assert!(matches!(error, Error::Unsafe { .. }), "{error}");
        assert_eq!(
            crate::fs::list(&place.path("out")).unwrap(),
            Vec::<PathBuf>::new()
        );
        assert_eq!(
            crate::fs::list(&place.path("elsewhere")).unwrap(),
            Vec::<PathBuf>::new()
        );
    }
}
