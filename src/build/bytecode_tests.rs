use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::layer::{Entry, Kind};

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

#[test]
fn only_caches_of_bytecode_go_into_the_layer() {
    let present = |text: &str| Change::Present {
        entry: Entry::new(path(text), Kind::Directory, 0o755),
        content: None,
    };
    assert!(is_bytecode(&present("a/__pycache__")));
    assert!(is_bytecode(&present("a/__pycache__/b.cpython-311.pyc")));
    assert!(!is_bytecode(&present("a/b.pyc")));
    assert!(!is_bytecode(&present("tmp/x")));
    assert!(!is_bytecode(&Change::Deleted(path(
        "a/__pycache__/old.pyc"
    ))));
}

#[test]
fn nothing_of_the_image_says_how_to_compile() {
    let interpreter = Process {
        arguments: vec!["python3".to_owned()],
        environment: vec![
            ("PYTHONPYCACHEPREFIX".to_owned(), "/x".to_owned()),
            ("PYTHONOPTIMIZE".to_owned(), "2".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ],
        working_directory: "/".to_owned(),
        user: String::new(),
    };
    let bytecode = Bytecode {
        interpreter,
        directories: vec![path("opt/app")],
    };
    let process = process(&bytecode, 0);
    let names: Vec<_> = process.environment.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["PATH", "PYTHONHASHSEED"]);
    assert_eq!(
        process.arguments[process.arguments.len() - 2..],
        ["1", "/opt/app"]
    );
}

/// Modules with what marshal has been unsteady about: sets, interned names, shared constants.
fn modules(directory: &Path, count: usize) {
    fs::create_dir_all(directory.join("package")).unwrap();
    for index in 0..count {
        let text = format!(
            "NAMES = {{'a{index}', 'b', 'c'}}\n\
             def f(x, shared='shared', *, name='a{index}'):\n\
             \x20   return x in {{'one', 'two', 'three', {index}, 1.5}} or shared\n\
             class C{index}:\n\
             \x20   shared = 'shared'\n\
             \x20   async def g(self):\n\
             \x20       return [(a, b) for a in self.shared for b in NAMES]\n"
        );
        fs::write(directory.join(format!("package/m{index}.py")), text).unwrap();
    }
}

/// Runs the program on the host's interpreter: its status, and the bytecode by name.
fn compile(directory: &Path, workers: &str, seed: &str) -> (i32, BTreeMap<String, Vec<u8>>) {
    let done = Command::new("python3")
        .args(["-B", "-s", "-c", PROGRAM, workers])
        .arg(directory)
        .env("PYTHONHASHSEED", seed)
        .current_dir(directory)
        .output()
        .expect("python3 is there");
    let mut found = BTreeMap::new();
    for file in walkdir::WalkDir::new(directory) {
        let file = file.unwrap();
        if file
            .path()
            .extension()
            .is_some_and(|extension| extension == "pyc")
        {
            let name = file.file_name().to_string_lossy().into_owned();
            found.insert(name, fs::read(file.path()).unwrap());
        }
    }
    (done.status.code().unwrap(), found)
}

#[test]
fn the_number_of_workers_does_not_change_the_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("package/__pycache__");
    modules(directory.path(), 100);
    let (status, expected) = compile(directory.path(), "1", "0");
    assert_eq!((status, expected.len()), (0, 100));
    for bytes in expected.values() {
        assert_eq!(bytes[4..8], [3, 0, 0, 0], "checked by hash");
    }
    for workers in ["2", "3", "7"] {
        fs::remove_dir_all(&cache).unwrap();
        let (_, found) = compile(directory.path(), workers, "0");
        assert!(found == expected, "{workers} workers");
    }
}

#[test]
fn what_is_valid_is_left_alone_and_what_is_stale_is_compiled() {
    let directory = tempfile::tempdir().unwrap();
    modules(directory.path(), 4);
    // Would be imported instead of the standard library's if the working directory were searched.
    fs::write(directory.path().join("struct.py"), "raise SystemExit(9)\n").unwrap();
    let file = |name: &str| directory.path().join("package").join(name);
    let timestamps = Command::new("python3")
        .args(["-m", "compileall", "-q"])
        .arg(directory.path().join("package"))
        .env_remove("SOURCE_DATE_EPOCH")
        .status();
    assert!(timestamps.unwrap().success());
    fs::write(file("m1.py"), "changed = True\n").unwrap();
    fs::write(file("broken.py"), "def :\n").unwrap();
    let (status, found) = compile(directory.path(), "1", "0");
    assert_eq!(status, i32::from(INCOMPLETE), "one file cannot be compiled");
    let flags = |module: &str| {
        let (_, bytes) = found
            .iter()
            .find(|(name, _)| name.starts_with(&format!("{module}.")))
            .unwrap();
        bytes[4]
    };
    assert_eq!((flags("m0"), flags("m1"), flags("struct")), (0, 3, 3));
    assert!(!found.keys().any(|name| name.starts_with("broken")));
}
