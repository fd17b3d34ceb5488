//! What the flags of `overcoat build` mean, with what the project says where they say nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;

use super::DEFAULT_BUILDER;
use super::args::{Args, Strategy};
use super::target::Target;
use crate::build::{self, BuildRequest, Cache, ImageSource, Push, Tag};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::env;
use crate::cli::exit::Code;
use crate::cli::s2i::order::{self, Called, Warnings};
use crate::cli::s2i::source;
use crate::image::Platform;

/// A build as it was ordered.
pub(super) struct Ordered {
    /// What is asked for.
    pub(super) request: BuildRequest,
    /// For which platforms; none for the request's.
    pub(super) platforms: Vec<Platform>,
    /// What has to be said about the flags.
    pub(super) warnings: Warnings,
}

/// The request that the flags and the project mean.
///
/// # Errors
/// For values that no build can mean.
pub(super) fn request(args: &Args, target: &Target) -> Result<Ordered, Diagnostic> {
    let mut tags = target.names(args)?;
    if tags.is_empty() {
        tags.push(default_tag(target)?);
    }
    let (builder, how) = builder(args, target);
    let builder: ImageSource = builder.parse().map_err(|error| {
        Diagnostic::from(error).attempting(format!("cannot use {how}`{builder}`"))
    })?;
    let platforms = target.platforms(args)?;
    let application = target.application.as_ref();
    let mut labels = BTreeMap::new();
    for said in [
        target.project.as_ref().map(|project| &project.labels),
        application.map(|application| &application.labels),
    ]
    .into_iter()
    .flatten()
    {
        labels.extend(
            said.iter()
                .map(|(key, said)| (key.clone(), said.value.clone())),
        );
    }
    labels.extend(args.labels.iter().cloned());
    let mut request = BuildRequest {
        source: PathBuf::new(),
        tags,
        builder,
        strategy: strategy(args, target)?.into(),
        assemble_user: None,
        platform: platforms.first().cloned().unwrap_or_else(Platform::host),
        environment: Vec::new(),
        labels,
        epoch: env::epoch()?,
        compression: args.compression.into(),
        compile_bytecode: args.compile_bytecode,
        push: match target.is_pushed(args) {
            true => Push::Yes,
            false => Push::No,
        },
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
    // What is typed is stronger: it comes later.
    let said = application.into_iter().flat_map(|it| &it.environment);
    let said = said.map(|(name, said)| (name.clone(), said.value.clone()));
    request.environment = said
        .chain(std::mem::take(&mut request.environment))
        .collect();
    Ok(Ordered {
        request,
        platforms,
        warnings,
    })
}

/// The builder image as somebody wrote it, and what to call that in a message.
pub(super) fn builder<'a>(args: &'a Args, target: &'a Target) -> (&'a str, String) {
    if let Some(typed) = &target.typed.0 {
        return (typed, String::new());
    }
    if let Some(typed) = &args.build_image {
        return (typed, "--build-image ".to_owned());
    }
    match target
        .application
        .as_ref()
        .and_then(|it| it.builder.as_ref())
    {
        Some(said) => (&said.value, format!("the builder of {} ", said.origin)),
        None => (DEFAULT_BUILDER, String::new()),
    }
}

fn strategy(args: &Args, target: &Target) -> Result<Strategy, Diagnostic> {
    let said = target
        .application
        .as_ref()
        .and_then(|it| it.strategy.as_ref());
    match (args.strategy, said) {
        (Some(typed), _) => Ok(typed),
        (None, None) => Ok(Strategy::Auto),
        (None, Some(said)) => Strategy::from_str(&said.value, false).map_err(|_| {
            Diagnostic::new(
                Code::Project,
                format!("{}: `{}` is no strategy", said.origin, said.value),
            )
            .hint("it is one of `auto`, `direct`, `assemble`")
        }),
    }
}

fn default_tag(target: &Target) -> Result<Tag, Diagnostic> {
    let name = source::last_part(&target.source);
    Tag::from_directory_name(&name).ok_or_else(|| {
        Diagnostic::new(
            Code::InvalidReference,
            format!("no image name can be made of the source's name `{name}`"),
        )
        .hint("give a name: `-t NAME`")
    })
}
