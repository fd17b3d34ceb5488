//! One HTTP request over a Unix socket.
//!
//! In version 1.0 on purpose: the size of what we send is known, and the answer to such a request ends where the
//! connection does and is never chunked. There is nothing else to agree on.
//!
//! # Spec
//! RFC 9112, sections 6.1 and 6.3; RFC 1945.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::command::IDLE_LIMIT;
use super::{Error, Load};
use crate::event::Observer;

/// The most that an answer may have: descriptions of images with hundreds of layers, and a message for each layer.
const MAX_RESPONSE_BYTES: u64 = 4 << 20;
/// How soon Ctrl-C is heard.
const PATIENCE: Duration = Duration::from_millis(100);

/// What was answered.
#[derive(Debug)]
pub(super) struct Response {
    /// The status code.
    pub(super) status: u16,
    /// The body, whole.
    pub(super) body: Vec<u8>,
}

/// Sends a request, with the archive as its body or without any, and reads the answer.
pub(super) fn exchange(
    socket: &Path,
    method: &str,
    path: &str,
    has_body: bool,
    load: &Load<'_>,
) -> Result<Response, Error> {
    let stream = UnixStream::connect(socket).and_then(|stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    });
    let stream = stream.map_err(|source| Error::Connect {
        engine: load.engine.to_owned(),
        socket: socket.to_owned(),
        source,
    })?;
    let mut stream = Patient {
        stream,
        observer: load.observer,
        limit: IDLE_LIMIT,
    };
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n");
    if has_body {
        let size = load.plan.size();
        head += &format!("Content-Type: application/x-tar\r\nContent-Length: {size}\r\n");
    }
    head += "Connection: close\r\n\r\n";
    let sent = stream.write_all(head.as_bytes());
    let sent = sent.map_err(|error| crate::fs::Error::new("write to", socket, error).into());
    let sent = sent.and_then(|()| match has_body {
        true => {
            let mut sink = io::BufWriter::with_capacity(128 << 10, &mut stream);
            let engine = Path::new(load.engine);
            load.plan
                .write(&mut sink, engine, load.store, load.observer)
        }
        false => Ok(()),
    });
    // One that refuses does not read to the end first: its reason is there before ours.
    if let Err(error) = sent
        && !is_hung_up(&error)
    {
        return Err(told(error, load));
    }
    let mut bytes = Vec::new();
    let read = (&mut stream)
        .take(MAX_RESPONSE_BYTES + 1)
        .read_to_end(&mut bytes);
    // Who closes without having read everything resets the connection behind the answer.
    let is_answered = |error: &io::Error| {
        error.kind() == io::ErrorKind::ConnectionReset && bytes.contains(&b'\n')
    };
    if let Err(error) = read
        && !is_answered(&error)
    {
        let error = crate::fs::Error::new("read from", socket, error);
        return Err(told(error.into(), load));
    }
    parse(&bytes).map_err(|reason| Error::Protocol {
        engine: load.engine.to_owned(),
        reason,
    })
}

fn is_hung_up(error: &super::super::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error, super::super::Error::File(error)
        if matches!(error.source.kind(), BrokenPipe | ConnectionReset))
}

/// What an error is that may be our own impatience.
fn told(error: super::super::Error, load: &Load<'_>) -> Error {
    let stop = match &error {
        super::super::Error::Interrupted => return Error::Interrupted,
        super::super::Error::File(error) => error
            .source
            .get_ref()
            .and_then(|error| error.downcast_ref::<Stop>()),
        _ => None,
    };
    match stop {
        Some(Stop::Interrupted) => Error::Interrupted,
        Some(Stop::Stalled) => Error::Stalled {
            engine: load.engine.to_owned(),
            minutes: IDLE_LIMIT.as_secs() / 60,
        },
        None => error.into(),
    }
}

/// Reads an answer: a status line, headers, and the body as long as it is.
fn parse(bytes: &[u8]) -> Result<Response, String> {
    if bytes.len() as u64 > MAX_RESPONSE_BYTES {
        return Err(format!("it has more than {MAX_RESPONSE_BYTES} bytes"));
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or("its head has no end")?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
    let body = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let status = status
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .filter(|code| code.len() == 3)
        .and_then(|code| code.parse().ok())
        .ok_or("it does not begin with a status of HTTP")?;
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") && !value.eq_ignore_ascii_case("identity")
        {
            return Err("it is chunked, which nobody asked for".to_owned());
        }
        if name.eq_ignore_ascii_case("content-length")
            && value.parse().ok() != Some(body.len() as u64)
        {
            return Err(format!(
                "it says that it has {} bytes, and has {}",
                crate::event::printable(&value.chars().take(40).collect::<String>()),
                body.len()
            ));
        }
    }
    Ok(Response {
        status,
        body: body.to_vec(),
    })
}

/// Why waiting ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Stop {
    #[error("interrupted")]
    Interrupted,
    #[error("nothing has moved for too long")]
    Stalled,
}

/// A stream that can be waited for, as long as the person wants to.
struct Patient<'a> {
    stream: UnixStream,
    observer: &'a dyn Observer,
    limit: Duration,
}

impl Patient<'_> {
    fn persist(
        &mut self,
        mut attempt: impl FnMut(&mut UnixStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let start = Instant::now();
        loop {
            if self.observer.is_cancelled() {
                return Err(io::Error::other(Stop::Interrupted));
            }
            match attempt(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            if start.elapsed() > self.limit {
                return Err(io::Error::other(Stop::Stalled));
            }
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.persist(|stream| stream.read(buffer))
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.persist(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "../socket_tests.rs"]
mod tests;
