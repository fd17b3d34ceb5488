//! What this machine knows of registries: where credentials and settings are kept.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};

use super::variable;
use crate::cli::args::Shared;
use crate::registry::hosts::Sources;
use crate::registry::{Credential, FromEnvironment, Limits, Secret, Settings};

/// overcoat's own settings, beside the application.
const PROJECT_FILE: &str = "overcoat.toml";

/// The settings of registries for work on the application in `project`.
pub(in crate::cli) fn settings(shared: &Shared, project: &Path) -> Settings {
    Settings {
        auth_files: auth_files(),
        environment: from_ci(variable),
        netrc: super::netrc(),
        hosts: Sources {
            given: shared.registry_config.clone(),
            project: Some(project.join(PROJECT_FILE)),
            registries_conf: registries_conf(),
            certs_d: certs_d(),
            plain_http: shared.insecure_registry.clone(),
        },
        limits: Limits {
            connections: usize::from(shared.registry_connections.max(1)),
            overall: shared.registry_timeout,
            ..Limits::default()
        },
        // Differs from process to process, which is all that it is for.
        seed: RandomState::new().build_hasher().finish(),
        ..Settings::default()
    }
}

fn below(name: &str, rest: &str) -> Option<PathBuf> {
    variable(name).map(|directory| Path::new(&directory).join(rest))
}

