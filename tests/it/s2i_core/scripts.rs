//! Where scripts come from: §2.8.

use std::fs;

use serde_json::json;

use super::super::support::tiny::{Tiny, fake_script};
use super::{Core, refused, warnings};

/// Case 68: the older directory works, too, with a warning; what else lies there is the application's, and so is `usage`.
#[test]
fn scripts_of_the_source_leave_it_and_all_else_stays() {
    let core = Core::new(&Tiny::fake_without_scripts());
    core.put(".s2i/bin/assemble", &fake_script("assemble"));
    core.put_script(".s2i/bin/usage", "#!/bin/sh\n");
    core.put(".s2i/bin/helper", "");
    core.put(".sti/bin/run", &fake_script("run"));
    core.put(".sti/bin/other", "");
    let done = core.build(&[]).ok();
    let told = warnings(&done);
    assert!(
        told.len() == 2 && told[0].contains("`.sti/bin/run`"),
        "{told:?}"
    );
    let seen = core.started();
    for file in [".s2i/bin/usage", ".s2i/bin/helper", ".sti/bin/other"] {
        assert!(seen.contains(&format!("./src/{file}\n")), "{seen}");
    }
    for script in ["bin/assemble", "bin/run"] {
        assert!(!seen.contains(script), "{seen}");
    }
    let command = core.overcoat.inspect("app:1")["config"]["Cmd"].clone();
    assert_eq!(command, json!(["/tmp/scripts/run"]));
    assert_eq!(
        core.in_image("ls -l /tmp/scripts | grep -c '^-rwxr-xr-x'"),
        "2\n"
    );
}

/// Cases 66, 67, 69, 71, 77 and M40: each script by itself, from the first place that has it.
#[test]
fn each_script_comes_from_the_first_place_that_has_it() {
    let core = Core::new(&Tiny::fake());
    let scripts = core.path("scripts");
    fs::create_dir(&scripts).unwrap();
    let url = format!("file://{}", scripts.display());
    refused(
        &core.build(&["-s", &url]),
        1,
        &["`--scripts-url", "has none of the scripts"],
    );
    refused(
        &core.build(&["-s", "../invalid-url"]),
        1,
        &["../invalid-url", "it is no URL"],
    );
    core.nothing_is_left();
    // `run` from there, `assemble` of the image at the image's place.
    fs::write(scripts.join("run"), "#!/bin/sh\necho from afar\n").unwrap();
    core.build(&["-s", &url]).ok();
    assert_eq!(core.started(), "from afar\n");
    assert_eq!(
        core.in_image("ls /sti-fake/assemble-invoked /tmp/scripts"),
        "/sti-fake/assemble-invoked\n\n/tmp/scripts:\nrun\n"
    );
    // `assemble` of the source goes before the image's, and after the URL's.
    core.put(
        ".s2i/bin/assemble",
        "#!/bin/sh\ntouch /sti-fake/by-source\n",
    );
    core.build(&["-s", &url]).ok();
    core.in_image("ls /sti-fake/by-source");
    fs::write(
        scripts.join("assemble"),
        "#!/bin/sh\ntouch /sti-fake/by-url\n",
    )
    .unwrap();
    core.build(&["--scripts", &url]).ok();
    core.in_image("ls /sti-fake/by-url");
    // Taken for granted, so it is missed where it runs.
    let done = core.build(&["-s", "image:///no/such"]);
    refused(&done, 1, &["/no/such/assemble"]);
    let core = Core::new(&Tiny::fake_without_scripts());
    // What is required and nowhere.
    refused(
        &core.build(&[]),
        11,
        &["is not a builder image", "assemble"],
    );
    core.nothing_is_left();
}

/// Case 90 and §2.11: `run` is the command as it is.
#[test]
fn run_is_the_command_without_a_shell() {
    let core = Core::new(&Tiny::fake());
    core.build(&["--destination", "/opt/sti", "-e", "STI_LOCATION=/opt/sti"])
        .ok();
    let config = core.overcoat.inspect("app:1")["config"].clone();
    assert_eq!(config["Cmd"], json!(["/usr/libexec/s2i/run"]));
    assert_eq!(config["User"], "0");
    assert!(core.started().contains("./src/Gemfile\n"));
}

/// s2i runs scripts by a shell, which takes those without `#!` for its own.
#[test]
fn a_script_that_names_no_interpreter_is_the_shells() {
    let core = Core::new(&Tiny::fake_without_scripts());
    core.put(".s2i/bin/assemble", "echo made > /tmp/made\n");
    core.put(".s2i/bin/run", "echo started\n");
    core.build(&[]).ok();
    assert_eq!(core.in_image("cat /tmp/made"), "made\n");
    assert_eq!(core.started(), "started\n");
    // A program for another machine is none.
    core.put(".s2i/bin/assemble", "\x7fELF\0\0\0");
    let done = core.build(&[]);
    refused(&done, 1, &["/tmp/scripts/assemble"]);
}

/// Case 226: an application's own scripts in a directory of a repository are what builds and runs.
#[test]
fn scripts_of_a_context_directory_build_and_run() {
    let core = Core::new(&Tiny::fake());
    core.put(
        "web/.s2i/bin/assemble",
        "#!/bin/sh\necho custom assemble\n/usr/libexec/s2i/assemble\n",
    );
    core.put(
        "web/.s2i/bin/run",
        "#!/bin/sh\necho custom run\nexec /usr/libexec/s2i/run\n",
    );
    core.put("web/Gemfile", "");
    core.commit("all");
    let log = core.build(&["--context-dir", "web"]).ok().stderr;
    assert!(log.contains("custom assemble\n"), "{log}");
    let seen = core.started();
    assert!(
        seen.starts_with("custom run\n") && seen.contains("./src/Gemfile\n"),
        "{seen}"
    );
}
