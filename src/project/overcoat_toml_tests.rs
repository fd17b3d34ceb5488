use std::time::Duration;

use super::*;
use crate::project::{OnFailure, Operation, Origin, When};

/// A project's directory with some that applications have, and its file.
fn file(text: &str) -> (tempfile::TempDir, Text) {
    let directory = tempfile::tempdir().unwrap();
    for name in ["web/src", "api", "deploy"] {
        std::fs::create_dir_all(directory.path().join(name)).unwrap();
    }
    std::fs::write(directory.path().join("deploy/web.yaml"), "").unwrap();
    let file = Text {
        path: directory.path().join("overcoat.toml"),
        text: text.to_owned(),
    };
    (directory, file)
}

const FULL: &str = r#"
project = "convoy"
default-registry = "registry.example/team/"

[labels]
"org.opencontainers.image.vendor" = "Acme"

[applications.web]
path = "./web/src"
image = "team/web"
builder = "builder:python-3.13"
strategy = "assemble"
platforms = ["linux/amd64", "linux/arm64"]
container = "web-app"
workload = "deployment/web"
environment = { PORT = "8000", EMPTY = "" }
labels = { tier = "front" }

[applications.api]
path = "api"

[environments.pp]
registry = "eu.example/pp"
namespace = "acme-pp"
context = "kind-pp"
manifests = ["deploy/web.yaml", "deploy/*.yml"]

[environments.dev]

[[hooks]]
operation = "push"
when = "before"
command = ["scan", "--all"]

[[hooks]]
operation = "deploy"
when = "failure"
command = ["tell"]
on-failure = "continue"
timeout = "1m 30s"
applications = ["web"]
environments = ["pp"]

[registry."registry.example"]
plain-http = true
"#;

#[test]
fn everything_is_read_with_its_line_and_in_the_order_of_the_file() {
    let (directory, file) = file(FULL);
    let project = read(&file).unwrap();
    let root = directory.path();
    let at = |line| file.origin(line);
    assert_eq!(project.root, root);
    assert_eq!(project.name, Some(Setting::new("convoy".to_owned(), at(2))));
    let registry = Setting::new("registry.example/team".to_owned(), at(3));
    assert_eq!(project.registry, Some(registry));
    let vendor = &project.labels["org.opencontainers.image.vendor"];
    assert_eq!((vendor.value.as_str(), &vendor.origin), ("Acme", &at(6)));

    let names = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>();
    let applications = project.applications.iter().map(|one| &one.name);
    assert_eq!(names(applications.collect()), ["web", "api"]);
    let environments = project.environments.iter().map(|one| &one.name);
    assert_eq!(names(environments.collect()), ["pp", "dev"]);

    let web = &project.applications[0];
    let path = Setting::new(root.join("web/src"), at(9));
    assert_eq!(web.path, Some(path));
    assert_eq!(web.image_name(), "team/web");
    assert_eq!(web.builder.as_ref().unwrap().value, "builder:python-3.13");
    assert_eq!(web.strategy.as_ref().unwrap().value, "assemble");
    assert_eq!(
        web.platforms.as_ref().unwrap().value,
        ["linux/amd64", "linux/arm64"]
    );
    assert_eq!(web.container.as_ref().unwrap().value, "web-app");
    assert_eq!(web.workload.as_ref().unwrap().value, "deployment/web");
    assert_eq!(web.environment["PORT"].value, "8000");
    assert_eq!(web.environment["EMPTY"].value, "");
    assert_eq!(web.labels["tier"], Setting::new("front".to_owned(), at(17)));
    assert_eq!(project.applications[1].image_name(), "api");

    let pp = &project.environments[0];
    assert_eq!(pp.registry.as_ref().unwrap().value, "eu.example/pp");
    assert_eq!(pp.namespace.as_ref().unwrap().value, "acme-pp");
    assert_eq!(pp.context.as_ref().unwrap().value, "kind-pp");
    assert_eq!(
        pp.manifests.as_ref().unwrap().value,
        [root.join("deploy/web.yaml"), root.join("deploy/*.yml")]
    );

    let [first, second] = project.hooks.as_slice() else {
        panic!("{:?}", project.hooks)
    };
    assert_eq!(
        (first.operation, first.when),
        (Operation::Push, When::Before)
    );
    assert_eq!(first.command, ["scan", "--all"]);
    assert_eq!((first.on_failure, first.timeout), (OnFailure::Fail, None));
    assert_eq!(first.origin, at(30));
    assert_eq!(
        (second.operation, second.when),
        (Operation::Deploy, When::Failure)
    );
    assert_eq!(second.on_failure, OnFailure::Continue);
    assert_eq!(second.timeout, Some(Duration::from_secs(90)));
    assert_eq!(second.applications, ["web"]);
    assert_eq!(second.environments, ["pp"]);
}

