//! Which files of a source stay behind: `.s2iignore`, `.dockerignore`, `--exclude`.
//!
//! Whether a path stays is decided from the path alone, so that a directory that is ignored is not even read.

use std::path::Path;

use regex::bytes::Regex;

use super::Error;
use super::glob::Glob;
use crate::event::{Event, Observer};

/// The names that no source ever gives away.
pub(super) const GIT: &[u8] = b".git";
/// The directory at the top of a project that overcoat keeps its records in: they change with every build, which must not
/// change what is built.
pub(super) const RECORDS: &[u8] = b".overcoat";

/// `--exclude`: paths that are left out, wherever they are.
///
/// # Spec
/// `s2i-compat.md` §2.5, but the pattern is matched against the path below the source, not against the path on this machine,
/// and what is in an excluded directory is excluded with it.
#[derive(Clone, Debug, Default)]
pub enum Exclude {
    /// Whatever has a component `.git`.
    #[default]
    Git,
    /// Nothing, so that `.git` goes along.
    Nothing,
    /// Whatever matches, and what is in a directory that matches.
    Matching(Box<Regex>),
}

impl Exclude {
    /// Reads the pattern of `--exclude`: a regular expression that is looked for anywhere in a path such as
    /// `pkg/module.py`; empty, nothing is excluded.
    ///
    /// # Errors
    /// [`Error::Exclude`] for what is no regular expression.
    ///
    /// # Spec
    /// The syntax of RE2, as the `regex` crate has it.
    pub fn parse(pattern: &str) -> Result<Self, Error> {
        // What s2i's help shows as the default.
        if pattern == r"(^|/)\.git(/|$)" {
            return Ok(Self::Git);
        }
        if pattern.is_empty() {
            return Ok(Self::Nothing);
        }
        let regex = Regex::new(pattern).map_err(|error| Error::Exclude {
            pattern: pattern.to_owned(),
            reason: match error {
                // Its own text draws the pattern with a mark below, over several lines.
                regex::Error::Syntax(text) => {
                    let last = text.lines().last().unwrap_or_default().trim();
                    last.trim_start_matches("error: ").to_owned()
                }
                error => error.to_string(),
            },
        })?;
        Ok(Self::Matching(Box::new(regex)))
    }

    /// Whether this path is left out; those above it are not looked at.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        if path == RECORDS {
            return true;
        }
        match self {
            Self::Git => path.rsplit(|byte| *byte == b'/').next() == Some(GIT),
            Self::Nothing => false,
            Self::Matching(regex) => regex.is_match(path),
        }
    }
}

/// The patterns of a `.s2iignore`.
#[derive(Clone, Debug, Default)]
pub(super) struct S2iIgnore(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    is_rescue: bool,
    components: Vec<Glob>,
}

impl S2iIgnore {
    /// Reads the file's text, and says what is wrong with it.
    ///
    /// A pattern a line, matched against whole paths below the source: it is the directory or file that is named there and
    /// none of the same name elsewhere, and goes with all that is in it. `!pattern` takes back what lines above it
    /// named, and only that very path.
    ///
    /// # Spec
    /// `s2i-compat.md` §2.6, except that a carriage return at the end of a line is no part of the pattern, and that nothing
    /// outside the source is ever touched.
    pub(super) fn parse(text: &str) -> (Self, Vec<String>) {
        let mut rules = Vec::new();
        let mut notes = Vec::new();
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line).trim_matches(' ');
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (is_rescue, pattern) = match line.strip_prefix('!') {
                Some(pattern) => (true, pattern),
                None => (false, line),
            };
            let components = match cleaned(pattern) {
                Some(components) if components.is_empty() => {
                    notes.push(format!("`{line}` of `.s2iignore` names the source itself"));
                    continue;
                }
                Some(components) => components,
                None => {
                    notes.push(format!("`{line}` of `.s2iignore` leads out of the source"));
                    continue;
                }
            };
            match components.into_iter().map(Glob::parse).collect() {
                Ok(components) => rules.push(Rule {
                    is_rescue,
                    components,
                }),
                Err(_) => notes.push(format!("`{line}` of `.s2iignore` is no pattern")),
            }
        }
        (Self(rules), notes)
    }

    /// True when no path is ever named.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this very path is named; those above it are not looked at.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        if self.is_empty() {
            return false;
        }
        let depth = path.iter().filter(|byte| **byte == b'/').count() + 1;
        // What the last line that fits says, holds.
        let rule = self.0.iter().rev().find(|rule| {
            let components = path.split(|byte| *byte == b'/');
            rule.components.len() == depth
                && rule
                    .components
                    .iter()
                    .zip(components)
                    .all(|(glob, name)| glob.matches(name))
        });
        rule.is_some_and(|rule| !rule.is_rescue)
    }
}

