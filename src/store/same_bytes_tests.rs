//! The same layer bytes from every kind of root file system: over an overlay and in a tree, with owners on disk and
//! with owners recorded.

use std::collections::BTreeMap;
use std::fs as std_fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::copy;
use super::test_steps::{ledger_of, run, run_over_overlay};
use crate::digest::{DiffId, Digest};
use crate::event::Silent;
use crate::fs;
use crate::image::media_type::Compression;
use crate::layer::change::{Before, Change, Content, Layers, from_overlay_upper, from_tree};
use crate::layer::owners::{LedgerAnswer, OwnerList, Owners, RealOwners, RecordedOwners};
use crate::layer::snapshot::{Contents, Snapshot};
use crate::layer::stack::Stack;
use crate::layer::{self, Entry, EntryPath, Kind, LayerWriter, Ownership};

/// The limit of times, later than the layers' and earlier than any step's.
const LIMIT: i64 = 1_000_000_000;

fn path(name: &[u8]) -> EntryPath {
    EntryPath::parse(name).unwrap()
}

/// Writes a layer: `kind mode uid:gid name`, then the content, the target or the device's minor number.
fn layer(members: &[&str]) -> Vec<u8> {
    let mut writer = LayerWriter::new(Vec::new(), LIMIT, 1);
    for member in members {
        let words: Vec<&str> = member.split(' ').collect();
        let [kind, mode, ids, name] = words[..4] else {
            panic!("{member}");
        };
        let rest = words.get(4).copied().unwrap_or_default();
        let name = name.replace("%ff", "\u{fffd}");
        // A name that is no UTF-8.
        let name: Vec<u8> = name
            .chars()
            .flat_map(|c| match c {
                '\u{fffd}' => vec![0xff],
                c => c.to_string().into_bytes(),
            })
            .collect();
        let kind = match kind {
            "d" => Kind::Directory,
            "l" => Kind::Symlink {
                target: rest.into(),
            },
            "h" => Kind::HardLink {
                target: path(rest.as_bytes()),
            },
            "p" => Kind::Fifo,
            "c" => Kind::CharacterDevice {
                major: 1,
                minor: rest.parse().unwrap(),
            },
            _ => Kind::File {
                size: rest.len() as u64,
            },
        };
        let is_file = matches!(kind, Kind::File { .. });
        let mut entry = Entry::new(path(&name), kind, u32::from_str_radix(mode, 8).unwrap());
        let (uid, gid) = ids.split_once(':').unwrap();
        (entry.uid, entry.gid) = (uid.parse().unwrap(), gid.parse().unwrap());
        entry.mtime = 500_000_000;
        if name == b"etc/attributed" {
            entry
                .xattrs
                .insert(b"user.note".to_vec(), b"from below".to_vec());
        }
        let content = if is_file { rest.as_bytes() } else { b"" };
        writer.append(&entry, content).unwrap();
    }
    let (compressed, _) = writer.finish().unwrap();
    tar_of(&compressed)
}

fn tar_of(compressed: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(compressed)
        .read_to_end(&mut tar)
        .unwrap();
    tar
}

