//! Changing images: a new image from an old one. Nothing is written here; nothing old is touched.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Descriptor, Error, Image, ImageConfiguration, ImageIndex, Index, Manifest, Raw, media_type,
};
use crate::digest::DiffId;

/// A layer to put on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLayer {
    /// The compressed blob.
    pub descriptor: Descriptor,
    /// The digest of the tar inside.
    pub diff_id: DiffId,
    /// What made it, for `history`.
    pub created_by: String,
}

/// What to change in the configuration; what is not mentioned stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Variables to set, in order; one that exists keeps its place and gets the new value.
    pub environment: Vec<(String, String)>,
    /// Labels to set.
    pub labels: BTreeMap<String, String>,
    /// The new command.
    pub command: Option<Vec<String>>,
    /// The new entry point; `Some` of nothing removes it.
    pub entrypoint: Option<Vec<String>>,
    /// The new user.
    pub user: Option<String>,
    /// The new working directory.
    pub working_directory: Option<String>,
    /// Ports to expose, as `8080/tcp`.
    pub exposed_ports: Vec<String>,
    /// Directories that are volumes.
    pub volumes: Vec<String>,
    /// The signal that asks the process to end.
    pub stop_signal: Option<String>,
    /// True when the base image's ONBUILD triggers have been carried out.
    pub are_triggers_spent: bool,
    /// The time of creation (RFC 3339) of the image and of its new history entries.
    pub created: String,
    /// Who made the new history entries.
    pub author: String,
    /// Annotations of the new manifest. A base image's annotations speak of the base image and are not taken over.
    pub annotations: BTreeMap<String, String>,
}

/// A new image: `base` with `layers` on top and `changes` made. It is an OCI image also when the base is one of
/// Docker's: the blobs are the same, only their media types are spelled as OCI spells them, for the two families
/// must not be mixed in one manifest.
///
/// # Errors
/// [`Error::Layers`] when the base's manifest and configuration disagree about the number of layers.
///
/// # Spec
/// OCI image-spec `config.md` (`history` has one non-empty entry for each layer) and `manifest.md`.
pub fn append(base: &Image, layers: &[NewLayer], changes: &Changes) -> Result<Image, Error> {
    let mut config = base.config.parsed.value().clone();
    let document = object(&mut config);
    document.insert("created".into(), json!(changes.created));
    let diff_ids = layers.iter().map(|layer| json!(layer.diff_id));
    array(entry_object(document, "rootfs"), "diff_ids").extend(diff_ids);
    let history = array(document, "history");
    explain_unmentioned(history, base.manifest.parsed.layers.len());
    history.extend(layers.iter().map(|layer| history_entry(layer, changes)));
    change_config(entry_object(document, "config"), changes);

    let base_layers = base.manifest.parsed.layers.iter().map(|layer| Descriptor {
        media_type: media_type::oci_layer(&layer.media_type).to_owned(),
        annotations: BTreeMap::new(),
        ..layer.clone()
    });
    let new_layers = layers.iter().map(|layer| layer.descriptor.clone());
    assemble(
        config,
        base_layers.chain(new_layers).collect(),
        &changes.annotations,
    )
}

/// A new image from nothing but a configuration's fixed part; for recipes.
///
/// # Errors
/// As [`append`].
pub fn from_scratch(
    platform: &super::Platform,
    layers: &[NewLayer],
    changes: &Changes,
) -> Result<Image, Error> {
    let mut config = json!({
        "created": changes.created,
        "os": platform.os,
        "architecture": platform.architecture,
        "config": {},
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| json!(layer.diff_id)).collect::<Vec<_>>(),
        },
        "history": layers.iter().map(|layer| history_entry(layer, changes)).collect::<Vec<_>>(),
    });
    if let Some(variant) = &platform.variant {
        config["variant"] = json!(variant);
    }
    change_config(entry_object(object(&mut config), "config"), changes);
    let layers = layers
        .iter()
        .map(|layer| layer.descriptor.clone())
        .collect();
    assemble(config, layers, &changes.annotations)
}

