//! The person's SSH agent, lent to a step.
//!
//! The agent's socket belongs to the person and refuses everybody else, also the image's user. So a socket that
//! everybody may use is made in a directory that nobody else can reach, shown to the step, and connected to the agent
//! from here.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::fs::Context;

const SOCKET: &str = "ssh-agent.sock";

/// Connects a socket to an agent until it is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    socket: PathBuf,
    has_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens in `directory`, which must be closed to other users.
    ///
    /// # Errors
    /// [`crate::fs::Error`] when the agent does not answer or the socket cannot be made.
    pub(super) fn start(agent: &Path, directory: &Path) -> Result<Self, crate::fs::Error> {
        drop(UnixStream::connect(agent).context("connect to the SSH agent", agent)?);
        let socket = directory.join(SOCKET);
        // A socket's address holds 107 bytes, and directories have longer names.
        let handle = crate::fs::open(directory)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd())).join(SOCKET);
        let listener = UnixListener::bind(&short).context("listen on", &socket)?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666))
            .context("set the mode of", &socket)?;
        let has_ended = Arc::new(AtomicBool::new(false));
        let (ended, agent) = (Arc::clone(&has_ended), agent.to_owned());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let agent = agent.clone();
                std::thread::spawn(move || connect(stream, &agent));
            }
        });
        Ok(Self {
            socket,
            has_ended,
            thread: Some(thread),
        })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::Relaxed);
        // The thread waits for somebody to come.
        let directory = self.socket.parent().map(crate::fs::open);
        if let Some(Ok(handle)) = directory {
            let short = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd())).join(SOCKET);
            if UnixStream::connect(short).is_ok()
                && let Some(thread) = self.thread.take()
            {
                let _ = thread.join();
            }
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Passes bytes both ways until both sides have ended.
fn connect(step: UnixStream, agent: &Path) {
    let Ok(agent) = UnixStream::connect(agent) else {
        return;
    };
    let (Ok(mut from_step), Ok(mut to_agent)) = (step.try_clone(), agent.try_clone()) else {
        return;
    };
    let there = std::thread::spawn(move || {
        let _ = io::copy(&mut from_step, &mut to_agent);
        let _ = to_agent.shutdown(Shutdown::Write);
    });
    let (mut from_agent, mut to_step) = (agent, step);
    let _ = io::copy(&mut from_agent, &mut to_step);
    let _ = to_step.shutdown(Shutdown::Write);
    let _ = there.join();
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_the_step_says_reaches_the_agent_and_back_below_any_long_path() {
        let directory = tempfile::tempdir().unwrap();
        let agent = directory.path().join("agent");
        let listener = UnixListener::bind(&agent).unwrap();
        let echo = std::thread::spawn(move || {
            // The first caller only tries whether somebody is there.
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).unwrap();
                let _ = stream.write_all(&bytes);
            }
        });
        let long = directory.path().join("x".repeat(120));
        std::fs::create_dir(&long).unwrap();
        let proxy = Proxy::start(&agent, &long).unwrap();
        let handle = std::fs::File::open(&long).unwrap();
        let short = format!("/proc/self/fd/{}/{SOCKET}", handle.as_raw_fd());
        let mut stream = UnixStream::connect(short).unwrap();
        stream.write_all(b"sign this").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "sign this");
        echo.join().unwrap();
        let socket = proxy.socket().to_owned();
        drop(proxy);
        assert!(!socket.exists());
    }

    #[test]
    fn an_agent_that_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let error = Proxy::start(&directory.path().join("nobody"), directory.path()).unwrap_err();
        assert!(error.to_string().contains("SSH agent"), "{error}");
    }
}
