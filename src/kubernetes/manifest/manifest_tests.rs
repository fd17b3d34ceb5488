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
fn an_anchor_changes_only_if_nothing_else_uses_it() {
    let one = deployment("      - name: web-app\n        image: *img\n");
    vector(&format!("x-image: &img «{OLD}» # c\n{one}"));
    vector(&format!(".image: &img \"«{OLD}»\"\n{one}"));
    // What only holds things for aliases uses nothing itself.
    vector(&format!("x-image: &img «{OLD}»\nx-also: *img\n{one}"));
    for text in [
        format!("x-image: &img {OLD}\n{one}      - name: side\n        image: *img\n"),
        format!(
            "x-image: &img {OLD}\n{one}      initContainers:\n      - name: migrate\n        image: *img\n"
        ),
        deployment(&format!(
            "      - name: web-app\n        image: &img {OLD}\n      - name: side\n        image: *img\n"
        )),
        deployment(&format!(
            "      - name: side\n        image: &img {OLD}\n      - name: web-app\n        image: *img\n"
        )),
        format!(
            "metadata:\n  labels: {{v: &img {OLD}}}\nkind: Pod\nspec:\n  containers:\n  - name: web-app\n    image: *img\n"
        ),
        format!("x-all: &all\n- &img {OLD}\nother: *all\n{one}"),
    ] {
        match edited(&text, &web_app()) {
            Err(Error::Shared { .. }) => {}
            other => panic!("{other:?}\n{text}"),
        }
    }
    let error = refused(
        &deployment(&format!(
            "      - name: web-app\n        image: &img {OLD}\n      - name: side\n        image: *img\n"
        )),
        &web_app(),
        &["line 10", "lines 10, 12", "x-"],
    );
    assert!(matches!(error, Error::Shared { line: 10, .. }));
    // The container itself is an alias.
    vector(&format!(
        "x-c: &c\n  name: web-app\n  image: «{OLD}»\n{}",
        deployment("      - *c\n")
    ));
    refused(
        &format!(
            "x-c: &c\n  name: web-app\n  image: {OLD}\n{}      initContainers: [*c]\n",
            deployment("      - *c\n")
        ),
        &web_app(),
        &["lines"],
    );
}

#[test]
fn what_is_merged_changes_only_if_nothing_else_merges_it() {
    let base = format!("x-base: &base\n  image: «{OLD}»\n  tty: true\n");
    let merging = "      - <<: *base\n        name: web-app\n";
    vector(&format!("{base}{}", deployment(merging)));
    vector(&format!(
        "{base}{}",
        deployment("      - name: web-app\n        <<: [*base]\n")
    ));
    let text = format!(
        "{base}{}      - <<: *base\n        name: side\n",
        deployment(merging)
    );
    refused(
        &text.replace(['«', '»'], ""),
        &web_app(),
        &["shared", "lines"],
    );
    // Its own image counts more than a merged one.
    let own = deployment(&format!(
        "      - <<: *base\n        name: web-app\n        image: «{OLD}»\n      - <<: *base\n        name: side\n"
    ));
    vector(&format!("{}{own}", base.replace(['«', '»'], "")));
    // A merge that goes round ends.
    let round = format!(
        "x-a: &a\n  <<: *a\n{}",
        deployment("      - <<: *a\n        name: web-app\n")
    );
    if let Ok(edited) = edited(&round, &web_app()) {
        assert_eq!(edited.after, format!("{round}        image: {NEW}\n"));
    }
}

