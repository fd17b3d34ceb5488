//! The request that s2i's commands begin with, before any flag has its say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::build::{self, BuildRequest, Cache, ImageSource, Push, Strategy, Tag};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::env;
use crate::image::Platform;
use crate::image::media_type::Compression;

/// A build on `builder` without a source.
///
/// # Errors
/// When `SOURCE_DATE_EPOCH` is no time.
pub(super) fn bare(tags: Vec<Tag>, builder: ImageSource) -> Result<BuildRequest, Diagnostic> {
    Ok(BuildRequest {
        source: PathBuf::new(),
        tags,
        builder,
        strategy: Strategy::Auto,
        assemble_user: None,
        platform: Platform::host(),
        environment: Vec::new(),
        labels: BTreeMap::new(),
        epoch: env::epoch()?,
        compression: Compression::Gzip,
        compile_bytecode: false,
        push: Push::No,
        outputs: Vec::new(),
        loads: Vec::new(),
        inputs: Default::default(),
        cache: Cache {
            is_used: !env::s2i_builds_anew(),
            ..Cache::default()
        },
        is_locked: false,
        s2i: build::S2iOptions {
            requires_scripts: true,
            keeps_builder: true,
            ..build::S2iOptions::default()
        },
        max_layers: build::DEFAULT_MAX_LAYERS,
    })
}
