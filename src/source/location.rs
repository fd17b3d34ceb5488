//! What a person types to name a source: a directory, a URL, git's `user@host:path`, or `-`.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::url_text::{doubtful, percent_decoded, redact};

/// Where a source is, as a person typed it. Its [`fmt::Display`] and [`fmt::Debug`] show no credentials.
///
/// # Spec
/// `s2i-compat.md` §2.2.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    typed: String,
    fragment: Option<String>,
    form: Form,
}

/// The kinds of location.
#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// `-`
    Stdin,
    /// `DIRECTORY`
    Path,
    /// `file:///DIRECTORY`, with the path decoded.
    FileUrl { path: PathBuf },
    /// `scheme://…`
    Url(Url),
    /// `helper::address`, with git's remote helper for it.
    Transport { helper: String, address: String },
    /// `user@host:path`, or `host:path`.
    Scp(Scp),
}

/// The parts of a URL, as they are written.
#[derive(Clone, PartialEq, Eq)]
struct Url {
    scheme: String,
    /// Before the `@`.
    user_info: Option<String>,
    /// After it, with the port.
    host: String,
    /// With its slash; may be empty.
    path: String,
    query: Option<String>,
}

/// The parts of git's short form of an SSH address.
#[derive(Clone, PartialEq, Eq)]
struct Scp {
    user: Option<String>,
    host: String,
    path: String,
}

/// Who we are to a git server. Shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    /// What they are for: `https://host:port`.
    pub scope: String,
    pub user: String,
    pub password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Why a text is no location. The text is shown without what could be credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is no text.
    #[error("the source is an empty text")]
    Empty,
    /// There are control characters in it.
    #[error("the source `{0}` has control characters in it")]
    Control(String),
    /// `file://` with a host.
    #[error("the source `{0}` names a host, and `file:` URLs are of this machine")]
    FileHost(String),
    /// What follows the host's colon is no number.
    #[error("the source `{0}` has no number for a port")]
    Port(String),
    /// A `%` that begins no hexadecimal number.
    #[error("the source `{0}` has a `%` that is followed by no two hexadecimal digits")]
    Escape(String),
}

impl ParseError {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Empty => {
                "give a directory, a git URL, or `-` for a tar archive on standard input"
            }
            Self::Control(_) => "control characters in a URL are written as `%` and their number",
            Self::FileHost(_) => "write three slashes, `file:///path`, or the path alone",
            Self::Port(_) => {
                "with `ssh://`, a slash follows the host: `ssh://git@host/path`; without it, a colon: `git@host:path`"
            }
            Self::Escape(_) => "a `%` itself is written `%25`",
        }
    }
}

