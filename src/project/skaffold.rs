//! `skaffold.yaml`: the artifacts of a project that is built by Skaffold or op.
//!
//! Keys that say nothing about what an artifact is are Skaffold's business and passed over.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::overcoat_toml::absolute;
use super::text::Text;
use super::yaml_file::{Value, Yaml};
use super::{Error, Origin, Requirement, Setting, rules};

/// One entry of `build.artifacts`.
#[derive(Debug)]
pub(super) struct Artifact {
    pub(super) image: Setting<String>,
    pub(super) context: Setting<PathBuf>,
    pub(super) environment: BTreeMap<String, Setting<String>>,
    pub(super) platforms: Option<Setting<Vec<String>>>,
    pub(super) foreign: Option<String>,
    pub(super) requires: Vec<Requirement>,
    /// What has no effect here, and where it stands.
    pub(super) notes: Vec<(String, Origin)>,
}

/// Ways to build an artifact that are Skaffold's own, and what messages call them.
const OTHER_BUILDERS: [(&str, &str); 4] = [
    ("jib", "Jib"),
    ("bazel", "Bazel"),
    ("ko", "ko"),
    ("kaniko", "kaniko"),
];
/// Artifacts with such names are charts to op.
const CHART_SUFFIX: &str = "-chart";

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Skaffold {
    /// The artifacts of all documents, in their order.
    pub(super) artifacts: Vec<Artifact>,
    /// The names of all profiles.
    pub(super) profiles: Vec<String>,
}

/// Reads the artifacts of all documents, in their order, as these profiles have them: their artifacts and platforms stand in
/// for those of the document, the last profile's first. That a profile is there is for the caller to check.
///
/// # Errors
/// [`Error::Invalid`] with the line: no YAML, another `apiVersion`, an artifact without image, two of one image, values of
/// the wrong kind, a profile that patches what is built.
///
/// # Spec
/// `path-to-production.md` §1.2.1, §1.10 (7), §4.1; Skaffold's `skaffold.yaml` reference, v2beta29 and v4beta1, and its
/// guide to profiles: a list of a profile replaces the whole list.
pub(super) fn read(
    file: &Text,
    variables: &BTreeMap<String, String>,
    profiles: &[String],
) -> Result<Skaffold, Error> {
    let yaml = Yaml::parse(file)?;
    let anchors = yaml.anchors();
    let mut skaffold = Skaffold::default();
    let found = &mut skaffold.artifacts;
    for root in yaml.roots(&anchors) {
        check_version(root)?;
        let mut builds = Vec::new();
        for (name, profile) in named_profiles(root)? {
            if profiles.contains(&name) {
                refuse_patches(&name, profile)?;
                builds.extend(profile.get("profiles", "build")?);
            }
            skaffold.profiles.push(name);
        }
        builds.reverse();
        builds.extend(root.get("skaffold.yaml", "build")?);
        let said = |key: &str| -> Result<Option<Value<'_>>, Error> {
            for build in &builds {
                if let Some(value) = build.get("build", key)? {
                    return Ok(Some(value));
                }
            }
            Ok(None)
        };
        let platforms = said("platforms")?.map(platforms).transpose()?;
        let Some(artifacts) = said("artifacts")? else {
            continue;
        };
        for item in artifacts.items("artifacts")? {
            let mut artifact = artifact(file, item, variables)?;
            if let Some(other) = found
                .iter()
                .find(|other| other.image.value == artifact.image.value)
            {
                let line = other.image.origin.line().unwrap_or(0);
                let reason = format!(
                    "the image `{}` is in line {line} already",
                    artifact.image.value
                );
                return Err(item.refuse(reason));
            }
            artifact.platforms = artifact.platforms.or_else(|| platforms.clone());
            found.push(artifact);
        }
    }
    Ok(skaffold)
}

/// The profiles of a document with their names.
fn named_profiles<'a>(root: Value<'a>) -> Result<Vec<(String, Value<'a>)>, Error> {
    let Some(profiles) = root.get("skaffold.yaml", "profiles")? else {
        return Ok(Vec::new());
    };
    let named = |profile: Value<'a>| {
        let name = profile
            .get("profiles", "name")?
            .ok_or_else(|| profile.refuse("this profile has no `name`"))?;
        Ok((name.text("name")?.to_owned(), profile))
    };
    profiles.items("profiles")?.into_iter().map(named).collect()
}

