//! One run of the `git` program.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};

use super::super::Error;
use super::super::location::Credentials;
use super::super::url_text::redact;
use super::process::{Keep, collect, wait};
use crate::event::{Observer, printable};
use crate::fs::Context;

/// The most of git's answers that is kept.
const MAX_OUTPUT_BYTES: usize = 16 << 20;
/// The most of its complaints, and how many of their last lines are shown.
const MAX_ERROR_BYTES: usize = 256 << 10;
const SHOWN_LINES: usize = 12;
const SHOWN_LINE_CHARACTERS: usize = 400;
/// Shorter names of users are no tokens.
const MIN_TOKEN_BYTES: usize = 8;
/// Where the credential helper of ours finds what it says: in the environment, which only this user and root can read.
const USER_VARIABLE: &str = "OVERCOAT_GIT_USERNAME";
const PASSWORD_VARIABLE: &str = "OVERCOAT_GIT_PASSWORD";
/// How many settings git finds in its environment (git 2.31 and later).
const COUNT_VARIABLE: &str = "GIT_CONFIG_COUNT";
/// Variables of the person that git needs, beside those that begin with [`PREFIXES`].
const NAMES: [&str; 30] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "CURL_HOME",
    "NETRC",
    "GNUPGHOME",
    "KRB5_CONFIG",
    "KRB5CCNAME",
    "LD_LIBRARY_PATH",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "DBUS_SESSION_BUS_ADDRESS",
];
const PREFIXES: [&str; 3] = ["GIT_SSL_", "GIT_HTTP_", "GIT_CONFIG"];
const GIT_NAMES: [&str; 5] = [
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_PROXY_COMMAND",
    "GIT_EXEC_PATH",
];

/// What git is and may know of this machine.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The program; `None` when there is none.
    pub git: Option<PathBuf>,
    /// The environment of the person, of which git gets what concerns it: its search path, home directory, proxies,
    /// certificates, SSH agent and configuration; nothing that would point it to another repository.
    pub variables: BTreeMap<OsString, OsString>,
}

/// The `git` program, told whom it is for and what it must not do.
pub(in super::super) struct Git<'a> {
    program: PathBuf,
    environment: BTreeMap<OsString, OsString>,
    /// `key=value`, for every run.
    settings: Vec<String>,
    /// What must not be shown whatever git prints.
    secrets: Vec<String>,
    /// The source, for messages.
    location: String,
    observer: &'a dyn Observer,
}

/// What a run left.
pub(super) struct Finished {
    pub is_success: bool,
    pub stdout: Vec<u8>,
    /// The last lines of what it complained of, without credentials.
    pub reason: String,
}

/// Where the repository is, which decides what its submodules may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Origin<'a> {
    /// On this machine: its submodules may be, too.
    Local,
    /// Elsewhere; with the remote helper that the person typed, if any.
    Remote(Option<&'a str>),
}

