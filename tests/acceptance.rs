//! Every acceptance case of s2i is a test, or is named with the reason why overcoat differs: the table at the end of
//! `docs/s2i.md` is read and compared with the source.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The numbered cases of upstream's tests, and those that were measured (`M`).
const UPSTREAM: u32 = 230;
const MEASURED: u32 = 42;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of a row's first cell: `1`, `3-5`, `M7`, `M8-M10`, with commas.
fn cases(cell: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in cell.split(',').map(str::trim) {
        let number = |text: &str| -> u32 {
            let digits = text.trim_start_matches('M');
            digits
                .parse()
                .unwrap_or_else(|_| panic!("`{text}` is no case"))
        };
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let prefix = if first.starts_with('M') { "M" } else { "" };
        assert!(number(first) <= number(last), "{part}");
        found.extend((number(first)..=number(last)).map(|number| format!("{prefix}{number}")));
    }
    found
}

/// The rows of the table: the cases, the tests (`module::name`), and whether a reason follows.
fn rows() -> Vec<(Vec<String>, Vec<String>, String)> {
    let text = fs::read_to_string(root().join("docs/s2i.md")).unwrap();
    let (_, table) = text
        .split_once("\n## Acceptance cases\n")
        .expect("docs/s2i.md has a section `Acceptance cases`");
    let table = table.split("\n## ").next().unwrap_or_default();
    let lines = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| case"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 2, "{line}");
        let (tests, reason) = match cells[1].split_once("differs: ") {
            Some((tests, reason)) => (tests, reason.to_owned()),
            None => (cells[1], String::new()),
        };
        let tests = tests
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        (cases(cells[0]), tests, reason)
    };
    lines.map(row).collect()
}

/// Every function that is marked as a test, with the path of its file.
fn tests() -> BTreeMap<String, Vec<PathBuf>> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut directories = vec![root().join("src"), root().join("tests")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let mut is_marked = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" {
                    is_marked = true;
                } else if let Some(rest) = line.strip_prefix("fn ")
                    && is_marked
                {
                    let name = rest.split('(').next().unwrap_or_default().to_owned();
                    found.entry(name).or_default().push(path.clone());
                    is_marked = false;
                }
            }
        }
    }
    found
}

#[test]
fn every_case_is_a_test_or_a_named_difference() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (cases, tests, reason) in rows() {
        assert!(
            !tests.is_empty() || reason.len() > 20,
            "{cases:?}: neither a test nor a reason"
        );
        for case in cases {
            *seen.entry(case).or_default() += 1;
        }
    }
    let upstream = (1..=UPSTREAM).map(|number| number.to_string());
    let all: Vec<String> = upstream
        .chain((1..=MEASURED).map(|number| format!("M{number}")))
        .collect();
    let forgotten: Vec<&String> = all
        .iter()
        .filter(|case| !seen.contains_key(*case))
        .collect();
    assert!(forgotten.is_empty(), "forgotten: {forgotten:?}");
    let unknown: Vec<&String> = seen.keys().filter(|case| !all.contains(case)).collect();
    assert!(unknown.is_empty(), "there are no such cases: {unknown:?}");
}

#[test]
fn every_test_that_the_table_names_exists_where_it_says() {
    let known = tests();
    assert!(known.len() > 800, "only {} tests were found", known.len());
    for (cases, tests, _) in rows() {
        for test in tests {
            let mut parts: Vec<&str> = test.split("::").collect();
            let name = parts.pop().unwrap_or_default();
            let files = known.get(name);
            let files = files.unwrap_or_else(|| panic!("{cases:?}: there is no test `{test}`"));
            // `build::scripts::tests::x` is in `src/build/scripts.rs` or `scripts_tests.rs`; `it::s2i::x` in `tests/it/s2i.rs`.
            let modules = parts
                .iter()
                .filter(|part| !matches!(**part, "tests" | "it"));
            let is_there = |file: &PathBuf| {
                let file = file.to_string_lossy();
                modules.clone().all(|module| file.contains(module))
            };
            assert!(
                files.iter().any(is_there),
                "{cases:?}: `{test}` is in {files:?}"
            );
        }
    }
}
