//! `overcoat promote`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{creds, env, observer, open_store, outputs, print, print_json, project, records};
use crate::build::Tools;
use crate::event::{Event, Observer};
use crate::project::Operation;
use crate::project::{Project, Role};
use crate::release::history::{self, Begin};
use crate::release::operation::Done;
use crate::release::outputs::{Outputs, github};
use crate::release::promote::{
    self, Attached, Checked, Found, Promoted, Request, Root, Step, Tags,
};
use crate::release::result::{self, BuildResult, Entry};

/// Give the images of one environment to the next: the same digest under the same tag
///
/// Reads `build_result.json` for names, tags and digests. Images come from the source environment's registry and are
/// copied as they are, with every platform and with what refers to them; each tag is set last and read back. A tag that
/// stands for another digest is not moved, and then nothing is. Prints `DST@sha256:…` for every image.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The environment that has the images
    #[arg(long, value_name = "ENV", required_unless_present = "source_registry")]
    source: Option<String>,

    /// The environment that gets them
    #[arg(
        long,
        value_name = "ENV",
        required_unless_present = "destination_registry"
    )]
    destination: Option<String>,

    /// The registry that has the images, whatever the project says: `ghcr.io/acme`
    #[arg(long, value_name = "REGISTRY")]
    source_registry: Option<String>,

    /// The registry that gets them, whatever the project says
    #[arg(long, value_name = "REGISTRY")]
    destination_registry: Option<String>,

    /// Promote this image alone, by its `imageName`; may be repeated; `all` means all [default: all]
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    image_name: Vec<String>,

    /// Promote every image of the results, which is the default
    #[arg(long)]
    all: bool,

    /// The file of results, or the directory with `build_result.json`
    #[arg(
        long,
        visible_alias = "build-result-dir",
        value_name = "PATH",
        default_value = result::FILE
    )]
    build_result: PathBuf,

    /// Move tags that stand for another digest
    #[arg(long)]
    force: bool,

    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Leave signatures, bills of materials and attestations where they are
    #[arg(long)]
    no_referrers: bool,

    /// How to print the result
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    format: Format,

    /// Say nothing but what failed
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    outputs: outputs::Flags,

    #[command(flatten)]
    creds: creds::Flags,
}

/// The ends of a promotion.
struct Ends {
    source: Root,
    destination: Root,
    /// The registries of all environments, these two among them.
    known: Vec<Root>,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let project = project::load(shared)?;
    let shared = &project::with_registries(shared, &project);
    let observer = observer(shared, args.quiet)?;
    let ends = ends(args, &project, observer.as_ref())?;
    let path = result_path(&args.build_result, &project);
    let results = BuildResult::read(&path)?;
    let entries = chosen(args, &results, &path)?;
    let outputs = args.outputs.outputs();
    outputs.check(entries.len(), 1)?;
    let request = Request {
        source: &ends.source,
        destination: &ends.destination,
        known: &ends.known,
        entries: &entries,
        tags: if args.force { Tags::Move } else { Tags::Stay },
        attached: match args.no_referrers {
            true => Attached::Nothing,
            false => Attached::Referrers,
        },
    };
    let steps = promote::plan(&request)?;
    if !args.dry_run {
        forget_stale(&outputs, &path, &entries)?;
    }
    let store = open_store(shared)?;
    let mut host = env::host_for(shared, &project.root)?;
    let hosts = [ends.source.host(), ends.destination.host()];
    args.creds
        .apply(&mut host.registries, hosts, shared, false)?;
    let tools = Tools::new(&store, host);
    let registry = tools.registry().map_err(crate::build::Error::from)?;
    let told = Told {
        is_quiet: args.quiet || shared.progress == crate::ui::Progress::Json,
    };
    if entries.len() > 1 && args.image_name.is_empty() && !args.all {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name()).collect();
        told.line(&format!(
            "Promoting all {} images of `{}`: {}",
            names.len(),
            path.display(),
            names.join(", ")
        ))?;
    }
    if args.dry_run {
        let checked = promote::check(steps, &request, registry, observer.as_ref())?;
        return dry_run(&checked, args.format, &told);
    }
    let mut promoted = Vec::new();
    // A file that cannot be written takes back nothing of what was done.
    let mut written = Ok(());
    let is_recorded = project.file.is_some() || shared.history.is_some();
    let records = match is_recorded {
        true => Some(records::Place::of(project, shared)?),
        false => None,
    };
    let begins = match &records {
        Some(records) => begins(records, &steps, args.destination.as_deref())?,
        None => Vec::new(),
    };
    let mut steps = Some(steps);
    let mut carry_out = |observer: &dyn Observer| -> Result<Vec<Done<()>>, Diagnostic> {
        let steps = steps.take().unwrap_or_default();
        let checked = promote::check(steps, &request, registry, observer)?;
        for image in &checked {
            told.line(&format!("Promoting {}", image.source()))?;
            told.line(&format!("-> {}", image.way.destination))?;
        }
        promoted = promote::carry_out(&checked, &request, registry, &store, observer)?;
        // Hooks after it read what was promoted.
        written = write_outputs(&outputs, &promoted, &entries);
        let result_file = outputs.result_file().filter(|_| written.is_ok());
        let done = Done {
            result_file,
            ..Done::default()
        };
        Ok(vec![done; promoted.len()])
    };
    match &records {
        None => drop(carry_out(observer.as_ref())?),
        Some(records) => drop(records.perform_all(begins, observer.as_ref(), &mut carry_out)?),
    }
    written?;
    match args.format {
        Format::Table => {
            let lines: Vec<String> = promoted.iter().map(Promoted::pinned).collect();
            print(&lines.join("\n"))?;
        }
        Format::Json => print_json(&Value::Array(promoted.iter().map(as_json).collect()))?,
    }
    told.line("Promotion successful.")
}