impl<'a> Git<'a> {
    pub(in super::super) fn new(
        program: &Path,
        host: &Host,
        origin: Origin<'_>,
        location: String,
        credentials: Option<&Credentials>,
        observer: &'a dyn Observer,
    ) -> Self {
        let mut environment: BTreeMap<OsString, OsString> = host
            .variables
            .iter()
            .filter(|(name, _)| name.to_str().is_some_and(is_for_git))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let fixed = [
            // Nobody is asked anything; an empty name ends the search for a program that would ask.
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", ""),
            ("SSH_ASKPASS_REQUIRE", "never"),
            ("GCM_INTERACTIVE", "never"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            // Objects that a repository lacks are not fetched from wherever its configuration says.
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_PAGER", "cat"),
            ("LC_ALL", "C"),
        ];
        for (name, value) in fixed {
            environment.insert(name.into(), value.into());
        }
        let (file, ext) = match origin {
            Origin::Local => ("always", Some("never")),
            Origin::Remote(Some("ext")) => ("user", None),
            Origin::Remote(_) => ("user", Some("never")),
        };
        let mut settings: Vec<String> = [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "init.templateDir=",
            "advice.detachedHead=false",
            "fetch.recurseSubmodules=false",
            "submodule.recurse=false",
            "gc.auto=0",
            "maintenance.auto=false",
            "log.showSignature=false",
            // A server that is silent for five minutes will not say anything any more.
            "http.lowSpeedLimit=1",
            "http.lowSpeedTime=300",
        ]
        .map(str::to_owned)
        .to_vec();
        settings.push(format!("protocol.file.allow={file}"));
        // Whoever typed `ext::COMMAND` gets what their own configuration of git says, which is to refuse unless told otherwise.
        settings.extend(ext.map(|ext| format!("protocol.ext.allow={ext}")));
        let mut secrets = Vec::new();
        if let Some(credentials) = credentials {
            lend(credentials, &mut environment, &mut settings);
            secrets.extend(credentials.password.clone());
            secrets.retain(|secret| !secret.is_empty());
            // A token may stand where the user does; `git` and the like are none.
            if secrets.is_empty() && credentials.user.len() >= MIN_TOKEN_BYTES {
                secrets.push(credentials.user.clone());
            }
        }
        Self {
            program: program.to_owned(),
            environment,
            settings,
            secrets,
            location,
            observer,
        }
    }

    /// Lets SSH ask nobody, unless the person says how it is called.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub(in super::super) fn silence_ssh(&mut self) -> Result<(), Error> {
        let is_set = |name: &str| self.environment.contains_key(OsStr::new(name));
        if is_set("GIT_SSH_COMMAND") || is_set("GIT_SSH") {
            return Ok(());
        }
        let configured = self.attempt(None, &words(&["config", "--get", "core.sshCommand"]))?;
        if configured.stdout.trim_ascii().is_empty() {
            let command = "ssh -oBatchMode=yes".into();
            self.environment.insert("GIT_SSH_COMMAND".into(), command);
        }
        Ok(())
    }

