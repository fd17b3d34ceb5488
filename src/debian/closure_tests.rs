use super::super::packages::tests::index;
use super::*;

fn names(selected: &[Selected]) -> Vec<&str> {
    selected
        .iter()
        .map(|selected| selected.package.name())
        .collect()
}

fn resolve(stanzas: &[(&str, &str, &str)], roots: &[&str]) -> Result<Vec<String>, Error> {
    let selected = index(stanzas).resolve(roots, Essential::Include, "amd64")?;
    Ok(names(&selected).into_iter().map(str::to_owned).collect())
}

#[test]
fn closures_follow_the_archive_s_rules() {
    /// What is tried, the index, the roots, and the closure.
    type Case<'a> = (
        &'a str,
        &'a [(&'a str, &'a str, &'a str)],
        &'a [&'a str],
        &'a [&'a str],
    );
    let cases: &[Case<'_>] = &[
        (
            "both kinds of dependency, and cycles",
            &[
                ("aa", "1", "Depends: bb\n"),
                ("bb", "1", "Pre-Depends: cc\n"),
                ("cc", "1", "Depends: aa\n"),
                ("dd", "1", ""),
            ],
            &["aa"],
            &["aa", "bb", "cc"],
        ),
        (
            "nothing recommended",
            &[
                ("aa", "1", "Recommends: bb\nSuggests: bb\n"),
                ("bb", "1", ""),
            ],
            &["aa"],
            &["aa"],
        ),
        (
            "essential packages without being asked",
            &[
                ("aa", "1", ""),
                ("bb", "1", "Essential: yes\nDepends: cc\n"),
                ("cc", "1", ""),
            ],
            &["aa"],
            &["aa", "bb", "cc"],
        ),
        (
            "the first alternative",
            &[
                ("aa", "1", "Depends: gone | bb (>= 2) | cc | dd\n"),
                ("bb", "1", ""),
                ("cc", "1", ""),
                ("dd", "1", ""),
            ],
            &["aa"],
            &["aa", "cc"],
        ),
        (
            "an alternative that is a root",
            &[
                ("aa", "1", "Depends: bb | cc\n"),
                ("bb", "1", ""),
                ("cc", "1", ""),
            ],
            &["aa", "cc"],
            &["aa", "cc"],
        ),
        (
            "a virtual package by priority, then name",
            &[
                ("aa", "1", "Depends: awk\n"),
                ("gawk", "1", "Provides: awk\nPriority: optional\n"),
                ("mawk", "1", "Provides: awk\nPriority: required\n"),
            ],
            &["aa"],
            &["aa", "mawk"],
        ),
        (
            "a virtual package that a root provides",
            &[
                ("aa", "1", "Pre-Depends: awk\n"),
                ("gawk", "1", "Provides: awk\nPriority: optional\n"),
                ("mawk", "1", "Provides: awk\nPriority: required\n"),
            ],
            &["gawk", "aa"],
            &["aa", "gawk"],
        ),
        (
            "a versioned virtual package",
            &[
                ("aa", "1", "Depends: api (>= 2)\n"),
                ("bb", "9", "Provides: api\n"),
                ("cc", "9", "Provides: api (= 1)\n"),
                ("dd", "1", "Provides: api (= 2.1)\n"),
            ],
            &["aa"],
            &["aa", "dd"],
        ),
        (
            "qualifiers for us, and continuation lines",
            &[
                ("aa", "1", "Depends: bb:any,\n cc:amd64,\n dd:armhf | ee\n"),
                ("bb", "1", ""),
                ("cc", "1", ""),
                ("dd", "1", ""),
                ("ee", "1", ""),
            ],
            &["aa"],
            &["aa", "bb", "cc", "ee"],
        ),
        (
            "a package that conflicts with what it provides itself",
            &[("mta", "1", "Provides: mail\nConflicts: mail\n")],
            &["mta"],
            &["mta"],
        ),
    ];
    for (what, stanzas, roots, expected) in cases {
        assert_eq!(resolve(stanzas, roots).unwrap(), *expected, "{what}");
    }
}

#[test]
fn the_order_of_the_index_does_not_matter() {
    let mut stanzas = vec![
        ("aa", "1", "Depends: virtual1, bb | cc\n"),
        ("bb", "1", "Provides: virtual1\n"),
        ("cc", "1", "Provides: virtual1\n"),
        ("dd", "1", "Depends: cc | bb\n"),
    ];
    let first = resolve(&stanzas, &["aa", "dd"]).unwrap();
    stanzas.reverse();
    assert_eq!(resolve(&stanzas, &["aa", "dd"]).unwrap(), first);
}

#[test]
fn what_only_roots_need_is_not_base() {
    let stanzas = [
        ("aa", "1", "Depends: bb, lib1\n"),
        ("bb", "1", ""),
        ("init", "1", "Essential: yes\nDepends: lib1\n"),
        ("lib1", "1", ""),
    ];
    let selected = index(&stanzas)
        .resolve(&["aa"], Essential::Include, "amd64")
        .unwrap();
    let base: Vec<&str> = selected
        .iter()
        .filter(|selected| selected.is_base)
        .map(|selected| selected.package.name())
        .collect();
    assert_eq!(base, ["init", "lib1"]);
    let without = index(&stanzas)
        .resolve(&["aa"], Essential::Omit, "amd64")
        .unwrap();
    assert_eq!(names(&without), ["aa", "bb", "lib1"]);
}

#[test]
fn what_cannot_be_had_is_told_with_the_chain() {
    let stanzas = [
        ("aa", "1", "Depends: bb\n"),
        ("bb", "1", "Depends: cc (>= 2) | gone\n"),
        ("cc", "1", ""),
        ("dd", "1", "Conflicts: cc (<< 2)\n"),
        ("ee", "1", "Depends: c c\n"),
    ];
    let rows: &[(&[&str], &str)] = &[
        (
            &["aa"],
            "`cc (>= 2) | gone` cannot be had, which is needed by `bb`, needed by `aa`",
        ),
        (&["zz"], "no index has a package `zz`"),
        (
            &["cc", "dd"],
            "`dd` and `cc` exclude each other (`cc (<< 2)`)",
        ),
        (
            &["ee"],
            "the package index `pool/ee_1.deb` is malformed: `c c` in the field `Depends` of `ee` is no relation",
        ),
    ];
    for (roots, expected) in rows {
        assert_eq!(resolve(&stanzas, roots).unwrap_err().to_string(), *expected);
    }
}
