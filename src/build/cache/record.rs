//! What this machine remembers: by key, the layers that a step made; by application, the inputs of its last build.
//!
//! ```text
//! STORE/cache/steps/KEY.json     {"version", "key", "step", "layers": [{"descriptor", "diff_id", "created_by"}], "made"}
//! STORE/cache/last/SLOT.json     the inputs of every step of the last build of an application
//! ```
//!
//! A record is a promise about blobs, so it is written after them, and believed only while they are here. One that is
//! damaged, foreign, or of another version is as good as none. A file's time is that of its last use
//! ([`crate::build::gc`]).

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::key::{Inputs, Key};
use crate::digest::{Algorithm, DiffId, Digester};
use crate::image::Descriptor;
use crate::image::edit::NewLayer;
use crate::store::BlobStore;

/// The version of the records' format.
const VERSION: u64 = 1;
/// The directory of the cache with one record for each step.
pub(in crate::build) const STEPS: &str = "steps";
/// Larger records are not ours, in bytes.
const MAX_RECORD: u64 = 16 << 20;

/// What a step made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The layers, lowest first; may be none.
    pub layers: Vec<NewLayer>,
    /// When it was made, in seconds since 1970.
    pub made: u64,
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The records of a store.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    store: &'a BlobStore,
}

impl<'a> Records<'a> {
    /// Of this store.
    pub fn new(store: &'a BlobStore) -> Self {
        Self { store }
    }

    fn step_path(&self, key: &Key) -> PathBuf {
        self.store.cache(STEPS).join(format!("{key}.json"))
    }

    fn slot_path(&self, slot: &str) -> PathBuf {
        let name = crate::digest::Digest::of(slot.as_bytes());
        self.store
            .cache("last")
            .join(format!("{}.json", name.hex()))
    }

    /// What the step with this key made, if all of it is still here.
    pub fn find(&self, key: &Key) -> Option<Record> {
        let path = self.step_path(key);
        let record = self.read(&path)?;
        crate::fs::touch(&path);
        Some(record)
    }

    /// The record in a file, if it is whole, has the file's name as its key, and all that it speaks of is here.
    pub(in crate::build) fn read(&self, path: &Path) -> Option<Record> {
        let bytes = crate::fs::read_limited(path, MAX_RECORD).ok()?;
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        let key = path.file_name()?.to_str()?.strip_suffix(".json")?;
        let is_ours = value["version"] == json!(VERSION) && value["key"] == json!(key);
        let layers = value["layers"].as_array().filter(|_| is_ours)?;
        let layers = layers.iter().map(layer).collect::<Option<Vec<_>>>()?;
        let is_here = |layer: &NewLayer| self.store.has(&layer.descriptor);
        layers.iter().all(is_here).then_some(Record {
            layers,
            made: value["made"].as_u64()?,
        })
    }

    /// Remembers what the step with these inputs made.
    ///
    /// # Errors
    /// [`crate::fs::Error`] when it cannot be written.
    pub fn keep(&self, step: &str, key: &Key, record: &Record) -> Result<(), crate::fs::Error> {
        let layers: Vec<Value> = record.layers.iter().map(layer_value).collect();
        let value = json!({
            "version": VERSION, "key": key.to_string(), "step": step, "layers": layers, "made": record.made,
        });
        self.write(self.step_path(key), &value)
    }

    /// The inputs of the last build in this slot; empty when nobody remembers.
    pub fn last(&self, slot: &str) -> Vec<Inputs> {
        let read = || -> Option<Vec<Inputs>> {
            let bytes = crate::fs::read_limited(&self.slot_path(slot), MAX_RECORD).ok()?;
            let mut value: Value = serde_json::from_slice(&bytes).ok()?;
            if value["version"] != json!(VERSION) || value["slot"] != json!(slot) {
                return None;
            }
            serde_json::from_value(value["steps"].take()).ok()
        };
        read().unwrap_or_default()
    }

    /// Remembers the inputs of a build.
    ///
    /// # Errors
    /// As [`Self::keep`].
    pub fn keep_last(&self, slot: &str, steps: &[Inputs]) -> Result<(), crate::fs::Error> {
        if self.last(slot) == steps {
            crate::fs::touch(&self.slot_path(slot));
            return Ok(());
        }
        let value = json!({ "version": VERSION, "slot": slot, "steps": steps });
        self.write(self.slot_path(slot), &value)
    }

    fn write(&self, path: PathBuf, value: &Value) -> Result<(), crate::fs::Error> {
        if let Some(directory) = path.parent() {
            // Names of layers may be telling.
            crate::fs::create_private_dir(&self.store.root().join("cache"))?;
            crate::fs::create_dir_all(directory)?;
        }
        crate::fs::replace(&path, value.to_string().as_bytes())
    }
}

fn layer_value(layer: &NewLayer) -> Value {
    json!({
        "descriptor": layer.descriptor.to_value(),
        "diff_id": layer.diff_id,
        "created_by": layer.created_by,
    })
}

fn layer(value: &Value) -> Option<NewLayer> {
    Some(NewLayer {
        descriptor: descriptor(&value["descriptor"])?,
        diff_id: DiffId(value["diff_id"].as_str()?.parse().ok()?),
        created_by: value["created_by"].as_str()?.to_owned(),
    })
}

fn descriptor(value: &Value) -> Option<Descriptor> {
    let parsed: oci_spec::image::Descriptor = serde_json::from_value(value.clone()).ok()?;
    Descriptor::from_oci(&parsed).ok()
}

/// A slot's name: what one application is on one machine.
pub fn slot(parts: &[&str]) -> String {
    let mut digester = Digester::new(Algorithm::Sha256);
    parts
        .iter()
        .for_each(|part| super::key::frame(&mut digester, part.as_bytes()));
    digester.finish().hex().to_owned()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
