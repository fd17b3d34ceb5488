//! The same files as pip read them: `testdata/requirements/pip.json`, which `generate.py` beside it wrote.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::python::target::marker_environment;

/// Where we differ from pip 23.2, each with the reason.
const DIFFERENT: [(&str, &str); 8] = [
    (
        "flask==",
        "pip 24.1 and later refuse versions that are none",
    ),
    ("flask==${MISSING}", "the same"),
    ("flask==${lower}", "the same"),
    ("flask<=1.*", "the same"),
    ("flask>=v1.0", "the same version, written as `1.0`"),
    (
        "flask ; python_version in '3.8, 3.9'",
        "left to pip, which compares text",
    ),
    (
        "-flask",
        "`-f lask`: left to pip, for the image may have it",
    ),
    (
        "--editable ./x",
        "left to pip, which says what is wrong with it",
    ),
];

fn variables() -> BTreeMap<String, String> {
    let variables = [
        ("TOKEN", "s3cret"),
        ("HOST", "index.example"),
        ("EMPTY", ""),
        ("lower", "no"),
        ("VERSION_1", "1.5"),
    ];
    variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// One line as `generate.py` writes it.
fn line(line: &Line) -> Value {
    let environments = [
        ("3.11.2", "x86_64"),
        ("3.8.18", "aarch64"),
        ("3.13.0", "armv7l"),
    ];
    let holds: Vec<bool> = environments
        .iter()
        .map(|(version, machine)| marker_environment(&version.parse().unwrap(), machine).unwrap())
        .map(|environment| line.requirement.evaluate_markers(&environment, &[]))
        .collect();
    let mut specifier: Vec<String> = match &line.requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            specifiers.iter().map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    };
    specifier.sort();
    let mut extras: Vec<String> = line
        .requirement
        .extras
        .iter()
        .map(ToString::to_string)
        .collect();
    extras.sort();
    let mut hashes: Vec<String> = line.hashes.iter().map(ToString::to_string).collect();
    hashes.sort();
    let wheel = line.wheel.as_ref().map(|wheel| match &wheel.location {
        Location::Url(location) | Location::Path(location) => location.clone(),
    });
    json!({
        "name": line.requirement.name.as_ref(), "extras": extras, "specifier": specifier,
        "holds": holds, "hashes": hashes, "wheel": wheel,
    })
}

fn ours(found: &Requirements) -> Value {
    let options = &found.options;
    let links = |links: &FindLinks| match links {
        FindLinks::Url(text) | FindLinks::Path(text) => text.clone(),
    };
    let hosts = options
        .trusted_hosts
        .iter()
        .map(|host| host.split(':').next().unwrap_or_default().to_owned());
    json!({
        "requirements": found.requirements.iter().map(line).collect::<Vec<_>>(),
        "constraints": found.constraints.iter().map(line).collect::<Vec<_>>(),
        "inexpressible": found.inexpressible.iter().filter(|entry| !entry.reason.contains("--no-binary")).count(),
        "options": {
            "indexes": options.indexes("DEFAULT", &["EXTRA".to_owned()]),
            "find_links": options.find_links.iter().map(links).collect::<Vec<_>>(),
            "no_index": options.no_index, "pre": options.pre, "prefer_binary": options.prefer_binary,
            "require_hashes": options.require_hashes, "features": options.features,
            "trusted_hosts": hosts.collect::<Vec<_>>(),
            "no_binary": options.formats.no_binary(), "only_binary": options.formats.only_binary(),
        },
    })
}

#[test]
fn files_mean_what_pip_takes_them_to_mean() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testdata/requirements/pip.json"
    );
    let oracle: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = oracle["cases"].as_array().unwrap();
    assert!(cases.len() > 100);
    let mut wrong = Vec::new();
    for case in cases {
        let files: BTreeMap<String, Vec<u8>> = case["files"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, text)| (name.clone(), text.as_str().unwrap().as_bytes().to_vec()))
            .collect();
        let text = case["files"]["requirements.txt"].as_str().unwrap();
        let found = read("requirements.txt", &files, &variables());
        let expected = &case["result"];
        let is_different = DIFFERENT.iter().any(|(different, _)| *different == text);
        let is_same = match (&found, expected.get("error")) {
            (Err(_), Some(_)) => true,
            (Ok(found), None) => ours(found) == *expected,
            _ => false,
        };
        if is_same == is_different {
            let found = found
                .map(|found| ours(&found))
                .map_err(|error| error.to_string());
            wrong.push(format!("{text:?}\n  pip:  {expected}\n  ours: {found:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
