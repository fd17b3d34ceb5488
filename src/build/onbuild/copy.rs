//! `COPY`: files of the application, written as a layer.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{Copy, Doing, OnBuild};
use crate::build::scripts::Found;
use crate::build::{Error, Tools, look};
use crate::builder_image::BuilderImage;
use crate::event::{Observer, stage};
use crate::image::Image;
use crate::image::edit::NewLayer;
use crate::layer::stack::Stack;
use crate::layer::{Entry, EntryPath, Kind, whiteout};
use crate::source::SourceKind;
use crate::source::glob::Glob;

use super::super::plan::PlanError;
use super::instruction::Refusal;

/// A file of the application as the instructions see it.
struct Item {
    path: Vec<u8>,
    kind: SourceKind,
    file: PathBuf,
}

/// The source, with the scripts at its top.
fn context(on_build: &OnBuild, doing: &Doing<'_>) -> Result<Vec<Item>, Error> {
    let source = doing.source;
    let mut items = Vec::new();
    for (script, found) in on_build.scripts.uploaded() {
        let file = match found {
            Found::Source(path) => source.root.join(path),
            Found::File { path, .. } => path.clone(),
            Found::Image(_) => continue,
        };
        let metadata = std::fs::metadata(&file);
        let metadata = metadata.map_err(|error| crate::fs::Error::new("read", &file, error))?;
        items.push(Item {
            path: script.name().as_bytes().to_vec(),
            kind: SourceKind::File {
                is_executable: true,
                size: metadata.len(),
            },
            file,
        });
    }
    for entry in &source.entries {
        let is_taken = items.iter().any(|item| item.path == entry.path);
        if !on_build.scripts.takes(&entry.path) && !is_taken {
            items.push(Item {
                path: entry.path.clone(),
                kind: entry.kind.clone(),
                file: source.file_path(&entry.path),
            });
        }
    }
    items.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(items)
}

/// What a `COPY` takes: each item with its path below the target; an empty one is the target itself.
fn selected<'i>(copy: &Copy, items: &'i [Item]) -> Result<Vec<(Vec<u8>, &'i Item)>, String> {
    let mut taken = Vec::new();
    for source in &copy.sources {
        let source = source.trim_start_matches('/').trim_start_matches("./");
        let source = source.trim_end_matches('/');
        if matches!(source, "" | ".") {
            taken.extend(items.iter().map(|item| (item.path.clone(), item)));
            continue;
        }
        let before = taken.len();
        let pattern = source.as_bytes();
        for item in items
            .iter()
            .filter(|item| glob_matches(pattern, &item.path))
        {
            match item.kind {
                // Of a directory, what is in it.
                SourceKind::Directory => {
                    let prefix = [item.path.as_slice(), b"/"].concat();
                    let below = items.iter().filter_map(|inner| {
                        let rest = inner.path.strip_prefix(prefix.as_slice())?;
                        Some((rest.to_vec(), inner))
                    });
                    taken.extend(below);
                }
                _ => {
                    let name = item.path.rsplit(|byte| *byte == b'/').next();
                    let is_directory = copy.target.ends_with('/');
                    let name = if is_directory {
                        name.unwrap_or_default()
                    } else {
                        b""
                    };
                    taken.push((name.to_vec(), item));
                }
            }
        }
        if taken.len() == before && !items.iter().any(|item| item.path == pattern) {
            return Err(format!("the application has no `{source}`"));
        }
    }
    Ok(taken)
}

