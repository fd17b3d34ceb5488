//! What makes an image a builder: the kinds of s2i-compat.md §5, on the recipe (`network_…`, which need the network), and
//! the fake builder of its §4.1 in every variant.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::flask::with_builder;
use super::support::builders::{Builder, answer, s2i_build};
use super::support::tiny::{Tiny, fake_script};
use super::support::{Overcoat, copy_of_app};
use super::tiny::{application, shared};

/// What an image's configuration must say, for a builder of this kind.
fn expected(builder: Builder) -> (&'static str, &'static str, &'static str) {
    match builder {
        Builder::DaeployOld => (".s2i/bin/run", "", "/"),
        Builder::DaeployNew => ("usr/libexec/s2i/run", "", "/opt/app-root/src"),
        Builder::Sclorg | Builder::Minimal => ("usr/libexec/s2i/run", "1001", "/opt/app-root/src"),
    }
}

/// Cases 84, 85, 96 and M28 on images: a relative URL, an absolute one, a variable that is no URL.
#[test]
fn network_every_kind_of_builder_gives_the_same_image_to_every_user() {
    let users = [
        with_builder(Overcoat::new()),
        with_builder(Overcoat::as_ordinary_user()),
    ];
    for builder in Builder::ALL {
        let name = builder.name();
        let digests = users.each_ref().map(|overcoat| {
            let source = copy_of_app("no-requirements", overcoat.path());
            let done = s2i_build(overcoat, &source, &builder.image(), name, &[]);
            assert_eq!(done.code, Some(0), "{name}:\n{}", done.stderr);
            assert_eq!(answer(overcoat, name), "Hello from no-requirements\n");
            fs::remove_dir_all(&source).unwrap();
            done.digest(name)
        });
        assert_eq!(digests[0], digests[1], "{name}");

        let config = users[0].inspect(name)["config"].clone();
        let (run, user, directory) = expected(builder);
        let command = config["Cmd"].as_array().unwrap();
        let [command] = command.as_slice() else {
            panic!("{name}: {command:?}");
        };
        let command = command.as_str().unwrap();
        assert_eq!(command.trim_start_matches('/'), run, "{name}");
        let text = |field: &str| config[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (text("User").as_str(), text("WorkingDir").as_str()),
            (user, directory),
            "{name}"
        );
        let entrypoint = match builder {
            Builder::Sclorg => json!(["container-entrypoint"]),
            _ => json!(null),
        };
        assert_eq!(config["Entrypoint"], entrypoint, "{name}");
        assert_eq!(config["ExposedPorts"], json!({ "8080/tcp": {} }), "{name}");
        let tags = match builder {
            Builder::Minimal => json!(null),
            _ => json!("builder,python"),
        };
        assert_eq!(config["Labels"]["io.openshift.tags"], tags, "{name}");
    }
}

/// An application with one file, as upstream's.
fn gems(directory: &Path) -> PathBuf {
    PathBuf::from(application(directory, &[("Gemfile", "source 'x'\n")]))
}

/// Builds on a builder and checks the basic state (§4.1): what was there when it was run.
#[track_caller]
fn basic_state(overcoat: &Overcoat, builder: &Tiny, assemble_user: &str, flags: &[&str]) {
    let directory = shared();
    let image = builder.write(directory.path());
    let source = gems(directory.path());
    s2i_build(overcoat, &source, &image, "app", flags).ok();
    let seen = overcoat.run(&["run", "app"]).ok().stdout;
    assert_eq!(
        seen,
        "./assemble-invoked\n./assemble-user\n./run-invoked\n./src/Gemfile\n"
    );
    let who = ["run", "app", "--", "cat", "/sti-fake/assemble-user"];
    assert_eq!(overcoat.run(&who).ok().stdout.trim(), assemble_user);
    assert_eq!(overcoat.left_behind(), Vec::<String>::new());
}

/// Cases 203 and 205, scripts inside the image.
#[test]
fn the_fake_builder_with_scripts_in_the_image() {
    let deprecated = vec![("io.s2i.scripts-url", "image:///usr/libexec/s2i")];
    let variable = vec![("STI_SCRIPTS_URL", "image:///usr/libexec/s2i")];
    let path = vec![("STI_SCRIPTS_PATH", "/usr/libexec/s2i")];
    let unlabelled = |variables| Tiny {
        labels: Vec::new(),
        variables,
        ..Tiny::fake()
    };
    let builders = [
        Tiny::fake(),
        Tiny {
            labels: deprecated,
            ..Tiny::fake()
        },
        unlabelled(variable),
        unlabelled(path),
    ];
    for builder in builders {
        basic_state(&Overcoat::new(), &builder, "0", &[]);
    }
}

