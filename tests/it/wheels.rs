//! Wheel layers against what pip puts into a virtual environment, read by Python's `tarfile` and GNU gzip.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use overcoat::layer::EntryPath;
use overcoat::python::Layout;
use overcoat::python::wheel::{Installation, Site, Wheel, write_layer};

use crate::support::skip::skip;

/// Makes wheels of every kind in `sys.argv[1]`: with `.data`, scripts, entry points, executable files, stored and
/// streamed members, names that need quotes.
const MAKE: &str = r##"
import base64, csv, hashlib, io, os, sys, zipfile

class Stream:
    "Cannot seek, so that zipfile writes data descriptors."
    def __init__(self, file): self.file = file
    def write(self, data): return self.file.write(data)
    def flush(self): self.file.flush()
    def close(self): self.file.close()

def make(name, files, stream=False, windows=False, zip64=False):
    info = f"{name}-1.0.dist-info"
    files = dict(files)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    path = os.path.join(sys.argv[1], f"{name}-1.0-py3-none-any.whl")
    raw = open(path, "wb")
    with zipfile.ZipFile(Stream(raw) if stream else raw, "w") as archive:
        def add(path, data, level=6):
            mode = 0o644
            if isinstance(data, tuple): data, mode = data
            if isinstance(data, str): data = data.encode()
            entry = zipfile.ZipInfo(path, (2024, 5, 6, 7, 8, 10))
            entry.external_attr = (0o100000 | mode) << 16
            if windows: entry.create_system = 0
            entry.compress_type = zipfile.ZIP_STORED if "stored" in path else zipfile.ZIP_DEFLATED
            entry._compresslevel = level
            with archive.open(entry, "w", force_zip64=zip64) as file: file.write(data)
            return data
        for index, (path, data) in enumerate(files.items()):
            if path.endswith("/"):
                archive.writestr(path, b"")
                continue
            data = add(path, data, index % 10)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            writer.writerow([path, f"sha256={digest}", len(data)])
        writer.writerow([f"{info}/RECORD", "", ""])
        add(f"{info}/RECORD", rows.getvalue())
    raw.close()

code = "".join(f"def f{i}(x):\n    return x + {i * i}\n" for i in range(4000))
make("plain", {"plain/__init__.py": "x = 1\n", "plain/empty.py": "", "plain/code.py": code, "plain/stored.bin": os.urandom(70000),
               "plain/a,\"b\".txt": "quoted\n", "plain/\u00e9\u4e2d.py": "utf8 = 1\n", "plain/" + "d" * 60 + "/" + "f" * 60 + ".py": code[:5000]})
make("everything", {
    "everything/__init__.py": "def main(): print('ran')\nclass A:\n    @staticmethod\n    def run(): print('A ran')\n",
    "everything/empty_directory/": "",
    "everything/tool.sh": ("#!/bin/sh\n", 0o755),
    "everything/private": ("secret\n", 0o600),
    "everything/group_x": ("x\n", 0o610),
    "everything-1.0.data/scripts/script": ("#!python -u\nprint('script')\n", 0o755),
    "everything-1.0.data/scripts/windowed": ("#!pythonw\nprint('w')\n", 0o755),
    "everything-1.0.data/scripts/not-executable": "#!python\n",
    "everything-1.0.data/scripts/shell": ("#!/bin/sh\necho shell\n", 0o755),
    "everything-1.0.data/scripts/native": (b"\x7fELF" + bytes(90000), 0o755),
    "everything-1.0.data/scripts/wrapped": ("#!python\n", 0o755),
    "everything-1.0.data/scripts/wrapped-script.py": ("#!python\n", 0o755),
    "everything-1.0.data/data/share/everything/data.txt": "data\n",
    "everything-1.0.data/data/etc/everything.conf": "conf\n",
    "everything-1.0.data/headers/everything.h": "#define X 1\n",
    "everything-1.0.data/purelib/pure.py": "pure = 1\n",
    "everything-1.0.data/platlib/plat.py": "plat = 1\n",
    "everything-1.0.dist-info/entry_points.txt":
        "[console_scripts]\nwrapped = everything:main\nmethod = everything:A.run [extra]\n[gui_scripts]\ngui = everything:main\n[other]\nx = y\n",
    "everything-1.0.dist-info/licenses/LICENSE": "mine\n",
}, windows=True)
make("streamed", {"streamed/__init__.py": code, "streamed/stored.py": code, "streamed/small.py": "x=1\n"}, stream=True)
make("long", {"long/__init__.py": code, "long/stored.py": "x = 1\n"}, zip64=True)
"##;

/// Compares the layer `sys.argv[1]` with the environment `sys.argv[2]`, of which `sys.argv[3]` lists what was there
/// before: names, kinds, modes, contents.
const COMPARE: &str = r##"
import os, sys, tarfile
layer, root = sys.argv[1:3]
before = set(open(sys.argv[3]).read().split("\n"))
expected = {}
for directory, directories, files in os.walk(root):
    for name in directories + files:
        path = os.path.join(directory, name)
        if path not in before and not (os.path.isdir(path) and os.path.islink(path)):
            expected[path[1:]] = path
