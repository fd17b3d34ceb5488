//! What is printed: the plan of `--dry-run`, and the result.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::deploy::Deployed;
use super::first::SCRIPT;
use super::syntax::{self, Who};
use super::{Args, Done, Plan, Planned, checks};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::{print, print_json};
use crate::event::{Observer, stage};
use crate::kubernetes::local::{Loader, Target};
use crate::kubernetes::manifest::Edited;
use crate::release::hopr::{CONTAINER, lock};
use crate::release::result;

/// What stands for the tag and the digest that the content will give; and a tag for where only a tag can be.
const TAG: &str = "<content>";
const DIGEST: &str = "<digest>";
const STAND_IN: &str = "overcoat-content-stands-here";

/// One step of a plan.
struct Step {
    name: &'static str,
    pod: Option<String>,
    text: String,
    /// What programs are told besides.
    facts: Value,
    /// What would change in a file.
    diff: Option<String>,
}

/// Prints what would be done, in order.
///
/// # Errors
/// When a manifest cannot be edited.
pub(super) fn plan(args: &Args, plan: &Plan) -> Result<(), Diagnostic> {
    let steps = steps(args, plan)?;
    if args.json {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| {
                let mut value = json!({"step": step.name, "pod": step.pod, "what": step.text});
                if let (Value::Object(value), Value::Object(facts)) = (&mut value, &step.facts) {
                    value.extend(facts.clone());
                    value.extend(
                        step.diff
                            .iter()
                            .map(|diff| ("diff".to_owned(), diff.as_str().into())),
                    );
                }
                value
            })
            .collect();
        return print_json(&json!({
            "dry_run": true,
            "root": plan.root.display().to_string(),
            "target": plan.choice.target.word(),
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
        let diff = step
            .diff
            .as_ref()
            .map(|diff| format!("\n{}", diff.trim_end()))
            .unwrap_or_default();
        format!("{}. {}{pod}: {}{diff}", number + 1, step.name, step.text)
    };
    let lines: Vec<String> = steps.iter().enumerate().map(line).collect();
    print(&lines.join("\n"))
}

/// The steps, each kind for all pods before the next.
struct Steps<'a> {
    plan: &'a Plan,
    steps: Vec<Step>,
}

impl Steps<'_> {
    fn all(&mut self, name: &'static str, text: String, facts: Value) {
        self.steps.push(Step {
            name,
            pod: None,
            text,
            facts,
            diff: None,
        });
    }

    fn each(&mut self, name: &'static str, of: impl Fn(&Planned) -> (String, Value)) {
        for planned in &self.plan.pods {
            let (text, facts) = of(planned);
            self.steps.push(Step {
                name,
                pod: Some(planned.pod.name.clone()),
                text,
                facts,
                diff: None,
            });
        }
    }
}

fn steps(args: &Args, plan: &Plan) -> Result<Vec<Step>, Diagnostic> {
    let mut steps = Steps {
        plan,
        steps: Vec::new(),
    };
    let target = &plan.choice.target;
    let image = |planned: &Planned| format!("{}:{TAG}", planned.name.reference.name());
    let shown = |path: &Path| lock::name(&plan.root, path);
    steps.each("check", |planned| {
        let file = shown(&planned.pod.module());
        (
            format!("{file}: nothing speaks against it"),
            json!({"file": file}),
        )
    });
    if target.has_nodes() {
        let text = format!("{target} is asked whether it is there");
        steps.all("ready", text, json!({"target": target.word()}));
    }
    steps.each("build", |planned| {
        let source = shown(&planned.pod.application);
        let text = format!(
            "{source} on {} as {}, unless nothing has changed",
            args.build_image,
            image(planned)
        );
        let facts = json!({"source": source, "builder": args.build_image, "image": image(planned)});
        (text, facts)
    });
    if syntax::who(args) == Who::Image {
        steps.each("check syntax", |_| {
            let text = "app.py is read by the Python of the image, in the sandbox".to_owned();
            (text, json!({}))
        });
    }
    if let Some(file) = &args.call_hooks {
        let file = file.display().to_string();
        steps.each("call hooks", |_| {
            let text = format!("the functions that have arguments in {file}, in the sandbox");
            (text, json!({"file": file}))
        });
    }
    steps.each("deliver", |planned| {
        deliver(args, target, planned, image(planned))
    });
    if !args.no_edit {
        edits(plan, &mut steps, &shown)?;
    }
    if plan.is_deployed {
        let first = match plan.root.join(SCRIPT).is_file() {
            true => format!("run {SCRIPT} as it is"),
            false => "apply its manifests".to_owned(),
        };
        let place = |planned: &Planned| {
            let workload = &planned.pod.workload;
            json!({
                "workload": format!("{}/{}", workload.kind, workload.name),
                "namespace": workload.namespace,
                "container": CONTAINER,
            })
        };
        steps.each("deploy", |planned| {
            let workload = &planned.pod.workload;
            let namespace = workload.namespace.as_deref().unwrap_or("the context's");
            let text = format!(
                "set the image of `{CONTAINER}` of {}/{} in the namespace {namespace}; if it is not there yet, {first}",
                workload.kind, workload.name
            );
            (text, place(planned))
        });
        steps.each("watch", |planned| {
            let is_triggered = planned.has_trigger && !args.no_auto_trigger;
            let trigger = match is_triggered {
                true => ", and until the auto-trigger has sent all messages",
                false => "",
            };
            let otherwise = match args.rollback_on_failure {
                true => "; else what was there before is put back",
                false => "",
            };
            let text = format!(
                "until the new image runs in all pods{trigger}, {} s at most{otherwise}",
                args.timeout.as_secs()
            );
            let mut facts = place(planned);
            facts["auto_trigger"] = is_triggered.into();
            facts["timeout_s"] = args.timeout.as_secs().into();
            facts["rollback_on_failure"] = args.rollback_on_failure.into();
            (text, facts)
        });
    }
    let text = format!("write {} and the history", result::FILE);
    steps.all("results", text, json!({"file": result::FILE}));
    Ok(steps.steps)
}

