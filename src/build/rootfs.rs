//! The root file system of a step, whatever it is made of, and what the step changed of it.
//!
//! | `RootfsKind` | is | changes are found in |
//! |---|---|---|
//! | `Overlay` | the builder's layers, stacked | overlay's upper directory |
//! | `Extracted` | the builder's layers, merged into a tree of the store | the tree, against a snapshot |
//! | `Host` | this container's own | the container, against a snapshot |
//!
//! All three give the same list for the same work, so the same layers.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::Error;
use super::confinement::{Confinement, RootfsKind};
use super::in_place::Container;
use crate::digest::chain_ids;
use crate::event::{Observer, stage};
use crate::fs::Context;
use crate::image::Image;
use crate::layer::change::{self, Before, Change, Layers};
use crate::layer::owners::{Device, LedgerAnswer, OwnerList, Owners, RealOwners, RecordedOwners};
use crate::layer::snapshot::{Contents, Snapshot};
use crate::layer::stack::Stack;
use crate::layer::{EntryPath, Ownership};
use crate::sandbox::{Exit, FileIdentity, IdMap, ImageOwners, Ledger, RootFilesystem, Sandbox};
use crate::store::{BlobStore, Lease, recorded_owners, unpack_layers};

/// The root file system of one step.
#[derive(Debug)]
pub struct RootFs {
    confinement: Confinement,
    /// For this run alone.
    directory: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Overlay(Vec<PathBuf>),
    Extracted {
        lowers: Vec<PathBuf>,
        lease: Lease,
    },
    Host {
        container: Container,
        snapshot: Snapshot,
    },
}

/// What a root file system is made for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The image whose layers it shows.
    pub image: &'a Image,
    /// What the person called it.
    pub name: &'a str,
    /// How the step is kept apart.
    pub confinement: Confinement,
    /// How many layers to unpack side by side.
    pub threads: usize,
    /// Paths of this machine that are overcoat's or the person's, and no part of a container that is the image.
    pub ours: &'a [PathBuf],
}

/// What a step changed.
pub(super) struct Changed<'a> {
    /// Sorted by path.
    pub changes: Vec<Change>,
    /// The directory in which the files are.
    pub directory: &'a Path,
    /// Whose they are.
    pub owners: &'a dyn Owners,
    /// What was there before the step.
    pub before: &'a dyn Before,
}

impl RootFs {
    /// Makes it ready. `directory` is for this run alone.
    ///
    /// # Errors
    /// [`Error::Store`] when layers cannot be unpacked, [`Error::InPlace`] when this container is another image,
    /// [`Error::Interrupted`].
    pub fn prepare(
        wanted: &Wanted<'_>,
        store: &BlobStore,
        directory: PathBuf,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        crate::fs::create_dir_all(&directory)?;
        let Wanted {
            image, confinement, ..
        } = *wanted;
        let ownership = match confinement.rung.has_real_owners() {
            true => Ownership::Real,
            false => Ownership::Recorded,
        };
        let key = IdMap::of_this_process()?.key();
        let unpack = || -> Result<Vec<PathBuf>, Error> {
            let unpacking = stage(observer, "unpack builder image", image.digest().short());
            let layers = unpack_layers(store, image, &key, ownership, wanted.threads, observer)?;
            unpacking.finish(format!("{} layers", layers.len()));
            Ok(stacked(layers))
        };
        let kind = match confinement.rootfs {
            RootfsKind::Overlay => Kind::Overlay(unpack()?),
            RootfsKind::Extracted => {
                let lowers = unpack()?;
                let extracting = stage(observer, "extract builder image", image.digest().short());
                let chain = chain_ids(image.config.parsed.diff_ids());
                let chain = chain
                    .last()
                    .cloned()
                    .unwrap_or_else(|| image.digest().clone());
                let lease = Lease::take(store, &lowers, &chain, &key, ownership, observer)?;
                extracting.finish("");
                Kind::Extracted { lowers, lease }
            }
            RootfsKind::Host => {
                let checking = stage(
                    observer,
                    "compare this container with",
                    wanted.name.to_owned(),
                );
                let container = Container::new(Path::new("/"), wanted.ours)?;
                container.claim(image, wanted.name, store, observer)?;
                let root = container.root();
                let snapshot = Snapshot::take(root, container.skip(), Contents::Hashed, observer)?;
                checking.finish(format!("{} files", snapshot.records().len()));
                Kind::Host {
                    container,
                    snapshot,
                }
            }
        };
        Ok(Self {
            confinement,
            directory,
            kind,
        })
    }

