use super::*;

fn file(text: &str) -> Text {
    Text {
        path: "/work/skaffold.yaml".into(),
        text: text.to_owned(),
    }
}

fn variables() -> BTreeMap<String, String> {
    BTreeMap::from([("MODE".to_owned(), "fast".to_owned())])
}

fn artifacts(text: &str) -> Vec<Artifact> {
    read(&file(text), &variables(), &[]).unwrap().artifacts
}

const NEWER: &str = r#"
apiVersion: skaffold/v4beta1
kind: Config
metadata: {name: convoy}
build:
  platforms: &all [linux/amd64, linux/arm64]
  tagPolicy: {gitCommit: {}}
  local: {push: true}
  artifacts:
    - image: team/web
      context: web
      buildpacks:
        builder: "gcr.io/buildpacks/builder:v1"
        runImage: gcr.io/buildpacks/run
        env: ["MODE={{.MODE}}", "PLAIN=a=b", 'BOTH={{ .MODE }}-{{.MODE}}']
      requires:
        - {image: base, alias: BASE}
        - image: tools
    - image: api
      custom: {buildCommand: "EXTRA=1 ./bin/overcoat build --locked"}
      platforms: [linux/amd64]
    - image: other
      custom:
        buildCommand: make image
    - image: front
      context: ./front
      docker: {dockerfile: build/Dockerfile, buildArgs: {A: b}}
    - image: plain
    - image: java
      jib: {}
    - image: web-chart
      buildpacks: {}
manifests: {rawYaml: ["k8s/*.yaml"]}
---
apiVersion: skaffold/v4beta1
kind: Config
build:
  artifacts: [{image: second, ko: {}}]
---
"#;

#[test]
fn artifacts_of_all_documents_are_read_and_those_that_others_build_are_called_so() {
    let found = artifacts(NEWER);
    let reason = |artifact: &Artifact| artifact.foreign.clone().unwrap_or_default();
    let shown: Vec<(&str, &str, String)> = found
        .iter()
        .map(|artifact| {
            let place = artifact.context.value.to_str().unwrap();
            (artifact.image.value.as_str(), place, reason(artifact))
        })
        .collect();
    let row = |image, place, reason: &str| (image, place, reason.to_owned());
    assert_eq!(
        shown,
        [
            row("team/web", "/work/web", ""),
            row("api", "/work", ""),
            row("other", "/work", "it is built by the command `make image`"),
            row(
                "front",
                "/work/front",
                "it is built by a Dockerfile, `build/Dockerfile`"
            ),
            row(
                "plain",
                "/work",
                "it is built by a Dockerfile, `Dockerfile`"
            ),
            row("java", "/work", "it is built by Jib"),
            row("web-chart", "/work", "it is a Helm chart, by its name"),
            row("second", "/work", "it is built by ko"),
        ]
    );
    let web = &found[0];
    let value = |name: &str| web.environment[name].value.as_str();
    assert_eq!(
        [value("MODE"), value("PLAIN"), value("BOTH")],
        ["fast", "a=b", "fast-fast"]
    );
    assert_eq!(web.image.origin.line(), Some(10));
    assert_eq!(web.context.origin.line(), Some(11));
    let requires: Vec<(&str, &str)> = web
        .requires
        .iter()
        .map(|required| (required.image.as_str(), required.alias.as_str()))
        .collect();
    assert_eq!(requires, [("base", "BASE"), ("tools", "tools")]);
    let notes: Vec<&str> = web.notes.iter().map(|(text, _)| text.as_str()).collect();
    assert!(
        notes[0].starts_with("builder `gcr.io/buildpacks/builder:v1`"),
        "{notes:?}"
    );
    assert!(
        notes[1].starts_with("runImage `gcr.io/buildpacks/run`"),
        "{notes:?}"
    );
    let platforms = |artifact: &Artifact| artifact.platforms.as_ref().unwrap().value.clone();
    assert_eq!(platforms(web), ["linux/amd64", "linux/arm64"]);
    assert_eq!(platforms(&found[1]), ["linux/amd64"]);
}

