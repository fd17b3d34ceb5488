//! A container engine for tests: a socket that hands out one image.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::engine::EngineAccess;
use crate::event::Silent;
use crate::image::edit::{Changes, NewLayer, from_scratch};
use crate::image::{Descriptor, Image, Platform, media_type};
use crate::output::archive::{self, Format};
use crate::output::load::{Engine, Places};
use crate::store::BlobStore;

/// What the engine has now, and what it was asked.
#[derive(Default)]
pub(super) struct State {
    /// A name in full, the image's id, and its archive.
    pub(super) has: Option<(String, String, Vec<u8>)>,
    /// First lines of requests.
    pub(super) requests: Vec<String>,
}

/// A small image, made in `store`.
pub(super) fn image(store: &BlobStore, text: &str) -> Image {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(text.len() as u64);
    builder
        .append_data(&mut header, "file", text.as_bytes())
        .unwrap();
    let tar = builder.into_inner().unwrap();
    let descriptor = Descriptor::of(media_type::OCI_LAYER, &tar);
    store.put(&descriptor, &tar).unwrap();
    let layer = NewLayer {
        diff_id: crate::digest::DiffId(descriptor.digest.clone()),
        descriptor,
        created_by: "test".to_owned(),
    };
    let image = from_scratch(&Platform::host(), &[layer], &Changes::default()).unwrap();
    store.put_documents(&image).unwrap();
    image
}

/// Starts it below `directory`; it lives as long as the test's process.
pub(super) fn start(directory: &Path) -> (EngineAccess, Arc<Mutex<State>>) {
    let socket = directory.join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let state = Arc::new(Mutex::new(State::default()));
    let shared = Arc::clone(&state);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            let _ = lines.find(String::is_empty);
            let mut state = shared.lock().unwrap();
            state.requests.push(first.clone());
            let path = first.split(' ').nth(1).unwrap();
            let (status, body) = match &state.has {
                Some((name, id, _)) if path == format!("/images/{name}/json") => {
                    ("200 OK", json!({ "Id": id }).to_string().into_bytes())
                }
                Some((_, id, bytes)) if path == format!("/images/{id}/get") => {
                    ("200 OK", bytes.clone())
                }
                _ => ("404 Not Found", b"{\"message\":\"No such image\"}".to_vec()),
            };
            let _ = (&stream).write_all(format!("HTTP/1.0 {status}\r\n\r\n").as_bytes());
            let _ = (&stream).write_all(&body);
        }
    });
    let places = Places {
        docker_host: Some(format!("unix://{}", socket.display())),
        ..Places::default()
    };
    (
        EngineAccess::Asked(Engine::Docker.find(&places).unwrap()),
        state,
    )
}

/// Gives the engine an image with this text, as `docker build` would; the image's id.
pub(super) fn give(state: &Mutex<State>, directory: &Path, name: &str, text: &str) -> String {
    let place = tempfile::tempdir_in(directory).unwrap();
    let store = BlobStore::open(&place.path().join("store")).unwrap();
    let image = image(&store, text);
    let file = place.path().join("a.tar");
    let content = (&image).into();
    archive::write(
        &file,
        Format::Docker,
        &content,
        &[name.to_owned()],
        &store,
        &Silent,
    )
    .unwrap();
    let id = image.config.descriptor.digest.to_string();
    let bytes = std::fs::read(file).unwrap();
    state.lock().unwrap().has = Some((name.to_owned(), id.clone(), bytes));
    id
}
