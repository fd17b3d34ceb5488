use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::super::change::{Layers, from_overlay_upper};
use super::super::owners::RealOwners;
use super::super::stack::Stack;
use super::*;
use crate::event::Silent;

const LIMIT: i64 = 1_000_000;
/// Newer than the limit.
const NEW: i64 = 2_000_000;
/// Older than the limit.
const OLD: i64 = 500_000;

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

fn write(root: &Path, name: &str, mtime: i64, bytes: &[u8]) {
    let file = root.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, bytes).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(mtime.unsigned_abs());
    let file = File::options().write(true).open(file).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn bytecode(flags: u32, mtime: i64, size: u32) -> Vec<u8> {
    let mut bytes = b"\xa7\r\r\n".to_vec();
    for number in [flags, modulo(mtime), size] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(b"code");
    bytes
}

/// The contents of all files that an upper directory changes, as the layer would hold them.
fn contents(upper: &Path, lower: &Path) -> BTreeMap<String, Vec<u8>> {
    let stack = Stack::new(&[lower.to_owned()]);
    let before = Layers {
        stack: &stack,
        owners: &RealOwners,
    };
    let changes = from_overlay_upper(upper, before, &Silent).unwrap();
    let times = SourceTimes::find(&changes, upper, &before, LIMIT).unwrap();
    let mut contents = BTreeMap::new();
    for change in &changes {
        if let Change::Present {
            entry,
            content: Some(file),
        } = change
        {
            let mut bytes = Vec::new();
            let file = File::open(file).unwrap();
            let mut reader = times.content(&entry.path, file).unwrap();
            reader.read_to_end(&mut bytes).unwrap();
            contents.insert(entry.path.to_string(), bytes);
        }
    }
    contents
}

fn trees() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (upper, lower) = (
        directory.path().join("upper"),
        directory.path().join("lower"),
    );
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&lower).unwrap();
    (directory, upper, lower)
}

#[test]
fn names_lead_to_sources() {
    let table = [
        ("a/__pycache__/b.cpython-311.pyc", Some("/a/b.py")),
        ("a/__pycache__/b.cpython-311.opt-1.pyc", Some("/a/b.py")),
        ("a/__pycache__/b.c.cpython-311.opt-2.pyc", Some("/a/b.c.py")),
        ("__pycache__/b.cpython-311.pyc", Some("/b.py")),
        ("a/b.pyc", Some("/a/b.py")),
        ("a/b.py", None),
        ("a/__pycache__/b.pyc", None),
        ("a/__pycache__/.pyc", None),
        ("a/.pyc", None),
    ];
    for (name, expected) in table {
        let found = source_of(&path(name)).map(|path| path.to_string());
        assert_eq!(found.as_deref(), expected, "{name}");
    }
}

#[test]
fn t19_a_valid_header_gets_the_time_that_the_layer_shows() {
    let (_directory, upper, lower) = trees();
    let valid = bytecode(0, NEW, 3);
    write(&upper, "m/a.py", NEW, b"a=1");
    for name in [
        "m/__pycache__/a.cpython-311.pyc",
        "m/__pycache__/a.cpython-311.opt-1.pyc",
        "m/a.pyc",
    ] {
        write(&upper, name, NEW, &valid);
    }
    // Its other name is the file, and this one a link to it.
    write(&upper, "m/c.py", NEW, b"c=1");
    fs::hard_link(upper.join("m/c.py"), upper.join("m/d.py")).unwrap();
    write(&upper, "m/__pycache__/d.cpython-311.pyc", NEW, &valid);
    let found = contents(&upper, &lower);
    let clamped = bytecode(0, LIMIT, 3);
    for name in [
        "/m/__pycache__/a.cpython-311.pyc",
        "/m/__pycache__/a.cpython-311.opt-1.pyc",
        "/m/a.pyc",
        "/m/__pycache__/d.cpython-311.pyc",
    ] {
        assert_eq!(found[name], clamped, "{name}");
    }
    assert_eq!(found["/m/a.py"], b"a=1");
}

