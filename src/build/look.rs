//! Looking into a builder image's files without executing any.

use std::path::PathBuf;

use super::{Error, Tools};
use crate::builder_image::BuilderImage;
use crate::event::{Observer, stage};
use crate::layer::Ownership;
use crate::python::target::LayerFiles;
use crate::sandbox::IdMap;
use crate::store::{recorded_owners, unpack_layers};

/// The directories with a builder image's files, topmost first.
///
/// # Errors
/// As [`files`].
pub(super) fn directories(
    builder: &BuilderImage,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<PathBuf>, Error> {
    let (layers, _) = unpacked(builder, tools, observer)?;
    Ok(layers)
}

/// The files of a builder image, which is unpacked if need be.
///
/// # Errors
/// [`Error::Store`] when a layer cannot be unpacked.
pub(super) fn files(
    builder: &BuilderImage,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<LayerFiles, Error> {
    let (topmost_first, ownership) = unpacked(builder, tools, observer)?;
    let owners = match ownership {
        Ownership::Real => None,
        _ => {
            let lists = topmost_first.iter().map(|layer| recorded_owners(layer));
            Some(lists.collect::<Result<_, _>>()?)
        }
    };
    Ok(LayerFiles::new(&topmost_first, owners))
}

fn unpacked(
    builder: &BuilderImage,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(Vec<PathBuf>, Ownership), Error> {
    // Whoever cannot give files away has their owners written down.
    let map = IdMap::of_this_process()?;
    let is_real = match &tools.confinement {
        Some(confinement) => confinement.rung.has_real_owners(),
        None => rustix::process::geteuid().is_root() && !map.is_single(),
    };
    let ownership = match is_real {
        true => Ownership::Real,
        false => Ownership::Recorded,
    };
    let key = map.key();
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
    Ok((layers.into_iter().rev().collect(), ownership))
}
