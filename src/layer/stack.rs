//! Unpacked layers, one over the other, read as overlay would show them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Error;
use super::disk::{is_opaque, is_whiteout};
use super::entry::EntryPath;
use crate::fs::Context;

/// What a stack shows at a path.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Which directory of the stack it is in, counted from the topmost.
    pub layer: usize,
    /// Where it is.
    pub file: PathBuf,
    /// What it is; links are not followed.
    pub metadata: Metadata,
}

/// So many links are followed in one path, as by Linux.
const MAX_LINKS: usize = 40;

/// The directories that show as one, topmost first, each with its number in the stack.
type Merged = Rc<Vec<(usize, PathBuf)>>;

/// Unpacked layers, topmost first.
///
/// Nothing is mounted: each question is answered by looking. A whiteout hides a name of the layers below, an opaque
/// directory all of them, and what is no directory hides a directory. No link is ever followed.
///
/// # Spec
/// Linux `Documentation/filesystems/overlayfs.rst`.
#[derive(Debug)]
pub struct Stack {
    directories: Vec<PathBuf>,
    /// The directory that was asked for last: questions come in the order of a walk.
    recent: RefCell<Option<(EntryPath, Merged)>>,
}

impl Stack {
    /// A stack of `directories`, topmost first; it may be empty.
    pub fn new(directories: &[PathBuf]) -> Self {
        Self {
            directories: directories.to_vec(),
            recent: RefCell::new(None),
        }
    }

    /// The directories, topmost first.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// What is shown at `path`; `None` when there is nothing.
    ///
    /// # Errors
    /// [`Error::File`] with the path that could not be read.
    pub fn find(&self, path: &EntryPath) -> Result<Option<Shown>, Error> {
        let Some(parent) = path.parent() else {
            return self.root();
        };
        let Some(merged) = self.merged(&parent)? else {
            return Ok(None);
        };
        descend(&merged, path.file_name(), &mut None)
    }

    /// The names shown in a directory, with what each is; empty when `path` is none.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn list(&self, path: &EntryPath) -> Result<BTreeMap<Vec<u8>, Shown>, Error> {
        let mut shown = BTreeMap::new();
        let Some(merged) = self.merged(path)? else {
            return Ok(shown);
        };
        for (_, directory) in merged.iter() {
            for name in crate::fs::list(directory)? {
                let name = name.as_os_str().as_bytes();
                if shown.contains_key(name) {
                    continue;
                }
                if let Some(found) = descend(&merged, name, &mut None)? {
                    shown.insert(name.to_vec(), found);
                }
            }
        }
        Ok(shown)
    }

    /// Where `path` leads when links in it are followed as a process whose root directory the stack is would; `None` when
    /// that is nowhere.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn resolve(&self, path: &EntryPath) -> Result<Option<EntryPath>, Error> {
        let components = |path: &[u8]| -> Vec<Vec<u8>> {
            let parts = path.rsplit(|byte| *byte == b'/');
            parts
                .filter(|part| !matches!(part, [] | [b'.']))
                .map(<[u8]>::to_vec)
                .collect()
        };
        let mut left = components(path.as_bytes());
        let mut reached = EntryPath::root();
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == b".." {
                reached = reached.parent().unwrap_or(reached);
                continue;
            }
            let next = reached.join(&name)?;
            match self.find(&next)? {
                None => return Ok(None),
                Some(shown) if shown.metadata.is_symlink() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Ok(None);
                    }
                    let target = fs::read_link(&shown.file).context("read link", &shown.file)?;
                    let target = target.as_os_str().as_bytes();
                    if target.starts_with(b"/") {
                        reached = EntryPath::root();
                    }
                    left.extend(components(target));
                }
                Some(_) => reached = next,
            }
        }
        Ok(Some(reached))
    }

    fn root(&self) -> Result<Option<Shown>, Error> {
        let Some(file) = self.directories.first().cloned() else {
            return Ok(None);
        };
        let metadata = fs::symlink_metadata(&file).context("read", &file)?;
        Ok(Some(Shown {
            layer: 0,
            file,
            metadata,
        }))
    }

    /// The directories that show as the one at `path`; `None` when it is none.
    fn merged(&self, path: &EntryPath) -> Result<Option<Merged>, Error> {
        if let Some((_, merged)) = self
            .recent
            .borrow()
            .as_ref()
            .filter(|(recent, _)| recent == path)
        {
            return Ok(Some(merged.clone()));
        }
        let mut merged: Vec<(usize, PathBuf)> =
            self.directories.iter().cloned().enumerate().collect();
        for component in path
            .as_bytes()
            .split(|byte| *byte == b'/')
            .filter(|component| !component.is_empty())
        {
            let mut below = Some(Vec::new());
            descend(&merged, component, &mut below)?;
            merged = below.unwrap_or_default();
            if merged.is_empty() {
                return Ok(None);
            }
        }
        let merged = Rc::new(merged);
        *self.recent.borrow_mut() = Some((path.clone(), merged.clone()));
        Ok(Some(merged))
    }
}