/// What is wrong, in which line, and with which words it is said.
#[test]
fn every_mistake_is_named_with_its_line() {
    for (text, line, words) in [
        ("a = = b", 1, "not TOML"),
        ("\nproject = 1\nproject = 2", 3, "not TOML"),
        ("\n\nprojekt = 'x'", 3, "did you mean `project`"),
        ("colour = 'x'", 1, "the keys here are `project`"),
        ("project = 1", 1, "expected text, found a whole number"),
        ("project = ''", 1, "is empty"),
        ("registry = 'ghcr.io/acme'", 1, "default-registry"),
        ("registry = 1", 1, "expected a table"),
        (
            "default-registry = 'https://ghcr.io'",
            1,
            "without `https://`",
        ),
        ("default-registry = 'a:b@ghcr.io/x'", 1, "overcoat login"),
        ("default-registry = 'ghcr.io/Acme'", 1, "is no registry"),
        ("default-registry = '/'", 1, "is"),
        ("applications = 1", 1, "expected a table"),
        (
            "[applications]\nweb = 'x'",
            2,
            "expected a table, found text",
        ),
        ("[applications.'a/b']", 1, "a name has"),
        (
            "[applications.web]\npfad = 'x'",
            2,
            "no key `pfad` of [applications.web]",
        ),
        (
            "[applications.web]\nimages = 'x'",
            2,
            "did you mean `image`",
        ),
        (
            "[applications.web]\npath = 'nowhere'",
            2,
            "nowhere` does not exist",
        ),
        (
            "[applications.web]\npath = 'deploy/web.yaml'",
            2,
            "is no directory",
        ),
        (
            "[applications.web]\nimage = 'web:1'",
            2,
            "no name for an image",
        ),
        (
            "[applications.web]\nimage = 'Web'",
            2,
            "no name for an image",
        ),
        ("[applications.Web]", 1, "say `image"),
        ("[applications.web]\nstrategy = 'best'", 2, "none of `auto`"),
        (
            "[applications.web]\nplatforms = 'linux/amd64'",
            2,
            "write `platforms = [\"…\"]`",
        ),
        ("[applications.web]\nplatforms = []", 2, "is empty"),
        (
            "[applications.web]\nplatforms = ['amd64']",
            2,
            "no platform",
        ),
        (
            "[applications.web]\nplatforms = ['linux/amd64', 'linux/amd64']",
            2,
            "twice",
        ),
        (
            "[applications.web]\nplatforms = [\n'linux/amd64',\n1]",
            4,
            "is not text",
        ),
        (
            "[applications.web]\nenvironment = ['A=b']",
            2,
            "expected a table",
        ),
        ("[applications.web.environment]\nA = 1", 2, "expected text"),
        (
            "[applications.web.environment]\n'A B' = 'x'",
            2,
            "name of a variable",
        ),
        (
            "[applications.web]\ncontainer = 'Web_App'",
            2,
            "cannot be a name in a cluster",
        ),
        (
            "[applications.web]\nworkload = 'job/x'",
            2,
            "no kind of workload",
        ),
        ("[labels]\n'io.overcoat.key' = 'x'", 2, "overcoat's own"),
        (
            "[applications.a.labels]\n'io.overcoat.x' = ''",
            2,
            "overcoat's own",
        ),
        (
            "[applications.a]\nimage='x'\n[applications.b]\nimage = 'x'",
            4,
            "one image, `x`",
        ),
        (
            "[applications.a]\nimage='b'\n[applications.b]",
            3,
            "one image, `b`",
        ),
        (
            "[environments.dev]\nregistri = 'x'",
            2,
            "did you mean `registry`",
        ),
        (
            "[environments.dev]\nnamespace = 'A'",
            2,
            "cannot be a name in a cluster",
        ),
        (
            "[environments.dev]\nmanifests = ['deploy/none.yaml']",
            2,
            "does not exist",
        ),
        (
            "[environments.dev]\nmanifests = ['*/web.yaml']",
            2,
            "name of a file only",
        ),
        (
            "[environments.dev]\nmanifests = ['none/*.yaml']",
            2,
            "does not exist",
        ),
        ("hooks = 1", 1, "expected a list of tables"),
        ("[hooks]\nx = 1", 1, "begin each with a line `[[hooks]]`"),
        (
            "[[hooks]]\nwhen = 'before'\ncommand = ['x']",
            1,
            "has no `operation`",
        ),
        (
            "[[hooks]]\noperation = 'push'\ncommand = ['x']",
            1,
            "has no `when`",
        ),
        (
            "[[hooks]]\noperation = 'push'\nwhen = 'before'",
            1,
            "has no `command`",
        ),
        (
            "[[hooks]]\noperation='push'\nwhen='befor'\ncommand=['x']",
            3,
            "did you mean `before`",
        ),
        (
            "[[hooks]]\noperation='fly'\nwhen='before'\ncommand=['x']",
            2,
            "`fly` is none of `build`",
        ),
        (
            "[[hooks]]\noperation='push'\nwhen='before'\ncommand=[]",
            4,
            "names no program",
        ),
        (
            "[[hooks]]\noperation='push'\nwhen='before'\ncommand='a b'",
            4,
            "[\"sh\", \"-c\", \"a b\"]",
        ),
        (
            "[[hooks]]\noperation='push'\nwhen='before'\ncommand=['']",
            4,
            "is empty",
        ),
        (
            "[[hooks]]\non_failure='x'\n",
            2,
            "did you mean `on-failure`",
        ),
        (
            "[[hooks]]\noperation='push'\nwhen='after'\ncommand=['x']\non-failure='ignore'",
            5,
            "none of `fail`",
        ),
        (
            "[[hooks]]\noperation='push'\nwhen='after'\ncommand=['x']\ntimeout='soon'",
            5,
            "write `30s`",
        ),
        (
            "[[hooks]]\noperation='push'\nwhen='after'\ncommand=['x']\ntimeout='0s'",
            5,
            "too short",
        ),
        (
            "[[hooks]]\noperation='push'\nwhen='after'\ncommand=['x']\ntimeout=30",
            5,
            "in quotes",
        ),
    ] {
        let (_directory, file) = file(text);
        let error = read(&file).expect_err(text);
        let Error::Invalid { place, .. } = &error else {
            panic!("{text}: {error:?}")
        };
        assert_eq!(place.line(), Some(line), "{text}: {error}");
        let said = format!("{error} {}", error.hints().join(" "));
        assert!(said.contains(words), "{text}: {said}");
        assert!(!said.contains("a:b@"), "{said}");
    }
}

#[test]
fn an_empty_file_is_a_project_without_anything() {
    let (directory, file) = file("# nothing\n");
    let expected = Project {
        root: directory.path().to_owned(),
        file: Some(directory.path().join("overcoat.toml")),
        ..Project::default()
    };
    assert_eq!(read(&file), Ok(expected));
}

#[test]
fn paths_lose_what_says_nothing_but_not_the_parent_of_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::os::unix::fs::symlink(root.join("a/b"), root.join("link")).unwrap();
    assert_eq!(absolute(root, "."), root);
    assert_eq!(absolute(root, "./a/../a/b/"), root.join("a/b"));
    assert_eq!(absolute(root, "link/../b"), root.join("link/../b"));
    assert_eq!(absolute(root, "/x"), Path::new("/x"));
    assert_eq!(Origin::Default.line(), None);
}
