use super::*;
use crate::project::test_tree::{loaded, refusal, tree, variables};
use crate::project::{Role, Wanted, load};

#[track_caller]
fn registry(files: &[(&str, &str)], pairs: &[(&str, &str)]) -> String {
    loaded(files, pairs).unwrap().registry.unwrap().value
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
        ("local: [a]", 1, "`local` is one registry"),
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
