//! `overcoat.toml`, our own file.
//!
//! Its tables `[registry."HOST"]` are settings of registries, which `registry::hosts` reads; everything else is read here.

use std::path::{Component, Path, PathBuf};

use toml::de::DeTable;

use super::hooks_toml;
use super::table::{Entry, Table};
use super::text::Text;
use super::{Application, Environment, Error, Project, Setting, rules};

const KEYS: [&str; 7] = [
    "project",
    "default-registry",
    "labels",
    "applications",
    "environments",
    "hooks",
    "registry",
];
const APPLICATION_KEYS: [&str; 9] = [
    "path",
    "image",
    "builder",
    "strategy",
    "environment",
    "platforms",
    "labels",
    "container",
    "workload",
];
const ENVIRONMENT_KEYS: [&str; 4] = ["registry", "namespace", "context", "manifests"];

/// Reads our own file; nothing of other sources is in what comes back.
///
/// # Errors
/// [`Error::Invalid`] with the line of what is no TOML, what is no key of ours, and what makes no sense.
pub(super) fn read(file: &Text) -> Result<Project, Error> {
    let document = DeTable::parse(&file.text).map_err(|error| {
        let line = error.span().map_or(0, |span| file.line_of(span.start));
        file.refuse(line, format!("it is not TOML: {}", error.message()))
    })?;
    let root = Table::root(file, document.get_ref());
    root.only(&KEYS)?;
    let mut project = Project {
        root: file.directory().to_owned(),
        file: Some(file.path.clone()),
        name: root.text("project")?,
        ..Project::default()
    };
    // Whose keys are in it is not our business, but that it is a table of tables is.
    if let Some(hosts) = root.get("registry") {
        if hosts.any_text().is_ok() {
            return Err(hosts.refuse(
                "it holds the settings of single registries, `[registry.\"HOST\"]`; where images go is `default-registry`",
            ));
        }
        hosts.table("[registry]".to_owned())?;
    }
    if let Some(entry) = root.get("default-registry") {
        project.registry = Some(registry(entry)?);
    }
    if let Some(labels) = root.table("labels")? {
        project.labels = pairs(&labels, rules::label)?;
    }
    if let Some(applications) = root.table("applications")? {
        for entry in applications.entries() {
            project.applications.push(application(file, entry)?);
        }
    }
    if let Some(environments) = root.table("environments")? {
        for entry in environments.entries() {
            project.environments.push(environment(file, entry)?);
        }
    }
    if let Some(entry) = root.get("hooks") {
        project.hooks = hooks_toml::read(file, entry)?;
    }
    check_images(file, &project.applications, &root)?;
    Ok(project)
}

fn application(file: &Text, entry: &Entry<'_>) -> Result<Application, Error> {
    rules::name(entry.key).map_err(|reason| entry.refuse(reason))?;
    let table = entry.table(format!("[applications.{}]", entry.key))?;
    table.only(&APPLICATION_KEYS)?;
    let mut application = Application {
        name: entry.key.to_owned(),
        image: table.text("image")?,
        builder: table.text("builder")?,
        strategy: table.text("strategy")?,
        platforms: table.texts("platforms")?,
        container: table.text("container")?,
        workload: table.text("workload")?,
        ..Application::default()
    };
    let path = table.get("path").map(|entry| directory(file, entry));
    application.path = path.transpose()?;
    if let Some(environment) = table.table("environment")? {
        application.environment = pairs(&environment, |name, _| rules::variable(name))?;
    }
    if let Some(labels) = table.table("labels")? {
        application.labels = pairs(&labels, rules::label)?;
    }
    let checks: [(&str, &Option<Setting<String>>, rules::Rule); 4] = [
        ("image", &application.image, rules::image),
        ("strategy", &application.strategy, rules::strategy),
        ("container", &application.container, rules::container),
        ("workload", &application.workload, rules::workload),
    ];
    for (key, setting, rule) in checks {
        if let (Some(setting), Some(entry)) = (setting, table.get(key)) {
            rule(&setting.value).map_err(|reason| entry.refuse(reason))?;
        }
    }
    if let (Some(platforms), Some(entry)) = (&application.platforms, table.get("platforms")) {
        rules::platforms(&platforms.value).map_err(|reason| entry.refuse(reason))?;
    }
    // Without `image` the application's name is the image's.
    if application.image.is_none() && rules::image(&application.name).is_err() {
        return Err(entry.refuse("this is no name for an image: say `image = \"…\"`"));
    }
    Ok(application)
}

