//! pip's rules about pre-releases, yanked versions, source distributions, hashes and URLs.

use std::collections::{BTreeMap, BTreeSet};

use super::universe::*;
use crate::python::resolve::*;

const PRE: &str = "
    a 1.0
    a 2.0b1
    only 1.0a1
    only 1.0a2
    user 1: a>=2.0b1
    plain 1: a
";

#[test]
fn prereleases_are_taken_only_where_they_are_asked_for() {
    assert_eq!(answer(PRE, &["a"]), "a==1.0");
    assert_eq!(answer(PRE, &["a>=1"]), "a==1.0");
    assert_eq!(answer(PRE, &["a>=1.0rc1"]), "a==2.0b1");
    assert_eq!(answer(PRE, &["a==2.0b1"]), "a==2.0b1");
    // `<` and `!=` ask for none.
    assert_eq!(answer(PRE, &["a<2.0b2"]), "a==1.0");
    assert_eq!(answer(PRE, &["only"]), "only==1.0a2");
    assert_eq!(answer(PRE, &["only<1.0a2"]), "only==1.0a1");
    let mut ask = Ask::new(&["a"]);
    ask.pre = true;
    assert_eq!(ask.answer(&Universe::new(PRE)), "a==2.0b1");
    let constrained = Ask::new(&["a"]).constrained(&["a>=2.0a1"]);
    assert_eq!(constrained.answer(&Universe::new(PRE)), "a==2.0b1");
}

#[test]
fn packages_may_ask_for_prereleases_too() {
    assert_eq!(answer(PRE, &["user"]), "a==2.0b1 user==1");
    assert_eq!(answer(PRE, &["plain", "user"]), "a==2.0b1 plain==1 user==1");
    // A permission that comes after the search has passed the pre-release over begins it anew.
    let late = "
        a 1.0
        a 2.0b1
        first 1: a>1.5 | second
        first 0.5
        second 1: a>=2.0b1
    ";
    assert_eq!(
        answer(late, &["first", "second"]),
        "a==2.0b1 first==1 second==1"
    );
    let later = "
        a 1.0
        a 2.0b1
        top 1: mid
        top 0.1
        mid 1: a>1.5 | low
        low 1: deep
        deep 1: a>=2.0b1
    ";
    assert_eq!(
        answer(later, &["top==1", "deep"]),
        "a==2.0b1 deep==1 low==1 mid==1 top==1"
    );
}

#[test]
fn a_permission_that_was_given_up_permits_nothing() {
    // `user` 2 permits pre-releases of `a`, and is then given up for `limit`.
    let universe = "
        a 1.0
        a 2.0b1
        user 1: a
        user 2: a>=1.0b1 | z
        z 1: limit<1
        limit 1
    ";
    assert_eq!(
        answer(universe, &["user", "limit"]),
        "a==1.0 limit==1 user==1"
    );
}

const YANKED: &str = "
    a 1
    a 2 yanked
    gone 1 yanked
    user 1: a==2
";

#[test]
fn yanked_versions_are_taken_only_where_they_are_pinned() {
    assert_eq!(answer(YANKED, &["a"]), "a==1");
    assert_eq!(answer(YANKED, &["a==2"]), "a==2");
    assert_eq!(answer(YANKED, &["user"]), "a==2 user==1");
    assert_eq!(answer(YANKED, &["gone==1"]), "gone==1");
    for text in ["a>=2", "gone", "a==2.*"] {
        let error = error(YANKED, &[text]).to_string();
        assert!(error.contains("yanked (bad wheel)"), "{error}");
    }
    let constrained = Ask::new(&["a"]).constrained(&["a==2"]);
    assert_eq!(constrained.answer(&Universe::new(YANKED)), "a==2");
}

