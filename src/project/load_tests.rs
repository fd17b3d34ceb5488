use super::*;
use crate::project::Role;

/// A project's directory with these files.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

fn loaded(files: &[(&str, &str)], pairs: &[(&str, &str)]) -> Result<Project, Error> {
    let directory = tree(files);
    load(&Wanted {
        directory: directory.path().to_owned(),
        variables: variables(pairs),
        ..Wanted::default()
    })
}

#[track_caller]
fn registry(files: &[(&str, &str)], pairs: &[(&str, &str)]) -> String {
    loaded(files, pairs).unwrap().registry.unwrap().value
}

#[track_caller]
fn refusal(files: &[(&str, &str)], pairs: &[(&str, &str)]) -> String {
    let error = loaded(files, pairs).unwrap_err();
    format!("{error} {}", error.hints().join(" "))
}

#[test]
fn the_registry_file_is_read_as_both_generations_of_op_do() {
    let ci = ("GITHUB_ACTIONS", "true");
    for (text, pairs, expected) in [
        (
            "ci: ['ghcr.io/${MY_ORG:-fallback}']",
            &[ci, ("MY_ORG", "acme")][..],
            "ghcr.io/acme",
        ),
        (
            "ci: ['ghcr.io/${MY_ORG:-fallback}']",
            &[ci, ("MY_ORG", "")],
            "ghcr.io/fallback",
        ),
        (
            "ci: ['ghcr.io/${MY_ORG:-fallback}']",
            &[ci],
            "ghcr.io/fallback",
        ),
        (
            "destinations: [ghcr.io/legacy-org]",
            &[ci],
            "ghcr.io/legacy-org",
        ),
        (
            "destinations: [ghcr.io/old]\nci: [ghcr.io/new]",
            &[ci],
            "ghcr.io/new",
        ),
        (
            "ci: [{url: ghcr.io/object, name: main}]",
            &[ci],
            "ghcr.io/object",
        ),
        (
            "ci: [ghcr.io/first, ghcr.io/second]",
            &[ci],
            "ghcr.io/first",
        ),
        ("ci: [ghcr.io/org/]", &[ci], "ghcr.io/org"),
        ("local: ghcr.io/org/\n", &[], "ghcr.io/org"),
        (
            "local: 'localhost:${PORT:-5001}'",
            &[("PORT", "9999")],
            "localhost:9999",
        ),
        ("local: 'localhost:${PORT:-5001}'", &[], "localhost:5001"),
        (
            "local: reg.example/a\nci: [ghcr.io/b]",
            &[],
            "reg.example/a",
        ),
        (
            "local: reg.example/a\nci: [ghcr.io/b]",
            &[("GITHUB_ACTIONS", "false")],
            "reg.example/a",
        ),
        (
            "local: reg.example/$TEAM",
            &[("TEAM", "x")],
            "reg.example/x",
        ),
        ("local: 'reg.example/a${SUFFIX}'", &[], "reg.example/a"),
        // Nothing for the case at hand is not the other case.
        ("ci: [ghcr.io/b]", &[], "localhost:5001"),
        ("local:\nci:\n", &[], "localhost:5001"),
        ("", &[], "localhost:5001"),
    ] {
        assert_eq!(
            registry(&[(".registry", text)], pairs),
            expected,
            "{text} {pairs:?}"
        );
    }
}

#[test]
fn a_registry_file_that_makes_no_sense_is_refused_with_its_line() {
    for (text, line, words) in [
        (
            "local: a.example\nci: not-a-list",
            2,
            "`ci`: expected a list",
        ),
        (
            "- ghcr.io/a\n- ghcr.io/b",
            1,
            "expected a mapping, found a list",
        ),
        ("a: ]", 1, "not YAML"),
        ("\nlocl: a.example", 2, "did you mean `local`"),
        ("ci:\n  - name: x", 2, "has no `url`"),
        ("ci:\n  - url: a.example\n    uri: x", 3, "no key `uri`"),
        ("local: [a]", 1, "expected"),
        ("local: https://a.example", 1, "without `https://`"),
        ("local: '${A'", 1, "has no `}`"),
        ("local: 'ghcr.io/${OWNER}'", 1, "needs the variable OWNER"),
        (
            "local: a.example\n---\nlocal: b.example",
            3,
            "second document",
        ),
    ] {
        let said = refusal(&[(".registry", text)], &[]);
        assert!(
            said.contains(&format!(".registry`, line {line}: ")),
            "{text}: {said}"
        );
        assert!(said.contains(words), "{text}: {said}");
    }
    let directory = tree(&[(".registry/x", "")]);
    let wanted = Wanted {
        directory: directory.path().to_owned(),
        ..Wanted::default()
    };
    let error = load(&wanted).unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
}

