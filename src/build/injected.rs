//! What an injection stands for: the files below its source, and their place in the image.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::injection::Injection;
use super::inputs::inner_path;
use crate::sandbox::{self, InjectedFile};

/// They are in memory while the step runs.
const MOST_BYTES: u64 = 256 << 20;
/// More files than these are no settings and keys; a volume is for that.
const MOST_FILES: usize = 10_000;

impl Injection {
    /// Finds the files. `working_directory` is the image's, `mtime` what all files show.
    ///
    /// As Kubernetes mounts need it, a link to a file becomes that file, and a link to a directory is passed over.
    ///
    /// # Errors
    /// [`sandbox::Error::Injection`] when the source is not there or too much, or the destination is the sandbox's own.
    pub(super) fn resolve(
        &self,
        working_directory: &str,
        mtime: i64,
    ) -> Result<sandbox::Injection, sandbox::Error> {
        let name = self.source.display().to_string();
        let target = absolute(working_directory, &self.destination);
        // The root itself can receive files, though it cannot be replaced.
        let checked = match target.as_str() {
            "/" => Ok(target.clone()),
            other => inner_path(other),
        };
        let target = checked.map_err(|reason| self.refuse(reason, None))?;
        let metadata = std::fs::metadata(&self.source)
            .map_err(|error| self.refuse(crate::fs::reason(&error), None))?;
        if !metadata.is_dir() {
            if !metadata.is_file() {
                return Err(self.refuse("it is neither a file nor a directory".to_owned(), None));
            }
            let path = Path::new(self.source.file_name().unwrap_or_default()).to_owned();
            let mut total = 0;
            let file = self.file(path, self.source.clone(), &metadata, &mut total)?;
            return Ok(sandbox::Injection {
                name,
                target,
                is_single: true,
                files: vec![file],
                mtime,
            });
        }
        let mut files = Vec::new();
        let mut total = 0;
        for entry in WalkDir::new(&self.source).sort_by_file_name() {
            let entry = entry.map_err(|error| self.refuse(error.to_string(), None))?;
            if entry.file_type().is_dir() {
                continue;
            }
            let source = entry.path();
            let metadata = std::fs::metadata(source).map_err(|error| {
                let reason = crate::fs::reason(&error);
                self.refuse(format!("`{}`: {reason}", source.display()), None)
            })?;
            if !metadata.is_file() {
                continue;
            }
            let path = source.strip_prefix(&self.source).unwrap_or(source);
            let file = self.file(path.to_owned(), source.to_owned(), &metadata, &mut total)?;
            files.push(file);
            if files.len() > MOST_FILES {
                return Err(self.too_much(format!("it has more than {MOST_FILES} files")));
            }
        }
        Ok(sandbox::Injection {
            name,
            target,
            is_single: false,
            files,
            mtime,
        })
    }

    fn file(
        &self,
        path: PathBuf,
        source: PathBuf,
        metadata: &std::fs::Metadata,
        total: &mut u64,
    ) -> Result<InjectedFile, sandbox::Error> {
        *total = total.saturating_add(metadata.len());
        if *total > MOST_BYTES {
            return Err(self.too_much(format!("it has more than {} MiB", MOST_BYTES >> 20)));
        }
        // A step has another working directory than this process.
        let source = std::path::absolute(&source)
            .map_err(|error| self.refuse(crate::fs::reason(&error), None))?;
        Ok(InjectedFile {
            path: path.into_os_string().as_bytes().to_vec(),
            source: source.into_os_string().as_bytes().to_vec(),
            is_executable: metadata.permissions().mode() & 0o111 != 0,
        })
    }

    fn too_much(&self, reason: String) -> sandbox::Error {
        let hint =
            "injected files are kept in memory: show it as a volume, `--volume HOST:PATH:ro`";
        self.refuse(reason, Some(hint))
    }

    fn refuse(&self, reason: String, hint: Option<&str>) -> sandbox::Error {
        sandbox::Error::Injection {
            what: format!("`{}`", self.source.display()),
            reason,
            hint: hint.map(str::to_owned),
        }
    }
}

/// A path as seen from a working directory, without `.` and `..`.
fn absolute(working_directory: &str, path: &str) -> String {
    let mut clean = PathBuf::from("/");
    for part in Path::new(working_directory).join(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn injection(source: &Path, destination: &str) -> Injection {
        Injection {
            source: source.to_owned(),
            destination: destination.to_owned(),
        }
    }

    fn names(found: &sandbox::Injection) -> Vec<(String, bool)> {
        let name = |file: &InjectedFile| {
            let path = String::from_utf8(file.path.clone()).unwrap();
            (path, file.is_executable)
        };
        found.files.iter().map(name).collect()
    }

    /// Part of case 133.
    #[test]
    fn destinations_are_absolute_or_below_the_working_directory() {
        let directory = tempfile::tempdir().unwrap();
        let target = |destination: &str| {
            let found = injection(directory.path(), destination).resolve("/opt/app", 0);
            found.map(|found| found.target)
        };
        assert_eq!(target("").unwrap(), "/opt/app");
        assert_eq!(target("secrets/").unwrap(), "/opt/app/secrets");
        assert_eq!(target("../x/./y").unwrap(), "/opt/x/y");
        assert_eq!(target("/tmp").unwrap(), "/tmp");
        assert_eq!(target("../../..").unwrap(), "/");
        for reserved in ["/proc/x", "/dev", "../../run/secrets"] {
            let error = target(reserved).unwrap_err().to_string();
            assert!(error.contains("the sandbox needs itself"), "{error}");
        }
    }

    /// Part of cases 132, 133 and 218: what a mounted secret of Kubernetes looks like.
    #[test]
    fn links_to_files_are_files_and_links_to_directories_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("..2024/nested")).unwrap();
        fs::write(root.join("..2024/key"), "k").unwrap();
        fs::write(root.join("..2024/nested/tool"), "#!").unwrap();
        let mode = fs::Permissions::from_mode(0o510);
        fs::set_permissions(root.join("..2024/nested/tool"), mode).unwrap();
        symlink("..2024", root.join("..data")).unwrap();
        symlink("..data/key", root.join("key")).unwrap();
        let found = injection(root, "x").resolve("/", 7).unwrap();
        let expected = [
            ("..2024/key", false),
            ("..2024/nested/tool", true),
            ("key", false),
        ];
        assert_eq!(
            names(&found),
            expected.map(|(name, executable)| (name.to_owned(), executable))
        );
        assert!(!found.is_single && found.mtime == 7);
        assert!(found.files.iter().all(|file| file.source.starts_with(b"/")));

        let single = injection(&root.join("key"), "/etc")
            .resolve("/", 0)
            .unwrap();
        assert!(single.is_single && names(&single) == [("key".to_owned(), false)]);
    }

    #[test]
    fn what_is_missing_or_too_much_is_said_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let refused = |source: &Path| {
            let error = injection(source, "/tmp").resolve("/", 0).unwrap_err();
            (error.to_string(), error.hints())
        };
        let (text, _) = refused(&root.join("none"));
        assert!(text.contains("/none`: no such file"), "{text}");
        symlink("nowhere", root.join("broken")).unwrap();
        let (text, _) = refused(root);
        assert!(text.contains("/broken`: no such file"), "{text}");
        fs::remove_file(root.join("broken")).unwrap();
        let big = fs::File::create(root.join("big")).unwrap();
        big.set_len(MOST_BYTES + 1).unwrap();
        let (text, hints) = refused(root);
        assert!(text.contains("more than 256 MiB"), "{text}");
        assert!(hints[0].contains("--volume"), "{hints:?}");
    }
}
