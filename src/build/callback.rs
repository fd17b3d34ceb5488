//! `--callback-url`: telling somebody how a build ended.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde::Serialize;

use crate::event::{Event, Observer};
use crate::http::{Http, cause};

/// How often it is tried when no answer comes.
const TRIES: u32 = 3;
/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a build ended: the body of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The image's labels; absent after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Whether there is an image.
    pub success: bool,
}

impl Outcome {
    /// There is an image, with these labels.
    pub fn success(labels: BTreeMap<String, String>) -> Self {
        Self {
            labels: Some(labels),
            success: true,
        }
    }

    /// There is none.
    pub fn failure() -> Self {
        Self {
            labels: None,
            success: false,
        }
    }

    /// The request's body: an object, and a newline.
    pub fn body(&self) -> String {
        // An object of texts and truth values is always JSON.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

/// True for a URL that [`post`] can send to.
pub fn is_url(text: &str) -> bool {
    let url = reqwest::Url::parse(text).ok();
    url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Sends the outcome of a build to `url`. It is best effort: three tries when no answer comes, whatever the answer is,
/// and the build's own end does not change; what happened is a note to `observer`.
///
/// # Spec
/// `s2i-compat.md` §2.19.
pub fn post(url: &str, outcome: &Outcome, http: &Http, observer: &dyn Observer) {
    let note = |text: String| observer.observe(Event::Note { text });
    // A password in the URL is not for logs.
    let host = reqwest::Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    let mut reason = String::new();
    for _ in 0..TRIES {
        let request = http
            .client()
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .timeout(TIMEOUT)
            .body(outcome.body());
        match http.run(observer, async { request.send().await }) {
            Ok(Ok(answer)) => {
                return note(format!(
                    "the callback at `{host}` answered {}",
                    answer.status()
                ));
            }
            Ok(Err(error)) => reason = cause(error),
            Err(_interrupted) => return,
        }
    }
    note(format!(
        "the callback at `{host}` was not reached in {TRIES} tries: {reason}"
    ));
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Mutex;

    use super::*;
    use crate::http::Settings;

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Observer for Notes {
        fn observe(&self, event: Event) {
            if let Event::Note { text } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    /// Reads one request: its head, and the body that its length announces.
    fn request(stream: &mut TcpStream) -> (String, String) {
        let mut bytes = Vec::new();
        let mut one = [0];
        while !bytes.ends_with(b"\r\n\r\n") {
            assert_eq!(stream.read(&mut one).unwrap(), 1);
            bytes.push(one[0]);
        }
        let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Serves connections: the first `cut` of them end without an answer, the next is answered with `status`.
    fn serve(
        cut: usize,
        status: u16,
        outcome: &Outcome,
        path: &str,
    ) -> (Vec<(String, String)>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut seen = Vec::new();
            for number in 0..=cut.min(TRIES as usize - 1) {
                let (mut stream, _) = listener.accept().unwrap();
                seen.push(request(&mut stream));
                if number == cut {
                    let answer = format!(
                        "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
            seen
        });
        let http = Http::new(&Settings::default()).unwrap();
        let notes = Notes::default();
        post(
            &format!("http://user:hunter2@{address}{path}"),
            outcome,
            &http,
            &notes,
        );
        (server.join().unwrap(), notes.0.into_inner().unwrap())
    }

    /// Case 135.
    #[test]
    fn labels_and_success_are_posted_as_json() {
        let labels = BTreeMap::from([("foo".to_owned(), "bar".to_owned())]);
        let (seen, notes) = serve(0, 200, &Outcome::success(labels), "/hook?a=b");
        let [(head, body)] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert!(head.starts_with("post /hook?a=b http/1.1\r\n"), "{head}");
        assert!(
            head.contains("content-type: application/json\r\n"),
            "{head}"
        );
        assert_eq!(body, "{\"labels\":{\"foo\":\"bar\"},\"success\":true}\n");
        assert!(!notes.concat().contains("hunter2"), "{notes:?}");
        assert_eq!(Outcome::failure().body(), "{\"success\":false}\n");
    }

    #[test]
    fn a_lost_connection_is_tried_again_and_an_answer_is_final() {
        let failure = Outcome::failure();
        let (seen, notes) = serve(2, 204, &failure, "/");
        assert_eq!(seen.len(), 3);
        assert!(notes[0].contains("204"), "{notes:?}");
        let (seen, notes) = serve(3, 200, &failure, "/");
        assert_eq!(seen.len(), 3);
        assert!(notes[0].contains("not reached in 3 tries"), "{notes:?}");
        let (seen, notes) = serve(0, 500, &failure, "/");
        assert_eq!(seen.len(), 1);
        assert!(notes[0].contains("500"), "{notes:?}");
    }

    #[test]
    fn only_urls_of_the_web_can_be_called() {
        assert!(is_url("http://127.0.0.1:8000/x?y") && is_url("https://ci.example/hook"));
        for wrong in [
            "",
            "ci.example/hook",
            "file:///etc/passwd",
            "ftp://a/b",
            "http://",
        ] {
            assert!(!is_url(wrong), "{wrong}");
        }
    }
}
