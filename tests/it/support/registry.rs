//! A real registry process for one test: Debian's `docker-registry` on a free loopback port, its data in a directory
//! that goes when it goes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::token::{ISSUER, SERVICE, TokenServer};

const PROGRAM: &str = "/usr/bin/docker-registry";
/// How long it may take to start; it takes some 50 ms.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// The user that [`Registry::with_login`] accepts.
pub const USERNAME: &str = "user";
/// The user's password.
pub const PASSWORD: &str = "password";
/// `user:password`, the password hashed by bcrypt with five rounds:
/// `perl -e 'print crypt("password", q{$2y$05$abcdefghijklmnopqrstuu})'`.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu\n";

/// A running registry; killed when dropped.
pub struct Registry {
    process: Child,
    host: String,
    directory: tempfile::TempDir,
}

/// A certificate and its key, PEM files.
pub struct Tls<'a> {
    pub certificate: &'a Path,
    pub key: &'a Path,
}

impl Registry {
    /// A registry that anybody may read and write, over plain HTTP.
    pub fn start() -> Self {
        Self::launch("", |_| String::new())
    }

    /// A registry that only [`USERNAME`] with [`PASSWORD`] may use (Basic authentication), over plain HTTP.
    pub fn with_login() -> Self {
        Self::launch("", |directory| {
            let path = directory.join("htpasswd");
            fs::write(&path, HTPASSWD).unwrap();
            format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                path.display()
            )
        })
    }

    /// A registry that anybody may read and write, over TLS only.
    pub fn with_tls(tls: &Tls<'_>) -> Self {
        let (certificate, key) = (tls.certificate.display(), tls.key.display());
        let lines = format!("  tls:\n    certificate: {certificate}\n    key: {key}\n");
        Self::launch(&lines, |_| String::new())
    }

    /// As [`Registry::with_tls`], for clients only that have a certificate of this authority.
    pub fn with_client_certificates(tls: &Tls<'_>, authority: &Path) -> Self {
        let (certificate, key) = (tls.certificate.display(), tls.key.display());
        let authority = authority.display();
        let lines = format!(
            "  tls:\n    certificate: {certificate}\n    key: {key}\n    clientcas:\n      - {authority}\n"
        );
        Self::launch(&lines, |_| String::new())
    }

    /// A registry that lets in who has a token of this server, over plain HTTP.
    pub fn with_tokens(server: &TokenServer) -> Self {
        Self::launch("", |_| {
            format!(
                "auth:\n  token:\n    realm: {}\n    service: {SERVICE}\n    issuer: {ISSUER}\n    rootcertbundle: {}\n",
                server.realm(),
                server.certificate().display()
            )
        })
    }

    /// A registry that anybody may read and write, and nobody may delete from.
    pub fn without_deletion() -> Self {
        Self::launch_with("", false, |_| String::new())
    }

    fn launch(http: &str, sections: impl FnOnce(&Path) -> String) -> Self {
        Self::launch_with(http, true, sections)
    }

    fn launch_with(http: &str, has_deletion: bool, sections: impl FnOnce(&Path) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let config = directory.path().join("config.yml");
        let text = format!(
            "version: 0.1\n\
             log:\n  level: info\n\
             storage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: {has_deletion}\n\
             http:\n  addr: 127.0.0.1:0\n{http}{}",
            data.display(),
            sections(directory.path()),
        );
        fs::write(&config, text).unwrap();
        let log = directory.path().join("log");
        let process = Command::new(PROGRAM)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(File::create(directory.path().join("stdout")).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start {PROGRAM} (Debian package docker-registry): {error}")
            });
        let mut registry = Self {
            process,
            host: String::new(),
            directory,
        };
        registry.host = registry.wait_until_it_listens(&log);
        registry
    }

    /// The port is the system's choice, so that tests side by side never meet; the log tells it.
    fn wait_until_it_listens(&mut self, log: &Path) -> String {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let text = fs::read_to_string(log).unwrap();
            // `… msg="listening on 127.0.0.1:34567" …`, with `, tls` behind it when there is TLS.
            if let Some((_, rest)) = text.split_once("listening on ") {
                let is_address = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
                if let Some(end) = rest.find(|c| !is_address(c)) {
                    return rest[..end].to_owned();
                }
            }
            let status = self.process.try_wait().unwrap();
            assert!(status.is_none(), "{PROGRAM} ended at once:\n{text}");
            assert!(
                Instant::now() < deadline,
                "{PROGRAM} does not listen:\n{text}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Host and port as a reference names them: `127.0.0.1:34567`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A file with the credentials of [`USERNAME`] for this registry, in the format of Docker's `config.json`.
    pub fn auth_file(&self) -> PathBuf {
        let path = self.directory.path().join("config.json");
        let entry = format!(r#"{{"username":"{USERNAME}","password":"{PASSWORD}"}}"#);
        fs::write(&path, format!(r#"{{"auths":{{"{}":{entry}}}}}"#, self.host)).unwrap();
        path
    }

    /// What was asked of it so far, a request each: `GET /v2/team/app/manifests/1 200`.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.path().join("stdout")).unwrap();
        let request = |line: &str| {
            let mut parts = line.split('"');
            let asked = parts.nth(1)?.strip_suffix(" HTTP/1.1")?;
            let status = parts.next()?.split_whitespace().next()?;
            Some(format!("{asked} {status}"))
        };
        log.lines().filter_map(request).collect()
    }

    /// True when a request came by this version of HTTP: `HTTP/2.0`.
    pub fn spoke(&self, version: &str) -> bool {
        let log = fs::read_to_string(self.directory.path().join("stdout")).unwrap();
        log.contains(&format!(" {version}\""))
    }

    /// Where the registry keeps a blob.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = self
            .directory
            .path()
            .join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
