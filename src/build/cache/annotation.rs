//! The previous image as a cache: what its manifest says of its layers.
//!
//! A layer that a step made carries the step's key, the diff id that its image's configuration has for it, and a seal
//! over both and the blob's digest and size. A tool that compressed a layer anew and kept the annotations, or a person
//! who copied them to another layer, broke the seal, and the entry is ignored. The seal is no signature: whoever may
//! write to a tag decides what is there, which is why only references that the user named are asked.

use crate::digest::{Algorithm, DiffId, Digester};
use crate::image::edit::NewLayer;
use crate::image::{Descriptor, Manifest};

use super::key::{Key, frame};
use crate::build::metadata::LABELS;

/// What every annotation of ours begins with.
const OURS: &str = "io.overcoat.";
/// On a layer, with the step's name behind it: `1:KEY:INDEX/COUNT`, which of the step's layers it is.
const KEY_PREFIX: &str = "io.overcoat.key.";
/// On a layer: its diff id.
const DIFF_ID: &str = "io.overcoat.diff-id";
/// On a layer: the digest of the other two, of the blob's digest and of its size.
const SEAL: &str = "io.overcoat.seal";
/// On a layer: what made it, for `history`.
const CREATED_BY: &str = "io.overcoat.created-by";
/// The version of these annotations.
const VERSION: &str = "1";
/// No image has more layers.
const MAX_LAYERS: usize = 127;

/// Marks the layers of a step with its key. A layer may be marked by several steps: by one that made it alone, and by
/// one that made a list in which it is.
pub fn mark(step: &str, key: &Key, layers: &mut [NewLayer]) {
    let count = layers.len();
    for (index, layer) in layers.iter_mut().enumerate() {
        let annotations = &mut layer.descriptor.annotations;
        annotations.insert(
            format!("{KEY_PREFIX}{step}"),
            format!("{VERSION}:{key}:{index}/{count}"),
        );
        annotations.insert(DIFF_ID.to_owned(), layer.diff_id.0.to_string());
        annotations.insert(CREATED_BY.to_owned(), layer.created_by.clone());
        let seal = seal(&layer.descriptor);
        layer.descriptor.annotations.insert(SEAL.to_owned(), seal);
    }
}

/// The digest over what a layer's annotations claim and the blob that they claim it of.
fn seal(descriptor: &Descriptor) -> String {
    let mut digester = Digester::new(Algorithm::Sha256);
    frame(&mut digester, b"overcoat layer 1");
    frame(&mut digester, descriptor.digest.to_string().as_bytes());
    frame(&mut digester, descriptor.size.to_string().as_bytes());
    frame(&mut digester, descriptor.media_type.as_bytes());
    let ours = |name: &&String| {
        name.starts_with(KEY_PREFIX) || [DIFF_ID, CREATED_BY, LABELS].contains(&name.as_str())
    };
    for name in descriptor.annotations.keys().filter(ours) {
        frame(&mut digester, name.as_bytes());
        frame(&mut digester, descriptor.annotations[name].as_bytes());
    }
    digester.finish().hex().to_owned()
}

/// The layers of the step with this key in a manifest, lowest first, with all marks that they have; `None` when they
/// are not all there, or one is not what it was when it was marked.
pub fn find(manifest: &Manifest, step: &str, key: &Key) -> Option<Vec<NewLayer>> {
    let name = format!("{KEY_PREFIX}{step}");
    let prefix = format!("{VERSION}:{key}:");
    let mut found: Vec<(usize, NewLayer)> = Vec::new();
    let mut expected = None;
    for descriptor in &manifest.layers {
        let Some(position) = descriptor
            .annotations
            .get(&name)
            .and_then(|value| value.strip_prefix(&prefix))
        else {
            continue;
        };
        let (index, count) = position.split_once('/')?;
        let (index, count): (usize, usize) = (index.parse().ok()?, count.parse().ok()?);
        if count > MAX_LAYERS || *expected.get_or_insert(count) != count || index != found.len() {
            return None;
        }
        if descriptor.annotations.get(SEAL) != Some(&seal(descriptor)) {
            return None;
        }
        found.push((index, layer(descriptor)?));
    }
    (expected? == found.len()).then(|| found.into_iter().map(|(_, layer)| layer).collect())
}

