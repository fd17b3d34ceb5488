//! Looking into a builder image's files without executing any.

use super::{Error, Tools};
use crate::builder_image::BuilderImage;
use crate::event::{Observer, stage};
use crate::layer::Ownership;
use crate::python::target::LayerFiles;
use crate::sandbox::IdMap;
use crate::store::{recorded_owners, unpack_layers};

/// The files of a builder image, which is unpacked if need be.
///
/// # Errors
/// [`Error::Store`] when a layer cannot be unpacked.
pub(super) fn files(
    builder: &BuilderImage,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<LayerFiles, Error> {
    // Whoever cannot give files away has their owners written down.
    let ownership = match rustix::process::geteuid().is_root() {
        true => Ownership::Real,
        false => Ownership::Recorded,
    };
    let key = IdMap::of_this_process()?.key();
    let unpacking = stage(observer, "look into", builder.name());
    let layers = unpack_layers(
        tools.store,
        builder.image(),
        &key,
        ownership,
        tools.threads,
        observer,
    )?;
    unpacking.finish("");
    let topmost_first: Vec<_> = layers.into_iter().rev().collect();
    let owners = match ownership {
        Ownership::Real => None,
        _ => {
            let lists = topmost_first.iter().map(|layer| recorded_owners(layer));
            Some(lists.collect::<Result<_, _>>()?)
        }
    };
    Ok(LayerFiles::new(&topmost_first, owners))
}
