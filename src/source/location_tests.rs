//! What a text that names a source is read as, and what is shown of it.

use super::*;
use crate::source::url_text::file_url_of;

fn parsed(text: &str) -> Location {
    Location::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn url_of(text: &str) -> Url {
    match parsed(text).form {
        Form::Url(url) => url,
        _ => panic!("{text} is no URL"),
    }
}

fn scp_of(text: &str) -> (Option<String>, String, String) {
    match parsed(text).form {
        Form::Scp(Scp { user, host, path }) => (user, host, path),
        _ => panic!("{text} is not git's SSH form"),
    }
}

/// Cases 22 and 31.
#[test]
fn hosts_of_files_and_ports_that_are_no_numbers_are_refused() {
    let error = Location::parse("file://relative/path").unwrap_err();
    assert!(matches!(error, ParseError::FileHost(_)), "{error}");
    let error = Location::parse("ssh://git@github.com:sclorg/nodejs-ex").unwrap_err();
    assert!(matches!(error, ParseError::Port(_)), "{error}");
    assert!(error.hint().contains("git@host:path"));
    for wrong in [
        "",
        "http://h/%zz",
        "https://h/a\nb",
        "http://u:%0a@h/",
        "file:///%00",
    ] {
        assert!(Location::parse(wrong).is_err(), "{wrong:?}");
    }
}

/// Cases 23 to 26, 32.
#[test]
fn urls_are_taken_apart_and_kept_as_they_are() {
    let file = parsed("file:///absolute/path?query#fragment");
    assert_eq!(file.local_path().unwrap(), Path::new("/absolute/path"));
    assert_eq!(file.fragment(), Some("fragment"));
    let text = "http://user:pa%40ss@example.com:8080/x/y?query#fragment";
    let url = url_of(text);
    assert_eq!(url.user_info.as_deref(), Some("user:pa%40ss"));
    assert_eq!(
        (url.scheme.as_str(), url.host.as_str(), url.path.as_str()),
        ("http", "example.com:8080", "/x/y")
    );
    assert_eq!(url.query.as_deref(), Some("query"));
    assert_eq!(parsed(text).fragment(), Some("fragment"));
    assert_eq!(url_of("http://1.2.3.4:443").host, "1.2.3.4:443");
    assert_eq!(url_of("https://[::1]:8443/x").host, "[::1]:8443");
    let transport = parsed("http::http://github.com/x/y");
    assert_eq!(transport.helper(), Some("http"));
    assert_eq!(transport.for_git().0, "http::http://github.com/x/y");
    assert_eq!(
        url_of("ssh://git@github.com:22/user/repo.git").host,
        "github.com:22"
    );
}

/// Cases 27 to 30.
#[test]
fn the_ssh_form_has_its_colon_before_the_first_slash() {
    let table = [
        (
            "user@github.com:/user/repo.git#f",
            Some("user"),
            "github.com",
            "/user/repo.git",
        ),
        (
            "user@github.com:user/repo.git#f",
            Some("user"),
            "github.com",
            "user/repo.git",
        ),
        ("user@1.2.3.4:repo#f", Some("user"), "1.2.3.4", "repo"),
        ("::ffff:1.2.3.4:", None, "::ffff:1.2.3.4", ""),
        // No scheme that anybody knows: git's SSH form without a user.
        ("host:path", None, "host", "path"),
        ("host:/path", None, "host", "/path"),
        ("1dir:x", None, "1dir", "x"),
    ];
    for (text, user, host, path) in table {
        let expected = (user.map(str::to_owned), host.to_owned(), path.to_owned());
        assert_eq!(scp_of(text), expected, "{text}");
        assert!(parsed(text).local_path().is_none());
        assert_eq!(parsed(text).fragment(), text.ends_with("#f").then_some("f"));
    }
}

/// Case 33.
#[test]
fn everything_else_is_a_path() {
    for (text, path, fragment) in [
        ("/absolute#f", "/absolute", Some("f")),
        ("relative#f", "relative", Some("f")),
        (".", ".", None),
        ("./a:b", "./a:b", None),
        ("src#", "src", None),
        ("./-", "./-", None),
    ] {
        let location = parsed(text);
        assert_eq!(location.local_path(), Some(PathBuf::from(path)), "{text}");
        assert_eq!(location.fragment(), fragment, "{text}");
    }
    assert!(parsed("-").is_stdin() && parsed("-").local_path().is_none());
    assert_eq!(
        parsed("file:///a%20b/%C3%A9").local_path().unwrap(),
        Path::new("/a b/é")
    );
}

/// Case 34.
#[test]
fn the_text_before_the_fragment_is_given_back() {
    for text in [
        "file:///absolute/path?query#fragment",
        "http://user:pass@h:1/x?q#f",
        "http::http://github.com/x/y#f",
        "user@github.com:user/repo.git#f#g",
        "::ffff:1.2.3.4:",
        "/absolute#f",
        "relative",
        "src#",
    ] {
        let location = parsed(text);
        assert_eq!(location.as_typed(), text);
        assert_eq!(location.without_fragment(), text.split('#').next().unwrap());
    }
}

/// Case M15.
#[test]
fn nothing_that_is_shown_has_credentials() {
    let table = [
        (
            "https://user:t0ken@h.example:8443/x.git#f",
            "https://h.example:8443/x.git",
        ),
        ("https://t0ken@h/x", "https://h/x"),
        ("https://h/x?private_token=t0ken", "https://h/x"),
        ("https://user:p@t0ken@h/x", "https://h/x"),
        ("http::http://user:t0ken@h/", "http::http://h/"),
        (
            "ext::sh -c 'curl http://user:t0ken@h/'",
            "ext::sh -c 'curl http://h/'",
        ),
        ("ssh://git:t0ken@h/x", "ssh://git@h/x"),
        ("git@h:x/y", "git@h:x/y"),
        ("user:t0ken@h/x", "user:h/x"),
        ("1user:t0ken@h:x", "h:x"),
        ("/src#f", "/src"),
    ];
    for (text, shown) in table {
        let location = parsed(text);
        assert_eq!(location.shown(), shown, "{text}");
        assert_eq!(location.to_string(), shown);
        assert!(!format!("{location:?}").contains("t0ken"), "{location:?}");
    }
    for wrong in [
        "https://user:t0ken#x@h/x",
        "https://user:t0ken/x@h/x",
        "https://user:t0%zzken@h/x",
        "file://user:t0ken@h/x",
        "https://user:t0ken@h/\u{1}",
        "ssh://git:t0ken@h:org/x",
    ] {
        let error = Location::parse(wrong).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("t0"),
            "{wrong}: {error}"
        );
    }
}

