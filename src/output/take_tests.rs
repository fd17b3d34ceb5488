//! Engines that hand out images, and some that hand out something else.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use super::super::super::samples::{self, Impatient};
use super::super::{Engine, Places};
use super::*;
use crate::event::Silent;
use crate::output::archive::Format;

const NAME: &str = "docker.io/library/app:1";

struct Fake {
    directory: tempfile::TempDir,
    image: Image,
    archive: Vec<u8>,
}

impl Fake {
    fn new(format: Format) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let from = samples::store(&directory.path().join("from"));
        let image = samples::image(&from, "linux/amd64");
        let file = directory.path().join("a.tar");
        let names = ["app:1".to_owned()];
        archive::write(&file, format, &(&image).into(), &names, &from, &Silent).unwrap();
        Self {
            archive: std::fs::read(file).unwrap(),
            directory,
            image,
        }
    }

    fn id(&self) -> &Digest {
        &self.image.config.descriptor.digest
    }

    /// What Docker says of the image.
    fn inspected(&self, id: &str) -> Vec<u8> {
        ok(format!("{{\"Id\":\"{id}\"}}").as_bytes())
    }

    /// Works with an engine that answers each connection with the next of these, until it has no more; also the first line
    /// of each request.
    fn with<T>(&self, answers: Vec<Vec<u8>>, work: impl FnOnce(&Found) -> T) -> (T, Vec<String>) {
        let socket = self.directory.path().join("sock");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let places = Places {
            docker_host: Some(format!("unix://{}", socket.display())),
            ..Places::default()
        };
        let found = Engine::Docker.find(&places).unwrap();
        std::thread::scope(|scope| {
            let server = scope.spawn(move || {
                let serve = |answer: Vec<u8>| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        request.push(byte[0]);
                    }
                    // Who has read enough hangs up.
                    let _ = stream.write_all(&answer);
                    let text = String::from_utf8(request).unwrap();
                    text.lines().next().unwrap().to_owned()
                };
                answers.into_iter().map(serve).collect()
            });
            let done = work(&found);
            (done, server.join().unwrap())
        })
    }

    /// Looks, and takes what is there, into a new store.
    fn fetch(&self, answers: Vec<Vec<u8>>) -> (Result<Option<Image>, Error>, Vec<String>) {
        let into = tempfile::tempdir().unwrap();
        let store = samples::store(into.path());
        self.with(answers, |found| {
            let Some(seen) = found.look(NAME, &store, &Silent)? else {
                return Ok(None);
            };
            let platform = "linux/amd64".parse().unwrap();
            let image = found.take(NAME, &seen, &platform, &store, &Silent)?;
            assert!(store.lacks(&(&image).into()).is_empty());
            Ok(Some(image))
        })
    }
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn ok(body: &[u8]) -> Vec<u8> {
    answer("200 OK", body)
}

#[test]
fn an_image_is_looked_up_by_name_and_taken_by_its_id() {
    for format in [Format::Docker, Format::Both] {
        let fake = Fake::new(format);
        let id = fake.id().to_string();
        let (image, requests) = fake.fetch(vec![fake.inspected(&id), ok(&fake.archive)]);
        let image = image.unwrap().unwrap();
        assert_eq!(image.config.descriptor.digest, *fake.id());
        assert_eq!(
            requests,
            [
                format!("GET /images/{NAME}/json HTTP/1.0"),
                format!("GET /images/{id}/get HTTP/1.0")
            ]
        );
        // Docker does not say how long an archive is.
        let endless = [b"HTTP/1.0 200 OK\r\n\r\n", &fake.archive[..]].concat();
        let (image, _) = fake.fetch(vec![fake.inspected(&id), endless]);
        assert_eq!(image.unwrap().unwrap().config.descriptor.digest, *fake.id());
    }
}

