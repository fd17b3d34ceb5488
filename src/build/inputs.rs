//! What a step gets beside its source: secrets, volumes, caches, the person's SSH agent, limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sandbox::{Access, Limits, Network};

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
    /// `--ssh`: the agent's socket.
    pub agent: Option<PathBuf>,
    /// `--network`.
    pub network: Network,
    /// `--memory`, `--cpus`.
    pub limits: Limits,
    /// `--assemble-timeout`.
    pub timeout: Option<Duration>,
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

    /// Reads `HOST:PATH[:ro|:rw]`. A relative `HOST` stays relative.
    fn from_str(text: &str) -> Result<Self, String> {
        let (text, access) = match (text.strip_suffix(":ro"), text.strip_suffix(":rw")) {
            (Some(rest), _) => (rest, Access::ReadOnly),
            (None, Some(rest)) => (rest, Access::ReadWrite),
            (None, None) => (text, Access::ReadWrite),
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
        for wrong in [
            "/data",
            ":/x",
            "x:y",
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
