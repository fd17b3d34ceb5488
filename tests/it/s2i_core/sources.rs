//! Where applications come from, and what is left afterwards: §2.2, §2.3, §2.22, §2.23.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::super::support::tiny::{Tiny, fake_script};
use super::super::support::{Done, Overcoat, Running, tool, wait_for};
use super::{Core, refused, warnings, with_temporary};

impl Core {
    /// `s2i build` of another source, with a directory of its own for temporary files, which must be empty afterwards.
    fn build_of(&self, source: &str, flags: &[&str]) -> Done {
        let arguments = [&["build", source, &self.builder, "app:1"], flags].concat();
        let temporary = self.path("temporary");
        let mut command = with_temporary(self.overcoat.called("s2i", &arguments), &temporary);
        let done = command.output().unwrap().into();
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{done:#?}");
        done
    }

    fn gemfile(&self) -> String {
        self.in_image("cat /sti-fake/src/Gemfile")
    }

    fn label(&self, name: &str) -> String {
        let labels = self.overcoat.inspect("app:1")["config"]["Labels"].clone();
        let label = &labels[format!("io.openshift.s2i.build.{name}")];
        label.as_str().unwrap_or_default().to_owned()
    }
}

/// A repository with a branch and a tag, on `main`.
fn repository(overcoat: Overcoat) -> Core {
    let core = Core::of(overcoat, &Tiny::fake());
    core.put("Gemfile", "main\n");
    core.put("web/Gemfile", "web\n");
    core.commit("first");
    core.git(&["tag", "v1"]);
    core.git(&["switch", "--quiet", "--create", "branch"]);
    core.put("Gemfile", "branch\n");
    core.commit("second");
    core.git(&["switch", "--quiet", "main"]);
    core
}

/// Cases 48, 221, M9 and M10: branches and tags by the fragment and by `--ref`, which is stronger; what is known of the
/// commit is in labels.
#[test]
fn a_branch_is_chosen_by_a_fragment_or_a_flag() {
    let core = repository(Overcoat::new());
    let source = core.source.to_str().unwrap();
    let url = format!("file://{source}");
    for (source, flags, expected, reference) in [
        (source.to_owned(), &[][..], "main\n", "main"),
        (url.clone(), &[], "main\n", "main"),
        (format!("{url}#branch"), &[], "branch\n", "branch"),
        (format!("{source}#branch"), &[], "branch\n", "branch"),
        (format!("{url}#branch"), &["-r", "v1"], "main\n", ""),
        (url.clone(), &["--ref=branch"], "branch\n", "branch"),
        (url.clone(), &["--context-dir", "web"], "web\n", "main"),
    ] {
        core.build_of(&source, flags).ok();
        assert_eq!(core.gemfile(), expected, "{source} {flags:?}");
        let seen = core.label("commit.ref");
        assert!(
            reference.is_empty() || seen == reference,
            "{source}: {seen}"
        );
        assert_eq!(core.label("commit.author"), "A U Thor <a@example.com>");
        assert!(
            core.label("source-location")
                .ends_with(&core.source.display().to_string())
        );
    }
    assert_eq!(core.label("source-context-dir"), "web");
    assert_eq!(core.label("commit.message"), "first");
    let head = tool("git", &["-C", source, "rev-parse", "main"]);
    assert_eq!(core.label("commit.id"), head.trim());
    assert!(!core.started().contains(".git/"));
}

/// Cases 221 and 223: a directory by every spelling.
#[test]
fn a_directory_is_built_by_every_spelling_of_its_path() {
    let core = Core::new(&Tiny::fake());
    let absolute = core.source.to_str().unwrap();
    core.build_of(absolute, &[]).ok();
    core.build_of(&format!("file://{absolute}"), &[]).ok();
    let arguments = ["build", "source", &core.builder, "app:1", "--loglevel=5"];
    let mut command = core.overcoat.called("s2i", &arguments);
    Done::from(command.current_dir(core.directory.path()).output().unwrap()).ok();
    assert_eq!(core.label("source-location"), "source");
    assert_eq!(core.label("commit.id"), "");
}

/// Cases M11 to M14.
#[test]
fn what_is_not_committed_is_left_out_with_a_word_unless_it_is_copied() {
    let core = repository(Overcoat::new());
    let source = core.source.to_str().unwrap();
    core.put("Gemfile", "edited\n");
    let done = core.build_of(source, &[]).ok();
    assert_eq!(core.gemfile(), "main\n");
    let told = warnings(&done);
    assert!(told.len() == 2 && told[1].contains("--copy"), "{told:?}");
    let done = core.build_of(source, &["-c"]).ok();
    assert_eq!(core.gemfile(), "edited\n");
    assert_eq!(warnings(&done), Vec::<&str>::new());
    let missing = core.path("missing");
    refused(
        &core.build_of(missing.to_str().unwrap(), &[]),
        1,
        &["missing"],
    );
    let empty = core.path("empty");
    tool("git", &["init", "--quiet", empty.to_str().unwrap()]);
    refused(
        &core.build_of(empty.to_str().unwrap(), &[]),
        16,
        &["commit"],
    );
}

/// What is said of a source is said once, to every user and on every level.
#[test]
fn a_warning_is_said_once() {
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        let core = Core::of(overcoat, &Tiny::fake_without_scripts());
        core.put(".sti/bin/assemble", &fake_script("assemble"));
        core.put(".s2i/bin/run", &fake_script("run"));
        let source = core.source.to_str().unwrap();
        let done = core.build_of(source, &["--loglevel=2"]).ok();
        let said = done.stderr.matches("`.sti/bin/assemble`").count();
        assert_eq!(said, 1, "{}", done.stderr);
    }
}

