use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use serde_json::json;

use super::super::test_requests;
use super::*;
use crate::builder_image::labels;
use crate::event::Silent;

const ALL: [Script; 3] = [Script::Assemble, Script::Run, Script::SaveArtifacts];

struct Case {
    directory: tempfile::TempDir,
    builder: BuilderImage,
}

impl Case {
    /// A source with these files, and a builder image with this scripts URL.
    fn new(files: &[&str], builders: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in files {
            write(&directory.path().join("source").join(name), "source");
        }
        std::fs::create_dir_all(directory.path().join("source")).unwrap();
        let config = match builders {
            Some(url) => json!({ "Labels": { labels::SCRIPTS_URL: url } }),
            None => json!({}),
        };
        Self {
            directory,
            builder: test_requests::builder(&config),
        }
    }

    fn find(&self, url: Option<&str>) -> Result<Scripts, Error> {
        let source = self.directory.path().join("source");
        let source = crate::source::local::read(&source, &Default::default(), &Silent).unwrap();
        let search = Search {
            url,
            source: &source,
            builder: &self.builder,
            wanted: &ALL,
            needs_one: true,
            scratch: self.directory.path().join("scratch"),
            http: &|| Http::new(&http::Settings::default()).map(Arc::new),
        };
        search.run(&Silent)
    }

    /// Where each script comes from: `image:PATH`, `source:PATH`, the content of a file, or nothing.
    fn places(&self, url: Option<&str>) -> [String; 3] {
        let found = self.find(url).unwrap();
        ALL.map(|script| match found.get(script) {
            None => String::new(),
            Some(Found::Image(path)) => format!("image:{path}"),
            Some(Found::Source(path)) => format!("source:{path}"),
            Some(Found::File { path, .. }) => std::fs::read_to_string(path).unwrap(),
        })
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A server with these documents, each of which says its own path; everything else is answered with `other`.
fn server(paths: &'static [&'static str], other: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let count = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..count]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let answer = match paths.contains(&path) {
                true => format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}",
                    path.len()
                ),
                false => {
                    format!("HTTP/1.1 {other}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                }
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

/// Cases 65, 74.
#[test]
fn a_base_url_and_a_name_make_the_url_of_a_script() {
    let url = server(&["/s2i/assemble", "/s2i/run"], "404 Not Found");
    let case = Case::new(&["app.py"], None);
    assert_eq!(
        case.places(Some(&format!("{url}/s2i"))),
        ["/s2i/assemble", "/s2i/run", ""]
    );
}

/// Cases 67, 69, 72, 73 and M40: each script by itself, the first place that has it.
#[test]
fn every_script_is_looked_for_by_itself() {
    let url = server(&["/run"], "404 Not Found");
    let image = Case::new(&[], Some("image:///usr/libexec/s2i"));
    assert_eq!(
        image.places(Some(&url)),
        [
            "image:/usr/libexec/s2i/assemble",
            "/run",
            "image:/usr/libexec/s2i/save-artifacts"
        ]
    );
    let builders: &'static str = server(&["/b/save-artifacts"], "404 Not Found").leak();
    let builders = format!("{builders}/b");
    let source = Case::new(&[".s2i/bin/assemble"], Some(&builders));
    assert_eq!(
        source.places(Some(&url)),
        ["source:.s2i/bin/assemble", "/run", "/b/save-artifacts"]
    );
    let only_run = tempfile::tempdir().unwrap();
    write(&only_run.path().join("run"), "mine");
    let file = format!("file://{}", only_run.path().display());
    assert_eq!(
        image.places(Some(&file)),
        [
            "image:/usr/libexec/s2i/assemble",
            "mine",
            "image:/usr/libexec/s2i/save-artifacts"
        ]
    );
}

/// Case 68.
#[test]
fn the_older_directory_of_a_source_counts_too() {
    let case = Case::new(
        &[".s2i/bin/assemble", ".sti/bin/run", ".s2i/bin/usage"],
        None,
    );
    assert_eq!(
        case.places(None),
        ["source:.s2i/bin/assemble", "source:.sti/bin/run", ""]
    );
    let found = case.find(None).unwrap();
    assert!(found.takes(b".sti/bin/run") && !found.takes(b".s2i/bin/usage"));
}

/// Cases 77, 82, 84 to 88: where a script is run.
#[test]
fn uploaded_scripts_run_below_the_destination_and_others_where_they_are() {
    let case = Case::new(&[".s2i/bin/run"], Some("image:///opt/bin/"));
    let found = case.find(None).unwrap();
    let path = |script| found.path(script, "/opt/sti");
    assert_eq!(path(Script::Assemble).as_deref(), Some("/opt/bin/assemble"));
    assert_eq!(path(Script::Run).as_deref(), Some("/opt/sti/scripts/run"));
    let image = case.find(Some("image://my/bin")).unwrap();
    assert_eq!(
        image.path(Script::Run, "/tmp").as_deref(),
        Some("/my/bin/run")
    );
}

/// Cases 66, 70, 71, 75, 76, 78, 181, 183.
#[test]
fn places_without_scripts_are_told_with_the_reason_for_each() {
    let empty = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let failing = server(&[], "500 Internal Server Error");
    let rows = [
        (format!("file://{}", empty.path().display()), "no such file"),
        (failing.replace("http://", "http://user:hunter2@"), "500"),
        (format!("http://{closed}"), "refused"),
        ("../invalid-url".to_owned(), "no URL"),
        ("ftp://example.com/s".to_owned(), "not understood"),
    ];
    for (url, expected) in rows {
        let case = Case::new(&[".s2i/bin/assemble"], Some("image:///usr/libexec/s2i"));
        let error = case.find(Some(&url)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert_eq!(Case::new(&[], None).places(None), ["", "", ""]);
}

/// A named difference: s2i reads whatever file the image names.
#[test]
fn an_image_does_not_say_which_files_of_this_machine_are_read() {
    let here = tempfile::tempdir().unwrap();
    for script in ALL {
        write(&here.path().join(script.name()), "of this machine");
    }
    let url = format!("file://{}", here.path().display());
    assert_eq!(Case::new(&[], Some(&url)).places(None), ["", "", ""]);
    assert_eq!(
        Case::new(&[], None).places(Some(&url)),
        ["of this machine"; 3]
    );
}
