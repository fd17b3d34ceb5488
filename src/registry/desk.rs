//! A registry in memory that knows uploads as the specification has them: opened, fed in chunks, asked about, completed,
//! deleted. Tests put something unruly before it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::Limits;
use super::ground::Ground;
use super::hostile::{Hostile, Reply, Seen};
use crate::digest::Digest;

#[derive(Default)]
struct State {
    uploads: BTreeMap<usize, Vec<u8>>,
    opened: usize,
    deleted: Vec<usize>,
    blobs: BTreeMap<String, Vec<u8>>,
    /// Bytes of bodies, those of uploads that came to nothing too.
    received: usize,
}

/// The desk at which uploads are handed in, shared with the server.
#[derive(Clone, Default)]
pub(super) struct Desk(Arc<Mutex<State>>);

impl Desk {
    pub(super) fn opened(&self) -> usize {
        self.0.lock().unwrap().opened
    }

    pub(super) fn deleted(&self) -> Vec<usize> {
        self.0.lock().unwrap().deleted.clone()
    }

    /// Uploads that were neither completed nor deleted.
    pub(super) fn left_over(&self) -> usize {
        self.0.lock().unwrap().uploads.len()
    }

    pub(super) fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let state = self.0.lock().unwrap();
        state.blobs.get(&digest.to_string()).cloned()
    }

    pub(super) fn received(&self) -> usize {
        self.0.lock().unwrap().received
    }

    /// Forgets all open uploads.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap().uploads.clear();
    }

    /// Loses the end of every open upload.
    pub(super) fn lose(&self, bytes: usize) {
        for upload in self.0.lock().unwrap().uploads.values_mut() {
            upload.truncate(upload.len().saturating_sub(bytes));
        }
    }

    pub(super) fn serve(&self) -> Hostile {
        let desk = self.clone();
        Hostile::start(move |seen| desk.answer(seen))
    }

    pub(super) fn answer(&self, seen: &Seen) -> Reply {
        if seen.target.contains("/manifests/") {
            return Reply::new(if seen.method == "PUT" { 201 } else { 404 });
        }
        let mut guard = self.0.lock().unwrap();
        let state = &mut *guard;
        let target = seen.target.replace("%3A", ":");
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let number = path.rsplit('/').next().and_then(|last| last.parse().ok());
        let at = |number: usize| format!("/v2/app/blobs/uploads/{number}?_state={number}");
        if seen.method == "POST" {
            state.opened += 1;
            state.uploads.insert(state.opened, Vec::new());
            return Reply::new(202).header("location", at(state.opened));
        }
        let Some(number) = number else {
            let digest = path.rsplit('/').next().unwrap_or_default();
            return match state.blobs.get(digest) {
                Some(bytes) => Reply::new(200).body(bytes.clone()),
                None => Reply::new(404),
            };
        };
        let Some(upload) = state.uploads.get_mut(&number) else {
            return Reply::new(404).body(r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
        };
        let account = |status, upload: &Vec<u8>| {
            let end = upload.len().saturating_sub(1);
            Reply::new(status)
                .header("location", at(number))
                .header("range", format!("0-{end}"))
        };
        match seen.method.as_str() {
            "GET" => account(204, upload),
            "DELETE" => {
                state.uploads.remove(&number);
                state.deleted.push(number);
                Reply::new(204)
            }
            "PATCH" => {
                let range = seen.header("content-range").unwrap_or_default();
                let start = range.split('-').next().unwrap_or_default();
                if start.parse() != Ok(upload.len()) {
                    return account(416, upload);
                }
                state.received += seen.body.len();
                upload.extend_from_slice(&seen.body);
                account(202, upload)
            }
            "PUT" => {
                state.received += seen.body.len();
                upload.extend_from_slice(&seen.body);
                let length: usize = seen.header("content-length").unwrap().parse().unwrap();
                if seen.body.len() < length {
                    // The connection breaks: what has come is kept.
                    return Reply::new(500);
                }
                let wanted = query.split("digest=").nth(1).unwrap_or_default();
                let wanted: Digest = wanted.parse().unwrap();
                if super::pull::digest_of(wanted.algorithm(), upload) != wanted {
                    return Reply::new(400).body(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
                }
                let bytes = state.uploads.remove(&number).unwrap();
                state.blobs.insert(wanted.to_string(), bytes);
                Reply::new(201)
            }
            _ => Reply::new(405),
        }
    }
}

/// One connection: the layer goes first, the configuration after it.
pub(super) fn in_chunks(chunk_bytes: u64) -> Limits {
    Limits {
        chunk_bytes,
        connections: 1,
        ..Limits::default()
    }
}

/// The requests about the layer's upload: all that have a body of more than a configuration's size, or none.
pub(super) fn sent(server: &Hostile) -> Vec<(String, usize)> {
    let seen = server.seen().into_iter();
    let about_layer = seen.filter(|seen| seen.target.contains("/blobs/uploads/"));
    about_layer
        .map(|seen| (seen.method, seen.body.len()))
        .filter(|(_, size)| *size == 0 || *size > 10_000)
        .collect()
}

pub(super) fn is_large(seen: &Seen) -> bool {
    let length = seen.header("content-length").map(str::parse::<usize>);
    matches!(length, Some(Ok(length)) if length > 10_000)
}

pub(super) fn assert_taken(ground: &Ground, desk: &Desk) {
    let taken = desk
        .blob(&ground.blob().digest)
        .expect("the layer is there");
    assert!(taken == ground.layer, "the layer's bytes are others");
    assert_eq!(desk.left_over(), 0);
}