fn deliver(args: &Args, target: &Target, planned: &Planned, image: String) -> (String, Value) {
    match target {
        Target::Registry => (
            format!("push {image}, and ask the registry for it"),
            json!({"image": image}),
        ),
        Target::Archive(file) => {
            let default = format!("{}.tar", planned.pod.name).into();
            let file = file.as_ref().unwrap_or(&default).display().to_string();
            let text = format!("write {image} to {file}");
            (text, json!({"image": image, "file": file}))
        }
        target => {
            let loader = Loader {
                target,
                limit: args.timeout,
            };
            let command = loader.command("FILE".as_ref()).unwrap_or_default();
            let text = format!("{}, and ask the nodes for {image}", command.join(" "));
            (text, json!({"image": image, "command": command}))
        }
    }
}

fn edits(
    plan: &Plan,
    steps: &mut Steps<'_>,
    shown: &dyn Fn(&Path) -> String,
) -> Result<(), Diagnostic> {
    let digest = match plan.choice.target.is_loaded() {
        true => String::new(),
        false => format!("@{DIGEST}"),
    };
    for planned in &plan.pods {
        let (pod, name) = (&planned.pod, planned.name.reference.name());
        let wanted = format!("{name}:{TAG}{digest}");
        let stand_in = format!("{name}:{STAND_IN}");
        let edited = checks::edits(&[pod], std::slice::from_ref(&stand_in))?;
        let diff: String = edited
            .iter()
            .map(|edited| edited.diff(&plan.root))
            .collect();
        let workload = &pod.workload;
        let file = shown(&pod.manifest);
        let text = format!(
            "{file}:{}: the image of `{CONTAINER}` in {}/{} from {} to {wanted}",
            workload.line,
            workload.kind,
            workload.name,
            workload.image.as_deref().unwrap_or("nothing"),
        );
        steps.steps.push(Step {
            name: "edit",
            pod: Some(pod.name.clone()),
            text,
            facts: json!({
                "file": file,
                "line": workload.line,
                "before": workload.image,
                "after": wanted,
            }),
            diff: Some(diff.replace(&stand_in, &wanted)),
        });
    }
    Ok(())
}

/// What came of a run.
pub(super) struct Report<'a> {
    pub(super) plan: &'a Plan,
    pub(super) done: &'a [Done],
    pub(super) edits: &'a [Edited],
    pub(super) deployed: &'a [Deployed],
}

impl Report<'_> {
    /// What was done for a pod; nothing for one that was left alone.
    fn did(&self, place: usize) -> Vec<&'static str> {
        let (planned, done) = (&self.plan.pods[place], &self.done[place]);
        let path = &planned.pod.manifest;
        let mut edits = self.edits.iter();
        let is_edited = edits.any(|edited| edited.path == *path && edited.is_change());
        let deployed = self.deployed.get(place);
        let brought = match &self.plan.choice.target {
            Target::Registry => "push",
            Target::Archive(_) => "write",
            _ => "load",
        };
        [
            ("build", !done.made.is_unchanged),
            (brought, !done.delivered.was_there),
            ("edit", is_edited),
            ("deploy", deployed.is_some_and(|one| one.outcome.is_changed)),
        ]
        .into_iter()
        .filter_map(|(name, is_done)| is_done.then_some(name))
        .collect()
    }

    /// Prints what was done; of a pod for which there was nothing to do, a line says so.
    pub(super) fn tell(
        &self,
        args: &Args,
        took: Duration,
        observer: &dyn Observer,
    ) -> Result<(), Diagnostic> {
        let pods: Vec<(&Planned, &Done)> = self.plan.pods.iter().zip(self.done).collect();
        for (place, (planned, done)) in pods.iter().enumerate() {
            if !self.did(place).is_empty() {
                continue;
            }
            let runs = match self.deployed.get(place) {
                Some(_) => ", and it runs",
                None => "",
            };
            let text = format!(
                "{}: {} is where it is wanted{runs}",
                planned.pod.name, done.deployed
            );
            stage(observer, "unchanged", text).finish("");
        }
        if !args.json {
            let line = |(planned, done): &(&Planned, &Done)| {
                format!("{} {}", planned.pod.name, done.deployed)
            };
            let lines: Vec<String> = pods.iter().map(line).collect();
            return print(&lines.join("\n"));
        }
        let pod = |(place, (planned, done)): (usize, &(&Planned, &Done))| {
            let deployed = self.deployed.get(place);
            json!({
                "pod": planned.pod.name,
                "image": done.deployed.to_string(),
                "digest": done.made.image.digest(),
                "is_unchanged": done.made.is_unchanged,
                "did": self.did(place),
                "nodes": done.delivered.nodes,
                "archive": done.delivered.archive.as_ref().map(|file| file.display().to_string()),
                "deployed": deployed.map(|deployed| json!(deployed.outcome)),
                "said": deployed.and_then(|deployed| deployed.watched.as_ref()).map(|watched| json!(watched.said)),
            })
        };
        let edited: Vec<String> = self
            .edits
            .iter()
            .filter(|edited| edited.is_change())
            .map(|edited| edited.path.display().to_string())
            .collect();
        print_json(&json!({
            "dry_run": false,
            "target": self.plan.choice.target.word(),
            "because": self.plan.choice.because,
            "context": self.plan.access.context,
            "pods": pods.iter().enumerate().map(pod).collect::<Vec<_>>(),
            "edited": edited,
            "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }))
    }
}
