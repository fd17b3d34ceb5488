//! Why nothing was copied.

use crate::{http, image, output, reference, registry, store};

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The store, or another layout.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A layout or an archive.
    #[error(transparent)]
    Output(#[from] output::Error),
    /// A document.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The HTTP client cannot be started.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// The store has no image of that name.
    #[error("the store has no image `{name}`")]
    NotInStore {
        /// What was looked for.
        name: String,
    },
    /// A name in the store that is no reference.
    #[error(transparent)]
    Name(#[from] reference::ParseError),
    /// Nobody could find the image again.
    #[error("the image would have no name in `{target}`: `{source_end}` does not give it one")]
    Nameless {
        /// Where it is.
        source_end: String,
        /// Where it was to be.
        target: String,
    },
}

impl Error {
    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Output(error) => error.hints(),
            Self::NotInStore { .. } => vec!["`overcoat images` lists what it has".to_owned()],
            Self::Nameless { .. } => vec![
                "copy it to `oci:DIR:NAME` or `store:NAME` first: a name is part of these"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}
