//! `SRC[:DST]` in s2i's own grammar, which `--inject`, `--runtime-artifact` and a label of runtime images share.

/// Characters that neither part may have.
///
/// # Spec
/// `s2i-compat.md` §2.13.
const FORBIDDEN: &str = ";*?\"<>|%#$!+{}&[],'`";

/// A source and where it goes, both cleaned; an absent part is `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) source: String,
    pub(super) destination: String,
}

/// Reads one or several, joined by `;`. The last colon splits, quotes around a part are taken off.
///
/// # Errors
/// A sentence that says what is wrong with which of them; then none of them counts.
///
/// # Spec
/// `s2i-compat.md` §2.13, cases 10 to 21.
pub(super) fn parse_list(text: &str) -> Result<Vec<Spec>, String> {
    text.split(';').map(parse).collect()
}

fn parse(text: &str) -> Result<Spec, String> {
    if text.is_empty() {
        return Err(
            "one of its parts is empty: expected SRC:DST, several joined by `;`".to_owned(),
        );
    }
    let (source, destination) = text.rsplit_once(':').unwrap_or((text, ""));
    Ok(Spec {
        source: path(source)?,
        destination: path(destination)?,
    })
}

fn path(text: &str) -> Result<String, String> {
    let bare = text.trim_matches(['"', '\'']);
    match bare.chars().find(|c| FORBIDDEN.contains(*c)) {
        Some(character) => Err(format!(
            "`{bare}` has a `{character}`, which a path here may not have"
        )),
        None if bare.contains('\0') => Err("a path cannot have a NUL character".to_owned()),
        None => Ok(clean(bare)),
    }
}

/// The shortest path that means the same without looking at any file.
///
/// # Spec
/// Go, `path/filepath`, `Clean`.
pub(super) fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            ("..", _) if is_absolute => {}
            (part, _) => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
        let pair = |spec: Spec| (spec.source, spec.destination);
        parse_list(text).map(|specs| specs.into_iter().map(pair).collect())
    }

    /// Cases 10 to 17, 19 and 20.
    #[test]
    fn the_last_colon_splits_and_what_is_absent_is_a_dot() {
        let table: [(&str, &[(&str, &str)]); 16] = [
            ("/test:", &[("/test", ".")]),
            ("/test:/test", &[("/test", "/test")]),
            ("/test/foo:/etc/ssl", &[("/test/foo", "/etc/ssl")]),
            (":/foo", &[(".", "/foo")]),
            ("/foo", &[("/foo", ".")]),
            (":", &[(".", ".")]),
            ("/t est/foo:", &[("/t est/foo", ".")]),
            ("\"/test\":\"/foo\"", &[("/test", "/foo")]),
            ("'/test':\"/foo\"", &[("/test", "/foo")]),
            ("\"'/test'\":foo", &[("/test", "foo")]),
            (r"C:\test:/bar", &[(r"C:\test", "/bar")]),
            (r"C:\test:bar", &[(r"C:\test", "bar")]),
            ("/test/foo:/ss;ss", &[("/test/foo", "/ss"), ("ss", ".")]),
            ("/test;foo:/ssss", &[("/test", "."), ("foo", "/ssss")]),
            ("/a//b/../c/:x/./y", &[("/a/c", "x/y")]),
            ("/../a:../b", &[("/a", "../b")]),
        ];
        for (text, expected) in table {
            let expected: Vec<_> = expected
                .iter()
                .map(|(source, destination)| (source.to_string(), destination.to_string()))
                .collect();
            assert_eq!(pairs(text), Ok(expected), "{text}");
        }
    }

    /// Cases 18 and 21.
    #[test]
    fn one_bad_part_refuses_all() {
        for wrong in [
            "/te\"st:/foo",
            "/test:/f'oo",
            "/test/foo:/ss;ss!dgfsdgf",
            "/a;",
            ";/a",
            "",
            "/a:$HOME",
            "/a,b",
            "/a*:/b",
            "/a:/b+c",
            "/a\0",
        ] {
            assert!(pairs(wrong).is_err(), "{wrong:?}");
        }
    }
}
