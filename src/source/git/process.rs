//! A program that runs: its streams, and its end.

use std::io::Read;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::super::Error;
use crate::event::Observer;
use crate::fs::Context;

/// How often waiting looks whether the person asked to stop.
const POLL: Duration = Duration::from_millis(50);
/// How long git has to tidy up when it is asked to end, in steps of [`POLL`].
const TIDY_POLLS: u32 = 40;
/// How long output may still come after git has ended: an SSH connection that stays open holds it.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Waits for the end, or for the person to ask for it.
pub(super) fn wait(
    child: &mut Child,
    ended: &Receiver<()>,
    program: &Path,
    observer: &dyn Observer,
) -> Result<ExitStatus, Error> {
    loop {
        if observer.is_cancelled() {
            end(child);
            return Err(Error::Interrupted);
        }
        // Nothing is ever sent: the senders go away when both streams have ended.
        match ended.recv_timeout(POLL) {
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(child.wait().context("wait for", program)?);
            }
            _ => {
                if let Some(status) = child.try_wait().context("wait for", program)? {
                    let _ = ended.recv_timeout(LAST_OUTPUT);
                    return Ok(status);
                }
            }
        }
    }
}

/// Which part of a stream is kept when there is too much of it.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    First,
    Last,
}

/// Reads a stream to its end; `done` is dropped there.
pub(super) fn collect(
    stream: Option<impl Read + Send + 'static>,
    limit: usize,
    keep: Keep,
    done: &Sender<()>,
) -> Arc<Mutex<Vec<u8>>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let (shared, done) = (Arc::clone(&kept), done.clone());
    // Not a scoped thread: something that git left behind may hold the stream open for as long as it likes.
    std::thread::spawn(move || {
        let _done = done;
        let Some(mut stream) = stream else {
            return;
        };
        let mut buffer = [0; 8192];
        loop {
            match stream.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend_from_slice(&buffer[..count]);
                    let excess = kept.len().saturating_sub(limit);
                    match keep {
                        Keep::First => kept.truncate(limit),
                        Keep::Last => drop(kept.drain(..excess)),
                    }
                }
            }
        }
    });
    kept
}

/// Ends git and what it started: asks first, so that it removes its temporary files.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| {
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    };
    signal(Signal::TERM);
    for _ in 0..TIDY_POLLS {
        if let Ok(Some(_)) | Err(_) = child.try_wait() {
            break;
        }
        std::thread::sleep(POLL);
    }
    signal(Signal::KILL);
    let _ = child.wait();
}
