//! What the new pods say of themselves: a line in their log that means that they are ready.
//!
//! # Spec
//! `reference/path-to-production.md` §3.4: Hopr's auto-trigger. Its line is prose, so the pattern is an option.

use regex::Regex;

use crate::event::printable;

/// How Hopr's gateway tells that its messages were sent, and how many of how many.
pub const AUTO_TRIGGER: &str = r"Auto-trigger complete\s*[—–-]\s*(\d+)/(\d+)";

/// How many lines of a traceback are told.
const TRACEBACK_LINES: usize = 30;
/// What is looked at of a line at most, in bytes: longer ones are data.
const LINE_LIMIT: usize = 16 << 10;

/// What a log has to say.
#[derive(Clone, Debug)]
pub struct ReadyCheck {
    pattern: Regex,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A line that fits.
    Line,
    /// A line with two numbers, which must be equal; a Python traceback before it is a failure.
    Count,
}

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no regular expression.
    #[error("`{pattern}` is not a regular expression: {reason}")]
    Syntax {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It should have two groups, for two numbers.
    #[error("`{pattern}` has {found} groups, not two: `(\\d+)/(\\d+)`")]
    Groups {
        /// As it was given.
        pattern: String,
        /// How many groups it has.
        found: usize,
    },
}

/// What a log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is ready.
    Yes {
        /// The line that said so.
        line: String,
    },
    /// Nothing yet.
    Nothing,
    /// It will not be.
    No {
        /// Why, in a sentence.
        why: String,
        /// The lines that tell more.
        lines: Vec<String>,
    },
}

impl ReadyCheck {
    /// A line that fits `pattern`, anywhere in it.
    ///
    /// # Errors
    /// [`PatternError::Syntax`].
    pub fn line(pattern: &str) -> Result<Self, PatternError> {
        let pattern = compile(pattern)?;
        let kind = Kind::Line;
        Ok(Self { pattern, kind })
    }

    /// A line that fits `pattern`, whose two groups are equal numbers: all messages were sent ([`AUTO_TRIGGER`]).
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn count(pattern: &str) -> Result<Self, PatternError> {
        let compiled = compile(pattern)?;
        let found = compiled.captures_len() - 1;
        if found != 2 {
            return Err(PatternError::Groups {
                pattern: pattern.to_owned(),
                found,
            });
        }
        Ok(Self {
            pattern: compiled,
            kind: Kind::Count,
        })
    }

    /// The pattern, for messages.
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    /// Reads a log from its beginning. The first line that decides does.
    pub fn read(&self, log: &[u8]) -> Said {
        let text = String::from_utf8_lossy(log);
        let lines: Vec<&str> = text.lines().map(cut).collect();
        for (number, line) in lines.iter().enumerate() {
            let Some(found) = self.pattern.captures(line) else {
                if self.kind == Kind::Count && line.contains("Traceback (most recent call last):") {
                    return traceback(&lines[number..]);
                }
                continue;
            };
            let line = printable(line.trim());
            if self.kind == Kind::Line {
                return Said::Yes { line };
            }
            // Numbers too long for a machine are compared as they are written, without zeros in front.
            let number = |group: usize| {
                let digits = found.get(group).map_or("", |found| found.as_str());
                digits.trim_start_matches('0')
            };
            let (sent, all) = (number(1), number(2));
            let why = match (sent == all, all.is_empty()) {
                (true, false) => return Said::Yes { line },
                (true, true) => "there was nothing to send".to_owned(),
                (false, _) => "not all of its messages were sent".to_owned(),
            };
            let lines = vec![line];
            return Said::No { why, lines };
        }
        Said::Nothing
    }
}

fn compile(pattern: &str) -> Result<Regex, PatternError> {
    Regex::new(pattern).map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default();
        PatternError::Syntax {
            pattern: pattern.to_owned(),
            reason: reason.trim_start_matches("error: ").to_owned(),
        }
    })
}

/// The beginning of a line, cut between two characters.
fn cut(line: &str) -> &str {
    &line[..line.floor_char_boundary(LINE_LIMIT)]
}

/// A traceback goes on while lines are indented, and ends with the one that names the exception.
fn traceback(lines: &[&str]) -> Said {
    let mut told = vec![printable(lines[0])];
    for line in lines[1..].iter().take(TRACEBACK_LINES) {
        told.push(printable(line));
        if !line.starts_with([' ', '\t']) && !line.is_empty() {
            break;
        }
    }
    Said::No {
        why: "an exception was not handled".to_owned(),
        lines: told,
    }
}

#[cfg(test)]
#[path = "ready_tests.rs"]
mod tests;
