//! The image configuration, kept as the JSON it is.
//!
//! Builder images carry fields that no list of ours is complete for (health checks, shells, build triggers, what
//! Docker and BuildKit add); so the document stays a JSON value, with typed views of what a build needs to know.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Error, Platform};
use crate::digest::{DiffId, Digest};

/// An image configuration.
///
/// # Spec
/// OCI image-spec `config.md`. Keys are ordered when written: `serde_json` maps are sorted trees, which a test
/// asserts, because a dependency could switch that off for the whole program.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageConfiguration {
    value: Value,
    diff_ids: Vec<DiffId>,
}

impl ImageConfiguration {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`Error::Json`] when it is no JSON object or has no list of diff ids; [`Error::Digest`] when one is no digest.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| refuse(&error.to_string()))?;
        Self::from_value(value)
    }

    /// Takes a JSON value as a configuration; errors as [`Self::parse`].
    pub fn from_value(value: Value) -> Result<Self, Error> {
        if !value.is_object() {
            return Err(refuse("it is not a JSON object"));
        }
        let listed = value.pointer("/rootfs/diff_ids").and_then(Value::as_array);
        let listed = listed
            .ok_or_else(|| refuse("`rootfs.diff_ids` is missing; is this a container image?"))?;
        let diff_ids = listed
            .iter()
            .map(|text| {
                text.as_str()
                    .unwrap_or_default()
                    .parse::<Digest>()
                    .map(DiffId)
            })
            .collect::<Result<_, _>>()
            .map_err(Error::Digest)?;
        Ok(Self { value, diff_ids })
    }

    /// The whole document.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The diff ids, base first, one for each layer.
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.diff_ids
    }

    /// The platform that the configuration declares.
    pub fn platform(&self) -> Platform {
        let text = |key: &str| {
            self.value
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Platform {
            os: text("os"),
            architecture: text("architecture"),
            variant: Some(text("variant")).filter(|variant| !variant.is_empty()),
        }
    }

    /// The environment, in order, as written (`NAME=value`).
    pub fn environment(&self) -> Vec<String> {
        self.strings("Env")
    }

    /// The value of one environment variable; the last wins.
    pub fn environment_variable(&self, name: &str) -> Option<String> {
        let find = |line: &String| {
            line.strip_prefix(name)?
                .strip_prefix('=')
                .map(str::to_owned)
        };
        self.environment().iter().rev().find_map(find)
    }

    /// The entry point, empty when there is none.
    pub fn entrypoint(&self) -> Vec<String> {
        self.strings("Entrypoint")
    }

    /// The command, empty when there is none.
    pub fn command(&self) -> Vec<String> {
        self.strings("Cmd")
    }

    /// The user as written: a name or number, optionally with a group; empty means root.
    pub fn user(&self) -> &str {
        self.string("User")
    }

    /// The working directory; `/` when none is set.
    pub fn working_directory(&self) -> &str {
        match self.string("WorkingDir") {
            "" => "/",
            directory => directory,
        }
    }

    /// What Docker does first in every build on this image (`ONBUILD`), an instruction each; empty when there is nothing.
    pub fn on_build(&self) -> Vec<String> {
        self.strings("OnBuild")
    }

    /// The labels, sorted.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let labels = self
            .value
            .pointer("/config/Labels")
            .and_then(Value::as_object);
        let text =
            |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        labels.into_iter().flatten().filter_map(text).collect()
    }

    fn string(&self, key: &str) -> &str {
        let value = self.value.get("config").and_then(|config| config.get(key));
        value.and_then(Value::as_str).unwrap_or_default()
    }

    fn strings(&self, key: &str) -> Vec<String> {
        let value = self.value.get("config").and_then(|config| config.get(key));
        let items = value.and_then(Value::as_array);
        items
            .into_iter()
            .flatten()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect()
    }
}

fn refuse(reason: &str) -> Error {
    Error::Json {
        document: "image configuration",
        reason: reason.to_owned(),
    }
}
