//! What is printed: the plan of `--dry-run`, and the result.

use std::time::Duration;

use serde_json::{Value, json};

use super::deploy::{Deployed, SCRIPT};
use super::{Args, Done, Plan, Planned};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::{print, print_json};
use crate::kubernetes::local::{Loader, Target};
use crate::kubernetes::manifest::Edited;
use crate::release::hopr::{CONTAINER, lock};
use crate::release::result;

/// What stands for the tag that the content will give.
const TAG: &str = "<content>";

/// One step of a plan.
struct Step {
    name: &'static str,
    pod: Option<String>,
    text: String,
}

/// Prints what would be done, in order.
pub(super) fn plan(args: &Args, plan: &Plan) -> Result<(), Diagnostic> {
    let steps = steps(args, plan);
    if args.json {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| json!({"step": step.name, "pod": step.pod, "what": step.text}))
            .collect();
        return print_json(&json!({
            "dry_run": true,
            "root": plan.root.display().to_string(),
            "target": target(&plan.choice.target),
            "because": plan.choice.because,
            "context": plan.access.context,
            "pods": plan.pods.iter().map(|planned| planned.pod.name.as_str()).collect::<Vec<_>>(),
            "steps": steps,
        }));
    }
    let line = |(number, step): (usize, &Step)| {
        let pod = step
            .pod
            .as_ref()
            .map(|pod| format!(" {pod}"))
            .unwrap_or_default();
        format!("{}. {}{pod}: {}", number + 1, step.name, step.text)
    };
    let lines: Vec<String> = steps.iter().enumerate().map(line).collect();
    print(&lines.join("\n"))
}

fn target(target: &Target) -> String {
    match target {
        Target::K3d(name) => format!("k3d:{name}"),
        Target::Kind(name) => format!("kind:{name}"),
        Target::Minikube(name) => format!("minikube:{name}"),
        Target::Registry => "registry".to_owned(),
        Target::Archive(Some(file)) => format!("archive:{}", file.display()),
        Target::Archive(None) => "archive".to_owned(),
    }
}

fn steps(args: &Args, plan: &Plan) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut each = |name: &'static str, text: &dyn Fn(&Planned) -> String| {
        steps.extend(plan.pods.iter().map(|planned| Step {
            name,
            pod: Some(planned.pod.name.clone()),
            text: text(planned),
        }));
    };
    let image = |planned: &Planned| format!("{}:{TAG}", planned.name.reference.name());
    let shown = |path: &std::path::Path| lock::name(&plan.root, path);
    each("check", &|planned| {
        format!(
            "{}: nothing speaks against it",
            shown(&planned.pod.module())
        )
    });
    each("build", &|planned| {
        let source = shown(&planned.pod.application);
        format!(
            "{source} on {} as {}, unless nothing has changed",
            args.build_image,
            image(planned)
        )
    });
    each("deliver", &|planned| match &plan.choice.target {
        Target::Registry => format!("push {}, and ask the registry for it", image(planned)),
        Target::Archive(file) => {
            let default = format!("{}.tar", planned.pod.name).into();
            format!(
                "write {} to {}",
                image(planned),
                file.as_ref().unwrap_or(&default).display()
            )
        }
        target => {
            let loader = Loader {
                target,
                limit: args.timeout,
            };
            let command = loader
                .command("FILE".as_ref())
                .unwrap_or_default()
                .join(" ");
            format!("{command}, and ask the nodes for {}", image(planned))
        }
    });
    if !args.no_edit {
        let digest = if plan.choice.target.is_loaded() {
            ""
        } else {
            "@<digest>"
        };
        each("edit", &|planned| {
            let workload = &planned.pod.workload;
            format!(
                "{}:{}: the image of `{CONTAINER}` in {}/{} from {} to {}{digest}",
                shown(&planned.pod.manifest),
                workload.line,
                workload.kind,
                workload.name,
                workload.image.as_deref().unwrap_or("nothing"),
                image(planned)
            )
        });
    }
    if plan.is_deployed {
        let first = match plan.root.join(SCRIPT).is_file() {
            true => format!("run {SCRIPT} as it is"),
            false => "apply its manifests".to_owned(),
        };
        each("deploy", &|planned| {
            let workload = &planned.pod.workload;
            let namespace = workload.namespace.as_deref().unwrap_or("the context's");
            format!(
                "set the image of `{CONTAINER}` of {}/{} in the namespace {namespace}; if it is not there yet, {first}",
                workload.kind, workload.name
            )
        });
        each("watch", &|planned| {
            let trigger = match planned.has_trigger && !args.no_auto_trigger {
                true => ", and until the auto-trigger has sent all messages",
                false => "",
            };
            format!(
                "until the new image runs in all pods{trigger}, {} s at most",
                args.timeout.as_secs()
            )
        });
    }
    steps.push(Step {
        name: "results",
        pod: None,
        text: format!("write {} and the history", result::FILE),
    });
    steps
}

/// Prints what was done.
pub(super) fn done(
    args: &Args,
    plan: &Plan,
    done: &[Done],
    edits: &[Edited],
    rollouts: &[Deployed],
    took: Duration,
) -> Result<(), Diagnostic> {
    if !args.json {
        let line =
            |(planned, done): (&Planned, &Done)| format!("{} {}", planned.pod.name, done.deployed);
        let lines: Vec<String> = plan.pods.iter().zip(done).map(line).collect();
        return print(&lines.join("\n"));
    }
    let pod = |(number, (planned, done)): (usize, (&Planned, &Done))| {
        let deployed = rollouts.get(number);
        json!({
            "pod": planned.pod.name,
            "image": done.deployed.to_string(),
            "digest": done.made.image.digest(),
            "is_unchanged": done.made.is_unchanged,
            "nodes": done.delivered.nodes,
            "archive": done.delivered.archive.as_ref().map(|file| file.display().to_string()),
            "deployed": deployed.map(|deployed| json!(deployed.outcome)),
            "said": deployed.and_then(|deployed| deployed.watched.as_ref()).map(|watched| json!(watched.said)),
        })
    };
    let edited: Vec<String> = edits
        .iter()
        .filter(|edited| edited.is_change())
        .map(|edited| edited.path.display().to_string())
        .collect();
    print_json(&json!({
        "dry_run": false,
        "target": target(&plan.choice.target),
        "because": plan.choice.because,
        "context": plan.access.context,
        "pods": plan.pods.iter().zip(done).enumerate().map(pod).collect::<Vec<_>>(),
        "edited": edited,
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }))
}
