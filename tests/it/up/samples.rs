//! `--call-hooks`: the functions of Section 1 are called in the built image. The image's `python` is a script that says how it was called; what
//! the Python program itself does is tested beside it.

use super::{Blueprint, no_kubeconfig};
use crate::support::Done;
use crate::support::tiny::{ASSEMBLE, Tiny};

const PYTHON: &str = "#!/bin/sh\n[ \"$1\" = -c ] || exit 9\necho \"user $(id -u) in $PWD: $OVERCOAT_SAMPLES\" >&2\n\
    grep -q raises app.py && { echo \"ValueError: it raises\" >&2; exit 97; }\ngrep -q broken app.py && exit 3\nexit 0\n";

fn blueprint() -> Blueprint {
    let scripts = [
        ("assemble", ASSEMBLE),
        ("run", "#!/bin/sh\nexec true\n"),
        ("python", PYTHON),
    ];
    let builder = Tiny {
        scripts: Some(scripts.map(|(name, text)| (name, text.to_owned())).to_vec()),
        links: vec![("bin/python", "/usr/libexec/s2i/python".to_owned())],
        ..Tiny::default()
    };
    let blueprint = Blueprint::on(&builder, no_kubeconfig()).locked();
    blueprint.write(
        "samples.json",
        r#"{"on_trigger": {"payload": {"number": 1}, "headers": {}}}"#,
    );
    blueprint
}

#[test]
fn functions_are_called_in_the_image_before_it_goes_anywhere() {
    let blueprint = blueprint();
    let call = ["--to", "archive", "--call-hooks", "samples.json"];
    let done = blueprint
        .up(&[&call[..], &["gateway", "sink"]].concat())
        .ok();
    let order = r#"{"calls":[["on_trigger",[{"number":1},{}]]],"until":16}"#;
    let said = format!("user 0 in /opt/app-root/src: {order}");
    assert!(done.stderr.contains(&said), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("sink: on_receive_terminator was not called, for there is no sample"),
        "{}",
        done.stderr
    );
    // One that raises keeps the image here.
    std::fs::remove_file(blueprint.root().join("gateway.tar")).unwrap();
    let before = blueprint.image("gateway");
    for (word, code, texts) in [
        (
            "raises",
            97,
            [
                "a function of the pod `gateway` does not take its sample",
                "  | ValueError: it raises",
            ],
        ),
        (
            "broken",
            3,
            [
                "no function of the pod `gateway` could be called: `overcoat run` ended with status 3",
                "nothing was loaded, pushed or deployed",
            ],
        ),
    ] {
        blueprint.replace(
            "gateway/app/app.py",
            "Starts a journey",
            &format!("Starts {word} a journey"),
        );
        let done = blueprint.up(&[&call[..], &["gateway"]].concat());
        assert_eq!(done.code, Some(code), "{}", done.stderr);
        for text in texts {
            assert!(done.stderr.contains(text), "{}", done.stderr);
        }
        assert_eq!(blueprint.image("gateway"), before);
        assert!(!blueprint.root().join("gateway.tar").exists());
        blueprint.replace(
            "gateway/app/app.py",
            &format!("Starts {word} a journey"),
            "Starts a journey",
        );
    }
    blueprint.write("samples.json", r#"{"on_trigger": {"payload": 1}}"#);
    let done = blueprint.up(&call);
    assert_eq!(done.code, Some(80), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("`on_trigger` is called with `headers` too"),
        "{}",
        done.stderr
    );
}

/// The image's Python, asked whether a file compiles: not if it says `retrun`.
const READER: &str = "#!/bin/sh\n[ \"$1 $2 $4\" = \"-I -c app.py\" ] || exit 9\n\
    grep -q retrun app.py && { echo \"13 invalid syntax\"; exit 3; }\nexit 0\n";

#[test]
fn without_a_python_here_the_image_says_whether_the_application_compiles() {
    let scripts = [
        ("assemble", ASSEMBLE),
        ("run", "#!/bin/sh\nexec true\n"),
        ("python", READER),
    ];
    let builder = Tiny {
        scripts: Some(scripts.map(|(name, text)| (name, text.to_owned())).to_vec()),
        links: vec![("bin/python", "/usr/libexec/s2i/python".to_owned())],
        ..Tiny::default()
    };
    let blueprint = Blueprint::on(&builder, no_kubeconfig()).locked();
    let nothing = blueprint.root().join("no-programs");
    let up = |more: &[&str]| -> Done {
        let words = [&["--to", "archive", "gateway"], more].concat();
        let mut command = blueprint.command(&words);
        command.env("PATH", &nothing).output().unwrap().into()
    };
    up(&[]).ok();
    std::fs::remove_file(blueprint.root().join("gateway.tar")).unwrap();
    blueprint.replace("gateway/app/app.py", "Starts a journey", "retrun a journey");
    let done = up(&[]);
    assert_eq!(done.code, Some(97), "{}", done.stderr);
    for text in [
        "the Python of the image cannot read `app.py` of the pod `gateway`",
        "  | 13 invalid syntax",
    ] {
        assert!(done.stderr.contains(text), "{}", done.stderr);
    }
    assert!(!blueprint.root().join("gateway.tar").exists());
    up(&["--no-check-syntax"]).ok();
    assert!(blueprint.root().join("gateway.tar").exists());
    let done = up(&["--check-syntax"]);
    assert!(done.stderr.contains("python3"), "{}", done.stderr);
    assert_ne!(done.code, Some(0), "{}", done.stderr);

    // An image without Python: that is told, and stops nobody.
    let blueprint = Blueprint::new(no_kubeconfig()).locked();
    let mut command = blueprint.command(&["--to", "archive", "gateway"]);
    let done: Done = command.env("PATH", &nothing).output().unwrap().into();
    let said = "whether `app.py` of the pod `gateway` compiles is not known";
    assert!(done.ok().stderr.contains(said));
}
