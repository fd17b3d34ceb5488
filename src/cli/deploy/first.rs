//! The first deployment of a workload: manifests with the image in them, or a script that came with the application.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::cluster::Args;
use crate::cli::cluster::mark_first;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::event::Observer;
use crate::kubernetes::cluster::set_image::{SetImage, SetImageError, Verdict, judge};
use crate::kubernetes::cluster::workload::{FindError, Workload, WorkloadKind, find};
use crate::kubernetes::cluster::{Access, Cluster, objects};

/// How large a manifest may be.
const MOST_BYTES: u64 = 16 << 20;
const POLL: Duration = Duration::from_millis(50);

/// True when there is no such workload, or one whose first deployment ended before it was complete.
///
/// # Errors
/// When the cluster cannot be asked. What is there and is not one container is told by whoever changes it.
pub(super) fn is_due(
    cluster: &Cluster,
    args: &Args,
    request: &SetImage,
    observer: &dyn Observer,
) -> Result<bool, Diagnostic> {
    let within = args.flags.within(observer);
    let there = cluster.workloads(within, &request.namespace, request.workload.as_ref())?;
    Ok(match meant(there, request) {
        Ok(workload) => workload.incomplete().is_some(),
        Err(error) => error.is_absence(),
    })
}

fn meant(there: Vec<Workload>, request: &SetImage) -> Result<Workload, FindError> {
    let (name, container) = (request.workload.as_ref(), request.container.as_deref());
    find(there, name, container, &request.namespace).map(|(workload, _)| workload)
}

/// Writes down at the workload how its first deployment ended before it was complete, or takes that away again. A workload that is not
/// there needs no mark. That it cannot be written is a warning: the deployment has ended already.
pub(super) fn mark(
    cluster: &Cluster,
    args: &Args,
    request: &SetImage,
    how: Option<&str>,
    observer: &dyn Observer,
) {
    let (namespace, name) = (request.namespace.as_str(), request.workload.as_ref());
    let choose = |there| meant(there, request).ok().into_iter().collect();
    mark_first(
        cluster,
        &args.flags,
        (namespace, name),
        how,
        observer,
        choose,
    );
}

/// What is to be in a manifest.
pub(super) struct Meant<'r> {
    /// The image, and the container that gets it.
    pub(super) request: &'r SetImage,
    /// False for what the manifests may leave out: it runs already.
    pub(super) is_due: bool,
}

