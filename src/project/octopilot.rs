//! `.github/octopilot.yaml`, op's own file.

use super::environments;
use super::error::listed;
use super::nearest::nearest;
use super::text::Text;
use super::yaml_file::{Value, Yaml};
use super::{Error, RunContext, Setting};

const KEYS: [&str; 3] = ["default_repo", "tag", "contexts"];

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Octopilot {
    pub(super) default_repo: Option<Setting<String>>,
    pub(super) tag: Option<Setting<String>>,
    pub(super) contexts: Vec<(String, RunContext)>,
    /// Registries of environments by the names of their variables, which op looks up here as well.
    pub(super) registries: Vec<(String, Setting<String>)>,
}

/// Reads the file. Keys are read in any case, as op does.
///
/// # Errors
/// [`Error::Invalid`] with the line of what is no mapping, an unknown key, or a value of another kind.
///
/// # Spec
/// `path-to-production.md` §1.3.
pub(super) fn read(file: &Text) -> Result<Octopilot, Error> {
    let yaml = Yaml::parse(file)?;
    let anchors = yaml.anchors();
    let roots = yaml.roots(&anchors);
    let mut found = Octopilot::default();
    let Some(root) = roots.first() else {
        return Ok(found);
    };
    if let Some(second) = roots.get(1) {
        return Err(second.refuse("there is a second document"));
    }
    for (key, value) in root.entries("octopilot.yaml")? {
        let lower = key.to_ascii_lowercase();
        let variable = environments::variable_named(key);
        match lower.as_str() {
            _ if value.is_null() => {}
            "default_repo" => found.default_repo = Some(setting(value, key)?),
            "tag" => found.tag = Some(setting(value, key)?),
            "contexts" => found.contexts = contexts(value)?,
            _ => match variable {
                Some(name) => found
                    .registries
                    .push((name.to_owned(), setting(value, key)?)),
                None => {
                    let meant = match nearest(
                        &lower.replace('_', "-"),
                        &["default-repo", "tag", "contexts"],
                    ) {
                        Some(near) => format!("did you mean `{}`?", near.replace('-', "_")),
                        None => format!("the keys here are {}", listed(&KEYS)),
                    };
                    return Err(value.refuse(format!("there is no key `{key}`: {meant}")));
                }
            },
        }
    }
    Ok(found)
}

fn setting(value: Value<'_>, name: &str) -> Result<Setting<String>, Error> {
    Ok(Setting::new(value.text(name)?.to_owned(), value.origin()))
}

fn contexts(value: Value<'_>) -> Result<Vec<(String, RunContext)>, Error> {
    let entries = value.entries("contexts")?;
    let context = |(name, value): (&str, Value<'_>)| {
        let mut found = RunContext {
            origin: value.origin(),
            ..RunContext::default()
        };
        if value.is_null() {
            return Ok((name.to_owned(), found));
        }
        for (key, value) in value.entries(name)? {
            match key {
                _ if value.is_null() => {}
                "ports" => found.ports = texts(value, key)?,
                "volumes" => found.volumes = texts(value, key)?,
                "env" => {
                    for (variable, value) in value.entries(key)? {
                        let text = value.any_text(variable)?.to_owned();
                        found.environment.insert(variable.to_owned(), text);
                    }
                }
                _ => {
                    return Err(value.refuse(format!(
                        "there is no key `{key}`: the keys here are `ports`, `env`, `volumes`"
                    )));
                }
            }
        }
        Ok((name.to_owned(), found))
    };
    entries.into_iter().map(context).collect()
}

fn texts(value: Value<'_>, name: &str) -> Result<Vec<String>, Error> {
    let items = value.items(name)?;
    let text = |item: Value<'_>| item.text(name).map(str::to_owned);
    items.into_iter().map(text).collect()
}
