//! `--as-dockerfile` and `generate`, by the command line: §2.21. That such a file builds is tested with buildah, elsewhere.

use std::fs;
use std::path::PathBuf;

use super::super::support::tiny::{Tiny, fake_script};
use super::{Core, refused};

impl Core {
    /// Writes a Dockerfile; its text and its context.
    #[track_caller]
    fn dockerfile(&self, flags: &[&str]) -> (String, PathBuf) {
        let context = self.path("context");
        let _ = fs::remove_dir_all(&context);
        let out = format!("{}/", context.display());
        let done = self
            .build(&[&["--as-dockerfile", &out], flags].concat())
            .ok();
        assert_eq!(done.stdout, "");
        assert!(
            done.stderr.contains("context/Dockerfile\n"),
            "{}",
            done.stderr
        );
        (
            fs::read_to_string(context.join("Dockerfile")).unwrap(),
            context,
        )
    }

    /// A `file://` URL of a directory with these scripts of the fake builder, each with a line of its own.
    fn scripts(&self, directory: &str, names: &[&str]) -> String {
        let path = self.path(directory);
        fs::create_dir_all(&path).unwrap();
        for name in names {
            let text = fake_script(name) + &format!("# {directory}\n");
            fs::write(path.join(name), text).unwrap();
        }
        format!("file://{}", path.display())
    }
}

/// An image that says nothing of itself.
fn unlabelled() -> Tiny {
    Tiny {
        labels: Vec::new(),
        ..Tiny::fake()
    }
}

#[track_caller]
fn expect(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "expected {line:?} in:\n{text}");
    }
}

/// Cases 184, 185, 187 and 229, with a git source: all that is known of the commit is in labels, the source is in the
/// context, and a directory that is not there is made.
#[test]
fn a_git_source_is_in_the_context_with_what_is_known_of_it() {
    let core = Core::new(&Tiny::fake());
    core.commit("a subject");
    core.put("uncommitted", "");
    let out = core.path("not/there/yet/MyDockerfile");
    let source = core.source.to_str().unwrap();
    let url = format!("file://{source}");
    let path = out.to_str().unwrap();
    let arguments = [
        "build",
        &url,
        &core.builder,
        "app:1",
        "--as-dockerfile",
        path,
    ];
    core.overcoat.s2i(&arguments).ok();
    let text = fs::read_to_string(&out).unwrap();
    expect(
        &text,
        &[
            "\"io.openshift.s2i.build.commit.author\"=\"A U Thor <a@example.com>\"",
            "\"io.openshift.s2i.build.commit.message\"=\"a subject\"",
            "\"io.openshift.s2i.build.commit.ref\"=\"main\"",
            "\"io.openshift.s2i.build.commit.date\"=",
            "\"io.openshift.s2i.build.commit.id\"=",
            "\"io.openshift.s2i.build.source-location\"=",
            "\"io.k8s.display-name\"=\"app:1\"",
            &format!("\"io.openshift.s2i.build.image\"=\"{}\"", core.builder),
            "upload/src /tmp/src",
            "CMD /usr/libexec/s2i/run",
        ],
    );
    assert!(text.contains("FROM "), "{text}");
    let context = out.parent().unwrap();
    assert!(context.join("upload/src/Gemfile").is_file());
    assert!(
        !context.join("upload/src/uncommitted").exists()
            && !context.join("upload/src/.git").exists()
    );
    core.nothing_is_left();

    let out = format!("{}/", core.path("context").display());
    let arguments = [
        &[
            "build",
            source,
            &core.builder,
            "app:1",
            "--as-dockerfile",
            &out,
        ][..],
        &[
            "-s",
            "image:///scripts",
            "-d",
            "/destination",
            "--ref",
            "main",
            "--label",
        ],
        &["io.openshift.s2i.build.commit.author=me"],
    ];
    // Labels of one's own are overcoat's own flag.
    core.overcoat.run(&arguments.concat()).ok();
    let text = fs::read_to_string(core.path("context/Dockerfile")).unwrap();
    expect(
        &text,
        &[
            "\"io.openshift.s2i.scripts-url\"=\"image:///scripts\"",
            "\"io.openshift.s2i.destination\"=\"/destination\"",
            "\"io.openshift.s2i.build.commit.author\"=\"me\"",
            "/destination/src",
        ],
    );
    let weaker = "\"io.openshift.s2i.build.commit.author\"=\"A U Thor";
    assert!(!text.contains(weaker), "{text}");
}

/// Cases 186, 188 and 201: variables, injected files, and who assembles.
#[test]
fn flags_of_builds_are_said_in_the_dockerfile() {
    let core = Core::new(&Tiny::fake());
    let injected = core.path("injection1");
    fs::create_dir(&injected).unwrap();
    fs::write(injected.join("secret"), "s").unwrap();
    let one = format!("{}:/workdir/injection1", injected.display());
    let flags = [
        "-e",
        "key1=value1",
        "-e",
        "key2=$x \"y\"",
        "-i",
        &one,
        "--assemble-user",
        "2250",
    ];
    let (text, context) = core.dockerfile(&flags);
    expect(
        &text,
        &[
            "key1=\"value1\"",
            "key2=\"\\$x \\\"y\\\"\"",
            "--chown=2250:0 upload/src",
            "USER 2250",
            "/workdir/injection1",
            "rm",
        ],
    );
    let copied = context
        .join("upload/injections")
        .join(injected.strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(copied.join("secret")).unwrap(), "s");
}

