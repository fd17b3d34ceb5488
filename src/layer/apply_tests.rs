use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::*;
use crate::digest::Digest;
use crate::event::Silent;
use crate::layer::whiteout;

/// A tar made member by member; names go in as they are given, however wrong.
#[derive(Default)]
pub(super) struct Tar(pub(super) Vec<u8>);

impl Tar {
    pub(super) fn add(
        mut self,
        kind: tar::EntryType,
        name: &str,
        target: &str,
        content: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(rustix::process::getuid().as_raw().into());
        header.set_gid(rustix::process::getgid().as_raw().into());
        header.set_mtime(1_000_000);
        header.as_ustar_mut().unwrap().set_device_major(0);
        header.as_ustar_mut().unwrap().set_device_minor(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, name: &str, content: &str) -> Self {
        self.add(tar::EntryType::Regular, name, "", content.as_bytes())
    }

    pub(super) fn directory(self, name: &str) -> Self {
        self.add(tar::EntryType::Directory, name, "", b"")
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.add(tar::EntryType::Symlink, name, target, b"")
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        self.add(tar::EntryType::Link, name, target, b"")
    }

    /// Adds raw bytes: headers that no honest writer makes.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Adds PAX records for the next member.
    pub(super) fn pax(self, records: &[(&[u8], &[u8])]) -> Self {
        let records = records.iter().flat_map(|(key, value)| {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length);
            let length = length.unwrap().to_string();
            [length.as_bytes(), b" ", key, b"=", value, b"\n"].concat()
        });
        let records: Vec<u8> = records.collect();
        self.add(tar::EntryType::XHeader, "pax", "", &records)
    }

    pub(super) fn bytes(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    /// Applies it below a directory that has a neighbour to protect.
    pub(super) fn apply(self) -> (tempfile::TempDir, PathBuf, Result<Report, Error>) {
        let bytes = self.bytes();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("precious"), "untouched").unwrap();
        let root = outside.path().join("layer");
        fs::create_dir(&root).unwrap();
        let diff_id = DiffId(Digest::of(&bytes));
        let result = apply(
            &bytes[..],
            Compression::None,
            &diff_id,
            &root,
            Ownership::Real,
            &Silent,
        );
        let names: Vec<_> = fs::read_dir(outside.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "something appeared outside: {names:?}");
        assert_eq!(
            fs::read_to_string(outside.path().join("precious")).unwrap(),
            "untouched"
        );
        (outside, root, result)
    }
}

#[test]
fn files_directories_links_modes_and_times_arrive() {
    let tar = Tar::default()
        .directory("./")
        .directory("bin/")
        .file("bin/tool", "#!")
        .hard_link("bin/other", "bin/tool")
        .symlink("sh", "bin/tool")
        .file("implied/parent/file", "x");
    let (_outside, root, result) = tar.apply();
    let report = result.unwrap();
    let implied: Vec<_> = report.implied.iter().map(ToString::to_string).collect();
    assert_eq!(
        (report.entries, implied),
        (6, vec!["/implied".to_owned(), "/implied/parent".to_owned()])
    );
    let tool = fs::metadata(root.join("bin/tool")).unwrap();
    assert_eq!(
        (
            tool.permissions().mode() & 0o7777,
            tool.mtime(),
            tool.nlink()
        ),
        (0o644, 1_000_000, 2)
    );
    assert_eq!(fs::metadata(root.join("bin")).unwrap().mtime(), 1_000_000);
    assert_eq!(
        fs::read_link(root.join("sh")).unwrap(),
        Path::new("bin/tool")
    );
    assert_eq!(
        fs::read_to_string(root.join("implied/parent/file")).unwrap(),
        "x"
    );
}

/// T4 of rust-crates.md: valid images that `tar::Archive::unpack` refuses or gets wrong.
#[test]
fn t4_valid_layers_that_a_plain_unpacker_refuses() {
    let tar = Tar::default()
        .directory("run/")
        .directory("var/")
        .symlink("var/run", "/run")
        .file("var/run/pid", "1")
        .file("a", "first")
        .file("a", "second")
        .symlink("a", "b");
    let (_outside, root, result) = tar.apply();
    result.unwrap();
    assert_eq!(
        fs::read_to_string(root.join("run/pid")).unwrap(),
        "1",
        "the link is resolved within the layer"
    );
    assert_eq!(
        fs::read_link(root.join("a")).unwrap(),
        Path::new("b"),
        "the last member wins"
    );
}

