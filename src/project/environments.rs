//! Which registry an environment has.

use std::collections::BTreeMap;

use super::error::listed;
use super::registries::{checked, of_variable};
use super::{Environment, Error, Overruled, Project, Setting};

/// op's environments and the variables that hold their registries, in the order of promotion.
///
/// # Spec
/// `path-to-production.md` §1.3.
const VARIABLES: [(&str, &str); 3] = [
    ("dev", "GOOGLE_GKE_IMAGE_REPOSITORY"),
    ("pp", "GOOGLE_GKE_IMAGE_PP_REPOSITORY"),
    ("prod", "GOOGLE_GKE_IMAGE_PROD_REPOSITORY"),
];
/// The variables that count in a role for environments that have no registry of their own.
const FALLBACKS: [(Role, &str); 3] = [
    (Role::Watched, "WATCH_DESTINATION_REPOSITORY"),
    (Role::Source, "PROMOTE_SOURCE_REPOSITORY"),
    (Role::Destination, "PROMOTE_DESTINATION_REPOSITORY"),
];

/// What an environment is to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It is where images are pushed, deployed and watched.
    Watched,
    /// Digests are promoted from it.
    Source,
    /// Digests are promoted to it.
    Destination,
}

impl Role {
    /// What `config explain` calls the registry of environments without one of their own.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Watched => "registry-of-watched",
            Self::Source => "registry-of-source",
            Self::Destination => "registry-of-destination",
        }
    }

    /// The variable that counts for environments without a registry of their own.
    fn variable(self) -> &'static str {
        match self {
            Self::Watched => FALLBACKS[0].1,
            Self::Source => FALLBACKS[1].1,
            Self::Destination => FALLBACKS[2].1,
        }
    }
}

/// The variable with this name in whatever case, of those that hold registries.
pub(super) fn variable_named(name: &str) -> Option<&'static str> {
    let own = VARIABLES.iter().map(|(_, variable)| *variable);
    let fallbacks = FALLBACKS.iter().map(|(_, variable)| *variable);
    own.chain(fallbacks)
        .find(|variable| variable.eq_ignore_ascii_case(name))
}

/// Gives environments their registries: the variable, `overcoat.toml`, then the other files in their order. op's own
/// environments are there when something says their registry.
pub(super) fn resolve(
    project: &mut Project,
    variables: &BTreeMap<String, String>,
    files: &[(String, Setting<String>)],
) -> Result<(), Error> {
    for (name, variable) in VARIABLES {
        let position = project
            .environments
            .iter()
            .position(|environment| environment.name == name);
        let own = position.and_then(|position| project.environments[position].registry.take());
        let candidates = of_variable(variable, variables)?.into_iter().chain(own);
        let candidates = candidates.chain(of_files(variable, files)?);
        let Some(registry) = project.first(&format!("environments.{name}.registry"), candidates)
        else {
            continue;
        };
        match position {
            Some(position) => project.environments[position].registry = Some(registry),
            None => project.environments.push(Environment {
                name: name.to_owned(),
                registry: Some(registry),
                is_declared: false,
                ..Environment::default()
            }),
        }
    }
    for (role, variable) in FALLBACKS {
        let candidates = of_variable(variable, variables)?
            .into_iter()
            .chain(of_files(variable, files)?);
        if let Some(registry) = project.first(role.key(), candidates) {
            project.fallbacks.insert(role, registry);
        }
    }
    Ok(())
}

fn of_files(
    variable: &str,
    files: &[(String, Setting<String>)],
) -> Result<Vec<Setting<String>>, Error> {
    let named = files
        .iter()
        .filter(|(key, setting)| key == variable && !setting.value.is_empty());
    named.map(|(_, setting)| checked(setting)).collect()
}

impl Project {
    /// The first of several values; the others are overruled.
    pub(super) fn first(
        &mut self,
        key: &str,
        candidates: impl IntoIterator<Item = Setting<String>>,
    ) -> Option<Setting<String>> {
        let mut candidates = candidates.into_iter();
        let first = candidates.next();
        self.overruled.extend(candidates.map(|other| Overruled {
            key: key.to_owned(),
            value: other.value,
            origin: other.origin,
        }));
        first
    }

    /// The registry of an environment in a role, without `/` at its end: its own, else the one for all environments in
    /// that role. Where `overcoat.toml` declares environments, what is for all is for those: a name that nobody declared is
    /// a mistake, and would have images go where nobody meant them to.
    ///
    /// # Errors
    /// [`Error::Unknown`] for an environment that the project does not have, when `overcoat.toml` declares some, or there are
    /// some and no registry is for all; [`Error::NoRegistry`] when nothing says it.
    pub fn registry_of(&self, environment: &str, role: Role) -> Result<Setting<String>, Error> {
        let is_said_for_all = self.fallbacks.contains_key(&role);
        if is_said_for_all && self.declares_environments() && !self.has_environment(environment) {
            self.environment(environment)?;
        }
        self.registry_of_any(environment, role)
    }

    /// As [`Self::registry_of`], by op's rule: what is for all is also for names that nobody declared.
    ///
    /// # Errors
    /// [`Error::Unknown`] for an environment that the project does not have, when it has some and no registry is for all;
    /// [`Error::NoRegistry`] when nothing says it.
    ///
    /// # Spec
    /// `path-to-production.md` §1.3: the environment's own beats the fallback; environments that are not known have the
    /// fallback only.
    pub fn registry_of_any(&self, environment: &str, role: Role) -> Result<Setting<String>, Error> {
        let known = self
            .environments
            .iter()
            .find(|known| known.name == environment);
        let own = known.and_then(|known| known.registry.clone());
        if let Some(registry) = own.or_else(|| self.fallbacks.get(&role).cloned()) {
            return Ok(registry);
        }
        let is_ops = VARIABLES.iter().any(|(name, _)| *name == environment);
        if known.is_none() && !is_ops {
            self.environment(environment)?;
        }
        let own = VARIABLES
            .iter()
            .filter(|(name, _)| *name == environment)
            .map(|(_, variable)| *variable);
        Err(Error::NoRegistry {
            environment: environment.to_owned(),
            variables: own.chain([role.variable()]).map(str::to_owned).collect(),
        })
    }

    /// True when `overcoat.toml` says which environments there are.
    pub fn declares_environments(&self) -> bool {
        self.environments.iter().any(|known| known.is_declared)
    }

    /// True for an environment that is declared, or whose own registry something says.
    pub fn has_environment(&self, name: &str) -> bool {
        self.environments.iter().any(|known| known.name == name)
    }

    /// What is worth saying of an environment that nothing knows by its name and that has the registry of all: it may be
    /// mistyped. Nothing is said of op's own names.
    pub fn doubt(&self, environment: &str, registry: &Setting<String>) -> Option<String> {
        let is_ops = VARIABLES.iter().any(|(name, _)| *name == environment);
        if self.has_environment(environment) || (is_ops && !self.declares_environments()) {
            return None;
        }
        let names = self.environments.iter().map(|known| known.name.as_str());
        let names: Vec<&str> = names.collect();
        let known = match names.is_empty() {
            true => String::new(),
            false => format!("; the project has {}", listed(&names)),
        };
        Some(format!(
            "nothing declares the environment `{environment}`: it has the registry of every name, {} ({}){known}",
            registry.value, registry.origin
        ))
    }
}
