//! A registry that does what a real one will not: a few lines of HTTP/1.1 on loopback, one connection per request.
//!
//! The answer is a function of the request ([`Hostile::start`]); a [`Reply`] may stop short, trickle, or never end. With
//! [`Hostile::cutting`] a connection is also reset in the middle of a request's body.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// By lower-case name.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
    /// How many requests with this method and target came before.
    pub(super) earlier: usize,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    sent_bytes: usize,
    manner: Manner,
}

/// What a reply does that no server should.
#[derive(Clone, Debug)]
enum Manner {
    /// Nothing.
    Proper,
    /// Nothing at all: the connection stays open, and silent.
    Silent,
    /// The body comes in pieces of so many bytes, with pauses.
    Trickling(usize, Duration),
    /// This header line comes again and again, until the client goes away.
    Flooding(String),
    /// After the body more of it, until the client goes away.
    Endless,
}

/// How much a reply that never ends sends at most, so that a test of a client that does not go away ends.
const NEARLY_ENDLESS_BYTES: usize = 64 << 20;

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            sent_bytes: usize::MAX,
            manner: Manner::Proper,
        }
    }

    /// No answer: the connection stays open until the client closes it.
    pub(super) fn silence() -> Self {
        Self {
            manner: Manner::Silent,
            ..Self::new(200)
        }
    }

    /// Sends the body `bytes` at a time, with a pause after each.
    pub(super) fn trickling(mut self, bytes: usize, pause: Duration) -> Self {
        self.manner = Manner::Trickling(bytes, pause);
        self
    }

    /// Sends this header line, without its end, again and again.
    pub(super) fn flooding(mut self, line: &str) -> Self {
        self.manner = Manner::Flooding(line.to_owned());
        self
    }

    /// Repeats the body without end; no length is announced.
    pub(super) fn endless(mut self) -> Self {
        self.manner = Manner::Endless;
        self
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Promises the whole body but closes the connection after its first `bytes`.
    pub(super) fn cut_after(mut self, bytes: usize) -> Self {
        self.sent_bytes = bytes;
        self
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;
type Cutter = dyn Fn(&Seen) -> Option<usize> + Send + Sync;

/// What the threads of a server share.
struct Shared {
    handler: Box<Handler>,
    cutter: Box<Cutter>,
    seen: Mutex<Vec<Seen>>,
    sent: AtomicUsize,
}

/// A running server; stops when dropped.
pub(super) struct Hostile {
    address: SocketAddr,
    shared: Arc<Shared>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hostile {
    pub(super) fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::cutting(handler, |_| None)
    }

    /// A server that resets a connection after some bytes of a request's body, if `cutter` says so, which sees the
    /// request without its body. The handler then sees what has come of it, and its reply is not sent.
    pub(super) fn cutting(
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        cutter: impl Fn(&Seen) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            cutter: Box::new(cutter),
            seen: Mutex::default(),
            sent: AtomicUsize::new(0),
        });
        let is_over = Arc::new(AtomicBool::new(false));
        let (for_threads, end) = (Arc::clone(&shared), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&for_threads);
                // A client that goes away in the middle is what some tests are about.
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Self {
            address,
            shared,
            is_over,
            thread: Some(thread),
        }
    }

    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The requests so far, whole ones only.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many bytes of answers the system has taken from the server.
    pub(super) fn sent_bytes(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }

    pub(super) fn count(&self, method: &str, part: &str) -> usize {
        self.seen()
            .iter()
            .filter(|seen| seen.is(method, part))
            .count()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(());
    };
    let mut seen = Seen {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: BTreeMap::new(),
        body: Vec::new(),
        earlier: 0,
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let value = value.trim().to_owned();
        seen.headers.insert(name.to_ascii_lowercase(), value);
    }
    let length = seen
        .header("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let cut = (shared.cutter)(&seen).filter(|cut| *cut < length);
    seen.body.resize(cut.unwrap_or(length), 0);
    reader.read_exact(&mut seen.body)?;
    {
        let mut log = shared.seen.lock().unwrap();
        let is_same = |other: &&Seen| other.method == seen.method && other.target == seen.target;
        seen.earlier = log.iter().filter(is_same).count();
        log.push(seen.clone());
    }
    let reply = (shared.handler)(&seen);
    if cut.is_some() {
        // One more byte, so that something unread is there: then closing resets.
        return reader.read_exact(&mut [0]);
    }
    answer(stream, &seen, &reply, &shared.sent)
}

fn answer(
    mut stream: TcpStream,
    seen: &Seen,
    reply: &Reply,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    let mut send = |bytes: &[u8]| {
        stream.write_all(bytes)?;
        sent.fetch_add(bytes.len(), Ordering::SeqCst);
        stream.flush()
    };
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let has_length = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-length");
    let is_endless = matches!(reply.manner, Manner::Endless);
    if !is_endless && !reply.headers.iter().any(has_length) {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    if matches!(reply.manner, Manner::Silent) {
        // Until the client has had enough.
        return std::io::copy(&mut stream, &mut std::io::sink()).map(drop);
    }
    send(head.as_bytes())?;
    if let Manner::Flooding(line) = &reply.manner {
        let lines = format!("{line}\r\n").repeat(1 + 4096 / line.len());
        for _ in 0..NEARLY_ENDLESS_BYTES / lines.len() {
            send(lines.as_bytes())?;
        }
    }
    send(b"\r\n")?;
    if seen.method == "HEAD" {
        return Ok(());
    }
    let body = &reply.body[..reply.sent_bytes.min(reply.body.len())];
    match reply.manner {
        Manner::Trickling(bytes, pause) => {
            for piece in body.chunks(bytes) {
                send(piece)?;
                std::thread::sleep(pause);
            }
        }
        Manner::Endless => {
            for _ in 0..NEARLY_ENDLESS_BYTES / body.len().max(1) {
                send(body)?;
            }
        }
        _ => send(body)?,
    }
    Ok(())
}
