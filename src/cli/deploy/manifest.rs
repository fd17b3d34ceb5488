//! `overcoat deploy --manifest`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::Target;
use crate::cli::args::Format;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::records::files;
use crate::cli::{print, print_json};
use crate::event::{Event, Observer, printable};
use crate::kubernetes::kustomization::{self, Kustomization};
use crate::kubernetes::manifest::{self, Edited, Found, Manifest, Marker, Wanted};
use crate::reference::Reference;
use crate::release::history;

/// Flags of this way.
#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Into files")]
#[group(skip)]
pub(super) struct Args {
    /// Write the image into these manifests; directories, and `*` in file names, are allowed
    #[arg(long, value_name = "FILE", num_args = 1..)]
    manifest: Vec<PathBuf>,

    /// Write the image into the `images` of this kustomization, a file or its directory
    #[arg(long, value_name = "PATH", conflicts_with = "manifest")]
    kustomization: Option<PathBuf>,

    /// What the manifests below the kustomization call the image [default: its name, without registry if need be]
    #[arg(long, value_name = "NAME", requires = "kustomization")]
    base_image: Option<String>,

    /// Change no file, and end with 86 when one would change
    #[arg(long)]
    check: bool,
}

impl Args {
    /// True when files are only looked at.
    pub(super) fn only_checks(&self) -> bool {
        self.check
    }

    /// The manifests that were named.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.manifest
    }

    /// Refuses flags that choose a container where none is looked for.
    ///
    /// # Errors
    /// With [`Code::Usage`].
    pub(super) fn check(
        &self,
        target: &Target,
        is_for_cluster_too: bool,
    ) -> Result<(), Diagnostic> {
        if self.kustomization.is_none() || is_for_cluster_too {
            return Ok(());
        }
        let flags = [
            ("--container", target.container.is_some()),
            ("--workload", target.workload.is_some()),
            ("--namespace", target.namespace.is_some()),
            ("--init-containers", target.init_containers),
        ];
        let said = flags.iter().find(|(_, is_said)| *is_said);
        said.map_or(Ok(()), |(flag, _)| {
            let what = format!(
                "`{flag}` says nothing to a kustomization: it gives an image to all containers that have it"
            );
            Err(Diagnostic::new(Code::Usage, what).hint(
                "leave it out (`--base-image NAME` says what the manifests call the image), or edit the manifest of one \
                 container: `--manifest FILE`",
            ))
        })
    }

    /// True when files are to be edited.
    pub(super) fn is_asked(&self) -> bool {
        !self.manifest.is_empty() || self.kustomization.is_some()
    }
}

/// Where the image goes when it does not go into a kustomization.
pub(super) struct Place {
    /// Files, directories, patterns.
    pub(super) manifests: Vec<PathBuf>,
    /// The container.
    pub(super) wanted: Wanted,
}

/// What was written, for records.
pub(super) struct Written {
    /// The file.
    file: PathBuf,
    /// The container in it.
    container: Option<String>,
    /// The workload in it.
    workload: Option<String>,
    /// The workload's namespace, where the file names one.
    namespace: Option<String>,
    /// Whether containers of the initialisation were meant too.
    init_containers: bool,
    /// In a kustomization, what the manifests below it call the image.
    base_image: Option<String>,
    /// The image that was there before.
    pub(super) before: Option<String>,
}

impl Written {
    /// As records have it, of the project in `root`.
    ///
    /// # Errors
    /// As [`files::Name::of`].
    pub(super) fn target(self, root: &Path) -> Result<history::Target, Diagnostic> {
        let (mut files, mut outside) = (Vec::new(), Vec::new());
        match files::Name::of(root, &self.file)? {
            files::Name::Inside(name) => files.push(name),
            files::Name::Outside(name) => outside.push(name),
        }
        Ok(history::Target::Manifests {
            files,
            outside,
            container: self.container,
            workload: self.workload,
            namespace: self.namespace,
            init_containers: self.init_containers,
            base_image: self.base_image,
        })
    }
}

/// A change, as it is told.
struct Row {
    line: usize,
    container: Option<String>,
    workload: Option<String>,
    namespace: Option<String>,
    base_image: Option<String>,
    before: Option<String>,
    edited: Edited,
}

