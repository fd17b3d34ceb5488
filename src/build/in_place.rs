//! Building inside the builder image itself: the running container must be that image, and is what the step changes.
//!
//! Nothing is unpacked, so nothing but the container's own files can say what the step changed. That is only right if
//! they are the image's: every file of the image is compared with the one here, byte by byte, before anything runs.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Error;
use super::compare::{open_layer, unreadable};
use crate::event::Observer;
use crate::image::Image;
use crate::layer::whiteout::{self, Whiteout};
use crate::layer::{self, Entry, EntryPath, Kind};
use crate::store::BlobStore;

/// What a container runtime writes into every container, or mounts there.
const OF_THE_RUNTIME: [&str; 9] = [
    "dev",
    "etc/hostname",
    "etc/hosts",
    "etc/mtab",
    "etc/resolv.conf",
    "proc",
    "run",
    "sys",
    "tmp",
];

/// Says that a build was made here; in the container's own file system, and gone with it.
const MARK: &str = "var/tmp/.overcoat-in-place";

/// So many differences are named.
const NAMED: usize = 5;

/// Why the container that we are in cannot be built in.
#[derive(Debug, thiserror::Error)]
pub enum InPlaceError {
    /// Files differ from the image's.
    #[error("this container is not the builder image `{image}`: {} differ, such as {}", count(*differing), names.join(", "))]
    OtherImage {
        /// The image.
        image: String,
        /// How many files differ.
        differing: usize,
        /// Some of them, with what differs.
        names: Vec<String>,
    },
    /// A build was made here before.
    #[error("a build was already made in this container, which changed it")]
    Used,
}

fn count(number: usize) -> String {
    match number {
        1 => "1 file".to_owned(),
        number => format!("{number} files"),
    }
}

impl InPlaceError {
    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::OtherImage { .. } => vec![
                "run the job in the very image that `--build-image` names, by digest".to_owned(),
                "or leave `--isolation in-place` out: `overcoat doctor` tells what else this machine allows".to_owned(),
            ],
            Self::Used => vec!["start a fresh container for each build".to_owned()],
        }
    }
}

/// The container's root file system, as far as it is the image's.
#[derive(Debug)]
pub(super) struct Container {
    root: PathBuf,
    /// What is no part of the image: mounted, of the runtime, or ours.
    skip: Vec<EntryPath>,
}

