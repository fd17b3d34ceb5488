//! Layers that somebody made to do harm: each is refused by name, or does what it says within its directory.

use std::fs;
use std::io::Read;

use super::tests::Tar;
use super::*;
use crate::event::Silent;

fn refused(tar: Tar) -> String {
    let (_outside, _root, result) = tar.apply();
    result.unwrap_err().to_string()
}

/// A header of a kind with a name; the size is written as it stands, whatever follows.
fn header(name: &str, size: [u8; 12]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.as_old_mut().size = size;
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn a_file_that_claims_eight_exbibytes_ends_where_the_layer_ends() {
    let mut size = [0; 12];
    size[0] = 0x80;
    size[4] = 0x7f;
    size[5..].fill(0xff);
    let text = refused(Tar::default().raw(&header("huge", size)).raw(b"little"));
    assert!(
        text.contains("`/huge` ends after") && text.contains("of 92"),
        "{text}"
    );
}

#[test]
fn sparse_files_of_either_form_are_refused() {
    let text = refused(
        Tar::default()
            .pax(&[
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.realsize", b"9223372036854775807"),
            ])
            .file("sparse", "1"),
    );
    assert!(text.contains("GNU sparse file"), "{text}");
    let text = refused(Tar::default().add(tar::EntryType::GNUSparse, "sparse", "", b""));
    assert!(!text.is_empty());
}

#[test]
fn names_that_no_file_system_holds_are_refused_before_it_is_asked() {
    let pax = |name: &[u8]| Tar::default().pax(&[(b"path", name)]).file("x", "");
    let text = refused(pax(&[b'n'; 256]));
    assert!(text.contains("component longer than 255 bytes"), "{text}");
    let text = refused(pax("d/".repeat(5000).as_bytes()));
    assert!(text.contains("longer than 4,095 bytes"), "{text}");
    let link = Tar::default()
        .pax(&[(b"linkpath", &[b'n'; 300])])
        .hard_link("x", "");
    assert!(refused(link).contains("component longer than 255 bytes"));
    let symlink = Tar::default()
        .pax(&[(b"linkpath", &[b'n'; 5000])])
        .symlink("x", "");
    assert!(refused(symlink).contains("cannot unpack `/x`"));
}

/// As deep as names go. What can be made must also go away again.
#[test]
fn a_layer_two_thousand_directories_deep_is_unpacked_and_removed() {
    let deep = "d/".repeat(2040);
    let tar = Tar::default()
        .pax(&[(b"path", format!("{deep}file").as_bytes())])
        .file("x", "bottom");
    let (outside, root, result) = tar.apply();
    assert_eq!(result.unwrap().implied.len(), 2040);
    crate::fs::remove_tree(&root).unwrap();
    assert!(!root.exists() && outside.path().exists());
}

#[test]
fn names_that_differ_in_case_or_form_only_are_different_files() {
    let tar = Tar::default()
        .file("A", "upper")
        .file("a", "lower")
        .file("e\u{301}", "two code points")
        .file("\u{e9}", "one");
    let (_outside, root, result) = tar.apply();
    assert_eq!(result.unwrap().entries, 4);
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert_eq!((read("A"), read("a")), ("upper".into(), "lower".into()));
    assert_eq!(read("e\u{301}"), "two code points");
}

/// The last member of a name wins, and what it replaces is not written through.
#[test]
fn a_name_that_changes_its_kind_is_replaced() {
    let tar = Tar::default()
        .file("target", "kept")
        .symlink("x", "target")
        .file("x", "file")
        .hard_link("y", "target")
        .file("y", "own content")
        .directory("d/")
        .symlink("s", "d")
        .directory("s/")
        .file("s/file", "in a directory of its own");
    let (_outside, root, result) = tar.apply();
    result.unwrap();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert_eq!(read("target"), "kept");
    assert_eq!(
        (read("x"), read("y")),
        ("file".into(), "own content".into())
    );
    assert!(fs::symlink_metadata(root.join("s")).unwrap().is_dir());
    assert!(!root.join("d/file").exists());
}

/// A link is put in the place of a directory that later members go into.
#[test]
fn a_directory_swapped_for_a_link_leads_nowhere_else() {
    for target in ["/", "..", "../..", "/proc/self/root", "../precious"] {
        let tar = Tar::default()
            .directory("d/")
            .symlink("d2", target)
            .file("d2/precious", "overwritten")
            .hard_link("stolen", "d2/precious");
        // Refused or contained: `apply` checks that nothing outside was touched.
        let (_outside, root, result) = tar.apply();
        if result.is_ok() {
            let stolen = fs::read_to_string(root.join("stolen")).unwrap();
            assert_eq!(stolen, "overwritten", "{target}");
        }
    }
    let swapped = Tar::default()
        .directory("d/")
        .symlink("d", "..")
        .file("d/x", "");
    assert!(refused(swapped).contains("both a directory and something else"));
}

#[test]
fn hard_links_to_what_the_layer_does_not_have_are_refused() {
    let through = Tar::default()
        .symlink("out", "/etc")
        .hard_link("copy", "out/passwd");
    for tar in [
        through,
        Tar::default().hard_link("copy", "etc/passwd"),
        Tar::default().hard_link("copy", "/proc/self/exe"),
        Tar::default().directory("d/").hard_link("copy", "d"),
        Tar::default().hard_link("copy", "copy"),
        Tar::default().hard_link("copy", ""),
    ] {
        let text = refused(tar);
        assert!(text.contains("which the layer does not have"), "{text}");
    }
}

#[test]
fn whiteouts_of_nothing_are_refused_in_every_spelling() {
    for name in [
        ".wh..",
        ".wh...",
        ".wh.",
        ".wh..wh.",
        ".wh..wh.x",
        ".wh..wh..plnk",
        "a/.wh...",
        "a/b/../.wh.c",
    ] {
        let (_outside, _root, result) = Tar::default().file(name, "").apply();
        assert!(matches!(result, Err(Error::Path(_))), "{name}: {result:?}");
    }
    // A whiteout is no way to delete what the layer itself brings.
    let (_outside, root, result) = Tar::default().file("a", "1").file(".wh.a", "").apply();
    result.unwrap();
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "1");
}

