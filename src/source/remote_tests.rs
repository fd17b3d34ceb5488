//! Clones from servers of our own on loopback: who hears the credentials, and that a clone can be stopped.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// What was asked for, with which `Authorization`.
type Asked = (String, Option<String>);

/// Plain files over HTTP, for who knows the password; what was asked with which `Authorization`.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Serves the files below `root`; without `accepts` as the `Authorization`, nothing.
    fn start(root: &Path, accepts: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (root, seen) = (root.to_owned(), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (root, seen) = (root.clone(), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream.unwrap(), &root, accepts, &seen));
            }
        });
        Self { address, asked }
    }
}

fn serve(stream: TcpStream, root: &Path, accepts: &str, seen: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(&stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let Some(target) = lines.first().and_then(|line| line.split(' ').nth(1)) else {
        return;
    };
    let authorization = lines
        .iter()
        .find_map(|line| line.strip_prefix("Authorization: "));
    seen.lock()
        .unwrap()
        .push((target.to_owned(), authorization.map(str::to_owned)));
    let path = target.split('?').next().unwrap().trim_start_matches('/');
    let file = fs::read(root.join(path)).ok();
    let (head, body) = match file {
        _ if authorization != Some(accepts) => (
            "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"",
            Vec::new(),
        ),
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    let _ = write!(
        &stream,
        "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let _ = (&stream).write_all(&body);
}

/// `user:t0ken`, encoded.
const AUTHORIZATION: &str = "Basic dXNlcjp0MGtlbg==";

fn served() -> (tempfile::TempDir, Server) {
    let source = repository_with(&[("app.py", "remote")]);
    commit(source.path(), &[("b", "")], "second");
    let served = tempfile::tempdir().unwrap();
    git(
        served.path(),
        &["clone", "-q", "--bare", &text(source.path()), "x.git"],
    );
    git(&served.path().join("x.git"), &["update-server-info"]);
    let server = Server::start(served.path(), AUTHORIZATION);
    (served, server)
}

/// Cases 35 and M15: the server hears the credentials, and nobody else; a server of plain files gives whole histories.
#[test]
fn credentials_go_to_the_server_and_nowhere_else() {
    let (_served, server) = served();
    let address = format!("http://user:t0ken@{}/x.git", server.address);
    for typed in [address.clone(), format!("http::{address}")] {
        let got = got(&wanted(&typed));
        assert_eq!(got.read("app.py").as_deref(), Some("remote"));
        let asked = server.asked.lock().unwrap().clone();
        assert_eq!(asked[0].1, None);
        assert!(
            asked
                .iter()
                .any(|(_, authorization)| authorization.as_deref() == Some(AUTHORIZATION))
        );
        let provenance = &got.fetched().provenance;
        let shown = typed.replace("user:t0ken@", "");
        assert_eq!(provenance.location_shown.as_ref(), Some(&shown));
        assert_eq!(
            provenance.labels()["org.opencontainers.image.source"],
            shown
        );
        assert!(!format!("{got:?}", got = got.fetched()).contains("t0ken"));
        for entry in walkdir::WalkDir::new(got.directory.path()) {
            let entry = entry.unwrap();
            let bytes = match entry.file_type().is_file() {
                true => fs::read(entry.path()).unwrap(),
                false => continue,
            };
            let holds = bytes.windows(5).any(|window| window == b"t0ken");
            assert!(!holds, "{}", entry.path().display());
        }
    }
}

/// Cases 45 and M15: what git said is the reason, without credentials.
#[test]
fn a_refusal_is_told_without_credentials() {
    let (_served, server) = served();
    let wrong = format!("http://user:wr0ng@{}/x.git", server.address);
    let got = got(&wanted(&wrong));
    let text = format!("{} {:?}", got.error(), got.error());
    assert!(
        matches!(got.error(), Error::Git { .. }) && text.contains("Authentication failed"),
        "{text}"
    );
    assert!(
        text.contains(&server.address) && !text.contains("wr0ng") && !text.contains("user:"),
        "{text}"
    );
    assert!(
        got.error().hints()[0].contains("TOKEN"),
        "{:?}",
        got.error().hints()
    );
    // Without any, nobody is asked.
    let nobody = self::got(&wanted(&format!("http://{}/x.git", server.address)));
    assert!(
        nobody
            .error()
            .to_string()
            .contains("could not read Username"),
        "{}",
        nobody.error()
    );
    let missing = self::got(&wanted(&format!(
        "http://user:t0ken@{}/y.git",
        server.address
    )));
    assert!(
        missing.error().to_string().contains("not found"),
        "{}",
        missing.error()
    );
}

#[test]
fn credentials_are_not_for_another_host() {
    let (served, _) = served();
    let other = Server::start(served.path(), "never");
    let redirecting = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = redirecting.local_addr().unwrap().to_string();
    let target = other.address.clone();
    std::thread::spawn(move || {
        for stream in redirecting.incoming() {
            let stream = stream.unwrap();
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
            let _ = write!(
                &stream,
                "HTTP/1.1 302 Found\r\nLocation: http://{target}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    let got = got(&wanted(&format!("http://user:t0ken@{address}/x.git")));
    assert!(matches!(got.error(), Error::Git { .. }));
    let asked = other.asked.lock().unwrap();
    assert!(
        !asked.is_empty()
            && asked
                .iter()
                .all(|(_, authorization)| authorization.is_none()),
        "{asked:?}"
    );
}

/// Asks to stop as soon as the server was asked.
struct Impatient(Arc<AtomicBool>);

impl Observer for Impatient {
    fn observe(&self, _event: Event) {}

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_clone_that_takes_for_ever_can_be_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let was_asked = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&was_asked);
    let (closed, is_closed) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        flag.store(true, Ordering::Relaxed);
        // Never answers; the connection ends when git does.
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {}
        closed.send(()).unwrap();
    });
    let directory = tempfile::tempdir().unwrap();
    let observer = Impatient(was_asked);
    let result = fetch(
        &wanted(&format!("http://{address}/x.git")),
        &host(),
        directory.path(),
        None,
        &observer,
    );
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    // git's own helper ended with it.
    is_closed.recv().unwrap();
}
