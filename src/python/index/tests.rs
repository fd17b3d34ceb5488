//! Against a server of our own on loopback.

use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::digest::Digest;
use crate::event::Silent;
use crate::http::Settings;
use crate::python::RemoteWheel;

mod access;
mod downloads;

/// What was asked.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    fn get(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Closes the connection after so many bytes of the body.
    cut: Option<usize>,
}

impl Answer {
    fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", media_type.to_owned())],
            body: body.into(),
            cut: None,
        }
    }

    fn html(body: &str) -> Self {
        Self::new(200, "text/html; charset=utf-8", body)
    }

    fn status(status: u16) -> Self {
        Self::new(status, "text/plain", "")
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A file, or the part of it that a request asks for.
    fn file(request: &Request, body: &[u8]) -> Self {
        let Some(range) = request
            .get("range")
            .and_then(|range| range.strip_prefix("bytes="))
        else {
            return Self::new(200, "application/octet-stream", body);
        };
        let (from, to) = range.split_once('-').unwrap();
        let size = body.len();
        let (from, to) = match (from, to) {
            ("", suffix) => (size.saturating_sub(suffix.parse().unwrap()), size),
            (from, "") => (from.parse().unwrap(), size),
            (from, to) => (from.parse().unwrap(), to.parse::<usize>().unwrap() + 1),
        };
        let range = format!("bytes {from}-{}/{size}", to - 1);
        Self::new(206, "application/octet-stream", &body[from..to]).with("Content-Range", range)
    }
}

type Log = Arc<Mutex<Vec<Request>>>;

/// A server that answers each request by `answer`, which also gets the requests before it.
fn serve(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> (String, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (log, answer) = (Log::default(), Arc::new(answer));
    let seen = Arc::clone(&log);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            std::thread::spawn(move || {
                let Some(request) = request(&stream) else {
                    return;
                };
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(request.clone());
                    seen.len() - 1
                };
                send(&stream, &answer(&request, number));
            });
        }
    });
    (base, log)
}

fn request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(Request { path, headers })
}

