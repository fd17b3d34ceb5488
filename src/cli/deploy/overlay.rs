//! What kustomizations say of the image of a manifest counts more than the manifest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cli::diagnostic::Diagnostic;
use crate::cli::env;
use crate::cli::exit::Code;
use crate::event::{Event, Observer, printable};
use crate::kubernetes::kustomization::{self, Kustomization, Overlays, overlays};
use crate::kubernetes::manifest::{Found, Manifest};

/// How many overlays are named.
const NAMED: usize = 5;

/// The kustomization beside a manifest that takes it as a resource and says something of its image, and the name of its entry.
///
/// # Errors
/// With [`Code::Manifest`] for a kustomization that cannot be read.
pub(super) fn beside(found: &Found) -> Result<Option<(Kustomization, String)>, Diagnostic> {
    let Some(file) = Kustomization::in_directory(directory_of(&found.path)) else {
        return Ok(None);
    };
    let name = name_of(found);
    let kustomization = Kustomization::read(&file)?;
    let file = found.path.file_name().unwrap_or_default();
    let takes_it = kustomization.resources().iter().any(|resource| {
        let resource = resource.strip_prefix("./").unwrap_or(resource);
        Path::new(resource) == Path::new(file)
    });
    let has_entry = takes_it && kustomization.images().contains(&name);
    Ok(has_entry.then(|| (kustomization, name.to_owned())))
}

/// What entries of `images` call the image of a container.
pub(super) fn name_of(found: &Found) -> &str {
    let name = found.image.as_deref().map(kustomization::name_of);
    name.unwrap_or_default()
}

/// A file that is to change.
pub(super) struct Guarded<'a> {
    /// A manifest or a kustomization.
    pub(super) file: &'a Path,
    /// The name that its image has then.
    pub(super) name: &'a str,
    /// The image that it is to have.
    pub(super) image: &'a str,
    /// Which environment and application the command is about, as words of a command line.
    pub(super) words: &'a str,
}

/// How many files below a kustomization are read, and how deep.
const MOST_BELOW: usize = 500;
const DEPTH_BELOW: usize = 16;

/// A name for an entry that was not there and was not said, as the manifests below a kustomization have it: an entry by another name
/// would give nobody an image.
///
/// # Errors
/// With [`Code::NoContainer`] when they have other names only, [`Code::Ambiguous`] when several may be meant.
pub(super) fn known_below(
    kustomization: &Kustomization,
    name: String,
) -> Result<String, Diagnostic> {
    if kustomization.images().contains(&name.as_str()) {
        return Ok(name);
    }
    let mut names = BTreeSet::new();
    let mut left = MOST_BELOW;
    let is_whole = read_below(kustomization, &mut names, &mut left, DEPTH_BELOW);
    if names.contains(&name) || names.is_empty() {
        return Ok(name);
    }
    let last = |name: &str| name.rsplit('/').next().map(str::to_owned);
    let alike: Vec<&String> = names.iter().filter(|it| last(it) == last(&name)).collect();
    let shown = |names: &[&String]| {
        let names = names.iter().take(NAMED);
        let names: Vec<String> = names.map(|it| format!("`{}`", printable(it))).collect();
        names.join(", ")
    };
    let file = printable(&kustomization.path().to_string_lossy());
    match alike.as_slice() {
        [one] => Ok((*one).clone()),
        // Something was not read, and may have it.
        [] if !is_whole => Ok(name),
        [] => Err(Diagnostic::new(
            Code::NoContainer,
            format!(
                "no manifest below `{file}` has an image called `{}`",
                printable(&name)
            ),
        )
        .also(format!(
            "there are {}",
            shown(&names.iter().collect::<Vec<_>>())
        ))
        .hint("say which one is meant: `--base-image NAME`")),
        several => Err(Diagnostic::new(
            Code::Ambiguous,
            format!(
                "several images below `{file}` may be meant: {}",
                shown(several)
            ),
        )
        .hint("name the one: `--base-image NAME`")),
    }
}

