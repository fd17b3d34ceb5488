use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn sha512() -> String {
    format!("sha512:{}", "0f".repeat(64))
}

/// The rows follow the tables of `distribution/reference` (`reference_test.go`, `normalize_test.go`).
#[test]
fn references_are_read_as_docker_reads_them() {
    // text, host, repository, tag, printed again
    let table = [
        ("app", "docker.io", "library/app", "latest", "app:latest"),
        ("org/app:1", "docker.io", "org/app", "1", "org/app:1"),
        (
            "docker.io/app",
            "docker.io",
            "library/app",
            "latest",
            "app:latest",
        ),
        (
            "docker.io/library/app:2",
            "docker.io",
            "library/app",
            "2",
            "app:2",
        ),
        (
            "index.docker.io/a/b",
            "docker.io",
            "a/b",
            "latest",
            "a/b:latest",
        ),
        (
            "index.docker.io/app",
            "docker.io",
            "library/app",
            "latest",
            "app:latest",
        ),
        // Without a slash nothing is a host.
        (
            "localhost",
            "docker.io",
            "library/localhost",
            "latest",
            "localhost:latest",
        ),
        (
            "localhost:5000",
            "docker.io",
            "library/localhost",
            "5000",
            "localhost:5000",
        ),
        (
            "docker.io",
            "docker.io",
            "library/docker.io",
            "latest",
            "docker.io:latest",
        ),
        (
            "localhost/app",
            "localhost",
            "app",
            "latest",
            "localhost/app:latest",
        ),
        // A dotless name is the first part of a repository on Docker Hub, unless it has a port or a capital.
        (
            "registry/app",
            "docker.io",
            "registry/app",
            "latest",
            "registry/app:latest",
        ),
        (
            "localhosts/app",
            "docker.io",
            "localhosts/app",
            "latest",
            "localhosts/app:latest",
        ),
        (
            "registry:5000/app",
            "registry:5000",
            "app",
            "latest",
            "registry:5000/app:latest",
        ),
        ("UPPER/app", "UPPER", "app", "latest", "UPPER/app:latest"),
        (
            "Quay.IO/org/app:V1",
            "Quay.IO",
            "org/app",
            "V1",
            "Quay.IO/org/app:V1",
        ),
        (
            "localhost:5000/a/b:v1.0",
            "localhost:5000",
            "a/b",
            "v1.0",
            "localhost:5000/a/b:v1.0",
        ),
        (
            "127.0.0.1:5000/a__b--c.d",
            "127.0.0.1:5000",
            "a__b--c.d",
            "latest",
            "127.0.0.1:5000/a__b--c.d:latest",
        ),
        (
            "[::1]:5000/app",
            "[::1]:5000",
            "app",
            "latest",
            "[::1]:5000/app:latest",
        ),
        (
            "[2001:DB8::1]/app:1",
            "[2001:DB8::1]",
            "app",
            "1",
            "[2001:DB8::1]/app:1",
        ),
        (
            "xn--n3h.com/myimage:xn--n3h.com",
            "xn--n3h.com",
            "myimage",
            "xn--n3h.com",
            "xn--n3h.com/myimage:xn--n3h.com",
        ),
        (
            "foo/foo_bar.com:8080",
            "docker.io",
            "foo/foo_bar.com",
            "8080",
            "foo/foo_bar.com:8080",
        ),
        (
            "docker.io/localhost/app",
            "docker.io",
            "localhost/app",
            "latest",
            "docker.io/localhost/app:latest",
        ),
        (
            "library/a/b",
            "docker.io",
            "library/a/b",
            "latest",
            "library/a/b:latest",
        ),
        (
            "app:_x.-Y",
            "docker.io",
            "library/app",
            "_x.-Y",
            "app:_x.-Y",
        ),
        (
            "a-very.deep.host.example/a/b/c/d/e:1",
            "a-very.deep.host.example",
            "a/b/c/d/e",
            "1",
            "a-very.deep.host.example/a/b/c/d/e:1",
        ),
    ];
    for (text, host, repository, tag, printed) in table {
        let reference: Reference = text.parse().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            (reference.host(), reference.repository(), reference.tag()),
            (host, repository, Some(tag)),
            "{text}"
        );
        assert_eq!(reference.to_string(), printed);
        assert_eq!(printed.parse::<Reference>().as_ref(), Ok(&reference));
    }
}

#[test]
fn a_digest_stands_alone_or_beside_a_tag() {
    for digest in [DIGEST.to_owned(), sha512()] {
        let alone: Reference = format!("app@{digest}").parse().unwrap();
        assert_eq!(
            (alone.tag(), alone.manifest_reference()),
            (None, digest.clone())
        );
        let text = format!("[::1]:5000/app:1@{digest}");
        let both: Reference = text.parse().unwrap();
        assert_eq!(both.to_string(), text);
        assert_eq!((both.tag(), both.manifest_reference()), (Some("1"), digest));
        assert_eq!(both.without_digest().to_string(), "[::1]:5000/app:1");
    }
}

