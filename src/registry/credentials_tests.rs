use super::*;

fn find(document: Value, host: &str, repository: &str) -> Result<Option<Found>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, document.to_string()).unwrap();
    let absent = directory.path().join("absent.json");
    let files = vec![absent, path];
    Sources {
        files,
        ..Sources::default()
    }
    .find(host, repository)
}

fn user(found: Result<Option<Found>, Error>) -> Option<String> {
    match found.unwrap()?.credential {
        Credential::Password { username, .. } => Some(username),
        Credential::IdentityToken(token) => Some(format!("token {}", token.expose())),
    }
}

fn login(name: &str) -> Value {
    json!({ "username": name, "password": "p" })
}

#[test]
fn the_most_specific_entry_wins() {
    let document = json!({ "auths": {
        "quay.io": login("host"), "quay.io/org": login("org"), "quay.io/org/app": login("app"),
        "http://old.example/v1/": login("old"),
    }});
    let table = [
        ("quay.io", "org/app", Some("app")),
        ("quay.io", "org/other", Some("org")),
        ("quay.io", "organisation", Some("host")),
        ("old.example", "x", Some("old")),
        ("quay.io:443", "org/app", None),
        ("evil-quay.io", "org/app", None),
    ];
    for (host, repository, expected) in table {
        let found = user(find(document.clone(), host, repository));
        assert_eq!(found.as_deref(), expected, "{host}/{repository}");
    }
}

/// Case M41.
#[test]
fn what_is_for_docker_hub_is_for_nobody_else() {
    for key in ["docker.io", "https://index.docker.io/v1/"] {
        let document = json!({ "auths": { key: login("hub") } });
        for host in ["quay.io", "registry.example:5000", "mydocker.io"] {
            let found = find(document.clone(), host, "team/app");
            assert_eq!(user(found), None, "{key} for {host}");
        }
    }
}

#[test]
fn docker_hub_is_found_under_each_of_its_names() {
    for key in [
        "docker.io",
        "index.docker.io",
        "https://index.docker.io/v1/",
        "docker.io/library",
    ] {
        let document = json!({ "auths": { key: login("hub") } });
        assert_eq!(
            user(find(document, "docker.io", "library/python")).as_deref(),
            Some("hub"),
            "{key}"
        );
    }
}

#[test]
fn every_kind_of_entry_is_read() {
    let table = [
        (json!({ "auth": "dTpwOnE=" }), Some("u")),
        (
            json!({ "auth": "dTpwOnE=", "identitytoken": "" }),
            Some("u"),
        ),
        (
            json!({ "auth": "dTpw", "identitytoken": "T" }),
            Some("token T"),
        ),
        (json!({}), None),
        (json!({ "auth": "" }), None),
    ];
    for (entry, expected) in table {
        let document = json!({ "auths": { "r.example": entry } });
        assert_eq!(
            user(find(document, "r.example", "a")).as_deref(),
            expected,
            "{entry}"
        );
    }
}

#[test]
fn unreadable_credentials_are_an_error_that_quotes_nothing() {
    let damaged = find(
        json!({ "auths": { "r.example": { "auth": "%%hunter2%%" } } }),
        "r.example",
        "a",
    );
    let missing = find(
        json!({ "credsStore": "overcoat-no-such" }),
        "r.example",
        "a",
    );
    let path = find(
        json!({ "credHelpers": { "r.example": "../../bin/sh" } }),
        "r.example",
        "a",
    );
    for (found, part) in [
        (damaged, "not base64"),
        (missing, "cannot be run"),
        (path, "not the name"),
    ] {
        let text = found.unwrap_err().to_string();
        assert!(text.contains(part) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let credential = Credential::Password {
        username: "u".into(),
        password: Secret::new("hunter2"),
    };
    assert!(!format!("{credential:?}").contains("hunter2"));
}

#[test]
fn the_environment_comes_after_the_files_and_netrc_last() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let password = |name: &str| Credential::Password {
        username: name.to_owned(),
        password: Secret::new("hunter2"),
    };
    let from_environment = |host: &str| FromEnvironment {
        host: host.to_owned(),
        credential: password("ci"),
        origin: "`CI_REGISTRY_PASSWORD`".to_owned(),
    };
    let file = json!({ "auths": { "one.example": login("file") } }).to_string();
    let netrc = "machine one.example login rc password p\nmachine two.example login rc password p\n\
                 machine three.example login rc password p\nmachine three.example:5000 login port password p\n\
                 default login anybody password hunter2\n";
    let sources = Sources {
        explicit: [("zero.example".to_owned(), password("flag"))].into(),
        files: vec![write("config.json", &file)],
        environment: vec![
            from_environment("one.example"),
            from_environment("two.example"),
        ],
        netrc: Some(write("netrc", netrc)),
    };
    let table = [
        ("zero.example", Some(("flag", "the command line"))),
        ("one.example", Some(("file", "config.json"))),
        ("two.example", Some(("ci", "CI_REGISTRY_PASSWORD"))),
        ("three.example", Some(("rc", "netrc"))),
        ("three.example:5000", Some(("port", "netrc"))),
        ("three.example:6000", Some(("rc", "netrc"))),
        ("four.example", None),
    ];
    for (host, expected) in table {
        let found = sources.find(host, "a").unwrap();
        let origin = found.as_ref().map(|found| found.origin.clone());
        assert_eq!(
            user(Ok(found)).as_deref(),
            expected.map(|expected| expected.0),
            "{host}"
        );
        if let (Some(origin), Some((_, part))) = (&origin, expected) {
            assert!(origin.contains(part), "{origin}");
        }
    }
    assert!(!format!("{sources:?}").contains("hunter2"));
    let absent = Sources {
        netrc: Some(directory.path().join("absent")),
        ..Sources::default()
    };
    assert_eq!(absent.find("a.example", "a").unwrap(), None);
}