impl Row {
    fn written(&self, target: &Target) -> Written {
        Written {
            file: self.edited.path.clone(),
            container: self.container.clone(),
            workload: self.workload.clone(),
            namespace: self.namespace.clone(),
            init_containers: target.init_containers,
            base_image: self.base_image.clone(),
            before: self.before.clone(),
        }
    }
}

/// Edits the files.
pub(super) fn run(
    args: &Args,
    target: &Target,
    place: &Place,
    image: &str,
    observer: &dyn Observer,
) -> Result<Written, Diagnostic> {
    let row = match &args.kustomization {
        Some(path) => {
            let kustomization = Kustomization::read(path)?;
            let name = match &args.base_image {
                Some(name) => name.clone(),
                None => base_name(&kustomization, image)?,
            };
            in_kustomization(&kustomization, &name, image, observer)?
        }
        None => in_manifest(place, target, image, observer)?,
    };
    // A check that finds a change says so as its error.
    let is_error = args.check && row.edited.is_change();
    if !is_error || target.dry_run || target.format == Format::Json {
        tell(&row, image, target)?;
    }
    match (row.edited.is_change(), args.check) {
        (true, true) => Err(Diagnostic::new(
            Code::WouldChange,
            format!(
                "`{}` does not have the image `{image}`",
                row.edited.path.display()
            ),
        )
        .hint("the same command without `--check` writes it")),
        (true, false) if !target.dry_run => {
            let written = row.written(target);
            manifest::apply_all(&[row.edited])?;
            Ok(written)
        }
        _ => Ok(row.written(target)),
    }
}

fn in_manifest(
    place: &Place,
    target: &Target,
    image: &str,
    observer: &dyn Observer,
) -> Result<Row, Diagnostic> {
    let files = manifest::files(&place.manifests)?;
    let manifests = files.iter().map(|file| Manifest::read(file));
    let manifests: Vec<Manifest> = manifests.collect::<Result<_, _>>()?;
    let found = manifest::find(&manifests, &place.wanted)?;
    if let Some((kustomization, name)) = overlay(&found)? {
        observer.observe(Event::Warning {
            text: format!(
                "`{}` gives `{name}` its tag or digest, which count more than `{}`: the image is set there",
                kustomization.path().display(),
                found.path.display()
            ),
            hint: None,
        });
        return in_kustomization(&kustomization, &name, image, observer);
    }
    let edited = manifest::edit(&manifests[found.manifest], &found, image)?;
    warn(&found, image, edited.is_change(), target, observer)?;
    Ok(Row {
        line: found.line,
        container: Some(found.container),
        workload: Some(found.workload.to_string()),
        namespace: found.namespace,
        base_image: None,
        before: found.image,
        edited,
    })
}

fn in_kustomization(
    kustomization: &Kustomization,
    name: &str,
    image: &str,
    observer: &dyn Observer,
) -> Result<Row, Diagnostic> {
    let set = kustomization.set(name, image)?;
    let place = format!("{}:{}", kustomization.path().display(), set.line);
    for marker in set.markers.iter().filter(|_| set.edited.is_change()) {
        observer.observe(overwritten(&place, marker));
    }
    Ok(Row {
        line: set.line,
        container: None,
        workload: None,
        namespace: None,
        base_image: Some(name.to_owned()),
        before: set.before,
        edited: set.edited,
    })
}

/// The kustomization beside a manifest that takes it as a resource and says something of its image.
fn overlay(found: &Found) -> Result<Option<(Kustomization, String)>, Diagnostic> {
    let directory = found.path.parent().unwrap_or(Path::new(""));
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let Some(file) = Kustomization::in_directory(directory) else {
        return Ok(None);
    };
    let name = found
        .image
        .as_deref()
        .map(kustomization::name_of)
        .unwrap_or_default();
    let kustomization = Kustomization::read(&file)?;
    let file = found.path.file_name().unwrap_or_default();
    let takes_it = kustomization.resources().iter().any(|resource| {
        let resource = resource.strip_prefix("./").unwrap_or(resource);
        Path::new(resource) == Path::new(file)
    });
    let has_entry = takes_it && kustomization.images().contains(&name);
    Ok(has_entry.then(|| (kustomization, name.to_owned())))
}

