//! What is known before anything is done: which pods, where their images go and what they are called, which cluster is told.

use std::path::PathBuf;

use super::{Args, Plan, Planned};
use crate::build::Tag;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::project;
use crate::cli::records::Place;
use crate::kubernetes::local::{Confirmed, Target, choose};
use crate::project::{Environment, Project};
use crate::reference::Reference;
use crate::release::hopr::{self, Pod};

/// Decides all of it; nobody but the kubeconfig is asked.
///
/// # Errors
/// [`Code::Refused`] for a cluster that nobody named, [`Code::Usage`], [`Code::NoEnvironment`].
pub(super) fn plan(
    args: &Args,
    shared: &Shared,
    root: PathBuf,
    pods: Vec<Pod>,
) -> Result<Plan, Diagnostic> {
    let project = project::load_from(shared, &root)?;
    let environment = args
        .environment
        .as_deref()
        .map(|name| project.environment(name))
        .transpose()?;
    let mut access = args.cluster.access(shared, environment, None)?;
    let context = match &access.context {
        Some(context) => Some(context.clone()),
        None => access.contexts()?.current,
    };
    let confirmed = if args.yes {
        Confirmed::Yes
    } else {
        Confirmed::No
    };
    let choice = choose(&args.to, context.as_deref(), confirmed)?;
    // Who loads into one cluster does not want another one to be told.
    if access.context.is_none() {
        access.context = match &choice.target {
            Target::K3d(name) => Some(format!("k3d-{name}")),
            Target::Kind(name) => Some(format!("kind-{name}")),
            Target::Minikube(name) => Some(name.clone()),
            Target::Registry => context,
            Target::Archive(_) => None,
        };
    }
    if let (Target::Archive(Some(file)), [_, _, ..]) = (&choice.target, pods.as_slice()) {
        return Err(Diagnostic::new(
            Code::Usage,
            format!(
                "`{}` is one file, and there are {} pods",
                file.display(),
                pods.len()
            ),
        )
        .hint("`--to archive` writes one for each pod, `POD.tar`"));
    }
    let names = pods.into_iter().map(|pod| {
        let name = name_of(args, &project, environment, &pod, &choice.target)?;
        let known = project.application_of(&pod.application);
        Ok(Planned {
            application: known.map_or_else(|| pod.name.clone(), |known| known.name.clone()),
            pod,
            name,
            has_trigger: false,
        })
    });
    let pods = names.collect::<Result<_, Diagnostic>>()?;
    let is_archive = matches!(choice.target, Target::Archive(_));
    if is_archive && args.rollback_on_failure {
        return Err(Diagnostic::new(
            Code::Usage,
            "`--to archive` deploys nothing, so `--rollback-on-failure` would have nothing to put back",
        ));
    }
    Ok(Plan {
        root,
        pods,
        is_deployed: !is_archive && !args.no_deploy,
        choice,
        access,
        place: Place::of(project, shared)?,
    })
}

/// What a pod's image is called: below what is said on the command line or by the environment, else as in the manifest, for
/// that is where its nodes look.
fn name_of(
    args: &Args,
    project: &Project,
    environment: Option<&Environment>,
    pod: &Pod,
    target: &Target,
) -> Result<Tag, Diagnostic> {
    let registry = environment.and_then(|environment| environment.registry.as_ref());
    let root = args
        .repo
        .clone()
        .or_else(|| registry.map(|registry| registry.value.clone()));
    let plain =
        Tag::from_directory_name(&pod.name).map_or_else(|| "pod".to_owned(), |tag| tag.typed);
    let written = pod
        .workload
        .image
        .as_deref()
        .and_then(|image| image.parse::<Reference>().ok());
    let of_project = project
        .registry
        .as_ref()
        .filter(|registry| registry.origin != crate::project::Origin::Default);
    let name = match (root, written, of_project) {
        (Some(root), _, _) => format!("{}/{plain}", root.trim_end_matches('/')),
        (None, Some(written), _) => written.name(),
        (None, None, Some(registry)) => format!("{}/{plain}", registry.value),
        (None, None, None) if target.is_loaded() => plain,
        (None, None, None) => {
            return Err(Diagnostic::new(
                Code::Usage,
                format!(
                    "nothing says where the image of the pod `{}` is to be pushed",
                    pod.name
                ),
            )
            .hint("say it: `--repo HOST/NAME`"));
        }
    };
    let tag = format!("{name}{}", crate::build::CONTENT).parse();
    tag.map_err(|error| {
        Diagnostic::from(error)
            .attempting(format!("cannot name the image of the pod `{}`", pod.name))
    })
}

impl From<hopr::Error> for Diagnostic {
    fn from(error: hopr::Error) -> Self {
        use hopr::Error;
        let hints = error.hints();
        let code = match error {
            Error::File(error) => return error.into(),
            Error::NoPods { .. } | Error::NotText { .. } | Error::TooMany { .. } => Code::NoSource,
            Error::NoSuchPod { .. } => Code::NoEnvironment,
            Error::SameName { .. } => Code::Usage,
            Error::NoWorkload { .. } => Code::NoContainer,
            Error::SeveralWorkloads { .. } => Code::Ambiguous,
            Error::Lock { .. } => Code::Project,
        };
        Self {
            hints,
            ..Self::new(code, &error)
        }
    }
}
