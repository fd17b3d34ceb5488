//! Where images go.

use super::super::support;
use super::*;

/// Daeploy's call: five arguments, and the image is in Docker's store. Case M7.
#[test]
fn the_five_arguments_of_daeploy_bring_an_image_into_docker() {
    let docker = Engine::docker();
    let scene = Scene::loud();
    let arguments = ["build", &scene.source, &scene.builder, "my_service:1.0.0"];
    let mut command = scene.overcoat.called("s2i", &arguments);
    command.env_remove("OVERCOAT_S2I_LOAD");
    command.env(
        "DOCKER_HOST",
        format!("unix://{}", docker.socket().display()),
    );
    let done = Done::from(command.output().unwrap()).ok();
    assert_eq!(done.stdout, "", "results are not for stdout");
    let lines: Vec<&str> = done.stderr.lines().collect();
    let expected = [
        "  indented",
        "bad \u{fffd} byte",
        "Build completed successfully",
    ];
    let kept: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| *line != "to-stderr")
        .collect();
    assert_eq!(kept, expected);
    assert!(lines.contains(&"to-stderr"), "{lines:?}");
    let inspected = docker.docker_command(&["image", "inspect", "my_service:1.0.0"]);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    let config = &inspected[0]["Config"];
    assert_eq!(config["Cmd"], json!(["/usr/libexec/s2i/run"]));
    assert_eq!(config["User"], "1001");
}

/// An engine that was named and is not there is told before any work is done.
#[test]
fn an_engine_that_does_not_answer_ends_the_build_before_it_begins() {
    let scene = Scene::new(&Tiny::default());
    let arguments = [
        "build",
        &scene.source,
        &scene.builder,
        "app",
        "-U",
        "unix:///no/such.sock",
    ];
    let mut command = scene.overcoat.called("s2i", &arguments);
    command.env_remove("OVERCOAT_S2I_LOAD");
    let done = Done::from(command.output().unwrap());
    refused(
        &done,
        1,
        &["`/no/such.sock` does not answer", "OVERCOAT_S2I_LOAD=none"],
        &[],
    );
    nothing_is_left(&scene.overcoat);
    let mut command = scene.overcoat.called("s2i", &arguments[..4]);
    command.env("OVERCOAT_S2I_LOAD", "lxc");
    let done = Done::from(command.output().unwrap());
    refused(&done, 1, &["OVERCOAT_S2I_LOAD", "`lxc`"], &[]);
}

/// The image stays in our store, and that is said once; a name for it is found when there is none.
#[test]
fn without_an_engine_the_image_is_where_it_is_said_to_be() {
    let scene = Scene::new(&Tiny::default());
    let arguments = ["build", &scene.source, &scene.builder];
    let mut command = scene.overcoat.called("s2i", &arguments);
    // No socket is in any place that belongs to this test.
    command
        .env_remove("OVERCOAT_S2I_LOAD")
        .env_remove("XDG_RUNTIME_DIR");
    let done = Done::from(command.output().unwrap()).ok();
    let notes: Vec<&str> = done
        .stderr
        .lines()
        .filter(|line| line.starts_with("WARNING: "))
        .collect();
    let [note] = notes[..] else {
        panic!("{}", done.stderr)
    };
    let store = scene.overcoat.store();
    let skopeo = format!(
        "skopeo copy oci:{}:localhost/s2i/app:latest",
        store.display()
    );
    for word in [
        "`overcoat run localhost/s2i/app`",
        "`overcoat push localhost/s2i/app`",
        &skopeo,
    ] {
        assert!(note.contains(word), "{note}");
    }
    assert!(
        done.stderr
            .contains("the image is called `localhost/s2i/app`"),
        "{}",
        done.stderr
    );
    let started = scene.overcoat.run(&["run", "localhost/s2i/app"]).ok();
    assert_eq!(started.stdout, "print(1)\n");
    let inspected = support::tool(
        "skopeo",
        &[
            "inspect",
            &format!("oci:{}:localhost/s2i/app:latest", store.display()),
        ],
    );
    assert!(inspected.contains("sha256:"), "{inspected}");
}

/// Pushed as the variable says, under the name behind a prefix.
#[test]
fn a_variable_pushes_what_a_fixed_command_line_cannot() {
    let registry = Registry::start();
    let scene = Scene::new(&Tiny::default());
    let prefix = format!("{}/team", registry.host());
    let mut command = scene
        .overcoat
        .called("s2i", &["build", &scene.source, &scene.builder, "app:1"]);
    command.env("OVERCOAT_S2I_PUSH", &prefix);
    assert_eq!(Done::from(command.output().unwrap()).ok().stdout, "");
    let tags = scene
        .overcoat
        .run(&["tags", &format!("{prefix}/app")])
        .ok()
        .stdout;
    assert_eq!(tags, "1\n");
}
