use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::digest::Digest;
use crate::layer::EntryPath;
use crate::python::tags::{Interpreter, tags};
use crate::python::target::marker_environment;
use crate::python::{Layout, Pinned, RemoteWheel, Resolution, Target};

pub(crate) fn target(version: &str, architecture: &str) -> Target {
    let version: Version = version.parse().unwrap();
    let minor = u32::try_from(version.release()[1]).unwrap();
    let interpreter = Interpreter {
        major: 3,
        minor,
        is_free_threaded: false,
    };
    let path = |text: &str| EntryPath::parse(text.as_bytes()).unwrap();
    Target {
        markers: marker_environment(&version, architecture).unwrap(),
        tags: tags(&interpreter, "glibc 2.36".parse().unwrap(), architecture),
        version,
        layout: Layout {
            interpreter: "/v/bin/python".to_owned(),
            site_packages: path("/v/lib/site"),
            scripts: path("/v/bin"),
            data: path("/v"),
            headers: path("/v/include"),
            uid: 0,
            gid: 0,
            umask: 0o022,
        },
        installed: BTreeMap::new(),
    }
}

fn sample(name: &str) -> Lock {
    let path = format!("{}/testdata/lock/{name}", env!("CARGO_MANIFEST_DIR"));
    read(&std::fs::read(path).unwrap(), name).unwrap()
}

fn names(texts: &[&str]) -> Vec<ExtraName> {
    texts
        .iter()
        .map(|text| ExtraName::new((*text).to_owned()).unwrap())
        .collect()
}

fn urls(chosen: &Chosen) -> Vec<&str> {
    chosen
        .resolution
        .packages
        .iter()
        .map(|package| &*package.wheel.url)
        .collect()
}

fn choose(
    lock: &Lock,
    target: &Target,
    extras: &[&str],
    groups: Option<&[&str]>,
) -> Result<Chosen, Error> {
    let selection = Selection {
        extras: names(extras),
        groups: groups.map(names),
    };
    lock.choose(target, &selection, Path::new("/src"))
}

#[test]
fn what_pip_locks_is_read() {
    let lock = sample("pip-26.3-flask.toml");
    assert_eq!(
        (lock.created_by.as_str(), lock.requirements.as_ref()),
        ("pip", None)
    );
    let chosen = choose(&lock, &target("3.11.2", "x86_64"), &[], None).unwrap();
    let names: Vec<&str> = chosen
        .resolution
        .packages
        .iter()
        .map(|package| package.name.as_ref())
        .collect();
    assert_eq!(
        names,
        [
            "blinker",
            "click",
            "flask",
            "itsdangerous",
            "jinja2",
            "markupsafe",
            "werkzeug"
        ]
    );
    assert!(chosen.unusable.is_empty());
    let flask = &chosen.resolution.packages[2];
    assert_eq!(flask.version.to_string(), "3.0.3");
    let digest = "sha256:34e815dfaa43340d1d15a5c3a02b8476004037eb4840b34910c6e21679d288f3";
    assert_eq!(flask.wheel.digest.as_ref().unwrap().to_string(), digest);
    assert!(flask.is_requested);
    // It was locked for CPython 3.11 on x86_64 alone: elsewhere the package with compiled parts is missing.
    let chosen = choose(&lock, &target("3.12.1", "aarch64"), &[], None).unwrap();
    let unusable: Vec<String> = chosen.unusable.iter().map(ToString::to_string).collect();
    assert_eq!(unusable.len(), 1);
    assert!(
        unusable[0].starts_with("`markupsafe==")
            && unusable[0].ends_with("has no wheel for the builder image"),
        "{unusable:?}"
    );
}

