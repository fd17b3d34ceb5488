use std::os::unix::fs::symlink;

use super::*;

/// A directory with files; a path that ends in `/` is a directory.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn file(path: &str, mode: u32) -> ScaffoldFile {
    ScaffoldFile {
        path: path.to_owned(),
        mode,
        text: format!("{path}\n"),
    }
}

#[test]
fn what_is_there_stays_and_the_rest_is_written() {
    let directory = directory(&[("b/two", "mine\n"), ("d", "a file\n")]);
    let files = [
        file("a", 0o644),
        file("b/two", 0o644),
        file("b/c/three", 0o755),
        file("d/four", 0o644),
    ];
    let outcomes = write(&files, directory.path()).unwrap();
    let [
        (_, Outcome::Written),
        (path, Outcome::Exists),
        (_, Outcome::Written),
        (_, Outcome::Failed(error)),
    ] = &outcomes[..]
    else {
        panic!("{outcomes:?}");
    };
    assert_eq!(path, "b/two");
    assert!(
        error
            .to_string()
            .ends_with("it is there and is no directory"),
        "{error}"
    );
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(
        (read("b/two"), read("b/c/three")),
        ("mine\n".to_owned(), "b/c/three\n".to_owned())
    );
    let mode = fs::metadata(directory.path().join("b/c/three"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn links_lead_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    let inside = tempfile::tempdir().unwrap();
    symlink(outside.path(), inside.path().join("directory")).unwrap();
    symlink(outside.path().join("new"), inside.path().join("file")).unwrap();
    let files = [file("directory/a", 0o644), file("file", 0o644)];
    let outcomes = write(&files, inside.path()).unwrap();
    assert!(
        matches!(
            outcomes[..],
            [(_, Outcome::Failed(_)), (_, Outcome::Exists)]
        ),
        "{outcomes:?}"
    );
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// The variables that are advised for an application.
fn variables(files: &[(&str, &str)]) -> Vec<String> {
    let directory = directory(files);
    let advice = application::advise(directory.path(), false).unwrap();
    let lines = advice[0].file.text.lines();
    lines
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn how_an_application_is_started_is_found_by_looking() {
    const GUNICORN: (&str, &str) = ("requirements.txt", "flask\ngunicorn>=20 # server\n");
    let flask = ("app.py", "from flask import Flask\napp = Flask(__name__)\n");
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let rows: [Row<'_>; 23] = [
        (&[], &[]),
        (&[("app.py", "")], &["APP_FILE=app.py"]),
        (&[flask], &["APP_FILE=app.py"]),
        (&[flask, GUNICORN], &["APP_MODULE=app:app"]),
        (
            &[
                flask,
                ("requirements.txt", "gunicorn-x\n#gunicorn\nxgunicorn\n"),
            ],
            &["APP_FILE=app.py"],
        ),
        (&[("app.py", ""), GUNICORN], &["APP_FILE=app.py"]),
        (
            &[
                flask,
                (
                    "wsgi.py",
                    "from app import app as application\napplication = app\n",
                ),
                GUNICORN,
            ],
            &["APP_MODULE=wsgi:application"],
        ),
        (
            &[("app.py", "def create_app():\n"), GUNICORN],
            &["APP_MODULE=app:create_app()"],
        ),
        (
            &[
                ("main.py", "def application(environ, start_response):\n"),
                GUNICORN,
            ],
            &["APP_MODULE=main:application"],
        ),
        (
            &[
                flask,
                (
                    "pyproject.toml",
                    "dependencies = [\"flask\", \"gunicorn\"]\n",
                ),
            ],
            &["APP_MODULE=app:app"],
        ),
        (
            &[flask, ("Pipfile", "[packages]\ngunicorn = \"*\"\n")],
            &["APP_MODULE=app:app"],
        ),
        (
            &[("gunicorn.conf.py", "wsgi_app = 'x:y'\n"), flask, GUNICORN],
            &[],
        ),
        (
            &[
                ("manage.py", ""),
                ("site/wsgi.py", ""),
                ("site/settings.py", ""),
            ],
            &[],
        ),
        (
            &[("manage.py", ""), ("site/wsgi.py", ""), GUNICORN],
            &["APP_MODULE=site.wsgi:application"],
        ),
        (&[("app.sh", ""), ("app.py", "")], &["APP_SCRIPT=app.sh"]),
        (
            &[("service.py", ""), ("other.py", "")],
            &["APP_FILE=service.py"],
        ),
        (&[("only.py", ""), ("setup.py", "")], &["APP_FILE=only.py"]),
        (&[("only.py", ""), ("setup.py", ""), GUNICORN], &[]),
        (&[("one.py", ""), ("two.py", "")], &[]),
        (
            &[
                ("pkg/__init__.py", ""),
                ("pkg/__main__.py", "from . import x\n"),
            ],
            &["APP_FILE=pkg/__main__.py"],
        ),
        (
            &[("src/pkg/__main__.py", ""), ("one.py", ""), ("two.py", "")],
            &["APP_FILE=src/pkg/__main__.py"],
        ),
        (
            &[("app.py", ""), ("poetry.lock", "")],
            &["APP_FILE=app.py", "ENABLE_MICROPIPENV=1"],
        ),
        (
            &[
                ("app.py", ""),
                ("Pipfile.lock", ""),
                ("requirements.txt", ""),
            ],
            &["APP_FILE=app.py"],
        ),
    ];
    for (files, expected) in rows {
        assert_eq!(variables(files), expected, "{files:?}");
    }
}

#[test]
fn the_reason_is_told_with_the_file_and_in_it() {
    let directory = directory(&[("main.py", "")]);
    let advice = application::advise(directory.path(), true).unwrap();
    assert_eq!(
        advice[0].why,
        "APP_FILE=main.py, because `main.py` is there"
    );
    assert!(
        advice[0]
            .file
            .text
            .contains("\n# `main.py` is there.\nAPP_FILE=main.py\n")
    );
    let paths: Vec<_> = advice
        .iter()
        .map(|advice| (&advice.file.path[..], advice.file.mode))
        .collect();
    let expected = [
        (".s2i/environment", 0o644),
        (".s2iignore", 0o644),
        (".s2i/bin/assemble", 0o755),
        (".s2i/bin/run", 0o755),
    ];
    assert_eq!(paths, expected);
    for hook in &advice[2..] {
        assert!(
            hook.file
                .text
                .contains("\"${STI_SCRIPTS_PATH:-/usr/libexec/s2i}/"),
            "{hook:?}"
        );
    }
}

/// `**` does not exist in these patterns, and nothing that S2I needs may go.
#[test]
fn ignored_is_what_the_patterns_of_s2i_can_say() {
    let directory = directory(&[]);
    let advice = application::advise(directory.path(), false).unwrap();
    let patterns: Vec<&str> = advice[1]
        .file
        .text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    assert!(patterns.len() > 20);
    for pattern in patterns {
        assert!(
            !pattern.contains("**") && !pattern.contains(".."),
            "{pattern}"
        );
        assert!(
            !pattern.starts_with(['/', '!']) && pattern.trim() == pattern,
            "{pattern}"
        );
        for needed in [".s2i", ".s2iignore", "*", ".*"] {
            assert_ne!(pattern, needed);
        }
    }
}
