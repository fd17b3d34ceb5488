//! Workloads that the cluster does not have yet: by the blueprint's own script as it is, else by applying the manifests.

use std::path::Path;
use std::process::Command;

use super::deploy::Scene;
use super::{Args, Plan, Planned};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::event::{Observer, stage};
use crate::fs;
use crate::kubernetes::cluster::objects;
use crate::release::hooks::process::{self, End};
use crate::yaml;

/// The script that a blueprint is deployed with for the first time.
pub(super) const SCRIPT: &str = "deploy.sh";

/// That the script, if there is one, can only reach the cluster that is meant: it calls kubectl, which takes the current context.
///
/// # Errors
/// [`Code::Refused`].
pub(super) fn check(plan: &Plan) -> Result<(), Diagnostic> {
    if !plan.root.join(SCRIPT).is_file() || plan.access.context.is_none() {
        return Ok(());
    }
    let current = plan.access.contexts()?.current;
    if plan.access.context == current {
        return Ok(());
    }
    Err(Diagnostic::new(
        Code::Refused,
        format!(
            "`{SCRIPT}` would deploy to the current context `{}`, and `{}` is meant",
            current.unwrap_or_default(),
            plan.access.context.clone().unwrap_or_default()
        ),
    )
    .hint("make it the current one: `kubectl config use-context`, or run the script yourself"))
}

/// Deploys them.
///
/// # Errors
/// [`Code::Script`] with the status of a script that failed; [`Code::Manifest`]; what the cluster says.
pub(super) fn deploy(
    scene: &Scene<'_>,
    absent: &[&Planned],
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let script = scene.plan.root.join(SCRIPT);
    if script.is_file() {
        return run_script(scene.args, scene.plan, &script, observer);
    }
    for planned in absent {
        let applying = stage(observer, "apply", planned.pod.name.clone());
        let mut count = 0;
        for path in &planned.pod.manifests {
            let bytes = fs::read_limited(path, yaml::MOST_BYTES as u64)?;
            let text = String::from_utf8_lossy(&bytes);
            let objects = objects(&text).map_err(|error| {
                Diagnostic::new(Code::Manifest, format!("{}: {error}", path.display()))
            })?;
            for object in &objects {
                scene
                    .cluster
                    .apply(scene.args.cluster.within(observer), object, false)?;
                count += 1;
            }
        }
        applying.finish(format!("{count} objects"));
    }
    Ok(())
}

/// Runs the script unchanged, in its directory. What it prints is told line by line, and is in the log of the record.
fn run_script(
    args: &Args,
    plan: &Plan,
    script: &Path,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    check(plan)?;
    let running = stage(observer, "run", SCRIPT);
    let mut command = Command::new("bash");
    command.arg(script).current_dir(&plan.root);
    if let Some(file) = &args.cluster.kubeconfig {
        let file =
            std::path::absolute(file).map_err(|error| fs::Error::new("find", file, error))?;
        command.env("KUBECONFIG", file);
    }
    let (end, said) = process::run(&mut command, None, SCRIPT, observer)
        .map_err(|error| fs::Error::new("run with bash", script, error))?;
    let status = match end {
        End::Exited(status) if status.success() => {
            running.finish("");
            return Ok(());
        }
        End::Exited(status) => status,
        End::Interrupted | End::TimedOut(_) => {
            return Err(Diagnostic::new(
                Code::Interrupted,
                format!("interrupted while `{SCRIPT}` ran; what it has done stays"),
            ));
        }
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let failed = Diagnostic::new(
        Code::Script,
        format!("`{SCRIPT}` {}", process::how(status)),
    )
    .hint("its status is this command's; what it has done until then stays as it is, and the next `overcoat up` goes on");
    Err(Diagnostic {
        output: said,
        status: Some(code.unwrap_or(1)),
        ..failed
    })
}
