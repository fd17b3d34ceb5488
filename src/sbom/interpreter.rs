//! The version of a Python interpreter, from its files.

use std::io::{self, Read};

use regex::bytes::Regex;

use super::text::Lines;

/// How much of a program is searched, in bytes. Debian's interpreter has 7 MB, conda's 30.
const MAX_PROGRAM: u64 = 128 << 20;
/// How much is searched at a time, in bytes.
const WINDOW: usize = 256 << 10;
/// More than the longest version with its marks, in bytes.
const OVERLAP: usize = 64;

/// The only full version of `minor` (`3.11`) that a program has as a text of its own, between NUL bytes: that is how
/// `PY_VERSION` lies in it. `None` when there is none, or more than one.
pub(super) fn embedded(content: &mut dyn Read, minor: &str) -> io::Result<Option<String>> {
    let pattern = format!(
        r"(?-u)\x00({}\.[0-9]{{1,3}}(?:(?:a|b|rc)[0-9]{{1,3}})?)\+?\x00",
        regex::escape(minor)
    );
    let Ok(pattern) = Regex::new(&pattern) else {
        return Ok(None);
    };
    let mut content = content.take(MAX_PROGRAM);
    let mut window: Vec<u8> = Vec::with_capacity(WINDOW + OVERLAP);
    let mut found: Option<String> = None;
    loop {
        let read = content
            .by_ref()
            .take(WINDOW as u64)
            .read_to_end(&mut window)?;
        let mut at = 0;
        while let Some(captures) = pattern.captures_at(&window, at) {
            // The mark behind one may be that before the next.
            at = captures.get_match().end() - 1;
            let version = String::from_utf8_lossy(&captures[1]).into_owned();
            if found.as_ref().is_some_and(|known| *known != version) {
                return Ok(None);
            }
            found = Some(version);
        }
        if read == 0 {
            return Ok(found);
        }
        window.drain(..window.len().saturating_sub(OVERLAP));
    }
}

/// The version in `patchlevel.h`: `#define PY_VERSION "3.11.2"`.
pub(super) fn patchlevel(content: &mut dyn Read, minor: &str) -> io::Result<Option<String>> {
    let mut lines = Lines::new(content, 64 << 10);
    while let Some(line) = lines.next()? {
        if let Some(rest) = line.trim().strip_prefix("#define PY_VERSION ") {
            let version = rest.trim().trim_matches('"').trim_end_matches('+');
            return Ok(is_full(version, minor).then(|| version.to_owned()));
        }
    }
    Ok(None)
}

/// True for a version with three numbers that belongs to `minor`, as `3.11.2` or `3.14.0rc1`.
pub(super) fn is_full(version: &str, minor: &str) -> bool {
    let rest = version
        .strip_prefix(minor)
        .and_then(|rest| rest.strip_prefix('.'));
    rest.is_some_and(|rest| {
        rest.len() <= 8
            && rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_wherever_windows_meet() {
        for before in [0, WINDOW - 3, WINDOW - OVERLAP, WINDOW, 2 * WINDOW + 1] {
            let program = [vec![b'x'; before], b"\x003.11.2+\0y\x003.11\0".to_vec()].concat();
            let found = embedded(&mut program.as_slice(), "3.11").unwrap();
            assert_eq!(found.as_deref(), Some("3.11.2"), "{before}");
        }
        let two = b"\x003.11.2\x003.11.2\0\x003.11.4\0";
        assert_eq!(embedded(&mut &two[..], "3.11").unwrap(), None);
        assert_eq!(embedded(&mut &b"\x003.1.2\0"[..], "3.11").unwrap(), None);
        assert_eq!(embedded(&mut &b"\x003x11.2\0"[..], "3.11").unwrap(), None);
    }

    #[test]
    fn a_header_says_it_too() {
        let header =
            "/* x */\n#define PY_MAJOR_VERSION 3\n#define PY_VERSION              \"3.12.0rc1+\"\n";
        let found = patchlevel(&mut header.as_bytes(), "3.12").unwrap();
        assert_eq!(found.as_deref(), Some("3.12.0rc1"));
        assert_eq!(patchlevel(&mut header.as_bytes(), "3.11").unwrap(), None);
    }
}
