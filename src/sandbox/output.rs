//! Reading what a step prints: as lines for people, or as bytes for a file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc;

use super::Error;
use crate::event::{Stream, printable};

/// A line longer than this is cut; a step may print anything.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// What a reader has to tell.
#[derive(Debug)]
pub(super) enum Said {
    /// A line, safe to show.
    Line(Stream, String),
    /// The file can take no more, and the step is to be ended.
    Full(Error),
}

/// Reads lines until the stream ends or nobody listens any more.
pub(super) fn read_lines(stream: impl Read, which: Stream, says: &mpsc::SyncSender<Said>) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut bytes)
        {
            Ok(0) | Err(_) => return,
            // The rest goes: in two lines, a secret at the cut would not be recognised.
            Ok(_) if bytes.last() != Some(&b'\n') => {
                if reader.skip_until(b'\n').is_err() {
                    return;
                }
            }
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&bytes);
        // Progress bars rewrite their line with carriage returns; what was written last counts.
        let line = text.trim_end_matches(['\n', '\r']);
        let line = line.rsplit('\r').next().unwrap_or(line);
        if says.send(Said::Line(which, printable(line))).is_err() {
            return;
        }
    }
}

/// Writes the stream's bytes into a file, `limit` at most.
pub(super) fn keep(
    mut stream: impl Read,
    mut file: File,
    limit: u64,
    says: &mpsc::SyncSender<Said>,
) {
    let mut rest = limit;
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = match stream.read(&mut piece) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let length = u64::try_from(count).unwrap_or(u64::MAX);
        let written = match rest.checked_sub(length) {
            None => Err(Error::TooMuchOutput { limit }),
            Some(left) => {
                rest = left;
                file.write_all(&piece[..count]).map_err(|error| {
                    crate::fs::Error::new("write", Path::new("the step's output"), error).into()
                })
            }
        };
        if let Err(error) = written {
            // Whoever listens ends the step, and with it this stream's other end.
            let _ = says.send(Said::Full(error));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_its_limit_and_not_a_byte_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let kept = |bytes: &[u8], limit| {
            let (says, said) = mpsc::sync_channel(8);
            keep(bytes, File::create(&path).unwrap(), limit, &says);
            drop(says);
            (
                said.iter().collect::<Vec<_>>(),
                std::fs::read(&path).unwrap(),
            )
        };
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let (said, written) = kept(&bytes, 200_000);
        assert!(said.is_empty() && written == bytes, "{said:?}");
        let (said, written) = kept(&bytes, 199_999);
        assert!(
            matches!(
                said[..],
                [Said::Full(Error::TooMuchOutput { limit: 199_999 })]
            ),
            "{said:?}"
        );
        assert!(written.len() < 200_000 && bytes.starts_with(&written));
    }

    #[test]
    fn lines_say_which_stream_they_are_of() {
        let (says, said) = mpsc::sync_channel(8);
        read_lines(&b"  one\na\rtwo\r\nend"[..], Stream::Err, &says);
        drop(says);
        let lines: Vec<_> = said.iter().map(|said| format!("{said:?}")).collect();
        let expected = ["  one", "two", "end"].map(|line| format!("Line(Err, {line:?})"));
        assert_eq!(lines, expected);
    }
}
