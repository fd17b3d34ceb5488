//! A directory of this machine.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Error, SourceEntry, SourceKind, SourceTree, environment};
use crate::event::{Event, Observer};
use crate::fs::Context;

/// The file that pip installs from.
const REQUIREMENTS: &str = "requirements.txt";
/// The most that files which are read whole may have.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Lists a directory: every file, directory and link below it, sorted by path, without `.git` directories. Links stay
/// links, wherever they point. Pipes, sockets and devices are left out with a warning.
///
/// # Errors
/// [`Error::Absent`], [`Error::NotADirectory`]; [`Error::Unreadable`] for the first file that this user may not read:
/// a build that leaves a file out is worse than none; [`Error::Requirements`] when `requirements.txt` is no text.
pub fn read(directory: &Path, observer: &dyn Observer) -> Result<SourceTree, Error> {
    let shown = directory.display().to_string();
    match fs::metadata(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Absent { path: shown });
        }
        Err(error) => return Err(crate::fs::Error::new("read", directory, error).into()),
        Ok(metadata) if !metadata.is_dir() => return Err(Error::NotADirectory { path: shown }),
        Ok(_) => {}
    }
    let root = fs::canonicalize(directory).context("find", directory)?;
    let mut tree = SourceTree {
        root: root.clone(),
        entries: Vec::new(),
        environment: Vec::new(),
    };
    // The walker of `ignore`, with every rule of its own switched off: which files are wanted is decided here.
    let walk = ignore::WalkBuilder::new(&root)
        .standard_filters(false)
        .follow_links(false)
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git")
        .build();
    for found in walk {
        let found = found.map_err(|error| Error::Unreadable {
            path: shown.clone(),
            reason: error.to_string(),
        })?;
        if found.depth() == 0 {
            continue;
        }
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let metadata = fs::symlink_metadata(found.path()).context("read", found.path())?;
        match entry(&root, found.path(), &metadata)? {
            Some(entry) => tree.entries.push(entry),
            None => observer.observe(Event::Warning {
                text: format!(
                    "`{}` is no file, directory or link and is left out",
                    found.path().display()
                ),
                hint: None,
            }),
        }
    }
    tree.entries.sort_by(|a, b| a.path.cmp(&b.path));
    check_requirements(&tree)?;
    if tree.file(".s2i/environment").is_some() {
        tree.environment = environment::parse(&read_text(&root.join(".s2i/environment"))?);
    }
    Ok(tree)
}

fn entry(root: &Path, file: &Path, metadata: &Metadata) -> Result<Option<SourceEntry>, Error> {
    let relative = file.strip_prefix(root).unwrap_or(file);
    let kind = if metadata.is_dir() {
        SourceKind::Directory
    } else if metadata.is_symlink() {
        let target = fs::read_link(file).context("read link", file)?;
        SourceKind::Symlink {
            target: target.as_os_str().as_bytes().to_vec(),
        }
    } else if metadata.is_file() {
        rustix::fs::access(file, rustix::fs::Access::READ_OK)
            .map_err(|errno| unreadable(relative, &errno.into()))?;
        SourceKind::File {
            is_executable: metadata.permissions().mode() & 0o111 != 0,
            size: metadata.len(),
        }
    } else {
        return Ok(None);
    };
    Ok(Some(SourceEntry {
        path: relative.as_os_str().as_bytes().to_vec(),
        kind,
    }))
}

fn unreadable(relative: &Path, error: &std::io::Error) -> Error {
    let reason = crate::fs::reason(error);
    match relative.to_str() {
        Some(REQUIREMENTS) => Error::Requirements { reason },
        _ => Error::Unreadable {
            path: relative.display().to_string(),
            reason,
        },
    }
}

fn check_requirements(tree: &SourceTree) -> Result<(), Error> {
    let refuse = |reason: &str| {
        Err(Error::Requirements {
            reason: reason.to_owned(),
        })
    };
    let Some(entry) = tree
        .entries
        .iter()
        .find(|entry| entry.path == REQUIREMENTS.as_bytes())
    else {
        return Ok(());
    };
    let path = tree.root.join(REQUIREMENTS);
    match &entry.kind {
        SourceKind::Directory => return refuse("it is a directory"),
        SourceKind::Symlink { target } if path.is_file() => {
            // Inside the image it would lead nowhere, and the packages would silently not be installed.
            let real = fs::canonicalize(&path).context("find", &path)?;
            if !real.starts_with(&tree.root) || target.starts_with(b"/") {
                let target = String::from_utf8_lossy(target);
                return refuse(&format!(
                    "it is a link to `{target}`, which is not in the source"
                ));
            }
        }
        SourceKind::Symlink { target } => {
            let target = String::from_utf8_lossy(target);
            return refuse(&format!("it is a link to `{target}`, which is not a file"));
        }
        _ => {}
    }
    let bytes =
        crate::fs::read_limited(&path, MAX_TEXT_BYTES).map_err(|error| Error::Requirements {
            reason: crate::fs::reason(&error.source),
        })?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains('\0') => refuse("it holds NUL bytes; is it a text file?"),
        Ok(_) => Ok(()),
        // pip understands UTF-16 with a byte order mark; nothing else that is not UTF-8.
        Err(_) if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) => Ok(()),
        Err(error) => refuse(&format!("it is not UTF-8 (byte {})", error.valid_up_to())),
    }
}

fn read_text(path: &Path) -> Result<String, Error> {
    let bytes = crate::fs::read_limited(path, MAX_TEXT_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::event::Silent;

    fn tree(fill: impl Fn(&Path)) -> (tempfile::TempDir, Result<SourceTree, Error>) {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path());
        let tree = read(directory.path(), &Silent);
        (directory, tree)
    }

    #[test]
    fn everything_but_git_is_listed_in_order() {
        let (_directory, tree) = tree(|root| {
            for name in [
                ".git/HEAD",
                "app.py",
                "pkg/.git/x",
                "pkg/a.py",
                ".s2i/environment",
                ".hidden",
                ".gitignore",
            ] {
                fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
                fs::write(root.join(name), "A=1").unwrap();
            }
            symlink("/etc/passwd", root.join("link")).unwrap();
        });
        let tree = tree.unwrap();
        let names: Vec<_> = tree
            .entries
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.path).into_owned())
            .collect();
        assert_eq!(
            names,
            [
                ".gitignore",
                ".hidden",
                ".s2i",
                ".s2i/environment",
                "app.py",
                "link",
                "pkg",
                "pkg/a.py"
            ]
        );
        assert_eq!(tree.environment, [("A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn what_is_no_source_is_refused_with_the_reason() {
        assert!(matches!(
            read(Path::new("/no/such/source"), &Silent),
            Err(Error::Absent { .. })
        ));
        assert!(matches!(
            read(Path::new("/etc/passwd"), &Silent),
            Err(Error::NotADirectory { .. })
        ));
        type Make = fn(&Path);
        let requirements: [(&str, Make); 4] = [
            ("directory", |path| fs::create_dir(path).unwrap()),
            ("UTF-8", |path| fs::write(path, b"flask\xe9").unwrap()),
            ("NUL", |path| fs::write(path, b"flask\0").unwrap()),
            ("link", |path| symlink("nowhere", path).unwrap()),
        ];
        for (expected, make) in requirements {
            let (_directory, tree) = tree(|root| make(&root.join(REQUIREMENTS)));
            let error = tree.unwrap_err();
            assert!(
                matches!(error, Error::Requirements { .. }) && error.to_string().contains(expected),
                "{error}"
            );
        }
    }
}
