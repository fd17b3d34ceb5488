use std::os::unix::fs::symlink;

use rustix::fs as rfs;

use super::*;
use crate::event::Silent;
use crate::layer::owners::RealOwners;

struct Trees {
    _directory: tempfile::TempDir,
    upper: PathBuf,
    lowers: Vec<PathBuf>,
}

/// An upper directory over two lower ones, each made by its function.
fn trees(upper: impl Fn(&Path), top: impl Fn(&Path), bottom: impl Fn(&Path)) -> Trees {
    let directory = tempfile::tempdir().unwrap();
    let make = |name: &str, fill: &dyn Fn(&Path)| {
        let path = directory.path().join(name);
        fs::create_dir(&path).unwrap();
        fill(&path);
        path
    };
    let lowers = vec![make("top", &top), make("bottom", &bottom)];
    let upper = make("upper", &upper);
    Trees {
        _directory: directory,
        upper,
        lowers,
    }
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn delete(root: &Path, name: &str) {
    rfs::mknodat(
        rfs::CWD,
        root.join(name),
        rfs::FileType::CharacterDevice,
        rfs::Mode::empty(),
        0,
    )
    .unwrap();
}

fn found(trees: &Trees) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::Present { entry, .. } => match &entry.kind {
            Kind::HardLink { target } => format!("{} = {target}", entry.path),
            _ => format!("+{}", entry.path),
        },
        Change::Deleted(path) => format!("-{path}"),
    };
    let stack = Stack::new(&trees.lowers);
    let before = Layers {
        stack: &stack,
        owners: &RealOwners,
    };
    from_overlay_upper(&trees.upper, before, &Silent)
        .unwrap()
        .iter()
        .map(name)
        .collect()
}

#[test]
fn what_was_copied_up_and_is_as_before_is_no_change() {
    let trees = trees(
        |upper| {
            write(upper, "etc/same", "1");
            write(upper, "etc/other", "2");
            write(upper, "etc/new", "3");
            symlink("same", upper.join("etc/link")).unwrap();
        },
        |top| write(top, "etc/same", "1"),
        |bottom| {
            write(bottom, "etc/other", "1");
            symlink("same", bottom.join("etc/link")).unwrap();
        },
    );
    assert_eq!(found(&trees), ["+/etc/new", "+/etc/other"]);
}

#[test]
fn deletions_count_only_where_something_was() {
    let trees = trees(
        |upper| {
            delete(upper, "gone");
            delete(upper, "never-was");
            delete(upper, "already-gone");
        },
        |top| delete(top, "already-gone"),
        |bottom| {
            write(bottom, "gone", "");
            write(bottom, "already-gone", "");
        },
    );
    assert_eq!(found(&trees), ["-/gone"]);
}

fn opaque(path: &Path) {
    fs::create_dir_all(path).unwrap();
    let flags = rfs::XattrFlags::empty();
    rfs::setxattr(path, whiteout::OPAQUE_XATTR, b"y", flags).unwrap();
}

/// A directory that was removed and made again, however much of it came back.
#[test]
fn an_opaque_directory_is_said_by_what_is_missing_in_it() {
    let trees = trees(
        |upper| {
            opaque(&upper.join("replaced"));
            write(upper, "replaced/same", "1");
            write(upper, "replaced/other", "2");
            write(upper, "replaced/deep/same", "1");
            opaque(&upper.join("new"));
            opaque(&upper.join("was-file"));
            opaque(&upper.join("as-before"));
            write(upper, "as-before/same", "1");
        },
        |top| {
            write(top, "replaced/other", "1");
            write(top, "replaced/gone", "1");
            write(top, "replaced/deep/gone", "1");
        },
        |bottom| {
            write(bottom, "replaced/same", "1");
            write(bottom, "replaced/deep/same", "1");
            write(bottom, "replaced/gone-too/x", "1");
            write(bottom, "was-file", "1");
            write(bottom, "as-before/same", "1");
        },
    );
    assert_eq!(
        found(&trees),
        [
            "+/new",
            "-/replaced/deep/gone",
            "-/replaced/gone",
            "-/replaced/gone-too",
            "+/replaced/other",
            "+/was-file"
        ]
    );
}

#[test]
fn what_hides_a_directory_needs_no_deletions_and_a_socket_is_one() {
    let trees = trees(
        |upper| {
            write(upper, "now-file", "");
            symlink("/elsewhere", upper.join("now-link")).unwrap();
            std::os::unix::net::UnixListener::bind(upper.join("now-socket")).unwrap();
            std::os::unix::net::UnixListener::bind(upper.join("new-socket")).unwrap();
        },
        |_| {},
        |bottom| {
            write(bottom, "now-file/x", "");
            write(bottom, "now-link/x", "");
            write(bottom, "now-socket/x", "");
        },
    );
    assert_eq!(found(&trees), ["+/now-file", "+/now-link", "-/now-socket"]);
}

/// The kernel's `index` feature keeps names of its own beside the upper directory.
#[test]
fn a_name_that_no_layer_sees_makes_no_hard_link() {
    let trees = trees(
        |upper| {
            write(upper, "same", "1");
            write(upper, "other", "2");
            for name in ["same", "other"] {
                fs::hard_link(upper.join(name), upper.with_file_name(name)).unwrap();
            }
        },
        |_| {},
        |bottom| {
            write(bottom, "same", "1");
            write(bottom, "other", "1");
        },
    );
    assert_eq!(found(&trees), ["+/other"]);
}

#[test]
fn names_that_mean_deletions_are_refused() {
    let trees = trees(|upper| write(upper, "a/.wh.b", ""), |_| {}, |_| {});
    let stack = Stack::new(&trees.lowers);
    let before = Layers {
        stack: &stack,
        owners: &RealOwners,
    };
    let error = from_overlay_upper(&trees.upper, before, &Silent).unwrap_err();
    assert!(matches!(error, Error::Hostile(_)), "{error}");
}

#[test]
fn hard_links_are_kept_and_whiteouts_are_not_taken_for_them() {
    let trees = trees(
        |upper| {
            write(upper, "a", "x");
            fs::hard_link(upper.join("a"), upper.join("b")).unwrap();
            delete(upper, "c");
            // T11 of rust-crates.md: overlay hard-links its whiteouts.
            fs::hard_link(upper.join("c"), upper.join("d")).unwrap();
        },
        |top| write(top, "c", ""),
        |bottom| write(bottom, "d", ""),
    );
    assert_eq!(found(&trees), ["+/a", "/b = /a", "-/c", "-/d"]);
}
