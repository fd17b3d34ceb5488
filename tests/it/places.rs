//! Images in Docker's store as builders: found there, taken once, and built on.

use std::path::Path;
use std::time::SystemTime;

use overcoat::build::assemble::Loan;
use overcoat::build::{
    Bytes, EngineAccess, Error, Host, ImageSource, PullPolicy, Tools, find_image,
};
use overcoat::debian::mirror::Mirrors;
use overcoat::event::Silent;
use overcoat::image::{Image, Platform};
use overcoat::output::load::{self, Places};
use overcoat::store::BlobStore;

use super::support::engine::{Engine, Podman};
use super::support::tiny::Tiny;
use super::support::{free_port, tool};

/// A tool that knows one engine, and nobody else.
fn tools(store: &BlobStore, engine: Option<EngineAccess>) -> Tools<'_> {
    let host = Host {
        network: overcoat::http::Settings::default(),
        registries: overcoat::registry::Settings::default(),
        mirrors: Mirrors::from_sources(&[]),
        program: env!("CARGO_BIN_EXE_overcoat").into(),
        loan: Loan::default(),
        now: SystemTime::UNIX_EPOCH,
        threads: 2,
        python_credentials: overcoat::python::index::Credentials::default(),
    };
    let mut tools = Tools::new(store, host);
    tools.engine = engine;
    tools
}

fn find(name: &str, store: &BlobStore, engine: &EngineAccess) -> Result<Image, Error> {
    let source: ImageSource = name.parse().unwrap();
    let (platform, policy) = (Platform::host(), PullPolicy::Never);
    let tools = tools(store, Some(engine.clone()));
    find_image(&source, &platform, policy, Bytes::All, &tools, &Silent).map(|(image, _)| image)
}

fn places(docker_host: Option<String>) -> Places {
    Places {
        search_path: "/usr/bin:/bin".to_owned(),
        docker_host,
        ..Places::default()
    }
}

/// A directory with a command that has these variables, as the person's shell would; there is no other way to give them to
/// it here.
fn wrapper(directory: &Path, name: &str, variables: &[&str]) -> String {
    let file = directory.join("bin").join(name);
    std::fs::create_dir(directory.join("bin")).unwrap();
    let variables = variables.join(" ");
    let script = format!("#!/bin/sh\nexec env {variables} /usr/bin/{name} \"$@\"\n");
    std::fs::write(&file, script).unwrap();
    tool("chmod", &["+x", file.to_str().unwrap()]);
    directory.join("bin").display().to_string()
}

/// The tiny builder as an archive, and its diff ids.
fn archive(directory: &Path) -> String {
    let layout = Tiny::default().write(directory);
    let file = directory.join("tiny.tar").display().to_string();
    tool(
        "skopeo",
        &[
            "copy",
            "-q",
            &layout,
            &format!("docker-archive:{file}:team/tiny:latest"),
        ],
    );
    file
}

fn diff_ids(image: &Image) -> Vec<String> {
    image.layers().map(|(_, id)| id.to_string()).collect()
}

#[test]
fn docker_hands_out_its_images_by_socket_and_by_command() {
    let directory = tempfile::tempdir().unwrap();
    let store = BlobStore::open(&directory.path().join("store")).unwrap();
    let docker = Engine::docker();
    docker.docker_command(&["load", "--input", &archive(directory.path())]);
    let format = "{{.Id}} {{json .RootFS.Layers}}";
    let said = docker.docker_command(&["image", "inspect", "--format", format, "team/tiny"]);
    let (id, layers) = said.trim().split_once(' ').unwrap();
    let layers: Vec<String> = serde_json::from_str(layers).unwrap();
    let host = format!("unix://{}", docker.socket().display());
    let found = load::Engine::Docker.find(&places(Some(host))).unwrap();
    let access = EngineAccess::Asked(found);
    for name in ["team/tiny", "docker.io/team/tiny:latest"] {
        let image = find(name, &store, &access).unwrap();
        assert_eq!(image.config.descriptor.digest.to_string(), id);
        assert_eq!(diff_ids(&image), layers);
    }
    let error = find("team/other", &store, &access).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("team/other:latest` is not in this store and the container engine"),
        "{error}"
    );

    // Every image that it exports is remembered: without it there is none to be had but this.
    let image = find("team/tiny", &store, &EngineAccess::Remembered).unwrap();
    assert_eq!(image.config.descriptor.digest.to_string(), id);
    // Docker is not asked for what is here.
    drop(docker);
    let error = find("team/tiny", &store, &access).unwrap_err();
    assert!(
        error.to_string().contains("cannot speak with `docker`"),
        "{error}"
    );
}

