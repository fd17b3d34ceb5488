//! Members of an archive become files below a directory, and nowhere else.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self as rfs, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::super::Error;
use super::extensions::{Extensions, small};
use super::{Failure, Limits, Refusal, check_header, damaged};
use crate::event::{Observer, printable};
use crate::fs::Context;

/// The longest path that Linux takes.
const MAX_PATH_BYTES: usize = 4096;

/// An archive on its way into a directory.
pub(super) struct Unpacking<'a> {
    pub root: OwnedFd,
    pub directory: &'a Path,
    pub limits: Limits,
    /// How much more it may hold.
    pub left: Limits,
}

impl Unpacking<'_> {
    pub(super) fn read(
        &mut self,
        tar: &mut dyn Read,
        observer: &dyn Observer,
    ) -> Result<(), Failure> {
        let mut first = Vec::new();
        tar.take(512).read_to_end(&mut first).map_err(damaged)?;
        check_header(&first)?;
        let mut archive = tar::Archive::new(io::Cursor::new(first).chain(&mut *tar));
        let mut extensions = Extensions::default();
        for member in archive.entries().map_err(damaged)?.raw(true) {
            if observer.is_cancelled() {
                return Err(Failure::Other(Error::Interrupted));
            }
            let mut member = member.map_err(damaged)?;
            self.count(0, 1)?;
            match member.header().entry_type() {
                tar::EntryType::XHeader => extensions.add_records(&small(&mut member)?)?,
                tar::EntryType::GNULongName => extensions.name = Some(small(&mut member)?),
                tar::EntryType::GNULongLink => extensions.target = Some(small(&mut member)?),
                // What git writes: the commit's id as a comment.
                tar::EntryType::XGlobalHeader => {}
                _ => self.member(&mut member, std::mem::take(&mut extensions), observer)?,
            }
        }
        Ok(())
    }

    fn count(&mut self, bytes: u64, members: u64) -> Result<(), Refusal> {
        let left = self.left.bytes.checked_sub(bytes);
        let members = self.left.members.checked_sub(members);
        match (left, members) {
            (Some(bytes), Some(members)) => {
                self.left = Limits { bytes, members };
                Ok(())
            }
            _ => Err(Refusal::TooLarge {
                bytes: self.limits.bytes,
                members: self.limits.members,
            }),
        }
    }

    fn member<R: Read>(
        &mut self,
        member: &mut tar::Entry<'_, R>,
        extensions: Extensions,
        observer: &dyn Observer,
    ) -> Result<(), Failure> {
        let size = member.size();
        let name = extensions.name(&member.path_bytes());
        let shown = shown(&name);
        if extensions.are_beyond_us(size) {
            return Err(Refusal::Kind(shown).into());
        }
        let mut components = components(&name).ok_or_else(|| Refusal::Name(shown.clone()))?;
        let kind = member.header().entry_type();
        let Some(last) = components.pop() else {
            // `./`, which every `tar -c .` begins with.
            return match kind {
                tar::EntryType::Directory => Ok(()),
                _ => Err(Refusal::Name(shown).into()),
            };
        };
        let mode = member
            .header()
            .mode()
            .map_err(|error| damaged(io::Error::other(error.to_string())))?;
        let mode = Mode::from_raw_mode(mode & 0o777);
        let target = extensions.target(member.link_name_bytes().as_deref());
        let parent = self.parent(&components, &shown)?;
        // Old archives mark directories by the slash alone.
        let is_directory = kind == tar::EntryType::Directory
            || kind == tar::EntryType::Regular && name.ends_with(b"/") && size == 0;
        match kind {
            _ if is_directory => {
                self.directory(&parent, last, mode, &shown)?;
            }
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                self.count(size, 0)?;
                self.make_room(&parent, last, &shown)?;
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = rfs::openat(&parent, last, flags, Mode::RUSR | Mode::WUSR)
                    .map_err(|errno| self.failed(errno, &name))?;
                let mut file = File::from(file);
                self.copy(member, size, &mut file, observer)?;
                rfs::fchmod(&file, mode | Mode::RUSR).map_err(|errno| self.failed(errno, &name))?;
            }
            tar::EntryType::Symlink => {
                let leads_out = || Refusal::Link {
                    name: shown.clone(),
                    target: printable(&String::from_utf8_lossy(&target)),
                };
                if !stays_within(components.len(), &target) {
                    return Err(leads_out().into());
                }
                self.make_room(&parent, last, &shown)?;
                rfs::symlinkat(OsStr::from_bytes(&target), &parent, last)
                    .map_err(|errno| self.failed(errno, &name))?;
            }
            tar::EntryType::Link => {
                let refusal = || Refusal::Link {
                    name: shown.clone(),
                    target: printable(&String::from_utf8_lossy(&target)),
                };
                let mut source = self::components(&target).ok_or_else(refusal)?;
                let source_name = source.pop().ok_or_else(refusal)?;
                let source_parent = self.parent(&source, &shown)?;
                self.hard_link(&source_parent, source_name, &parent, last)
                    .map_err(|errno| match errno {
                        Errno::NOENT | Errno::ISDIR | Errno::PERM => refusal().into(),
                        errno => self.failed(errno, &name),
                    })?;
            }
            _ => return Err(Refusal::Kind(shown).into()),
        }
        Ok(())
    }

    /// Opens the directory that a member lies in, and makes those that the archive does not name. No link is followed.
    fn parent(&self, components: &[&OsStr], shown: &str) -> Result<OwnedFd, Failure> {
        let mut directory = self.root.try_clone().context("open", self.directory)?;
        for component in components {
            let mode = Mode::from_raw_mode(0o755);
            directory = self.directory(&directory, component, mode, shown)?;
        }
        Ok(directory)
    }

    /// Makes a directory, or takes the one that is there; anything else that is there is in the way.
    fn directory(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        mode: Mode,
        shown: &str,
    ) -> Result<OwnedFd, Failure> {
        match rfs::mkdirat(parent, name, mode | Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.failed(errno, name.as_bytes())),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rfs::openat(parent, name, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOTDIR | Errno::LOOP => Refusal::Below(shown.to_owned()).into(),
            errno => self.failed(errno, name.as_bytes()),
        })
    }

    /// Removes what an earlier member of this name left; an empty directory too.
    fn make_room(&self, parent: &OwnedFd, name: &OsStr, shown: &str) -> Result<(), Failure> {
        let removed = match rfs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => rfs::unlinkat(parent, name, AtFlags::REMOVEDIR),
            other => other,
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(Refusal::Below(shown.to_owned()).into()),
            Err(errno) => Err(self.failed(errno, name.as_bytes())),
        }
    }

    /// Gives an unpacked file one more name; whatever has that name already is replaced.
    fn hard_link(
        &self,
        source_parent: &OwnedFd,
        source: &OsStr,
        parent: &OwnedFd,
        name: &OsStr,
    ) -> rustix::io::Result<()> {
        let place = |at: &OwnedFd, name: &OsStr| {
            let found = rfs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok::<_, Errno>((found.st_dev, found.st_ino))
        };
        let wanted = place(source_parent, source)?;
        match place(parent, name) {
            Ok(there) if there == wanted => return Ok(()),
            Ok(_) => rfs::unlinkat(parent, name, AtFlags::empty())?,
            Err(_) => {}
        }
        rfs::linkat(source_parent, source, parent, name, AtFlags::empty())
    }

    fn copy(
        &self,
        member: &mut impl Read,
        size: u64,
        file: &mut File,
        observer: &dyn Observer,
    ) -> Result<(), Failure> {
        let mut buffer = vec![0; 64 << 10];
        let mut left = size;
        while left > 0 {
            if observer.is_cancelled() {
                return Err(Failure::Other(Error::Interrupted));
            }
            let count = member.read(&mut buffer).map_err(damaged)?;
            if count == 0 {
                return Err(Refusal::Damaged("it ends within a file".to_owned()).into());
            }
            file.write_all(&buffer[..count])
                .context("write to", self.directory)?;
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }

    fn failed(&self, errno: Errno, name: &[u8]) -> Failure {
        match errno {
            Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => Refusal::Name(shown(name)).into(),
            errno => {
                let path = self.directory.join(OsStr::from_bytes(name));
                crate::fs::Error::new("unpack", path, errno.into()).into()
            }
        }
    }
}

fn shown(name: &[u8]) -> String {
    let text = printable(&String::from_utf8_lossy(name));
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The components of a member's name; `None` when it leads out or holds what no file name can.
fn components(name: &[u8]) -> Option<Vec<&OsStr>> {
    if name.is_empty() || name.len() > MAX_PATH_BYTES || name.starts_with(b"/") || name.contains(&0)
    {
        return None;
    }
    let mut components = Vec::new();
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return None,
            component => components.push(OsStr::from_bytes(component)),
        }
    }
    Some(components)
}

/// Whether the target of a link that lies `depth` directories deep is in the archive, by its text: a link through another one
/// can still lead out, which is why nobody ever follows one.
fn stays_within(depth: usize, target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    let mut depth = depth;
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}