/// What the manifests call an image, where nobody said it: the entry that there is for its name, with its registry and
/// path or with its last part only, or that already renames to it; else its name.
///
/// # Errors
/// With [`Code::Manifest`] when several entries may be meant.
pub(in crate::cli) fn base_name(
    kustomization: &Kustomization,
    image: &str,
) -> Result<String, Diagnostic> {
    let name = kustomization::name_of(image);
    let last = name.rsplit('/').next().unwrap_or(name);
    let by_new_name = kustomization.renamed_to(name);
    let known = kustomization.images();
    let candidates: Vec<&str> = match known.contains(&name) {
        true => vec![name],
        false if !by_new_name.is_empty() => by_new_name,
        false => known
            .into_iter()
            .filter(|known| known.rsplit('/').next() == Some(last))
            .collect(),
    };
    match candidates.as_slice() {
        [] => Ok(name.to_owned()),
        [one] => Ok((*one).to_owned()),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|name| format!("`{}`", printable(name)))
                .collect();
            let what = format!(
                "several entries of `images` may be meant by `{image}`: {}",
                names.join(", ")
            );
            Err(Diagnostic::new(Code::Manifest, what).hint("name the one: `--base-image NAME`"))
        }
    }
}

fn overwritten(place: &str, marker: &Marker) -> Event {
    Event::Warning {
        text: format!(
            "{place}: Flux's image policy `{}` writes this value, and will write over this edit",
            printable(&marker.policy)
        ),
        hint: Some("push a tag that the policy chooses, or take the mark away".to_owned()),
    }
}

/// What a person should know of the container that gets the image.
fn warn(
    found: &Found,
    image: &str,
    is_change: bool,
    target: &Target,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let place = format!("{}:{}", found.path.display(), found.line);
    if let Some(marker) = found.marker.as_ref().filter(|_| is_change) {
        observer.observe(overwritten(&place, marker));
    }
    let reference: Reference = image.parse()?;
    if target.no_pin && found.pull_policy.always_pulls(&reference) {
        observer.observe(Event::Warning {
            text: format!("{place}: nodes ask the registry for `{image}` each time, and do not take one that was loaded"),
            hint: Some("set `imagePullPolicy: IfNotPresent`, or use another tag than `latest`".to_owned()),
        });
    }
    let reused = match (reference.digest(), is_change) {
        (Some(_), _) => None,
        (None, false) => Some("the tag is the same as before, so nothing will roll out"),
        (None, true) if target.no_pin => None,
        (None, true) => {
            Some("the image has no digest: a node that has one of this tag may keep it")
        }
    };
    if let Some(text) = reused {
        observer.observe(Event::Warning {
            text: format!("{place}: {text}"),
            hint: Some("use a tag that comes from the content, or the digest".to_owned()),
        });
    }
    Ok(())
}

fn tell(row: &Row, image: &str, target: &Target) -> Result<(), Diagnostic> {
    let path = row.edited.path.display().to_string();
    let is_change = row.edited.is_change();
    let here = crate::cli::env::project::directory()?;
    if target.format == Format::Json {
        let row: Value = json!({
            "file": path,
            "line": row.line,
            "workload": row.workload,
            "namespace": row.namespace,
            "container": row.container,
            "before": row.before,
            "after": image,
            "changed": is_change,
            "diff": target.dry_run.then(|| row.edited.diff(&here)),
        });
        return print_json(&json!({ "dry_run": target.dry_run, "edits": [row] }));
    }
    if target.dry_run {
        let diff = row.edited.diff(&here);
        return match diff.strip_suffix('\n') {
            Some(diff) => print(&shown(diff)),
            None => Ok(()),
        };
    }
    match is_change {
        true => {
            let before = row
                .before
                .as_deref()
                .map(printable)
                .unwrap_or_else(|| "no image".to_owned());
            print(&format!(
                "{}:{}: {before} -> {image}",
                printable(&path),
                row.line
            ))
        }
        false => print(&format!(
            "{}:{}: unchanged, {image}",
            printable(&path),
            row.line
        )),
    }
}

/// A diff as it is for programs; for a terminal, without what would steer it.
fn shown(diff: &str) -> String {
    match std::io::stdout().is_terminal() {
        true => diff.lines().map(printable).collect::<Vec<_>>().join("\n"),
        false => diff.to_owned(),
    }
}
