//! `--runtime-image`: §2.18.

use serde_json::json;

use super::super::support::registry::Registry;
use super::super::support::tiny::Tiny;
use super::super::support::{Overcoat, tool};
use super::{Core, refused};

const FINISH: &str = "#!/bin/sh\nset -eu\necho finishing as $(id -u) in $(pwd) with ${A:-nothing}\n\
    echo finished > finished\n";
const START: &str = "#!/bin/sh\ncat finished\nfind . -type f | sort\n";
const LABEL: &str = "io.openshift.s2i.assemble-input-files";
const SCRIPTS: (&str, &str) = ("io.openshift.s2i.scripts-url", "image:///usr/libexec/s2i");

/// An image that is no builder: `assemble-runtime` and `run`, and a user of its own.
fn runtime() -> Tiny {
    let scripts = [("assemble-runtime", FINISH), ("run", START)];
    Tiny {
        scripts: Some(scripts.map(|(name, text)| (name, text.to_owned())).to_vec()),
        labels: vec![
            SCRIPTS,
            (LABEL, "/sti-fake/src:app;/sti-fake/assemble-invoked"),
            ("vendor", "us"),
        ],
        ..Tiny::default()
    }
}

/// The fake builder, with a variable that must stay in it.
fn builder() -> Tiny {
    Tiny {
        variables: vec![("ONLY_BUILDER", "1")],
        ..Tiny::fake()
    }
}

/// Cases 119, 120 and 228, and §2.18: what the label names is there, `assemble-runtime` ran as the image's user with the
/// variables, and the result is the runtime image's in all else. Both users get the same image.
#[test]
fn what_the_label_names_goes_into_the_runtime_image() {
    let digests = [Overcoat::new(), Overcoat::as_ordinary_user()].map(|overcoat| {
        let core = Core::of(overcoat, &builder());
        let image = core.image("runtime", &runtime());
        core.put_script("tool.sh", "#!/bin/sh\n");
        let done = core.build(&["--runtime-image", &image, "-e", "A=1"]).ok();
        let said = "finishing as 1001 in /opt/app-root/src with 1\n";
        assert!(done.stderr.contains(said), "{}", done.stderr);
        let expected =
            "finished\n./app/src/Gemfile\n./app/src/tool.sh\n./assemble-invoked\n./finished\n";
        assert_eq!(core.started(), expected);
        let config = core.overcoat.inspect("app:1")["config"].clone();
        assert_eq!(config["Cmd"], json!(["/usr/libexec/s2i/run"]));
        assert_eq!(config["User"], "1001");
        let labels = &config["Labels"];
        assert_eq!(labels["vendor"], "us");
        assert_eq!(labels["io.openshift.s2i.build.image"], "tiny:latest");
        assert_eq!(labels["testLabel"], "testLabel_value");
        let variables = config["Env"].to_string();
        assert!(
            variables.contains("A=1") && !variables.contains("ONLY_BUILDER"),
            "{variables}"
        );
        core.no_work_is_left();
        // The label with the path of the source is another one.
        core.overcoat.layers("app:1")
    });
    assert_eq!(digests[0], digests[1]);
}

/// §2.18: files, directories with what is in them, links and executable bits, by the flag, which is stronger than the label.
#[test]
fn what_the_flag_names_arrives_as_it_is() {
    let core = Core::new(&builder());
    let image = core.image("runtime", &runtime());
    core.put_script("bin/tool", "#!/bin/sh\n");
    core.put("bin/data", "x");
    core.put("deep/below/file", "y");
    std::os::unix::fs::symlink("data", core.source.join("bin/link")).unwrap();
    let flags = [
        "--keep-symlinks",
        "--runtime-image",
        &image,
        "-a",
        "/sti-fake/src/bin",
        "-a",
        "/sti-fake/src/deep/.:flat",
        "--runtime-artifact",
        "/sti-fake/src/bin/tool:renamed/place;/sti-fake/src/bin/link",
    ];
    core.build(&flags).ok();
    let listed =
        core.in_image("cd /opt/app-root/src; find . | sort; ls -ln bin renamed/place; cat link");
    for line in [
        "./bin\n./bin/data\n./bin/link\n./bin/tool\n",
        "./flat\n./flat/deep\n./flat/deep/below\n./flat/deep/below/file\n",
        "./renamed/place/tool\n",
        " link -> data\n",
    ] {
        assert!(listed.contains(line), "expected {line:?} in:\n{listed}");
    }
    assert!(!listed.contains("assemble-invoked"), "{listed}");
    // A link that is named is what it leads to; one within a directory stays one.
    assert!(listed.ends_with("\nx"), "{listed}");
    let modes = |name: &str| {
        let line = listed
            .lines()
            .find(|line| line.ends_with(name) && line.starts_with('-'));
        line.unwrap_or_default()
            .chars()
            .take(10)
            .collect::<String>()
    };
    assert_eq!(
        (modes(" tool").as_str(), modes(" data").as_str()),
        ("-rwxr-xr-x", "-rw-r--r--")
    );
}

