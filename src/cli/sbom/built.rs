//! Bills of materials of what was just built.

use std::path::{Path, PathBuf};

use clap::Args;

use super::find::bases;
use super::{Format, Work};
use crate::build::{BuildReport, Tools};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{creds, env, open_store};
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::{Descriptor, Image, Platform, media_type};
use crate::reference::Reference;
use crate::release::outputs;
use crate::sbom;
use crate::store::{self, BlobStore};

/// Flags of a bill of materials. It is made after success alone, and the image is the same with and without it.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "bill-of-materials")]
pub(in crate::cli) struct Flags {
    /// Write a bill of materials of the image to FILE
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,

    /// Write a bill of materials of each image into DIR: `APPLICATION.cdx.json`, with `-OS-ARCHITECTURE` before the dot
    /// where there are several platforms
    #[arg(long, value_name = "DIR", conflicts_with = "sbom")]
    sbom_dir: Option<PathBuf>,

    /// The form of the bill of materials
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        default_value = "cyclonedx",
        id = "sbom_format"
    )]
    sbom_format: Format,

    /// Attach a bill of materials to each image that is pushed, where `overcoat referrers` lists it
    #[arg(long)]
    attach_sbom: bool,
}

/// An image that was built.
pub(in crate::cli) struct Built<'a> {
    /// The application's name, or the last part of the image's.
    pub(in crate::cli) name: &'a str,
    /// What was built.
    pub(in crate::cli) report: &'a BuildReport,
}

impl Flags {
    /// True when there is something to do.
    pub(in crate::cli) fn are_given(&self) -> bool {
        self.sbom.is_some() || self.sbom_dir.is_some() || self.attach_sbom
    }

    /// What remains when no file is to be written: attaching.
    pub(in crate::cli) fn without_files(&self) -> Self {
        Self {
            sbom: None,
            sbom_dir: None,
            sbom_format: self.sbom_format,
            attach_sbom: self.attach_sbom,
        }
    }

    /// Looks, before the work, whether what is wanted can be had, and removes what an earlier run left.
    ///
    /// # Errors
    /// [`Code::Usage`] for a file for several images, and for attaching what is not pushed; when a file is something else.
    pub(in crate::cli) fn prepare(
        &self,
        names: &[&str],
        platforms: &[Platform],
        is_pushed: bool,
    ) -> Result<(), Diagnostic> {
        if self.attach_sbom && !is_pushed {
            return Err(Diagnostic::new(
                Code::Usage,
                "`--attach-sbom` is for images that are pushed, and this one is not",
            )
            .hint("add `--push`; `--sbom FILE` writes a file"));
        }
        if self.sbom.is_some() && (names.len() > 1 || platforms.len() > 1) {
            return Err(Diagnostic::new(
                Code::Usage,
                "`--sbom` is for one image, and several are built",
            )
            .hint("`--sbom-dir DIR` writes a file for each application and platform"));
        }
        let platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        for name in names {
            for (flag, file) in self.files(name, &platforms) {
                outputs::forget_file(flag, &file)?;
            }
        }
        Ok(())
    }

    /// The files for one application, in the order of the platforms.
    fn files(&self, name: &str, platforms: &[String]) -> Vec<(&'static str, PathBuf)> {
        if let Some(file) = &self.sbom {
            return vec![("--sbom", file.clone())];
        }
        let Some(directory) = &self.sbom_dir else {
            return Vec::new();
        };
        let extension = sbom::Format::from(self.sbom_format).extension();
        let name = name.replace(['/', ':', '@'], "-");
        let file = |platform: Option<&String>| {
            let platform = platform.map(|it| format!("-{}", it.replace('/', "-")));
            let platform = platform.unwrap_or_default();
            (
                "--sbom-dir",
                directory.join(format!("{name}{platform}.{extension}")),
            )
        };
        match platforms {
            [] | [_] => vec![file(None)],
            several => several
                .iter()
                .map(|platform| file(Some(platform)))
                .collect(),
        }
    }

