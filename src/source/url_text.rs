//! URLs as text: escapes, and which parts may not be shown.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The bytes that a percent-encoded text stands for; `None` when a `%` stands for nothing.
pub(super) fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    Some(bytes)
}

/// A path of this machine as a `file:` URL, which git decodes again.
pub(super) fn file_url_of(path: &Path) -> String {
    let mut url = "file://".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => url.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => url.push(byte.into()),
            byte => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// A text that could not be read as a location, without anything before an `@`: where a password ends is not known.
pub(super) fn doubtful(text: &str) -> String {
    let text = crate::event::printable(text);
    match (text.find(':'), text.rfind('@')) {
        (Some(colon), Some(at)) if colon < at => {
            let after_slashes = text[colon + 1..].trim_start_matches('/');
            let start = text.len() - after_slashes.len();
            format!("{}{}", &text[..start.min(at)], &text[at + 1..])
        }
        _ => text,
    }
}

/// A text without what stands between `://` and `@` in any URL within it: for what git prints.
pub fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find("://") {
        let (before, after) = rest.split_at(position + 3);
        clean.push_str(before);
        let is_end = |c: char| c == '/' || c.is_whitespace() || c == '\'' || c == '"';
        let authority = after.split(is_end).next().unwrap_or(after);
        rest = match authority.rfind('@') {
            Some(at) => &after[at + 1..],
            None => after,
        };
    }
    clean.push_str(rest);
    clean
}