/// Cases 115 to 118, and what the builder did not make: an error that names it, and nothing is left.
#[test]
fn artifacts_that_cannot_be_are_refused() {
    let core = Core::new(&builder());
    let plain = Tiny {
        labels: vec![SCRIPTS],
        ..runtime()
    };
    let image = core.image("plain", &plain);
    let build = |artifact: &str| core.build(&["--runtime-image", &image, "-a", artifact]);
    refused(
        &core.build(&["--runtime-image", &image]),
        1,
        &["no runtime artifacts to copy"],
    );
    core.nothing_is_left();
    refused(
        &build("/no/such"),
        1,
        &["`/no/such`", "not in what the builder made"],
    );
    core.nothing_is_left();
    for (text, words) in [
        ("src:dst", "absolute"),
        ("/src:/dst", "relative"),
        ("/src:../dst", "`..`"),
    ] {
        let done = build(text);
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(
            done.stderr.contains(words) && done.stderr.contains("ERROR: "),
            "{}",
            done.stderr
        );
        let labelled = Tiny {
            labels: vec![SCRIPTS, (LABEL, text)],
            ..runtime()
        };
        let labelled = core.image("labelled", &labelled);
        refused(
            &core.build(&["--runtime-image", &labelled]),
            1,
            &[words, text],
        );
        std::fs::remove_dir_all(core.path("labelled")).unwrap();
        core.nothing_is_left();
    }
    // No such script anywhere.
    let bare = Tiny {
        labels: vec![(LABEL, "/sti-fake/src")],
        scripts: Some(Vec::new()),
        ..Tiny::default()
    };
    let bare = core.image("bare", &bare);
    refused(
        &core.build(&["--runtime-image", &bare]),
        11,
        &["assemble-runtime"],
    );
    core.nothing_is_left();
    refused(
        &core.build(&["--runtime-image", &image, "--incremental"]),
        1,
        &["--incremental"],
    );
}

/// §2.18: the source's own scripts go before the runtime image's; they lie beside the artifacts then.
#[test]
fn scripts_of_the_source_finish_the_runtime_image() {
    let core = Core::new(&builder());
    let bare = Tiny {
        labels: vec![(LABEL, "/sti-fake/assemble-invoked")],
        scripts: Some(Vec::new()),
        ..Tiny::default()
    };
    let image = core.image("runtime", &bare);
    core.put_script(".s2i/bin/assemble-runtime", FINISH);
    core.put_script(".s2i/bin/run", START);
    core.build(&["--runtime-image", &image]).ok();
    let config = core.overcoat.inspect("app:1")["config"].clone();
    assert_eq!(config["Cmd"], json!(["/opt/app-root/src/scripts/run"]));
    let expected =
        "finished\n./assemble-invoked\n./finished\n./scripts/assemble-runtime\n./scripts/run\n";
    assert_eq!(core.started(), expected);
}

/// `--scripts-url` may have scripts for the builder alone.
#[test]
fn a_url_with_scripts_for_the_builder_leaves_the_runtime_image_its_own() {
    let core = Core::new(&Tiny::fake_without_scripts());
    let image = core.image("runtime", &runtime());
    let scripts = core.path("scripts");
    std::fs::create_dir(&scripts).unwrap();
    let script = super::super::support::tiny::fake_script("assemble");
    std::fs::write(scripts.join("assemble"), script).unwrap();
    core.put_script(".s2i/bin/run", START);
    let url = format!("file://{}", scripts.display());
    core.build(&["--runtime-image", &image, "-s", &url]).ok();
    assert!(core.started().starts_with("finished\n"));
}

