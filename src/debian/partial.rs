//! Files of the download cache, whole and in the making.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::mirror::Wanted;
use crate::digest::{Algorithm, Digester};
use crate::fs::{self, Context as _};

/// True when the cached file is there, whole and right. A wrong one is removed.
pub(super) fn is_right(path: &Path, file: &Wanted) -> Result<bool, Error> {
    let mut cached = match fs::open(path) {
        Ok(cached) => cached,
        Err(error) if error.is_absent() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let size = cached.metadata().context("read", path)?.len();
    if size == file.size_bytes && digest_so_far(&mut cached, path)?.0.finish() == file.digest {
        fs::touch(path);
        return Ok(true);
    }
    std::fs::remove_file(path).context("remove", path)?;
    Ok(false)
}

/// Digests a file from where it stands to its end.
fn digest_so_far(file: &mut File, path: &Path) -> Result<(Digester, u64), Error> {
    let mut digester = Digester::new(Algorithm::Sha256);
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).context("read", path)?;
        if count == 0 {
            return Ok((digester, size));
        }
        digester.update(&buffer[..count]);
        size += count as u64;
    }
}

/// A file that is being fetched: the shared `.part`, locked, or a private one.
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    private: Option<tempfile::TempPath>,
    pub(super) size: u64,
    pub(super) digester: Digester,
}

impl Partial {
    /// Opens the `.part` beside `path`, with what it has of `wanted`; a private file when somebody else writes it.
    pub(super) fn open(path: &Path, wanted: &Wanted) -> Result<Self, Error> {
        let part = path.with_extension("part");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&part).context("open", &part)?;
        // The name may have been renamed or removed between opening and locking: then it is not ours to write.
        if file.try_lock().is_err() || !is_named(&file, &part) {
            return Self::private(path);
        }
        let mut partial = Self {
            file,
            path: part,
            private: None,
            size: 0,
            digester: Digester::new(Algorithm::Sha256),
        };
        (partial.digester, partial.size) = digest_so_far(&mut partial.file, &partial.path)?;
        if partial.size > wanted.size_bytes {
            partial.restart()?;
        }
        Ok(partial)
    }

    fn private(path: &Path) -> Result<Self, Error> {
        let directory = path.parent().unwrap_or(path);
        let private = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempfile_in(directory);
        let (file, private) = private.context("write to", directory)?.into_parts();
        Ok(Self {
            file,
            path: private.to_path_buf(),
            private: Some(private),
            size: 0,
            digester: Digester::new(Algorithm::Sha256),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).context("write", &self.path)?;
        self.digester.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what there is.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        self.file.set_len(0).context("write", &self.path)?;
        self.file
            .seek(SeekFrom::Start(0))
            .context("write", &self.path)?;
        self.digester = Digester::new(Algorithm::Sha256);
        self.size = 0;
        Ok(())
    }

    /// Gives the file its final name.
    pub(super) fn persist(self, path: &Path) -> Result<(), Error> {
        self.file.sync_data().context("sync", &self.path)?;
        match self.private {
            Some(private) => {
                private
                    .persist(path)
                    .map_err(|error| fs::Error::new("write", path, error.error))?;
            }
            None => std::fs::rename(&self.path, path).context("write", path)?,
        }
        Ok(())
    }

    /// Removes the file; best effort, the next process would find out by itself.
    pub(super) fn discard(self) {
        if self.private.is_none() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn is_named(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(named)) = (file.metadata(), std::fs::symlink_metadata(path)) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (named.dev(), named.ino())
}