    /// The sandbox that runs something in it.
    ///
    /// # Errors
    /// [`Error::File`] when the list of owners cannot be written.
    pub fn sandbox(&self, program: &Path) -> Result<Sandbox, Error> {
        let root = match &self.kind {
            Kind::Overlay(lowers) => RootFilesystem::Overlay {
                lowers: lowers.clone(),
            },
            Kind::Extracted { lease, .. } => RootFilesystem::Tree(lease.tree().to_owned()),
            Kind::Host { .. } => RootFilesystem::Host,
        };
        Ok(Sandbox {
            program: program.to_owned(),
            directory: self.directory.clone(),
            rung: self.confinement.rung,
            root,
            owners: self.write_owners()?,
        })
    }

    /// The image's layers, topmost first; none where its files are this container's.
    pub fn lowers(&self) -> &[PathBuf] {
        match &self.kind {
            Kind::Overlay(lowers) | Kind::Extracted { lowers, .. } => lowers,
            Kind::Host { .. } => &[],
        }
    }

    /// True where files on disk may have other owners than the layers say.
    fn has_records(&self) -> bool {
        let rung = self.confinement.rung;
        !rung.has_real_owners() || rung.keeps_ledger()
    }

    /// The owners of the image's files, for whoever answers the step's questions about them.
    fn write_owners(&self) -> Result<Vec<ImageOwners>, Error> {
        if !self.has_records() {
            return Ok(Vec::new());
        }
        match &self.kind {
            Kind::Overlay(lowers) | Kind::Extracted { lowers, .. } => {
                let write = |(index, lower): (usize, &PathBuf)| {
                    let list = recorded_owners(lower)?;
                    let listed = list
                        .iter()
                        .map(|(path, owned)| (path, owned.uid, owned.gid));
                    Ok(ImageOwners {
                        layer: Some(lower.clone()),
                        list: self.write_list(index, listed)?,
                    })
                };
                lowers.iter().enumerate().map(write).collect()
            }
            Kind::Host { snapshot, .. } => {
                let known = snapshot.records().iter().filter_map(|(path, record)| {
                    record.entry().map(|entry| (path, entry.uid, entry.gid))
                });
                Ok(vec![ImageOwners {
                    layer: None,
                    list: self.write_list(0, known)?,
                }])
            }
        }
    }

    fn write_list<'p>(
        &self,
        index: usize,
        owners: impl Iterator<Item = (&'p EntryPath, u32, u32)>,
    ) -> Result<PathBuf, Error> {
        let path = self.directory.join(format!("owners-{index}"));
        let mut text = Vec::new();
        for (name, uid, gid) in owners {
            let _ = write!(text, "{uid} {gid} ");
            text.extend_from_slice(name.as_bytes());
            text.push(0);
        }
        std::fs::write(&path, text).context("write", &path)?;
        Ok(path)
    }

