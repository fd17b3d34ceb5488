//! `overcoat inspect`.

use std::io::Write;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{find, open_store, print_json, remote};
use crate::image::{Image, ImageIndex, Platform};
use crate::store::Stored;

/// Show what an image of the store, or of a registry, is made of, as JSON
///
/// An image in a registry costs two requests, an index one; no layer is fetched.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// An image of the store
    image: String,

    /// Look into the registry that the name names, not into the store
    #[arg(long)]
    remote: bool,

    /// With `--remote`: of an index, show the image for `OS/ARCHITECTURE`, not the index
    #[arg(long, value_name = "P", requires = "remote")]
    platform: Option<Platform>,

    /// How to print it; there is only one way
    #[arg(long, value_parser = ["json"], value_name = "HOW", default_value = "json")]
    format: String,

    /// The manifest's bytes, exactly; the index's, where the name stands for several platforms
    #[arg(long)]
    raw: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    if args.remote {
        return remote::inspect(&args.image, args.platform.as_ref(), args.raw, shared);
    }
    let store = open_store(shared)?;
    let named = find(&store, &args.image)?;
    let stored = store.stored(&named.manifest)?;
    if args.raw {
        return print_raw(stored.content().bytes());
    }
    let described = match &stored {
        Stored::Image(image) => describe(&named.name, image),
        Stored::Index(index) => describe_index(&named.name, index),
    };
    print_json(&described)
}

/// Prints bytes without a line end: they are what the digest names.
pub(super) fn print_raw(bytes: &[u8]) -> Result<(), Diagnostic> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Diagnostic::new(
            Code::Output,
            format!("cannot write to stdout: {error}"),
        )),
        _ => Ok(()),
    }
}

/// What people look for in an index: that of each of its images.
fn describe_index(name: &str, index: &ImageIndex) -> Value {
    let images = index.images().iter();
    let images: Vec<Value> = images.map(|image| describe(name, image)).collect();
    let document = index.index();
    json!({
        "name": name,
        "digest": document.descriptor.digest,
        "media_type": document.descriptor.media_type,
        "images": images,
        "annotations": document.parsed.annotations,
    })
}

/// What people look for in an image.
pub(super) fn describe(name: &str, image: &Image) -> Value {
    let config = &image.config.parsed;
    let layers: Vec<Value> = image
        .layers()
        .map(|(layer, diff_id)| {
            json!({
                "digest": layer.digest,
                "diff_id": diff_id,
                "media_type": layer.media_type,
                "size_bytes": layer.size,
            })
        })
        .collect();
    json!({
        "name": name,
        "digest": image.digest(),
        "media_type": image.manifest.descriptor.media_type,
        "platform": config.platform().to_string(),
        "created": config.value().get("created"),
        "layers": layers,
        "config": config.value().get("config"),
        "history": config.value().get("history"),
        "annotations": image.manifest.parsed.annotations,
    })
}
