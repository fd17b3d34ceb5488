//! Knowledge flows one way: which module may name which is a table, and this test reads the source against it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// `module: the modules it may name`. Every module may name itself.
const MAY_NAME: &str = "
digest:
event:
fs:
reference: digest
http: event fs
image: digest
layer: digest event fs image
skip_tests:
yaml:
store: digest event fs image layer reference skip_tests
registry: digest event fs http image reference store
sbom: digest event fs image layer reference registry store
source: digest event fs
sandbox: event fs skip_tests
debian: digest event fs http
python: digest event fs http image layer store
builder_image: debian digest event fs http image layer python reference store
output: digest event fs image layer reference store
dockerfile: builder_image event fs source
build: builder_image debian digest dockerfile event fs http image layer output python reference registry sandbox source store
scaffold: fs
project: digest event fs reference source yaml
kubernetes: digest event fs http image reference skip_tests yaml
release: digest event fs http image kubernetes layer output project reference registry skip_tests source store yaml
ui: event
cli: build builder_image debian digest dockerfile event fs http image kubernetes layer output project python reference registry release sandbox sbom scaffold source store ui yaml
";

/// What only some modules may do: the text that gives it away, where it is allowed (a module, or one file below `src`),
/// and why not elsewhere.
const ONLY_THERE: [(&str, &[&str], &str); 8] = [
    (
        "println!",
        &[],
        "results and messages are written by `cli` and `ui` with handled errors",
    ),
    (
        "eprintln!",
        &[],
        "results and messages are written by `cli` and `ui` with handled errors",
    ),
    (
        "std::env::var",
        &["cli"],
        "the library does not read the environment",
    ),
    (
        "env::args",
        &["cli"],
        "the library does not read the command line",
    ),
    (
        "SystemTime::now",
        &["cli"],
        "the library does not read the clock",
    ),
    (
        "process::exit",
        &["cli"],
        "the library does not end the program",
    ),
    (
        "unsafe {",
        &["sandbox/sys.rs"],
        "unsafe code is denied but for the calls of seccomp",
    ),
    ("HashMap", &[], "its order differs from run to run"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file with the module it belongs to.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root().join("src")).unwrap().to_owned();
                let first = relative
                    .components()
                    .next()
                    .unwrap()
                    .as_os_str()
                    .to_string_lossy()
                    .into_owned();
                let module = first.trim_end_matches(".rs").to_owned();
                if module != "main" && module != "lib" {
                    found.push((module, relative, fs::read_to_string(&path).unwrap()));
                }
            }
        }
    }
    found.sort();
    assert!(found.len() > 40, "only {} files were found", found.len());
    found
}

fn table() -> BTreeMap<String, Vec<String>> {
    let line = |line: &str| {
        let (module, names) = line.split_once(':').unwrap();
        (
            module.to_owned(),
            names.split_whitespace().map(str::to_owned).collect(),
        )
    };
    MAY_NAME.trim().lines().map(line).collect()
}

/// Names that follow `crate::`, also in groups: `use crate::{digest, fs}`.
fn named(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let group = rest
            .strip_prefix('{')
            .map(|rest| rest.split('}').next().unwrap_or(rest));
        let items: Vec<&str> = group.map_or_else(|| vec![rest], |group| group.split(',').collect());
        for item in items {
            let name: String = item
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            names.push(name);
        }
    }
    names
}

fn violations(module: &str, text: &str, table: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let allowed = table
        .get(module)
        .unwrap_or_else(|| panic!("`{module}` is not in the table of {}", file!()));
    let mut found = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
    {
        for name in named(line) {
            let is_module = table.contains_key(&name);
            if is_module && name != module && !allowed.contains(&name) {
                found.push(format!(
                    "line {}: `{module}` must not name `{name}`",
                    number + 1
                ));
            }
        }
    }
    found
}

#[test]
fn modules_name_only_what_the_table_allows() {
    let table = table();
    let mut found = Vec::new();
    for (module, path, text) in sources() {
        found.extend(
            violations(&module, &text, &table)
                .into_iter()
                .map(|text| format!("{}: {text}", path.display())),
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_check_itself_rejects_something() {
    let table = table();
    assert_eq!(
        violations("digest", "use crate::store::BlobStore;", &table).len(),
        1
    );
    assert_eq!(
        violations(
            "layer",
            "use crate::{digest, registry};\n// crate::cli",
            &table
        )
        .len(),
        1
    );
    assert!(violations("store", "let x = crate::fs::open(path);", &table).is_empty());
}

#[test]
fn printing_environment_clock_and_exit_stay_where_people_are() {
    let mut found = Vec::new();
    for (module, path, text) in sources() {
        let is_test = path.to_string_lossy().contains("test");
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in production.lines().enumerate().filter(|_| !is_test) {
            for (sign, allowed, reason) in ONLY_THERE {
                let is_comment = line.trim_start().starts_with("//");
                let is_allowed = allowed
                    .iter()
                    .any(|place| *place == module || path == Path::new(place));
                if line.contains(sign) && !is_comment && !is_allowed {
                    found.push(format!(
                        "{}:{}: `{sign}`: {reason}",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for module in table().keys() {
        assert!(
            map.contains(&format!("`{module}`")),
            "ARCHITECTURE.md does not name `{module}`"
        );
        assert!(
            library.contains(&format!("\nmod {module};"))
                || library.contains(&format!("pub mod {module};")),
            "lib.rs has no module `{module}`"
        );
    }
}
