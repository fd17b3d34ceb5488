//! The findings for people.

use std::io::IsTerminal;

use super::{Findings, registry};
use crate::event::printable;
use crate::sandbox::ladder::{LadderError, Refusal, Rung, SEE_DOCTOR, Verdict};
use crate::sandbox::probe::State;

/// Lines are no wider, however wide the terminal is.
const MAX_WIDTH: usize = 100;

/// The width to write for: the terminal's, if stdout is one.
pub(super) fn width() -> usize {
    let stdout = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&stdout)
        .ok()
        .filter(|_| stdout.is_terminal());
    size.map_or(MAX_WIDTH, |size| {
        usize::from(size.ws_col).clamp(40, MAX_WIDTH)
    })
}

/// The whole report, without the last line's end.
pub(super) fn text(findings: &Findings, width: usize) -> String {
    let mut page = Page {
        width,
        lines: Vec::new(),
    };
    page.line("Kinds of isolation, the strongest first:");
    page.line("");
    for verdict in &findings.verdicts {
        page.rung(verdict, findings.prober.is_meant(verdict.rung));
    }
    in_the_way(&mut page, findings);
    limits(&mut page, findings);
    ingredients(&mut page, findings);
    if let Some(answer) = &findings.registry {
        ask(&mut page, answer);
    }
    conclusion(&mut page, findings);
    page.lines.join("\n")
}

/// Every reason once, with the rungs that it stops. What is not meant for this user is in nobody's way.
fn in_the_way(page: &mut Page, findings: &Findings) {
    let mut reasons: Vec<(&Refusal, Vec<Rung>)> = Vec::new();
    for verdict in findings
        .verdicts
        .iter()
        .filter(|verdict| findings.prober.is_meant(verdict.rung))
    {
        let Err(refusal) = &verdict.outcome else {
            continue;
        };
        match reasons.iter_mut().find(|(known, _)| *known == refusal) {
            Some((_, rungs)) => rungs.push(verdict.rung),
            None => reasons.push((refusal, vec![verdict.rung])),
        }
    }
    if reasons.is_empty() {
        return;
    }
    page.heading("What is in the way:");
    for (refusal, rungs) in reasons {
        let rungs: Vec<_> = rungs.iter().map(|rung| format!("`{rung}`")).collect();
        page.refusal(refusal, &format!(" – no {}", rungs.join(", ")));
    }
}

/// What the rung that is taken does without.
fn limits(page: &mut Page, findings: &Findings) {
    let Ok(chosen) = &findings.chosen else { return };
    let details = &chosen.details;
    // The ledger is of use only where owners cannot be given.
    let parts = [
        &details.overlay,
        &details.fresh_proc,
        &details.network_namespace,
        &details.cgroup_namespace,
    ];
    let missing: Vec<_> = parts
        .into_iter()
        .filter_map(|part| part.as_ref().err())
        .collect();
    if missing.is_empty() && details.notes.is_empty() {
        return;
    }
    page.heading(&format!("What `{}` does without:", chosen.rung));
    for refusal in missing {
        // Where there are no mounts and namespaces at all, the way to these parts is a stronger rung.
        match chosen.rung {
            Rung::Chroot | Rung::InPlace => {
                page.reason(refusal, "");
            }
            _ => page.refusal(refusal, ""),
        }
    }
    for note in &details.notes {
        page.wrapped("  ", "  ", note);
    }
}

fn ingredients(page: &mut Page, findings: &Findings) {
    page.heading("Ingredients:");
    for found in &findings.ingredients {
        let state = match found.state {
            State::Yes => "yes",
            State::No => "no",
            State::Info => "",
        };
        // Few names are longer than the column; their text begins later.
        let first = format!("  {state:<3}  {:<27}  ", found.name);
        page.wrapped(&first, &" ".repeat(36), &found.text);
    }
}

fn ask(page: &mut Page, answer: &registry::Answer) {
    page.heading("Registry:");
    page.wrapped("  ", "  ", &format!("{}: {}", answer.state, answer.message));
    for hint in &answer.hints {
        page.wrapped("  to do: ", "         ", hint);
    }
}