#[test]
fn overlay_s_own_attributes_cannot_be_brought() {
    let records: Vec<(&[u8], &[u8])> = vec![
        (b"SCHILY.xattr.user.overlay.opaque", b"y"),
        (b"SCHILY.xattr.user.overlay.redirect", b"/etc"),
        (b"SCHILY.xattr.user.overlay.metacopy", b""),
        (b"SCHILY.xattr.user.overlay.whiteout", b""),
        (b"SCHILY.xattr.trusted.overlay.opaque", b"y"),
        (b"SCHILY.xattr.security.selinux", b"x"),
        (b"SCHILY.xattr.user.kept", b"1"),
    ];
    let tar = Tar::default()
        .pax(&records)
        .directory("d/")
        .pax(&records)
        .file("d/f", "");
    let (_outside, root, result) = tar.apply();
    result.unwrap();
    for name in ["d", "d/f"] {
        let mut names = vec![0; 4096];
        let length = rfs::llistxattr(root.join(name), &mut names[..]).unwrap();
        let names = String::from_utf8_lossy(&names[..length]).into_owned();
        assert_eq!(names, "user.kept\0", "{name}");
    }
}

#[test]
fn the_last_description_of_a_directory_counts() {
    let tar = Tar::default()
        .pax(&[(b"SCHILY.xattr.user.first", b"1")])
        .directory("d/")
        .pax(&[(b"SCHILY.xattr.user.second", b"1")])
        .directory("d/");
    let (_outside, root, result) = tar.apply();
    result.unwrap();
    let mut names = vec![0; 4096];
    let length = rfs::llistxattr(root.join("d"), &mut names[..]).unwrap();
    assert_eq!(&names[..length], b"user.second\0");
}

#[test]
fn devices_are_made_or_left_out_but_never_a_whiteout() {
    let device = |minor: u32| {
        let mut bytes = Tar::default().add(tar::EntryType::Char, "null", "", b"").0;
        let header: &mut [u8; 512] = (&mut bytes[..512]).try_into().unwrap();
        let mut changed = tar::Header::from_byte_slice(header).clone();
        changed
            .as_ustar_mut()
            .unwrap()
            .set_device_major(minor.min(1));
        changed.as_ustar_mut().unwrap().set_device_minor(minor);
        changed.set_cksum();
        header.copy_from_slice(changed.as_bytes());
        Tar(bytes)
    };
    assert!(refused(device(0)).contains("is a device 0:0"));
    let (_outside, root, result) = device(3).apply();
    let report = result.unwrap();
    assert_eq!(root.join("null").exists(), report.skipped_devices == 0);
}

/// A stream of members that is never in memory as a whole.
struct Stream {
    next: u32,
    members: u32,
    buffer: Vec<u8>,
    at: usize,
}

