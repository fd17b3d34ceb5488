//! `--incremental`: §2.15.

use super::super::support::registry::Registry;
use super::super::support::tiny::{Tiny, fake_script};
use super::super::support::{Done, Overcoat};
use super::{Core, warnings};

/// The trace of artifacts that arrived.
const ARRIVED: &str = "./save-artifacts-invoked\n";

/// Installs a dependency once: a later build has it from the previous image. What runs is told.
const INSTALLS: &str = "#!/bin/sh\nset -eu\necho assembling\n\
    mkdir -p /opt/app-root/lib\n\
    if [ -e /tmp/artifacts/dependency ]; then cp /tmp/artifacts/dependency /opt/app-root/lib/; \
    else echo 'taken from afar'; echo made > /opt/app-root/lib/dependency; fi\n\
    cp -R /tmp/src/. /opt/app-root/src/\nrm -rf /tmp/src/* /tmp/src/.s2i /tmp/artifacts\n";
const SAVES: &str = "#!/bin/sh\necho saving >&2\ncd /opt/app-root/lib\nexec tar -cf - dependency\n";
const RUNS: &str = "#!/bin/sh\ncat /opt/app-root/lib/dependency /opt/app-root/src/app.py\n";

fn installing() -> Tiny {
    let scripts = [
        ("assemble", INSTALLS),
        ("run", RUNS),
        ("save-artifacts", SAVES),
    ];
    Tiny {
        scripts: Some(scripts.map(|(name, text)| (name, text.to_owned())).to_vec()),
        ..Tiny::default()
    }
}

/// The fake builder with another `save-artifacts`, or none.
fn saving(script: Option<&str>) -> Tiny {
    let mut tiny = Tiny::fake();
    let scripts = tiny.scripts.as_mut().unwrap();
    scripts.retain(|(name, _)| *name != "save-artifacts");
    scripts.extend(script.map(|text| ("save-artifacts", text.to_owned())));
    tiny
}

/// Cases 101 to 105, 213, 215 and M32: artifacts come from the image of that name, when they are asked for, it is there,
/// and it has the script.
#[test]
fn artifacts_come_from_the_previous_image_when_it_is_there_and_they_are_asked_for() {
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        let core = Core::of(overcoat, &Tiny::fake());
        let done = core.build(&["--incremental", "--loglevel=1"]).ok();
        assert!(!core.started().contains(ARRIVED));
        assert_eq!(warnings(&done), Vec::<&str>::new());
        core.put("Gemfile", "source 'y'\n");
        // Whatever there is.
        core.build(&[]).ok();
        assert!(!core.started().contains(ARRIVED));
        core.put("Gemfile", "source 'z'\n");
        core.build(&["--incremental"]).ok();
        assert!(core.started().contains(ARRIVED));
        // Another name has no previous image.
        core.put("Gemfile", "source 'a'\n");
        core.build_as("other", &["--incremental"]).ok();
        let other = core.overcoat.run(&["run", "other"]).ok().stdout;
        assert!(!other.contains(ARRIVED), "{other}");
        core.no_work_is_left();
    }
}

/// Cases 103 and 216: without the script, also where a URL promises one, the build is a clean one.
#[test]
fn an_image_without_save_artifacts_is_built_cleanly() {
    let core = Core::new(&saving(None));
    for (text, flags) in [
        ("a", &["--incremental"][..]),
        ("b", &["--incremental"]),
        (
            "c",
            &["--incremental", "--scripts-url", "image:///usr/libexec/s2i"],
        ),
    ] {
        core.put("Gemfile", text);
        core.build(flags).ok();
        assert!(!core.started().contains(ARRIVED));
        core.no_work_is_left();
    }
}

/// An incremental build whose source is unchanged does nothing; a changed one runs `save-artifacts` and `assemble`, and has
/// one new layer.
#[test]
fn an_edit_makes_one_new_layer_and_nothing_makes_none() {
    let core = Core::new(&installing());
    core.put("app.py", "one\n");
    let build = || core.build(&["--incremental"]).ok().stderr;
    let log = build();
    assert!(log.contains("assembling\ntaken from afar\n"), "{log}");
    let (first, before) = (core.digest(), core.overcoat.layers("app:1"));
    let log = build();
    assert!(
        !log.contains("saving") && !log.contains("assembling"),
        "{log}"
    );
    assert_eq!(core.digest(), first);
    core.put("app.py", "two\n");
    let log = build();
    assert!(
        log.contains("saving") && log.contains("assembling"),
        "{log}"
    );
    assert!(!log.contains("afar"), "{log}");
    assert_eq!(core.started(), "made\ntwo\n");
    let after = core.overcoat.layers("app:1");
    let new: Vec<&String> = after
        .iter()
        .filter(|layer| !before.contains(layer))
        .collect();
    assert_eq!(new, [after.last().unwrap()], "{before:?} {after:?}");
}