/// The names of images below a kustomization; false when something could not be read.
fn read_below(
    kustomization: &Kustomization,
    names: &mut BTreeSet<String>,
    left: &mut usize,
    depth: usize,
) -> bool {
    let directory = directory_of(kustomization.path());
    let resources = kustomization.resources().into_iter();
    let mut is_whole = true;
    for resource in resources.chain(kustomization.components()) {
        let path = directory.join(resource);
        if *left == 0 || depth == 0 {
            return false;
        }
        *left -= 1;
        let read = match path.is_dir() {
            true => Kustomization::read(&path).map(|inner| {
                names.extend(
                    inner
                        .images()
                        .iter()
                        .map(|it| inner.name_after(it).to_owned()),
                );
                read_below(&inner, names, left, depth - 1)
            }),
            false => Manifest::read(&path).map(|manifest| {
                let containers = manifest
                    .workloads()
                    .into_iter()
                    .flat_map(|it| it.containers);
                let images = containers.filter_map(|it| it.image);
                names.extend(images.map(|image| kustomization::name_of(&image).to_owned()));
                true
            }),
        };
        is_whole &= read.unwrap_or(false);
    }
    is_whole
}

/// Refuses to change `file`, a manifest or a kustomization that gives its image the name `name`, when overlays elsewhere in the
/// repository say that image themselves: what is written here would not count there, and by another name their entries would no longer
/// find it. With `is_despite` it is a warning.
///
/// # Errors
/// With [`Code::Manifest`].
pub(super) fn guard(
    guarded: &Guarded<'_>,
    is_despite: bool,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let Guarded {
        file,
        name,
        image,
        words,
    } = *guarded;
    if name.is_empty() {
        return Ok(());
    }
    let is_kustomization = Kustomization::in_directory(directory_of(file))
        .is_some_and(|known| known.file_name() == file.file_name());
    let target = match is_kustomization {
        true => directory_of(file),
        false => file,
    };
    let here = env::project::directory()?;
    let found = overlays(&root(file, &here)?, target, name)?;
    tell(&found, observer);
    // Of its own entry the file itself is changed.
    let own = file.canonicalize().ok();
    let shown = |path: &PathBuf| path.strip_prefix(&here).unwrap_or(path).to_owned();
    let pins: Vec<(PathBuf, &str)> = found
        .pins
        .iter()
        .filter(|pin| pin.path.canonicalize().ok() != own)
        .map(|pin| (shown(&pin.path), pin.name.as_str()))
        .collect();
    if pins.is_empty() {
        return Ok(());
    }
    let mut names: Vec<String> = pins
        .iter()
        .take(NAMED)
        .map(|(path, _)| format!("`{}`", printable(&path.to_string_lossy())))
        .collect();
    if pins.len() > NAMED {
        names.push(format!("{} more", pins.len() - NAMED));
    }
    let what = format!(
        "`{}` is used by kustomizations that say the image `{}` themselves: {}",
        printable(&file.to_string_lossy()),
        printable(name),
        names.join(", ")
    );
    let why = "what is written here does not count there, and under another name it would be found by their entries no longer";
    if is_despite {
        observer.observe(Event::Warning {
            text: what,
            hint: Some(why.to_owned()),
        });
        return Ok(());
    }
    let refused = Diagnostic::new(Code::Manifest, what).also(why);
    let commands = pins.iter().take(NAMED).map(|(path, name)| {
        let directory = printable(&directory_of(path).to_string_lossy());
        let name = printable(name);
        format!("`overcoat deploy --kustomization {directory} --base-image {name} --image {image}{words}` sets it there")
    });
    let refused = commands.fold(refused, Diagnostic::hint);
    Err(refused.hint("to change this file all the same: `--despite-overlays`"))
}

fn tell(found: &Overlays, observer: &dyn Observer) {
    for (path, reason) in found.unread.iter().take(NAMED) {
        observer.observe(Event::Warning {
            text: format!(
                "whether `{}` says the image is not known: {reason}",
                path.display()
            ),
            hint: None,
        });
    }
    if found.is_cut {
        observer.observe(Event::Warning {
            text: "there are too many directories to look through all for kustomizations that say the image".to_owned(),
            hint: None,
        });
    }
}

/// Where overlays of a file may be: the git repository or the project that it is in; else the working directory that it is below; else
/// the directory above its own.
fn root(file: &Path, here: &Path) -> Result<PathBuf, Diagnostic> {
    let file = file
        .canonicalize()
        .map_err(|error| crate::fs::Error::new("find", file.to_owned(), error))?;
    let own = directory_of(&file);
    let has = |name: &'static str| {
        let mut above = own.ancestors();
        above.find(|directory| directory.join(name).exists())
    };
    let here = here.canonicalize().ok();
    let here = here
        .as_deref()
        .filter(|here| own.starts_with(here) && here.parent().is_some());
    let found = has(".git").or(has("overcoat.toml")).or(here);
    Ok(found.unwrap_or(own.parent().unwrap_or(own)).to_owned())
}

fn directory_of(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}
