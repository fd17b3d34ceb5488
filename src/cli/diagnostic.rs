//! What a person reads when something failed: what happened, why, and what to do.

use std::fmt;
use std::path::Path;

use super::exit::Code;
use crate::build::{self, PlanError, packages};
use crate::builder_image::recipe;
use crate::event::printable;
use crate::python::index;
use crate::{image, layer, output, registry, sandbox, source, store};

/// An error as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The exit code.
    pub code: Code,
    /// What was attempted: the part after `error: `.
    pub what: String,
    /// The reasons, nearest first.
    pub because: Vec<String>,
    /// The last lines that a script printed.
    pub output: Vec<String>,
    /// Things a person can do now.
    pub hints: Vec<String>,
    /// True when the builder image could not be had: `s2i` has a status of its own for that.
    pub is_about_builder: bool,
    /// The exit status of a process that has told all of this already.
    pub told: Option<u8>,
    /// The exit status where it is another program's, and not `code`.
    pub status: Option<u8>,
}

impl Diagnostic {
    /// An error of one line.
    pub fn new(code: Code, what: impl fmt::Display) -> Self {
        Self {
            code,
            what: what.to_string(),
            because: Vec::new(),
            output: Vec::new(),
            hints: Vec::new(),
            is_about_builder: false,
            told: None,
            status: None,
        }
    }

    /// The failure of another process of ours, which has told why; its exit status.
    pub fn told(status: u8) -> Self {
        Self {
            told: Some(status),
            ..Self::new(Code::Internal, format!("it ended with status {status}"))
        }
    }

    /// The exit status of the command that fails with this.
    pub fn exit_status(&self) -> u8 {
        self.told.or(self.status).unwrap_or(self.code as u8)
    }

    /// Adds advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same for programs: what `--progress json` ends with.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "event": "error",
            "code": self.exit_status(),
            "what": self.what,
            "because": self.because,
            "output": self.output,
            "hints": self.hints,
        })
    }

    /// Adds one more reason.
    pub fn also(mut self, reason: impl std::fmt::Display) -> Self {
        self.because.push(reason.to_string());
        self
    }

    /// Says what was attempted; what was known becomes the reason.
    pub fn attempting(mut self, what: impl Into<String>) -> Self {
        let reason = std::mem::replace(&mut self.what, what.into());
        self.because.insert(0, reason);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let safe = |text: &str| text.lines().map(printable).collect::<Vec<_>>().join("\n");
        writeln!(f, "error: {}", safe(&self.what))?;
        for reason in &self.because {
            writeln!(f, "  because: {}", safe(reason))?;
        }
        if !self.output.is_empty() {
            writeln!(f, "  its last lines:")?;
            for line in &self.output {
                writeln!(f, "  | {line}")?;
            }
        }
        for hint in &self.hints {
            writeln!(f, "hint: {}", safe(hint))?;
        }
        Ok(())
    }
}

fn disk_full(what: impl fmt::Display) -> Diagnostic {
    Diagnostic::new(Code::DiskFull, what)
        .hint("free some space, or keep the store elsewhere: `--store DIR`; `overcoat gc` removes what was not \
               used lately, `overcoat rm IMAGE` an image")
}

fn interrupted() -> Diagnostic {
    Diagnostic::new(Code::Interrupted, "interrupted; nothing was left half-done")
}

impl From<build::Error> for Diagnostic {
    fn from(error: build::Error) -> Self {
        use build::Error;
        match error {
            Error::Interrupted => interrupted(),
            Error::Source(error) => error.into(),
            Error::Packages(error) => error.into(),
            Error::Target(error) => Self::new(Code::UnsuitableBuilder, error),
            Error::Plan(error) => error.into(),
            Error::Recipe(error) => error.into(),
            Error::Sandbox(error) => error.into(),
            Error::Layer(error) => error.into(),
            Error::Store(error) => error.into(),
            Error::Image(error) => error.into(),
            Error::Registry(error) => error.into(),
            Error::Output(error) => error.into(),
            Error::File(error) => error.into(),
            Error::Http(error) => Self::new(Code::Registry, error),
            Error::Metadata(ref error) => Self {
                hints: error.hints(),
                ..Self::new(Code::Script, error)
            },
            Error::Scripts(error) => Self::new(Code::Usage, error)
                .hint("it is the directory of the scripts, without their names: `image://`, `file://` or `http(s)://`"),
            Error::NotHere { .. } => Self::new(Code::NoSuchImage, &error).hint(
                "allow the registry to be asked (`--pull-policy if-not-present`), or bring the image here: `overcoat pull`",
            ),
            Error::Engine(error) => error.into(),
            Error::Builder { image, source } => {
                let diagnostic = Self::from(*source);
                let code = match diagnostic.code {
                    Code::NoSuchImage | Code::Output => Code::NoBuilder,
                    code => code,
                };
                let what = format!("cannot get the builder image `{image}`");
                Self {
                    code,
                    is_about_builder: true,
                    ..diagnostic.attempting(what)
                }
            }
            Error::Runtime { image, source } => {
                let what = format!("cannot get the runtime image `{image}`");
                Self::from(*source).attempting(what)
            }
            Error::WrongPlatform { .. } => Self::new(Code::UnsuitableBuilder, &error)
                .hint("name another builder image, or another `--platform`"),
            Error::InPlace(ref error) => Self {
                hints: error.hints(),
                ..Self::new(Code::Sandbox, error)
            },
            Error::NothingMayRun => Self::new(Code::Sandbox, &error).hint(
                "leave `--isolation` out, or use `--strategy direct` for an application that installs nothing",
            ),
            Error::Script { ref tail, ref log, ref entrypoint, .. } => {
                let diagnostic = Self::of_script(Code::Script, &error, tail, log);
                match entrypoint {
                    Some(entrypoint) => diagnostic.hint(format!(
                        "it ran as the argument of the builder image's entry point `{entrypoint}`; `--ignore-entrypoint` runs it alone"
                    )),
                    None => diagnostic,
                }
            }
            Error::Errand { ref tail, ref log, .. } => Self::of_script(Code::Packages, &error, tail, log),
        }
    }
}

