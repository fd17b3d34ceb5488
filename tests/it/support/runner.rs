//! The kinds of runner that people build in, really made: containers of Debian's `runc` with bundles written by hand, and
//! this machine itself for an ordinary user.
//!
//! ```text
//! this process ─ setpriv (dies with it) ─ unshare (mount and pid namespace) ─ mount overlay; runc run ─ the command
//!
//! DIRECTORY/           removed when the runner is dropped
//!   volume/            in the container at the same path, like an emptyDir: home, store, what the test puts there
//!   upper/ work/       what the container writes elsewhere; it stays from one command to the next
//!   bundle/            config.json, and rootfs/ where the overlay is mounted
//!   runc/ log stdout stderr
//! ```
//!
//! The root file system is an overlay, as Docker's is: below lies this machine's `/`, so every tool, the CA bundle, pip's
//! configuration and the program under test are there at their own paths; or a builder image ([`Runner::in_builder`]).
//! Each command is a container of its own. Nothing is mounted outside the private mount namespace and nothing runs outside
//! the private pid namespace, so both go with the test, however it ends; [`Drop`] removes the directory and the cgroups.

mod borrowed;
mod bundle;

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Done, ORDINARY_USER, tool};
use borrowed::{configuration, libraries};
use bundle::{Capabilities, Process, Profile, Seccomp, UserNamespace};

const PROGRAM: &str = env!("CARGO_BIN_EXE_overcoat");

/// A user that no list knows, as OpenShift gives one to a pod: no name, no subordinate ids.
pub const UNKNOWN_USER: u32 = 1_000_680_000;

/// How long a command may take unless the test says otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Mounts the root file system, then becomes `runc`: `$1` lower, `$2` the runner's directory, `$3` the container's name.
const START: &str = r#"set -eu
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/bundle/rootfs"
exec runc --root "$2/runc" --log "$2/log" run --bundle "$2/bundle" "$3""#;

/// Variables of this process that a command needs to reach package indexes and registries as this machine does.
const PASSED_ON: [&str; 14] = [
    "ALL_PROXY",
    "CURL_CA_BUNDLE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "RUST_BACKTRACE",
];

/// A place to run commands in, and what they leave there.
pub struct Runner {
    name: &'static str,
    /// None: this machine itself.
    container: Option<Profile>,
    user: (u32, u32),
    /// What lies below the root file system, topmost first.
    lowers: Vec<PathBuf>,
    has_store_in_root: bool,
    variables: Vec<(String, String)>,
    time_limit: Duration,
    directory: tempfile::TempDir,
    /// The containers that were started; each had a cgroup of this name.
    started: Cell<u32>,
    id: String,
}

impl Runner {
    /// A container of Docker's or containerd's defaults, as root: a GitLab or GitHub job with `image:`.
    pub fn docker_root() -> Self {
        Self::container(
            "docker_root",
            Capabilities::These(bundle::DOCKER),
            Seccomp::Docker,
        )
    }

    /// The same without a seccomp list: a Kubernetes pod that names no `seccompProfile`.
    pub fn unconfined_root() -> Self {
        Self::container(
            "unconfined_root",
            Capabilities::These(bundle::DOCKER),
            Seccomp::Unconfined,
        )
    }

    /// podman's capabilities and seccomp list, as root.
    pub fn podman_root() -> Self {
        Self::container(
            "podman_root",
            Capabilities::These(bundle::PODMAN),
            Seccomp::Podman,
        )
    }

    /// CRI-O's capabilities, as root. Its seccomp list allows namespaces as little as Docker's, which stands in for it.
    pub fn crio_root() -> Self {
        Self::container(
            "crio_root",
            Capabilities::These(bundle::CRIO),
            Seccomp::Docker,
        )
    }

    /// OpenShift's restricted-v2: some user, group 0, no capabilities, no new privileges, a seccomp list.
    pub fn restricted() -> Self {
        let mut runner = Self::container("restricted", Capabilities::These(&[]), Seccomp::Docker);
        runner.profile().no_new_privileges = true;
        runner.with_user(UNKNOWN_USER, 0)
    }

    /// The same without the seccomp list.
    pub fn restricted_unconfined() -> Self {
        let mut runner = Self::restricted();
        runner.name = "restricted_unconfined";
        runner.profile().seccomp = Seccomp::Unconfined;
        runner
    }

    /// Root with every capability, in a user namespace of its own where `user.max_user_namespaces` is 0.
    pub fn no_user_namespaces() -> Self {
        let mut runner = Self::container(
            "no_user_namespaces",
            Capabilities::Privileged,
            Seccomp::Unconfined,
        );
        runner.profile().user_namespace = UserNamespace::OwnWithoutMore;
        runner
    }

    /// Root of this machine with every capability, to whom user namespaces are refused.
    pub fn root_without_user_namespaces() -> Self {
        Self::container(
            "root_without_user_namespaces",
            Capabilities::Privileged,
            Seccomp::NoUserNamespaces,
        )
    }