    /// Lets git read a repository of this machine that belongs to somebody else: the person named it. The exception is
    /// written to `file`, for the part of git that reads the repository heeds nothing else.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(in super::super) fn trust(&mut self, repository: &Path, file: &Path) -> Result<(), Error> {
        let variable = |name: &str| self.environment.get(OsStr::new(name)).cloned();
        let home = variable("HOME").map(PathBuf::from);
        let config_home = variable("XDG_CONFIG_HOME").filter(|value| !value.is_empty());
        let config_home = config_home
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|home| home.join(".config")));
        let included: Vec<PathBuf> = match variable("GIT_CONFIG_GLOBAL") {
            Some(named) => vec![named.into()],
            None => [
                config_home.map(|directory| directory.join("git/config")),
                home.map(|home| home.join(".gitconfig")),
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        let mut text = String::new();
        for path in included {
            text.push_str(&format!("[include]\n\tpath = {}\n", quoted(&path)));
        }
        // The working tree, and the repository in it.
        for path in [repository.to_owned(), repository.join(".git")] {
            text.push_str(&format!("[safe]\n\tdirectory = {}\n", quoted(&path)));
        }
        std::fs::write(file, text).context("write", file)?;
        let name = OsString::from("GIT_CONFIG_GLOBAL");
        self.environment.insert(name, file.as_os_str().to_owned());
        Ok(())
    }

    /// Runs git, in `directory` if given, and gives back what it printed.
    ///
    /// # Errors
    /// [`Error::Git`] with what git complained of; [`Error::Interrupted`], git having ended.
    pub(super) fn run(
        &self,
        action: &'static str,
        directory: Option<&Path>,
        arguments: &[OsString],
    ) -> Result<Vec<u8>, Error> {
        let finished = self.attempt(directory, arguments)?;
        match finished.is_success {
            true => Ok(finished.stdout),
            false => Err(self.failed(action, finished.reason)),
        }
    }

    /// The error of a run that failed.
    pub(super) fn failed(&self, action: &'static str, reason: String) -> Error {
        Error::Git {
            action,
            location: self.location.clone(),
            reason,
        }
    }

    /// What messages call the source.
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    /// As [`Git::run`], but a failure of git's is an answer as well.
    pub(super) fn attempt(
        &self,
        directory: Option<&Path>,
        arguments: &[OsString],
    ) -> Result<Finished, Error> {
        let mut command = Command::new(&self.program);
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        let mut child = command
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What git starts ends with it.
            .process_group(0)
            .spawn()
            .context("run", &self.program)?;
        let (done, ended) = mpsc::channel();
        let stdout = collect(child.stdout.take(), MAX_OUTPUT_BYTES, Keep::First, &done);
        let stderr = collect(child.stderr.take(), MAX_ERROR_BYTES, Keep::Last, &done);
        drop(done);
        let status = wait(&mut child, &ended, &self.program, self.observer)?;
        let taken = |bytes: &Mutex<Vec<u8>>| {
            std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner))
        };
        Ok(Finished {
            is_success: status.success(),
            stdout: taken(&stdout),
            reason: self.reason(&taken(&stderr), status),
        })
    }

    fn reason(&self, stderr: &[u8], status: ExitStatus) -> String {
        let text = String::from_utf8_lossy(stderr);
        let lines: Vec<String> = text
            .lines()
            .map(|line| self.clean(line.rsplit('\r').next().unwrap_or(line)))
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        match last.is_empty() {
            true => format!("git ended with {status} and said nothing"),
            false => last.join("; "),
        }
    }

    /// A line of git's without control characters and without anybody's credentials.
    fn clean(&self, line: &str) -> String {
        let mut line = redact(&printable(line));
        for secret in &self.secrets {
            line = line.replace(secret.as_str(), "***");
        }
        line.chars().take(SHOWN_LINE_CHARACTERS).collect()
    }
}

/// Makes arguments of words.
pub(super) fn words(arguments: &[&str]) -> Vec<OsString> {
    arguments.iter().map(OsString::from).collect()
}

fn is_for_git(name: &str) -> bool {
    NAMES.contains(&name)
        || GIT_NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Gives git credentials, for one host only, by a helper of one line that finds them in the environment: arguments can be
/// read by everybody on the machine. What the person has configured for that host is not asked, and so is told nothing.
fn lend(
    credentials: &Credentials,
    environment: &mut BTreeMap<OsString, OsString>,
    settings: &mut Vec<String>,
) {
    let scope = &credentials.scope;
    let Some(password) = &credentials.password else {
        // The password is for the person's own helpers to say. The name goes through the environment, too.
        let number = environment
            .get(OsStr::new(COUNT_VARIABLE))
            .and_then(|count| count.to_str()?.parse::<u32>().ok())
            .unwrap_or(0);
        let key = format!("credential.{scope}.username");
        environment.insert(format!("GIT_CONFIG_KEY_{number}").into(), key.into());
        let value = format!("GIT_CONFIG_VALUE_{number}");
        environment.insert(value.into(), (&credentials.user).into());
        let count = number.saturating_add(1).to_string();
        environment.insert(COUNT_VARIABLE.into(), count.into());
        return;
    };
    environment.insert(USER_VARIABLE.into(), (&credentials.user).into());
    environment.insert(PASSWORD_VARIABLE.into(), password.into());
    let say = format!(
        "printf 'username=%s\\npassword=%s\\n' \"${USER_VARIABLE}\" \"${PASSWORD_VARIABLE}\""
    );
    settings.push(format!("credential.{scope}.helper="));
    settings.push(format!(
        "credential.{scope}.helper=!f() {{ if test \"$1\" = get; then {say}; fi; }}; f"
    ));
}

/// A value in a configuration file of git's.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n").replace('\t', "\\t"))
}
