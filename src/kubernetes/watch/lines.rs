//! Logs: the last lines of a container that failed, and whole ones in which something is looked for.

use super::objects::Objects;
use crate::event::printable;
use crate::kubernetes::cluster::{Error, Logs};
use crate::kubernetes::rollout::{Cause, Reason};

/// How many lines are shown of a container that failed.
const SHOWN_LINES: u64 = 20;
const SHOWN_BYTES: usize = 64 << 10;
/// How much of a line is shown, in characters.
const SHOWN_WIDTH: usize = 400;
/// How much of a log is searched from its beginning, in bytes.
const HEAD: usize = 1 << 20;
/// How many of the last lines are searched when that is not all of it.
const TAIL_LINES: u64 = 1000;

/// Adds the last lines of the container to a reason, when it printed any before it failed.
pub(super) fn explain(objects: &dyn Objects, namespace: &str, reason: &mut Reason) {
    let has_run = !matches!(
        reason.cause,
        Cause::Pull
            | Cause::InvalidImage
            | Cause::NeverPulled
            | Cause::OtherBytes
            | Cause::NoContainer
    );
    if let (Some(pod), Some(container), true) = (&reason.pod, &reason.container, has_run) {
        reason.log = last_lines(objects, namespace, pod, container, reason.cause);
    }
}

/// The last lines of a container: of its end before it was started anew if it had one, else of now.
pub(super) fn last_lines(
    objects: &dyn Objects,
    namespace: &str,
    pod: &str,
    container: &str,
    cause: Cause,
) -> Vec<String> {
    let previous_first = matches!(
        cause,
        Cause::Crash(_) | Cause::OutOfMemory | Cause::ProgressDeadline
    );
    let order = match previous_first {
        true => [true, false],
        false => [false, true],
    };
    for is_previous in order {
        let logs = Logs {
            container: container.to_owned(),
            tail_lines: Some(SHOWN_LINES),
            most_bytes: Some(SHOWN_BYTES),
            is_previous,
            ..Logs::default()
        };
        // A container that was never started has no log: its reason stands without one.
        if let Ok(text) = objects.log(namespace, pod, &logs)
            && !text.trim().is_empty()
        {
            return shown(&text);
        }
    }
    Vec::new()
}

fn shown(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| {
        let line: String = line.chars().take(SHOWN_WIDTH).collect();
        printable(&line)
    });
    lines.collect()
}

/// A log from its beginning, 1 MiB of it; if there is more, with its last 1000 lines after that. Empty while the
/// container has none.
pub(super) fn whole(
    objects: &dyn Objects,
    namespace: &str,
    pod: &str,
    container: &str,
) -> Result<Vec<u8>, Error> {
    let head = Logs {
        container: container.to_owned(),
        most_bytes: Some(HEAD),
        ..Logs::default()
    };
    let read = |logs: &Logs| match objects.log(namespace, pod, logs) {
        Ok(text) => Ok(text.into_bytes()),
        // The container is being started, or its node does not answer: there is another time.
        Err(Error::Invalid { .. } | Error::Api { .. } | Error::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let mut log = read(&head)?;
    if log.len() >= HEAD {
        log.push(b'\n');
        log.extend(read(&Logs {
            tail_lines: Some(TAIL_LINES),
            ..head
        })?);
    }
    Ok(log)
}
