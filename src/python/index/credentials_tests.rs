use super::*;
use crate::event::Silent;

fn keys(netrc: &str, urls: &[&str]) -> Keys {
    Keys::new(&Credentials {
        netrc: Some(netrc.to_owned()),
        urls: urls.iter().map(|&url| url.to_owned()).collect(),
        keyring: None,
    })
}

fn sent(keys: &Keys, url: &str) -> Option<String> {
    let login = keys.login(&Url::parse(url).unwrap())?;
    Some(format!("{}:{}", login.user, login.password))
}

#[test]
fn a_netrc_is_read_with_macros_comments_and_quotes() {
    let text = "# mine\nmachine one.example login me password \"a b\\\"c\"\n\nmacdef init\ncd /pub\nmachine evil login no password no\n\n\
        machine two.example\n\tuser you\n\taccount x\n\tpassword p#w\\\\d # secret\ndefault login anonymous password user@site\n";
    let keys = keys(text, &[]);
    assert_eq!(sent(&keys, "https://one.example/x").unwrap(), "me:a b\"c");
    assert_eq!(sent(&keys, "https://two.example/").unwrap(), "you:p#w\\d");
    assert_eq!(
        sent(&keys, "https://other.example/").unwrap(),
        "anonymous:user@site"
    );
}

#[test]
fn credentials_of_urls_go_to_their_own_origin_and_the_closest_path() {
    let keys = keys(
        "machine host.example login net password rc",
        &[
            "https://a:1@host.example/projects/1/simple/",
            "https://b:2%2f@host.example/projects/2/simple/",
            "https://token@host.example:8443/",
            "https://net@third.example/",
        ],
    );
    let url = |path: &str| format!("https://host.example{path}");
    assert_eq!(sent(&keys, &url("/projects/1/simple/x/")).unwrap(), "a:1");
    assert_eq!(
        sent(&keys, &url("/projects/2/files/x.whl")).unwrap(),
        "b:2/"
    );
    assert_eq!(sent(&keys, &url("/elsewhere")).unwrap(), "a:1");
    assert_eq!(
        sent(&keys, "https://host.example:8443/x").unwrap(),
        "token:"
    );
    // Another scheme is another origin, and `.netrc` knows hosts only.
    assert_eq!(sent(&keys, "http://host.example/").unwrap(), "net:rc");
    assert_eq!(sent(&keys, "https://third.example/").unwrap(), "net:");
    assert_eq!(sent(&keys, "https://nobody.example/"), None);
}

#[test]
fn nothing_secret_is_shown() {
    let credentials = Credentials {
        netrc: Some("machine a login b password hunter2".to_owned()),
        urls: vec!["https://u:hunter2@a.example/".to_owned()],
        keyring: None,
    };
    let keys = Keys::new(&credentials);
    let login = keys.login(&Url::parse("https://a.example/").unwrap());
    for text in [
        format!("{credentials:?}"),
        format!("{keys:?}"),
        format!("{login:?}"),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_keyring_that_is_not_there_is_named() {
    let keys = Keys::new(&Credentials {
        netrc: None,
        urls: vec!["https://me@a.example/simple".to_owned()],
        keyring: Some(PathBuf::from("/no/such/keyring")),
    });
    let error = keys
        .ask(&Url::parse("https://a.example/simple/x").unwrap(), &Silent)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`/no/such/keyring` gave no password for `https://a.example/simple`: no such file or directory"
    );
}
