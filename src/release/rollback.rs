//! Which deployment is meant: the one that is declared released, and the one that is gone back to.
//!
//! A deployment of another application or another environment is never taken. Source: specification *The path to
//! production*, §2.5.

use std::collections::BTreeMap;
use std::path::Path;

use super::history::{self, Contents, Filter, Id, Record, State, Target};
use super::rollouts;
use crate::project::Operation;

/// The result in which the record of a rollback names the deployment that it repeats, by its id.
pub const ROLLBACK_OF: &str = "rollback-of";

/// The result in which the record of a deployment says which nodes its image was loaded into: `k3d:dev`. They know it by its tag alone.
pub const LOADED_INTO: &str = "loaded-into";
/// The result in which the record of a deployment that failed says which image was put back.
pub const ROLLED_BACK_TO: &str = "rolled-back-to";

/// Why no deployment can be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none at all, or none that succeeded.
    #[error(
        "there is no successful deployment of `{application}` in the environment `{environment}`"
    )]
    NoDeployment {
        /// The application.
        application: String,
        /// The environment.
        environment: String,
        /// Where there are some.
        elsewhere: Vec<String>,
    },
    /// There is none before the one that is live.
    #[error(
        "there is no successful deployment of `{application}` in the environment `{environment}` with another image than \
         {live} before it"
    )]
    NothingBefore {
        /// The application.
        application: String,
        /// The environment.
        environment: String,
        /// The live one.
        live: String,
    },
    /// The one that would be declared released does not run as it should.
    #[error(
        "the {deployment} cannot be taken for the one that counts: its rollout {sentence}{reason}"
    )]
    BadRollout {
        /// Which.
        deployment: String,
        /// `has failed`.
        sentence: &'static str,
        /// Why, after a colon; may be empty.
        reason: String,
    },
    /// The one that was named did not succeed.
    #[error("the {deployment} did not succeed: its state is `{}`", state.name())]
    NotSuccessful {
        /// Which.
        deployment: String,
        /// How it stands.
        state: State,
    },
    /// The one that was named has no digest on record, so nobody knows what its tag means by now.
    #[error("the {deployment} has no digest on record, so it is not known which image it was")]
    NoDigest {
        /// Which.
        deployment: String,
    },
    /// The name is that of no deployment, or of several.
    #[error(transparent)]
    History(#[from] history::Error),
}

impl Error {
    /// What a person can do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NoDeployment { elsewhere, .. } if elsewhere.is_empty() => {
                vec!["`overcoat deploy` makes one; `overcoat history` lists what was done".to_owned()]
            }
            Self::NoDeployment { elsewhere, .. } => vec![format!(
                "name an environment that has one: `--environment {}`",
                elsewhere.join("`, `--environment ")
            )],
            Self::NothingBefore { .. } | Self::NotSuccessful { .. } => vec![
                "`overcoat history --operation deploy` lists the deployments; `--to NUMBER` takes one of them".to_owned(),
            ],
            Self::BadRollout { .. } => vec![
                "`overcoat rollback` goes back; when it runs by now, `overcoat watch` says so; `--to NUMBER` takes any".to_owned(),
            ],
            Self::NoDigest { .. } => {
                vec!["deploy an image by its digest: `overcoat deploy --image NAME@sha256:…`".to_owned()]
            }
            Self::History(error) => error.hints(),
        }
    }
}

/// The deployments of an application in an environment.
#[derive(Clone, Copy, Debug)]
pub struct Deployments<'a> {
    /// All records.
    pub contents: &'a Contents,
    /// The application.
    pub application: &'a str,
    /// The environment.
    pub environment: &'a str,
}

