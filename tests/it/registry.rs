//! Push and pull against Debian's docker-registry.

use std::fs;

use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Overcoat, copy_of_app, tool};

struct Pushed {
    directory: tempfile::TempDir,
    overcoat: Overcoat,
    registry: Registry,
    digest: String,
    source: String,
    builder: String,
}

/// The tiny application, built and pushed as `localhost:PORT/team/app:1`.
fn pushed() -> Pushed {
    let directory = tempfile::tempdir().unwrap();
    let builder = Tiny::default().write(directory.path());
    let source = copy_of_app("no-requirements", directory.path())
        .to_str()
        .unwrap()
        .to_owned();
    let (overcoat, registry) = (Overcoat::new(), Registry::start());
    let name = format!("{}/team/app:1", registry.host());
    let done = overcoat
        .run(&[
            "build",
            &source,
            "-t",
            &name,
            "--build-image",
            &builder,
            "--push",
        ])
        .ok();
    Pushed {
        digest: done.digest(&name),
        directory,
        overcoat,
        registry,
        source,
        builder,
    }
}

#[test]
fn what_was_pushed_comes_back_byte_for_byte() {
    let pushed = pushed();
    let name = format!("{}/team/app:1", pushed.registry.host());
    let other = Overcoat::new();
    let pulled = other.run(&["pull", &name]).ok();
    assert_eq!(pulled.digest(&name), pushed.digest);
    let raw = |overcoat: &Overcoat| overcoat.run(&["inspect", &name, "--raw"]).ok().stdout;
    assert_eq!(raw(&other), raw(&pushed.overcoat));
    let blobs = |overcoat: &Overcoat| {
        let mut blobs: Vec<_> = overcoat.layers(&name);
        blobs.push(
            serde_json::from_str::<serde_json::Value>(&raw(overcoat)).unwrap()["config"]["digest"]
                .as_str()
                .unwrap()
                .into(),
        );
        blobs
    };
    assert_eq!(blobs(&other), blobs(&pushed.overcoat));
    for digest in blobs(&other) {
        let read = |overcoat: &Overcoat| {
            fs::read(
                overcoat
                    .store()
                    .join("blobs")
                    .join(digest.replace(':', "/")),
            )
            .unwrap()
        };
        assert!(read(&other) == read(&pushed.overcoat), "{digest}");
    }
    assert!(
        other
            .run(&["run", &name])
            .ok()
            .stdout
            .contains("http.server")
    );
}

#[test]
fn skopeo_inspects_and_copies_what_was_pushed() {
    let pushed = pushed();
    let image = format!("docker://{}/team/app:1", pushed.registry.host());
    let inspected = tool("skopeo", &["inspect", "--tls-verify=false", &image]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["Digest"], pushed.digest.as_str());
    let copy = pushed.directory.path().join("copy");
    let to = format!("oci:{}:app", copy.display());
    tool(
        "skopeo",
        &[
            "copy",
            "--insecure-policy",
            "--src-tls-verify=false",
            &image,
            &to,
        ],
    );
    let manifest = copy.join("blobs").join(pushed.digest.replace(':', "/"));
    assert_eq!(
        fs::read_to_string(manifest).unwrap(),
        pushed
            .overcoat
            .run(&["inspect", &image[9..], "--raw"])
            .ok()
            .stdout
    );
}

#[test]
fn blobs_that_the_registry_has_are_not_sent_again() {
    let pushed = pushed();
    let name = format!("{}/team/app:2", pushed.registry.host());
    let again = pushed
        .overcoat
        .run(&[
            "push",
            &format!("{}/team/app:1", pushed.registry.host()),
            &name,
        ])
        .ok();
    assert!(
        again.stderr.contains("0 blobs sent, 0 bytes"),
        "{}",
        again.stderr
    );
    fs::write(
        std::path::Path::new(&pushed.source).join("app.py"),
        "print('changed')",
    )
    .unwrap();
    let done = pushed
        .overcoat
        .run(&[
            "build",
            &pushed.source,
            "-t",
            &name,
            "--build-image",
            &pushed.builder,
            "--push",
        ])
        .ok();
    // The application layer and the configuration.
    assert!(done.stderr.contains("2 blobs sent"), "{}", done.stderr);
}

#[test]
fn a_builder_in_a_registry_is_pulled_and_its_layers_are_not_sent_back() {
    let pushed = pushed();
    let base = format!("{}/builders/tiny:1", pushed.registry.host());
    let layout = pushed.builder.trim_start_matches("oci:").to_owned();
    let to = format!("docker://{base}");
    tool(
        "skopeo",
        &[
            "copy",
            "--insecure-policy",
            "--dest-tls-verify=false",
            &format!("oci:{layout}"),
            &to,
        ],
    );
    let overcoat = Overcoat::new();
    let name = format!("{}/other/app:1", pushed.registry.host());
    let done = overcoat
        .run(&[
            "build",
            &pushed.source,
            "-t",
            &name,
            "--build-image",
            &base,
            "--push",
        ])
        .ok();
    assert!(
        done.stderr.contains("3 blobs sent"),
        "two layers and a configuration: {}",
        done.stderr
    );
    let image = overcoat.inspect(&name);
    assert_eq!(
        image["config"]["Labels"]["io.openshift.s2i.build.image"],
        base.as_str()
    );
    assert_eq!(
        image["annotations"]["org.opencontainers.image.base.name"],
        base.as_str()
    );
}

