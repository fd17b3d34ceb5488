//! What a step gets beside its source: secrets, volumes, caches, the person's SSH agent, limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::injection::Injection;
use crate::event::{Event, Observer};
use crate::fs::Context;
use crate::sandbox::{Access, Bind, Capability, Limits, Network};

/// Where secrets are files.
const SECRETS: &str = "/run/secrets";

/// Where pip's cache is during a step.
pub(super) const PIP_CACHE: &str = "/run/overcoat/cache/pip";

/// Where the SSH agent's socket is during a step.
pub(super) const AGENT_SOCKET: &str = "/run/overcoat/ssh-agent.sock";

/// What a person gives to the steps of a build and nobody finds in the image.
#[derive(Clone, Debug, Default)]
pub struct StepInputs {
    /// `--secret`.
    pub secrets: Vec<SecretInput>,
    /// `--volume`.
    pub volumes: Vec<Volume>,
    /// `--cache-mount`: absolute paths.
    pub cache_mounts: Vec<String>,
    /// For whom pip's cache is; it is everybody's where nothing is said. Who can write to it can change what others install.
    pub cache_scope: Option<String>,
    /// `--ssh`: the agent's socket.
    pub agent: Option<PathBuf>,
    /// `--inject`.
    pub injections: Vec<Injection>,
    /// `--add-host`: names and addresses, as [`host_entry`] gives them.
    pub hosts: Vec<(String, String)>,
    /// `--cap-drop`.
    pub dropped_capabilities: Vec<Capability>,
    /// `--network`.
    pub network: Network,
    /// `--memory`, `--cpus`.
    pub limits: Limits,
    /// `--assemble-timeout`.
    pub timeout: Option<Duration>,
}

impl StepInputs {
    /// False when a step is given what another machine's result may not have been made with.
    pub fn can_be_taken(&self) -> bool {
        let Self {
            secrets,
            agent,
            injections,
            ..
        } = self;
        secrets.is_empty() && agent.is_none() && injections.is_empty()
    }

    /// False when a step sees what no key can speak of: volumes of this machine.
    pub fn can_be_kept(&self) -> bool {
        self.volumes.is_empty()
    }
}

/// A secret: its name, and the bytes that nobody may see.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretInput {
    /// What it is called; its file has this name.
    pub id: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for SecretInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretInput")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SecretInput {
    /// Where the step finds it.
    pub fn target(&self) -> String {
        format!("{SECRETS}/{}", self.id)
    }

    /// True for a name that can be a file's: letters, digits, `.`, `_` and `-`, not starting with a dot.
    pub fn is_id(id: &str) -> bool {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !id.is_empty() && id.len() <= 255 && !id.starts_with('.') && id.chars().all(is_allowed)
    }
}

/// A directory or file of this machine that a step sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Where it is here, absolute.
    pub source: PathBuf,
    /// Where it is there, absolute.
    pub target: String,
    /// What the step may do with it.
    pub access: Access,
}

impl std::str::FromStr for Volume {
    type Err = String;

    /// Reads `HOST:PATH[:OPTIONS]`, the options with commas between them: `ro`, `rw`, and those of SELinux, `z` and `Z`,
    /// which a sandbox without labels of its own does not need. A relative `HOST` stays relative.
    ///
    /// # Spec
    /// docker-run(1), `--volume`.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_option = |word: &str| matches!(word, "ro" | "rw" | "z" | "Z");
        let (text, options) = match text.rsplit_once(':') {
            // A path in the image begins with a slash.
            Some((rest, last)) if !last.starts_with('/') && rest.contains(':') => (rest, last),
            _ => (text, "rw"),
        };
        if let Some(unknown) = options.split(',').find(|word| !is_option(word)) {
            return Err(format!(
                "`{unknown}` is not understood behind the path; expected `ro`, `rw`, `z` or `Z`"
            ));
        }
        let has = |wanted: &str| options.split(',').any(|word| word == wanted);
        let access = match (has("ro"), has("rw")) {
            (true, true) => return Err("it cannot be both `ro` and `rw`".to_owned()),
            (true, false) => Access::ReadOnly,
            (false, _) => Access::ReadWrite,
        };
        let Some((source, target)) = text.rsplit_once(':') else {
            return Err("expected HOST:PATH or HOST:PATH:ro".to_owned());
        };
        if source.is_empty() {
            return Err("the path on this machine is empty".to_owned());
        }
        Ok(Self {
            source: PathBuf::from(source),
            target: inner_path(target)?,
            access,
        })
    }
}

