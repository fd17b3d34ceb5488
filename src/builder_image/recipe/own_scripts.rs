//! S2I scripts that a recipe brings itself: `[scripts]` of `recipe.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use super::definition::Definition;
use super::{Error, MAX_FILE};
use crate::fs;

/// How many there may be.
const MAX_SCRIPTS: usize = 100;

/// The scripts by name: every regular file in the directory that `[scripts]` names, but for hidden ones; none without
/// `[scripts]`. `origin` is what errors call the recipe.
///
/// # Errors
/// [`Error::Definition`] for a recipe without a directory, a directory without scripts, and what is no file;
/// [`Error::File`] when the directory or a script cannot be read, or is larger than 1 MiB.
pub(super) fn read(
    definition: &Definition,
    origin: &str,
    directory: Option<&Path>,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let Some(wanted) = &definition.scripts else {
        return Ok(BTreeMap::new());
    };
    let refuse = |reason: String| Error::Definition {
        recipe: origin.to_owned(),
        line: None,
        reason,
    };
    let named = &wanted.directory;
    let Some(directory) = directory else {
        return Err(refuse(format!(
            "`[scripts]` names `{named}`, and a recipe without a directory has no files"
        )));
    };
    let directory = directory.join(named);
    let mut scripts = BTreeMap::new();
    for name in fs::list(&directory)? {
        let path = directory.join(&name);
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
            continue;
        };
        let metadata = fs::Context::context(path.symlink_metadata(), "read", &path)?;
        if !metadata.is_file() {
            return Err(refuse(format!(
                "`{named}/{name}` is no file, as scripts are"
            )));
        }
        scripts.insert(name.to_owned(), fs::read_limited(&path, MAX_FILE)?);
        if scripts.len() > MAX_SCRIPTS {
            return Err(refuse(format!(
                "`{named}` has more than {MAX_SCRIPTS} files"
            )));
        }
    }
    match scripts.is_empty() {
        true => Err(refuse(format!("`{named}` in `[scripts]` has no file"))),
        false => Ok(scripts),
    }
}
