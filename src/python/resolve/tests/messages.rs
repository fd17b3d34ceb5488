//! What is told when there is no answer: these texts are what a person reads.

use super::universe::*;
use crate::python::resolve::Error;

const WEB: &str = "
    flask 1.0
    flask 2.0
    flask 2.2
    flask 3.0 python>=3.12
    login 0.5: flask>=2.2
    login 0.6: flask>=2.2
    old 1: nothing-of-that-name
    strict 1: flask==2.0
    pre 1
    pre 2.0b1
";

#[track_caller]
fn told(error: &Error, expected: &str) {
    assert_eq!(error.to_string(), expected.trim_start_matches('\n'));
}

#[test]
fn a_conflict_names_where_requirements_stand() {
    told(
        &error(WEB, &["flask<2", "login"]),
        "
the requirements cannot be satisfied together:
  requirements.txt:1 wants `flask<2`
  requirements.txt:2 wants `login`
  `login` 0.6 and 0.5 want `flask>=2.2`
loosen or change one of them",
    );
    told(
        &error(WEB, &["flask<2", "flask>=2.2"]),
        "
the requirements cannot be satisfied together:
  requirements.txt:1 wants `flask<2`
  requirements.txt:2 wants `flask>=2.2`
loosen or change one of them",
    );
    told(
        &error(WEB, &["strict", "login>=0.6"]),
        "
the requirements cannot be satisfied together:
  requirements.txt:1 wants `strict`
  requirements.txt:2 wants `login>=0.6`
  `login` 0.6 wants `flask>=2.2`
  `strict` 1 wants `flask==2.0`
loosen or change one of them",
    );
}

#[test]
fn a_package_that_does_not_exist_is_named_with_who_wants_it() {
    told(
        &error(WEB, &["flask", "flsk>=2"]),
        "
no index has a package named `flsk`: requirements.txt:2 wants `flsk>=2`
check its spelling, or name the index that has it (--index-url, --extra-index-url)",
    );
    told(
        &error(WEB, &["old"]),
        "
no index has a package named `nothing-of-that-name`: `old` 1 wants `nothing-of-that-name`
check its spelling, or name the index that has it (--index-url, --extra-index-url)",
    );
}

#[test]
fn a_version_that_does_not_exist_is_told_with_its_neighbours() {
    told(
        &error(WEB, &["flask==2.1"]),
        "
no version of `flask` satisfies what is required: requirements.txt:1 wants `flask==2.1`
the nearest versions are 3.0, 2.2, 2.0 and 1.0",
    );
    told(
        &error(WEB, &["pre>1"]),
        "
no version of `pre` satisfies what is required: requirements.txt:1 wants `pre>1`
`pre` 2.0b1: a pre-release; name it in the requirement, or allow all (--pre)",
    );
    told(
        &Ask::new(&["flask"])
            .constrained(&["flask<1"])
            .error(&Universe::new("flask 2\nflask 1")),
        "
no version of `flask` satisfies what is required: requirements.txt:1 wants `flask`
`flask` 2 and 1: not allowed by constraints (constraints.txt:1 wants `flask<1`)",
    );
}

#[test]
fn the_wrong_python_is_told() {
    told(
        &error(WEB, &["flask>=3"]),
        "
no version of `flask` that satisfies what is required is for Python 3.11.2, which the builder has: requirements.txt:1 wants `flask>=3`
`flask` 3.0: for Python >=3.12; the builder has 3.11.2
require an older version, or take a builder with another Python",
    );
    told(
        &error("a 1 metadata-python<3", &["a"]),
        "
the requirements cannot be satisfied together:
  requirements.txt:1 wants `a`
  `a` 1 wants Python <3; the builder has 3.11.2
loosen or change one of them",
    );
}

#[test]
fn many_versions_are_told_shortly() {
    let mut text = String::from("core 1\n");
    for number in 1..=20 {
        text.push_str(&format!("big {number}: core=={}\n", number + 1));
        text.push_str(&format!("core {}\n", number + 1));
    }
    told(
        &error(&text, &["core==1", "big"]),
        "
the requirements cannot be satisfied together:
  requirements.txt:1 wants `core==1`
  requirements.txt:2 wants `big`
  `big` 20 wants `core==21`
  … and so on for 18 more
  `big` 1 wants `core==2`
loosen or change one of them",
    );
}

#[test]
fn a_proof_of_many_steps_is_told() {
    let mut text = String::new();
    for number in 0..300 {
        text.push_str(&format!("p{number} 1: p{}\n", number + 1));
    }
    text.push_str("p300 1: p0>1\n");
    let text = error(&text, &["p0"]).to_string();
    assert!(text.contains("… and 262 facts more"), "{text}");
    assert!(text.contains("`p1` 1 wants `p2`"), "{text}");
}

#[test]
fn texts_of_an_index_are_kept_short_and_plain() {
    let mut universe = Universe::new("a 1 yanked");
    let releases = universe.releases.get_mut(&name("a")).unwrap();
    releases[0].yanked = Some(format!("\u{1b}[31m{}", "x".repeat(10_000)));
    let text = Ask::new(&["a"]).error(&universe).to_string();
    assert!(text.len() < 600 && !text.contains('\u{1b}'), "{text}");
}
