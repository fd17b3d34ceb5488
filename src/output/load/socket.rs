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
use super::{Error, Load, Talk};
use crate::event::Observer;

/// The most that an answer may have: descriptions of images with hundreds of layers, and a message for each layer.
const MAX_RESPONSE_BYTES: u64 = 4 << 20;
/// The most that the head of an answer may have, and a message about what went wrong.
const MAX_HEAD_BYTES: usize = 64 << 10;
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

/// Sends a request with the archive as its body, and reads the answer.
pub(super) fn send(socket: &Path, path: &str, load: &Load<'_>) -> Result<Response, Error> {
    let talk = &load.talk;
    let mut stream = connect(socket, talk)?;
    let size = load.plan.size();
    let body = format!("Content-Type: application/x-tar\r\nContent-Length: {size}\r\n");
    let sent = stream.write_all(head("POST", path, &body).as_bytes());
    let sent = sent.map_err(|error| crate::fs::Error::new("write to", socket, error).into());
    let sent = sent.and_then(|()| {
        let mut sink = io::BufWriter::with_capacity(128 << 10, &mut stream);
        let engine = Path::new(talk.engine);
        load.plan
            .write(&mut sink, engine, talk.store, talk.observer)
    });
    finish(socket, stream, sent, talk)
}

/// Sends a `GET`, and reads the answer.
pub(super) fn get(socket: &Path, path: &str, talk: &Talk<'_>) -> Result<Response, Error> {
    ask(socket, "GET", path, talk)
}

/// Sends a request without a body, and reads the answer.
pub(super) fn ask(
    socket: &Path,
    method: &str,
    path: &str,
    talk: &Talk<'_>,
) -> Result<Response, Error> {
    let mut stream = connect(socket, talk)?;
    let sent = stream.write_all(head(method, path, "").as_bytes());
    let sent = sent.map_err(|error| crate::fs::Error::new("write to", socket, error).into());
    finish(socket, stream, sent, talk)
}

/// As [`get`], for an answer of any size: the body of a successful one goes to `sink`, `limit` bytes at most, and is not
/// in what is returned.
pub(super) fn download(
    socket: &Path,
    path: &str,
    limit: u64,
    sink: &mut dyn Write,
    talk: &Talk<'_>,
) -> Result<Response, Error> {
    let failed = |error: io::Error| {
        told(
            crate::fs::Error::new("read from", socket, error).into(),
            talk,
        )
    };
    let refuse = |reason: String| Error::Protocol {
        engine: talk.engine.to_owned(),
        reason,
    };
    let mut stream = connect(socket, talk)?;
    stream
        .write_all(head("GET", path, "").as_bytes())
        .map_err(|error| {
            told(
                crate::fs::Error::new("write to", socket, error).into(),
                talk,
            )
        })?;
    let mut piece = vec![0; 128 << 10];
    let mut start = Vec::new();
    let end = loop {
        if let Some(end) = start.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let count = stream.read(&mut piece).map_err(failed)?;
        start.extend_from_slice(&piece[..count]);
        if count == 0 || start.len() > MAX_HEAD_BYTES + piece.len() {
            return Err(refuse("its head has no end".to_owned()));
        }
    };
    let (status, length) = parse_head(&start[..end]).map_err(refuse)?;
    let body = start.split_off(end);
    if !(200..300).contains(&status) {
        let mut body = body;
        // What it says is for people: a cut-off one will do.
        let _ = stream.take(MAX_HEAD_BYTES as u64).read_to_end(&mut body);
        return Ok(Response { status, body });
    }
    let writing = |error| {
        Error::File(crate::fs::Error::new(
            "write",
            Path::new("the image's archive"),
            error,
        ))
    };
    let mut size = body.len() as u64;
    sink.write_all(&body).map_err(writing)?;
    loop {
        if size > limit {
            return Err(refuse(format!("it has more than {limit} bytes")));
        }
        let count = stream.read(&mut piece).map_err(failed)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        sink.write_all(&piece[..count]).map_err(writing)?;
    }
    if length.is_some_and(|length| length != size) {
        return Err(refuse(format!("it ended after {size} bytes, too early")));
    }
    Ok(Response {
        status,
        body: Vec::new(),
    })
}

fn connect<'a>(socket: &Path, talk: &Talk<'a>) -> Result<Patient<'a>, Error> {
    let stream = UnixStream::connect(socket).and_then(|stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    });
    let stream = stream.map_err(|source| Error::Connect {
        engine: talk.engine.to_owned(),
        socket: socket.to_owned(),
        source,
    })?;
    Ok(Patient {
        stream,
        observer: talk.observer,
        limit: IDLE_LIMIT,
    })
}

fn head(method: &str, path: &str, about_body: &str) -> String {
    format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n{about_body}Connection: close\r\n\r\n")
}

/// Reads a whole answer behind a request that was sent, or was not.
fn finish(
    socket: &Path,
    mut stream: Patient<'_>,
    sent: Result<(), super::super::Error>,
    talk: &Talk<'_>,
) -> Result<Response, Error> {
    // One that refuses does not read to the end first: its reason is there before ours.
    if let Err(error) = sent
        && !is_hung_up(&error)
    {
        return Err(told(error, talk));
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
        return Err(told(error.into(), talk));
    }
    parse(&bytes).map_err(|reason| Error::Protocol {
        engine: talk.engine.to_owned(),
        reason,
    })
}

fn is_hung_up(error: &super::super::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error, super::super::Error::File(error)
        if matches!(error.source.kind(), BrokenPipe | ConnectionReset))
}

/// What an error is that may be our own impatience.
fn told(error: super::super::Error, talk: &Talk<'_>) -> Error {
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
            engine: talk.engine.to_owned(),
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
    let (status, length) = parse_head(&bytes[..end])?;
    let body = &bytes[end + 4..];
    match length {
        Some(length) if length != body.len() as u64 => Err(format!(
            "it says that it has {length} bytes, and has {}",
            body.len()
        )),
        _ => Ok(Response {
            status,
            body: body.to_vec(),
        }),
    }
}

/// Reads the head of an answer: the status, and the size of the body if that is said.
fn parse_head(head: &[u8]) -> Result<(u16, Option<u64>), String> {
    let head = std::str::from_utf8(head).map_err(|error| error.to_string())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let status = status
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .filter(|code| code.len() == 3)
        .and_then(|code| code.parse().ok())
        .ok_or("it does not begin with a status of HTTP")?;
    let mut length = None;
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") && !value.eq_ignore_ascii_case("identity")
        {
            return Err("it is chunked, which nobody asked for".to_owned());
        }
        if name.eq_ignore_ascii_case("content-length") {
            let shown = || crate::event::printable(&value.chars().take(40).collect::<String>());
            length = Some(
                value
                    .parse()
                    .map_err(|_| format!("`{}` is no number of bytes", shown()))?,
            );
        }
    }
    Ok((status, length))
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