fn base() -> Vec<Vec<u8>> {
    let long = "n".repeat(250);
    let file = |name: &str| format!("f 644 0:0 {name} 1");
    let mut bottom: Vec<String> = [
        "d 755 0:0 .",
        "d 755 0:0 etc",
        "f 644 0:0 etc/passwd root",
        "f 640 0:42 etc/shadow secret",
        "f 644 0:0 etc/attributed 1",
        "l 777 0:0 etc/link passwd",
        "d 755 0:0 bin",
        "f 4755 0:0 bin/su su",
        "h 4755 0:0 bin/sudo bin/su",
        "h 4755 0:0 bin/sudoedit bin/su",
        "l 777 0:0 sbin bin",
        "d 775 1001:0 opt",
        "d 2775 1001:50 opt/shared",
        "f 664 1001:50 opt/shared/file 1",
        "d 755 33:33 opt/www",
        "f 644 33:33 opt/www/index old",
        "f 644 33:33 opt/www/other old",
        "d 755 0:0 usr",
        "d 755 0:0 usr/doc",
        "d 755 0:0 usr/doc/a",
        "d 755 0:0 usr/doc/a/b",
        "f 644 0:0 usr/doc/a/b/one 1",
        "f 644 0:0 usr/doc/a/b/two 2",
        "f 644 0:0 usr/doc/a/three 3",
        "f 644 0:0 usr/doc/four 4",
        "f 644 0:0 usr/doc/hidden below",
        "d 755 0:0 usr/replaced",
        "f 644 0:0 usr/replaced/hidden below",
        "p 600 0:0 usr/fifo",
        "d 755 0:0 dev",
        "c 666 0:5 dev/null 3",
        "d 1777 0:0 tmp",
        "f 644 7:7 odd%ff\u{e9} odd",
        "d 700 0:0 closed",
        "f 600 0:0 closed/file 1",
    ]
    .map(str::to_owned)
    .to_vec();
    bottom.push(file(&long));
    let top = [
        "d 755 0:0 usr",
        "d 755 0:0 usr/doc",
        "f 0 0:0 usr/doc/.wh.hidden",
        "d 755 0:0 usr/replaced",
        "f 0 0:0 usr/replaced/.wh..wh..opq",
        "f 644 0:0 usr/replaced/new above",
        "f 600 5:5 usr/doc/four above",
        "d 775 1001:0 opt",
        "d 755 33:33 opt/www",
        "f 644 33:34 opt/www/top top",
    ];
    let bottom: Vec<&str> = bottom.iter().map(String::as_str).collect();
    vec![layer(&top), layer(&bottom)]
}

/// The layers unpacked, topmost first.
struct Lowers {
    _place: tempfile::TempDir,
    directories: Vec<PathBuf>,
    lists: Vec<OwnerList>,
    ownership: Ownership,
}

fn unpack(tar: &[u8], directory: &Path, ownership: Ownership) -> layer::Report {
    std_fs::create_dir(directory).unwrap();
    let diff_id = DiffId(Digest::of(tar));
    layer::apply(
        tar,
        Compression::None,
        &diff_id,
        directory,
        ownership,
        &Silent,
    )
    .unwrap()
}

fn lowers(ownership: Ownership) -> Lowers {
    let place = tempfile::tempdir().unwrap();
    let (mut directories, mut lists) = (Vec::new(), Vec::new());
    for (index, tar) in base().iter().enumerate() {
        let directory = place.path().join(index.to_string());
        let report = unpack(tar, &directory, ownership);
        assert!(report.implied.is_empty(), "{:?}", report.implied);
        directories.push(directory);
        lists.push(report.owners);
    }
    Lowers {
        _place: place,
        directories,
        lists,
        ownership,
    }
}

/// What a step left, and how it looks as a layer.
#[derive(PartialEq, Eq)]
struct Outcome {
    /// `+` for what is there, `=` for hard links, `-` for what is gone.
    changes: Vec<String>,
    tar: Vec<u8>,
}

fn outcome(changes: Vec<Change>, root: &Path, owners: &dyn Owners) -> Outcome {
    let describe = |change: &Change| match change {
        Change::Deleted(path) => format!("-{path:?}"),
        Change::Present { entry, .. } => match &entry.kind {
            Kind::HardLink { target } => format!("={:?} {target:?}", entry.path),
            _ => format!("+{:?}", entry.path),
        },
    };
    let list = changes.iter().map(describe).collect();
    let mut writer = LayerWriter::new(Vec::new(), LIMIT, 1);
    for (entry, content) in layer::members(changes, root, owners).unwrap() {
        match content.filter(|_| matches!(entry.kind, Kind::File { .. })) {
            Some(file) => writer
                .append(&entry, std_fs::File::open(file).unwrap())
                .unwrap(),
            None => writer.append(&entry, std::io::empty()).unwrap(),
        }
    }
    Outcome {
        changes: list,
        tar: tar_of(&writer.finish().unwrap().0),
    }
}

/// Every member with all that the tar says of it: what differs is shown, not two digests.
fn listing(tar: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    layer::read::for_each(&mut &tar[..], |entry, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).unwrap();
        let content = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        found.push(format!("{entry:?} {content}"));
        Ok(())
    })
    .unwrap();
    found
}