/// Cases 189 to 197: each script from where it is.
#[test]
fn scripts_by_urls_and_of_the_source_are_copied_and_those_of_the_image_are_not() {
    let core = Core::new(&unlabelled());
    let conventional = "/usr/libexec/s2i";
    let both =
        |assemble: &str, run: &str| [format!("{assemble}/assemble"), format!("CMD {run}/run")];
    let check = |flags: &[&str], assemble: &str, run: &str, copied: Option<&str>| {
        let (text, context) = core.dockerfile(flags);
        let [assemble, run] = both(assemble, run);
        expect(&text, &[&format!("RUN {assemble}"), &run]);
        assert_eq!(
            text.contains("upload/scripts"),
            copied.is_some(),
            "{flags:?}:\n{text}"
        );
        let script = ["assemble", "run"].map(|name| context.join("upload/scripts").join(name));
        let found = script.iter().find_map(|path| fs::read_to_string(path).ok());
        assert_eq!(
            found.is_some_and(|text| text.contains(copied.unwrap_or("#!"))),
            copied.is_some()
        );
    };
    let (uploaded, custom) = ("/tmp/scripts", "/usr/custom/s2i");
    let assemble = core.scripts("assemble-only", &["assemble"]);
    let run = core.scripts("run-only", &["run"]);
    let more = core.scripts("others", &["assemble"]);
    let empty = core.scripts("nothing", &[]);
    check(
        &["-s", &assemble],
        uploaded,
        conventional,
        Some("assemble-only"),
    );
    check(&["-s", &run], conventional, uploaded, Some("run-only"));
    let moved = ["-s", &assemble, "-d", "/destination"];
    check(
        &moved,
        "/destination/scripts",
        conventional,
        Some("assemble-only"),
    );
    let out = format!("{}/", core.path("none").display());
    refused(
        &core.build(&["--as-dockerfile", &out, "-s", &empty]),
        11,
        &[&empty],
    );
    assert!(!core.path("none").join("Dockerfile").exists());

    check(
        &["--image-scripts-url", &assemble],
        uploaded,
        conventional,
        Some("assemble-only"),
    );
    check(
        &["--image-scripts-url", &run],
        conventional,
        uploaded,
        Some("run-only"),
    );
    let custom_url = format!("image://{custom}");
    let flags = ["-s", &assemble, "--image-scripts-url", &custom_url];
    check(&flags, uploaded, custom, Some("assemble-only"));
    let flags = ["-s", &assemble, "--image-scripts-url", &more];
    check(&flags, uploaded, conventional, Some("assemble-only"));

    core.put_script(
        ".s2i/bin/assemble",
        &(fake_script("assemble") + "# of the source\n"),
    );
    check(&["--copy"], uploaded, conventional, Some("of the source"));
    check(&["-s", &custom_url], custom, custom, None);
    check(
        &["--image-scripts-url", &custom_url],
        uploaded,
        custom,
        Some("of the source"),
    );
}

/// Cases 198 and 199: two stages, with the script that is given.
#[test]
fn an_incremental_dockerfile_has_two_stages() {
    let core = Core::new(&Tiny::fake());
    let (text, _) = core.dockerfile(&["--incremental"]);
    expect(
        &text,
        &[
            "FROM app:1 as cached",
            "save-artifacts",
            "/tmp/artifacts.tar",
            "COPY --from=cached",
        ],
    );
    let url = core.scripts("saving", &["save-artifacts"]);
    for flags in [
        &["--incremental", "-d", "/destination", "-s", &url][..],
        &["--incremental", "-d", "/destination"],
    ] {
        let (text, context) = core.dockerfile(flags);
        expect(
            &text,
            &[
                "/destination/scripts/save-artifacts",
                "/destination/artifacts",
            ],
        );
        assert!(context.join("upload/scripts/save-artifacts").is_file());
        // The second time it is the source's.
        core.put_script(".s2i/bin/save-artifacts", &fake_script("save-artifacts"));
    }
}

/// `generate`: without a source, and with what the builder image says of itself. Case M39.
#[test]
fn generate_writes_a_dockerfile_for_a_builder_image() {
    let tiny = Tiny {
        labels: vec![
            ("io.openshift.s2i.scripts-url", "image:///usr/libexec/s2i"),
            ("io.openshift.s2i.destination", "/elsewhere"),
        ],
        ..Tiny::fake()
    };
    let core = Core::new(&tiny);
    // §2.6: nothing of the working directory is touched.
    core.put(".s2iignore", "*\n");
    let out = core.path("generated/Dockerfile");
    let arguments = ["generate", &core.builder, out.to_str().unwrap()];
    let mut command = core.overcoat.called("s2i", &arguments);
    let done =
        super::super::support::Done::from(command.current_dir(&core.source).output().unwrap());
    done.ok();
    let text = fs::read_to_string(&out).unwrap();
    expect(&text, &["FROM ", "upload/src", "CMD /usr/libexec/s2i/run"]);
    assert!(!text.contains("io.k8s.description"), "{text}");
    assert!(core.source.join("Gemfile").is_file());
    core.nothing_is_left();
}
