//! What the tests of this module begin with: builder images that are only labels, and a request.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::inputs::StepInputs;
use super::{
    BuildRequest, Cache, DEFAULT_MAX_LAYERS, ImageSource, Push, S2iOptions, Strategy, Tag,
};
use crate::builder_image::BuilderImage;
use crate::image::media_type::Compression;
use crate::image::{Descriptor, Image, Platform, media_type};

/// What the builder is called.
pub(super) const BUILDER: &str = "quay.io/builder:1";

/// A builder image without layers, whose configuration has `config` below `config`.
pub(super) fn builder(config: &Value) -> BuilderImage {
    let config = json!({
        "os": "linux", "architecture": "amd64", "config": config,
        "rootfs": { "type": "layers", "diff_ids": [] },
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": [],
        "config": Descriptor::of(media_type::OCI_CONFIG, config.as_bytes()).to_value(),
    });
    let image = Image::parse(
        media_type::OCI_MANIFEST,
        manifest.to_string().into_bytes(),
        config.into_bytes(),
    );
    BuilderImage::from_image(image.unwrap(), BUILDER)
}

/// A request without any flags.
pub(super) fn request(strategy: Strategy) -> BuildRequest {
    BuildRequest {
        source: "app".into(),
        tags: vec!["app".parse::<Tag>().unwrap()],
        builder: BUILDER.parse::<ImageSource>().unwrap(),
        strategy,
        assemble_user: None,
        platform: Platform::host(),
        environment: Vec::new(),
        labels: BTreeMap::new(),
        epoch: 0,
        push: Push::No,
        outputs: Vec::new(),
        loads: Vec::new(),
        inputs: StepInputs::default(),
        cache: Cache::default(),
        is_locked: false,
        compression: Compression::Gzip,
        compile_bytecode: false,
        s2i: S2iOptions::default(),
        max_layers: DEFAULT_MAX_LAYERS,
    }
}
