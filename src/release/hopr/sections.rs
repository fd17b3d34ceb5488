//! The sections of a pod's `app.py`: the part that is its user's, and the rest, which must stay as it was delivered.
//!
//! ```text
//! # ──── SECTION 1: Business Logic (yours to modify) ────
//! def on_trigger(payload, headers): …
//! # ──── END SECTION 1 ────
//! ```
//!
//! # Spec
//! `path-to-production.md` §3.2.

use super::python::Comment;

/// Where Section 1 is in a text: lines, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line of the mark that opens it.
    pub opening: usize,
    /// The line of the mark that closes it.
    pub closing: usize,
}

/// A text in three: up to the opening mark, Section 1, and from the closing mark on. Line ends are `\n`, and there is no
/// byte order mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// With the opening mark.
    pub before: String,
    /// What is the user's.
    pub section1: String,
    /// With the closing mark.
    pub after: String,
}

/// Why the sections of a text cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// A mark: which section, and whether it ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    section: u32,
    is_end: bool,
}

/// The same text with `\n` for every line end and without a byte order mark.
pub fn normalised(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Finds Section 1 by the marks among a module's comments: exactly one that opens it, and one after it that closes it.
///
/// # Errors
/// [`Error`] with the line of a mark that is repeated, stands within another section or closes what is not open, and with
/// the last line of all when a mark is missing.
pub fn find(comments: &[Comment], last_line: usize) -> Result<Place, Error> {
    let fail = |line: usize, reason: String| Err(Error { line, reason });
    let (mut opening, mut closing) = (None, None);
    let mut open: Option<(u32, usize)> = None;
    for (line, mark) in comments
        .iter()
        .filter_map(|c| Some((c.line, mark(&c.text)?)))
    {
        let Mark { section, is_end } = mark;
        match (is_end, open) {
            (false, Some((1, at))) => {
                return fail(
                    line,
                    format!("SECTION {section} begins within SECTION 1, which line {at} opened"),
                );
            }
            (false, _) => {
                if section == 1 {
                    if let Some(at) = opening {
                        return fail(line, format!("SECTION 1 begins again; line {at} began it"));
                    }
                    opening = Some(line);
                }
                open = Some((section, line));
            }
            (true, _) if section == 1 => {
                if let Some(at) = closing {
                    return fail(line, format!("SECTION 1 ends again; line {at} ended it"));
                }
                if !matches!(open, Some((1, _))) {
                    return fail(line, "SECTION 1 ends here and has not begun".to_owned());
                }
                closing = Some(line);
                open = None;
            }
            (true, Some((1, at))) => {
                return fail(
                    line,
                    format!("SECTION {section} ends within SECTION 1, which line {at} opened"),
                );
            }
            (true, _) => open = None,
        }
    }
    match (opening, closing) {
        (Some(opening), Some(closing)) => Ok(Place { opening, closing }),
        (Some(at), None) => fail(at, "SECTION 1 begins here and has no end".to_owned()),
        (None, _) => fail(
            last_line.max(1),
            "no comment says where SECTION 1 begins".to_owned(),
        ),
    }
}

/// Cuts a text at Section 1.
pub fn cut(text: &str, place: Place) -> Parts {
    let text = normalised(text);
    let mut parts = Parts {
        before: String::new(),
        section1: String::new(),
        after: String::new(),
    };
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let part = match index + 1 {
            number if number <= place.opening => &mut parts.before,
            number if number < place.closing => &mut parts.section1,
            _ => &mut parts.after,
        };
        part.push_str(line);
    }
    // Whether the last line has an end is not the user's doing as often as an editor's.
    if !parts.after.is_empty() && !parts.after.ends_with('\n') {
        parts.after.push('\n');
    }
    parts
}

/// What a comment marks: a run of lines, `SECTION n` or `END SECTION n`, and nothing but a title behind it.
fn mark(comment: &str) -> Option<Mark> {
    let is_rule = |c: char| {
        matches!(
            c,
            '─' | '━' | '═' | '-' | '–' | '—' | '=' | '*' | ' ' | '\t'
        )
    };
    let has_rule = comment.starts_with(|c: char| is_rule(c) && c != ' ' && c != '\t');
    let words = comment.trim_matches(is_rule);
    let (words, is_end) = match words.strip_prefix("END ") {
        Some(rest) => (rest.trim_start(), true),
        None => (words, false),
    };
    let rest = words.strip_prefix("SECTION")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let rest = rest.trim_start();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let section = rest[..digits].parse().ok()?;
    // `# SECTION 1 is below` is a sentence; with a rule before it, or a colon or nothing behind it, it is a mark.
    let behind = rest[digits..].trim_start();
    let is_mark =
        has_rule || behind.is_empty() || behind.starts_with(':') || behind.starts_with(is_rule);
    is_mark.then_some(Mark { section, is_end })
}

