//! What happens while overcoat works, told to whoever shows it.
//!
//! The library never prints. It tells an [`Observer`], and asks the same observer whether the person has had enough
//! ([`Observer::is_cancelled`]): long work checks that between pieces and ends with an error, so that everything is
//! undone on the way out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;

/// Something that happened. Each is complete in itself; a front end may show any subset.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A stage of the work begins. `name` is an imperative phrase (`pull builder image`), `detail` its object.
    StageStarted {
        /// What is done.
        name: &'static str,
        /// What it is done to; may be empty.
        detail: String,
    },
    /// The stage begun last has ended well; `detail` says with what result.
    StageFinished {
        /// What was done.
        name: &'static str,
        /// The result, in a few words; may be empty.
        detail: String,
    },
    /// Bytes begin to move.
    TransferStarted {
        /// Distinguishes transfers that run side by side.
        id: u64,
        /// Which way.
        direction: Direction,
        /// What is moved, in a few words.
        name: String,
        /// Its size in bytes, when known.
        total_bytes: Option<u64>,
    },
    /// More bytes have moved.
    TransferAdvanced {
        /// The transfer.
        id: u64,
        /// How many bytes since the last time.
        bytes: u64,
    },
    /// The transfer is over, for better or worse.
    TransferFinished {
        /// The transfer.
        id: u64,
    },
    /// A line that a step (a script in the sandbox) printed, control characters already neutralised.
    Output {
        /// Which step.
        step: String,
        /// Where it was printed. Lines of one stream are in order; between the two, nothing is known.
        stream: Stream,
        /// The line, without its end.
        line: String,
    },
    /// Why a step has to be done or not; only when somebody asked.
    Explanation {
        /// The sentence.
        text: String,
    },
    /// Something worth knowing that changes nothing.
    Note {
        /// The sentence.
        text: String,
    },
    /// Something that a person should look at although the work goes on.
    Warning {
        /// What is the matter.
        text: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// Where a process printed a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Its standard output.
    Out,
    /// Its standard error.
    Err,
}

/// Which way a transfer goes, seen from this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From elsewhere to here.
    Download,
    /// From here to elsewhere.
    Upload,
}

/// Someone who wants to know, and who may ask for an end.
pub trait Observer: Sync {
    /// Is told what happened. Called from any thread.
    fn observe(&self, event: Event);

    /// True once the person asked to stop (Ctrl-C). Work in progress ends with its `Interrupted` error.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// An observer for work that is shared: it also asks to stop when a neighbour has failed.
pub struct Linked<'a> {
    observer: &'a dyn Observer,
    has_failed: AtomicBool,
}

impl std::fmt::Debug for Linked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linked").finish_non_exhaustive()
    }
}

impl<'a> Linked<'a> {
    /// Hands everything on to `observer`.
    pub fn to(observer: &'a dyn Observer) -> Self {
        Self {
            observer,
            has_failed: AtomicBool::new(false),
        }
    }

    /// Asks the neighbours to stop.
    pub fn fail(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// True when a neighbour has failed.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }
}

impl Observer for Linked<'_> {
    fn observe(&self, event: Event) {
        self.observer.observe(event);
    }

    fn is_cancelled(&self) -> bool {
        self.has_failed() || self.observer.is_cancelled()
    }
}

/// An observer that is not interested.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _event: Event) {}
}

/// Tells `observer` that a stage begins; the returned guard tells it how the stage ended.
pub fn stage<'a>(
    observer: &'a dyn Observer,
    name: &'static str,
    detail: impl Into<String>,
) -> Stage<'a> {
    let detail = detail.into();
    observer.observe(Event::StageStarted { name, detail });
    Stage { observer, name }
}

/// A stage that has begun.
#[must_use = "a stage ends by `finish`"]
pub struct Stage<'a> {
    observer: &'a dyn Observer,
    name: &'static str,
}

impl std::fmt::Debug for Stage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Stage<'_> {
    /// Tells that the stage ended well.
    pub fn finish(self, detail: impl Into<String>) {
        let detail = detail.into();
        self.observer.observe(Event::StageFinished {
            name: self.name,
            detail,
        });
    }
}

/// One transfer's progress; tells its observer of the end when dropped.
pub struct Transfer<'a> {
    observer: &'a dyn Observer,
    id: u64,
}

impl std::fmt::Debug for Transfer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfer")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<'a> Transfer<'a> {
    /// Begins a transfer of `total_bytes` (when known).
    pub fn start(
        observer: &'a dyn Observer,
        direction: Direction,
        name: impl Into<String>,
        total_bytes: Option<u64>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = name.into();
        observer.observe(Event::TransferStarted {
            id,
            direction,
            name,
            total_bytes,
        });
        Self { observer, id }
    }

    /// Tells that `bytes` more have moved.
    pub fn advance(&self, bytes: u64) {
        self.observer
            .observe(Event::TransferAdvanced { id: self.id, bytes });
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.observer
            .observe(Event::TransferFinished { id: self.id });
    }
}

/// Makes a line from outside safe to show: control characters become `�`, tabs stay.
pub fn printable(text: &str) -> String {
    let replace = |c: char| {
        if c.is_control() && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_escape() {
        assert_eq!(
            printable("ok\t\u{1b}[2Jboo\r\u{9b}0m"),
            "ok\t\u{fffd}[2Jboo\u{fffd}\u{fffd}0m"
        );
    }
}