/// A new index of images for several platforms. Its entries are in the order of their platforms as text, so that the
/// order in which they were asked for or made does not change the digest.
///
/// # Errors
/// [`Error::SamePlatform`] when two images are for one platform.
///
/// # Spec
/// OCI image-spec `image-index.md`.
pub fn index(
    mut images: Vec<Image>,
    annotations: &BTreeMap<String, String>,
) -> Result<ImageIndex, Error> {
    images.sort_by_cached_key(|image| image.config.parsed.platform().to_string());
    for pair in images.windows(2) {
        let platform = pair[0].config.parsed.platform();
        if platform == pair[1].config.parsed.platform() {
            return Err(Error::SamePlatform { platform });
        }
    }
    let entries = images.iter().map(|image| {
        let mut entry = image.manifest.descriptor.clone();
        entry.platform = Some(image.config.parsed.platform());
        entry.to_value()
    });
    let mut document = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": entries.collect::<Vec<_>>(),
    });
    if !annotations.is_empty() {
        document["annotations"] = json!(annotations);
    }
    let bytes = document.to_string().into_bytes();
    let index = Raw {
        descriptor: Descriptor::of(media_type::OCI_INDEX, &bytes),
        parsed: Index::parse(&bytes)?,
        bytes,
    };
    ImageIndex::new(index, images)
}

fn assemble(
    config: Value,
    layers: Vec<Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Result<Image, Error> {
    let config_bytes = config.to_string().into_bytes();
    let config_descriptor = Descriptor::of(media_type::OCI_CONFIG, &config_bytes);
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": config_descriptor.to_value(),
        "layers": layers.iter().map(Descriptor::to_value).collect::<Vec<_>>(),
    });
    if !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
    let manifest_bytes = manifest.to_string().into_bytes();
    let manifest = Raw {
        descriptor: Descriptor::of(media_type::OCI_MANIFEST, &manifest_bytes),
        parsed: Manifest::parse(&manifest_bytes)?,
        bytes: manifest_bytes,
    };
    let config = Raw {
        descriptor: config_descriptor,
        parsed: ImageConfiguration::from_value(config)?,
        bytes: config_bytes,
    };
    Image::new(manifest, config)
}

fn change_config(config: &mut Map<String, Value>, changes: &Changes) {
    let environment = array(config, "Env");
    for (name, value) in &changes.environment {
        set_variable(environment, name, value);
    }
    if environment.is_empty() {
        config.remove("Env");
    }
    if !changes.labels.is_empty() {
        let labels = entry_object(config, "Labels");
        labels.extend(
            changes
                .labels
                .iter()
                .map(|(key, value)| (key.clone(), json!(value))),
        );
    }
    if !changes.exposed_ports.is_empty() {
        let ports = entry_object(config, "ExposedPorts");
        ports.extend(
            changes
                .exposed_ports
                .iter()
                .map(|port| (port.clone(), json!({}))),
        );
    }
    if !changes.volumes.is_empty() {
        let volumes = entry_object(config, "Volumes");
        volumes.extend(changes.volumes.iter().map(|path| (path.clone(), json!({}))));
    }
    if let Some(signal) = &changes.stop_signal {
        config.insert("StopSignal".into(), json!(signal));
    }
    if changes.are_triggers_spent {
        config.remove("OnBuild");
    }
    if let Some(command) = &changes.command {
        match command.is_empty() && changes.are_triggers_spent {
            true => drop(config.remove("Cmd")),
            false => drop(config.insert("Cmd".into(), json!(command))),
        }
        // Docker sets this beside a command line it escaped for Windows; it speaks of the old command.
        config.remove("ArgsEscaped");
    }
    match &changes.entrypoint {
        Some(entrypoint) if entrypoint.is_empty() => drop(config.remove("Entrypoint")),
        Some(entrypoint) => drop(config.insert("Entrypoint".into(), json!(entrypoint))),
        None => {}
    }
    if let Some(user) = &changes.user {
        config.insert("User".into(), json!(user));
    }
    if let Some(directory) = &changes.working_directory {
        config.insert("WorkingDir".into(), json!(directory));
    }
}

