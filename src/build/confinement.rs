//! How steps are kept apart from this machine, as decided before they run.

use std::fmt;

use crate::sandbox::Rung;

/// What keeps steps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// How high the walls are.
    pub rung: Rung,
    /// What the root file system is made of.
    pub rootfs: RootfsKind,
}

/// What a step's root file system is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootfsKind {
    /// Layers stacked by overlay.
    Overlay,
    /// Layers merged into one directory, which the step changes and which is repaired afterwards.
    Extracted,
    /// The running container itself.
    Host,
}

impl fmt::Display for RootfsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlay => "overlay",
            Self::Extracted => "extracted",
            Self::Host => "this container",
        })
    }
}
