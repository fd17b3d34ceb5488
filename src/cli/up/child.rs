//! `overcoat build` as a process of its own: it may have to enter a user namespace, which starts the command again.
//!
//! It is told a file to make before it does anything that was not done before, and waits until the file is gone. So the record of a
//! build is there before the build, and a build that changes nothing has none.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::make::{Made, Outcome, finished};
use super::{Args, Planned};
use crate::cli::args::Shared;
use crate::cli::build::perform::read_report;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::open_store;
use crate::event::{Observer, stage};
use crate::fs::{Context, Error};
use crate::image::Descriptor;
use crate::ui::Progress;

/// How often it is looked whether it has ended, or the person has had enough.
const LOOK: Duration = Duration::from_millis(20);

/// A build under way; ended when dropped.
pub(super) struct Building {
    child: Child,
    program: PathBuf,
    status: Option<u8>,
    /// Where its report, and the mark of its beginning, are.
    directory: tempfile::TempDir,
}

impl Building {
    /// Starts the build of a pod.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(
        args: &Args,
        planned: &Planned,
        is_one_of_several: bool,
        program: &Path,
        shared: &Shared,
    ) -> Result<Self, Diagnostic> {
        let directory = tempfile::tempdir()
            .map_err(|error| Error::new("create a directory in", std::env::temp_dir(), error))?;
        let words = words(
            args,
            planned,
            is_one_of_several,
            shared,
            &report(&directory),
            &mark(&directory),
        );
        let child = Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start", program)?;
        Ok(Self {
            child,
            program: program.to_owned(),
            status: None,
            directory,
        })
    }

    /// Waits until it has something to do, or has ended; its status then.
    ///
    /// # Errors
    /// When the person wants to stop.
    pub(super) fn until_begun(
        &mut self,
        observer: &dyn Observer,
    ) -> Result<Option<u8>, Diagnostic> {
        let mark = mark(&self.directory);
        self.wait(observer, || mark.exists())
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// When the mark cannot be removed.
    pub(super) fn go_on(&self) -> Result<(), Diagnostic> {
        let mark = mark(&self.directory);
        match std::fs::remove_file(&mark) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::new("remove", mark, error).into())
            }
            _ => Ok(()),
        }
    }

    /// Waits until it has ended; its status.
    ///
    /// # Errors
    /// As [`Self::until_begun`].
    pub(super) fn end(&mut self, observer: &dyn Observer) -> Result<u8, Diagnostic> {
        Ok(self.wait(observer, || false)?.unwrap_or(1))
    }

    fn wait(
        &mut self,
        observer: &dyn Observer,
        is_enough: impl Fn() -> bool,
    ) -> Result<Option<u8>, Diagnostic> {
        let mut is_told = false;
        loop {
            if self.look()? {
                break;
            }
            if !observer.is_cancelled() && is_enough() {
                return Ok(None);
            }
            if observer.is_cancelled() && !is_told {
                is_told = true;
                self.tell_to_end();
            }
            std::thread::sleep(LOOK);
        }
        match observer.is_cancelled() {
            true => Err(crate::build::Error::Interrupted.into()),
            false => Ok(self.status),
        }
    }

    /// True when it has ended.
    fn look(&mut self) -> Result<bool, Diagnostic> {
        if self.status.is_none() {
            let ended = self.child.try_wait().context("wait for", &self.program)?;
            self.status = ended.map(status_of);
        }
        Ok(self.status.is_some())
    }

    fn tell_to_end(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
    }

    /// The pod's image, of what the build made; or the build's status when it failed and has told why.
    ///
    /// # Errors
    /// When the image cannot be made of it.
    pub(super) fn made(
        &self,
        status: u8,
        planned: &Planned,
        shared: &Shared,
        observer: &dyn Observer,
    ) -> Outcome {
        if status != 0 {
            return Ok(Err(status));
        }
        let finishing = stage(observer, "pod", planned.pod.name.clone());
        let report = read_report(&report(&self.directory))?;
        let store = open_store(shared)?;
        let built = Descriptor::new(
            &report.media_type,
            report.digest.clone(),
            report.manifest_bytes,
        );
        let image = finished(&store.image(&built)?, &store)?;
        let name = planned.name.of(image.digest()).reference;
        store.tag(
            &name,
            &image.manifest.descriptor,
            &image.config.parsed.platform(),
        )?;
        let is_unchanged = report.is_unchanged;
        let unchanged = if is_unchanged { ", unchanged" } else { "" };
        finishing.finish(format!("{name}{unchanged}"));
        Ok(Ok(Made {
            name,
            image,
            is_unchanged,
        }))
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if matches!(self.look(), Ok(false)) {
            self.tell_to_end();
            let _ = self.child.wait();
        }
    }
}

fn report(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("report.json")
}

fn mark(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("begins")
}

fn status_of(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.unwrap_or(1)
}

fn words(
    args: &Args,
    planned: &Planned,
    is_one_of_several: bool,
    shared: &Shared,
    report: &Path,
    mark: &Path,
) -> Vec<OsString> {
    let application = &planned.pod.application;
    let mut words: Vec<OsString> = vec!["build".into(), application.into()];
    // What the delivered Dockerfile makes is `NAME`; this is what it is made of.
    let name = format!(
        "overcoat-up/{}:base",
        planned.name.reference.repository().to_lowercase()
    );
    for word in [
        "--build-image",
        &args.build_image,
        "--tag",
        &name,
        "--env",
        "APP_FILE=app.py",
    ] {
        words.push(word.into());
    }
    let mut flag = |flag: &str, value: OsString| words.extend([flag.into(), value]);
    flag("--report-file", report.into());
    flag("--begin-file", mark.into());
    if let Some(store) = &shared.store {
        flag("--store", store.into());
    }
    for host in &shared.insecure_registry {
        flag("--insecure-registry", host.into());
    }
    if let Some(file) = &shared.registry_config {
        flag("--registry-config", file.into());
    }
    if let Some(file) = &shared.config {
        flag("--config", file.into());
    }
    let progress = match shared.progress {
        Progress::Json => Some("json"),
        Progress::Plain => Some("plain"),
        // Bars of several processes would write over each other.
        _ if is_one_of_several => Some("plain"),
        _ => None,
    };
    if let Some(progress) = progress {
        flag("--progress", progress.into());
    }
    words
}
