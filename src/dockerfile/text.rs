//! The Dockerfile's text.

use std::collections::BTreeMap;

use super::context::Injected;
use super::scripts::{self, Chosen};
use super::words::{self, absolute, bare, copied, quoted, shell};
use super::{
    DEFAULT_DESTINATION, DEFAULT_USER, DEFAULT_WORKING_DIRECTORY, DockerfileRequest, Error,
};
use crate::builder_image::labels;

/// What is on the way between the two stages of an incremental build.
const ARTIFACTS: &str = "/tmp/artifacts.tar";

/// Writes the text: the same request gives the same bytes.
///
/// # Errors
/// [`Error::Unsayable`] for the first value that no Dockerfile can hold.
///
/// # Spec
/// `s2i-compat.md` §2.21: the instructions and their order.
pub(super) fn render(
    request: &DockerfileRequest<'_>,
    chosen: &Chosen,
    injected: &[Injected],
) -> Result<String, Error> {
    let destination = request
        .destination
        .as_deref()
        .unwrap_or(DEFAULT_DESTINATION);
    let destination = absolute("the destination", destination)?;
    if destination.is_empty() {
        return Err(Error::Unsayable {
            what: "the destination",
            name: "/".to_owned(),
            reason: "it is the root directory",
        });
    }
    let user = bare(
        "the user",
        request.assemble_user.as_deref().unwrap_or(DEFAULT_USER),
    )?;
    words::path("the scripts directory", &chosen.image_directory)?;
    let mut dockerfile = Dockerfile {
        lines: Vec::new(),
        // `5:6` says a group already.
        chown: match user.contains(':') {
            true => format!("--chown={user}"),
            false => format!("--chown={user}:0"),
        },
    };
    if let Some(previous) = &request.incremental {
        dockerfile.add(format!("FROM {} as cached", image(previous)?));
        if chosen.uploaded.contains_key("save-artifacts") {
            dockerfile.copy(
                "upload/scripts/save-artifacts",
                &format!("{destination}/scripts/save-artifacts"),
            );
        }
        dockerfile.add(format!("USER {user}"));
        let path = chosen.path("save-artifacts", destination);
        let script = shell(&path);
        dockerfile.add(format!(
            "RUN if [ -s {script} ]; then {script} > {ARTIFACTS}; else touch {ARTIFACTS}; fi"
        ));
    }
    dockerfile.add(format!("FROM {}", image(&request.builder)?));
    dockerfile.pairs("LABEL", &all_labels(request)?);
    let mut environment = Vec::new();
    for (name, value) in &request.environment {
        let name = words::variable_name(name)?;
        environment.push((name.to_owned(), quoted("the variable", name, value)?));
    }
    dockerfile.pairs("ENV", &environment);
    if request.incremental.is_some() {
        let chown = &dockerfile.chown;
        let line = format!("COPY --from=cached {chown} {ARTIFACTS} {ARTIFACTS}");
        dockerfile.add(line);
    }
    if !chosen.uploaded.is_empty() {
        dockerfile.copy("upload/scripts", &format!("{destination}/scripts"));
    }
    dockerfile.copy("upload/src", &format!("{destination}/src"));
    let working_directory = request.working_directory.as_deref();
    let working_directory = working_directory.unwrap_or(DEFAULT_WORKING_DIRECTORY);
    let mut removed = Vec::new();
    for injection in injected {
        let target = injection.target(working_directory)?;
        dockerfile.copy(&format!("upload/injections{}", injection.source), &target);
        if !injection.is_kept {
            removed.extend(injection.files(&target));
        }
    }
    dockerfile.add(format!("USER {user}"));
    if request.incremental.is_some() {
        let path = format!("{destination}/artifacts");
        let artifacts = shell(&path);
        dockerfile.add(format!(
            "RUN if [ -s {ARTIFACTS} ]; then mkdir -p {artifacts} && tar -xf {ARTIFACTS} -C {artifacts}; fi && rm {ARTIFACTS}"
        ));
    }
    dockerfile.add(format!(
        "RUN {}",
        shell(&chosen.path("assemble", destination))
    ));
    if !removed.is_empty() {
        dockerfile.add(remove(&removed)?);
    }
    if let Some(own) = request.builder_user.as_deref().filter(|own| *own != user) {
        // An image without a user runs as root.
        let own = if own.is_empty() { "root" } else { own };
        dockerfile.add(format!("USER {}", bare("the user", own)?));
    }
    dockerfile.add(format!("CMD {}", shell(&chosen.path("run", destination))));
    dockerfile.lines.push(String::new());
    Ok(dockerfile.lines.join("\n"))
}

/// An image's name for `FROM`.
fn image(name: &str) -> Result<&str, Error> {
    bare(
        "the builder image",
        name.strip_prefix("docker://").unwrap_or(name),
    )
}

/// The labels, each with its quoted value, sorted by name.
fn all_labels(request: &DockerfileRequest<'_>) -> Result<Vec<(String, String)>, Error> {
    let mut all = BTreeMap::new();
    if let Some(url) = &request.scripts.scripts_url {
        all.insert(
            labels::SCRIPTS_URL.to_owned(),
            scripts::without_credentials(url),
        );
    }
    if let Some(destination) = &request.destination {
        all.insert(labels::DESTINATION.to_owned(), destination.clone());
    }
    all.extend(request.labels.clone());
    let pair = |(name, value): (&String, &String)| {
        let value = quoted("the label", name, value)?;
        Ok((quoted("the label", name, name)?, value))
    };
    all.iter().map(pair).collect()
}

/// One instruction that removes files. Where their directory may not be changed, they are emptied: they belong to the user.
fn remove(files: &[String]) -> Result<String, Error> {
    let mut commands = Vec::new();
    for file in files {
        let file = shell(words::path("the injected file", file)?);
        commands.push(format!("(rm -f {file} || : > {file})"));
    }
    Ok(format!("RUN {}", commands.join(" && \\\n    ")))
}

struct Dockerfile {
    lines: Vec<String>,
    chown: String,
}

impl Dockerfile {
    fn add(&mut self, line: String) {
        self.lines.push(line);
    }

    fn copy(&mut self, from: &str, to: &str) {
        self.add(format!("COPY {} {}", self.chown, copied(from, to)));
    }

    /// One instruction for all pairs; none for none.
    fn pairs(&mut self, instruction: &str, pairs: &[(String, String)]) {
        if !pairs.is_empty() {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            self.add(format!("{instruction} {}", pairs.join(" \\\n    ")));
        }
    }
}
