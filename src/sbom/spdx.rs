//! SPDX 2.3 as JSON.
//!
//! # Spec
//! *The System Package Data Exchange (SPDX) Specification Version 2.3*; its `spdx-schema.json`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::licence::{self, Licence};
use super::{Bom, Component, Ecosystem, Format, uuid, version};
use crate::digest::Digest;

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
/// What a required field says when nothing is known.
const NOTHING: &str = "NOASSERTION";
/// The time of an image that has none; the field is required.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// The document.
pub(super) fn document(bom: &Bom) -> Value {
    let image = bom.image.to_string();
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    let mut packages = vec![json!({
        "SPDXID": IMAGE,
        "name": bom.title.as_ref().unwrap_or(&image),
        "versionInfo": image,
        "downloadLocation": NOTHING,
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{
            "algorithm": bom.image.algorithm().name().to_uppercase(),
            "checksumValue": bom.image.hex(),
        }],
    })];
    let mut relationships = vec![relationship(DOCUMENT, "DESCRIBES", IMAGE)];
    if let Some(distribution) = &bom.distribution {
        let id = "SPDXRef-OperatingSystem";
        packages.push(json!({
            "SPDXID": id,
            "name": distribution.id,
            "versionInfo": distribution.version.as_deref().unwrap_or("unknown"),
            "downloadLocation": NOTHING,
            "filesAnalyzed": false,
            "licenseConcluded": NOTHING,
            "licenseDeclared": NOTHING,
            "copyrightText": NOTHING,
            "primaryPackagePurpose": "OPERATING-SYSTEM",
        }));
        relationships.push(relationship(IMAGE, "CONTAINS", id));
    }
    for component in &bom.components {
        let key = format!("{} {}", component.purl, component.location);
        let id = format!(
            "SPDXRef-Package-{}-{}",
            word(&component.name),
            &Digest::of(key.as_bytes()).hex()[..16]
        );
        relationships.push(relationship(IMAGE, "CONTAINS", &id));
        packages.push(package(component, &id, &mut named));
    }
    let namespace = format!(
        "https://spdx.org/spdxdocs/overcoat-{}",
        uuid(&bom.image, Format::Spdx)
    );
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": bom.title.as_ref().unwrap_or(&image),
        "documentNamespace": namespace,
        "creationInfo": {
            "created": bom.created.as_deref().unwrap_or(NO_TIME),
            "creators": [format!("Tool: overcoat-{}", version())],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !bom.unlisted.is_empty() {
        let text = format!("Not listed: {}", bom.unlisted.join("; "));
        document["comment"] = json!(text);
    }
    if !named.is_empty() {
        let infos = named
            .iter()
            .map(|(id, text)| json!({"licenseId": id, "name": text, "extractedText": text}));
        document["hasExtractedLicensingInfos"] = json!(infos.collect::<Vec<Value>>());
    }
    document
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// Letters, digits, dots and hyphens are what an identifier may hold.
fn word(text: &str) -> String {
    let allowed = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '.' => c,
        _ => '-',
    };
    text.chars().take(64).map(allowed).collect()
}

fn package(component: &Component, id: &str, named: &mut BTreeMap<String, String>) -> Value {
    let facts = component.facts.iter();
    let facts = facts.map(|(name, value)| format!("{name}: {value}"));
    let said: Vec<String> = [
        format!("found in {}", component.location),
        format!("layer: {}", component.layer),
    ]
    .into_iter()
    .chain(facts)
    .collect();
    let purpose = match component.ecosystem {
        Ecosystem::Interpreter => "APPLICATION",
        _ => "LIBRARY",
    };
    let mut value = json!({
        "SPDXID": id,
        "name": component.name,
        "versionInfo": component.version,
        "downloadLocation": component.url.as_deref().unwrap_or(NOTHING),
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING,
        "licenseDeclared": declared(&component.licences, named),
        "copyrightText": NOTHING,
        "sourceInfo": said.join("; "),
        "primaryPackagePurpose": purpose,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": component.purl,
        }],
    });
    if !component.hashes.is_empty() {
        let hashes = component.hashes.iter().map(
            |hash| json!({"algorithm": hash.algorithm.to_uppercase(), "checksumValue": hash.hex}),
        );
        value["checksums"] = json!(hashes.collect::<Vec<Value>>());
    }
    value
}

/// The expression for all licences. What the list of licences does not have gets an identifier of the document's own, with
/// the words as its text.
fn declared(licences: &[Licence], named: &mut BTreeMap<String, String>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for licence in licences {
        parts.push(match licence {
            Licence::Expression(text) if licences.len() > 1 && text.contains(' ') => {
                format!("({text})")
            }
            Licence::Expression(text) => text.clone(),
            Licence::Named(text) => {
                let digest = Digest::of(text.as_bytes());
                let id = format!(
                    "LicenseRef-{}-{}",
                    word(text).trim_matches('-'),
                    &digest.hex()[..8]
                );
                debug_assert!(!licence::is_expression(&id));
                named.insert(id.clone(), text.clone());
                id
            }
        });
    }
    match parts.is_empty() {
        true => NOTHING.to_owned(),
        false => parts.join(" AND "),
    }
}