#[test]
fn a_yanked_version_is_kept_only_while_it_is_pinned() {
    let universe = Universe::new(YANKED);
    assert_eq!(
        Ask::new(&["a"]).preferring(&["a==2"]).answer(&universe),
        "a==1"
    );
    assert_eq!(
        Ask::new(&["a==2"]).preferring(&["a==1"]).answer(&universe),
        "a==2"
    );
}

const SDIST: &str = "
    a 1
    a 2 sdist
    b 1: a
";

#[test]
fn a_version_that_must_be_built_is_left_to_pip() {
    let error = error(SDIST, &["b"]);
    assert!(error.is_for_pip());
    let Error::NeedsBuild {
        name: which,
        version: found,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((which, found), (name("a"), version("2")));
    assert_eq!(answer(SDIST, &["b", "a<2"]), "a==1 b==1");
}

#[test]
fn kinds_of_files_are_chosen_as_pip_does() {
    let universe = Universe::new(SDIST);
    let names = |all: bool, names: &[&str]| Names {
        all,
        names: names.iter().map(|text| name(text)).collect(),
    };
    let mut ask = Ask::new(&["b"]);
    ask.formats.only_binary = names(false, &["a"]);
    assert_eq!(ask.answer(&universe), "a==1 b==1");
    ask.formats = Formats::default();
    ask.formats.only_binary = names(true, &[]);
    assert_eq!(ask.answer(&universe), "a==1 b==1");
    ask.formats = Formats::default();
    ask.formats.prefer_binary = true;
    assert_eq!(ask.answer(&universe), "a==1 b==1");
    let mut newer = Ask::new(&["a>1"]);
    newer.formats.prefer_binary = true;
    assert!(matches!(newer.error(&universe), Error::NeedsBuild { .. }));
    // A package that must not come as a wheel and has nothing else.
    ask.formats = Formats::default();
    ask.formats.no_binary = names(false, &["b"]);
    assert!(matches!(ask.error(&universe), Error::NoVersion { .. }));
    // One name outweighs `:all:`.
    ask.formats.no_binary = names(true, &[]);
    ask.formats.only_binary = names(false, &["a", "b"]);
    assert_eq!(ask.answer(&universe), "a==1 b==1");
}

#[test]
fn pythons_that_do_not_fit_are_passed_over() {
    let universe = "
        a 1 python>=3.6
        a 2 python>=3.11,<4
        a 3 python>=3.12
    ";
    assert_eq!(answer(universe, &["a"]), "a==2");
    let error = error(universe, &["a>2"]);
    assert!(matches!(error, Error::RequiresPython { .. }), "{error}");
    // A pre-release of Python counts as the release.
    let mut ask = Ask::new(&["a"]);
    ask.target.version = version("3.12.0rc1");
    assert_eq!(ask.answer(&Universe::new(universe)), "a==3");
}

fn hashes(
    list: &[(&str, &str)],
) -> Option<BTreeMap<crate::python::PackageName, BTreeSet<crate::digest::Digest>>> {
    let mut map: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (package, number) in list {
        let digests = map.entry(name(package)).or_default();
        digests.insert(wheel_digest(package, number));
    }
    Some(map)
}

#[test]
fn only_files_with_listed_hashes_are_taken() {
    let universe = Universe::new(
        "
        a 1 other: b
        b 1
        b 2
    ",
    );
    let mut ask = Ask::new(&["a==1", "b==1"]);
    ask.hashes = hashes(&[("a", "1"), ("b", "1")]);
    assert_eq!(ask.answer(&universe), "a==1 b==1");
    // The second best wheel, when that is the one that is listed.
    ask.hashes = hashes(&[("a", "1-2"), ("b", "1")]);
    let solution = ask.of(&universe).unwrap();
    let wheel = &solution.resolution.packages[0].wheel;
    assert_eq!(wheel.name.as_str(), "a-1-2-py3-none-any.whl");
    // A hash of another version excludes this one.
    ask.hashes = hashes(&[("a", "1"), ("b", "2")]);
    let text = ask.error(&universe).to_string();
    assert!(text.contains("no file has one of the hashes"), "{text}");
    // Everything must be listed.
    ask = Ask::new(&["a==1"]);
    ask.hashes = hashes(&[("a", "1")]);
    let error = ask.error(&universe);
    assert!(matches!(error, Error::NotHashed { .. }), "{error}");
    assert!(error.to_string().contains("`a` 1 wants `b`"), "{error}");
    // What is installed needs no hash.
    ask = ask.installed(&["b==1"]);
    assert_eq!(ask.answer(&universe), "a==1");
}

#[test]
fn a_source_whose_hash_is_listed_must_be_built() {
    let universe = Universe::new("a 1 sdist");
    let mut ask = Ask::new(&["a==1"]);
    ask.hashes = hashes(&[("a", "1.tar.gz")]);
    assert!(matches!(ask.error(&universe), Error::NeedsBuild { .. }));
    ask.hashes = hashes(&[("a", "1")]);
    assert!(matches!(ask.error(&universe), Error::NoVersion { .. }));
}

#[test]
fn a_wheel_without_a_promised_hash_must_have_the_one_that_is_listed() {
    let mut universe = Universe::new("a 1");
    let releases = universe.releases.get_mut(&name("a")).unwrap();
    releases[0].wheels[0].digest = None;
    let mut ask = Ask::new(&["a==1"]);
    ask.hashes = hashes(&[("a", "1")]);
    let solution = ask.of(&universe).unwrap();
    let promised = solution.resolution.packages[0].wheel.digest.clone();
    assert_eq!(promised, Some(wheel_digest("a", "1")));
    ask.hashes = hashes(&[("a", "1"), ("a", "2")]);
    assert!(matches!(ask.error(&universe), Error::NoVersion { .. }));
}

const URL: &str = "https://files.example/a-1.0%2Blocal-py3-none-any.whl";

#[test]
fn a_url_is_the_only_candidate() {
    let universe = Universe::new(
        "
        a 1.0+local: c
        a 2
        b 1: a<2
        c 1
    ",
    );
    let digest = wheel_digest("a", "1");
    let url = format!("a @ {URL}#sha256={}", digest.hex());
    let solution = Ask::new(&["b", &url]).of(&universe).unwrap();
    assert_eq!(pins(&solution), ["a==1.0+local", "b==1", "c==1"]);
    let wheel = &solution.resolution.packages[0].wheel;
    assert_eq!(wheel.url, URL);
    assert_eq!(wheel.digest, Some(digest));
    assert_eq!(universe.count("page a"), 0);
    let conflict = Ask::new(&["a>=2", &url]).error(&universe);
    assert!(
        matches!(conflict, Error::Conflict { .. } | Error::NoVersion { .. }),
        "{conflict}"
    );
    // A constraint may say where something comes from, too.
    let constrained = Ask::new(&["b"]).constrained(&[&url]);
    assert_eq!(constrained.answer(&universe), "a==1.0+local b==1 c==1");
}

#[test]
fn urls_that_are_no_wheels_for_it_are_left_to_pip() {
    let universe = Universe::new("x 1: a @ https://files.example/a-1-py3-none-any.whl");
    for text in [
        "a @ https://files.example/a-1.tar.gz",
        "a @ git+https://files.example/a.git",
        "b @ https://files.example/a-1-py3-none-any.whl",
        "a @ https://files.example/a-1-cp27-none-any.whl",
        "a @ https://user:secret@files.example/a-1-py3-none-any.whl",
        "x",
    ] {
        let error = Ask::new(&[text]).error(&universe);
        assert!(error.is_for_pip(), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let two = [
        "a @ https://files.example/a-1-py3-none-any.whl",
        "a @ https://files.example/a-2-py3-none-any.whl",
    ];
    assert!(matches!(
        Ask::new(&two).error(&universe),
        Error::Conflict { .. }
    ));
}
