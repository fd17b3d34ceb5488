//! Answers kept on disk: pages for as long as their server allows, metadata for ever.
//!
//! A file is one line of JSON and the body. It appears whole, by rename, but it is not synced: what a power cut tears
//! is told by its checksum and fetched again.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use reqwest::Url;
use reqwest::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::transport::Head;
use crate::fs::{self, Context as _};

/// The largest file that is read; a page and its first line.
const MAX_BYTES: u64 = 65 << 20;

/// What is known of a kept answer beside its body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Where it finally came from: what its links are relative to.
    pub(super) url: String,
    /// What the server calls it, without parameters.
    pub(super) media_type: String,
    etag: Option<String>,
    last_modified: Option<String>,
    /// Until when it need not be asked for again, in seconds since 1970.
    fresh_until: u64,
    /// When it came, likewise.
    stored_at: u64,
    size: u64,
    crc32: u32,
}

/// A kept answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) note: Note,
    pub(super) body: Vec<u8>,
}

impl Note {
    /// What an answer says of itself; `None` when it must not be kept.
    ///
    /// # Spec
    /// RFC 9111, §4.2 and §5.2.2, for a private cache.
    pub(super) fn of(head: &Head, now: SystemTime) -> Option<Self> {
        let control = head.get(&CACHE_CONTROL).unwrap_or_default();
        let directives = || control.split(',').map(str::trim);
        let has = |name: &str| directives().any(|known| known.eq_ignore_ascii_case(name));
        if has("no-store") {
            return None;
        }
        let max_age = directives().find_map(|directive| {
            let (name, value) = directive.split_once('=')?;
            let value = value.trim_matches('"').parse::<u64>().ok()?;
            name.eq_ignore_ascii_case("max-age").then_some(value)
        });
        let age = head.get(&AGE).and_then(|age| age.trim().parse().ok());
        let lifetime = match has("no-cache") {
            true => 0,
            false => max_age.unwrap_or(0).saturating_sub(age.unwrap_or(0)),
        };
        let stored_at = seconds(now);
        Some(Self {
            etag: head.get(&ETAG).map(str::to_owned),
            last_modified: head.get(&LAST_MODIFIED).map(str::to_owned),
            fresh_until: stored_at.saturating_add(lifetime),
            stored_at,
            ..Self::passing(head)
        })
    }

    /// The note of an answer that is used now and not kept.
    pub(super) fn passing(head: &Head) -> Self {
        let media_type = head.get(&CONTENT_TYPE).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        Self {
            url: head.url.to_string(),
            media_type: media_type.to_ascii_lowercase(),
            ..Self::default()
        }
    }

    /// The note of a page on this machine.
    pub(super) fn of_file(url: &Url) -> Self {
        Self {
            url: url.to_string(),
            media_type: "text/html".to_owned(),
            ..Self::default()
        }
    }

    /// True when there is no need to ask again. An answer from the future is not fresh: one of two clocks is wrong.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        (self.stored_at..self.fresh_until).contains(&seconds(now))
    }

    /// True when a later request can do without the body, or there need be none for a while.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some() || self.fresh_until > self.stored_at
    }

    /// What to ask with, so that the answer can be "nothing new".
    pub(super) fn conditions(&self) -> Vec<(reqwest::header::HeaderName, String)> {
        let etag = self.etag.iter().cloned();
        let etag = etag.map(|etag| (reqwest::header::IF_NONE_MATCH, etag));
        let modified = self.last_modified.iter().cloned();
        let modified = modified.map(|date| (reqwest::header::IF_MODIFIED_SINCE, date));
        etag.chain(modified).collect()
    }

    /// The note of an answer that is still the same, after `head` said so.
    pub(super) fn renewed(&self, head: &Head, now: SystemTime) -> Self {
        let mut renewed = self.clone();
        if let Some(fresh) = Self::of(head, now) {
            renewed.fresh_until = fresh.fresh_until;
            renewed.stored_at = fresh.stored_at;
            renewed.etag = fresh.etag.or(renewed.etag);
        }
        renewed
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}

/// Reads what is kept under `path`; `None` when there is nothing, or nothing whole.
pub(super) fn read(path: &Path) -> Option<Kept> {
    let mut bytes = fs::read_limited(path, MAX_BYTES).ok()?;
    let line = bytes.iter().position(|&byte| byte == b'\n')?;
    let note: Note = serde_json::from_slice(&bytes[..line]).ok()?;
    bytes.drain(..=line);
    let is_whole = bytes.len() as u64 == note.size && crc32fast::hash(&bytes) == note.crc32;
    is_whole.then(|| {
        fs::touch(path);
        Kept { note, body: bytes }
    })
}

/// Keeps an answer under `path`, whose directory is made if need be.
pub(super) fn write(path: &Path, kept: &Kept) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory)?;
    let mut note = kept.note.clone();
    note.size = kept.body.len() as u64;
    note.crc32 = crc32fast::hash(&kept.body);
    // Strings and numbers: this cannot fail, and a cache that is not written is no loss.
    let line = serde_json::to_string(&note).unwrap_or_default();
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .tempfile_in(directory)
        .context("write to", directory)?;
    file.write_all(line.as_bytes()).context("write", path)?;
    file.write_all(b"\n").context("write", path)?;
    file.write_all(&kept.body).context("write", path)?;
    let kept = file.persist(path).map_err(|error| error.error);
    kept.context("write", path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn head(headers: &[(&'static str, &'static str)]) -> Head {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        Head {
            url: Url::parse("https://example.org/simple/a/").unwrap(),
            status: StatusCode::OK,
            headers,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn freshness_is_what_the_server_says() {
        let of = |headers: &[_]| Note::of(&head(headers), at(1000));
        let note = of(&[("cache-control", "public, Max-Age=600"), ("age", "100")]).unwrap();
        assert!(note.is_fresh(at(1000)) && note.is_fresh(at(1499)));
        assert!(!note.is_fresh(at(1500)) && !note.is_fresh(at(999)));
        assert!(note.is_worth_keeping() && note.conditions().is_empty());
        assert_eq!(of(&[("cache-control", "max-age=9, no-store")]), None);
        let note = of(&[("cache-control", "no-cache, max-age=9"), ("etag", "\"x\"")]).unwrap();
        assert!(!note.is_fresh(at(1000)) && note.is_worth_keeping());
        assert_eq!(note.conditions()[0].1, "\"x\"");
        let renewed = note.renewed(&head(&[("cache-control", "max-age=5")]), at(2000));
        assert!(renewed.is_fresh(at(2004)) && renewed.conditions().len() == 1);
        assert!(!of(&[]).unwrap().is_worth_keeping());
    }

    #[test]
    fn what_is_torn_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/entry");
        let note = Note::of(&head(&[("content-type", "Text/HTML; charset=x")]), at(1)).unwrap();
        assert_eq!(note.media_type, "text/html");
        let body = b"body\nof two lines".to_vec();
        write(&path, &Kept { note, body }).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(read(&path).unwrap().body, b"body\nof two lines");
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert_eq!(read(&path), None, "{length}");
        }
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() = 0;
        std::fs::write(&path, &changed).unwrap();
        assert_eq!(read(&path), None);
    }
}