#[test]
fn what_is_not_a_reference_is_refused_with_the_reason() {
    let upper = DIGEST.to_uppercase().replace("SHA256", "sha256");
    let table = [
        ("", "it is empty"),
        ("App", "write `app`"),
        ("org/App", "write `org/app`"),
        ("quay.io/Org/app", "lower case"),
        ("app:", "is not a tag"),
        ("app:-x", "is not a tag"),
        ("app:.x", "is not a tag"),
        ("app:1.0.0+build", "is not a tag"),
        (&format!("app:{}", "t".repeat(129)), "is not a tag"),
        ("https://quay.io/app", "leave out `https://`"),
        ("docker://app", "leave out `docker://`"),
        ("a//b", "empty part"),
        ("a/b/", "empty part"),
        ("/app", "empty part"),
        ("a..b", "single separators"),
        ("a___b", "single separators"),
        ("-a", "single separators"),
        ("a-", "single separators"),
        ("a.-b", "single separators"),
        ("a/-/b", "single separators"),
        (&"0a".repeat(32), "identifier"),
        ("app@sha256:abc", "not a digest"),
        (&format!("app@{upper}"), "not a digest"),
        (&format!("app@{DIGEST}@{DIGEST}"), "not a digest"),
        (&format!("app@{DIGEST}:1"), "not a digest"),
        ("app@", "not a digest"),
        ("@sha256:abc", "not a digest"),
        (&format!("@{DIGEST}"), "missing"),
        ("app@md5:d41d8cd98f00b204e9800998ecf8427e", "not a digest"),
        ("host.example:99999/app", "port"),
        ("host.example:/app", "port"),
        ("host.example:+80/app", "port"),
        ("a:b/c", "port"),
        ("[::1/app", "never closed"),
        ("[::1]x/app", "after `]`"),
        ("[]:5/app", "IPv6"),
        ("[zz::1]:5/app", "IPv6"),
        ("[fe80::1%eth0]:5000/app", "IPv6"),
        ("[::ffff:10.0.0.1]:5000/app", "IPv6"),
        ("::1:5000/app", "in brackets"),
        ("-bad.example/app", "host name"),
        ("bad-.example/app", "host name"),
        (".example/app", "host name"),
        ("a..example/app", "host name"),
        ("my_host.example/app", "no `_`"),
        ("user@host.example/app", "log in instead"),
        ("quay.io/", "missing"),
        ("localhost/", "missing"),
        ("a b", "single separators"),
        ("app\n", "single separators"),
        ("äpp", "single separators"),
        ("app\0", "single separators"),
    ];
    for (text, reason) in table {
        let error = text.parse::<Reference>().expect_err(text);
        assert!(error.to_string().contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn a_password_in_a_name_is_not_repeated() {
    for text in [
        "user:hunter2@host.example/app",
        "https://user:hunter2@host.example/app",
        "user:hunter2@localhost/app:1",
        "user:hunter2@host.example",
    ] {
        let told = text.parse::<Reference>().unwrap_err().to_string();
        assert!(!told.contains("hunter2") && told.contains("…@"), "{told}");
        let told = registry_host(text).unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn host_and_name_together_have_255_characters_at_most() {
    let text = |length: usize| format!("quay.io/{}", "a".repeat(length - "quay.io/".len()));
    assert!(text(255).parse::<Reference>().is_ok());
    let error = text(256).parse::<Reference>().unwrap_err();
    assert!(error.reason.contains("255"), "{error}");
    assert!(
        "t".repeat(1 << 20)
            .parse::<Reference>()
            .unwrap_err()
            .text
            .len()
            < 400
    );
}

#[test]
fn a_registry_is_named_as_references_name_it() {
    let good = [
        ("docker.io", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("localhost", "localhost"),
        ("registry:5000", "registry:5000"),
        ("[::1]:5000", "[::1]:5000"),
    ];
    for (text, expected) in good {
        assert_eq!(registry_host(text).as_deref(), Ok(expected), "{text}");
    }
    for text in [
        "",
        "registry",
        "https://quay.io",
        "quay.io/org",
        "quay.io/",
        "a_b.example",
        "quay.io:x",
    ] {
        assert!(registry_host(text).is_err(), "{text}");
    }
}

#[test]
fn only_what_stays_on_this_machine_is_loopback() {
    for host in [
        "localhost",
        "localhost:5000",
        "127.8.0.1:1",
        "[::1]:5000",
        "[::1]",
    ] {
        assert!(is_loopback(host), "{host}");
    }
    for host in [
        "localhost.example",
        "127.0.0.1.example",
        "10.0.0.1",
        "[::2]",
        "LOCALHOST.example",
        "docker.io",
    ] {
        assert!(!is_loopback(host), "{host}");
    }
}

proptest! {
    #[test]
    fn printing_and_parsing_are_inverse(
        host in prop::option::of(
            "([a-zA-Z0-9]{1,8}\\.[a-z]{2,5}|localhost|[A-Z]{1,6}|127\\.0\\.0\\.1|\\[::[0-9a-f]{1,4}\\])(:[1-9][0-9]{0,3})?",
        ),
        path in "[a-z0-9]{1,5}((_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,6}(\\.[a-z0-9]{1,3})?){0,2}",
        tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"),
        digest in prop::option::of(any::<bool>()),
    ) {
        let mut text = host.map(|host| format!("{host}/")).unwrap_or_default() + &path;
        if let Some(tag) = tag { text = format!("{text}:{tag}"); }
        if let Some(long) = digest {
            let digest = if long { sha512() } else { DIGEST.to_owned() };
            text = format!("{text}@{digest}");
        }
        let reference: Reference = text.parse().unwrap();
        prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
    }

    #[test]
    fn whatever_parses_prints_what_parses_to_the_same(text in "[a-cA-C0-2:/@._\\[\\]-]{0,24}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        let _ = text.parse::<Reference>();
    }
}