/// Case 204: users by number and by name, with a group and without, for root and for an ordinary user.
#[test]
fn the_fake_builder_with_a_user_who_is_not_root() {
    for (user, uid) in [
        ("1001", "1001"),
        ("1001:0", "1001"),
        ("default", "1001"),
        ("4242:17", "4242"),
    ] {
        let builder = Tiny {
            user,
            ..Tiny::fake()
        };
        basic_state(&Overcoat::new(), &builder, uid, &[]);
        basic_state(&Overcoat::as_ordinary_user(), &builder, uid, &[]);
    }
}

/// Case M27: somebody else runs `assemble`, and the image's user stays.
#[test]
fn the_fake_builder_with_another_user_for_assemble() {
    let builder = || Tiny {
        user: "1001",
        ..Tiny::fake()
    };
    let overcoat = Overcoat::new();
    basic_state(&overcoat, &builder(), "0", &["--assemble-user", "0"]);
    assert_eq!(overcoat.inspect("app")["config"]["User"], "1001");
    let label = ("io.openshift.s2i.assemble-user", "0");
    let labelled = Tiny {
        labels: [Tiny::fake().labels, vec![label]].concat(),
        ..builder()
    };
    let overcoat = Overcoat::as_ordinary_user();
    basic_state(&overcoat, &labelled, "0", &[]);
    assert_eq!(overcoat.inspect("app")["config"]["User"], "1001");
}

/// Case 207 and §2.16: nothing of the image is needed to bring the source in.
#[test]
fn the_fake_builder_without_tar_and_without_a_shell() {
    let without_tar = || Tiny {
        without: vec!["tar"],
        ..Tiny::fake()
    };
    basic_state(&Overcoat::new(), &without_tar(), "0", &[]);
    basic_state(&Overcoat::new(), &without_tar().without_shell(), "0", &[]);
}

/// Case 70, and case 68 on an image: an image with no scripts at all, and an application that brings both.
#[test]
fn the_fake_builder_without_scripts_and_an_application_with_them() {
    let overcoat = Overcoat::new();
    let builder = Tiny::fake_without_scripts();
    let directory = shared();
    let image = builder.write(directory.path());
    let source = gems(directory.path());
    let done = s2i_build(&overcoat, &source, &image, "app", &[]);
    assert_ne!(done.code, Some(0), "{}", done.stderr);
    let text = "error: `tiny:latest` is not a builder image";
    assert!(done.stderr.contains(text), "{}", done.stderr);
    // It was looked for an interpreter; the program that would have asked it is nobody's business.
    assert!(!done.stderr.contains("import "), "{}", done.stderr);
    assert_eq!(overcoat.run(&["inspect", "app"]).code, Some(4));
    assert_eq!(overcoat.left_behind(), Vec::<String>::new());

    let scripts = ["assemble", "run"].map(|name| (format!(".s2i/bin/{name}"), fake_script(name)));
    let files: Vec<(&str, &str)> = scripts
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    application(directory.path(), &files);
    s2i_build(&overcoat, &source, &image, "app", &[]).ok();
    let seen = overcoat.run(&["run", "app"]).ok().stdout;
    assert_eq!(
        seen,
        "./assemble-invoked\n./assemble-user\n./run-invoked\n./src/Gemfile\n"
    );
    let command = overcoat.inspect("app")["config"]["Cmd"].clone();
    assert_eq!(command, json!(["/tmp/scripts/run"]));
}

/// Cases 87 and 88: the destination that a label or a variable of the image names.
#[test]
fn the_fake_builder_with_another_destination() {
    let label = "io.openshift.s2i.destination";
    let labelled = Tiny {
        labels: [Tiny::fake().labels, vec![(label, "/opt")]].concat(),
        // The script reads this; the label is what is tried.
        variables: vec![("STI_LOCATION", "/opt")],
        ..Tiny::fake()
    };
    basic_state(&Overcoat::new(), &labelled, "0", &[]);
    let variable = Tiny {
        variables: vec![("STI_LOCATION", "/opt")],
        ..Tiny::fake()
    };
    basic_state(&Overcoat::new(), &variable, "0", &[]);
}

/// Where the fake builder's scripts are outside of images.
fn fake_scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/builders/fake")
}

