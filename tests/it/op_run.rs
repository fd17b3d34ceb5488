//! `op run` and what is below it, `overcoat run --publish --volume`: ports, volumes and variables of a context.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::support::tiny::{ASSEMBLE, Tiny};
use super::support::{Done, ORDINARY_USER, Overcoat, Running, free_port, get, wait_for};
use super::tiny::shared;

/// Serves what its variables and a file of the machine say, on the port that it is told.
const SERVE: &str = "#!/bin/sh\nset -eu\nmkdir -p /tmp/www\n\
    echo \"$GREETING on $PORT\" > /tmp/www/index.html\ncat /shown/text >> /tmp/www/index.html\n\
    if echo x > /shown/new; then echo writable >> /tmp/www/index.html; fi\n\
    exec httpd -f -p \"127.0.0.1:$PORT\" -h /tmp/www\n";

/// A project as op knows it whose application is [`SERVE`].
fn project(directory: &Path) {
    let builder = Tiny {
        scripts: Some(vec![
            ("assemble", ASSEMBLE.to_owned()),
            ("run", SERVE.to_owned()),
        ]),
        ..Tiny::default()
    };
    let builder = builder.write(directory);
    let files = [
        ("app/app.py", "1".to_owned()),
        ("shown/text", "from the machine\n".to_owned()),
        (
            "skaffold.yaml",
            "apiVersion: skaffold/v4beta1\nbuild:\n  artifacts:\n  - {image: team/app, context: app, buildpacks: {builder: b}}\n".to_owned(),
        ),
        (
            "overcoat.toml",
            format!("[applications.app]\nimage = \"team/app\"\nbuilder = \"{builder}\"\n"),
        ),
    ];
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn op(overcoat: &Overcoat, directory: &Path, words: &[&str]) -> Command {
    let mut command = overcoat.called("op", words);
    command.current_dir(directory);
    for name in ["GITHUB_ACTIONS", "SKAFFOLD_DEFAULT_REPO", "TAG", "VERSION"] {
        command.env_remove(name);
    }
    command
}

#[test]
fn a_context_s_ports_volumes_and_variables_are_what_the_application_gets() {
    let directory = shared();
    let root = directory.path();
    project(root);
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        if overcoat.command(&[]).get_program() == "setpriv" {
            let own = Command::new("chown")
                .args(["-R", ORDINARY_USER])
                .arg(root)
                .status();
            assert!(own.unwrap().success());
        }
        let (host, container) = (free_port(), free_port());
        let octopilot = format!(
            "contexts:\n  app:\n    ports: ['{host}:{container}']\n    env: {{GREETING: hello-there}}\n    volumes: ['./shown:/shown:ro']\n"
        );
        fs::write(root.join("octopilot.yaml"), octopilot).unwrap();
        let built: Done = op(&overcoat, root, &["build"]).output().unwrap().into();
        built.ok();
        let list: Done = op(&overcoat, root, &["run", "context", "list"])
            .output()
            .unwrap()
            .into();
        assert_eq!(
            list.ok().stdout,
            "Contexts (use: op run <context>):\n  app (team/app, port 8080)\n"
        );
        let child = op(&overcoat, root, &["run", "app"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let running = Running { child };
        let expected = format!("hello-there on {container}\nfrom the machine\n");
        assert_eq!(wait_for("the page", || get(host)), expected);
        assert_eq!(get(container), Some(expected));
        // Values may be secrets: they are in nobody's command line.
        let line = fs::read(format!("/proc/{}/cmdline", running.child.id())).unwrap();
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(line.contains("--publish="), "{line}");
        assert!(!running.has_descendant("hello-there") && !line.contains("hello-there"));
        running.signal("TERM");
        let (done, _) = running.wait(Duration::from_secs(30));
        let told = format!("127.0.0.1:{host} leads to port {container} of ");
        assert!(done.stderr.contains(&told), "{}", done.stderr);
        assert_eq!(get(host), None, "the port is closed");
    }
}

#[test]
fn ports_that_are_taken_and_volumes_that_are_not_there_are_told_first() {
    let directory = shared();
    let root = directory.path();
    project(root);
    let overcoat = Overcoat::new();
    let run = |words: &[&str]| -> Done {
        let mut command = overcoat.command(words);
        command.current_dir(root).output().unwrap().into()
    };
    run(&["build", "app", "--tag", "app:1"]).ok();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port();
    for publication in [format!("{taken}:1"), taken.to_string()] {
        let done = run(&["run", "app:1", "-p", &publication]);
        assert_eq!(done.code, Some(40), "{}", done.stderr);
        let what = format!("cannot listen on 127.0.0.1:{taken}: ");
        assert!(done.stderr.contains(&what), "{}", done.stderr);
    }
    for (words, part) in [
        (["--volume", "data:/data"], "volumes with names"),
        (["--volume", "/etc"], "HOST:PATH"),
        (["--publish", "53:53/udp"], "only TCP"),
        (["--publish", "80:x"], "HOST:CONTAINER"),
    ] {
        let done = run(&[&["run", "app:1"], &words[..]].concat());
        assert_eq!(done.code, Some(2), "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(part), "{words:?}: {}", done.stderr);
    }
    // A volume may be written to, unless it is said otherwise.
    fs::create_dir(root.join("data")).unwrap();
    let words = ["run", "app:1", "--volume", "data:/data", "--isolation"];
    let script = ["--", "sh", "-c", "id -u > /data/who"];
    let own = Command::new("chmod")
        .arg("a+rwx")
        .arg(root.join("data"))
        .status();
    assert!(own.unwrap().success());
    run(&[&words[..4], &script].concat()).ok();
    assert_eq!(fs::read_to_string(root.join("data/who")).unwrap(), "1001\n");
    let done = run(&[&words[..], &["chroot"], &script].concat());
    assert_eq!(done.code, Some(40), "{}", done.stderr);
    assert!(
        done.stderr.contains("`--volume` needs mounts"),
        "{}",
        done.stderr
    );
}

#[test]
fn variables_that_are_handed_down_are_texts_or_nothing() {
    let overcoat = Overcoat::new().with("OVERCOAT_RUN_ENVIRONMENT", "hunter2");
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = super::tiny::application(directory.path(), &[("app.py", "1")]);
    overcoat
        .run(&[
            "build",
            &source,
            "--build-image",
            &builder,
            "--tag",
            "app:1",
        ])
        .ok();
    let done = overcoat.run(&["run", "app:1"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(
        done.stderr.contains("OVERCOAT_RUN_ENVIRONMENT"),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
}