/// Reads a path inside the image: absolute, below `/`, without `..`, and not what the sandbox itself mounts.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn inner_path(text: &str) -> Result<String, String> {
    use std::path::Component;
    let path = Path::new(text);
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !is_plain {
        return Err(format!("`{text}` must be an absolute path without `..`"));
    }
    let path: PathBuf = path.components().collect();
    if path.parent().is_none() {
        return Err("the whole root directory cannot be replaced".to_owned());
    }
    // Images have this link, or nothing.
    let path = match path.strip_prefix("/var/run") {
        Ok(rest) => Path::new("/run").join(rest),
        Err(_) => path,
    };
    for reserved in ["/proc", "/dev", "/sys", SECRETS, "/run/overcoat"] {
        if path.starts_with(reserved) || Path::new(reserved).starts_with(&path) {
            return Err(format!(
                "`{text}` gets in the way of `{reserved}`, which the sandbox needs itself"
            ));
        }
    }
    Ok(path.to_string_lossy().into_owned())
}

/// Reads `NAME:ADDRESS` (also `NAME=ADDRESS`), as Docker's `--add-host` does; an IPv6 address may have brackets.
///
/// # Errors
/// A sentence that says what is wrong.
///
/// # Spec
/// docker-run(1), `--add-host`; hosts(5).
pub fn host_entry(text: &str) -> Result<(String, String), String> {
    let Some((name, address)) = text.split_once([':', '=']) else {
        return Err("expected NAME:ADDRESS".to_owned());
    };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 253 || !name.chars().all(is_allowed) {
        return Err(format!("`{name}` is not the name of a host"));
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    match bare.parse::<std::net::IpAddr>() {
        Ok(address) => Ok((name.to_owned(), address.to_string())),
        Err(_) if bare == "host-gateway" => Err(
            "there is no gateway: a step has this machine's own network, so use 127.0.0.1"
                .to_owned(),
        ),
        Err(_) => Err(format!("`{address}` is not an IP address")),
    }
}

/// Puts hosts into the `/etc/hosts` that a step is shown, or makes one. They come first: the first match counts. `is_here`
/// says that the step has this machine's own file, which stays as it is.
///
/// # Errors
/// [`crate::fs::Error`] when the file cannot be written.
pub(super) fn show_hosts(
    hosts: &[(String, String)],
    directory: &Path,
    is_here: bool,
    binds: &mut Vec<Bind>,
    observer: &dyn Observer,
) -> Result<(), crate::fs::Error> {
    const FILE: &str = "/etc/hosts";
    if hosts.is_empty() {
        return Ok(());
    }
    if is_here {
        let names: Vec<&str> = hosts.iter().map(|(name, _)| name.as_str()).collect();
        observer.observe(Event::Warning {
            text: format!(
                "the step does not know the addresses given for {}: it runs in this container, whose {FILE} it has",
                names.join(", ")
            ),
            hint: Some(format!("add them to {FILE} of this container")),
        });
        return Ok(());
    }
    let shown = binds.iter().position(|bind| bind.target == FILE);
    let below = match shown {
        Some(index) => crate::fs::read_limited(&binds[index].source, 1 << 20)?,
        None => b"127.0.0.1\tlocalhost\n::1\tlocalhost\n".to_vec(),
    };
    let mut text = String::new();
    for (name, address) in hosts {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    let source = directory.join("hosts-of-the-step");
    std::fs::write(&source, [text.as_bytes(), &below].concat()).context("write", &source)?;
    let bind = Bind {
        source,
        target: FILE.to_owned(),
        access: Access::ReadOnly,
        is_per_user: false,
    };
    match shown {
        Some(index) => binds[index] = bind,
        None => binds.push(bind),
    }
    Ok(())
}

impl Network {
    /// Understands `--network` as s2i takes it: any of the engine's modes. A step has this machine's network or none at
    /// all; also a sentence for people when that is not what was asked for.
    ///
    /// # Spec
    /// `s2i-compat.md` §1.6.
    pub fn of_s2i(text: &str) -> (Self, Option<String>) {
        match text {
            "" | "default" | "host" => (Self::Host, None),
            "none" => (Self::None, None),
            other => {
                let other = crate::event::printable(other);
                let note = format!(
                    "`--network {other}`: there is no engine with networks of its own; the scripts have this machine's"
                );
                (Self::Host, Some(note))
            }
        }
    }
}

/// Hides secrets in what a step prints.
#[derive(Clone, Debug, Default)]
pub(super) struct Redaction(Vec<String>);

impl Redaction {
    /// Shorter pieces stand in too many innocent words.
    const SHORTEST: usize = 6;

    pub(super) fn new(secrets: &[SecretInput]) -> Self {
        let mut pieces: Vec<String> = secrets
            .iter()
            .flat_map(|secret| {
                let text = String::from_utf8_lossy(&secret.content).into_owned();
                text.lines()
                    .map(|line| line.trim().to_owned())
                    .collect::<Vec<_>>()
            })
            .filter(|line| line.len() >= Self::SHORTEST)
            .collect();
        // A secret that contains another goes first.
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
        pieces.dedup();
        Self(pieces)
    }

    pub(super) fn hide(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for piece in &self.0 {
            if line.contains(piece.as_str()) {
                line = line.replace(piece.as_str(), "***");
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read() {
        let volume = |text: &str| text.parse::<Volume>();
        let found = volume("/data:/mnt/data:ro").unwrap();
        assert_eq!(
            (found.source.as_path(), found.target.as_str()),
            (Path::new("/data"), "/mnt/data")
        );
        assert_eq!(found.access, Access::ReadOnly);
        assert_eq!(volume("a:b:/x/").unwrap().source, Path::new("a:b"));
        assert_eq!(volume("./x:/x//y/").unwrap().target, "/x/y");
        assert_eq!(volume("x:/x:rw").unwrap().access, Access::ReadWrite);
        // Case 222.
        let labelled = volume("x:/home/:z").unwrap();
        assert_eq!(
            (labelled.target.as_str(), labelled.access),
            ("/home", Access::ReadWrite)
        );
        assert_eq!(volume("x:/x:Z,ro").unwrap().access, Access::ReadOnly);
        assert_eq!(volume("a:b:/x:ro").unwrap().source, Path::new("a:b"));
        for wrong in [
            "/data",
            ":/x",
            "x:y",
            "x:/x:",
            "x:/x:ro,rw",
            "x:/x:cached",
            "x:/",
            "x:/a/../b",
            "x:/proc/sys",
            "x:/run/secrets/a",
            "x:/run",
            "x:/var/run/secrets",
        ] {
            assert!(volume(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_are_read() {
        let entry =
            |text: &str| host_entry(text).map(|(name, address)| format!("{address} {name}"));
        assert_eq!(entry("pypi.org:0.0.0.0").unwrap(), "0.0.0.0 pypi.org");
        assert_eq!(entry("six:::1").unwrap(), "::1 six");
        assert_eq!(entry("six=[fe80::2]").unwrap(), "fe80::2 six");
        for (wrong, reason) in [
            ("pypi.org", "NAME:ADDRESS"),
            (":1.2.3.4", "not the name"),
            ("a b:1.2.3.4", "not the name"),
            ("a\nb:1.2.3.4", "not the name"),
            ("a:b", "not an IP address"),
            ("a:1.2.3.4 b", "not an IP address"),
            ("a:host-gateway", "127.0.0.1"),
        ] {
            let said = host_entry(wrong).unwrap_err();
            assert!(said.contains(reason), "{wrong}: {said}");
        }
    }

    #[test]
    fn the_networks_of_an_engine_are_this_machines_or_none() {
        for quiet in ["", "default", "host"] {
            assert_eq!(Network::of_s2i(quiet), (Network::Host, None));
        }
        assert_eq!(Network::of_s2i("none"), (Network::None, None));
        for other in ["bridge", "container:1f", "netns:/x", "mine\u{1b}[2J"] {
            let (network, note) = Network::of_s2i(other);
            let note = note.unwrap();
            assert_eq!(network, Network::Host);
            assert!(
                note.contains("this machine's") && !note.contains('\u{1b}'),
                "{note}"
            );
        }
    }

    #[test]
    fn secrets_are_hidden_whole_and_line_by_line() {
        let secret = |text: &str| SecretInput {
            id: "x".to_owned(),
            content: text.as_bytes().to_vec(),
        };
        let redaction = Redaction::new(&[
            secret("hunter2-hunter2\n"),
            secret("hunter2-hunter2-long"),
            secret("abc"),
        ]);
        assert_eq!(redaction.hide("token=hunter2-hunter2-long."), "token=***.");
        assert_eq!(redaction.hide("hunter2-hunter2 abc"), "*** abc");
    }

    #[test]
    fn ids_are_file_names() {
        for good in ["token", "pip.conf", "a_b-c"] {
            assert!(SecretInput::is_id(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", ".hidden", "a b"] {
            assert!(!SecretInput::is_id(bad), "{bad}");
        }
    }
}
