use super::*;
use crate::project::test_tree::{loaded, refusal, tree, variables};

#[test]
fn octopilot_says_contexts_and_unknown_keys_are_refused() {
    let text = "default_repo: a.example\ntag: v1\ncontexts:\n  api:\n    ports: ['8080:80', 9090]\n    env: {A: b, N: 1, E: }\n    volumes: ['./x:/x:ro']\n  web:\n";
    let skaffold = "apiVersion: skaffold/v4beta1\nbuild: {artifacts: [{image: team/api, context: src, buildpacks: {}}]}\n";
    let project = loaded(
        &[("octopilot.yaml", text), ("skaffold.yaml", skaffold)],
        &[],
    )
    .unwrap();
    assert_eq!(project.tag.as_ref().unwrap().value, "v1");
    let api = project.context("api").unwrap();
    assert_eq!(api.ports, ["8080:80", "9090"]);
    assert_eq!(api.volumes, ["./x:/x:ro"]);
    assert_eq!(
        api.environment,
        variables(&[("A", "b"), ("E", ""), ("N", "1")])
    );
    assert_eq!(
        project.application("api").unwrap().context.as_ref(),
        Some(api)
    );
    let web = project.context("web").unwrap();
    assert_eq!(web.origin.line(), Some(8));
    assert!(web.ports.is_empty() && web.environment.is_empty() && web.volumes.is_empty());
    let error = project.context("wbe").unwrap_err();
    assert!(error.to_string().contains("`wbe`"));
    assert!(error.hints().join(" ").contains("`api`, `web`"));
    for (text, line, words) in [
        ("\ndefault_rep: x", 2, "did you mean `default_repo`"),
        ("colour: x", 1, "the keys here are `default_repo`"),
        ("contexts: []", 1, "expected a mapping"),
        ("contexts:\n  a:\n    port: [1]", 3, "no key `port`"),
        ("contexts:\n  a:\n    ports: 80", 3, "expected a list"),
        ("default_repo: [x]", 1, "expected a single value"),
    ] {
        let said = refusal(&[(".github/octopilot.yaml", text)], &[]);
        assert!(
            said.contains(&format!("octopilot.yaml`, line {line}: ")),
            "{text}: {said}"
        );
        assert!(said.contains(words), "{text}: {said}");
    }
}

#[test]
fn artifacts_join_the_application_that_has_their_image() {
    let own = "[applications.web]\nimage = 'team/web'\nplatforms = ['linux/amd64']\nenvironment = { A = 'own' }\n[applications.api]\npath = 'here'\n";
    let skaffold = "apiVersion: skaffold/v4beta1\nbuild:\n  artifacts:\n  - {image: extra, docker: {}}\n  - {image: team/web, context: w, platforms: [linux/arm64], buildpacks: {env: [A=skaffold, B=b]}}\n  - {image: api, context: there, docker: {}}\n";
    let directory = tree(&[
        ("overcoat.toml", own),
        ("skaffold.yaml", skaffold),
        ("here/x", ""),
    ]);
    let project = load(&Wanted {
        directory: directory.path().join("here"),
        ..Wanted::default()
    })
    .unwrap();
    let names: Vec<&str> = project
        .applications
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["web", "api", "extra"]);
    let web = project.application("team/web").unwrap();
    assert_eq!(web.source(&project), directory.path().join("w"));
    assert_eq!(web.platforms.as_ref().unwrap().value, ["linux/amd64"]);
    assert_eq!(web.environment["A"].value, "own");
    assert_eq!(web.environment["B"].value, "b");
    let api = project.application("api").unwrap();
    assert_eq!(
        (api.source(&project), &api.foreign),
        (directory.path().join("here").as_path(), &None)
    );
    let extra = project.application("extra").unwrap();
    assert!(extra.foreign.as_ref().unwrap().contains("Dockerfile"));
    let overruled: Vec<(&str, &str)> = project
        .overruled
        .iter()
        .filter(|other| other.key.starts_with("applications"))
        .map(|other| (other.key.as_str(), other.value.as_str()))
        .collect();
    let there = directory.path().join("there");
    assert_eq!(
        overruled,
        [
            ("applications.web.platforms", "linux/arm64"),
            ("applications.web.environment.A", "skaffold"),
            ("applications.api.path", there.to_str().unwrap()),
        ]
    );
}

#[test]
fn the_file_is_found_upwards_and_a_named_one_must_be_there() {
    let directory = tree(&[
        ("overcoat.toml", "project = 'outer'"),
        ("a/b/c/x", ""),
        ("a/overcoat.toml", "project = 'inner'"),
        ("other.toml", "project = 'named'"),
        (".registry", "local: outer.example"),
        ("a/.registry", "local: inner.example"),
    ]);
    let name = |start: &str, file: Option<&str>| {
        let wanted = Wanted {
            directory: directory.path().join(start),
            file: file.map(|file| directory.path().join(file)),
            ..Wanted::default()
        };
        load(&wanted).map(|project| {
            let registry = project.registry.unwrap().value;
            (project.name.unwrap().value, registry)
        })
    };
    let pair = |name: &str, registry: &str| Ok((name.to_owned(), registry.to_owned()));
    assert_eq!(name("a/b/c", None), pair("inner", "inner.example"));
    assert_eq!(name("a", None), pair("inner", "inner.example"));
    assert_eq!(name("", None), pair("outer", "outer.example"));
    assert_eq!(
        name("a/b", Some("other.toml")),
        pair("named", "outer.example")
    );
    let error = name("", Some("none.toml")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("none.toml`: there is no such file"),
        "{error}"
    );
    for named in 0..4 {
        let path = Some(directory.path().join("none"));
        let mut wanted = Wanted {
            directory: directory.path().to_owned(),
            ..Wanted::default()
        };
        let field = [
            &mut wanted.properties,
            &mut wanted.octopilot,
            &mut wanted.skaffold,
            &mut wanted.registry_file,
        ];
        *field.into_iter().nth(named).unwrap() = path;
        assert!(matches!(load(&wanted), Err(Error::Unreadable { .. })));
    }
}

