//! Bytes in, bytes out.

use std::path::Path;

use super::*;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn set(text: &str, name: &str, image: &str) -> Result<Set, Error> {
    let manifest = Manifest::new(Path::new("kustomization.yaml"), text.to_owned())?;
    Kustomization::of(manifest)?.set(name, image)
}

#[track_caller]
fn becomes(text: &str, name: &str, image: &str, expected: &str) {
    let image = image.replace("DIGEST", DIGEST);
    let expected = expected.replace("DIGEST", DIGEST);
    let set = set(text, name, &image).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(set.edited.after, expected, "{text}");
    let again = self::set(&expected, name, &image).unwrap();
    assert!(
        !again.edited.is_change(),
        "{expected}\n{}",
        again.edited.diff(std::path::Path::new("/"))
    );
}

#[test]
fn values_of_an_entry_change_and_nothing_else() {
    becomes(
        "# head\nresources: [d.yaml]\nimages:\n  # ours\n  - name: app   # a\n    newName: 'r.example/app' # b\n    newTag: \"1\" # c\n  - name: other\n    newTag: x\n",
        "app",
        "q.example/team/app:2",
        "# head\nresources: [d.yaml]\nimages:\n  # ours\n  - name: app   # a\n    newName: 'q.example/team/app' # b\n    newTag: \"2\" # c\n  - name: other\n    newTag: x\n",
    );
    becomes(
        "images: [{name: app, newTag: a}]\n",
        "app",
        "r.example/app:b@DIGEST",
        "images: [{name: app, newName: r.example/app, newTag: b, digest: DIGEST}]\n",
    );
    becomes(
        "{\"images\":[{\"name\":\"app\",\"newTag\":\"a\"}]}",
        "app",
        "app:b",
        "{\"images\":[{\"name\":\"app\",\"newTag\":\"b\"}]}",
    );
}

#[test]
fn a_tag_that_is_a_number_to_yaml_gets_quotes() {
    for (tag, written) in [
        ("1.10", "\"1.10\""),
        ("2024", "\"2024\""),
        ("1e5", "\"1e5\""),
        ("0x1F", "\"0x1F\""),
        ("true", "\"true\""),
        ("1_0", "\"1_0\""),
        ("2024-01-02", "\"2024-01-02\""),
        ("1.2.3", "1.2.3"),
        ("v1", "v1"),
        ("8f3a2c1", "8f3a2c1"),
    ] {
        becomes(
            "images:\n- name: app\n  newTag: old # c\n",
            "app",
            &format!("app:{tag}"),
            &format!("images:\n- name: app\n  newTag: {written} # c\n"),
        );
    }
}

#[test]
fn keys_come_and_go_with_their_lines() {
    becomes(
        "images:\r\n- digest: sha256:bbbb\r\n  name: app\r\n- name: b\r\n",
        "app",
        "app:1.x@DIGEST",
        "images:\r\n- digest: DIGEST\r\n  name: app\r\n  newTag: 1.x\r\n- name: b\r\n",
    );
    becomes(
        "images:\n- name: app\n  newTag: a\n  digest: sha256:bbbb # why\n- name: b\n",
        "app",
        "app:b",
        "images:\n- name: app\n  newTag: b\n- name: b\n",
    );
    becomes(
        "images:\n- name: app\n  newTag: a\n  digest: sha256:bbbb",
        "app",
        "app:b",
        "images:\n- name: app\n  newTag: b",
    );
    becomes(
        "images:\n- name: app\n  newTag: a",
        "app",
        "app@DIGEST",
        "images:\n- name: app\n  digest: DIGEST",
    );
    for text in [
        "images:\n- digest: sha256:bbbb\n  name: app\n  newTag: a\n",
        "images: [{name: app, newTag: a, digest: 'sha256:bbbb'}]\n",
    ] {
        let error = set(text, "app", "app:b").unwrap_err();
        assert!(
            matches!(error, Error::Unfit { .. }) && error.to_string().contains("`digest`"),
            "{error}"
        );
    }
}