/// What is known of each image's promotion when it begins.
fn begins(
    records: &records::Place,
    steps: &[Step],
    environment: Option<&str>,
) -> Result<Vec<Begin>, Diagnostic> {
    let begins = steps.iter().map(|image| {
        let destination = &image.way.destination;
        let digest = image.way.source.digest();
        let application = records.application_of_image(destination);
        let facts = history::Facts {
            image: Some(destination.without_digest().to_string()),
            digest: digest.cloned(),
            links: records.links_of(&application, digest)?,
            ..history::Facts::default()
        };
        Ok(records.beginning(Operation::Promote, &application, environment, facts))
    });
    begins.collect()
}

/// The registries of both environments, and those of all others. A registry that is named by a flag needs no project.
fn ends(args: &Args, project: &Project, observer: &dyn Observer) -> Result<Ends, Diagnostic> {
    let end = |given: &Option<String>, environment: &Option<String>, role| match given {
        Some(registry) => Ok(registry.parse::<Root>()?),
        None => {
            let name = environment.as_deref().unwrap_or_default();
            let registry = project.registry_of(name, role)?;
            if let Some(text) = project.doubt(name, &registry) {
                let hint = "declare it in overcoat.toml: `[environments.NAME]`; then mistyped names are errors";
                observer.observe(Event::Warning {
                    text,
                    hint: Some(hint.to_owned()),
                });
            }
            registry.value.parse::<Root>().map_err(|error| {
                let said = format!("it is the registry of `{name}`, from {}", registry.origin);
                Diagnostic::new(Code::Project, error).also(said)
            })
        }
    };
    let source = end(&args.source_registry, &args.source, Role::Source)?;
    let destination = end(
        &args.destination_registry,
        &args.destination,
        Role::Destination,
    )?;
    let mut known = vec![source.clone(), destination.clone()];
    let environments = project.environments.iter();
    let registries = environments.filter_map(|environment| environment.registry.as_ref());
    // What cannot be read matters only where it is used.
    known.extend(registries.filter_map(|registry| registry.value.parse().ok()));
    Ok(Ends {
        source,
        destination,
        known,
    })
}

/// A directory stands for the file in it, as with op. Where nothing was named and nothing is here, it is the project's.
fn result_path(given: &Path, project: &Project) -> PathBuf {
    match given.is_dir() {
        true => given.join(result::FILE),
        false if given == Path::new(result::FILE) && !given.exists() => {
            project.root.join(result::FILE)
        }
        false => given.to_owned(),
    }
}

fn chosen<'a>(
    args: &Args,
    results: &'a BuildResult,
    path: &Path,
) -> Result<Vec<&'a Entry>, Diagnostic> {
    let names = results.names();
    let means_all =
        args.image_name.iter().any(|name| name == "all") && !names.iter().any(|name| name == "all");
    if args.image_name.is_empty() || means_all {
        return Ok(newest(&results.builds));
    }
    let names = args.image_name.iter();
    let entries = names.map(|name| results.select(Some(name), path));
    Ok(entries.collect::<Result<_, _>>()?)
}

