//! Several applications at once: each is built by this command, started again for it alone, so that one may enter a user
//! namespace while another needs none. They share the store, and with it every package's layer.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::args::Args;
use super::facts;
use super::target::Target;
use super::{perform, single, told};
use crate::build::BuildReport;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::s2i::flags::given;
use crate::cli::{env, observer, print, s2i, sbom};
use crate::event::{Event, Observer, printable, stage};
use crate::project::{Application, Project};
use crate::release::outputs::{Facts, Others, Outputs, ResultFile};
use crate::release::result;
use crate::ui::Progress;

/// How often it is looked whether the person has had enough.
const LOOK: Duration = Duration::from_millis(20);
/// A line of a child that is longer is cut, in bytes.
const MOST_LINE: u64 = 64 << 10;

/// How the build of one application ended.
struct Outcome {
    /// The application.
    name: String,
    /// Its exit status.
    status: u8,
    /// What was built, if it was.
    report: Option<BuildReport>,
}

/// Builds applications of a project, as many at a time as wanted; the exit status.
///
/// # Errors
/// For flags that are for one image. That a build fails is told, and its status is the command's.
pub(super) fn run(
    args: &Args,
    project: &Project,
    applications: &[Application],
    shared: &Shared,
) -> Result<u8, Diagnostic> {
    refuse_what_is_for_one(args)?;
    if args.plan {
        for application in applications {
            print(&format!("{}:", application.name))?;
            let target = Target::of(project.clone(), application.clone());
            single::run(args, &target, shared)?;
        }
        return Ok(Code::Success as u8);
    }
    if let Some(name) = args.records.asked() {
        // Before anything of an earlier run is removed.
        project.environment(name)?;
    }
    let outputs = outputs(args, project);
    let images: Vec<&str> = applications.iter().map(Application::image_name).collect();
    let names: Vec<&str> = applications.iter().map(|it| it.name.as_str()).collect();
    // Before anything of an earlier run is removed.
    args.sbom.prepare(&names, &args.platforms, args.push)?;
    outputs.check(applications.len(), args.platforms.len().max(1))?;
    outputs.forget_stale(&images)?;
    let observer = observer(shared, args.s2i.common.quiet)?;
    if args.all {
        tell_foreign(project, observer.as_ref());
    }
    let names: Vec<String> = applications.iter().map(|it| it.name.clone()).collect();
    let host = env::host(shared)?;
    let jobs = args.jobs.map_or(host.threads, usize::from);
    let outcomes = match build(&host.program, &names, jobs, shared, observer.as_ref()) {
        Ok(outcomes) => outcomes,
        Err(error) => {
            // Those that were done before have said so to their hooks; half of all is no result.
            outputs.forget_stale(&images)?;
            return Err(error);
        }
    };
    let is_made = |it: &Outcome| {
        it.report
            .as_ref()
            .is_some_and(|report| report.is_pushed || !args.push)
    };
    let failed: Vec<&Outcome> = outcomes.iter().filter(|it| !is_made(it)).collect();
    let troubled = outcomes.iter().find(|it| it.status != Code::Success as u8);
    for Outcome {
        name,
        report,
        status,
    } in &outcomes
    {
        let Some(report) = report else { continue };
        if *status == Code::Success as u8 {
            let lines = told::lines(report, args.s2i.common.quiet);
            print(&lines.join("\n"))?;
        }
        let how = match (status, report.is_unchanged) {
            (0, true) => "unchanged".to_owned(),
            (0, false) => "built".to_owned(),
            (status, _) if report.is_pushed => {
                format!("pushed, and something after it failed ({status})")
            }
            (status, _) => format!("built, and something after it failed ({status})"),
        };
        stage(observer.as_ref(), "application", name.clone()).finish(how);
    }
    let made = outcomes.iter().filter(|it| is_made(it));
    let built: Vec<sbom::Built<'_>> = made
        .filter_map(|it| {
            Some(sbom::Built {
                name: &it.name,
                report: it.report.as_ref()?,
            })
        })
        .collect();
    let Some(first) = failed.first() else {
        let reports = outcomes
            .iter()
            .filter_map(|it| it.report.as_ref())
            .zip(&images);
        let facts: Result<Vec<Facts>, _> = reports
            .map(|(report, image)| facts::of(report, Some(image)))
            .collect();
        args.sbom
            .deliver(&built, &args.creds, shared, observer.as_ref())?;
        outputs.write(&facts?)?;
        return Ok(troubled.map_or(Code::Success as u8, |it| it.status));
    };
    // What single builds have told their hooks is no result of all of them.
    outputs.forget_stale(&images)?;
    // The others are in their registries, each with its bill; files there are none, for not all of it was done.
    let bills = args.sbom.without_files();
    if let Err(error) = bills.deliver(&built, &args.creds, shared, observer.as_ref()) {
        observer.observe(Event::Warning {
            text: format!("the others have no bill of materials: {}", error.what),
            hint: None,
        });
    }
    let names: Vec<String> = failed.iter().map(|it| format!("`{}`", it.name)).collect();
    let what = match failed.iter().any(|it| it.report.is_none()) {
        true => "built",
        false => "pushed",
    };
    observer.observe(Event::Warning {
        text: format!(
            "{} could not be {what}; {} of {} are",
            names.join(", "),
            outcomes.len() - failed.len(),
            outcomes.len()
        ),
        hint: Some(
            "what is above says why; build one alone: `overcoat build --application NAME`"
                .to_owned(),
        ),
    });
    Ok(first.status)
}

