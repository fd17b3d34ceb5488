//! The vectors of `reference/path-to-production.md` 3.3: bytes in, bytes out, or a refusal.

#[path = "manifest_tests/anchors.rs"]
mod anchors;
#[path = "manifest_tests/found.rs"]
mod found;
#[path = "manifest_tests/missing.rs"]
mod missing;
#[path = "manifest_tests/refused.rs"]
mod refused;

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
    assert_eq!(again.diff(Path::new("/w")), "");
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

#[test]
fn flow_style_and_json_keep_their_layout() {
    let flow = deployment("      - {name: web-app, image: «OLD», ports: [1, 2]} # c\n");
    vector(&flow.replace("OLD", OLD));
    vector(&deployment("      - {name: web-app, image: '«OLD»' , x: y}\n").replace("OLD", OLD));
    vector(&deployment("        [{image: \"«OLD»\", name: web-app}]\n").replace("OLD", OLD));
    let json = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},
	"spec":{"template":{"spec":{"containers":[
		{"name":"web-app","image":"«OLD»","env":[{"name":"A","value":"\/b\u00e9"}]}]}}}}"#;
    vector(&json.replace("OLD", OLD));
    vector(&json.replace("OLD", OLD).replace('\n', "\r\n"));
}

#[test]
fn line_ends_the_byte_order_mark_and_the_missing_last_line_end_stay() {
    let text = deployment(
        "      - name: web-app # größe\n        image: «OLD» # ü\n      - name: sidé\n        image: OLD\n",
    );
    let text = text.replace("OLD", OLD);
    vector(&text);
    vector(&text.replace('\n', "\r\n"));
    vector(&format!("\u{feff}{text}"));
    vector(&format!("\u{feff}{}", text.replace('\n', "\r\n")));
    vector(text.trim_end());
    vector(text.replace('\n', "\r\n").trim_end());
    let last = deployment("      - name: web-app\n        image: «OLD»").replace("OLD", OLD);
    vector(&last);
    vector(&format!("{last}   "));
    vector(&format!("{last} # no end"));
    vector(&format!("{last}\r\n\r\n# end\r\n"));
}

#[test]
fn one_document_among_many_changes() {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n  annotations:\n    note: 'name: web-app, image: OLD'\ndata:\n  d.yaml: |\n    kind: Deployment\n    spec:\n      containers:\n      - name: web-app\n        image: OLD\n  t: |\n    {{ .Values.x }}\n";
    let other = deployment("      - name: other\n        image: OLD\n");
    let ours = deployment("      - name: web-app\n        image: «OLD»\n");
    for text in [
        format!("---\n{config}---\n{other}---\n{ours}...\n"),
        format!("# c\n---\n# d\n{ours}\n---\n{config}\n...\n---\n{other}"),
        format!("%YAML 1.1\n---\n{ours}---\n---\n\n---\n{config}"),
        format!("--- # first\n{other}--- \n{ours}"),
    ] {
        vector(&text.replace("OLD", OLD));
        vector(&text.replace("OLD", OLD).replace('\n', "\r\n"));
    }
}

#[test]
fn every_kind_of_workload_is_found_at_its_path() {
    let container = |indent: &str| {
        format!("{indent}containers:\n{indent}- name: web-app\n{indent}  image: «OLD»\n")
    };
    let template = |indent: &str| {
        format!(
            "{indent}template:\n{indent}  spec:\n{}",
            container(&format!("{indent}    "))
        )
    };
    for (kind, api) in [
        ("Deployment", "apps/v1"),
        ("StatefulSet", "apps/v1"),
        ("DaemonSet", "apps/v1"),
        ("ReplicaSet", "apps/v1"),
        ("ReplicationController", "v1"),
        ("Job", "batch/v1"),
        ("Rollout", "argoproj.io/v1alpha1"),
    ] {
        let text = format!(
            "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: w}}\nspec:\n{}",
            template("  ")
        );
        vector(&text.replace("OLD", OLD));
    }
    let pod = format!(
        "kind: Pod\napiVersion: v1\nmetadata: {{name: w}}\nspec:\n{}",
        container("  ")
    );
    vector(&pod.replace("OLD", OLD));
    let cron = format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: w}}\nspec:\n  jobTemplate:\n    spec:\n{}",
        template("      ")
    );
    vector(&cron.replace("OLD", OLD));
    for (list, api) in [("List", "v1"), ("DeploymentList", "apps/v1")] {
        let item = "- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: NAME}\n  spec:\n    template:\n      spec:\n        containers:\n        - name: CONTAINER\n          image: IMAGE\n";
        let text = format!(
            "apiVersion: {api}\nkind: {list}\nitems:\n{}- apiVersion: v1\n  kind: Service\n{}",
            item.replace("NAME", "a")
                .replace("CONTAINER", "b")
                .replace("IMAGE", OLD),
            item.replace("NAME", "c")
                .replace("CONTAINER", "web-app")
                .replace("IMAGE", "«OLD»"),
        );
        vector(&text.replace("OLD", OLD));
    }
    // Somebody else's kind of the same name has other rules.
    let foreign = format!(
        "apiVersion: batch.volcano.sh/v1\nkind: Job\nspec:\n{}",
        template("  ")
    );
    refused(&foreign.replace("«OLD»", OLD), &web_app(), &["no workload"]);
}