fn send(mut stream: &TcpStream, answer: &Answer) {
    let mut head = format!(
        "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    // The client may have gone.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&answer.body[..answer.cut.unwrap_or(answer.body.len())]);
}

struct Bench {
    http: Http,
    directory: tempfile::TempDir,
    settings: IndexSettings,
    now: u64,
}

impl Bench {
    fn new(base: &str) -> Self {
        Self {
            http: Http::new(&Settings::default()).unwrap(),
            directory: tempfile::tempdir().unwrap(),
            settings: IndexSettings {
                index_url: Some(format!("{base}/simple")),
                ..IndexSettings::default()
            },
            now: 1_000_000,
        }
    }

    fn index(&self, refresh: Refresh) -> Index<'_> {
        let caches = Caches {
            pypi: self.directory.path().join("pypi"),
            wheels: self.directory.path().join("wheels"),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(self.now);
        let mut index = Index::new(&self.http, &self.settings, caches, now, refresh).unwrap();
        index.transport.set_backoff(Duration::from_millis(2));
        index
    }

    fn project(&self) -> Result<Arc<Project>, Error> {
        self.index(Refresh::WhenStale).project(&name("a"), &Silent)
    }

    fn fetch(&self, wheel: &RemoteWheel) -> Result<LocalWheel, Error> {
        let index = self.index(Refresh::WhenStale);
        let mut fetched = index.fetch(std::slice::from_ref(wheel), &Silent)?;
        Ok(fetched.remove(0))
    }
}

fn name(text: &str) -> PackageName {
    text.parse().unwrap()
}

fn names(project: &Project) -> Vec<&str> {
    let files = project.files.iter();
    files.map(|file| file.filename.as_str()).collect()
}

const PAGE: &str = "<a href='../../files/a-1.0-py3-none-any.whl'>a</a>";

/// A wheel of `a 1.0` with this much padding.
fn wheel_bytes(padding: usize) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let padding: Vec<u8> = (0..padding as u32)
        .map(|n| (n.wrapping_mul(n) / 7) as u8)
        .collect();
    for (name, content) in [
        ("a.bin", padding.as_slice()),
        (
            "a-1.0.dist-info/METADATA",
            b"Metadata-Version: 2.1\nName: A\nVersion: 1\nRequires-Dist: b>=2\n\nx\n",
        ),
    ] {
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn remote(base: &str, bytes: &[u8]) -> RemoteWheel {
    RemoteWheel {
        name: "a-1.0-py3-none-any.whl".parse().unwrap(),
        url: format!("{base}/files/a-1.0-py3-none-any.whl"),
        digest: Some(Digest::of(bytes)),
        size: Some(bytes.len() as u64),
    }
}

#[test]
fn a_page_is_kept_while_fresh_and_then_asked_for_with_its_etag() {
    let (base, log) = serve(|request, _| {
        let answer = match request.get("if-none-match") {
            Some("\"v1\"") => Answer::status(304),
            _ => Answer::html(PAGE),
        };
        answer
            .with("ETag", "\"v1\"")
            .with("Cache-Control", "max-age=600")
    });
    let mut bench = Bench::new(&base);
    for (now, refresh, requests) in [
        (1000, Refresh::WhenStale, 1),
        (1599, Refresh::WhenStale, 1),
        (1600, Refresh::WhenStale, 2),
        (2100, Refresh::WhenStale, 2),
        (2100, Refresh::Always, 3),
    ] {
        bench.now = now;
        let index = bench.index(refresh);
        // Within a run it is asked for once.
        for _ in 0..2 {
            let project = index.project(&name("A"), &Silent).unwrap();
            assert_eq!(names(&project), ["a-1.0-py3-none-any.whl"]);
            assert_eq!(
                project.files[0].url,
                format!("{base}/files/a-1.0-py3-none-any.whl")
            );
        }
        assert_eq!(log.lock().unwrap().len(), requests, "{now}");
    }
    let log = log.lock().unwrap();
    assert_eq!(log[0].path, "/simple/a/");
    assert!(log[0].get("accept").unwrap().starts_with(page::JSON));
}

#[test]
fn a_page_may_come_packed_and_no_larger_than_the_limit() {
    let pack = |body: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    let (page, bomb) = (pack(PAGE.as_bytes()), pack(&vec![b'<'; (64 << 20) + 1]));
    let (base, _) = serve(move |request, _| {
        let body = if request.path.contains("bomb") {
            &bomb
        } else {
            &page
        };
        Answer::new(200, "text/html", body.clone()).with("Content-Encoding", "gzip")
    });
    let bench = Bench::new(&base);
    assert_eq!(bench.project().unwrap().files.len(), 1);
    let error = bench
        .index(Refresh::WhenStale)
        .project(&name("bomb"), &Silent)
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn several_places_are_equal_and_the_first_has_the_file() {
    let (one, _) = serve(|request, _| match request.path.as_str() {
        "/simple/a/" => {
            Answer::html("<a href=/one/a-1.0-py3-none-any.whl><a href=/one/a-1.1-py3-none-any.whl>")
        }
        _ => Answer::status(404),
    });
    let (two, _) = serve(|_, _| {
        Answer::html("<a href=/two/a-1.0-py3-none-any.whl><a href=/two/a-2.0-py3-none-any.whl>")
    });
    let mut bench = Bench::new(&one);
    bench.settings.extra_index_urls = vec![format!("{two}/other/")];
    let links = bench.directory.path().join("links");
    std::fs::create_dir(&links).unwrap();
    std::fs::write(links.join("a-1.1-py3-none-any.whl"), "").unwrap();
    std::fs::write(links.join("b-1.1-py3-none-any.whl"), "").unwrap();
    bench.settings.find_links = vec![links.to_str().unwrap().to_owned()];
    let project = bench.project().unwrap();
    let urls: Vec<&str> = project.files.iter().map(|file| file.url.as_str()).collect();
    assert_eq!(
        urls,
        [
            format!("file://{}/a-1.1-py3-none-any.whl", links.display()),
            format!("{one}/one/a-1.0-py3-none-any.whl"),
            format!("{two}/two/a-2.0-py3-none-any.whl"),
        ]
    );
    assert_eq!(project.found_in.len(), 3);
    bench.settings.no_index = true;
    assert_eq!(bench.project().unwrap().files.len(), 1);
    bench.settings.find_links = vec![format!("{two}/page.html")];
    assert_eq!(bench.project().unwrap().files.len(), 2);
}

#[test]
fn a_name_that_nobody_knows_has_no_files_and_a_failing_index_is_an_error() {
    let (base, log) = serve(|request, _| match request.path.as_str() {
        "/simple/b/" => Answer::status(404),
        "/simple/c/" => Answer::status(403),
        "/simple/d/" => Answer::new(200, "application/pdf", ""),
        _ => Answer::status(503),
    });
    let bench = Bench::new(&base);
    let index = bench.index(Refresh::WhenStale);
    let unknown = index.project(&name("b"), &Silent).unwrap();
    assert!(unknown.files.is_empty() && unknown.found_in.is_empty());
    for (project, text) in [
        (
            "c",
            "does not accept requests without credentials: status 403",
        ),
        ("d", "is no page of a package index"),
        ("a", "was answered with status 503"),
    ] {
        let error = index.project(&name(project), &Silent).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.hints().is_empty());
    }
    // Four attempts for what may pass, one for what will not.
    assert_eq!(log.lock().unwrap().len(), 3 + 4);
}

#[test]
fn a_busy_index_is_asked_again() {
    let (base, log) = serve(|_, number| match number {
        0 => Answer::status(429).with("Retry-After", "0"),
        1 => Answer {
            cut: Some(3),
            ..Answer::html(PAGE)
        },
        _ => Answer::html(PAGE),
    });
    let bench = Bench::new(&base);
    assert_eq!(bench.project().unwrap().files.len(), 1);
    assert_eq!(log.lock().unwrap().len(), 3);
    let (base, log) = serve(|_, _| Answer::status(429).with("Retry-After", "86400"));
    let error = Bench::new(&base).project().unwrap_err();
    assert!(
        matches!(error, Error::Status { status: 429, .. }),
        "{error}"
    );
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[test]
fn many_pages_are_asked_for_side_by_side() {
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let (base, log) = serve(move |_, _| {
        let count = now.fetch_add(1, Ordering::SeqCst) + 1;
        seen.fetch_max(count, Ordering::SeqCst);
        // Until another request is here, but not for ever.
        for _ in 0..500 {
            if seen.load(Ordering::SeqCst) > 4 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        now.fetch_sub(1, Ordering::SeqCst);
        Answer::html("")
    });
    let bench = Bench::new(&base);
    let wanted: Vec<PackageName> = (0..40).map(|n| name(&format!("p{n}"))).collect();
    let index = bench.index(Refresh::WhenStale);
    index.prefetch(&wanted, &Silent).unwrap();
    assert_eq!(log.lock().unwrap().len(), 40);
    assert!((5..=PARALLEL).contains(&most.load(Ordering::SeqCst)));
}
