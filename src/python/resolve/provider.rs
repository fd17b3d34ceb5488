//! Who knows which releases there are, and what they need.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::digest::Digest;
use crate::python::{ExtraName, PackageName, RemoteWheel, Version, VersionSpecifiers};

/// A package index, as the resolver sees it.
///
/// The same question has the same answer as long as one resolution lasts; the resolver asks for each project and each
/// wheel once. All methods may block; the two `prefetch` methods should not.
pub trait Provider {
    /// Every version of a project that has a file which may be used, in any order: wheels that fit the target, or a
    /// source distribution. Yanked versions, pre-releases and versions for other Pythons are listed and marked. A
    /// version without any file that may be used can be listed, too: it is never chosen, but messages name it. Of two
    /// entries for one version the first counts.
    ///
    /// # Errors
    /// [`ProviderError::Unknown`] when no index has the project; [`ProviderError::Failed`] when an index cannot be asked.
    fn releases(&self, name: &PackageName) -> Result<Arc<Vec<Release>>, ProviderError>;

    /// The core metadata of a wheel.
    ///
    /// # Errors
    /// [`ProviderError::Unusable`] when this one wheel's metadata cannot be used: the resolver goes on without its
    /// version, as pip does. [`ProviderError::Failed`] ends the resolution.
    fn metadata(
        &self,
        name: &PackageName,
        wheel: &RemoteWheel,
    ) -> Result<Arc<Metadata>, ProviderError>;

    /// The core metadata of a package that the builder has installed; `None` when it is not known. An unknown one is
    /// taken to be complete, and an extra of it cannot be resolved.
    ///
    /// # Errors
    /// [`ProviderError::Failed`] ends the resolution.
    fn installed(&self, _name: &PackageName) -> Result<Option<Arc<Metadata>>, ProviderError> {
        Ok(None)
    }

    /// Tells that the releases of these projects will be asked for at once; may fetch them side by side.
    fn prefetch(&self, _names: &[PackageName]) {}

    /// Tells that the metadata of these wheels will probably be asked for; may fetch them side by side.
    fn prefetch_metadata(&self, _wanted: &[(PackageName, RemoteWheel)]) {}
}

/// One version of a project, as an index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The version.
    pub version: Version,
    /// The wheels that fit the target, best first; empty when there is none.
    pub wheels: Vec<RemoteWheel>,
    /// The source distribution, when there is one.
    pub source: Option<Source>,
    /// Why it was yanked: `None` when it was not; the reason may be empty.
    ///
    /// # Spec
    /// PEP 592.
    pub yanked: Option<String>,
    /// The Pythons that the index says it is for (PEP 503, `data-requires-python`).
    pub requires_python: Option<VersionSpecifiers>,
}

impl Release {
    /// The wheel that fits the target best.
    pub fn wheel(&self) -> Option<&RemoteWheel> {
        self.wheels.first()
    }
}

/// A source distribution, as far as choosing needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The SHA-256 that the index promises; `None` when it promises none.
    pub digest: Option<Digest>,
    /// The wheel that was built from it, when somebody did.
    pub built: Option<RemoteWheel>,
}

/// What a distribution says about itself, as far as resolving needs it.
///
/// # Spec
/// packaging.python.org, *Core metadata specifications*.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `Requires-Python`.
    pub requires_python: Option<VersionSpecifiers>,
    /// `Requires-Dist`, in the order of the file.
    pub requires_dist: Vec<pep508_rs::Requirement>,
    /// `Provides-Extra`.
    pub provides_extra: BTreeSet<ExtraName>,
}

/// Why an index gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No index has a project of that name.
    #[error("no index has a package named `{0}`")]
    Unknown(PackageName),
    /// One version cannot be used; others may.
    #[error("`{name}` {version} cannot be used: {reason}")]
    Unusable {
        /// The project.
        name: PackageName,
        /// The version.
        version: Version,
        /// Why, as half a sentence: `its metadata is not valid: …`.
        reason: String,
    },
    /// The index could not be asked.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}
