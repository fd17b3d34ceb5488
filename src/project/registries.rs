//! Where images go when no environment says so.

use std::collections::BTreeMap;

use super::interpolate::interpolate;
use super::{Error, Origin, Setting, rules};

/// Where images go when nobody says anything.
pub(super) const DEFAULT: &str = "localhost:5001";

/// What `.registry` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations {
    /// `local`.
    pub local: Option<Destination>,
    /// `ci`, or `destinations` as it was called before.
    pub ci: Vec<Destination>,
}

/// One registry of `.registry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its name, which nothing depends on.
    pub name: Option<String>,
    /// The registry as it is written, with variables in it.
    pub written: Setting<String>,
}

impl Destination {
    /// The registry, its variables replaced, without `/` at its end.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is no registry then; the reason names the variables that are not set.
    pub fn registry(&self, variables: &BTreeMap<String, String>) -> Result<Setting<String>, Error> {
        let written = &self.written;
        let refuse = |reason: String, hints: Vec<String>| Error::Invalid {
            place: written.origin.clone(),
            reason,
            hints,
        };
        let found =
            interpolate(&written.value, variables).map_err(|reason| refuse(reason, Vec::new()))?;
        let text = &found.text;
        // Nothing in the place of a variable is fine, `ghcr.io/` in the place of `ghcr.io/${OWNER}` is somebody else's.
        let has_gap = text.is_empty()
            || text.starts_with('/')
            || text.ends_with(['/', ':'])
            || text.contains("//")
            || text.contains(":/");
        if let (Some(name), true) = (found.missing.first(), has_gap) {
            return Err(refuse(
                format!(
                    "`{}` needs the variable {name}, which is not set",
                    written.value
                ),
                vec![format!("set it, or give it a default: `${{{name}:-…}}`")],
            ));
        }
        let registry = rules::registry(text).map_err(|reason| refuse(reason, Vec::new()))?;
        Ok(Setting::new(registry, written.origin.clone()))
    }
}

impl Destinations {
    /// The one that op takes without being told: the first of `ci` in GitHub's actions, else `local`. The other one where
    /// that is missing is not taken: images would go where nobody meant them to.
    pub fn usual(&self, variables: &BTreeMap<String, String>) -> Option<&Destination> {
        match is_github(variables) {
            true => self.ci.first(),
            false => self.local.as_ref(),
        }
    }
}

/// True in a job of GitHub's actions.
pub(super) fn is_github(variables: &BTreeMap<String, String>) -> bool {
    variables
        .get("GITHUB_ACTIONS")
        .is_some_and(|value| value == "true")
}

/// A registry that a variable says; nothing for an empty one.
pub(super) fn of_variable(
    name: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Option<Setting<String>>, Error> {
    let Some(value) = variables.get(name).filter(|value| !value.trim().is_empty()) else {
        return Ok(None);
    };
    let origin = Origin::Variable(name.to_owned());
    checked(&Setting::new(value.trim().to_owned(), origin)).map(Some)
}

/// A registry that stands in a file or was given; its `/` at the end goes.
pub(super) fn checked(setting: &Setting<String>) -> Result<Setting<String>, Error> {
    match rules::registry(&setting.value) {
        Ok(registry) => Ok(Setting::new(registry, setting.origin.clone())),
        Err(reason) => Err(Error::Invalid {
            place: setting.origin.clone(),
            reason,
            hints: Vec::new(),
        }),
    }
}