#[test]
fn an_entry_and_a_list_are_added() {
    let entry = "- name: app\n  newName: r.example/app\n  newTag: v2\n  digest: DIGEST\n";
    let image = "r.example/app:v2@DIGEST";
    becomes(
        "resources:\n- d.yaml # c\n# end\n",
        "app",
        image,
        &format!("resources:\n- d.yaml # c\nimages:\n{entry}# end\n"),
    );
    becomes(
        "\u{feff}resources:\r\n- d.yaml",
        "app",
        "app:v2",
        "\u{feff}resources:\r\n- d.yaml\r\nimages:\r\n- name: app\r\n  newTag: v2",
    );
    becomes(
        "images: # none yet\nnamespace: x\n",
        "app",
        "app:v2",
        "images: # none yet\n- name: app\n  newTag: v2\nnamespace: x\n",
    );
    becomes(
        "images: []\nnamespace: x\n",
        "app",
        "app:v2",
        "images: [{name: app, newTag: v2}]\nnamespace: x\n",
    );
    becomes(
        "images:\n  -   name: a\n      newTag: '1'\n  # c\nnamespace: x\n",
        "app",
        "app:v2",
        "images:\n  -   name: a\n      newTag: '1'\n  -   name: app\n      newTag: v2\n  # c\nnamespace: x\n",
    );
    becomes(
        "images:\n- {name: a, newTag: '1'}\n",
        "r.example:5000/app",
        "r.example:5000/app:v2",
        "images:\n- {name: a, newTag: '1'}\n- name: r.example:5000/app\n  newTag: v2\n",
    );
    becomes(
        "{\"resources\": [\"d.yaml\"], \"images\": []}",
        "app",
        "app:v2",
        "{\"resources\": [\"d.yaml\"], \"images\": [{\"name\": \"app\", \"newTag\": \"v2\"}]}",
    );
}

#[test]
fn what_is_no_kustomization_is_refused() {
    for (text, part) in [
        (
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec: {}\n",
            "toolkit",
        ),
        ("a: 1\n---\nb: 2\n", "2 documents"),
        ("- a\n", "no mapping"),
        ("", "0 documents"),
        ("images: []\nimages: []\n", "already in line 1"),
        ("x: &i []\nimages: *i\n", "laid out"),
        ("images: &i\n- name: a\ny: *i\n", "laid out"),
        ("images:\n- name: app\n  newTag: &t a\nx: *t\n", "shared"),
        ("{\"resources\": []}", "laid out"),
        ("images: {{ .Values.images }}\n", "laid out"),
    ] {
        let error = set(text, "app", "app:v2").expect_err(text);
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn marks_of_flux_are_seen_and_stay() {
    let text = "images:\n- name: app\n  newName: a # {\"$imagepolicy\": \"flux-system:app:name\"}\n  newTag: b # {\"$imagepolicy\": \"flux-system:app:tag\"}\n";
    let set = set(text, "app", "c:d").unwrap();
    assert_eq!(
        set.edited.after,
        text.replace(" a #", " c #").replace(" b #", " d #")
    );
    let fields: Vec<_> = set.markers.iter().map(|marker| marker.field).collect();
    use crate::kubernetes::manifest::Field;
    assert_eq!(fields, [Field::Name, Field::Tag]);
    assert_eq!(set.before.as_deref(), Some("a:b"));
}

#[test]
fn names_are_cut_as_kustomize_cuts_them() {
    for (image, name) in [
        ("app", "app"),
        ("app:1", "app"),
        ("r.example:5000/a/app", "r.example:5000/a/app"),
        ("r.example:5000/a/app:1@sha256:0", "r.example:5000/a/app"),
    ] {
        assert_eq!(name_of(image), name);
    }
}