/// Writes the layer of a `COPY`.
pub(super) fn layer(
    copy: &Copy,
    on_build: &OnBuild,
    image: &Image,
    doing: &Doing<'_>,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<NewLayer, Error> {
    let refuse = |reason: String| {
        Error::from(PlanError::from(Refusal {
            trigger: format!("COPY {} {}", copy.sources.join(" "), copy.target),
            reason,
        }))
    };
    let copying = stage(observer, "copy", format!("to {}", copy.target));
    let items = context(on_build, doing)?;
    let below = BuilderImage::from_image(image.clone(), doing.builder.name());
    let directories = look::directories(&below, tools, observer)?;
    let stack = Stack::new(&directories);
    let owner = copy.owner.as_deref().unwrap_or("0:0");
    let (uid, gid) = owner_of(owner, &stack)?
        .ok_or_else(|| refuse(format!("the image has no user or group `{owner}`")))?;
    let own = |path: EntryPath, kind, mode: u32| Entry {
        uid,
        gid,
        mtime: doing.form.epoch,
        ..Entry::new(path, kind, mode)
    };
    let mut copy = copy.clone();
    let mut target = EntryPath::parse(copy.target.as_bytes())?;
    if let Some(resolved) = stack.resolve(&target)? {
        let shown = stack.find(&resolved)?;
        if shown.is_some_and(|shown| shown.metadata.is_dir()) && !copy.target.ends_with('/') {
            copy.target.push('/');
        }
        target = resolved;
    } else if let Some(parent) = target.parent()
        && let Some(resolved) = stack.resolve(&parent)?
    {
        target = resolved.join(target.file_name())?;
    }
    let mut writer = doing.form.begin(tools)?;
    let mut written = BTreeSet::new();
    let mut count = 0;
    for (path, item) in selected(&copy, &items).map_err(refuse)? {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let path = match path.is_empty() {
            true => target.clone(),
            false => target.join(&path)?,
        };
        if whiteout::is_reserved(&path) {
            let text = format!("`{path}` has a name that layers reserve for deletions");
            return Err(crate::layer::Error::Hostile(text).into());
        }
        // Directories above what is copied that the image has not are made.
        let mut missing = Vec::new();
        let mut above = path.parent();
        while let Some(directory) = above {
            let is_there = directory.is_root()
                || written.contains(&directory)
                || stack.find(&directory)?.is_some();
            if is_there {
                break;
            }
            above = directory.parent();
            missing.push(directory);
        }
        for directory in missing.into_iter().rev() {
            writer.append(
                &own(directory.clone(), Kind::Directory, 0o755),
                std::io::empty(),
            )?;
            written.insert(directory);
        }
        if !written.insert(path.clone()) {
            continue;
        }
        count += 1;
        match &item.kind {
            SourceKind::Directory => {
                let mode = copy.mode.unwrap_or(0o755);
                writer.append(&own(path, Kind::Directory, mode), std::io::empty())?;
            }
            SourceKind::Symlink { target } => {
                let target = target.clone();
                writer.append(
                    &own(path, Kind::Symlink { target }, 0o777),
                    std::io::empty(),
                )?;
            }
            SourceKind::File {
                is_executable,
                size,
            } => {
                let usual = if *is_executable { 0o755 } else { 0o644 };
                let entry = own(path, Kind::File { size: *size }, copy.mode.unwrap_or(usual));
                writer.append(&entry, crate::fs::open(&item.file)?)?;
            }
        }
    }
    let layer = doing
        .form
        .finish(writer, "overcoat onbuild: copied files".to_owned())?;
    copying.finish(format!("{count} files"));
    Ok(layer)
}

/// User and group as `--chown` writes them; `None` when the image does not know a name.
fn owner_of(text: &str, stack: &Stack) -> Result<Option<(u32, u32)>, Error> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let fields = |file: &str, name: &str| -> Result<Option<Vec<String>>, Error> {
        let path = EntryPath::parse(file.as_bytes())?;
        let found = stack
            .resolve(&path)?
            .map(|path| stack.find(&path))
            .transpose()?
            .flatten();
        let Some(found) = found.filter(|found| found.metadata.is_file()) else {
            return Ok(None);
        };
        let text = crate::fs::read_limited(&found.file, 1 << 20)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut lines = text
            .lines()
            .map(|line| line.split(':').map(str::to_owned).collect());
        Ok(lines.find(|fields: &Vec<String>| fields.first().is_some_and(|first| first == name)))
    };
    let number = |fields: Option<Vec<String>>, index: usize| -> Option<u32> {
        fields?.get(index)?.parse().ok()
    };
    let (uid, own_gid) = match user.parse() {
        Ok(uid) => (Some(uid), Some(uid)),
        Err(_) => {
            let fields = fields("etc/passwd", user)?;
            (number(fields.clone(), 2), number(fields, 3))
        }
    };
    let gid = match group.map(|group| (group, group.parse())) {
        None => own_gid,
        Some((_, Ok(gid))) => Some(gid),
        Some((name, Err(_))) => number(fields("etc/group", name)?, 2),
    };
    Ok(uid.zip(gid))
}

/// True when each component of a path has the form of the pattern's. What is no pattern is compared as it is.
fn glob_matches(pattern: &[u8], path: &[u8]) -> bool {
    let split = |text| <[u8]>::split(text, |byte| *byte == b'/');
    let is_one = |(pattern, name): (&[u8], &[u8])| {
        let parsed = std::str::from_utf8(pattern).ok().map(Glob::parse);
        match parsed {
            Some(Ok(glob)) => glob.matches(name),
            _ => pattern == name,
        }
    };
    split(pattern).count() == split(path).count() && split(pattern).zip(split(path)).all(is_one)
}
