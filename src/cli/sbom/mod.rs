//! `overcoat sbom`, and the same after a build.

mod built;
mod find;

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

pub(super) use built::{Built, Flags, last_part};

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::inspect::print_raw;
use super::{creds, env, observer, open_store, print};
use crate::build::Tools;
use crate::event::{Observer, stage};
use crate::image::{Image, Platform};
use crate::reference::Reference;
use crate::release::outputs;
use crate::sbom::{self, Cache, Error, Remote};
use crate::store::BlobStore;

/// Write a bill of materials: every Python distribution and system package of an image, and the layer that it is in
///
/// It is made of what the image's own databases say; nothing is executed. The same image gives the same bytes.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// An image of the store, `HOST/NAME` in a registry, `oci:DIR[:NAME]`, `archive:FILE`, `oci-archive:FILE` or
    /// `docker-archive:FILE`
    ///
    /// What the store has is taken from there; `docker://NAME` asks the registry in any case.
    image: String,

    /// The form of the document
    #[arg(long, value_enum, value_name = "FORM", default_value = "cyclonedx")]
    format: Format,

    /// Write it to FILE [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Of an index, the image for `OS/ARCHITECTURE` [default: this machine's]
    #[arg(long, value_name = "P")]
    platform: Option<Platform>,

    /// Attach it to the image in its registry, where `overcoat referrers` lists it, and print its name
    #[arg(long)]
    attach: bool,

    #[command(flatten)]
    creds: creds::Flags,
}

/// The form of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// CycloneDX 1.6, as JSON.
    #[default]
    #[value(name = "cyclonedx")]
    CycloneDx,
    /// SPDX 2.3, as JSON.
    Spdx,
}

impl From<Format> for sbom::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::CycloneDx => Self::CycloneDx,
            Format::Spdx => Self::Spdx,
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let store = open_store(shared)?;
    let place = find::Place::of(&args.image, &store)?;
    let repository = match args.attach {
        true => Some(place.repository(&args.image)?),
        false => None,
    };
    let mut host = env::host(shared)?;
    let hosts = place.registry().map(Reference::host).into_iter();
    let hosts = hosts.chain(repository.as_ref().map(Reference::host));
    let hosts: std::collections::BTreeSet<&str> = hosts.collect();
    args.creds
        .apply(&mut host.registries, hosts, shared, false)?;
    let tools = Tools::new(&store, host);
    let observer = observer(shared, false)?;
    let observer = observer.as_ref();
    let found = place.find(args.platform.as_ref(), &tools, observer)?;
    let work = Work {
        tools: &tools,
        format: args.format.into(),
        observer,
    };
    let document = work.document(&found.image, found.store(&store), found.origins.clone())?;
    if let Some(file) = &args.output {
        outputs::write_file("--output", file, &document)?;
    }
    match &repository {
        Some(repository) => {
            let attached = work.attach(&found.image, &document, repository)?;
            print(&attached.to_string())
        }
        None if args.output.is_none() => print_raw(&document),
        None => Ok(()),
    }
}

/// What documents are made with.
pub(super) struct Work<'a> {
    tools: &'a Tools<'a>,
    format: sbom::Format,
    observer: &'a dyn Observer,
}

impl Work<'_> {
    /// The document for an image whose layers `store` has, or one of `origins`.
    fn document(
        &self,
        image: &Image,
        store: &BlobStore,
        origins: Vec<Reference>,
    ) -> Result<Vec<u8>, Diagnostic> {
        let cache = Cache::new(self.tools.store.cache(sbom::CACHE));
        let listing = stage(self.observer, "list packages", image.digest().short());
        let mut layers = Remote {
            store,
            passing: BlobStore::open(&self.tools.store.workspace()?.join("passing"))?,
            registry: self.tools.registry().map_err(crate::build::Error::from)?,
            origins,
            observer: self.observer,
        };
        let document = sbom::document(image, self.format, &mut layers, &cache, self.observer)?;
        listing.finish(format!("{} bytes", document.len()));
        Ok(document)
    }

    /// Attaches a document to an image that is in `repository`; what it is called there.
    fn attach(
        &self,
        image: &Image,
        document: &[u8],
        repository: &Reference,
    ) -> Result<Reference, Diagnostic> {
        let attaching = stage(self.observer, "attach", repository.name());
        let registry = self.tools.registry().map_err(crate::build::Error::from)?;
        let scratch = BlobStore::open(&self.tools.store.workspace()?.join("attached"))?;
        let attached = sbom::attach(
            &image.manifest.descriptor,
            (self.format, document),
            repository,
            registry,
            &scratch,
            self.observer,
        );
        let attached = attached.map_err(|error| match error {
            Error::Registry(error) if error.is_not_found() => Diagnostic::from(error)
                .attempting(format!(
                    "cannot attach anything to {} in `{}`: it is not there",
                    image.digest(),
                    repository.name()
                ))
                .hint("push the image first: `overcoat push`"),
            error => error.into(),
        })?;
        attaching.finish(match attached.was_there {
            true => "was there".to_owned(),
            false => attached.digest.to_string(),
        });
        Ok(repository.with_digest(attached.digest))
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Registry(error) => error.into(),
            Error::Image(error) => error.into(),
            Error::File(error) => error.into(),
            Error::Layer { digest, source } => {
                Self::from(*source).attempting(format!("cannot read the layer `{digest}`"))
            }
            Error::MediaType { .. } | Error::Extent { .. } => Self::new(Code::DamagedImage, &error),
            Error::Nowhere { .. } => Self::new(Code::Store, &error)
                .hint("name the image in its registry: `overcoat sbom docker://HOST/NAME`"),
            Error::Unlisted { .. } => Self::new(Code::Registry, &error)
                .hint("others may have changed the list at the same time; run it again"),
        }
    }
}
