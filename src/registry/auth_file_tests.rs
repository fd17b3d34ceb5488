use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::registry::credentials::{Secret, Sources};

fn password(name: &str) -> Credential {
    Credential::Password {
        username: name.to_owned(),
        password: Secret::new("hunter2:x"),
    }
}

fn found(path: &Path, host: &str) -> Option<Credential> {
    let sources = Sources {
        files: vec![path.to_owned()],
        ..Sources::default()
    };
    sources
        .find(host, "some/app")
        .unwrap()
        .map(|found| found.credential)
}

#[test]
fn what_is_kept_is_found_again_and_can_be_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/deep/config.json");
    let token = Credential::IdentityToken(Secret::new("long"));
    let table = [
        ("docker.io", password("hub")),
        ("quay.io", password("quay")),
        ("quay.io/some", token.clone()),
        ("[::1]:5000", password("v6")),
    ];
    for (host, credential) in &table {
        let kept = keep(host, credential, std::slice::from_ref(&path), &path).unwrap();
        assert_eq!(kept, Kept::File(path.clone()));
    }
    assert_eq!(found(&path, "docker.io"), Some(password("hub")));
    assert_eq!(found(&path, "quay.io"), Some(token));
    assert_eq!(found(&path, "[::1]:5000"), Some(password("v6")));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("https://index.docker.io/v1/"), "{text}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));

    let files = [path.clone()];
    let erased = erase(Some("quay.io/some"), &files).unwrap();
    assert_eq!(erased.len(), 1);
    assert_eq!(found(&path, "quay.io"), Some(password("quay")));
    assert_eq!(erase(Some("nobody.example"), &files).unwrap(), []);
    let hosts: Vec<_> = erase(None, &files)
        .unwrap()
        .into_iter()
        .map(|erased| erased.host)
        .collect();
    assert_eq!(
        hosts,
        ["[::1]:5000", "https://index.docker.io/v1/", "quay.io"]
    );
    assert_eq!(found(&path, "docker.io"), None);
}

#[test]
fn other_entries_unknown_fields_and_links_stay() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().join("real.json");
    let link = directory.path().join("config.json");
    let before = r#"{"HttpHeaders":{"X":"y"},"auths":{"a.example":{"auth":"dTpw","more":1},"https://b.example/v1/":{"auth":"b2xkOm9sZA=="}},"detachKeys":"ctrl-e"}"#;
    std::fs::write(&real, before).unwrap();
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o644)).unwrap();
    symlink(&real, &link).unwrap();
    keep("b.example", &password("new"), &[], &link).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let after: Value = serde_json::from_slice(&std::fs::read(&real).unwrap()).unwrap();
    let mut expected: Value = serde_json::from_str(before).unwrap();
    expected["auths"]["https://b.example/v1/"] =
        json!({ "auth": STANDARD.encode("new:hunter2:x") });
    assert_eq!(after, expected);
    let mode = std::fs::metadata(&real).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_login_goes_where_it_will_be_found_first() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["auth.json", "config.json"].map(|name| directory.path().join(name));
    std::fs::write(&first, r#"{"auths":{"a.example":{"auth":"dTpw"}}}"#).unwrap();
    let files = [first.clone(), second.clone()];
    let old = keep("a.example", &password("x"), &files, &second).unwrap();
    assert_eq!(old, Kept::File(first.clone()));
    let new = keep("b.example", &password("x"), &files, &second).unwrap();
    assert_eq!(new, Kept::File(second.clone()));
    // containers' file has the name, Docker's the URL.
    std::fs::remove_file(&second).unwrap();
    keep("docker.io", &password("x"), &files, &first).unwrap();
    let text = std::fs::read_to_string(&first).unwrap();
    assert!(text.contains("\"docker.io\""), "{text}");
}

#[test]
fn what_cannot_be_changed_is_an_error_that_quotes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let table = [
        ("not JSON hunter2", "not JSON (line 1"),
        ("[]", "not a JSON object"),
        (r#"{"auths":[]}"#, "`auths` is not an object"),
        (r#"{"credsStore":"overcoat-no-such"}"#, "cannot be run"),
        (r#"{"credsStore":"../sh"}"#, "not the name"),
    ];
    for (text, part) in table {
        std::fs::write(&path, text).unwrap();
        let error = keep("a.example", &password("u"), &[], &path).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains(part) && !told.contains("hunter2"), "{told}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