/// Case M15: what a URL holds in secret is in no label and in no message.
#[test]
fn credentials_of_a_url_are_shown_nowhere() {
    let core = Core::new(&Tiny::fake());
    let port = super::super::support::free_port();
    let url = format!("http://me:hunter2@127.0.0.1:{port}/app.git");
    let done = core.build_of(&url, &["--loglevel=5"]);
    refused(&done, 1, &["127.0.0.1"]);
    assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
    core.nothing_is_left();
}

/// An archive on standard input, for an ordinary user, too, whose command is started twice.
#[test]
fn an_archive_on_standard_input_is_a_source() {
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        let core = Core::of(overcoat, &Tiny::fake());
        let archive = core.path("source.tar.gz");
        let (path, source) = (archive.to_str().unwrap(), core.source.to_str().unwrap());
        tool(
            "tar",
            &[
                "--create",
                "--gzip",
                "--file",
                path,
                "--directory",
                source,
                ".",
            ],
        );
        let arguments = ["build", "-", &core.builder, "app:1"];
        let mut command = core.overcoat.called("s2i", &arguments);
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child: Child = child.spawn().unwrap();
        let bytes = fs::read(&archive).unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        Done::from(child.wait_with_output().unwrap()).ok();
        assert_eq!(core.gemfile(), "source 'x'\n");
        core.no_work_is_left();
        core.build_of(path, &[]).ok();
    }
}

/// Case 224: a directory of a repository, incrementally, and once more from what the image says, under another name.
#[test]
fn an_image_of_a_context_directory_is_built_again_from_its_labels() {
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        let core = repository(overcoat);
        let registry = super::super::support::registry::Registry::start();
        let builder = format!("{}/fake:1", registry.host());
        Overcoat::new().run(&["copy", &core.builder, &builder]).ok();
        core.overcoat.run(&["pull", &builder]).ok();
        // A repository must be its user's, as git sees it.
        let source = core.path("clone");
        let path = source.to_str().unwrap();
        let git =
            |arguments: &[&str]| tool("git", &[&["-c", "safe.directory=*"], arguments].concat());
        git(&["clone", "--quiet", core.source.to_str().unwrap(), path]);
        if core.overcoat.command(&[]).get_program() == "setpriv" {
            tool("chown", &["-R", super::super::support::ORDINARY_USER, path]);
        }
        let url = format!("file://{}#main", source.display());
        let arguments = [
            "build",
            &url,
            &builder,
            "app:1",
            "--context-dir=web",
            "--incremental",
        ];
        core.overcoat.s2i(&arguments).ok();
        assert_eq!(core.gemfile(), "web\n");
        core.put("web/Gemfile", "newer\n");
        core.commit("newer");
        git(&["-C", path, "pull", "--quiet"]);
        if core.overcoat.command(&[]).get_program() == "setpriv" {
            tool("chown", &["-R", super::super::support::ORDINARY_USER, path]);
        }
        core.overcoat
            .s2i(&["rebuild", "app:1", "app:2", "-p", "never"])
            .ok();
        let seen = core
            .overcoat
            .run(&["run", "app:2", "--", "cat", "/sti-fake/src/Gemfile"]);
        assert_eq!(seen.ok().stdout, "newer\n");
        core.no_work_is_left();
    }
}

/// The same program as [`fake_script`]'s `assemble`, which then waits for ever.
fn waiting() -> Tiny {
    let mut tiny = Tiny::fake();
    let scripts = tiny.scripts.as_mut().unwrap();
    scripts.retain(|(name, _)| *name != "assemble");
    scripts.push(("assemble", fake_script("assemble") + "exec sleep 300\n"));
    tiny
}

