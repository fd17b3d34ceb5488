//! What a build by s2i's contract does, end to end: the program called as `s2i` on the fake builder (`s2i-compat.md`
//! §4.1) and its like.

mod dockerfile;
mod engine;
mod incremental;
mod metadata;
mod onbuild;
mod runtime;
mod scripts;
mod sources;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, tool};
use super::tiny::shared;

/// A builder image, an application with a `Gemfile`, and a store.
struct Core {
    directory: tempfile::TempDir,
    builder: String,
    source: PathBuf,
    overcoat: Overcoat,
}

impl Core {
    fn new(tiny: &Tiny) -> Self {
        Self::of(Overcoat::new(), tiny)
    }

    fn of(overcoat: Overcoat, tiny: &Tiny) -> Self {
        let directory = shared();
        let builder = tiny.write(directory.path());
        let core = Self {
            source: directory.path().join("source"),
            directory,
            builder,
            overcoat,
        };
        core.put("Gemfile", "source 'x'\n");
        core
    }

    /// Writes a file of the application.
    fn put(&self, path: &str, text: &str) {
        self.put_as(path, text, 0o644);
    }

    /// Writes a program of the application.
    fn put_script(&self, path: &str, text: &str) {
        self.put_as(path, text, 0o755);
    }

    fn put_as(&self, path: &str, text: &str, mode: u32) {
        let path = self.source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Another image beside the builder.
    fn image(&self, name: &str, tiny: &Tiny) -> String {
        let directory = self.path(name);
        fs::create_dir_all(&directory).unwrap();
        tiny.write(&directory)
    }

    /// `s2i build SOURCE BUILDER app:1 FLAGS`.
    fn build(&self, flags: &[&str]) -> Done {
        self.build_as("app:1", flags)
    }

    fn build_as(&self, tag: &str, flags: &[&str]) -> Done {
        let source = self.source.to_str().unwrap();
        let arguments = ["build", source, &self.builder, tag];
        self.overcoat.s2i(&[&arguments, flags].concat())
    }

    /// What a command prints in the image.
    #[track_caller]
    fn in_image(&self, script: &str) -> String {
        let done = self
            .overcoat
            .run(&["run", "app:1", "--", "/bin/sh", "-c", script]);
        done.ok().stdout
    }

    /// What the image's own command prints.
    #[track_caller]
    fn started(&self) -> String {
        self.overcoat.run(&["run", "app:1"]).ok().stdout
    }

    fn digest(&self) -> String {
        let inspected = self.overcoat.inspect("app:1");
        inspected["digest"].as_str().unwrap().to_owned()
    }

    /// A build that fails leaves no image, no directory of work in progress, and no mount.
    #[track_caller]
    fn nothing_is_left(&self) {
        let images = self.overcoat.run(&["images", "--format", "json"]);
        assert_eq!(images.ok().stdout, "[]\n");
        self.no_work_is_left();
    }

    #[track_caller]
    fn no_work_is_left(&self) {
        assert_eq!(self.overcoat.left_behind(), Vec::<String>::new());
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let own = self.overcoat.path().to_str().unwrap();
        assert!(!mounts.contains(own), "{mounts}");
    }

    /// Makes a git repository of the source with one commit.
    fn commit(&self, message: &str) {
        if !self.source.join(".git").exists() {
            self.git(&["init", "--quiet", "--initial-branch=main"]);
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    fn git(&self, arguments: &[&str]) -> String {
        let source = self.source.to_str().unwrap();
        let who = ["-c", "user.name=A U Thor", "-c", "user.email=a@example.com"];
        tool("git", &[&["-C", source], &who[..], arguments].concat())
    }
}

/// Refused by `s2i` with this status, and with lines that begin with `ERROR: `.
#[track_caller]
fn refused(done: &Done, code: i32, words: &[&str]) {
    assert_eq!(done.code, Some(code), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains("\nERROR: "), "{}", done.stderr);
    for word in words {
        assert!(
            done.stderr.contains(word),
            "expected {word:?} in:\n{}",
            done.stderr
        );
    }
}

/// The lines of stderr that begin with `WARNING: `.
fn warnings(done: &Done) -> Vec<&str> {
    let lines = done.stderr.lines();
    lines.filter(|line| line.starts_with("WARNING: ")).collect()
}

/// With a directory of its own for temporary files.
fn with_temporary(mut command: Command, directory: &std::path::Path) -> Command {
    fs::create_dir_all(directory).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
    command.env("TMPDIR", directory);
    command
}
