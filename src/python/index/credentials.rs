//! Who we are to an index: user names and passwords, each for its own host.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use reqwest::Url;

use super::error::{Error, shown};
use super::page::percent_decoded;
use crate::event::Observer;
use crate::http::netrc::{self, Machine};

/// How long the keyring program may take; it may have to ask the person.
const KEYRING_SECONDS: u64 = 60;
/// How often it is looked at.
const KEYRING_POLL: Duration = Duration::from_millis(20);
/// The longest password that is read from it.
const MAX_PASSWORD_BYTES: usize = 64 << 10;

/// Where user names and passwords are found. Nothing of it is ever shown.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The text of a `.netrc` file.
    pub netrc: Option<String>,
    /// Further URLs with a user name, and perhaps a password, in them: those of requirements and locks, whose own
    /// URLs are kept without. What they hold is sent to the same scheme, host and port only; when several fit, the one
    /// whose path is the longest beginning of what is asked for.
    pub urls: Vec<String>,
    /// The `keyring` program, asked as `keyring get URL USER` after a 401, when a URL has a user name and no password.
    pub keyring: Option<PathBuf>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("netrc", &self.netrc.is_some())
            .field("urls", &self.urls.len())
            .field("keyring", &self.keyring)
            .finish()
    }
}

/// A user name and a password to send.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
    /// Where they came from, for messages.
    pub(super) origin: &'static str,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// What a URL said of who we are.
struct Known {
    /// Without user name and password.
    url: Url,
    user: String,
    password: Option<String>,
}

/// All that is known of who we are, looked up by URL.
pub(super) struct Keys {
    known: Vec<Known>,
    machines: Vec<Machine>,
    keyring: Option<PathBuf>,
    /// What the keyring answered, by the URL of the [`Known`] and its user.
    asked: Mutex<BTreeMap<(String, String), Option<String>>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(credentials: &Credentials) -> Self {
        let mut keys = Self {
            known: Vec::new(),
            machines: credentials
                .netrc
                .as_deref()
                .map(netrc::machines)
                .unwrap_or_default(),
            keyring: credentials.keyring.clone(),
            asked: Mutex::default(),
        };
        for url in credentials
            .urls
            .iter()
            .filter_map(|text| Url::parse(text).ok())
        {
            keys.take(url);
        }
        keys
    }

