//! Builder images with ONBUILD triggers: §2.17.

use serde_json::{Value, json};

use super::super::support::Overcoat;
use super::super::support::tiny::Tiny;
use super::{Core, refused};

/// Lists what there is, or does what it is asked.
const START: &str = "#!/bin/sh\n[ $# -eq 0 ] || exec \"$@\"\nfind . -type f | sort\n";

/// An image with these triggers and no scripts.
fn triggered(on_build: &[&'static str]) -> Tiny {
    Tiny {
        on_build: on_build.to_vec(),
        scripts: Some(Vec::new()),
        labels: vec![("vendor", "us")],
        ..Tiny::default()
    }
}

/// Cases 173, 175, 176, 209, 210, 217 and M37: triggers, then variables of the file and of `-e`, then the source's
/// `assemble`; the entry point is the source's program. A second build is no incremental one. Both users get the same image,
/// and a second build in another way, too.
#[test]
fn triggers_make_the_application() {
    let triggers = ["COPY . .", "RUN echo marked > onbuild-marker"];
    let digests = [Overcoat::new(), Overcoat::as_ordinary_user()].map(|overcoat| {
        let tiny = Tiny {
            user: "0",
            ..triggered(&triggers)
        };
        let core = Core::of(overcoat, &tiny);
        core.put_script("start.sh", START);
        core.put(".s2i/environment", "FOO=BAR\nTEST=A VALUE\n");
        core.put_script(
            ".s2i/bin/assemble",
            "echo \"$FOO, $TEST, $FLAG as $(id -u)\" > assemble-invoked\n",
        );
        core.build(&["-e", "FLAG=1", "--incremental"]).ok();
        let expected = "./.s2i/environment\n./Gemfile\n./assemble\n./assemble-invoked\n./onbuild-marker\n./start.sh\n";
        assert_eq!(core.started(), expected);
        assert_eq!(core.in_image("cat assemble-invoked"), "BAR, A VALUE, 1 as 0\n");
        let config = core.overcoat.inspect("app:1")["config"].clone();
        assert_eq!(config["Entrypoint"], json!(["./start.sh"]));
        assert!(matches!(&config["Cmd"], Value::Null) || config["Cmd"] == json!([]), "{config}");
        assert_eq!(config["OnBuild"], Value::Null, "{config}");
        assert_eq!(config["WorkingDir"], "/opt/app-root/src");
        assert_eq!(config["Labels"]["vendor"], "us");
        assert_eq!(config["Labels"]["io.openshift.s2i.build.image"], "tiny:latest");
        let variables = config["Env"].to_string();
        assert!(variables.contains("\"TEST=A VALUE\"") && variables.contains("\"FLAG=1\""), "{variables}");
        let (digest, layers) = (core.digest(), core.overcoat.layers("app:1"));
        core.build(&["-e", "FLAG=1", "--incremental"]).ok();
        assert_eq!(core.digest(), digest);
        core.put("Gemfile", "source 'y'\n");
        core.build(&["--incremental"]).ok();
        assert_eq!(core.in_image("cat onbuild-marker"), "marked\n");
        core.no_work_is_left();
        layers
    });
    assert_eq!(digests[0], digests[1]);
}

/// Case 210: without a TAG there is a name to find the image by, whatever makes it.
#[test]
fn an_image_without_a_tag_has_a_name_all_the_same() {
    for tiny in [
        Tiny::fake(),
        triggered(&["COPY . ."]),
        Tiny {
            without: vec!["tar"],
            ..Tiny::fake()
        },
    ] {
        let core = Core::new(&tiny);
        core.put_script("run", START);
        let source = core.source.to_str().unwrap();
        let done = core.overcoat.s2i(&["build", source, &core.builder]).ok();
        let words = "the image is called `localhost/s2i/source`";
        assert!(done.stderr.contains(words), "{}", done.stderr);
        core.overcoat.run(&["run", "localhost/s2i/source"]).ok();
        let labels = core.overcoat.inspect("localhost/s2i/source")["config"]["Labels"].clone();
        assert_eq!(labels["io.k8s.display-name"], Value::Null);
    }
}

/// `--check` builds the triggers' image a second time and finds it the same.
#[test]
fn triggers_make_the_same_image_in_another_way() {
    let core = Core::new(&triggered(&[
        "COPY --chown=default . .",
        "RUN touch marker",
    ]));
    core.put_script("run", START);
    let source = core.source.to_str().unwrap();
    let arguments = ["build", source, &core.builder, "app:1", "--check"];
    let done = core.overcoat.run(&arguments).ok();
    assert!(done.stderr.contains("same"), "{}", done.stderr);
    core.no_work_is_left();
}

/// The instructions that copy and those that say who does what, where.
#[test]
fn what_is_copied_has_the_owner_and_the_place_that_was_asked_for() {
    let triggers = [
        "ENV PLACE=/srv/place",
        "WORKDIR $PLACE",
        "COPY Gemfile files/",
        "COPY *.txt texts/",
        "COPY --chown=default:root deep below",
        "COPY --chown=7:8 --chmod=0600 Gemfile /srv/owned",
        "ADD [\"Gemfile\", \"with space/\"]",
        "COPY . /opt/app-root/src",
        "RUN mkdir made && echo \"$(id -u) $(pwd) $PLACE\" > made/by",
        "USER 1001",
        "WORKDIR /opt/app-root/src",
        "RUN id -u > by",
    ];
    let digests = [Overcoat::new(), Overcoat::as_ordinary_user()].map(|overcoat| {
        let tiny = Tiny {
            user: "0",
            ..triggered(&triggers)
        };
        let core = Core::of(overcoat, &tiny);
        for (path, text) in [("a.txt", "a"), ("b.txt", "b"), ("deep/er/file", "x")] {
            core.put(path, text);
        }
        core.put_script("run", START);
        core.build(&[]).ok();
        let listed = core.in_image("cd /srv; find . | sort; cat place/made/by /opt/app-root/src/by");
        let expected = ".\n./owned\n./place\n./place/below\n./place/below/er\n./place/below/er/file\n./place/files\n\
            ./place/files/Gemfile\n./place/made\n./place/made/by\n./place/texts\n./place/texts/a.txt\n./place/texts/b.txt\n\
            ./place/with space\n./place/with space/Gemfile\n0 /srv/place /srv/place\n1001\n";
        assert_eq!(listed, expected);
        let owners: Vec<String> = core
            .overcoat
            .layers("app:1")
            .iter()
            .flat_map(|layer| {
                let lines = core.overcoat.list_layer(layer);
                let lines = lines.lines().map(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    format!("{} {} {}", words[0], words[1], words[5])
                });
                lines.collect::<Vec<_>>()
            })
            .collect();
        for line in [
            "-rw-r--r-- 1001/0 srv/place/below/er/file",
            "-rw------- 7/8 srv/owned",
            "-rw-r--r-- 0/0 srv/place/files/Gemfile",
            "-rwxr-xr-x 0/0 opt/app-root/src/run",
        ] {
            assert!(owners.contains(&line.to_owned()), "expected {line} in {owners:#?}");
        }
        let config = core.overcoat.inspect("app:1")["config"].clone();
        assert_eq!((&config["User"], &config["WorkingDir"]), (&json!("1001"), &json!("/opt/app-root/src")));
        core.overcoat.layers("app:1")
    });
    assert_eq!(digests[0], digests[1]);
}