fn conclusion(page: &mut Page, findings: &Findings) {
    page.line("");
    match &findings.chosen {
        Ok(chosen) => {
            if let Some(warning) = chosen.warning() {
                page.wrapped("", "", &format!("warning: {warning}"));
            }
            let text = format!(
                "A build would take `{}` now (`--isolation={}`): {}.",
                chosen.rung,
                chosen.rung.isolation(),
                chosen.rung.summary()
            );
            page.wrapped("", "", &text);
        }
        Err(error) => {
            match error {
                // The reasons stand above.
                LadderError::Store(_) => page.line("No build can run here."),
                LadderError::NothingWorks { .. } => {
                    page.line("A build that executes scripts cannot run here.")
                }
                _ => {
                    page.line("A build with these flags cannot run here:");
                    page.wrapped("", "", &error.to_string());
                }
            }
            // The doctor has been seen.
            for hint in error.hints().into_iter().filter(|hint| hint != SEE_DOCTOR) {
                page.wrapped("hint: ", "      ", &hint);
            }
        }
    }
}

struct Page {
    width: usize,
    lines: Vec<String>,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.lines.push(printable(line));
    }

    fn heading(&mut self, heading: &str) {
        self.line("");
        self.line(heading);
        self.line("");
    }

    fn rung(&mut self, verdict: &Verdict, is_meant: bool) {
        let (works, text) = match &verdict.outcome {
            Ok(_) => ("yes", verdict.rung.summary().to_owned()),
            Err(refusal) if is_meant => ("no", format!("{}  {}", refusal.code, refusal.call)),
            Err(refusal) => ("–", refusal.cause.clone()),
        };
        let first = format!("  {:<13}  {works:<3}  ", verdict.rung);
        self.wrapped(&first, &" ".repeat(first.chars().count()), &text);
    }

    fn reason(&mut self, refusal: &Refusal, remark: &str) -> String {
        let code = format!("  {}  ", refusal.code);
        let indent = " ".repeat(code.len());
        self.wrapped(&code, &indent, &format!("{}{remark}", refusal.cause));
        indent
    }

    fn refusal(&mut self, refusal: &Refusal, remark: &str) {
        let indent = self.reason(refusal, remark);
        self.wrapped(
            &format!("{indent}refused: "),
            &format!("{indent}         "),
            &refusal.call,
        );
        self.wrapped(
            &format!("{indent}to do:   "),
            &format!("{indent}         "),
            &refusal.remedy,
        );
    }

    /// Writes `text` after `first`, further lines after `indent`. What stands in backquotes stays on one line, so that it
    /// can be copied; a line is longer than the page only for that.
    fn wrapped(&mut self, first: &str, indent: &str, text: &str) {
        let mut line = first.to_owned();
        let mut is_empty = true;
        for word in words(text) {
            let length = line.chars().count() + word.chars().count();
            if !is_empty && length + 1 > self.width {
                self.line(&line);
                line = indent.to_owned();
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        self.line(line.trim_end());
    }
}

/// Splits at blanks that are not within backquotes.
fn words(text: &str) -> Vec<&str> {
    let mut is_quoted = false;
    text.split(|letter| {
        is_quoted ^= letter == '`';
        letter == ' ' && !is_quoted
    })
    .filter(|word| !word.is_empty())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_but_commands_are_not_torn() {
        let mut page = Page {
            width: 30,
            lines: Vec::new(),
        };
        page.wrapped(
            "a: ",
            "   ",
            "as root, run `usermod --add-subuids 100000-165535 alice` and wait a while",
        );
        let expected = [
            "a: as root, run",
            "   `usermod --add-subuids 100000-165535 alice`",
            "   and wait a while",
        ];
        assert_eq!(page.lines, expected);
    }

    #[test]
    fn control_characters_of_paths_are_neutralised() {
        let mut page = Page {
            width: 80,
            lines: Vec::new(),
        };
        page.wrapped("", "", "`/tmp/\u{1b}[2J/store`");
        assert!(!page.lines[0].contains('\u{1b}'), "{:?}", page.lines);
    }
}
