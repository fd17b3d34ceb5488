//! `--incremental`: what the image that is about to be replaced keeps for its successor.
//!
//! `save-artifacts` runs in the previous image and prints a tar archive, which `assemble` finds unpacked in
//! `DESTINATION/artifacts`. It is a shortcut and never a reason to fail: whatever goes wrong is told, and the build goes on
//! without.
//!
//! # Spec
//! `s2i-compat.md` §2.15.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::assemble::{self, Step};
use super::request::BuildRequest;
use super::rootfs::{RootFs, Wanted};
use super::s2i::{Incremental, PullPolicy};
use super::scripts::Scripts;
use super::{Bytes, Error, ImageSource, Tools, commit, find_image, plan};
use crate::builder_image::{BuilderImage, Script};
use crate::event::{Event, Observer, stage};
use crate::fs::Context;
use crate::layer::EntryPath;
use crate::reference::Reference;
use crate::sandbox::{Capture, Upload, UploadContent};
use crate::source::SourceTree;
use crate::source::archive::{self, Limits};

/// The most that `save-artifacts` may print, in bytes.
const MAX_ARCHIVE: u64 = 16 << 30;

/// What the previous image keeps for this build, as what is put into the root file system; `None` when there is no such
/// image, or none whose `save-artifacts` ended well.
///
/// # Errors
/// [`Error::Interrupted`]. All else is a warning: what is wrong with this machine ends the build soon enough.
pub(super) fn artifacts(
    incremental: &Incremental,
    request: &BuildRequest,
    scripts: &Scripts,
    destination: &str,
    source: &SourceTree,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Option<Vec<Upload>>, Error> {
    let Some(previous) = previous(incremental, request, tools, observer)? else {
        return Ok(None);
    };
    let doing = Saving {
        request,
        scripts,
        destination,
        source,
        previous: &previous,
    };
    match doing.save(tools, observer) {
        Ok(uploads) => Ok(uploads),
        // Whichever part of the work noticed it.
        Err(_) if observer.is_cancelled() => Err(Error::Interrupted),
        Err(error) => {
            observer.observe(Event::Warning {
                text: format!(
                    "nothing is taken over from `{}`: {error}",
                    incremental.previous
                ),
                hint: None,
            });
            Ok(None)
        }
    }
}

/// True for names that nobody can push to: `app:1` on Docker Hub belongs to Docker.
fn is_local_name(reference: &Reference) -> bool {
    reference.host() == "docker.io" && reference.repository().starts_with("library/")
}

/// The image that is about to be replaced, with all its layers; `None` when there is none yet.
fn previous(
    incremental: &Incremental,
    request: &BuildRequest,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Option<BuilderImage>, Error> {
    let reference = &incremental.previous;
    let policy = match incremental.pull {
        PullPolicy::IfNotPresent if is_local_name(reference) => PullPolicy::Never,
        policy => policy,
    };
    let looking = stage(observer, "look at", reference.to_string());
    let found = find_image(
        &ImageSource::Reference(reference.clone()),
        &request.platform,
        policy,
        Bytes::All,
        tools,
        observer,
    );
    let reason = match found {
        Ok((image, name)) => {
            looking.finish("");
            return Ok(Some(BuilderImage::from_image(image, &name)));
        }
        Err(_) if observer.is_cancelled() => return Err(Error::Interrupted),
        Err(error) => error.to_string(),
    };
    looking.finish("there is none yet");
    observer.observe(Event::Note {
        text: format!("there is no previous image `{reference}` to take artifacts from: {reason}"),
    });
    Ok(None)
}

struct Saving<'a> {
    request: &'a BuildRequest,
    scripts: &'a Scripts,
    destination: &'a str,
    source: &'a SourceTree,
    previous: &'a BuilderImage,
}

impl Saving<'_> {
    fn save(
        &self,
        tools: &Tools<'_>,
        observer: &dyn Observer,
    ) -> Result<Option<Vec<Upload>>, Error> {
        let Self {
            request, previous, ..
        } = self;
        // A script from elsewhere goes before the image's own.
        let uploaded = self.scripts.only(Script::SaveArtifacts);
        let path = match uploaded.get(Script::SaveArtifacts) {
            Some(found) if found.is_uploaded() => {
                uploaded.path(Script::SaveArtifacts, self.destination)
            }
            _ => {
                let own = previous.scripts();
                own.and_then(|own| own.place.path_in_image(Script::SaveArtifacts))
            }
        };
        let Some(path) = path else {
            let text = format!("`{}` has no script `save-artifacts`", previous.name());
            observer.observe(Event::Note { text });
            return Ok(None);
        };
        let nothing = SourceTree {
            entries: Vec::new(),
            environment: Vec::new(),
            ..self.source.clone()
        };
        let plain = BuildRequest {
            environment: Vec::new(),
            ..(*request).clone()
        };
        let variables = plan::script_environment(&plain, &nothing, previous);
        let mut process = plan::process(request, previous, &path, variables);
        if let Some(user) = &request.assemble_user {
            process.user.clone_from(user);
        }
        let workspace = tools.store.workspace()?;
        let capture = Capture {
            file: workspace.join("artifacts.tar"),
            limit: MAX_ARCHIVE,
        };
        let step = Step {
            script: Script::SaveArtifacts.name(),
            process: &process,
            destination: self.destination,
            scripts: &uploaded,
            application_directory: &EntryPath::root(),
            form: commit::Form {
                epoch: request.epoch,
                compression: request.compression,
            },
            inputs: &request.inputs,
            builder: previous.name(),
            name: "save-artifacts",
            capture: Some(&capture),
        };
        let confinement = tools.confinement.ok_or(Error::NothingMayRun)?;
        let wanted = Wanted {
            image: previous.image(),
            name: previous.name(),
            confinement,
            threads: tools.threads,
            ours: &[],
        };
        let root = RootFs::prepare(
            &wanted,
            tools.store,
            workspace.join("save-artifacts"),
            observer,
        )?;
        let sandbox = root.sandbox(&tools.program)?;
        let uploads = assemble::uploads(&step, &nothing);
        let ended = assemble::run(&step, uploads, &sandbox, tools, observer);
        root.finish(observer)?;
        ended?;
        let unpacking = stage(observer, "unpack artifacts", "");
        let directory = workspace.join("artifacts");
        crate::fs::create_dir_all(&directory)?;
        let mut file = crate::fs::open(&capture.file)?;
        let location = format!("what `save-artifacts` of `{}` printed", previous.name());
        archive::unpack(
            &mut file,
            &location,
            &directory,
            Limits::default(),
            observer,
        )?;
        std::fs::remove_file(&capture.file).context("remove", &capture.file)?;
        let uploads = self.found(&directory)?;
        unpacking.finish(format!("{} files", uploads.len()));
        Ok(Some(uploads))
    }

    /// What lies in a directory of this machine, for `DESTINATION/artifacts`.
    fn found(&self, directory: &Path) -> Result<Vec<Upload>, Error> {
        let mut uploads = Vec::new();
        for found in walkdir::WalkDir::new(directory).sort_by_file_name() {
            let found =
                found.map_err(|error| crate::fs::Error::new("read", directory, error.into()))?;
            let path = found.path();
            let below = path
                .strip_prefix(directory)
                .unwrap_or(path)
                .as_os_str()
                .as_bytes();
            let slash: &[u8] = if below.is_empty() { b"" } else { b"/" };
            let metadata = found
                .metadata()
                .map_err(std::io::Error::from)
                .context("read", path)?;
            let content = if metadata.is_dir() {
                UploadContent::Directory
            } else if metadata.is_symlink() {
                let target = std::fs::read_link(path).context("read link", path)?;
                UploadContent::Symlink {
                    target: target.as_os_str().as_bytes().to_vec(),
                }
            } else {
                UploadContent::File {
                    source: path.as_os_str().as_bytes().to_vec(),
                    mode: metadata.permissions().mode() & 0o777,
                }
            };
            let root = format!("{}/artifacts", self.destination);
            uploads.push(Upload {
                target: [root.as_bytes(), slash, below].concat(),
                content,
                mtime: metadata.mtime(),
            });
        }
        Ok(uploads)
    }
}
