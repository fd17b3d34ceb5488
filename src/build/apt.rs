//! What a step with apt gets of this machine: its mirrors, its certificates, its proxies. Nothing of it stays in the
//! image.
//!
//! Certificates and proxies come in a file of settings that [`CONFIGURATION_VARIABLE`] names. Mirrors cannot: apt has no
//! setting that replaces an address, and pointing it at other source files would hide what a hook adds to
//! `/etc/apt/sources.list.d`. Mounting files over the image's would make `sed --in-place` and `rm` fail, and only on
//! machines with a mirror. So the image's own source files are *put* there with other addresses, like the application's
//! source, and when the step has ended they are taken back: an untouched file is no change, and in one that the step
//! rewrote Debian's own addresses return.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::assemble::Loan;
use crate::debian::mirror::Mirrors;
use crate::layer::change::{Before, Change, Content, Layers};
use crate::layer::owners::RealOwners;
use crate::layer::stack::Stack;
use crate::layer::{Entry, EntryPath, Kind};
use crate::sandbox::{Upload, UploadContent};

/// Where a step finds settings for apt; a mount, never in the image.
pub(super) const CONFIGURATION: &str = "/run/overcoat/apt.conf";
/// The variable that names it. apt reads that file first, so the image's own settings win.
pub(super) const CONFIGURATION_VARIABLE: &str = "APT_CONFIG";

/// Where source files are.
const SOURCES: &str = "etc/apt/sources.list";
const SOURCES_DIRECTORY: &str = "etc/apt/sources.list.d";
/// The largest source file that is looked at, in bytes. A layer may hold anything.
const MAX_BYTES: u64 = 1 << 20;
/// How many of them are looked at.
const MAX_FILES: usize = 100;

/// The text of [`CONFIGURATION`], if there is anything to say; `certificates` is where the step finds them.
pub(super) fn configuration(loan: &Loan, certificates: &str) -> Option<String> {
    let mut text = String::new();
    if !loan.certificates.is_empty() {
        // apt does not read SSL_CERT_FILE.
        text.push_str(&format!("Acquire::https::CaInfo \"{certificates}\";\n"));
    }
    for (name, value) in &loan.apt {
        text.push_str(&format!("{name} \"{value}\";\n"));
    }
    (!text.is_empty()).then_some(text)
}

/// The image's source files that name Debian's own addresses, while a step sees others in their place.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    mirrors: &'a Mirrors,
    files: Vec<Lent>,
}

/// One source file.
#[derive(Debug)]
struct Lent {
    /// As the image has it.
    entry: Entry,
    original: String,
    /// As the step sees it.
    text: String,
}

impl<'a> Sources<'a> {
    /// Looks through the stacked layers `lowers` (topmost first). There is nothing to lend when the host uses Debian's
    /// own addresses, or when `user`, as an image configuration writes users, is not root: apt installs for root only,
    /// and what is put belongs to the step's user.
    ///
    /// # Errors
    /// [`Error::Layer`] when a layer's directory cannot be read.
    pub(super) fn find(
        lowers: &[PathBuf],
        mirrors: &'a Mirrors,
        user: &str,
    ) -> Result<Self, Error> {
        let mut files = Vec::new();
        if matches!(user, "" | "0" | "root" | "0:0" | "root:root") {
            let mut paths = vec![EntryPath::parse(SOURCES.as_bytes())?];
            let directory = EntryPath::parse(SOURCES_DIRECTORY.as_bytes())?;
            let is_sources = |path: &EntryPath| {
                let name = path.file_name();
                name.ends_with(b".list") || name.ends_with(b".sources")
            };
            let stack = Stack::new(lowers);
            // Whose a file is matters only for those that root of this namespace does not own.
            let layers = Layers {
                stack: &stack,
                owners: &RealOwners,
            };
            let names = layers.names(&directory)?;
            let more = names.iter().filter_map(|name| directory.join(name).ok());
            paths.extend(more.filter(is_sources).take(MAX_FILES));
            for path in paths {
                files.extend(lendable(&layers, &path, mirrors)?);
            }
        }
        Ok(Self { mirrors, files })
    }

