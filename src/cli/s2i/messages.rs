//! What a person, or a program that reads lines, is told by `s2i`.

use std::io::{self, Write};

use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::event::printable;

/// Writes a line to stderr. A reader that has gone is no reason to fail.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Every line with `ERROR: ` before it, at the beginning of the line.
pub(super) fn errors<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let lines = lines.into_iter().flat_map(str::lines);
    let lines = lines
        .map(str::trim_end)
        .filter(|line| !line.trim().is_empty());
    lines
        .map(|line| format!("ERROR: {}\n", printable(line)))
        .collect()
}

/// The lines of an error: what happened, each cause, and what can be done. What a script printed last was printed
/// already.
///
/// # Spec
/// `s2i-compat.md` §1.1, §6.3: Daeploy keeps the lines that begin with `ERROR`.
pub(super) fn of_diagnostic(diagnostic: &Diagnostic) -> String {
    let was_printed = matches!(diagnostic.code, Code::Script | Code::Packages);
    let output: &[String] = match was_printed {
        true => &[],
        false => &diagnostic.output,
    };
    let lines = [&diagnostic.what].into_iter().chain(&diagnostic.because);
    let lines = lines.chain(output).chain(&diagnostic.hints);
    errors(lines.map(String::as_str))
}

/// s2i's exit status for a code of ours.
///
/// # Spec
/// `s2i-compat.md` §1.2.
pub(super) fn status(diagnostic: &Diagnostic) -> u8 {
    match diagnostic.code {
        Code::Success => 0,
        Code::Interrupted => 2,
        Code::NoBuilder => 2,
        Code::Registry | Code::Unauthorised if diagnostic.is_about_builder => 2,
        Code::Store | Code::DiskFull => 5,
        Code::Output => 6,
        Code::NotABuilder => 11,
        Code::ForbiddenUser => 15,
        Code::EmptyRepository => 16,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_begins_with_the_prefix_and_nothing_is_said_twice() {
        let mut diagnostic = Diagnostic::new(Code::Script, "the `assemble` script failed\nwith 42")
            .also("a \u{1b}[31mcause")
            .hint("do\n\nthis");
        diagnostic.output = vec!["printed before".to_owned()];
        let expected = "ERROR: the `assemble` script failed\nERROR: with 42\nERROR: a \u{fffd}[31mcause\n\
            ERROR: do\nERROR: this\n";
        assert_eq!(of_diagnostic(&diagnostic), expected);
        diagnostic.code = Code::Output;
        assert!(of_diagnostic(&diagnostic).contains("\nERROR: printed before\n"));
    }

    #[test]
    fn codes_are_those_of_s2i() {
        let table = [
            (Code::Usage, 1),
            (Code::InvalidReference, 1),
            (Code::NoSource, 1),
            (Code::NoBuilder, 2),
            (Code::Registry, 1),
            (Code::NotABuilder, 11),
            (Code::ForbiddenUser, 15),
            (Code::EmptyRepository, 16),
            (Code::Script, 1),
            (Code::Sandbox, 1),
            (Code::Interrupted, 2),
        ];
        for (code, expected) in table {
            assert_eq!(status(&Diagnostic::new(code, "x")), expected, "{code:?}");
        }
        let mut pull = Diagnostic::new(Code::Registry, "x");
        pull.is_about_builder = true;
        assert_eq!(status(&pull), 2);
    }
}