/// §2.14 and §2.18: who runs `assemble-runtime`, and whether that is allowed.
#[test]
fn the_user_of_assemble_runtime_is_chosen_and_checked() {
    let allowed = Tiny {
        user: "1001",
        ..builder()
    };
    let core = Core::new(&allowed);
    let image = core.image("runtime", &runtime());
    let label = ("io.openshift.s2i.assemble-runtime-user", "0");
    let labelled = Tiny {
        labels: [runtime().labels, vec![label]].concat(),
        ..runtime()
    };
    let labelled = core.image("labelled", &labelled);
    let log = core.build(&["--runtime-image", &labelled]).ok().stderr;
    assert!(log.contains("finishing as 0"), "{log}");
    // The image's user stays, as with `assemble`.
    assert_eq!(core.overcoat.inspect("app:1")["config"]["User"], "1001");
    let flags = [
        "--runtime-image",
        &labelled,
        "--assemble-runtime-user",
        "1001",
        "-u",
        "1-",
    ];
    let log = core.build(&flags).ok().stderr;
    assert!(log.contains("finishing as 1001"), "{log}");
    core.build(&["--runtime-image", &image, "-u", "1-"]).ok();
    core.overcoat.run(&["rm", "app:1"]).ok();
    let done = core.build(&["--runtime-image", &labelled, "-u", "1-"]);
    refused(&done, 15, &["`--allowed-uids 1-`"]);
    core.nothing_is_left();
}

/// What is unchanged is not done again; a new runtime image has only `assemble-runtime` run.
#[test]
fn only_what_changed_is_done_again() {
    let talking = || {
        let mut tiny = builder();
        let scripts = tiny.scripts.as_mut().unwrap();
        let assemble = scripts
            .iter_mut()
            .find(|(name, _)| *name == "assemble")
            .unwrap();
        assemble.1.push_str("echo assembling\n");
        tiny
    };
    let core = Core::new(&talking());
    let image = core.image("runtime", &runtime());
    let ran = |image: &str| {
        let log = core.build(&["--runtime-image", image]).ok().stderr;
        (log.contains("assembling"), log.contains("finishing"))
    };
    assert_eq!(ran(&image), (true, true));
    let first = core.digest();
    assert_eq!(ran(&image), (false, false));
    assert_eq!(core.digest(), first);
    let newer = Tiny {
        files: vec![("etc/newer", "yes\n")],
        ..runtime()
    };
    let newer = core.image("newer", &newer);
    assert_eq!(ran(&newer), (false, true));
    core.put("Gemfile", "source 'y'\n");
    assert_eq!(ran(&newer), (true, true));
    assert_eq!(core.in_image("cat /etc/newer"), "yes\n");
}

/// The runtime image's layers are mounted where it is in the registry that the result is pushed to; of the builder nothing
/// is sent.
#[test]
fn a_push_mounts_the_runtime_images_layers() {
    let registry = Registry::start();
    let core = Core::new(&builder());
    let layout = core.image("runtime", &runtime());
    let name = |of: &str| format!("{}/{of}:1", registry.host());
    core.overcoat
        .run(&["copy", &layout, &name("base/runtime")])
        .ok();
    let mark = registry.requests().len();
    let source = core.source.to_str().unwrap();
    let (image, tag) = (name("base/runtime"), name("team/app"));
    let arguments = [
        "build",
        source,
        &core.builder,
        &tag,
        "--runtime-image",
        &image,
    ];
    let mut command = core.overcoat.called("s2i", &arguments);
    command.env("OVERCOAT_S2I_PUSH", "yes");
    super::super::support::Done::from(command.output().unwrap()).ok();
    let requests = registry.requests()[mark..].to_vec();
    let mounts = requests
        .iter()
        .filter(|request| request.contains("mount=") && request.ends_with(" 201"));
    assert_eq!(mounts.count(), 2, "{requests:#?}");
    let sent = requests
        .iter()
        .filter(|request| request.starts_with("PUT ") && request.contains("/blobs/"));
    // Its own layers and its configuration.
    let own = core.overcoat.layers(&tag).len() - 2;
    assert_eq!(sent.count(), own + 1, "{requests:#?}");
}

/// Case 228: a commit of a git repository, a directory of it, and the label's list.
#[test]
fn a_ref_and_a_context_directory_go_with_a_runtime_image() {
    let core = Core::new(&builder());
    let image = core.image("runtime", &runtime());
    core.put("web/Gemfile", "first\n");
    core.commit("first");
    core.git(&["tag", "one"]);
    core.put("web/Gemfile", "second\n");
    core.commit("second");
    let flags = [
        "--ref",
        "one",
        "--context-dir",
        "web",
        "--runtime-image",
        &image,
    ];
    core.build(&flags).ok();
    assert_eq!(
        core.in_image("cat /opt/app-root/src/app/src/Gemfile"),
        "first\n"
    );
    let commit = tool(
        "git",
        &["-C", core.source.to_str().unwrap(), "rev-parse", "one"],
    );
    let labels = core.overcoat.inspect("app:1")["config"]["Labels"].clone();
    assert_eq!(labels["io.openshift.s2i.build.commit.id"], commit.trim());
    assert_eq!(labels["io.openshift.s2i.build.source-context-dir"], "web");
}