/// # Errors
/// When a profile changes what is built by a patch, which is not followed here.
fn refuse_patches(name: &str, profile: Value<'_>) -> Result<(), Error> {
    let Some(patches) = profile.get("profiles", "patches")? else {
        return Ok(());
    };
    for patch in patches.items("patches")? {
        let Some(path) = patch.get("patches", "path")? else {
            continue;
        };
        let place = path.text("path")?;
        let is_ours = ["/build", "/build/artifacts", "/build/platforms"].contains(&place)
            || place.starts_with("/build/artifacts/")
            || place.starts_with("/build/platforms/");
        if is_ours {
            return Err(path.refuse(format!(
                "the profile `{name}` patches `{place}`, which is not followed here: give it a `build.artifacts` of its own"
            )));
        }
    }
    Ok(())
}

fn check_version(root: Value<'_>) -> Result<(), Error> {
    let Some(version) = root.get("skaffold.yaml", "apiVersion")? else {
        return Err(root.refuse("it has no `apiVersion`: it is no file of Skaffold's"));
    };
    let text = version.text("apiVersion")?;
    let number = text.strip_prefix("skaffold/v");
    match number.is_some_and(|number| number.starts_with(|c: char| matches!(c, '2'..='9'))) {
        true => Ok(()),
        false => Err(version.refuse(format!(
            "`{text}` is no version that is read here: v2beta29 to v4 are"
        ))),
    }
}

fn artifact(
    file: &Text,
    item: Value<'_>,
    variables: &BTreeMap<String, String>,
) -> Result<Artifact, Error> {
    let name = "artifacts";
    let image = item
        .get(name, "image")?
        .ok_or_else(|| item.refuse("this artifact has no `image`"))?;
    let image_text = image.text("image")?;
    rules::image(image_text).map_err(|reason| image.refuse(reason))?;
    let context = item.get(name, "context")?;
    let context_text = match context {
        Some(context) => context.text("context")?,
        None => ".",
    };
    let context = Setting::new(
        absolute(file.directory(), context_text),
        context.unwrap_or(item).origin(),
    );
    let mut artifact = Artifact {
        image: Setting::new(image_text.to_owned(), image.origin()),
        context,
        environment: BTreeMap::new(),
        platforms: item.get(name, "platforms")?.map(platforms).transpose()?,
        foreign: None,
        requires: Vec::new(),
        notes: Vec::new(),
    };
    if let Some(required) = item.get(name, "requires")? {
        for entry in required.items("requires")? {
            artifact.requires.push(requirement(entry)?);
        }
    }
    artifact.foreign = builder(item, &mut artifact, variables)?;
    if image_text.ends_with(CHART_SUFFIX) {
        artifact.foreign = Some("it is a Helm chart, by its name".to_owned());
    }
    Ok(artifact)
}

/// How it is built; the reason why it cannot be built here, if it cannot.
fn builder(
    item: Value<'_>,
    artifact: &mut Artifact,
    variables: &BTreeMap<String, String>,
) -> Result<Option<String>, Error> {
    let name = "artifacts";
    for (key, title) in OTHER_BUILDERS {
        if item.get(name, key)?.is_some() {
            return Ok(Some(format!("it is built by {title}")));
        }
    }
    if let Some(custom) = item.get(name, "custom")? {
        let command = custom.get("custom", "buildCommand")?;
        let command = command
            .ok_or_else(|| custom.refuse("`custom` has no `buildCommand`"))?
            .text("buildCommand")?;
        return Ok((!is_ours(command)).then(|| format!("it is built by the command `{command}`")));
    }
    // `buildpack` is how the oldest of the versions calls it.
    for key in ["buildpacks", "buildpack"] {
        if let Some(buildpacks) = item.get(name, key)? {
            return read_buildpacks(buildpacks, key, artifact, variables).map(|()| None);
        }
    }
    let entries = item.entries(name)?;
    let docker = entries.into_iter().find(|(key, _)| *key == "docker");
    let dockerfile = match docker {
        Some((_, docker)) if !docker.is_null() => docker.get("docker", "dockerfile")?,
        _ => None,
    };
    // Where nothing is said, Skaffold takes the Dockerfile of the context.
    let dockerfile = match dockerfile {
        Some(dockerfile) => dockerfile.text("dockerfile")?,
        None => "Dockerfile",
    };
    Ok(Some(format!("it is built by a Dockerfile, `{dockerfile}`")))
}

