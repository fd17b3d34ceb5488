//! `--call-hooks`: functions of Section 1 called in the images that were built, in the sandbox, before anything is loaded or pushed.

use std::process::Command;
use std::time::Duration;

use super::make::Made;
use super::{Args, Plan};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::env;
use crate::cli::exit::Code;
use crate::event::{Event, Observer, stage};
use crate::release::hooks::process::{self, End};
use crate::release::hopr::{check, compare, hooks};
use crate::release::samples::{CALL, Error, REFUSED, Samples, VARIABLE};

/// How long all functions of a pod may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Calls the functions that have samples; of the others it is said that they were not called.
///
/// # Errors
/// [`Code::Refused`] with the traceback when one raises or returns the wrong thing, or all of a pod take too long; with the status of `overcoat run` when
/// nothing can be run.
pub(super) fn call(
    args: &Args,
    plan: &Plan,
    made: &[Made],
    samples: &Samples,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let program = env::host(shared)?.program;
    for (planned, made) in plan.pods.iter().zip(made) {
        let pod = &planned.pod;
        // The checks have read it: it can be taken apart.
        let Ok(read) = compare::read(&check::text(&pod.module())?) else {
            continue;
        };
        let functions = hooks::defined(&read.module, read.place);
        let lacking = samples.lacking(&functions);
        if !lacking.is_empty() {
            observer.observe(Event::Warning {
                text: format!(
                    "{}: {} was not called, for there is no sample",
                    pod.name,
                    lacking.join(", ")
                ),
                hint: None,
            });
        }
        let Some(order) = samples.order(&functions, read.place.closing) else {
            continue;
        };
        let calling = stage(observer, "call hooks", pod.name.clone());
        let mut command = Command::new(&program);
        command.arg("run").arg(made.name.to_string());
        if let Some(store) = &shared.store {
            command.arg("--store").arg(store);
        }
        command.arg("--env").arg(format!("{VARIABLE}={order}"));
        command.args(["--", "python", "-c", CALL]);
        let (end, said) = process::run(&mut command, Some(LIMIT), "hooks", observer)
            .map_err(|error| crate::fs::Error::new("start", &program, error))?;
        let refused = |what: String, code| {
            let refused =
                Diagnostic::new(code, what).also("nothing was loaded, pushed or deployed");
            Diagnostic {
                output: said.clone(),
                ..refused
            }
        };
        match end {
            End::Exited(status) if status.success() => calling.finish(""),
            End::Exited(status) if status.code() == Some(REFUSED) => {
                let what = format!(
                    "a function of the pod `{}` does not take its sample",
                    pod.name
                );
                let file = args
                    .call_hooks
                    .as_deref()
                    .unwrap_or("--call-hooks".as_ref());
                return Err(refused(what, Code::Refused).hint(format!(
                    "correct it, or the arguments in `{}`; names that Section 2 defines are not there in this check",
                    file.display()
                )));
            }
            End::Exited(status) => {
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                let what = format!(
                    "no function of the pod `{}` could be called: `overcoat run` {}",
                    pod.name,
                    process::how(status)
                );
                return Err(Diagnostic {
                    status: code,
                    ..refused(what, Code::Sandbox)
                }
                .hint("`overcoat doctor` tells what this machine allows; leave `--call-hooks` out to go on without"));
            }
            End::TimedOut(limit) => {
                let what = format!(
                    "the functions of the pod `{}` were not done within {}",
                    pod.name,
                    humantime::format_duration(limit)
                );
                return Err(refused(what, Code::Refused));
            }
            End::Interrupted => return Err(crate::build::Error::Interrupted.into()),
        }
    }
    Ok(())
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        match error {
            Error::File(error) => error.into(),
            error @ Error::Form { .. } => Self::new(Code::Project, error).hint(
                "it is an object by function: {\"on_trigger\": {\"payload\": {}, \"headers\": {}}}",
            ),
        }
    }
}
