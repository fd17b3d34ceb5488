//! What has to hold before a pod is built.

use std::path::{Path, PathBuf};

use super::baseline::Baselines;
use super::syntax::{self, Who};
use super::{Args, Plan};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::event::{Event, Observer};
use crate::kubernetes::local::pull_policy_problem;
use crate::kubernetes::manifest::{self, Edited, Found, Manifest, Wanted, WorkloadName};
use crate::release::hopr::check::{self, Section2};
use crate::release::hopr::imports::Python;
use crate::release::hopr::{CONTAINER, Finding, Level, Pod, hooks, lock};
use crate::release::secrets;
use crate::source::{IgnoreFile, Rules, local};

/// How many refusals one message has.
const MOST_SHOWN: usize = 12;

/// Checks all pods; which of them have a trigger becomes known on the way.
///
/// # Errors
/// [`Code::Refused`] with everything that speaks against it.
pub(super) fn run(
    args: &Args,
    plan: &mut Plan,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let python = match args.build_image.contains("3.13") {
        true => Python::V3_13,
        false => Python::V3_11,
    };
    let section2 = match args.allow_section2 {
        true => Section2::MayChange,
        false => Section2::Kept,
    };
    let asks_machine = syntax::who(args) == Who::Machine;
    let baselines = Baselines::new(args, plan, shared)?;
    let mut found: Vec<Finding> = Vec::new();
    let mut triggers = Vec::new();
    for planned in &plan.pods {
        let pod = &planned.pod;
        let path = pod.module();
        let text = check::text(&path)?;
        let baseline = baselines.of(pod, &text, observer)?;
        if baseline.is_none() {
            observer.observe(Event::Warning {
                text: format!("{}: nothing is known of it as it was delivered, so Section 2 cannot be compared", shown(plan, &path)),
                hint: Some("unpack the blueprint anew and run `overcoat up --lock` there, or keep it in git".to_owned()),
            });
        }
        let (findings, read) = check::check(&path, &text, baseline.as_ref(), section2, python);
        found.extend(findings);
        let defined = read.map(|read| hooks::defined(&read.module, read.place));
        triggers
            .push(defined.is_some_and(|defined| defined.iter().any(|name| name == "on_trigger")));
        if asks_machine {
            found.extend(syntax::on_this_machine(&path, observer)?);
        }
        found.extend(secrets_in(args, pod, observer)?);
        found.extend(policy(plan, pod, &planned.name.reference)?);
    }
    for (planned, has_trigger) in plan.pods.iter_mut().zip(triggers) {
        planned.has_trigger = has_trigger;
    }
    // What cannot be edited is better known before anything is built.
    let pods: Vec<&Pod> = plan.pods.iter().map(|planned| &planned.pod).collect();
    if !args.no_edit {
        let images: Vec<String> = plan
            .pods
            .iter()
            .map(|planned| format!("{}:x", planned.name.reference.name()))
            .collect();
        edits(&pods, &images)?;
    }
    for finding in found
        .iter()
        .filter(|finding| finding.level == Level::Warning)
    {
        observer.observe(Event::Warning {
            text: sentence(plan, finding),
            hint: finding.hint.clone(),
        });
    }
    let refusals: Vec<&Finding> = found
        .iter()
        .filter(|finding| finding.level == Level::Refusal)
        .collect();
    let Some(_) = refusals.first() else {
        return Ok(());
    };
    let mut diagnostic =
        Diagnostic::new(Code::Refused, "nothing was built, for a check refuses it");
    for finding in refusals.iter().take(MOST_SHOWN) {
        diagnostic = diagnostic.also(sentence(plan, finding));
    }
    if refusals.len() > MOST_SHOWN {
        diagnostic = diagnostic.also(format!("and {} more", refusals.len() - MOST_SHOWN));
    }
    let mut hints: Vec<String> = refusals
        .iter()
        .filter_map(|finding| finding.hint.clone())
        .collect();
    hints.dedup();
    hints.truncate(2);
    diagnostic.hints = hints;
    Err(diagnostic)
}

