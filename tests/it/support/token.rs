//! A token server for Debian's docker-registry: gives whoever is [`USERNAME`] what they ask for, and everybody what is
//! below `public/` to read. Its tokens are JWTs that openssl signs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Url;
use serde_json::{Value, json};

use super::registry::{PASSWORD, USERNAME};
use super::tool;

/// What the registry calls itself.
pub const SERVICE: &str = "test registry";
/// What this server calls itself.
pub const ISSUER: &str = "test issuer";
/// The token that it gives to who asks for one to keep.
pub const REFRESH_TOKEN: &str = "refresh-me";

/// How it behaves.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    /// It knows OAuth2 only: GET is answered 405.
    pub refuses_get: bool,
    /// It gives [`REFRESH_TOKEN`] to who asks for such a token.
    pub gives_refresh_tokens: bool,
    /// Its first token allows nothing but reading, whatever was asked for.
    pub is_stingy_at_first: bool,
}

/// A running server; stops when dropped.
pub struct TokenServer {
    directory: tempfile::TempDir,
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl TokenServer {
    pub fn start(manner: Manner) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        tool(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=tokens",
                "-keyout",
                &path("key.pem"),
                "-out",
                &path("certificate.pem"),
            ],
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, is_over) = (Arc::<Mutex<Vec<String>>>::default(), Arc::default());
        let signer = Signer::new(directory.path());
        let (log, end): (_, Arc<AtomicBool>) = (Arc::clone(&requests), Arc::clone(&is_over));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away gets no answer.
                let _ = serve(stream, manner, &signer, &log);
            }
        });
        Self {
            directory,
            address,
            requests,
            is_over,
        }
    }

    pub fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// What the registry must trust.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// What was asked: method, target and body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
    }
}

struct Signer {
    key: PathBuf,
    /// DER in base64, for `x5c`.
    certificate: String,
}

impl Signer {
    fn new(directory: &Path) -> Self {
        let pem = std::fs::read_to_string(directory.join("certificate.pem")).unwrap();
        let lines = pem.lines().filter(|line| !line.starts_with("-----"));
        Self {
            key: directory.join("key.pem"),
            certificate: lines.collect(),
        }
    }

    /// # Spec
    /// Docker registry, *Token Authentication Implementation*; RFC 7515.
    fn token(&self, access: &[Value]) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [self.certificate] });
        let claims = json!({
            "iss": ISSUER, "sub": "", "aud": SERVICE, "jti": "1",
            "iat": now, "nbf": now - 30, "exp": now + 300, "access": access,
        });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(&self.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = openssl.stdin.take().unwrap();
        stdin.write_all(signed.as_bytes()).unwrap();
        drop(stdin);
        let output = openssl.wait_with_output().unwrap();
        assert!(output.status.success());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(output.stdout))
    }
}

fn serve(
    mut stream: TcpStream,
    manner: Manner,
    signer: &Signer,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (mut length, mut authorization, mut is_chunked) = (0, String::new(), false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "authorization" => authorization = value.to_owned(),
            "transfer-encoding" => is_chunked = true,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    // skopeo sends forms so.
    while is_chunked {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let mut piece = vec![0; size + 2];
        reader.read_exact(&mut piece)?;
        body.extend_from_slice(&piece[..size]);
        is_chunked = size > 0;
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    let earlier = {
        let mut log = log.lock().unwrap();
        log.push(format!("{method} {target} {body}"));
        log.len() - 1
    };
    let (status, answer) = answer(
        method,
        target,
        &body,
        &authorization,
        manner,
        signer,
        earlier,
    );
    let answer = answer.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    )
}

fn answer(
    method: &str,
    target: &str,
    body: &str,
    authorization: &str,
    manner: Manner,
    signer: &Signer,
    earlier: usize,
) -> (u16, Value) {
    let query = match method {
        "GET" => target.to_owned(),
        _ => format!("/token?{body}"),
    };
    let url = Url::parse(&format!("http://tokens{query}")).unwrap();
    let value = |wanted: &str| {
        let mut pairs = url.query_pairs();
        pairs
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    let basic = format!(
        "Basic {}",
        STANDARD.encode(format!("{USERNAME}:{PASSWORD}"))
    );
    let is_user = match (method, value("grant_type").as_deref()) {
        ("GET", _) if manner.refuses_get => return (405, json!({})),
        ("GET", _) if authorization.is_empty() => false,
        ("GET", _) if authorization == basic => true,
        ("POST", Some("password"))
            if value("username").as_deref() == Some(USERNAME)
                && value("password").as_deref() == Some(PASSWORD) =>
        {
            true
        }
        ("POST", Some("refresh_token"))
            if value("refresh_token").as_deref() == Some(REFRESH_TOKEN) =>
        {
            true
        }
        _ => return (401, json!({ "details": "incorrect username or password" })),
    };
    if value("service").as_deref() != Some(SERVICE) {
        return (400, json!({ "details": "what service?" }));
    }
    let scopes = url.query_pairs().filter(|(name, _)| name == "scope");
    let scopes = scopes.flat_map(|(_, list)| {
        list.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    let access: Vec<Value> = scopes
        .filter_map(|scope| {
            let (resource, actions) = scope.rsplit_once(':')?;
            let (kind, name) = resource.split_once(':')?;
            let may = |action: &&str| {
                let is_reading = *action == "pull";
                match is_user {
                    true => is_reading || !(manner.is_stingy_at_first && earlier == 0),
                    false => is_reading && name.starts_with("public/"),
                }
            };
            let actions: Vec<&str> = actions.split(',').filter(may).collect();
            Some(json!({ "type": kind, "name": name, "actions": actions }))
        })
        .collect();
    let token = signer.token(&access);
    let mut answer = json!({ "token": token, "access_token": token, "expires_in": 300 });
    let wants_one = value("offline_token").as_deref() == Some("true")
        || value("access_type").as_deref() == Some("offline");
    if manner.gives_refresh_tokens && is_user && wants_one {
        answer["refresh_token"] = json!(REFRESH_TOKEN);
    }
    (200, answer)
}
