//! `--compile-bytecode`: what an image would compile at its first start, compiled beforehand, as a layer of its own.
//!
//! The image's own interpreter does it, in the sandbox, on top of all other layers. The files are of the kind that is
//! checked by the hash of their source (PEP 552): no time is in them, and none needs to be kept. The bytes depend on the
//! interpreter and the sources, not on how many processes compile: hash randomisation is off, and each file is marshalled
//! by itself.

use super::commit::{self, Form};
use super::inputs::Redaction;
use super::rootfs::{RootFs, Wanted};
use super::step_output::{LOGS, StepOutput};
use super::{Error, RootfsKind, ScriptFailure, Tools};
use crate::event::{Event, Observer, stage};
use crate::image::Image;
use crate::image::edit::NewLayer;
use crate::layer::EntryPath;
use crate::layer::change::Change;
use crate::sandbox::{self, Input, Network, Process};

/// What the interpreter executes.
const PROGRAM: &str = include_str!("compile_bytecode.py");
/// Its status when there were files that it could not compile.
const INCOMPLETE: u8 = 3;
/// Where bytecode is kept.
///
/// # Spec
/// PEP 3147.
const CACHE: &[u8] = b"__pycache__";

/// What is compiled, and by whom.
#[derive(Clone, Debug)]
pub struct Bytecode {
    /// The interpreter, as a process without further arguments: `python3` as the image's `PATH` has it, or an absolute
    /// path. Its environment is that of the image.
    pub interpreter: Process,
    /// Directories to compile beside those in which the interpreter finds installed packages (`purelib` and `platlib`).
    pub directories: Vec<EntryPath>,
}

/// How it is done in this build.
pub(super) struct Step<'a> {
    pub bytecode: &'a Bytecode,
    pub form: Form,
    /// The name of the image: the log is called so.
    pub name: &'a str,
}

/// Compiles what has no valid bytecode in `base`, all of whose layers are in the store, and makes a layer of it that
/// holds `__pycache__` directories only; `None` when there was nothing to compile.
///
/// # Errors
/// [`Error::NothingMayRun`] without a sandbox, [`Error::Sandbox`] where none can show the new layers, [`Error::Script`]
/// when the interpreter cannot be started or fails. A file that cannot be compiled is no error: its package is told.
pub(super) fn layer(
    base: &Image,
    step: &Step<'_>,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Option<NewLayer>, Error> {
    let store = tools.store;
    let confinement = tools.confinement.ok_or(Error::NothingMayRun)?;
    if confinement.rootfs == RootfsKind::Host {
        return Err(sandbox::Error::Setup {
            step: "compile bytecode on top of the new layers".to_owned(),
            reason: "in place, a step sees this container's files and no layers".to_owned(),
            hint: Some(
                "leave `--compile-bytecode` out, or see `overcoat doctor` for another isolation"
                    .to_owned(),
            ),
        }
        .into());
    }
    let wanted = Wanted {
        image: base,
        name: step.name,
        confinement,
        threads: tools.threads,
        ours: &[],
    };
    let directory = store.workspace()?.join("bytecode");
    let root = RootFs::prepare(&wanted, store, directory, observer)?;
    let sandbox = root.sandbox(&tools.program)?;
    let process = process(step.bytecode, tools.threads);
    let input = Input {
        network: Network::None,
        ..Input::default()
    };
    let output = StepOutput::new(
        observer,
        Redaction::new(&[]),
        &store.root().join(LOGS),
        &format!("{}-bytecode", step.name),
    )?;
    let compiling = stage(observer, "compile bytecode", "");
    let exit = sandbox.run_step("bytecode", &process, input, &output)?;
    match exit.status {
        0 => {}
        INCOMPLETE => observer.observe(Event::Warning {
            text: "some files could not be compiled (see above); Python reports them if they are ever imported"
                .to_owned(),
            hint: None,
        }),
        status => {
            return Err(Error::Script {
                script: "compile-bytecode",
                how: ScriptFailure::Status(status),
                tail: exit.tail,
                log: output.finish(),
                entrypoint: None,
            });
        }
    }
    output.finish();
    let layer = root.with_changes(&exit, observer, |mut changed| {
        changed.changes.retain(is_bytecode);
        let created_by = "overcoat: bytecode";
        commit::layer(changed, step.form, created_by, tools, observer)
    })?;
    compiling.finish(match &layer {
        Some(layer) => commit::describe(std::slice::from_ref(layer)),
        None => "nothing was missing".to_owned(),
    });
    root.finish(observer)?;
    Ok(layer)
}

/// True for what is a cache of bytecode or in one: the interpreter may have touched other things.
fn is_bytecode(change: &Change) -> bool {
    let mut components = change.path().as_bytes().split(|byte| *byte == b'/');
    matches!(change, Change::Present { .. }) && components.any(|component| component == CACHE)
}

fn process(bytecode: &Bytecode, threads: usize) -> Process {
    let mut process = bytecode.interpreter.clone();
    // Where modules come from, and how they are compiled, is the interpreter's business alone.
    process
        .environment
        .retain(|(name, _)| !name.starts_with("PYTHON"));
    let hashes = ("PYTHONHASHSEED".to_owned(), "0".to_owned());
    process.environment.push(hashes);
    let program = ["-B", "-s", "-c", PROGRAM].map(str::to_owned);
    process.arguments.extend(program);
    process.arguments.push(threads.max(1).to_string());
    let directories = bytecode.directories.iter().map(ToString::to_string);
    process.arguments.extend(directories);
    process
}

#[cfg(test)]
#[path = "bytecode_tests.rs"]
mod tests;
