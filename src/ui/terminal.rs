//! Lines and bars for a terminal.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Detail, plain};
use crate::event::{Direction, Event, Observer};

/// A name in front of a bar is cut to this.
const NAME_WIDTH: usize = 34;

pub(super) struct Terminal {
    detail: Detail,
    bars: MultiProgress,
    running: Mutex<BTreeMap<u64, ProgressBar>>,
}

impl Terminal {
    pub(super) fn new(detail: Detail) -> Self {
        Self {
            detail,
            bars: MultiProgress::new(),
            running: Mutex::new(BTreeMap::new()),
        }
    }

    fn start(&self, id: u64, direction: Direction, name: &str, total: Option<u64>) {
        let arrow = if direction == Direction::Download {
            '↓'
        } else {
            '↑'
        };
        let template = match total {
            Some(_) => "  {prefix} {bar:24} {bytes:>10} of {total_bytes:10} {bytes_per_sec:>12}",
            None => "  {prefix} {spinner} {bytes:>10} {bytes_per_sec:>12}",
        };
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self
            .bars
            .add(total.map_or_else(ProgressBar::no_length, ProgressBar::new));
        bar.set_style(style.progress_chars("━━╌"));
        let name: String = name.chars().take(NAME_WIDTH).collect();
        bar.set_prefix(format!("{arrow} {name:<NAME_WIDTH$}"));
        if let Ok(mut running) = self.running.lock() {
            running.insert(id, bar);
        }
    }
}

impl Observer for Terminal {
    fn observe(&self, event: Event) {
        match &event {
            Event::TransferStarted {
                id,
                direction,
                name,
                total_bytes,
            } => self.start(*id, *direction, name, *total_bytes),
            Event::TransferAdvanced { id, bytes } => {
                if let Some(bar) = self
                    .running
                    .lock()
                    .ok()
                    .and_then(|running| running.get(id).cloned())
                {
                    bar.inc(*bytes);
                }
            }
            Event::TransferFinished { id } => {
                if let Some(bar) = self
                    .running
                    .lock()
                    .ok()
                    .and_then(|mut running| running.remove(id))
                {
                    bar.finish_and_clear();
                }
            }
            event => {
                if let Some(line) = plain::line(event, self.detail) {
                    // The bars are taken away meanwhile; they would be torn by a line of another writer. A reader
                    // that has gone is no reason to stop a build.
                    self.bars.suspend(|| {
                        let _ = writeln!(std::io::stderr().lock(), "{line}");
                    });
                }
            }
        }
    }
}
