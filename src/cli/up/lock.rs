//! `overcoat up --lock`: what is outside of Section 1 now, written down as delivered, once git agrees that it is.

use std::path::Path;

use super::baseline::commit_named;
use super::{Args, checks};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{env, print};
use crate::event::{Event, Observer};
use crate::release::hopr::baseline::{self, Git, Known};
use crate::release::hopr::{Lock, Pod, check, compare, lock};

/// Writes the lock of these pods; those that it has already stay.
///
/// # Errors
/// [`Code::Refused`] when a text cannot be taken apart, the lock has another one, or the first commit that has the file (the one of
/// `--baseline`) has another one and `--allow-section2` was not given: nothing is written then.
pub(super) fn run(
    args: &Args,
    root: &Path,
    pods: &[Pod],
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let mut lock = Lock::read(root)?.unwrap_or_default();
    for pod in pods {
        let path = pod.module();
        let name = lock::name(root, &path);
        let read = compare::read(&check::text(&path)?).map_err(|error| {
            Diagnostic::new(
                Code::Refused,
                format!("{name}:{}: {}", error.line, error.reason),
            )
        })?;
        if let Some((from, delivered)) = in_git(args, &path, &name, observer)?
            && let Some(diff) =
                compare::difference(&delivered, &read.parts, &from, &path.display().to_string())
        {
            let text = format!(
                "{name}: it differs outside of Section 1 from {from}\n{}",
                diff.trim_end()
            );
            if !args.allow_section2 {
                return Err(Diagnostic::new(
                    Code::Refused,
                    format!("`{}` was not written, for it would take a change for what was delivered", lock::FILE),
                )
                .also(text)
                .hint("take the change back; name the commit that has the delivered text, `--baseline REV`; or lock it as it is: `--allow-section2`"));
            }
            observer.observe(Event::Warning { text, hint: None });
        }
        if !lock.add(&name, &read.parts) {
            return Err(Diagnostic::new(
                Code::Refused,
                format!("`{name}` differs outside of Section 1 from what `{}` says was delivered", lock::FILE),
            )
            .hint("`overcoat up --dry-run` shows the difference; remove the lock file if the new text is the delivered one"));
        }
    }
    if !args.dry_run {
        lock.write(root)?;
    }
    print(&Lock::path(root).display().to_string())
}

/// What git knows was delivered, and the commit's name: the first commit that has the file, or the one of `--baseline`.
fn in_git(
    args: &Args,
    path: &Path,
    name: &str,
    observer: &dyn Observer,
) -> Result<Option<(String, crate::release::hopr::sections::Parts)>, Diagnostic> {
    let host = env::git();
    let git = host.git.as_ref().map(|program| Git {
        program,
        variables: &host.variables,
    });
    let known = match (&args.baseline, &git) {
        (Some(revision), git) => {
            let found = git
                .as_ref()
                .and_then(|git| baseline::at_revision(git, path, revision));
            let (text, commit) = found.ok_or_else(|| {
                Diagnostic::new(
                    Code::Refused,
                    format!("`--baseline {revision}`: git knows no such commit that has `{name}`"),
                )
            })?;
            Known::Text { text, commit }
        }
        (None, Some(git)) => baseline::at_first_commit(git, path),
        (None, None) => Known::Nothing,
    };
    match known {
        Known::Text { text, commit } => {
            let from = commit_named(&commit);
            Ok(compare::read(&text).ok().map(|read| (from, read.parts)))
        }
        Known::Shallow => {
            observer.observe(checks::shallow(name));
            Ok(None)
        }
        Known::Nothing => Ok(None),
    }
}
