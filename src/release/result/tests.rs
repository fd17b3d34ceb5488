//! Files of results of every origin. The samples are in `testdata/release`; its README says who writes which.

use super::*;

fn sample(name: &str) -> BuildResult {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/release")
        .join(name);
    BuildResult::read(&path).unwrap()
}

fn parse(text: &str) -> Result<BuildResult, Error> {
    BuildResult::parse(text.as_bytes(), Path::new(FILE))
}

fn texts(result: &BuildResult) -> Vec<String> {
    result.builds.iter().map(Entry::text).collect()
}

#[test]
fn both_generations_of_op_skaffold_and_the_merge_action_are_read() {
    let sha = "sha256:0c67b3ed56ee2c2cfaffcb8e9d8ac0b3d9c8f5e55de2ab57bd4b43f1bb9f2f4c";
    let go = sample("op-go.json");
    assert_eq!(go.names(), ["op-base", "op"]);
    assert_eq!(
        texts(&go),
        [
            format!("ghcr.io/acme/op-base:latest@{sha}"),
            format!("ghcr.io/acme/op:latest@{sha}")
        ]
    );
    let python = sample("op-python.json");
    assert_eq!(python.builds[0].image_name, None);
    assert_eq!(python.names(), ["sample-react-node-api", "sample-web"]);
    let skaffold = sample("skaffold.json");
    assert_eq!(skaffold.builds[0].others["runtimeType"], "python");
    assert_eq!(
        texts(&skaffold),
        [
            format!("ghcr.io/acme/web:abc-123@{sha}"),
            "api:abc123".to_owned()
        ]
    );
    assert_eq!(texts(&sample("skaffold-single.json")), ["myapp:v1"]);
    let merged = sample("merged.json");
    assert_eq!(merged.names(), ["web", "api"], "one of them is there twice");
    assert_eq!(merged.builds.len(), 3);
    assert_eq!(
        merged.select(Some("web"), Path::new(FILE)).unwrap().tag,
        "ghcr.io/acme/web:v2"
    );
}

