//! Lines and bars for a terminal.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Detail, plain};
use crate::event::{Direction, Event, Observer};

/// A name in front of a bar is cut to this.
const NAME_WIDTH: usize = 34;

/// So many last lines of a step are shown below its name; all of them are in its log.
const TAIL_LINES: usize = 6;

pub(super) struct Terminal {
    detail: Detail,
    bars: MultiProgress,
    running: Mutex<BTreeMap<u64, ProgressBar>>,
    tail: Mutex<Option<Tail>>,
}

/// What the step under way printed last.
struct Tail {
    bar: ProgressBar,
    lines: VecDeque<String>,
}

impl Tail {
    fn push(&mut self, line: &str) {
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
        let width = width();
        let cut = |line: &String| -> String { format!("  | {line}").chars().take(width).collect() };
        let shown: Vec<String> = self.lines.iter().map(cut).collect();
        self.bar.set_message(shown.join("\n"));
    }
}

/// How many characters fit into a line of the terminal: a longer one would take two, and tear the picture.
fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr())
        .map(|size| usize::from(size.ws_col))
        .ok()
        .filter(|columns| *columns > 0)
        .unwrap_or(80)
}

impl Terminal {
    pub(super) fn new(detail: Detail) -> Self {
        Self {
            detail,
            bars: MultiProgress::new(),
            running: Mutex::new(BTreeMap::new()),
            tail: Mutex::new(None),
        }
    }

    /// Shows a line of a step under the progress of that step.
    fn output(&self, step: &str, line: &str) {
        let Ok(mut tail) = self.tail.lock() else {
            return;
        };
        let tail = tail.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("  {spinner} {prefix} {elapsed}\n{msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = self.bars.add(ProgressBar::new_spinner().with_style(style));
            bar.set_prefix(step.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            Tail {
                bar,
                lines: VecDeque::new(),
            }
        });
        tail.push(line);
    }

    /// The step is over: what is worth keeping of its output is in the error, if there is one.
    fn end_output(&self) {
        if let Some(tail) = self.tail.lock().ok().and_then(|mut tail| tail.take()) {
            tail.bar.finish_and_clear();
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
            Event::Output { step, line, .. } if self.detail == Detail::Normal => {
                self.output(step, line);
            }
            event => {
                if matches!(
                    event,
                    Event::StageStarted { .. } | Event::StageFinished { .. }
                ) {
                    self.end_output();
                }
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

impl Drop for Terminal {
    /// After a failure nobody says that the step is over.
    fn drop(&mut self) {
        self.end_output();
    }
}
