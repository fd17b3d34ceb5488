//! What kustomizations say of the image of a manifest counts more than the manifest.

use std::path::{Path, PathBuf};

use crate::cli::diagnostic::Diagnostic;
use crate::cli::env;
use crate::cli::exit::Code;
use crate::event::{Event, Observer, printable};
use crate::kubernetes::kustomization::{self, Kustomization, Overlays, overlays};
use crate::kubernetes::manifest::Found;

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

/// Refuses to change `file`, a manifest or a kustomization that gives its image the name `name`, when overlays elsewhere in the
/// repository say that image themselves: what is written here would not count there, and by another name their entries would no longer
/// find it. With `is_despite` it is a warning.
///
/// # Errors
/// With [`Code::Manifest`].
pub(super) fn guard(
    file: &Path,
    name: &str,
    image: &str,
    is_despite: bool,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
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
        format!("`overcoat deploy --kustomization {directory} --base-image {name} --image {image}` sets it there")
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
