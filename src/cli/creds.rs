//! `--creds USER[:PASSWORD]`: who to be at the registry of a command.

use std::convert::Infallible;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;

use clap::Args;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::secret;
use crate::registry::{Credential, Secret, Settings};

/// Flags of every command that names an image in a registry.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "credentials")]
pub(super) struct Flags {
    /// Log in to the registry as USER for this command alone
    ///
    /// The registry is the one that is pushed to or pulled from; of a build without a push, the builder image's. Without
    /// a password it is read from stdin. One on the command line can be seen by everybody on this machine.
    #[arg(long, value_name = "USER[:PASSWORD]")]
    creds: Option<Typed>,

    /// The password that was read from stdin: it is there once, and may be needed for the next request.
    #[arg(skip)]
    read: OnceLock<Secret>,
}

/// What was typed. It is taken as it is, for clap quotes what it refuses.
#[derive(Clone, Debug)]
struct Typed {
    username: String,
    password: Option<Secret>,
}

impl FromStr for Typed {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (username, password) = match text.split_once(':') {
            Some((username, password)) => (username, Some(Secret::new(password))),
            None => (text, None),
        };
        Ok(Self {
            username: username.to_owned(),
            password,
        })
    }
}

/// A password that was read from stdin, in a file for this command when it starts itself again: there stdin is at its
/// end. The file goes with this.
#[derive(Debug)]
pub(super) struct Handed(tempfile::NamedTempFile);

impl Handed {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Flags {
    /// Makes the flag's credential the one for `registries`, hosts as references name them; `again` says that this
    /// command may start itself again, which then finds the password in the file.
    ///
    /// # Errors
    /// When there is no user name or no password, or several registries to choose from.
    pub(super) fn apply<'a>(
        &self,
        settings: &mut Settings,
        registries: impl IntoIterator<Item = &'a str>,
        shared: &Shared,
        again: bool,
    ) -> Result<Option<Handed>, Diagnostic> {
        let Some(typed) = &self.creds else {
            return Ok(None);
        };
        // The second build of `--check` speaks to no registry that wants a login to be written to.
        if shared.check_with.is_some() {
            return Ok(None);
        }
        let mut registries: Vec<&str> = registries.into_iter().collect();
        registries.sort_unstable();
        registries.dedup();
        let [registry] = registries[..] else {
            let named = match registries.len() {
                0 => "none".to_owned(),
                count => format!("{count}: {}", registries.join(", ")),
            };
            let text = format!("`--creds` is for one registry, and this command names {named}");
            let hint = "log in to each with `overcoat login HOST`";
            return Err(Diagnostic::new(Code::Usage, text).hint(hint));
        };
        if typed.username.is_empty() {
            return Err(Diagnostic::new(Code::Usage, "`--creds` has no user name")
                .hint("it is written `--creds USER`, with the password on stdin"));
        }
        let mut handed = None;
        let known = typed.password.as_ref().or_else(|| self.read.get());
        let password = match (known, &shared.creds_file) {
            (Some(password), _) => password.clone(),
            (None, Some(path)) => Secret::new(handed_down(path)?),
            (None, None) => {
                let prompt = format!("Password for {} at {registry}: ", typed.username);
                let password = secret::password(&prompt)?;
                handed = again.then(|| hand_down(&password)).transpose()?;
                self.read.get_or_init(|| Secret::new(password)).clone()
            }
        };
        let credential = Credential::Password {
            username: typed.username.clone(),
            password,
        };
        settings.credentials.insert(registry.to_owned(), credential);
        Ok(handed)
    }
}

fn hand_down(password: &str) -> Result<Handed, Diagnostic> {
    let failed = |error: std::io::Error| {
        crate::fs::Error::new("write a file in", std::env::temp_dir(), error)
    };
    // Nobody but its owner can read it.
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    file.write_all(password.as_bytes()).map_err(failed)?;
    Ok(Handed(file))
}

fn handed_down(path: &Path) -> Result<String, Diagnostic> {
    let bytes = crate::fs::read_limited(path, 64 << 10)?;
    String::from_utf8(bytes).map_err(|_| Diagnostic::new(Code::Internal, "a password was damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(creds: &str) -> Flags {
        Flags {
            read: OnceLock::new(),
            creds: Some(creds.parse().unwrap()),
        }
    }

    fn applied(creds: &str, registries: &[&str]) -> Result<Settings, Diagnostic> {
        let mut settings = Settings::default();
        let registries = registries.iter().copied();
        flags(creds).apply(&mut settings, registries, &Shared::default(), false)?;
        Ok(settings)
    }

    #[test]
    fn it_is_for_the_one_registry_that_the_command_names() {
        let settings = applied("u:p:q", &["r.example", "r.example"]).unwrap();
        let expected = Credential::Password {
            username: "u".to_owned(),
            password: Secret::new("p:q"),
        };
        let found: Vec<_> = settings.credentials.into_iter().collect();
        assert_eq!(found, [("r.example".to_owned(), expected)]);
        for (creds, registries) in [
            (":hunter2", &["r.example"][..]),
            ("u:hunter2", &["a", "b"]),
            ("u:hunter2", &[]),
        ] {
            let error = applied(creds, registries).unwrap_err();
            assert_eq!(error.code, Code::Usage);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        assert!(!format!("{:?}", flags("u:hunter2")).contains("hunter2"));
    }

    #[test]
    fn a_password_that_is_handed_down_arrives_and_leaves_nothing() {
        let handed = hand_down("hunter2\n").unwrap();
        let path = handed.path().to_owned();
        assert_eq!(handed_down(&path).unwrap(), "hunter2\n");
        let mode = std::fs::metadata(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
        assert_eq!(mode & 0o777, 0o600);
        drop(handed);
        assert!(!path.exists());
    }
}