#[test]
fn an_older_file_is_read_likewise_and_one_without_artifacts_has_none() {
    let text = "apiVersion: skaffold/v2beta29\nkind: Config\nbuild:\n  artifacts:\n  - image: base\n    context: base\n    buildpacks: {builder: b}\n  - image: app\n    buildpacks: {builder: b, runImage: base}\n";
    let images: Vec<String> = artifacts(text)
        .into_iter()
        .map(|one| one.image.value)
        .collect();
    assert_eq!(images, ["base", "app"]);
    for text in [
        "apiVersion: skaffold/v4beta1\nkind: Config\n",
        "apiVersion: skaffold/v4beta1\nbuild:\n",
        "apiVersion: skaffold/v4beta1\nbuild:\n  artifacts: []\n",
        "",
    ] {
        assert!(artifacts(text).is_empty(), "{text}");
    }
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let head = "apiVersion: skaffold/v4beta1\nbuild:\n  artifacts:\n";
    for (text, line, words) in [
        ("a: ]", 1, "not YAML"),
        ("kind: Config\n", 1, "no `apiVersion`"),
        ("kind: Config\napiVersion: v1\n", 2, "`v1` is no version"),
        ("- a\n", 1, "expected a mapping"),
        (
            "apiVersion: skaffold/v4beta1\nbuild: x\n",
            2,
            "expected a mapping",
        ),
        (
            "apiVersion: skaffold/v4beta1\nbuild: {artifacts: {}}\n",
            2,
            "expected a list",
        ),
        (
            "apiVersion: skaffold/v4beta1\nbuild: {}\nbuild: {}\n",
            3,
            "twice",
        ),
        (&format!("{head}  - context: x\n"), 4, "no `image`"),
        (
            &format!("{head}  - image: a:1\n"),
            4,
            "no name for an image",
        ),
        (
            &format!("{head}  - image: a\n  - image: a\n"),
            5,
            "in line 4 already",
        ),
        (
            &format!("{head}  - image: a\n    <<: {{}}\n"),
            5,
            "merge keys",
        ),
        (
            &format!("{head}  - image: [a]\n"),
            4,
            "expected a single value",
        ),
        (
            &format!("{head}  - image: a\n    custom: {{}}\n"),
            5,
            "no `buildCommand`",
        ),
        (
            &format!("{head}  - image: a\n    buildpacks:\n      env: [A]\n"),
            6,
            "NAME=VALUE",
        ),
        (
            &format!("{head}  - image: a\n    buildpacks:\n      env: ['A={{{{.NONE}}}}']\n"),
            6,
            "NONE, which is not set",
        ),
        (
            &format!("{head}  - image: a\n    buildpacks:\n      env: ['A={{{{cmd \"x\"}}}}']\n"),
            6,
            "is not followed",
        ),
        (
            &format!("{head}  - image: a\n    platforms: [amd64]\n"),
            5,
            "no platform",
        ),
        (
            &format!("{head}  - image: a\n    requires: [{{alias: A}}]\n"),
            5,
            "no `image`",
        ),
    ] {
        let error = read(&file(text), &variables(), &[]).expect_err(text);
        let Error::Invalid { place, reason, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(place.line(), Some(line), "{text}: {reason}");
        assert!(reason.contains(words), "{text}: {reason}");
    }
}

const PROFILES: &str = r#"
apiVersion: skaffold/v4beta1
build:
  platforms: [linux/amd64]
  artifacts: [{image: base, docker: {}}]
profiles:
- name: push
  build:
    local: {push: true}
- name: python
  build:
    artifacts: [{image: web, buildpacks: {}}, {image: api, buildpacks: {}}]
- name: arm
  build: {platforms: [linux/arm64]}
  patches: [{op: add, path: /deploy/kubectl, value: {}}]
- name: patched
  patches:
  - op: replace
    path: /build/artifacts/0/image
    value: other
"#;

#[test]
fn the_lists_of_a_profile_stand_in_for_those_of_the_document() {
    let read = |profiles: &[&str]| {
        let profiles: Vec<String> = profiles.iter().map(|name| (*name).to_owned()).collect();
        read(&file(PROFILES), &variables(), &profiles)
    };
    for (profiles, images, platform) in [
        (&[][..], &["base"][..], "linux/amd64"),
        (&["push"], &["base"], "linux/amd64"),
        (&["python"], &["web", "api"], "linux/amd64"),
        (&["python", "arm", "push"], &["web", "api"], "linux/arm64"),
    ] {
        let found = read(profiles).unwrap();
        let names = found.artifacts.iter().map(|it| it.image.value.as_str());
        assert_eq!(names.collect::<Vec<_>>(), images, "{profiles:?}");
        for artifact in &found.artifacts {
            assert_eq!(artifact.platforms.as_ref().unwrap().value, [platform]);
        }
        assert_eq!(found.profiles, ["push", "python", "arm", "patched"]);
    }
    let error = read(&["patched"]).unwrap_err().to_string();
    for part in ["line 19", "`patched` patches `/build/artifacts/0/image`"] {
        assert!(error.contains(part), "{error}");
    }
}