    /// Makes, writes and attaches.
    ///
    /// # Errors
    /// What layers, files and registries say; the images stay what they are.
    pub(in crate::cli) fn deliver(
        &self,
        built: &[Built<'_>],
        creds: &creds::Flags,
        shared: &Shared,
        observer: &dyn Observer,
    ) -> Result<(), Diagnostic> {
        if !self.are_given() {
            return Ok(());
        }
        let store = open_store(shared)?;
        let mut host = env::host(shared)?;
        let mut repositories = Vec::new();
        for Built { report, .. } in built {
            let names = report.names.iter().map(|name| name.parse());
            let names: Vec<Reference> = names.collect::<Result<_, _>>()?;
            repositories.push(distinct(names));
        }
        if self.attach_sbom {
            let hosts = repositories.iter().flatten().map(Reference::host);
            let hosts: std::collections::BTreeSet<&str> = hosts.collect();
            creds.apply(&mut host.registries, hosts, shared, false)?;
        }
        let tools = Tools::new(&store, host);
        let work = Work {
            tools: &tools,
            format: self.sbom_format.into(),
            observer,
        };
        for (Built { name, report }, repositories) in built.iter().zip(&repositories) {
            let platforms: Vec<String> =
                report.images.iter().map(|it| it.platform.clone()).collect();
            let files = self.files(name, &platforms);
            for (number, image) in report.images.iter().enumerate() {
                let image = image_of(&store, &image.digest)?;
                let mut origins = bases(&(&image).into());
                if report.is_pushed {
                    origins.extend(repositories.iter().cloned());
                }
                let document = work.document(&image, &store, origins)?;
                if let Some((flag, file)) = files.get(number) {
                    outputs::write_file(flag, file, &document)?;
                }
                for repository in repositories.iter().filter(|_| self.attach_sbom) {
                    work.attach(&image, &document, repository)?;
                }
            }
        }
        Ok(())
    }
}

/// One name for each repository.
fn distinct(names: Vec<Reference>) -> Vec<Reference> {
    let mut distinct: Vec<Reference> = Vec::new();
    for name in names {
        if distinct.iter().all(|known| known.name() != name.name()) {
            distinct.push(name);
        }
    }
    distinct
}

/// An image of the store by the digest of its manifest.
fn image_of(store: &BlobStore, digest: &Digest) -> Result<Image, Diagnostic> {
    let absent = || store::Error::Absent {
        digest: digest.clone(),
    };
    let bytes = store.document(digest)?.ok_or_else(absent)?;
    let size = bytes.len() as u64;
    // What is built is an OCI image in any case.
    let manifest = Descriptor::new(media_type::OCI_MANIFEST, digest.clone(), size);
    Ok(store.image(&manifest)?)
}

/// What an image is called where no application names it.
pub(in crate::cli) fn last_part(reference: &Reference) -> &str {
    let repository = Path::new(reference.repository()).file_name();
    repository
        .and_then(|name| name.to_str())
        .unwrap_or_else(|| reference.repository())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_application_and_platform_has_a_file_of_its_own() {
        let flags = Flags {
            sbom_dir: Some("d".into()),
            sbom_format: Format::Spdx,
            ..Flags::default()
        };
        let platforms = ["linux/amd64", "linux/arm64/v8"].map(str::to_owned);
        let names = |platforms: &[String]| -> Vec<String> {
            let files = flags.files("team/web", platforms).into_iter();
            files.map(|(_, file)| file.display().to_string()).collect()
        };
        assert_eq!(names(&platforms[..1]), ["d/team-web.spdx.json"]);
        assert_eq!(
            names(&platforms),
            [
                "d/team-web-linux-amd64.spdx.json",
                "d/team-web-linux-arm64-v8.spdx.json"
            ]
        );
    }
}
