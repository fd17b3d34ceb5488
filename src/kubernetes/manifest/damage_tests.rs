//! Manifests of any shape, and damaged ones: an edit changes one value and no other byte, or there is none.

use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;
use crate::yaml::{self, Node, Style, Value};

const NEW: &str = "registry.example:5000/team/new:2@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A value of the text, wherever it is, with its place in the tree.
fn flattened(
    node: &Node,
    place: String,
    into: &mut Vec<(String, Option<usize>, Option<String>, Value)>,
) {
    let value = match &node.value {
        Value::Sequence(items) => {
            for (number, item) in items.iter().enumerate() {
                flattened(item, format!("{place}/{number}"), into);
            }
            Value::Sequence(Vec::new())
        }
        Value::Mapping(entries) => {
            for (number, (key, value)) in entries.iter().enumerate() {
                flattened(key, format!("{place}/{number}k"), into);
                flattened(value, format!("{place}/{number}v"), into);
            }
            Value::Mapping(Vec::new())
        }
        other => other.clone(),
    };
    into.push((place, node.anchor, node.tag.clone(), value));
}

fn values(text: &str) -> Vec<(String, Option<usize>, Option<String>, Value)> {
    let mut into = Vec::new();
    for (number, document) in yaml::parse(text).unwrap().iter().enumerate() {
        if let Some(root) = &document.root {
            flattened(root, number.to_string(), &mut into);
        }
    }
    into
}

/// What must hold of every edit, whatever the text was: one value is different, and the bytes outside it are the same.
fn holds(edited: &Edited) {
    let (before, after) = (&edited.before, &edited.after);
    let (old, new) = (values(before), values(after));
    let same_places = old.len() == new.len();
    if same_places {
        let different: Vec<_> = old
            .iter()
            .zip(&new)
            .filter(|(old, new)| old != new)
            .collect();
        assert!(different.len() <= 1, "{different:#?}\n{before}\n{after}");
        for ((place, anchor, tag, value), (new_place, new_anchor, new_tag, new_value)) in different
        {
            assert_eq!((place, anchor, tag), (new_place, new_anchor, new_tag));
            let (Value::Scalar(_, style), Value::Scalar(text, new_style)) = (value, new_value)
            else {
                panic!("{value:?} became {new_value:?}");
            };
            assert_eq!(text, NEW);
            assert!(
                style == new_style || *style == Style::Plain,
                "{style:?} became {new_style:?}"
            );
        }
    } else {
        // An entry came: a key and a value.
        assert_eq!(old.len() + 2, new.len(), "{before}\n{after}");
    }
    // Bytes: a common beginning and a common end, and between them nothing but one value in the new text.
    let start = before
        .bytes()
        .zip(after.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let rest = before.len().min(after.len()) - start;
    let end = before
        .bytes()
        .rev()
        .zip(after.bytes().rev())
        .take(rest)
        .take_while(|(a, b)| a == b)
        .count();
    let middle = &after.as_bytes()[start..after.len() - end];
    assert!(
        middle.len() <= NEW.len() + 24,
        "{:?}",
        String::from_utf8_lossy(middle)
    );
    let gone = &before.as_bytes()[start..before.len() - end];
    assert!(
        !gone.contains(&b'\n'),
        "{:?}",
        String::from_utf8_lossy(gone)
    );
}

fn comment() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        1 => Just(" # a comment: 'x' \"y\" {z}".to_owned()),
        1 => Just("\t# größe – 寸法".to_owned()),
        1 => Just("   ".to_owned()),
        1 => Just(" # {\"$imagepolicy\": \"flux-system:app\"}".to_owned()),
    ]
}

/// A value of some other key, in one line, for blocks and brackets.
fn other_value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("1".to_owned()),
        Just("'it''s'".to_owned()),
        Just("\"tab\\t \\\"q\\\" # no comment\"".to_owned()),
        Just("[a, {b: c}, 'd, e']".to_owned()),
        Just("{name: web-app, image: not-this}".to_owned()),
        Just("größe".to_owned()),
        Just("\"name: web-app\"".to_owned()),
        Just("~".to_owned()),
    ]
}