#[test]
fn extras_groups_and_environments_are_chosen_as_specified() {
    let lock = sample("specification.toml");
    let linux = target("3.11.2", "x86_64");
    let attrs = "https://files.example/attrs-25.1.0-py3-none-any.whl";
    let numpy = "https://files.example/numpy-2.2.3-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
    let local = "file:///src/wheels/local-1-py3-none-any.whl";
    assert_eq!(
        urls(&choose(&lock, &linux, &[], None).unwrap()),
        [attrs, local]
    );
    assert_eq!(
        urls(&choose(&lock, &linux, &["speed-ups"], Some(&[])).unwrap()),
        [attrs, numpy]
    );
    let developed = choose(&lock, &linux, &[], Some(&["dev"])).unwrap();
    assert_eq!(developed.unusable[0].reason, UnusableReason::Vcs);
    assert!(developed.unusable[0].reason.is_for_pip());
    assert_eq!(
        urls(&choose(&lock, &linux, &["cli"], Some(&["dev"])).unwrap()),
        [attrs]
    );
    let elsewhere = choose(
        &lock,
        &target("3.12.0", "x86_64"),
        &["speed-ups"],
        Some(&[]),
    )
    .unwrap();
    assert_eq!(elsewhere.unusable[0].reason, UnusableReason::OnlySdist);
}

#[test]
fn a_lock_for_others_is_refused() {
    let lock = sample("specification.toml");
    let linux = target("3.11.2", "x86_64");
    assert!(matches!(
        choose(&lock, &linux, &["none"], None),
        Err(Error::Unknown { kind: "extra", .. })
    ));
    assert!(matches!(
        choose(&lock, &linux, &[], Some(&["none"])),
        Err(Error::Unknown { .. })
    ));
    let error = choose(&lock, &target("3.10.4", "x86_64"), &[], None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the lock requires Python >=3.11, and the builder image has 3.10.4"
    );
    let mut other = lock.clone();
    other.environments.remove(0);
    assert!(matches!(
        choose(&other, &linux, &[], None),
        Err(Error::Environment)
    ));
    let mut twice = lock;
    twice.packages.push(twice.packages[0].clone());
    assert!(matches!(
        choose(&twice, &linux, &[], None),
        Err(Error::Ambiguous { .. })
    ));
}

/// A lock with one package that has these lines.
fn with_package(lines: &str) -> Result<Lock, Error> {
    let text = format!(
        "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'zork'\nversion = '1'\n{lines}\n"
    );
    read(text.as_bytes(), "pylock.toml")
}

#[test]
fn malformed_locks_are_refused_by_name() {
    let hash = format!("hashes = {{ sha256 = '{}' }}", "a".repeat(64));
    for (lines, expected) in [
        ("", "exactly one of"),
        ("vcs = {}\ndirectory = {}", "exactly one of"),
        ("archive = {}\nwheels = []", "exactly one of"),
        (
            &format!("wheels = [{{ url = 'https://x.example/other-1-py3-none-any.whl', {hash} }}]"),
            "another package",
        ),
        (
            &format!("wheels = [{{ url = 'https://x.example/zork-2-py3-none-any.whl', {hash} }}]"),
            "another package or version",
        ),
        (
            &format!("wheels = [{{ url = 'https://x.example/zork.whl', {hash} }}]"),
            "not the file name of a wheel",
        ),
        (
            &format!("wheels = [{{ url = 'ftp://x.example/zork-1-py3-none-any.whl', {hash} }}]"),
            "no URL of a file on the web",
        ),
        (
            &format!("wheels = [{{ {hash} }}]"),
            "neither `url` nor `path`",
        ),
        (
            "wheels = [{ path = 'zork-1-py3-none-any.whl', hashes = { md5 = 'aa' } }]",
            "no hash of SHA-256",
        ),
        (
            "wheels = [{ path = 'zork-1-py3-none-any.whl', hashes = { sha256 = 'aa' } }]",
            "right number",
        ),
        ("wheels = [{ path = 'zork-1-py3-none-any.whl' }]", "line 6"),
        (
            "wheels = [{ path = 'zork-1-py3-none-any.whl', size = -1, hashes = {} }]",
            "line 6",
        ),
        ("wheels = []\nmarker = 'zork == 1'", "marker"),
        ("wheels = []\nrequires-python = '3'", "requires-python"),
    ] {
        let error = with_package(lines).unwrap_err().to_string();
        assert!(
            error.starts_with("`pylock.toml`: ") && error.contains(expected),
            "{lines}: {error}"
        );
    }
    assert!(matches!(
        read(b"lock-version = '2.0'\ncreated-by = 'x'", "l"),
        Err(Error::Version { .. })
    ));
    assert!(matches!(read(b"\xff", "l"), Err(Error::Malformed { .. })));
    assert!(
        read(b"created-by = 'x'", "l")
            .unwrap_err()
            .to_string()
            .contains("lock-version")
    );
}