/// Where credentials for registries are kept, the first that has some wins.
pub(in crate::cli) fn auth_files() -> Vec<PathBuf> {
    [
        variable("REGISTRY_AUTH_FILE").map(PathBuf::from),
        below("XDG_RUNTIME_DIR", "containers/auth.json"),
        below("XDG_CONFIG_HOME", "containers/auth.json")
            .or_else(|| below("HOME", ".config/containers/auth.json")),
        docker_config(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Docker's file, which every tool reads.
fn docker_config() -> Option<PathBuf> {
    below("DOCKER_CONFIG", "config.json").or_else(|| below("HOME", ".docker/config.json"))
}

/// Where a login is kept that nobody has an entry for yet.
pub(in crate::cli) fn login_file() -> Option<PathBuf> {
    let named = variable("REGISTRY_AUTH_FILE").map(PathBuf::from);
    named.or_else(docker_config)
}

/// containers' settings in the order of reading: the user's file in the place of the system's, then the drop-ins of
/// both.
///
/// # Spec
/// `containers-registries.conf(5)`, *FILES*; `containers-registries.conf.d(5)`.
fn registries_conf() -> Vec<PathBuf> {
    let mine =
        below("XDG_CONFIG_HOME", "containers").or_else(|| below("HOME", ".config/containers"));
    let system = PathBuf::from("/etc/containers/registries.conf");
    let own = mine.as_ref().map(|mine| mine.join("registries.conf"));
    let main = match variable("CONTAINERS_REGISTRIES_CONF").map(PathBuf::from) {
        Some(named) => named,
        None => own.filter(|own| own.is_file()).unwrap_or(system),
    };
    let mut files = vec![main];
    let drop_ins = mine.map(|mine| mine.join("registries.conf.d"));
    let directories = [
        Some(PathBuf::from("/etc/containers/registries.conf.d")),
        drop_ins,
    ];
    for directory in directories.into_iter().flatten() {
        let names = crate::fs::list(&directory).unwrap_or_default();
        let parts = names.into_iter().map(|name| directory.join(name));
        files.extend(parts.filter(|path| path.extension().is_some_and(|kind| kind == "conf")));
    }
    files
}

/// Directories of certificates, in the order in which podman looks; Docker has the last.
fn certs_d() -> Vec<PathBuf> {
    [
        below("XDG_CONFIG_HOME", "containers/certs.d")
            .or_else(|| below("HOME", ".config/containers/certs.d")),
        Some(PathBuf::from("/etc/containers/certs.d")),
        Some(PathBuf::from("/etc/docker/certs.d")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a CI gives its jobs for its own registry.
///
/// # Spec
/// GitLab, *Predefined CI/CD variables reference*; GitHub, *Working with the Container registry*.
fn from_ci(variable: impl Fn(&str) -> Option<String>) -> Vec<FromEnvironment> {
    let mut found = Vec::new();
    let mut add = |host: String, username: &str, password: String, origin: &str| {
        found.push(FromEnvironment {
            host,
            credential: Credential::Password {
                username: username.to_owned(),
                password: Secret::new(password),
            },
            origin: origin.to_owned(),
        });
    };
    let both = |user: &str, password: &str| Some((variable(user)?, variable(password)?));
    if let Some(host) = variable("CI_REGISTRY") {
        if let Some((user, password)) = both("CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD") {
            let origin = "the variables `CI_REGISTRY_USER` and `CI_REGISTRY_PASSWORD`";
            add(host, &user, password, origin);
        } else if let Some(token) = variable("CI_JOB_TOKEN") {
            add(
                host,
                "gitlab-ci-token",
                token,
                "the variable `CI_JOB_TOKEN`",
            );
        }
    }
    if let Some(host) = variable("CI_DEPENDENCY_PROXY_SERVER")
        && let Some((user, password)) =
            both("CI_DEPENDENCY_PROXY_USER", "CI_DEPENDENCY_PROXY_PASSWORD")
    {
        let origin = "the variables `CI_DEPENDENCY_PROXY_USER` and `CI_DEPENDENCY_PROXY_PASSWORD`";
        // It is `gitlab.example:443`; people write it without the port as well.
        if let Some(bare) = host.strip_suffix(":443") {
            add(bare.to_owned(), &user, password.clone(), origin);
        }
        add(host, &user, password, origin);
    }
    if let Some((actor, token)) = both("GITHUB_ACTOR", "GITHUB_TOKEN") {
        let origin = "the variables `GITHUB_ACTOR` and `GITHUB_TOKEN`";
        add("ghcr.io".to_owned(), &actor, token, origin);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let look = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let who = |found: FromEnvironment| match found.credential {
            Credential::Password { username, .. } => (found.host, username),
            Credential::IdentityToken(_) => (found.host, "token".to_owned()),
        };
        from_ci(look).into_iter().map(who).collect()
    }

    #[test]
    fn a_ci_logs_in_to_its_own_registry_and_to_no_other() {
        let gitlab = [
            ("CI_REGISTRY", "registry.gitlab.example"),
            ("CI_JOB_TOKEN", "t"),
        ];
        let pair = |host: &str, user: &str| (host.to_owned(), user.to_owned());
        let expected = [pair("registry.gitlab.example", "gitlab-ci-token")];
        assert_eq!(found(&gitlab), expected);
        let named = [
            &gitlab[..],
            &[("CI_REGISTRY_USER", "u"), ("CI_REGISTRY_PASSWORD", "p")],
        ]
        .concat();
        assert_eq!(found(&named), [pair("registry.gitlab.example", "u")]);
        let proxy = [
            ("CI_DEPENDENCY_PROXY_SERVER", "gitlab.example:443"),
            ("CI_DEPENDENCY_PROXY_USER", "u"),
            ("CI_DEPENDENCY_PROXY_PASSWORD", "p"),
        ];
        assert_eq!(
            found(&proxy),
            [pair("gitlab.example", "u"), pair("gitlab.example:443", "u")]
        );
        let github = [("GITHUB_ACTOR", "a"), ("GITHUB_TOKEN", "t")];
        assert_eq!(found(&github), [pair("ghcr.io", "a")]);
        for half in [
            &gitlab[..1],
            &gitlab[1..],
            &proxy[..2],
            &github[..1],
            &github[1..],
            &[("CI_REGISTRY", "r"), ("CI_REGISTRY_USER", "u")],
        ] {
            assert_eq!(found(half), [], "{half:?}");
        }
    }
}
