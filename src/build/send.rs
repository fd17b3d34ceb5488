//! Sending what was built to the registries of its names.

use super::Error;
use super::report::BuildReport;
use super::work::PreviousImage;
use crate::event::{Observer, stage};
use crate::image::{Content, Descriptor};
use crate::reference::Reference;
use crate::registry::{Previous, PushRequest, RegistryClient};
use crate::store::BlobStore;

/// An image on its way to registries.
pub(super) struct Sending<'a> {
    /// The image or the index.
    pub(super) content: Content<'a>,
    /// Where layers are that are not here.
    pub(super) origins: &'a [Reference],
    /// What names stood for when the build looked.
    pub(super) previous: &'a [PreviousImage],
}

impl Sending<'_> {
    /// Sends it under one name.
    ///
    /// # Errors
    /// [`Error::Registry`].
    pub(super) fn send(
        &self,
        to: &Reference,
        registry: &RegistryClient,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let pushing = stage(observer, "push", to.to_string());
        let mut previous = self.previous.iter();
        let known = previous.find(|image| image.reference == *to);
        let known = known.map_or(Previous::Unknown, |image| {
            Previous::Manifest(&image.fetched)
        });
        let report = registry.push(
            &PushRequest {
                mount_from: self.origins,
                origins: self.origins,
                previous: known,
                ..PushRequest::new(self.content.clone(), to, store)
            },
            observer,
        )?;
        pushing.finish(format!(
            "{} blobs sent, {} bytes",
            report.uploaded_blobs, report.bytes
        ));
        Ok(())
    }
}

/// Sends what a build with [`super::Push::Later`] made to these names. `previous` are the images that the build looked at:
/// what a name stands for is not asked for twice.
///
/// # Errors
/// [`Error::Registry`]; [`Error::Store`] when the image's documents are not in the store any more.
pub fn send(
    report: &BuildReport,
    names: &[Reference],
    previous: &[PreviousImage],
    registry: &RegistryClient,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let document = Descriptor::new(
        &report.media_type,
        report.digest.clone(),
        report.manifest_bytes,
    );
    let stored = store.stored(&document)?;
    // What is no reference is not where a layer could be.
    let origins = report.origins.iter().filter_map(|name| name.parse().ok());
    let origins: Vec<Reference> = origins.collect();
    let sending = Sending {
        content: stored.content(),
        origins: &origins,
        previous,
    };
    for name in names {
        sending.send(name, registry, store, observer)?;
    }
    Ok(())
}
