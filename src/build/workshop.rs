//! Wheels built from source distributions: by the builder image's own pip, in the sandbox, one by one.
//!
//! ```text
//! source distribution ─fetch, by digest─▶ pip wheel --no-deps, in the builder image ─▶ wheels/sha256/HEX
//!                                                                                      wheels/built/KEY: which one it is
//! ```
//!
//! A wheel is kept by all that can change it: the source distribution, the builder image's files, the variables, the
//! indexes that the tools of its build come from.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::builder;
use super::cache::Inputs;
use super::cache::inputs::{add_file_system, of_this_machine};
use super::errand::{self, Errand, GIVEN, MADE};
use super::packages::{self, PipSettings};
use super::{BuildRequest, Error, Tools};
use crate::builder_image::BuilderImage;
use crate::digest::{Algorithm, Digest, Digester};
use crate::event::{Observer, stage};
use crate::fs::Context;
use crate::python::index::{self, File, Index};
use crate::python::tags::Ranking;
use crate::python::{PackageName, RemoteWheel, Target, Version, WheelName};
use crate::reference::Reference;
use crate::sandbox::{Network, Process};

/// The largest wheel that a build may make, in bytes.
const MAX_WHEEL: u64 = 8 << 30;
/// The largest record of a wheel.
const MAX_RECORD: u64 = 64 << 10;

/// What wheels are built with.
pub(super) struct Workshop<'a> {
    pub request: &'a BuildRequest,
    pub builder: &'a BuilderImage,
    /// The variables that a script would see, without those of this machine.
    pub environment: &'a [(String, String)],
    pub settings: &'a PipSettings,
    pub target: &'a Target,
    /// Where the builder image's layers are.
    pub origins: Vec<Reference>,
    pub tools: &'a Tools<'a>,
}

/// A wheel that was built, as it is remembered.
#[derive(Serialize, Deserialize)]
struct Built {
    wheel: String,
    digest: Digest,
    size: u64,
}

