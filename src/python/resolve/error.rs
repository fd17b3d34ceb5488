//! Why there is no answer.

use crate::python::{PackageName, Version};

use super::provider::ProviderError;

/// Why a resolution failed. Texts name packages with their versions and say who wants them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No index has a package that is wanted.
    #[error(
        "no index has a package named `{name}`: {wanted_by}\ncheck its spelling, or name the index that has it (--index-url, --extra-index-url)"
    )]
    Unknown {
        /// The package.
        name: PackageName,
        /// Who wants it, as `requirements.txt:3 wants `flsk``.
        wanted_by: String,
    },
    /// One requirement cannot be satisfied by any version there is.
    #[error("no version of `{name}` satisfies what is required: {wanted_by}\n{reasons}")]
    NoVersion {
        /// The package.
        name: PackageName,
        /// Who wants what.
        wanted_by: String,
        /// Why no version will do and which there are; one sentence a line.
        reasons: String,
    },
    /// Every version that satisfies a requirement is for other Pythons.
    #[error(
        "no version of `{name}` that satisfies what is required is for Python {python}, which the builder has: {wanted_by}\n{reasons}\nrequire an older version, or take a builder with another Python"
    )]
    RequiresPython {
        /// The package.
        name: PackageName,
        /// The builder's Python.
        python: Version,
        /// Who wants what.
        wanted_by: String,
        /// Which versions want which Python; one sentence a line.
        reasons: String,
    },
    /// The requirements contradict each other.
    #[error(
        "the requirements cannot be satisfied together:\n{facts}\nloosen or change one of them"
    )]
    Conflict {
        /// Everything that the contradiction follows from; one sentence a line, each indented by two spaces.
        facts: String,
    },
    /// The version to take has no usable wheel; it would have to be built.
    #[error(
        "`{name}` {version} has no wheel that can be used here and must be built from its source distribution\nallow only wheels (--only-binary) to take another version, or let pip build it in the sandbox"
    )]
    NeedsBuild {
        /// The package.
        name: PackageName,
        /// The version that pip would take.
        version: Version,
    },
    /// A package that the builder has installed would have to be replaced.
    #[error(
        "the builder has `{name}` {have} installed, which does not satisfy {wanted}\nlet pip replace it in the sandbox, or require the version that is there"
    )]
    WouldReplace {
        /// The package.
        name: PackageName,
        /// The version that is installed.
        have: Version,
        /// What is wanted and by whom.
        wanted: String,
    },
    /// A requirement is of a kind that wheels of an index cannot express.
    #[error(
        "{wanted_by}, which cannot be resolved here: {reason}\nlet pip install it in the sandbox"
    )]
    Inexpressible {
        /// Who wants what.
        wanted_by: String,
        /// Why it cannot be resolved.
        reason: String,
    },
    /// Hashes are required, and a package has none.
    #[error(
        "hashes are required, but none is given for `{name}`: {wanted_by}\npin it with its hashes too: the list must name every package"
    )]
    NotHashed {
        /// The package.
        name: PackageName,
        /// Who wants it.
        wanted_by: String,
    },
    /// The search took too many steps.
    #[error(
        "gave up looking for versions that fit together after {steps} steps\npin the packages that matter most, or use constraints"
    )]
    GaveUp {
        /// How many versions were tried.
        steps: usize,
    },
    /// An index gave no answer.
    #[error(transparent)]
    Provider(ProviderError),
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// True when pip, run in the sandbox, may well succeed: what is wrong is only that wheels alone do not do.
    pub fn is_for_pip(&self) -> bool {
        matches!(
            self,
            Self::NeedsBuild { .. } | Self::WouldReplace { .. } | Self::Inexpressible { .. }
        )
    }
}
