//! The rungs.

use serde::{Deserialize, Serialize};

/// How a step is kept apart from this machine (DESIGN §5), best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// A user namespace whose ids were mapped by `newuidmap` and `newgidmap`.
    UsernsHelper,
    /// A user namespace whose ids we map ourselves.
    UsernsDirect,
    /// A user namespace with one id; the ownership ledger keeps the owners.
    SingleId,
    /// Namespaces made by real root, without a user namespace.
    Root,
    /// A changed root directory and nothing else.
    Chroot,
    /// The running container itself, which is the builder image.
    InPlace,
}

impl Rung {
    /// True where the step has mounts of its own: an overlay, a `/proc`, a `/dev`.
    pub fn has_mounts(self) -> bool {
        matches!(
            self,
            Self::UsernsHelper | Self::UsernsDirect | Self::SingleId | Self::Root
        )
    }

    /// True where files can have all the owners that an image gives them.
    pub fn has_real_owners(self) -> bool {
        self != Self::SingleId
    }
}