impl Workshop<'_> {
    /// What the place is called where this workshop's wheels come from, beside indexes: two of one name build the same.
    pub(super) fn place(&self) -> String {
        let inputs = self.inputs();
        format!("built:{}", inputs.key())
    }

    /// True where a wheel can be built, as far as it is known: the sandbox may not have been chosen yet.
    pub(super) fn is_open(&self) -> bool {
        let confinement = self.tools.confinement.as_ref();
        confinement.is_none_or(errand::are_possible)
    }

    /// All that can change a wheel but its source.
    fn inputs(&self) -> Inputs {
        let mut inputs = Inputs::new("wheel from source");
        add_file_system(&mut inputs, self.builder);
        let Process {
            arguments,
            environment,
            user,
            ..
        } = self.process("");
        inputs.add_list("the command", arguments);
        for (name, value) in environment {
            inputs.add(format!("variable `{name}`"), value);
        }
        inputs.add("the user", user);
        inputs.add_list("the indexes of this build", self.settings.parts());
        inputs.add("the time that files show", self.request.epoch.to_string());
        of_this_machine(&inputs, &self.tools.loan)
    }

    fn process(&self, file: &str) -> Process {
        let given = format!("{GIVEN}/{file}");
        let arguments = [
            &self.target.layout.interpreter,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--use-pep517",
            "--no-cache-dir",
            "--wheel-dir",
            MADE,
            &given,
        ];
        Process {
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: self.environment.to_vec(),
            working_directory: "/".to_owned(),
            user: self.builder.assemble_user().to_owned(),
        }
    }

    /// The wheel of a source distribution: remembered, or built now. `allowed` are the digests that the source may have,
    /// when the requirements list some.
    ///
    /// # Errors
    /// [`Error::NothingMayRun`] when it has to be built and there is no sandbox yet; [`Error::Errand`] when pip fails;
    /// [`Error::Packages`] for a source that is not what was promised, and a wheel that is of something else.
    pub(super) fn wheel(
        &self,
        index: &Index<'_>,
        source: &File,
        name: &PackageName,
        allowed: Option<&[Digest]>,
        observer: &dyn Observer,
    ) -> Result<RemoteWheel, Error> {
        let version = source.version();
        // Only what the index promises can be looked up without fetching it.
        let promised = source.digest.as_ref().map(|digest| self.record(digest));
        if let Some(found) = promised.and_then(|record| self.remembered(&record)) {
            return Ok(found);
        }
        if self.tools.confinement.is_none() {
            return Err(Error::NothingMayRun);
        }
        let scratch = self.tools.store.workspace()?.join("source");
        let fetched = index
            .fetch_source(source, &scratch, observer)
            .map_err(packages::Error::from)?;
        if let Some(allowed) = allowed
            && !allowed.contains(&fetched.digest)
        {
            let expected = allowed.first().cloned();
            return Err(packages::Error::from(index::Error::Digest {
                file: source.filename.clone(),
                url: source.url.clone(),
                expected: expected.unwrap_or_else(|| fetched.digest.clone()),
                found: fetched.digest,
            })
            .into());
        }
        let key = source.digest.as_ref().unwrap_or(&fetched.digest);
        let record = self.record(key);
        if let Some(found) = self.remembered(&record) {
            return Ok(found);
        }
        let built = self.build(&fetched.path, name, version, observer)?;
        crate::fs::remove_tree(&scratch)?;
        self.remember(&record, &built)?;
        Ok(built)
    }

    fn build(
        &self,
        source: &Path,
        name: &PackageName,
        version: &Version,
        observer: &dyn Observer,
    ) -> Result<RemoteWheel, Error> {
        let image = self.builder.image();
        builder::fetch(image, &self.origins, self.tools, observer)?;
        let building = stage(observer, "build wheel", format!("{name} {version}"));
        let file = source.file_name().unwrap_or_default().to_string_lossy();
        let errand = Errand {
            name: "pip wheel",
            purpose: format!("build a wheel of `{name}` {version} from its source distribution"),
            image,
            image_name: self.builder.name(),
            process: self.process(&file),
            file: Some(source),
            network: Network::Host,
            epoch: self.request.epoch,
            log: self
                .request
                .tags
                .first()
                .map_or("build", |tag| tag.typed.as_str()),
        };
        let wheel = errand.run(self.tools, observer, |made| self.take(made, name, version))?;
        building.finish(wheel.name.to_string());
        Ok(wheel)
    }

    /// Takes the wheel that lies in `made`, a directory in which the image's user could do as it liked.
    fn take(
        &self,
        made: &Path,
        name: &PackageName,
        version: &Version,
    ) -> Result<RemoteWheel, Error> {
        let refuse = |reason: String| {
            Error::from(packages::Error::Built {
                name: name.clone(),
                version: version.clone(),
                reason,
            })
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(made).context("read", made)? {
            files.push(entry.context("read", made)?.path());
        }
        let [file] = files.as_slice() else {
            return Err(refuse(format!("pip made {} files, not one", files.len())));
        };
        let file_name = file.file_name().unwrap_or_default().to_string_lossy();
        let wheel: WheelName = file_name
            .parse()
            .map_err(|_| refuse(format!("pip made `{file_name}`, which is no wheel")))?;
        if wheel.name != *name || wheel.version != *version {
            return Err(refuse(format!("pip made `{wheel}`")));
        }
        if Ranking::new(&self.target.tags).rank(&wheel).is_none() {
            return Err(refuse(format!(
                "pip made `{wheel}`, which its interpreter cannot use"
            )));
        }
        let (path, digest, size) = self.copy(file)?;
        let url = reqwest::Url::from_file_path(&path)
            .map_err(|()| refuse(format!("`{}` is no absolute path", path.display())))?;
        Ok(RemoteWheel {
            name: wheel,
            url: url.to_string(),
            digest: Some(digest),
            size: Some(size),
        })
    }

    /// Copies a wheel to where all wheels are.
    fn copy(&self, file: &Path) -> Result<(PathBuf, Digest, u64), Error> {
        let mut from = errand::open(file, MAX_WHEEL)?;
        let directory = self.wheels().join("sha256");
        crate::fs::create_dir_all(&directory)?;
        // As garbage knows them, should this process be killed.
        let mut to = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempfile_in(&directory)
            .context("create a file in", &directory)?;
        let mut digester = Digester::new(Algorithm::Sha256);
        let mut buffer = vec![0; 128 << 10];
        let mut size = 0;
        loop {
            let count = from.read(&mut buffer).context("read", file)?;
            if count == 0 {
                break;
            }
            digester.update(&buffer[..count]);
            std::io::Write::write_all(&mut to, &buffer[..count]).context("write", &directory)?;
            size += count as u64;
        }
        let digest = digester.finish();
        let path = directory.join(digest.hex());
        to.as_file().sync_data().context("sync", &path)?;
        to.persist(&path)
            .map_err(|error| error.error)
            .context("write", &path)?;
        Ok((path, digest, size))
    }

    fn wheels(&self) -> PathBuf {
        self.tools.store.root().join("wheels")
    }

    /// Where it is written which wheel came of a source.
    fn record(&self, source: &Digest) -> PathBuf {
        let mut inputs = self.inputs();
        inputs.add_digest("the source distribution", source);
        let name = format!("{}.json", inputs.key());
        self.wheels().join("built").join(name)
    }

    /// The wheel of a record, if both are there.
    fn remembered(&self, record: &Path) -> Option<RemoteWheel> {
        if !self.request.cache.is_used {
            return None;
        }
        let bytes = crate::fs::read_limited(record, MAX_RECORD).ok()?;
        let built: Built = serde_json::from_slice(&bytes).ok()?;
        let name: WheelName = built.wheel.parse().ok()?;
        let path = self.wheels().join("sha256").join(built.digest.hex());
        let is_there = std::fs::metadata(&path).is_ok_and(|found| found.len() == built.size);
        if is_there {
            crate::fs::touch(record);
            crate::fs::touch(&path);
        }
        is_there.then_some(RemoteWheel {
            name,
            url: reqwest::Url::from_file_path(&path).ok()?.to_string(),
            digest: Some(built.digest),
            size: Some(built.size),
        })
    }

    fn remember(&self, record: &Path, wheel: &RemoteWheel) -> Result<(), Error> {
        let (Some(digest), Some(size)) = (wheel.digest.clone(), wheel.size) else {
            return Ok(());
        };
        let built = Built {
            wheel: wheel.name.to_string(),
            digest,
            size,
        };
        let bytes = serde_json::to_vec(&built)
            .map_err(|error| crate::fs::Error::new("write", record, error.into()))?;
        crate::fs::create_dir_all(record.parent().unwrap_or(record))?;
        Ok(crate::fs::replace(record, &bytes)?)
    }
}
