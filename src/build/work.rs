//! What is left to do: the steps of a plan, each with its key, and with its layers where somebody made them before.

use super::Error;
use super::cache::{Inputs, Key, Record, Records, annotation, record};
use crate::event::{Event, Observer};
use crate::image::Manifest;
use crate::image::edit::NewLayer;
use crate::reference::Reference;
use crate::registry::Fetched;

/// Where a step's layers were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made on this machine, at this time in seconds since 1970.
    Here {
        /// When.
        made: u64,
    },
    /// Layers of an image in a registry.
    Image(Reference),
}

/// A step's layers, made before.
#[derive(Clone, Debug)]
pub struct Found {
    /// The layers, lowest first.
    pub layers: Vec<NewLayer>,
    /// By whom.
    pub origin: Origin,
}

/// A step with its key.
#[derive(Clone, Debug)]
pub struct Step {
    /// What its result depends on wherever it is made.
    pub portable: Inputs,
    /// The same, and what counts on this machine alone.
    pub local: Inputs,
    /// Its result, when it need not be made.
    pub found: Option<Found>,
    /// Whether its result may be remembered.
    pub is_kept: bool,
    /// Whether the result of another machine will do.
    pub may_be_taken: bool,
}

/// An image that a person named as a cache, as far as it has been read.
#[derive(Clone, Debug)]
pub struct PreviousImage {
    /// Its name.
    pub reference: Reference,
    /// What it consists of.
    pub manifest: Manifest,
    /// What the reference stands for: the manifest, or an index that lists it.
    pub fetched: Fetched,
}

impl Step {
    /// A step that may or may not have been done.
    pub fn new(portable: Inputs, local: Inputs, is_kept: bool) -> Self {
        Self {
            portable,
            local,
            found: None,
            is_kept,
            may_be_taken: true,
        }
    }

    /// The key that images carry.
    pub fn key(&self) -> Key {
        self.portable.key()
    }

    /// Looks for the result on this machine.
    pub fn look_here(&mut self, records: Records<'_>) {
        if self.is_kept && self.found.is_none() {
            let record = records.find(&self.local.key());
            self.found = record.map(|Record { layers, made }| Found {
                layers,
                origin: Origin::Here { made },
            });
        }
    }

    /// Looks for the result among the layers of an image.
    pub fn look_in(&mut self, image: &PreviousImage) {
        if self.is_kept && self.may_be_taken && self.found.is_none() {
            let layers = annotation::find(&image.manifest, self.portable.step(), &self.key());
            self.found = layers.map(|layers| Found {
                layers,
                origin: Origin::Image(image.reference.clone()),
            });
        }
    }

    /// Marks layers that this step has just made with its key, and remembers them.
    ///
    /// # Errors
    /// [`Error::File`] when the record cannot be written.
    pub fn keep(
        &self,
        layers: &mut [NewLayer],
        made: u64,
        records: Records<'_>,
    ) -> Result<(), Error> {
        if self.is_kept {
            annotation::mark(self.portable.step(), &self.key(), layers);
            let layers = layers.to_vec();
            let record = Record { layers, made };
            records.keep(self.portable.step(), &self.local.key(), &record)?;
        }
        Ok(())
    }

    /// One line: whether there is something to do, and why. `before` has the inputs of the last build.
    pub fn explain(&self, before: &[Inputs], now: u64) -> String {
        let name = self.portable.step();
        match &self.found {
            Some(Found { origin, .. }) => {
                let from = match origin {
                    Origin::Here { made } => format!("made {} ago", age(now, *made)),
                    Origin::Image(reference) => format!("from `{reference}`"),
                };
                format!("{name}: hit, {from} (key {})", short(&self.key()))
            }
            None if !self.is_kept => {
                format!("{name}: never kept, for it sees volumes of this machine")
            }
            None => {
                let last = before.iter().find(|inputs| inputs.step() == name);
                let why = match last {
                    None => "this application was not built before in this store".to_owned(),
                    Some(last) => because(&self.local.differences(last)),
                };
                format!("{name}: miss, {why} (key {})", short(&self.key()))
            }
        }
    }
}

fn because(differences: &[String]) -> String {
    const SHOWN: usize = 5;
    match differences {
        [] => {
            "its inputs are those of the last build, but the result is not here any more".to_owned()
        }
        some if some.len() <= SHOWN => some.join(", "),
        many => format!(
            "{} and {} more",
            many[..SHOWN].join(", "),
            many.len() - SHOWN
        ),
    }
}

fn short(key: &Key) -> String {
    key.to_string().chars().take(12).collect()
}

/// A time span as people say it.
pub(super) fn age(now: u64, then: u64) -> String {
    let seconds = now.saturating_sub(then);
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// Tells why each step is done or not.
pub(super) fn explain(
    steps: &[&Step],
    before: &[Inputs],
    now: std::time::SystemTime,
    observer: &dyn Observer,
) {
    let now = record::seconds(now);
    for step in steps {
        observer.observe(Event::Explanation {
            text: step.explain(before, now),
        });
    }
}