#[test]
fn an_empty_or_missing_image_is_written_beside_its_siblings() {
    let of = |container: &str| deployment(container);
    for (before, after) in [
        (
            "      - name: web-app\n        image:\n        ports: []\n",
            "      - name: web-app\n        image: NEW\n        ports: []\n",
        ),
        (
            "      - name: web-app\n        image:   # c\n",
            "      - name: web-app\n        image: NEW   # c\n",
        ),
        (
            "      - name: web-app\n        image: # {\"$imagepolicy\": \"a:b\"}\n",
            "      - name: web-app\n        image: NEW # {\"$imagepolicy\": \"a:b\"}\n",
        ),
        (
            "      - name: web-app\n        image:",
            "      - name: web-app\n        image: NEW",
        ),
        (
            "      - image:\n        name: web-app\n",
            "      - image: NEW\n        name: web-app\n",
        ),
        (
            "      - name: web-app\n        image: ~\n",
            "      - name: web-app\n        image: NEW\n",
        ),
        (
            "      - name: web-app\n        image: null # c\n",
            "      - name: web-app\n        image: NEW # c\n",
        ),
        (
            "      - name: web-app\n        image: ''\n",
            "      - name: web-app\n        image: 'NEW'\n",
        ),
        (
            "      - name: web-app\n        image: \"\"\n",
            "      - name: web-app\n        image: \"NEW\"\n",
        ),
        (
            "      - name: web-app # c\n        ports: []\n",
            "      - name: web-app # c\n        image: NEW\n        ports: []\n",
        ),
        (
            "      - ports: []\n        name: web-app\n",
            "      - ports: []\n        name: web-app\n        image: NEW\n",
        ),
        (
            "      -   name: web-app",
            "      -   name: web-app\n          image: NEW",
        ),
        (
            "      -\n        name: web-app\n\n# c\n",
            "      -\n        name: web-app\n        image: NEW\n\n# c\n",
        ),
        (
            "      - {name: web-app, tty: true}\n",
            "      - {name: web-app, image: NEW, tty: true}\n",
        ),
        (
            "      - {name: web-app}\n",
            "      - {name: web-app, image: NEW}\n",
        ),
        (
            "      - {name: web-app, image: , a: b}\n",
            "      - {name: web-app, image: NEW , a: b}\n",
        ),
        (
            "      - {image, name: web-app}\n",
            "      - {image: NEW, name: web-app}\n",
        ),
        (
            "      - {\n          name: web-app, # c\n          tty: true\n        }\n",
            "      - {\n          name: web-app,\n          image: NEW, # c\n          tty: true\n        }\n",
        ),
    ] {
        changes(&of(before), &of(after));
        let crlf = |text: &str| of(text).replace('\n', "\r\n");
        changes(&crlf(before), &crlf(after));
    }
    let json = "{\"kind\": \"Pod\", \"spec\": {\"containers\": [{CONTAINER}]}}";
    for (before, after) in [
        (
            "\"name\":\"web-app\"",
            "\"name\":\"web-app\", \"image\": \"NEW\"",
        ),
        (
            "\"image\":\"\",\"name\":\"web-app\"",
            "\"image\":\"NEW\",\"name\":\"web-app\"",
        ),
        (
            "\"image\":null,\"name\":\"web-app\"",
            "\"image\":\"NEW\",\"name\":\"web-app\"",
        ),
        (
            "\n\t\"name\": \"web-app\",\n\t\"tty\": true\n",
            "\n\t\"name\": \"web-app\",\n\t\"image\": \"NEW\",\n\t\"tty\": true\n",
        ),
    ] {
        changes(
            &json.replace("CONTAINER", before),
            &json.replace("CONTAINER", after),
        );
    }
}

#[test]
fn templates_are_refused_and_what_only_looks_like_them_is_not() {
    let hint = ["it is a template", "values"];
    for (text, line) in [
        (
            deployment("      - name: web-app\n        image: {{ .Values.image }}\n"),
            10,
        ),
        (
            deployment(
                "      - name: web-app\n        image: \"{{ .Values.image }}:{{ .Chart.AppVersion }}\"\n",
            ),
            10,
        ),
        (
            deployment(&format!(
                "      - name: web-app\n        image: {OLD}\n        {{{{- with .Values.x }}}}\n        a: b\n        {{{{- end }}}}\n"
            )),
            11,
        ),
        (
            format!(
                "{{{{- if .Values.on }}}}\n{}{{{{- end }}}}\n",
                deployment(&format!("      - name: web-app\n        image: {OLD}\n"))
            ),
            1,
        ),
        (
            deployment(&format!(
                "      - name: web-app\n        image: {OLD}\n        tty: {{{{ .Values.tty }}}}\n"
            )),
            11,
        ),
        (
            deployment(&format!(
                "      - name: web-app\n        image: {OLD}\n        workingDir: x-{{{{ .Values.tty }}}}\n"
            )),
            11,
        ),
        (
            deployment(&format!(
                "      - name: web-app\n        image: {OLD}\n        workingDir: \"{{{{ .Values.tty }}}}\"\n"
            )),
            11,
        ),
        (
            deployment(&format!("      - name: web-app\n        image: {OLD}\n"))
                .replace("name: web\n", "name: '{{ x }}'\n"),
            4,
        ),
    ] {
        let error = refused(&text, &web_app(), &hint);
        assert!(
            matches!(error, Error::Template { line: found, .. } if found == line),
            "{error} {text}"
        );
    }
    // Braces of a program's own in a value, and in a comment.
    vector(&deployment(&format!(
        "      - name: web-app # {{{{ not this }}}}\n        image: «{OLD}»\n        args: [\"--format={{{{.Name}}}}\"]\n        env:\n        - name: T\n          value: |\n            {{{{ .Values.x }}}}\n"
    )));
    // What is no YAML for another reason is not called a template.
    let error = refused("a: [\n# {{ x }}\n", &web_app(), &["is not YAML", "line"]);
    assert!(matches!(error, Error::Syntax { .. }));
}