/// The objects of these manifests, each image in the one container that is meant for it, and the workloads that are due.
///
/// # Errors
/// With [`Code::Manifest`] for what is no manifest, [`Code::NoContainer`] when not exactly one container is meant.
pub(super) fn with_images(
    files: &[PathBuf],
    meant: &[Meant<'_>],
) -> Result<(Vec<Value>, Vec<Value>), Diagnostic> {
    let mut all = Vec::new();
    for path in files {
        let unreadable = |reason: String| {
            Diagnostic::new(
                Code::Manifest,
                format!("`{}` cannot be applied: {reason}", path.display()),
            )
        };
        let bytes = crate::fs::read_limited(path, MOST_BYTES)?;
        let text =
            String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".to_owned()))?;
        all.extend(objects(&text).map_err(|error| unreadable(error.to_string()))?);
    }
    let mut due = BTreeSet::new();
    for one in meant {
        let places = put(&mut all, one)?;
        due.extend(places.into_iter().filter(|_| one.is_due));
    }
    let due = due.into_iter().map(|place: usize| all[place].clone());
    let due = due.collect();
    Ok((all, due))
}

/// Puts one image in; the places of the objects that have it now.
fn put(all: &mut [Value], meant: &Meant<'_>) -> Result<Vec<usize>, Diagnostic> {
    let request = meant.request;
    let is_here = |object: &Value| {
        let namespace = object["metadata"]["namespace"].as_str();
        namespace.is_none_or(|namespace| namespace == request.namespace)
    };
    let workloads = all
        .iter()
        .filter(|object| is_here(object))
        .filter_map(|object| {
            let kind = WorkloadKind::named(object["kind"].as_str()?)?;
            let (group, _) = object["apiVersion"].as_str()?.split_once('/')?;
            (group == kind.group()).then(|| Workload {
                kind,
                object: object.clone(),
            })
        });
    let found = find(
        workloads.collect(),
        request.workload.as_ref(),
        request.container.as_deref(),
        &request.namespace,
    );
    let (workload, container) = match found {
        Err(error) if !meant.is_due && error.is_absence() => return Ok(Vec::new()),
        found => found.map_err(|error| {
            Diagnostic::from(error)
                .attempting("the manifests of `--apply` do not have what is to be deployed")
        })?,
    };
    judge(&workload, &container, request).or_else(|error| match error {
        // Nothing runs yet, so the tag that the file has is as good as new.
        SetImageError::SameTag { .. } => Ok(Verdict::Unchanged),
        error => Err(error),
    })?;
    let list = if container.is_init {
        "initContainers"
    } else {
        "containers"
    };
    let mut places = Vec::new();
    for (place, object) in all.iter_mut().enumerate() {
        if *object != workload.object {
            continue;
        }
        let pods = workload.kind.pod_spec().iter();
        let pods = pods.fold(&mut *object, |value, key| &mut value[*key]);
        let containers = pods[list].as_array_mut();
        for found in containers
            .into_iter()
            .flatten()
            .filter(|found| found["name"] == container.name.as_str())
        {
            found["image"] = Value::from(request.image.to_string());
            if request.fixes_pull_policy {
                found["imagePullPolicy"] = Value::from("IfNotPresent");
            }
        }
        places.push(place);
    }
    Ok(places)
}

/// That the script can be run, and speaks with the same cluster: it is run unchanged, so it uses what is current.
///
/// # Errors
/// With [`Code::Usage`] when it is no file; with [`Code::Refused`] when the context that was asked for is not the current one.
pub(super) fn check_script(
    script: &Path,
    access: &Access,
    cluster: &Cluster,
) -> Result<(), Diagnostic> {
    if !script.is_file() {
        return Err(Diagnostic::new(
            Code::Usage,
            format!("there is no script `{}`", script.display()),
        ));
    }
    if cluster.target().context == access.contexts()?.current {
        return Ok(());
    }
    let wanted = cluster.target().context.clone().unwrap_or_default();
    Err(Diagnostic::new(
        Code::Refused,
        format!(
            "`{}` would speak with another cluster: the current context is not `{wanted}`",
            script.display()
        ),
    )
    .hint(format!(
        "make it current: `kubectl config use-context {wanted}`; or use `--apply FILE`"
    )))
}

/// Runs it by bash in its own directory, its output on stderr; its exit status, 128 and more for a signal.
///
/// # Errors
/// With [`Code::Refused`] when it cannot be started, [`Code::Interrupted`] when the person asked to stop.
pub(super) fn run_script(
    script: &Path,
    access: &Access,
    observer: &dyn Observer,
) -> Result<u8, Diagnostic> {
    let failed = |what: &str, error: &std::io::Error| {
        let reason = crate::fs::reason(error);
        Diagnostic::new(
            Code::Refused,
            format!("cannot {what} `{}`: {reason}", script.display()),
        )
    };
    let script = std::path::absolute(script).map_err(|error| failed("find", &error))?;
    let errors = std::io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| failed("start", &error))?;
    let mut command = Command::new("bash");
    command
        .arg(&script)
        .stdin(Stdio::null())
        .stdout(Stdio::from(errors));
    if let Some(directory) = script.parent() {
        command.current_dir(directory);
    }
    // `--kubeconfig` is what it must use too.
    if access.must_exist
        && let [kubeconfig] = access.kubeconfigs.as_slice()
    {
        let kubeconfig = std::path::absolute(kubeconfig).map_err(|error| failed("find", &error))?;
        command.env("KUBECONFIG", kubeconfig);
    }
    let mut child = command.spawn().map_err(|error| failed("start", &error))?;
    loop {
        if let Some(status) = child
            .try_wait()
            .map_err(|error| failed("wait for", &error))?
        {
            let code = status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal));
            return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
        }
        if observer.is_cancelled() {
            // Ctrl-C has reached it too, and it may have something to clean up.
            let _ = rustix::process::kill_process(
                rustix::process::Pid::from_child(&child),
                rustix::process::Signal::TERM,
            );
            let _ = child.wait();
            return Err(Diagnostic::new(
                Code::Interrupted,
                "interrupted while the script of the first deployment ran",
            ));
        }
        std::thread::sleep(POLL);
    }
}
