//! Package indexes against the public one. Needs the network.

use std::path::Path;
use std::time::{Duration, SystemTime};

use overcoat::event::Silent;
use overcoat::http::{Http, Settings};
use overcoat::python::index::{Caches, Index, IndexSettings, Refresh};

fn http() -> Http {
    let certificates = std::fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap();
    Http::new(&Settings {
        certificates,
        ..Settings::default()
    })
    .unwrap()
}

fn index<'a>(http: &'a Http, directory: &Path) -> Index<'a> {
    let caches = Caches {
        pypi: directory.join("pypi"),
        wheels: directory.join("wheels"),
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let settings = IndexSettings::default();
    Index::new(http, &settings, caches, now, Refresh::WhenStale).unwrap()
}

#[test]
fn network_pypi_has_flask_its_metadata_and_its_wheel() {
    let directory = tempfile::tempdir().unwrap();
    let http = http();
    let index = index(&http, directory.path());
    let flask = "flask".parse().unwrap();
    let project = index.project(&flask, &Silent).unwrap();
    let mut files = project.files.iter();
    let file = files
        .find(|file| file.filename == "flask-3.1.1-py3-none-any.whl")
        .unwrap();
    let metadata = index.metadata(file, &Silent).unwrap();
    let required: Vec<&str> = metadata
        .requires_dist
        .iter()
        .map(|requirement| requirement.name.as_ref())
        .collect();
    assert!(required.contains(&"werkzeug") && required.contains(&"asgiref"));
    let wheel = file.wheel().unwrap();
    let local = index.fetch(std::slice::from_ref(&wheel), &Silent).unwrap();
    assert_eq!(Some(&local[0].digest), wheel.digest.as_ref());
    // What the end of the wheel said is what the whole wheel says.
    let again = self::index(&http, &directory.path().join("other"));
    let mut wheel = wheel;
    wheel.url = format!("file://{}", local[0].path.display());
    let whole = again
        .metadata_of(&wheel, &Default::default(), &Silent)
        .unwrap();
    assert_eq!(whole, metadata);
}
