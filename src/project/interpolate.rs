//! Variables in the texts of `.registry`.

use std::collections::BTreeMap;

/// A text whose variables have been replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interpolated {
    pub(super) text: String,
    /// The variables without a default that are not set; nothing stands in their place.
    pub(super) missing: Vec<String>,
}

/// Replaces `$NAME`, `${NAME}` and `${NAME:-DEFAULT}`; `$$` is one `$`. The default counts when the variable is not set
/// or empty. A `$` that begins none of these stays.
///
/// # Errors
/// A sentence for a `${` without `}`, and for what is no name in it.
///
/// # Spec
/// `path-to-production.md` §1.3, where the generations of `op` disagree: `$$` as in Python, an empty variable as in Go.
pub(super) fn interpolate(
    text: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Interpolated, String> {
    let mut found = Interpolated {
        text: String::with_capacity(text.len()),
        missing: Vec::new(),
    };
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        found.text.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            found.text.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (inside, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`${{` has no `}}` in `{text}`"))?;
            let (name, default) = match inside.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inside, None),
            };
            if name.is_empty() || name_length(name) != name.len() {
                return Err(format!("`${{{inside}}}` names no variable"));
            }
            found.put(name, default, variables);
            rest = after;
        } else {
            let (name, after) = rest.split_at(name_length(rest));
            match name {
                "" => found.text.push('$'),
                name => found.put(name, None, variables),
            }
            rest = after;
        }
    }
    found.text.push_str(rest);
    Ok(found)
}

impl Interpolated {
    fn put(&mut self, name: &str, default: Option<&str>, variables: &BTreeMap<String, String>) {
        let value = variables.get(name).map(String::as_str);
        let value = match default {
            Some(default) => value.filter(|value| !value.is_empty()).or(Some(default)),
            None => value,
        };
        match value {
            Some(value) => self.text.push_str(value),
            None => self.missing.push(name.to_owned()),
        }
    }
}

/// How many bytes at the beginning are a name: a letter or `_`, then letters, digits and `_`.
fn name_length(text: &str) -> usize {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    match text.chars().next() {
        Some(first) if is_first(first) => text
            .find(|c: char| !is_first(c) && !c.is_ascii_digit())
            .unwrap_or(text.len()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn variables_are_replaced_as_the_reference_says() {
        let known = variables(&[
            ("ORG", "acme"),
            ("EMPTY", ""),
            ("PORT", "9999"),
            ("A_1", "x"),
        ]);
        for (text, expected) in [
            ("ghcr.io/${ORG}", "ghcr.io/acme"),
            ("ghcr.io/$ORG/x", "ghcr.io/acme/x"),
            ("ghcr.io/${NONE:-fallback}", "ghcr.io/fallback"),
            ("ghcr.io/${EMPTY:-fallback}", "ghcr.io/fallback"),
            ("ghcr.io/${ORG:-fallback}", "ghcr.io/acme"),
            ("localhost:${PORT:-5001}", "localhost:9999"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("a$$b", "a$b"),
            ("$${ORG}", "${ORG}"),
            ("$$$ORG", "$acme"),
            ("a$", "a$"),
            ("a$1", "a$1"),
            ("$A_1.y", "x.y"),
            ("[${EMPTY}]", "[]"),
            ("no variable", "no variable"),
        ] {
            let found = interpolate(text, &known).unwrap();
            assert_eq!(found.text, expected, "{text}");
            assert_eq!(found.missing, [] as [&str; 0], "{text}");
        }
        let found = interpolate("a/${X}/$Y/${Z:-z}", &known).unwrap();
        assert_eq!(found.text, "a///z");
        assert_eq!(found.missing, ["X", "Y"]);
        for wrong in ["${ORG", "a${}", "${1}", "${a b}", "${:-x}", "${ORG-x}"] {
            assert!(interpolate(wrong, &known).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn doubling_dollars_keeps_any_text(text in "\\PC{0,40}") {
            let found = interpolate(&text.replace('$', "$$"), &BTreeMap::new()).unwrap();
            prop_assert_eq!(found.text, text);
            prop_assert_eq!(found.missing, Vec::<String>::new());
        }

        #[test]
        fn a_value_is_put_in_as_it_stands(
            before in "[^$]{0,10}", name in "[A-Za-z_][A-Za-z0-9_]{0,8}", value in "\\PC{1,20}",
            default in "[^}]{0,10}", after in "[^$]{0,10}",
        ) {
            let known = BTreeMap::from([(name.clone(), value.clone())]);
            let expected = format!("{before}{value}{after}");
            for text in [format!("{before}${{{name}}}{after}"), format!("{before}${{{name}:-{default}}}{after}")] {
                prop_assert_eq!(&interpolate(&text, &known).unwrap().text, &expected);
            }
            let text = format!("{before}${{{name}:-{default}}}{after}");
            let found = interpolate(&text, &BTreeMap::new()).unwrap();
            prop_assert_eq!(found.text, format!("{before}{default}{after}"));
        }

        #[test]
        fn no_text_brings_it_down(text in "[$\\{\\}A-z:\\-é]{0,30}") {
            let _ = interpolate(&text, &BTreeMap::from([("A".to_owned(), "$".to_owned())]));
        }
    }
}