/// What directories that show as one show as `name`. With `below`, the search goes on after the first find, and the
/// directories that show as one there are collected.
fn descend(
    merged: &[(usize, PathBuf)],
    name: &[u8],
    below: &mut Option<Vec<(usize, PathBuf)>>,
) -> Result<Option<Shown>, Error> {
    let mut first = None;
    for (layer, directory) in merged {
        let file = directory.join(Path::new(OsStr::from_bytes(name)));
        let metadata = match fs::symlink_metadata(&file) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(crate::fs::Error::new("read", file, error).into()),
        };
        if is_whiteout(&metadata) {
            break;
        }
        let is_directory = metadata.is_dir();
        if first.is_some() && !is_directory {
            break;
        }
        let is_last = !is_directory || below.is_none() || is_opaque(&file)?;
        if let Some(below) = below.as_mut().filter(|_| is_directory) {
            below.push((*layer, file.clone()));
        }
        if first.is_none() {
            first = Some(Shown {
                layer: *layer,
                file,
                metadata,
            });
        }
        if is_last {
            break;
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use rustix::fs as rfs;

    use super::*;
    use crate::layer::whiteout::OPAQUE_XATTR;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    fn write(root: &Path, name: &str) {
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, root.file_name().unwrap().as_bytes()).unwrap();
    }

    #[test]
    fn a_stack_shows_what_overlay_would() {
        let directory = tempfile::tempdir().unwrap();
        let layers = ["top", "middle", "bottom"].map(|name| directory.path().join(name));
        let [top, middle, bottom] = &layers;
        for name in ["everywhere", "etc/bottom", "opaque/old", "gone/x", "file/x"] {
            write(bottom, name);
        }
        for name in ["everywhere", "opaque/new", "etc/middle"] {
            write(middle, name);
        }
        for name in ["opaque/newest", "etc/top", "file"] {
            write(top, name);
        }
        rfs::setxattr(
            middle.join("opaque"),
            OPAQUE_XATTR,
            b"y",
            rfs::XattrFlags::empty(),
        )
        .unwrap();
        rfs::mknodat(
            rfs::CWD,
            middle.join("gone"),
            rfs::FileType::CharacterDevice,
            rfs::Mode::empty(),
            0,
        )
        .unwrap();
        let stack = Stack::new(&layers);
        let names = |of: &str| -> Vec<String> {
            let list = stack.list(&path(of)).unwrap();
            list.keys()
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect()
        };
        assert_eq!(names("."), ["etc", "everywhere", "file", "opaque"]);
        assert_eq!(names("etc"), ["bottom", "middle", "top"]);
        assert_eq!(names("opaque"), ["new", "newest"]);
        assert_eq!(names("file"), Vec::<String>::new());
        let layer = |of: &str| stack.find(&path(of)).unwrap().map(|shown| shown.layer);
        assert_eq!(layer("everywhere"), Some(1));
        assert_eq!(layer("etc/bottom"), Some(2));
        assert_eq!(layer("opaque/old"), None);
        assert_eq!(layer("gone/x"), None);
        assert_eq!(layer("file/x"), None);
        assert_eq!(layer("."), Some(0));
    }

    #[test]
    fn links_lead_to_where_a_process_in_the_stack_would_come() {
        let directory = tempfile::tempdir().unwrap();
        let layers = ["top", "bottom"].map(|name| directory.path().join(name));
        write(&layers[1], "usr/lib/app/x");
        write(&layers[0], "opt/y");
        for (name, target) in [
            ("lib", "usr/lib"),
            ("opt/app", "/lib/app"),
            ("opt/out", "../../../../opt/y"),
            ("opt/loop", "loop"),
            ("opt/nowhere", "/etc/passwd"),
        ] {
            std::os::unix::fs::symlink(target, layers[0].join(name)).unwrap();
        }
        let stack = Stack::new(&layers);
        let resolved = |text: &str| stack.resolve(&path(text)).unwrap();
        assert_eq!(resolved("opt/app/x"), Some(path("usr/lib/app/x")));
        assert_eq!(resolved("opt/out"), Some(path("opt/y")));
        assert_eq!(resolved("."), Some(EntryPath::root()));
        for nowhere in ["opt/loop", "opt/nowhere", "opt/z"] {
            assert_eq!(resolved(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn links_are_not_followed_out_of_a_layer() {
        let directory = tempfile::tempdir().unwrap();
        let layer = directory.path().join("layer");
        fs::create_dir(&layer).unwrap();
        std::os::unix::fs::symlink("/etc", layer.join("etc")).unwrap();
        let stack = Stack::new(&[layer]);
        assert!(stack.find(&path("etc/passwd")).unwrap().is_none());
        assert!(stack.list(&path("etc")).unwrap().is_empty());
    }
}