/// Cases 173 and 174, and what cannot be carried out: an error, and nothing is left.
#[test]
fn without_a_program_to_start_there_is_no_image() {
    let core = Core::new(&triggered(&["COPY . ."]));
    refused(&core.build(&[]), 1, &["no valid entry point"]);
    core.nothing_is_left();
    core.put("run", START);
    refused(&core.build(&[]), 1, &["no valid entry point"]);
    std::fs::remove_file(core.source.join("run")).unwrap();
    core.put("run/inside", "");
    refused(&core.build(&[]), 1, &["no valid entry point"]);
    for name in ["execute", "start.sh"] {
        core.put_script(name, START);
        core.build(&[]).ok();
        let entrypoint = core.overcoat.inspect("app:1")["config"]["Entrypoint"].clone();
        assert_eq!(entrypoint, json!([format!("./{name}")]));
        std::fs::remove_file(core.source.join(name)).unwrap();
    }
    for (trigger, words) in [
        ("RUN exit 9", "exit status 9"),
        ("COPY absent .", "the application has no `absent`"),
        (
            "COPY --chown=nobody-here . .",
            "no user or group `nobody-here`",
        ),
        ("FROM scratch", "`FROM scratch` cannot be carried out"),
    ] {
        let core = Core::new(&triggered(&[trigger]));
        core.put_script("run", START);
        refused(&core.build(&[]), 1, &[words]);
        core.nothing_is_left();
    }
}