impl Stream {
    fn refill(&mut self) {
        self.buffer.clear();
        self.at = 0;
        if self.next == self.members {
            self.buffer.resize(1024, 0);
        } else if self.next < self.members {
            // Directories with attributes, for those are what an unpacker has to remember; else few names of one file,
            // so that the disk does not have to hold them (ext4 is slow to use a freed inode again).
            let tar = match (self.next, self.next % 20) {
                (0, _) => Tar::default().file("file", ""),
                (_, 0) => Tar::default()
                    .pax(&[(b"SCHILY.xattr.user.filler", &[b'x'; 3500])])
                    .directory(&format!("d{}/{}/", self.next % 100, self.next)),
                _ => Tar::default().hard_link(&format!("l{}", self.next % 5000), "file"),
            };
            self.buffer = tar.0;
        }
        self.next += 1;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.buffer.len() && self.next <= self.members {
            self.refill();
        }
        let count = buffer.len().min(self.buffer.len() - self.at);
        buffer[..count].copy_from_slice(&self.buffer[self.at..][..count]);
        self.at += count;
        Ok(count)
    }
}

fn resident_kibibytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

/// Looks at memory while members come: the peak counts, not the end.
struct Watched {
    inner: Stream,
    reads: u64,
    peak: u64,
}

impl Read for &mut Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(64) {
            self.peak = self.peak.max(resident_kibibytes());
        }
        self.inner.read(buffer)
    }
}

/// In a process of its own: memory is counted by process.
#[test]
fn three_hundred_thousand_members_need_little_memory() {
    let test = "layer::apply::hostile_tests::child_unpacks_three_hundred_thousand_members";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
#[ignore = "the half of another test that runs in a process of its own"]
fn child_unpacks_three_hundred_thousand_members() {
    let members = 300_000;
    let stream = || Stream {
        next: 0,
        members,
        buffer: Vec::new(),
        at: 0,
    };
    let mut digester = crate::digest::Digester::new(crate::digest::Algorithm::Sha256);
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = stream();
    let mut total = 0;
    while let Ok(count @ 1..) = bytes.read(&mut buffer) {
        digester.update(&buffer[..count]);
        total += count;
    }
    assert!(total > 150 << 20, "{total} bytes");
    let diff_id = DiffId(digester.finish());
    let root = tempfile::tempdir().unwrap();
    let mut watched = Watched {
        inner: stream(),
        reads: 0,
        peak: 0,
    };
    let before = resident_kibibytes();
    let report = apply(
        io::BufReader::with_capacity(256 << 10, &mut watched),
        Compression::None,
        &diff_id,
        root.path(),
        Ownership::Recorded,
        &Silent,
    )
    .unwrap();
    assert_eq!(report.entries, u64::from(members));
    let grown = watched.peak.saturating_sub(before);
    // The directories' attributes alone would be 50 MiB.
    assert!(watched.peak > 0 && grown < 40 << 10, "{grown} KiB");
}

/// gzip makes a thousand zeros one byte, zstd many more.
#[test]
fn layers_that_unpack_to_far_more_than_they_have_are_bombs() {
    let tar = Tar::default()
        .file("zeros", &"\0".repeat(3_000_000))
        .bytes();
    let gzip = {
        let mut writer = crate::layer::compress::GzipWriter::new(Vec::new(), 1);
        std::io::Write::write_all(&mut writer, &tar).unwrap();
        writer.finish().unwrap()
    };
    let zstd = zstd::encode_all(&tar[..], 3).unwrap();
    let diff_id = DiffId(crate::digest::Digest::of(&tar));
    let packed = [
        (&gzip, Compression::Gzip),
        (&zstd, Compression::Zstd),
        (&tar, Compression::None),
    ];
    let expansions = [(1_000_000, 20), (1_000_000, 1_000_000), (4_000_000, 1)];
    for (bytes, compression) in packed {
        for (free_bytes, ratio) in expansions {
            let directory = tempfile::tempdir().unwrap();
            let target = Target {
                directory: directory.path(),
                ownership: Ownership::Recorded,
                expansion: Expansion { free_bytes, ratio },
            };
            let applied = apply_to(&target, &bytes[..], compression, &diff_id, &Silent);
            match compression == Compression::None || ratio != 20 {
                true => assert_eq!(applied.unwrap().entries, 1),
                false => {
                    let error = applied.unwrap_err();
                    assert!(matches!(error, Error::Hostile(_)), "{error}");
                    assert!(error.to_string().contains("decompression bomb"), "{error}");
                }
            }
        }
    }
}