/// Sets `NAME=value` in an image environment, in place when the name is there (its last mention counts).
fn set_variable(environment: &mut Vec<Value>, name: &str, value: &str) {
    let line = json!(format!("{name}={value}"));
    let mentions = |item: &Value| {
        let text = item.as_str().unwrap_or_default();
        text.split('=').next() == Some(name)
    };
    match environment.iter().position(mentions) {
        Some(first) => {
            environment[first] = line;
            let mut index = 0;
            environment.retain(|item| {
                index += 1;
                index - 1 <= first || !mentions(item)
            });
        }
        None => environment.push(line),
    }
}

fn history_entry(layer: &NewLayer, changes: &Changes) -> Value {
    json!({
        "created": changes.created,
        "created_by": layer.created_by,
        "author": changes.author,
    })
}

/// Some writers leave `history` out or short; tools that match it against the layers then take our entries for
/// the base's. The missing ones are put in front of ours, so that the count agrees.
fn explain_unmentioned(history: &mut Vec<Value>, layers: usize) {
    let is_layer = |entry: &&Value| entry.get("empty_layer").and_then(Value::as_bool) != Some(true);
    let explained = history.iter().filter(is_layer).count();
    let filler = json!({ "created_by": "unknown (not recorded by the base image)" });
    history.extend(std::iter::repeat_n(
        filler,
        layers.saturating_sub(explained),
    ));
}

/// The object in `value`, which becomes one if it is anything else (`"Labels": null` is common).
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

fn entry_object<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    object(map.entry(key).or_insert_with(|| json!({})))
}

