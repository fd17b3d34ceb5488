//! Manifests that are long, or that aliases make long: what they need is bounded.

use std::path::Path;

use super::*;

const NEW: &str = "registry.example/app:2";

fn edited(text: &str, container: &str) -> Result<Edited, Error> {
    let manifests = [Manifest::new(Path::new("m.yaml"), text.to_owned())?];
    let wanted = Wanted {
        container: Some(container.to_owned()),
        ..Wanted::default()
    };
    let found = find(&manifests, &wanted)?;
    edit(&manifests[0], &found, NEW)
}

fn pod(name: usize) -> String {
    format!(
        "# größe {name}\napiVersion: v1\nkind: Pod\nmetadata: {{name: w{name}}}\nspec:\n  containers:\n  - name: c{name}\n    image: 'a:{name}' # stays\n---\n"
    )
}

#[test]
fn any_document_of_many_changes_and_no_other_byte() {
    let text: String = (0..500).map(pod).collect();
    for number in [0, 1, 250, 498, 499] {
        let edited = edited(&text, &format!("c{number}")).unwrap();
        let (old, new) = (format!("'a:{number}'"), format!("'{NEW}'"));
        assert_eq!(edited.after, text.replace(&old, &new), "{number}");
    }
}

#[test]
fn a_mistake_in_any_document_is_found_before_anything_else() {
    let text: String = (0..50).map(pod).collect();
    let line = text.lines().count() + 2;
    for (mistake, part) in [
        ("a: 1\nb: [\n", "not YAML".to_owned()),
        ("kind: A\nkind: B\n", format!("line {line}: `kind`")),
        (
            "kind: Pod\nmetadata: {name: '{{ .Values.x }}'}\nspec: {containers: [{name: a}]}\n",
            "template".to_owned(),
        ),
    ] {
        let error = edited(&format!("{text}{mistake}"), "c3").unwrap_err();
        assert!(error.to_string().contains(&part), "{error}");
    }
}

#[test]
fn a_workload_of_very_many_containers_is_no_work_for_each_of_them() {
    // Once the workload was copied for each of its containers: 20,000 times 20,000 containers.
    let containers: String = (0..20_000)
        .map(|number| format!("  - {{name: c{number}, image: 'a:{number}'}}\n"))
        .collect();
    let text = format!("kind: Pod\nmetadata: {{name: w}}\nspec:\n  containers:\n{containers}");
    let edited = edited(&text, "c19999").unwrap();
    assert_eq!(edited.after, text.replace("'a:19999'", &format!("'{NEW}'")));
    let error = self::edited(&text, "nope").unwrap_err().to_string();
    assert!(
        error.contains("`c0 in Pod/w`") && error.contains("19980 more"),
        "{error}"
    );
}

#[test]
fn aliases_of_aliases_are_no_endless_work() {
    let spec = |image: &str| {
        format!(
            "kind: Pod\nmetadata: {{name: w}}\nspec:\n  containers:\n  - name: c\n    {image}\n"
        )
    };
    // Each level doubles the ways to the image.
    let mut text = "x-0: &a0 {image: a:1}\n".to_owned();
    for level in 1..40 {
        let below = level - 1;
        text += &format!("x-{level}: &a{level} [*a{below}, *a{below}]\n");
    }
    let error = edited(&(text + &spec("<<: *a0")), "c").unwrap_err();
    assert!(matches!(error, Error::Shared { .. }), "{error}");
    // Lists of one list, and pods of one list of containers.
    let hundred = |alias: &str| [alias; 100].join(", ");
    let list = |anchor: &str, items: &str| {
        format!("{anchor}: &{anchor} {{kind: List, items: [{items}]}}\n")
    };
    let lists = [
        "x-p: &p {kind: Pod, metadata: {name: w}, spec: {containers: [{name: c, image: a:1}]}}\n"
            .to_owned(),
        list("l1", &hundred("*p")),
        list("l2", &hundred("*l1")),
        list("l3", &hundred("*l2")),
        format!("kind: List\nitems: [{}]\n", hundred("*l3")),
    ]
    .concat();
    let error = edited(&lists, "c").unwrap_err();
    assert!(matches!(error, Error::Aliases { line: 1, .. }), "{error}");
    let containers = (0..2000).map(|number| format!("{{name: c{number}, image: a:1}}"));
    let containers: Vec<String> = containers.collect();
    let pod = "{kind: Pod, metadata: {name: w}, spec: {containers: *c}}";
    let pods = format!(
        "x-c: &c [{}]\nkind: List\nitems: [{}]\n",
        containers.join(", "),
        vec![pod; 2000].join(", ")
    );
    let error = edited(&pods, "c0").unwrap_err();
    assert!(matches!(error, Error::Aliases { .. }), "{error}");
}
