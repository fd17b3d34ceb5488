//! What the flags of `overcoat build` mean.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Args;
use crate::build::{self, BuildRequest, Cache, ImageSource, Push, Tag};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::env;
use crate::cli::exit::Code;
use crate::cli::s2i::order::{self, Called, Warnings};
use crate::cli::s2i::source;
use crate::image::Platform;

/// The request that the flags mean, and what has to be said about them.
///
/// # Errors
/// For values that no build can mean.
pub(super) fn request(args: &Args) -> Result<(BuildRequest, Warnings), Diagnostic> {
    let typed = args.tags.iter().chain(&args.tag);
    let mut tags = typed
        .map(|text| text.parse())
        .collect::<Result<Vec<Tag>, _>>()?;
    if tags.is_empty() {
        tags.push(default_tag(args)?);
    }
    let (builder, how) = match &args.builder {
        Some(builder) => (builder, ""),
        None => (&args.build_image, "--build-image "),
    };
    let builder: ImageSource = builder.parse().map_err(|error| {
        Diagnostic::from(error).attempting(format!("cannot use `{how}{builder}`"))
    })?;
    let mut request = BuildRequest {
        source: PathBuf::new(),
        tags,
        builder,
        strategy: args.strategy.into(),
        assemble_user: None,
        platform: args
            .platforms
            .first()
            .cloned()
            .unwrap_or_else(Platform::host),
        environment: Vec::new(),
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        epoch: env::epoch()?,
        compression: args.compression.into(),
        compile_bytecode: args.compile_bytecode,
        push: if args.push { Push::Yes } else { Push::No },
        outputs: args.outputs.clone(),
        loads: args.load.engines.clone(),
        inputs: args.step.read()?,
        cache: Cache {
            is_used: !args.no_cache,
            from: args.cache_from.clone(),
            refresh: args.refresh,
        },
        is_locked: args.locked,
        s2i: build::S2iOptions::default(),
        max_layers: args.max_layers,
    };
    let warnings = order::apply(&args.s2i, &args.step, Called::Overcoat, &mut request)?;
    Ok((request, warnings))
}

fn default_tag(args: &Args) -> Result<Tag, Diagnostic> {
    let name = source::last_part(&args.source);
    Tag::from_directory_name(&name).ok_or_else(|| {
        Diagnostic::new(
            Code::InvalidReference,
            format!("no image name can be made of the source's name `{name}`"),
        )
        .hint("give a name: `-t NAME`")
    })
}
