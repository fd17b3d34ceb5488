//! Archives of ordinary people, and of others.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::*;
use crate::event::Silent;

/// An archive, member by member.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn add(
        mut self,
        kind: tar::EntryType,
        name: &str,
        target: &str,
        mode: u32,
        body: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_ustar();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(body.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, body: &str) -> Self {
        self.add(tar::EntryType::Regular, name, "", 0o644, body.as_bytes())
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.add(tar::EntryType::Symlink, name, target, 0o777, b"")
    }

    fn hard(self, name: &str, target: &str) -> Self {
        self.add(tar::EntryType::Link, name, target, 0o644, b"")
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len();
            while length != rest.len() + length.to_string().len() {
                length = rest.len() + length.to_string().len();
            }
            body.extend(format!("{length}{rest}").bytes());
        }
        self.add(tar::EntryType::XHeader, "pax", "", 0o644, &body)
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    fn unpack(self) -> (tempfile::TempDir, Result<(), Error>) {
        unpacked(&self.bytes())
    }

    fn refused(self) -> Refusal {
        let (directory, result) = self.unpack();
        let reason = refusal(result);
        assert!(!directory.path().parent().unwrap().join("escaped").exists());
        reason
    }
}

fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Result<(), Error>) {
    let directory = tempfile::tempdir().unwrap();
    let result = unpack(
        &mut &bytes[..],
        "app.tar",
        directory.path(),
        Limits::default(),
        &Silent,
    );
    (directory, result)
}

fn refusal(result: Result<(), Error>) -> Refusal {
    match result {
        Err(Error::Archive { location, reason }) => {
            assert_eq!(location, "app.tar");
            reason
        }
        other => panic!("{other:?}"),
    }
}

/// Case 129: modes, links and names are those that GNU tar was given; case 125: UTF-8 names.
#[test]
fn what_gnu_tar_packs_is_unpacked_whatever_it_is_compressed_with() {
    let source = tempfile::tempdir().unwrap();
    let root = source.path();
    let long = format!(
        "{}/{}/{}.txt",
        "a".repeat(90),
        "b".repeat(90),
        "ë".repeat(90)
    );
    fs::create_dir_all(root.join(&long).parent().unwrap()).unwrap();
    fs::write(root.join(&long), "long").unwrap();
    fs::create_dir(root.join("bin")).unwrap();
    fs::write(root.join("bin/run"), vec![7; 200_000]).unwrap();
    fs::set_permissions(root.join("bin/run"), fs::Permissions::from_mode(0o6751)).unwrap();
    fs::write(root.join("secret"), "x").unwrap();
    fs::set_permissions(root.join("secret"), fs::Permissions::from_mode(0o440)).unwrap();
    fs::hard_link(root.join("secret"), root.join("second")).unwrap();
    symlink("bin/run", root.join("start")).unwrap();
    for format in ["gnu", "pax", "v7", "ustar"] {
        for compression in ["", "--gzip", "--zstd", "--xz"] {
            let mut tar = Command::new("tar");
            tar.args(["-c", "--format", format, "-C"]).arg(root);
            tar.args(Some(compression).filter(|text| !text.is_empty()));
            // The older formats have no room for such a name.
            if matches!(format, "v7" | "ustar") {
                tar.arg(format!("--exclude=./{}", "a".repeat(90)));
            }
            let output = tar.arg(".").output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let (directory, result) = unpacked(&output.stdout);
            result.unwrap();
            let at = |name: &str| directory.path().join(name);
            if matches!(format, "gnu" | "pax") {
                assert_eq!(fs::read(at(&long)).unwrap(), b"long");
            }
            let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode("bin/run"), 0o751);
            assert_eq!(mode("secret"), 0o440);
            assert_eq!(fs::read(at("second")).unwrap(), b"x");
            assert_eq!(fs::read(at("bin/run")).unwrap(), vec![7; 200_000]);
            assert_eq!(fs::read_link(at("start")).unwrap(), Path::new("bin/run"));
        }
    }
}

