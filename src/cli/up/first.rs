//! Workloads that the cluster does not have yet: by the blueprint's own script as it is, else by applying the manifests.

use std::path::Path;
use std::process::Command;

use super::deploy::{Scene, namespace, workload_name};
use super::{Args, Plan, Planned};
use crate::cli::cluster::{mark_first, stopped};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::event::{Observer, stage};
use crate::fs;
use crate::kubernetes::cluster::objects;
use crate::kubernetes::cluster::workload::Workload;
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
        let ended = run_script(scene.args, scene.plan, &script, observer);
        let how = ended
            .is_err()
            .then(|| format!("`{SCRIPT}` did not end well"));
        for planned in absent {
            let (namespace, name) = (namespace(planned, scene.cluster), workload_name(planned));
            let is_meant = |there: Vec<Workload>| {
                let is_it = |found: &Workload| found.name() == name.name;
                there.into_iter().filter(is_it).collect()
            };
            let place = (namespace, Some(&name));
            let flags = &scene.args.cluster;
            mark_first(
                scene.cluster,
                flags,
                place,
                how.as_deref(),
                observer,
                is_meant,
            );
        }
        return ended;
    }
    for planned in absent {
        let applying = stage(observer, "apply", planned.pod.name.clone());
        let mut all = Vec::new();
        for path in &planned.pod.manifests {
            let bytes = fs::read_limited(path, yaml::MOST_BYTES as u64)?;
            let text = String::from_utf8_lossy(&bytes);
            let objects = objects(&text).map_err(|error| {
                Diagnostic::new(Code::Manifest, format!("{}: {error}", path.display()))
            })?;
            all.extend(objects);
        }
        let workload = &planned.pod.workload;
        let meant = all.iter().find(|object| {
            object["kind"] == workload.kind.as_str()
                && object["metadata"]["name"] == workload.name.as_str()
        });
        let within = || scene.args.cluster.within(observer);
        let applied = scene.cluster.apply_all(within, &all, meant, false);
        let applied = applied.map_err(stopped)?;
        applying.finish(format!("{} objects", applied.len()));
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
