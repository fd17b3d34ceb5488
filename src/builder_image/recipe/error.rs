//! Why there is no builder image from a recipe.

use crate::debian;
use crate::fs;
use crate::image::{self, Platform};
use crate::layer::{self, entry::PathError};
use crate::store;

/// Why a recipe cannot be had or materialised.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No shipped recipe has this name.
    #[error("there is no recipe `{name}`; there are {}", quoted(known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The recipe's text is wrong.
    #[error("the recipe `{recipe}` is invalid{}: {reason}", line.map(|line| format!(" at line {line}")).unwrap_or_default())]
    Definition {
        /// Its name or path.
        recipe: String,
        /// The line, where one is to blame.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// The recipe names a keyring that is neither beside it nor shipped.
    #[error(
        "the recipe `{recipe}` believes the key `{key}`, which is neither in its directory `keys` nor known"
    )]
    Key {
        /// The recipe.
        recipe: String,
        /// The keyring's file name.
        key: String,
    },
    /// The recipe's name cannot be part of an image's.
    #[error("`{name}` cannot be the name of a recipe: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Debian has nothing for the platform.
    #[error("the recipe `{recipe}` cannot be made for `{platform}`, which Debian does not know")]
    Platform {
        /// The recipe.
        recipe: String,
        /// The platform.
        platform: Platform,
    },
    /// The packages cannot be had or read.
    #[error(transparent)]
    Debian(#[from] debian::Error),
    /// Two packages have the same file.
    #[error("the packages `{other}` and `{package}` both have `{path}`")]
    Twice {
        /// The path in the image.
        path: String,
        /// The package that came second.
        package: String,
        /// The package that came first.
        other: String,
    },
    /// Something is in a file instead of a directory.
    #[error("`{path}` cannot be made: `{above}`, which is from `{owner}`, is no directory")]
    Misplaced {
        /// The path in the image.
        path: String,
        /// What should be a directory.
        above: String,
        /// The package that has it, or what else made it.
        owner: String,
    },
    /// The recipe makes a file where something else is in the way.
    #[error("the recipe cannot make `{path}`: {by} is there")]
    Occupied {
        /// The path in the image.
        path: String,
        /// What is there.
        by: &'static str,
    },
    /// The recipe refers to something that no package has.
    #[error("no package has `{path}`, which is needed by `{needed_by}`")]
    Missing {
        /// The path or pattern.
        path: String,
        /// What refers to it.
        needed_by: String,
    },
    /// A file that the recipe wants to read is larger than such a file ever is.
    #[error("`{path}` has more than {limit_bytes} bytes, too many for a file that the recipe uses")]
    TooLarge {
        /// The path in the image.
        path: String,
        /// How many are allowed.
        limit_bytes: u64,
    },
    /// A package's member has a number that no layer should hold.
    #[error("`{path}` of the package `{package}` has the {what} {value}, which is out of range")]
    Number {
        /// The package.
        package: String,
        /// The member.
        path: String,
        /// What the number is.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// A wheel for the virtual environment cannot be used.
    #[error("the wheel `{path}` cannot be used: {reason}")]
    Wheel {
        /// Its path in the image.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A path that no layer may hold.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A layer cannot be written.
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// The image's documents contradict each other, which is a bug.
    #[error("the image of the recipe is inconsistent: {0}")]
    Image(#[from] image::Error),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file of a recipe cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" and ")
}

impl Error {
    /// True when there is no such recipe.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
            || matches!(self, Self::File(error) if error.is_absent())
    }

    /// True when the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Debian(error) => error.is_full(),
            Self::Layer(error) => error.is_full(),
            Self::Store(error) => error.is_full(),
            Self::File(error) => error.is_full(),
            _ => false,
        }
    }

    /// True when the person asked to stop.
    pub fn is_interrupted(&self) -> bool {
        matches!(
            self,
            Self::Interrupted
                | Self::Debian(debian::Error::Interrupted)
                | Self::Layer(layer::Error::Interrupted)
                | Self::Store(store::Error::Interrupted)
        )
    }

    /// What a person can do about it, best first; may be empty.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Debian(error) => return error.hints(),
            Self::Unknown { .. } => {
                "a recipe of your own is named by its directory, with a slash: `builder:./NAME`"
            }
            Self::Key { .. } => "put the keyring into the directory `keys` beside `recipe.toml`",
            Self::Name { .. } => {
                "give the recipe's directory a name in lower case, like `python-3.13`"
            }
            Self::Platform { .. } => {
                "use an image from a registry instead: `--build-image REGISTRY/IMAGE`"
            }
            Self::Twice { .. } => "remove one of the two from the recipe's packages",
            Self::File(error) if error.is_absent() => {
                "a recipe is a directory with a file `recipe.toml`"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
