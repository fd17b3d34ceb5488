//! Promotion: what one environment runs is given to the next, as the same bytes under the same tag.
//!
//! The digest decides what is copied, the source environment's registry is where it comes from, and the tag is what the
//! destination knows it by afterwards: tags are what Flux looks at, and a manifest without one is invisible to it. The
//! order is what keeps a half-finished promotion harmless: first everything is asked for and compared ([`check`]), then
//! all images go over without a name, and only when all are there do the tags follow, each read back. What was cut short
//! is completed by the same command.
//!
//! # Spec
//! `path-to-production.md` §1.5 and §1.10, item 4.

mod carry;
mod error;
mod naming;

pub use carry::{Promoted, carry_out};
pub use error::{Conflict, Error};
pub use naming::{Root, path_of};

use super::result::Entry;
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::image::graph::Document;
use crate::reference::Reference;
use crate::registry::{self, Access, RegistryClient};

/// What to promote from where to where.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The source environment's registry: images come from here, whichever registry the results name.
    pub source: &'a Root,
    /// The destination environment's registry.
    pub destination: &'a Root,
    /// The registries of all environments: what of a name stands behind one of them is the same everywhere.
    pub known: &'a [Root],
    /// What was built.
    pub entries: &'a [&'a Entry],
    /// What becomes of tags that stand for something else.
    pub tags: Tags,
    /// What goes with the images.
    pub attached: Attached,
}

/// What becomes of a tag of the destination that stands for another digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// It stays, and nothing at all is promoted.
    Stay,
    /// It is moved.
    Move,
}

/// What goes with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// What refers to it: signatures, bills of materials, attestations.
    Referrers,
    /// Nothing.
    Nothing,
}

/// One image's way, by names alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the results call it.
    pub name: String,
    /// Where it is and is to be.
    pub way: Way,
    /// Longer names that it may have, tried first, longest first: where the results name it in a registry that no environment has,
    /// and have its digest, so that nothing else can be found by mistake.
    pub longer: Vec<Way>,
}

/// Both ends of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where it is: with its tag, and with the digest that the results have.
    pub source: Reference,
    /// Where it is to be: with its tag alone.
    pub destination: Reference,
}

/// A step whose ends were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What the results call it.
    pub name: String,
    /// Where it is and is to be.
    pub way: Way,
    /// The manifest or index that is promoted.
    pub document: Document,
    /// What the destination's tag stands for now.
    pub found: Found,
}

/// What a tag stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no such tag.
    Nothing,
    /// What is promoted.
    Same,
    /// Something else; its digest where it can be read.
    Other(Option<Digest>),
}

impl Checked {
    /// The digest that is promoted.
    pub fn digest(&self) -> &Digest {
        &self.document.descriptor.digest
    }

    /// The source, with the digest that counts.
    pub fn source(&self) -> String {
        let tagged = self.way.source.without_digest();
        format!("{tagged}@{}", self.digest())
    }
}

/// Finds out what has to be where. Nobody is asked.
///
/// # Errors
/// [`Error::SamePlace`], [`Error::Result`] for a result that is no reference, [`Error::NoTag`], [`Error::Name`] for a name
/// that the destination cannot have.
pub fn plan(request: &Request<'_>) -> Result<Vec<Step>, Error> {
    if request.source == request.destination {
        let registry = request.source.to_string();
        return Err(Error::SamePlace { registry });
    }
    let step = |entry: &&Entry| {
        let name = entry.name().to_owned();
        let reference = entry.reference(None)?;
        let text = entry.text();
        // A reference without tag and digest means `latest` elsewhere. Here nobody has said so.
        let (Some(tag), true) = (reference.tag(), naming::has_tag(&text)) else {
            return Err(Error::NoTag { name, text });
        };
        let way = |path: &String| {
            let place = |root: &Root| {
                root.image(path, tag).map_err(|source| Error::Name {
                    name: name.clone(),
                    source,
                })
            };
            let source = place(request.source)?;
            Ok(Way {
                destination: place(request.destination)?,
                source: match reference.digest() {
                    Some(digest) => naming::pinned(&source, digest)?,
                    None => source,
                },
            })
        };
        let paths = naming::paths_of(&entry.text(), &reference, request.known);
        let ways: Vec<Result<Way, Error>> = paths.iter().map(way).collect();
        let mut ways = ways.into_iter();
        let way = ways.next_back().ok_or_else(|| Error::NoTag {
            name: name.clone(),
            text: entry.text(),
        })??;
        // A longer name that the destination cannot have is not looked for.
        let longer = ways.filter_map(Result::ok);
        let longer = longer.filter(|way| way.source.digest().is_some());
        Ok(Step {
            way,
            longer: longer.collect(),
            name,
        })
    };
    request.entries.iter().map(step).collect()
}

