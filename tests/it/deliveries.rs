//! Builds and pushes of a project: two operations, each with its record, and what is told of them when one fails.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::copy::skopeo_raw;
use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, wait_for};
use super::tiny::shared;

/// A project whose applications `web` and `api` go to the environment `dev`; `more` is the rest of its file.
struct Project {
    overcoat: Overcoat,
    directory: tempfile::TempDir,
}

impl Project {
    fn new(registry: &str, more: &str) -> Self {
        let directory = shared();
        let builder = Tiny::default().write(directory.path());
        let mut text = format!("[environments.dev]\nregistry = \"{registry}\"\n{more}\n");
        for name in ["web", "api"] {
            let source = directory.path().join(name);
            fs::create_dir(&source).unwrap();
            fs::write(source.join("app.py"), format!("print({name:?})\n")).unwrap();
            text += &format!("[applications.{name}]\npath = \"{name}\"\nbuilder = \"{builder}\"\n");
        }
        fs::write(directory.path().join("overcoat.toml"), text).unwrap();
        Self {
            overcoat: Overcoat::new(),
            directory,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.overcoat.command(words);
        command.current_dir(self.path());
        for variable in ["GITHUB_ACTIONS", "GITLAB_CI", "OVERCOAT_ENVIRONMENT"] {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, words: &[&str]) -> Done {
        self.command(words).output().unwrap().into()
    }

    /// `build --push --environment dev` with these words.
    fn push(&self, words: &[&str]) -> Done {
        self.run(&[&["build", "--push", "--environment", "dev"], words].concat())
    }

    fn records(&self) -> Vec<Value> {
        let text = self.run(&["history", "--json", "--asc"]).ok().stdout;
        serde_json::from_str(&text).unwrap()
    }

    /// What happened to an application: operations with their states, the oldest first.
    fn states(&self, application: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let records = self.records().into_iter();
        records
            .filter(|record| record["application"] == application)
            .map(|record| (text(&record["operation"]), text(&record["state"])))
            .collect()
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path().join(name)).ok()
    }

    fn tags(&self) -> Vec<String> {
        let results: Value =
            serde_json::from_str(&self.read("build_result.json").unwrap()).unwrap();
        let builds = results["builds"].as_array().unwrap().iter();
        builds
            .map(|build| build["tag"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// A hook that is a line of shell.
fn hook(operation: &str, when: &str, line: &str) -> String {
    format!(
        "[[hooks]]\noperation = \"{operation}\"\nwhen = \"{when}\"\ncommand = [\"sh\", \"-c\", '''{line}''']\n"
    )
}

fn state(operation: &str, state: &str) -> (String, String) {
    (operation.to_owned(), state.to_owned())
}

/// A port of this machine where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_push_that_fails_is_no_build_that_failed() {
    let marks = hook("build", "failure", "touch build-failed");
    let project = Project::new(&nobody(), &marks);
    let both = [state("build", "success"), state("push", "error")];
    let done = project.push(&["--all", "--digest-file", "digest"]);
    // Two images have no one digest.
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    for words in [&["--all"][..], &["web"], &["-q", "web"]] {
        let done = project.push(words);
        assert_eq!(done.code, Some(30), "{}", done.stderr);
        assert_eq!(done.stdout, "", "{words:?}");
        let found = project.states("web");
        assert_eq!(found[found.len() - 2..], both, "{words:?}");
        assert_eq!(project.read("build_result.json"), None);
        if words == ["--all"] {
            assert_eq!(project.states("api"), both);
            let said = "could not be pushed; 0 of 2 are";
            assert!(done.stderr.contains(said), "{}", done.stderr);
        }
    }
    assert_eq!(project.read("build-failed"), None);
    let records = project.records();
    let push = records.last().unwrap();
    let build = &records[records.len() - 2];
    assert_eq!(push["links"]["build"], build["id"], "{push}");
    assert_eq!(push["digest"], build["digest"]);
}

#[test]
fn what_a_sandbox_built_is_pushed_once_and_after_the_hooks_before_it() {
    let registry = Registry::start();
    let script = "#!/bin/sh\ncp -R /tmp/src/. /opt/app-root/src/\n";
    let more = format!(
        "{}{}",
        hook("push", "before", "touch asked; exit 4"),
        hook("push", "failure", "touch push-failed")
    );
    let mut project = Project::new(registry.host(), &more);
    // Whoever is not root needs a user namespace for a script: another process builds then.
    project.overcoat = Overcoat::as_ordinary_user();
    let bin = project.path().join("web/.s2i/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("assemble"), script).unwrap();
    fs::set_permissions(bin.join("assemble"), fs::Permissions::from_mode(0o755)).unwrap();
    let own = Command::new("chown")
        .args(["-R", super::support::ORDINARY_USER])
        .arg(project.path())
        .status();
    assert!(own.unwrap().success());
    let done = project.push(&["web"]);
    assert_eq!(done.code, Some(95), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    assert!(project.read("asked").is_some() && project.read("push-failed").is_some());
    let tags = project.run(&["tags", &format!("{}/web", registry.host())]);
    assert_ne!(tags.code, Some(0), "nothing was pushed: {}", tags.stdout);

    let text = project.read("overcoat.toml").unwrap();
    let text = text.replace("touch asked; exit 4", "true");
    fs::write(project.path().join("overcoat.toml"), text).unwrap();
    for words in [
        &["web"][..],
        &["--application", "web", "--application", "api"],
    ] {
        let done = project.push(words).ok();
        let line = format!("{}/web:", registry.host());
        assert_eq!(done.stdout.matches(&line).count(), 2, "{}", done.stdout);
        let found = project.states("web");
        let both = [state("build", "success"), state("push", "success")];
        assert_eq!(found[found.len() - 2..], both, "{words:?}");
        assert!(project.tags().iter().all(|tag| tag.contains("@sha256:")));
    }
}

/// A registry that has nothing, and says nothing when it is to take something.
fn silent_registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut request) {
                    let begins = |word: &[u8]| request[..length].starts_with(word);
                    // Whoever begins with TLS is told that it is not spoken here.
                    let is_http = [&b"GET"[..], b"HEAD", b"POST", b"PUT"]
                        .map(begins)
                        .contains(&true);
                    let body = "{\"errors\":[]}";
                    let answer = format!(
                        "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let is_told = !begins(b"GET") || stream.write_all(answer.as_bytes()).is_ok();
                    if !is_http || !is_told {
                        return;
                    }
                }
            });
        }
    });
    host
}

