//! `--as-dockerfile` and `generate`: what a person reads when there is no Dockerfile.

use super::diagnostic::Diagnostic;
use super::exit::Code;
use crate::dockerfile::Error;

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Unsayable { .. } | Error::Injection { .. } => Code::Usage,
            Error::NoScripts { .. } => Code::NotABuilder,
            Error::Unsafe { .. } => Code::UnreadableSource,
            Error::Occupied { .. } => Code::Output,
            Error::File(error) if error.is_full() => Code::DiskFull,
            Error::File(_) => Code::Output,
        };
        let diagnostic = Self::new(code, &error).attempting("cannot write a Dockerfile");
        error.hints().into_iter().fold(diagnostic, Self::hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_a_code_a_reason_and_advice() {
        let rows = [
            (
                Error::Unsayable {
                    what: "the variable",
                    name: "A B".to_owned(),
                    reason: "why",
                },
                2,
                "because: the variable `A B` cannot be written in a Dockerfile: why\nhint: change",
            ),
            (
                Error::NoScripts {
                    url: "file:///x".to_owned(),
                },
                21,
                "was found at `file:///x`\nhint: give the directory",
            ),
            (
                Error::Occupied {
                    path: "a/upload".into(),
                },
                60,
                "`a/upload` is there and was not written by overcoat",
            ),
        ];
        for (error, code, expected) in rows {
            let diagnostic = Diagnostic::from(error);
            assert_eq!(diagnostic.code as u8, code);
            let text = diagnostic.to_string();
            assert!(
                text.starts_with("error: cannot write a Dockerfile\n"),
                "{text}"
            );
            assert!(text.contains(expected), "{text}");
        }
    }
}
