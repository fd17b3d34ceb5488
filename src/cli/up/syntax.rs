//! Whether `app.py` compiles: asked of the python3 of this machine before anything is built, else of the image's before it goes anywhere.
//! Nothing of it is executed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::checks::refusal;
use super::make::Made;
use super::{Args, Plan};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::env;
use crate::cli::exit::Code;
use crate::event::{Event, Observer, printable, stage};
use crate::kubernetes::local::process::Runner;
use crate::release::hooks::process::{self, End};
use crate::release::hopr::Finding;

/// How long one file may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The name of the interpreter on this machine.
const PYTHON: &str = "python3";
/// Says line and reason, and ends with [`REFUSED`], for a file that does not compile.
const PROGRAM: &str = "import ast, sys\ntry:\n    ast.parse(open(sys.argv[1], 'rb').read(), sys.argv[1])\n\
     except SyntaxError as error:\n    print(error.lineno or 1, error.msg)\n    sys.exit(3)\n";
const REFUSED: i32 = 3;

/// Whose Python is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// This machine's.
    Machine,
    /// The image's, after it was built.
    Image,
    /// Nobody's.
    Nobody,
}

/// Whom the flags and the machine leave to ask.
pub(super) fn who(args: &Args) -> Who {
    if args.no_check_syntax {
        return Who::Nobody;
    }
    let search = env::search_path();
    let is_there = |directory: &str| Path::new(directory).join(PYTHON).is_file();
    match args.check_syntax || search.split(':').any(is_there) {
        true => Who::Machine,
        false => Who::Image,
    }
}

/// Asks the python3 of this machine whether it can read a module.
///
/// # Errors
/// When it cannot be run.
pub(super) fn on_this_machine(
    path: &Path,
    observer: &dyn Observer,
) -> Result<Option<Finding>, Diagnostic> {
    let place = tempfile::tempdir().map_err(|error| {
        crate::fs::Error::new("create a directory in", std::env::temp_dir(), error)
    })?;
    let runner = Runner {
        place: place.path(),
        limit: LIMIT,
        observer,
    };
    let shown = path.display().to_string();
    let ended = runner.run(PYTHON, &["-I", "-c", PROGRAM, &shown])?;
    if ended.status.success() {
        observer.observe(Event::Note {
            text: format!("{PYTHON} of this machine can read {shown}"),
        });
        return Ok(None);
    }
    if ended.status.code() != Some(REFUSED) {
        return Err(ended.failed().into());
    }
    let said = ended.stdout.trim();
    let (line, text) = said.split_once(' ').unwrap_or(("1", said));
    let text = format!("{PYTHON} of this machine refuses it: {}", printable(text));
    let hint = "correct it; if the Python of the image takes it: `--no-check-syntax`";
    Ok(Some(refusal(
        path.to_owned(),
        line.parse().ok(),
        text,
        hint,
    )))
}

/// Asks the Python of each image, in the sandbox.
///
/// # Errors
/// [`Code::Refused`] for a module that it cannot read. That there is no Python is a warning.
pub(super) fn in_images(
    plan: &Plan,
    made: &[Made],
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let program = env::host(shared)?.program;
    for (planned, made) in plan.pods.iter().zip(made) {
        let name = &planned.pod.name;
        let asking = stage(observer, "check syntax", name.clone());
        let mut command = Command::new(&program);
        command.arg("run").arg(made.name.to_string());
        if let Some(store) = &shared.store {
            command.arg("--store").arg(store);
        }
        command.args(["--", "python", "-I", "-c", PROGRAM, "app.py"]);
        let (end, said) = process::run(&mut command, Some(LIMIT), "python", observer)
            .map_err(|error| crate::fs::Error::new("start", &program, error))?;
        match end {
            End::Exited(status) if status.success() => asking.finish(""),
            End::Exited(status) if status.code() == Some(REFUSED) => {
                let what = format!("the Python of the image cannot read `app.py` of the pod `{name}`");
                let refused = Diagnostic::new(Code::Refused, what)
                    .also("nothing was loaded, pushed or deployed")
                    .hint("correct it in the line that is named");
                return Err(Diagnostic {
                    output: said,
                    ..refused
                });
            }
            End::Exited(status) => observer.observe(Event::Warning {
                text: format!(
                    "whether `app.py` of the pod `{name}` compiles is not known: there is no {PYTHON} here, and the image's `python` {}",
                    process::how(status)
                ),
                hint: Some("`--no-check-syntax` leaves the question out".to_owned()),
            }),
            End::TimedOut(_) => {
                let what = format!("the Python of the image of `{name}` does not end");
                return Err(Diagnostic::new(Code::Refused, what));
            }
            End::Interrupted => return Err(crate::build::Error::Interrupted.into()),
        }
    }
    Ok(())
}