#[test]
fn every_shape_of_an_entry_gives_its_reference() {
    for (text, expected) in [
        (r#"{"builds":["img:tag"]}"#, "img:tag"),
        (r#"{"builds":[{"tag":"img:tag"}]}"#, "img:tag"),
        (
            r#"{"builds":[{"imageName":null,"tag":"img:tag"}]}"#,
            "img:tag",
        ),
        (
            r#"{"builds":[{"imageName":"app","tag":"abc123"}]}"#,
            "app:abc123",
        ),
        (
            r#"{"builds":[{"imageName":"app","tag":"app:abc-123"}]}"#,
            "app:abc-123",
        ),
        (
            r#"{"builds":[{"imageName":"app","tag":"host:5001/app:latest"}]}"#,
            "host:5001/app:latest",
        ),
        (
            r#"{"builds":[{"imageName":"app","tag":"ghcr.io/o/app"}]}"#,
            "ghcr.io/o/app",
        ),
        (r#"{"image":"myapp","tag":"v1"}"#, "myapp:v1"),
        (r#"{"imageName":"myapp","tag":"v1"}"#, "myapp:v1"),
        ("\u{feff}{\"builds\":[\"img:tag\"]}", "img:tag"),
    ] {
        assert_eq!(texts(&parse(text).unwrap()), [expected], "{text}");
    }
}

#[test]
fn a_name_without_a_registry_belongs_to_the_repository_that_is_given() {
    let of = |entry: &Entry, repository| entry.reference(repository).unwrap().to_string();
    let short = &parse(r#"{"image":"myapp","tag":"v1"}"#).unwrap().builds[0];
    assert_eq!(of(short, Some("reg.io/r")), "reg.io/r/myapp:v1");
    assert_eq!(of(short, Some("reg.io/r/")), "reg.io/r/myapp:v1");
    assert_eq!(of(short, None), "myapp:v1");
    let long = Entry::new("app", "host:5001/app:v1");
    assert_eq!(of(&long, Some("reg.io/r")), "host:5001/app:v1");
    let hub = Entry::new("app", "docker.io/acme/app:v1");
    assert_eq!(of(&hub, Some("reg.io/r")), "acme/app:v1");
}

#[test]
fn what_cannot_be_used_is_refused_by_the_name_of_the_file() {
    for (text, expected) in [
        (
            "{}",
            "`build_result.json` is no file of results: expected 'builds', a list",
        ),
        (
            "[]",
            "`build_result.json` is no file of results: expected 'builds', a list",
        ),
        (
            "7",
            "`build_result.json` is no file of results: expected 'builds', a list",
        ),
        (
            r#"{"builds":null}"#,
            "`build_result.json` is no file of results: expected 'builds', a list",
        ),
        (
            r#"{"builds":{}}"#,
            "`build_result.json` is no file of results: expected 'builds', a list",
        ),
        (r#"{"builds":[]}"#, "no builds found in `build_result.json`"),
        (
            r#"{"builds":[{}]}"#,
            "build 1 of `build_result.json` cannot be used: it has no `tag`",
        ),
        (
            r#"{"builds":["a:1",{"imageName":"b","tag":""}]}"#,
            "build 2 of `build_result.json` cannot be used: it has no `tag`",
        ),
        (
            r#"{"builds":[{"tag":7}]}"#,
            "build 1 of `build_result.json` cannot be used: its `tag` is no text",
        ),
        (
            r#"{"builds":[{"imageName":[],"tag":"a:1"}]}"#,
            "build 1 of `build_result.json` cannot be used: its `imageName` is no text",
        ),
        (
            r#"{"builds":[7]}"#,
            "build 1 of `build_result.json` cannot be used: it is neither a reference nor an object",
        ),
        (
            "{",
            "`build_result.json` is not JSON: EOF while parsing an object at line 1 column 1",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let missing = BuildResult::read(&path).unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }));
    assert!(
        missing.to_string().contains("build_result.json"),
        "{missing}"
    );
    let nested = format!("{{\"builds\":{}", "[".repeat(100_000));
    assert!(matches!(parse(&nested), Err(Error::Json { .. })));
    std::fs::write(&path, vec![b' '; (4 << 20) + 1]).unwrap();
    let large = BuildResult::read(&path).unwrap_err().to_string();
    assert!(
        large.ends_with("it is larger than 4194304 bytes"),
        "{large}"
    );
}

#[test]
fn a_reference_that_is_none_is_named_with_its_image() {
    for tag in [
        "a:1@sha256:abc",
        "a:1@sha256:a@sha256:b",
        "ghcr.io/A:1",
        "a b",
    ] {
        let error = Entry::new("app", tag).reference(None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the result of `app` cannot be used",
            "{tag}"
        );
    }
}

#[test]
fn a_name_selects_and_no_name_means_the_last() {
    let path = Path::new(FILE);
    let go = sample("op-go.json");
    assert_eq!(go.select(Some("op"), path).unwrap().name(), "op");
    assert_eq!(go.select(Some("op-base"), path).unwrap().name(), "op-base");
    assert_eq!(go.select(Some(""), path).unwrap().name(), "op");
    assert_eq!(go.select(None, path).unwrap().name(), "op");
    assert_eq!(
        go.select(Some("missing"), path).unwrap_err().to_string(),
        "`build_result.json` has no image `missing`; it has `op-base`, `op`"
    );
    let python = sample("op-python.json");
    let found = python.select(Some("sample-react-node-api"), path).unwrap();
    assert_eq!(found.tag, "localhost:5001/sample-react-node-api:latest");
    assert!(python.select(Some("sample-react-node"), path).is_err());
    // Where there are names, nothing else is looked at.
    let named =
        parse(r#"{"builds":[{"imageName":"team/web","tag":"ghcr.io/acme/web:1"}]}"#).unwrap();
    assert!(named.select(Some("web"), path).is_err());
    assert!(named.select(Some("team/web"), path).is_ok());
    assert!(matches!(
        BuildResult::default().select(None, path),
        Err(Error::Empty { .. })
    ));
}

#[test]
fn tags_and_digests_are_found_in_every_form_of_a_reference() {
    for (text, tag, digest) in [
        (
            "ghcr.io/org/op:v1.0.0@sha256:abc123",
            Some("v1.0.0"),
            Some("sha256:abc123"),
        ),
        ("ghcr.io/org/op:v1.0.0", Some("v1.0.0"), None),
        ("myrepo/image:latest", Some("latest"), None),
        ("image:sha-20240101", Some("sha-20240101"), None),
        ("nocolon", Some("nocolon"), None),
        ("a:b:c@sha256:xyz", Some("c"), Some("sha256:xyz")),
        ("localhost:5001/app", None, None),
        ("localhost:5001/app@sha256:abc", None, Some("sha256:abc")),
        ("host:5001/app:latest", Some("latest"), None),
        ("ghcr.io/org/op", None, None),
        ("", None, None),
        ("app:@", None, None),
    ] {
        assert_eq!((tag_of(text), digest_of(text)), (tag, digest), "{text:?}");
    }
}

#[test]
fn it_is_written_as_one_line_that_strict_readers_take() {
    let mut result = BuildResult::of(vec![Entry::new("web", "ghcr.io/acme/web:1@sha256:00")]);
    assert_eq!(
        result.to_line(),
        "{\"builds\":[{\"imageName\":\"web\",\"tag\":\"ghcr.io/acme/web:1@sha256:00\"}]}\n"
    );
    result =
        parse(r#"{"z":1,"builds":[{"x":[2],"tag":"a:1","imageName":"a"},"reg/b:2"],"a":null}"#)
            .unwrap();
    assert_eq!(
        result.to_line(),
        concat!(
            r#"{"builds":[{"imageName":"a","tag":"a:1","x":[2]},{"imageName":"b","tag":"reg/b:2"}],"a":null,"z":1}"#,
            "\n"
        )
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(RELEASE_FILE);
    result.write(&path).unwrap();
    let again = BuildResult::read(&path).unwrap();
    assert_eq!(again.to_line(), result.to_line());
    assert_eq!(
        fs::list(directory.path()).unwrap().len(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn builds_that_write_one_file_find_each_other_s_results() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let names: Vec<String> = (0..16).map(|number| format!("app{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let path = &path;
            scope.spawn(move || update(path, &[Entry::new(name, format!("{name}:1"))]).unwrap());
        }
    });
    let mut found = BuildResult::read(&path).unwrap().names();
    found.sort();
    let mut expected = names.clone();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn an_update_replaces_by_name_where_the_name_stands() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let text = r#"{"builds":["reg/base:1",{"imageName":"app","tag":"app:1"},"x/base:2",{"imageName":"z","tag":"z:1"}],"k":1}"#;
    std::fs::write(&path, text).unwrap();
    update(
        &path,
        &[Entry::new("base", "base:3"), Entry::new("new", "new:1")],
    )
    .unwrap();
    let result = BuildResult::read(&path).unwrap();
    assert_eq!(texts(&result), ["base:3", "app:1", "z:1", "new:1"]);
    assert_eq!(result.others["k"], 1);
    let twice = [Entry::new("z", "z:2"), Entry::new("z", "z:latest")];
    update(&path, &twice).unwrap();
    let expected = ["base:3", "app:1", "z:2", "new:1", "z:latest"];
    assert_eq!(texts(&BuildResult::read(&path).unwrap()), expected);
    std::fs::write(&path, "{\"builds\":[]}\n").unwrap();
    update(&path, &[Entry::new("a", "a:1")]).unwrap();
    assert_eq!(BuildResult::read(&path).unwrap().names(), ["a"]);
    std::fs::write(&path, "nonsense").unwrap();
    assert!(update(&path, &[Entry::new("a", "a:1")]).is_err());
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "nonsense",
        "what is not ours stays"
    );
}

#[test]
fn what_a_name_left_is_forgotten_before_it_is_built_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    forget(&path, &["a"]).unwrap();
    forget(&directory.path().join("no/such/file"), &["a"]).unwrap();
    update(&path, &[Entry::new("a", "a:1"), Entry::new("b", "b:1")]).unwrap();
    forget(&path, &["a", "c"]).unwrap();
    assert_eq!(BuildResult::read(&path).unwrap().names(), ["b"]);
    forget(&path, &["b"]).unwrap();
    assert!(
        !path.exists(),
        "an empty list of builds is an error for who reads it"
    );
    remove(&path).unwrap();
}

#[test]
fn files_of_several_jobs_are_put_one_behind_the_other() {
    let mut all = sample("op-go.json");
    all.append(sample("op-python.json"));
    assert_eq!(all.builds.len(), 4);
    let last = all.select(None, Path::new(FILE)).unwrap();
    assert_eq!(last.name(), "sample-web");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = parse(&text);
            let _ = (tag_of(&text), digest_of(&text));
            let _ = Entry::new("a", text.clone()).reference(Some("r.example/x"));
        }

        #[test]
        fn what_was_written_is_read_again(
            builds in prop::collection::vec(("[a-z]{1,8}(/[a-z]{1,8})?", "\\PC{1,40}"), 1..6)
        ) {
            let builds = builds.into_iter().map(|(name, tag)| Entry::new(name, tag));
            let result = BuildResult::of(builds.collect());
            prop_assert_eq!(parse(&result.to_line()).unwrap(), result);
        }
    }
}
