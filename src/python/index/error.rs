//! Why an index could not answer, or a wheel could not be had.

use std::path::PathBuf;

use reqwest::Url;

use crate::digest::Digest;
use crate::fs;

/// Why an operation on package indexes failed. URLs are without user name, password and query.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address in the settings, or of a wheel, is none.
    #[error("the {noun} `{url}` cannot be used: {reason}")]
    Address {
        /// `index URL`, `find-links location`, `wheel's URL`.
        noun: &'static str,
        /// The address; `(no URL)` for one that cannot be taken apart, for it may hold a password anywhere.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An address without encryption whose host is not trusted.
    #[error("`{url}` is not encrypted, so anybody on the way could change what is installed")]
    Insecure {
        /// The URL.
        url: String,
        /// Its host.
        host: String,
    },
    /// No answer, or none that came to its end, after several attempts.
    #[error("cannot get `{url}`: {reason}")]
    Unreachable {
        /// The URL.
        url: String,
        /// The innermost reason.
        reason: String,
    },
    /// The server's certificate is not trusted, or it speaks no TLS.
    #[error("cannot get `{url}`: no secure connection: {reason}")]
    Tls {
        /// The URL.
        url: String,
        /// What the TLS library said.
        reason: String,
        /// False when no certificate authority is trusted at all.
        has_certificates: bool,
    },
    /// An answer that is neither success nor "there is nothing".
    #[error("GET `{url}` was answered with status {status}")]
    Status {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server wants to know who asks (401), or does not allow it (403).
    #[error("`{url}` does not accept {}: status {status}", tried(credentials))]
    Unauthorised {
        /// The URL.
        url: String,
        /// 401 or 403.
        status: u16,
        /// Where the refused credentials came from; `None` when there were none.
        credentials: Option<&'static str>,
    },
    /// A redirect that is not followed.
    #[error("`{url}` redirects, {reason}")]
    Redirect {
        /// Where the redirect was met.
        url: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// More bytes than such a document, or this file, may have.
    #[error("`{url}` has more than {limit_bytes} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// How many were allowed.
        limit_bytes: u64,
    },
    /// The answer is no page of a package index.
    #[error("`{url}` is no page of a package index: {reason}")]
    Page {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has other bytes than the index or the lock promises.
    #[error("`{file}` from `{url}` has the digest `{found}`, but `{expected}` was promised")]
    Digest {
        /// The file's name.
        file: String,
        /// Where it came from.
        url: String,
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A file has fewer bytes than the index or the lock promises.
    #[error("`{file}` from `{url}` has {found} bytes, but {expected} were promised")]
    Size {
        /// The file's name.
        file: String,
        /// Where it came from.
        url: String,
        /// What was promised.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A wheel's metadata cannot be had or believed. Another version may do.
    #[error("the metadata of `{file}` cannot be used: {reason}")]
    Metadata {
        /// The wheel's file name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The program that keeps passwords did not work.
    #[error("`{}` gave no password for `{url}`: {reason}", program.display())]
    Keyring {
        /// The program.
        program: PathBuf,
        /// For what it was asked.
        url: String,
        /// What went wrong, without what it printed.
        reason: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn tried(credentials: &Option<&'static str>) -> String {
    match credentials {
        Some(origin) => format!("the credentials from {origin}"),
        None => "requests without credentials".to_owned(),
    }
}

impl Error {
    /// True when the disk or the quota is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::File(error) if error.is_full())
    }

    /// What a person can do about it, best first; may be empty.
    pub fn hints(&self) -> Vec<String> {
        let fixed: &[&str] = match self {
            Self::Insecure { host, .. } => {
                return vec![
                    "use the index's `https:` address".to_owned(),
                    format!("or say that you trust the way to it: `--trusted-host {host}`"),
                ];
            }
            Self::Address { .. } => &["correct the address"],
            Self::File(error) if error.is_full() => {
                &["free some space, or point `--store` at another disk"]
            }
            Self::Unreachable { .. } => &[
                "check that this machine reaches the index; proxies are taken from `http_proxy` and `https_proxy`",
            ],
            Self::Tls {
                has_certificates: false,
                ..
            } => &["install this machine's certificate authorities (package `ca-certificates`)"],
            Self::Tls { .. } => &[
                "add the authority that signed the server's certificate to this machine's (`SSL_CERT_FILE`)",
            ],
            Self::Unauthorised {
                credentials: None, ..
            } => &["put user name and password into the index's URL or into `~/.netrc`"],
            Self::Unauthorised { .. } => {
                &["check the user name and the password, and whether they may read this package"]
            }
            Self::Status { .. } | Self::Redirect { .. } => {
                &["check the index's URL, and whether a proxy stands in the way"]
            }
            Self::Page { .. } => &[
                "check the index's URL: it usually ends with `/simple`",
                "check whether a proxy answers with a page of its own",
            ],
            Self::Digest { .. } | Self::Size { .. } => &[
                "try again; when it happens again, do not install the file: it is not what was published",
            ],
            Self::TooLarge { .. } => &["check whether the URL is the right one"],
            Self::Metadata { .. } => &["require another version of the package"],
            Self::Keyring { .. } => &["try the command by hand: `keyring get URL USER`"],
            Self::File(_) | Self::Interrupted => &[],
        };
        fixed.iter().map(|&hint| hint.to_owned()).collect()
    }
}

/// A URL without what may be secret: user name, password, query, fragment.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for URLs that can have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    crate::event::printable(url.as_str())
}

/// [`shown`] for a text that may be no URL.
pub(super) fn shown_text(text: &str) -> String {
    Url::parse(text).map_or_else(|_| "(no URL)".to_owned(), |url| shown(&url))
}
