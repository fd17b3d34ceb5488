//! Whose a file is, as a layer says it: what the disk says, or what was recorded where the disk cannot say it.
//!
//! In a user namespace with a single id, every file on disk belongs to that id, and no device can be made. Who owns
//! what is then data: a list for each unpacked layer ([`OwnerList`]), what the step asked for (the ledger, which is
//! the caller's), and rules for the rest ([`RecordedOwners`]).

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::Path;

use super::Error;
use super::codec::{Damaged, Decoder, Encoder};
use super::entry::{EntryPath, Kind};
use super::stack::Shown;

pub use super::recorded::{LedgerAnswer, RecordedOwners};

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// A character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

impl Device {
    /// What a layer calls it.
    pub fn kind(self) -> Kind {
        match self {
            Self::Character { major, minor } => Kind::CharacterDevice { major, minor },
            Self::Block { major, minor } => Kind::BlockDevice { major, minor },
        }
    }
}

/// Whose a file is, with what else its place on disk may not be able to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// Owner, numeric, as the image knows it.
    pub uid: u32,
    /// Group, numeric, as the image knows it.
    pub gid: u32,
    /// The device that the empty file on disk stands for.
    pub device: Option<Device>,
    /// The value of `security.capability` where the kernel refused to set it.
    pub capability: Option<Vec<u8>>,
}

impl Owned {
    /// A file of `uid` and `gid`, all else being on disk.
    pub fn by(uid: u32, gid: u32) -> Self {
        Self {
            uid,
            gid,
            ..Self::default()
        }
    }
}

/// Says whose files are.
pub trait Owners {
    /// Whose the file at `path` of the root file system is now; `file` is where it is on disk.
    ///
    /// # Errors
    /// [`Error::File`] when that takes a look at a file that cannot be read.
    fn now(&self, path: &EntryPath, file: &Path, metadata: &Metadata) -> Result<Owned, Error>;

    /// Whose the file is that the layers below show at `path`.
    ///
    /// # Errors
    /// As [`Self::now`].
    fn before(&self, path: &EntryPath, shown: &Shown) -> Result<Owned, Error>;
}

/// Owners as the disk has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealOwners;

impl Owners for RealOwners {
    fn now(&self, _path: &EntryPath, _file: &Path, metadata: &Metadata) -> Result<Owned, Error> {
        Ok(on_disk(metadata))
    }

    fn before(&self, _path: &EntryPath, shown: &Shown) -> Result<Owned, Error> {
        Ok(on_disk(&shown.metadata))
    }
}

fn on_disk(metadata: &Metadata) -> Owned {
    use std::os::unix::fs::MetadataExt;
    Owned::by(metadata.uid(), metadata.gid())
}

const MAGIC: &[u8] = b"overcoat owners 1\n";
const HAS_CHARACTER_DEVICE: u8 = 1;
const HAS_BLOCK_DEVICE: u8 = 2;
const HAS_CAPABILITY: u8 = 4;

/// The true owners of what is in one unpacked layer. What is not listed belongs to root (0:0), as most files do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerList(BTreeMap<EntryPath, Owned>);

impl OwnerList {
    /// Whose `path` is.
    pub fn get(&self, path: &EntryPath) -> Owned {
        self.0.get(path).cloned().unwrap_or_default()
    }

    /// Notes whose `path` is; what was noted before is forgotten.
    pub fn set(&mut self, path: EntryPath, owned: Owned) {
        if owned == Owned::default() {
            self.0.remove(&path);
        } else {
            self.0.insert(path, owned);
        }
    }