#[test]
fn what_git_archive_writes_is_unpacked() {
    // Its first member is a global header with the commit's id.
    let global = Tar::default().add(
        tar::EntryType::XGlobalHeader,
        "pax_global_header",
        "",
        0o644,
        b"52 comment=0123456789012345678901234567890123456789\n",
    );
    let (directory, result) = global.file("app/app.py", "x").unpack();
    result.unwrap();
    assert_eq!(fs::read(directory.path().join("app/app.py")).unwrap(), b"x");
}

#[test]
fn names_that_lead_out_are_refused_by_name() {
    for name in [
        "../escaped",
        "/escaped",
        "a/../../escaped",
        "..",
        "a/..",
        ".",
    ] {
        assert_eq!(
            Tar::default().file(name, "x").refused(),
            Refusal::Name(name.to_owned()),
            "{name}"
        );
    }
    let long = "n".repeat(300);
    assert_eq!(
        Tar::default()
            .pax(&[("path", &long)])
            .file("x", "")
            .refused(),
        Refusal::Name(format!("{}…", "n".repeat(200)))
    );
    assert_eq!(
        Tar::default()
            .pax(&[("path", "../escaped")])
            .file("x", "")
            .refused(),
        Refusal::Name("../escaped".to_owned())
    );
}

#[test]
fn links_that_lead_out_are_refused_and_others_kept() {
    for target in ["/etc/passwd", "../x", "../../escaped", ""] {
        let refusal = Tar::default().link("l", target).refused();
        let expected = Refusal::Link {
            name: "l".to_owned(),
            target: target.to_owned(),
        };
        assert_eq!(refusal, expected);
    }
    for target in ["/etc/passwd", "../escaped", "missing", "d"] {
        let archive = Tar::default().file("d/x", "").hard("l", target);
        assert!(
            matches!(archive.refused(), Refusal::Link { .. }),
            "{target}"
        );
    }
    let (directory, result) = Tar::default()
        .file("d/a", "x")
        .link("d/e/l", "../a")
        .link("dangling", "nowhere")
        .hard("d/e/h", "d/a")
        .hard("d/a", "d/a")
        .unpack();
    result.unwrap();
    assert_eq!(fs::read(directory.path().join("d/e/l")).unwrap(), b"x");
    assert_eq!(fs::read(directory.path().join("d/e/h")).unwrap(), b"x");
}

#[test]
fn nothing_is_written_through_a_link() {
    let below = Refusal::Below("l/x".to_owned());
    assert_eq!(
        Tar::default().link("l", "d").file("l/x", "").refused(),
        below
    );
    assert_eq!(
        Tar::default().file("l", "").file("l/x", "").refused(),
        below
    );
    let hard = Tar::default()
        .file("d/x", "")
        .link("l", "d")
        .hard("h", "l/x");
    assert_eq!(hard.refused(), Refusal::Below("h".to_owned()));
    // A file takes the place of a link, and what the link points to stays as it was.
    let (directory, result) = Tar::default()
        .file("a", "old")
        .link("b", "a")
        .file("b", "new")
        .unpack();
    result.unwrap();
    assert_eq!(fs::read(directory.path().join("a")).unwrap(), b"old");
    assert_eq!(fs::read(directory.path().join("b")).unwrap(), b"new");
}

#[test]
fn the_last_of_several_members_of_a_name_counts() {
    let (directory, result) = Tar::default()
        .file("a", "1")
        .hard("b", "a")
        .file("a", "2")
        .add(tar::EntryType::Directory, "d/", "", 0o755, b"")
        .file("d", "file")
        .unpack();
    result.unwrap();
    let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
    assert_eq!(
        (read("a"), read("b"), read("d")),
        (b"2".into(), b"1".into(), b"file".into())
    );
    assert_eq!(
        Tar::default().file("d/x", "").file("d", "").refused(),
        Refusal::Below("d".to_owned())
    );
}