fn image() -> impl Strategy<Value = String> {
    let name = "[a-z][a-z0-9]{0,6}(/[a-z0-9]{1,5}){0,2}(:[a-zA-Z0-9._-]{1,6})?";
    (name, 0..3u8).prop_map(|(name, style)| match style {
        0 => name,
        1 => format!("'{name}'"),
        _ => format!("\"{name}\""),
    })
}

/// One container: its keys in any order, as a block or between brackets.
fn container(name: String) -> impl Strategy<Value = Vec<String>> {
    let image =
        prop_oneof![8 => image().prop_map(Some), 1 => Just(Some(String::new())), 1 => Just(None)];
    let quoted = prop_oneof![
        Just(name.clone()),
        Just(format!("'{name}'")),
        Just(format!("\"{name}\""))
    ];
    let others = prop::collection::vec(other_value(), 0..4);
    (
        quoted,
        image,
        others,
        any::<u64>(),
        prop::collection::vec(comment(), 7),
        any::<bool>(),
    )
        .prop_map(|(name, image, others, order, comments, is_flow)| {
            let mut entries = vec![("name".to_owned(), name)];
            entries.extend(image.map(|image| ("image".to_owned(), image)));
            entries.extend(
                others
                    .into_iter()
                    .enumerate()
                    .map(|(number, value)| (format!("k{number}"), value)),
            );
            let length = entries.len();
            entries.rotate_left(usize::try_from(order % length as u64).unwrap());
            if is_flow {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| format!("{key}: {value}"))
                    .collect();
                return vec![format!("- {{{}}}{}", entries.join(", "), comments[0])];
            }
            let lines = entries.iter().zip(&comments).enumerate().map(
                |(number, ((key, value), comment))| {
                    let lead = if number == 0 { "- " } else { "  " };
                    format!("{lead}{key}: {value}{comment}")
                },
            );
            lines.collect()
        })
}

/// A manifest with one container `web-app`, and what else may stand around it.
fn manifest() -> impl Strategy<Value = String> {
    let kinds = prop_oneof![
        Just("Deployment"),
        Just("StatefulSet"),
        Just("DaemonSet"),
        Just("Job")
    ];
    let extra = prop_oneof![
        Just(String::new()),
        Just("apiVersion: v1\nkind: ConfigMap\ndata:\n  x: |\n    - name: web-app\n      image: no\n".to_owned()),
        Just("# only a comment\n".to_owned()),
        Just("kind: Secret\nstringData: {a: 'b # c', \"ü\": \"\\u00fc\"}\n".to_owned()),
    ];
    let sidecar = container("side".to_owned());
    let shape = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        0..4usize,
    );
    (
        kinds,
        extra,
        sidecar,
        container("web-app".to_owned()),
        shape,
    )
        .prop_map(
            |(kind, extra, sidecar, ours, (is_crlf, has_mark, is_last, has_end, indent))| {
                let mut lines: Vec<String> = Vec::new();
                let containers = if is_last {
                    [sidecar, ours]
                } else {
                    [ours, sidecar]
                };
                for line in [
                    if kind == "Job" {
                        "apiVersion: batch/v1"
                    } else {
                        "apiVersion: apps/v1"
                    },
                    &format!("kind: {kind} # kind"),
                    "metadata:",
                    "  name: web",
                    "spec:",
                    "  template:",
                    "    spec:",
                    "      containers:",
                ] {
                    lines.push(line.to_owned());
                }
                for line in containers.concat() {
                    lines.push(format!("{}{line}", " ".repeat(6 + indent)));
                }
                let own = lines.join("\n") + "\n";
                let text = match (extra.is_empty(), is_last) {
                    (true, _) => own,
                    (false, true) => format!("{extra}---\n{own}"),
                    (false, false) => format!("{own}---\n{extra}"),
                };
                let text = if has_end {
                    text
                } else {
                    text.trim_end_matches('\n').to_owned()
                };
                let text = if is_crlf {
                    text.replace('\n', "\r\n")
                } else {
                    text
                };
                if has_mark {
                    format!("\u{feff}{text}")
                } else {
                    text
                }
            },
        )
}

fn edited(text: &str) -> Result<Edited, Error> {
    let manifests = [Manifest::new(Path::new("m.yaml"), text.to_owned())?];
    let wanted = Wanted {
        container: Some("web-app".to_owned()),
        ..Wanted::default()
    };
    let found = find(&manifests, &wanted)?;
    edit(&manifests[0], &found, NEW)
}

