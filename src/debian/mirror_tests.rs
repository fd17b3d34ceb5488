use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use super::*;
use crate::event::{Event, Silent};
use crate::http::Settings;

const BODY: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// What was asked: the path and the `Range` header.
type Log = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A server on loopback that answers the n-th request with `answer(path, range, n)`.
fn serve(answer: impl Fn(&str, Option<&str>, usize) -> String + Send + 'static) -> (String, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let log = Log::default();
    let seen = Arc::clone(&log);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let (path, range) = request(&stream);
            seen.lock().unwrap().push((path.clone(), range.clone()));
            let _ = (&stream).write_all(answer(&path, range.as_deref(), number).as_bytes());
        }
    });
    (base, log)
}

fn request(stream: &TcpStream) -> (String, Option<String>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines
        .next()
        .and_then(|line| line.split(' ').nth(1).map(str::to_owned))
        .unwrap_or_default();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let range = headers.iter().find_map(|line| {
        line.strip_prefix("range: ")
            .or(line.strip_prefix("Range: "))
    });
    (path, range.map(str::to_owned))
}

fn ok(body: &[u8]) -> String {
    answer_with("200 OK", "", body.len(), body)
}

fn answer_with(status: &str, headers: &str, length: usize, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

fn partial(range: &str, body: &[u8]) -> String {
    let start: usize = range
        .trim_start_matches("bytes=")
        .trim_end_matches('-')
        .parse()
        .unwrap();
    let headers = format!(
        "Content-Range: bytes {start}-{}/{}\r\n",
        body.len() - 1,
        body.len()
    );
    answer_with(
        "206 Partial Content",
        &headers,
        body.len() - start,
        &body[start..],
    )
}

fn wanted(urls: &[String]) -> Wanted {
    Wanted {
        urls: urls.to_vec(),
        size_bytes: BODY.len() as u64,
        digest: Digest::of(BODY),
    }
}

struct Bench {
    http: Http,
    cache: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let http = Http::new(&Settings::default()).unwrap();
        let cache = tempfile::tempdir().unwrap();
        Self { http, cache }
    }

    fn fetch(&self, urls: &[String]) -> Result<Vec<u8>, Error> {
        let fetcher = Fetcher::new(&self.http, self.cache.path(), &Silent);
        let paths = fetcher.fetch("test", &[wanted(urls)])?;
        Ok(std::fs::read(&paths[0]).unwrap())
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.cache
            .path()
            .join(Digest::of(BODY).hex())
            .with_extension(extension)
    }

    fn names(&self) -> Vec<PathBuf> {
        fs::list(self.cache.path()).unwrap()
    }
}

#[test]
fn a_file_is_fetched_once_and_checked_at_every_use() {
    let (base, log) = serve(|_, _, _| ok(BODY));
    let bench = Bench::new();
    let url = [format!("{base}/file")];
    for _ in 0..3 {
        assert_eq!(bench.fetch(&url).unwrap(), BODY);
    }
    assert_eq!(log.lock().unwrap().len(), 1);
    std::fs::write(bench.path(""), b"0123456789abcdefghijklmnopqrstuvwxyZ").unwrap();
    assert_eq!(bench.fetch(&url).unwrap(), BODY);
    assert_eq!(log.lock().unwrap().len(), 2);
    assert_eq!(bench.names(), [PathBuf::from(Digest::of(BODY).hex())]);
}

#[test]
fn the_next_url_is_asked_when_one_has_nothing() {
    let answer = |path: &str, _: Option<&str>, _| match path {
        "/by-hash" => answer_with("404 Not Found", "", 0, b""),
        _ => ok(BODY),
    };
    let (base, log) = serve(answer);
    let bench = Bench::new();
    assert_eq!(
        bench
            .fetch(&[format!("{base}/by-hash"), format!("{base}/plain")])
            .unwrap(),
        BODY
    );
    let paths: Vec<String> = log
        .lock()
        .unwrap()
        .iter()
        .map(|(path, _)| path.clone())
        .collect();
    assert_eq!(paths, ["/by-hash", "/plain"]);
    let error = Bench::new()
        .fetch(&[format!("{base}/by-hash")])
        .unwrap_err();
    assert!(
        matches!(error, Error::Status { status: 404, .. }),
        "{error}"
    );
}