#[test]
fn git_is_told_an_address_without_password_and_credentials_apart() {
    let (address, credentials) = parsed("https://us%65r:p%3a%40@h:1/x?q#f").for_git();
    assert_eq!(address, "https://h:1/x?q");
    let credentials = credentials.unwrap();
    assert_eq!(credentials.scope, "https://h:1");
    assert_eq!(
        (credentials.user.as_str(), credentials.password.as_deref()),
        ("user", Some("p:@"))
    );
    assert!(!format!("{credentials:?}").contains("p:@"));
    let (address, credentials) = parsed("http::http://u:p@h/x").for_git();
    assert_eq!(address, "http::http://h/x");
    assert_eq!(credentials.unwrap().scope, "http://h");
    let (address, credentials) = parsed("ssh://git:pw@h/x").for_git();
    assert_eq!((address.as_str(), credentials), ("ssh://git@h/x", None));
    let (_, credentials) = parsed("https://token@h/x").for_git();
    assert_eq!(credentials.unwrap().password, None);
}

#[test]
fn lines_lose_the_credentials_of_every_url_in_them() {
    let table = [
        (
            "fatal: unable to access 'https://u:p@h/x/': no",
            "fatal: unable to access 'https://h/x/': no",
        ),
        ("a http://t@h b ssh://u@k", "a http://h b ssh://k"),
        ("no@url://x/y@z", "no@url://x/y@z"),
        ("://", "://"),
    ];
    for (text, expected) in table {
        assert_eq!(redact(text), expected);
    }
}

#[test]
fn paths_as_urls_come_back() {
    for path in ["/a b/ü#?%", "/plain/x-y_z.git"] {
        let url = file_url_of(Path::new(path));
        assert!(!url.contains(['#', '?', ' ']), "{url}");
        assert_eq!(parsed(&url).local_path().unwrap(), Path::new(path));
    }
}
