//! Every value of a project with its origin, in one list.

use std::collections::BTreeMap;

use super::error::listed;
use super::{
    Application, DEFAULT_BUILDER, DEFAULT_STRATEGY, Environment, Error, Hook, Kind, Note,
    OnFailure, Operation, Origin, Project, RunContext, Setting, When,
};
use crate::source::redact;

/// The platforms where nobody names any. Which machine that is, is no setting.
const THIS_MACHINE: &str = "this machine's";

/// A line of `config explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The setting, dotted as in `overcoat.toml`: `environments.dev.registry`.
    pub key: String,
    /// The value that counts, without the users and passwords of URLs; several are joined by `, `.
    pub value: String,
    /// Where it was said.
    pub origin: Origin,
    /// What other places say, the strongest first.
    pub overruled: Vec<(String, Origin)>,
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn put(&mut self, key: impl Into<String>, value: impl Into<String>, origin: &Origin) {
        self.0.push(Row {
            key: key.into(),
            value: redact(&value.into()),
            origin: origin.clone(),
            overruled: Vec::new(),
        });
    }

    fn text(&mut self, key: &str, setting: Option<&Setting<String>>) {
        if let Some(setting) = setting {
            self.put(key, setting.value.clone(), &setting.origin);
        }
    }

    fn texts(&mut self, key: &str, setting: Option<&Setting<Vec<String>>>) {
        if let Some(setting) = setting {
            self.put(key, setting.value.join(", "), &setting.origin);
        }
    }

    fn pairs(&mut self, key: &str, pairs: &BTreeMap<String, Setting<String>>) {
        for (name, setting) in pairs {
            self.text(&format!("{key}.{name}"), Some(setting));
        }
    }
}

impl Project {
    /// Every value with its origin, in the order of docs/project.md; those whose key is `key` or below it, all of them
    /// without.
    ///
    /// # Errors
    /// [`Error::Unknown`] when nothing has that key.
    pub fn explain(&self, key: Option<&str>) -> Result<Vec<Row>, Error> {
        let mut rows = Rows::default();
        rows.text("project", self.name.as_ref());
        rows.text("default-registry", self.registry.as_ref());
        rows.pairs("labels", &self.labels);
        for application in &self.applications {
            rows_of_application(&mut rows, application);
        }
        for environment in &self.environments {
            rows_of_environment(&mut rows, environment);
        }
        for (position, hook) in self.hooks.iter().enumerate() {
            rows.put(
                format!("hooks.{}", position + 1),
                described(hook),
                &hook.origin,
            );
        }
        for (role, setting) in &self.fallbacks {
            rows.text(role.key(), Some(setting));
        }
        rows.text("run-tag", self.tag.as_ref());
        for (name, context) in &self.contexts {
            rows_of_context(&mut rows, name, context);
        }
        let mut rows = rows.0;
        for other in &self.overruled {
            if let Some(row) = rows.iter_mut().find(|row| row.key == other.key) {
                row.overruled
                    .push((redact(&other.value), other.origin.clone()));
            }
        }
        let Some(key) = key else {
            return Ok(rows);
        };
        let known: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
        rows.retain(|row| is_at(&row.key, key));
        match rows.is_empty() {
            true => Err(Error::Unknown {
                kind: Kind::Setting,
                name: key.to_owned(),
                known,
            }),
            false => Ok(rows),
        }
    }
}

impl Project {
    /// What has no effect, as far as it is about `key`, a setting below it, or what it is a part of; all of it without.
    pub fn notes_on(&self, key: Option<&str>) -> Vec<&Note> {
        let is_meant =
            |note: &&Note| key.is_none_or(|key| is_at(&note.key, key) || is_at(key, &note.key));
        self.notes.iter().filter(is_meant).collect()
    }
}

