//! CycloneDX 1.6 as JSON.
//!
//! # Spec
//! ECMA-424, first edition; `bom-1.6.schema.json`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::licence::Licence;
use super::{Bom, Component, Ecosystem, Format, uuid, version};

/// Properties of ours begin with it.
const NAMESPACE: &str = "overcoat";

/// The document.
pub(super) fn document(bom: &Bom) -> Value {
    let image = bom.image.to_string();
    let references = references(bom);
    let components = bom.components.iter().zip(&references);
    let mut components: Vec<Value> = components
        .map(|(component, reference)| self::component(component, reference))
        .collect();
    if let Some(distribution) = &bom.distribution {
        components.push(without_nulls(json!({
            "type": "operating-system",
            "bom-ref": OPERATING_SYSTEM,
            "name": distribution.id,
            "version": distribution.version,
            "description": distribution.name,
        })));
    }
    let depends: Vec<&str> = references.iter().map(String::as_str).collect();
    let unlisted = bom.unlisted.iter();
    let unlisted = unlisted.map(|sentence| property("unlisted", sentence));
    let mut metadata = json!({
        "tools": {
            "components": [{"type": "application", "name": NAMESPACE, "version": version()}],
        },
        "component": {
            "type": "container",
            "bom-ref": image,
            "name": bom.title.as_ref().unwrap_or(&image),
            "version": image,
        },
        "properties": unlisted.collect::<Vec<Value>>(),
    });
    if let Some(created) = &bom.created {
        metadata["timestamp"] = json!(created);
    }
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(&bom.image, Format::CycloneDx)),
        "version": 1,
        "metadata": metadata,
        "components": components,
        "dependencies": [{"ref": image, "dependsOn": depends}],
        // What no database knows, a program that somebody copied, is not listed.
        "compositions": [{
            "aggregate": if bom.unlisted.is_empty() { "unknown" } else { "incomplete" },
            "assemblies": [image],
        }],
    })
}

const OPERATING_SYSTEM: &str = "operating-system";

/// A name for each component, in their order: its package URL, with a number from the second one of the same on.
fn references(bom: &Bom) -> Vec<String> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let reference = |component: &Component| component.purl.clone();
    let mut names = Vec::with_capacity(bom.components.len());
    for component in &bom.components {
        let count = seen.entry(&component.purl).or_default();
        *count += 1;
        names.push(match count {
            1 => reference(component),
            count => format!("{}#{count}", component.purl),
        });
    }
    names
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": format!("{NAMESPACE}:{name}"), "value": value})
}

fn component(component: &Component, reference: &str) -> Value {
    let facts = component.facts.iter();
    let facts = facts.map(|(name, value)| property(name, value));
    let layer = property("layer", &component.layer.to_string());
    let properties: Vec<Value> = std::iter::once(layer).chain(facts).collect();
    let kind = match component.ecosystem {
        Ecosystem::Interpreter => "platform",
        _ => "library",
    };
    let mut value = json!({
        "type": kind,
        "bom-ref": reference,
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
        "evidence": {"occurrences": [{"location": component.location}]},
        "properties": properties,
    });
    let licences = licences(&component.licences);
    if !licences.is_empty() {
        value["licenses"] = json!(licences);
    }
    if !component.hashes.is_empty() {
        let hashes = component.hashes.iter().map(|hash| {
            let algorithm = match hash.algorithm.as_str() {
                "md5" => "MD5",
                "sha1" => "SHA-1",
                "sha384" => "SHA-384",
                "sha512" => "SHA-512",
                _ => "SHA-256",
            };
            json!({"alg": algorithm, "content": hash.hex})
        });
        value["hashes"] = json!(hashes.collect::<Vec<Value>>());
    }
    if let Some(url) = &component.url {
        let scheme = url.split("://").next().unwrap_or_default();
        let kind = if scheme.contains('+') {
            "vcs"
        } else {
            "distribution"
        };
        value["externalReferences"] = json!([{"type": kind, "url": url}]);
    }
    value
}

/// One expression alone, or any number of licences.
fn licences(licences: &[Licence]) -> Vec<Value> {
    if let [Licence::Expression(expression)] = licences
        && expression.contains(' ')
    {
        return vec![json!({"expression": expression, "acknowledgement": "declared"})];
    }
    let one = |licence: &Licence| {
        let named = match licence {
            Licence::Expression(text) if !text.contains([' ', '(']) => "id",
            _ => "name",
        };
        json!({"license": {(named): licence.text(), "acknowledgement": "declared"}})
    };
    licences.iter().map(one).collect()
}

/// An object without the members that are `null`.
fn without_nulls(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}