#[test]
fn the_default_registry_comes_from_the_first_that_says_it() {
    let files = [
        ("overcoat.toml", "default-registry = 'own.example'"),
        (".github/octopilot.yaml", "default_repo: github.example/\n"),
        ("octopilot.yaml", "default_repo: root.example\n"),
        (
            "pipeline.properties",
            "SKAFFOLD_DEFAULT_REPO=properties.example\nGOOGLE_GKE_IMAGE_REPOSITORY=dev.example",
        ),
        (".registry", "local: file.example\n"),
    ];
    let all = [
        ("SKAFFOLD_DEFAULT_REPO", "skaffold.example"),
        ("DEFAULT_REPO", "viper.example"),
    ];
    let without = |missing: &[&str]| -> Vec<(&str, &str)> {
        files
            .into_iter()
            .filter(|(name, _)| !missing.contains(name))
            .collect()
    };
    assert_eq!(registry(&files, &all), "skaffold.example");
    assert_eq!(
        registry(&files, &[("SKAFFOLD_DEFAULT_REPO", "")]),
        "own.example"
    );
    let rest = without(&["overcoat.toml"]);
    assert_eq!(registry(&rest, &all[1..]), "viper.example");
    assert_eq!(registry(&rest, &[]), "github.example");
    let rest = without(&["overcoat.toml", ".github/octopilot.yaml"]);
    assert_eq!(registry(&rest, &[]), "root.example");
    let rest = without(&["overcoat.toml", ".github/octopilot.yaml", "octopilot.yaml"]);
    assert_eq!(registry(&rest, &[]), "properties.example");
    let dev = (
        "pipeline.properties",
        "GOOGLE_GKE_IMAGE_REPOSITORY=dev.example",
    );
    assert_eq!(
        registry(&[dev, (".registry", "local: file.example")], &[]),
        "file.example"
    );
    assert_eq!(registry(&[dev], &[]), "dev.example");
    assert_eq!(
        registry(&[dev], &[("GOOGLE_GKE_IMAGE_REPOSITORY", "var.example")]),
        "var.example"
    );
    assert_eq!(registry(&[], &[]), "localhost:5001");

    let directory = tree(&files);
    let project = load(&Wanted {
        directory: directory.path().to_owned(),
        registry: Some(Setting::new(
            "flag.example/".to_owned(),
            Origin::Flag("--repo"),
        )),
        variables: variables(&all),
        ..Wanted::default()
    })
    .unwrap();
    let chosen = project.registry.as_ref().unwrap();
    assert_eq!(
        (chosen.value.as_str(), &chosen.origin),
        ("flag.example", &Origin::Flag("--repo"))
    );
    let rows = project.explain(Some("default-registry")).unwrap();
    let overruled: Vec<String> = rows[0]
        .overruled
        .iter()
        .map(|(value, origin)| format!("{value} {origin}"))
        .collect();
    let at = |name: &str| format!("`{}`, line 1", directory.path().join(name).display());
    assert_eq!(
        overruled,
        [
            "skaffold.example the variable SKAFFOLD_DEFAULT_REPO".to_owned(),
            format!("own.example {}", at("overcoat.toml")),
            "viper.example the variable DEFAULT_REPO".to_owned(),
            format!("github.example {}", at(".github/octopilot.yaml")),
            format!("properties.example {}", at("pipeline.properties")),
            format!("file.example {}", at(".registry")),
            format!(
                "dev.example `{}`, line 2",
                directory.path().join("pipeline.properties").display()
            ),
            "localhost:5001 default".to_owned(),
        ]
    );
}

#[test]
fn what_a_stronger_source_has_decided_does_not_fail_for_a_weaker_one() {
    let file = (".registry", "local: 'ghcr.io/${OWNER}'");
    let project = loaded(&[file], &[("SKAFFOLD_DEFAULT_REPO", "a.example")]).unwrap();
    assert_eq!(project.registry.as_ref().unwrap().value, "a.example");
    assert!(
        project.notes[0].text.contains("OWNER"),
        "{:?}",
        project.notes
    );
}