/// Looks at both ends of every step, and writes nothing. What is promoted twice under one tag is there once afterwards.
///
/// # Errors
/// [`Error::Gone`] for what the source does not have, [`Error::Clash`] for two images with one destination,
/// [`Error::Conflicts`] with every tag that would have to be moved, unless they may be; [`Error::Registry`].
pub fn check(
    steps: Vec<Step>,
    request: &Request<'_>,
    registry: &RegistryClient,
    observer: &dyn Observer,
) -> Result<Vec<Checked>, Error> {
    let mut checked: Vec<Checked> = Vec::with_capacity(steps.len());
    for step in steps {
        let (way, document) = at_the_source(&step, request, registry, observer)?;
        let same = |other: &&Checked| other.way.destination == way.destination;
        if let Some(other) = checked.iter().find(same) {
            if other.document.bytes == document.bytes {
                continue;
            }
            return Err(Error::Clash {
                names: [other.name.clone(), step.name],
                destination: way.destination.to_string(),
            });
        }
        let found = stands_for(&way.destination, &document, registry, observer)?;
        checked.push(Checked {
            name: step.name,
            way,
            document,
            found,
        });
    }
    let conflicts: Vec<Conflict> = checked.iter().filter_map(conflict).collect();
    match conflicts.is_empty() || request.tags == Tags::Move {
        true => Ok(checked),
        false => Err(Error::Conflicts { conflicts }),
    }
}

fn conflict(checked: &Checked) -> Option<Conflict> {
    match &checked.found {
        Found::Nothing | Found::Same => None,
        Found::Other(digest) => Some(Conflict {
            name: checked.name.clone(),
            tag: checked.way.destination.to_string(),
            found: digest.clone(),
            wanted: checked.digest().clone(),
        }),
    }
}

/// Where the image is, and the document that counts: the digest's where there is one, whatever the tag stands for by now.
fn at_the_source(
    step: &Step,
    request: &Request<'_>,
    registry: &RegistryClient,
    observer: &dyn Observer,
) -> Result<(Way, Document), Error> {
    for way in &step.longer {
        match registry.document(&way.source, observer) {
            Ok(document) => {
                compare(&step.name, way, &document, registry, observer)?;
                return Ok((way.clone(), document));
            }
            Err(registry::Error::Interrupted) => return Err(registry::Error::Interrupted.into()),
            // It will not be there for the next name either.
            Err(registry::Error::Connect { .. }) => break,
            // Some registries answer that nobody may see what is not there. The last name says what is the matter.
            Err(_) => {}
        }
    }
    let way = &step.way;
    let found = registry.document(&way.source, observer);
    let document = found.map_err(|source| match source.is_not_found() {
        true => Error::Gone {
            name: step.name.clone(),
            reference: way.source.to_string(),
            registry: request.source.to_string(),
            source,
        },
        false => Error::Registry(source),
    })?;
    compare(&step.name, way, &document, registry, observer)?;
    Ok((way.clone(), document))
}

/// Says what of the tag at the source is not as the results have it.
fn compare(
    name: &str,
    way: &Way,
    document: &Document,
    registry: &RegistryClient,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let warn = |text: String| observer.observe(Event::Warning { text, hint: None });
    let digest = &document.descriptor.digest;
    let tagged = way.source.without_digest();
    if way.source.digest().is_none() {
        warn(format!(
            "the result of `{name}` has no digest; `{tagged}` stands for {digest} now, and that is promoted"
        ));
        return Ok(());
    }
    match registry.resolve(&tagged, observer) {
        Err(registry::Error::Interrupted) => Err(registry::Error::Interrupted.into()),
        Ok(other) if other.digest != *digest => {
            warn(format!(
                "`{tagged}` stands for {} by now; the digest of the results counts, {digest}",
                other.digest
            ));
            Ok(())
        }
        // No answer is no reason to stop.
        _ => Ok(()),
    }
}

/// What a tag stands for in the registry itself: what a mirror has is not what will be replaced.
fn stands_for(
    tag: &Reference,
    wanted: &Document,
    registry: &RegistryClient,
    observer: &dyn Observer,
) -> Result<Found, Error> {
    use registry::Error::{Document, Schema1};
    match registry.manifest(tag, Access::PullAndPush, observer) {
        Ok(None) => Ok(Found::Nothing),
        // Bytes, not digests: those may be of two algorithms.
        Ok(Some(found)) if found.bytes == wanted.bytes => Ok(Found::Same),
        Ok(Some(found)) => Ok(Found::Other(Some(found.descriptor.digest))),
        Err(Document { .. } | Schema1 { .. }) => Ok(Found::Other(None)),
        Err(error) => Err(error.into()),
    }
}
