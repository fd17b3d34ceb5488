//! The same layer bytes from every kind of root file system: over an overlay and in a tree, with owners on disk and
//! with owners recorded.

use std::collections::BTreeMap;
use std::fs as std_fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::copy;
use super::same_bytes_cases::{base, table};
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
pub(super) const LIMIT: i64 = 1_000_000_000;

pub(super) fn path(name: &[u8]) -> EntryPath {
    EntryPath::parse(name).unwrap()
}

/// The tar in a layer that was written.
pub(super) fn tar_of(compressed: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(compressed)
        .read_to_end(&mut tar)
        .unwrap();
    tar
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
    let mode = prop::sample::select(vec!["644", "755", "4755", "600"]);
    // Over an overlay, `mv` copies a directory that a lower layer has, and a copy that is made in a directory with the
    // set-group-id bit gets that bit: a difference that the script itself sees (docs/sandbox.md).
    let elsewhere = name().prop_filter("set-group-id", |name| !name.starts_with("opt/shared/"));
    prop_oneof![
        4 => (one, name()).prop_map(|(verb, name)| format!("{verb} {name}")),
        2 => (name(), text.clone()).prop_map(|(name, text)| format!("write {name} {text}")),
        1 => (name(), text).prop_map(|(name, text)| format!("append {name} {text}")),
        1 => (name(), mode).prop_map(|(name, mode)| format!("chmod {name} {mode}")),
        1 => name().prop_map(|name| format!("chown {name} 33 33")),
        2 => (name(), elsewhere).prop_map(|(a, b)| format!("mv {a} {b}")),
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

/// Whose the changes are, by path, after a script in a tree of which only a snapshot is known.
fn in_place_owners(
    script: &str,
    ledger: &dyn Fn(&Path) -> Option<LedgerAnswer>,
) -> Vec<(String, u32, u32, Kind)> {
    let lowers = lowers(Ownership::Real);
    let place = tempfile::tempdir().unwrap();
    let tree = place.path().join("tree");
    std_fs::create_dir(&tree).unwrap();
    copy::fill(&tree, &Stack::new(&lowers.directories), &Silent).unwrap();
    let snapshot = Snapshot::take(&tree, &[], Contents::Hashed, &Silent).unwrap();
    let snapshot = Snapshot::parse(&snapshot.to_bytes()).unwrap();
    run(&tree, script, None);
    let owners = RecordedOwners::in_place(
        &snapshot,
        rustix::process::geteuid().as_raw(),
        (1001, 7),
        ledger,
    );
    let before = snapshot.as_before().unwrap();
    let changes = from_tree(&tree, &snapshot, before, &owners, &[], &Silent).unwrap();
    let present = changes.into_iter().filter_map(|change| match change {
        Change::Present { entry, .. } => Some(entry),
        Change::Deleted(_) => None,
    });
    present
        .map(|entry| (entry.path.to_string(), entry.uid, entry.gid, entry.kind))
        .collect()
}

#[test]
fn in_place_what_was_there_keeps_its_owner_and_what_is_new_is_the_step_s() {
    if !rustix::process::geteuid().is_root() {
        return crate::skip_tests::skip(
            "in_place_what_was_there_keeps_its_owner_and_what_is_new_is_the_step_s",
            "needs root",
        );
    }
    let script = "append opt/www/index x\nmv opt/www/other etc/moved\nwrite new 1\n\
        write opt/shared/new 1\nmkdir opt/shared/d\nwrite opt/shared/d/new 1\nwrite console 0";
    let console = Kind::CharacterDevice { major: 5, minor: 1 };
    let ledger = |file: &Path| {
        file.ends_with("console").then_some(LedgerAnswer {
            uid: None,
            gid: Some(5),
            device: Some(crate::layer::owners::Device::Character { major: 5, minor: 1 }),
        })
    };
    let owners = in_place_owners(script, &ledger);
    let shown: Vec<String> = owners
        .iter()
        .map(|(path, uid, gid, _)| format!("{path} {uid}:{gid}"))
        .collect();
    assert_eq!(
        shown,
        [
            "/console 1001:5",
            "/etc/moved 33:33",
            "/new 1001:7",
            "/opt/shared/d 1001:50",
            "/opt/shared/d/new 1001:50",
            "/opt/shared/new 1001:50",
            "/opt/www/index 33:33",
        ]
    );
    assert_eq!(owners[0].3, console, "an empty file stands for a device");
}