#[test]
fn t19_what_holds_no_time_or_was_stale_or_is_not_clamped_stays_as_it_is() {
    let (_directory, upper, lower) = trees();
    write(&upper, "new.py", NEW, b"a=1");
    write(&upper, "old.py", OLD, b"a=1");
    std::os::unix::fs::symlink("new.py", upper.join("link.py")).unwrap();
    let cases = [
        ("__pycache__/new.hash.pyc", bytecode(3, NEW, 3)),
        ("__pycache__/new.unchecked.pyc", bytecode(1, NEW, 3)),
        ("__pycache__/new.stale.pyc", bytecode(0, NEW - 1, 3)),
        ("__pycache__/new.size.pyc", bytecode(0, NEW, 4)),
        (
            "__pycache__/new.short.pyc",
            bytecode(0, NEW, 3)[..15].to_vec(),
        ),
        ("__pycache__/new.empty.pyc", Vec::new()),
        ("__pycache__/old.valid.pyc", bytecode(0, OLD, 3)),
        ("__pycache__/link.valid.pyc", bytecode(0, NEW, 3)),
        ("__pycache__/absent.valid.pyc", bytecode(0, NEW, 3)),
    ];
    for (name, bytes) in &cases {
        write(&upper, name, NEW, bytes);
    }
    let found = contents(&upper, &lower);
    for (name, bytes) in &cases {
        assert_eq!(&found[&format!("/{name}")], bytes, "{name}");
    }
}

#[test]
fn t19_a_source_that_only_got_another_time_shows_the_one_below() {
    let (_directory, upper, lower) = trees();
    // Above the limit: what a lower layer has is not clamped by us.
    write(&lower, "again.py", NEW + 5, b"a=1");
    write(&lower, "untouched.py", NEW + 5, b"a=1");
    write(&upper, "again.py", NEW, b"a=1");
    write(
        &upper,
        "__pycache__/again.cpython-311.pyc",
        NEW,
        &bytecode(0, NEW, 3),
    );
    let valid = bytecode(0, NEW + 5, 3);
    write(&upper, "__pycache__/untouched.cpython-311.pyc", NEW, &valid);
    let found = contents(&upper, &lower);
    assert_eq!(found.get("/again.py"), None);
    assert_eq!(found["/__pycache__/again.cpython-311.pyc"], valid);
    assert_eq!(found["/__pycache__/untouched.cpython-311.pyc"], valid);
}

/// What the interpreter itself writes, and that it takes what we made of it.
#[test]
fn t19_python_takes_the_bytecode_of_a_clamped_source() {
    let (_directory, upper, lower) = trees();
    write(&upper, "module.py", NEW, b"value = 1\n");
    let compile = |extra: &[&str]| {
        let compiled = Command::new("python3")
            .args(["-m", "compileall", "-q"])
            .args(extra)
            .arg(&upper)
            .env_remove("SOURCE_DATE_EPOCH")
            .status();
        assert!(compiled.expect("python3 is there").success());
    };
    compile(&[]);
    compile(&["-o", "1"]);
    let found = contents(&upper, &lower);
    let image = tempfile::tempdir().unwrap();
    let mut compiled = 0;
    for (name, bytes) in &found {
        write(image.path(), &name[1..], LIMIT, bytes);
        compiled += usize::from(name.ends_with(".pyc"));
    }
    assert_eq!(compiled, 2, "{found:?}");
    assert_eq!(
        image.path().join("module.py").metadata().unwrap().mtime(),
        LIMIT
    );
    for flags in [&["-v"][..], &["-v", "-O"]] {
        let output = Command::new("python3")
            .args(flags)
            .args(["-c", "import module"])
            .current_dir(image.path())
            .env("PYTHONPATH", image.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let is_used = |line: &&str| line.contains("code object from") && line.contains("/module.");
        let line = said.lines().find(is_used).expect(&said);
        assert!(line.contains(".pyc'"), "{line}");
    }
}
