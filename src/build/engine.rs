//! Images that a container engine of this machine has, such as a builder that was made with `docker build`.
//!
//! An engine is asked what it has under a name; only an image that this store has not is exported. What is remembered:
//!
//! ```text
//! STORE/cache/engine/images/HASH.json    {"version", "id", "platform", "manifest"}: an engine's id, and our manifest for it
//! STORE/cache/engine/names/HASH.json     {"version", "name", "id"}: what the engine had last under a name
//! ```
//!
//! The image gets no name in this store: the engine's may mean another image tomorrow.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Error, Tools};
use crate::digest::Digest;
use crate::event::{Observer, stage};
use crate::image::{Descriptor, Image, Platform};
use crate::output::load::{self, Found};
use crate::reference::Reference;
use crate::store::BlobStore;

/// The directory of the cache.
pub(super) const ENGINE: &str = "engine";
/// The version of both formats.
const VERSION: u64 = 1;
/// Larger records are not ours, in bytes.
const MAX_RECORD: u64 = 64 << 10;

/// How a container engine is asked for images.
#[derive(Clone, Debug)]
pub enum EngineAccess {
    /// It is asked each time.
    Asked(Found),
    /// It was asked a moment ago by the process that started this one inside a user namespace, where the engine may not
    /// answer: what it said then is believed.
    Remembered,
}

/// What an engine has to say about a name.
#[derive(Debug)]
pub(super) enum Answer {
    /// The image.
    Has(Box<Image>),
    /// It has none for this platform.
    HasNone,
    /// It cannot be asked; why not.
    Silent(String),
}

/// Looks for an image in the engine, and brings it into `store` if it is not there.
///
/// # Errors
/// [`Error::Engine`] when the engine has it and it cannot be taken, [`Error::Interrupted`].
pub(super) fn find(
    reference: &Reference,
    platform: &Platform,
    tools: &Tools<'_>,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Answer, Error> {
    let Some(access) = &tools.engine else {
        return Ok(Answer::HasNone);
    };
    let name = reference.to_string();
    let found = match access {
        EngineAccess::Remembered => {
            let remembered = remembered(tools.store, &name);
            let image = remembered.and_then(|id| known(tools.store, &id, platform));
            return Ok(image.map_or(Answer::HasNone, for_platform(platform)));
        }
        EngineAccess::Asked(found) => found,
    };
    let seen = match found.look(&name, store, observer) {
        Ok(Some(seen)) => seen,
        Ok(None) => {
            forget(tools.store, &name);
            return Ok(Answer::HasNone);
        }
        Err(load::Error::Interrupted) => return Err(Error::Interrupted),
        Err(error) => {
            forget(tools.store, &name);
            return Ok(Answer::Silent(error.to_string()));
        }
    };
    let id = &seen.id;
    if let Some(image) = known(tools.store, id, platform) {
        remember_name(tools.store, &name, id)?;
        return Ok(for_platform(platform)(image));
    }
    let engine = found.engine();
    let taking = stage(observer, "take", format!("{name} from {engine}"));
    let image = found
        .take(&name, &seen, platform, store, observer)
        .map_err(|error| match error {
            load::Error::Interrupted => Error::Interrupted,
            error => Error::Engine(error),
        })?;
    if std::ptr::eq(store, tools.store) {
        remember(store, id, platform, &image)?;
        remember_name(store, &name, id)?;
    }
    taking.finish(image.digest().to_string());
    Ok(for_platform(platform)(image))
}

fn for_platform(platform: &Platform) -> impl Fn(Image) -> Answer + '_ {
    move |image| match image.config.parsed.platform().satisfies(platform) {
        true => Answer::Has(Box::new(image)),
        false => Answer::HasNone,
    }
}

fn image_record(store: &BlobStore, id: &Digest, platform: &Platform) -> PathBuf {
    let name = Digest::of(format!("{id} {platform}").as_bytes());
    let file = format!("{}.json", name.hex());
    store.cache(ENGINE).join("images").join(file)
}

fn name_record(store: &BlobStore, name: &str) -> PathBuf {
    let file = format!("{}.json", Digest::of(name.as_bytes()).hex());
    store.cache(ENGINE).join("names").join(file)
}

fn read(path: &Path) -> Option<Value> {
    let bytes = crate::fs::read_limited(path, MAX_RECORD).ok()?;
    let value: Value = serde_json::from_slice(&bytes).ok()?;
    (value["version"] == json!(VERSION)).then_some(value)
}

fn write(store: &BlobStore, path: &Path, value: &Value) -> Result<(), crate::fs::Error> {
    if let Some(directory) = path.parent() {
        crate::fs::create_private_dir(&store.root().join("cache"))?;
        crate::fs::create_dir_all(directory)?;
    }
    crate::fs::replace(path, value.to_string().as_bytes())
}

/// Our image for an engine's id, if all of it is here.
fn known(store: &BlobStore, id: &Digest, platform: &Platform) -> Option<Image> {
    let path = image_record(store, id, platform);
    let value = read(&path)?;
    let is_meant =
        value["id"] == json!(id.to_string()) && value["platform"] == json!(platform.to_string());
    let manifest = descriptor(&value["manifest"]).filter(|_| is_meant)?;
    let image = store.image(&manifest).ok()?;
    if !store.lacks(&(&image).into()).is_empty() {
        return None;
    }
    crate::fs::touch(&path);
    Some(image)
}

fn remember(
    store: &BlobStore,
    id: &Digest,
    platform: &Platform,
    image: &Image,
) -> Result<(), crate::fs::Error> {
    let value = json!({
        "version": VERSION, "id": id.to_string(), "platform": platform.to_string(),
        "manifest": image.manifest.descriptor.to_value(),
    });
    write(store, &image_record(store, id, platform), &value)
}

fn remembered(store: &BlobStore, name: &str) -> Option<Digest> {
    let value = read(&name_record(store, name))?;
    (value["name"] == json!(name))
        .then(|| value["id"].as_str()?.parse().ok())
        .flatten()
}

fn remember_name(store: &BlobStore, name: &str, id: &Digest) -> Result<(), crate::fs::Error> {
    let path = name_record(store, name);
    if remembered(store, name).as_ref() == Some(id) {
        crate::fs::touch(&path);
        return Ok(());
    }
    let value = json!({ "version": VERSION, "name": name, "id": id.to_string() });
    write(store, &path, &value)
}

fn forget(store: &BlobStore, name: &str) {
    // What cannot be removed is replaced when the engine has an image of this name again.
    let _ = std::fs::remove_file(name_record(store, name));
}

fn descriptor(value: &Value) -> Option<Descriptor> {
    let parsed: oci_spec::image::Descriptor = serde_json::from_value(value.clone()).ok()?;
    Descriptor::from_oci(&parsed).ok()
}

/// What a record keeps from being garbage: the blobs of its image. `None` for a record that is of no use to anybody.
pub(super) fn reached(store: &BlobStore, path: &Path) -> Option<Vec<Descriptor>> {
    let value = read(path)?;
    if value.get("name").is_some() {
        return Some(Vec::new());
    }
    let image = store.image(&descriptor(&value["manifest"])?).ok()?;
    let documents = [
        image.manifest.descriptor.clone(),
        image.config.descriptor.clone(),
    ];
    let layers = image.layers().map(|(layer, _)| layer.clone());
    Some(documents.into_iter().chain(layers).collect())
}