#[test]
fn what_breaks_off_is_continued_where_it_broke() {
    let answer = |_: &str, range: Option<&str>, number| match (number, range) {
        (0, None) => answer_with("200 OK", "", BODY.len(), &BODY[..10]),
        (1, Some(range)) => answer_with(
            "206 Partial Content",
            &format!(
                "Content-Range: {}/36\r\n",
                range.replace('=', " ").replace('-', "-35")
            ),
            26,
            &BODY[10..20],
        ),
        (_, Some(range)) => partial(range, BODY),
        _ => ok(b"unexpected"),
    };
    let (base, log) = serve(answer);
    let bench = Bench::new();
    assert_eq!(bench.fetch(&[format!("{base}/file")]).unwrap(), BODY);
    let ranges: Vec<_> = log
        .lock()
        .unwrap()
        .iter()
        .map(|(_, range)| range.clone())
        .collect();
    assert_eq!(
        ranges,
        [
            None,
            Some("bytes=10-".to_owned()),
            Some("bytes=20-".to_owned())
        ]
    );
}

#[test]
fn a_part_that_a_killed_process_left_is_used_if_it_is_right() {
    let answer = |_: &str, range: Option<&str>, _| {
        range.map_or_else(|| ok(BODY), |range| partial(range, BODY))
    };
    let rows: [(&str, &[u8], usize); 4] = [
        ("a right beginning", &BODY[..7], 1),
        ("all of it", BODY, 0),
        ("a wrong beginning", b"garbage", 2),
        ("too much", &[b'x'; 50], 1),
    ];
    for (what, left, requests) in rows {
        let (base, log) = serve(answer);
        let bench = Bench::new();
        std::fs::write(bench.path("part"), left).unwrap();
        assert_eq!(
            bench.fetch(&[format!("{base}/file")]).unwrap(),
            BODY,
            "{what}"
        );
        assert_eq!(log.lock().unwrap().len(), requests, "{what}");
        assert_eq!(
            bench.names(),
            [PathBuf::from(Digest::of(BODY).hex())],
            "{what}"
        );
    }
    // A mirror that does not know ranges, and one that answers with another range.
    for headers in [None, Some("Content-Range: bytes 0-35/36\r\n")] {
        let answer = move |_: &str, range: Option<&str>, _| match (headers, range) {
            (Some(headers), Some(_)) => {
                answer_with("206 Partial Content", headers, BODY.len(), BODY)
            }
            _ => ok(BODY),
        };
        let (base, _log) = serve(answer);
        let bench = Bench::new();
        std::fs::write(bench.path("part"), &BODY[..7]).unwrap();
        assert_eq!(bench.fetch(&[format!("{base}/file")]).unwrap(), BODY);
    }
}

#[test]
fn a_part_that_another_process_writes_is_left_alone() {
    let (base, _log) = serve(|_, _, _| ok(BODY));
    let bench = Bench::new();
    let other = File::create(bench.path("part")).unwrap();
    other.lock().unwrap();
    assert_eq!(bench.fetch(&[format!("{base}/file")]).unwrap(), BODY);
    assert_eq!(std::fs::read(bench.path("part")).unwrap(), b"");
}

#[test]
fn wrong_content_is_fetched_anew_once_and_never_kept() {
    let (base, log) = serve(|_, _, _| ok(&[b'x'; 36]));
    let bench = Bench::new();
    let error = bench.fetch(&[format!("{base}/file")]).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    assert_eq!(log.lock().unwrap().len(), 2);
    assert_eq!(bench.names(), Vec::<PathBuf>::new());
    let (base, _log) = serve(|_, _, number| {
        if number == 0 {
            ok(&[b'x'; 36])
        } else {
            ok(BODY)
        }
    });
    assert_eq!(bench.fetch(&[format!("{base}/file")]).unwrap(), BODY);
}

