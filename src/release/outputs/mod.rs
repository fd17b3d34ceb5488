//! What a pipeline reads after a build or a push: files in the forms of kaniko, buildx, ko, Tekton, GitHub and GitLab.
//!
//! Every file is optional, and several may be wanted at once. [`Outputs::check`] comes before the work and
//! [`Outputs::forget_stale`] too, so that no file of an earlier run outlives a failure; [`Outputs::write`] comes after
//! success alone. The digest is always the one that a puller of the tag gets: the index's for several platforms.
//!
//! # Spec
//! `path-to-production.md` §4.3.

mod error;
mod facts;
pub mod github;
mod gitlab;
mod metadata;
mod place;

use std::path::{Path, PathBuf};

pub use error::Error;
pub use facts::{Base, Facts, PlatformImage};

use super::result::{self, BuildResult, Entry};

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// kaniko's `--digest-file`: the digest without a line end. For one image.
    pub digest_file: Option<PathBuf>,
    /// kaniko's: a line `NAME@DIGEST` for every name.
    pub image_name_with_digest_file: Option<PathBuf>,
    /// kaniko's: a line `NAME:TAG@DIGEST` for every name.
    pub image_name_tag_with_digest_file: Option<PathBuf>,
    /// buildx's: a JSON object, with more of ours below `overcoat.`.
    pub metadata_file: Option<PathBuf>,
    /// Docker's: the digest of the configuration without a line end. For one image of one platform.
    pub iidfile: Option<PathBuf>,
    /// ko's: a line `NAME:TAG@DIGEST` for every name.
    pub image_refs: Option<PathBuf>,
    /// Tekton's results.
    pub tekton: Option<Tekton>,
    /// What `$GITHUB_OUTPUT` names: `name=value` lines are added to it.
    pub github_output: Option<PathBuf>,
    /// What `$GITHUB_STEP_SUMMARY` names: a table in Markdown is added to it.
    pub github_summary: Option<PathBuf>,
    /// GitLab's `artifacts:reports:dotenv`.
    pub dotenv: Option<PathBuf>,
    /// The file of results.
    pub result: Option<ResultFile>,
    /// Whether the metadata of even one image stands below its name, as `bake` has it; of several it does anyway.
    pub is_nested: bool,
}

/// Where Tekton's results go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tekton {
    /// The directory, `/tekton/results` in a task.
    pub directory: PathBuf,
    /// What stands before `IMAGE_URL` and `IMAGE_DIGEST`; may be empty.
    pub prefix: String,
}

/// The file of results, and what becomes of what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultFile {
    /// The file.
    pub path: PathBuf,
    /// What becomes of other images' results.
    pub others: Others,
}

/// What becomes of the results of images that are not built now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They stay: several builds write one file.
    Stay,
    /// They go: this is all that there is.
    Go,
}

/// Removes what an earlier run left at `path`, a file of one command alone that names digests, before the work begins.
///
/// # Errors
/// [`Error::Foreign`] for what no command of ours wrote, [`Error::Stale`].
pub fn forget_file(flag: &'static str, path: &Path) -> Result<(), Error> {
    if !place::may_be_ours(path)? {
        return Err(Error::Foreign {
            path: path.to_owned(),
            flag,
        });
    }
    Ok(place::forget(path)?)
}

/// Writes such a file, whole or not at all, after success. Its directories are made.
///
/// # Errors
/// [`Error::File`].
pub fn write_file(flag: &'static str, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    place::write(path, bytes).map_err(|source| Error::File {
        flag: flag.to_owned(),
        source,
    })
}

/// A file to be written, and how it is written.
struct Planned<'a> {
    path: PathBuf,
    text: String,
    write: fn(&Path, &[u8]) -> Result<(), crate::fs::Error>,
    flag: &'a str,
}

impl Outputs {
    /// Looks, before the work, whether what is wanted can be had for so many images of so many platforms each.
    ///
    /// # Errors
    /// [`Error::ForOne`], [`Error::Platforms`], and [`Error::SameFile`] when two of the files are one.
    pub fn check(&self, images: usize, platforms: usize) -> Result<(), Error> {
        for (flag, file) in [
            ("--digest-file", &self.digest_file),
            ("--iidfile", &self.iidfile),
        ] {
            if file.is_some() && images > 1 {
                return Err(Error::ForOne { flag, images });
            }
        }
        if self.iidfile.is_some() && platforms > 1 {
            return Err(Error::Platforms { platforms });
        }
        let mut known: Vec<(&str, &Path)> = Vec::new();
        for (flag, path) in self.files() {
            if let Some((other, _)) = known.iter().find(|(_, known)| *known == path) {
                return Err(Error::SameFile {
                    path: path.to_owned(),
                    flags: [(*other).to_owned(), flag.to_owned()],
                });
            }
            known.push((flag, path));
        }
        Ok(())
    }

    /// Removes what earlier runs left, before the work begins; `names` are the images' in the file of results. Files that
    /// others write to as well stay.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Result`].
    pub fn forget_stale(&self, names: &[&str]) -> Result<(), Error> {
        for (flag, path) in self.files() {
            if !place::may_be_ours(path)? {
                return Err(Error::Foreign {
                    path: path.to_owned(),
                    flag,
                });
            }
        }
        for (_, path) in self.files() {
            place::forget(path)?;
        }
        for (path, _) in self.tekton_results(&[]) {
            place::forget(&path)?;
        }
        match &self.result {
            None => {}
            Some(file) if file.others == Others::Go => result::remove(&file.path)?,
            Some(file) => result::forget(&file.path, names)?,
        }
        Ok(())
    }

