use serde_json::{Value, json};

use super::*;

fn report() -> Value {
    json!({
        "implementation": "cpython",
        "version": "3.12.4",
        "free_threaded": false,
        "machine": "x86_64",
        "libc": "glibc 2.36",
        "executable": "/opt/pyenv/versions/3.12.4/bin/python",
        "purelib": "/opt/pyenv/versions/3.12.4/lib/python3.12/site-packages",
        "platlib": "/opt/pyenv/versions/3.12.4/lib/python3.12/site-packages",
        "scripts": "/opt/pyenv/versions/3.12.4/bin",
        "data": "/opt/pyenv/versions/3.12.4",
        "headers": "/opt/pyenv/versions/3.12.4/include/python3.12",
        "is_venv": false,
        "is_managed": false,
        "is_plain": true,
        "uid": 1000,
        "gid": 1000,
        "owner": [1000, 1000, 0o755],
        "installed": [["pip", "24.0"], ["Flask_Thing", "1.0"], [null, null], ["x", "no version"]],
    })
}

fn with(key: &str, value: Value) -> Result<Detected, Error> {
    let mut report = report();
    report[key] = value;
    read(report.to_string().as_bytes())
}

#[test]
fn a_report_becomes_a_target() {
    let found = with("machine", json!("x86_64")).unwrap();
    assert_eq!(found.provenance, Provenance::Probe);
    assert!(found.is_installed_complete);
    let target = found.target;
    assert!(
        target
            .tags
            .contains(&"cp312-cp312-manylinux_2_36_x86_64".to_owned())
    );
    let installed: Vec<String> = target
        .installed
        .iter()
        .map(|(name, version)| format!("{name}=={version}"))
        .collect();
    assert_eq!(installed, ["flask-thing==1.0", "pip==24.0"]);
    let layout = target.layout;
    assert_eq!((layout.uid, layout.gid, layout.umask), (1000, 1000, 0o022));
    assert_eq!(
        layout.headers.to_string(),
        "/opt/pyenv/versions/3.12.4/include/python3.12"
    );
}

#[test]
fn what_belongs_to_somebody_else_is_installed_by_root() {
    let layout = with("owner", json!([0, 0, 0o775])).unwrap().target.layout;
    assert_eq!((layout.uid, layout.gid, layout.umask), (0, 0, 0o022));
    let layout = with("owner", json!([1000, 1000, 0o775]))
        .unwrap()
        .target
        .layout;
    assert_eq!((layout.uid, layout.umask), (1000, 0o002));
}

#[test]
fn headers_of_a_virtual_environment_have_a_place_of_their_own() {
    let layout = with("is_venv", json!(true)).unwrap().target.layout;
    assert_eq!(
        layout.headers.to_string(),
        "/opt/pyenv/versions/3.12.4/include/site/python3.12"
    );
}

#[test]
fn what_cannot_be_served_is_told() {
    for (key, value, word) in [
        ("implementation", json!("pypy"), "pypy"),
        ("is_managed", json!(true), "virtual environment"),
        (
            "platlib",
            json!("/usr/lib64/python3.12/site-packages"),
            "apart",
        ),
        ("is_plain", json!(false), "behind a link"),
        ("libc", json!(null), "C library"),
        ("libc", json!("bionic 21"), "C library"),
        ("version", json!("nonsense"), "version"),
        ("version", json!("2.7.18"), "not a release of CPython 3"),
        ("purelib", json!(7), "no report"),
        ("scripts", json!("/opt/../etc"), "`/opt/../etc`"),
    ] {
        let error = with(key, value.clone()).unwrap_err().to_string();
        assert!(error.contains(word), "{key}={value}: {error}");
    }
    assert!(read(b"").is_err());
}

#[test]
fn musl_s_third_number_plays_no_part() {
    assert_eq!(libc("musl 1.2.4"), Libc::musl(1, 2));
    assert_eq!(libc("glibc 2.36"), Libc::glibc(2, 36));
    assert_eq!(libc("glibc"), None);
}