impl Diagnostic {
    /// Of something that was executed and has left a log.
    fn of_script(code: Code, error: &build::Error, tail: &[String], log: &Path) -> Self {
        let log = format!("all that it printed is in `{}`", log.display());
        Self {
            hints: script_hints(tail).into_iter().chain([log]).collect(),
            output: tail.to_vec(),
            ..Self::new(code, error)
        }
    }
}

/// Advice for what scripts most often fail of; pip says it, but between other lines.
fn script_hints(tail: &[String]) -> Vec<String> {
    let said = |text: &str| tail.iter().any(|line| line.contains(text));
    let mut hints = Vec::new();
    if said("No matching distribution found") || said("Could not find a version that satisfies") {
        hints.push(
            "a package or version in the requirements does not exist on the package index, or not for this Python; \
             check its name and version, and `PIP_INDEX_URL` if a private index should have it"
                .to_owned(),
        );
    }
    if said("CERTIFICATE_VERIFY_FAILED") {
        hints.push("the host's certificates do not cover the package index; set `SSL_CERT_FILE` to a bundle that does".into());
    }
    if said("NewConnectionError") || said("Temporary failure in name resolution") {
        hints.push("the package index cannot be reached; behind a proxy, set `HTTPS_PROXY`".into());
    }
    if said("No space left on device") {
        hints.push("the disk of the store is full; keep it elsewhere with `--store DIR`".into());
    }
    hints
}