/// What the ledger answers, given the paths below `root` that were asked for.
fn answers(asked: &[(PathBuf, u32, u32)], root: &Path, file: &Path) -> Option<LedgerAnswer> {
    let asked = asked.iter().rev();
    let mut asked = asked.filter(|(path, ..)| root.join(path) == file);
    asked.next().map(|(_, uid, gid)| LedgerAnswer {
        uid: Some(*uid),
        gid: Some(*gid),
        device: None,
    })
}

fn over_overlay(lowers: &Lowers, script: &str) -> Outcome {
    let place = tempfile::tempdir().unwrap();
    let [upper, work] = ["upper", "work"].map(|name| place.path().join(name));
    for directory in [&upper, &work] {
        std_fs::create_dir(directory).unwrap();
    }
    let ledger = place.path().join("ledger");
    let is_recorded = lowers.ownership == Ownership::Recorded;
    run_over_overlay(
        &lowers.directories,
        &upper,
        &work,
        script,
        is_recorded.then_some(&ledger),
    );
    let stack = Stack::new(&lowers.directories);
    let asked = ledger_of(&ledger);
    let answer = |file: &Path| answers(&asked, &upper, file);
    let recorded = RecordedOwners::overlaid(&stack, &lowers.lists, (0, 0), &answer);
    let owners: &dyn Owners = if is_recorded { &recorded } else { &RealOwners };
    let before = Layers {
        stack: &stack,
        owners,
    };
    let changes = from_overlay_upper(&upper, before, &Silent).unwrap();
    let outcome = outcome(changes, &upper, owners);
    // Overlay leaves directories with mode 000 (T15).
    fs::remove_tree(place.path()).unwrap();
    outcome
}

fn in_a_tree(lowers: &Lowers, script: &str) -> Outcome {
    let place = tempfile::tempdir().unwrap();
    let tree = place.path().join("tree");
    std_fs::create_dir(&tree).unwrap();
    let stack = Stack::new(&lowers.directories);
    copy::fill(&tree, &stack, &Silent).unwrap();
    let snapshot = Snapshot::take(&tree, &[], Contents::Listed, &Silent).unwrap();
    let ledger = place.path().join("ledger");
    let is_recorded = lowers.ownership == Ownership::Recorded;
    run(&tree, script, is_recorded.then_some(&ledger));
    let asked = ledger_of(&ledger);
    let answer = |file: &Path| answers(&asked, &tree, file);
    let recorded = RecordedOwners::merged(&stack, &lowers.lists, &snapshot, (0, 0), &answer);
    let owners: &dyn Owners = if is_recorded { &recorded } else { &RealOwners };
    let before = Layers {
        stack: &stack,
        owners,
    };
    let changes = from_tree(&tree, &snapshot, &before, owners, &[], &Silent).unwrap();
    let outcome = outcome(changes, &tree, owners);
    if !is_recorded {
        shows_the_same(&lowers.directories, &outcome.tar, &tree, script);
    }
    outcome
}

/// In place: nothing is known of the layers, only what was there.
fn in_place(lowers: &Lowers, script: &str) -> Outcome {
    let place = tempfile::tempdir().unwrap();
    let tree = place.path().join("tree");
    std_fs::create_dir(&tree).unwrap();
    copy::fill(&tree, &Stack::new(&lowers.directories), &Silent).unwrap();
    let snapshot = Snapshot::take(&tree, &[], Contents::Hashed, &Silent).unwrap();
    run(&tree, script, None);
    let before = snapshot.as_before().unwrap();
    let changes = from_tree(&tree, &snapshot, before, &RealOwners, &[], &Silent).unwrap();
    outcome(changes, &tree, &RealOwners)
}

/// The layer over the layers below shows what the step left: the oracle for all of it.
fn shows_the_same(lowers: &[PathBuf], tar: &[u8], tree: &Path, script: &str) {
    let place = tempfile::tempdir().unwrap();
    let top = place.path().join("top");
    unpack(tar, &top, Ownership::Real);
    let layers: Vec<PathBuf> = [&[top][..], lowers].concat();
    let shown = everything(&Stack::new(&layers));
    let left = everything(&Stack::new(&[tree.to_owned()]));
    for (path, found) in &left {
        assert_eq!(shown.get(path), Some(found), "{path:?} after\n{script}");
    }
    for path in shown.keys() {
        assert!(left.contains_key(path), "{path:?} is left after\n{script}");
    }
}

