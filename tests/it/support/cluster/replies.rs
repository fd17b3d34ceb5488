//! An API server of written replies, plain HTTP on a loopback port: for what no real server does on request, and for
//! machines without one.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What is said to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status and a body.
    Json(u16, Value),
    /// 200 and these bytes.
    Bytes(Vec<u8>),
    /// The connection is closed without a word.
    Close,
    /// The head of an answer that never goes on.
    Silence,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub target: String,
    /// Header names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Replies by `METHOD PATH` (without the query), in their order; the last is repeated. What is not written down is 404.
#[derive(Default)]
struct Book {
    replies: BTreeMap<String, Vec<Reply>>,
    requests: Vec<Request>,
}

/// The server; its thread ends with the test's process.
pub struct Replies {
    port: u16,
    book: Arc<Mutex<Book>>,
}

/// A `Status` as API servers send them.
pub fn status(code: u16, reason: &str, message: &str) -> Reply {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "code": code,
    });
    Reply::Json(code, body)
}

impl Replies {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let book = Arc::new(Mutex::new(Book::default()));
        let shared = Arc::clone(&book);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let book = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &book));
            }
        });
        Self { port, book }
    }

    /// Adds one more reply to `METHOD PATH`.
    pub fn reply(&self, request: &str, reply: Reply) -> &Self {
        let mut book = self.book.lock().unwrap();
        book.replies
            .entry(request.to_owned())
            .or_default()
            .push(reply);
        drop(book);
        self
    }

    /// What came so far.
    pub fn requests(&self) -> Vec<Request> {
        self.book.lock().unwrap().requests.clone()
    }

    /// `METHOD TARGET` of what came so far.
    pub fn asked(&self) -> Vec<String> {
        let line = |request: &Request| format!("{} {}", request.method, request.target);
        self.requests().iter().map(line).collect()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A kubeconfig for it in `directory`: context `k3d-replies`, namespace `default`.
    pub fn kubeconfig(&self, directory: &Path) -> PathBuf {
        let path = directory.join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "k3d-replies",
            "clusters": [{"name": "cluster", "cluster": {"server": self.url()}}],
            "users": [{"name": "user", "user": {"token": "secret-token"}}],
            "contexts": [{"name": "k3d-replies", "context": {"cluster": "cluster", "user": "user"}}],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }
}

/// Requests of one connection, until somebody has enough.
fn serve(mut stream: TcpStream, book: &Mutex<Book>) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<String, String> = headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers
            .get("content-length")
            .and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).ok()?;
        let path = target.split('?').next()?;
        let reply = {
            let mut book = book.lock().unwrap();
            let replies = book.replies.get_mut(&format!("{method} {path}"));
            let reply = match replies {
                Some(replies) if replies.len() > 1 => replies.remove(0),
                Some(replies) => replies[0].clone(),
                None => status(
                    404,
                    "NotFound",
                    "the server could not find the requested resource",
                ),
            };
            let body = String::from_utf8_lossy(&body).into_owned();
            book.requests.push(Request {
                method,
                target,
                headers,
                body,
            });
            reply
        };
        let (code, bytes) = match reply {
            Reply::Close => return None,
            Reply::Silence => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{").ok()?;
                // Longer than any test waits.
                std::thread::sleep(Duration::from_secs(120));
                return None;
            }
            Reply::Bytes(bytes) => (200, bytes),
            Reply::Json(code, body) => (code, body.to_string().into_bytes()),
        };
        let head = format!(
            "HTTP/1.1 {code} Reply\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&bytes).ok()?;
    }
}
