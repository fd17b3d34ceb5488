//! What overcoat carries with it: recipes, the keys they believe, and the S2I scripts of every builder.
//!
//! All of it is part of the program, so that one file is all that has to be installed.

/// The recipes by name, sorted.
pub(super) const RECIPES: [(&str, &str); 2] = [
    (
        "python-3.11",
        include_str!("../../../builders/python-3.11/recipe.toml"),
    ),
    (
        "python-3.13",
        include_str!("../../../builders/python-3.13/recipe.toml"),
    ),
];

/// Where the scripts go in the image.
pub(super) const SCRIPTS_DIRECTORY: &str = "/usr/libexec/s2i";

/// The scripts by name, sorted.
pub(super) const SCRIPTS: [(&str, &[u8]); 4] = [
    (
        "assemble",
        include_bytes!("../../../s2i-scripts/python/assemble"),
    ),
    ("run", include_bytes!("../../../s2i-scripts/python/run")),
    (
        "save-artifacts",
        include_bytes!("../../../s2i-scripts/python/save-artifacts"),
    ),
    ("usage", include_bytes!("../../../s2i-scripts/python/usage")),
];

/// A virtual environment's `bin/activate`; `@VENV@` stands for its path.
pub(super) const ACTIVATE: &str = include_str!("activate.sh");

/// The keyrings by file name. `builders/README.md` tells whose they are.
pub(super) const KEYS: [(&str, &[u8]); 6] = [
    (
        "debian-archive-bookworm-automatic.asc",
        include_bytes!("../../../builders/keys/debian-archive-bookworm-automatic.asc"),
    ),
    (
        "debian-archive-bookworm-security-automatic.asc",
        include_bytes!("../../../builders/keys/debian-archive-bookworm-security-automatic.asc"),
    ),
    (
        "debian-archive-bookworm-stable.asc",
        include_bytes!("../../../builders/keys/debian-archive-bookworm-stable.asc"),
    ),
    (
        "debian-archive-trixie-automatic.asc",
        include_bytes!("../../../builders/keys/debian-archive-trixie-automatic.asc"),
    ),
    (
        "debian-archive-trixie-security-automatic.asc",
        include_bytes!("../../../builders/keys/debian-archive-trixie-security-automatic.asc"),
    ),
    (
        "debian-archive-trixie-stable.asc",
        include_bytes!("../../../builders/keys/debian-archive-trixie-stable.asc"),
    ),
];
