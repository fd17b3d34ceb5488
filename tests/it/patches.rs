//! The diff of `deploy --dry-run`, given to the programs that apply diffs: what comes of it is what the edit itself makes,
//! byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{Done, Overcoat};

const NEW: &str = "registry.example/team/web:2@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A Deployment of one container, with lines before and behind its image.
fn deployment(container: &str) -> String {
    format!(
        "# größe\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {container}\nspec:\n  template:\n    spec:\n      containers:\n      - name: {container}\n        image: \"registry.example/team/web:1\"  # stays\n        env:\n        - {{name: A, value: b}}\n"
    )
}

/// Each file with its text; the container of the file in line `n` is `c{n}`.
fn files() -> Vec<(&'static str, String)> {
    let of = |number: usize| deployment(&format!("c{number}"));
    vec![
        ("plain.yaml", of(0)),
        ("deep/er/crlf.yaml", of(1).replace('\n', "\r\n")),
        ("no end.yaml", of(2).trim_end().to_owned()),
        (
            "with space/of two.yaml",
            of(3).trim_end().replace('\n', "\r\n"),
        ),
        ("größe.yaml", format!("\u{feff}{}", of(4))),
        // The image is the last of the file, without an end.
        (
            "last.yaml",
            of(5)
                .split("  # stays")
                .next()
                .unwrap_or_default()
                .to_owned(),
        ),
        (
            "missing.yaml",
            of(6).replace(
                "        image: \"registry.example/team/web:1\"  # stays\n",
                "",
            ),
        ),
        // A `\r` alone ends a line in YAML, and not in a diff.
        (
            "return.yaml",
            of(7).replace("value: b", "value: \"b\r                c\""),
        ),
        ("quo\"te\\d.yaml", of(8)),
        (
            "many.yaml",
            (0..200)
                .map(|number| deployment(&format!("other-{number}")) + "---\n")
                .collect::<String>()
                + &of(9),
        ),
        (
            "one.yaml",
            "{kind: Pod, metadata: {name: w}, spec: {containers: [{name: c10, image: a:1}]}}"
                .to_owned(),
        ),
    ]
}

fn written(directory: &Path, files: &[(&str, String)]) {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn bytes(directory: &Path, files: &[(&str, String)]) -> BTreeMap<String, Vec<u8>> {
    files
        .iter()
        .map(|(name, _)| ((*name).to_owned(), fs::read(directory.join(name)).unwrap()))
        .collect()
}

fn deploy(overcoat: &Overcoat, directory: &Path, number: usize, name: &str, more: &[&str]) -> Done {
    let container = format!("c{number}");
    let mut command = overcoat.command(&["deploy", "--image", NEW, "--container", &container]);
    command
        .args(["--manifest", name])
        .args(more)
        .current_dir(directory);
    let done: Done = command.output().unwrap().into();
    done.ok()
}

#[track_caller]
fn applied(directory: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory);
    // No repository around the temporary directory counts, and no settings of a person.
    command
        .env("GIT_CEILING_DIRECTORIES", directory.parent().unwrap())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let done: Done = command.output().unwrap().into();
    assert_eq!(done.code, Some(0), "{program} {arguments:?}: {done:?}");
}

#[test]
fn git_and_patch_make_of_a_diff_what_the_edit_makes() {
    let overcoat = Overcoat::new();
    let files = files();
    let place = |name: &str| -> PathBuf {
        let directory = overcoat.path().join(name);
        fs::create_dir_all(&directory).unwrap();
        written(&directory, &files);
        directory
    };
    let edited = place("edited");
    let before = bytes(&edited, &files);
    let mut all = Vec::new();
    for (number, (name, _)) in files.iter().enumerate() {
        let done = deploy(&overcoat, &edited, number, name, &["--dry-run"]);
        assert_eq!(done.stdout.matches("\n@@ ").count(), 1, "{}", done.stdout);
        all.extend(done.stdout.as_bytes());
    }
    assert_eq!(bytes(&edited, &files), before, "a dry run changes nothing");
    for (number, (name, _)) in files.iter().enumerate() {
        deploy(&overcoat, &edited, number, name, &[]);
    }
    let expected = bytes(&edited, &files);
    for (name, text) in &expected {
        assert_ne!(text, &before[name], "{name}");
    }
    // All files by one diff.
    let by_git = place("by-git");
    fs::write(by_git.join("all.diff"), &all).unwrap();
    applied(&by_git, "git", &["apply", "--check", "all.diff"]);
    assert_eq!(bytes(&by_git, &files), before);
    applied(&by_git, "git", &["apply", "all.diff"]);
    assert_eq!(bytes(&by_git, &files), expected);
    let by_patch = place("by-patch");
    fs::write(by_patch.join("all.diff"), &all).unwrap();
    applied(&by_patch, "patch", &["-p1", "--dry-run", "-i", "all.diff"]);
    assert_eq!(bytes(&by_patch, &files), before);
    applied(&by_patch, "patch", &["-p1", "--fuzz=0", "-i", "all.diff"]);
    assert_eq!(bytes(&by_patch, &files), expected);
    // And back.
    applied(&by_git, "git", &["apply", "--reverse", "all.diff"]);
    assert_eq!(bytes(&by_git, &files), before);
}
