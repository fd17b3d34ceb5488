//! The places that images are copied from and to, as people name them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::output::oci_layout;
use crate::reference::{self, Reference};

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// `[host/]repository[:tag][@digest]` or `docker://…`: a registry.
    Registry(Reference),
    /// `store:NAME`: the store.
    Store(String),
    /// `oci:DIR[:NAME]`: an OCI image layout.
    OciLayout {
        /// The layout's directory.
        directory: PathBuf,
        /// The image's name in it.
        name: Option<String>,
    },
    /// `archive:FILE`: a tar of an OCI image layout that Docker reads, too.
    Archive(PathBuf),
    /// `oci-archive:FILE`: a tar of an OCI image layout.
    OciArchive(PathBuf),
    /// `docker-archive:FILE`: what `docker save` writes and `docker load` reads.
    DockerArchive(PathBuf),
}

impl FromStr for End {
    type Err = reference::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(':').unwrap_or(("", text));
        let is_prefix =
            ["store", "oci", "archive", "oci-archive", "docker-archive"].contains(&kind);
        if is_prefix && rest.is_empty() {
            return Err(reference::ParseError {
                text: text.to_owned(),
                reason: "nothing follows the colon".to_owned(),
            });
        }
        Ok(match kind {
            "store" => Self::Store(rest.to_owned()),
            "oci" => {
                let (directory, name) = oci_layout::split_name(rest);
                Self::OciLayout {
                    directory: directory.into(),
                    name: name.map(str::to_owned),
                }
            }
            "archive" => Self::Archive(rest.into()),
            "oci-archive" => Self::OciArchive(rest.into()),
            "docker-archive" => Self::DockerArchive(rest.into()),
            _ => Self::Registry(text.strip_prefix("docker://").unwrap_or(text).parse()?),
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Store(name) => write!(f, "store:{name}"),
            Self::OciLayout {
                directory,
                name: None,
            } => write!(f, "oci:{}", directory.display()),
            Self::OciLayout {
                directory,
                name: Some(name),
            } => write!(f, "oci:{}:{name}", directory.display()),
            Self::Archive(file) => write!(f, "archive:{}", file.display()),
            Self::OciArchive(file) => write!(f, "oci-archive:{}", file.display()),
            Self::DockerArchive(file) => write!(f, "docker-archive:{}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_print_as_they_parse() {
        for text in [
            "quay.io/org/app:1",
            "store:hello",
            "oci:/a/dir",
            "oci:dir:name:tag",
            "archive:/a.tar",
            "oci-archive:/a.tar",
            "docker-archive:a.tar",
        ] {
            assert_eq!(text.parse::<End>().unwrap().to_string(), text);
        }
        assert_eq!(
            "docker://localhost:5000/a:1".parse::<End>().unwrap(),
            End::Registry("localhost:5000/a:1".parse().unwrap())
        );
        for text in ["", "oci:", "store:", "quay.io/UPPER", "docker://"] {
            assert!(text.parse::<End>().is_err(), "{text:?}");
        }
    }
}
