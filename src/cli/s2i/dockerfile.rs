//! `--as-dockerfile` and `generate`: a Dockerfile and its context instead of an image.

use std::collections::BTreeMap;
use std::path::Path;

use super::flags::{S2iFlags, given};
use super::messages;
use crate::build::{self, BuildRequest, Bytes, Tools};
use crate::builder_image::labels::BUILD_IMAGE;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{env, observer, open_store};
use crate::dockerfile::{self, DockerfileRequest, Injection, ScriptSources};
use crate::event::{Event, Observer};
use crate::image::Image;
use crate::source::local;

/// What the Dockerfile is to do.
pub(in crate::cli) struct Asked<'a> {
    /// The build that it stands for.
    pub(in crate::cli) request: &'a BuildRequest,
    /// The flags that asked for it.
    pub(in crate::cli) flags: &'a S2iFlags,
    /// False for `generate`: the source comes later.
    pub(in crate::cli) has_source: bool,
}

/// Writes the Dockerfile `out` and what it copies; the exit status.
///
/// LEAD: scripts at `file://` and `http(s)://` URLs have to be fetched first (`ScriptSources`), and A's provenance belongs
/// to the labels.
///
/// # Errors
/// What the parts say. A builder image that cannot be had is a warning: only its labels are wanted.
pub(in crate::cli) fn write(
    asked: &Asked<'_>,
    out: &Path,
    shared: &Shared,
) -> Result<u8, Diagnostic> {
    let Asked {
        request,
        flags,
        has_source,
    } = *asked;
    if let (Some(allowed), Some(user)) = (&request.s2i.allowed_uids, &request.assemble_user) {
        allowed
            .check(&[], "the user of `--assemble-user`", user)
            .map_err(|error| Diagnostic::new(Code::ForbiddenUser, error))?;
    }
    let observer = observer(shared, flags.common.quiet)?;
    let observer = observer.as_ref();
    for (flag, url) in [
        ("--scripts-url", request.s2i.scripts_url.as_deref()),
        ("--image-scripts-url", given(&flags.build.image_scripts_url)),
    ] {
        if url.is_some_and(|url| !url.starts_with("image://")) {
            let text = format!("`{flag}` of a Dockerfile can only be an `image://` URL");
            return Err(Diagnostic::new(Code::Usage, text)
                .hint("put the scripts into `.s2i/bin` of the source"));
        }
    }
    let source = match has_source {
        true => Some(local::read(&request.source, observer)?),
        false => None,
    };
    let builder = builder(request, flags, observer, shared)?;
    let of_file = source.iter().flat_map(|source| source.environment.clone());
    let injections = request.inputs.injections.iter().map(|injection| {
        let source = std::path::absolute(&injection.source);
        Injection {
            source: source.unwrap_or_else(|_| injection.source.clone()),
            destination: match injection.destination.as_str() {
                "." => String::new(),
                other => other.to_owned(),
            },
            is_kept: false,
        }
    });
    let config = builder.as_ref().map(|image| &image.config.parsed);
    let wanted = DockerfileRequest {
        builder: request.builder.to_string(),
        builder_labels: config.map(|config| config.labels()).unwrap_or_default(),
        builder_user: config.map(|config| config.user().to_owned()),
        working_directory: config.map(|config| config.working_directory().to_owned()),
        source: source.as_ref(),
        scripts: ScriptSources {
            scripts_url: request.s2i.scripts_url.clone(),
            image_scripts_url: given(&flags.build.image_scripts_url).map(str::to_owned),
            ..ScriptSources::default()
        },
        destination: request.s2i.destination.clone(),
        assemble_user: request.assemble_user.clone(),
        environment: of_file.chain(request.environment.iter().cloned()).collect(),
        labels: labels(request),
        injections: injections.collect(),
        incremental: request
            .s2i
            .incremental
            .as_ref()
            .map(|incremental| incremental.previous.to_string()),
    };
    let written = dockerfile::write(&wanted, out)?;
    for text in written.warnings {
        observer.observe(Event::Warning { text, hint: None });
    }
    messages::say(&format!(
        "the Dockerfile is `{}`",
        written.dockerfile.display()
    ));
    Ok(Code::Success as u8)
}

/// The labels of the image, weakest first.
fn labels(request: &BuildRequest) -> BTreeMap<String, String> {
    let builder = (BUILD_IMAGE.to_owned(), request.builder.to_string());
    let generated = request.s2i.generated_labels.clone();
    let all = [builder].into_iter().chain(generated);
    all.chain(request.labels.clone()).collect()
}

/// The builder image's documents.
fn builder(
    request: &BuildRequest,
    flags: &S2iFlags,
    observer: &dyn Observer,
    shared: &Shared,
) -> Result<Option<Image>, Diagnostic> {
    let store = open_store(shared)?;
    let mut host = env::host_for(shared, &request.source)?;
    if let Some(file) = flags.common.dockercfg() {
        host.registries.auth_files.insert(0, file.to_owned());
    }
    let tools = Tools::new(&store, host);
    let (policy, bytes) = (request.s2i.pull, Bytes::DocumentsOnly);
    match build::find_image(
        &request.builder,
        &request.platform,
        policy,
        bytes,
        &tools,
        observer,
    ) {
        Ok((image, _)) => Ok(Some(image)),
        Err(build::Error::Interrupted) => Err(build::Error::Interrupted.into()),
        Err(error) => {
            observer.observe(Event::Warning {
                text: format!("the labels of the builder image `{}` cannot be read: {error}", request.builder),
                hint: Some("its scripts are taken to be at the usual place; `--image-scripts-url` names another".to_owned()),
            });
            Ok(None)
        }
    }
}
