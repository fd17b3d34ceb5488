//! `image_metadata.json`, `--callback-url`, entry points: §2.10, §2.12.

use super::super::support::registry::Registry;
use super::super::support::tiny::{Tiny, fake_script};
use super::super::support::{Done, Overcoat};
use super::{Core, refused};

/// The fake builder whose `assemble` also does `more`.
fn also(more: &str) -> Tiny {
    let mut tiny = Tiny::fake();
    let scripts = tiny.scripts.as_mut().unwrap();
    let assemble = scripts
        .iter_mut()
        .find(|(name, _)| *name == "assemble")
        .unwrap();
    assemble.1.push_str(more);
    tiny
}

fn label(core: &Core, name: &str) -> String {
    let labels = core.overcoat.inspect("app:1")["config"]["Labels"].clone();
    labels[name].as_str().unwrap_or_default().to_owned()
}

/// Case 206, and §2.12: labels that a script writes down are stronger than the builder's and than generated ones, and
/// are there although the step is not done again.
#[test]
fn labels_that_assemble_writes_down_stay_with_its_layers() {
    let file = r#"{"labels": [{"testLabel": "testLabel_value"}, {"io.k8s.display-name": "mine", "vendor": "me"}]}"#;
    let tiny = Tiny {
        labels: [
            Tiny::fake().labels,
            vec![("vendor", "them"), ("kept", "yes")],
        ]
        .concat(),
        ..also(&format!(
            "echo '{file}' > /tmp/.s2i/image_metadata.json\necho ran\n"
        ))
    };
    let core = Core::new(&tiny);
    for is_first in [true, false] {
        let log = core.build(&[]).ok().stderr;
        assert_eq!(log.contains("ran\n"), is_first, "{log}");
        for (name, value) in [
            ("testLabel", "testLabel_value"),
            ("io.k8s.display-name", "mine"),
            ("vendor", "me"),
            ("kept", "yes"),
            ("io.openshift.s2i.build.image", "tiny:latest"),
        ] {
            assert_eq!(label(&core, name), value, "{name}");
        }
    }
    // From a registry, on a machine that begins with nothing.
    let registry = Registry::start();
    let tag = format!("{}/app:1", registry.host());
    let source = core.source.to_str().unwrap();
    let build = |overcoat: &Overcoat| -> String {
        let arguments = [
            "build",
            source,
            &core.builder,
            &tag,
            "--push",
            "--cache-from",
            &tag,
        ];
        overcoat.run(&arguments).ok().stderr
    };
    build(&core.overcoat);
    let other = Overcoat::new();
    let log = build(&other);
    assert!(!log.contains("ran\n"), "{log}");
    other.run(&["pull", &tag]).ok();
    let labels = other.inspect(&tag)["config"]["Labels"].clone();
    assert_eq!(labels["testLabel"], "testLabel_value");
}

/// Cases M30 and M31: a file that is not what it should be, and too many labels.
#[test]
fn labels_that_cannot_be_are_an_error() {
    let large = format!(
        "printf '{{\"labels\": [{{\"a\": \"' > /tmp/.s2i/image_metadata.json\n\
         for i in {}; do printf %01000d 0 >> /tmp/.s2i/image_metadata.json; done\n\
         printf '\"}}]}}' >> /tmp/.s2i/image_metadata.json\n",
        "1 2 3 4 5 6 7 8 9 10 11"
    );
    for (more, words) in [
        (
            "echo '{}' > /tmp/.s2i/image_metadata.json\n",
            "no list `labels`",
        ),
        (
            "echo '{\"labels\": [{\"a\": 1}]}' > /tmp/.s2i/image_metadata.json\n",
            "`a` is no text",
        ),
        ("echo nonsense > /tmp/.s2i/image_metadata.json\n", "no JSON"),
        (
            "rm /tmp/.s2i/image_metadata.json\nln -s /etc/passwd /tmp/.s2i/image_metadata.json\n",
            "not a file",
        ),
        (&large, "10240 are allowed"),
    ] {
        let core = Core::new(&also(more));
        refused(&core.build(&[]), 1, &[words]);
        core.nothing_is_left();
    }
}