    /// What is to be put into the root file system; the files to be copied are written below `directory`.
    ///
    /// # Errors
    /// [`Error::File`] when they cannot be.
    pub(super) fn lend(&self, directory: &Path) -> Result<Vec<Upload>, Error> {
        let mut uploads = Vec::new();
        for (number, file) in self.files.iter().enumerate() {
            let source = directory.join(format!("apt-sources-{number}"));
            crate::fs::write_atomic(&source, file.text.as_bytes())?;
            uploads.push(Upload {
                target: [b"/", file.entry.path.as_bytes()].concat(),
                content: UploadContent::File {
                    source: source.as_os_str().as_bytes().to_vec(),
                    mode: file.entry.mode,
                },
                mtime: file.entry.mtime,
            });
        }
        Ok(uploads)
    }

    /// Removes from the step's changes what was lent. Files that must be written for it go below `directory`.
    ///
    /// # Errors
    /// [`Error::File`] when a changed file cannot be read, or the restored one not written.
    pub(super) fn take_back(
        &self,
        changes: &mut Vec<Change>,
        directory: &Path,
    ) -> Result<(), Error> {
        for (number, file) in self.files.iter().enumerate() {
            let path = &file.entry.path;
            let Ok(position) = changes.binary_search_by(|change| change.path().cmp(path)) else {
                continue;
            };
            let Change::Present {
                entry,
                content: Some(content),
            } = &mut changes[position]
            else {
                // Deleted, or replaced by something that is no file: the step's own doing.
                continue;
            };
            let Some(text) = read(content)? else {
                continue;
            };
            let restored = self.mirrors.restore(&text, &file.original);
            if restored == file.original
                && (entry.mode, entry.uid) == (file.entry.mode, file.entry.uid)
            {
                changes.remove(position);
            } else {
                let written = directory.join(format!("apt-sources-{number}-restored"));
                crate::fs::write_atomic(&written, restored.as_bytes())?;
                let size = restored.len() as u64;
                entry.kind = Kind::File { size };
                *content = written;
            }
        }
        Ok(())
    }
}

/// The file as it can be lent: a plain one of root's, which the mirrors change.
fn lendable(
    layers: &Layers<'_>,
    path: &EntryPath,
    mirrors: &Mirrors,
) -> Result<Option<Lent>, Error> {
    let Some(found) = layers.find(path)? else {
        return Ok(None);
    };
    let (entry, Content::File(file)) = (found.entry, found.content) else {
        return Ok(None);
    };
    let is_plain = matches!(entry.kind, Kind::File { size } if size <= MAX_BYTES)
        && (entry.uid, entry.gid) == (0, 0)
        && entry.xattrs.is_empty();
    if !is_plain {
        return Ok(None);
    }
    let Some(original) = read(&file)? else {
        return Ok(None);
    };
    Ok(mirrors.substitute(&original).map(|text| Lent {
        entry,
        original,
        text,
    }))
}