/// Everything below the root, times aside, hard links as files, with contents; without sockets.
fn everything(stack: &Stack) -> BTreeMap<EntryPath, (Entry, Vec<u8>)> {
    let layers = Layers {
        stack,
        owners: &RealOwners,
    };
    let mut found = BTreeMap::new();
    let mut pending = vec![path(b"")];
    while let Some(directory) = pending.pop() {
        for (name, shown) in stack.list(&directory).unwrap() {
            use std::os::unix::fs::FileTypeExt;
            if shown.metadata.file_type().is_socket() {
                continue;
            }
            let path = directory.join(&name).unwrap();
            let mut here = layers.find(&path).unwrap().unwrap();
            here.entry.mtime = 0;
            let content = match here.content {
                Content::File(file) if shown.metadata.is_file() => std_fs::read(file).unwrap(),
                _ => Vec::new(),
            };
            if shown.metadata.is_dir() {
                pending.push(path.clone());
            }
            found.insert(path, (here.entry, content));
        }
    }
    found
}

/// Runs a script everywhere; what is to be in the layer, once.
fn everywhere(lowers: &[Lowers; 2], script: &str) -> Outcome {
    let [real, recorded] = lowers;
    let overlay = over_overlay(real, script);
    let others = [
        ("in a tree", in_a_tree(real, script)),
        ("in place", in_place(real, script)),
        ("over an overlay, recorded", over_overlay(recorded, script)),
        ("in a tree, recorded", in_a_tree(recorded, script)),
    ];
    for (name, other) in others {
        assert_eq!(other.changes, overlay.changes, "{name}:\n{script}");
        assert_eq!(
            listing(&other.tar),
            listing(&overlay.tar),
            "{name}:\n{script}"
        );
        assert!(other.tar == overlay.tar, "{name}:\n{script}");
    }
    overlay
}

