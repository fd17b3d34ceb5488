//! What the S2I contract lets a person ask for beside a source, a builder image and a name.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::allowed_uids::AllowedUids;
use super::builder::ImageSource;
use super::volume_spec;
use crate::reference::Reference;
use crate::source::Rules;

/// The part of a build's request that comes from S2I.
///
/// # Spec
/// `s2i-compat.md` §1.6.
#[derive(Clone, Debug, Default)]
pub struct S2iOptions {
    /// Which files of the source are built (§2.4 to §2.6); the default takes everything but `.git`.
    pub rules: Rules,
    /// What the source is called where its directory is another one at every build, for it was brought there.
    pub identity: Option<String>,
    /// Labels that tell where the source comes from and what the image is called: stronger than the builder image's, weaker
    /// than `--label` (§2.12).
    pub generated_labels: BTreeMap<String, String>,
    /// `--scripts-url`: where scripts are looked for first (§2.8).
    pub scripts_url: Option<String>,
    /// `--destination`: an absolute directory that receives `src`, `scripts` and `artifacts` (§2.10).
    pub destination: Option<String>,
    /// `--allowed-uids`: who may run scripts (§2.14).
    pub allowed_uids: Option<AllowedUids>,
    /// `--pull-policy`: when the builder image is looked for in its registry (§1.5).
    pub pull: PullPolicy,
    /// `--incremental` (§2.15).
    pub incremental: Option<Incremental>,
    /// `--runtime-image` (§2.18).
    pub runtime: Option<RuntimeImage>,
    /// True when a builder image of a registry gets its name in the store once all of it is here, as an engine that pulls it
    /// would do: for those who call `s2i`.
    pub keeps_builder: bool,
    /// True when a builder image without an `assemble` script is refused, as s2i does: for those who call `s2i`.
    pub requires_scripts: bool,
    /// `--ignore-entrypoint`: scripts run without the builder image's entry point, which otherwise wraps them (§2.10).
    pub ignores_entrypoint: bool,
}

/// When an image is looked for in its registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// At every build.
    Always,
    /// When it is not on this machine.
    #[default]
    IfNotPresent,
    /// At no time.
    Never,
}

impl FromStr for PullPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Self::Always),
            "if-not-present" => Ok(Self::IfNotPresent),
            "never" => Ok(Self::Never),
            _ => Err("expected `always`, `if-not-present` or `never`".to_owned()),
        }
    }
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::IfNotPresent => "if-not-present",
            Self::Never => "never",
        })
    }
}

/// What the image that is about to be replaced gives to its successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incremental {
    /// The image whose `save-artifacts` runs: usually the first name of the build.
    pub previous: Reference,
    /// `--incremental-pull-policy`.
    pub pull: PullPolicy,
    /// `--rm`: the previous image is removed once the new one has its name, if artifacts were really taken from it (§1.5).
    pub removes_previous: bool,
}

/// The image that the application runs on when it is not the builder.
#[derive(Clone, Debug)]
pub struct RuntimeImage {
    /// `--runtime-image`.
    pub image: ImageSource,
    /// `--runtime-pull-policy`.
    pub pull: PullPolicy,
    /// `--runtime-artifact`: what is taken from the builder; when empty, the image's label says.
    pub artifacts: Vec<RuntimeArtifact>,
    /// `--assemble-runtime-user`.
    pub user: Option<String>,
}

/// A file or directory that goes from the builder into the runtime image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeArtifact {
    /// Absolute, in the builder.
    pub source: String,
    /// Relative to the runtime image's working directory; empty for that directory itself.
    pub destination: String,
}

/// Why it is not known what goes into a runtime image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// Neither `--runtime-artifact` nor the label says anything.
    #[error("there are no runtime artifacts to copy to the runtime image `{image}`")]
    Nothing {
        /// The runtime image.
        image: String,
    },
    /// One of them cannot be meant.
    #[error("the runtime artifact `{text}` cannot be used: {reason}")]
    Unusable {
        /// As it is written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ArtifactError {
    /// Things a person can do now.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Nothing { .. } => {
                "name them with `--runtime-artifact /PATH[:DIRECTORY]`, or in the image's label `io.openshift.s2i.assemble-input-files`"
            }
            Self::Unusable { .. } => {
                "it is written `/PATH[:DIRECTORY]`: an absolute path in the builder, and a directory below the runtime image's working directory"
            }
        }
    }
}

