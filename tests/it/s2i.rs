//! The program called as `s2i`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::engine::Engine;
use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, Running, free_port, wait_for};
use super::tiny::{application, shared};

mod places;
mod words;

/// Prints what is not UTF-8, indents, and says that it was here.
const LOUD: &str = "#!/bin/sh\nset -eu\necho '  indented'\necho to-stderr >&2\n\
    cp -R /tmp/src/. /opt/app-root/src/\nrm -rf /tmp/src/* /tmp/src/.s2i\nprintf 'bad \\377 byte\\n'\n";

const FAILS: &str = "#!/bin/sh\necho before\nexit 42\n";

/// A builder, an application, and a place for images.
struct Scene {
    directory: tempfile::TempDir,
    builder: String,
    source: String,
    overcoat: Overcoat,
}

impl Scene {
    fn new(tiny: &Tiny) -> Self {
        Self::of(Overcoat::new(), tiny)
    }

    fn of(overcoat: Overcoat, tiny: &Tiny) -> Self {
        let directory = shared();
        let builder = tiny.write(directory.path());
        let source = application(directory.path(), &[("app.py", "print(1)\n")]);
        Self {
            directory,
            builder,
            source,
            overcoat,
        }
    }

    fn loud() -> Self {
        Self::new(&Tiny {
            assemble: LOUD,
            ..Tiny::default()
        })
    }

    fn build(&self, more: &[&str]) -> Done {
        let arguments = ["build", &self.source, &self.builder, "app:1"];
        self.overcoat.s2i(&[&arguments, more].concat())
    }
}

/// Nothing on stdout, an error status, and every line of stderr an error but the one that says so and `others`.
#[track_caller]
fn refused(done: &Done, code: i32, words: &[&str], others: &[&str]) {
    assert_eq!(done.code, Some(code), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    let mut errors = 0;
    for line in done.stderr.lines() {
        match line.starts_with("ERROR: ") {
            true => errors += 1,
            false => assert!(
                line == "Build failed" || others.contains(&line),
                "{}",
                done.stderr
            ),
        }
    }
    assert!(errors > 0, "{}", done.stderr);
    for word in words {
        assert!(
            done.stderr.contains(word),
            "expected {word:?} in:\n{}",
            done.stderr
        );
    }
}

#[track_caller]
fn nothing_is_left(overcoat: &Overcoat) {
    assert_eq!(overcoat.left_behind(), Vec::<String>::new());
    assert_eq!(
        overcoat.run(&["images", "--format", "json"]).ok().stdout,
        "[]\n"
    );
}

/// Case M6, and the statuses of s2i.
#[test]
fn what_fails_says_so_at_the_beginning_of_lines() {
    let failing = Tiny {
        assemble: FAILS,
        ..Tiny::default()
    };
    let scene = Scene::new(&failing);
    refused(
        &scene.build(&[]),
        1,
        &["`assemble` script failed with exit status 42"],
        &["before"],
    );
    nothing_is_left(&scene.overcoat);
    let plain = Tiny {
        labels: Vec::new(),
        ..Tiny::default()
    };
    let scene = Scene::new(&plain);
    refused(&scene.build(&[]), 11, &["is not a builder image"], &[]);
    nothing_is_left(&scene.overcoat);
    let missing = format!("127.0.0.1:{}/no/such", free_port());
    let done = scene
        .overcoat
        .s2i(&["build", &scene.source, &missing, "app"]);
    refused(&done, 2, &["cannot get the builder image", &missing], &[]);
    let done = scene
        .overcoat
        .s2i(&["build", "/no/such/place", &scene.builder, "app"]);
    refused(&done, 1, &["/no/such/place"], &[]);
    nothing_is_left(&scene.overcoat);
}

/// The same from inside a user namespace, in which the program has lost its name.
#[test]
fn an_ordinary_user_reads_the_same_words() {
    let loud = Tiny {
        assemble: LOUD,
        ..Tiny::default()
    };
    let scene = Scene::of(Overcoat::as_ordinary_user(), &loud);
    // The link is made by root; anybody may follow it.
    let done = scene.build(&["-n", "name"]).ok();
    assert_eq!(done.stdout, "");
    assert_eq!(
        done.stderr.matches("Build completed successfully").count(),
        1,
        "{}",
        done.stderr
    );
    let done = scene.build(&["--loglevel=1", "-e", "NEW=1"]).ok();
    assert!(done.stderr.contains("sandbox: "), "{}", done.stderr);
    let failing = Tiny {
        assemble: FAILS,
        ..Tiny::default()
    };
    let scene = Scene::of(Overcoat::as_ordinary_user(), &failing);
    let done = scene.build(&[]);
    refused(&done, 1, &["exit status 42"], &["before"]);
    assert_eq!(
        done.stderr.matches("Build failed").count(),
        1,
        "{}",
        done.stderr
    );
}

/// Cases M8, 136 and 138.
#[test]
fn levels_and_quiet_choose_what_is_shown() {
    let scene = Scene::loud();
    let quiet = scene.build(&["-q"]).ok();
    assert!(!quiet.stderr.contains("indented"), "{}", quiet.stderr);
    assert!(quiet.stderr.contains("to-stderr"), "{}", quiet.stderr);
    assert!(quiet.stderr.contains("Build completed"), "{}", quiet.stderr);
    let steps = scene.build(&["--loglevel", "1", "-e", "A=1"]).ok().stderr;
    assert!(
        steps.contains("assemble") && !steps.contains("pull policy"),
        "{steps}"
    );
    let all = scene.build(&[
        "--loglevel=5",
        "-e",
        "http_proxy=http://u:hunter2@p.example:80",
        "--tls",
    ]);
    let all = all.ok().stderr;
    assert!(all.contains("builder pull policy: if-not-present"), "{all}");
    assert!(
        all.contains("http_proxy=http://redacted@p.example:80") && !all.contains("hunter2"),
        "{all}"
    );
    assert!(all.contains("the flags about TLS are ignored"), "{all}");
}

/// Cases M24 and M25, and the label with the name for people.
#[test]
fn the_image_has_the_strongest_variables() {
    let scene = Scene::new(&Tiny::default());
    let file = scene.directory.path().join("env");
    std::fs::write(&file, "A=file\n").unwrap();
    std::fs::create_dir(Path::new(&scene.source).join(".s2i")).unwrap();
    std::fs::write(
        Path::new(&scene.source).join(".s2i/environment"),
        "A=source\nB=source\nFROM_BUILDER=no",
    )
    .unwrap();
    let flags = [
        "-e",
        "A=flag",
        "-e",
        "B=flag",
        "-E",
        file.to_str().unwrap(),
        "--description",
        "words",
    ];
    scene.build(&flags).ok();
    let variable = |name: &str| {
        let config = scene.overcoat.inspect("app:1")["config"].clone();
        let all = config["Env"].as_array().unwrap().clone();
        let found = all.iter().rev().find_map(|line| {
            line.as_str()?
                .strip_prefix(name)?
                .strip_prefix('=')
                .map(str::to_owned)
        });
        found.unwrap()
    };
    assert_eq!(
        (variable("A").as_str(), variable("B").as_str()),
        ("file", "flag")
    );
    assert_eq!(variable("FROM_BUILDER"), "no");
    let done = scene.build(&["-E", "/no/such/file", "-e", "A=flag"]).ok();
    assert!(
        done.stderr.contains("WARNING: ") && done.stderr.contains("/no/such/file"),
        "{}",
        done.stderr
    );
    assert_eq!(variable("A"), "flag");
}

/// Reads one POST, and answers.
fn posted(listener: &TcpListener) -> Value {
    let (mut stream, _) = listener.accept().unwrap();
    let mut bytes = Vec::new();
    let mut one = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut one).unwrap(), 1);
        bytes.push(one[0]);
    }
    let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
    assert!(
        head.starts_with("post /hook ") && head.contains("content-type: application/json"),
        "{head}"
    );
    let length = head.split("content-length: ").nth(1).unwrap();
    let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    stream
        .write_all(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n")
        .unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Case 208.
#[test]
fn the_callback_is_told_once_how_it_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "--callback-url=http://{}/hook",
        listener.local_addr().unwrap()
    );
    let scene = Scene::new(&Tiny::default());
    let told = std::thread::scope(|scope| {
        let server = scope.spawn(|| posted(&listener));
        scene.build(&[&url]).ok();
        server.join().unwrap()
    });
    assert_eq!(told["success"], true);
    assert!(!told["labels"].as_object().unwrap().is_empty(), "{told}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "once is enough");
    listener.set_nonblocking(false).unwrap();
    let told = std::thread::scope(|scope| {
        let server = scope.spawn(|| posted(&listener));
        let missing = format!("127.0.0.1:{}/no/such", free_port());
        let done = scene
            .overcoat
            .s2i(&["build", &scene.source, &missing, "app", &url]);
        assert_eq!(done.code, Some(2));
        server.join().unwrap()
    });
    assert_eq!(told, json!({"success": false}));
}

