use super::*;

fn only(text: &str) -> Node {
    let mut documents = parse(text).unwrap();
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0).root.unwrap()
}

#[test]
fn every_value_stands_where_its_span_says() {
    for (text, written) in [
        ("a: b # c\n", "b"),
        ("a: b   \n\n# c\nd: e", "b"),
        ("a: \"x\\\"y\"  # c\n", "\"x\\\"y\""),
        ("a: 'it''s' # 'c'\n", "'it''s'"),
        ("a: &n b # c\n", "b"),
        ("a: !!str 'b' # c\n", "'b'"),
        ("{a: b , c: d}", "b"),
        ("{\"a\": \"b\" , \"c\": 1}", "\"b\""),
        ("a: b:5000/c:d@e\t# c", "b:5000/c:d@e"),
    ] {
        let root = only(text);
        assert_eq!(
            &text[root.get("a").unwrap().span.clone()],
            written,
            "{text}"
        );
    }
    let text = "\u{feff}# größe\r\na: 'ü b' # c\r\nb: {c: \"x\\ty\", d: [1, zwölf]}\r\ne:\r\n- f\r\n-   g: h\r\n";
    let root = only(text);
    let at = |path: &[&str]| &text[root.at(path).unwrap().span.clone()];
    assert_eq!(at(&["a"]), "'ü b'");
    assert_eq!(at(&["b", "c"]), "\"x\\ty\"");
    assert_eq!(at(&["b", "d"]), "[1, zwölf]");
    assert_eq!(at(&["b"]), "{c: \"x\\ty\", d: [1, zwölf]}");
    let items = root.get("e").unwrap().items();
    assert_eq!(&text[items[0].span.clone()], "f");
    assert_eq!(&text[items[1].get("g").unwrap().span.clone()], "h");
    assert_eq!(items[1].get("g").unwrap().line, 6);
    assert_eq!(root.at(&["b", "c"]).unwrap().text(), Some("x\ty"));
}

#[test]
fn anchors_and_aliases_share_a_number() {
    let root = only("a: &x 1\nb: *x\nc: &x 2\nd: *x\n");
    let number = |key: &str| match root.get(key).unwrap() {
        Node {
            value: Value::Alias(number),
            ..
        } => Some(*number),
        node => node.anchor,
    };
    assert_eq!(number("a"), number("b"));
    assert_eq!(number("c"), number("d"));
    assert_ne!(number("a"), number("c"));
}

#[test]
fn nothing_written_is_null_with_an_empty_span() {
    let root = only("a:\nb: ~\nc: ''\n");
    assert!(root.get("a").unwrap().is_null() && root.get("a").unwrap().span.is_empty());
    assert!(root.get("b").unwrap().is_null());
    assert!(!root.get("c").unwrap().is_null());
}

#[test]
fn documents_are_counted_and_empty_ones_have_no_root_value() {
    let documents = parse("---\na: 1\n---\nb: 2\n...\n").unwrap();
    assert_eq!(documents.len(), 2);
    assert!(parse("").unwrap().is_empty());
}

#[test]
fn documents_come_one_by_one_and_those_passed_over_change_nothing() {
    let text = "a: &x [1, {b: ü}]\n---\n--- # nothing\n---\nb: 'ö'\nc: *x\n...\n%TAG !e! tag:e,2000:\n---\n!e!f d: é\n";
    let all = parse(text).unwrap();
    assert_eq!(all.len(), 5);
    for number in 0..7 {
        let one = documents(text).unwrap().nth(number);
        assert_eq!(
            one.map(Result::unwrap).as_ref(),
            all.get(number),
            "{number}"
        );
    }
    let mut rest = documents(text).unwrap();
    assert_eq!(rest.nth(2).unwrap().unwrap(), all[2]);
    assert_eq!(rest.next().unwrap().unwrap(), all[3]);
    assert_eq!(rest.nth(1), None);
    assert_eq!(rest.next(), None);
}

#[test]
fn a_mistake_ends_the_stream_where_it_is() {
    let text = "a: 1\n---\nb: [\n---\nc: 2\n";
    let mut one_by_one = documents(text).unwrap();
    assert_eq!(
        one_by_one.next().unwrap().unwrap(),
        parse("a: 1\n").unwrap()[0]
    );
    assert_eq!(
        one_by_one.next().unwrap().unwrap_err(),
        parse(text).unwrap_err()
    );
    assert_eq!(one_by_one.next(), None);
    // One that is passed over is held to the same bounds.
    assert_eq!(
        documents(text).unwrap().nth(2).unwrap().unwrap_err(),
        parse(text).unwrap_err()
    );
    let deep = format!("{}\n---\na: 1\n", "[".repeat(MOST_DEPTH + 1));
    let passed = documents(&deep).unwrap().nth(1).unwrap();
    assert!(passed.unwrap_err().reason.contains("deep"));
}

#[test]
fn characters_of_several_bytes_have_their_places() {
    for length in 0..100 {
        let wide = "ü".repeat(length);
        let text = format!("# {wide}\r\na: '{wide}' # {wide}\nb: [\"{wide}\", c{wide}]\n");
        let root = only(&text);
        let list = root.get("b").unwrap();
        let [quoted, plain] = list.items() else {
            panic!("{text}");
        };
        let written = |node: &Node| text[node.span.clone()].to_owned();
        assert_eq!(written(root.get("a").unwrap()), format!("'{wide}'"));
        assert_eq!(written(quoted), format!("\"{wide}\""));
        assert_eq!(written(plain), format!("c{wide}"));
        assert_eq!(written(list), format!("[\"{wide}\", c{wide}]"));
    }
}

#[test]
fn depth_and_number_are_bounded() {
    let deep = "[".repeat(MOST_DEPTH + 1);
    assert!(parse(&deep).unwrap_err().reason.contains("deep"));
    let many = "- \n".repeat(MOST_NODES + 1);
    assert!(parse(&many).unwrap_err().reason.contains("more than"));
}

#[test]
fn a_mistake_has_its_line() {
    let error = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
    assert!(error.line >= 2, "{error}");
}

#[test]
fn a_tab_behind_a_colon_is_named_where_the_parser_does_not_take_it() {
    for (text, line) in [("a:\tb\n", 1), ("# ü\r\nx: y\r\na:\tb # c\r\n", 3)] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}");
        assert!(error.reason.contains("tab behind the `:`"), "{error}");
    }
    let error = parse("a: [1\nb: 2\n").unwrap_err();
    assert!(!error.reason.contains("tab"), "{error}");
    assert_eq!(only("a:\t\"b\"\n").get("a").unwrap().text(), Some("b"));
}
