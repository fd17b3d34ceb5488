//! One of the compressions, as one writer.

use std::io::{self, Write};

use super::compress::GzipWriter;
use super::zstd_writer::ZstdWriter;
use crate::image::media_type::Compression;

/// Compresses what is written to it. The bytes depend on the input and the compression alone.
pub(super) enum Compressor<W: Write> {
    /// Passes everything on.
    None(W),
    /// See [`super::compress`].
    Gzip(Box<GzipWriter<W>>),
    /// See [`super::zstd_writer`].
    Zstd(Box<ZstdWriter<W>>),
}

impl<W: Write> Compressor<W> {
    pub(super) fn gzip(sink: W, threads: usize) -> Self {
        Self::Gzip(Box::new(GzipWriter::new(sink, threads)))
    }

    /// # Errors
    /// When the compressor cannot start.
    pub(super) fn new(sink: W, threads: usize, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(sink),
            Compression::Gzip => Self::gzip(sink, threads),
            Compression::Zstd => Self::Zstd(Box::new(ZstdWriter::new(sink, threads)?)),
        })
    }

    /// Writes what is left and gives the sink back.
    ///
    /// # Errors
    /// The sink's.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(sink) => Ok(sink),
            Self::Gzip(writer) => writer.finish(),
            Self::Zstd(writer) => writer.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(sink) => sink.write(bytes),
            Self::Gzip(writer) => writer.write(bytes),
            Self::Zstd(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(sink) => sink.flush(),
            Self::Gzip(writer) => writer.flush(),
            Self::Zstd(writer) => writer.flush(),
        }
    }
}