/// What pipelines read: the file of results in any case. A build of all applications is all that is in it.
fn outputs(args: &Args, project: &Project) -> Outputs {
    let outputs = args.pipeline.outputs();
    let path = outputs.result.as_ref().map(|file| file.path.clone());
    Outputs {
        result: Some(ResultFile {
            path: path.unwrap_or_else(|| project.root.join(result::FILE)),
            others: match args.all {
                true => Others::Go,
                false => Others::Stay,
            },
        }),
        is_nested: true,
        ..outputs
    }
}

/// Tells which applications of the project somebody else has to build.
fn tell_foreign(project: &Project, observer: &dyn Observer) {
    for application in &project.applications {
        if let Some(reason) = &application.foreign {
            observer.observe(Event::Warning {
                text: format!("`{}` is not built: {reason}", application.name),
                hint: None,
            });
        }
    }
}

/// # Errors
/// When a flag names what only one image can have.
fn refuse_what_is_for_one(args: &Args) -> Result<(), Diagnostic> {
    let flags = [
        ("--tag", !args.tags.is_empty()),
        ("--output", !args.outputs.is_empty()),
        ("--run", args.s2i.build.run),
        (
            "--as-dockerfile",
            given(&args.s2i.build.as_dockerfile).is_some(),
        ),
    ];
    match flags.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((flag, _)) => Err(Diagnostic::new(
            Code::Usage,
            format!("`{flag}` is for one image, and several applications are built"),
        )
        .hint(format!(
            "build the application alone: `overcoat build --application NAME {flag} …`"
        ))),
    }
}

/// Builds the applications, `jobs` at a time; what came of each, in the order of the names.
///
/// # Errors
/// When this program cannot be started. That a build fails is its outcome.
fn build(
    program: &Path,
    names: &[String],
    jobs: usize,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Vec<Outcome>, Diagnostic> {
    let directory = tempfile::tempdir().map_err(|error| {
        crate::fs::Error::new("create a directory in", std::env::temp_dir(), error)
    })?;
    let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..names.len()).collect());
    let running: Mutex<Vec<u32>> = Mutex::default();
    let done: Mutex<Vec<(usize, Result<Outcome, Diagnostic>)>> = Mutex::default();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = || {
            while let Some(index) = lock(&waiting).pop_front() {
                if observer.is_cancelled() {
                    break;
                }
                let child = Child {
                    program,
                    name: &names[index],
                    report: &directory.path().join(index.to_string()),
                    shared,
                    running: &running,
                };
                let outcome = child.run();
                lock(&done).push((index, outcome));
            }
        };
        let workers: Vec<_> = (0..jobs.clamp(1, names.len().max(1)))
            .map(|_| scope.spawn(work))
            .collect();
        let (is_over, running) = (&is_over, &running);
        scope.spawn(move || {
            let mut is_told = false;
            while !is_over.load(Ordering::Relaxed) {
                if observer.is_cancelled() && !is_told {
                    is_told = true;
                    stop(running);
                }
                std::thread::sleep(LOOK);
            }
        });
        for worker in workers {
            // A worker that panics has told why; the scope passes it on.
            let _ = worker.join();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    if observer.is_cancelled() {
        return Err(Diagnostic::new(Code::Interrupted, "interrupted")
            .hint("what was finished until then is kept: `overcoat history` lists it"));
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks all that runs to put everything away and end.
fn stop(running: &Mutex<Vec<u32>>) {
    for id in lock(running).iter() {
        if let Some(pid) = i32::try_from(*id).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
    }
}

/// One application's build in a process of its own.
struct Child<'a> {
    program: &'a Path,
    name: &'a str,
    report: &'a Path,
    shared: &'a Shared,
    running: &'a Mutex<Vec<u32>>,
}

impl Child<'_> {
    fn run(&self) -> Result<Outcome, Diagnostic> {
        let failed = |error| crate::fs::Error::new("start", self.program, error);
        let first = ["--only-application", self.name, "--report-file"];
        let mut first: Vec<OsString> = first.into_iter().map(OsString::from).collect();
        first.push(self.report.into());
        let mut child = Command::new(self.program)
            .args(s2i::again(first))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let id = child.id();
        lock(self.running).push(id);
        if let Some(stderr) = child.stderr.take() {
            self.pass_on(BufReader::new(stderr));
        }
        let status = child.wait().map_err(failed);
        lock(self.running).retain(|other| *other != id);
        let status = exit_code(status?);
        // What was built is built, whatever failed afterwards.
        let report = match status == 0 || self.report.exists() {
            true => Some(perform::read_report(self.report)?),
            false => None,
        };
        Ok(Outcome {
            name: self.name.to_owned(),
            status,
            report,
        })
    }

    /// Shows what the child says, with its application's name.
    fn pass_on(&self, mut from: impl BufRead) {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = std::io::Read::take(&mut from, MOST_LINE).read_until(b'\n', &mut line);
            if !read.is_ok_and(|bytes| bytes > 0) {
                return;
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            // What GitHub reads begins a line.
            if text.starts_with("::") {
                let _ = writeln!(std::io::stderr().lock(), "{text}");
                continue;
            }
            if self.shared.progress == Progress::Json
                && let Ok(serde_json::Value::Object(mut event)) = serde_json::from_str(text)
            {
                event.insert("application".to_owned(), self.name.into());
                let event = serde_json::Value::Object(event);
                let _ = writeln!(std::io::stderr().lock(), "{event}");
                continue;
            }
            // Whether the child is quiet it decides itself, having the same flags.
            let text = printable(text);
            let _ = writeln!(std::io::stderr().lock(), "{} | {text}", self.name);
        }
    }
}

/// The exit code; 128 + N after signal N.
fn exit_code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
