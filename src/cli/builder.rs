//! `overcoat builder`.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::args::Shared;
use super::build::DEFAULT_BUILDER;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{creds, env, inspect, observer, open_store, print};
use crate::build::{self, Bytes, ImageSource, Tag, Tools};
use crate::builder_image::{BuilderImage, Script, recipe};
use crate::event::stage;
use crate::image::Platform;
use crate::registry::PushRequest;

/// List, make and examine builder images
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List the recipes that overcoat can make builder images from
    List,
    /// Make a builder image from a recipe, with the newest packages
    Build(BuildArgs),
    /// Show what makes an image a builder, as JSON
    Inspect {
        /// An image, in any form that `build --build-image` takes
        image: String,
    },
}

#[derive(ClapArgs, Debug)]
struct BuildArgs {
    /// A recipe's name, or a directory with a `recipe.toml`
    recipe: String,

    /// A name for the image [default: builder/RECIPE]
    #[arg(short, long = "tag", value_name = "NAME")]
    tag: Option<String>,

    /// Push it
    #[arg(long, requires = "tag")]
    push: bool,

    #[command(flatten)]
    creds: creds::Flags,

    /// The platform to build for, `OS/ARCHITECTURE` [default: this machine's]
    #[arg(long, value_name = "P")]
    platform: Option<Platform>,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    match &args.command {
        Command::List => list(),
        Command::Build(args) => make(args, shared),
        Command::Inspect { image } => examine(image, shared),
    }
}

fn list() -> Result<(), Diagnostic> {
    let default = DEFAULT_BUILDER.trim_start_matches("builder:");
    let mark = |name: &str| if name == default { " (default)" } else { "" };
    let line = |recipe: &recipe::Recipe| {
        format!(
            "{}\t{}{}",
            recipe.name(),
            recipe.description(),
            mark(recipe.name())
        )
    };
    print(
        &recipe::list()
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

fn make(args: &BuildArgs, shared: &Shared) -> Result<(), Diagnostic> {
    let tag = args
        .tag
        .as_ref()
        .map(|text| text.parse::<Tag>())
        .transpose()?;
    let recipe = recipe::find(args.recipe.strip_prefix("builder:").unwrap_or(&args.recipe))?;
    let store = open_store(shared)?;
    let mut host = env::host(shared)?;
    let registries = tag.iter().map(|tag| tag.reference.host());
    args.creds
        .apply(&mut host.registries, registries, shared, false)?;
    let tools = Tools::new(&store, host);
    let observer = observer(shared, false)?;
    let supplies = recipe::Supplies {
        store: &store,
        http: tools.http().map_err(build::Error::from)?,
        mirrors: &tools.mirrors,
        now: tools.now,
        threads: tools.threads,
    };
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let image = recipe::materialise(
        &recipe,
        &platform,
        &supplies,
        recipe::Refresh::Always,
        observer.as_ref(),
    )?;
    let Some(tag) = tag else {
        return print(&format!("builder/{}@{}", recipe.name(), image.digest()));
    };
    store.tag(
        &tag.reference,
        &image.manifest.descriptor,
        &image.config.parsed.platform(),
    )?;
    if args.push {
        let pushing = stage(observer.as_ref(), "push", tag.reference.to_string());
        let registry = tools.registry().map_err(build::Error::from)?;
        let request = PushRequest::new(&image, &tag.reference, &store);
        let report = registry.push(&request, observer.as_ref())?;
        pushing.finish(format!(
            "{} blobs sent, {} bytes",
            report.uploaded_blobs, report.bytes
        ));
    }
    print(&format!("{}@{}", tag.typed, image.digest()))
}

fn examine(text: &str, shared: &Shared) -> Result<(), Diagnostic> {
    let source: ImageSource = text.parse()?;
    let store = open_store(shared)?;
    let tools = Tools::new(&store, env::host(shared)?);
    let observer = observer(shared, false)?;
    let (image, name) = build::obtain(
        &source,
        &Platform::host(),
        Bytes::All,
        &tools,
        observer.as_ref(),
    )?;
    let mut description = inspect::describe(&name, &image);
    let builder = BuilderImage::from_image(image, &name);
    let Some(scripts) = builder.scripts() else {
        let error = crate::builder_image::Error::NotABuilder {
            image: text.to_owned(),
            script: Script::Assemble,
        };
        return Err(Diagnostic::new(Code::NotABuilder, error).hint(
            "an application that brings its own scripts in `.s2i/bin/` can still be built on it",
        ));
    };
    let by_name = Script::ALL.map(|script| {
        (
            script.name().to_owned(),
            json!(scripts.place.url(script).trim_start_matches("image://")),
        )
    });
    description["builder"] = json!({
        "scripts": Value::Object(by_name.into_iter().collect()),
        "scripts_declared_by": scripts.declared_by,
        "destination": builder.destination(),
        "assemble_user": builder.assemble_user(),
        "application_directory": builder.application_directory(),
    });
    print(&serde_json::to_string_pretty(&description).unwrap_or_default())
}
