//! Any bytes: the zip reader takes or refuses them, and what it takes becomes a layer with the right diff id.
//! `cargo +nightly fuzz run zip -- -max_len=4096`

#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use overcoat::digest::Digest;
use overcoat::layer::zip::{Archive, Limits};
use overcoat::layer::{Entry, EntryPath, Error, Kind, Layer, SplicedWriter};

fuzz_target!(|bytes: &[u8]| {
    // Small, so that a bomb shows as a lack of memory or time.
    let limits = Limits {
        unpacked_bytes: 16 << 20,
        small_bytes: 1 << 20,
        ..Limits::default()
    };
    let Ok((gzip, layer)) = splice(bytes, &limits) else {
        return;
    };
    let mut tar = Vec::new();
    let mut reader = overcoat::layer::decompress(&gzip[..], overcoat::image::media_type::Compression::Gzip)
        .expect("gzip needs nothing to start");
    reader.read_to_end(&mut tar).expect("a spliced layer can be read");
    assert_eq!(Digest::of(&tar), layer.diff_id.0);
    assert_eq!(tar.len() as u64, layer.uncompressed_bytes);
});

fn splice(bytes: &[u8], limits: &Limits) -> Result<(Vec<u8>, Layer), Error> {
    let archive = Archive::open(bytes, limits)?;
    let mut writer = SplicedWriter::new(Vec::new(), 0, 1);
    for member in archive.members().iter().filter(|member| !member.is_directory()) {
        let path = EntryPath::parse(member.name.as_bytes())?;
        let entry = Entry::new(path, Kind::File { size: member.size }, 0o644);
        writer.append_member(&entry, &archive, member, None)?;
    }
    writer.finish()
}
