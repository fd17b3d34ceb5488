//! Builder images made from recipes: Debian packages and a few files more, with no registry, no root, no daemon.
//!
//! ```text
//! recipe.toml ─▶ packages ─▶ .deb files ─▶ layers of packages ─┐
//!  (shipped)     resolved     fetched                          ├─▶ image builder/NAME:latest
//!                             generated files, scripts, venv ──┘
//! ```
//!
//! Nothing from a package is executed. The image depends on the recipe and on the versions of the packages, and on
//! nothing else: not on the mirror, the time, the user, the number of threads. Its manifest says by two annotations
//! which recipe ([`RECIPE_ANNOTATION`]) and which packages ([`PACKAGES_ANNOTATION`]) it was made from, so that
//! [`materialise`] knows without any work whether there is something to do.

mod definition;
mod filesystem;
mod generated;
mod packages;
mod read_ahead;
mod shipped;
#[cfg(test)]
mod tests;
mod venv;
mod wheel;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use definition::Definition;

use crate::debian::closure::{Essential, Selected};
use crate::debian::distribution::{Distribution, fetch_packages};
use crate::debian::mirror::{Fetcher, Mirrors};
use crate::debian::signature::Keys;
use crate::debian::{self};
use crate::digest::{Algorithm, Digest, Digester};
use crate::event::{Observer, stage};
use crate::fs;
use crate::http::Http;
use crate::image::edit::{self, Changes, NewLayer};
use crate::image::{self, Image, Platform, rfc3339};
use crate::layer::{self, entry::PathError};
use crate::reference::Reference;
use crate::store::{self, BlobStore};

use super::labels;

/// On the manifest: the digest of the recipe's text and of what overcoat adds to every recipe.
pub const RECIPE_ANNOTATION: &str = "io.overcoat.recipe";
/// On the manifest: the digest of the recipe's digest and of the packages, each with version and SHA-256.
pub const PACKAGES_ANNOTATION: &str = "io.overcoat.packages";

/// Part of both digests: to be changed whenever the same recipe and packages shall give other bytes.
const FORMAT: &str = "overcoat recipe 1";
/// The time of everything that has none of its own: 1980-01-01, the first that zip files can hold.
const EPOCH: i64 = 315_532_800;
/// The name of a recipe's file in its directory.
const FILE_NAME: &str = "recipe.toml";
/// The largest recipe or keyring, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A recipe for a builder image.
#[derive(Clone, Debug)]
pub struct Recipe {
    name: String,
    definition: Definition,
    digest: Digest,
    keyrings: Vec<Vec<u8>>,
}

/// What a recipe is materialised with.
#[derive(Clone, Copy)]
pub struct Supplies<'a> {
    /// Where the image goes, and downloads on their way.
    pub store: &'a BlobStore,
    /// How mirrors are reached.
    pub http: &'a Http,
    /// Where the packages are.
    pub mirrors: &'a Mirrors,
    /// The time against which the age of the archive's signed files is checked. It does not reach the image.
    pub now: SystemTime,
    /// How many threads may work at once; at least 1 is taken.
    pub threads: usize,
}

impl std::fmt::Debug for Supplies<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supplies")
            .field("store", &self.store.root())
            .field("mirrors", &self.mirrors)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// When the archive is asked for newer packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// When the store has no image of this recipe.
    IfAbsent,
    /// Always. The image stays the same one when the packages do.
    Always,
}

