//! What op takes from variables beside its settings.
//!
//! # Spec
//! `path-to-production.md` §1.2.1, *Other environment*.

use super::args::Build;
use super::say;
use super::settings::Settings;
use crate::project::Project;

/// Registries without TLS, in lists with commas.
const INSECURE: [&str; 2] = ["SKAFFOLD_INSECURE_REGISTRY", "SKAFFOLD_INSECURE_REGISTRIES"];
/// What has no meaning where nothing is deployed by Skaffold and nothing is built by pack.
const WITHOUT_EFFECT: [(&str, &str); 3] = [
    (
        "SKAFFOLD_LABEL",
        "it labels what Skaffold deploys; `[labels]` of overcoat.toml labels images",
    ),
    (
        "SKAFFOLD_NAMESPACE",
        "it is where Skaffold deploys; an environment's `namespace` is where overcoat does",
    ),
    (
        "OP_PACK_NETWORK",
        "no container of pack's is started; builds have this machine's network",
    ),
];

/// The registries without TLS that the flag or the variables name.
pub(super) fn insecure_registries(args: &Build, settings: &Settings) -> Vec<String> {
    let variables = INSECURE
        .iter()
        .filter_map(|name| settings.variables().get(*name));
    let listed = variables.flat_map(|list| list.split(','));
    let mut hosts: Vec<String> = args.insecure_registry.clone();
    for host in listed.map(str::trim).filter(|host| !host.is_empty()) {
        if !hosts.iter().any(|known| known == host) {
            hosts.push(host.to_owned());
        }
    }
    hosts
}

/// Says what of the environment and of `skaffold.yaml` does nothing here.
pub(super) fn tell(args: &Build, settings: &Settings, project: &Project) {
    for (name, why) in WITHOUT_EFFECT {
        if settings
            .variables()
            .get(name)
            .is_some_and(|value| !value.is_empty())
        {
            say(&format!("warning: {name} has no effect: {why}"));
        }
    }
    for note in unheeded(args, project) {
        say(&format!("warning: {note}"));
    }
}

/// What `skaffold.yaml` says of the artifacts to build, and buildpacks alone would heed.
pub(super) fn unheeded<'a>(args: &Build, project: &'a Project) -> Vec<&'a str> {
    let wanted = args.artifact.as_deref();
    let applications = project.applications.iter().filter(|application| {
        wanted.is_none_or(|name| application.name == name || application.image_name() == name)
    });
    let keys: Vec<String> = applications
        .map(|application| format!("applications.{}", application.name))
        .collect();
    project
        .notes
        .iter()
        .filter(|note| keys.contains(&note.key))
        .map(|note| note.text.as_str())
        .collect()
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
