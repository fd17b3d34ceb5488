//! Layouts and archives: others read what we write, and we read what others write.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::support::tiny::Tiny;
use super::support::{Overcoat, copy_of_app, tool};

struct Built {
    directory: tempfile::TempDir,
    overcoat: Overcoat,
    digest: String,
}

/// The tiny application, built and written in all three forms.
fn built() -> Built {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let builder = Tiny::default().write(directory.path());
    let source = copy_of_app("no-requirements", directory.path());
    let overcoat = Overcoat::new();
    let output =
        |kind: &str, name: &str| format!("{kind}:{}", directory.path().join(name).display());
    let outputs = [
        output("oci", "layout"),
        output("oci-archive", "oci.tar"),
        output("docker-archive", "docker.tar"),
    ];
    let mut arguments = vec![
        "build",
        source.to_str().unwrap(),
        "-t",
        "app:1",
        "--build-image",
        &builder,
    ];
    for output in &outputs {
        arguments.extend(["-o", output]);
    }
    let digest = overcoat.run(&arguments).ok().digest("app:1");
    Built {
        directory,
        overcoat,
        digest,
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn skopeo_digest(image: &str) -> String {
    let inspected = tool("skopeo", &["inspect", image]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    inspected["Digest"].as_str().unwrap().to_owned()
}

#[test]
fn skopeo_reads_the_store_the_layout_and_the_archives() {
    let built = built();
    let path = built.directory.path();
    for image in [
        format!("oci:{}:app:1", built.overcoat.store().display()),
        format!("oci:{}:app:1", path.join("layout").display()),
        format!("oci-archive:{}:app:1", path.join("oci.tar").display()),
    ] {
        assert_eq!(skopeo_digest(&image), built.digest, "{image}");
    }
    let docker = tool(
        "skopeo",
        &[
            "inspect",
            "--config",
            &format!("docker-archive:{}", path.join("docker.tar").display()),
        ],
    );
    let config: serde_json::Value = serde_json::from_str(&docker).unwrap();
    assert_eq!(config["config"], built.overcoat.inspect("app:1")["config"]);
    let copied = path.join("copied");
    let from = format!(
        "docker-archive:{}:docker.io/library/app:1",
        path.join("docker.tar").display()
    );
    tool(
        "skopeo",
        &["copy", &from, &format!("oci:{}:x", copied.display())],
    );
}

#[test]
fn umoci_unpacks_the_layout_and_gnu_tar_lists_every_layer() {
    let built = built();
    let bundle = built.directory.path().join("bundle");
    let layout = format!("{}:app:1", built.directory.path().join("layout").display());
    tool("umoci", &["unpack", "--image", &layout, text(&bundle)]);
    let app = bundle.join("rootfs/opt/app-root/src/app.py");
    assert_eq!(
        fs::read(app).unwrap(),
        fs::read(built.directory.path().join("no-requirements/app.py")).unwrap()
    );
    assert!(!bundle.join("rootfs/tmp/src").exists());
    for layer in built.overcoat.layers("app:1") {
        assert!(!built.overcoat.list_layer(&layer).is_empty());
    }
}

#[test]
fn a_layout_has_nothing_but_what_layouts_have() {
    let built = built();
    let names = fs::read_dir(built.directory.path().join("layout")).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn archives_are_the_same_bytes_every_time() {
    let (first, second) = (built(), built());
    for name in ["oci.tar", "docker.tar"] {
        let read = |built: &Built| fs::read(built.directory.path().join(name)).unwrap();
        assert!(read(&first) == read(&second), "{name} differs");
    }
}

/// Builds the application on a builder image in some form and gives what it prints.
fn build_on(builder: &str, directory: &Path) -> String {
    let overcoat = Overcoat::new();
    let source = directory.join("no-requirements");
    let digest = overcoat
        .run(&[
            "build",
            text(&source),
            "-t",
            "app",
            "--build-image",
            builder,
        ])
        .ok()
        .digest("app");
    assert!(
        overcoat
            .run(&["run", "app"])
            .ok()
            .stdout
            .contains("http.server")
    );
    digest
}

#[test]
fn builder_images_are_taken_from_what_other_tools_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let builder = Tiny::default().write(path);
    copy_of_app("no-requirements", path);
    let expected = build_on(&builder, path);
    let form = |kind: &str, name: &str| format!("{kind}:{}", path.join(name).display());
    let copy = |to: &str| tool("skopeo", &["copy", "--insecure-policy", &builder, to]);
    let (oci, docker) = (
        form("oci-archive", "b.tar"),
        form("docker-archive", "d.tar"),
    );
    copy(&oci);
    copy(&format!("{docker}:docker.io/library/tiny:latest"));
    // The name of an image in an archive is not part of what is recorded, its digest is: the same image, unnamed.
    let unnamed = build_on(&form("oci", "builder"), path);
    assert_eq!(build_on(&oci, path), unnamed);
    assert_ne!(
        expected, unnamed,
        "the layout's name is recorded as the base image's"
    );
    build_on(&docker, path);
    // umoci 0.4 leaves the end of the tar out.
    let hook = path.join("motd");
    fs::write(&hook, "from umoci").unwrap();
    let layout = format!("{}:tiny:latest", path.join("builder").display());
    tool(
        "umoci",
        &["insert", "--image", &layout, text(&hook), "/etc/motd"],
    );
    let overcoat = Overcoat::new();
    let source = path.join("no-requirements");
    overcoat
        .run(&[
            "build",
            text(&source),
            "-t",
            "app",
            "--build-image",
            &builder,
        ])
        .ok();
    assert_eq!(
        overcoat
            .run(&["run", "app", "--", "cat", "/etc/motd"])
            .ok()
            .stdout,
        "from umoci"
    );
}
