//! `--rm`: the image that an incremental build has replaced is removed from the engine that has it.
//!
//! In overcoat's own store nothing has to be done: an image without a name is garbage, which `overcoat gc` takes.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::build::BuildRequest;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::{observer, open_store};
use crate::event::Event;
use crate::output::load::{Engine, Found, Seen};

/// The images that engines have under a name which another image is about to get.
pub(in crate::cli) struct Replaced<'a> {
    name: String,
    engines: Vec<(&'a Found, Seen)>,
    /// What could not be found out.
    notes: Vec<String>,
    /// Where the process in a namespace says that artifacts were taken.
    directory: TempDir,
}

impl<'a> Replaced<'a> {
    /// Asks the engines, if `--rm` wants it. One that cannot be asked is no reason to fail.
    ///
    /// # Errors
    /// When the store or a temporary directory cannot be had.
    ///
    /// # Spec
    /// `s2i-compat.md` §2.15, cases 98 to 100.
    pub(in crate::cli) fn look(
        request: &BuildRequest,
        engines: &'a [(Engine, Found)],
        shared: &Shared,
        quiet: bool,
    ) -> Result<Option<Self>, Diagnostic> {
        let incremental = request.s2i.incremental.as_ref();
        let is_asked_for = incremental.is_some_and(|incremental| incremental.removes_previous);
        let (true, Some(tag)) = (is_asked_for && !engines.is_empty(), request.tags.first()) else {
            return Ok(None);
        };
        let directory = tempfile::tempdir().map_err(|error| {
            crate::fs::Error::new("create a directory in", std::env::temp_dir(), error)
        })?;
        let store = open_store(shared)?;
        let observer = observer(shared, quiet)?;
        let name = tag.reference.without_digest().to_string();
        let mut replaced = Self {
            engines: Vec::new(),
            notes: Vec::new(),
            directory,
            name,
        };
        for (_, found) in engines {
            match found.look(&replaced.name, &store, observer.as_ref()) {
                Ok(Some(seen)) => replaced.engines.push((found, seen)),
                Ok(None) => {}
                Err(error) => replaced.notes.push(error.to_string()),
            }
        }
        Ok(Some(replaced))
    }

    /// A file that is there in the end if the previous image gave artifacts.
    pub(in crate::cli) fn marker(&self) -> PathBuf {
        self.directory.path().join("took-artifacts")
    }

    /// Removes what was replaced, if artifacts were taken from it and the name means another image now. What an engine
    /// does not let go is only told.
    ///
    /// # Errors
    /// When the store cannot be had.
    pub(in crate::cli) fn remove(self, shared: &Shared, quiet: bool) -> Result<(), Diagnostic> {
        if !self.marker().exists() {
            return Ok(());
        }
        let store = open_store(shared)?;
        let observer = observer(shared, quiet)?;
        let Self {
            name,
            engines,
            mut notes,
            directory,
        } = self;
        for (found, seen) in engines {
            let now = found.look(&name, &store, observer.as_ref());
            let removed = now.and_then(|now| match now {
                Some(now) if now.id != seen.id => found.remove(&seen, &store, observer.as_ref()),
                _ => Ok(()),
            });
            notes.extend(removed.err().map(|error| error.to_string()));
        }
        drop(directory);
        for note in notes {
            let text = format!("the previous image `{name}` is not removed: {note}");
            observer.observe(Event::Note { text });
        }
        Ok(())
    }
}
