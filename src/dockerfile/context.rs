//! The directory that the Dockerfile is built in.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::scripts::Chosen;
use super::words::{self, absolute};
use super::{DockerfileRequest, Error, Injection};
use crate::fs::Context;
use crate::source::{SourceEntry, SourceKind, SourceTree};

/// What the Dockerfile copies from.
const UPLOAD: &str = "upload";
/// In it, so that a later run knows it as overcoat's own. No instruction copies it.
const MARK: &str = ".written-by-overcoat";
/// How many files an injection may have.
const MAX_INJECTED: usize = 10_000;

/// An injection with what there is to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Injected {
    /// Its absolute path on this machine, checked.
    pub(super) source: String,
    destination: String,
    pub(super) is_kept: bool,
    /// Paths below `source`, sorted; one empty path when that is a file.
    below: Vec<String>,
}

impl Injected {
    /// Where it goes in the image.
    pub(super) fn target(&self, working_directory: &str) -> Result<String, Error> {
        let joined = match self.destination.starts_with('/') {
            true => self.destination.clone(),
            false => format!("{working_directory}/{}", self.destination),
        };
        let mut joined = absolute("the injection's destination", &joined)?.to_owned();
        if self.destination.is_empty() && self.is_file() {
            let name = self.source.rsplit('/').next().unwrap_or_default();
            joined = format!("{joined}/{name}");
        }
        // Cleaned, as paths are compared and shown that way.
        let parts = joined
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".");
        Ok(format!("/{}", parts.collect::<Vec<_>>().join("/")))
    }

    /// Every file that it makes.
    pub(super) fn files(&self, target: &str) -> Vec<String> {
        let file = |path: &String| match path.is_empty() {
            true => target.to_owned(),
            false => format!("{target}/{path}"),
        };
        self.below.iter().map(file).collect()
    }

    fn is_file(&self) -> bool {
        self.below.iter().any(String::is_empty)
    }
}

/// Looks at what is to be injected. Links to files count as the files, links to directories are left out: so Kubernetes
/// mounts secrets.
pub(super) fn injected(injections: &[Injection]) -> Result<Vec<Injected>, Error> {
    injections.iter().map(look).collect()
}

fn look(injection: &Injection) -> Result<Injected, Error> {
    let refuse = |reason| Error::Injection {
        source_path: injection.source.clone(),
        reason,
    };
    let source = injection
        .source
        .to_str()
        .ok_or_else(|| refuse("its path is not UTF-8"))?;
    let source = absolute("the injected path", source)?.to_owned();
    let metadata = fs::metadata(&source).context("inject", &injection.source)?;
    let mut below = Vec::new();
    if metadata.is_file() {
        below.push(String::new());
    } else if !metadata.is_dir() {
        return Err(refuse("it is neither a file nor a directory"));
    } else {
        for found in walkdir::WalkDir::new(&source).sort_by_file_name() {
            let found = found
                .map_err(io::Error::from)
                .context("read", &injection.source)?;
            let is_file = fs::metadata(found.path()).is_ok_and(|metadata| metadata.is_file());
            if !is_file {
                continue;
            }
            let path = found.path().strip_prefix(&source).unwrap_or(found.path());
            let path = path
                .to_str()
                .ok_or_else(|| refuse("a file's name in it is not UTF-8"))?;
            below.push(words::path("the injected file", path)?.to_owned());
            if below.len() > MAX_INJECTED {
                return Err(refuse("it has more than 10000 files"));
            }
        }
    }
    Ok(Injected {
        source,
        destination: injection.destination.clone(),
        is_kept: injection.is_kept,
        below,
    })
}

/// Writes `upload` below `context` anew.
pub(super) fn write(
    request: &DockerfileRequest<'_>,
    chosen: &Chosen,
    injected: &[Injected],
    context: &Path,
    dockerfile: &Path,
) -> Result<(), Error> {
    let upload = context.join(UPLOAD);
    let is_ours = is_ours(&upload)?;
    // What is half written is removed, whatever happens.
    let new = tempfile::Builder::new()
        .prefix(".upload-")
        .tempdir_in(context)
        .context("create a directory in", context)?;
    let directory = |name: &str| -> Result<PathBuf, Error> {
        let path = new.path().join(name);
        make_directory(&path)?;
        Ok(path)
    };
    let scripts = directory("scripts")?;
    for (name, from) in &chosen.uploaded {
        copy_file(from, &scripts.join(name), 0o755)?;
    }
    let src = directory("src")?;
    if let Some(source) = request.source {
        let left_out = LeftOut::new(source, chosen, context, dockerfile, is_ours);
        copy_source(source, &left_out, &src)?;
    }
    let injections = directory("injections")?;
    for injection in injected {
        for path in &injection.below {
            let from = Path::new(&injection.source).join(path);
            let from = if path.is_empty() {
                PathBuf::from(&injection.source)
            } else {
                from
            };
            let relative = from.strip_prefix("/").unwrap_or(&from);
            let to = injections.join(relative);
            crate::fs::create_dir_all(to.parent().unwrap_or(&to))?;
            let metadata = fs::metadata(&from).context("read", &from)?;
            let is_executable = metadata.permissions().mode() & 0o111 != 0;
            // The same path may be injected to two places.
            if fs::symlink_metadata(&to).is_err() {
                copy_file(&from, &to, if is_executable { 0o755 } else { 0o644 })?;
            }
        }
        // An empty directory is copied, too.
        crate::fs::create_dir_all(&match injection.is_file() {
            true => injections.clone(),
            false => injections.join(injection.source.trim_start_matches('/')),
        })?;
    }
    fs::write(new.path().join(MARK), "").context("write", &new.path().join(MARK))?;
    fs::set_permissions(new.path(), Permissions::from_mode(0o755))
        .context("set the mode of", new.path())?;
    if is_ours {
        crate::fs::remove_tree(&upload)?;
    }
    fs::rename(new.path(), &upload).context("create directory", &upload)?;
    // It has another name now, and there is nothing left to remove.
    let _ = new.keep();
    Ok(())
}

