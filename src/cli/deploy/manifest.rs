//! `overcoat deploy --manifest`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::{Target, overlay};
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

    /// Change the file although overlays elsewhere in the repository say its image themselves
    #[arg(long)]
    despite_overlays: bool,

    /// Change no file, and end with 86 when one would change
    #[arg(long)]
    check: bool,
}

impl Args {
    /// True when files are only looked at.
    pub(super) fn only_checks(&self) -> bool {
        self.check
    }

    /// True when the name that manifests have for the image was said.
    pub(super) fn names_base_image(&self) -> bool {
        self.base_image.is_some()
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

/// One image and the container that gets it.
pub(super) struct Order<'a> {
    pub(super) target: &'a Target,
    pub(super) place: &'a Place,
    pub(super) image: &'a str,
    /// The application, where it is deployed by its name.
    pub(super) application: Option<&'a str>,
}

impl Order<'_> {
    /// The rest of a command line that means the same environment and application.
    fn words(&self) -> String {
        let environment = self.target.environment.as_deref();
        let environment = environment.map(|name| format!(" --environment {}", printable(name)));
        let application = self.application.map(|name| format!(" {}", printable(name)));
        environment.into_iter().chain(application).collect()
    }
}

/// Files that are to change, by themselves (links followed), with what was there first and what is to be there last: several
/// containers may be in one file.
type Texts = BTreeMap<PathBuf, Edited>;

