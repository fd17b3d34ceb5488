//! From versions to layers: wheels are fetched, grouped, and written as layers without being unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Error;
use super::groups::{Item, groups};
use super::placed::direct_urls;
use super::versions::{Solver, caches};
use crate::build::cache::{Inputs, Records, annotation, record};
use crate::build::work::{PreviousImage, Step};
use crate::build::{Error as BuildError, Tools};
use crate::event::{Event, Observer, stage};
use crate::image::edit::NewLayer;
use crate::image::{Descriptor, media_type};
use crate::layer::EntryPath;
use crate::python::index::{Index, LocalWheel, Refresh};
use crate::python::requirements::Requirements;
use crate::python::wheel::{self, Installation, Site, Wheel};
use crate::python::{Layout, PackageName, Pinned, Target};

/// The step that writes some wheels into one layer.
pub const WHEELS: &str = "wheels";
/// On a layer: the wheels in it, `NAME==VERSION` each, so that the next resolution can keep them.
pub(super) const PACKAGES: &str = "io.overcoat.packages";

/// The names of the packages in layers that this step made, as their annotations say.
pub(in crate::build) fn names(layers: &[NewLayer]) -> Vec<String> {
    let lists = layers
        .iter()
        .filter_map(|layer| layer.descriptor.annotations.get(PACKAGES));
    let pins = lists.flat_map(|list| list.split(' '));
    let names = pins.filter_map(|pin| pin.split_once("==").map(|(name, _)| name.to_owned()));
    names.collect()
}

/// A layer, and what is in it. Scripts are in the layer of their wheel: in one of their own, a wheel that changes would
/// need every other one to be there.
struct Planned<'a> {
    members: Vec<&'a Pinned>,
    /// The content of `direct_url.json` of packages that have one.
    direct_urls: &'a BTreeMap<PackageName, Vec<u8>>,
    step: Step,
}