fn array<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let value = map.entry(key).or_insert_with(|| json!([]));
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(items) => items,
        _ => unreachable!("made an array above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    /// As a builder image may come: Docker's media types, fields that oci-spec does not know, nulls.
    fn docker_base() -> Image {
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09.123456789Z",
            "docker_version": "20.10.7",
            "moby.buildkit.buildinfo.v1": "e30=",
            "config": {
                "Env": ["PATH=/usr/bin", "A=1", "A=2"], "Labels": null, "Cmd": ["/bin/sh"], "ArgsEscaped": true,
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30_000_000_000_u64},
                "OnBuild": ["RUN x"], "Shell": ["/bin/bash", "-c"], "Hostname": "h", "AttachStdin": false,
            },
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"tar")]},
            "history": [{"created_by": "ENV A", "empty_layer": true}],
        });
        let config = config.to_string();
        let layer = Descriptor::new(media_type::DOCKER_LAYER_GZIP, Digest::of(b"blob"), 4);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST,
            "config": Descriptor::of(media_type::DOCKER_CONFIG, config.as_bytes()).to_value(),
            "layers": [layer.to_value()], "annotations": {"of": "the base"},
        });
        Image::parse(
            media_type::DOCKER_MANIFEST,
            manifest.to_string().into_bytes(),
            config.into_bytes(),
        )
        .unwrap()
    }

    fn application() -> (Vec<NewLayer>, Changes) {
        let layer = NewLayer {
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, Digest::of(b"new"), 3),
            diff_id: DiffId(Digest::of(b"new tar")),
            created_by: "overcoat: application".into(),
        };
        let changes = Changes {
            environment: vec![("A".into(), "3".into()), ("B".into(), "x=y".into())],
            labels: BTreeMap::from([("z".into(), "1".into()), ("a".into(), "2".into())]),
            command: Some(vec!["run".into()]),
            created: "1980-01-01T00:00:00Z".into(),
            ..Changes::default()
        };
        (vec![layer], changes)
    }

    /// T1 of rust-crates.md: documents written through hash maps differ from run to run.
    #[test]
    fn t1_maps_are_written_in_the_order_of_their_keys() {
        let value: Value = serde_json::from_str(r#"{"b":1,"a":{"d":1,"c":2}}"#).unwrap();
        assert_eq!(
            value.to_string(),
            r#"{"a":{"c":2,"d":1},"b":1}"#,
            "serde_json's `preserve_order` is on"
        );
        let (layers, changes) = application();
        let image = append(&docker_base(), &layers, &changes).unwrap();
        let text = String::from_utf8(image.config.bytes.clone()).unwrap();
        assert!(text.contains(r#""Labels":{"a":"2","z":"1"}"#), "{text}");
        for _ in 0..20 {
            assert_eq!(append(&docker_base(), &layers, &changes).unwrap(), image);
        }
    }

    /// T2 of rust-crates.md: typed models drop what they do not know.
    #[test]
    fn t2_fields_that_nobody_listed_survive_an_edit() {
        let (layers, changes) = application();
        let image = append(&docker_base(), &layers, &changes).unwrap();
        let edited = image.config.parsed.value();
        let before = docker_base();
        let before = before.config.parsed.value();
        for pointer in [
            "/docker_version",
            "/moby.buildkit.buildinfo.v1",
            "/config/Healthcheck",
            "/config/OnBuild",
            "/config/Shell",
            "/config/Hostname",
            "/config/AttachStdin",
        ] {
            assert!(before.pointer(pointer).is_some());
            assert_eq!(
                edited.pointer(pointer),
                before.pointer(pointer),
                "{pointer}"
            );
        }
        assert_eq!(edited.pointer("/config/ArgsEscaped"), None);
    }

    #[test]
    fn an_appended_image_is_one_family_with_agreeing_counts() {
        let (layers, changes) = application();
        let image = append(&docker_base(), &layers, &changes).unwrap();
        let types: Vec<_> = image
            .manifest
            .parsed
            .layers
            .iter()
            .map(|layer| layer.media_type.as_str())
            .collect();
        assert_eq!(types, [media_type::OCI_LAYER_GZIP; 2]);
        assert_eq!(image.config.parsed.diff_ids().len(), 2);
        let history = image.config.parsed.value()["history"]
            .as_array()
            .unwrap()
            .clone();
        let layers = history
            .iter()
            .filter(|entry| entry.get("empty_layer").is_none())
            .count();
        assert_eq!((history.len(), layers), (3, 2));
        assert!(!String::from_utf8_lossy(&image.manifest.bytes).contains("the base"));
        assert_eq!(
            image.config.parsed.environment(),
            ["PATH=/usr/bin", "A=3", "B=x=y"]
        );
    }

    #[test]
    fn an_index_is_the_same_whatever_the_order_of_its_images() {
        let image = |platform: &str| {
            let (layers, changes) = application();
            from_scratch(&platform.parse().unwrap(), &layers, &changes).unwrap()
        };
        let annotations = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let make =
            |platforms: [&str; 3]| index(platforms.map(image).to_vec(), &annotations).unwrap();
        let one = make(["linux/arm64", "linux/amd64", "linux/arm/v7"]);
        assert_eq!(one, make(["linux/arm/v7", "linux/arm64", "linux/amd64"]));
        let parsed = &one.index().parsed;
        let platforms = parsed.manifests.iter();
        let platforms: Vec<_> = platforms
            .map(|entry| entry.platform.as_ref().unwrap().to_string())
            .collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm/v7", "linux/arm64"]);
        assert_eq!(parsed.annotations, annotations);
        let twice = index(
            vec![image("linux/amd64"), image("linux/amd64")],
            &annotations,
        );
        assert!(
            matches!(twice, Err(Error::SamePlatform { .. })),
            "{twice:?}"
        );
        let mut images = one.images().to_vec();
        images.swap(0, 1);
        assert_eq!(
            ImageIndex::new(one.index().clone(), images),
            Err(Error::Listed {
                listed: 3,
                given: 3
            })
        );
    }
}
