//! What people read when a manifest is not edited.

use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::kubernetes::manifest::Error;

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let hints = error.hints();
        let code = match error {
            Error::File(error) => return error.into(),
            Error::Reference(error) => return error.into(),
            Error::NoContainer { .. }
            | Error::NoWorkload { .. }
            | Error::NoSuchWorkload { .. }
            | Error::NoSuchNamespace { .. } => Code::NoContainer,
            Error::Ambiguous { .. } | Error::Unnamed { .. } => Code::Ambiguous,
            Error::Template { .. } => Code::Template,
            Error::NoFile { .. }
            | Error::NoKustomization { .. }
            | Error::Changed { .. }
            | Error::Half { .. } => Code::File,
            _ => Code::Manifest,
        };
        Self {
            hints,
            ..Self::new(code, &error)
        }
    }
}
