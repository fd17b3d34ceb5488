//! Reading a compressed layer from one end to the other, checked, without writing anything.

use std::io::{self, BufRead, Read};

use super::bomb::{Bomb, Expansion, Packed, Unpacked};
use super::entry::Entry;
use super::read_ahead::read_ahead;
use super::{Error, decompress, read};
use crate::digest::{DiffId, Digester};
use crate::event::Observer;
use crate::image::media_type::Compression;

/// Calls `see` with every member of a compressed layer in order and its content, and checks the diff id. A second thread
/// decompresses. What `see` learns counts only once this has returned: the check comes at the end.
///
/// The caller verifies the compressed bytes (a [`crate::digest::VerifyingReader`]); this reads them to the end.
///
/// # Errors
/// [`Error::Hostile`] for decompression bombs and members that no file system should hold, [`Error::DiffId`] when the tar
/// is another one than promised, [`Error::Interrupted`], and what `see` returns.
pub fn visit(
    compressed: impl BufRead + Send,
    compression: Compression,
    expected: &DiffId,
    observer: &dyn Observer,
    mut see: impl FnMut(Entry, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let expansion = Expansion::default();
    through(compressed, compression, expected, expansion, |tar| {
        read::for_each(tar, |entry, content| {
            if observer.is_cancelled() {
                return Err(Error::Interrupted);
            }
            see(entry, content)
        })
    })
}

/// Hands the layer's tar to `then`, and checks the rest of it and its diff id afterwards.
pub(super) fn through<T>(
    compressed: impl BufRead + Send,
    compression: Compression,
    expected: &DiffId,
    expansion: Expansion,
    then: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
) -> Result<T, Error> {
    let (compressed, packed) = Packed::new(compressed);
    let open = || decompress(compressed, compression);
    let done = read_ahead(open, |tar| {
        let mut tar = Teeing {
            inner: Unpacked::new(tar, packed, expansion),
            digester: Digester::new(expected.0.algorithm()),
        };
        let value = then(&mut tar)?;
        // What follows the end-of-archive mark is part of the bytes that the digests name.
        io::copy(&mut tar, &mut io::sink()).map_err(|source| Error::Io {
            action: "read",
            path: "the layer".to_owned(),
            source,
        })?;
        let found = tar.digester.finish();
        if found != expected.0 {
            return Err(Error::DiffId {
                expected: expected.clone(),
                found: DiffId(found),
            });
        }
        Ok(value)
    });
    done.map_err(|error| match &error {
        Error::Io { source, .. } => match Bomb::behind(source) {
            Some(bomb) => Error::Hostile(bomb.to_string()),
            None => error,
        },
        _ => error,
    })
}

struct Teeing<R> {
    inner: R,
    digester: Digester,
}

impl<R: Read> Read for Teeing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digester.update(&buffer[..count]);
        Ok(count)
    }
}
