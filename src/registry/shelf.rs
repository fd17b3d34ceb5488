//! A registry in memory that keeps the rules: what is pushed can be pulled, a manifest needs its blobs. Tests look at
//! what was asked of it, and take things away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::hostile::{Hostile, Reply, Seen};
use crate::digest::Digest;

type Documents = BTreeMap<(String, String), (String, Vec<u8>)>;

#[derive(Default)]
struct State {
    /// By repository and digest.
    blobs: BTreeMap<(String, String), Vec<u8>>,
    /// Media type and bytes by repository and tag or digest.
    manifests: Documents,
    /// Digests that every HEAD is told to be there.
    claimed: BTreeSet<String>,
}

/// What is in the registry, shared with the server.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<State>>);

impl Shelf {
    pub(super) fn put(&self, repository: &str, bytes: &[u8]) {
        let key = (repository.to_owned(), Digest::of(bytes).to_string());
        self.0.lock().unwrap().blobs.insert(key, bytes.to_vec());
    }

    pub(super) fn put_manifest(&self, repository: &str, name: &str, kind: &str, bytes: &[u8]) {
        let key = |name: &str| (repository.to_owned(), name.to_owned());
        let value = (kind.to_owned(), bytes.to_vec());
        let manifests = &mut self.0.lock().unwrap().manifests;
        manifests.insert(key(&Digest::of(bytes).to_string()), value.clone());
        manifests.insert(key(name), value);
    }

    /// Takes a blob away; `claimed` says whether HEAD goes on as if it were there.
    pub(super) fn lose(&self, digest: &Digest, claimed: bool) {
        let mut state = self.0.lock().unwrap();
        let digest = digest.to_string();
        state.blobs.retain(|(_, have), _| *have != digest);
        if claimed {
            state.claimed.insert(digest);
        }
    }

    pub(super) fn has(&self, repository: &str, digest: &Digest) -> bool {
        let key = (repository.to_owned(), digest.to_string());
        self.0.lock().unwrap().blobs.contains_key(&key)
    }

    pub(super) fn manifest(&self, repository: &str, name: &str) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), name.to_owned());
        let state = self.0.lock().unwrap();
        state.manifests.get(&key).map(|(_, bytes)| bytes.clone())
    }

    /// A server with these shelves.
    pub(super) fn serve(&self) -> Hostile {
        let shelf = self.clone();
        Hostile::start(move |seen| shelf.answer(seen))
    }

    pub(super) fn answer(&self, seen: &Seen) -> Reply {
        let target = seen.target.replace("%3A", ":").replace("%2F", "/");
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query: BTreeMap<&str, &str> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let Some(path) = path.strip_prefix("/v2/") else {
            return Reply::new(404);
        };
        if let Some((repository, name)) = path.split_once("/manifests/") {
            return self.on_manifest(seen, repository, name);
        }
        let Some((repository, rest)) = path.split_once("/blobs/") else {
            return Reply::new(404);
        };
        let mut state = self.0.lock().unwrap();
        let key = |repository: &str, digest: &str| (repository.to_owned(), digest.to_owned());
        match seen.method.as_str() {
            "HEAD" if state.claimed.contains(rest) => Reply::new(200),
            "HEAD" | "GET" => match state.blobs.get(&key(repository, rest)) {
                Some(bytes) => Reply::new(200).body(bytes.clone()),
                None => refusal(404, "BLOB_UNKNOWN"),
            },
            "POST" => {
                let mounted = query.get("mount").and_then(|digest| {
                    let from = query.get("from")?;
                    let bytes = state.blobs.get(&key(from, digest))?.clone();
                    Some((digest.to_string(), bytes))
                });
                match mounted {
                    Some((digest, bytes)) => {
                        state.blobs.insert(key(repository, &digest), bytes);
                        Reply::new(201)
                    }
                    None => Reply::new(202).header(
                        "location",
                        format!("/v2/{repository}/blobs/uploads/1?_state=x"),
                    ),
                }
            }
            "PUT" if query.get("digest") == Some(&&*Digest::of(&seen.body).to_string()) => {
                let digest = Digest::of(&seen.body).to_string();
                state
                    .blobs
                    .insert(key(repository, &digest), seen.body.clone());
                Reply::new(201)
            }
            _ => refusal(400, "DIGEST_INVALID"),
        }
    }

    fn on_manifest(&self, seen: &Seen, repository: &str, name: &str) -> Reply {
        let state = self.0.lock().unwrap();
        let key = |name: &str| (repository.to_owned(), name.to_owned());
        if seen.method == "GET" {
            return match state.manifests.get(&key(name)) {
                Some((kind, bytes)) => Reply::new(200)
                    .header("content-type", kind.clone())
                    .header("docker-content-digest", Digest::of(bytes).to_string())
                    .body(bytes.clone()),
                None => refusal(404, "MANIFEST_UNKNOWN"),
            };
        }
        let document: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        let list = |field: &str| document[field].as_array().cloned().unwrap_or_default();
        let digest = |value: &serde_json::Value| value["digest"].as_str().map(str::to_owned);
        let blobs = list("layers")
            .into_iter()
            .chain([document["config"].clone()]);
        let has_blobs = blobs
            .filter_map(|blob| digest(&blob))
            .all(|digest| state.blobs.contains_key(&key(&digest)));
        let has_manifests = list("manifests")
            .iter()
            .filter_map(digest)
            .all(|digest| state.manifests.contains_key(&key(&digest)));
        drop(state);
        if !has_blobs || !has_manifests {
            return refusal(400, "MANIFEST_BLOB_UNKNOWN");
        }
        let kind = seen.header("content-type").unwrap_or_default();
        self.put_manifest(repository, name, kind, &seen.body);
        Reply::new(201)
    }
}

fn refusal(status: u16, code: &str) -> Reply {
    Reply::new(status).body(format!(
        r#"{{"errors":[{{"code":"{code}","message":"?"}}]}}"#
    ))
}

/// `METHOD path`, with digests cut and queries left out, in the order of arrival.
pub(super) fn requests(server: &Hostile) -> Vec<String> {
    let line = |seen: &Seen| {
        let path = seen.target.split('?').next().unwrap_or_default();
        let path = match path.split_once("sha256:") {
            Some((path, _)) => path,
            None => path,
        };
        format!("{} {path}", seen.method)
    };
    server.seen().iter().map(line).collect()
}
