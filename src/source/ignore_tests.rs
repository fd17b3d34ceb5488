//! What the three languages of leaving files out mean.

use super::*;

/// Which of some files, and directories ending in a slash, stay.
fn stays(text: &str, paths: &[&'static str]) -> Vec<&'static str> {
    let (rules, _) = S2iIgnore::parse(text);
    let covered = |path: &str| {
        let ends = path.match_indices('/').map(|(at, _)| at);
        ends.chain([path.len()])
            .any(|end| rules.covers(&path.as_bytes()[..end]))
    };
    paths
        .iter()
        .copied()
        .filter(|path| !covered(path))
        .collect()
}

/// Cases 56 to 63.
#[test]
fn s2iignore_leaves_out_what_s2i_leaves_out() {
    let table: [(&str, &[&str], &[&str]); 8] = [
        (
            "foo.bar\n\nbar.baz\n",
            &["foo.bar", "bar.baz", "foo.baz"],
            &["foo.baz"],
        ),
        ("foo.*", &["foo.a", "foo.b"], &[]),
        ("foo.*\n!foo.a", &["foo.a", "foo.b"], &["foo.a"]),
        ("*/foo.a", &["asdf/foo.a", "foo.a"], &["foo.a"]),
        ("foo.bar", &["bar.foo"], &["bar.foo"]),
        (
            "LICENSE.*\n!LICENSE.md\n*.md",
            &["LICENSE.foo", "LICENSE.md", "foo.bar"],
            &["foo.bar"],
        ),
        (
            "*.bar\n!foo.*",
            &["boo.bar", "bar.bar", "foo.bar"],
            &["foo.bar"],
        ),
        ("!LICENSE.md\nLICENSE.*", &["LICENSE.md"], &[]),
    ];
    for (text, paths, expected) in table {
        let paths: Vec<&'static str> = paths.to_vec();
        assert_eq!(stays(text, &paths), expected, "{text:?}");
    }
}

/// Case M16, and the rules of §2.6 that no upstream test has.
#[test]
fn patterns_are_of_whole_paths_below_the_source() {
    let table: [(&str, &[&str], &[&str]); 12] = [
        (
            "*",
            &["app.py", ".s2iignore", ".s2i/environment", "d/x"],
            &[],
        ),
        // Not recursive, and no `**`.
        ("*.pyc", &["a.pyc", "d/a.pyc"], &["d/a.pyc"]),
        ("**/a.pyc", &["d/a.pyc", "d/e/a.pyc"], &["d/e/a.pyc"]),
        ("/d/x\n./e/\n", &["d/x", "d/y", "e/z"], &["d/y"]),
        ("d//./f/../x", &["d/x"], &[]),
        ("  a  \n\tb", &["a", "b"], &["b"]),
        ("# a\n#b", &["a", "b"], &["a", "b"]),
        // A child of a directory that is left out cannot be taken back.
        ("d\n!d/x", &["d/x", "d/y"], &[]),
        ("d/*\n!d/x", &["d/x", "d/y"], &["d/x"]),
        ("a\r\nb\r\n", &["a", "b"], &[]),
        ("\\#a\n\\!b", &["#a", "!b"], &[]),
        (
            "tests/\n.git/",
            &["tests/a", ".gitignore", "x/tests/b"],
            &[".gitignore", "x/tests/b"],
        ),
    ];
    for (text, paths, expected) in table {
        let paths: Vec<&'static str> = paths.to_vec();
        assert_eq!(stays(text, &paths), expected, "{text:?}");
    }
}

/// Case M17, and patterns that are none.
#[test]
fn what_leads_out_or_is_no_pattern_is_said_and_has_no_effect() {
    let text = "../../x\na/../../b\n/\n.\n[\n![\\\n../x/../y\nkept";
    let (rules, notes) = S2iIgnore::parse(text);
    assert_eq!(rules.0.len(), 1);
    assert!(rules.covers(b"kept") && !rules.covers(b"x") && !rules.covers(b"b"));
    let count = |part: &str| notes.iter().filter(|note| note.contains(part)).count();
    assert_eq!(
        (
            count("leads out"),
            count("the source itself"),
            count("is no pattern")
        ),
        (3, 2, 2),
        "{notes:?}"
    );
}

/// Cases 122, 123, 126, 127 and M21.
#[test]
fn exclude_is_a_regular_expression_for_paths_below_the_source() {
    for wrong in ["(", "["] {
        let error = Exclude::parse(wrong).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(wrong) && text.contains("unclosed"), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
    let covers =
        |pattern: &str, path: &str| Exclude::parse(pattern).unwrap().covers(path.as_bytes());
    let git = r"(^|/)\.git(/|$)";
    assert!(covers(git, ".git") && covers(git, "a/.git"));
    for path in ["test2.git", ".gitignore", "foo.git", ".git2", "a.git/b"] {
        assert!(!covers(git, path), "{path}");
    }
    assert!(covers("test3.txt", "dir/test3.txt") && !covers("test3.txt", ".git"));
    assert!(!covers("", ".git"));
    // The path on this machine says nothing: a source below /tmp is not empty.
    assert!(covers("tmp", "a/tmp") && !covers("tmp", "app.py"));
    let name = Exclude::parse("x$").unwrap();
    assert!(name.covers(b"\xff\xfex") && !name.covers(b"x\xff"));
}

/// The rows are those of Docker's own documentation and tests.
#[test]
fn dockerignore_is_read_as_docker_reads_it() {
    let table: [(&str, &str, bool); 31] = [
        ("*/temp*", "somedir/temporary.txt", true),
        ("*/temp*", "somedir/temp", true),
        ("*/temp*", "temp", false),
        ("*/*/temp*", "somedir/subdir/temporary.txt", true),
        ("temp?", "tempa", true),
        ("temp?", "temp", false),
        ("**/*.go", "main.go", true),
        ("**/*.go", "a/b/c.go", true),
        ("*.md\n!README.md", "README.md", false),
        (
            "*.md\n!README*.md\nREADME-secret.md",
            "README-secret.md",
            true,
        ),
        (
            "*.md\nREADME-secret.md\n!README*.md",
            "README-secret.md",
            false,
        ),
        ("docs", "docs/a/b.txt", true),
        ("docs\n!docs/a", "docs/a/b.txt", false),
        ("docs\n!docs/a", "docs/c", true),
        ("/docs", "docs", true),
        ("docs/", "docs", true),
        ("docs", "x/docs", false),
        ("**", "anything/at/all", true),
        ("a/**", "a", false),
        ("a/**", "a/b/c", true),
        ("a/**/c", "a/c", true),
        ("a/**/c", "a/x/y/c", true),
        ("**/a", "ba", false),
        ("# comment\n#x", "#x", false),
        ("\\#x", "#x", true),
        ("[a-c].txt", "b.txt", true),
        ("[^a-c].txt", "b.txt", false),
        ("a.txt", "aXtxt", false),
        ("*.txt", "é.txt", true),
        ("\u{feff}a", "a", true),
        ("*", ".dockerignore", true),
    ];
    for (text, path, expected) in table {
        let (rules, notes) = DockerIgnore::parse(text);
        assert_eq!(rules.covers(path.as_bytes()), expected, "{text:?} {path}");
        assert!(notes.is_empty(), "{notes:?}");
    }
    let (rules, notes) = DockerIgnore::parse("../x\n[\n!\n.");
    assert_eq!((rules.0.len(), notes.len()), (0, 4));
}
