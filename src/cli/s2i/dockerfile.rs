//! `--as-dockerfile` and `generate`: a Dockerfile and what it copies, instead of an image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::flags::{S2iFlags, given};
use crate::build::{self, BuildRequest, Bytes, Tools};
use crate::builder_image::labels;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{env, observer, open_store};
use crate::dockerfile::{self, DockerfileRequest, Injection, ScriptSources};
use crate::event::{Event, Observer};
use crate::image::Image;
use crate::source;

/// Writes it; the path of the Dockerfile. A request without a source leaves `upload/src` empty.
///
/// # Errors
/// What the source, the scripts' URLs and the file system say. That nothing is known of the builder image is a warning.
///
/// # Spec
/// `s2i-compat.md` §2.21.
pub(in crate::cli) fn write(
    request: &BuildRequest,
    builder: &str,
    flags: &S2iFlags,
    out: &Path,
    shared: &Shared,
) -> Result<PathBuf, Diagnostic> {
    if let (Some(allowed), Some(user)) = (&request.s2i.allowed_uids, &request.assemble_user) {
        let checked = allowed.check(&[], "`--assemble-user`", user);
        checked.map_err(|error| Diagnostic::new(Code::ForbiddenUser, error))?;
    }
    let store = open_store(shared)?;
    let host = env::host_for(shared, &request.source)?;
    let tools = Tools::new(&store, host);
    let observer = observer(shared, flags.common.quiet)?;
    let observer = observer.as_ref();
    let has_source = !request.source.as_os_str().is_empty();
    let source = match has_source {
        true => Some(source::local::read(
            &request.source,
            &request.s2i.rules,
            observer,
        )?),
        false => None,
    };
    let image = look(request, &tools, observer)?;
    let config = image.as_ref().map(|image| &image.config.parsed);
    let scratch = store.workspace()?.to_owned();
    let fetch = |url: Option<&str>, name: &str| -> Result<BTreeMap<String, PathBuf>, Diagnostic> {
        let http = || tools.http().map(std::sync::Arc::clone);
        match url {
            None => Ok(BTreeMap::new()),
            Some(url) => Ok(build::fetch_scripts(
                url,
                &scratch.join(name),
                &http,
                observer,
            )?),
        }
    };
    let scripts_url = request.s2i.scripts_url.as_deref();
    let image_scripts_url = given(&flags.build.image_scripts_url);
    let scripts = ScriptSources {
        scripts_url: scripts_url.map(str::to_owned),
        from_scripts_url: fetch(scripts_url, "scripts")?,
        image_scripts_url: image_scripts_url.map(str::to_owned),
        from_image_scripts_url: fetch(image_scripts_url, "image-scripts")?,
    };
    let of_file = source.iter().flat_map(|source| source.environment.clone());
    let mut all_labels = BTreeMap::new();
    if has_source {
        all_labels.insert(labels::BUILD_IMAGE.to_owned(), builder.to_owned());
    }
    all_labels.extend(request.s2i.generated_labels.clone());
    all_labels.extend(request.labels.clone());
    let injections = request.inputs.injections.iter().map(|one| Injection {
        source: one.source.clone(),
        destination: match one.destination.as_str() {
            "." => String::new(),
            other => other.to_owned(),
        },
        is_kept: false,
    });
    let tag = request.tags.first().map(|tag| tag.typed.clone());
    let written = dockerfile::write(
        &DockerfileRequest {
            builder: builder.to_owned(),
            builder_labels: config.map(|config| config.labels()).unwrap_or_default(),
            builder_user: config.map(|config| config.user().to_owned()),
            working_directory: config.map(|config| config.working_directory().to_owned()),
            source: source.as_ref(),
            scripts,
            destination: request.s2i.destination.clone(),
            assemble_user: request.assemble_user.clone(),
            environment: of_file.chain(request.environment.clone()).collect(),
            labels: all_labels,
            injections: injections.collect(),
            incremental: tag.filter(|_| flags.common.incremental),
        },
        out,
    )?;
    for text in written.warnings {
        observer.observe(Event::Warning { text, hint: None });
    }
    Ok(written.dockerfile)
}

/// What is known of the builder image; nothing, with a warning, when it cannot be had.
fn look(
    request: &BuildRequest,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Option<Image>, Diagnostic> {
    let found = build::find_image(
        &request.builder,
        &request.platform,
        request.s2i.pull,
        Bytes::DocumentsOnly,
        tools,
        observer,
    );
    match found {
        Ok((image, _)) => Ok(Some(image)),
        Err(build::Error::Interrupted) => Err(build::Error::Interrupted.into()),
        Err(error) => {
            observer.observe(Event::Warning {
                text: format!("nothing is known of the labels of `{}`: {error}", request.builder),
                hint: Some("scripts are taken to be in `/usr/libexec/s2i`; `--image-scripts-url` says otherwise".to_owned()),
            });
            Ok(None)
        }
    }
}
