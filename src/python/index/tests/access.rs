//! Who is asked, and as whom.

use super::*;

/// An index that lets `me:secret` in.
fn guarded() -> (String, Log) {
    serve(|request, _| match request.get("authorization") {
        // `me:secret` in base 64.
        Some("Basic bWU6c2VjcmV0") => Answer::html(PAGE),
        _ => Answer::status(401),
    })
}

#[test]
fn credentials_come_from_the_url_netrc_or_the_keyring() {
    let (base, log) = guarded();
    let with =
        |userinfo: &str| format!("{}/simple", base.replace("://", &format!("://{userinfo}@")));
    let mut bench = Bench::new(&base);
    let error = bench.project().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("requests without credentials: status 401"),
        "{error}"
    );

    bench.settings.index_url = Some(with("me:wrong"));
    let error = bench.project().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the credentials from the URL: status 401"),
        "{error}"
    );
    for text in [format!("{error:?}"), format!("{:?}", bench.settings)] {
        assert!(!text.contains("wrong"), "{text}");
    }

    bench.settings.index_url = Some(with("me:secret"));
    assert_eq!(
        bench.project().unwrap().found_in,
        [format!("{base}/simple/")]
    );

    bench.settings.index_url = Some(format!("{base}/simple"));
    bench.settings.credentials.netrc =
        Some("machine 127.0.0.1 login me password secret".to_owned());
    bench.project().unwrap();
    bench.settings.credentials.netrc = None;

    let program = bench.directory.path().join("keyring");
    let asked = bench.directory.path().join("asked");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> '{}'\ncase $2 in http*) exit 1;; esac\necho secret\n",
        asked.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    bench.settings.index_url = Some(with("me"));
    bench.settings.credentials.keyring = Some(program);
    log.lock().unwrap().clear();
    let index = bench.index(Refresh::WhenStale);
    index.prefetch(&["a", "b", "c"].map(name), &Silent).unwrap();
    let asked = std::fs::read_to_string(asked).unwrap();
    assert_eq!(asked, format!("get {base}/simple me\nget 127.0.0.1 me\n"));
}

#[test]
fn other_hosts_get_no_credentials() {
    let (other, seen) = serve(|_, _| Answer::html(PAGE));
    let target = other.clone();
    let (base, log) = serve(move |request, _| {
        Answer::status(302).with("Location", format!("{target}{}", request.path))
    });
    let mut bench = Bench::new(&base);
    bench.settings.index_url = Some(format!("{}/simple", base.replace("://", "://me:secret@")));
    let project = bench.project().unwrap();
    // What the page links to is relative to where it came from.
    assert!(project.files[0].url.starts_with(&other));
    assert!(log.lock().unwrap()[0].get("authorization").is_some());
    assert!(seen.lock().unwrap()[0].get("authorization").is_none());
}

#[test]
fn redirects_end_somewhere() {
    let (base, log) = serve(|request, _| match request.path.as_str() {
        "/simple/a/" => Answer::status(301).with("Location", "/simple/a/"),
        "/simple/b/" => Answer::status(301).with("Location", "file:///etc/passwd"),
        _ => Answer::status(301),
    });
    let bench = Bench::new(&base);
    let index = bench.index(Refresh::WhenStale);
    for (project, text) in [
        ("a", "more than ten times"),
        ("b", "not HTTP"),
        ("c", "does not say where to"),
    ] {
        let error = index.project(&name(project), &Silent).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(log.lock().unwrap().len(), 11 + 1 + 1);
}

#[test]
fn without_encryption_a_host_must_be_trusted() {
    let mut bench = Bench::new("http://index.example:8080");
    let refused = |bench: &Bench| {
        let caches = Caches {
            pypi: PathBuf::new(),
            wheels: PathBuf::new(),
        };
        let now = SystemTime::UNIX_EPOCH;
        Index::new(
            &bench.http,
            &bench.settings,
            caches,
            now,
            Refresh::WhenStale,
        )
        .err()
    };
    let error = refused(&bench).unwrap();
    assert!(
        error.hints()[1].contains("--trusted-host index.example"),
        "{error}"
    );
    for (trusted, is_refused) in [
        ("index.example:80", true),
        ("index.example:8080", false),
        ("index.example", false),
    ] {
        bench.settings.trusted_hosts = vec![trusted.to_owned()];
        assert_eq!(refused(&bench).is_some(), is_refused, "{trusted}");
    }
    for text in ["", "index.example/simple", "ftp://index.example/"] {
        bench.settings.index_url = Some(text.to_owned());
        assert!(
            matches!(refused(&bench), Some(Error::Address { .. })),
            "{text}"
        );
    }
}
