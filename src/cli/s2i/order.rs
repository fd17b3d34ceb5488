//! From s2i's flags to a build's request. One function for each part of a build, so that each is connected in one place.

use std::path::Path;

use super::flags::{BuildFlags, CommonFlags, S2iFlags, given};
use crate::build::{BuildRequest, ImageSource, Incremental, RuntimeImage, Tag};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::observer;
use crate::cli::step_args::StepArgs;
use crate::event::Event;
use crate::source::environment::{parse_argument, parse_file};

/// The label with the name for people.
pub(super) const DISPLAY_NAME: &str = "io.k8s.display-name";
/// The label with the description for people.
pub(super) const DESCRIPTION: &str = "io.k8s.description";

/// No list of variables is longer, in bytes.
const LARGEST_LIST: u64 = 4 << 20;

/// Which program the person called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Called {
    /// `overcoat`.
    Overcoat,
    /// `s2i`.
    S2i,
}

/// What a person should know of the flags although the build goes on.
#[derive(Debug, Default)]
pub(in crate::cli) struct Warnings(Vec<(String, Option<String>)>);

impl Warnings {
    fn add(&mut self, text: impl Into<String>, hint: Option<&str>) {
        self.0.push((text.into(), hint.map(str::to_owned)));
    }

    /// Shows them.
    ///
    /// # Errors
    /// When this process cannot listen for signals.
    pub(in crate::cli) fn tell(self, shared: &Shared, quiet: bool) -> Result<(), Diagnostic> {
        if self.0.is_empty() {
            return Ok(());
        }
        let observer = observer(shared, quiet)?;
        for (text, hint) in self.0 {
            observer.observe(Event::Warning { text, hint });
        }
        Ok(())
    }
}

/// Makes the flags part of `request`, which has its names already; all but the source, which [`super::source::bring`] brings.
///
/// # Errors
/// [`Code::Usage`] for flags that cannot go together, and what the parts say.
pub(in crate::cli) fn apply(
    flags: &S2iFlags,
    step: &StepArgs,
    called: Called,
    request: &mut BuildRequest,
) -> Result<Warnings, Diagnostic> {
    let S2iFlags { common, build } = flags;
    let mut warnings = Warnings::default();
    together(common, build)?;
    variables(build, request, &mut warnings)?;
    labels(build, called, request);
    scripts(common, build, request, &mut warnings)?;
    users(build, request);
    images(common, build, request, &mut warnings)?;
    if let Some(note) = step.note() {
        warnings.add(note, None);
    }
    Ok(warnings)
}

/// What cannot be asked for at once.
fn together(common: &CommonFlags, build: &BuildFlags) -> Result<(), Diagnostic> {
    let refuse = |text: &str, hint: &str| Err(Diagnostic::new(Code::Usage, text).hint(hint));
    if given(&build.as_dockerfile).is_some() {
        if build.run {
            return refuse(
                "`--run` cannot be used with `--as-dockerfile`",
                "a Dockerfile is no image that could be started: leave one of them out",
            );
        }
        if given(&build.runtime_image).is_some() {
            return refuse(
                "`--runtime-image` cannot be used with `--as-dockerfile`",
                "leave one of them out",
            );
        }
    }
    if common.incremental && given(&build.runtime_image).is_some() {
        return refuse(
            "`--incremental` cannot be used with `--runtime-image`",
            "the runtime image has no artifacts to hand on: leave one of them out",
        );
    }
    Ok(())
}

/// The variables: weakest those of the image, then of the source's file, of `-e`, of `-E`.
fn variables(
    build: &BuildFlags,
    request: &mut BuildRequest,
    warnings: &mut Warnings,
) -> Result<(), Diagnostic> {
    for (name, value) in &build.environment {
        let typed = format!("{name}={value}");
        let parsed = parse_argument(&typed).map_err(|error| {
            Diagnostic::new(Code::Usage, error).attempting(format!("cannot use `-e {name}=…`"))
        })?;
        parsed
            .notes
            .iter()
            .for_each(|note| warnings.add(format!("`-e`: {note}"), None));
        request.environment.extend(parsed.list);
    }
    if let Some(file) = given(&build.environment_file) {
        match crate::fs::read_limited(Path::new(file), LARGEST_LIST) {
            Ok(bytes) => {
                let parsed = parse_file(&String::from_utf8_lossy(&bytes));
                parsed
                    .notes
                    .iter()
                    .for_each(|note| warnings.add(format!("`{file}`: {note}"), None));
                request.environment.extend(parsed.list);
            }
            Err(error) => warnings.add(
                error.to_string(),
                Some("the build goes on without the variables of `--environment-file`"),
            ),
        }
    }
    Ok(())
}

