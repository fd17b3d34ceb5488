//! Settings of single registries: mirrors, certificates, mutual TLS, blocked ones; in overcoat's own file and in those
//! of podman and Docker. skopeo reads the same files the same way.

use std::fs;
use std::path::Path;

use super::support::registry::{Registry, Tls};
use super::support::tiny::Tiny;
use super::support::{Overcoat, copy_of_app, free_port, tool};

/// Puts the tiny builder into a registry as `library/tiny:1`; its digest.
fn fill(registry: &Registry, directory: &Path) -> String {
    let layout = Tiny::default().write(directory);
    let to = format!("docker://{}/library/tiny:1", registry.host());
    let arguments = ["copy", "--insecure-policy", "--dest-tls-verify=false"];
    tool("skopeo", &[&arguments[..], &[&layout, &to]].concat());
    let inspected = tool("skopeo", &["inspect", "--tls-verify=false", &to]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    inspected["Digest"].as_str().unwrap().to_owned()
}

#[test]
fn docker_hub_is_read_from_its_mirrors_with_those_that_are_down_or_empty_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let (full, empty) = (Registry::start(), Registry::start());
    let digest = fill(&full, directory.path());
    let down = format!("127.0.0.1:{}", free_port());
    let file = directory.path().join("settings.toml");
    let text = format!(
        "[registry.\"docker.io\"]\nmirrors = [\"{down}\", \"{}\", \"{}\"]\n",
        empty.host(),
        full.host()
    );
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let overcoat = Overcoat::new();
    let pulled = overcoat
        .run(&["pull", "tiny:1", "--registry-config", file])
        .ok();
    assert_eq!(pulled.digest("tiny:1"), digest);
    assert!(!empty.requests().is_empty());
    let layers = full.requests();
    let layers = layers
        .iter()
        .filter(|line| line.contains("/blobs/"))
        .count();
    assert!(layers >= 2, "{layers}");

    // Copies and documents come from there, too.
    let layout = format!("oci:{}:tiny", directory.path().join("copied").display());
    let elsewhere = Overcoat::new();
    let copied = elsewhere.run(&[
        "copy",
        "docker://docker.io/library/tiny:1",
        &layout,
        "--registry-config",
        file,
    ]);
    assert_eq!(copied.ok().stdout, format!("{layout}@{digest}\n"));
    let shown = elsewhere.run(&["inspect", "--remote", "tiny:1", "--registry-config", file]);
    assert!(shown.ok().stdout.contains("layers"));

    // The same in podman's format, which skopeo reads too.
    let conf = directory.path().join("registries.conf");
    let mirrors = [&down, empty.host(), full.host()];
    let mirrors = mirrors
        .map(|host| format!("[[registry.mirror]]\nlocation = \"{host}\"\ninsecure = true\n"));
    let text = format!(
        "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n{}",
        mirrors.concat()
    );
    fs::write(&conf, text).unwrap();
    let conf = conf.to_str().unwrap();
    let podmans = Overcoat::new().with("CONTAINERS_REGISTRIES_CONF", conf);
    let pulled = podmans.run(&["pull", "tiny:1"]).ok();
    assert_eq!(pulled.digest("tiny:1"), digest);
    let skopeos = tool(
        "skopeo",
        &[
            "--registries-conf",
            conf,
            "inspect",
            "--no-tags",
            "docker://docker.io/library/tiny:1",
        ],
    );
    assert!(skopeos.contains(&digest), "{skopeos}");
}

#[test]
fn an_applications_own_settings_hold_for_its_builds() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    fill(&registry, directory.path());
    let source = copy_of_app("no-requirements", directory.path());
    let text = format!(
        "[registry.'base.example']\nmirrors = ['{}']\n",
        registry.host()
    );
    fs::write(source.join("overcoat.toml"), text).unwrap();
    let overcoat = Overcoat::new();
    let build = [
        "build",
        source.to_str().unwrap(),
        "-t",
        "app",
        "--build-image",
        "base.example/library/tiny:1",
    ];
    overcoat.run(&build).ok();
    assert_eq!(
        overcoat.inspect("app")["annotations"]["org.opencontainers.image.base.name"],
        "base.example/library/tiny:1"
    );
    // What is given on the command line takes its place.
    let none = directory.path().join("none.toml");
    fs::write(&none, "").unwrap();
    let given = [&build[..], &["--registry-config", none.to_str().unwrap()]].concat();
    assert_eq!(Overcoat::new().run(&given).code, Some(30));
}

#[test]
fn settings_that_make_no_sense_are_told_with_their_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings.toml");
    fs::write(&file, "\n[registry.'a.example']\nmirors = []\n").unwrap();
    let file = file.to_str().unwrap();
    let overcoat = Overcoat::new();
    let done = overcoat.run(&["pull", "a.example/x", "--registry-config", file]);
    assert_eq!(done.code, Some(30), "{}", done.stderr);
    assert!(
        done.stderr.contains(file) && done.stderr.contains("line 3"),
        "{}",
        done.stderr
    );
    // Who speaks to no registry is not bothered.
    overcoat.run(&["images", "--registry-config", file]).ok();
}

