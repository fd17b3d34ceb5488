//! Bringing the source of a build here, once: a command that starts itself again finds what it brought.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::flags::{S2iFlags, given};
use super::messages;
use super::order::Called;
use crate::build::BuildRequest;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{env, observer};
use crate::source::{Exclude, Hooks, How, IgnoreFile, Links, Location, Rules, Wanted, fetch};

/// Larger files are not ours, in bytes.
const MAX_HANDED: u64 = 1 << 20;
/// The file with what was brought, beside it.
const HANDED: &str = "brought.json";

/// A source that is here until this is dropped.
#[derive(Debug, Default)]
pub(in crate::cli) struct Brought {
    directory: Option<TempDir>,
    handed: Option<PathBuf>,
}

impl Brought {
    /// A file that tells the same command, started again, what is here already.
    pub(in crate::cli) fn handed(&self) -> Option<&Path> {
        self.handed.as_deref()
    }
}

/// What a command that was started again needs to know.
#[derive(Debug, Serialize, Deserialize)]
struct Handed {
    root: PathBuf,
    follows_links: bool,
    keeps_hooks: bool,
    identity: Option<String>,
    labels: BTreeMap<String, String>,
}

impl Handed {
    fn give(self, rules: Rules, request: &mut BuildRequest) {
        request.source = self.root;
        request.s2i.rules = Rules {
            links: match self.follows_links {
                true => Links::Follow,
                false => Links::Keep,
            },
            hooks: match self.keeps_hooks {
                true => Hooks::Kept,
                false => Hooks::AsOthers,
            },
            ..rules
        };
        request.s2i.identity = self.identity;
        request.s2i.generated_labels.extend(self.labels);
    }
}

/// What a source is called: its directory's name, or the last part of its address without `.git`.
pub(in crate::cli) fn last_part(typed: &str) -> String {
    let address = typed.split('#').next().unwrap_or_default();
    let address = match std::fs::canonicalize(if address.is_empty() { "." } else { address }) {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(_) => address.to_owned(),
    };
    let path = address.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    path.rsplit(['/', ':'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Brings the source that was `typed` here, and makes it part of `request`.
///
/// # Errors
/// What reading, cloning or unpacking it says.
pub(in crate::cli) fn bring(
    typed: &str,
    flags: &S2iFlags,
    called: Called,
    request: &mut BuildRequest,
    shared: &Shared,
) -> Result<Brought, Diagnostic> {
    let S2iFlags { common, build } = flags;
    let rules = Rules {
        exclude: match &build.exclude {
            None => Exclude::default(),
            Some(pattern) => Exclude::parse(pattern)?,
        },
        ignore_files: [IgnoreFile::S2i]
            .into_iter()
            .chain(build.ignore_files.iter().map(|file| file.0))
            .collect(),
        ..Rules::default()
    };
    if let Some(file) = &shared.brought_file {
        let bytes = crate::fs::read_limited(file, MAX_HANDED)?;
        let handed: Handed = serde_json::from_slice(&bytes).map_err(|error| {
            let text = format!("`--brought-file` is for overcoat itself: {error}");
            Diagnostic::new(Code::Usage, text)
        })?;
        handed.give(rules, request);
        return Ok(Brought::default());
    }
    let location = match typed {
        // A build that consists of scripts alone.
        "" => None,
        typed => Some(Location::parse(typed).map_err(|error| {
            Diagnostic::new(Code::Usage, error).attempting("cannot use the source")
        })?),
    };
    let reference = given(&build.reference).map(str::to_owned);
    let fragment = location.as_ref().and_then(Location::fragment);
    let has_reference = reference.is_some() || fragment.is_some();
    let wanted = Wanted {
        reference,
        context_dir: given(&build.context_dir).map(str::to_owned),
        copies: build.copy,
        is_committed_only: called == Called::S2i || has_reference,
        ignores_submodules: build.ignore_submodules,
        links: match called == Called::S2i && !build.keep_symlinks {
            true => Links::Follow,
            false => Links::Keep,
        },
        location,
    };
    // A directory that is read where it is needs none; there may be no place for one.
    let here = wanted.location.as_ref().and_then(Location::local_path);
    let is_in_place =
        here.is_some_and(|path| path.is_dir()) && (wanted.copies || !wanted.is_committed_only);
    let temporary = match is_in_place {
        true => None,
        false => Some(
            tempfile::Builder::new()
                .prefix("s2i")
                .tempdir()
                .map_err(|error| {
                    crate::fs::Error::new("create a directory in", std::env::temp_dir(), error)
                })?,
        ),
    };
    let observer = observer(shared, common.quiet)?;
    let mut stdin = std::io::stdin().lock();
    let host = env::git();
    let directory = temporary.as_ref().map_or(Path::new(""), TempDir::path);
    let fetched = fetch(
        &wanted,
        &host,
        directory,
        Some(&mut stdin),
        observer.as_ref(),
    )?;
    let is_written = fetched.how != How::InPlace;
    let provenance = &fetched.provenance;
    let identity = is_written.then(|| {
        let location = provenance.location_shown.clone().unwrap_or_default();
        let below = provenance.context_dir.clone().unwrap_or_default();
        format!("{location} {below}")
    });
    let handed = Handed {
        root: fetched.root.clone(),
        follows_links: fetched.links == Links::Follow,
        keeps_hooks: fetched.hooks == Hooks::Kept,
        identity,
        // Where a directory of this machine lies is no part of an image that must be the same everywhere.
        labels: match called == Called::S2i || is_written {
            true => provenance.labels(),
            false => BTreeMap::new(),
        },
    };
    let mut brought = Brought::default();
    if let (true, Some(mut temporary)) = (is_written, temporary) {
        if common.save_temp_dir {
            temporary.disable_cleanup(true);
            let path = temporary.path().display();
            messages::say(&format!("the source is kept in `{path}`"));
        }
        let path = temporary.path().join(HANDED);
        let text = serde_json::to_vec(&handed).unwrap_or_default();
        crate::fs::write_atomic(&path, &text)?;
        brought.handed = Some(path);
        brought.directory = Some(temporary);
    }
    handed.give(rules, request);
    Ok(brought)
}
