//! What is to be watched, out of flags, the project and the results.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Args, deployed};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::records::rollouts::Awaited;
use crate::event::Observer;
use crate::kubernetes::flux;
use crate::kubernetes::ready::ReadyCheck;
use crate::kubernetes::rollout::{Image, Kind, UnsupportedKind, Wanted};
use crate::kubernetes::watch::{Reconcile, Wish};
use crate::project::{Application, Environment, Project, Role};
use crate::reference::Reference;
use crate::release::promote::{Root, path_of};
use crate::release::result::{self, BuildResult, Entry};

/// The environment that is watched, if one is named.
pub(super) struct Place<'p> {
    pub(super) environment: Option<&'p Environment>,
    /// The environment's registry: images may be called after it.
    registry: Option<String>,
    /// The registries of all environments, for the names of images below them.
    known: Vec<Root>,
}

impl<'p> Place<'p> {
    /// # Errors
    /// [`Code::NoEnvironment`] for an environment that the project does not have.
    pub(super) fn of(args: &Args, project: &'p Project) -> Result<Self, Diagnostic> {
        let known = project.environments.iter();
        let known = known.filter_map(|one| one.registry.as_ref()?.value.parse().ok());
        let mut place = Self {
            environment: None,
            registry: None,
            known: known.collect(),
        };
        let Some(name) = &args.environment else {
            return Ok(place);
        };
        place.environment = project.environments.iter().find(|one| one.name == *name);
        place.registry = match project.registry_of(name, Role::Watched) {
            Ok(registry) => Some(registry.value),
            // It has a context or a namespace, perhaps; images are then called as the results call them.
            Err(_) if place.environment.is_some() => None,
            Err(error) => return Err(error.into()),
        };
        Ok(place)
    }
}

/// Where records are read from, and who is told which image counts.
pub(super) struct Told<'a> {
    pub(super) shared: &'a Shared,
    pub(super) observer: &'a dyn Observer,
}

/// The wishes, without their namespace.
///
/// # Errors
/// [`Code::NoEnvironment`] for an unknown application, [`Code::NoResult`], [`Code::InvalidReference`], [`Code::Usage`].
pub(super) fn of(
    args: &Args,
    project: &Project,
    place: &Place<'_>,
    ready: &[ReadyCheck],
    told: &Told<'_>,
) -> Result<Vec<Wish>, Diagnostic> {
    let applications = match args.workload.is_empty() {
        false => Vec::new(),
        true if args.apps.is_empty() => project.applications.iter().collect(),
        true => project.applications_named(&args.apps)?,
    };
    if applications.is_empty() && args.workload.is_empty() {
        return Err(Diagnostic::new(Code::Usage, "nothing says what is to be watched")
            .hint("name a workload, `--workload deployment/NAME`, or have applications in `overcoat.toml`"));
    }
    if applications.len() > 1 && args.image.is_some() {
        return Err(Diagnostic::new(
            Code::Usage,
            format!(
                "`--image` is one image, and there are {} applications",
                applications.len()
            ),
        )
        .hint("name one of them, or take the images from `build_result.json`"));
    }
    let results = results(args)?;
    let mut since = BTreeMap::new();
    if let (Some((_, path)), None, None) = (&results, &args.build_result, &args.image_name) {
        since = deployed::since(path, args.environment.as_deref(), project, told.shared)?;
    }
    let reconcile = reconcile(&args.reconcile)?;
    let wish = |workload: &str, application: Option<&Application>| {
        let (kind, name) = named(workload)?;
        let container = application.and_then(|one| one.container.as_ref());
        let container = container.map(|container| container.value.clone());
        let since = application.and_then(|one| since.get(&one.name));
        let image = match (results.as_ref(), since) {
            (Some((known, path)), Some(deployment)) => {
                let found = from_results(args, place, known, path, application, &name)?;
                let instead = deployed::instead_of(&found, deployment, path, told.observer);
                Some(accepting(args, instead.unwrap_or(found)))
            }
            _ => image(args, place, results.as_ref(), application, &name)?,
        };
        let wanted = Wanted {
            container: args.container.clone().or(container),
            image,
        };
        Ok(Wish {
            namespace: String::new(),
            kind,
            name,
            wanted,
            reconcile: reconcile.clone(),
            with_source: args.with_source,
            awaits_creation: args.wait_for_creation,
            ready: ready.to_vec(),
        })
    };
    let of_application = applications.into_iter().map(|application| {
        let workload = application.workload.as_ref();
        let workload = workload.map_or(application.name.as_str(), |workload| &workload.value);
        wish(workload, Some(application))
    });
    let by_name = args.workload.iter().map(|workload| wish(workload, None));
    of_application.chain(by_name).collect()
}

/// What is known of the rollouts that are awaited, for their records.
pub(super) fn awaited(
    args: &Args,
    project: &Project,
    wishes: &[Wish],
    context: Option<&str>,
) -> Vec<Option<Awaited>> {
    let application = |wish: &Wish| {
        let is_of = |one: &&Application| {
            let workload = one
                .workload
                .as_ref()
                .map_or(&one.name, |workload| &workload.value);
            // Two applications may be containers of one workload.
            let container = one.container.as_ref().map(|container| &container.value);
            let is_container = container.is_none()
                || wish.wanted.container.is_none()
                || container == wish.wanted.container.as_ref();
            is_container && named(workload).is_ok_and(|(_, name)| name == wish.name)
        };
        let mut found = project.applications.iter().filter(is_of);
        found.next().map(|one| one.name.clone())
    };
    let one = |wish: &Wish| Awaited {
        application: application(wish),
        environment: args.environment.clone().filter(|name| !name.is_empty()),
        image: wish
            .wanted
            .image
            .as_ref()
            .and_then(|image| image.references.first().cloned()),
        context: context.map(str::to_owned),
        namespace: wish.namespace.clone(),
        workload: match wish.kind {
            Some(kind) => format!("{kind}/{}", wish.name),
            None => wish.name.clone(),
        },
        container: wish.wanted.container.clone(),
    };
    wishes.iter().map(one).map(Some).collect()
}