/// Case M35: the clone, the store's work and the mounts are gone after a signal.
#[test]
fn a_signal_leaves_no_clone_behind() {
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        let core = Core::of(overcoat, &waiting());
        let archive = core.path("source.tar");
        let (path, source) = (archive.to_str().unwrap(), core.source.to_str().unwrap());
        tool(
            "tar",
            &["--create", "--file", path, "--directory", source, "."],
        );
        let temporary = core.path("temporary");
        for signal in ["TERM", "INT"] {
            let arguments = ["build", path, &core.builder, "app:1"];
            let mut command = with_temporary(core.overcoat.called("s2i", &arguments), &temporary);
            fs::set_permissions(
                &temporary,
                std::os::unix::fs::PermissionsExt::from_mode(0o777),
            )
            .unwrap();
            let child = command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let running = Running { child };
            wait_for("assemble", || running.has_descendant("sleep").then_some(()));
            let names = || -> Vec<String> {
                let entries = fs::read_dir(&temporary).unwrap().flatten();
                entries
                    .map(|entry| entry.file_name().to_string_lossy().into_owned())
                    .collect()
            };
            assert!(
                names().iter().any(|name| name.starts_with("s2i")),
                "{:?}",
                names()
            );
            running.signal(signal);
            let (done, _) = running.wait(Duration::from_secs(30));
            assert_eq!(done.code, Some(2), "{}", done.stderr);
            assert_eq!(names(), Vec::<String>::new());
            core.nothing_is_left();
        }
    }
}

/// Case 230 for a source that was brought here: what becomes the application leaves nothing of the build.
#[test]
fn an_application_that_is_run_at_once_leaves_no_clone() {
    let core = repository(Overcoat::new());
    let url = format!("file://{}", core.source.display());
    let done = core.build_of(&url, &["--run"]).ok();
    assert!(
        done.stderr.contains("as a result of the --run=true option"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("./run-invoked\n"), "{}", done.stderr);
    core.no_work_is_left();
}

/// Case 121: the clone stays when that is asked for, and only then.
#[test]
fn a_clone_is_kept_when_that_is_asked_for() {
    let core = repository(Overcoat::new());
    let url = format!("file://{}", core.source.display());
    let arguments = ["build", &url, &core.builder, "app:1", "--save-temp-dir"];
    let temporary = core.path("temporary");
    let mut command = with_temporary(core.overcoat.called("s2i", &arguments), &temporary);
    let done = Done::from(command.output().unwrap()).ok();
    let kept: Vec<_> = fs::read_dir(&temporary).unwrap().flatten().collect();
    let [kept] = &kept[..] else {
        panic!("{kept:?}")
    };
    assert!(
        done.stderr.contains(&kept.path().display().to_string()),
        "{}",
        done.stderr
    );
    let clones = tool("find", &[kept.path().to_str().unwrap(), "-name", "Gemfile"]);
    assert!(clones.contains("web/Gemfile"), "{clones}");
}

/// What a link leads to outside the source is nobody's to give away, and a source names no command.
#[test]
fn a_source_reaches_nothing_of_this_machine() {
    let core = Core::new(&Tiny::fake());
    let secret = core.path("secret");
    fs::write(&secret, "TOPSECRET").unwrap();
    std::os::unix::fs::symlink(&secret, core.source.join("stolen")).unwrap();
    let done = core.build(&[]).ok();
    assert!(
        warnings(&done)[0].contains("leads out of the source"),
        "{}",
        done.stderr
    );
    let seen = core.in_image("cat /sti-fake/src/stolen 2>&1; true");
    assert!(!seen.contains("TOPSECRET"), "{seen}");
    let marker = core.path("ran");
    let location = format!("ext::touch {}", marker.display());
    let done = core
        .overcoat
        .s2i(&["build", &location, &core.builder, "x:1"]);
    refused(&done, 1, &["not allowed"]);
    assert!(!marker.exists());
}

/// Case M13: a repository without a commit.
#[test]
fn an_empty_repository_has_a_status_of_its_own() {
    let core = Core::new(&Tiny::fake());
    core.git(&["init", "--quiet"]);
    refused(&core.build(&[]), 16, &[]);
    core.nothing_is_left();
}

/// A directory that is read where it is takes no place for temporary files, which a job may not have.
#[test]
fn a_directory_is_built_where_nothing_temporary_can_be_written() {
    let core = Core::new(&Tiny::fake());
    let source = core.source.to_str().unwrap();
    let arguments = ["build", source, &core.builder, "app:1"];
    let mut command = core.overcoat.command(&arguments);
    let done: Done = command
        .env("TMPDIR", "/no/such/directory")
        .output()
        .unwrap()
        .into();
    done.ok();
    assert!(core.gemfile().contains("source"));
}