#[test]
fn bytes_changed_in_the_registry_are_noticed_and_not_kept() {
    let pushed = pushed();
    let name = format!("{}/team/app:1", pushed.registry.host());
    let layer = pushed.overcoat.layers(&name).last().unwrap().clone();
    let file = pushed.registry.blob(&layer);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let other = Overcoat::new();
    let done = other.run(&["pull", &name]);
    assert_eq!(done.code, Some(32), "{}", done.stderr);
    assert!(
        done.stderr.contains(&layer) && done.stderr.contains("digest"),
        "{}",
        done.stderr
    );
    assert_eq!(
        other.run(&["images", "--format", "json"]).ok().stdout,
        "[]\n"
    );
    assert!(
        !other
            .store()
            .join("blobs")
            .join(layer.replace(':', "/"))
            .exists()
    );
}

#[test]
fn a_login_is_taken_from_the_files_that_people_have() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Tiny::default().write(directory.path());
    let source = copy_of_app("no-requirements", directory.path());
    let registry = Registry::with_login();
    let name = format!("{}/team/app:1", registry.host());
    let push = |overcoat: &Overcoat| {
        overcoat.run(&[
            "build",
            source.to_str().unwrap(),
            "-t",
            &name,
            "--build-image",
            &builder,
            "--push",
        ])
    };
    let auth_file = registry.auth_file();
    let auth_file = auth_file.to_str().unwrap();
    push(&Overcoat::new().with("REGISTRY_AUTH_FILE", auth_file)).ok();
    push(&Overcoat::new().with("DOCKER_CONFIG", auth_file.trim_end_matches("/config.json"))).ok();
    let stranger = push(&Overcoat::new());
    assert_eq!(stranger.code, Some(31), "{}", stranger.stderr);
    assert!(
        stranger
            .stderr
            .contains(&format!("login {}", registry.host())),
        "{}",
        stranger.stderr
    );
    let wrong = directory.path().join("wrong.json");
    let text = fs::read_to_string(auth_file)
        .unwrap()
        .replace("password\":\"password", "password\":\"hunter2");
    fs::write(&wrong, text).unwrap();
    let refused = push(&Overcoat::new().with("REGISTRY_AUTH_FILE", wrong.to_str().unwrap()));
    assert_eq!(refused.code, Some(31), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("wrong.json") && !refused.stderr.contains("hunter2"),
        "{}",
        refused.stderr
    );
}

/// A registry that speaks TLS with a certificate of an authority of our own; the authority's certificate.
pub fn private_registry(directory: &std::path::Path) -> (Registry, String) {
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let make = |name: &str, more: &[&str]| {
        let (key, certificate) = (path(&format!("{name}.key")), path(&format!("{name}.pem")));
        let usual = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ];
        tool("openssl", &[&usual, more].concat());
        (certificate, key)
    };
    let (authority, authority_key) = make("authority", &["-subj", "/CN=Test authority"]);
    let names = "subjectAltName=IP:127.0.0.1";
    let by_authority = [
        "-subj",
        "/CN=registry",
        "-CA",
        &authority,
        "-CAkey",
        &authority_key,
    ];
    let leaf = [
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        names,
    ];
    let (certificate, key) = make("registry", &[&by_authority[..], &leaf].concat());
    let tls = super::support::registry::Tls {
        certificate: certificate.as_ref(),
        key: key.as_ref(),
    };
    (Registry::with_tls(&tls), authority)
}

#[test]
fn a_private_authority_is_trusted_when_the_host_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Tiny::default().write(directory.path());
    let source = copy_of_app("no-requirements", directory.path());
    let (registry, authority) = private_registry(directory.path());
    let name = format!("{}/team/app:1", registry.host());
    let push = |overcoat: &Overcoat| {
        overcoat.run(&[
            "build",
            source.to_str().unwrap(),
            "-t",
            &name,
            "--build-image",
            &builder,
            "--push",
        ])
    };
    push(&Overcoat::new().with("SSL_CERT_FILE", &authority)).ok();
    let untrusted = push(&Overcoat::new());
    assert_eq!(untrusted.code, Some(30), "{}", untrusted.stderr);
    assert!(
        untrusted
            .stderr
            .contains("hint: add the registry's certificate authority"),
        "{}",
        untrusted.stderr
    );
}

/// T17 of rust-crates.md: without CA certificates an HTTP client may not even start.
#[test]
fn t17_without_certificates_plain_http_works_and_https_says_why_not() {
    let pushed = pushed();
    let name = format!("{}/team/app:1", pushed.registry.host());
    let bare = Overcoat::new().with("SSL_CERT_FILE", "/nonexistent");
    bare.run(&["pull", &name]).ok();
    let (private, _) = private_registry(pushed.directory.path());
    let https = bare.run(&["pull", &format!("{}/team/app:1", private.host())]);
    assert_eq!(https.code, Some(30), "{}", https.stderr);
    assert!(
        https.stderr.contains(
            "hint: this machine has no CA certificates: install the package `ca-certificates`"
        ),
        "{}",
        https.stderr
    );
}