/// An authority, a registry's certificate and a client's.
struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let authority = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        authority.make("authority", &["-subj", "/CN=Test authority"]);
        let signed = |subject: &'static str| {
            let (certificate, key) = (
                authority.path("authority.pem"),
                authority.path("authority.key"),
            );
            [
                "-subj".into(),
                subject.into(),
                "-CA".into(),
                certificate,
                "-CAkey".into(),
                key,
                "-addext".into(),
                "basicConstraints=critical,CA:FALSE".into(),
            ]
        };
        let names: [String; 2] = ["-addext".into(), "subjectAltName=IP:127.0.0.1".into()];
        let server: Vec<String> = signed("/CN=registry").into_iter().chain(names).collect();
        let client = signed("/CN=client");
        let borrowed = |list: &[String]| -> Vec<String> { list.to_vec() };
        for (name, list) in [("server", borrowed(&server)), ("client", borrowed(&client))] {
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            authority.make(name, &list);
        }
        authority
    }

    fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn make(&self, name: &str, more: &[&str]) {
        let (key, certificate) = (
            self.path(&format!("{name}.key")),
            self.path(&format!("{name}.pem")),
        );
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
    }

    fn registry(&self) -> Registry {
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let tls = Tls {
            certificate: certificate.as_ref(),
            key: key.as_ref(),
        };
        Registry::with_client_certificates(&tls, self.path("authority.pem").as_ref())
    }
}

#[test]
fn mutual_tls_takes_its_certificates_from_our_file_and_from_certs_d() {
    let authority = Authority::new();
    let (overcoat, registry) = (Overcoat::new(), authority.registry());
    let host = registry.host();
    let work = tempfile::tempdir().unwrap();
    let builder = Tiny::default().write(work.path());
    let source = copy_of_app("no-requirements", work.path());
    let source = source.to_str().unwrap();
    let name = format!("{host}/team/app:1");
    let push = [
        "build",
        source,
        "-t",
        &name,
        "--build-image",
        &builder,
        "--push",
    ];
    // Paths are relative to the file.
    let settings = authority.path("settings.toml");
    let text = |lines: &str| {
        fs::write(&settings, format!("[registry.\"{host}\"]\n{lines}")).unwrap();
    };
    let with = [&push[..], &["--registry-config", &settings]].concat();
    text("ca = 'authority.pem'\ncert = 'client.pem'\nkey = 'client.key'\n");
    let digest = overcoat.run(&with).ok().digest(&name);

    text("ca = 'authority.pem'\n");
    let unknown = Overcoat::new().run(&with);
    assert_eq!(unknown.code, Some(30), "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("wants a client certificate"),
        "{}",
        unknown.stderr
    );
    text("ca = 'authority.pem'\ncert = 'client.pem'\nkey = 'client.pem'\n");
    let damaged = Overcoat::new().run(&with);
    assert_eq!(damaged.code, Some(30), "{}", damaged.stderr);
    assert!(
        damaged.stderr.contains("client certificate cannot be used"),
        "{}",
        damaged.stderr
    );
    text("insecure = true\ncert = 'client.pem'\nkey = 'client.key'\n");
    Overcoat::new().run(&with).ok();

    let podmans = Overcoat::new();
    let certificates = podmans.path().join(".config/containers/certs.d").join(host);
    fs::create_dir_all(&certificates).unwrap();
    for (from, to) in [
        ("authority.pem", "ca.crt"),
        ("client.pem", "me.cert"),
        ("client.key", "me.key"),
    ] {
        fs::copy(authority.path(from), certificates.join(to)).unwrap();
    }
    let pulled = podmans.run(&["pull", &name]).ok();
    assert_eq!(pulled.digest(&name), digest);
    let inspected = tool(
        "skopeo",
        &[
            "inspect",
            "--cert-dir",
            certificates.to_str().unwrap(),
            &format!("docker://{name}"),
        ],
    );
    assert!(inspected.contains(&digest), "{inspected}");
}

#[test]
fn a_registry_that_is_blocked_is_not_asked() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    let conf = directory.path().join("registries.conf");
    let text = format!(
        "[[registry]]\nlocation = '{}'\nblocked = true\n",
        registry.host()
    );
    fs::write(&conf, text).unwrap();
    let overcoat = Overcoat::new().with("CONTAINERS_REGISTRIES_CONF", conf.to_str().unwrap());
    let done = overcoat.run(&["pull", &format!("{}/library/tiny:1", registry.host())]);
    assert_eq!(done.code, Some(30), "{}", done.stderr);
    assert!(
        done.stderr.contains(conf.to_str().unwrap()),
        "{}",
        done.stderr
    );
    assert_eq!(registry.requests(), [""; 0]);
}

#[test]
fn several_registries_at_once_each_see_their_own_credentials() {
    let directory = tempfile::tempdir().unwrap();
    let (closed, open) = (Registry::with_login(), Registry::start());
    let builder = Tiny::default().write(directory.path());
    let source = copy_of_app("no-requirements", directory.path());
    let names = [closed.host(), open.host()].map(|host| format!("{host}/team/app:1"));
    let overcoat = Overcoat::new();
    let file = closed.auth_file();
    let overcoat = overcoat.with("REGISTRY_AUTH_FILE", file.to_str().unwrap());
    let done = overcoat
        .run(&[
            "build",
            source.to_str().unwrap(),
            "-t",
            &names[0],
            "-t",
            &names[1],
            "--build-image",
            &builder,
            "--push",
        ])
        .ok();
    assert_eq!(done.stdout.lines().count(), 2, "{}", done.stdout);
    let pulled = Overcoat::new().run(&["pull", &names[1]]).ok();
    let digest = pulled.digest(&names[1]);
    assert!(done.stdout.contains(&format!("{}@{digest}", names[0])));
}