/// All images. Who merges the files of several jobs may have one with one tag twice: the last is the one that counts.
fn newest(builds: &[Entry]) -> Vec<&Entry> {
    let same = |a: &Entry, b: &Entry| {
        let (tag_a, tag_b) = (a.text(), b.text());
        a.name() == b.name() && result::tag_of(&tag_a) == result::tag_of(&tag_b)
    };
    let entries = builds.iter().enumerate();
    let is_last = |(number, entry): &(usize, &Entry)| {
        !builds[number + 1..].iter().any(|later| same(entry, later))
    };
    entries.filter(is_last).map(|(_, entry)| entry).collect()
}

/// What was read is not removed, also where the same file is written.
fn forget_stale(outputs: &Outputs, read: &Path, entries: &[&Entry]) -> Result<(), Diagnostic> {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name()).collect();
    let mut outputs = outputs.clone();
    let real = |path: &Path| path.canonicalize().ok();
    if let Some(file) = &outputs.result
        && real(&file.path).is_some_and(|written| Some(written) == real(read))
    {
        outputs.result = None;
    }
    Ok(outputs.forget_stale(&names)?)
}

fn write_outputs(
    outputs: &Outputs,
    promoted: &[Promoted],
    entries: &[&Entry],
) -> Result<(), Diagnostic> {
    let facts: Vec<_> = promoted.iter().map(Promoted::facts).collect();
    let written = promoted.iter().map(|image| {
        let read = entries.iter().find(|entry| entry.name() == image.name);
        Entry {
            // What Skaffold knows of it stays true.
            others: read.map(|entry| entry.others.clone()).unwrap_or_default(),
            ..Entry::new(&image.name, image.pinned())
        }
    });
    let written: Vec<Entry> = written.collect();
    // A promotion has a table of its own.
    let others = Outputs {
        github_summary: None,
        ..outputs.clone()
    };
    others.write_with(&facts, &written)?;
    if let Some(summary) = &outputs.github_summary {
        let text = summary_of(promoted);
        crate::release::outputs::append(summary, &text, "$GITHUB_STEP_SUMMARY")?;
    }
    Ok(())
}

fn summary_of(promoted: &[Promoted]) -> String {
    let rows = promoted.iter().map(|image| {
        vec![
            image.name.clone(),
            github::code(&image.source),
            github::code(&image.destination.to_string()),
            github::code(&image.digest.to_string()),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let heads = ["artifact", "source", "destination", "digest"];
    github::table("Promotion", &heads, &rows)
}

fn dry_run(checked: &[Checked], format: Format, told: &Told) -> Result<(), Diagnostic> {
    for image in checked {
        told.line(&format!("Would promote {}", image.source()))?;
        told.line(&format!("-> {} ({})", image.way.destination, state(image)))?;
    }
    if format == Format::Json {
        let images = checked.iter().map(|image| {
            json!({
                "image_name": image.name,
                "source": image.source(),
                "destination": image.way.destination.to_string(),
                "digest": image.digest(),
                "stands_for": match &image.found {
                    Found::Nothing => Value::Null,
                    Found::Same => json!(image.digest()),
                    Found::Other(Some(digest)) => json!(digest),
                    Found::Other(None) => json!("something else"),
                },
                "dry_run": true,
            })
        });
        return print_json(&Value::Array(images.collect()));
    }
    Ok(())
}

fn state(image: &Checked) -> String {
    match &image.found {
        Found::Nothing => "a new tag".to_owned(),
        Found::Same => "it is there already".to_owned(),
        Found::Other(Some(digest)) => format!("moved from {digest}"),
        Found::Other(None) => "moved from something else".to_owned(),
    }
}

fn as_json(image: &Promoted) -> Value {
    json!({
        "image_name": image.name,
        "source": image.source,
        "destination": image.destination.to_string(),
        "digest": image.digest,
        "media_type": image.media_type,
        "already_there": image.was_there,
        "referrers": image.report.referrers,
        "uploaded_blobs": image.report.uploaded_blobs,
        "mounted_blobs": image.report.mounted,
        "skipped_blobs": image.report.skipped,
        "uploaded_bytes": image.report.bytes,
    })
}

/// What people who know op look for on stderr.
struct Told {
    is_quiet: bool,
}

impl Told {
    fn line(&self, text: &str) -> Result<(), Diagnostic> {
        if self.is_quiet {
            return Ok(());
        }
        let text = crate::event::printable(text);
        // A reader that has gone is no reason to stop in the middle.
        match writeln!(io::stderr().lock(), "{text}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Diagnostic::new(
                Code::Output,
                format!("cannot write to stderr: {error}"),
            )),
            _ => Ok(()),
        }
    }
}
