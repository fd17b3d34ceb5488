use super::files::MapFiles;
use super::*;
use crate::digest::Digest;
use crate::python::tags::Libc;

fn config(
    platform: (&str, &str),
    environment: &[&str],
    user: &str,
    layers: usize,
) -> serde_json::Value {
    let diff_ids: Vec<String> = (0..layers)
        .map(|n| Digest::of(n.to_string().as_bytes()).to_string())
        .collect();
    serde_json::json!({
        "os": platform.0, "architecture": platform.1,
        "config": { "Env": environment, "User": user },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
}

fn parsed(value: serde_json::Value) -> ImageConfiguration {
    ImageConfiguration::from_value(value).unwrap()
}

/// Detection that must not look at files.
fn without_files(config: &ImageConfiguration) -> Result<Detected, String> {
    let detected = detect(config, || {
        Err::<Box<dyn Files>, Told>(Told("files were asked for".to_owned()))
    });
    detected.map_err(|told| told.0)
}

#[derive(Debug)]
struct Told(String);

impl From<Error> for Told {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

fn with_files(config: serde_json::Value, files: MapFiles) -> Result<Detected, Error> {
    detect(&parsed(config), || {
        Ok::<_, Error>(Box::new(files) as Box<dyn Files>)
    })
}

fn installed(detected: &Detected) -> Vec<String> {
    detected
        .target
        .installed
        .iter()
        .map(|(name, version)| format!("{name}=={version}"))
        .collect()
}

fn labelled() -> serde_json::Value {
    let mut value = config(
        ("linux", "amd64"),
        &["PATH=/opt/app-root/bin:/usr/bin"],
        "1001",
        2,
    );
    let facts = Facts {
        version: "3.11.2".parse().unwrap(),
        venv: "/opt/app-root".to_owned(),
        libc: "glibc 2.36".parse().unwrap(),
        installed: BTreeMap::from([("pip".parse().unwrap(), "23.0.1".parse().unwrap())]),
        owner: (1001, 0),
        umask: 0o002,
    };
    let config = parsed(value.clone());
    value["config"]["Labels"] = serde_json::to_value(facts.labels(config.diff_ids())).unwrap();
    value
}

#[test]
fn our_own_builders_say_it_by_labels() {
    let value = labelled();
    let detected = without_files(&parsed(value.clone())).unwrap();
    assert_eq!(detected.provenance, Provenance::Labels);
    assert!(detected.is_installed_complete);
    let Target {
        version,
        tags,
        layout,
        markers,
        ..
    } = &detected.target;
    assert_eq!(
        (version.to_string().as_str(), markers.platform_machine()),
        ("3.11.2", "x86_64")
    );
    assert_eq!(tags[0], "cp311-cp311-manylinux_2_36_x86_64");
    assert_eq!(layout.interpreter, "/opt/app-root/bin/python");
    assert_eq!(
        layout.site_packages.to_string(),
        "/opt/app-root/lib/python3.11/site-packages"
    );
    assert_eq!(layout.scripts.to_string(), "/opt/app-root/bin");
    assert_eq!(
        layout.headers.to_string(),
        "/opt/app-root/include/site/python3.11"
    );
    assert_eq!((layout.uid, layout.gid, layout.umask), (1001, 0, 0o002));
    assert_eq!(installed(&detected), ["pip==23.0.1"]);
    // What was built on top has the labels, too, and perhaps other packages.
    let mut on_top = value.clone();
    let more = serde_json::json!(Digest::of(b"more").to_string());
    on_top["rootfs"]["diff_ids"]
        .as_array_mut()
        .unwrap()
        .push(more);
    assert_eq!(
        without_files(&parsed(on_top)).unwrap_err(),
        "files were asked for"
    );
    // A label that makes no sense makes all of them worthless.
    for name in [
        labels::VERSION,
        labels::LIBC,
        labels::INSTALLED,
        labels::OWNER,
        labels::SITE_PACKAGES,
    ] {
        let mut damaged = value.clone();
        damaged["config"]["Labels"][name] = "zork zork".into();
        assert_eq!(
            without_files(&parsed(damaged)).unwrap_err(),
            "files were asked for",
            "{name}"
        );
    }
}

/// An official image's configuration, cut to what counts.
fn official(rootfs: &str, more: &[&str]) -> serde_json::Value {
    let environment = [
        "PATH=/usr/local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
        "PYTHON_VERSION=3.11.9",
        "PYTHON_PIP_VERSION=24.0",
        "PYTHON_SETUPTOOLS_VERSION=65.5.1",
    ];
    let mut steps = vec![
        rootfs,
        "ENV PATH=/usr/local/bin:…",
        "RUN apt-get install python",
        "CMD [\"python3\"]",
    ];
    steps.extend(more);
    let history: Vec<serde_json::Value> = steps
        .iter()
        .map(|step| serde_json::json!({ "created_by": step, "empty_layer": step.starts_with("ENV") || step.starts_with("CMD") }))
        .collect();
    let layers = history
        .iter()
        .filter(|entry| entry["empty_layer"] == false)
        .count();
    let mut value = config(("linux", "arm64"), &environment, "", layers);
    value["history"] = history.into();
    value
}

#[test]
fn official_images_say_it_by_environment_and_history() {
    let debian = official(
        "# debian.sh --arch 'arm64' out/ 'bookworm' '@1740355200'",
        &[],
    );
    let detected = without_files(&parsed(debian.clone())).unwrap();
    assert_eq!(detected.provenance, Provenance::Environment);
    assert_eq!(detected.libc, Libc::glibc(2, 36).unwrap());
    assert_eq!(
        detected.target.tags[0],
        "cp311-cp311-manylinux_2_36_aarch64"
    );
    assert_eq!(
        detected.target.layout.site_packages.to_string(),
        "/usr/local/lib/python3.11/site-packages"
    );
    assert_eq!(
        (detected.target.layout.uid, detected.target.layout.umask),
        (0, 0o022)
    );
    assert_eq!(installed(&detected), ["pip==24.0", "setuptools==65.5.1"]);
    assert!(!detected.is_installed_complete);
    let alpine = official(
        "ADD alpine-minirootfs-3.19.1-aarch64.tar.gz / # buildkit",
        &[],
    );
    let detected = without_files(&parsed(alpine)).unwrap();
    assert_eq!(detected.target.tags[0], "cp311-cp311-musllinux_1_2_aarch64");
    // Something was added, the distribution is not known, or the history does not tell all.
    let added = official(
        "# debian.sh --arch 'arm64' out/ 'bookworm' '@1'",
        &["RUN pip install flask"],
    );
    let unknown = official("ADD file:123 in /", &[]);
    let mut silent = debian;
    silent["history"].as_array_mut().unwrap().remove(2);
    for value in [added, unknown, silent] {
        assert_eq!(
            without_files(&parsed(value)).unwrap_err(),
            "files were asked for"
        );
    }
}

#[test]
fn an_environment_that_leads_pip_elsewhere_is_not_supported() {
    let mut value = labelled();
    value["config"]["Env"] = serde_json::json!(["PIP_USER=0", "PIP_TARGET=/somewhere"]);
    let error = without_files(&parsed(value)).unwrap_err();
    assert!(error.contains("`PIP_TARGET`"), "{error}");
}

fn put(files: &mut MapFiles, path: &str, bytes: &[u8]) {
    files
        .files
        .insert(path.to_owned(), (Sort::File, bytes.to_vec()));
}

fn link(files: &mut MapFiles, path: &str, target: &str) {
    files.files.insert(
        path.to_owned(),
        (Sort::Link(target.as_bytes().to_vec()), Vec::new()),
    );
}

const GLIBC: &[u8] = b"\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n\0";

/// Debian's own Python 3.11, with `/lib` a link into `/usr`.
fn debian() -> MapFiles {
    let mut files = MapFiles::default();
    let interpreter = elf::tests::program(
        62,
        true,
        false,
        "/lib64/ld-linux-x86-64.so.2",
        b"\x003.11.2\0",
    );
    put(&mut files, "/usr/bin/python3.11", &interpreter);
    link(&mut files, "/usr/bin/python3", "python3.11");
    link(&mut files, "/lib", "usr/lib");
    link(&mut files, "/lib64", "usr/lib64");
    link(
        &mut files,
        "/usr/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    );
    put(
        &mut files,
        "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        b"",
    );
    put(&mut files, "/usr/lib/x86_64-linux-gnu/libc.so.6", GLIBC);
    put(&mut files, "/usr/lib/python3.11/os.py", b"");
    put(
        &mut files,
        "/usr/lib/python3/dist-packages/six-1.16.0.egg-info",
        b"",
    );
    put(
        &mut files,
        "/etc/passwd",
        b"root:x:0:0::/:/bin/sh\ndefault:x:1001:0::/:/bin/sh\n",
    );
    files
}

/// A virtual environment of that.
fn venv() -> MapFiles {
    let mut files = debian();
    put(&mut files, "/usr/lib/python3.11/EXTERNALLY-MANAGED", b"");
    put(
        &mut files,
        "/opt/app-root/pyvenv.cfg",
        b"home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n",
    );
    link(&mut files, "/opt/app-root/bin/python", "python3");
    link(
        &mut files,
        "/opt/app-root/bin/python3",
        "/usr/bin/python3.11",
    );
    link(&mut files, "/opt/app-root/lib64", "lib");
    let site_packages = "/opt/app-root/lib/python3.11/site-packages";
    put(
        &mut files,
        &format!("{site_packages}/pip-23.0.1.dist-info/METADATA"),
        b"",
    );
    put(
        &mut files,
        &format!("{site_packages}/~ip-23.0.dist-info/METADATA"),
        b"",
    );
    files
        .status
        .insert(site_packages.to_owned(), (1001, 0, 0o775));
    files
}

fn scl(user: &str) -> serde_json::Value {
    config(
        ("linux", "amd64"),
        &["PATH=/opt/app-root/bin:/usr/bin"],
        user,
        1,
    )
}

#[test]
fn a_virtual_environment_is_found_by_its_files() {
    let detected = with_files(scl("1001"), venv()).unwrap();
    assert_eq!(detected.provenance, Provenance::Files);
    assert_eq!(detected.target.version.to_string(), "3.11.2");
    assert_eq!(detected.target.tags[0], "cp311-cp311-manylinux_2_36_x86_64");
    let layout = &detected.target.layout;
    assert_eq!(layout.interpreter, "/opt/app-root/bin/python");
    assert_eq!(
        layout.site_packages.to_string(),
        "/opt/app-root/lib/python3.11/site-packages"
    );
    assert_eq!(layout.data.to_string(), "/opt/app-root");
    assert_eq!((layout.uid, layout.gid, layout.umask), (1001, 0, 0o002));
    assert_eq!(installed(&detected), ["pip==23.0.1"]);
    // The labels of our own builders say the same.
    let labelled = without_files(&parsed(labelled())).unwrap();
    assert_eq!(*layout, labelled.target.layout);
    assert_eq!(detected.target.tags, labelled.target.tags);
    assert_eq!(detected.target.installed, labelled.target.installed);
    let mut system = venv();
    put(
        &mut system,
        "/opt/app-root/pyvenv.cfg",
        b"Home=/usr/bin\nInclude-System-Site-Packages = True\n",
    );
    assert_eq!(
        installed(&with_files(scl("default"), system).unwrap()),
        ["pip==23.0.1", "six==1.16.0"]
    );
}

#[test]
fn an_installation_of_its_own_is_found_by_its_files() {
    let mut files = debian();
    let environment = ["PATH=/usr/local/bin:/usr/bin", "PYTHON_VERSION=3.12.7"];
    let interpreter = elf::tests::program(62, true, false, "/lib/ld-musl-x86_64.so.1", b"");
    put(&mut files, "/usr/local/bin/python3.12", &interpreter);
    link(&mut files, "/usr/local/bin/python3", "python3.12");
    link(&mut files, "/usr/local/bin/python", "python3");
    put(&mut files, "/usr/local/lib/python3.12/os.py", b"");
    put(
        &mut files,
        "/usr/local/lib/python3.12/site-packages/pip-24.2.dist-info/METADATA",
        b"",
    );
    put(
        &mut files,
        "/usr/lib/ld-musl-x86_64.so.1",
        b"musl libc\0\x001.2.5\0",
    );
    let value = config(("linux", "amd64"), &environment, "", 1);
    let detected = with_files(value, files).unwrap();
    assert_eq!(detected.target.version.to_string(), "3.12.7");
    assert_eq!(detected.target.tags[0], "cp312-cp312-musllinux_1_2_x86_64");
    assert_eq!(detected.target.layout.interpreter, "/usr/local/bin/python");
    assert_eq!(
        detected.target.layout.headers.to_string(),
        "/usr/local/include/python3.12"
    );
    assert_eq!(
        (detected.target.layout.uid, detected.target.layout.umask),
        (0, 0o022)
    );
    assert_eq!(installed(&detected), ["pip==24.2"]);
}

#[test]
fn debians_own_python_installs_to_usr_local_unless_pip_must_not() {
    let value = || config(("linux", "amd64"), &["PATH=/usr/bin"], "", 1);
    let detected = with_files(value(), debian()).unwrap();
    assert_eq!(
        detected.target.layout.site_packages.to_string(),
        "/usr/local/lib/python3.11/dist-packages"
    );
    assert_eq!(detected.target.layout.scripts.to_string(), "/usr/local/bin");
    assert_eq!(detected.target.layout.interpreter, "/usr/bin/python3");
    assert_eq!(installed(&detected), ["six==1.16.0"]);
    let mut managed = debian();
    put(&mut managed, "/usr/lib/python3.11/EXTERNALLY-MANAGED", b"");
    let error = with_files(value(), managed).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }) && !error.is_for_probe());
    assert!(error.to_string().contains("EXTERNALLY-MANAGED"), "{error}");
}

#[test]
fn the_version_comes_from_the_header_the_program_or_the_library() {
    let version = |files: MapFiles| {
        with_files(scl(""), files).map(|detected| detected.target.version.to_string())
    };
    let silent = |rest: &[u8]| {
        let mut files = venv();
        let interpreter = elf::tests::program(62, true, false, "/lib64/ld-linux-x86-64.so.2", rest);
        put(&mut files, "/usr/bin/python3.11", &interpreter);
        files
    };
    let mut header = silent(b"\x003.11.1\0");
    put(
        &mut header,
        "/usr/include/python3.11/patchlevel.h",
        b"#define PY_MAJOR_VERSION 3\n#define PY_VERSION      \t\"3.11.4+\"\n",
    );
    assert_eq!(version(header).unwrap(), "3.11.4");
    let mut library = silent(b"");
    put(
        &mut library,
        "/usr/lib/libpython3.11.so.1.0",
        b"\x003.11.7\0x\x003.11.7\0\x003.11.x\0",
    );
    assert_eq!(version(library).unwrap(), "3.11.7");
    let error = version(silent(b"\x003.11.1\0\x003.11.2\0")).unwrap_err();
    assert!(error.is_for_probe(), "{error}");
    assert!(
        error.to_string().starts_with(
            "the version of the interpreter cannot be found out from the builder image"
        )
    );
}

#[test]
fn what_cannot_be_found_out_is_said() {
    type Change = fn(&mut MapFiles);
    let cases: [(&str, Change, &str); 6] = [
        (
            "amd64",
            |files| drop(files.files.remove("/usr/bin/python3.11")),
            "neither `python` nor `python3`",
        ),
        (
            "amd64",
            |files| put(files, "/usr/bin/python3.11", b"#!/bin/sh\n"),
            "perhaps a script",
        ),
        (
            "amd64",
            |files| link(files, "/usr/bin/python3.11", "python3.11"),
            "neither `python` nor `python3`",
        ),
        (
            "amd64",
            |files| put(files, "/usr/lib/x86_64-linux-gnu/libc.so.6", b"?"),
            "no `libc.so.6` that says its version",
        ),
        (
            "amd64",
            |files| drop(files.files.remove("/usr/lib/python3.11/os.py")),
            "no `/usr/lib/python3.*/os.py`",
        ),
        (
            "arm64",
            |_| (),
            "for x86_64 and its configuration says aarch64",
        ),
    ];
    for (architecture, change, expected) in cases {
        let mut files = venv();
        files.files.remove("/usr/lib/python3.11/EXTERNALLY-MANAGED");
        change(&mut files);
        let value = config(
            ("linux", architecture),
            &["PATH=/opt/app-root/bin:/usr/bin"],
            "",
            1,
        );
        let error = with_files(value, files).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let mut early = venv();
    let interpreter = elf::tests::program(
        62,
        true,
        false,
        "/lib64/ld-linux-x86-64.so.2",
        b"\x003.11.0rc1\0",
    );
    put(&mut early, "/usr/bin/python3.11", &interpreter);
    assert!(
        with_files(scl(""), early)
            .unwrap_err()
            .to_string()
            .contains("not a release")
    );
    let mut moved = venv();
    put(&mut moved, "/srv/packages/x", b"");
    link(
        &mut moved,
        "/opt/app-root/lib/python3.11/site-packages",
        "/srv/packages",
    );
    assert!(
        with_files(scl(""), moved)
            .unwrap_err()
            .to_string()
            .contains("behind a link")
    );
}

#[test]
fn layers_are_read_as_overlay_shows_them() {
    let directory = tempfile::tempdir().unwrap();
    let layers = ["top", "bottom"].map(|name| directory.path().join(name));
    for (layer, name, text) in [
        (1, "usr/lib/a", "old"),
        (0, "usr/lib/a", "new"),
        (1, "usr/lib/b", "b"),
    ] {
        let path = layers[layer].join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    std::os::unix::fs::symlink("usr/lib", layers[1].join("lib")).unwrap();
    std::os::unix::fs::symlink("/../../etc", layers[1].join("out")).unwrap();
    let path = |text: &str| EntryPath::parse(text.as_bytes()).unwrap();
    let mut owners = crate::layer::owners::OwnerList::default();
    owners.set(path("usr/lib/a"), crate::layer::owners::Owned::by(1001, 7));
    let files = LayerFiles::new(
        &layers,
        Some(vec![owners, crate::layer::owners::OwnerList::default()]),
    );
    assert_eq!(
        super::files::read(&files, "/lib/a", 10).unwrap(),
        Some(b"new".to_vec())
    );
    assert_eq!(super::files::read(&files, "/lib/a", 2).unwrap(), None);
    assert_eq!(super::files::list(&files, "lib").unwrap(), ["a", "b"]);
    assert_eq!(super::files::resolve(&files, "/out/passwd").unwrap(), None);
    assert_eq!(files.read(&path("lib/a"), 10).unwrap(), None);
    let status = files.status(&path("usr/lib/a")).unwrap().unwrap();
    assert_eq!((status.uid, status.gid, status.sort), (1001, 7, Sort::File));
    assert_eq!(files.status(&path("usr/lib/b")).unwrap().unwrap().uid, 0);
    let disk = LayerFiles::new(&layers, None);
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(disk.status(&path("usr/lib/b")).unwrap().unwrap().uid, own);
}
