//! `os-release`: which distribution an image is of.
//!
//! # Spec
//! os-release(5): assignments as of a shell, of which quotes and backslashes matter here.

use std::io::{self, Read};

use super::Distribution;
use super::text::{self, Lines};

/// How much is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// What the file says; `None` without an `ID`.
pub(super) fn read(content: &mut dyn Read) -> io::Result<Option<Distribution>> {
    let mut lines = Lines::new(content, MAX_FILE);
    let (mut id, mut version, mut name) = (None, None, None);
    while let Some(line) = lines.next()? {
        let Some((key, value)) = line.trim().split_once('=') else {
            continue;
        };
        let value = unquoted(value);
        match key {
            "ID" => id = text::word(&value).map(|id| id.to_ascii_lowercase()),
            "VERSION_ID" => version = text::word(&value),
            "PRETTY_NAME" => name = text::value(&value, 128),
            _ => {}
        }
    }
    Ok(id.map(|id| Distribution { id, version, name }))
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\''].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
        Some(inner)
    });
    inner.unwrap_or(value).replace('\\', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_taken_off() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n# x\nVERSION_ID='12'\nID=debian\nHOME_URL=x=y\n";
        let found = read(&mut text.as_bytes()).unwrap().unwrap();
        assert_eq!(
            (found.id.as_str(), found.version.as_deref()),
            ("debian", Some("12"))
        );
        assert_eq!(
            found.name.as_deref(),
            Some("Debian GNU/Linux 12 (bookworm)")
        );
        assert_eq!(read(&mut &b"VERSION_ID=1\n"[..]).unwrap(), None);
        assert_eq!(
            read(&mut &b"ID=\"\n"[..]).unwrap().map(|it| it.id),
            Some("\"".to_owned())
        );
    }
}
