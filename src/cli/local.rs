//! An image of the store, brought to where a cluster finds it: loaded into nodes, written to a file, or pushed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{creds, env, open_store};
use crate::build::Tools;
use crate::event::{Event, Observer, stage};
use crate::image::Image;
use crate::kubernetes::local::{self, Error, Loader, Target, Verified};
use crate::output::archive::{self, Format};
use crate::reference::Reference;
use crate::registry::PushRequest;
use crate::store::BlobStore;

/// How an image is brought.
pub(super) struct Way<'a> {
    /// Where to.
    pub(super) target: &'a Target,
    /// How long each loader may take.
    pub(super) limit: Duration,
    /// Who to be at a registry.
    pub(super) creds: &'a creds::Flags,
    /// The archive's file where none is named.
    pub(super) file: PathBuf,
}

/// What became of it.
pub(super) struct Delivered {
    /// What manifests call it: with its digest where nodes pull it, with its tag alone where they were given it.
    pub(super) name: Reference,
    /// The nodes that were asked and have it.
    pub(super) nodes: Vec<String>,
    /// The file that was written.
    pub(super) archive: Option<PathBuf>,
    /// True when it was there already, and nothing was sent.
    pub(super) was_there: bool,
}

/// That the program which loads into the target's nodes is there, and knows the cluster. Asked before anything is built.
///
/// # Errors
/// [`Code::Loader`].
pub(super) fn ready(
    target: &Target,
    limit: Duration,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    if !target.has_nodes() {
        return Ok(());
    }
    let store = open_store(shared)?;
    let loader = Loader { target, limit };
    Ok(loader.ready(store.workspace()?, observer)?)
}

/// The image where it is wanted already: on every node, or in the registry with the same digest. `name` has a tag that is made of the content.
/// `None` when it has to be brought, or that cannot be told.
///
/// # Errors
/// When nobody wants to know any more, or the store cannot be used.
pub(super) fn is_there(
    image: &Image,
    name: &Reference,
    way: &Way<'_>,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Option<Delivered>, Diagnostic> {
    let store = open_store(shared)?;
    let name = name.without_digest();
    let there = |name, nodes| Delivered {
        name,
        nodes,
        archive: None,
        was_there: true,
    };
    match way.target {
        Target::Archive(_) => Ok(None),
        Target::Registry => {
            let tools = tools(&name, way, &store, shared)?;
            let registry = tools.registry().map_err(crate::build::Error::from)?;
            // Whatever else is the matter, the push will tell.
            let found = registry.resolve(&name, observer).ok();
            let is_it = found.is_some_and(|found| found.digest == *image.digest());
            let pinned = format!("{name}@{}", image.digest()).parse()?;
            Ok(is_it.then(|| there(pinned, Vec::new())))
        }
        target => {
            let loader = Loader {
                target,
                limit: way.limit,
            };
            let wanted = wanted(image, &name);
            let nodes = loader.has(store.workspace()?, &wanted, observer)?;
            Ok(nodes.map(|nodes| there(name, nodes)))
        }
    }
}

fn wanted<'a>(image: &'a Image, name: &'a Reference) -> local::Image<'a> {
    local::Image {
        name,
        config: &image.config.descriptor.digest,
        manifest: image.digest(),
    }
}

/// What speaks with the registry of a name, as whoever the command line says.
fn tools<'a>(
    name: &Reference,
    way: &Way<'_>,
    store: &'a BlobStore,
    shared: &Shared,
) -> Result<Tools<'a>, Diagnostic> {
    let mut host = env::host(shared)?;
    way.creds
        .apply(&mut host.registries, [name.host()], shared, false)?;
    Ok(Tools::new(store, host))
}

