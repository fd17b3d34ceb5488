//! Which distributions are in a directory.

use std::collections::BTreeMap;

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::files::{Files, list};
use crate::layer::Error;

/// The distributions that a directory has metadata of, by the names of the metadata. What has no name and version is left
/// out, as pip does with what an interrupted installation left behind (`~ip-23.0.dist-info`).
///
/// # Spec
/// packaging.python.org, *Recording installed projects*; setuptools, *egg-info* (`NAME-VERSION[-pyX.Y].egg-info`).
pub(super) fn distributions(
    files: &dyn Files,
    directory: &str,
) -> Result<BTreeMap<PackageName, Version>, Error> {
    let names = list(files, directory)?;
    Ok(names.iter().filter_map(|name| parse(name)).collect())
}

/// A distribution from the name of its metadata.
pub fn parse(name: &str) -> Option<(PackageName, Version)> {
    let stem = match name.strip_suffix(".dist-info") {
        Some(stem) => stem,
        None => {
            let stem = name.strip_suffix(".egg-info")?;
            stem.rsplit_once("-py").map_or(stem, |(stem, _)| stem)
        }
    };
    let (name, version) = stem.split_once('-')?;
    Some((
        PackageName::new(name.to_owned()).ok()?,
        version.replace('_', "-").parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn metadata_names_are_taken_apart() {
        let found = |name: &str| parse(name).map(|(name, version)| format!("{name}=={version}"));
        assert_eq!(
            found("Flask_SQLAlchemy-3.1.1.dist-info").as_deref(),
            Some("flask-sqlalchemy==3.1.1")
        );
        assert_eq!(
            found("torch-2.1.0+cpu.dist-info").as_deref(),
            Some("torch==2.1.0+cpu")
        );
        assert_eq!(
            found("setuptools-66.1.1.egg-info").as_deref(),
            Some("setuptools==66.1.1")
        );
        assert_eq!(
            found("six-1.16.0-py3.11.egg-info").as_deref(),
            Some("six==1.16.0")
        );
        for name in [
            "~ip-23.0.1.dist-info",
            "zork.dist-info",
            "zork",
            "zork-1.0",
            "zork-x.y.dist-info",
        ] {
            assert_eq!(found(name), None, "{name}");
        }
    }
}