impl Container {
    /// Everything but `ours` (paths on this machine), mounts and what runtimes write.
    pub(super) fn new(root: &Path, ours: &[PathBuf]) -> Result<Self, crate::fs::Error> {
        let mounts = crate::fs::read_limited(Path::new("/proc/self/mountinfo"), 16 << 20)?;
        let mounts = mount_points(&String::from_utf8_lossy(&mounts));
        let ours = ours
            .iter()
            .map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()));
        let inside = |path: PathBuf| {
            let path = path
                .strip_prefix(root)
                .ok()?
                .as_os_str()
                .as_bytes()
                .to_vec();
            EntryPath::parse(&path).ok().filter(|path| !path.is_root())
        };
        let runtime = OF_THE_RUNTIME
            .iter()
            .filter(|name| **name != "tmp" && **name != "run");
        let skip = mounts
            .into_iter()
            .chain(ours)
            .filter_map(inside)
            .chain(runtime.filter_map(|name| EntryPath::parse(name.as_bytes()).ok()));
        Ok(Self {
            root: root.to_owned(),
            skip: skip.collect(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What a snapshot leaves out.
    pub(super) fn skip(&self) -> &[EntryPath] {
        &self.skip
    }

    /// Compares every file of `image` with the one here, and leaves a mark that a build has begun.
    ///
    /// # Errors
    /// [`InPlaceError`] when they differ or a build was made here; [`Error`] when layers cannot be read.
    pub(super) fn claim(
        &self,
        image: &Image,
        name: &str,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let mark = self.root.join(MARK);
        if mark.symlink_metadata().is_ok() {
            return Err(InPlaceError::Used.into());
        }
        let mut comparison = Comparison {
            container: self,
            decided: BTreeSet::new(),
            opaque: Vec::new(),
            differing: 0,
            names: Vec::new(),
        };
        for (blob, _) in image.layers().collect::<Vec<_>>().into_iter().rev() {
            let mut tar = open_layer(store, blob)?;
            comparison.layer(&mut tar, observer)?;
            std::io::copy(&mut tar, &mut std::io::sink()).map_err(unreadable)?;
        }
        if comparison.differing > 0 {
            return Err(InPlaceError::OtherImage {
                image: name.to_owned(),
                differing: comparison.differing,
                names: comparison.names,
            }
            .into());
        }
        // Without a place for the mark, the next build finds the application where the image has none.
        let _ = fs::write(mark, b"");
        Ok(())
    }
}

/// A comparison under way, topmost layer first: what an upper layer says of a path hides what lower ones say.
struct Comparison<'a> {
    container: &'a Container,
    decided: BTreeSet<EntryPath>,
    /// Directories of which lower layers say nothing any more.
    opaque: Vec<EntryPath>,
    differing: usize,
    names: Vec<String>,
}

impl Comparison<'_> {
    fn layer(&mut self, tar: &mut dyn Read, observer: &dyn Observer) -> Result<(), Error> {
        let mut here = BTreeSet::new();
        let mut opaque_here = Vec::new();
        layer::read::for_each(tar, |entry, content| {
            if observer.is_cancelled() {
                return Err(layer::Error::Interrupted);
            }
            match whiteout::parse(&entry.path)? {
                Some(Whiteout::Opaque(directory)) => opaque_here.push(directory),
                Some(Whiteout::Deleted(path)) => {
                    here.insert(path);
                }
                None => {
                    if !self.is_decided(&entry.path) {
                        self.compare(&entry, content);
                    }
                    here.insert(entry.path);
                }
            }
            Ok(())
        })
        .map_err(|error| match error {
            layer::Error::Interrupted => Error::Interrupted,
            error => error.into(),
        })?;
        self.decided.extend(here);
        self.opaque.extend(opaque_here);
        Ok(())
    }

    /// True when an upper layer has spoken of the path, or has made something else of a directory above it.
    fn is_decided(&self, path: &EntryPath) -> bool {
        let is_ours = self
            .container
            .skip
            .iter()
            .any(|skipped| path.is_within(skipped))
            || OF_THE_RUNTIME
                .iter()
                .filter_map(|name| EntryPath::parse(name.as_bytes()).ok())
                .any(|name| path.is_within(&name));
        let is_hidden = || {
            let mut above = path.parent();
            while let Some(directory) = above.filter(|directory| !directory.is_root()) {
                // A directory that an upper layer names too hides nothing below it.
                let file = directory.below(&self.container.root);
                let is_directory =
                    fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_dir());
                if self.decided.contains(&directory) && !is_directory {
                    return true;
                }
                above = directory.parent();
            }
            self.opaque
                .iter()
                .any(|opaque| opaque != path && path.is_within(opaque))
        };
        is_ours || path.is_root() || self.decided.contains(path) || is_hidden()
    }

    fn compare(&mut self, entry: &Entry, content: &mut dyn Read) {
        let file = entry.path.below(&self.container.root);
        let difference = match fs::symlink_metadata(&file) {
            // What may not be looked at here cannot be changed here either.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => None,
            Err(_) => Some("it is not here"),
            Ok(metadata) => difference(entry, content, &file, &metadata),
        };
        if let Some(difference) = difference {
            self.differing += 1;
            if self.names.len() < NAMED {
                self.names.push(format!("`{}` ({difference})", entry.path));
            }
        }
    }
}

