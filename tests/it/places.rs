//! Images in Docker's store as builders: found there, taken once, and built on.

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
use super::support::tool;

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

/// The tiny builder as an archive, and its diff ids.
fn archive(directory: &std::path::Path) -> String {
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
    // As the person's shell would have it; there is no way to give it to the command but a command.
    let wrapper = directory.path().join("bin/podman");
    std::fs::create_dir(wrapper.parent().unwrap()).unwrap();
    let script = format!(
        "#!/bin/sh\nexport CONTAINERS_STORAGE_CONF={}\nexec /usr/bin/podman \"$@\"\n",
        configuration.display()
    );
    std::fs::write(&wrapper, script).unwrap();
    tool("chmod", &["+x", wrapper.to_str().unwrap()]);
    let places = Places {
        search_path: wrapper.parent().unwrap().display().to_string(),
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