impl RuntimeArtifact {
    /// Reads one or several `SRC[:DSTDIR]`, joined by `;`: the value of `--runtime-artifact` or of the label
    /// `io.openshift.s2i.assemble-input-files`.
    ///
    /// # Errors
    /// [`ArtifactError::Unusable`] unless every source is absolute and every destination stays below the working
    /// directory.
    ///
    /// # Spec
    /// `s2i-compat.md` §2.18, cases 115 to 117, 119.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ArtifactError> {
        let unusable = |reason: String| ArtifactError::Unusable {
            text: text.to_owned(),
            reason,
        };
        let specs = volume_spec::parse_list(text).map_err(unusable)?;
        let artifact = |spec: volume_spec::Spec| {
            let volume_spec::Spec {
                source,
                destination,
            } = spec;
            if !source.starts_with('/') {
                return Err(unusable(format!("`{source}` must be an absolute path")));
            }
            if destination.starts_with('/') {
                return Err(unusable(format!("`{destination}` must be a relative path")));
            }
            if destination == ".." || destination.starts_with("../") {
                return Err(unusable(format!("`{destination}` may not start with `..`")));
            }
            let destination = if destination == "." {
                String::new()
            } else {
                destination
            };
            Ok(Self {
                source,
                destination,
            })
        };
        specs.into_iter().map(artifact).collect()
    }

    /// What goes into the runtime image called `image`: what was asked for (`given`), else what its `label` says.
    ///
    /// # Errors
    /// [`ArtifactError::Nothing`] when there is neither, [`ArtifactError::Unusable`] for a label that cannot be meant.
    ///
    /// # Spec
    /// `s2i-compat.md` §2.18, cases 118 and 119.
    pub fn choose(
        given: &[Self],
        label: Option<&str>,
        image: &str,
    ) -> Result<Vec<Self>, ArtifactError> {
        if !given.is_empty() {
            return Ok(given.to_vec());
        }
        match label.filter(|label| !label.is_empty()) {
            Some(label) => Self::parse_list(label),
            None => Err(ArtifactError::Nothing {
                image: image.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str, destination: &str) -> RuntimeArtifact {
        RuntimeArtifact {
            source: source.to_owned(),
            destination: destination.to_owned(),
        }
    }

    /// Cases 115 to 117.
    #[test]
    fn artifacts_come_from_absolute_places_and_go_to_relative_ones() {
        let reason = |text: &str| RuntimeArtifact::parse_list(text).unwrap_err().to_string();
        assert!(reason("src:dst").contains("`src` must be an absolute path"));
        assert!(reason("/src:/dst").contains("`/dst` must be a relative path"));
        assert!(reason("/src:../dst").contains("`../dst` may not start with `..`"));
        assert!(reason("/src:a/../../dst").contains("may not start with `..`"));
        assert_eq!(
            RuntimeArtifact::parse_list("/src:..dst"),
            Ok(vec![of("/src", "..dst")])
        );
        assert_eq!(
            RuntimeArtifact::parse_list("/src"),
            Ok(vec![of("/src", "")])
        );
    }

    /// Cases 118 and 119.
    #[test]
    fn the_label_counts_when_nothing_was_asked_for() {
        let given = [of("/a", "b")];
        let label = Some("/x/y:dir;/z");
        let from_label = vec![of("/x/y", "dir"), of("/z", "")];
        assert_eq!(
            RuntimeArtifact::choose(&given, label, "r"),
            Ok(given.to_vec())
        );
        assert_eq!(RuntimeArtifact::choose(&[], label, "r"), Ok(from_label));
        assert_eq!(
            RuntimeArtifact::choose(&[], Some("/x"), "r"),
            Ok(vec![of("/x", "")])
        );
        for nothing in [None, Some("")] {
            let error = RuntimeArtifact::choose(&[], nothing, "r").unwrap_err();
            assert!(
                error.to_string().contains("no runtime artifacts to copy"),
                "{error}"
            );
        }
        assert!(RuntimeArtifact::choose(&[], Some("src:dst"), "r").is_err());
    }
}