/// What differs between an entry and a file here. Owners are not looked at: a user namespace around this container
/// shows others; nor are times. What may not be read here is taken for what it says it is.
fn difference(
    entry: &Entry,
    content: &mut dyn Read,
    file: &Path,
    metadata: &Metadata,
) -> Option<&'static str> {
    const PERMISSIONS: u32 = 0o777;
    let kind = metadata.file_type();
    let is_alike = match &entry.kind {
        Kind::Directory => kind.is_dir(),
        Kind::File { .. } | Kind::HardLink { .. } => kind.is_file(),
        Kind::Symlink { .. } => kind.is_symlink(),
        Kind::CharacterDevice { .. } => kind.is_char_device(),
        Kind::BlockDevice { .. } => kind.is_block_device(),
        Kind::Fifo => kind.is_fifo(),
    };
    if !is_alike {
        return Some("another kind of file");
    }
    match &entry.kind {
        Kind::Symlink { target } => {
            let here = fs::read_link(file).ok()?;
            (here.as_os_str().as_bytes() != target).then_some("another target")
        }
        Kind::File { size } if *size != metadata.len() => Some("another size"),
        Kind::File { .. } => match fs::File::open(file) {
            Ok(here) if !is_same(content, &here) => Some("another content"),
            _ => (metadata.mode() & PERMISSIONS != entry.mode & PERMISSIONS)
                .then_some("another mode"),
        },
        _ => None,
    }
}

fn is_same(content: &mut dyn Read, here: &fs::File) -> bool {
    let mut here = BufReader::with_capacity(64 << 10, here);
    let (mut left, mut right) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        match content.read(&mut left) {
            Ok(0) => return here.read(&mut right[..1]).is_ok_and(|count| count == 0),
            Ok(count) => {
                if here.read_exact(&mut right[..count]).is_err() || left[..count] != right[..count]
                {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
}

/// Where something is mounted, but for the root itself. proc(5), *mountinfo*: the fifth field, with octal escapes.
fn mount_points(text: &str) -> Vec<PathBuf> {
    let unescape = |field: &str| {
        let mut bytes = Vec::new();
        let mut rest = field.as_bytes();
        while let Some((first, more)) = rest.split_first() {
            let octal = more
                .get(..3)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
                Some(byte) if *first == b'\\' => {
                    bytes.push(byte);
                    rest = &more[3..];
                }
                _ => {
                    bytes.push(*first);
                    rest = more;
                }
            }
        }
        PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
    };
    let point = |line: &str| line.split(' ').nth(4).map(unescape);
    text.lines()
        .filter_map(point)
        .filter(|path| path != Path::new("/"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_escapes() {
        let text = "1 2 0:1 / / rw - ext4 a rw\n3 1 0:2 / /with\\040space rw - tmpfs b rw\nshort\n";
        assert_eq!(mount_points(text), [PathBuf::from("/with space")]);
    }

    fn entry(path: &str, kind: Kind, mode: u32) -> Entry {
        Entry::new(EntryPath::parse(path.as_bytes()).unwrap(), kind, mode)
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("file"), "abc").unwrap();
        std::os::unix::fs::symlink("file", root.join("link")).unwrap();
        let check = |entry: Entry, content: &str| {
            let file = entry.path.below(root);
            let metadata = fs::symlink_metadata(&file).unwrap();
            difference(&entry, &mut content.as_bytes(), &file, &metadata)
        };
        let mode = fs::metadata(root.join("file")).unwrap().mode() & 0o777;
        let file = |size| entry("file", Kind::File { size }, mode);
        let link = |target: &str| {
            let target = target.as_bytes().to_vec();
            entry("link", Kind::Symlink { target }, 0o777)
        };
        assert_eq!(check(file(3), "abc"), None);
        assert_eq!(check(file(3), "abd"), Some("another content"));
        assert_eq!(check(file(4), "abcd"), Some("another size"));
        assert_eq!(
            check(entry("file", Kind::File { size: 3 }, mode ^ 0o111), "abc"),
            Some("another mode")
        );
        assert_eq!(
            check(entry("file", Kind::Directory, 0o755), ""),
            Some("another kind of file")
        );
        assert_eq!(check(link("file"), ""), None);
        assert_eq!(check(link("other"), ""), Some("another target"));
    }
}