/// The scripts, and what each changes.
fn table() -> Vec<(&'static str, &'static str)> {
    vec![
        ("write etc/new 1\nwrite new 2", "+/etc/new +/new"),
        ("append etc/passwd more", "+/etc/passwd"),
        (
            "truncate etc/passwd 2\ntruncate opt/www/index 9",
            "+/etc/passwd +/opt/www/index",
        ),
        ("chmod etc/passwd 600\nchmod opt 700", "+/etc/passwd +/opt"),
        ("chmod etc/passwd 600\nchmod etc/passwd 644", ""),
        (
            "rm etc/passwd\nrm usr/fifo\nrm etc/link",
            "-/etc/link -/etc/passwd -/usr/fifo",
        ),
        ("rm etc/passwd\nwrite etc/passwd root", ""),
        ("rmr usr/doc", "-/usr/doc"),
        (
            "rmr usr/doc\nmkdir usr/doc\nmkdir usr/doc/a\nwrite usr/doc/a/three 3\nwrite usr/doc/new 1",
            "-/usr/doc/a/b -/usr/doc/four +/usr/doc/new",
        ),
        (
            "rmr usr/doc\nmkdir usr/doc\nchmod usr/doc 750",
            "+/usr/doc -/usr/doc/a -/usr/doc/four",
        ),
        (
            "rmr usr/replaced\nmkdir usr/replaced\nwrite usr/replaced/hidden below",
            "+/usr/replaced/hidden -/usr/replaced/new",
        ),
        ("mv etc/passwd etc/moved", "+/etc/moved -/etc/passwd"),
        (
            "mv opt/www/index etc/passwd",
            "+/etc/passwd -/opt/www/index",
        ),
        ("mv etc/passwd x\nmv x etc/passwd", ""),
        (
            "mv etc/passwd x\nmv etc/attributed etc/passwd\nmv x etc/attributed",
            "+/etc/attributed +/etc/passwd",
        ),
        (
            "mv usr/doc usr/documents",
            "-/usr/doc +/usr/documents +/usr/documents/a +/usr/documents/a/b +/usr/documents/a/b/one +/usr/documents/a/b/two +/usr/documents/a/three +/usr/documents/four",
        ),
        ("mv usr/doc/a a\nmv a usr/doc/a", ""),
        (
            "ln etc/passwd etc/again",
            "+/etc/again =/etc/passwd /etc/again",
        ),
        (
            "ln etc/passwd z\nln z y\nappend y more",
            "+/etc/passwd =/y /etc/passwd =/z /etc/passwd",
        ),
        ("ln etc/passwd z\nrm z", ""),
        ("ln etc/passwd z\nrm etc/passwd", "-/etc/passwd +/z"),
        // T12 of rust-crates.md: the layer's other names keep what they had.
        ("append bin/su more", "+/bin/su"),
        (
            "ln bin/su bin/third\nchmod bin/sudo 755",
            "+/bin/su +/bin/sudo =/bin/third /bin/su",
        ),
        ("rm etc/link\nsymlink shadow etc/link", "+/etc/link"),
        ("rm etc/link\nsymlink passwd etc/link", ""),
        ("rm sbin\nmkdir sbin\nwrite sbin/su 1", "+/sbin +/sbin/su"),
        (
            "rm etc/passwd\nmkdir etc/passwd\nwrite etc/passwd/x 1",
            "+/etc/passwd +/etc/passwd/x",
        ),
        ("rmr usr/doc\nwrite usr/doc 1", "+/usr/doc"),
        ("rmr usr/doc\nsymlink replaced usr/doc", "+/usr/doc"),
        ("rmr opt/www\nsocket opt/www", "-/opt/www"),
        (
            "replace etc/passwd\nrewrite etc/shadow\nopen opt/www/index",
            "",
        ),
        ("touch etc/passwd 7\ntouch etc/shadow 1500000000", ""),
        ("touch etc/passwd 7\nchmod etc/passwd 600", "+/etc/passwd"),
        (
            "write new 1\ntouch new 7\nmkdir d\nwrite d/old 1\ntouch d/old 7",
            "+/d +/d/old +/new",
        ),
        (
            "xattr etc/passwd user.note a%00b\nxattr opt user.note 1",
            "+/etc/passwd +/opt",
        ),
        ("unxattr etc/attributed user.note", "+/etc/attributed"),
        (
            "xattr etc/passwd security.capability %01%00%00%02%00%20%00%00%00%00%00%00%00%00%00%00%00%00%00%00",
            "+/etc/passwd",
        ),
        (
            "chmod etc/passwd 6755\nappend bin/su more",
            "+/bin/su +/etc/passwd",
        ),
        ("write sparse x\ntruncate sparse 1000000", "+/sparse"),
        ("fifo f\nrm usr/fifo\nwrite usr/fifo 1", "+/f +/usr/fifo"),
        ("socket s\nmkdir d\nsocket d/s", "+/d"),
        (
            "mknod dev/full 1 7\nrm dev/null\nmknod dev/null 1 3\nchmod dev/null 666",
            "+/dev/full +/dev/null",
        ),
        (
            "append odd%ff%c3%a9 more\nwrite a%0ab%20c 1\nrm closed/file",
            "+/a\\nb c -/closed/file +/odd\\xff\\xc3\\xa9",
        ),
        (
            "chown etc/passwd 1001 50\nchown opt/www/index 0 0\nchown opt 7 7",
            "+/etc/passwd +/opt +/opt/www/index",
        ),
        (
            "chown etc/link 5 5\nchown bin/su 0 0\nchown opt/www/other 33 33",
            "+/bin/su +/etc/link",
        ),
        // New files in a setgid directory have its group, whatever user makes them.
        (
            "write opt/shared/new 1\nmkdir opt/shared/d\nwrite opt/shared/d/f 1",
            "+/opt/shared/d +/opt/shared/d/f +/opt/shared/new",
        ),
        // An owner that is not the step's, kept by renaming and by writing.
        (
            "mv opt/www/index etc/index\nappend opt/www/other more\nreplace opt/shared/file",
            "+/etc/index +/opt/shared/file -/opt/www/index +/opt/www/other",
        ),
        (
            "rmr opt/www\nmkdir opt/www\nwrite opt/www/index old",
            "+/opt/www +/opt/www/index -/opt/www/other -/opt/www/top",
        ),
        ("mkdir d\nmkdir d/e\nwrite d/e/f 1\nrmr d", ""),
        (
            "write usr/doc/hidden below\nwrite usr/replaced/hidden below",
            "+/usr/doc/hidden +/usr/replaced/hidden",
        ),
        (
            "append usr/doc/a/b/one x\nwrite usr/new 1",
            "+/usr/doc/a/b/one +/usr/new",
        ),
    ]
}

