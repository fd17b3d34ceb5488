//! A process of overcoat's own in an image: it finds something out, or makes files. It changes no image.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::assemble::{Place, make_repeatable};
use super::inputs::Redaction;
use super::rootfs::{RootFs, Wanted};
use super::step_output::{LOGS, StepOutput};
use super::{Confinement, Error, RootfsKind, ScriptFailure, Tools};
use crate::event::Observer;
use crate::fs::Context;
use crate::image::Image;
use crate::sandbox::{Access, Bind, Input, Network, Process};

/// Where an errand finds what it is given; a mount.
pub(super) const GIVEN: &str = "/run/overcoat/given";
/// Where an errand leaves what it makes; a mount.
pub(super) const MADE: &str = "/run/overcoat/made";

/// A process, and what it works with.
pub(super) struct Errand<'a> {
    /// What it is called in lines of output.
    pub name: &'static str,
    /// What it is for, as half a sentence: ``build a wheel of `uwsgi` 2.0 ``.
    pub purpose: String,
    /// The image in which it runs; all its layers are in the store.
    pub image: &'a Image,
    /// What the person called the image.
    pub image_name: &'a str,
    /// The process.
    pub process: Process,
    /// A file for [`GIVEN`], under its own name.
    pub file: Option<&'a Path>,
    /// Its network.
    pub network: Network,
    /// The time that files should show, in seconds since 1970.
    pub epoch: i64,
    /// What its log is called.
    pub log: &'a str,
}

/// True where errands can be run: they need mounts of their own, and the image's files.
pub(super) fn are_possible(confinement: &Confinement) -> bool {
    confinement.rung.has_mounts() && confinement.rootfs != RootfsKind::Host
}

impl Errand<'_> {
    /// Runs it, and hands over the directory with what it made, which is removed afterwards.
    ///
    /// # Errors
    /// [`Error::NothingMayRun`] without a sandbox, [`Error::Errand`] when it fails, [`Error::Sandbox`], [`Error::Store`].
    pub(super) fn run<T>(
        self,
        tools: &Tools<'_>,
        observer: &dyn Observer,
        then: impl FnOnce(&Path) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let store = tools.store;
        let confinement = tools.confinement.ok_or(Error::NothingMayRun)?;
        let wanted = Wanted {
            image: self.image,
            name: self.image_name,
            confinement,
            threads: tools.threads,
            ours: &[],
        };
        let workspace = store.workspace()?;
        let root = RootFs::prepare(&wanted, store, workspace.join("errand"), observer)?;
        let sandbox = root.sandbox(&tools.program)?;
        let mut process = self.process;
        let mut binds = tools
            .loan
            .lend(&sandbox.directory, Place::Inside, &mut process)?;
        make_repeatable(&mut process, self.epoch);
        let bind = |source: &Path, target: String, access| Bind {
            source: source.to_owned(),
            target,
            access,
            is_per_user: access == Access::ReadWrite,
        };
        if let Some(file) = self.file {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            binds.push(bind(file, format!("{GIVEN}/{name}"), Access::ReadOnly));
        }
        let made = workspace.join("made");
        crate::fs::create_dir_all(&made)?;
        binds.push(bind(&made, MADE.to_owned(), Access::ReadWrite));
        let input = Input {
            binds,
            network: self.network,
            ..Input::default()
        };
        let log = format!("{}-{}", self.log, self.name.replace(' ', "-"));
        let output = StepOutput::new(
            observer,
            Redaction::new(&[]),
            &store.root().join(LOGS),
            &log,
        )?;
        let exit = sandbox.run_step(self.name, &process, input, &output)?;
        if exit.status != 0 {
            return Err(Error::Errand {
                purpose: self.purpose,
                how: ScriptFailure::Status(exit.status),
                tail: exit.tail,
                log: output.finish(),
            });
        }
        output.finish();
        let of_user: PathBuf = made.join(exit.user.0.to_string());
        let result = then(&of_user);
        root.finish(observer)?;
        crate::fs::remove_tree(&made)?;
        result
    }
}

/// Opens a file that an errand made, of at most `limit_bytes`. The image's user could do as it liked in that directory, so
/// no link is followed: it may lead anywhere on this machine.
///
/// # Errors
/// [`crate::fs::Error`] for what is no file of its own, or too large.
pub(super) fn open(path: &Path, limit_bytes: u64) -> Result<File, crate::fs::Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).context("read", path)?;
    let file = File::from(file);
    let metadata = file.metadata().context("look at", path)?;
    if !metadata.is_file() || metadata.nlink() != 1 || metadata.len() > limit_bytes {
        let reason = io::Error::other("it is no file of its own, or too large");
        return Err(crate::fs::Error::new("read", path, reason));
    }
    Ok(file)
}

/// Reads a file that an errand made; see [`open`].
pub(super) fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, crate::fs::Error> {
    let mut bytes = Vec::new();
    let mut file = open(path, limit_bytes)?.take(limit_bytes);
    file.read_to_end(&mut bytes).context("read", path)?;
    Ok(bytes)
}
