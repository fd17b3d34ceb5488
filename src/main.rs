//! Sets the process up and calls the library: a stage of the sandbox if we are one, else the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // Before any thread exists: namespaces are entered by single-threaded processes only.
    let stage = overcoat::sandbox::stage_main(arguments.get(1..).unwrap_or_default());
    ExitCode::from(stage.unwrap_or_else(|| overcoat::cli::main(arguments)))
}
