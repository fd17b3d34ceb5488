use std::sync::atomic::AtomicU64;

use super::hostile::{Hostile, Reply, Seen};
use super::tests::{bench, bench_with, taking};
use super::*;

/// A server that wants `authorization` for everything.
fn guarded(
    good: impl Fn(&Seen) -> Reply + Send + Sync,
    seen: &Seen,
    wanted: &str,
    challenge: &str,
) -> Reply {
    match seen.header("authorization") == Some(wanted) {
        true => good(seen),
        false => Reply::new(401).header("www-authenticate", challenge),
    }
}

fn with_login(host: &str, password: &str) -> Settings {
    let credential = Credential::Password {
        username: "u".to_owned(),
        password: Secret::new(password),
    };
    Settings {
        credentials: [(host.to_owned(), credential)].into(),
        ..Settings::default()
    }
}

#[test]
fn credentials_stay_with_their_host() {
    let bench = bench();
    let good = bench.good();
    let other = Hostile::start(good);
    let (good, target) = (bench.good(), other.host());
    let server = Hostile::start(move |seen| {
        let redirecting = |seen: &Seen| match seen.is("GET", "/blobs/") {
            true => Reply::new(307).header("location", format!("http://{target}{}", seen.target)),
            false => good(seen),
        };
        guarded(redirecting, seen, "Basic dTpw", "Basic realm=x")
    });
    let bench = bench_with(with_login(&server.host(), "p"));
    bench.pull(&server.host()).unwrap();
    assert_eq!(other.count("GET", "/blobs/"), 3);
    assert!(
        other
            .seen()
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
}

#[test]
fn a_refused_password_is_an_error_and_is_not_followed_by_an_anonymous_request() {
    let server =
        Hostile::start(|seen| guarded(|_| Reply::new(200), seen, "Basic xx", "Basic realm=x"));
    let bench = bench_with(with_login(&server.host(), "hunter2"));
    let error = bench.pull(&server.host()).unwrap_err();
    assert!(
        matches!(&error, Error::Unauthorised { credentials: Some(origin), .. } if origin == "the command line")
    );
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let sent: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.header("authorization").is_some())
        .collect();
    assert_eq!(sent, [false, true]);

    let anonymous = self::bench();
    let error = anonymous.pull(&server.host()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unauthorised {
                credentials: None,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.hints()[0].contains("login"), "{:?}", error.hints());
}

#[test]
fn tokens_are_bought_once_and_again_when_they_are_too_old() {
    let good = bench().good();
    let bought = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&bought);
    let server = Hostile::start(move |seen| {
        if seen.target.starts_with("/token") {
            assert_eq!(seen.header("authorization"), Some("Basic dTpw"));
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::new(200).body(format!(r#"{{"token":"t{number}","expires_in":1}}"#));
        }
        // The first token is good for the manifest only.
        let wanted = if seen.target.contains("/manifests/") {
            "Bearer t1"
        } else {
            "Bearer t2"
        };
        guarded(
            &good,
            seen,
            wanted,
            r#"bearer Realm="/token",service="s",scope="repository:app:pull""#,
        )
    });
    let bench = bench_with(with_login(&server.host(), "p"));
    bench.pull(&server.host()).unwrap();
    assert_eq!(bought.load(Ordering::SeqCst), 2);
    let target = server
        .seen()
        .into_iter()
        .find(|seen| seen.target.starts_with("/token"))
        .unwrap()
        .target;
    assert_eq!(target, "/token?service=s&scope=repository%3Aapp%3Apull");
}

#[test]
fn a_login_that_the_token_server_refuses_is_an_error() {
    let server = Hostile::start(|seen| match seen.target.starts_with("/token") {
        true => Reply::new(401).body(r#"{"details":"incorrect username or password"}"#),
        false => guarded(|_| Reply::new(200), seen, "x", r#"Bearer realm="/token""#),
    });
    let bench = bench_with(with_login(&server.host(), "p"));
    let error = bench.pull(&server.host()).unwrap_err();
    assert!(
        error.to_string().contains("incorrect username or password"),
        "{error}"
    );
    assert!(matches!(
        error,
        Error::Unauthorised {
            credentials: Some(_),
            ..
        }
    ));
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn an_identity_token_is_sent_in_a_form_and_never_shown() {
    let good = bench().good();
    let server = Hostile::start(move |seen| match seen.target.starts_with("/token") {
        true => {
            let form = String::from_utf8_lossy(&seen.body).into_owned();
            let is_right = seen.method == "POST"
                && form.contains("grant_type=refresh_token")
                && form.contains("refresh_token=s%2Fecret")
                && form.contains("scope=repository%3Aapp%3Apull");
            if is_right {
                Reply::new(200).body(r#"{"access_token":"t"}"#)
            } else {
                Reply::new(400).body(form)
            }
        }
        false => guarded(
            &good,
            seen,
            "Bearer t",
            r#"Bearer realm="/token",service=s"#,
        ),
    });
    let credential = Credential::IdentityToken(Secret::new("s/ecret"));
    let bench = bench_with(Settings {
        credentials: [(server.host(), credential)].into(),
        ..Settings::default()
    });
    bench.pull(&server.host()).unwrap();
}

/// A token server of the rules' kind: `answer` says what it gives for a request to `/token`.
fn selling(
    good: impl Fn(&Seen) -> Reply + Send + Sync,
    answer: impl Fn(&Seen) -> Reply + Send + Sync,
) -> impl Fn(&Seen) -> Reply + Send + Sync {
    let challenge = r#"Bearer realm="/token",service="s""#;
    move |seen| match seen.target.starts_with("/token") {
        true => answer(seen),
        false => guarded(&good, seen, "Bearer t", challenge),
    }
}

#[test]
fn a_token_server_that_knows_oauth_only_is_sent_a_form() {
    for status in [404, 405] {
        let good = bench().good();
        let server = Hostile::start(selling(good, move |seen| match seen.method.as_str() {
            "POST" => {
                let form = String::from_utf8_lossy(&seen.body).into_owned();
                assert!(form.starts_with("grant_type=password&"), "{form}");
                assert!(form.contains("&username=u&password=hunter2&"), "{form}");
                assert_eq!(seen.header("authorization"), None);
                Reply::new(200).body(r#"{"access_token":"t"}"#)
            }
            _ => Reply::new(status),
        }));
        let bench = bench_with(with_login(&server.host(), "hunter2"));
        bench.pull(&server.host()).unwrap();
        assert_eq!(
            (
                server.count("GET", "/token"),
                server.count("POST", "/token")
            ),
            (1, 1),
            "{status}"
        );
        let targets = server.seen();
        assert!(targets.iter().all(|seen| !seen.target.contains("hunter2")));
    }
    // Without a password there is nothing to post.
    let server = Hostile::start(selling(taking, |_| Reply::new(405)));
    let error = bench().pull(&server.host()).unwrap_err();
    assert!(matches!(error, Error::Answer(_)), "{error}");
    assert_eq!(server.count("POST", "/token"), 0);
}

#[test]
fn a_token_that_allows_less_than_is_needed_is_replaced_by_one_for_what_the_registry_wants() {
    let bought = AtomicU64::new(0);
    let wanted = "repository:app:pull,push repository:other:pull";
    let server = Hostile::start(move |seen| {
        if seen.target.starts_with("/token") {
            let number = bought.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::new(200).body(format!(r#"{{"token":"t{number}"}}"#));
        }
        let (token, scope) = match seen.method.as_str() {
            "GET" | "HEAD" => ("Bearer t1", "repository:app:pull"),
            _ => ("Bearer t2", wanted),
        };
        let challenge =
            format!(r#"Bearer realm="/token",scope="{scope}",error="insufficient_scope""#);
        match seen.header("authorization") {
            Some(shown) if shown == token || shown == "Bearer t2" => taking(seen),
            _ => Reply::new(401).header("www-authenticate", challenge),
        }
    });
    let bench = bench();
    bench.keep_layers();
    bench.push(&server.host(), &[]).unwrap();
    let asked: Vec<_> = server
        .seen()
        .into_iter()
        .filter(|seen| seen.target.starts_with("/token"))
        .map(|seen| seen.target)
        .collect();
    assert_eq!(
        asked,
        [
            "/token?scope=repository%3Aapp%3Apull%2Cpush",
            "/token?scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Aother%3Apull"
        ]
    );
}

#[test]
fn who_is_known_and_lacks_rights_is_denied_and_who_is_not_known_may_log_in() {
    let answer = |seen: &Seen| match seen.target.starts_with("/token") {
        true => Reply::new(200).body(r#"{"token":"t"}"#),
        false => Reply::new(401).header(
            "www-authenticate",
            r#"Bearer realm="/token",error="insufficient_scope""#,
        ),
    };
    let server = Hostile::start(answer);
    let error = bench_with(with_login(&server.host(), "hunter2"))
        .pull(&server.host())
        .unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert!(error.hints()[0].contains("access"), "{:?}", error.hints());
    let error = bench().pull(&server.host()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unauthorised {
                credentials: None,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn parallel_uploads_whose_token_is_gone_buy_one_new_token() {
    let bought = AtomicU64::new(0);
    let server = Hostile::start(move |seen| {
        if seen.target.starts_with("/token") {
            let number = bought.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::new(200).body(format!(r#"{{"token":"t{number}","expires_in":300}}"#));
        }
        // The first token is over as soon as bytes are to be sent.
        let wanted = match seen.method.as_str() {
            "PUT" => "Bearer t2",
            _ => seen.header("authorization").unwrap_or("Bearer t1"),
        };
        guarded(taking, seen, wanted, r#"Bearer realm="/token""#)
    });
    let bench = bench();
    bench.keep_layers();
    assert_eq!(bench.push(&server.host(), &[]).unwrap().uploaded_blobs, 3);
    assert_eq!(server.count("GET", "/token"), 2);
    let bodies = server.seen().into_iter().filter(|seen| {
        seen.header("authorization") == Some("Bearer t2") && seen.body.len() == 3_000_000
    });
    assert_eq!(bodies.count(), 1, "the upload went on with the new token");
    assert_eq!(
        server.count("POST", "/blobs/uploads/"),
        3,
        "and was not begun again"
    );
}

#[test]
fn a_token_server_that_replaces_an_identity_token_is_obeyed() {
    let server = Hostile::start(|seen| {
        if seen.target.starts_with("/token") {
            let form = String::from_utf8_lossy(&seen.body).into_owned();
            let (token, next) = match form.contains("refresh_token=first&") {
                true => ("t1", "second"),
                false if form.contains("refresh_token=second&") => ("t2", "third"),
                false => return Reply::new(400),
            };
            let body = format!(r#"{{"access_token":"{token}","refresh_token":"{next}"}}"#);
            return Reply::new(200).body(body);
        }
        let wanted = match seen.method.as_str() {
            "HEAD" | "GET" => "Bearer t1",
            _ => "Bearer t2",
        };
        let wanted = match seen.header("authorization") {
            Some("Bearer t2") => "Bearer t2",
            _ => wanted,
        };
        guarded(taking, seen, wanted, r#"Bearer realm="/token""#)
    });
    let credential = Credential::IdentityToken(Secret::new("first"));
    let bench = bench_with(Settings {
        credentials: [(server.host(), credential)].into(),
        ..Settings::default()
    });
    bench.keep_layers();
    bench.push(&server.host(), &[]).unwrap();
    assert_eq!(server.count("POST", "/token"), 2);
}

#[test]
fn a_challenge_that_never_ends_is_not_answered() {
    let long = format!("Bearer realm=\"http://localhost/{}\"", "x".repeat(30_000));
    let server = Hostile::start(move |_| Reply::new(401).header("www-authenticate", long.clone()));
    let error = bench().pull(&server.host()).unwrap_err();
    assert!(matches!(error, Error::Unauthorised { .. }), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_realm_elsewhere_sees_the_credentials_but_where_it_redirects_to_does_not() {
    let other = Hostile::start(|_| Reply::new(200).body(r#"{"token":"t"}"#));
    let target = format!("http://{}/steal", other.host());
    let server = Hostile::start(selling(taking, move |_| {
        Reply::new(307).header("location", target.clone())
    }));
    let error = bench_with(with_login(&server.host(), "hunter2"))
        .pull(&server.host())
        .unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error}");
    assert_eq!(other.seen().len(), 0);
}

#[test]
fn a_login_is_checked_and_a_token_kept_in_the_passwords_place_where_there_is_one() {
    let password = || Credential::Password {
        username: "u".to_owned(),
        password: Secret::new("p"),
    };
    let open = Hostile::start(|_| Reply::new(200));
    let basic =
        Hostile::start(|seen| guarded(|_| Reply::new(200), seen, "Basic dTpw", "Basic realm=x"));
    let plain_token = Hostile::start(selling(
        |_| Reply::new(200),
        |seen| {
            assert!(
                seen.target.contains("offline_token=true"),
                "{}",
                seen.target
            );
            assert!(!seen.target.contains("scope="), "{}", seen.target);
            guarded(
                |_| Reply::new(200).body(r#"{"token":"t"}"#),
                seen,
                "Basic dTpw",
                "",
            )
        },
    ));
    let refreshing = Hostile::start(selling(
        |_| Reply::new(200),
        |_| Reply::new(200).body(r#"{"token":"t","refresh_token":"long"}"#),
    ));
    let identity = Credential::IdentityToken(Secret::new("long"));
    let table = [
        (&open, Checked::NotAsked),
        (&basic, Checked::Accepted(password())),
        (&plain_token, Checked::Accepted(password())),
        (&refreshing, Checked::Accepted(identity)),
    ];
    for (server, expected) in table {
        let client = bench().client;
        let checked = client.log_in(&server.host(), &password(), &crate::event::Silent);
        assert_eq!(checked.unwrap(), expected);
    }
    let wrong = Credential::Password {
        username: "u".to_owned(),
        password: Secret::new("hunter2"),
    };
    for server in [&basic, &plain_token] {
        let error = bench()
            .client
            .log_in(&server.host(), &wrong, &crate::event::Silent)
            .unwrap_err();
        assert!(matches!(&error, Error::Unauthorised { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