/// Better than s2i: the previous image may be in a registry alone, as on a machine that begins with nothing. Who may push may
/// be anybody.
#[test]
fn the_previous_image_may_be_only_in_a_registry() {
    let registry = Registry::start();
    let tag = format!("{}/team/app:1", registry.host());
    let build = |overcoat: Overcoat, text: &str, flags: &[&str]| -> (Done, String) {
        let core = Core::of(overcoat, &Tiny::fake());
        core.put("Gemfile", text);
        let source = core.source.to_str().unwrap();
        let arguments = ["build", source, &core.builder, &tag];
        let mut command = core.overcoat.called("s2i", &[&arguments, flags].concat());
        command.env("OVERCOAT_S2I_PUSH", "yes");
        let done = Done::from(command.output().unwrap()).ok();
        let seen = core.overcoat.run(&["run", &tag]).ok().stdout;
        core.no_work_is_left();
        (done, seen)
    };
    let (_, seen) = build(Overcoat::new(), "a", &["--incremental"]);
    assert!(!seen.contains(ARRIVED), "{seen}");
    let (_, seen) = build(Overcoat::new(), "b", &["--incremental"]);
    assert!(seen.contains(ARRIVED), "{seen}");
    let (_, seen) = build(Overcoat::as_ordinary_user(), "c", &["--incremental"]);
    assert!(seen.contains(ARRIVED), "{seen}");
    let never = ["--incremental", "--incremental-pull-policy=never"];
    let (_, seen) = build(Overcoat::new(), "d", &never);
    assert!(!seen.contains(ARRIVED), "{seen}");
}

/// Case 99: that the previous image cannot be looked up is no reason to fail.
#[test]
fn a_registry_that_does_not_answer_makes_it_a_clean_build() {
    let core = Core::new(&Tiny::fake());
    let nowhere = format!("127.0.0.1:{}/app:1", super::super::support::free_port());
    let done = core.build_as(&nowhere, &["--incremental", "--rm"]).ok();
    assert_eq!(warnings(&done), Vec::<&str>::new());
    core.no_work_is_left();
}

/// Cases 107 and M33: a script that fails is told, and the build is a clean one; 107's tar errors, too.
#[test]
fn artifacts_that_cannot_be_had_are_a_warning_and_a_clean_build() {
    let absolute = "#!/bin/sh\ncd /tmp\nln -s /etc/passwd link\nexec tar -cf - link\n";
    let endless = "#!/bin/sh\necho words that are no archive\n";
    let outside = "#!/bin/sh\nexec cat /sti-fake/src/outside.tar\n";
    let script = "#!/bin/sh\necho half\nexit 3\n";
    for (saves, words) in [
        (script, "`save-artifacts` script failed with exit status 3"),
        ("#!/no/such/interpreter\n", "save-artifacts"),
        (absolute, "a link to `/etc/passwd`"),
        (endless, "no tar archive"),
        (outside, "`../x` leads out"),
    ] {
        for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
            let core = Core::of(overcoat, &saving(Some(saves)));
            std::fs::write(core.source.join("outside.tar"), outside_tar()).unwrap();
            core.build(&["--incremental"]).ok();
            core.put("Gemfile", "source 'y'\n");
            let done = core.build(&["--incremental"]).ok();
            let told = warnings(&done);
            let [told] = told[..] else {
                panic!("{saves}: {}", done.stderr)
            };
            assert!(told.contains(words), "{told}");
            assert!(
                told.contains("nothing is taken over from `app:1`"),
                "{told}"
            );
            assert!(!core.started().contains("artifacts"));
            core.no_work_is_left();
        }
    }
}

/// An archive with one file, `../x`.
fn outside_tar() -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..4].copy_from_slice(b"../x");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(&header, std::io::empty()).unwrap();
    archive.into_inner().unwrap()
}

/// §2.15: a `save-artifacts` of the source or of `--scripts-url` goes before the image's own, and runs as who assembles.
#[test]
fn a_script_from_elsewhere_goes_before_the_images_own() {
    let saves = |word: &str| {
        let script = fake_script("save-artifacts");
        script.replacen("set -eu", &format!("set -eu\necho {word} $(id -u) >&2"), 1)
    };
    let core = Core::new(&saving(Some(&saves("image"))));
    core.build(&[]).ok();
    core.put("Gemfile", "1");
    let log = core.build(&["--incremental"]).ok().stderr;
    assert!(log.contains("image 0\n"), "{log}");
    core.put_script(".s2i/bin/save-artifacts", &saves("source"));
    let log = core.build(&["--incremental"]).ok().stderr;
    assert!(
        log.contains("source 0\n") && !log.contains("image 0"),
        "{log}"
    );
    assert!(core.started().contains(ARRIVED));
    let scripts = core.path("scripts");
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(scripts.join("save-artifacts"), saves("url")).unwrap();
    let url = format!("file://{}", scripts.display());
    core.put("Gemfile", "2");
    // The script's directory is root's alone otherwise.
    let flags = [
        "--incremental",
        "--scripts-url",
        &url,
        "--assemble-user",
        "0",
    ];
    let log = core.build(&flags).ok().stderr;
    assert!(
        log.contains("url 0\n") && !log.contains("source 0"),
        "{log}"
    );
    assert!(core.started().contains(ARRIVED));
}