#[cfg(test)]
mod tests {
    use super::super::python;
    use super::*;

    const OPEN: &str = "# ──── SECTION 1: Business Logic (yours to modify) ────";
    const CLOSE: &str = "# ──── END SECTION 1 ────";

    fn place(text: &str) -> Result<Place, Error> {
        let module = python::read(text).unwrap();
        find(&module.comments, text.lines().count())
    }

    #[test]
    fn marks_are_read_tolerantly() {
        for open in [
            OPEN,
            "#---- SECTION 1: x ----",
            "# —— SECTION 1 ——",
            "#SECTION 1:",
            "    # ── SECTION 1",
            "## == SECTION  1 the user's ==",
        ] {
            for close in [CLOSE, "# END SECTION 1", "#-- END SECTION 1 --"] {
                // A mark within brackets would be one too; here it stands before a statement.
                let text = format!("a = 1\n{open}\nb = 2\n{close}\nc = 3\n");
                assert_eq!(
                    place(&text),
                    Ok(Place {
                        opening: 2,
                        closing: 4
                    }),
                    "{text}"
                );
            }
        }
        for prose in [
            "# SECTION 1 is yours",
            "# see SECTION 1",
            "# Section 1: lower case",
            "# SECTIONS 1",
            "# END SECTION 1 comes later",
        ] {
            let text = format!("{prose}\n{OPEN}\n{CLOSE}\n");
            assert_eq!(
                place(&text),
                Ok(Place {
                    opening: 2,
                    closing: 3
                }),
                "{prose}"
            );
        }
    }

    #[test]
    fn a_mark_in_a_string_is_none() {
        let text = format!("\"\"\"\n{OPEN}\n\"\"\"\n{OPEN}\nx = '''\n{CLOSE}\n'''\n{CLOSE}\n");
        assert_eq!(
            place(&text),
            Ok(Place {
                opening: 4,
                closing: 8
            })
        );
    }

    #[test]
    fn missing_repeated_and_nested_marks_are_refused_with_their_line() {
        let two = "# ── SECTION 2: Networking ──";
        for (text, line, reason) in [
            ("a = 1\n".to_owned(), 1, "no comment says"),
            (format!("{OPEN}\na = 1\n"), 1, "has no end"),
            (format!("{OPEN}\n{OPEN}\n{CLOSE}\n"), 2, "begins within"),
            (
                format!("{OPEN}\n{CLOSE}\n{OPEN}\n{CLOSE}\n"),
                3,
                "begins again",
            ),
            (format!("{OPEN}\n{CLOSE}\n{CLOSE}\n"), 3, "ends again"),
            (format!("a = 1\n{CLOSE}\n{OPEN}\n"), 2, "has not begun"),
            (
                format!("{OPEN}\n{two}\n{CLOSE}\n"),
                2,
                "SECTION 2 begins within",
            ),
            (
                format!("{OPEN}\n# END SECTION 2\n{CLOSE}\n"),
                2,
                "SECTION 2 ends within",
            ),
        ] {
            let error = place(&text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.reason.contains(reason), "{text}: {error}");
        }
        let text = format!("{two}\nx = 1\n# END SECTION 2\n{OPEN}\n{CLOSE}\n{two}\n");
        assert_eq!(
            place(&text),
            Ok(Place {
                opening: 4,
                closing: 5
            })
        );
        assert_eq!(
            place(&format!("{OPEN}\n{CLOSE}\n{two}\nx = 1\n")),
            Ok(Place {
                opening: 1,
                closing: 2
            })
        );
    }

    #[test]
    fn texts_are_cut_at_the_marks_whatever_their_line_ends() {
        let text = format!("\u{feff}a = 1\r\n{OPEN}\r\nb = 2\r\n{CLOSE}\r\nc = 3");
        let parts = cut(&text, place(&text).unwrap());
        assert_eq!(parts.before, format!("a = 1\n{OPEN}\n"));
        assert_eq!(parts.section1, "b = 2\n");
        assert_eq!(parts.after, format!("{CLOSE}\nc = 3\n"));
    }
}