/// Text that does damage.
fn debris() -> impl Strategy<Value = String> {
    let pieces = [
        "\n",
        "\r",
        "\t",
        "'",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        "- ",
        "#",
        " #",
        "&a ",
        "*a",
        "<<: *a",
        "!x ",
        "|",
        ">-\n",
        "%",
        "@",
        "`",
        "---\n",
        "...\n",
        "image: ",
        "name: web-app",
        "{{",
        "\u{feff}",
        "\u{2028}",
        "ü",
        "\0",
        "  ",
        "? ",
        ", ",
    ];
    prop::sample::select(pieces.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_changes_one_value_and_no_other_byte(text in manifest()) {
        let done = edited(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        prop_assert!(done.is_change());
        prop_assert_eq!(&done.before, &text);
        holds(&done);
        let again = edited(&done.after).unwrap();
        prop_assert!(!again.is_change());
    }

    #[test]
    fn damage_never_panics_and_never_spreads(
        text in manifest(),
        hits in prop::collection::vec((any::<prop::sample::Index>(), debris(), 0..4usize), 1..6),
    ) {
        let mut text = text;
        for (index, debris, gone) in hits {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let number = index.index(places.len());
            let end = places[(number + gone).min(places.len() - 1)];
            text.replace_range(places[number]..end, &debris);
        }
        if let Ok(done) = edited(&text) {
            holds(&done);
        }
    }
}

#[test]
fn the_check_itself_rejects_something() {
    let before = "a: 1\nimage: x # c\n".to_owned();
    for after in [
        format!("a: 2\nimage: {NEW} # c\n"),
        format!("a: 1\nimage: {NEW}\n\n\n# more than {NEW} was written\n"),
    ] {
        let edited = Edited {
            path: "m".into(),
            before: before.clone(),
            after,
        };
        assert!(
            std::panic::catch_unwind(|| holds(&edited)).is_err(),
            "{}",
            edited.after
        );
    }
    holds(&Edited {
        path: "m".into(),
        after: before.replace(": x", &format!(": {NEW}")),
        before,
    });
}

/// Reads pairs of texts from stdin, and says of each what is different to PyYAML.
const INDEPENDENT: &str = r#"
import json, sys, yaml

def leaves(value, place, into):
    if isinstance(value, dict):
        for key in value:
            leaves(value[key], place + (str(key),), into)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            leaves(item, place + (number,), into)
    else:
        into[place] = repr(value)

for line in sys.stdin:
    before, after = json.loads(line)
    seen = []
    for text in (before, after):
        into = {}
        leaves(list(yaml.safe_load_all(text)), (), into)
        seen.append(into)
    places = set(seen[0]) | set(seen[1])
    changed = sorted(p for p in places if seen[0].get(p) != seen[1].get(p))
    print(json.dumps([[list(p), seen[1].get(p)] for p in changed]))
"#;

#[test]
fn pyyaml_sees_the_same_one_difference() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut pairs = Vec::new();
    for _ in 0..200 {
        // PyYAML takes no tab before a comment, which YAML allows.
        let text = manifest().new_tree(&mut runner).unwrap().current();
        let text = text.replace("\t#", " #");
        let after = edited(&text).unwrap().after;
        pairs.push(serde_json::to_string(&[text, after]).unwrap());
    }
    let mut python = std::process::Command::new("python3")
        .args(["-c", INDEPENDENT])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let input = pairs.join("\n") + "\n";
    let writer =
        std::thread::spawn(move || std::io::Write::write_all(&mut stdin, input.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(
        output.status.success(),
        "python3 with PyYAML (Debian: python3-yaml) is needed"
    );
    let output = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.lines().count(), pairs.len());
    for (line, pair) in output.lines().zip(&pairs) {
        let changed: Vec<(Vec<serde_json::Value>, Option<String>)> =
            serde_json::from_str(line).unwrap();
        let [(place, value)] = changed.as_slice() else {
            panic!("{line}\n{pair}");
        };
        assert_eq!(
            value.as_deref(),
            Some(format!("'{NEW}'").as_str()),
            "{pair}"
        );
        assert_eq!(
            place.last().and_then(|key| key.as_str()),
            Some("image"),
            "{pair}"
        );
    }
}
