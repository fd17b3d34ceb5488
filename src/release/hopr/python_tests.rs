use super::*;

fn names(text: &str) -> Vec<(String, Vec<String>, usize)> {
    let functions = read(text).unwrap().functions().into_iter();
    functions
        .map(|function| (function.name, function.parameters, function.line))
        .collect()
}

#[test]
fn functions_at_top_level_are_found_with_their_parameters() {
    let text = "\u{feff}\"\"\"def no(a): pass\n'''\n\"\"\"\r\nasync def on_trigger(\r\n    payload: dict[str, int] = {'a': (1, 2)},  # ) def\r\n    headers=None,\r\n) -> dict:\r\n    def inner(x): return x\r\n    return {}\r\n\r\n\
                class A:\n    def method(self): pass\nx = r'\\\\'; y = f\"{x}'\"\nif x: pass\ndef last(a, /, b, *, c, **d): \\\n    pass\n";
    assert_eq!(
        names(text),
        [
            (
                "on_trigger".to_owned(),
                vec!["payload".to_owned(), "headers".to_owned()],
                4
            ),
            (
                "last".to_owned(),
                ["a", "b", "c", "**d"].map(str::to_owned).to_vec(),
                15
            ),
        ]
    );
    assert_eq!(
        names("def f(*args, x: 'a, b'=(1, 2)): pass\n")[0].1,
        ["*args", "x"]
    );
    assert_eq!(names("def f(): pass"), [("f".to_owned(), Vec::new(), 1)]);
}

#[test]
fn what_no_python_takes_is_refused_with_its_line() {
    for (text, line, reason) in [
        ("a = (1,\nb = 2\n", 1, "never closed"),
        ("a = 1)\n", 1, "closes nothing"),
        ("a = [1\n)\n", 2, "closes the `[` of line 1"),
        ("a = 'x\nb = 1\n", 1, "not closed in its line"),
        ("a = 1\nb = \"\"\"x\n\n", 2, "never closed"),
        ("a = 1 \\ \nb\n", 1, "backslash"),
        ("  a = 1\n", 1, "for no reason"),
        ("if a:\nb = 1\n", 2, "indented block is missing"),
        ("if a:\n    b\n  c\n", 3, "no line above"),
        ("def f():\n", 1, "block behind the `:`"),
        ("a = 1\n\u{0}\n", 2, "control character"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.reason.contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn what_python_takes_passes() {
    for text in [
        "",
        "\n\n# only\n",
        "x = {\n  'a': 1, # b)\n# c\n}\n",
        "if a:\n\tb\n\tif c:\n\t\td\ne\n",
        "x = 'a\\\nb'\n",
        "x = '''a'b\"\"\"'''\n",
        "x = lambda: 1\ny = x[1:]\n",
        "def f():\n    # comment\n\n        # deeper comment\n    pass",
        "größe = 1\n",
        "match x:\n    case {'a': 1}:\n        pass\n    case _: pass\n",
    ] {
        read(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
}

#[test]
fn imports_are_those_of_the_lines_and_absolute() {
    let text = "import os\nimport a.b as c, d\nfrom e.f import (\n  g,\n)\nfrom . import h\nfrom .i import j\nif x: import k\ny = 'import l'\ndef f():\n    try:\n        import m; import n\n    except ImportError: pass\nx.importer = 1\n";
    let module = read(text).unwrap();
    let names: Vec<String> = module
        .imports(2, 99)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["a", "d", "e", "k", "m", "n"]);
    assert_eq!(module.imports(1, 1), [("os".to_owned(), 1)]);
}

#[test]
fn uses_are_of_names_not_of_members_or_strings() {
    let module = read("def f():\n    a.time.sleep(1)\n    'time.sleep(1)'\n    x = time.sleep\n    await q(time . sleep(2))\n    requests.get()\n").unwrap();
    assert_eq!(module.uses(0..6, "time.sleep"), Some(5));
    assert_eq!(module.uses(0..4, "time.sleep"), None);
    assert_eq!(module.uses(0..6, "requests."), Some(6));
    assert_eq!(module.uses(0..6, "input"), None);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_fall_over(text in "[a-f \\n\\t#'\"\\\\()\\[\\]{}:,.=─]{0,200}") {
        if let Ok(module) = read(&text) {
            let _ = (module.functions(), module.imports(0, 500));
            let _ = module.uses(0..module.lines.len(), "a.b");
        }
    }
}