#[test]
fn environments_have_the_registries_that_op_gives_them() {
    let of = |files: &[(&str, &str)], pairs: &[(&str, &str)], name: &str, role: Role| {
        let project = loaded(files, pairs).unwrap();
        let found = project.registry_of(name, role);
        found
            .map(|setting| setting.value)
            .map_err(|error| error.to_string())
    };
    let ok = |text: &str| Ok(text.to_owned());
    let watch = ("WATCH_DESTINATION_REPOSITORY", "default-repo");
    assert_eq!(of(&[], &[watch], "dev", Role::Watched), ok("default-repo"));
    let dev = ("GOOGLE_GKE_IMAGE_REPOSITORY", "dev-repo");
    assert_eq!(of(&[], &[watch, dev], "dev", Role::Watched), ok("dev-repo"));
    assert_eq!(
        of(&[], &[watch, dev], "prod", Role::Watched),
        ok("default-repo")
    );
    let prod = ("GOOGLE_GKE_IMAGE_PROD_REPOSITORY", "prod-repo");
    assert_eq!(
        of(&[], &[watch, dev, prod], "prod", Role::Watched),
        ok("prod-repo")
    );
    let promote = [
        ("PROMOTE_SOURCE_REPOSITORY", "from"),
        ("PROMOTE_DESTINATION_REPOSITORY", "to"),
    ];
    assert_eq!(of(&[], &promote, "dev", Role::Source), ok("from"));
    assert_eq!(of(&[], &promote, "pp", Role::Destination), ok("to"));
    assert_eq!(of(&[], &promote, "staging", Role::Destination), ok("to"));
    let own = [promote[0], promote[1], dev];
    assert_eq!(of(&[], &own, "dev", Role::Source), ok("dev-repo"));
    assert!(
        of(&[], &promote, "dev", Role::Watched)
            .unwrap_err()
            .contains("environment `dev`")
    );
    assert!(
        of(&[], &[], "staging", Role::Source)
            .unwrap_err()
            .contains("no environment `staging`")
    );

    let properties = (
        "pipeline.properties",
        "GOOGLE_GKE_IMAGE_REPOSITORY=file-dev\n# no\n\nGOOGLE_GKE_IMAGE_PP_REPOSITORY = file-pp/\nPROMOTE_SOURCE_REPOSITORY=file-from",
    );
    assert_eq!(of(&[properties], &[], "dev", Role::Source), ok("file-dev"));
    assert_eq!(of(&[properties], &[], "pp", Role::Source), ok("file-pp"));
    assert_eq!(
        of(&[properties], &[], "prod", Role::Source),
        ok("file-from")
    );
    assert_eq!(
        of(&[properties], &[dev], "dev", Role::Source),
        ok("dev-repo")
    );
    let empty = ("GOOGLE_GKE_IMAGE_REPOSITORY", "");
    assert_eq!(
        of(&[properties], &[empty], "dev", Role::Source),
        ok("file-dev")
    );
    let octopilot = ("octopilot.yaml", "google_gke_image_repository: viper-dev\n");
    assert_eq!(of(&[octopilot], &[], "dev", Role::Source), ok("viper-dev"));
    assert_eq!(
        of(&[octopilot, properties], &[], "dev", Role::Source),
        ok("file-dev")
    );
    let ours = (
        "overcoat.toml",
        "[environments.qa]\nregistry='own-qa'\n[environments.dev]\nregistry='own-dev'\n",
    );
    assert_eq!(
        of(&[ours, properties], &[], "dev", Role::Source),
        ok("own-dev")
    );
    assert_eq!(
        of(&[ours, properties], &[dev], "dev", Role::Source),
        ok("dev-repo")
    );
    assert_eq!(of(&[ours], &promote, "qa", Role::Source), ok("own-qa"));

    let project = loaded(&[ours, properties], &[]).unwrap();
    let names: Vec<&str> = project
        .environments
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["qa", "dev", "pp"]);
    let error = project.registry_of("prod", Role::Watched).unwrap_err();
    let hint = error.hints().join(" ");
    assert!(
        hint.contains("`GOOGLE_GKE_IMAGE_PROD_REPOSITORY`, `WATCH_DESTINATION_REPOSITORY`"),
        "{hint}"
    );
    let said = refusal(&[], &[("GOOGLE_GKE_IMAGE_REPOSITORY", "https://user:pw@x")]);
    assert!(
        said.contains("the variable GOOGLE_GKE_IMAGE_REPOSITORY"),
        "{said}"
    );
    assert!(!said.contains("pw"), "{said}");
}

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
    assert_eq!(project.context("web"), Ok(&Default::default()));
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
            (
                "applications.web.environment.INDEX",
                "https://index.example/simple",
                Some(2)
            ),
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
    assert_eq!(some, rows[3..5]);
    let error = project.explain(Some("environments.de")).unwrap_err();
    assert!(
        error.to_string().contains("no setting `environments.de`"),
        "{error}"
    );
}