fn environment(file: &Text, entry: &Entry<'_>) -> Result<Environment, Error> {
    rules::name(entry.key).map_err(|reason| entry.refuse(reason))?;
    let table = entry.table(format!("[environments.{}]", entry.key))?;
    table.only(&ENVIRONMENT_KEYS)?;
    let namespace = table.text("namespace")?;
    if let (Some(namespace), Some(entry)) = (&namespace, table.get("namespace")) {
        rules::container(&namespace.value).map_err(|reason| entry.refuse(reason))?;
    }
    let manifests = match table.get("manifests") {
        None => None,
        Some(entry) => {
            let texts = entry.texts()?;
            let absolute = |text: &String| manifest(file, entry, text);
            let paths: Result<Vec<PathBuf>, Error> = texts.value.iter().map(absolute).collect();
            Some(Setting::new(paths?, texts.origin))
        }
    };
    Ok(Environment {
        is_declared: true,
        name: entry.key.to_owned(),
        registry: table.get("registry").map(registry).transpose()?,
        namespace,
        context: table.text("context")?,
        manifests,
    })
}

fn registry(entry: &Entry<'_>) -> Result<Setting<String>, Error> {
    let setting = entry.text()?;
    let registry = rules::registry(&setting.value).map_err(|reason| entry.refuse(reason))?;
    Ok(Setting::new(registry, setting.origin))
}

/// `NAME = "VALUE"` entries, each held against a rule.
fn pairs(
    table: &Table<'_>,
    rule: impl Fn(&str, &str) -> Result<(), String>,
) -> Result<std::collections::BTreeMap<String, Setting<String>>, Error> {
    let pair = |entry: &Entry<'_>| {
        let setting = entry.any_text()?;
        rule(entry.key, &setting.value).map_err(|reason| entry.refuse(reason))?;
        Ok((entry.key.to_owned(), setting))
    };
    table.entries().iter().map(pair).collect()
}

fn directory(file: &Text, entry: &Entry<'_>) -> Result<Setting<PathBuf>, Error> {
    let setting = entry.text()?;
    let path = absolute(file.directory(), &setting.value);
    if !path.is_dir() {
        let what = match path.exists() {
            true => "is no directory",
            false => "does not exist",
        };
        return Err(entry.refuse(format!("`{}` {what}", path.display())));
    }
    Ok(Setting::new(path, setting.origin))
}

/// A manifest, which must be there; of a pattern its directory must.
fn manifest(file: &Text, entry: &Entry<'_>, text: &str) -> Result<PathBuf, Error> {
    let path = absolute(file.directory(), text);
    let directory = path.parent().unwrap_or(Path::new("/"));
    if directory.to_string_lossy().contains('*') {
        return Err(entry.refuse(format!(
            "`{text}`: `*` may stand in the name of a file only"
        )));
    }
    let (wanted, is_there) = match text.contains('*') {
        true => (directory, directory.is_dir()),
        false => (path.as_path(), path.exists()),
    };
    match is_there {
        true => Ok(path),
        false => Err(entry.refuse(format!("`{}` does not exist", wanted.display()))),
    }
}

/// A path of a file, without `.` and, where that is the same, without `..`.
pub(super) fn absolute(directory: &Path, text: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in directory.join(text).components() {
        match component {
            Component::CurDir => {}
            // The directory may be a link, whose `..` is elsewhere.
            Component::ParentDir if path.symlink_metadata().is_ok_and(|real| real.is_dir()) => {
                path.pop();
            }
            component => path.push(component),
        }
    }
    path
}

/// Two applications cannot have one image.
fn check_images(file: &Text, applications: &[Application], root: &Table<'_>) -> Result<(), Error> {
    for (position, application) in applications.iter().enumerate() {
        let image = application.image_name();
        let same = applications[..position]
            .iter()
            .find(|other| other.image_name() == image);
        if let Some(other) = same {
            let line = match &application.image {
                Some(setting) => setting.origin.line(),
                None => root
                    .table("applications")?
                    .and_then(|table| table.get(&application.name).map(|entry| entry.line)),
            };
            let reason = format!(
                "the applications `{}` and `{}` have one image, `{image}`",
                other.name, application.name
            );
            return Err(file.refuse(line.unwrap_or(0), reason));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "overcoat_toml_tests.rs"]
mod tests;