fn both() -> [Lowers; 2] {
    [Ownership::Real, Ownership::Recorded].map(lowers)
}

#[test]
fn every_script_gives_the_same_bytes_everywhere() {
    if !rustix::process::geteuid().is_root() {
        // Owners on disk are what the others are compared with.
        return;
    }
    let lowers = both();
    let long = "n".repeat(250);
    let script = format!("append {long} x\nmv usr/doc/four usr/{long}");
    let expected = format!("+/{long} -/usr/doc/four +/usr/{long}");
    let named = [(script.as_str(), expected.as_str())];
    for (script, expected) in table().into_iter().chain(named) {
        let outcome = everywhere(&lowers, script);
        assert_eq!(outcome.changes.join(" "), expected, "{script}");
    }
}

/// One of the few files that scripts below fight over.
fn name() -> impl Strategy<Value = String> {
    let names = [
        "etc",
        "etc/passwd",
        "etc/link",
        "etc/x",
        "etc/x/y",
        "opt/shared",
        "opt/shared/file",
        "opt/www",
        "opt/www/index",
        "opt/www/other",
        "usr/doc",
        "usr/doc/a",
        "usr/doc/a/three",
        "usr/doc/a/b",
        "usr/doc/a/b/one",
        "usr/doc/hidden",
        "usr/replaced",
        "usr/replaced/new",
        "usr/replaced/hidden",
        "bin/su",
        "bin/sudo",
        "usr/fifo",
        "x",
        "x/y",
        "sbin",
    ];
    prop::sample::select(names.to_vec()).prop_map(str::to_owned)
}

fn line() -> impl Strategy<Value = String> {
    let one = prop::sample::select(vec![
        "open", "rewrite", "replace", "rm", "rmr", "rmr", "mkdir", "mkdir", "fifo", "socket",
    ]);
    let text = prop::sample::select(vec!["old", "1", "root"]);
    let mode = prop::sample::select(vec!["644", "755", "4755", "2775", "600"]);
    prop_oneof![
        4 => (one, name()).prop_map(|(verb, name)| format!("{verb} {name}")),
        2 => (name(), text.clone()).prop_map(|(name, text)| format!("write {name} {text}")),
        1 => (name(), text).prop_map(|(name, text)| format!("append {name} {text}")),
        1 => (name(), mode).prop_map(|(name, mode)| format!("chmod {name} {mode}")),
        1 => name().prop_map(|name| format!("chown {name} 33 33")),
        2 => (name(), name()).prop_map(|(a, b)| format!("mv {a} {b}")),
        2 => (name(), name()).prop_map(|(a, b)| format!("ln {a} {b}")),
        1 => (name(), name()).prop_map(|(a, b)| format!("symlink {} {b}", a.replace('/', "-"))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_script_gives_the_same_bytes_over_an_overlay_and_in_a_tree(lines in prop::collection::vec(line(), 1..14)) {
        if rustix::process::geteuid().is_root() {
            let script = lines.join("\n");
            let lowers = lowers(Ownership::Real);
            let (overlay, tree) = (over_overlay(&lowers, &script), in_a_tree(&lowers, &script));
            prop_assert_eq!(&overlay.changes, &tree.changes, "{}", script);
            prop_assert_eq!(listing(&overlay.tar), listing(&tree.tar), "{}", script);
            prop_assert!(overlay.tar == tree.tar, "{}", script);
        }
    }
}

#[test]
fn nothing_is_chowned_when_owners_are_recorded() {
    let lowers = lowers(Ownership::Recorded);
    let us = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let mut seen = 0;
    for directory in &lowers.directories {
        for file in walkdir::WalkDir::new(directory) {
            let metadata = file.unwrap().path().symlink_metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), us);
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} files");
    let owner = |name: &str| {
        let owned = lowers.lists[1].get(&path(name.as_bytes()));
        (owned.uid, owned.gid)
    };
    assert_eq!(owner("opt/www"), (33, 33));
    assert_eq!(owner("etc/shadow"), (0, 42));
    assert_eq!(owner("bin"), (0, 0));
    let su = std_fs::metadata(lowers.directories[1].join("bin/su")).unwrap();
    assert_eq!(su.mode() & 0o7777, 0o4755);
}