#[test]
fn t4_setuid_survives() {
    let bytes = {
        let mut bytes = Tar::default().file("su", "x").bytes();
        let header: &mut [u8; 512] = (&mut bytes[..512]).try_into().unwrap();
        let mut changed = tar::Header::from_byte_slice(header).clone();
        changed.set_mode(0o4755);
        changed.set_cksum();
        header.copy_from_slice(changed.as_bytes());
        bytes
    };
    let root = tempfile::tempdir().unwrap();
    apply(
        &bytes[..],
        Compression::None,
        &DiffId(Digest::of(&bytes)),
        root.path(),
        Ownership::Real,
        &Silent,
    )
    .unwrap();
    assert_eq!(
        fs::metadata(root.path().join("su"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o4755
    );
}

#[test]
fn whiteouts_become_what_overlay_understands_in_either_order() {
    let tar = Tar::default()
        .directory("etc/")
        .file("etc/.wh.motd", "")
        .file(".wh.replaced", "")
        .directory("replaced/")
        .directory("kept/")
        .file("kept/new", "")
        .file(".wh.kept", "")
        .directory("opt/")
        .file("opt/.wh..wh..opq", "");
    let (_outside, root, result) = tar.apply();
    result.unwrap();
    let motd = fs::symlink_metadata(root.join("etc/motd")).unwrap();
    assert!(motd.file_type().is_char_device() && motd.rdev() == 0);
    for directory in ["replaced", "kept", "opt"] {
        let mut value = [0; 8];
        let length =
            rfs::lgetxattr(root.join(directory), whiteout::OPAQUE_XATTR, &mut value).unwrap();
        assert_eq!(&value[..length], b"y", "{directory}");
    }
    assert!(root.join("kept/new").exists());
    let written: Vec<_> = walkdir::WalkDir::new(&root)
        .into_iter()
        .map(|e| e.unwrap().file_name().to_owned())
        .collect();
    assert!(
        !written
            .iter()
            .any(|name| name.to_string_lossy().starts_with(".wh.")),
        "{written:?}"
    );
}

#[test]
fn nothing_outside_the_directory_is_reached() {
    let refused = [
        Tar::default().file("../escaped", "x"),
        Tar::default().file("a/../../escaped", "x"),
        Tar::default().hard_link("copy", "../precious"),
        Tar::default().hard_link("copy", "/etc/passwd"),
        Tar::default()
            .symlink("out", "../../nowhere")
            .file("out/file", "x"),
        Tar::default().file("a/.wh...", ""),
        Tar::default().file("a/.wh.", ""),
        Tar::default().file(".wh..wh..opq", ""),
        Tar::default()
            .directory("d/")
            .file("d/x", "")
            .file("d", "not a directory"),
        Tar::default().add(tar::EntryType::Char, "null", "", b""),
    ];
    for (row, tar) in refused.into_iter().enumerate() {
        let (_outside, _root, result) = tar.apply();
        assert!(
            matches!(result, Err(Error::Hostile(_) | Error::Path(_))),
            "row {row}: {result:?}"
        );
    }
    let contained = [
        Tar::default().file("/escaped", "x"),
        Tar::default().symlink("out", "..").file("out/escaped", "x"),
        Tar::default()
            .symlink("out", "/../../..")
            .file("out/escaped", "x"),
        Tar::default()
            .symlink("a", "../precious")
            .file("a", "replaced the link, not its target"),
    ];
    for tar in contained {
        let (_outside, _root, result) = tar.apply();
        result.unwrap();
    }
}

fn gzip_members(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        let mut encoder = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap();
    }
    bytes
}

/// T18 of rust-crates.md: a decoder for one member stops silently after the first.
#[test]
fn t18_layers_of_several_gzip_members_are_read_to_the_end() {
    let tar = Tar::default()
        .file("first", "1")
        .file("second", "2")
        .bytes();
    let layer = gzip_members(&[&tar[..700], &tar[700..1024], &tar[1024..]]);
    let root = tempfile::tempdir().unwrap();
    let diff_id = DiffId(Digest::of(&tar));
    apply(
        &layer[..],
        Compression::Gzip,
        &diff_id,
        root.path(),
        Ownership::Real,
        &Silent,
    )
    .unwrap();
    assert_eq!(fs::read_to_string(root.path().join("second")).unwrap(), "2");
}

#[test]
fn zstd_layers_are_read() {
    let tar = Tar::default().file("file", "z").bytes();
    let layer = zstd::encode_all(&tar[..], 1).unwrap();
    let root = tempfile::tempdir().unwrap();
    apply(
        &layer[..],
        Compression::Zstd,
        &DiffId(Digest::of(&tar)),
        root.path(),
        Ownership::Real,
        &Silent,
    )
    .unwrap();
    assert_eq!(fs::read_to_string(root.path().join("file")).unwrap(), "z");
}

#[test]
fn another_tar_than_promised_is_refused() {
    let promised = DiffId(Digest::of(b"something else"));
    let tar = Tar::default().file("file", "x").bytes();
    let root = tempfile::tempdir().unwrap();
    let result = apply(
        &tar[..],
        Compression::None,
        &promised,
        root.path(),
        Ownership::Real,
        &Silent,
    );
    assert!(matches!(result, Err(Error::DiffId { .. })), "{result:?}");
}
