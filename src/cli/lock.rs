//! `overcoat lock`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::args::{self, Shared};
use super::build::DEFAULT_BUILDER;
use super::diagnostic::Diagnostic;
use super::{env, observer, open_store, print};
use crate::build::inputs::StepInputs;
use crate::build::packages::{How, LOCK_FILE};
use crate::build::{self, BuildRequest, Cache, ImageSource, Push, Strategy, Tools};
use crate::image::Platform;

/// Write the versions of all packages down, as `pylock.toml`
///
/// Finds versions for `requirements.txt` that fit together and the builder image's interpreter, and writes them with the
/// digests of their wheels. A lock that is there keeps its versions where they still fit. `overcoat build` then installs
/// exactly these, and so does any installer that reads the format (PEP 751).
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The directory that holds the application
    #[arg(default_value = ".")]
    source: PathBuf,

    /// The builder image whose interpreter the packages are for
    #[arg(long, value_name = "IMG", default_value = DEFAULT_BUILDER)]
    build_image: String,

    /// The platform to lock for, `OS/ARCHITECTURE` [default: this machine's]
    #[arg(long, value_name = "P")]
    platform: Option<Platform>,

    /// Set a variable, as for a build: `PIP_INDEX_URL`, or one that `requirements.txt` names; may be repeated
    #[arg(short, long = "env", value_name = "K=V", value_parser = args::variable)]
    environment: Vec<(String, String)>,

    /// Where to write the lock; `-` for stdout [default: `pylock.toml` in the application's directory]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Look for newer versions, whatever is locked or was found before
    #[arg(long)]
    refresh: bool,

    /// Say nothing but what goes wrong
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let builder: ImageSource = args.build_image.parse().map_err(|error| {
        Diagnostic::from(error)
            .attempting(format!("cannot use `--build-image {}`", args.build_image))
    })?;
    let request = BuildRequest {
        source: args.source.clone(),
        tags: Vec::new(),
        builder,
        strategy: Strategy::Auto,
        assemble_user: None,
        platform: args.platform.clone().unwrap_or_else(Platform::host),
        environment: args.environment.clone(),
        labels: BTreeMap::new(),
        epoch: env::epoch()?,
        push: Push::No,
        outputs: Vec::new(),
        loads: Vec::new(),
        inputs: StepInputs::default(),
        cache: Cache {
            refresh: args.refresh,
            ..Cache::default()
        },
        is_locked: false,
        compression: crate::image::media_type::Compression::Gzip,
        compile_bytecode: false,
        s2i: build::S2iOptions::default(),
        max_layers: build::DEFAULT_MAX_LAYERS,
    };
    let store = open_store(shared)?;
    let tools = Tools::new(&store, env::host_for(shared, &args.source)?);
    let observer = observer(shared, args.quiet)?;
    let lock = build::lock(&request, &tools, observer.as_ref())?;
    let output = args.output.clone();
    let output = output.unwrap_or_else(|| args.source.join(LOCK_FILE));
    if output.as_os_str() == "-" {
        return print(lock.text.trim_end());
    }
    crate::fs::write_atomic(&output, lock.text.as_bytes())?;
    let from = match lock.how {
        How::Lock => "as they are pinned",
        How::Remembered { .. } => "as they were found before; `--refresh` looks for newer ones",
        How::Fresh => "found just now",
    };
    if !args.quiet {
        print(&format!(
            "{}: {} packages, {from}",
            output.display(),
            lock.packages
        ))?;
    }
    Ok(())
}
