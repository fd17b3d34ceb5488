//! Ways between registries: one registry, a login, an authority of one's own.

use super::*;
use crate::registry::private_registry;

#[test]
fn within_one_registry_blobs_are_mounted() {
    let bench = bench();
    let [dev, _, _] = bench.registries();
    let to = format!("{}/live", bench.dev.host());
    let done = bench.promote(&dev, &to, &["--format", "json"]).ok();
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    for image in told.as_array().unwrap() {
        assert_eq!(image["uploaded_blobs"], 0, "{image}");
        assert_eq!(image["uploaded_bytes"], 0, "{image}");
    }
    assert!(told[0]["mounted_blobs"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(
        standing(&format!("{to}/team/api:v1")),
        Some(bench.api.clone())
    );
}

#[test]
fn each_registry_gets_its_own_login_and_nobody_else_s() {
    let bench = bench();
    let [dev, _, _] = bench.registries();
    let locked = Registry::with_login();
    let to = format!("{}/pp", locked.host());
    let refused = bench.promote(&dev, &to, &[]);
    assert_eq!(refused.code, Some(31), "{}", refused.stderr);
    let auth = locked.auth_file();
    let mut command = bench.command(&dev, &to, &[]);
    let done: Done = command
        .env("REGISTRY_AUTH_FILE", &auth)
        .output()
        .unwrap()
        .into();
    done.ok();
    let tags = tool(
        "skopeo",
        &[
            "list-tags",
            "--tls-verify=false",
            "--creds",
            "user:password",
            &format!("docker://{to}/web"),
        ],
    );
    assert!(tags.contains("\"v1\""), "{tags}");
    let wrong = bench.directory.path().join("wrong.json");
    let entry = r#"{"username":"user","password":"hunter2"}"#;
    fs::write(
        &wrong,
        format!(r#"{{"auths":{{"{}":{entry}}}}}"#, locked.host()),
    )
    .unwrap();
    let mut command = bench.command(&dev, &to, &[]);
    let denied: Done = command
        .env("REGISTRY_AUTH_FILE", &wrong)
        .output()
        .unwrap()
        .into();
    assert_eq!(denied.code, Some(31), "{}", denied.stderr);
    assert!(!denied.stderr.contains("hunter2"), "{}", denied.stderr);
}

#[test]
fn a_registry_with_an_authority_of_one_s_own_is_a_destination_and_a_source() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    let (private, authority) = private_registry(bench.directory.path());
    let to = format!("{}/safe", private.host());
    let hop = |from: &str, to: &str| -> Done {
        let mut command = bench.command(from, to, &[]);
        command.env("SSL_CERT_FILE", &authority);
        command.output().unwrap().into()
    };
    let untrusted = bench.promote(&dev, &to, &[]);
    assert_eq!(untrusted.code, Some(30), "{}", untrusted.stderr);
    hop(&dev, &to).ok();
    hop(&to, &pp).ok();
    assert_eq!(standing(&format!("{pp}/web:v1")), Some(bench.web.clone()));
}