    /// `docker run --privileged`.
    pub fn privileged_root() -> Self {
        Self::container(
            "privileged_root",
            Capabilities::Privileged,
            Seccomp::Unconfined,
        )
    }

    /// This machine, as the user that runs the tests.
    pub fn host_root() -> Self {
        Self::new("host_root", None)
    }

    /// This machine, as the ordinary user of the tests, who has subordinate ids.
    pub fn ordinary_user() -> Self {
        let id = |option| {
            let number = tool("id", &[option, ORDINARY_USER]);
            number.trim().parse().unwrap()
        };
        Self::new("ordinary_user", None).with_user(id("--user"), id("--group"))
    }

    /// This machine, as a user with no name and no subordinate ids.
    pub fn ordinary_user_without_subids() -> Self {
        Self::new("ordinary_user_without_subids", None).with_user(UNKNOWN_USER, UNKNOWN_USER)
    }

    fn container(name: &'static str, capabilities: Capabilities, seccomp: Seccomp) -> Self {
        let profile = Profile {
            capabilities,
            seccomp,
            no_new_privileges: false,
            user_namespace: UserNamespace::Host,
        };
        Self::new(name, Some(profile))
    }

    fn new(name: &'static str, container: Option<Profile>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::Builder::new()
            .prefix("overcoat-runner-")
            .tempdir()
            .unwrap();
        for name in ["volume", "upper", "work", "bundle", "bundle/rootfs", "runc"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        // `runc` and an ordinary user go through it.
        for path in [directory.path(), &directory.path().join("upper")] {
            set_mode(path, 0o755);
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("overcoat-it-{}-{number}", std::process::id());
        let mut runner = Self {
            name,
            container,
            user: (0, 0),
            lowers: vec![PathBuf::from("/")],
            has_store_in_root: false,
            variables: Vec::new(),
            time_limit: TIME_LIMIT,
            directory,
            started: Cell::new(0),
            id,
        };
        runner.give_volume();
        runner
    }

    fn profile(&mut self) -> &mut Profile {
        self.container.as_mut().expect("it is a container")
    }

    /// As this user and group, with the runner's capabilities in the bounding set alone.
    pub fn with_user(mut self, uid: u32, gid: u32) -> Self {
        self.user = (uid, gid);
        self.give_volume();
        self
    }

    /// The container's image is the builder: its unpacked layers, topmost first, instead of this machine's files. The
    /// program under test, the libraries that it lacks there, the CA bundle, pip's configuration and the resolver's are
    /// bound into it, as a CI job's helper would.
    pub fn in_builder(mut self, unpacked: &[PathBuf]) -> Self {
        assert!(self.container.is_some(), "{} is no container", self.name);
        self.lowers = unpacked.to_vec();
        self
    }

    /// The store lies in the container's own root, an overlay, and not on the volume.
    pub fn with_store_in_root(mut self) -> Self {
        self.has_store_in_root = true;
        self.give_volume();
        self
    }

    /// A variable for every command.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How long each command may take.
    pub fn within(mut self, time_limit: Duration) -> Self {
        self.time_limit = time_limit;
        self
    }

    /// What the runner is called in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The beginning of the names of its containers and their cgroups.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A directory that the test and the commands share; the commands' user owns it and it is their working directory.
    pub fn volume(&self) -> PathBuf {
        self.directory.path().join("volume")
    }

    /// Where `overcoat` keeps its store, as the commands see it.
    pub fn store(&self) -> PathBuf {
        if self.has_store_in_root {
            PathBuf::from("/overcoat-store")
        } else {
            self.volume().join("store")
        }
    }

    /// The store as the test sees it.
    pub fn store_from_outside(&self) -> PathBuf {
        if self.has_store_in_root {
            self.directory.path().join("upper/overcoat-store")
        } else {
            self.store()
        }
    }

    /// Runs the program under test.
    #[track_caller]
    pub fn overcoat(&self, arguments: &[&str]) -> Done {
        self.command(&[&[PROGRAM], arguments].concat())
    }

    /// Runs a script of the runner's own `sh`.
    #[track_caller]
    pub fn shell(&self, script: &str) -> Done {
        self.command(&["/bin/sh", "-c", script])
    }

    /// Runs a command to its end, with no input; the word `overcoat` in front stands for the program under test.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> Done {
        let mut arguments = arguments.to_vec();
        if arguments[0] == "overcoat" {
            arguments[0] = PROGRAM;
        }
        let mut command = match &self.container {
            Some(profile) => self.contained(profile, &arguments),
            None => self.uncontained(&arguments),
        };
        let file = |name| self.directory.path().join(name);
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(file("stdout")).unwrap())
            .stderr(File::create(file("stderr")).unwrap())
            .spawn()
            .unwrap();
        let mut child = Ended(child);
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.0.try_wait().unwrap() {
                break Some(status);
            }
            if start.elapsed() > self.time_limit {
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        drop(child);
        let stdout = fs::read(file("stdout")).unwrap();
        let stderr = fs::read(file("stderr")).unwrap();
        let Some(status) = status else {
            panic!(
                "{}: `{}` still ran after {:?}\nstdout:\n{}\nstderr:\n{}",
                self.name,
                arguments[..arguments.len().min(2)].join(" "),
                self.time_limit,
                String::from_utf8_lossy(&stdout),
                String::from_utf8_lossy(&stderr)
            );
        };
        Output {
            status,
            stdout,
            stderr,
        }
        .into()
    }

    fn contained(&self, profile: &Profile, arguments: &[&str]) -> Command {
        let number = self.started.get() + 1;
        self.started.set(number);
        let id = format!("{}-{number}", self.id);
        let process = Process {
            id: &id,
            arguments,
            environment: self
                .environment()
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            working_directory: &self.volume(),
            user: self.user,
            binds: &self.binds(),
        };
        let config = bundle::config(profile, &process).to_string();
        fs::write(self.directory.path().join("bundle/config.json"), config).unwrap();
        let lowers: Vec<&str> = self.lowers.iter().map(|path| text(path)).collect();
        let mut command = Command::new("setpriv");
        // Whoever ends this process ends `unshare`, that ends the first process of the pid namespace, and with it the rest.
        command.args(["--pdeathsig", "KILL", "--", "unshare", "--kill-child"]);
        command.args(["--mount", "--pid", "--fork", "--mount-proc", "--"]);
        command.args(["sh", "-c", START, "sh", &lowers.join(":")]);
        command.args([text(self.directory.path()), &id]);
        command
    }

    fn uncontained(&self, arguments: &[&str]) -> Command {
        let (uid, gid) = self.user;
        let mut command = Command::new("setpriv");
        command
            .args([&format!("--reuid={uid}"), &format!("--regid={gid}")])
            .args(["--clear-groups", "--"])
            .args(arguments)
            .env_clear()
            .envs(self.environment())
            .current_dir(self.volume());
        command
    }

    fn environment(&self) -> Vec<(String, String)> {
        let passed_on = std::env::vars()
            .filter(|(name, _)| PASSED_ON.contains(&name.as_str()) || name.starts_with("PIP_"));
        let own = [
            ("HOME", self.volume().join("home")),
            ("OVERCOAT_STORE", self.store()),
        ];
        let own = own.map(|(name, path)| (name.to_owned(), text(&path).to_owned()));
        passed_on
            .chain(own)
            .chain(self.variables.iter().cloned())
            .collect()
    }

    /// The volume, what of this machine lies on another file system than `/`, and in a builder what it cannot have itself.
    fn binds(&self) -> Vec<PathBuf> {
        let mut binds = vec![self.volume()];
        let mut wanted = vec![PathBuf::from(PROGRAM)];
        wanted.extend(configuration());
        if self.lowers == [Path::new("/")] {
            let root = fs::metadata("/").unwrap().dev();
            wanted.retain(|path| fs::metadata(path).unwrap().dev() != root);
        } else {
            let libraries = libraries(Path::new(PROGRAM));
            wanted.extend(libraries.into_iter().filter(|path| !self.is_in_root(path)));
        }
        binds.extend(wanted);
        binds
    }

    /// True when the builder has something there. A link of the builder may lead to it, so only whole paths are certain.
    fn is_in_root(&self, path: &Path) -> bool {
        let relative = path.strip_prefix("/").unwrap();
        let has = |lower: &PathBuf| lower.join(relative).symlink_metadata().is_ok();
        self.lowers.iter().any(has)
    }

    /// The commands' user owns the volume, its home and its store.
    fn give_volume(&mut self) {
        let mut directories = vec![self.volume(), self.volume().join("home")];
        if self.has_store_in_root {
            directories.push(self.directory.path().join("upper/overcoat-store"));
        }
        for path in directories {
            fs::create_dir_all(&path).unwrap();
            chown(&path, Some(self.user.0), Some(self.user.1)).unwrap();
        }
    }

    /// The cgroups that `runc` made for this runner and, when it was killed, could not remove.
    fn cgroups(&self) -> Vec<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
        let mut parents: Vec<PathBuf> = hierarchies.map(|entry| entry.path()).collect();
        parents.push(root.to_owned());
        let names = (1..=self.started.get()).map(|number| format!("{}-{number}", self.id));
        names
            .flat_map(|name| parents.iter().map(move |parent| parent.join(&name)))
            .filter(|path| path.exists())
            .collect()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // The kernel empties a cgroup a moment after it has ended the last process.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            let left = self.cgroups();
            left.iter().for_each(|path| drop(fs::remove_dir(path)));
            if left.iter().all(|path| !path.exists()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A process that is gone when this goes, with all that it started.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Unpacks an image of a layout, `DIR:NAME`, as root with umoci; its root file system, for [`Runner::in_builder`].
pub fn unpack(image: &str, into: &Path) -> PathBuf {
    let bundle = into.join("umoci");
    tool("umoci", &["unpack", "--image", image, text(&bundle)]);
    bundle.join("rootfs")
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the paths of tests are text")
}