fn layer(descriptor: &Descriptor) -> Option<NewLayer> {
    let ours = |(name, _): &(&String, &String)| name.starts_with(OURS);
    let annotations = descriptor.annotations.iter().filter(ours);
    Some(NewLayer {
        descriptor: Descriptor {
            annotations: annotations
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            ..Descriptor::new(
                &descriptor.media_type,
                descriptor.digest.clone(),
                descriptor.size,
            )
        },
        diff_id: DiffId(descriptor.annotations.get(DIFF_ID)?.parse().ok()?),
        created_by: descriptor.annotations.get(CREATED_BY)?.clone(),
    })
}

/// Takes every mark off a layer: what it was before any step had it.
pub fn unmark(layer: &mut NewLayer) {
    layer
        .descriptor
        .annotations
        .retain(|name, _| !name.starts_with(OURS));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::key::Inputs;
    use super::*;
    use crate::digest::Digest;
    use crate::image::media_type;

    fn layers(names: &[&str]) -> Vec<NewLayer> {
        let layer = |name: &&str| NewLayer {
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, Digest::of(name.as_bytes()), 5),
            diff_id: DiffId(Digest::of(format!("tar of {name}").as_bytes())),
            created_by: format!("made {name}"),
        };
        names.iter().map(layer).collect()
    }

    fn key(name: &str) -> Key {
        Inputs::new(name).key()
    }

    fn manifest(layers: &[Descriptor]) -> Manifest {
        let config = Descriptor::of(media_type::OCI_CONFIG, b"{}");
        let value = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config.to_value(),
            "layers": layers.iter().map(Descriptor::to_value).collect::<Vec<_>>(),
        });
        Manifest::parse(value.to_string().as_bytes()).unwrap()
    }

    /// A base layer, two of `dependencies` of which the second is also marked by `wheels`, and the application's.
    fn marked() -> (Vec<NewLayer>, Vec<Descriptor>) {
        let mut dependencies = layers(&["one", "two"]);
        let mut application = layers(&["app"]);
        mark("wheels", &key("w"), &mut dependencies[1..]);
        mark("dependencies", &key("d"), &mut dependencies);
        mark("application", &key("a"), &mut application);
        let base = layers(&["base"]);
        let all = [base, dependencies.clone(), application].concat();
        (
            dependencies,
            all.into_iter().map(|layer| layer.descriptor).collect(),
        )
    }

    #[test]
    fn the_layers_of_a_step_are_found_by_its_key() {
        let (marked, all) = marked();
        let manifest = manifest(&all);
        assert_eq!(
            find(&manifest, "dependencies", &key("d")),
            Some(marked.clone())
        );
        let mut wheels = find(&manifest, "wheels", &key("w")).unwrap();
        assert_eq!(wheels, marked[1..]);
        unmark(&mut wheels[0]);
        assert_eq!(wheels, layers(&["two"]));
        let application = find(&manifest, "application", &key("a")).unwrap();
        assert_eq!(application[0].created_by, "made app");
        assert_eq!(find(&manifest, "application", &key("b")), None);
        assert_eq!(find(&manifest, "dependencies", &key("a")), None);
    }

    #[test]
    fn entries_that_are_wrong_foreign_or_incomplete_are_ignored() {
        let (_, good) = marked();
        type Change = fn(&mut Vec<Descriptor>);
        let rows: [(&str, Change); 7] = [
            ("one of two is gone", |all| drop(all.remove(1))),
            ("they changed places", |all| all.swap(1, 2)),
            ("compressed anew", |all| all[1].digest = Digest::of(b"zstd")),
            ("another size", |all| all[2].size = 6),
            ("another diff id", |all| {
                let other = Digest::of(b"poison").to_string();
                all[1].annotations.insert(DIFF_ID.into(), other);
            }),
            ("the marks of another layer", |all| {
                all[1].annotations = all[2].annotations.clone();
            }),
            ("no seal", |all| drop(all[2].annotations.remove(SEAL))),
        ];
        for (what, change) in rows {
            let mut all = good.clone();
            change(&mut all);
            assert_eq!(
                find(&manifest(&all), "dependencies", &key("d")),
                None,
                "{what}"
            );
        }
    }
}