#[test]
fn podman_hands_out_its_images_with_a_configuration_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let store = BlobStore::open(&directory.path().join("store")).unwrap();
    let podman = Podman::new();
    podman.run(&["load", "--input", &archive(directory.path())]);
    let configuration = podman.configuration();
    let variable = format!("CONTAINERS_STORAGE_CONF={}", configuration.display());
    let places = Places {
        search_path: wrapper(directory.path(), "podman", &[&variable]),
        ..places(None)
    };
    let access = EngineAccess::Asked(load::Engine::Podman.find(&places).unwrap());
    let layers = podman.run(&[
        "image",
        "inspect",
        "--format",
        "{{json .RootFS.Layers}}",
        "team/tiny",
    ]);
    let layers: Vec<String> = serde_json::from_str(layers.trim()).unwrap();
    let image = find("team/tiny", &store, &access).unwrap();
    assert_eq!(diff_ids(&image), layers);
    assert!(find("team/other", &store, &access).is_err());
}

/// An authority, and certificates of its for the engine and for us, as Docker's own instructions make them.
fn certificates(directory: &Path) {
    let script = r#"
        set -e; cd "$0"
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out ca.pem
        sign() {
            openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$2key.pem" -out "$1.csr"
            printf '%s\n' "$3" > "$1.ext"
            openssl x509 -req -days 2 -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile "$1.ext" -out "$2cert.pem"
        }
        sign server server- 'subjectAltName=IP:127.0.0.1'
        sign client '' 'extendedKeyUsage=clientAuth'
    "#;
    tool("sh", &["-c", script, directory.to_str().unwrap()]);
}

/// Case 220. TLS is Docker's own command's work: it has the variables that the person's shell has.
#[test]
fn docker_over_tls_with_client_certificates_is_reached_through_its_command() {
    let directory = tempfile::tempdir().unwrap();
    let store = BlobStore::open(&directory.path().join("store")).unwrap();
    certificates(directory.path());
    let port = free_port();
    let docker = Engine::docker_with_tls(directory.path(), port);
    docker.docker_command(&["load", "--input", &archive(directory.path())]);
    let host = format!("tcp://127.0.0.1:{port}");
    let variables = [
        format!("DOCKER_HOST={host}"),
        "DOCKER_TLS_VERIFY=1".to_owned(),
        format!("DOCKER_CERT_PATH={}", directory.path().display()),
    ];
    let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
    let with = Places {
        search_path: wrapper(directory.path(), "docker", &variables),
        ..places(Some(host.clone()))
    };
    let access = EngineAccess::Asked(load::Engine::Docker.find(&with).unwrap());
    let image = find("team/tiny", &store, &access).unwrap();
    assert_eq!(diff_ids(&image).len(), 2);
    let error = find("team/other", &store, &access).unwrap_err();
    assert!(
        error.to_string().contains("and the container engine"),
        "{error}"
    );

    // Without certificates the engine does not speak with us.
    let bare = directory.path().join("bare");
    std::fs::create_dir(&bare).unwrap();
    let without = Places {
        search_path: wrapper(
            &bare,
            "docker",
            &[&format!("DOCKER_HOST={host}"), "DOCKER_CONFIG=/none"],
        ),
        ..places(Some(host))
    };
    let access = EngineAccess::Asked(load::Engine::Docker.find(&without).unwrap());
    let error = find("team/other", &store, &access).unwrap_err();
    assert!(matches!(error, Error::NotHere { .. }), "{error}");
    assert!(
        !error.to_string().contains("and the container engine"),
        "{error}"
    );
}
