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

mod configuration;
mod content;
mod definition;
mod error;
mod facts;
mod filesystem;
mod generated;
mod own_scripts;
mod packages;
mod read_ahead;
mod selection;
mod shipped;
#[cfg(test)]
mod tests;
mod venv;
mod wheel;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use definition::Definition;
pub use error::Error;

use crate::debian::distribution::fetch_packages;
use crate::debian::mirror::{Fetcher, Mirrors};
use crate::digest::{Algorithm, Digest, Digester};
use crate::event::{Observer, stage};
use crate::fs;
use crate::http::Http;
use crate::image::{Image, Platform};
use crate::reference::Reference;
use crate::store::BlobStore;

/// On the manifest: the digest of the recipe's text and of what overcoat adds to every recipe.
pub const RECIPE_ANNOTATION: &str = "io.overcoat.recipe";
/// On the manifest: the digest of the recipe's digest and of the packages, each with version and SHA-256.
pub const PACKAGES_ANNOTATION: &str = "io.overcoat.packages";

/// Part of both digests: to be changed whenever the same recipe and packages shall give other bytes.
const FORMAT: &str = "overcoat recipe 3";
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
    /// Scripts of its own, by name; they take the place of the stock ones that are called so.
    scripts: BTreeMap<String, Vec<u8>>,
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

/// The digest of the S2I scripts that every recipe gets, which is how a builder image is known to have them.
pub fn stock_scripts_digest() -> String {
    let mut digester = Digester::new(Algorithm::Sha256);
    for (name, bytes) in shipped::SCRIPTS {
        for part in [name.as_bytes(), bytes] {
            digester.update(&(part.len() as u64).to_le_bytes());
            digester.update(part);
        }
    }
    digester.finish().to_string()
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
        let scripts = own_scripts::read(&definition, origin, directory)?;
        let recipe = Self {
            keyrings: definition
                .debian
                .keys
                .iter()
                .map(keyring)
                .collect::<Result<_, _>>()?,
            digest: digest(text, &scripts),
            definition,
            name,
            scripts,
        };
        recipe.reference(&Platform::host())?;
        Ok(recipe)
    }

    /// The name of its image in the store: `builder/NAME:latest` for machines of this kind, `builder/NAME:ARCHITECTURE` for
    /// others, so that neither takes the other's place.
    fn reference(&self, platform: &Platform) -> Result<Reference, Error> {
        let is_here = platform.architecture == Platform::host().architecture;
        let tag = if is_here {
            "latest"
        } else {
            &platform.architecture
        };
        let parsed = format!("builder/{}:{tag}", self.name).parse();
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
fn digest(text: &str, own_scripts: &BTreeMap<String, Vec<u8>>) -> Digest {
    let mut digester = Digester::new(Algorithm::Sha256);
    let scripts = shipped::SCRIPTS
        .iter()
        .flat_map(|(name, bytes)| [name.as_bytes(), bytes]);
    let fixed = [
        FORMAT.as_bytes(),
        text.as_bytes(),
        shipped::ACTIVATE.as_bytes(),
    ];
    let own = own_scripts
        .iter()
        .flat_map(|(name, bytes)| [name.as_bytes(), bytes]);
    for part in fixed.into_iter().chain(scripts).chain(own) {
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
    let (platform, architecture) = selection::debian_platform(recipe, platform)?;
    let reference = recipe.reference(&platform)?;
    let stored = stored(recipe, &reference, &platform, supplies.store)?;
    if let (Some(image), Refresh::IfAbsent) = (&stored, refresh) {
        return Ok(image.clone());
    }
    let cache = supplies.store.cache("debian");
    let fetcher = Fetcher::new(supplies.http, &cache, observer);
    let selection = selection::resolve(recipe, architecture, &fetcher, supplies, observer)?;
    let key = selection::packages_digest(recipe, &selection);
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
    let python = selection::python_version(definition, &unpacked, &selection)?;
    let (layer, installed) = generated::write_layer(recipe, &mut unpacked, &python, supplies)?;
    layers.push(layer);
    let facts = facts::of(definition, &python, &selection, installed);
    let image = configuration::assemble(recipe, &platform, &layers, facts.as_ref(), &key)?;
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
    let (platform, _) = selection::debian_platform(recipe, platform)?;
    match stored(recipe, &recipe.reference(&platform)?, &platform, store)? {
        Some(image) => Ok(image),
        None => configuration::assemble(recipe, &platform, &[], None, &recipe.digest),
    }
}

/// The store's image of a recipe, if it was made and is complete.
///
/// # Errors
/// As [`outline`].
pub fn made(
    recipe: &Recipe,
    platform: &Platform,
    store: &BlobStore,
) -> Result<Option<Image>, Error> {
    let (platform, _) = selection::debian_platform(recipe, platform)?;
    stored(recipe, &recipe.reference(&platform)?, &platform, store)
}

/// True for an image that was made from this very recipe, by a program that would make it so today, for `platform`.
pub fn is_of(recipe: &Recipe, platform: &Platform, image: &Image) -> bool {
    annotation(image, RECIPE_ANNOTATION) == Some(&recipe.digest.to_string())
        && image.config.parsed.platform().satisfies(platform)
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