/// Makes the layers of packages, lowest first; those that were made before are taken. `directory` is the application's.
///
/// # Errors
/// [`Error::Index`] when wheels cannot be fetched, [`Error::Wheel`] for one that is damaged or unsafe.
pub(in crate::build) fn make(
    solver: &Solver<'_>,
    packages: &[Pinned],
    directory: &EntryPath,
    budget: usize,
    previous: &[PreviousImage],
    observer: &dyn Observer,
) -> Result<Vec<NewLayer>, BuildError> {
    let (tools, target) = (solver.tools, solver.target);
    let records = Records::new(tools.store);
    let packages = complete(solver, packages, observer)?;
    let urls = direct_urls(solver, &packages, directory);
    let mut planned = plan(&packages, &urls, target, budget, solver.request.epoch);
    for layer in &mut planned {
        if solver.request.cache.is_used {
            layer.step.look_here(records);
            previous.iter().for_each(|image| layer.step.look_in(image));
        }
    }
    let missing: BTreeSet<&str> = planned
        .iter()
        .filter(|layer| layer.step.found.is_none())
        .flat_map(|layer| {
            layer
                .members
                .iter()
                .map(|package| package.wheel.url.as_str())
        })
        .collect();
    let wanted: Vec<&Pinned> = packages
        .iter()
        .filter(|package| missing.contains(package.wheel.url.as_str()))
        .collect();
    let local = fetch(solver, &wanted, observer)?;
    let writing = stage(observer, "write layers", "of packages");
    let next = AtomicUsize::new(0);
    let results = Mutex::new((BTreeMap::new(), None));
    let is_alone = missing.len() == 1 || tools.threads == 1;
    let worker = || {
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = planned.get(position) else {
                break;
            };
            let threads = if is_alone { tools.threads } else { 1 };
            let made = match &layer.step.found {
                Some(found) => Ok(found.layers.clone()),
                None if observer.is_cancelled() => Err(BuildError::Interrupted),
                None => write(
                    layer,
                    target,
                    &local,
                    solver.request.epoch,
                    threads,
                    tools,
                    observer,
                ),
            };
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            match made {
                Ok(made) => drop(results.0.insert(position, made)),
                Err(error) => {
                    results.1.get_or_insert(error);
                    next.store(planned.len(), Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..tools.threads.min(planned.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    let (made, failure) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = failure {
        return Err(error);
    }
    let mut layers = Vec::new();
    for (layer, mut made) in planned.iter().zip(made.into_values()) {
        // What other steps said of a layer that was found, they say again.
        made.iter_mut().for_each(annotation::unmark);
        for new in &mut made {
            let names = layer
                .members
                .iter()
                .map(|package| format!("{}=={}", package.name, package.version));
            let names: Vec<String> = names.collect();
            new.descriptor
                .annotations
                .insert(PACKAGES.to_owned(), names.join(" "));
        }
        layer
            .step
            .keep(&mut made, record::seconds(tools.now), records)?;
        layers.append(&mut made);
    }
    let kept = planned
        .iter()
        .filter(|layer| layer.step.found.is_some())
        .count();
    writing.finish(format!("{} layers, {kept} of them kept", layers.len()));
    Ok(layers)
}

/// Wheels of which an index did not tell size or digest are fetched at once: both decide about layers.
pub(super) fn complete(
    solver: &Solver<'_>,
    packages: &[Pinned],
    observer: &dyn Observer,
) -> Result<Vec<Pinned>, BuildError> {
    let mut packages = packages.to_vec();
    let is_vague =
        |package: &&mut Pinned| package.wheel.digest.is_none() || package.wheel.size.is_none();
    let mut vague: Vec<&mut Pinned> = packages.iter_mut().filter(is_vague).collect();
    if !vague.is_empty() {
        let wanted: Vec<Pinned> = vague.iter().map(|package| (**package).clone()).collect();
        let wanted: Vec<&Pinned> = wanted.iter().collect();
        let local = fetch(solver, &wanted, observer)?;
        for package in &mut vague {
            if let Some(found) = local.get(&package.wheel.url) {
                package.wheel.digest = Some(found.digest.clone());
                package.wheel.size = Some(found.size);
            }
        }
    }
    Ok(packages)
}

/// Brings wheels onto this machine: where they are, by URL.
fn fetch(
    solver: &Solver<'_>,
    packages: &[&Pinned],
    observer: &dyn Observer,
) -> Result<BTreeMap<String, LocalWheel>, BuildError> {
    if packages.is_empty() {
        return Ok(BTreeMap::new());
    }
    let tools = solver.tools;
    let nothing = Requirements::default();
    let requirements = solver.wanted.requirements.as_ref().unwrap_or(&nothing);
    let settings = solver.index_settings(requirements);
    let caches = caches(tools.store.root());
    let index = Index::new(
        tools.http()?,
        &settings,
        caches,
        tools.now,
        Refresh::WhenStale,
    );
    let index = index.map_err(Error::from)?;
    let wheels: Vec<_> = packages
        .iter()
        .map(|package| package.wheel.clone())
        .collect();
    let missing = wheels.iter().filter(|wheel| !index.has(wheel)).count();
    let fetching = (missing > 0).then(|| stage(observer, "fetch", format!("{missing} wheels")));
    let local = index
        .fetch(&wheels, observer)
        .map_err(|error| match observer.is_cancelled() {
            true => BuildError::Interrupted,
            false => Error::Index(error).into(),
        })?;
    if let Some(fetching) = fetching {
        let bytes: u64 = local.iter().map(|wheel| wheel.size).sum();
        fetching.finish(format!("{bytes} bytes"));
    }
    let urls = wheels.into_iter().map(|wheel| wheel.url);
    Ok(urls.zip(local).collect())
}

fn plan<'a>(
    packages: &'a [Pinned],
    direct_urls: &'a BTreeMap<PackageName, Vec<u8>>,
    target: &Target,
    budget: usize,
    epoch: i64,
) -> Vec<Planned<'a>> {
    if packages.is_empty() {
        return Vec::new();
    }
    let items: Vec<Item<'_>> = packages
        .iter()
        .map(|package| Item {
            name: package.name.as_ref(),
            size: package.wheel.size.unwrap_or_default(),
        })
        .collect();
    let layer = |group: Vec<usize>| {
        let members: Vec<&Pinned> = group
            .into_iter()
            .map(|position| &packages[position])
            .collect();
        let step = step(&members, direct_urls, &target.layout, epoch);
        Planned {
            members,
            direct_urls,
            step,
        }
    };
    groups(&items, budget).into_iter().map(layer).collect()
}

/// A layer's content is decided by its wheels, and by where and whose they are.
fn step(
    members: &[&Pinned],
    direct_urls: &BTreeMap<PackageName, Vec<u8>>,
    layout: &Layout,
    epoch: i64,
) -> Step {
    let mut inputs = Inputs::new(WHEELS);
    for package in members {
        let digest = package.wheel.digest.as_ref().map(ToString::to_string);
        let how = if package.is_requested {
            "requested"
        } else {
            ""
        };
        let mut parts = vec![
            digest.as_deref().unwrap_or_default().as_bytes(),
            how.as_bytes(),
        ];
        parts.extend(direct_urls.get(&package.name).map(Vec::as_slice));
        inputs.add_list(format!("`{}`", package.name), parts);
    }
    add_layout(&mut inputs, layout);
    inputs.add("the time that files show", epoch.to_string());
    Step::new(inputs.clone(), inputs, true)
}

/// Adds where packages go, and whose they are.
pub(in crate::build) fn add_layout(inputs: &mut Inputs, layout: &Layout) {
    let Layout {
        interpreter,
        site_packages,
        scripts,
        data,
        headers,
        uid,
        gid,
        umask,
    } = layout;
    inputs.add("the interpreter", interpreter);
    inputs.add_list(
        "where packages go",
        [site_packages, scripts, data, headers].map(|path| path.as_bytes()),
    );
    inputs.add("whose packages are", format!("{uid}:{gid} {umask:o}"));
}

fn write(
    layer: &Planned<'_>,
    target: &Target,
    local: &BTreeMap<String, LocalWheel>,
    epoch: i64,
    threads: usize,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<NewLayer>, BuildError> {
    let mut wheels = Vec::new();
    for package in &layer.members {
        let found = local
            .get(&package.wheel.url)
            .ok_or(BuildError::Interrupted)?;
        let file = crate::fs::open(&found.path)?;
        let wheel = Wheel::open(file, package.wheel.name.clone()).map_err(Error::from)?;
        wheels.push(Installation {
            direct_url: layer.direct_urls.get(&package.name).cloned(),
            ..Installation::new(wheel, package.is_requested)
        });
    }
    let existing = BTreeSet::new();
    let site = Site {
        layout: &target.layout,
        existing: &existing,
        epoch,
    };
    let sink = tools.store.begin_blob()?;
    let written = wheel::write_layer(&wheels, &site, sink, threads);
    let written = written.map_err(Error::from)?;
    for conflict in &written.conflicts {
        observer.observe(Event::Warning {
            text: format!(
                "`{}` is in `{}` and in `{}`: that of `{}` is taken",
                conflict.path, conflict.dropped, conflict.kept, conflict.kept
            ),
            hint: None,
        });
    }
    let (digest, size) = written.sink.finish()?;
    let names: Vec<&str> = layer
        .members
        .iter()
        .map(|package| package.name.as_ref())
        .collect();
    let what = match names.len() {
        0..=6 => names.join(" "),
        count => format!("{} and {} more", names[..5].join(" "), count - 5),
    };
    Ok(vec![NewLayer {
        descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
        diff_id: written.layer.diff_id,
        created_by: format!("overcoat direct: {what}"),
    }])
}