/// The results, where the image is to come from them, and the file that they are in.
fn results(args: &Args) -> Result<Option<(BuildResult, std::path::PathBuf)>, Diagnostic> {
    if args.image.is_some() || args.current {
        return Ok(None);
    }
    let path = match &args.build_result {
        None => result::FILE.into(),
        Some(path) if path.is_dir() => path.join(result::FILE),
        Some(path) => path.clone(),
    };
    match BuildResult::read(&path) {
        Ok(results) => Ok(Some((results, path))),
        Err(error) => Err(Diagnostic::from(error).hint(
            "name the image with `--image REF`, or watch the one that the workload names now: `--current`",
        )),
    }
}

fn image(
    args: &Args,
    place: &Place<'_>,
    results: Option<&(BuildResult, std::path::PathBuf)>,
    application: Option<&Application>,
    workload: &str,
) -> Result<Option<Image>, Diagnostic> {
    let image = match (&args.image, results) {
        (Some(text), _) => Image::new(text.parse()?),
        (None, Some((results, path))) => {
            from_results(args, place, results, path, application, workload)?
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(accepting(args, image)))
}

/// The image with the digests that a person says are it.
fn accepting(args: &Args, mut image: Image) -> Image {
    image.digests.extend(args.accept_digest.iter().cloned());
    image
}

/// An image has the name that the results have, and the one that promotion gives it in the environment's registry.
fn from_results(
    args: &Args,
    place: &Place<'_>,
    results: &BuildResult,
    path: &Path,
    application: Option<&Application>,
    workload: &str,
) -> Result<Image, Diagnostic> {
    let of_application = application.map(Application::image_name);
    let entry = match (&args.image_name, of_application) {
        (Some(name), _) => results.select(Some(name), path)?,
        (None, Some(name)) => of_name(results, name, path)?,
        // Of several workloads each may have an image of its own.
        (None, None) if args.workload.len() > 1 => match of_name(results, workload, path) {
            Ok(entry) => entry,
            Err(_) => results.select(None, path)?,
        },
        (None, None) => results.select(None, path)?,
    };
    let reference = entry.reference(place.registry.as_deref())?;
    let mut image = Image::new(reference.clone());
    if let Some(registry) = &place.registry {
        let root: Root = registry.parse()?;
        let mut known = place.known.clone();
        known.push(root.clone());
        let below = path_of(&entry.text(), &reference, &known);
        let tag = reference.tag().unwrap_or(crate::reference::DEFAULT_TAG);
        let there: Reference = root.image(&below, tag)?;
        if reference.tag().is_some() && there.name() != reference.name() {
            image.references.push(there);
        }
    }
    Ok(image)
}

/// The image of an application. Files of the older op know only the last part of its name.
fn of_name<'r>(results: &'r BuildResult, name: &str, path: &Path) -> Result<&'r Entry, Diagnostic> {
    match results.select(Some(name), path) {
        Ok(entry) => Ok(entry),
        Err(error) => {
            let last = name.rsplit('/').next().unwrap_or(name);
            results.select(Some(last), path).map_err(|_| error.into())
        }
    }
}

/// `KIND/NAME`, or a name alone.
fn named(text: &str) -> Result<(Option<Kind>, String), Diagnostic> {
    let (kind, name) = match text.split_once('/') {
        Some((kind, name)) => (Some(kind), name),
        None => (None, text),
    };
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(Diagnostic::new(
            Code::Usage,
            format!(
                "`{text}` is not a workload: expected `KIND/NAME` or a name, of a-z, 0-9, `-` and `.`"
            ),
        ));
    }
    let kind = kind.map(str::parse).transpose();
    let kind = kind.map_err(|error: UnsupportedKind| Diagnostic::new(Code::Usage, error))?;
    Ok((kind, name.to_owned()))
}

fn reconcile(text: &str) -> Result<Reconcile, Diagnostic> {
    match text {
        "auto" => Ok(Reconcile::Auto),
        "none" | "never" => Ok(Reconcile::Never),
        text => {
            let target: Result<flux::Target, _> = text.parse();
            let target = target.map_err(|error| Diagnostic::new(Code::Usage, error))?;
            Ok(Reconcile::Of(target))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_named_as_kubectl_names_them() {
        assert_eq!(named("web").unwrap(), (None, "web".to_owned()));
        assert_eq!(
            named("deploy/web").unwrap(),
            (Some(Kind::Deployment), "web".to_owned())
        );
        assert_eq!(
            named("StatefulSet/db-0.a").unwrap(),
            (Some(Kind::StatefulSet), "db-0.a".to_owned())
        );
        for (text, part) in [
            ("", "not a workload"),
            ("deployment/", "not a workload"),
            ("deployment/a/b", "not a workload"),
            ("Web", "not a workload"),
            ("pod/web", "rollouts of `pod` cannot be watched"),
        ] {
            let error = named(text).unwrap_err();
            assert_eq!(error.code, Code::Usage);
            assert!(error.what.contains(part), "{text}: {}", error.what);
        }
    }

    #[test]
    fn whom_flux_is_asked_for_is_an_object_or_a_word() {
        assert_eq!(reconcile("auto").unwrap(), Reconcile::Auto);
        assert_eq!(reconcile("none").unwrap(), Reconcile::Never);
        assert!(matches!(reconcile("hr/web").unwrap(), Reconcile::Of(_)));
        assert_eq!(reconcile("web").unwrap_err().code, Code::Usage);
    }
}
