//! `overcoat create` and `overcoat init`.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;

use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::print;
use crate::event::printable;
use crate::scaffold::{self, Outcome, application, builder};

/// Begin a builder image of one's own
///
/// Writes a recipe, S2I scripts for Python, a test with its application, a Dockerfile and a Makefile. `overcoat builder
/// build DIRECTORY/` makes the image, `DIRECTORY/test/run` tries it. What exists is left as it is, with an error.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// What the builder image is called
    image: String,

    /// Where the files go; made if need be
    directory: PathBuf,
}

/// Make an application ready for S2I
///
/// Writes `.s2i/environment`, which says how the application is started, found by looking, and `.s2iignore`. What
/// exists is left as it is.
#[derive(ClapArgs, Debug)]
pub(super) struct InitArgs {
    /// The application
    #[arg(default_value = ".")]
    directory: PathBuf,

    /// Write `.s2i/bin/assemble` and `run`, too, which call those of the builder image
    #[arg(long)]
    hooks: bool,
}

/// Runs `create`: what was written goes to stdout.
pub(super) fn run(args: &Args) -> Result<(), Diagnostic> {
    scaffold(&args.image, &args.directory, print)
}

/// Writes the files of a builder image called `image`; `tell` gets the path of each.
///
/// # Errors
/// [`Code::InvalidReference`]; [`Code::File`] when something was not written, for it exists or cannot be.
pub(super) fn scaffold(
    image: &str,
    directory: &Path,
    tell: impl Fn(&str) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
    let refuse = |reason: String| Diagnostic::new(Code::InvalidReference, reason);
    let files = builder::files(image).map_err(refuse)?;
    image.parse::<crate::reference::Reference>()?;
    let outcomes = scaffold::write(&files, directory).map_err(failed)?;
    let mut problems = Vec::new();
    for (path, outcome) in outcomes {
        let shown = printable(&directory.join(path).display().to_string());
        match outcome {
            Outcome::Written => tell(&shown)?,
            Outcome::Exists => problems.push(format!("`{shown}` exists and was left as it is")),
            Outcome::Failed(error) => problems.push(error.to_string()),
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let what = match problems.len() {
        1 => "1 file was not written".to_owned(),
        count => format!("{count} files were not written"),
    };
    let diagnostic =
        Diagnostic::new(Code::File, what).hint("give a directory that is empty or new");
    Err(problems.into_iter().fold(diagnostic, Diagnostic::also))
}

/// Runs `init`: what was written and why goes to stdout.
pub(super) fn init(args: &InitArgs) -> Result<(), Diagnostic> {
    if !args.directory.is_dir() {
        let what = format!("`{}` is not a directory", args.directory.display());
        return Err(Diagnostic::new(Code::NoSource, what)
            .hint("give the directory that holds the application"));
    }
    let advice = application::advise(&args.directory, args.hooks).map_err(failed)?;
    let files: Vec<_> = advice.iter().map(|advice| advice.file.clone()).collect();
    let outcomes = scaffold::write(&files, &args.directory).map_err(failed)?;
    let mut problems = Vec::new();
    for ((path, outcome), advice) in outcomes.into_iter().zip(&advice) {
        match outcome {
            Outcome::Written => print(&format!("{path}: {}", printable(&advice.why)))?,
            Outcome::Exists => print(&format!("{path}: it exists and was left as it is"))?,
            Outcome::Failed(error) => problems.push(error.to_string()),
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => {
            let diagnostic = Diagnostic::new(Code::File, "not all files were written");
            Err(problems.into_iter().fold(diagnostic, Diagnostic::also))
        }
    }
}

fn failed(error: crate::fs::Error) -> Diagnostic {
    Diagnostic::new(Code::File, error)
}