/// Brings an image of the store, for one platform, to its target under `name`, and looks whether it is there.
///
/// # Errors
/// [`Code::Loader`] for loaders that fail, or nodes that do not have the image afterwards; what a registry says.
pub(super) fn deliver(
    image: &Image,
    name: &Reference,
    way: &Way<'_>,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Delivered, Diagnostic> {
    let store = open_store(shared)?;
    let name = name.without_digest();
    let delivered = |nodes, archive| Delivered {
        name: name.clone(),
        nodes,
        archive,
        was_there: false,
    };
    match way.target {
        Target::Registry => push(image, &name, way, &store, shared, observer),
        Target::Archive(file) => {
            let file = file.as_ref().unwrap_or(&way.file);
            check_place(file)?;
            let writing = stage(observer, "write", file.display().to_string());
            write(image, &name, file, &store, observer)?;
            writing.finish(name.to_string());
            Ok(delivered(Vec::new(), Some(file.clone())))
        }
        target => {
            let loading = stage(observer, "load", format!("{name} into {target}"));
            let place = store.workspace()?;
            let directory = tempfile::tempdir_in(place)
                .map_err(|error| crate::fs::Error::new("create a directory in", place, error))?;
            let file = directory.path().join("image.tar");
            write(image, &name, &file, &store, observer)?;
            let loader = Loader {
                target,
                limit: way.limit,
            };
            match loader.load(&file, &[wanted(image, &name)], observer)? {
                Verified::On(nodes) => {
                    loading.finish(format!("{} has it", nodes.join(", ")));
                    Ok(delivered(nodes, None))
                }
                Verified::Unknown(reason) => {
                    loading.finish("not verified");
                    observer.observe(Event::Warning {
                        text: format!(
                            "whether the nodes have `{name}` could not be verified: {reason}"
                        ),
                        hint: Some(
                            "the rollout will tell: the pods' imageID is compared".to_owned(),
                        ),
                    });
                    Ok(delivered(Vec::new(), None))
                }
            }
        }
    }
}

/// Refuses a path at which no file can be, and says which would do.
fn check_place(file: &Path) -> Result<(), Diagnostic> {
    let refuse = |what: String, hint: String| Err(Diagnostic::new(Code::Output, what).hint(hint));
    let shown = file.display();
    if file.is_dir() {
        return refuse(
            format!("the archive `{shown}` cannot be written: that is a directory"),
            format!(
                "name a file in it: `archive:{}`",
                file.join("image.tar").display()
            ),
        );
    }
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() && !directory.is_dir() => refuse(
            format!(
                "the archive `{shown}` cannot be written: there is no directory `{}`",
                directory.display()
            ),
            "make the directory first, or name a file elsewhere: `archive:FILE`".to_owned(),
        ),
        _ => Ok(()),
    }
}

fn write(
    image: &Image,
    name: &Reference,
    file: &Path,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    Ok(archive::write(
        file,
        Format::Both,
        &image.into(),
        &[name.to_string()],
        store,
        observer,
    )?)
}

fn push(
    image: &Image,
    name: &Reference,
    way: &Way<'_>,
    store: &BlobStore,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Delivered, Diagnostic> {
    let tools = tools(name, way, store, shared)?;
    let registry = tools.registry().map_err(crate::build::Error::from)?;
    let pushing = stage(observer, "push", name.to_string());
    let report = registry.push(&PushRequest::new(image, name, store), observer)?;
    // What a puller of the tag gets.
    let there = registry.resolve(name, observer)?;
    if there.digest != report.digest {
        return Err(Diagnostic::new(
            Code::Conflict,
            format!(
                "`{name}` stands for {} after the push of {}",
                there.digest, report.digest
            ),
        )
        .hint("somebody else pushed the same tag meanwhile; run it again"));
    }
    pushing.finish(format!(
        "{} blobs sent, {} bytes",
        report.uploaded_blobs, report.bytes
    ));
    Ok(Delivered {
        name: format!("{name}@{}", report.digest).parse()?,
        nodes: Vec::new(),
        archive: None,
        was_there: false,
    })
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let (hints, output) = (error.hints(), error.said().to_vec());
        let code = match error {
            Error::File(error) => return error.into(),
            Error::Interrupted => return crate::build::Error::Interrupted.into(),
            Error::NotLocal { .. } => Code::Refused,
            Error::NoCluster { .. } | Error::Wanted { .. } => Code::Usage,
            _ => Code::Loader,
        };
        Self {
            hints,
            output,
            ..Self::new(code, &error)
        }
    }
}