impl From<build::copy::Error> for Diagnostic {
    fn from(error: build::copy::Error) -> Self {
        use build::copy::Error;
        let code = match error {
            Error::Registry(error) => return error.into(),
            Error::Store(error) => return error.into(),
            Error::Output(error) => return error.into(),
            Error::Image(error) => return error.into(),
            Error::File(error) => return error.into(),
            Error::Name(error) => return error.into(),
            Error::Http(_) => Code::Registry,
            Error::NotInStore { .. } => Code::NoSuchImage,
            Error::Nameless { .. } => Code::Output,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<source::Error> for Diagnostic {
    fn from(error: source::Error) -> Self {
        use source::Error;
        let code = match &error {
            Error::Absent { .. }
            | Error::NotADirectory { .. }
            | Error::Location(_)
            | Error::NoInput
            | Error::ContextDir { .. }
            | Error::NoGit { .. }
            | Error::Git { .. }
            | Error::NoSuchRef { .. }
            | Error::InvalidRef { .. } => Code::NoSource,
            Error::EmptyRepository { .. } => Code::EmptyRepository,
            Error::Exclude { .. } => Code::Usage,
            Error::Requirements { .. } => Code::Requirements,
            Error::Unreadable { .. }
            | Error::Changed { .. }
            | Error::TooMany { .. }
            | Error::Archive { .. }
            | Error::File(_) => Code::UnreadableSource,
            Error::Interrupted => return interrupted(),
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<PlanError> for Diagnostic {
    fn from(error: PlanError) -> Self {
        let code = match &error {
            PlanError::Builder(_) | PlanError::NoCommand { .. } => Code::NotABuilder,
            PlanError::Forbidden(_) => Code::ForbiddenUser,
            PlanError::Together { .. } => Code::Usage,
            _ => Code::UnsuitableBuilder,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<packages::Error> for Diagnostic {
    fn from(error: packages::Error) -> Self {
        use packages::Error;
        let code = match &error {
            Error::Requirements(_) | Error::Lock(_) | Error::NothingToLock => Code::Requirements,
            Error::LockUnusable { .. } | Error::Resolve(_) | Error::Built { .. } => Code::Packages,
            Error::NotLocked { .. } => Code::NotLocked,
            Error::Wheel(_) => Code::DamagedImage,
            Error::Index(error) => match error {
                index::Error::Interrupted => return interrupted(),
                error if error.is_full() => return disk_full(error),
                index::Error::Unauthorised { .. } => Code::Unauthorised,
                index::Error::Digest { .. } | index::Error::Size { .. } => Code::DigestMismatch,
                _ => Code::Registry,
            },
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<recipe::Error> for Diagnostic {
    fn from(error: recipe::Error) -> Self {
        if error.is_interrupted() {
            return interrupted();
        }
        if error.is_full() {
            return disk_full(&error);
        }
        let code = if error.is_unknown() {
            Code::NoBuilder
        } else {
            Code::Recipe
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<sandbox::Error> for Diagnostic {
    fn from(error: sandbox::Error) -> Self {
        use sandbox::Error;
        let code = match &error {
            Error::Interrupted => return interrupted(),
            error if error.is_full() => return disk_full(error),
            Error::NoSuchUser { .. } | Error::Command { .. } => Code::Process,
            Error::Injection { .. } => Code::Usage,
            _ => Code::Sandbox,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<layer::Error> for Diagnostic {
    fn from(error: layer::Error) -> Self {
        if error.is_full() {
            return disk_full(&error);
        }
        match error {
            layer::Error::Interrupted => interrupted(),
            layer::Error::DiffId { .. } | layer::Error::ContentHash { .. } => {
                Self::new(Code::DigestMismatch, error)
            }
            layer::Error::Hostile(_) | layer::Error::Path(_) => {
                Self::new(Code::DamagedImage, error)
            }
            _ => Self::new(Code::File, error),
        }
    }
}

impl From<store::Error> for Diagnostic {
    fn from(error: store::Error) -> Self {
        if error.is_full() {
            return disk_full(&error);
        }
        if error.is_mismatch() {
            return Self::new(Code::DigestMismatch, &error).hint(
                "the bytes were changed or cut; fetch the image again, and if they are in the store, `overcoat rm` it first",
            );
        }
        match &error {
            store::Error::Interrupted => interrupted(),
            store::Error::NotAStore { .. } => Self::new(Code::Store, &error)
                .hint("choose an empty or new directory with `--store DIR`"),
            store::Error::Absent { .. } => {
                Self::new(Code::Store, &error).hint("pull or build the image again")
            }
            store::Error::File(_) => Self::new(Code::File, &error),
            _ => Self::new(Code::DamagedImage, &error),
        }
    }
}

impl From<image::Error> for Diagnostic {
    fn from(error: image::Error) -> Self {
        match error {
            image::Error::NoPlatform { .. } => Self::new(Code::UnsuitableBuilder, error)
                .hint("choose one that there is with `--platform`"),
            error => Self::new(Code::DamagedImage, error),
        }
    }
}

impl From<registry::Error> for Diagnostic {
    fn from(error: registry::Error) -> Self {
        use registry::Error;
        if let Error::Store(error) = error {
            return error.into();
        }
        let code = match error.at_the_registry() {
            Error::Interrupted => return interrupted(),
            Error::Digest { .. } | Error::Size { .. } => Code::DigestMismatch,
            Error::Document { .. } | Error::Schema1 { .. } => Code::DamagedImage,
            Error::NotFound { .. } => Code::NoSuchImage,
            Error::Unauthorised { .. } | Error::Denied { .. } | Error::Credentials { .. } => {
                Code::Unauthorised
            }
            _ => Code::Registry,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<output::Error> for Diagnostic {
    fn from(error: output::Error) -> Self {
        if error.is_full() {
            return disk_full(&error);
        }
        let code = match &error {
            output::Error::Interrupted => return interrupted(),
            output::Error::Store(store::Error::NotAStore { .. }) => Code::Output,
            output::Error::Store(_) => {
                let output::Error::Store(error) = error else {
                    unreachable!("matched above")
                };
                return error.into();
            }
            output::Error::NoSuchImage { .. } => Code::NoSuchImage,
            output::Error::Format { .. } | output::Error::Image { .. } => Code::DamagedImage,
            output::Error::Damaged { .. } => Code::DigestMismatch,
            output::Error::Nameless { .. } | output::Error::Name { .. } => Code::InvalidReference,
            output::Error::File(_)
            | output::Error::Layer { .. }
            | output::Error::Platforms { .. } => Code::Output,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<output::load::Error> for Diagnostic {
    fn from(error: output::load::Error) -> Self {
        use output::load::Error;
        match error {
            Error::Interrupted => interrupted(),
            Error::Archive(error) => error.into(),
            Error::File(error) if error.is_full() => disk_full(error),
            error => Self {
                output: error.output().to_vec(),
                hints: error.hints(),
                ..Self::new(Code::Output, &error)
            },
        }
    }
}

impl From<crate::fs::Error> for Diagnostic {
    fn from(error: crate::fs::Error) -> Self {
        match error.is_full() {
            true => disk_full(&error),
            false => Self::new(Code::File, &error),
        }
    }
}

impl From<crate::reference::ParseError> for Diagnostic {
    fn from(error: crate::reference::ParseError) -> Self {
        Self::new(Code::InvalidReference, error)
            .hint("a name is written `[HOST[:PORT]/]NAME[:TAG]`, for instance `registry.example.com/team/app:1.0`")
    }
}
