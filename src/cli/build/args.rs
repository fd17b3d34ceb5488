//! The flags of `overcoat build`.

use clap::{Args as ClapArgs, ValueEnum};

use crate::build;
use crate::cli::args;
use crate::cli::s2i::flags::S2iFlags;
use crate::cli::step_args::StepArgs;
use crate::cli::{confine, creds, load, outputs, propagation, records, sbom};
use crate::image::{Platform, media_type};
use crate::output::Destination;
use crate::reference::Reference;

/// Build an image from an application's source
///
/// Prints one line `NAME@sha256:…` for every name. The image stays in the store; `--push` and `-o` also send it
/// elsewhere.
#[derive(ClapArgs, Debug)]
pub(in crate::cli) struct Args {
    /// The application: a directory that holds it, or the name of one in `overcoat.toml` [default: .]
    pub(super) source: Option<String>,

    /// The builder image, as for `--build-image`; or the name of another application
    #[arg(conflicts_with = "build_image")]
    pub(super) builder: Option<String>,

    /// A name for the image, as for `-t`; or the name of another application
    #[arg(value_name = "TAG", conflicts_with = "tags")]
    pub(super) tag: Option<String>,

    /// A name for the image, `[HOST[:PORT]/]NAME[:TAG]`; may be given several times [default: the source's name]
    ///
    /// `NAME:{content}` has a tag that is made of the image's digest: the same content has the same name for ever.
    #[arg(short, long = "tag", value_name = "NAME")]
    pub(super) tags: Vec<String>,

    /// The builder image
    ///
    /// A registry reference, `oci:DIR[:NAME]`, `archive:FILE[:NAME]`, `oci-archive:FILE[:NAME]`,
    /// `docker-archive:FILE[:NAME]`, or `builder:RECIPE` for one that overcoat makes itself (`overcoat builder list`)
    /// [default: builder:python-3.11].
    #[arg(long, value_name = "IMG")]
    pub(super) build_image: Option<String>,

    /// Build every application of the project
    #[arg(long, conflicts_with_all = ["source", "applications"])]
    pub(super) all: bool,

    /// Build this application of the project; may be repeated
    #[arg(
        long = "application",
        alias = "app",
        value_name = "NAME",
        conflicts_with = "source"
    )]
    pub(super) applications: Vec<String>,

    /// How many applications to build at a time [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,

    /// Where the project's images go, `HOST[:PORT][/PATH]` [default: what the project says]
    #[arg(long, value_name = "REGISTRY", alias = "default-repo")]
    pub(super) repo: Option<String>,

    #[command(flatten)]
    pub(super) records: records::Flags,

    /// What the tag of the project's images is made of
    #[arg(long, value_enum, value_name = "WHAT", default_value = "content")]
    pub(super) tag_from: TagFrom,

    /// Push every name to its registry
    #[arg(long)]
    pub(super) push: bool,

    #[command(flatten)]
    pub(super) propagation: propagation::Flag,

    #[command(flatten)]
    pub(super) creds: creds::Flags,

    /// Also write the image to `archive:FILE`, which every container engine loads, to `oci:DIR`, `oci-archive:FILE` or
    /// `docker-archive:FILE`, each with `:NAME` for another name; may be repeated
    #[arg(short, long = "output", value_name = "TYPE:PATH")]
    pub(super) outputs: Vec<Destination>,

    #[command(flatten)]
    pub(super) load: load::Flags,

    /// Set a label of the image, which is also an annotation of its manifest; may be repeated
    #[arg(long = "label", value_name = "K=V", value_parser = args::label)]
    pub(super) labels: Vec<(String, String)>,

    /// How to make the layers [default: auto]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(super) strategy: Option<Strategy>,

    /// How to compress new layers
    #[arg(long, value_enum, value_name = "HOW", default_value = "gzip")]
    pub(super) compression: Compression,

    /// Compile Python bytecode beforehand, as a layer of its own
    ///
    /// The image's interpreter compiles installed packages and the application in the sandbox, after everything else. The
    /// image gets larger and starts faster; in the running container nothing needs to be writable for it.
    #[arg(long)]
    pub(super) compile_bytecode: bool,

    /// The platforms to build for, `OS/ARCHITECTURE[,…]` [default: this machine's]
    ///
    /// Several give an index of images. Nothing of another machine's kind can be executed here, so this needs `direct`.
    #[arg(long = "platform", value_name = "P", value_delimiter = ',')]
    pub(super) platforms: Vec<Platform>,

    #[command(flatten)]
    pub(super) confine: confine::Flags,

    #[command(flatten)]
    pub(super) step: StepArgs,

    #[command(flatten)]
    pub(super) pipeline: outputs::Flags,

    #[command(flatten)]
    pub(super) sbom: sbom::Flags,

    /// Do every step again, whatever is remembered of earlier builds
    #[arg(long)]
    pub(super) no_cache: bool,

    /// Re-use layers of this image where their steps have the same inputs; may be repeated
    ///
    /// With `--push`, the images that are about to be replaced are looked at anyway.
    #[arg(long, value_name = "REF")]
    pub(super) cache_from: Vec<Reference>,

    /// Look for newer versions of packages than those that were found before
    #[arg(long, conflicts_with = "locked")]
    pub(super) refresh: bool,

    /// Fail rather than choose versions: `pylock.toml`, or pins with hashes, must say all of them
    #[arg(long)]
    pub(super) locked: bool,

    /// How many layers the image may have, the builder's included
    #[arg(long, value_name = "N", default_value_t = build::DEFAULT_MAX_LAYERS,
          value_parser = args::layers)]
    pub(super) max_layers: usize,

    /// Say of every step whether it has to be done again, and which input made it so
    #[arg(long)]
    pub(super) explain: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(super) plan: bool,

    /// Build once more, kept apart in another way, and show every file that differs
    #[arg(long)]
    pub(super) check: bool,

    #[command(flatten)]
    pub(super) s2i: S2iFlags,
}

/// What a tag is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TagFrom {
    /// The image itself: the first digits of its digest, and `latest` beside it.
    Content,
    /// The repository: a tag that names the commit, without its `v`, and `latest` beside it; else the commit, marked when
    /// something is not committed.
    Git,
    /// What the CI's variables say: the release that it builds, else the commit; git where there is no CI.
    Ci,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Strategy {
    /// What fits the builder and the application.
    Auto,
    /// Write wheels and the source into layers without executing anything.
    Direct,
    /// Run the `assemble` script in the sandbox.
    Assemble,
}

impl From<Strategy> for build::Strategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Auto => Self::Auto,
            Strategy::Direct => Self::Direct,
            Strategy::Assemble => Self::Assemble,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Compression {
    /// Everything reads it.
    Gzip,
    /// Smaller and several times faster; Docker before 23 and registries that know Docker's formats only refuse it.
    Zstd,
}

impl From<Compression> for media_type::Compression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => Self::Zstd,
        }
    }
}
