//! Projects in directories, for tests.

use std::collections::BTreeMap;

use super::{Error, Project, Wanted, load};

/// A project's directory with these files.
pub(super) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

pub(super) fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

pub(super) fn loaded(files: &[(&str, &str)], pairs: &[(&str, &str)]) -> Result<Project, Error> {
    let directory = tree(files);
    load(&Wanted {
        directory: directory.path().to_owned(),
        variables: variables(pairs),
        ..Wanted::default()
    })
}

#[track_caller]
pub(super) fn refusal(files: &[(&str, &str)], pairs: &[(&str, &str)]) -> String {
    let error = loaded(files, pairs).unwrap_err();
    format!("{error} {}", error.hints().join(" "))
}