#[test]
fn keys_that_are_there_twice_are_refused() {
    let container = format!("      - name: web-app\n        image: {OLD}\n");
    for (text, lines) in [
        (
            deployment(&format!("{container}        image: {OLD}\n")),
            ["line 11", "line 10"],
        ),
        (
            deployment(&format!("{container}        name: other\n")),
            ["line 11", "line 9"],
        ),
        (
            format!("{}kind: Service\n", deployment(&container)),
            ["line 11", "line 2"],
        ),
        (
            format!("{}  template: {{}}\n", deployment(&container)),
            ["line 11", "line 6"],
        ),
        (
            deployment(&container).replace("name: web\n", "name: web\n  \"name\": api\n"),
            ["line 5", "line 4"],
        ),
    ] {
        let error = refused(&text, &web_app(), &lines);
        assert!(matches!(error, Error::DuplicateKey { .. }));
    }
}

#[test]
fn one_container_in_two_workloads_needs_the_workload_named() {
    let one = deployment(&format!("      - name: web-app\n        image: {OLD}\n"));
    let two = one
        .replace("name: web\n", "name: api\n")
        .replace("Deployment", "StatefulSet");
    let text = format!("{one}---\n{two}");
    let error = refused(
        &text,
        &web_app(),
        &[
            "Deployment/web (m.yaml:9)",
            "StatefulSet/api (m.yaml:20)",
            "--deployment",
        ],
    );
    assert!(matches!(error, Error::Ambiguous { .. }));
    for (name, first) in [
        ("web", true),
        ("deployment/web", true),
        ("deploy/web", true),
        ("sts/api", false),
        ("api", false),
    ] {
        let wanted = Wanted {
            workload: Some(name.parse().unwrap()),
            ..web_app()
        };
        let after = edited(&text, &wanted).unwrap().after;
        let expected = match first {
            true => format!("{}---\n{two}", one.replace(OLD, NEW)),
            false => format!("{one}---\n{}", two.replace(OLD, NEW)),
        };
        assert_eq!(after, expected, "{name}");
    }
    let wanted = Wanted {
        workload: Some("sts/web".parse().unwrap()),
        ..web_app()
    };
    refused(
        &text,
        &wanted,
        &["no workload `sts/web`", "Deployment/web", "StatefulSet/api"],
    );
    // The same name in two namespaces.
    let spaced =
        |space: &str| one.replace("name: web\n", &format!("name: web\n  namespace: {space}\n"));
    let text = format!("{}---\n{}", spaced("a"), spaced("b"));
    let wanted = Wanted {
        workload: Some("web".parse().unwrap()),
        ..web_app()
    };
    refused(&text, &wanted, &["several workloads", "--namespace"]);
    // Nothing is named, and only the workload tells them apart.
    refused(
        &text,
        &Wanted::default(),
        &["several containers", "`--deployment KIND/NAME`"],
    );
    let elsewhere = Wanted {
        namespace: Some("other".to_owned()),
        ..web_app()
    };
    refused(
        &text,
        &elsewhere,
        &["namespace `other`", "namespaces `a`, `b`"],
    );
    let wanted = Wanted {
        namespace: Some("b".to_owned()),
        ..web_app()
    };
    assert_eq!(
        edited(&text, &wanted).unwrap().after,
        format!("{}---\n{}", spaced("a"), spaced("b").replace(OLD, NEW))
    );
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
fn what_is_no_reference_is_refused() {
    let text = deployment(&format!("      - name: web-app\n        image: {OLD}\n"));
    let manifests = [Manifest::new(Path::new("m.yaml"), text).unwrap()];
    let found = find(&manifests, &web_app()).unwrap();
    for image in [
        "bad..ref::",
        "",
        "a b",
        "App",
        "x:\"y\"",
        "x\ny: z",
        "x # y",
        "https://x/y",
    ] {
        let error = edit(&manifests[0], &found, image).unwrap_err();
        assert!(matches!(error, Error::Reference(_)), "{image}: {error}");
    }
    // What the plain style could not hold gets quotes.
    for (image, written) in [
        ("[::1]:5000/a:1", "\"[::1]:5000/a:1\""),
        ("12:30", "\"12:30\""),
        ("null", "\"null\""),
        ("1.5", "\"1.5\""),
        ("a:1", "a:1"),
    ] {
        let after = edit(&manifests[0], &found, image).unwrap().after;
        assert!(after.ends_with(&format!("image: {written}\n")), "{after}");
    }
}

#[test]
fn images_that_are_no_single_values_are_refused_with_their_line() {
    for (image, part) in [
        ("[a]", "a list"),
        ("{a: b}", "a mapping"),
        ("!Ref image", "tag `!Ref`"),
        ("!!binary aGk=", "binary"),
        ("|\n          a:1\n", "block of several lines"),
        (">-\n          a\n          b\n", "block of several lines"),
        ("&i\n", "empty behind"),
    ] {
        let text = deployment(&format!(
            "      - name: web-app\n        image: {image}\n        tty: true\n"
        ));
        let error = refused(&text, &web_app(), &[part, "line 1"]);
        assert!(
            matches!(error, Error::Unfit { what: "image", .. }),
            "{error}"
        );
    }
}

#[test]
fn who_is_not_there_is_said_with_who_is() {
    let text = deployment(&format!(
        "      - name: web\n        image: {OLD}\n      - name: side\n        image: {OLD}\n"
    ));
    refused(
        &text,
        &web_app(),
        &[
            "no container `web-app`",
            "`web in Deployment/web`, `side in Deployment/web`",
        ],
    );
    refused(
        &text,
        &Wanted::default(),
        &["several containers", "--container"],
    );
    refused(
        "kind: Service\napiVersion: v1\n",
        &web_app(),
        &["no workload is in `m.yaml`"],
    );
    refused("", &web_app(), &["no workload"]);
    refused("a: \u{1b}[31m[", &web_app(), &["m.yaml"]);
    let hostile = deployment("      - name: \"\\e[31mred\"\n        image: a\n");
    let message = edited(&hostile, &web_app()).unwrap_err().to_string();
    assert!(!message.contains('\u{1b}'), "{message:?}");
}

#[test]
fn pull_policies_follow_kubernetes() {
    for (policy, image, always) in [
        (None, "a", true),
        (None, "a:latest", true),
        (None, "a:1", false),
        (
            None,
            "a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            false,
        ),
        (Some("Always"), "a:1", true),
        (Some("IfNotPresent"), "a:latest", false),
        (Some("Never"), "a", false),
    ] {
        let policy = PullPolicy(policy.map(str::to_owned));
        assert_eq!(
            policy.always_pulls(&image.parse().unwrap()),
            always,
            "{policy:?} {image}"
        );
    }
}

#[test]
fn workloads_are_listed_with_their_containers() {
    let text = "apiVersion: v1\nkind: Service\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: n\nspec:\n  template:\n    spec:\n      initContainers: [{name: i}]\n      containers:\n      - name: a\n        image: x:1\n        imagePullPolicy: Never\n      - image: y\n";
    let found = workloads(Path::new("m"), text).unwrap();
    assert_eq!(found.len(), 1);
    let workload = &found[0];
    assert_eq!(
        (
            workload.name.to_string().as_str(),
            workload.namespace.as_deref()
        ),
        ("Deployment/web", Some("n"))
    );
    assert_eq!((workload.document, workload.line), (1, 4));
    let containers: Vec<_> = workload
        .containers
        .iter()
        .map(|c| {
            (
                c.name.as_str(),
                c.image.as_deref(),
                c.is_init,
                c.pull_policy.0.as_deref(),
                c.line,
            )
        })
        .collect();
    assert_eq!(
        containers,
        [
            ("a", Some("x:1"), false, Some("Never"), 14),
            ("", Some("y"), false, None, 17),
            ("i", None, true, None, 12),
        ]
    );
}

#[test]
fn names_of_workloads_are_read_as_kubectl_reads_them() {
    for text in ["", "/", "deployment/", "x/y/z", "service/web", "thing/web"] {
        assert!(text.parse::<WorkloadName>().is_err(), "{text}");
    }
    let web = WorkloadName {
        kind: "StatefulSet".to_owned(),
        name: "web".to_owned(),
    };
    for (text, means) in [
        ("web", true),
        ("sts/web", true),
        ("STATEFULSETS/web", true),
        ("deploy/web", false),
        ("sts/we", false),
    ] {
        assert_eq!(
            text.parse::<WorkloadName>().unwrap().means(&web),
            means,
            "{text}"
        );
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