/// Why a recipe cannot be had or materialised.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No shipped recipe has this name.
    #[error("there is no recipe `{name}`; there are {}", quoted(known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The recipe's text is wrong.
    #[error("the recipe `{recipe}` is invalid{}: {reason}", line.map(|line| format!(" at line {line}")).unwrap_or_default())]
    Definition {
        /// Its name or path.
        recipe: String,
        /// The line, where one is to blame.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// The recipe names a keyring that is neither beside it nor shipped.
    #[error(
        "the recipe `{recipe}` believes the key `{key}`, which is neither in its directory `keys` nor known"
    )]
    Key {
        /// The recipe.
        recipe: String,
        /// The keyring's file name.
        key: String,
    },
    /// The recipe's name cannot be part of an image's.
    #[error("`{name}` cannot be the name of a recipe: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Debian has nothing for the platform.
    #[error("the recipe `{recipe}` cannot be made for `{platform}`, which Debian does not know")]
    Platform {
        /// The recipe.
        recipe: String,
        /// The platform.
        platform: Platform,
    },
    /// The packages cannot be had or read.
    #[error(transparent)]
    Debian(#[from] debian::Error),
    /// Two packages have the same file.
    #[error("the packages `{other}` and `{package}` both have `{path}`")]
    Twice {
        /// The path in the image.
        path: String,
        /// The package that came second.
        package: String,
        /// The package that came first.
        other: String,
    },
    /// Something is in a file instead of a directory.
    #[error("`{path}` cannot be made: `{above}`, which is from `{owner}`, is no directory")]
    Misplaced {
        /// The path in the image.
        path: String,
        /// What should be a directory.
        above: String,
        /// The package that has it, or what else made it.
        owner: String,
    },
    /// The recipe makes a file where something else is in the way.
    #[error("the recipe cannot make `{path}`: {by} is there")]
    Occupied {
        /// The path in the image.
        path: String,
        /// What is there.
        by: &'static str,
    },
    /// The recipe refers to something that no package has.
    #[error("no package has `{path}`, which is needed by `{needed_by}`")]
    Missing {
        /// The path or pattern.
        path: String,
        /// What refers to it.
        needed_by: String,
    },
    /// A file that the recipe wants to read is larger than such a file ever is.
    #[error("`{path}` has more than {limit_bytes} bytes, too many for a file that the recipe uses")]
    TooLarge {
        /// The path in the image.
        path: String,
        /// How many are allowed.
        limit_bytes: u64,
    },
    /// A package's member has a number that no layer should hold.
    #[error("`{path}` of the package `{package}` has the {what} {value}, which is out of range")]
    Number {
        /// The package.
        package: String,
        /// The member.
        path: String,
        /// What the number is.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// A wheel for the virtual environment cannot be used.
    #[error("the wheel `{path}` cannot be used: {reason}")]
    Wheel {
        /// Its path in the image.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A path that no layer may hold.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A layer cannot be written.
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// The image's documents contradict each other, which is a bug.
    #[error("the image of the recipe is inconsistent: {0}")]
    Image(#[from] image::Error),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file of a recipe cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" and ")
}

impl Error {
    /// True when there is no such recipe.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
            || matches!(self, Self::File(error) if error.is_absent())
    }

    /// True when the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Debian(error) => error.is_full(),
            Self::Layer(error) => error.is_full(),
            Self::Store(error) => error.is_full(),
            Self::File(error) => error.is_full(),
            _ => false,
        }
    }

    /// True when the person asked to stop.
    pub fn is_interrupted(&self) -> bool {
        matches!(
            self,
            Self::Interrupted
                | Self::Debian(debian::Error::Interrupted)
                | Self::Layer(layer::Error::Interrupted)
                | Self::Store(store::Error::Interrupted)
        )
    }

    /// What a person can do about it, best first; may be empty.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Debian(error) => return error.hints(),
            Self::Unknown { .. } => {
                "a recipe of your own is named by its directory, with a slash: `builder:./NAME`"
            }
            Self::Key { .. } => "put the keyring into the directory `keys` beside `recipe.toml`",
            Self::Name { .. } => {
                "give the recipe's directory a name in lower case, like `python-3.13`"
            }
            Self::Platform { .. } => {
                "use an image from a registry instead: `--build-image REGISTRY/IMAGE`"
            }
            Self::Twice { .. } => "remove one of the two from the recipe's packages",
            Self::File(error) if error.is_absent() => {
                "a recipe is a directory with a file `recipe.toml`"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// Finds a recipe: a shipped one by its name, or, when `name` has a slash, the one in that directory.
///
/// # Errors
/// [`Error::Unknown`], [`Error::File`] when the directory has no `recipe.toml`, [`Error::Definition`] and
/// [`Error::Key`] for what is wrong with it.
pub fn find(name: &str) -> Result<Recipe, Error> {
    if name.contains('/') {
        return Recipe::load(Path::new(name));
    }
    let known = || {
        shipped::RECIPES
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect()
    };
    match shipped::RECIPES
        .iter()
        .find(|(shipped, _)| *shipped == name)
    {
        Some((name, text)) => Recipe::new((*name).to_owned(), name, text, None),
        None => Err(Error::Unknown {
            name: name.to_owned(),
            known: known(),
        }),
    }
}

/// The shipped recipes, sorted by name.
pub fn list() -> Vec<Recipe> {
    let recipe = |(name, _): &(&str, &str)| find(name).expect("a test reads every shipped recipe");
    shipped::RECIPES.iter().map(recipe).collect()
}

impl Recipe {
    /// The name: that of a shipped recipe, or the directory's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line for people.
    pub fn description(&self) -> &str {
        &self.definition.description
    }

    fn load(directory: &Path) -> Result<Self, Error> {
        let file = directory.join(FILE_NAME);
        let bytes = fs::read_limited(&file, MAX_FILE)?;
        let origin = file.display().to_string();
        let text = String::from_utf8(bytes).map_err(|_| Error::Definition {
            recipe: origin.clone(),
            line: None,
            reason: "it is not UTF-8".to_owned(),
        })?;
        // `.` and `..` have no name of their own.
        let named = match directory.file_name() {
            Some(_) => directory.to_owned(),
            None => fs::Context::context(directory.canonicalize(), "find", directory)?,
        };
        let name = named
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self::new(name, &origin, &text, Some(directory))
    }

    fn new(
        name: String,
        origin: &str,
        text: &str,
        directory: Option<&Path>,
    ) -> Result<Self, Error> {
        let definition = Definition::parse(text, origin)?;
        let keyring = |key: &String| keyring(key, origin, directory);
        let recipe = Self {
            keyrings: definition
                .debian
                .keys
                .iter()
                .map(keyring)
                .collect::<Result<_, _>>()?,
            digest: digest(text),
            definition,
            name,
        };
        recipe.reference()?;
        Ok(recipe)
    }

    /// The name of its image in the store.
    fn reference(&self) -> Result<Reference, Error> {
        let parsed = format!("builder/{}:latest", self.name).parse();
        parsed.map_err(|error: crate::reference::ParseError| Error::Name {
            name: self.name.clone(),
            reason: error.reason,
        })
    }
}

fn keyring(key: &str, recipe: &str, directory: Option<&Path>) -> Result<Vec<u8>, Error> {
    if let Some(directory) = directory {
        match fs::read_limited(&directory.join("keys").join(key), MAX_FILE) {
            Ok(bytes) => return Ok(bytes),
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let shipped = shipped::KEYS.iter().find(|(name, _)| *name == key);
    shipped
        .map(|(_, bytes)| bytes.to_vec())
        .ok_or_else(|| Error::Key {
            recipe: recipe.to_owned(),
            key: key.to_owned(),
        })
}

/// The digest of everything that goes into the image and is not from a package.
fn digest(text: &str) -> Digest {
    let mut digester = Digester::new(Algorithm::Sha256);
    let scripts = shipped::SCRIPTS
        .iter()
        .flat_map(|(name, bytes)| [name.as_bytes(), bytes]);
    let fixed = [
        FORMAT.as_bytes(),
        text.as_bytes(),
        shipped::ACTIVATE.as_bytes(),
    ];
    for part in fixed.into_iter().chain(scripts) {
        digester.update(&(part.len() as u64).to_le_bytes());
        digester.update(part);
    }
    digester.finish()
}

/// Makes the image of a recipe, or finds that it is in the store already, where its name is `builder/NAME:latest`.
///
/// The same packages give the same digest on every machine.
///
/// # Errors
/// [`Error::Debian`] when the archive cannot be had or trusted; [`Error::Store`] and [`Error::Layer`] when the image
/// cannot be written; the others when recipe and packages do not go together.
pub fn materialise(
    recipe: &Recipe,
    platform: &Platform,
    supplies: &Supplies<'_>,
    refresh: Refresh,
    observer: &dyn Observer,
) -> Result<Image, Error> {
    let reference = recipe.reference()?;
    let (platform, architecture) = debian_platform(recipe, platform)?;
    let stored = stored(recipe, &reference, &platform, supplies.store)?;
    if let (Some(image), Refresh::IfAbsent) = (&stored, refresh) {
        return Ok(image.clone());
    }
    let cache = supplies.store.cache("debian");
    let fetcher = Fetcher::new(supplies.http, &cache, observer);
    let selection = resolve(recipe, architecture, &fetcher, supplies, observer)?;
    let key = packages_digest(recipe, &selection);
    if let Some(image) = stored
        && annotation(&image, PACKAGES_ANNOTATION) == Some(&key.to_string())
    {
        return Ok(image);
    }
    let downloading = stage(observer, "download packages", "");
    let files = fetch_packages(
        &fetcher,
        supplies.mirrors,
        selection.iter().map(|selected| &selected.package),
    )?;
    downloading.finish("");

    let writing = stage(observer, "write builder layers", &recipe.name);
    let definition = &recipe.definition;
    let (mut layers, mut unpacked) = packages::write_layers(
        definition,
        architecture,
        &selection,
        &files,
        supplies,
        observer,
    )?;
    let python = python_version(definition, &unpacked, &selection)?;
    layers.push(generated::write_layer(
        definition,
        &mut unpacked,
        &python,
        supplies,
    )?);
    let image = assemble(recipe, &platform, &layers, &key)?;
    supplies.store.put_documents(&image)?;
    supplies
        .store
        .tag(&reference, &image.manifest.descriptor, &platform)?;
    writing.finish(image.digest().to_string());
    Ok(image)
}

/// What the image of a recipe says of itself, without making it: the store's image if it is there, else one that has
/// the configuration and no layers.
///
/// # Errors
/// [`Error::Platform`], [`Error::Name`]; [`Error::Store`] when the store's list of names is damaged.
pub fn outline(recipe: &Recipe, platform: &Platform, store: &BlobStore) -> Result<Image, Error> {
    let (platform, _) = debian_platform(recipe, platform)?;
    match stored(recipe, &recipe.reference()?, &platform, store)? {
        Some(image) => Ok(image),
        None => assemble(recipe, &platform, &[], &recipe.digest),
    }
}

/// The store's image of the recipe, if it is of this recipe and this platform, and complete.
fn stored(
    recipe: &Recipe,
    reference: &Reference,
    platform: &Platform,
    store: &BlobStore,
) -> Result<Option<Image>, Error> {
    let Some(named) = store.resolve(reference)? else {
        return Ok(None);
    };
    // One that cannot be read is made again.
    let Ok(image) = store.image(&named.manifest) else {
        return Ok(None);
    };
    let is_ours = annotation(&image, RECIPE_ANNOTATION) == Some(&recipe.digest.to_string());
    let is_complete = image
        .manifest
        .parsed
        .layers
        .iter()
        .all(|layer| store.has(layer));
    let is_right = is_ours && is_complete && image.config.parsed.platform() == *platform;
    Ok(is_right.then_some(image))
}

fn annotation<'a>(image: &'a Image, name: &str) -> Option<&'a String> {
    image.manifest.parsed.annotations.get(name)
}

/// The platform as the image will have it, and Debian's name of its architecture.
fn debian_platform(
    recipe: &Recipe,
    platform: &Platform,
) -> Result<(Platform, &'static str), Error> {
    let (variant, name) = match (platform.architecture.as_str(), platform.variant.as_deref()) {
        ("amd64", None | Some("v1")) => (None, "amd64"),
        ("arm64", None | Some("v8")) => (None, "arm64"),
        ("arm", None | Some("v7")) => (Some("v7"), "armhf"),
        ("386", None) => (None, "i386"),
        ("ppc64le", None) => (None, "ppc64el"),
        ("s390x", None) => (None, "s390x"),
        ("riscv64", None) => (None, "riscv64"),
        _ => (None, ""),
    };
    if platform.os != "linux" || name.is_empty() {
        return Err(Error::Platform {
            recipe: recipe.name.clone(),
            platform: platform.clone(),
        });
    }
    let platform = Platform {
        variant: variant.map(str::to_owned),
        ..platform.clone()
    };
    Ok((platform, name))
}

/// Finds out which packages the image has: the newest there are.
fn resolve(
    recipe: &Recipe,
    architecture: &str,
    fetcher: &Fetcher<'_>,
    supplies: &Supplies<'_>,
    observer: &dyn Observer,
) -> Result<Vec<Selected>, Error> {
    let debian = &recipe.definition.debian;
    let resolving = stage(
        observer,
        "resolve packages",
        format!("{} for {architecture}", recipe.name),
    );
    let distribution = Distribution {
        suite: debian.suite.clone(),
        updates: debian.updates.clone(),
        security: debian.security.clone(),
        components: debian.components.clone(),
        architecture: architecture.to_owned(),
    };
    let keyrings: Vec<&[u8]> = recipe.keyrings.iter().map(Vec::as_slice).collect();
    let keys = Keys::parse(&keyrings)?;
    let index = distribution.index(fetcher, supplies.mirrors, &keys, Some(supplies.now))?;
    let wanted = &recipe.definition.packages;
    let roots: Vec<&str> = wanted.roots.iter().map(String::as_str).collect();
    let essential = match wanted.essential {
        true => Essential::Include,
        false => Essential::Omit,
    };
    let selection = index.resolve(&roots, essential, architecture)?;
    let bytes: u64 = selection
        .iter()
        .map(|selected| selected.package.size_bytes)
        .sum();
    resolving.finish(format!(
        "{} packages, {} MB",
        selection.len(),
        bytes.div_ceil(1_000_000)
    ));
    Ok(selection)
}

fn packages_digest(recipe: &Recipe, selection: &[Selected]) -> Digest {
    let line = |Selected { package, is_base }: &Selected| {
        let (name, version) = (package.name(), package.version());
        let share = if *is_base { "base" } else { "rest" };
        format!(
            "{name} {version} {} {} {share}\n",
            package.architecture(),
            package.digest()
        )
    };
    let lines: String = selection.iter().map(line).collect();
    Digest::of(format!("{}\n{lines}", recipe.digest).as_bytes())
}

/// The upstream version of the package that has the interpreter.
fn python_version(
    definition: &Definition,
    unpacked: &packages::Unpacked,
    selection: &[Selected],
) -> Result<String, Error> {
    let python = &definition.venv.python;
    let path = unpacked.tree.map(&python.path)?;
    let owner = unpacked.tree.owner(&path);
    let package = selection
        .iter()
        .find(|selected| owner.is_some_and(|owner| **owner == *selected.package.name()));
    let version = package
        .map(|selected| selected.package.version())
        .ok_or_else(|| Error::Missing {
            path: python.text.clone(),
            needed_by: "the virtual environment".to_owned(),
        })?;
    let text = version.as_str();
    let text = text.split_once(':').map_or(text, |(_epoch, rest)| rest);
    Ok(text
        .rsplit_once('-')
        .map_or(text, |(upstream, _revision)| upstream)
        .to_owned())
}

fn assemble(
    recipe: &Recipe,
    platform: &Platform,
    layers: &[NewLayer],
    key: &Digest,
) -> Result<Image, Error> {
    let definition = &recipe.definition;
    let image = &definition.image;
    let venv = &definition.venv.path.text;
    let version = definition.venv.python_version();
    let scripts = shipped::SCRIPTS_DIRECTORY;
    // What the S2I scripts and the convention rely on; a recipe may say otherwise.
    let mut environment = BTreeMap::from(
        [
            ("APP_ROOT", venv.as_str()),
            ("HOME", &working_directory(definition)),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            (
                "PATH",
                &format!("{venv}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ),
            // The builder has the newest pip that its Debian release will ever have.
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("PYTHONIOENCODING", "UTF-8"),
            ("PYTHONUNBUFFERED", "1"),
            ("PYTHON_VERSION", version),
            (labels::SCRIPTS_PATH_VARIABLE, scripts),
            ("VIRTUAL_ENV", venv),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    environment.extend(image.env.clone());
    let scripts_url = (labels::SCRIPTS_URL.to_owned(), format!("image://{scripts}"));
    let mut all_labels = BTreeMap::from([scripts_url]);
    all_labels.extend(image.labels.clone());
    let changes = Changes {
        environment: environment.into_iter().collect(),
        labels: all_labels,
        command: Some(image.cmd.clone()),
        entrypoint: None,
        user: Some(image.user.clone()),
        working_directory: Some(working_directory(definition)),
        exposed_ports: image.ports.clone(),
        created: rfc3339(EPOCH),
        author: String::new(),
        annotations: BTreeMap::from([
            (RECIPE_ANNOTATION.to_owned(), recipe.digest.to_string()),
            (PACKAGES_ANNOTATION.to_owned(), key.to_string()),
        ]),
    };
    Ok(edit::from_scratch(platform, layers, &changes)?)
}

/// Where applications are: the recipe's `workdir`, or `src` in the virtual environment.
fn working_directory(definition: &Definition) -> String {
    let given = definition.image.workdir.clone();
    given.unwrap_or_else(|| format!("{}/src", definition.venv.path.text))
}