fn read_buildpacks(
    buildpacks: Value<'_>,
    name: &str,
    artifact: &mut Artifact,
    variables: &BTreeMap<String, String>,
) -> Result<(), Error> {
    for key in ["builder", "runImage", "buildpacks"] {
        if let Some(value) = buildpacks.get(name, key)? {
            let text = match value.is_text() {
                true => format!(" `{}`", value.text(key)?),
                false => String::new(),
            };
            let text = format!(
                "{key}{text} of the image `{}` is for buildpacks, which do not take part: say `builder` in `overcoat.toml` for another builder image",
                artifact.image.value
            );
            artifact.notes.push((text, value.origin()));
        }
    }
    let Some(environment) = buildpacks.get(name, "env")? else {
        return Ok(());
    };
    for entry in environment.items("env")? {
        let text = expanded(entry, entry.text("env")?, variables)?;
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| entry.refuse(format!("`{text}`: expected `NAME=VALUE`")))?;
        rules::variable(name).map_err(|reason| entry.refuse(reason))?;
        let setting = Setting::new(value.to_owned(), entry.origin());
        artifact.environment.insert(name.to_owned(), setting);
    }
    Ok(())
}

/// Replaces `{{.NAME}}` by variables, as Skaffold does. Other templates cannot be followed.
fn expanded(
    at: Value<'_>,
    text: &str,
    variables: &BTreeMap<String, String>,
) -> Result<String, Error> {
    let mut found = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after
            .split_once("}}")
            .ok_or_else(|| at.refuse(format!("`{{{{` has no `}}}}` in `{text}`")))?;
        let name = inside.trim().strip_prefix('.').unwrap_or_default();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(at.refuse(format!(
                "the template `{{{{{inside}}}}}` is not followed here: only `{{{{.NAME}}}}` is"
            )));
        }
        let value = variables
            .get(name)
            .ok_or_else(|| at.refuse(format!("it needs the variable {name}, which is not set")))?;
        found.push_str(before);
        found.push_str(value);
        rest = after;
    }
    found.push_str(rest);
    Ok(found)
}

/// True for a command that is this program: `overcoat build …`, variables before it or a path to it allowed.
fn is_ours(command: &str) -> bool {
    let mut words = command
        .split_whitespace()
        .skip_while(|word| word.contains('=') && !word.starts_with('-'));
    let program = words.next().and_then(|word| word.rsplit('/').next());
    program == Some("overcoat")
}

fn platforms(value: Value<'_>) -> Result<Setting<Vec<String>>, Error> {
    let items = value.items("platforms")?;
    let text = |item: &Value<'_>| item.text("platforms").map(str::to_owned);
    let texts: Result<Vec<String>, Error> = items.iter().map(text).collect();
    let texts = texts?;
    // `all` is Skaffold's word for whatever the builder can do.
    if texts.iter().all(|text| text != "all") {
        rules::platforms(&texts).map_err(|reason| value.refuse(reason))?;
    }
    Ok(Setting::new(texts, value.origin()))
}

fn requirement(entry: Value<'_>) -> Result<Requirement, Error> {
    let image = entry
        .get("requires", "image")?
        .ok_or_else(|| entry.refuse("an entry of `requires` has no `image`"))?
        .text("image")?;
    let alias = match entry.get("requires", "alias")? {
        Some(alias) => alias.text("alias")?,
        None => image,
    };
    Ok(Requirement {
        image: image.to_owned(),
        alias: alias.to_owned(),
    })
}

#[cfg(test)]
#[path = "skaffold_tests.rs"]
mod tests;