#[test]
fn files_outside_of_the_locks_directory_are_not_used() {
    for path in [
        "../zork-1-py3-none-any.whl",
        "/zork-1-py3-none-any.whl",
        "a/../../zork-1-py3-none-any.whl",
    ] {
        let lines = format!(
            "wheels = [{{ path = '{path}', hashes = {{ sha256 = '{}' }} }}]",
            "a".repeat(64)
        );
        let chosen = choose(
            &with_package(&lines).unwrap(),
            &target("3.11.2", "x86_64"),
            &[],
            None,
        )
        .unwrap();
        assert_eq!(chosen.unusable[0].reason, UnusableReason::Outside, "{path}");
    }
}

fn wheel(name: &str, directory: &str) -> RemoteWheel {
    RemoteWheel {
        name: name.parse().unwrap(),
        url: format!("{directory}/{name}"),
        digest: Some(Digest::of(name.as_bytes())),
        size: Some(name.len() as u64),
    }
}

#[test]
fn what_is_written_is_read_as_the_same_answer() {
    let pinned = |wheel: RemoteWheel, is_requested| Pinned {
        name: wheel.name.name.clone(),
        version: wheel.name.version.clone(),
        wheel,
        is_requested,
    };
    let numpy = wheel(
        "numpy-2.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        "https://files.example/a b",
    );
    let resolution = Resolution {
        packages: vec![
            pinned(
                wheel("local-1-py3-none-any.whl", "file:///src/wheels"),
                true,
            ),
            pinned(numpy.clone(), false),
        ],
    };
    let foreign = wheel(
        "numpy-2.0-cp311-cp311-manylinux_2_17_aarch64.whl",
        "https://files.example",
    );
    let older = wheel(
        "numpy-1.9-cp311-cp311-manylinux_2_17_aarch64.whl",
        "https://files.example",
    );
    let mut more = BTreeMap::from([(numpy.name.name.clone(), vec![older, numpy, foreign.clone()])]);
    let requirements = ["local".to_owned(), "numpy[\"x\\y\"]\n".to_owned()];
    let required: VersionSpecifiers = ">=3.11".parse().unwrap();
    let written = |more: &BTreeMap<PackageName, Vec<RemoteWheel>>, resolution: &Resolution| {
        write(&NewLock {
            resolution,
            wheels: more,
            requirements: &requirements,
            requires_python: Some(&required),
            environments: &["sys_platform == 'linux'".to_owned()],
            base: Path::new("/src"),
        })
    };
    let text = written(&more, &resolution).unwrap();
    let lock = read(text.as_bytes(), "pylock.toml").unwrap();
    assert_eq!(lock.requirements.as_deref(), Some(&requirements[..]));
    assert_eq!(
        (lock.created_by.as_str(), &lock.requires_python),
        ("overcoat", &Some(required.clone()))
    );
    let here = choose(&lock, &target("3.11.2", "x86_64"), &[], None).unwrap();
    assert_eq!(here.resolution, resolution);
    let elsewhere = choose(&lock, &target("3.11.2", "aarch64"), &[], None).unwrap();
    assert_eq!(elsewhere.resolution.packages[1].wheel, foreign);
    assert_eq!(text.matches("numpy-1.9").count(), 0);
    assert!(
        text.contains("path = \"wheels/local-1-py3-none-any.whl\""),
        "{text}"
    );
    // The order in which things were found does not show.
    more.values_mut().for_each(|wheels| wheels.reverse());
    let mut shuffled = resolution.clone();
    shuffled.packages.reverse();
    assert_eq!(written(&more, &shuffled).unwrap(), text);
    shuffled.packages[0].wheel.digest = None;
    assert!(matches!(
        written(&BTreeMap::new(), &shuffled),
        Err(Error::NoHash { .. })
    ));
    let empty = read(
        written(&BTreeMap::new(), &Resolution::default())
            .unwrap()
            .as_bytes(),
        "l",
    )
    .unwrap();
    assert!(empty.packages.is_empty());
}