/// A file's text; `None` when it is no text or too large to be a source file.
fn read(file: &Path) -> Result<Option<String>, Error> {
    use crate::fs::Context;
    let size = std::fs::symlink_metadata(file).context("read", file)?.len();
    if size > MAX_BYTES {
        return Ok(None);
    }
    let bytes = crate::fs::read_limited(file, MAX_BYTES)?;
    Ok(String::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::event::Silent;
    use crate::layer::change;

    const OFFICIAL: &str = "deb http://deb.debian.org/debian sid main\n";
    const MIRRORED: &str = "deb http://mirror.example/debian sid main\n";

    fn mirrors() -> Mirrors {
        Mirrors {
            archive: "http://mirror.example/debian".to_owned(),
            ..Mirrors::default()
        }
    }

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A step on an image with `files` that does `work` to what was put: the changes that are left, with their text.
    fn after(files: &[(&str, &str)], work: impl Fn(&Path)) -> Vec<(String, String)> {
        let directory = tempfile::tempdir().unwrap();
        let [lower, upper, scratch] =
            ["lower", "upper", "scratch"].map(|name| directory.path().join(name));
        for path in [&lower, &upper, &scratch] {
            std::fs::create_dir(path).unwrap();
        }
        for (name, text) in files {
            write(&lower, name, text);
        }
        let (lowers, mirrors) = ([lower], mirrors());
        let sources = Sources::find(&lowers, &mirrors, "root").unwrap();
        for upload in sources.lend(&scratch).unwrap() {
            let UploadContent::File { source, .. } = upload.content else {
                panic!("not a file");
            };
            let target = EntryPath::parse(&upload.target).unwrap().below(&upper);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(std::ffi::OsStr::from_bytes(&source), target).unwrap();
        }
        work(&upper);
        let stack = Stack::new(&lowers);
        let before = Layers {
            stack: &stack,
            owners: &RealOwners,
        };
        let mut changes = change::from_overlay_upper(&upper, before, &Silent).unwrap();
        sources.take_back(&mut changes, &scratch).unwrap();
        let text = |change: &Change| match change {
            Change::Present {
                content: Some(path),
                entry,
            } => {
                let text = std::fs::read_to_string(path).unwrap();
                let size = text.len() as u64;
                assert_eq!(entry.kind, Kind::File { size });
                text
            }
            other => format!("{other:?}"),
        };
        changes
            .iter()
            .filter(|change| !matches!(change, Change::Present { entry, .. } if entry.kind == Kind::Directory))
            .map(|change| (change.path().to_string(), text(change)))
            .collect()
    }

    #[test]
    fn a_step_sees_the_mirror_and_the_layer_never_does() {
        let files = [
            ("etc/apt/sources.list", OFFICIAL),
            (
                "etc/apt/sources.list.d/other.list",
                "deb https://packages.example/x ./\n",
            ),
            ("etc/apt/sources.list.d/backup.list~", OFFICIAL),
        ];
        let seen = |upper: &Path| std::fs::read_to_string(upper.join("etc/apt/sources.list"));
        let left = after(&files, |upper| {
            assert_eq!(seen(upper).unwrap(), MIRRORED);
            assert!(!upper.join("etc/apt/sources.list.d").exists());
        });
        assert_eq!(left, []);
        let left = after(&files, |upper| {
            let text = seen(upper).unwrap().replace("main", "main contrib");
            write(upper, "etc/apt/sources.list", &text);
        });
        let edited = OFFICIAL.replace("main", "main contrib");
        assert_eq!(left, [("/etc/apt/sources.list".to_owned(), edited)]);
    }

    #[test]
    fn a_link_out_of_the_image_is_not_followed_and_odd_files_are_left_alone() {
        let outside = tempfile::tempdir().unwrap();
        write(outside.path(), "sources.list", OFFICIAL);
        let directory = tempfile::tempdir().unwrap();
        let lowers = [directory.path().to_owned()];
        let found = |user: &str| {
            let mirrors = mirrors();
            Sources::find(&lowers, &mirrors, user).unwrap().files.len()
        };
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        let apt = directory.path().join("etc/apt");
        symlink(outside.path(), &apt).unwrap();
        assert_eq!(found("root"), 0, "a directory that is a link");
        std::fs::remove_file(&apt).unwrap();
        std::fs::create_dir(&apt).unwrap();
        symlink(
            outside.path().join("sources.list"),
            apt.join("sources.list"),
        )
        .unwrap();
        assert_eq!(found("root"), 0, "a file that is a link");
        std::fs::remove_file(apt.join("sources.list")).unwrap();
        std::fs::write(
            apt.join("sources.list"),
            b"\xff http://deb.debian.org/debian",
        )
        .unwrap();
        assert_eq!(found("root"), 0, "no text");
        std::fs::write(apt.join("sources.list"), OFFICIAL).unwrap();
        assert_eq!((found("root"), found("1001")), (1, 0));
    }

    #[test]
    fn settings_name_the_certificates_and_the_host_s_proxies() {
        let configuration =
            |loan: &Loan| super::configuration(loan, "/run/overcoat/ca-certificates.crt");
        assert_eq!(configuration(&Loan::default()), None);
        let loan = Loan {
            certificates: b"x".to_vec(),
            apt: vec![(
                "Acquire::http::Proxy".into(),
                "http://p.example:3142".into(),
            )],
            ..Loan::default()
        };
        assert_eq!(
            configuration(&loan).unwrap(),
            "Acquire::https::CaInfo \"/run/overcoat/ca-certificates.crt\";\n\
             Acquire::http::Proxy \"http://p.example:3142\";\n"
        );
    }
}