/// True when `key` is `place` or below it.
fn is_at(key: &str, place: &str) -> bool {
    let rest = key.strip_prefix(place);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// op's `run` context: what `op run` starts the application with.
fn rows_of_context(rows: &mut Rows, name: &str, context: &RunContext) {
    let key = |part: &str| format!("contexts.{name}.{part}");
    let origin = &context.origin;
    for (part, texts) in [("ports", &context.ports), ("volumes", &context.volumes)] {
        if !texts.is_empty() {
            rows.put(key(part), texts.join(", "), origin);
        }
    }
    for (variable, value) in &context.environment {
        rows.put(key(&format!("env.{variable}")), value, origin);
    }
    if context.ports.is_empty() && context.volumes.is_empty() && context.environment.is_empty() {
        rows.put(format!("contexts.{name}"), String::new(), origin);
    }
}

fn rows_of_application(rows: &mut Rows, application: &Application) {
    let key = |name: &str| format!("applications.{}.{name}", application.name);
    if let Some(path) = &application.path {
        rows.put(key("path"), path.value.display().to_string(), &path.origin);
    }
    match &application.image {
        Some(image) => rows.text(&key("image"), Some(image)),
        None => rows.put(key("image"), application.image_name(), &Origin::Default),
    }
    // What is not built here has no defaults of a build.
    let is_ours = application.foreign.is_none();
    let by_default = |rows: &mut Rows, name: &str, said: bool, default: &str| {
        if is_ours && !said {
            rows.put(key(name), default, &Origin::Default);
        }
    };
    rows.text(&key("builder"), application.builder.as_ref());
    by_default(
        rows,
        "builder",
        application.builder.is_some(),
        DEFAULT_BUILDER,
    );
    rows.text(&key("strategy"), application.strategy.as_ref());
    by_default(
        rows,
        "strategy",
        application.strategy.is_some(),
        DEFAULT_STRATEGY,
    );
    rows.pairs(&key("environment"), &application.environment);
    rows.texts(&key("platforms"), application.platforms.as_ref());
    by_default(
        rows,
        "platforms",
        application.platforms.is_some(),
        THIS_MACHINE,
    );
    rows.pairs(&key("labels"), &application.labels);
    rows.text(&key("container"), application.container.as_ref());
    rows.text(&key("workload"), application.workload.as_ref());
    if let (Some(reason), Some(image)) = (&application.foreign, &application.image) {
        rows.put(key("foreign"), reason.clone(), &image.origin);
    }
}

fn rows_of_environment(rows: &mut Rows, environment: &Environment) {
    let key = |name: &str| format!("environments.{}.{name}", environment.name);
    rows.text(&key("registry"), environment.registry.as_ref());
    rows.text(&key("namespace"), environment.namespace.as_ref());
    rows.text(&key("context"), environment.context.as_ref());
    if let Some(manifests) = &environment.manifests {
        let paths = manifests
            .value
            .iter()
            .map(|path| path.display().to_string());
        let paths: Vec<String> = paths.collect();
        rows.put(key("manifests"), paths.join(", "), &manifests.origin);
    }
}

/// A hook in a sentence: `before push: scan --all (goes on when it fails; at most 30s; for `web`)`.
fn described(hook: &Hook) -> String {
    let operation = match hook.operation {
        Operation::Build => "build",
        Operation::Push => "push",
        Operation::Promote => "promote",
        Operation::Deploy => "deploy",
        Operation::Watch => "watch",
        Operation::Release => "release",
    };
    let when = match hook.when {
        When::Before => "before",
        When::After => "after",
        When::Failure => "on failure of",
    };
    let mut more = Vec::new();
    if hook.on_failure == OnFailure::Continue {
        more.push("goes on when it fails".to_owned());
    }
    if let Some(timeout) = hook.timeout {
        more.push(format!("at most {}", humantime::format_duration(timeout)));
    }
    for names in [&hook.applications, &hook.environments] {
        if !names.is_empty() {
            more.push(format!("for {}", listed(names)));
        }
    }
    let more = match more.is_empty() {
        true => String::new(),
        false => format!(" ({})", more.join("; ")),
    };
    format!("{when} {operation}: {}{more}", hook.command.join(" "))
}
