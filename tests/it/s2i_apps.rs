//! Applications of every kind on builder images of every kind that people have: built, started, answering; built again
//! with nothing uploaded; and with one file edited, when the application layer is uploaded and no other.
//! **Needs the network**: the recipe, and a package index.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::flask::with_builder;
use super::support::builders::{Builder, INCREMENTAL, answer, s2i_build};
use super::support::registry::Registry;
use super::support::{Overcoat, copy_of_app, free_port, get, tool, wait_for};

/// A store and a registry that several applications share.
struct Scene {
    overcoat: Overcoat,
    registry: Registry,
}

/// An application, the file that is edited, and its answer to `GET /` before.
type App = (&'static str, &'static str, &'static str);

impl Scene {
    fn new() -> Self {
        Self {
            overcoat: with_builder(Overcoat::new()),
            registry: Registry::start(),
        }
    }

    /// Everything that must hold of an application of `testdata/apps` on a builder.
    fn holds(&self, builder: Builder, (name, edited, expected): App, flags: &[&str]) {
        let directory = self.overcoat.path().join(builder.name());
        fs::create_dir_all(&directory).unwrap();
        let source = copy_of_app(name, &directory);
        self.holds_of(builder, name, &source, edited, expected, flags);
    }

    /// The same of a source. An edit says `Goodbye` instead of `Hello` where the file says that, else it adds a line.
    fn holds_of(
        &self,
        builder: Builder,
        name: &str,
        source: &Path,
        edited: &str,
        expected: &str,
        flags: &[&str],
    ) {
        let what = format!("{name} on {}", builder.name());
        let tag = format!("{}/{}/{name}:1", self.registry.host(), builder.name());
        let image = builder.image();
        let build = |more: &[&str]| {
            let all = [&["--push"], flags, more].concat();
            // Something may be there of an image that was started and killed.
            let left = self.overcoat.left_behind();
            let done = s2i_build(&self.overcoat, source, &image, &tag, &all);
            assert_eq!(done.code, Some(0), "{what}:\n{}", done.stderr);
            assert!(self.overcoat.left_behind().len() <= left.len(), "{what}");
            done.digest(&tag)
        };
        let first = build(INCREMENTAL);
        assert_eq!(answer(&self.overcoat, &tag).trim_end(), expected, "{what}");
        let before = self.overcoat.layers(&tag);

        let mark = self.registry.requests().len();
        assert_eq!(build(INCREMENTAL), first, "{what}: nothing changed");
        assert_eq!(self.uploads_since(mark), Vec::<String>::new(), "{what}");

        let path = source.join(edited);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let is_said = text.contains("Hello");
        let text = match is_said {
            true => text.replace("Hello", "Goodbye"),
            false => text + "# edited\n",
        };
        fs::write(&path, text).unwrap();
        let mark = self.registry.requests().len();
        assert_ne!(build(INCREMENTAL), first, "{what}: {edited} changed");
        let after = self.overcoat.layers(&tag);
        let new: Vec<&String> = after
            .iter()
            .filter(|layer| !before.contains(layer))
            .collect();
        assert_eq!(
            new,
            [after.last().unwrap()],
            "{what}: {before:#?} {after:#?}"
        );
        let uploads = self.uploads_since(mark);
        let is_application = |upload: &&String| upload.contains(&new[0]["sha256:".len()..]);
        assert_eq!(uploads.iter().filter(is_application).count(), 1, "{what}");
        // The other is the image's configuration.
        assert_eq!(uploads.len(), 2, "{what}: {uploads:#?}");
        let expected = match is_said {
            true => expected.replace("Hello", "Goodbye"),
            false => expected.to_owned(),
        };
        assert_eq!(answer(&self.overcoat, &tag).trim_end(), expected, "{what}");
    }

    /// The uploads of blobs that came to an end after so many requests.
    fn uploads_since(&self, mark: usize) -> Vec<String> {
        let requests = self.registry.requests();
        let is_upload =
            |request: &&String| request.starts_with("PUT ") && request.contains("/blobs/uploads/");
        requests[mark..].iter().filter(is_upload).cloned().collect()
    }
}

const FLASK_MODULE: App = ("flask-gunicorn", "app.py", "Hello from flask-gunicorn");
const SERVICE: App = (
    "daeploy-service",
    "service.py",
    "Hello from daeploy-service with six 1.17.0",
);
const HOOKS: App = (
    "hooks",
    "app.py",
    "Hello from the assemble hook and the run hook",
);
const SCRIPT: App = ("app-script", "server.py", "Hello from app.sh");

/// `APP_FILE` and `APP_SCRIPT`, hooks that call the stock scripts, a plain `app.py`: what Daeploy's users have (§5.6, §6).
#[test]
fn network_daeploys_builders_build_services() {
    let scene = Scene::new();
    scene.holds(Builder::DaeployOld, SERVICE, &[]);
    scene.holds(Builder::DaeployOld, SCRIPT, &[]);
    scene.holds(Builder::DaeployNew, SERVICE, &[]);
    scene.holds(Builder::DaeployNew, HOOKS, &[]);
}

/// `APP_MODULE` with gunicorn and a compiled wheel, Django with `collectstatic` and `migrate`, `APP_HOME`.
#[test]
fn network_the_openshift_like_builder_builds_web_applications() {
    let scene = Scene::new();
    scene.holds(Builder::Sclorg, FLASK_MODULE, &[]);
    let migration = "greetings/migrations/0001_initial.py";
    let django = ("django", migration, "Hello from django, /* collected */");
    scene.holds(Builder::Sclorg, django, &[]);
    // As upstream's own tests start images: twice as somebody unknown, once under the wrapper (§5.5). The database is new
    // each time, in the application's directory, which group 0 may write to.
    let tag = format!("{}/sclorg-like/django:1", scene.registry.host());
    let root = unpacked(scene.overcoat.path(), &tag);
    for (user, more) in [
        (100_001, &[][..]),
        (12_345, &[]),
        (100_001, &["ENABLE_INIT_WRAPPER=1"]),
    ] {
        let said = answer_as(&scene.overcoat, &tag, &root, user, more);
        assert_eq!(said.trim_end(), "Goodbye from django, /* collected */");
        let source = root.join("opt/app-root/src");
        fs::remove_file(source.join("db.sqlite3")).unwrap();
        // Where gunicorn has its control socket; the next user may not replace it.
        fs::remove_dir_all(source.join(".gunicorn")).unwrap();
    }
}

/// Poetry's and Pipenv's lock files, `setup.py`, `pyproject.toml`. The files that are edited are no part of a package: pip
/// copies those to where dependencies are.
#[test]
fn network_the_openshift_like_builder_builds_projects() {
    let scene = Scene::new();
    let apps = [
        (
            "poetry",
            "wsgi.py",
            "Hello from poetry with gunicorn 27.0.1",
        ),
        (
            "pipfile",
            "app.py",
            "Hello from pipfile with gunicorn 27.0.1",
        ),
        ("setup-py", "NOTES", "Hello from hello-project 1.2.3"),
        ("pyproject", "greeting.txt", "Hello from pyproject 1.2.3"),
    ];
    for app in apps {
        scene.holds(Builder::Sclorg, app, &[]);
    }
}

/// No label and no `tar`: `STI_SCRIPTS_PATH` alone says where the scripts are.
#[test]
fn network_the_minimal_builder_builds_without_labels_and_tar() {
    let scene = Scene::new();
    let home = ("app-home", "greeting.py", "Hello from app-home in project");
    for app in [FLASK_MODULE, HOOKS, SCRIPT, home] {
        scene.holds(Builder::Minimal, app, &[]);
    }
}

/// A C extension: the application's hook installs a compiler as root and calls the stock script.
#[test]
fn network_the_openshift_like_builder_builds_a_native_extension() {
    let scene = Scene::new();
    let overcoat = &scene.overcoat;
    let source = copy_of_app("native", overcoat.path());
    let flags = ["--assemble-user", "root"];
    let build = || {
        s2i_build(
            overcoat,
            &source,
            &Builder::Sclorg.image(),
            "native",
            &flags,
        )
    };
    let first = build().ok().digest("native");
    assert_eq!(
        answer(overcoat, "native"),
        "Hello from native: 42, cloned\n"
    );
    assert_eq!(build().ok().digest("native"), first);
    let user = overcoat.inspect("native")["config"]["User"].clone();
    assert_eq!(user, "1001", "the image's user, not the one of assemble");
}

/// Writes an application that counts its 5,000 files.
fn many_files(directory: &Path) -> PathBuf {
    let source = copy_of_app("no-requirements", directory);
    let code = fs::read_to_string(source.join("app.py")).unwrap();
    let count = "len(list(__import__('pathlib').Path('data').rglob('*.txt')))";
    let code = code.replace(
        r#"b"Hello from no-requirements\n""#,
        &format!(r#"f"Hello from {{{count}}} files\n".encode()"#),
    );
    assert!(code.contains(count));
    fs::write(source.join("app.py"), code).unwrap();
    for number in 0..5000 {
        let path = source.join(format!("data/{}/{}.txt", number / 100, number % 100));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{number}\n")).unwrap();
    }
    source
}

#[test]
fn network_an_application_of_5000_files() {
    let scene = Scene::new();
    let source = many_files(scene.overcoat.path());
    let expected = "Hello from 5000 files";
    scene.holds_of(Builder::Minimal, "many", &source, "app.py", expected, &[]);
}

/// Both of two tools that exclude each other, and nothing to move: the script's own message and status come out, and
/// nothing is left.
#[test]
fn network_what_the_openshift_like_builder_refuses() {
    let overcoat = with_builder(Overcoat::new());
    let refuse = |name: &str, files: &[(&str, &str)], status: u32, text: &str| {
        let directory = overcoat.path().join(name);
        fs::create_dir_all(directory.join("app")).unwrap();
        let source = super::tiny::application(&directory, files);
        let image = Builder::Sclorg.image();
        let done = s2i_build(&overcoat, Path::new(&source), &image, name, &[]);
        assert_ne!(done.code, Some(0), "{name}");
        let reason = format!("the `assemble` script failed with exit status {status}\n");
        for text in [text, &reason] {
            assert!(done.stderr.contains(text), "{name}:\n{}", done.stderr);
        }
        assert_eq!(overcoat.run(&["inspect", name]).code, Some(4), "{name}");
        assert_eq!(overcoat.left_behind(), Vec::<String>::new(), "{name}");
    };
    let both = "ENABLE_PIPENV=1\nENABLE_MICROPIPENV=1\n";
    let files = [(".s2i/environment", both), ("app.py", "")];
    let text = "ERROR: ENABLE_PIPENV and ENABLE_MICROPIPENV exclude each other.";
    refuse("both", &files, 3, text);
    refuse("empty", &[], 1, "cannot stat '/tmp/src/*'");
}

/// The root file system of an image in a registry, as skopeo and umoci see it.
fn unpacked(directory: &Path, tag: &str) -> PathBuf {
    let layout = directory.join("layout");
    let (from, to) = (
        format!("docker://{tag}"),
        format!("oci:{}:app", layout.display()),
    );
    let copy = ["copy", "--insecure-policy", "--src-tls-verify=false"];
    tool("skopeo", &[&copy[..], &[&from, &to]].concat());
    let bundle = directory.join("bundle");
    let image = format!("{}:app", layout.display());
    let unpack = ["unpack", "--image", &image, bundle.to_str().unwrap()];
    tool("umoci", &unpack);
    bundle.join("rootfs")
}

/// What the answer is when an engine starts the image as `user:0`, a user that has no name in it, as OpenShift does.
fn answer_as(overcoat: &Overcoat, tag: &str, root: &Path, user: u32, more: &[&str]) -> String {
    let port = free_port();
    let config = overcoat.inspect(tag)["config"].clone();
    let words = |field: &str| -> Vec<String> {
        let words = config[field].as_array().into_iter().flatten();
        words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let script = "mount --rbind /dev \"$1/dev\" && mount --rbind /proc \"$1/proc\" && cd / && \
        chroot --userspec=\"$2:0\" --groups= \"$1\" /bin/sh -c 'cd \"$0\" && exec \"$@\"' \"$3\" \"${@:4}\"; exit";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child"]);
    command.args(["bash", "-c", script, "bash"]).arg(root);
    command.arg(user.to_string());
    command.arg(config["WorkingDir"].as_str().unwrap());
    command.args(words("Entrypoint")).args(words("Cmd"));
    command.env_clear();
    let port_variable = format!("PORT={port}");
    let more = more.iter().map(ToString::to_string);
    for variable in words("Env").into_iter().chain(more).chain([port_variable]) {
        let (name, value) = variable.split_once('=').unwrap();
        command.env(name, value);
    }
    let mut child = command.spawn().unwrap();
    let body = wait_for("an answer", || get(port));
    // The shell, which stays process 1, ends with it, and everything in its pid namespace with the shell.
    child.kill().unwrap();
    child.wait().unwrap();
    body
}
