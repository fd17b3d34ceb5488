//! The vectors of `reference/path-to-production.md` 3.3: bytes in, bytes out, or a refusal.

use std::path::Path;

use super::*;

const OLD: &str = "registry.example/app:1";
const NEW: &str = "registry.example/app:2@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn web_app() -> Wanted {
    Wanted {
        container: Some("web-app".to_owned()),
        ..Wanted::default()
    }
}

fn edited(text: &str, wanted: &Wanted) -> Result<Edited, Error> {
    let manifest = Manifest::new(Path::new("m.yaml"), text.to_owned())?;
    let manifests = [manifest];
    let found = find(&manifests, wanted)?;
    edit(&manifests[0], &found, NEW)
}

/// `text` has `OLD` once where the image is, and perhaps elsewhere; only that one changes.
#[track_caller]
fn changes(text: &str, expected: &str) {
    let edited = edited(text, &web_app()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(edited.after, expected.replace("NEW", NEW), "{text}");
    assert_eq!(edited.before, text);
    // Right already: nothing is to be done.
    let again = self::edited(&edited.after, &web_app()).unwrap();
    assert!(!again.is_change(), "{text}");
    assert_eq!(again.diff(), "");
}

/// As [`changes`], with `«…»` around the bytes that go in the text, and `NEW`, or what stands behind `=>`, for them.
#[track_caller]
fn vector(marked: &str) {
    let (before, rest) = marked.split_once('«').expect("a mark");
    let (middle, after) = rest.split_once('»').expect("a mark");
    let (old, new) = middle.split_once("=>").unwrap_or((middle, "NEW"));
    changes(
        &[before, old, after].concat(),
        &[before, new, after].concat(),
    );
}

#[track_caller]
fn refused(text: &str, wanted: &Wanted, parts: &[&str]) -> Error {
    let error = edited(text, wanted)
        .map(|edited| edited.after)
        .expect_err(text);
    let message = format!("{error} {}", error.hints().join(" "));
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    error
}

fn deployment(container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n{container}"
    )
}

#[test]
fn the_style_of_a_scalar_and_the_comment_behind_it_stay() {
    for image in [
        "«OLD»",
        "'«OLD»'",
        "\"«OLD»\"",
        "«OLD» # the image",
        "'«OLD»'   # \"the\" image's",
        "«OLD»\t#\ttabs",
        "\"«\\x72egistry.example/app:1»\"",
        "!!str «OLD»",
        "&image «OLD»",
        ">-\n          «OLD»",
        "|-\n          «OLD»",
    ] {
        let image = image.replace("OLD", OLD);
        vector(&deployment(&format!(
            "      - name: web-app\n        image: {image}\n        ports: []\n"
        )));
        vector(&deployment(&format!(
            "      - image: {image}\n        name: web-app\n"
        )));
        vector(&deployment(&format!(
            "      - name: side\n        image: {OLD}\n      - name: 'web-app'\n        image: {image}"
        )));
    }
}
