//! A Docker that is not one, at the other end of a socket.

use std::os::unix::net::UnixListener;

use super::super::super::samples::{self, Impatient};
use super::super::{Access, Engine, Found, Loaded};
use super::*;
use crate::event::Silent;
use crate::image::{Image, Platform};
use crate::store::BlobStore;

#[test]
fn answers_are_read_to_the_letter() {
    let response = parse(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
    assert_eq!(
        (response.status, response.body.as_slice()),
        (200, &b"hi"[..])
    );
    let response = parse(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
    assert_eq!((response.status, response.body.len()), (404, 0));
    let long = vec![b'x'; 5 << 20];
    for (bytes, reason) in [
        (&b""[..], "no end"),
        (b"HTTP/1.0 200 OK\r\n", "no end"),
        (b"SSH-2.0-x\r\n\r\n", "status of HTTP"),
        (b"HTTP/1.0 20 OK\r\n\r\n", "status of HTTP"),
        (
            b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            "it has `3",
        ),
        (b"HTTP/1.0 200 OK\r\ncontent-length: -1\r\n\r\nhi", "-1"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0",
            "chunked",
        ),
        (b"HTTP/1.0 200 \xff\r\n\r\n", "utf-8"),
        (&long, "more than 4194304 bytes"),
    ] {
        let error = parse(bytes).unwrap_err();
        assert!(
            error.contains(reason.trim_start_matches("it has `")),
            "{error}"
        );
    }
}

/// What the other side does with one connection.
enum Does {
    /// Reads the request to its end, and answers.
    Answers(String),
    /// Answers before it has read more than a few bytes, and closes.
    Refuses(&'static str),
    /// Reads, and then nothing, until the other side has gone.
    Hangs,
}

struct Fake {
    directory: tempfile::TempDir,
    store: BlobStore,
    image: Image,
}

impl Fake {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = samples::store(&directory.path().join("store"));
        let image = samples::image(&store, "linux/amd64");
        Self {
            directory,
            store,
            image,
        }
    }

    /// Loads while the other side does one thing for each connection; also the requests that were read.
    fn load(
        &self,
        does: Vec<Does>,
        observer: &dyn Observer,
    ) -> (Result<Loaded, Error>, Vec<Vec<u8>>) {
        let socket = self.directory.path().join("sock");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let found = Found {
            engine: Engine::Docker,
            access: Access::Socket(socket),
        };
        std::thread::scope(|scope| {
            let server = scope.spawn(move || {
                let serve = |does: Does| serve(&listener, does);
                does.into_iter().map(serve).collect::<Vec<Vec<u8>>>()
            });
            let names = ["app:1".to_owned()];
            let content = (&self.image).into();
            let loaded = found.load(&content, &names, &Platform::host(), &self.store, observer);
            (loaded, server.join().unwrap())
        })
    }

    fn id(&self) -> String {
        self.image.config.descriptor.digest.to_string()
    }
}

fn serve(listener: &UnixListener, does: Does) -> Vec<u8> {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 8192];
    let is_whole = |request: &[u8]| {
        let head = request.windows(4).position(|window| window == b"\r\n\r\n");
        head.is_some_and(|end| {
            let text = String::from_utf8_lossy(&request[..end]).into_owned();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            request.len() == end + 4 + length
        })
    };
    match does {
        Does::Answers(answer) => {
            while !is_whole(&request) {
                let count = stream.read(&mut buffer).unwrap();
                assert_ne!(count, 0, "the request ended early");
                request.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
        Does::Refuses(answer) => {
            stream.read_exact(&mut buffer[..10]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
        Does::Hangs => while stream.read(&mut buffer).is_ok_and(|count| count > 0) {},
    }
    request
}

fn ok(body: &str) -> Does {
    let length = body.len();
    Does::Answers(format!(
        "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

#[test]
fn docker_gets_the_archive_and_is_asked_what_it_has() {
    let fake = Fake::new();
    let said = ok("{\"stream\":\"Loaded image: app:1\"}\n");
    let has = ok(&format!("{{\"Id\":\"{}\"}}", fake.id()));
    let (loaded, requests) = fake.load(vec![said, has], &Silent);
    let loaded = loaded.unwrap();
    assert_eq!(loaded.names, ["docker.io/library/app:1"]);
    assert_eq!(loaded.id.to_string(), fake.id());
    assert!(requests[0].starts_with(b"POST /images/load?quiet=1 HTTP/1.0\r\n"));
    assert!(requests[1].starts_with(b"GET /images/docker.io/library/app:1/json HTTP/1.0\r\n"));
    let body = requests[0]
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert!(requests[0][body..].starts_with(b"oci-layout\0"));
}

#[test]
fn what_docker_says_is_said() {
    let fake = Fake::new();
    let failed =
        ok("{\"status\":\"x\"}\n{\"errorDetail\":{},\"error\":\"no space\\u001b left\"}\n");
    let (loaded, _) = fake.load(vec![failed], &Silent);
    let error = loaded.unwrap_err();
    assert_eq!(error.output(), ["no space\u{fffd} left"]);
    let early = "HTTP/1.0 403 Forbidden\r\n\r\n{\"message\":\"not for you\"}";
    let (loaded, _) = fake.load(vec![Does::Refuses(early)], &Silent);
    let error = loaded.unwrap_err();
    assert!(error.to_string().contains("status 403"), "{error}");
    assert_eq!(error.output(), ["not for you"]);
    let old = ok("{\"error\":\"Error processing tar file(exit status 1): unexpected EOF\"}");
    let (loaded, _) = fake.load(vec![old], &Silent);
    assert!(loaded.unwrap_err().hints()[0].contains("--compression gzip"));
}

#[test]
fn another_image_under_the_name_is_no_success() {
    let fake = Fake::new();
    let other = format!("sha256:{}", "0".repeat(64));
    for said in [other.as_str(), "", "nonsense"] {
        let has = ok(&format!("{{\"Id\":\"{said}\"}}"));
        let (loaded, _) = fake.load(vec![ok(""), has], &Silent);
        let error = loaded.unwrap_err();
        assert!(
            matches!(&error, Error::Different { found, .. } if found == said),
            "{error}"
        );
    }
    let (loaded, _) = fake.load(vec![ok(""), ok("{")], &Silent);
    assert!(matches!(loaded, Err(Error::Protocol { .. })));
}

#[test]
fn waiting_ends_when_the_person_wants_it_to_or_when_it_has_been_too_long() {
    let fake = Fake::new();
    let (loaded, _) = fake.load(vec![Does::Hangs], &Impatient);
    assert!(matches!(loaded, Err(Error::Interrupted)));
    let (near, _far) = UnixStream::pair().unwrap();
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut patient = Patient {
        stream: near,
        observer: &Silent,
        limit: Duration::ZERO,
    };
    let error = patient.read(&mut [0]).unwrap_err();
    assert!(matches!(
        error.get_ref().unwrap().downcast_ref(),
        Some(Stop::Stalled)
    ));
}

#[test]
fn a_socket_where_nobody_listens_is_named() {
    let fake = Fake::new();
    let socket = fake.directory.path().join("dead");
    drop(UnixListener::bind(&socket).unwrap());
    let found = Found {
        engine: Engine::Docker,
        access: Access::Socket(socket.clone()),
    };
    let names = ["app".to_owned()];
    let content = (&fake.image).into();
    let error = found
        .load(&content, &names, &Platform::host(), &fake.store, &Silent)
        .unwrap_err();
    assert!(
        error.to_string().contains(socket.to_str().unwrap()),
        "{error}"
    );
    assert!(error.hints()[0].contains("start the engine"));
}