/// True for an earlier upload, false where nothing is.
fn is_ours(upload: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(upload) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(crate::fs::Error::new("read", upload, error).into()),
        Ok(metadata) if metadata.is_dir() && upload.join(MARK).is_file() => Ok(true),
        Ok(_) => Err(Error::Occupied {
            path: upload.to_owned(),
        }),
    }
}

/// Entries of the source that are not the application's.
struct LeftOut {
    /// Scripts that move, the Dockerfile itself.
    paths: BTreeSet<Vec<u8>>,
    /// The upload of an earlier run.
    directory: Option<Vec<u8>>,
}

impl LeftOut {
    fn new(
        source: &SourceTree,
        chosen: &Chosen,
        context: &Path,
        dockerfile: &Path,
        is_ours: bool,
    ) -> Self {
        let mut paths: BTreeSet<Vec<u8>> = chosen
            .moved
            .iter()
            .map(|path| path.clone().into_bytes())
            .collect();
        // The context may lie in the source: `--as-dockerfile ./Dockerfile`.
        let within = fs::canonicalize(context).ok().and_then(|context| {
            let root = fs::canonicalize(&source.root).ok()?;
            Some(context.strip_prefix(root).ok()?.to_owned())
        });
        let below = |name: &std::ffi::OsStr| {
            let path = within.as_ref()?.join(name);
            Some(path.as_os_str().as_bytes().to_vec())
        };
        paths.extend(dockerfile.file_name().and_then(below));
        let directory = below(UPLOAD.as_ref()).filter(|_| is_ours);
        Self { paths, directory }
    }

    fn has(&self, path: &[u8]) -> bool {
        let is_below = |directory: &Vec<u8>| {
            path.strip_prefix(&directory[..])
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        self.paths.contains(path) || self.directory.as_ref().is_some_and(is_below)
    }
}

/// Copies a source below `target`. A tree may be of an archive: nothing of it is written elsewhere, or through a link.
fn copy_source(source: &SourceTree, left_out: &LeftOut, target: &Path) -> Result<(), Error> {
    let mut directories = BTreeSet::from([PathBuf::new()]);
    for SourceEntry { path, kind } in &source.entries {
        if left_out.has(path) {
            continue;
        }
        let relative = PathBuf::from(std::ffi::OsStr::from_bytes(path));
        let is_plain = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let parent = relative.parent().unwrap_or(Path::new(""));
        if !is_plain || !directories.contains(parent) {
            return Err(Error::Unsafe {
                path: relative.display().to_string(),
            });
        }
        let to = target.join(&relative);
        match kind {
            SourceKind::Directory => {
                make_directory(&to)?;
                directories.insert(relative);
            }
            SourceKind::Symlink { target } => {
                let target = std::ffi::OsStr::from_bytes(target);
                symlink(target, &to).context("create link", &to)?;
            }
            SourceKind::File { is_executable, .. } => {
                let mode = if *is_executable { 0o755 } else { 0o644 };
                copy_file(&source.root.join(&relative), &to, mode)?;
            }
        }
    }
    Ok(())
}

fn make_directory(path: &Path) -> Result<(), Error> {
    fs::create_dir(path).context("create directory", path)?;
    // Whatever the umask is.
    fs::set_permissions(path, Permissions::from_mode(0o755)).context("set the mode of", path)?;
    Ok(())
}

fn copy_file(from: &Path, to: &Path, mode: u32) -> Result<(), Error> {
    let mut reader = crate::fs::open(from)?;
    let mut writer: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(to)
        .context("create", to)?;
    io::copy(&mut reader, &mut writer).context("copy", from)?;
    writer
        .set_permissions(Permissions::from_mode(mode))
        .context("set the mode of", to)?;
    Ok(())
}
