//! What s2i shows, on stderr like everything but results.

use std::io::Write;

use crate::event::{Event, Observer, Stream};

/// What is shown when this program is called as `s2i`.
///
/// # Spec
/// `s2i-compat.md` §1.1: the streams, the prefixes and the levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct S2iOutput {
    /// `--loglevel`: 0 the scripts' lines, 1 steps, 2 notes, 3 and more transfers.
    pub level: u8,
    /// `--quiet`: not what scripts print on stdout.
    pub is_quiet: bool,
}

impl S2iOutput {
    /// The lines for an event, or none when it is not to be shown.
    fn lines(&self, event: &Event) -> Option<String> {
        let at =
            |level: u8, text: String| (self.level >= level && !text.is_empty()).then_some(text);
        match event {
            // Daeploy and others read what goes wrong at the beginning of lines: scripts keep theirs.
            Event::Output { line, stream, .. } => {
                (!(self.is_quiet && *stream == Stream::Out)).then(|| line.clone())
            }
            Event::Warning { text, hint } => {
                let hint = hint.iter().flat_map(|hint| hint.lines());
                let lines = text.lines().chain(hint);
                let lines: Vec<String> = lines.map(|line| format!("WARNING: {line}")).collect();
                Some(lines.join("\n"))
            }
            Event::Explanation { text } => Some(text.clone()),
            Event::StageStarted { name, detail } if detail.is_empty() => at(1, (*name).to_owned()),
            Event::StageStarted { name, detail } => at(1, format!("{name}: {detail}")),
            Event::StageFinished { detail, .. } => at(1, detail.clone()),
            Event::Note { text } => at(2, text.clone()),
            Event::TransferStarted {
                name,
                total_bytes: Some(total),
                ..
            } => at(3, format!("{name} ({})", super::size(*total))),
            Event::TransferStarted { name, .. } => at(3, name.clone()),
            Event::TransferAdvanced { .. } | Event::TransferFinished { .. } => None,
        }
    }
}

impl Observer for S2iOutput {
    fn observe(&self, event: Event) {
        if let Some(lines) = self.lines(&event) {
            // A reader that has gone is no reason to stop a build.
            let _ = writeln!(std::io::stderr().lock(), "{lines}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(level: u8, is_quiet: bool, event: Event) -> Option<String> {
        S2iOutput { level, is_quiet }.lines(&event)
    }

    fn started(detail: &str) -> Event {
        Event::StageStarted {
            name: "pull",
            detail: detail.to_owned(),
        }
    }

    #[test]
    fn each_level_shows_more() {
        let note = || Event::Note {
            text: "n".to_owned(),
        };
        let transfer = || Event::TransferStarted {
            id: 1,
            direction: crate::event::Direction::Download,
            name: "layer".to_owned(),
            total_bytes: Some(5),
        };
        let table = [
            (0, [None, None, None]),
            (1, [Some("pull: x"), None, None]),
            (2, [Some("pull: x"), Some("n"), None]),
            (5, [Some("pull: x"), Some("n"), Some("layer (5 B)")]),
        ];
        for (level, expected) in table {
            let found = [started("x"), note(), transfer()].map(|event| shown(level, false, event));
            assert_eq!(
                found.each_ref().map(|text| text.as_deref()),
                expected,
                "{level}"
            );
        }
        assert_eq!(shown(1, false, started("")).as_deref(), Some("pull"));
    }

    /// Case M8.
    #[test]
    fn quiet_hides_what_scripts_print_on_stdout_alone() {
        let output = |stream| Event::Output {
            step: "assemble".to_owned(),
            stream,
            line: "  x".to_owned(),
        };
        assert_eq!(shown(0, false, output(Stream::Out)).as_deref(), Some("  x"));
        assert_eq!(shown(0, true, output(Stream::Out)), None);
        assert_eq!(shown(0, true, output(Stream::Err)).as_deref(), Some("  x"));
    }

    #[test]
    fn every_line_of_a_warning_says_so_also_when_quiet() {
        let warning = Event::Warning {
            text: "a\nb".to_owned(),
            hint: Some("c".to_owned()),
        };
        let expected = "WARNING: a\nWARNING: b\nWARNING: c";
        assert_eq!(shown(0, true, warning).as_deref(), Some(expected));
    }
}