found = {}
with tarfile.open(layer, "r:gz") as tar:
    members = tar.getmembers()
    assert [m.name for m in members] == sorted((m.name for m in members), key=os.fsencode), "not sorted"
    for member in members:
        assert member.uid == 1001 and member.gid == 7 and member.mtime == 315532800, member.name
        found[member.name] = (member, tar.extractfile(member).read() if member.isfile() else None)
assert set(found) == set(expected), f"only here: {sorted(set(found) - set(expected))}, only there: {sorted(set(expected) - set(found))}"
for name, path in expected.items():
    member, content = found[name]
    status = os.lstat(path)
    assert member.isdir() == os.path.isdir(path), name
    assert member.mode == status.st_mode & 0o7777, f"{name}: {member.mode:o}, not {status.st_mode:o}"
    if member.isdir():
        continue
    there = open(path, "rb").read()
    if name.endswith("/INSTALLER"):
        assert (content, there) == (b"overcoat\n", b"pip\n")
        continue
    if name.endswith(".dist-info/RECORD"):
        # INSTALLER's hash, and the rows that pip keeps of scripts that it did not install.
        rows = lambda text: [row for row in text.decode().split("\r\n") if "/INSTALLER," not in row and ".data/scripts/wrapped" not in row]
        content, there = rows(content), rows(there)
    assert content == there, f"{name}:\n{content[:400]}\n{there[:400]}"
print(len(found))
"##;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}\n{text}{errors}");
    text.into_owned()
}

fn has_pip() -> bool {
    let pip = Command::new("python3")
        .args(["-m", "pip", "--python", "/usr/bin/false", "--version"])
        .output();
    let version = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output();
    let found = version
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    // The text of scripts changed in pip 25; `--python` came with pip 22.3.
    let major: u32 = found
        .split([' ', '.'])
        .nth(1)
        .and_then(|major| major.parse().ok())
        .unwrap_or(0);
    pip.is_ok() && (23..25).contains(&major)
}

#[test]
fn wheel_layers_are_what_pip_installs() {
    if !has_pip() {
        return skip(
            "wheel_layers_are_what_pip_installs",
            "needs pip 23 or 24 for python3",
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let wheels = root.join("wheels");
    std::fs::create_dir(&wheels).unwrap();
    run(Command::new("python3").args(["-c", MAKE]).arg(&wheels));
    let mut names: Vec<_> = std::fs::read_dir(&wheels)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert_eq!(names.len(), 4);
    for (umask, mask) in [("022", 0o022), ("002", 0o002), ("077", 0o077)] {
        let venv = root.join(format!("venv{umask}"));
        run(Command::new("python3")
            .args(["-m", "venv", "--without-pip"])
            .arg(&venv));
        let before = root.join("before");
        std::fs::write(&before, run(Command::new("find").arg(&venv))).unwrap();
        let install = format!(
            "umask {umask}; exec python3 -m pip --python '{0}/bin/python' --isolated install --quiet --no-compile --no-deps --no-index --find-links '{1}' plain everything streamed long",
            venv.display(),
            wheels.display()
        );
        run(Command::new("sh")
            .args(["-c", &install])
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("PIP_ROOT_USER_ACTION", "ignore"));
        let layer = root.join("layer.tar.gz");
        write(&names, &venv, mask, &layer);
        run(Command::new("gzip").arg("--test").arg(&layer));
        let count = run(Command::new("python3")
            .args(["-c", COMPARE])
            .args([&layer, &venv, &before]));
        assert!(count.trim().parse::<u32>().unwrap() > 50, "{count}");
    }
}

/// Writes the layer of these wheels for an environment at `venv`.
fn write(wheels: &[std::path::PathBuf], venv: &Path, umask: u32, layer: &Path) {
    let path =
        |below: &str| EntryPath::parse(venv.join(below).as_os_str().as_encoded_bytes()).unwrap();
    let version = run(Command::new("python3").args([
        "-c",
        "import sys; print('python%d.%d' % sys.version_info[:2])",
    ]));
    let version = version.trim();
    let layout = Layout {
        interpreter: venv.join("bin/python").to_str().unwrap().to_owned(),
        site_packages: path(&format!("lib/{version}/site-packages")),
        scripts: path("bin"),
        data: path(""),
        headers: path(&format!("include/site/{version}")),
        uid: 1001,
        gid: 7,
        umask,
    };
    // `python -m venv` makes an empty `include`.
    let existing = BTreeSet::from([path("include"), path(&format!("include/{version}"))]);
    let existing: BTreeSet<_> = existing
        .into_iter()
        .filter(|directory| directory.below(Path::new("/")).exists())
        .collect();
    let site = Site {
        layout: &layout,
        existing: &existing,
        epoch: 315_532_800,
    };
    let open = |file: &std::path::PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let wheel = Wheel::open(File::open(file).unwrap(), name).unwrap();
        Installation::new(wheel, true)
    };
    let opened: Vec<_> = wheels.iter().map(open).collect();
    let written = write_layer(&opened, &site, File::create(layer).unwrap(), 2).unwrap();
    assert!(written.conflicts.is_empty(), "{:?}", written.conflicts);
}