#[test]
fn the_id_may_be_that_of_the_manifest_or_the_layers_those_that_were_said() {
    let fake = Fake::new(Format::Both);
    let manifest = fake.image.digest().to_string();
    let (image, _) = fake.fetch(vec![fake.inspected(&manifest), ok(&fake.archive)]);
    assert_eq!(image.unwrap().unwrap().digest(), fake.image.digest());

    let other = Digest::of(b"podman's own");
    let layers: Vec<_> = fake
        .image
        .layers()
        .map(|(_, id)| id.0.to_string())
        .collect();
    let said = |layers: &[String]| {
        let said = serde_json::json!({ "Id": other.hex(), "RootFS": { "Layers": layers } });
        ok(said.to_string().as_bytes())
    };
    let (image, _) = fake.fetch(vec![said(&layers), ok(&fake.archive)]);
    assert!(image.unwrap().is_some());
    let (image, _) = fake.fetch(vec![said(&layers[..1]), ok(&fake.archive)]);
    let error = image.unwrap_err().to_string();
    assert!(error.contains(other.hex()), "{error}");
}

#[test]
fn no_such_image_is_an_answer() {
    let fake = Fake::new(Format::Docker);
    let (image, requests) = fake.fetch(vec![answer(
        "404 Not Found",
        b"{\"message\":\"No such image\"}",
    )]);
    assert!(image.unwrap().is_none());
    assert_eq!(requests.len(), 1);
}

/// What is wrong, the engine's answers, and words that the reason must have.
type Row<'a> = (&'a str, Vec<Vec<u8>>, &'a [&'a str]);

#[test]
fn what_is_not_the_image_is_refused_with_the_reason() {
    let fake = Fake::new(Format::Docker);
    let id = fake.id().to_string();
    let other = Digest::of(b"another").to_string();
    let inspected = || fake.inspected(&id);
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let long = vec![b' '; 5 << 20];
    let failing = b"{\"message\":\"disk on fire\\u001b[2J\"}";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec();
    let differ = [other.as_str(), id.as_str()];
    let table: Vec<Row<'_>> = vec![
        (
            "an id that is none",
            vec![fake.inspected("../../etc")],
            &["`../../etc` is not the id"],
        ),
        ("no id", vec![ok(b"{}")], &["`` is not the id"]),
        ("no JSON", vec![ok(b"<html>")], &["cannot be understood"]),
        ("too much", vec![ok(&long)], &["more than 4194304 bytes"]),
        ("an error", vec![answer("500 Oh", failing)], &["status 500"]),
        (
            "another image",
            vec![fake.inspected(&other), ok(&fake.archive)],
            &differ,
        ),
        (
            "cut off",
            vec![inspected(), cut(&ok(&fake.archive))],
            &["ended after", "too early"],
        ),
        (
            "cut off unnoticed",
            vec![inspected(), ok(&cut(&fake.archive))],
            &["archive"],
        ),
        ("no archive", vec![inspected(), ok(b"hello")], &["archive"]),
        (
            "no HTTP",
            vec![inspected(), b"SSH-2.0-x\r\n\r\n".to_vec()],
            &["status of HTTP"],
        ),
        (
            "no head",
            vec![inspected(), vec![b'x'; 300 << 10]],
            &["head has no end"],
        ),
        ("chunks", vec![inspected(), chunked], &["chunked"]),
        (
            "a refusal",
            vec![inspected(), answer("500 Oh", failing)],
            &["`docker` does not hand out", "status 500"],
        ),
    ];
    for (what, answers, expected) in table {
        let error = fake.fetch(answers).0.unwrap_err();
        let text = error.to_string();
        for words in expected {
            assert!(text.contains(words), "{what}: {text}");
        }
        let said = error.output().join("\n");
        assert!(!said.contains('\u{1b}'), "{what}: {said:?}");
        assert_eq!(
            !said.is_empty(),
            text.contains("status 500"),
            "{what}: {said}"
        );
    }
}

#[test]
fn whoever_has_had_enough_does_not_wait_for_the_engine() {
    let fake = Fake::new(Format::Docker);
    let into = tempfile::tempdir().unwrap();
    let store = samples::store(into.path());
    let places = Places {
        docker_host: Some(format!(
            "unix://{}",
            fake.directory.path().join("mute").display()
        )),
        ..Places::default()
    };
    // Nobody accepts: the connection waits in the listener's queue.
    let _listener = UnixListener::bind(fake.directory.path().join("mute")).unwrap();
    let found = Engine::Docker.find(&places).unwrap();
    let error = found.look(NAME, &store, &Impatient).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
}