/// Serves the fake builder's scripts over HTTP to whoever asks until the test ends; the URL.
fn serve_fake_scripts() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/scripts", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !request.ends_with("\r\n\r\n") {
                if reader.read_line(&mut request).unwrap() == 0 {
                    break;
                }
            }
            let path = request.split(' ').nth(1).unwrap_or_default();
            let name = path.strip_prefix("/scripts/").unwrap_or_default();
            let found = ["assemble", "run", "save-artifacts", "usage"].contains(&name);
            let (status, body) = match found {
                true => ("200 OK", fake_script(name)),
                false => ("404 Not Found", String::new()),
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

/// Cases 203, 205 and 207: scripts by `file://` and `http://`, also where the image has no `tar`.
#[test]
fn the_fake_builder_with_scripts_from_elsewhere() {
    let files = format!("file://{}", fake_scripts().display());
    for url in [files.as_str(), &serve_fake_scripts()] {
        for without in [vec![], vec!["tar"]] {
            let builder = Tiny {
                without,
                ..Tiny::fake_without_scripts()
            };
            let overcoat = Overcoat::new();
            basic_state(&overcoat, &builder, "0", &["--scripts-url", url]);
            let command = overcoat.inspect("app")["config"]["Cmd"].clone();
            assert_eq!(command, json!(["/tmp/scripts/run"]));
        }
    }
}

/// Cases 82, 83 and 86: where the source goes, with scripts in the image and from elsewhere.
#[test]
fn the_fake_builder_with_a_destination_that_was_asked_for() {
    // The script reads the variable; that the source is there is what is tried.
    let flags = ["--destination", "/opt/sti", "-e", "STI_LOCATION=/opt/sti"];
    basic_state(&Overcoat::new(), &Tiny::fake(), "0", &flags);
    let url = serve_fake_scripts();
    let flags = [&flags[..], &["--scripts-url", &url]].concat();
    let overcoat = Overcoat::new();
    basic_state(&overcoat, &Tiny::fake_without_scripts(), "0", &flags);
    let command = overcoat.inspect("app")["config"]["Cmd"].clone();
    assert_eq!(command, json!(["/opt/sti/scripts/run"]));
}

/// Case 206: labels that the script asks for.
#[test]
fn the_fake_builder_labels_its_image_by_metadata() {
    let overcoat = Overcoat::new();
    basic_state(&overcoat, &Tiny::fake(), "0", &[]);
    let labels = overcoat.inspect("app")["config"]["Labels"].clone();
    assert_eq!(labels["testLabel"], "testLabel_value");
}

/// Cases 213, 215 and 216: what `save-artifacts` streams, zeros after its end included, arrives in the next build; an
/// image that lacks the script is built all the same.
#[test]
fn the_fake_builder_builds_incrementally() {
    let build = |builder: &Tiny, flags: &[&str]| {
        let overcoat = Overcoat::new();
        let directory = shared();
        let image = builder.write(directory.path());
        let source = gems(directory.path());
        s2i_build(&overcoat, &source, &image, "app", flags).ok();
        // Otherwise nothing would have to be done.
        fs::write(source.join("Gemfile"), "source 'y'\n").unwrap();
        let flags = [flags, &["--incremental"]].concat();
        s2i_build(&overcoat, &source, &image, "app", &flags).ok();
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
        overcoat.run(&["run", "app"]).ok().stdout
    };
    let invoked = "./save-artifacts-invoked\n";
    assert!(build(&Tiny::fake(), &[]).contains(invoked));
    let url = format!("file://{}", fake_scripts().display());
    let seen = build(&Tiny::fake_without_scripts(), &["--scripts-url", &url]);
    assert!(seen.contains(invoked), "{seen}");
    let mut lacking = Tiny::fake();
    let scripts = lacking.scripts.as_mut().unwrap();
    scripts.retain(|(name, _)| *name != "save-artifacts");
    let seen = build(&lacking, &[]);
    assert!(!seen.contains(invoked), "{seen}");
}

/// Cases 211 and 212: who may run scripts.
#[test]
fn the_fake_builder_with_allowed_uids() {
    let labelled = |user, uid| Tiny {
        user,
        labels: [
            Tiny::fake().labels,
            vec![("io.openshift.s2i.assemble-user", uid)],
        ]
        .concat(),
        ..Tiny::fake()
    };
    let user = |user| Tiny {
        user,
        ..Tiny::fake()
    };
    let flags = ["--allowed-uids", "1-"];
    basic_state(&Overcoat::new(), &user("1001"), "1001", &flags);
    basic_state(&Overcoat::new(), &labelled("0", "1001"), "1001", &flags);
    let trigger = Tiny {
        on_build: vec!["USER 0"],
        ..user("1001")
    };
    for builder in [user("default"), user("0"), labelled("1001", "0"), trigger] {
        let overcoat = Overcoat::new();
        let directory = shared();
        let image = builder.write(directory.path());
        let source = gems(directory.path());
        let done = s2i_build(&overcoat, &source, &image, "app", &flags);
        assert_ne!(done.code, Some(0), "{}", builder.user);
        assert!(
            done.stderr.contains("`--allowed-uids 1-`"),
            "{}",
            done.stderr
        );
        assert_eq!(overcoat.run(&["inspect", "app"]).code, Some(4));
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
    }
}
