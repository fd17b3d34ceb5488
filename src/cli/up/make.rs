//! A pod's image: the application on the builder, with what the delivered Dockerfile says of working directory, command and user.

use std::path::Path;
use std::sync::Mutex;

use super::child::Building;
use super::{Args, Done, Plan, Planned};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{env, local};
use crate::event::{Observer, Silent};
use crate::image::edit::{Changes, NewLayer, append};
use crate::image::{Descriptor, Image, media_type};
use crate::kubernetes::local::Target;
use crate::layer::{Entry, EntryPath, Kind, LayerWriter};
use crate::project::Operation;
use crate::reference::Reference;
use crate::release::history::{Begin, Facts};
use crate::release::operation::Done as Performed;
use crate::release::promote::{Root, path_of};
use crate::release::result::{self, BuildResult, Entry as Built};
use crate::source::git;
use crate::store::BlobStore;

/// Where the delivered Dockerfile has the application.
const DIRECTORY: &str = "/app";

/// An image that was made.
pub(super) struct Made {
    /// Its name with the tag that comes of its content.
    pub(super) name: Reference,
    /// The image, which is in the store.
    pub(super) image: Image,
    /// True when nothing had to be built.
    pub(super) is_unchanged: bool,
}

impl Made {
    /// What records keep of it.
    fn facts(&self) -> Facts {
        Facts {
            image: Some(self.name.to_string()),
            digest: Some(self.image.digest().clone()),
            ..Facts::default()
        }
    }
}

/// How making one ended: with an image, with the status of a build that told why it failed, or otherwise badly.
pub(super) type Outcome = Result<Result<Made, u8>, Diagnostic>;

