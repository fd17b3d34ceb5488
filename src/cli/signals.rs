//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::{Handle, Signals};

use super::diagnostic::Diagnostic;
use super::exit::Code;

fn listen(numbers: &[i32]) -> Result<Signals, Diagnostic> {
    Signals::new(numbers).map_err(|error| {
        Diagnostic::new(
            Code::Internal,
            format!("cannot listen for signals: {error}"),
        )
    })
}

/// Raises the flag at the first SIGINT, SIGTERM, SIGHUP or SIGQUIT; ends the program at the second. Closing the handle ends
/// both.
///
/// # Errors
/// When the system refuses to deliver signals to us.
pub(super) fn interrupt(flag: &Arc<AtomicBool>) -> Result<Handle, Diagnostic> {
    let mut signals = listen(&[SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
    let handle = signals.handle();
    let flag = Arc::clone(flag);
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if flag.swap(true, Ordering::Relaxed) {
                // What is left behind now is removed by the next command (`Workspace::sweep`).
                std::process::exit(Code::Interrupted as i32);
            }
        }
    });
    Ok(handle)
}

/// Hands over every signal that a process in the sandbox should get, by number.
///
/// # Errors
/// As [`interrupt`].
pub(super) fn forward() -> Result<mpsc::Receiver<i32>, Diagnostic> {
    let mut signals = listen(&[SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH])?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for number in signals.forever() {
            if sender.send(number).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