    /// How many files it lists: those that do not simply belong to root.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What it lists, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&EntryPath, &Owned)> {
        self.0.iter()
    }

    /// True when everything belongs to root.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The list as bytes, sorted by path.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(MAGIC);
        for (path, owned) in &self.0 {
            encoder.bytes(path.as_bytes());
            encoder.u32(owned.uid);
            encoder.u32(owned.gid);
            let (flag, numbers) = match owned.device {
                None => (0, None),
                Some(Device::Character { major, minor }) => {
                    (HAS_CHARACTER_DEVICE, Some((major, minor)))
                }
                Some(Device::Block { major, minor }) => (HAS_BLOCK_DEVICE, Some((major, minor))),
            };
            let capability = owned.capability.as_deref();
            encoder.u8(flag | capability.map_or(0, |_| HAS_CAPABILITY));
            if let Some((major, minor)) = numbers {
                encoder.u32(major);
                encoder.u32(minor);
            }
            if let Some(capability) = capability {
                encoder.bytes(capability);
            }
        }
        encoder.finish()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Damaged`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut decoder = Decoder::open(bytes, MAGIC)?;
        let mut list = BTreeMap::new();
        while !decoder.is_at_end() {
            let path = decoder.path()?;
            let (uid, gid) = (decoder.u32()?, decoder.u32()?);
            let flags = decoder.u8()?;
            let device = match flags & (HAS_CHARACTER_DEVICE | HAS_BLOCK_DEVICE) {
                0 => None,
                kind => {
                    let (major, minor) = (decoder.u32()?, decoder.u32()?);
                    match kind {
                        HAS_CHARACTER_DEVICE => Some(Device::Character { major, minor }),
                        HAS_BLOCK_DEVICE => Some(Device::Block { major, minor }),
                        _ => return Err(Damaged),
                    }
                }
            };
            let capability = match flags & HAS_CAPABILITY {
                0 => None,
                _ => Some(decoder.bytes()?.to_vec()),
            };
            let owned = Owned {
                uid,
                gid,
                device,
                capability,
            };
            if list.insert(path, owned).is_some() {
                return Err(Damaged);
            }
        }
        Ok(Self(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> OwnerList {
        let mut list = OwnerList::default();
        let path = |name: &[u8]| EntryPath::parse(name).unwrap();
        list.set(path(b"opt/app"), Owned::by(1001, 0));
        list.set(path(b"\xff\n"), Owned::by(u32::MAX, 7));
        list.set(
            path(b"dev/console"),
            Owned {
                device: Some(Device::Character { major: 5, minor: 1 }),
                ..Owned::by(0, 5)
            },
        );
        list.set(
            path(b"bin/ping"),
            Owned {
                capability: Some(vec![1, 0, 0, 2]),
                ..Owned::default()
            },
        );
        list
    }

    #[test]
    fn a_list_comes_back_and_what_is_not_in_it_is_root_s() {
        let mut list = list();
        assert_eq!(OwnerList::parse(&list.to_bytes()).unwrap(), list);
        let path = EntryPath::parse(b"opt/app").unwrap();
        assert_eq!(list.get(&path).uid, 1001);
        assert_eq!(
            list.get(&EntryPath::parse(b"etc").unwrap()),
            Owned::default()
        );
        list.set(path.clone(), Owned::default());
        assert_eq!((list.get(&path).uid, list.len()), (0, 3));
    }

    #[test]
    fn damage_anywhere_is_found() {
        let bytes = list().to_bytes();
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            assert_eq!(OwnerList::parse(&damaged), Err(Damaged), "byte {place}");
            assert_eq!(
                OwnerList::parse(&bytes[..place]),
                Err(Damaged),
                "cut at {place}"
            );
        }
    }

    /// A right check sum does not make a list right.
    #[test]
    fn lists_that_no_overcoat_wrote_are_refused() {
        let record = |path: &[u8], length: u32, flags: u8| {
            let mut encoder = Encoder::new(MAGIC);
            encoder.u32(length);
            for byte in path {
                encoder.u8(*byte);
            }
            encoder.u32(0);
            encoder.u32(0);
            encoder.u8(flags);
            encoder.finish()
        };
        assert!(OwnerList::parse(&record(b"a", 1, 0)).is_ok());
        for (path, length, flags) in [
            (&b"../a"[..], 4, 0),
            (b"/a", 2, 0),
            (b"a//b", 4, 0),
            (b"a", u32::MAX, 0),
            (b"a", 1, HAS_CHARACTER_DEVICE),
            (b"a", 1, HAS_CAPABILITY),
        ] {
            assert_eq!(
                OwnerList::parse(&record(path, length, flags)),
                Err(Damaged),
                "{path:?}"
            );
        }
    }
}
