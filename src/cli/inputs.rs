//! `overcoat inputs`.

use std::path::Path;

use clap::Args as ClapArgs;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::{observer, print};
use crate::release::result;
use crate::source::{IgnoreFile, Rules, SourceKind, local};

/// List the files that an image is made of
///
/// The source's files as a build takes them, by the same rules. For Skaffold: `dependencies: {command: overcoat inputs --json}`
/// watches exactly what would change the image.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The application's directory
    #[arg(default_value = ".")]
    source: String,

    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let observer = observer(shared, true)?;
    // A build of a project leaves out what it writes itself.
    let directory = Path::new(&args.source);
    let is_project = directory.join(crate::project::FILE).is_file();
    let own = is_project.then(|| result::FILE.as_bytes().to_vec());
    let rules = Rules {
        ignore_files: vec![IgnoreFile::S2i],
        left_out: own.into_iter().collect(),
        ..Rules::default()
    };
    let tree = local::read(directory, &rules, observer.as_ref())?;
    let entries = tree.entries.iter();
    let files = entries.filter(|entry| !matches!(entry.kind, SourceKind::Directory));
    let files: Vec<String> = files
        .map(|entry| String::from_utf8_lossy(&entry.path).into_owned())
        .collect();
    match args.json {
        true => print(&serde_json::to_string(&files).unwrap_or_default()),
        false if files.is_empty() => Ok(()),
        false => print(&files.join("\n")),
    }
}