/// Makes the images of all pods, several at once; or gives the status of the first build that failed and told why.
///
/// # Errors
/// What is wrong beside a build.
pub(super) fn all(
    args: &Args,
    plan: &Plan,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Result<Vec<Made>, u8>, Diagnostic> {
    let host = env::host(shared)?;
    let next = Mutex::new(0..plan.pods.len());
    let made: Mutex<Vec<(usize, Outcome)>> = Mutex::default();
    let worker = || {
        loop {
            let index = lock(&next).next();
            let Some(index) = index.filter(|_| !observer.is_cancelled()) else {
                return;
            };
            let one = one(
                args,
                plan,
                &plan.pods[index],
                &host.program,
                shared,
                observer,
            );
            let is_good = matches!(one, Ok(Ok(_)));
            lock(&made).push((index, one));
            if !is_good {
                // Nobody wants the others then.
                lock(&next).by_ref().for_each(drop);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..host.threads.clamp(1, plan.pods.len().max(1)) {
            scope.spawn(worker);
        }
        worker();
    });
    if observer.is_cancelled() {
        return Err(crate::build::Error::Interrupted.into());
    }
    let mut made = made
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    made.sort_by_key(|(index, _)| *index);
    made.into_iter().map(|(_, made)| made).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn one(
    args: &Args,
    plan: &Plan,
    planned: &Planned,
    program: &Path,
    shared: &Shared,
    observer: &dyn Observer,
) -> Outcome {
    let is_one_of_several = plan.pods.len() > 1;
    let start = || Building::start(args, planned, is_one_of_several, program, shared);
    let mut hooks = plan.place.project.hooks.iter();
    if hooks.any(|hook| hook.operation == Operation::Build) {
        // They may make what is built, so they run before anything is looked at.
        return recorded(args, plan, planned, observer, |observer| {
            let mut building = start()?;
            building.until_begun(observer)?;
            building.go_on()?;
            let status = building.end(observer)?;
            building.made(status, planned, shared, observer)
        });
    }
    let mut building = start()?;
    match building.until_begun(observer)? {
        // Nothing is to be done, so there is nothing to keep a record of.
        Some(0) => building.made(0, planned, shared, observer),
        Some(status) => recorded(args, plan, planned, observer, |_| Ok(Err(status))),
        None => recorded(args, plan, planned, observer, |observer| {
            building.go_on()?;
            let status = building.end(observer)?;
            building.made(status, planned, shared, observer)
        }),
    }
}

/// A build with its hooks and its record.
fn recorded(
    args: &Args,
    plan: &Plan,
    planned: &Planned,
    observer: &dyn Observer,
    work: impl FnOnce(&dyn Observer) -> Outcome,
) -> Outcome {
    forget_results(plan)?;
    let mut status = None;
    let begin = Begin {
        commit: git::commit(&env::git(), &planned.pod.application, &Silent),
        ..plan.beginning(args, planned, Operation::Build, Facts::default())
    };
    let performed = plan
        .place
        .perform(begin, observer, |observer, _| match work(observer)? {
            Ok(made) => Ok(Performed {
                facts: made.facts(),
                platforms: vec![made.image.config.parsed.platform().to_string()],
                value: Some(made),
                result_file: None,
            }),
            Err(code) => {
                status = Some(code);
                let what = format!(
                    "the build of the pod `{}` ended with {code}",
                    planned.pod.name
                );
                Err(Diagnostic::new(Code::Script, what))
            }
        });
    match (performed, status) {
        (_, Some(status)) => Ok(Err(status)),
        (Ok(performed), None) => match performed.value {
            Some(made) => Ok(Ok(made)),
            None => Ok(Err(Code::Internal as u8)),
        },
        (Err(diagnostic), None) => Err(diagnostic),
    }
}

/// What a pipeline reads is of this run, or is not there; but it stays where this run changes nothing.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn forget_results(plan: &Plan) -> Result<(), Diagnostic> {
    let names = image_names(plan);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(result::forget(&plan.root.join(result::FILE), &names)?)
}

/// Brings an image to where it is wanted; a push has its hooks and its record.
pub(super) fn recorded_push(
    plan: &Plan,
    args: &Args,
    planned: &Planned,
    made: &Made,
    observer: &dyn Observer,
    work: impl FnOnce(&dyn Observer) -> Result<local::Delivered, Diagnostic>,
) -> Result<local::Delivered, Diagnostic> {
    if plan.choice.target != Target::Registry {
        return work(observer);
    }
    let facts = made.facts();
    let performed = plan.place.perform(
        plan.beginning(args, planned, Operation::Push, facts.clone()),
        observer,
        |observer, _| {
            Ok(Performed {
                value: Some(work(observer)?),
                facts,
                platforms: Vec::new(),
                result_file: None,
            })
        },
    )?;
    performed
        .value
        .ok_or_else(|| Diagnostic::new(Code::Internal, "a push has no result"))
}

/// The image as the delivered Dockerfile would make it: its application in `/app`, `python app.py` as root.
///
/// # Spec
/// `path-to-production.md` §3.1.
pub(super) fn finished(base: &Image, store: &BlobStore) -> Result<Image, Diagnostic> {
    let config = &base.config.parsed;
    let directory = config.working_directory().trim_matches('/').to_owned();
    let mut layers = Vec::new();
    if !directory.is_empty() && format!("/{directory}") != DIRECTORY {
        layers.push(link(&directory, store)?);
    }
    let created = config.value()["created"]
        .as_str()
        .unwrap_or("1980-01-01T00:00:00Z");
    let changes = Changes {
        environment: vec![("PYTHONUNBUFFERED".to_owned(), "1".to_owned())],
        command: Some(vec!["python".to_owned(), "app.py".to_owned()]),
        entrypoint: Some(Vec::new()),
        user: Some("0".to_owned()),
        working_directory: Some(DIRECTORY.to_owned()),
        exposed_ports: vec!["8000/tcp".to_owned()],
        created: created.to_owned(),
        author: "overcoat".to_owned(),
        annotations: base.manifest.parsed.annotations.clone(),
        ..Changes::default()
    };
    let image = append(base, &layers, &changes)?;
    store.put_documents(&image)?;
    Ok(image)
}

/// A layer with `/app` as another name of where the builder has the application.
fn link(directory: &str, store: &BlobStore) -> Result<NewLayer, Diagnostic> {
    let mut writer = LayerWriter::new(store.begin_blob()?, crate::build::DEFAULT_EPOCH, 1);
    let path = EntryPath::parse(DIRECTORY.as_bytes()).map_err(crate::layer::Error::from)?;
    let target = format!("/{directory}").into_bytes();
    writer.append(
        &Entry::new(path, Kind::Symlink { target }, 0o777),
        std::io::empty(),
    )?;
    let (blob, layer) = writer.finish()?;
    let (digest, size) = blob.finish()?;
    Ok(NewLayer {
        descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
        diff_id: layer.diff_id,
        created_by: "overcoat up: /app".to_owned(),
    })
}

/// What the file of results calls the pods' images, so that `promote --image-name` and pipelines find them by it: as the
/// project does, else what stands behind a registry that the project knows, else the last part of the name. Of pods that
/// would be called alike then, the whole name without its registry.
fn image_names(plan: &Plan) -> Vec<String> {
    let project = &plan.place.project;
    let environments = project.environments.iter();
    let registries = environments.filter_map(|environment| environment.registry.as_ref());
    // What cannot be read matters only where it is used.
    let known = registries
        .chain(&project.registry)
        .filter_map(|it| it.value.parse().ok());
    let known: Vec<Root> = known.collect();
    let names = plan.pods.iter().map(|planned| {
        let reference = &planned.name.reference;
        match project.application_of(&planned.pod.application) {
            Some(application) => application.image_name().to_owned(),
            None => path_of(&reference.name(), reference, &known),
        }
    });
    let names: Vec<String> = names.collect();
    let is_one_s = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
    let all = names.iter().zip(&plan.pods);
    all.map(|(name, planned)| match is_one_s(name) {
        true => name.clone(),
        false => planned.name.reference.repository().to_owned(),
    })
    .collect()
}

/// Writes `build_result.json` in the blueprint's root.
///
/// # Errors
/// When it cannot be written.
pub(super) fn results(plan: &Plan, done: &[Done]) -> Result<(), Diagnostic> {
    let entries = image_names(plan).into_iter().zip(done);
    let entries = entries.map(|(name, done)| Built::new(name, done.delivered.name.to_string()));
    let entries: Vec<Built> = entries.collect();
    Ok(result::update(&plan.root.join(result::FILE), &entries)?)
}

/// What the file of results had of the plan's pods, in their order.
///
/// # Errors
/// When it cannot be read.
pub(super) fn earlier_results(plan: &Plan) -> Result<Vec<Vec<Built>>, Diagnostic> {
    let path = plan.root.join(result::FILE);
    let all = match BuildResult::read(&path) {
        Ok(all) => all.builds,
        Err(result::Error::Missing { .. } | result::Error::Empty { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let of = |name: String| {
        let those = all.iter().filter(|entry| entry.name() == name);
        those.cloned().collect()
    };
    Ok(image_names(plan).into_iter().map(of).collect())
}

/// Gives those pods for which `is_back` says so the results again that they had.
///
/// # Errors
/// When it cannot be written.
pub(super) fn put_results_back(
    plan: &Plan,
    earlier: &[Vec<Built>],
    is_back: impl Fn(&Planned) -> bool,
) -> Result<(), Diagnostic> {
    let path = plan.root.join(result::FILE);
    let names = image_names(plan);
    let pods = plan.pods.iter().zip(&names).zip(earlier);
    let back = pods.filter(|((planned, _), _)| is_back(planned));
    let (mut entries, mut gone) = (Vec::new(), Vec::new());
    for ((_, name), earlier) in back {
        match earlier.is_empty() {
            true => gone.push(name.as_str()),
            false => entries.extend(earlier.iter().cloned()),
        }
    }
    if !entries.is_empty() {
        result::update(&path, &entries)?;
    }
    match gone.is_empty() {
        true => Ok(()),
        false => Ok(result::forget(&path, &gone)?),
    }
}