fn shown(plan: &Plan, path: &Path) -> String {
    lock::name(&plan.root, path)
}

fn sentence(plan: &Plan, finding: &Finding) -> String {
    let path = shown(plan, &finding.path);
    let place = match finding.line {
        Some(line) => format!("{path}:{line}"),
        None => path,
    };
    let diff = finding
        .diff
        .as_ref()
        .map(|diff| format!("\n{}", diff.trim_end()));
    format!("{place}: {}{}", finding.text, diff.unwrap_or_default())
}

pub(super) fn refusal(path: PathBuf, line: Option<usize>, text: String, hint: &str) -> Finding {
    Finding {
        level: Level::Refusal,
        path,
        line,
        text,
        diff: None,
        hint: Some(hint.to_owned()),
    }
}

fn secrets_in(args: &Args, pod: &Pod, observer: &dyn Observer) -> Result<Vec<Finding>, Diagnostic> {
    let rules = Rules {
        ignore_files: vec![IgnoreFile::S2i],
        ..Rules::default()
    };
    let tree = local::read(&pod.application, &rules, observer)?;
    let found = secrets::find(&tree)?.into_iter();
    let finding = |secret: secrets::Secret| {
        let text = format!(
            "{} would be in the image, for everybody to read",
            secret.what
        );
        let hint = "put it elsewhere or name it in `.s2iignore`; if it is none: `--allow-secrets`";
        let finding = refusal(pod.application.join(&secret.path), secret.line, text, hint);
        match args.allow_secrets {
            true => Finding {
                level: Level::Warning,
                hint: None,
                ..finding
            },
            false => finding,
        }
    };
    Ok(found.map(finding).collect())
}

/// A pull policy with which a loaded image is of no use.
fn policy(
    plan: &Plan,
    pod: &Pod,
    name: &crate::reference::Reference,
) -> Result<Option<Finding>, Diagnostic> {
    if !plan.choice.target.is_loaded() {
        return Ok(None);
    }
    // The tag will be one that is made of the content.
    let image = format!("{}:x", name.name()).parse()?;
    let problem = pull_policy_problem(pod.workload.pull_policy.as_deref(), &image);
    Ok(problem.map(|problem| {
        let hint = "write `imagePullPolicy: IfNotPresent` there";
        refusal(
            pod.manifest.clone(),
            Some(pod.workload.line),
            format!("`{CONTAINER}`: {problem}"),
            hint,
        )
    }))
}

/// The edits that give each pod its image, in one piece for each file.
///
/// # Errors
/// When one cannot be edited: then none is.
pub(super) fn edits(pods: &[&Pod], images: &[String]) -> Result<Vec<Edited>, Diagnostic> {
    let mut manifests: Vec<Manifest> = Vec::new();
    let mut wishes: Vec<(Found, &str)> = Vec::new();
    for (pod, image) in pods.iter().zip(images) {
        let number = match manifests
            .iter()
            .position(|manifest| manifest.path == pod.manifest)
        {
            Some(number) => number,
            None => {
                manifests.push(Manifest::read(&pod.manifest)?);
                manifests.len() - 1
            }
        };
        let wanted = Wanted {
            container: Some(CONTAINER.to_owned()),
            workload: Some(WorkloadName {
                kind: pod.workload.kind.clone(),
                name: pod.workload.name.clone(),
            }),
            namespace: pod.workload.namespace.clone(),
            init_containers: false,
        };
        let mut found = manifest::find(std::slice::from_ref(&manifests[number]), &wanted)?;
        found.manifest = number;
        wishes.push((found, image));
    }
    Ok(manifest::edit_all(&manifests, &wishes)?)
}

/// That a shallow clone cannot tell what was delivered.
pub(super) fn shallow(name: &str) -> Event {
    Event::Warning {
        text: format!(
            "{name}: the git repository is a shallow clone, so its first commit is not what was delivered, and is not compared with"
        ),
        hint: Some("fetch the whole history, `git fetch --unshallow` (in CI, a checkout with `fetch-depth: 0`), or name the commit: `--baseline REV`".to_owned()),
    }
}