impl Location {
    /// Reads what was typed; looks at no file.
    ///
    /// What begins with letters and a colon is a URL (`helper::address` and `host:path` too, which git understands); else,
    /// what has a colon before its first slash is git's SSH form; else it is a path. In all three `#` begins the fragment,
    /// a git ref. `-` is the standard input.
    ///
    /// # Errors
    /// [`ParseError`] for `file:` URLs with a host, ports that are no numbers, broken escapes, control characters, and an
    /// empty text.
    ///
    /// # Spec
    /// `s2i-compat.md` §2.2.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Err(ParseError::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(ParseError::Control(doubtful(text)));
        }
        let (bare, fragment) = match text.split_once('#') {
            Some((bare, fragment)) => (bare, Some(fragment.to_owned())),
            None => (text, None),
        };
        let form = match (bare, scheme(bare)) {
            ("-", _) if fragment.is_none() => Form::Stdin,
            (_, Some((scheme, rest))) => url(text, bare, scheme, rest)?,
            (_, None) => scp(bare).map_or(Form::Path, Form::Scp),
        };
        Ok(Self {
            typed: text.to_owned(),
            fragment,
            form,
        })
    }

    /// The location of a directory of this machine.
    pub fn directory(path: &Path) -> Self {
        Self {
            typed: path.to_string_lossy().into_owned(),
            fragment: None,
            form: Form::FileUrl {
                path: path.to_owned(),
            },
        }
    }

    /// Exactly what was typed, with credentials.
    pub fn as_typed(&self) -> &str {
        &self.typed
    }

    /// What was typed before the `#`, with credentials.
    pub fn without_fragment(&self) -> &str {
        match &self.fragment {
            Some(fragment) => &self.typed[..self.typed.len() - fragment.len() - 1],
            None => &self.typed,
        }
    }

    /// What follows the `#`: the git ref that is wanted; `None` also when nothing follows it.
    pub fn fragment(&self) -> Option<&str> {
        self.fragment.as_deref().filter(|text| !text.is_empty())
    }

    /// True for `-`.
    pub fn is_stdin(&self) -> bool {
        self.form == Form::Stdin
    }

    /// The file or directory of this machine that is named; `None` when it is elsewhere.
    pub fn local_path(&self) -> Option<PathBuf> {
        match &self.form {
            Form::Path => Some(PathBuf::from(self.without_fragment())),
            Form::FileUrl { path } => Some(path.clone()),
            _ => None,
        }
    }

    /// True when the person wrote `file:`, which labels keep.
    pub(super) fn is_file_url(&self) -> bool {
        matches!(self.form, Form::FileUrl { .. }) && self.typed.starts_with("file:")
    }

    /// The remote helper that the person asked for: `ext` of `ext::command`.
    pub fn helper(&self) -> Option<&str> {
        match &self.form {
            Form::Transport { helper, .. } => Some(helper),
            _ => None,
        }
    }

    /// What was typed, without fragment and without anything that could be a secret: for labels and messages.
    ///
    /// Of `http` and `https` URLs the whole part before the `@` goes (a token may stand where the user does), and the
    /// query; of others the password.
    pub fn shown(&self) -> String {
        match &self.form {
            Form::Url(url) => url.shown(),
            Form::Transport { helper, address } => match Self::parse(address) {
                Ok(Self {
                    form: Form::Url(url),
                    ..
                }) => format!("{helper}::{}", url.shown()),
                _ => format!("{helper}::{}", redact(address)),
            },
            Form::Scp(Scp { user, host, path }) => {
                // `user:password@host/path` is read as a path on the host `user`.
                let first = path.split('/').next().unwrap_or(path);
                let path = first.rfind('@').map_or(path.as_str(), |at| &path[at + 1..]);
                match user {
                    Some(user) if !user.contains(':') => format!("{user}@{host}:{path}"),
                    _ => format!("{host}:{path}"),
                }
            }
            Form::Stdin | Form::Path | Form::FileUrl { .. } => self.without_fragment().to_owned(),
        }
    }

    /// What git is told, and who we are: an address without a password, also for `http::http://user:password@host`.
    pub(super) fn for_git(&self) -> (String, Option<Credentials>) {
        match &self.form {
            Form::Url(url) => url.for_git(),
            Form::Transport { helper, address } => match Self::parse(address) {
                Ok(Self {
                    form: Form::Url(url),
                    ..
                }) => {
                    let (address, credentials) = url.for_git();
                    (format!("{helper}::{address}"), credentials)
                }
                _ => (format!("{helper}::{address}"), None),
            },
            _ => (self.without_fragment().to_owned(), None),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Location").field(&self.shown()).finish()
    }
}

impl Url {
    fn is_http(&self) -> bool {
        matches!(
            self.scheme.to_ascii_lowercase().as_str(),
            "http" | "https" | "ftp" | "ftps"
        )
    }

    /// The user, where it is no secret.
    fn user(&self) -> Option<&str> {
        let user = self.user_info.as_deref().filter(|_| !self.is_http())?;
        let user = user.split(':').next().unwrap_or(user);
        Some(user).filter(|user| !user.is_empty())
    }

    fn shown(&self) -> String {
        let query = self.query.as_ref().filter(|_| !self.is_http());
        self.write(query)
    }

