//! How records name files: those of the project relative to its root, so that records that are carried to another checkout mean
//! the files there.

use std::path::{Component, Path, PathBuf};

use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::fs;
use crate::release::history::Target;

/// A file as records name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Name {
    /// Of the project: relative to its root.
    Inside(String),
    /// Of somewhere else: absolute.
    Outside(String),
}

impl Name {
    /// The name of a file, whose directory must be there.
    ///
    /// # Errors
    /// When there is no working directory, or the file's directory cannot be found.
    pub(in crate::cli) fn of(root: &Path, file: &Path) -> Result<Self, Diagnostic> {
        let real = real(file)?;
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        Ok(match real.strip_prefix(&root) {
            Ok(inside) => Self::Inside(inside.to_string_lossy().into_owned()),
            Err(_) => Self::Outside(real.to_string_lossy().into_owned()),
        })
    }

    /// The name as one text: relative or absolute.
    pub(in crate::cli) fn into_text(self) -> String {
        match self {
            Self::Inside(name) | Self::Outside(name) => name,
        }
    }
}

/// The file without symbolic links and `..` in its directory: lexically, a path with them may be outside while it looks inside.
fn real(file: &Path) -> Result<PathBuf, Diagnostic> {
    let failed = |error| fs::Error::new("find", file.to_owned(), error);
    let absolute = std::path::absolute(file).map_err(failed)?;
    let (Some(directory), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Ok(absolute);
    };
    Ok(directory.canonicalize().map_err(failed)?.join(name))
}

/// Where a file is that a record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum At {
    /// There.
    Known(PathBuf),
    /// An older version of this program wrote an absolute path that is not of this checkout: it may be that of another.
    Doubtful(PathBuf),
}

impl At {
    /// The path, however sure it is.
    pub(in crate::cli) fn path(&self) -> &Path {
        match self {
            Self::Known(path) | Self::Doubtful(path) => path,
        }
    }
}

/// The files that a deployment was written into.
///
/// # Errors
/// With [`Code::History`] for a name that leads out of the project: no version of this program writes one.
pub(in crate::cli) fn of(root: &Path, target: &Target) -> Result<Vec<At>, Diagnostic> {
    let Target::Manifests { files, outside, .. } = target else {
        return Ok(Vec::new());
    };
    let outside = outside.iter().map(|file| Ok(At::Known(file.into())));
    let inside = files.iter().map(|file| inside(root, Path::new(file)));
    inside.chain(outside).collect()
}

/// A file by the path that a record has: relative to the root, or absolute.
pub(in crate::cli) fn inside(root: &Path, file: &Path) -> Result<At, Diagnostic> {
    if file.is_absolute() {
        let real = root.canonicalize();
        let is_below = |root: &Path| file.starts_with(root);
        return Ok(
            match is_below(root) || real.is_ok_and(|root| is_below(&root)) {
                true => At::Known(file.to_owned()),
                false => At::Doubtful(file.to_owned()),
            },
        );
    }
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !file.components().all(is_plain) {
        let what = format!(
            "a record names a file outside of the project: `{}`",
            file.display()
        );
        return Err(Diagnostic::new(Code::History, what));
    }
    Ok(At::Known(root.join(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(files: &[&str], outside: &[&str]) -> Target {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Target::Manifests {
            files: owned(files),
            outside: owned(outside),
            container: None,
            workload: None,
            namespace: None,
            init_containers: false,
            base_image: None,
        }
    }

    #[test]
    fn files_of_the_project_are_named_from_its_root_whatever_leads_there() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("shop");
        std::fs::create_dir_all(root.join("k8s/dev")).unwrap();
        std::fs::create_dir_all(directory.path().join("gitops")).unwrap();
        std::os::unix::fs::symlink(&root, directory.path().join("link")).unwrap();
        let name = |path: &str| Name::of(&root, &directory.path().join(path)).unwrap();
        let inside = Name::Inside("k8s/dev/web.yaml".to_owned());
        assert_eq!(name("shop/k8s/dev/web.yaml"), inside);
        assert_eq!(name("shop/k8s/dev/../dev/web.yaml"), inside);
        assert_eq!(name("link/k8s/dev/web.yaml"), inside);
        let there = directory
            .path()
            .canonicalize()
            .unwrap()
            .join("gitops/web.yaml");
        let outside = Name::Outside(there.to_str().unwrap().to_owned());
        assert_eq!(name("gitops/web.yaml"), outside);
        assert_eq!(name("shop/../gitops/web.yaml"), outside);
        // The same project under its other name.
        let link = directory.path().join("link");
        assert_eq!(
            Name::of(&link, &root.join("k8s/dev/web.yaml")).unwrap(),
            inside
        );
    }

    #[test]
    fn a_record_means_the_files_of_this_checkout() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let own = root.join("a/web.yaml");
        assert_eq!(
            of(&root, &target(&["a/web.yaml"], &["/gitops/web.yaml"])).unwrap(),
            [At::Known(own.clone()), At::Known("/gitops/web.yaml".into())]
        );
        // As older versions wrote them.
        assert_eq!(
            of(
                &root,
                &target(&[own.to_str().unwrap(), "/old/shop/a/web.yaml"], &[])
            )
            .unwrap(),
            [At::Known(own), At::Doubtful("/old/shop/a/web.yaml".into())]
        );
        for hostile in ["../web.yaml", "a/../../web.yaml"] {
            let refused = of(&root, &target(&[hostile], &[])).unwrap_err();
            assert_eq!(refused.code, Code::History);
            assert!(refused.what.contains(hostile), "{}", refused.what);
        }
    }
}