    /// The file of results, absolute; nothing where none is wanted, or the working directory is gone.
    pub fn result_file(&self) -> Option<PathBuf> {
        let file = self.result.as_ref()?;
        std::path::absolute(&file.path).ok()
    }

    /// Writes everything, after success. Files appear whole or not at all; GitHub's are added to. The directories that
    /// files are in are made. Of several images, what is for one is of the last.
    ///
    /// # Errors
    /// [`Error::NoConfiguration`] and [`Error::TooLarge`] before anything is written; [`Error::File`],
    /// [`Error::Result`].
    pub fn write(&self, images: &[Facts]) -> Result<(), Error> {
        let entries: Vec<Entry> = images.iter().map(Facts::entry).collect();
        self.write_with(images, &entries)
    }

    /// As [`Self::write`], with these entries in the file of results.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_with(&self, images: &[Facts], entries: &[Entry]) -> Result<(), Error> {
        for planned in self.planned(images)? {
            (planned.write)(&planned.path, planned.text.as_bytes()).map_err(|source| {
                Error::File {
                    flag: planned.flag.to_owned(),
                    source,
                }
            })?;
        }
        let Some(file) = &self.result else {
            return Ok(());
        };
        place::make_parents(&file.path)?;
        match file.others {
            Others::Go => BuildResult::of(entries.to_vec()).write(&file.path)?,
            Others::Stay => result::update(&file.path, entries)?,
        }
        Ok(())
    }

    /// The files that are ours alone and one image's or all images', with their flags.
    fn files(&self) -> Vec<(&'static str, &Path)> {
        let files = [
            ("--digest-file", &self.digest_file),
            (
                "--image-name-with-digest-file",
                &self.image_name_with_digest_file,
            ),
            (
                "--image-name-tag-with-digest-file",
                &self.image_name_tag_with_digest_file,
            ),
            ("--metadata-file", &self.metadata_file),
            ("--iidfile", &self.iidfile),
            ("--image-refs", &self.image_refs),
            ("--dotenv", &self.dotenv),
        ];
        let files = files.into_iter();
        files
            .filter_map(|(flag, path)| Some((flag, path.as_deref()?)))
            .collect()
    }

    fn planned(&self, images: &[Facts]) -> Result<Vec<Planned<'_>>, Error> {
        let Some(last) = images.last() else {
            return Ok(Vec::new());
        };
        let refs = || lines(images, |image| image.pinned_all());
        let mut planned = Vec::new();
        for (flag, path) in self.files() {
            let text = match flag {
                "--digest-file" => last.digest.to_string(),
                "--image-name-with-digest-file" => lines(images, |image| image.names_with_digest()),
                "--iidfile" => {
                    let config = last.config_digest.as_ref();
                    let config = config.ok_or_else(|| Error::NoConfiguration {
                        name: last.name.clone(),
                    })?;
                    config.to_string()
                }
                "--metadata-file" => metadata::text(images, self.is_nested),
                "--dotenv" => gitlab::dotenv(images)?,
                _ => refs(),
            };
            planned.push(Planned {
                path: path.to_owned(),
                text,
                write: place::write,
                flag,
            });
        }
        for (path, text) in self.tekton_results(images) {
            planned.push(Planned {
                path,
                text,
                write: place::write,
                flag: "--tekton-results",
            });
        }
        if let Some(path) = &self.github_output {
            planned.push(Planned {
                path: path.clone(),
                text: github::outputs(images),
                write: place::append,
                flag: "$GITHUB_OUTPUT",
            });
        }
        if let Some(path) = &self.github_summary {
            planned.push(Planned {
                path: path.clone(),
                text: github::summary(images),
                write: place::append,
                flag: "$GITHUB_STEP_SUMMARY",
            });
        }
        Ok(planned)
    }

    /// Files with their texts. A task declares those that it wants; others are not looked at.
    fn tekton_results(&self, images: &[Facts]) -> Vec<(PathBuf, String)> {
        let Some(tekton) = &self.tekton else {
            return Vec::new();
        };
        let last = images.last();
        let url = last.map(|image| image.reference().to_string());
        let digest = last.map(|image| image.digest.to_string());
        let all = lines(images, |image| image.pinned_all());
        let prefix = &tekton.prefix;
        let results = [
            (format!("{prefix}IMAGE_URL"), url.unwrap_or_default()),
            (format!("{prefix}IMAGE_DIGEST"), digest.unwrap_or_default()),
            ("IMAGES".to_owned(), all.trim_end().to_owned()),
        ];
        let results = results.into_iter();
        results
            .map(|(name, text)| (tekton.directory.join(name), text))
            .collect()
    }
}

/// What is said of every image, a line each, every line with its end.
fn lines(images: &[Facts], of: impl Fn(&Facts) -> Vec<String>) -> String {
    let lines = images.iter().flat_map(of);
    lines.map(|line| line + "\n").collect()
}

/// Adds text to a file that others add to as well, such as GitHub's; the file and its directories are made.
///
/// # Errors
/// [`Error::File`]; `flag` says whose file it is.
pub fn append(path: &Path, text: &str, flag: &str) -> Result<(), Error> {
    place::append(path, text.as_bytes()).map_err(|source| Error::File {
        flag: flag.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
