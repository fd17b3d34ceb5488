//! Members that have no content: links, devices, pipes.

use rustix::fs::{self as rfs, AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;

use super::super::Error;
use super::super::apply::Ownership;
use super::super::entry::{Entry, Kind};
use super::super::owners::{Device, Owned};
use super::super::within::{create_file, times};
use super::{Unpacker, io_error};

impl Unpacker {
    /// Links, devices, pipes: what has no content and no descriptor of its own.
    pub(super) fn special(&mut self, entry: &Entry) -> Result<(), Error> {
        let failed = |errno: Errno| io_error("unpack", &entry.path, errno);
        let name = entry.path.file_name();
        let mut owned = Owned::by(entry.uid, entry.gid);
        let private = Mode::from_raw_mode(0o600);
        match &entry.kind {
            Kind::Symlink { target } => {
                rfs::symlinkat(&target[..], self.parent(), name).map_err(failed)?;
            }
            Kind::CharacterDevice { major, minor } => {
                let device = Device::Character {
                    major: *major,
                    minor: *minor,
                };
                match self.device(entry, device)? {
                    Made::Device => {}
                    Made::Placeholder => owned.device = Some(device),
                    Made::Nothing => return Ok(()),
                }
            }
            Kind::BlockDevice { major, minor } => {
                let device = Device::Block {
                    major: *major,
                    minor: *minor,
                };
                match self.device(entry, device)? {
                    Made::Device => {}
                    Made::Placeholder => owned.device = Some(device),
                    Made::Nothing => return Ok(()),
                }
            }
            _ => rfs::mknodat(self.parent(), name, FileType::Fifo, private, 0).map_err(failed)?,
        }
        let is_given = self.fresh.belongs_to(entry.uid, entry.gid);
        if self.ownership == Ownership::Real && !is_given {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rfs::chownat(self.parent(), name, Some(uid), Some(gid), flags).map_err(failed)?;
        }
        if !matches!(entry.kind, Kind::Symlink { .. }) {
            let mode = Mode::from_raw_mode(entry.mode);
            rfs::chmodat(self.parent(), name, mode, AtFlags::empty()).map_err(failed)?;
        }
        let times = times(entry.mtime);
        rfs::utimensat(self.parent(), name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        self.record(&entry.path, owned)
    }

    /// Makes a device, or what takes its place when this user may not (inside a user namespace).
    fn device(&mut self, entry: &Entry, device: Device) -> Result<Made, Error> {
        let failed = |errno: Errno| io_error("make the device", &entry.path, errno);
        let name = entry.path.file_name();
        let (kind, major, minor) = match device {
            Device::Character { major, minor } => (FileType::CharacterDevice, major, minor),
            Device::Block { major, minor } => (FileType::BlockDevice, major, minor),
        };
        let number = rfs::makedev(major, minor);
        if kind == FileType::CharacterDevice && number == 0 {
            // On disk this is overlay's whiteout; as a tar member it is not how layers delete.
            return Err(Error::Hostile(format!("`{}` is a device 0:0", entry.path)));
        }
        let private = Mode::from_raw_mode(0o600);
        match rfs::mknodat(self.parent(), name, kind, private, number) {
            Ok(()) => Ok(Made::Device),
            Err(Errno::PERM | Errno::ACCESS) if self.ownership == Ownership::Recorded => {
                create_file(self.parent(), name).map_err(failed)?;
                Ok(Made::Placeholder)
            }
            Err(Errno::PERM | Errno::ACCESS) => {
                self.report.skipped_devices += 1;
                Ok(Made::Nothing)
            }
            Err(errno) => Err(failed(errno)),
        }
    }
}

/// What was made for a device.
enum Made {
    Device,
    Placeholder,
    Nothing,
}