#[test]
fn more_bytes_than_promised_are_refused() {
    let (base, _log) = serve(|_, _, _| ok(&BODY.repeat(3)));
    let bench = Bench::new();
    let error = bench.fetch(&[format!("{base}/file")]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                limit_bytes: 36,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(bench.names(), Vec::<PathBuf>::new());
    let fetcher = Fetcher::new(&bench.http, bench.cache.path(), &Silent);
    assert_eq!(
        fetcher.document(&format!("{base}/doc"), 200).unwrap(),
        BODY.repeat(3)
    );
    let error = fetcher.document(&format!("{base}/doc"), 107).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                limit_bytes: 107,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn passing_failures_are_retried_and_others_are_not() {
    for (status, requests) in [
        ("503 Busy", 3),
        ("429 Slow Down", 3),
        ("500 Oh", 3),
        ("403 No", 1),
        ("404 No", 1),
    ] {
        let (base, log) = serve(move |_, _, _| answer_with(status, "", 0, b""));
        let error = Bench::new().fetch(&[format!("{base}/file")]).unwrap_err();
        assert!(matches!(error, Error::Status { .. }), "{status}: {error}");
        assert_eq!(log.lock().unwrap().len(), requests, "{status}");
    }
    let (base, _log) = serve(|_, _, number| {
        if number < 2 {
            answer_with("503 Busy", "", 0, b"")
        } else {
            ok(BODY)
        }
    });
    assert_eq!(Bench::new().fetch(&[format!("{base}/file")]).unwrap(), BODY);
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = Bench::new()
        .fetch(&[format!("http://user:secret@{closed}/file?token=secret")])
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn redirects_are_followed_a_few_times_and_only_to_http() {
    let to =
        |location: &str| answer_with("302 Found", &format!("Location: {location}\r\n"), 0, b"");
    let (base, _log) = serve(move |path, _, _| match path {
        "/one" => to("/two"),
        "/two" => to("three"),
        "/three" => ok(BODY),
        "/file" => to("file:///etc/passwd"),
        _ => to("/loop"),
    });
    assert_eq!(Bench::new().fetch(&[format!("{base}/one")]).unwrap(), BODY);
    for path in ["file", "loop"] {
        let error = Bench::new().fetch(&[format!("{base}/{path}")]).unwrap_err();
        assert!(matches!(error, Error::Redirect { .. }), "{path}: {error}");
    }
}

/// Wants an end as soon as something moves, and counts the bytes.
#[derive(Default)]
struct Impatient(AtomicUsize);

impl Observer for Impatient {
    fn observe(&self, event: Event) {
        if let Event::TransferAdvanced { bytes, .. } = event {
            self.0.fetch_add(bytes as usize, Ordering::Relaxed);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= 5
    }
}

#[test]
fn an_interruption_ends_the_work_and_keeps_what_arrived() {
    // The rest of the body never comes, and the connection stays open.
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let slow_base = format!("http://{}", slow.local_addr().unwrap());
    std::thread::spawn(move || {
        let (stream, _) = slow.accept().unwrap();
        request(&stream);
        (&stream)
            .write_all(answer_with("200 OK", "", 36, &BODY[..5]).as_bytes())
            .unwrap();
        std::thread::park();
    });
    let bench = Bench::new();
    let observer = Impatient::default();
    let fetcher = Fetcher::new(&bench.http, bench.cache.path(), &observer);
    let error = fetcher
        .fetch("test", &[wanted(&[format!("{slow_base}/file")])])
        .unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    assert_eq!(std::fs::read(bench.path("part")).unwrap(), &BODY[..5]);
}
