//! Four observers: for a terminal, for a log, for a program, and one that speaks as s2i does. All write to stderr; stdout
//! is for results.

mod json;
mod plain;
mod s2i;
mod terminal;

pub use s2i::S2iOutput;

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Event, Observer};

/// How progress is shown (`--progress`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Progress {
    /// `terminal` when stderr is one, else `plain`.
    #[default]
    Auto,
    /// A line for everything that begins, ends or is printed by a script.
    Plain,
    /// One JSON object a line.
    Json,
    /// Only warnings.
    None,
}

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// What `-q` leaves: warnings.
    Quiet,
    /// What most people want.
    #[default]
    Normal,
    /// What `-v` adds: notes and sizes of everything.
    Verbose,
}

/// An observer as asked for, that also says whether the person has interrupted.
pub fn observer(
    progress: Progress,
    detail: Detail,
    interrupted: Arc<AtomicBool>,
) -> Box<dyn Observer> {
    let front: Box<dyn Observer> = match (progress, detail) {
        (Progress::Json, _) => Box::new(json::Json),
        (Progress::None, _) | (_, Detail::Quiet) => Box::new(plain::Plain::new(Detail::Quiet)),
        (Progress::Plain, detail) => Box::new(plain::Plain::new(detail)),
        (Progress::Auto, detail) if std::io::stderr().is_terminal() => {
            Box::new(terminal::Terminal::new(detail))
        }
        (Progress::Auto, detail) => Box::new(plain::Plain::new(detail)),
    };
    Box::new(Interruptible { front, interrupted })
}

/// An observer that shows what s2i would, and that also says whether the person has interrupted.
pub fn s2i(output: S2iOutput, interrupted: Arc<AtomicBool>) -> Box<dyn Observer> {
    let front = Box::new(output);
    Box::new(Interruptible { front, interrupted })
}

struct Interruptible {
    front: Box<dyn Observer>,
    interrupted: Arc<AtomicBool>,
}

impl Observer for Interruptible {
    fn observe(&self, event: Event) {
        self.front.observe(event);
    }

    fn is_cancelled(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// Keeps warnings back until it is known whether the same work is done again, which would say them again.
pub struct Held<'a> {
    inner: &'a dyn Observer,
    warnings: Mutex<Vec<Event>>,
}

impl<'a> Held<'a> {
    /// Holds nothing yet.
    pub fn new(inner: &'a dyn Observer) -> Self {
        Self {
            inner,
            warnings: Mutex::default(),
        }
    }

    /// Says what was kept back.
    pub fn tell(&self) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings
            .drain(..)
            .for_each(|event| self.inner.observe(event));
    }
}

impl std::fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

impl Observer for Held<'_> {
    fn observe(&self, event: Event) {
        match event {
            Event::Warning { .. } => {
                let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
                warnings.push(event);
            }
            event => self.inner.observe(event),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.inner.is_cancelled()
    }
}

/// Passes on only what a person must see although the same work will be announced again: transfers and warnings.
pub struct Muted<'a>(pub &'a dyn Observer);

impl std::fmt::Debug for Muted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Muted").finish_non_exhaustive()
    }
}

impl Observer for Muted<'_> {
    fn observe(&self, event: Event) {
        match event {
            Event::StageStarted { .. } | Event::StageFinished { .. } | Event::Note { .. } => {}
            event => self.0.observe(event),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// A size for people: `1.5 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value < 9.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let table = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (32_100_000, "32 MB"),
            (5_000_000_000, "5.0 GB"),
        ];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text);
        }
    }
}