/// Edits the files, all or none; what was written, in the order of the orders. All of them have one way to be done: that of the first.
pub(super) fn run(
    args: &Args,
    orders: &[Order<'_>],
    observer: &dyn Observer,
) -> Result<Vec<Written>, Diagnostic> {
    let Some(first) = orders.first() else {
        return Ok(Vec::new());
    };
    let target = first.target;
    let mut texts = Texts::new();
    let mut rows = Vec::new();
    for order in orders {
        let row = edited(args, order, &texts, observer)?;
        let file = itself(&row.edited.path)?;
        let before = texts.get(&file).map(|known| known.before.clone());
        let whole = Edited {
            before: before.unwrap_or_else(|| row.edited.before.clone()),
            ..row.edited.clone()
        };
        texts.insert(file, whole);
        rows.push(row);
    }
    let edits: Vec<Edited> = texts.into_values().collect();
    let changing: Vec<String> = edits
        .iter()
        .filter(|edit| edit.is_change())
        .map(|edit| format!("`{}`", edit.path.display()))
        .collect();
    // A check that finds a change says so as its error.
    let is_error = args.check && !changing.is_empty();
    if !is_error || target.dry_run || target.format == Format::Json {
        tell(&rows, orders)?;
    }
    if is_error {
        let what = match orders {
            [order] => format!(
                "{} does not have the image `{}`",
                changing.join(", "),
                order.image
            ),
            _ => format!("not all images are in {}", changing.join(", ")),
        };
        return Err(Diagnostic::new(Code::WouldChange, what)
            .hint("the same command without `--check` writes it"));
    }
    let written = rows.iter().zip(orders);
    let written: Vec<Written> = written
        .map(|(row, order)| row.written(order.target))
        .collect();
    if !args.check && !target.dry_run {
        manifest::apply_all(&edits)?;
    }
    Ok(written)
}

/// The change that one order is, in files as the orders before it leave them.
fn edited(
    args: &Args,
    order: &Order<'_>,
    texts: &Texts,
    observer: &dyn Observer,
) -> Result<Row, Diagnostic> {
    let Some(path) = &args.kustomization else {
        return in_manifest(args, order, texts, observer);
    };
    let mut kustomization = Kustomization::read(path)?;
    if let Some(edit) = texts.get(&itself(kustomization.path())?) {
        kustomization = kustomization.with_text(&edit.after)?;
    }
    let name = match &args.base_image {
        Some(name) => name.clone(),
        None => overlay::known_below(&kustomization, base_name(&kustomization, order.image)?)?,
    };
    in_kustomization(args, &kustomization, &name, order, observer)
}

fn in_manifest(
    args: &Args,
    order: &Order<'_>,
    texts: &Texts,
    observer: &dyn Observer,
) -> Result<Row, Diagnostic> {
    let (place, image) = (order.place, order.image);
    let files = manifest::files(&place.manifests)?;
    let manifests = files.iter().map(|file| -> Result<Manifest, Diagnostic> {
        Ok(match texts.get(&itself(file)?) {
            Some(edit) => Manifest::new(file, edit.after.clone())?,
            None => Manifest::read(file)?,
        })
    });
    let manifests: Vec<Manifest> = manifests.collect::<Result<_, _>>()?;
    let found = manifest::find(&manifests, &place.wanted)?;
    if let Some((mut kustomization, name)) = overlay::beside(&found)? {
        observer.observe(Event::Warning {
            text: format!(
                "`{}` gives `{name}` its tag or digest, which count more than `{}`: the image is set there",
                kustomization.path().display(),
                found.path.display()
            ),
            hint: None,
        });
        if let Some(edit) = texts.get(&itself(kustomization.path())?) {
            kustomization = kustomization.with_text(&edit.after)?;
        }
        return in_kustomization(args, &kustomization, &name, order, observer);
    }
    let name = overlay::name_of(&found);
    let guarded = overlay::Guarded {
        file: &found.path,
        name,
        image,
        words: &order.words(),
    };
    overlay::guard(&guarded, args.despite_overlays, observer)?;
    let edited = manifest::edit(&manifests[found.manifest], &found, image)?;
    warn(&found, image, edited.is_change(), order.target, observer)?;
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
    args: &Args,
    kustomization: &Kustomization,
    name: &str,
    order: &Order<'_>,
    observer: &dyn Observer,
) -> Result<Row, Diagnostic> {
    let (path, image) = (kustomization.path(), order.image);
    let guarded = overlay::Guarded {
        file: path,
        name: kustomization.name_after(name),
        image,
        words: &order.words(),
    };
    overlay::guard(&guarded, args.despite_overlays, observer)?;
    let set = kustomization.set(name, image)?;
    let place = format!("{}:{}", path.display(), set.line);
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

/// A file by the one name that it has, links followed.
fn itself(path: &Path) -> Result<PathBuf, Diagnostic> {
    path.canonicalize()
        .map_err(|error| crate::fs::Error::new("find", path.to_owned(), error).into())
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
            Err(Diagnostic::new(Code::Ambiguous, what).hint("name the one: `--base-image NAME`"))
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

fn tell(rows: &[Row], orders: &[Order<'_>]) -> Result<(), Diagnostic> {
    let here = crate::cli::env::project::directory()?;
    let Some(target) = orders.first().map(|order| order.target) else {
        return Ok(());
    };
    if target.format == Format::Json {
        let edits = rows.iter().zip(orders).map(|(row, order)| {
            json!({
                "file": row.edited.path.display().to_string(),
                "line": row.line,
                "workload": row.workload,
                "namespace": row.namespace,
                "container": row.container,
                "before": row.before,
                "after": order.image,
                "changed": row.edited.is_change(),
                "diff": target.dry_run.then(|| row.edited.diff(&here)),
            })
        });
        let edits: Vec<Value> = edits.collect();
        return print_json(&json!({ "dry_run": target.dry_run, "edits": edits }));
    }
    for (row, order) in rows.iter().zip(orders) {
        let place = format!(
            "{}:{}",
            printable(&row.edited.path.to_string_lossy()),
            row.line
        );
        if target.dry_run {
            let diff = row.edited.diff(&here);
            if let Some(diff) = diff.strip_suffix('\n') {
                print(&shown(diff))?;
            }
        } else if row.edited.is_change() {
            let before = row.before.as_deref().map(printable);
            let before = before.unwrap_or_else(|| "no image".to_owned());
            print(&format!("{place}: {before} -> {}", order.image))?;
        } else {
            print(&format!("{place}: unchanged, {}", order.image))?;
        }
    }
    Ok(())
}

/// A diff as it is for programs; for a terminal, without what would steer it.
fn shown(diff: &str) -> String {
    match std::io::stdout().is_terminal() {
        true => diff.lines().map(printable).collect::<Vec<_>>().join("\n"),
        false => diff.to_owned(),
    }
}
