//! Where a distribution was installed from, when that was no index.
//!
//! # Spec
//! packaging.python.org, *Recording the Direct URL Origin of installed distributions* (PEP 610).

use std::io::{self, Read};

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest `direct_url.json`, in bytes.
const MAX_JSON: u64 = 64 << 10;
/// The longest URL that is written down, in bytes.
const MAX_URL: usize = 2048;

/// A hash of an archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hash {
    /// `sha256`, `sha384`, `sha512`, `sha1` or `md5`.
    pub algorithm: String,
    /// Lower-case hexadecimal digits.
    pub hex: String,
}

/// Where a distribution was installed from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The URL of an archive, without credentials, query and fragment; `None` for places on the machine that installed it.
    pub archive: Option<String>,
    /// The URL of a repository with the commit, as `git+https://HOST/PATH@COMMIT`.
    pub repository: Option<String>,
    /// Hashes of the archive.
    pub hashes: Vec<Hash>,
}

/// Reads a `direct_url.json`. What makes no sense says nothing.
pub(super) fn read(content: &mut dyn Read) -> io::Result<Origin> {
    let mut bytes = Vec::new();
    content.take(MAX_JSON + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_JSON {
        return Ok(Origin::default());
    }
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let url = value["url"].as_str().and_then(public);
    let mut origin = Origin::default();
    let vcs = &value["vcs_info"];
    match (vcs["vcs"].as_str(), vcs["commit_id"].as_str()) {
        (Some(vcs), Some(commit)) => {
            let is_word =
                |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric());
            let is_known = is_word(vcs) && is_word(commit) && commit.len() <= 128 && vcs.len() <= 8;
            let url = url.filter(|_| is_known);
            origin.repository = url.map(|url| format!("{vcs}+{url}@{commit}"));
        }
        _ => origin.archive = url.filter(|_| value["archive_info"].is_object()),
    }
    let hashes = value["archive_info"]["hashes"].as_object();
    let listed = hashes.into_iter().flatten();
    let listed = listed.filter_map(|(name, hex)| hash(name, hex.as_str()?));
    origin.hashes = listed.collect();
    if origin.hashes.is_empty()
        && let Some((name, hex)) = value["archive_info"]["hash"]
            .as_str()
            .and_then(|text| text.split_once('='))
    {
        origin.hashes.extend(hash(name, hex));
    }
    origin.hashes.sort();
    Ok(origin)
}

fn hash(name: &str, hex: &str) -> Option<Hash> {
    let digits = match name {
        "md5" => 32,
        "sha1" => 40,
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return None,
    };
    let is_hash = hex.len() == digits && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| Hash {
        algorithm: name.to_owned(),
        hex: hex.to_ascii_lowercase(),
    })
}

/// A URL of the network with all that may be a secret left out: user, password, query, fragment.
fn public(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https" | "ssh" | "git") || url.host_str().is_none() {
        return None;
    }
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    let url = String::from(url);
    (url.len() <= MAX_URL).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: Value) -> Origin {
        read(&mut value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn archives_repositories_and_local_places_are_told_apart() {
        let hex = "ab".repeat(32);
        let archive = parsed(serde_json::json!({
            "url": "https://user:secret@example.org/a.whl?token=secret#sha256=1",
            "archive_info": {"hash": format!("sha256={hex}"), "hashes": {"sha256": hex, "crc": "1"}},
        }));
        assert_eq!(
            archive.archive.as_deref(),
            Some("https://example.org/a.whl")
        );
        assert_eq!(archive.hashes.len(), 1);
        assert_eq!(
            (archive.hashes[0].algorithm.as_str(), &archive.hashes[0].hex),
            ("sha256", &hex)
        );
        let old = parsed(
            serde_json::json!({"url": "file:///src/a.whl", "archive_info": {"hash": format!("sha256={hex}")}}),
        );
        assert_eq!((old.archive, old.hashes.len()), (None, 1));
        let git = parsed(serde_json::json!({
            "url": "https://token@github.com/a/b.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"},
        }));
        assert_eq!(
            git.repository.as_deref(),
            Some("git+https://github.com/a/b.git@c0ffee")
        );
        assert_eq!(git.archive, None);
        let local = parsed(
            serde_json::json!({"url": "file:///home/me/app", "dir_info": {"editable": true}}),
        );
        assert_eq!(local, Origin::default());
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        for text in [
            "",
            "[]",
            "{\"url\": 1}",
            "nonsense",
            "{\"url\": \"javascript:alert(1)\", \"archive_info\": {}}",
        ] {
            assert_eq!(
                read(&mut text.as_bytes()).unwrap(),
                Origin::default(),
                "{text}"
            );
        }
        let large = format!("{{\"url\": \"https://a/{}\"}}", "x".repeat(1 << 20));
        assert_eq!(read(&mut large.as_bytes()).unwrap(), Origin::default());
        let bad = parsed(
            serde_json::json!({"url": "https://a/b", "vcs_info": {"vcs": "git", "commit_id": "x y"}}),
        );
        assert_eq!(bad, Origin::default());
    }
}
