//! Text from outside, in lines of bounded length.

use std::io::{self, BufRead, BufReader, Read};

use crate::event::printable;

/// The longest line that is kept, in bytes; what follows is passed over.
const MAX_LINE: usize = 16 << 10;
/// The longest name or version, in bytes.
const MAX_WORD: usize = 256;

/// The lines of a text. What is not UTF-8 is replaced.
pub(super) struct Lines<R> {
    inner: BufReader<io::Take<R>>,
}

impl<R: Read> Lines<R> {
    /// The lines of the first `limit_bytes`, and whether there was more ([`Self::is_cut`]).
    pub(super) fn new(inner: R, limit_bytes: u64) -> Self {
        Self {
            inner: BufReader::with_capacity(32 << 10, inner.take(limit_bytes + 1)),
        }
    }

    /// True when the text is longer than what is read of it.
    pub(super) fn is_cut(&self) -> bool {
        self.inner.get_ref().limit() == 0
    }

    /// The next line without its end; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        let mut line: Vec<u8> = Vec::new();
        let mut is_there = false;
        loop {
            let buffer = self.inner.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            is_there = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = MAX_LINE.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.inner.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !is_there {
            return Ok(None);
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }
}

/// A value from outside that may be shown and is no longer than `limit` characters; `None` when nothing is left.
pub(super) fn value(text: &str, limit: usize) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let cut: String = text.chars().take(limit).collect();
    Some(printable(&cut).replace('\t', " "))
}

/// A name or a version: short, and without blanks or control characters. What is longer is none.
pub(super) fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let is_fine = |c: char| !c.is_control() && !c.is_whitespace() && c != '\u{fffd}';
    (!text.is_empty() && text.len() <= MAX_WORD && text.chars().all(is_fine))
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_none_is_lost() {
        let long = "x".repeat(MAX_LINE + 5);
        let text = format!("a\r\n{long}\n\nlast");
        let mut lines = Lines::new(text.as_bytes(), 1 << 20);
        assert_eq!(lines.next().unwrap().as_deref(), Some("a"));
        assert_eq!(lines.next().unwrap().map(|line| line.len()), Some(MAX_LINE));
        assert_eq!(lines.next().unwrap().as_deref(), Some(""));
        assert_eq!(lines.next().unwrap().as_deref(), Some("last"));
        assert_eq!(lines.next().unwrap(), None);
        assert!(!lines.is_cut());
        let mut lines = Lines::new(&b"abc\ndef"[..], 5);
        while lines.next().unwrap().is_some() {}
        assert!(lines.is_cut());
    }

    #[test]
    fn what_could_break_a_document_or_a_terminal_is_no_word() {
        for text in [
            "",
            " ",
            "a b",
            "a\u{1b}[0m",
            "a\0",
            "\u{fffd}",
            &"x".repeat(257),
        ] {
            assert_eq!(word(text), None, "{text:?}");
        }
        assert_eq!(word(" 1:2.0~rc1+b2 ").as_deref(), Some("1:2.0~rc1+b2"));
        assert_eq!(value("a\u{1b}b\tc", 3).as_deref(), Some("a\u{fffd}b"));
    }
}