const SERVES: &str =
    "#!/bin/sh\nset -eu\nmkdir -p /opt/app-root/src/.s2i\ncp -R /tmp/src/. /opt/app-root/src/\n";

/// Case 230.
#[test]
fn run_starts_the_image_and_ends_with_it() {
    let tiny = Tiny {
        assemble: SERVES,
        ..Tiny::default()
    };
    let scene = Scene::new(&tiny);
    let port = free_port();
    let hook = Path::new(&scene.source).join(".s2i/bin");
    std::fs::create_dir_all(&hook).unwrap();
    let run = format!("#!/bin/sh\necho started\nexec httpd -f -p 127.0.0.1:{port} -h /tmp\n");
    std::fs::write(hook.join("run"), run).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(hook.join("run"), executable).unwrap();
    let arguments = [
        "build",
        &scene.source,
        &scene.builder,
        "app:1",
        "--run=true",
    ];
    let mut command = scene.overcoat.called("s2i", &arguments);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let running = Running { child };
    wait_for("the application", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    running.signal("INT");
    let (done, _) = running.wait(Duration::from_secs(30));
    assert!(
        done.stderr.contains("as a result of the --run=true option"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("started"), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    assert!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "it is gone"
    );
    assert_eq!(scene.overcoat.left_behind(), Vec::<String>::new());
}

/// Case M35.
#[test]
fn a_signal_ends_it_with_two_and_leaves_nothing() {
    let tiny = Tiny {
        assemble: "#!/bin/sh\necho waiting\nexec sleep 300\n",
        ..Tiny::default()
    };
    let scene = Scene::new(&tiny);
    let arguments = ["build", &scene.source, &scene.builder, "app:1"];
    let mut command = scene.overcoat.called("s2i", &arguments);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let running = Running { child };
    wait_for("assemble", || running.has_descendant("sleep").then_some(()));
    running.signal("TERM");
    let (done, _) = running.wait(Duration::from_secs(30));
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    nothing_is_left(&scene.overcoat);
}