/// A list with nothing in it, and no file at all.
#[test]
fn no_labels_are_fine() {
    for more in [
        "echo '{\"labels\": []}' > /tmp/.s2i/image_metadata.json\n",
        "rm -r /tmp/.s2i\n",
    ] {
        let core = Core::new(&also(more));
        core.build(&[]).ok();
        assert_eq!(label(&core, "testLabel"), "");
    }
}

/// Case M26: an entry point wraps the scripts, as it does with s2i, unless that is not wanted; the error of one that fails
/// says so.
#[test]
fn an_entry_point_wraps_scripts_unless_it_is_ignored() {
    let wrapper = "#!/bin/sh\necho wrapped $1 >&2\nexec \"$@\"\n";
    let wrapping = |wrapper: &str| {
        let mut tiny = Tiny::fake();
        let scripts = tiny.scripts.as_mut().unwrap();
        scripts.push(("wrapper", wrapper.to_owned()));
        tiny.entrypoint = vec!["/usr/libexec/s2i/wrapper"];
        tiny
    };
    let core = Core::new(&wrapping(wrapper));
    let log = core.build(&["--incremental"]).ok().stderr;
    assert!(log.contains("wrapped /usr/libexec/s2i/assemble\n"), "{log}");
    core.put("Gemfile", "2");
    let log = core.build(&["--incremental"]).ok().stderr;
    assert!(
        log.contains("wrapped /usr/libexec/s2i/save-artifacts\n"),
        "{log}"
    );
    core.put("Gemfile", "3");
    let log = core
        .build(&["--ignore-entrypoint", "--incremental"])
        .ok()
        .stderr;
    assert!(!log.contains("wrapped"), "{log}");
    let config = core.overcoat.inspect("app:1")["config"].clone();
    assert_eq!(config["Entrypoint"][0], "/usr/libexec/s2i/wrapper");

    let core = Core::new(&wrapping("#!/bin/sh\necho 'what is that' >&2\nexit 4\n"));
    let words = [
        "exit status 4",
        "`/usr/libexec/s2i/wrapper`",
        "`--ignore-entrypoint`",
    ];
    refused(&core.build(&[]), 1, &words);
    core.nothing_is_left();
    core.build(&["--ignore-entrypoint"]).ok();
    // Without an entry point there is nothing to hint at.
    let core = Core::new(&also("exit 3\n"));
    let done = core.build(&[]);
    refused(&done, 1, &["exit status 3"]);
    assert!(
        !done.stderr.contains("--ignore-entrypoint"),
        "{}",
        done.stderr
    );
}

/// Cases 89, 177 and 225: `usage` is run as `assemble` is, from the image or from elsewhere, and makes nothing; one that
/// fails is an error.
#[test]
fn usage_is_run_like_assemble() {
    let core = Core::new(&Tiny::fake());
    let words = "Sample invocation: s2i build DIRECTORY fake application\n";
    let usage = |core: &Core| core.overcoat.s2i(&["usage", &core.builder]);
    let done = usage(&core).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", words));
    let done = core.overcoat.run(&["usage", &core.builder]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (words, ""));
    core.nothing_is_left();
    // An application's own takes no part.
    core.put_script(".s2i/bin/usage", "#!/bin/sh\necho mine\n");
    let mut command = core.overcoat.called("s2i", &["usage", &core.builder]);
    let done = Done::from(command.current_dir(&core.source).output().unwrap()).ok();
    assert_eq!(done.stderr, words);

    let failing = |script: String| {
        let mut tiny = Tiny::fake();
        tiny.scripts
            .as_mut()
            .unwrap()
            .retain(|(name, _)| *name != "usage");
        tiny.scripts.as_mut().unwrap().push(("usage", script));
        Core::new(&tiny)
    };
    let core = failing("#!/bin/sh\necho half\nexit 5\n".to_owned());
    refused(
        &usage(&core),
        1,
        &["`usage` script failed with exit status 5"],
    );
    core.nothing_is_left();
    // The destination has an empty source and no scripts, as for `assemble`.
    let core = failing(fake_script("usage") + "ls -d /tmp/src /tmp/scripts\nls /tmp/src\nid -u\n");
    let done = usage(&core).ok();
    assert_eq!(done.stderr, format!("{words}/tmp/scripts\n/tmp/src\n0\n"));
    core.nothing_is_left();
}