impl Deployments<'_> {
    fn filter(&self) -> Filter {
        Filter {
            application: Some(self.application.to_owned()),
            environment: Some(self.environment.to_owned()),
            operations: vec![Operation::Deploy],
            ..Filter::default()
        }
    }

    /// The successful ones, the newest first.
    pub fn successful(&self) -> Vec<Record> {
        let filter = Filter {
            states: vec![State::Success],
            ..self.filter()
        };
        self.contents.select(&filter)
    }

    /// The one that is live as far as records tell: the newest that succeeded.
    ///
    /// # Errors
    /// [`Error::NoDeployment`].
    pub fn live(&self) -> Result<Record, Error> {
        self.successful()
            .into_iter()
            .next()
            .ok_or_else(|| self.none())
    }

    /// The live one, to be declared released: not one whose rollout is known to have failed.
    ///
    /// # Errors
    /// [`Error::NoDeployment`], [`Error::BadRollout`].
    pub fn releasable(&self) -> Result<Record, Error> {
        let live = self.live()?;
        match rollouts::of(self.contents, &live).filter(rollouts::Rollout::is_bad) {
            None => Ok(live),
            Some(rollout) => Err(Error::BadRollout {
                deployment: live.to_string(),
                sentence: rollout.fate.sentence(),
                reason: rollout
                    .watch
                    .error
                    .as_ref()
                    .map_or_else(String::new, |e| format!(": {e}")),
            }),
        }
    }

    /// The one that was declared released last, if there is one.
    pub fn released(&self) -> Option<&Record> {
        let place = (self.application, self.environment);
        let all = all_released(self.contents);
        self.contents.by_id(all.get(&place)?)
    }

    /// The one that a person names, which must have succeeded.
    ///
    /// # Errors
    /// [`Error::History`], [`Error::NotSuccessful`].
    pub fn named(&self, name: &str) -> Result<Record, Error> {
        let found = self.contents.resolve(name, &self.filter())?;
        match found.state {
            State::Success => Ok(found),
            state => Err(Error::NotSuccessful {
                deployment: found.to_string(),
                state,
            }),
        }
    }

    /// The one to go back to: the one that is named, else the newest before the live one that has another image, and whose rollout
    /// is not known to have failed.
    ///
    /// # Errors
    /// [`Error::NothingBefore`], [`Error::NoDigest`], and as [`Self::live`] and [`Self::named`].
    pub fn earlier(&self, name: Option<&str>) -> Result<Record, Error> {
        let live = self.live()?;
        let found = match name {
            Some(name) => self.named(name)?,
            None => {
                // A rollback stands where the one stands that it repeats: the next goes further back, not forward again.
                let origin = self.origin(&live);
                let mut others = self.successful().into_iter();
                others
                    .by_ref()
                    .take_while(|record| record.id != origin)
                    .for_each(drop);
                let rollouts = rollouts::all(self.contents);
                let is_good = |record: &Record| {
                    let rollout = rollouts.get(&record.id);
                    rollout.is_none_or(|rollout| !rollout.is_bad())
                };
                let other = others.find(|record| !is_same_image(record, &live) && is_good(record));
                other.ok_or_else(|| Error::NothingBefore {
                    application: self.application.to_owned(),
                    environment: self.environment.to_owned(),
                    live: live.to_string(),
                })?
            }
        };
        match found.facts.digest {
            Some(_) => Ok(found),
            None => Err(Error::NoDigest {
                deployment: found.to_string(),
            }),
        }
    }

    /// The deployment that a rollback repeats, perhaps through others; itself where it is none.
    fn origin(&self, deployment: &Record) -> Id {
        let mut origin = deployment;
        // Each step goes back in the file, so a record that names itself leads nowhere.
        let position = |record: &Record| {
            let mut records = self.contents.records.iter();
            records.position(|known| known.id == record.id)
        };
        while let Some(repeated) = self.contents.repeated_by(origin)
            && position(repeated) < position(origin)
        {
            origin = repeated;
        }
        origin.id.clone()
    }

    fn none(&self) -> Error {
        let anywhere = Filter {
            environment: None,
            states: vec![State::Success],
            ..self.filter()
        };
        let records = self.contents.select(&anywhere);
        let mut elsewhere: Vec<String> = records.into_iter().map(|r| r.environment).collect();
        elsewhere.sort();
        elsewhere.dedup();
        Error::NoDeployment {
            application: self.application.to_owned(),
            environment: self.environment.to_owned(),
            elsewhere,
        }
    }
}

impl Contents {
    /// The deployment that a rollback repeats, if it is one and its origin is still on record.
    fn repeated_by(&self, rollback: &Record) -> Option<&Record> {
        let id = rollback.facts.results.get(ROLLBACK_OF)?;
        let id = Id::try_from(id.clone()).ok()?;
        self.by_id(&id)
    }
}

/// True when two deployments put the same image into the same place.
pub fn is_same_image(one: &Record, other: &Record) -> bool {
    let (one, other) = (&one.facts, &other.facts);
    let is_image = match (&one.digest, &other.digest) {
        (Some(digest), Some(known)) => digest == known,
        _ => one.image == other.image,
    };
    // Records of older versions do not say which server it was.
    let is_server = match (&one.endpoint, &other.endpoint) {
        (Some(one), Some(other)) => one.server == other.server,
        _ => true,
    };
    let places = one.targets().count() == other.targets().count();
    let mut pairs = one.targets().zip(other.targets());
    is_image && is_server && places && pairs.all(|(one, other)| is_same_place(one, other))
}

/// True when two deployments went to the same container, whichever version of this program wrote it down.
fn is_same_place(one: &Target, other: &Target) -> bool {
    let (
        Target::Manifests {
            files: of_one,
            outside: beyond_one,
            container: in_one,
            workload: on_one,
            ..
        },
        Target::Manifests {
            files: of_other,
            outside: beyond_other,
            container: in_other,
            workload: on_other,
            ..
        },
    ) = (one, other)
    else {
        return one == other;
    };
    let one: Vec<&Path> = of_one.iter().chain(beyond_one).map(Path::new).collect();
    let other: Vec<&Path> = of_other.iter().chain(beyond_other).map(Path::new).collect();
    // What is relative now was absolute once.
    let is_same = |(one, other): (&&Path, &&Path)| one.ends_with(other) || other.ends_with(one);
    one.len() == other.len()
        && one.iter().zip(&other).all(is_same)
        && (in_one, on_one) == (in_other, on_other)
}

/// For each application and environment, the deployment that was declared released last.
pub fn all_released(contents: &Contents) -> BTreeMap<(&str, &str), &Id> {
    let mut released = BTreeMap::new();
    // The order of the file is that of their beginnings: later ones replace earlier ones.
    for record in &contents.records {
        if record.operation == Operation::Release
            && record.state == State::Success
            && let Some(deployment) = record.link(Operation::Deploy)
        {
            let place = (record.application.as_str(), record.environment.as_str());
            released.insert(place, deployment);
        }
    }
    released
}

#[cfg(test)]
#[path = "rollback_tests.rs"]
mod tests;
