//! What people read when results, outputs or a promotion fail.

use super::diagnostic::Diagnostic;
use super::exit::Code;
use crate::release::{outputs, promote, result};

impl From<result::Error> for Diagnostic {
    fn from(error: result::Error) -> Self {
        use result::Error;
        let diagnostic = match error {
            Error::File(error) => return error.into(),
            Error::Reference { ref source, .. } => Self::new(Code::NoResult, &error).also(source),
            ref error => Self::new(Code::NoResult, error),
        };
        Self {
            hints: error.hints(),
            ..diagnostic
        }
    }
}

impl From<outputs::Error> for Diagnostic {
    fn from(error: outputs::Error) -> Self {
        use outputs::Error;
        let code = match error {
            Error::File { source, .. } if source.is_full() => return source.into(),
            Error::Stale(source) if source.is_full() => return source.into(),
            Error::Result(error) => return error.into(),
            Error::ForOne { .. }
            | Error::Platforms { .. }
            | Error::SameFile { .. }
            | Error::Foreign { .. } => Code::Usage,
            Error::File { .. }
            | Error::Stale(_)
            | Error::NoConfiguration { .. }
            | Error::TooLarge { .. }
            | Error::SameVariable { .. } => Code::Output,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<promote::Error> for Diagnostic {
    fn from(error: promote::Error) -> Self {
        use promote::Error;
        let diagnostic = match error {
            Error::Result(error) => return error.into(),
            Error::Registry(error) => return error.into(),
            Error::Store(error) => return error.into(),
            Error::SamePlace { .. } => Self::new(Code::Usage, &error),
            Error::NoTag { .. } => Self::new(Code::NoResult, &error),
            Error::Name { ref source, .. } => {
                Self::new(Code::InvalidReference, &error).also(source)
            }
            Error::Gone { ref source, .. } => Self::new(Code::NoSuchImage, &error).also(source),
            Error::Clash { .. } | Error::Conflicts { .. } => Self::new(Code::Conflict, &error),
            Error::ReadBack { .. } => Self::new(Code::DigestMismatch, &error),
        };
        Self {
            hints: error.hints(),
            ..diagnostic
        }
    }
}