#[test]
fn a_push_that_is_killed_is_interrupted_and_its_build_is_not() {
    let project = Project::new(&silent_registry(), "");
    let mut command = project.command(&["build", "--push", "--environment", "dev", "web"]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_for("the push", || {
        let records = project.records();
        let mut records = records.iter();
        records
            .find(|record| record["operation"] == "push")
            .map(drop)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let both = [state("build", "success"), state("push", "interrupted")];
    assert_eq!(project.states("web"), both);
}

#[test]
fn hooks_after_a_push_read_its_results_which_stay_when_they_fail() {
    let registry = Registry::start();
    let line = "cp $OVERCOAT_RESULT_FILE seen-$OVERCOAT_APPLICATION; exit 3";
    let early = hook(
        "build",
        "after",
        "echo \"${OVERCOAT_RESULT_FILE-none}\" > early",
    );
    let more = format!("{early}{}", hook("push", "after", line));
    let project = Project::new(registry.host(), &more);
    let done = project.push(&["web", "--digest-file", "digest"]);
    assert_eq!(done.code, Some(95), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    let tags = project.tags();
    let digest = project.read("digest").unwrap();
    assert!(
        tags[0].ends_with(&format!("@{digest}")),
        "{tags:?} {digest}"
    );
    assert_eq!(project.read("seen-web"), project.read("build_result.json"));
    // Nothing was pushed yet when it ran.
    assert_eq!(project.read("early").unwrap(), "none\n");
    assert_eq!(
        project.states("web"),
        [state("build", "success"), state("push", "success")]
    );

    let done = project.push(&["--all"]);
    assert_eq!(done.code, Some(95), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    assert_eq!(project.tags()[0], tags[0]);
    let seen = project.read("seen-api").unwrap();
    assert!(seen.contains(&project.tags()[1]), "{seen}");

    // Without a push they are there for hooks after the build.
    project.run(&["build", "web"]).ok();
    let early = project.read("early").unwrap();
    assert!(early.ends_with("/build_result.json\n"), "{early}");
}

#[test]
fn quiet_is_one_line_for_an_application() {
    let registry = Registry::start();
    let project = Project::new(registry.host(), "");
    let done = project.push(&["-q", "api"]).ok();
    assert_eq!(done.stderr, "");
    assert_eq!(done.stdout, format!("{}\n", project.tags()[0]));
    let done = project.push(&["api"]).ok();
    assert_eq!(done.stdout.lines().count(), 2, "{}", done.stdout);
    let done = project.push(&["-q", "--all"]).ok();
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines, project.tags());
}

#[test]
fn labels_that_a_person_gives_are_annotations_and_in_the_record() {
    let registry = Registry::start();
    let project = Project::new(
        registry.host(),
        "[labels]\nvendor = \"Acme\"\n\"org.opencontainers.image.base.name\" = \"elsewhere\"\n",
    );
    project.push(&["web", "--label", "team=x"]).ok();
    let image = project.tags()[0].clone();
    let name = image.split('@').next().unwrap();
    let manifest: Value = serde_json::from_str(&skopeo_raw(&format!("docker://{name}"))).unwrap();
    let annotations: BTreeMap<String, String> =
        serde_json::from_value(manifest["annotations"].clone()).unwrap();
    let keys: Vec<&str> = annotations.keys().map(String::as_str).collect();
    // Labels that every build has are no annotations.
    assert_eq!(
        keys,
        [
            "org.opencontainers.image.base.digest",
            "org.opencontainers.image.base.name",
            "team",
            "vendor"
        ]
    );
    assert_eq!(
        (&*annotations["team"], &*annotations["vendor"]),
        ("x", "Acme")
    );
    // Where it comes from is what it was built on.
    assert_ne!(
        annotations["org.opencontainers.image.base.name"],
        "elsewhere"
    );
    for record in project.records() {
        assert_eq!(record["labels"]["team"], "x", "{record}");
        assert_eq!(record["labels"]["vendor"], "Acme");
    }
    let refused = project.push(&["web", "--label", "io.overcoat.z=1"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("overcoat's own"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_is_promoted_is_there_for_hooks_after_it() {
    let [dev, prod] = [Registry::start(), Registry::start()];
    let more = format!(
        "[environments.prod]\nregistry = \"{}\"\n{}",
        prod.host(),
        hook("promote", "after", "cp $OVERCOAT_RESULT_FILE seen; exit 3")
    );
    let project = Project::new(dev.host(), &more);
    project.push(&["--all"]).ok();
    let words = [
        "promote",
        "--source",
        "dev",
        "--destination",
        "prod",
        "--result-out",
        "hop.json",
    ];
    let done = project.run(&words);
    assert_eq!(done.code, Some(95), "{}", done.stderr);
    let hop = project.read("hop.json").unwrap();
    assert!(hop.contains(&format!("{}/web:", prod.host())), "{hop}");
    assert_eq!(project.read("seen").unwrap(), hop);
}

#[test]
fn a_result_without_a_tag_is_not_promoted() {
    let project = Project::new(
        "127.0.0.1:1/dev",
        "[environments.prod]\nregistry = \"127.0.0.1:1/prod\"\n",
    );
    for tag in ["127.0.0.1:1/dev/app", "app"] {
        let results = json!({ "builds": [tag] });
        fs::write(
            project.path().join("build_result.json"),
            results.to_string(),
        )
        .unwrap();
        let done = project.run(&["promote", "--source", "dev", "--destination", "prod"]);
        assert_eq!(done.code, Some(82), "{tag}: {}", done.stderr);
        assert!(done.stderr.contains("tag"), "{}", done.stderr);
    }
}

#[test]
fn gitlab_says_where_images_go_and_what_they_are_called() {
    let project = Project::new("127.0.0.1:1", "");
    let explain = |variables: &[(&str, &str)]| {
        let mut command = project.command(&["config", "explain", "default-registry"]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        Done::from(output).ok().stdout
    };
    let image = ("CI_REGISTRY_IMAGE", "registry.example/team/shop");
    let there = explain(&[("GITLAB_CI", "true"), image]);
    assert!(
        there.contains("registry.example/team/shop  $CI_REGISTRY_IMAGE"),
        "{there}"
    );
    // It is there in every job: what anybody says is stronger, and elsewhere it means nothing.
    assert!(explain(&[image]).contains("localhost:5001"));
    let said = [
        ("GITLAB_CI", "true"),
        image,
        ("SKAFFOLD_DEFAULT_REPO", "other.example"),
    ];
    assert!(explain(&said).contains("other.example"));

    let mut command = project.command(&["build", "web", "--tag-from", "ci"]);
    let command = command
        .env_remove("GITHUB_REF")
        .env("GITLAB_CI", "true")
        .env("CI_REGISTRY_IMAGE", image.1)
        .env("CI_COMMIT_SHA", "0123456789abcdef0123456789abcdef01234567")
        .env("CI_COMMIT_SHORT_SHA", "01234567");
    let done = Done::from(command.output().unwrap()).ok();
    done.digest("registry.example/team/shop/web:01234567");
}

#[test]
fn a_docker_that_does_not_answer_skaffold_is_explained() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = super::tiny::application(directory.path(), &[("app.py", "1")]);
    let bin = directory.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let docker = bin.join("docker");
    fs::write(
        &docker,
        "#!/bin/sh\ncat > /dev/null\necho Cannot connect to the Docker daemon >&2\nexit 1\n",
    )
    .unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let overcoat = Overcoat::new();
    let mut command = overcoat.command(&["build", "--build-image", &builder]);
    command
        .env("PATH", format!("{}:{path}", bin.display()))
        .env_remove("DOCKER_HOST")
        .env("IMAGE", "reg.example/app:v1")
        .env("PUSH_IMAGE", "false")
        .env("BUILD_CONTEXT", &source)
        .env("PLATFORMS", "linux/amd64");
    let done = Done::from(command.output().unwrap());
    assert_eq!(done.code, Some(60), "{}", done.stderr);
    assert!(
        done.stderr.contains("build.local.push: true"),
        "{}",
        done.stderr
    );
    let received = format!(
        "IMAGE=reg.example/app:v1 PUSH_IMAGE=false BUILD_CONTEXT={source} PLATFORMS=linux/amd64"
    );
    assert!(done.stderr.contains(&received), "{}", done.stderr);
}

#[test]
fn a_bill_of_materials_is_there_before_the_hooks_and_before_what_pipelines_read() {
    let registry = Registry::start();
    let more = hook("push", "after", "test -s bill.json && exit 3");
    let project = Project::new(registry.host(), &more);
    let words = ["web", "--digest-file", "digest"];
    let done = project.push(&[&words[..], &["--sbom", "bill.json"]].concat());
    // The hook has found the file, and failed as it should.
    assert_eq!(done.code, Some(95), "{}", done.stderr);
    assert!(
        done.stderr.contains("ended with status 3"),
        "{}",
        done.stderr
    );
    assert!(project.read("digest").is_some());
    assert!(project.read("bill.json").unwrap().contains("CycloneDX"));
    // One that cannot be written: no pipeline is told of success.
    let done = project.push(&[&words[..], &["--sbom", "/dev/full"]].concat());
    assert_ne!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(project.read("digest"), None);
}

#[test]
fn a_command_that_begins_nothing_leaves_earlier_results() {
    let registry = Registry::start();
    let project = Project::new(registry.host(), "");
    project.push(&["--all"]).ok();
    let before = project.read("build_result.json");
    assert!(before.is_some());
    let done = project.run(&["build", "--all", "--attach-sbom"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert_eq!(project.read("build_result.json"), before);
}

#[test]
fn what_op_has_started_ends_with_it() {
    let registry = Registry::start();
    let more = hook("build", "before", "echo $PPID > started; exec sleep 1000");
    let project = Project::new(registry.host(), &more);
    let mut command = project
        .overcoat
        .called("op", &["build", "--push", "--repo", registry.host()]);
    let mut child = command.current_dir(project.path()).spawn().unwrap();
    let pid = wait_for("the hook", || {
        project.read("started").filter(|text| text.ends_with('\n'))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let process = Path::new("/proc").join(pid.trim());
    wait_for("the end of what it started", || {
        (!process.exists()).then_some(())
    });
}