    /// Finds what the step changed, and hands it over.
    pub(super) fn with_changes<T>(
        &self,
        exit: &Exit,
        observer: &dyn Observer,
        then: impl FnOnce(Changed<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let ask = |file: &Path| answer(&exit.ledger, file);
        match &self.kind {
            Kind::Overlay(lowers) => {
                let stack = Stack::new(lowers);
                let upper = self.directory.join("upper");
                let lists = self.lists(lowers)?;
                let recorded = RecordedOwners::overlaid(&stack, &lists, exit.user, &ask);
                let owners = self.choose(&recorded);
                let before = Layers {
                    stack: &stack,
                    owners,
                };
                let changes = change::from_overlay_upper(&upper, before, observer)?;
                then(Changed {
                    changes,
                    directory: &upper,
                    owners,
                    before: &before,
                })
            }
            Kind::Extracted { lowers, lease } => {
                let stack = Stack::new(lowers);
                let lists = self.lists(lowers)?;
                let snapshot = lease.snapshot();
                let recorded = RecordedOwners::merged(&stack, &lists, snapshot, exit.user, &ask);
                let owners = self.choose(&recorded);
                let before = Layers {
                    stack: &stack,
                    owners,
                };
                let changes =
                    change::from_tree(lease.tree(), snapshot, &before, owners, &[], observer)?;
                then(Changed {
                    changes,
                    directory: lease.tree(),
                    owners,
                    before: &before,
                })
            }
            Kind::Host {
                container,
                snapshot,
            } => {
                let own_uid = rustix::process::geteuid().as_raw();
                let recorded = RecordedOwners::in_place(snapshot, own_uid, exit.user, &ask);
                let owners = self.choose(&recorded);
                // What could not be read before is left alone now, too.
                let covered = snapshot.covered().cloned();
                let skip: Vec<EntryPath> =
                    container.skip().iter().cloned().chain(covered).collect();
                let root = container.root();
                let changes = change::from_tree(root, snapshot, snapshot, owners, &skip, observer)?;
                then(Changed {
                    changes,
                    directory: root,
                    owners,
                    before: snapshot,
                })
            }
        }
    }

    fn choose<'a>(&self, recorded: &'a RecordedOwners<'a>) -> &'a dyn Owners {
        match self.has_records() {
            true => recorded,
            false => &RealOwners,
        }
    }

    fn lists(&self, lowers: &[PathBuf]) -> Result<Vec<OwnerList>, Error> {
        match self.has_records() {
            true => lists(lowers),
            false => Ok(lowers.iter().map(|_| OwnerList::default()).collect()),
        }
    }

    /// Puts the root file system away: what the step changed is gone then.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Store`] with what could not be removed or put back.
    pub fn finish(self, observer: &dyn Observer) -> Result<(), Error> {
        // Now, not when the store is closed: a later step may need the room.
        crate::fs::remove_tree(&self.directory)?;
        if let Kind::Extracted { lease, .. } = self.kind {
            lease.restore(observer)?;
        }
        Ok(())
    }
}

fn lists(lowers: &[PathBuf]) -> Result<Vec<OwnerList>, Error> {
    Ok(lowers
        .iter()
        .map(|lower| recorded_owners(lower))
        .collect::<Result<_, _>>()?)
}

/// What the ledger says of a file on disk.
fn answer(ledger: &Ledger, file: &Path) -> Option<LedgerAnswer> {
    if ledger.is_empty() {
        return None;
    }
    let identity = FileIdentity::of(file).ok()?;
    let owner = ledger.owner(&identity);
    let device = ledger
        .device(&identity)
        .map(|device| match device.is_block {
            true => Device::Block {
                major: device.major,
                minor: device.minor,
            },
            false => Device::Character {
                major: device.major,
                minor: device.minor,
            },
        });
    (owner.is_some() || device.is_some()).then(|| LedgerAnswer {
        uid: owner.map(|owner| owner.uid),
        gid: owner.map(|owner| owner.gid),
        device,
    })
}

/// Layers as overlay wants them: topmost first, each once (it refuses one directory twice; the upper mention of
/// two equal layers decides what is seen).
fn stacked(base_first: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut lowers: Vec<PathBuf> = Vec::new();
    for layer in base_first.into_iter().rev() {
        if !lowers.contains(&layer) {
            lowers.push(layer);
        }
    }
    lowers
}
