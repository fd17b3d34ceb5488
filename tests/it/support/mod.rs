//! A store of its own for every test, a builder image that needs no network, and other people's programs.

pub mod builders;
pub mod cluster;
pub mod engine;
pub mod plain;
pub mod registry;
pub mod relay;
pub mod runner;
pub mod skip;
pub mod tiny;
pub mod token;

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The user that `test.sh` makes for the tests that must not be root.
pub const ORDINARY_USER: &str = "overcoat-test";

/// The program under test with a store and a home of its own.
pub struct Overcoat {
    directory: tempfile::TempDir,
    user: Option<&'static str>,
    variables: Vec<(String, String)>,
}

/// How a command ended, with readable streams.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// The digest in the only line of stdout, which must be `NAME@DIGEST`.
    #[track_caller]
    pub fn digest(&self, name: &str) -> String {
        let line = self.stdout.strip_suffix('\n').unwrap_or_default();
        assert!(
            !line.contains('\n'),
            "one line was expected: {:?}",
            self.stdout
        );
        let digest = line
            .strip_prefix(&format!("{name}@"))
            .unwrap_or_else(|| panic!("{line:?}"));
        assert!(
            digest.starts_with("sha256:") && digest.len() == 71,
            "{digest}"
        );
        digest.to_owned()
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

impl Overcoat {
    /// As the user that runs the tests, with an empty store.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("overcoat-it-")
            .tempdir()
            .unwrap();
        Self {
            directory,
            user: None,
            variables: Vec::new(),
        }
    }

    /// As an ordinary user of this machine, with an empty store.
    pub fn as_ordinary_user() -> Self {
        let mut overcoat = Self::new();
        overcoat.user = Some(ORDINARY_USER);
        let own = Command::new("chown")
            .args(["-R", ORDINARY_USER])
            .arg(overcoat.directory.path())
            .status()
            .unwrap();
        assert!(
            own.success(),
            "the user `{ORDINARY_USER}` is made by ./test.sh, which needs root"
        );
        overcoat
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// The command line `overcoat ARGUMENTS` as this user, with this store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_overcoat");
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([
                    &format!("--reuid={user}"),
                    &format!("--regid={user}"),
                    "--init-groups",
                    "--",
                ]);
                command.arg(program);
                command
            }
        };
        command.args(arguments);
        command
            .env("HOME", self.path())
            .env("OVERCOAT_STORE", self.store())
            .env_remove("SOURCE_DATE_EPOCH");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// The command line `NAME ARGUMENTS`, where NAME is a link to this program. No engine gets anything unless the
    /// test says so.
    pub fn called(&self, name: &str, arguments: &[&str]) -> Command {
        let directory = self.path().join("bin");
        fs::create_dir_all(&directory).unwrap();
        let link = directory.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_overcoat"), &link).unwrap();
        }
        let all = self.command(arguments);
        let own = Path::new(env!("CARGO_BIN_EXE_overcoat"));
        let replace = |word: &std::ffi::OsStr| match Path::new(word) == own {
            true => link.clone().into_os_string(),
            false => word.to_owned(),
        };
        let mut command = Command::new(replace(all.get_program()));
        command.args(all.get_args().map(replace));
        command
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT");
        command.env("OVERCOAT_S2I_LOAD", "none");
        for (name, value) in all.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs it as `s2i`.
    pub fn s2i(&self, arguments: &[&str]) -> Done {
        self.called("s2i", arguments).output().unwrap().into()
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().unwrap().into()
    }

    /// Starts a command whose output is not looked at while it runs.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running { child }
    }

    pub fn inspect(&self, image: &str) -> Value {
        serde_json::from_str(&self.run(&["inspect", image]).ok().stdout).unwrap()
    }

    /// The digests of an image's layers, base first.
    pub fn layers(&self, image: &str) -> Vec<String> {
        let layers = self.inspect(image)["layers"].as_array().unwrap().clone();
        layers
            .iter()
            .map(|layer| layer["digest"].as_str().unwrap().to_owned())
            .collect()
    }

    /// GNU tar's listing of a layer: mode, owner, size, time, name.
    pub fn list_layer(&self, digest: &str) -> String {
        let blob = self.store().join("blobs").join(digest.replace(':', "/"));
        let done: Done = Command::new("tar")
            .args([
                "--list",
                "--verbose",
                "--numeric-owner",
                "--full-time",
                "--utc",
                "--gzip",
                "--file",
            ])
            .arg(blob)
            .output()
            .unwrap()
            .into();
        done.ok().stdout
    }

    /// The names that a failing command may have left where work in progress is kept.
    pub fn left_behind(&self) -> Vec<String> {
        let names = |path: PathBuf| -> Vec<String> {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        };
        names(self.store().join("tmp"))
    }
}

/// A command under way.
pub struct Running {
    pub child: Child,
}

impl Running {
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// True when a process below this one has `word` in its command line.
    pub fn has_descendant(&self, word: &str) -> bool {
        let processes = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
                let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
                // `PID (NAME) STATE PARENT …`, where the name may hold anything.
                let parent: u32 = stat
                    .rsplit(')')
                    .next()?
                    .split_whitespace()
                    .nth(1)?
                    .parse()
                    .ok()?;
                let command = fs::read(entry.path().join("cmdline")).ok()?;
                Some((
                    pid,
                    (parent, String::from_utf8_lossy(&command).into_owned()),
                ))
            });
        let processes: std::collections::BTreeMap<u32, (u32, String)> = processes.collect();
        let is_below = |mut pid: u32| {
            while let Some((parent, _)) = processes.get(&pid) {
                if *parent == self.child.id() {
                    return true;
                }
                pid = *parent;
            }
            false
        };
        processes
            .iter()
            .any(|(pid, (_, command))| command.contains(word) && is_below(*pid))
    }

    /// Waits for the end, which must come before the deadline; how long it took.
    #[track_caller]
    pub fn wait(mut self, deadline: Duration) -> (Done, Duration) {
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(
                start.elapsed() < deadline,
                "it still runs after {deadline:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let took = start.elapsed();
        let child = std::mem::replace(&mut self.child, Command::new("true").spawn().unwrap());
        (child.wait_with_output().unwrap().into(), took)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `found` gives something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The body of `GET /` from a server on this machine, or none while it does not answer.
pub fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.")
        .then(|| body.to_owned())
        .filter(|_| head.contains(" 200 "))
}

/// Runs another program; its stdout.
#[track_caller]
pub fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; ./test.sh installs it"));
    Done::from(output).ok().stdout
}

/// A copy of a test application that may be changed.
pub fn copy_of_app(name: &str, into: &Path) -> PathBuf {
    let target = into.join(name);
    let source = app(name);
    let copied = Command::new("cp")
        .arg("--archive")
        .arg(source)
        .arg(&target)
        .status()
        .unwrap();
    assert!(copied.success());
    let readable = Command::new("chmod")
        .args(["-R", "a+rX"])
        .arg(&target)
        .status()
        .unwrap();
    assert!(readable.success());
    target
}

pub fn app(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/apps")
        .join(name)
}
