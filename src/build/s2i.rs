//! What the S2I contract lets a person ask for beside a source, a builder image and a name.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::allowed_uids::AllowedUids;
use super::builder::ImageSource;
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
