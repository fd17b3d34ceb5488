//! What stands outside of Section 1, held against what was delivered.

use similar::TextDiff;

use super::sections::{self, Parts, Place};
use super::{Refused, python};

/// A text with its sections told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The text in three.
    pub parts: Parts,
    /// Where Section 1 is.
    pub place: Place,
    /// The module.
    pub module: python::Module,
}

/// Reads the text of an `app.py`.
///
/// # Errors
/// [`Refused`] with the line for what no Python takes, and for marks that do not tell the sections apart.
pub fn read(text: &str) -> Result<Read, Refused> {
    let refused = |line, reason: String| Refused { line, reason };
    let module = python::read(text).map_err(|error| refused(error.line, error.reason))?;
    let last = sections::normalised(text).lines().count();
    let place = sections::find(&module.comments, last)
        .map_err(|error| refused(error.line, error.reason))?;
    Ok(Read {
        parts: sections::cut(text, place),
        place,
        module,
    })
}

/// The change from `delivered` to `now` outside of Section 1, as a unified diff whose lines are those of `now`; `None` when
/// there is none. `old` and `new` name the two in its head.
pub fn difference(delivered: &Parts, now: &Parts, old: &str, new: &str) -> Option<String> {
    if delivered.before == now.before && delivered.after == now.after {
        return None;
    }
    // With the same Section 1 in both, the diff shows the rest alone, in the lines that the person sees.
    let before = [&delivered.before, &now.section1, &delivered.after]
        .map(String::as_str)
        .concat();
    let after = [&now.before, &now.section1, &now.after]
        .map(String::as_str)
        .concat();
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    let text = diff
        .unified_diff()
        .context_radius(2)
        .header(old, new)
        .to_string();
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str =
        "import a\n# ── SECTION 1: yours ──\nx = 1\n# ── END SECTION 1 ──\ndef f():\n    pass\n";

    #[test]
    fn section_1_may_change_and_nothing_else() {
        let base = read(BASE).unwrap().parts;
        for same in [
            BASE.to_owned(),
            BASE.replace("x = 1\n", "x = 2\ny = [\n    3,\n]\n"),
            BASE.replace("x = 1\n", ""),
            BASE.replace('\n', "\r\n"),
            format!("\u{feff}{}", BASE.trim_end()),
        ] {
            let now = read(&same).unwrap().parts;
            assert_eq!(difference(&base, &now, "a", "b"), None, "{same:?}");
        }
        for other in [
            BASE.replace("import a", "import b"),
            BASE.replace("    pass", "    return 1"),
            BASE.replace("yours", "mine"),
            format!("{BASE}\n"),
            BASE.replace("# ── END", "y = 1\n# ── END")
                .replace("import a\n", ""),
        ] {
            let now = read(&other).unwrap().parts;
            assert!(difference(&base, &now, "a", "b").is_some(), "{other:?}");
        }
    }

    #[test]
    fn the_diff_has_the_lines_of_the_file() {
        let base = read(BASE).unwrap().parts;
        let now = BASE
            .replace("x = 1\n", "x = 1\ny = 2\n")
            .replace("    pass", "    return 1");
        let text = difference(&base, &read(&now).unwrap().parts, "delivered", "app.py").unwrap();
        assert_eq!(
            text,
            "--- delivered\n+++ app.py\n@@ -5,3 +5,3 @@\n # ── END SECTION 1 ──\n def f():\n-    pass\n+    return 1\n"
        );
    }
}
