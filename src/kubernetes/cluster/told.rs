//! What a watch tells: lines of JSON, of which little is of use here.

use serde::Deserialize;

/// How large what is told of one object may be: etcd holds 1.5 MB.
pub(super) const MOST_BYTES: usize = 8 << 20;

/// A line of a watch; the rest of the object is of no use here.
#[derive(Deserialize)]
pub(super) struct Told {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) object: Object,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Object {
    pub(super) metadata: Metadata,
    /// Of a `Status`.
    pub(super) code: u16,
    /// Of an event.
    #[serde(rename = "involvedObject")]
    pub(super) involved: Option<Involved>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    #[serde(rename = "resourceVersion")]
    pub(super) resource_version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Involved {
    pub(super) uid: String,
}

/// Bytes as they come, and the whole lines in them.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Adds bytes; false when a line becomes too long.
    pub(super) fn add(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        self.0.len() <= MOST_BYTES
    }

    /// The next line that has ended and is not empty.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let end = self.0.iter().position(|byte| *byte == b'\n')?;
            let line: Vec<u8> = self.0.drain(..=end).collect();
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces_and_are_not_endless() {
        let mut lines = Lines::default();
        assert!(lines.add(b"{\"a\":"));
        assert_eq!(lines.next(), None);
        assert!(lines.add(b"1}\n\r\n{}\n{"));
        assert_eq!(lines.next().unwrap(), b"{\"a\":1}\n");
        assert_eq!(lines.next().unwrap(), b"{}\n");
        assert_eq!(lines.next(), None);
        assert!(!lines.add(&vec![b' '; MOST_BYTES]));
    }
}