    fn write(&self, query: Option<&String>) -> String {
        let user = self.user().map(|user| format!("{user}@"));
        let query = query.map(|query| format!("?{query}"));
        let (user, query) = (user.unwrap_or_default(), query.unwrap_or_default());
        format!("{}://{user}{}{}{query}", self.scheme, self.host, self.path)
    }

    fn for_git(&self) -> (String, Option<Credentials>) {
        let credentials = self.user_info.as_ref().filter(|_| self.is_http());
        let credentials = credentials.map(|info| {
            let decoded = |text: &str| {
                let bytes = percent_decoded(text).unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            let (user, password) = match info.split_once(':') {
                Some((user, password)) => (decoded(user), Some(decoded(password))),
                None => (decoded(info), None),
            };
            Credentials {
                scope: format!("{}://{}", self.scheme.to_ascii_lowercase(), self.host),
                user,
                password,
            }
        });
        (self.write(self.query.as_ref()), credentials)
    }
}

/// The scheme of what looks like a URL, and what follows its colon.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let is_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_name);
    is_scheme.then_some((scheme, rest))
}

fn url(text: &str, bare: &str, scheme: &str, rest: &str) -> Result<Form, ParseError> {
    if let Some(address) = rest.strip_prefix(':') {
        return Ok(Form::Transport {
            helper: scheme.to_owned(),
            address: address.to_owned(),
        });
    }
    let is_file = scheme.eq_ignore_ascii_case("file");
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query.to_owned())),
        None => (rest, None),
    };
    let Some(rest) = rest.strip_prefix("//") else {
        if is_file && rest.starts_with('/') {
            return file_url(text, rest);
        }
        // `host:path`, and `host:/path`: no scheme that anybody knows, but git's short form.
        let short = scp(bare).unwrap_or_else(|| Scp {
            user: None,
            host: scheme.to_owned(),
            path: bare[scheme.len() + 1..].to_owned(),
        });
        return Ok(Form::Scp(short));
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user_info, host) = match authority.rsplit_once('@') {
        Some((user_info, host)) => (Some(user_info.to_owned()), host),
        None => (None, authority),
    };
    if is_file {
        if !authority.is_empty() {
            return Err(ParseError::FileHost(doubtful(text)));
        }
        return file_url(text, path);
    }
    // The colons of an IPv6 address are in brackets.
    let after_address = host.rsplit_once(']').map_or(host, |(_, port)| port);
    if let Some((_, port)) = after_address.split_once(':')
        && !port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(ParseError::Port(doubtful(text)));
    }
    let secret = percent_decoded(user_info.as_deref().unwrap_or_default());
    if secret.is_none() || percent_decoded(path).is_none() || percent_decoded(host).is_none() {
        return Err(ParseError::Escape(doubtful(text)));
    }
    // They are told to git a line each.
    if secret.is_some_and(|bytes| bytes.iter().any(u8::is_ascii_control)) {
        return Err(ParseError::Control(doubtful(text)));
    }
    Ok(Form::Url(Url {
        scheme: scheme.to_owned(),
        user_info,
        host: host.to_owned(),
        path: path.to_owned(),
        query,
    }))
}

fn file_url(text: &str, path: &str) -> Result<Form, ParseError> {
    let bytes = percent_decoded(path).ok_or_else(|| ParseError::Escape(doubtful(text)))?;
    if bytes.contains(&0) {
        return Err(ParseError::Control(doubtful(text)));
    }
    Ok(Form::FileUrl {
        path: PathBuf::from(OsString::from_vec(bytes)),
    })
}

/// `[user@]host:path`: the last colon before the first slash counts, so that an IPv6 address may be the host.
fn scp(text: &str) -> Option<Scp> {
    let before_slash = text.split('/').next().unwrap_or(text);
    let colon = before_slash.rfind(':')?;
    let (host, path) = (&text[..colon], &text[colon + 1..]);
    let (user, host) = match host.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, host),
    };
    (!host.is_empty()).then(|| Scp {
        user,
        host: host.to_owned(),
        path: path.to_owned(),
    })
}

#[cfg(test)]
#[path = "location_tests.rs"]
mod tests;