/// What the image is called for people.
///
/// Those about the source go to the same place ([`super::source`]).
fn labels(build: &BuildFlags, called: Called, request: &mut BuildRequest) {
    let tag = request.tags.first().map(|tag| tag.typed.clone());
    let name = given(&build.application_name).map(str::to_owned);
    let name = name.or(tag.filter(|_| called == Called::S2i));
    let description = given(&build.description).map(str::to_owned);
    for (label, value) in [(DISPLAY_NAME, name), (DESCRIPTION, description)] {
        if let Some(value) = value {
            request.s2i.generated_labels.insert(label.to_owned(), value);
        }
    }
}

/// Where scripts are looked for, and where they find what.
fn scripts(
    common: &CommonFlags,
    build: &BuildFlags,
    request: &mut BuildRequest,
    warnings: &mut Warnings,
) -> Result<(), Diagnostic> {
    let mut deprecated = |old: &Option<String>, name: &str, new: &str| {
        let value = given(old)?;
        warnings.add(format!("`--{name}` is deprecated, use `--{new}`"), None);
        Some(value.to_owned())
    };
    let destination = deprecated(&build.location, "location", "destination")
        .or_else(|| given(&common.destination).map(str::to_owned));
    let scripts_url = deprecated(&build.scripts, "scripts", "scripts-url")
        .or_else(|| given(&build.scripts_url).map(str::to_owned));
    if let Some(destination) = &destination
        && let Err(reason) = crate::build::inputs::inner_path(destination)
    {
        return Err(Diagnostic::new(
            Code::Usage,
            format!("`--destination` cannot be used: {reason}"),
        )
        .hint("name a directory of the builder image, such as `/tmp`"));
    }
    request.s2i.destination = destination;
    request.s2i.scripts_url = scripts_url;
    request.s2i.ignores_entrypoint = build.ignore_entrypoint;
    Ok(())
}

/// Who runs scripts, and who may.
fn users(build: &BuildFlags, request: &mut BuildRequest) {
    request.assemble_user = given(&build.assemble_user).map(str::to_owned);
    request.s2i.allowed_uids = build.allowed_uids.clone();
}

/// The images beside the builder, and when registries are asked for any of them.
fn images(
    common: &CommonFlags,
    build: &BuildFlags,
    request: &mut BuildRequest,
    warnings: &mut Warnings,
) -> Result<(), Diagnostic> {
    request.s2i.pull = common.pull_policy;
    request.s2i.incremental = match (common.incremental, request.tags.first()) {
        (true, Some(tag)) => Some(Incremental {
            previous: tag.reference.clone(),
            pull: common.incremental_pull_policy,
            removes_previous: common.rm,
        }),
        _ => None,
    };
    let Some(image) = given(&build.runtime_image) else {
        if !build.runtime_artifacts.is_empty() {
            let text = "`--runtime-artifact` says nothing without `--runtime-image`";
            warnings.add(text, None);
        }
        return Ok(());
    };
    let artifacts = build
        .runtime_artifacts
        .iter()
        .flat_map(|list| list.0.clone());
    request.s2i.runtime = Some(RuntimeImage {
        image: image_source(image, "--runtime-image")?,
        pull: common.runtime_pull_policy,
        artifacts: artifacts.collect(),
        user: given(&build.assemble_runtime_user).map(str::to_owned),
    });
    Ok(())
}

/// The image that s2i's grammar names: `docker://` may stand before a reference.
///
/// # Errors
/// [`Code::InvalidReference`], also for transports that only others know.
///
/// # Spec
/// `s2i-compat.md` §1.8, case 167.
pub(super) fn image_source(text: &str, flag: &str) -> Result<ImageSource, Diagnostic> {
    let named = match flag.starts_with('-') {
        true => format!("`{flag} {text}`"),
        false => format!("{flag} `{text}`"),
    };
    let bare = text.strip_prefix("docker://").unwrap_or(text);
    if let Some((transport, _)) = bare.split_once("://") {
        let text = format!("cannot use {named}: nothing is known of images at `{transport}://`");
        return Err(Diagnostic::new(Code::InvalidReference, text)
            .hint("name an image of a registry, `[docker://]HOST/NAME[:TAG]`, or `oci:DIRECTORY`, `archive:FILE`"));
    }
    bare.parse().map_err(|error: crate::reference::ParseError| {
        Diagnostic::from(error).attempting(format!("cannot use {named}"))
    })
}

/// The name that a person typed, checked.
///
/// # Errors
/// [`Code::InvalidReference`].
pub(super) fn tag(text: &str) -> Result<Tag, Diagnostic> {
    text.parse().map_err(|error: crate::reference::ParseError| {
        Diagnostic::from(error).attempting(format!("`{text}` cannot be the image's name"))
    })
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
