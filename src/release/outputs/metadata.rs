//! buildx's `--metadata-file`.

use serde_json::{Map, Value, json};

use super::Facts;

/// One object for one image; with several, or where it is wanted, an object of such below the images' names.
pub(super) fn text(images: &[Facts], is_nested: bool) -> String {
    let value = match images {
        [image] if !is_nested => object(image),
        _ => {
            let entries = images
                .iter()
                .map(|image| (image.name.clone(), object(image)));
            Value::Object(entries.collect())
        }
    };
    // Only texts, numbers and maps with texts for keys.
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

/// What buildx says of an image, and what we add.
pub(super) fn object(image: &Facts) -> Value {
    let names: Vec<String> = image.references.iter().map(ToString::to_string).collect();
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| object.insert(key.to_owned(), value);
    set("containerimage.digest", json!(image.digest));
    set(
        "containerimage.descriptor",
        json!({
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": image.size_bytes,
        }),
    );
    if let Some(digest) = &image.config_digest {
        set("containerimage.config.digest", json!(digest));
    }
    set("image.name", json!(names.join(",")));
    set("overcoat.name", json!(image.name));
    set("overcoat.tag", json!(image.tag()));
    set("overcoat.image", json!(image.pinned()));
    set("overcoat.pushed", json!(image.is_pushed));
    let platforms = image
        .platforms
        .iter()
        .map(|entry| json!({ "platform": entry.platform.to_string(), "digest": entry.digest }));
    set("overcoat.platforms", Value::Array(platforms.collect()));
    if let Some(base) = &image.base {
        let mut value = json!({ "name": base.name });
        if let Some(digest) = &base.digest {
            value["digest"] = json!(digest);
        }
        set("overcoat.base", value);
    }
    Value::Object(object)
}
