//! Real container engines for one test each: Debian's containerd and dockerd, with directories and sockets of their own,
//! killed when dropped.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{Done, tool, wait_for};

/// A daemon under way.
pub struct Engine {
    process: Child,
    directory: tempfile::TempDir,
}

impl Engine {
    /// containerd without the kubelet's part, which wants a network.
    pub fn containerd() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let config = "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n";
        fs::write(path("config.toml"), config).unwrap();
        let mut command = Command::new("containerd");
        command.args(["--config", &path("config.toml"), "--root", &path("root")]);
        command.args(["--state", &path("state"), "--address", &path("sock")]);
        Self::start(command, directory)
    }

    /// Docker without a network of its own, whose rules would be the machine's.
    pub fn docker() -> Self {
        Self::docker_with(&[])
    }

    /// As [`Self::docker`], also on a port of the loopback address for those who have a certificate of the authority in
    /// `certificates` (`ca.pem`, `server-cert.pem`, `server-key.pem`).
    pub fn docker_with_tls(certificates: &std::path::Path, port: u16) -> Self {
        let file = |name: &str| certificates.join(name).display().to_string();
        Self::docker_with(&[
            "--tlsverify",
            &format!("--tlscacert={}", file("ca.pem")),
            &format!("--tlscert={}", file("server-cert.pem")),
            &format!("--tlskey={}", file("server-key.pem")),
            &format!("--host=tcp://127.0.0.1:{port}"),
        ])
    }

    fn docker_with(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut command = Command::new("/usr/sbin/dockerd");
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        command.args(["--data-root", &path("root"), "--exec-root", &path("exec")]);
        command.args([
            "--pidfile",
            &path("pid"),
            "--config-file",
            &path("none.json"),
        ]);
        command.args(["--host", &format!("unix://{}", path("sock"))]);
        command.args(more);
        fs::write(path("none.json"), "{}").unwrap();
        Self::start(command, directory)
    }

    fn start(mut command: Command, directory: tempfile::TempDir) -> Self {
        let log = directory.path().join("log");
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; ./test.sh installs it"));
        let mut engine = Self { process, directory };
        wait_for("the engine to listen", || {
            let ended = engine.process.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "it ended:\n{}",
                fs::read_to_string(&log).unwrap()
            );
            std::os::unix::net::UnixStream::connect(engine.socket()).ok()
        });
        engine
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }

    /// `ctr` on this containerd.
    pub fn ctr(&self, arguments: &[&str]) -> String {
        let socket = self.socket().display().to_string();
        tool("ctr", &[&["--address", &socket], arguments].concat())
    }

    /// `docker` on this daemon.
    pub fn docker_command(&self, arguments: &[&str]) -> String {
        let host = format!("unix://{}", self.socket().display());
        tool("/usr/bin/docker", &[&["--host", &host], arguments].concat())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // An orderly end: it unmounts what it has mounted, and ends what it has started.
        let _ = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        let _ = self.process.wait();
    }
}

/// podman with a storage of its own.
pub struct Podman {
    directory: tempfile::TempDir,
}

impl Podman {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// What makes any podman use this storage.
    pub fn configuration(&self) -> PathBuf {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let file = self.directory.path().join("storage.conf");
        let text = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            path("root"),
            path("run")
        );
        fs::write(&file, text).unwrap();
        file
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("podman")
            .args(arguments)
            .env("CONTAINERS_STORAGE_CONF", self.configuration())
            .output();
        let output =
            output.unwrap_or_else(|error| panic!("podman: {error}; ./test.sh installs it"));
        Done::from(output).ok().stdout
    }
}
