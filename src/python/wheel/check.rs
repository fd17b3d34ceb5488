//! What a wheel says of itself, against its file name and its members.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::metadata::Fields;
use super::record::Record;
use crate::layer::zip::Member;
use crate::python::WheelName;

/// The name of the one `.dist-info` directory; it must be this distribution's.
pub(super) fn dist_info(members: &[Member], name: &WheelName) -> Result<String, String> {
    let tops: BTreeSet<&str> = members
        .iter()
        .filter_map(|member| member.name.split_once('/').map(|(top, _)| top))
        .filter(|top| top.ends_with(".dist-info"))
        .collect();
    let [found] = *tops.into_iter().collect::<Vec<_>>() else {
        return Err("it has not exactly one `.dist-info` directory".to_owned());
    };
    let stem = found.strip_suffix(".dist-info").unwrap_or(found);
    let is_ours = stem
        .rsplit_once('-')
        .is_some_and(|(distribution, version)| {
            is_name(distribution, name) && is_version(&version.replace('_', "-"), name)
        });
    if !is_ours {
        return Err(format!(
            "its directory `{found}` is of another distribution"
        ));
    }
    Ok(found.to_owned())
}

fn is_name(text: &str, name: &WheelName) -> bool {
    PackageName::new(text.to_owned()).is_ok_and(|found| found == name.name)
}

fn is_version(text: &str, name: &WheelName) -> bool {
    text.parse::<Version>()
        .is_ok_and(|found| found == name.version)
}

/// `WHEEL`: a version that we know, and tags that the file name has too.
pub(super) fn wheel(fields: &Fields, name: &WheelName) -> Result<(), String> {
    let version = fields
        .get("wheel-version")
        .ok_or("its `WHEEL` has no `Wheel-Version`")?;
    if version.split('.').next() != Some("1") {
        return Err(format!(
            "it has the version {version:.20} of the format, and only 1 is known"
        ));
    }
    if fields.get("root-is-purelib").is_none() {
        return Err("its `WHEEL` has no `Root-Is-Purelib`".to_owned());
    }
    // Each part of a tag may be a set, `py2.py3-none-any`, although tags should be written one by one.
    let has = |set: &[String], tags: &str| {
        tags.split('.')
            .any(|tag| set.iter().any(|ours| ours == tag))
    };
    let is_ours = |tag: &str| {
        let parts: Vec<&str> = tag.split('-').collect();
        let [python, abi, platform] = parts[..] else {
            return false;
        };
        has(&name.pythons, python) && has(&name.abis, abi) && has(&name.platforms, platform)
    };
    if fields.all("tag").any(is_ours) {
        return Ok(());
    }
    let tags: Vec<&str> = fields.all("tag").take(5).collect();
    Err(format!(
        "its `WHEEL` says that it is for `{:.200}`, which its file name does not",
        tags.join(", ")
    ))
}

/// `METADATA`: the distribution's name as it is spelt there.
pub(super) fn metadata(fields: &Fields, name: &WheelName) -> Result<String, String> {
    let found = fields.get("name").unwrap_or_default();
    if !is_name(found, name) {
        return Err(format!("its `METADATA` is of `{found:.200}`"));
    }
    let version = fields.get("version").unwrap_or_default();
    if !is_version(version, name) {
        return Err(format!("its `METADATA` is of the version `{version:.200}`"));
    }
    Ok(found.to_owned())
}

/// `RECORD` against the members: the row of each.
pub(super) fn record(
    members: &[Member],
    record: &Record,
    dist_info: &str,
) -> Result<Vec<Option<usize>>, String> {
    let own = format!("{dist_info}/RECORD");
    // A signature of RECORD cannot be in it.
    let signatures = [format!("{own}.jws"), format!("{own}.p7s")];
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, row) in record.rows().iter().enumerate() {
        if rows.insert(&row.path, index).is_some() {
            return Err(format!("its `RECORD` has `{:.200}` twice", row.path));
        }
    }
    let mut found = Vec::with_capacity(members.len());
    for member in members {
        let name = member.name.as_str();
        let row = rows.remove(name);
        if member.is_directory() || name == own || signatures.iter().any(|path| path == name) {
            found.push(None);
            continue;
        }
        let index = row.ok_or_else(|| format!("`{name}` is not in its `RECORD`"))?;
        let row = &record.rows()[index];
        if row.hash.is_none() {
            return Err(format!(
                "its `RECORD` has no hash for `{name}`, or one that is weaker than SHA-256"
            ));
        }
        if row.size.is_some_and(|size| size != member.size) {
            return Err(format!("`{name}` has not the size that its `RECORD` says"));
        }
        found.push(Some(index));
    }
    match rows.keys().next() {
        Some(name) => Err(format!(
            "its `RECORD` has `{name:.200}`, which is not in it"
        )),
        None => Ok(found),
    }
}