#[test]
fn hooks_are_for_what_there_is() {
    let hook = |more: &str| {
        format!(
            "[applications.web]\n[environments.dev]\n[[hooks]]\noperation = 'push'\nwhen = 'before'\ncommand = ['x']\n{more}"
        )
    };
    let good = hook("applications = ['web']\nenvironments = ['dev', 'pp']");
    let properties = ("pipeline.properties", "GOOGLE_GKE_IMAGE_PP_REPOSITORY=x");
    assert_eq!(
        loaded(&[("overcoat.toml", &good), properties], &[])
            .unwrap()
            .hooks
            .len(),
        1
    );
    for (more, words) in [
        ("applications = ['wep']", "the application `wep`"),
        ("environments = ['pp']", "the environment `pp`"),
    ] {
        let said = refusal(&[("overcoat.toml", &hook(more))], &[]);
        assert!(said.contains("line 3: ") && said.contains(words), "{said}");
    }
}

#[test]
fn applications_are_found_by_name_by_image_and_by_place() {
    let own = "[applications.web]\nimage = 'team/site'\npath = 'web'\n[applications.inner]\npath = 'web/inner'\n[applications.one]\nimage = 'a/same'\n[applications.two]\nimage = 'b/same'\n";
    let directory = tree(&[("overcoat.toml", own), ("web/inner/deep/x", "")]);
    let project = load(&Wanted {
        directory: directory.path().to_owned(),
        ..Wanted::default()
    })
    .unwrap();
    let name = |text: &str| project.application(text).map(|found| found.name.as_str());
    assert_eq!(name("web"), Ok("web"));
    assert_eq!(name("team/site"), Ok("web"));
    assert_eq!(name("site"), Ok("web"));
    assert!(matches!(name("same"), Err(Error::Ambiguous { .. })));
    let error = name("wep").unwrap_err();
    assert_eq!(error.hints()[0], "did you mean `web`?");
    assert!(error.hints()[1].contains("`web`, `inner`, `one`, `two`"));
    let place = |text: &str| {
        let found = project.application_of(&directory.path().join(text));
        found.map(|found| found.name.as_str())
    };
    assert_eq!(place("web/other"), Some("web"));
    assert_eq!(place("web/inner/deep"), Some("inner"));
    assert_eq!(place("elsewhere"), None);
    let named = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let found = project.applications_named(&names);
        found.map(|found| {
            found
                .into_iter()
                .map(|one| one.name.as_str())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(named(&["two", "web", "team/site"]), Ok(vec!["web", "two"]));
    assert_eq!(named(&[]), Ok(vec!["web", "inner", "one", "two"]));
    assert!(named(&["web", "none"]).is_err());
}

#[test]
fn explain_shows_every_value_without_passwords() {
    let own = "[applications.web]\nenvironment = { INDEX = 'https://user:hunter2@index.example/simple' }\n[environments.dev]\nregistry = 'a.example'\nmanifests = []\n[[hooks]]\noperation = 'push'\nwhen = 'before'\ncommand = ['scan', 'https://u:hunter2@x']\ntimeout = '90s'\n";
    let project = loaded(&[("overcoat.toml", own)], &[]).unwrap();
    let rows = project.explain(None).unwrap();
    let shown: Vec<(&str, &str, Option<usize>)> = rows
        .iter()
        .map(|row| (row.key.as_str(), row.value.as_str(), row.origin.line()))
        .collect();
    assert_eq!(
        shown,
        [
            ("default-registry", "localhost:5001", None),
            ("applications.web.image", "web", None),
            ("applications.web.builder", "builder:python-3.11", None),
            ("applications.web.strategy", "auto", None),
            (
                "applications.web.environment.INDEX",
                "https://index.example/simple",
                Some(2)
            ),
            ("applications.web.platforms", "this machine's", None),
            ("environments.dev.registry", "a.example", Some(4)),
            ("environments.dev.manifests", "", Some(5)),
            (
                "hooks.1",
                "before push: scan https://x (at most 1m 30s)",
                Some(6)
            ),
        ]
    );
    let some = project.explain(Some("environments.dev")).unwrap();
    assert_eq!(some, rows[6..8]);
    let error = project.explain(Some("environments.de")).unwrap_err();
    assert!(
        error.to_string().contains("no setting `environments.de`"),
        "{error}"
    );
}