#[test]
fn containers_of_the_initialisation_are_left_alone_unless_asked_for() {
    let text = deployment(
        "      - name: web-app\n        image: «OLD»\n      initContainers:\n      - name: migrate\n        image: OLD\n",
    );
    vector(&text.replace("OLD", OLD));
    let text = text.replace("«OLD»", OLD).replace("OLD", OLD);
    let mut wanted = Wanted {
        container: Some("migrate".to_owned()),
        ..Wanted::default()
    };
    let error = refused(
        &text,
        &wanted,
        &["no container `migrate`", "`--init-containers`"],
    );
    assert!(matches!(error, Error::NoContainer { init: Some(_), .. }));
    let nope = Wanted {
        container: Some("nope".to_owned()),
        ..Wanted::default()
    };
    refused(
        &text,
        &nope,
        &["`web-app in Deployment/web`, `migrate in Deployment/web (initialisation)`"],
    );
    wanted.init_containers = true;
    let at = text.rfind(OLD).unwrap();
    let expected = [&text[..at], NEW, &text[at + OLD.len()..]].concat();
    assert_eq!(edited(&text, &wanted).unwrap().after, expected);
    // Nobody named a container: the one that is not of the initialisation.
    let only = Wanted::default();
    assert!(
        edited(&text, &only)
            .unwrap()
            .after
            .contains(&format!("name: web-app\n        image: {NEW}"))
    );
}

#[test]
fn a_sidecar_with_the_same_image_keeps_it() {
    let text = deployment(
        "      - name: side\n        image: OLD\n      - name: web-app\n        image: «OLD»\n      - name: web-app-2\n        image: OLD\n",
    );
    vector(&text.replace("OLD", OLD));
}

#[test]
fn marks_of_flux_stay_and_are_told() {
    for (mark, policy, field) in [
        (
            "# {\"$imagepolicy\": \"flux-system:web\"}",
            "flux-system:web",
            Field::Reference,
        ),
        ("#{\"$imagepolicy\":\"a:b:tag\"}", "a:b", Field::Tag),
        (
            "#  {\"$imagepolicy\" : \"a:b:name\", \"y\": 1}",
            "a:b",
            Field::Name,
        ),
        ("# {\"$imagepolicy\": \"a:b:digest\"}", "a:b", Field::Digest),
    ] {
        let text = deployment(&format!(
            "      - name: web-app\n        image: «{OLD}» {mark}\n"
        ));
        vector(&text);
        let manifest = Manifest::new(Path::new("m.yaml"), text.replace(['«', '»'], "")).unwrap();
        let found = find(&[manifest], &web_app()).unwrap();
        assert_eq!(
            found.marker,
            Some(Marker {
                policy: policy.to_owned(),
                field
            })
        );
        assert_eq!((found.line, found.image.as_deref()), (10, Some(OLD)));
    }
    for text in [
        "# {\"$imagepolicy\": \"nothing\"}",
        "# imagepolicy",
        "# x {\"$imagepolicy\": \"a:b\"}",
        "\n        # {\"$imagepolicy\": \"a:b\"}",
    ] {
        let text = deployment(&format!(
            "      - name: web-app\n        image: {OLD} {text}\n"
        ));
        let manifest = Manifest::new(Path::new("m.yaml"), text).unwrap();
        assert_eq!(find(&[manifest], &web_app()).unwrap().marker, None);
    }
}

#[test]
fn a_diff_shows_the_one_line() {
    let text = deployment(&format!("      - name: web-app\n        image: {OLD}\n"));
    let mut change = edited(&text, &web_app()).unwrap();
    let diff = change.diff(Path::new("/w"));
    for (path, shown) in [
        ("./m.yaml", "m.yaml"),
        ("/w/k8s/m.yaml", "k8s/m.yaml"),
        ("k8s/./../m.yaml", "m.yaml"),
        ("../w/m.yaml", "m.yaml"),
        ("/other/m.yaml", "other/m.yaml"),
        ("a b.yaml", "a b.yaml\t"),
    ] {
        change.path = path.into();
        let diff = change.diff(Path::new("/w"));
        let header = format!("--- a/{shown}\n+++ b/{shown}\n");
        assert!(diff.starts_with(&header), "{path}: {diff}");
    }
    change.path = "a \"b\".yaml".into();
    let quoted = change.diff(Path::new("/w"));
    assert!(
        quoted.starts_with("--- \"a/a \\\"b\\\".yaml\"\n+++ \"b/a "),
        "{quoted}"
    );
    assert_eq!(
        diff,
        format!(
            "--- a/m.yaml\n+++ b/m.yaml\n@@ -7,4 +7,4 @@\n     spec:\n       containers:\n       - name: web-app\n-        image: {OLD}\n+        image: {NEW}\n"
        )
    );
}

#[test]
fn several_containers_of_one_file_change_together() {
    let text = deployment(&format!(
        "      - name: a\n        image: {OLD}\n      - name: b\n        image: x\n"
    ));
    let manifests = [
        Manifest::new(Path::new("other.yaml"), "kind: Service\n".to_owned()).unwrap(),
        Manifest::new(Path::new("m.yaml"), text.clone()).unwrap(),
    ];
    let of = |name: &str| {
        let wanted = Wanted {
            container: Some(name.to_owned()),
            ..Wanted::default()
        };
        find(&manifests, &wanted).unwrap()
    };
    let edits = edit_all(&manifests, &[(of("a"), NEW), (of("b"), "y:2")]).unwrap();
    assert_eq!(edits.len(), 1);
    assert_eq!(edits[0].before, text);
    assert_eq!(
        edits[0].after,
        text.replace(OLD, NEW).replace("image: x", "image: y:2")
    );
    assert!(edit_all(&manifests, &[(of("a"), NEW), (of("b"), "no such")]).is_err());
}