    /// Remembers the user name and the password of a URL, and gives the URL without them.
    pub(super) fn take(&mut self, mut url: Url) -> Url {
        let user = percent_decoded(url.username()).unwrap_or_default();
        let password = url.password().and_then(percent_decoded);
        // These fail only for URLs that can have neither.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        if !user.is_empty() || password.is_some() {
            self.known.push(Known {
                url: url.clone(),
                user,
                password,
            });
        }
        url
    }

    /// What to send with a request for `url`, without asking anybody.
    pub(super) fn login(&self, url: &Url) -> Option<Login> {
        let Some(known) = self.known(url) else {
            return self.machine(url, None);
        };
        let login = |password: String, origin| Login {
            user: known.user.clone(),
            password,
            origin,
        };
        if let Some(password) = &known.password {
            return Some(login(password.clone(), "the URL"));
        }
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(password)) = asked.get(&(known.url.to_string(), known.user.clone())) {
            return Some(login(password.clone(), "the keyring"));
        }
        // A name alone may be a token that is the whole secret.
        self.machine(url, Some(&known.user))
            .or_else(|| Some(login(String::new(), "the URL")))
    }

    /// Asks the keyring for what [`Keys::login`] lacks; true when it now has more to send. Each is asked for once,
    /// however many requests need it at the same time.
    pub(super) fn ask(&self, url: &Url, observer: &dyn Observer) -> Result<bool, Error> {
        let (Some(keyring), Some(known)) = (&self.keyring, self.known(url)) else {
            return Ok(false);
        };
        if known.password.is_some() || known.user.is_empty() {
            return Ok(false);
        }
        let key = (known.url.to_string(), known.user.clone());
        // Held while the program runs: the others wait for its answer.
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = asked.get(&key) {
            return Ok(answer.is_some());
        }
        let failed = |reason: String| Error::Keyring {
            program: keyring.clone(),
            url: shown(&known.url),
            reason,
        };
        let mut answer = None;
        for service in [known.url.as_str(), known.url.host_str().unwrap_or_default()] {
            let mut command = Command::new(keyring);
            command.args(["get", service, &known.user]);
            match printed(command, observer) {
                Ok(None) => {}
                Ok(Some(password)) => {
                    answer = Some(password);
                    break;
                }
                Err(Stopped::Interrupted) => return Err(Error::Interrupted),
                Err(Stopped::Failed(reason)) => return Err(failed(reason)),
            }
        }
        let is_found = answer.is_some();
        asked.insert(key, answer);
        Ok(is_found)
    }

    /// Where what is sent to `url` comes from.
    pub(super) fn origin(&self, url: &Url) -> Option<&'static str> {
        self.login(url).map(|login| login.origin)
    }

    /// The URL of the same scheme, host and port that fits best.
    fn known(&self, url: &Url) -> Option<&Known> {
        let same = self
            .known
            .iter()
            .filter(|known| known.url.origin() == url.origin());
        // The first of several that fit equally well.
        same.rev()
            .max_by_key(|known| common_segments(&known.url, url))
    }

    fn machine(&self, url: &Url, user: Option<&str>) -> Option<Login> {
        let host = url.host_str()?;
        let is_named = |machine: &&Machine| machine.host.as_deref() == Some(host);
        let machine = self
            .machines
            .iter()
            .find(is_named)
            .or_else(|| self.machines.iter().find(|machine| machine.host.is_none()))?;
        user.is_none_or(|user| user == machine.login)
            .then(|| Login {
                user: machine.login.clone(),
                password: machine.password.clone(),
                origin: "`.netrc`",
            })
    }
}

/// How many segments of their paths two URLs have in common from the beginning.
fn common_segments(one: &Url, other: &Url) -> usize {
    let segments = |url: &Url| -> Vec<String> {
        url.path_segments()
            .map(|segments| segments.map(str::to_owned).collect())
            .unwrap_or_default()
    };
    let (one, other) = (segments(one), segments(other));
    one.iter()
        .zip(&other)
        .take_while(|(one, other)| one == other && !one.is_empty())
        .count()
}

enum Stopped {
    Interrupted,
    Failed(String),
}

/// The first line that a program prints, or `None` when it fails or prints nothing. What it says to people goes to
/// nobody: it may hold the password.
fn printed(mut command: Command, observer: &dyn Observer) -> Result<Option<String>, Stopped> {
    let failed = |error: std::io::Error| Stopped::Failed(crate::fs::reason(&error));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let mut output = child.stdout.take().into_iter();
    let output = output.next();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(output) = output {
            let mut limited = std::io::Read::take(output, MAX_PASSWORD_BYTES as u64);
            // What cannot be read is no password.
            let _ = std::io::Read::read_to_end(&mut limited, &mut bytes);
        }
        bytes
    });
    let polls = KEYRING_SECONDS * 1000 / KEYRING_POLL.as_millis() as u64;
    for _ in 0..polls {
        if let Some(status) = child.try_wait().map_err(failed)? {
            let text = reader.join().unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let line = text.lines().next().unwrap_or_default().to_owned();
            return Ok(Some(line).filter(|line| status.success() && !line.is_empty()));
        }
        if observer.is_cancelled() {
            break;
        }
        thread::sleep(KEYRING_POLL);
    }
    // It may have ended meanwhile, which is as good. Its reader ends with it.
    let _ = child.kill();
    let _ = child.wait();
    Err(match observer.is_cancelled() {
        true => Stopped::Interrupted,
        false => Stopped::Failed(format!("it took more than {KEYRING_SECONDS} s")),
    })
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