/// The components of a path after `.`, `..` and doubled slashes are resolved, as Go's `filepath.Clean` does below a root;
/// `None` when it leads out.
fn cleaned(path: &str) -> Option<Vec<&str>> {
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()?),
            component => components.push(component),
        }
    }
    Some(components)
}

/// The patterns of a `.dockerignore`.
#[derive(Clone, Debug, Default)]
pub(super) struct DockerIgnore(Vec<(bool, Regex)>);

impl DockerIgnore {
    /// Reads the file's text, and says what is wrong with it.
    ///
    /// # Spec
    /// docs.docker.com, *Build context*, ".dockerignore files": patterns of Go's `filepath.Match` and `**`, from the top of
    /// the source; the last line that matches a path, or a directory that it is in, decides; `!` takes back.
    pub(super) fn parse(text: &str) -> (Self, Vec<String>) {
        let mut rules = Vec::new();
        let mut notes = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for line in text.lines() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let line = line.trim();
            let (is_rescue, pattern) = match line.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, line),
            };
            let regex = cleaned(pattern)
                .filter(|components| !components.is_empty())
                .and_then(|components| docker_regex(&components.join("/")));
            match regex {
                Some(regex) => rules.push((is_rescue, regex)),
                None => notes.push(format!(
                    "`{line}` of `.dockerignore` is no pattern for files of the source"
                )),
            }
        }
        (Self(rules), notes)
    }

    /// True when no path is ever named.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when a file in an ignored directory can be wanted all the same.
    pub(super) fn rescues(&self) -> bool {
        self.0.iter().any(|(is_rescue, _)| *is_rescue)
    }

    /// Whether a path is named, by itself or by a directory that it is in.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends: Vec<usize> = slashes.map(|(at, _)| at).chain([path.len()]).collect();
        let matches = |regex: &Regex| ends.iter().any(|end| regex.is_match(&path[..*end]));
        let rule = self.0.iter().rev().find(|(_, regex)| matches(regex));
        rule.is_some_and(|(is_rescue, _)| !is_rescue)
    }
}

/// A pattern of Docker as a regular expression for the whole path; `None` when it is no pattern.
fn docker_regex(pattern: &str) -> Option<Regex> {
    let mut regex = r"\A".to_owned();
    let mut rest = pattern.chars().peekable();
    let escaped = |c: char| regex::escape(c.encode_utf8(&mut [0; 4]));
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                // `**/` is any directories, none as well; `**` at the end is everything.
                rest.next_if_eq(&'/');
                regex.push_str(match rest.peek() {
                    None => "(?s-u:.*)",
                    Some(_) => "(?s-u:.*/)?",
                });
            }
            '*' => regex.push_str("(?-u:[^/]*)"),
            '?' => regex.push_str("[^/]"),
            '\\' => regex.push_str(&escaped(rest.next()?)),
            '[' => {
                regex.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    regex.push('^');
                }
                loop {
                    match rest.next()? {
                        ']' => break,
                        '\\' => regex.push_str(&escaped(rest.next()?)),
                        '-' => regex.push('-'),
                        c => regex.push_str(&escaped(c)),
                    }
                }
                regex.push(']');
            }
            c => regex.push_str(&escaped(c)),
        }
    }
    regex.push_str(r"\z");
    Regex::new(&regex).ok()
}

/// Reads an ignore file, if it is there and is a file of the source: a link that leads out of it is nobody's rule.
pub(super) fn text(
    root: &Path,
    name: &str,
    limit_bytes: u64,
    observer: &dyn Observer,
) -> Result<Option<String>, Error> {
    let path = root.join(name);
    let Ok(real) = std::fs::canonicalize(&path) else {
        return Ok(None);
    };
    if !real.starts_with(root) || !real.is_file() {
        observer.observe(Event::Warning {
            text: format!("`{name}` is no file of the source, and is not heeded"),
            hint: None,
        });
        return Ok(None);
    }
    let bytes = crate::fs::read_limited(&real, limit_bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
#[path = "ignore_tests.rs"]
mod tests;
