//! Lines for logs.

use std::io::Write;

use super::Detail;
use crate::event::{Event, Observer};

pub(super) struct Plain {
    detail: Detail,
}

impl Plain {
    pub(super) fn new(detail: Detail) -> Self {
        Self { detail }
    }
}

impl Observer for Plain {
    fn observe(&self, event: Event) {
        if let Some(line) = line(&event, self.detail) {
            // A reader that has gone is no reason to stop a build.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }
}

/// The line for an event, or none when it is not to be shown.
pub(super) fn line(event: &Event, detail: Detail) -> Option<String> {
    let with = |text: &str, more: &str| {
        if more.is_empty() {
            text.to_owned()
        } else {
            format!("{text}: {more}")
        }
    };
    if let Event::Warning { text, hint } = event {
        let hint = hint
            .as_ref()
            .map(|hint| format!("\nhint: {hint}"))
            .unwrap_or_default();
        return Some(format!("warning: {text}{hint}"));
    }
    if let Event::Explanation { text } = event {
        return Some(format!("explain: {text}"));
    }
    if detail == Detail::Quiet {
        return None;
    }
    match event {
        Event::StageStarted { name, detail } => Some(format!("==> {}", with(name, detail))),
        Event::StageFinished {
            name,
            detail: result,
        } if !result.is_empty() => {
            (detail == Detail::Verbose || *name != "assemble").then(|| format!("    {result}"))
        }
        Event::Output { line, .. } => Some(format!("  | {line}")),
        Event::Note { text } if detail == Detail::Verbose => Some(format!("    note: {text}")),
        Event::TransferStarted {
            name,
            total_bytes: Some(total),
            ..
        } if detail == Detail::Verbose => Some(format!("    {name} ({})", super::size(*total))),
        _ => None,
    }
}
