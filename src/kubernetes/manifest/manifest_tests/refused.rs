//! What is not edited.

use super::*;

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
