//! Passwords: from a terminal that does not show them, else from stdin. They are never in an argument's message.

use std::io::{self, BufRead, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};

use super::diagnostic::Diagnostic;
use super::exit::Code;

/// No password is longer, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Why nothing was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Interrupted,
    EndOfInput,
}

/// True when a person can be asked.
pub(super) fn is_terminal() -> bool {
    rustix::termios::isatty(io::stdin())
}

/// Asks on the terminal for a line that may be seen.
///
/// # Errors
/// When stdin cannot be read, or ends.
pub(super) fn ask(prompt: &str) -> Result<String, Diagnostic> {
    show(prompt);
    let mut line = String::new();
    let limit = MAX_BYTES as u64;
    let read = io::stdin().lock().take(limit).read_line(&mut line);
    read.map_err(|error| unreadable(&error))?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(nothing()),
        line => Ok(line.to_owned()),
    }
}

/// Reads a password: on a terminal after `prompt` and without showing it, else all of stdin but the end of its last
/// line.
///
/// # Errors
/// When there is none, or Ctrl-C was typed.
pub(super) fn password(prompt: &str) -> Result<String, Diagnostic> {
    let bytes = match is_terminal() {
        true => unseen(prompt)?,
        false => whole()?,
    };
    let mut text = String::from_utf8(bytes)
        .map_err(|_| Diagnostic::new(Code::Usage, "the password is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
    }
    if text.ends_with('\r') {
        text.pop();
    }
    match text.is_empty() {
        true => Err(nothing()),
        false => Ok(text),
    }
}

fn whole() -> Result<Vec<u8>, Diagnostic> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let read = io::stdin().lock().take(limit).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&error))?;
    if bytes.len() > MAX_BYTES {
        let text = format!("the password on stdin is longer than {MAX_BYTES} bytes");
        return Err(Diagnostic::new(Code::Usage, text));
    }
    Ok(bytes)
}

fn unseen(prompt: &str) -> Result<Vec<u8>, Diagnostic> {
    // First: what is typed before is thrown away, and whoever sees the prompt types.
    let quiet = Quiet::begin().map_err(|error| unreadable(&error.into()))?;
    show(prompt);
    let typed = typed(io::stdin().lock().bytes());
    drop(quiet);
    show("\n");
    match typed.map_err(|error| unreadable(&error))? {
        Ok(bytes) => Ok(bytes),
        Err(Ended::EndOfInput) => Err(nothing()),
        Err(Ended::Interrupted) => Err(Diagnostic::new(Code::Interrupted, "interrupted")),
    }
}

/// A terminal that shows nothing of what is typed, and gives Ctrl-C as a character: a signal would leave it like this.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> rustix::io::Result<Self> {
        let before = rustix::termios::tcgetattr(io::stdin())?;
        let mut now = before.clone();
        now.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        now.special_codes[SpecialCodeIndex::VMIN] = 1;
        now.special_codes[SpecialCodeIndex::VTIME] = 0;
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Flush, &now)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // There is no better way to put it right.
        let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// What was typed up to Enter, after corrections.
fn typed(bytes: impl Iterator<Item = io::Result<u8>>) -> io::Result<Result<Vec<u8>, Ended>> {
    let mut line = Vec::new();
    for byte in bytes {
        match byte? {
            b'\r' | b'\n' => return Ok(Ok(line)),
            // Ctrl-C, Ctrl-\.
            3 | 28 => return Ok(Err(Ended::Interrupted)),
            // Ctrl-D.
            4 if line.is_empty() => return Ok(Err(Ended::EndOfInput)),
            4 => return Ok(Ok(line)),
            // Backspace and Delete: a character, which may have several bytes.
            8 | 127 => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U.
            21 => line.clear(),
            byte if line.len() < MAX_BYTES => line.push(byte),
            _ => {}
        }
    }
    Ok(Err(Ended::EndOfInput))
}

fn show(text: &str) {
    // A prompt that nobody sees is no reason not to read.
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

fn unreadable(error: &io::Error) -> Diagnostic {
    let reason = crate::fs::reason(error);
    Diagnostic::new(Code::Usage, format!("cannot read from stdin: {reason}"))
}

fn nothing() -> Diagnostic {
    Diagnostic::new(Code::Usage, "there was nothing on stdin")
        .hint("give the password there: `… --password-stdin < FILE`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_line_can_be_corrected_ended_and_given_up() {
        let table = [
            ("abc\n", Ok("abc")),
            ("abc\rrest", Ok("abc")),
            ("abx\x7fc\n", Ok("abc")),
            ("aé\x08b\n", Ok("ab")),
            ("\x7f\x7fa\n", Ok("a")),
            ("wrong\x15right\n", Ok("right")),
            ("half\x04", Ok("half")),
            ("secret\x03", Err(Ended::Interrupted)),
            ("\x04", Err(Ended::EndOfInput)),
        ];
        for (text, expected) in table {
            let (bytes, expected) = (text.bytes().map(Ok), expected.map(str::as_bytes));
            let found = typed(bytes).unwrap();
            assert_eq!(
                found.as_deref().map_err(|ended| *ended),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(typed(std::iter::empty()).unwrap(), Err(Ended::EndOfInput));
    }
}
