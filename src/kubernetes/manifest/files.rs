//! Which files are meant by names of files, directories and patterns.

use std::path::{Path, PathBuf};

use regex::Regex;

use super::Error;
use crate::fs::{self, Context};

/// What manifests are called in a directory.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The files that paths mean, in their order, each once: a file itself; of a directory what ends with `.yaml`, `.yml` or
/// `.json`, as `kubectl apply -f` takes it, without directories below; of a path with `*` or `?` in its last part the
/// files whose names are like that. Names that begin with a dot are left out of directories and patterns.
///
/// # Errors
/// [`Error::File`] for what is not there, [`Error::NoFile`] for a directory or a pattern without files.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut seen: Vec<PathBuf> = Vec::new();
    for path in paths {
        let meant = match pattern(path) {
            Some(pattern) if !path.exists() => {
                named(directory_of(path), |name| pattern.is_match(name))?
            }
            _ if path.is_dir() => named(path, has_ending)?,
            _ => vec![path.clone()],
        };
        if meant.is_empty() {
            return Err(Error::NoFile { path: path.clone() });
        }
        for file in meant {
            let itself = file.canonicalize().context("read", &file)?;
            if !seen.contains(&itself) {
                seen.push(itself);
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn directory_of(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn has_ending(name: &str) -> bool {
    let ending = Path::new(name)
        .extension()
        .and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

/// The pattern that the last part of a path is, if it is one.
fn pattern(path: &Path) -> Option<Regex> {
    let name = path.file_name()?.to_str()?;
    if !name.contains(['*', '?']) {
        return None;
    }
    let pattern = regex::escape(name).replace(r"\*", ".*").replace(r"\?", ".");
    Regex::new(&format!("^{pattern}$")).ok()
}

/// The files of a directory whose names are as `is_meant` says, sorted.
fn named(directory: &Path, is_meant: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, Error> {
    let shown = match directory == Path::new(".") {
        true => Path::new(""),
        false => directory,
    };
    let mut found = Vec::new();
    for name in fs::list(directory)? {
        // A name that is no text is a file's like any other: it is compared as it would be shown.
        let text = name.to_string_lossy();
        if !text.starts_with('.') && is_meant(&text) && directory.join(&name).is_file() {
            found.push(shown.join(name));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_directories_and_patterns_mean_files_each_once() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("sub.yaml")).unwrap();
        for name in ["b.yaml", "a.yml", "c.json", ".d.yaml", "e.txt", "03-x.yaml"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink("b.yaml", at("f.yaml")).unwrap();
        let found = |paths: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| at(path)).collect();
            let files = files(&paths).unwrap();
            let names = files
                .iter()
                .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(found(&[""]), ["03-x.yaml", "a.yml", "b.yaml", "c.json"]);
        assert_eq!(found(&["*.yaml"]), ["03-x.yaml", "b.yaml"]);
        assert_eq!(
            found(&["0?-*.yaml", "e.txt", "03-x.yaml"]),
            ["03-x.yaml", "e.txt"]
        );
        assert_eq!(
            found(&["f.yaml"]),
            ["f.yaml"],
            "a link is written through, not replaced"
        );
        let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"g\xff.yaml");
        std::fs::write(directory.path().join(odd), "").unwrap();
        let with_odd = files(&[at("*.yaml"), at("g?.yaml"), at("")]).unwrap();
        assert_eq!(with_odd.len(), 5, "{with_odd:?}");
        assert!(with_odd.contains(&directory.path().join(odd)));
        let nothing = files(&[at("*.toml")]).unwrap_err();
        assert!(matches!(nothing, Error::NoFile { .. }), "{nothing}");
        let absent = files(&[at("x.yaml")]).unwrap_err();
        assert!(
            matches!(absent, Error::File(_)) && absent.to_string().contains("x.yaml"),
            "{absent}"
        );
    }
}