#[test]
fn devices_pipes_and_sparse_files_are_refused() {
    use tar::EntryType;
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::GNUSparse,
    ] {
        let refusal = Tar::default().add(kind, "dev", "", 0o644, b"").refused();
        assert_eq!(refusal, Refusal::Kind("dev".to_owned()));
    }
    let sparse = Tar::default()
        .pax(&[("GNU.sparse.major", "1")])
        .file("s", "1");
    assert_eq!(sparse.refused(), Refusal::Kind("s".to_owned()));
    let huge = Tar::default()
        .pax(&[("size", "99999999999")])
        .file("s", "1");
    assert_eq!(huge.refused(), Refusal::Kind("s".to_owned()));
}

#[test]
fn too_much_is_refused() {
    let limited = |bytes, members| {
        let archive = Tar::default()
            .file("a", "123456")
            .file("b", "123456")
            .bytes();
        let directory = tempfile::tempdir().unwrap();
        unpack(
            &mut &archive[..],
            "app.tar",
            directory.path(),
            Limits { bytes, members },
            &Silent,
        )
    };
    limited(12, 2).unwrap();
    for (bytes, members) in [(11, 2), (12, 1)] {
        let refusal = refusal(limited(bytes, members));
        assert_eq!(refusal, Refusal::TooLarge { bytes, members });
    }
    // A file that is larger than promised room is refused before it is written.
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[0] = b'a';
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(1 << 60);
    header.set_mode(0o644);
    header.set_cksum();
    let (directory, result) = unpacked(header.as_bytes());
    assert!(matches!(refusal(result), Refusal::TooLarge { .. }));
    assert_eq!(crate::fs::list(directory.path()).unwrap().len(), 0);
}

#[test]
fn damage_and_other_files_are_told_apart() {
    let archive = Tar::default().file("a", &"x".repeat(5000)).bytes();
    let cut = refusal(unpacked(&archive[..3000]).1);
    assert!(matches!(cut, Refusal::Damaged(_)), "{cut}");
    let mut wrong = archive.clone();
    wrong[0] = b'b';
    assert_eq!(refusal(unpacked(&wrong).1), Refusal::NotTar);
    for (start, expected) in [
        (&b"BZh91AY"[..], Refusal::Compression("bzip2")),
        (b"PK\x03\x04", Refusal::Compression("zip")),
        (b"import flask\n", Refusal::NotTar),
        (b"", Refusal::NotTar),
    ] {
        assert_eq!(refusal(unpacked(start).1), expected);
    }
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(refusal(unpacked(&gzip(b"no tar")).1), Refusal::NotTar);
    let whole = gzip(&archive);
    let cut = refusal(unpacked(&whole[..whole.len() - 20]).1);
    assert!(matches!(cut, Refusal::Damaged(_)), "{cut}");
    // An archive of nothing is one.
    unpacked(&Tar::default().bytes()).1.unwrap();
}

#[test]
fn names_are_shown_without_control_characters() {
    let text = Tar::default()
        .file("\u{1b}[2J/../x", "")
        .refused()
        .to_string();
    assert!(!text.contains('\u{1b}'), "{text}");
}

/// Whatever bytes come, there is an answer and nothing beside the directory.
#[test]
fn damaged_bytes_never_lead_out() {
    use proptest::prelude::*;
    let archive = Tar::default()
        .file("d/a", "x")
        .link("d/l", "a")
        .pax(&[("path", "d/b")])
        .file("x", "y")
        .hard("h", "d/a")
        .bytes();
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("in");
    proptest!(ProptestConfig::with_cases(128), |(changes in prop::collection::vec((0..archive.len(), any::<u8>()), 1..6))| {
        let mut bytes = archive.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
            // Headers are made whole again, so that what is in them is read.
            let block = at / 512 * 512;
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes().copy_from_slice(&bytes[block..block + 512]);
            header.set_cksum();
            bytes[block..block + 512].copy_from_slice(header.as_bytes());
        }
        fs::create_dir(&directory).unwrap();
        let _ = unpack(&mut &bytes[..], "app.tar", &directory, Limits::default(), &Silent);
        crate::fs::remove_tree(&directory).unwrap();
        prop_assert_eq!(crate::fs::list(parent.path()).unwrap().len(), 0);
    });
}
