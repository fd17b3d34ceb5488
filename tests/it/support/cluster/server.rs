//! The shared server of a test run: started by the first test that needs it, ended by `tests/cluster/keep` when no test
//! has used it for a while.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use overcoat::event::Silent;
use overcoat::http::{Http, Settings};
use serde_json::{Value, json};

use super::super::{free_port, tool};

/// The token of somebody who may do everything.
pub const ADMIN: &str = "token-of-admin";
/// The token of the user `nobody`, who may do nothing unless a test lets them.
pub const NOBODY: &str = "token-of-nobody";

/// It takes three seconds on an idle machine.
const START_DEADLINE: Duration = Duration::from_secs(180);
const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];
const ATTEMPTS: usize = 3;

/// A server that answers.
pub struct Running {
    pub api_port: u16,
    pub files: PathBuf,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the binaries are; else why the tests cannot be run.
pub fn binaries() -> Result<PathBuf, String> {
    let script = root().join("tests/cluster/build");
    let place = tool(script.to_str().unwrap(), &["--where"]);
    let place = PathBuf::from(place.trim_end());
    match place.join("kube-apiserver").exists() {
        true => Ok(place),
        false => Err(format!(
            "no kube-apiserver in {} (tests/cluster/build makes it)",
            place.display()
        )),
    }
}

/// The server of this run, started if need be, and the lock that keeps it alive while it is open.
pub fn running(binaries: &Path) -> (Running, File) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
    fs::create_dir_all(&directory).unwrap();
    let in_use = open(&directory.join("users"));
    in_use.lock_shared().unwrap();
    // One test starts it, the others wait here meanwhile.
    let starting = open(&directory.join("starting"));
    starting.lock().unwrap();
    let state = directory.join("state");
    if let Some(running) = known(&state, &directory) {
        return (running, in_use);
    }
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match start(binaries, &directory) {
            Ok((running, keeper)) => {
                let text = json!({"api_port": running.api_port, "keeper": keeper.id()});
                fs::write(&state, text.to_string()).unwrap();
                return (running, in_use);
            }
            Err(why) => last = why,
        }
    }
    panic!("the Kubernetes API does not start:\n{last}");
}

fn open(path: &Path) -> File {
    let options = File::options().create(true).append(true).open(path);
    options.unwrap()
}

/// What an earlier test started, while its keeper lives. A busy machine may make it slow; one that stays silent is ended.
fn known(state: &Path, directory: &Path) -> Option<Running> {
    let state: Value = serde_json::from_slice(&fs::read(state).ok()?).ok()?;
    let running = Running {
        api_port: u16::try_from(state["api_port"].as_u64()?).ok()?,
        files: directory.to_owned(),
    };
    let keeper = state["keeper"].as_u64()?;
    let lives = || {
        let command_line = fs::read_to_string(format!("/proc/{keeper}/cmdline"));
        command_line.is_ok_and(|line| line.contains("cluster/keep"))
    };
    let begin = Instant::now();
    while lives() {
        if is_ready(&running) {
            return Some(running);
        }
        if begin.elapsed() > START_DEADLINE {
            let _ = Command::new("kill").arg(keeper.to_string()).status();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    None
}

fn is_ready(running: &Running) -> bool {
    let settings = Settings {
        certificates: fs::read(running.files.join("ca.pem")).unwrap(),
        ..Settings::default()
    };
    let http = Http::new(&settings).unwrap();
    let answers = |path: &str| {
        let url = format!("https://127.0.0.1:{}{path}", running.api_port);
        let request = http.client().get(url).bearer_auth(ADMIN);
        let answer = http.run(&Silent, async { request.send().await }).unwrap();
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    // The namespace comes a moment after the server says that it is ready.
    answers("/readyz") && answers("/api/v1/namespaces/default")
}

fn start(binaries: &Path, directory: &Path) -> Result<(Running, Child), String> {
    let _ = fs::remove_dir_all(directory.join("data"));
    for name in PROGRAMS {
        let _ = fs::remove_file(directory.join(format!("{name}.log")));
    }
    let api_port = free_port();
    write_files(directory, api_port);
    let log = File::create(directory.join("keep.log")).unwrap();
    let mut command = Command::new(root().join("tests/cluster/keep"));
    command.arg(binaries).arg(directory);
    command.args([free_port(), free_port(), api_port].map(|port| port.to_string()));
    // A group of its own: the runner's signals are for the test alone, and others may be using the server.
    command.process_group(0).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let mut keeper = command.spawn().unwrap();
    let running = Running {
        api_port,
        files: directory.to_owned(),
    };
    let begin = Instant::now();
    while !is_ready(&running) {
        let has_ended = keeper.try_wait().unwrap().is_some();
        if has_ended || begin.elapsed() > START_DEADLINE {
            let _ = Command::new("kill").arg(keeper.id().to_string()).status();
            let _ = keeper.wait();
            let logs = ["keep"].iter().chain(&PROGRAMS).map(|name| {
                let text =
                    fs::read_to_string(directory.join(format!("{name}.log"))).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                format!(
                    "--- {name}\n{}\n",
                    lines[lines.len().saturating_sub(15)..].join("\n")
                )
            });
            return Err(logs.collect());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok((running, keeper))
}

/// Certificates, tokens and the controllers' kubeconfig.
fn write_files(directory: &Path, api_port: u16) {
    let script = r#"
        set -eu
        cd "$1"
        key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        openssl req -x509 $key -days 30 -subj /CN=test-authority -keyout ca-key.pem -out ca.pem
        openssl req $key -subj /CN=server -keyout server-key.pem -out server.csr
        printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n' >server.ext
        openssl x509 -req -days 30 -in server.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile server.ext -out server.pem
        openssl genrsa -out accounts.pem 2048
    "#;
    tool("sh", &["-c", script, "sh", directory.to_str().unwrap()]);
    let tokens = format!("{ADMIN},admin,admin,\"system:masters\"\n{NOBODY},nobody,nobody\n");
    fs::write(directory.join("tokens.csv"), tokens).unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{api_port}"), "certificate-authority": directory.join("ca.pem"),
        }}],
        "users": [{"name": "test", "user": {"token": ADMIN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    fs::write(directory.join("kubeconfig"), kubeconfig.to_string()).unwrap();
}
