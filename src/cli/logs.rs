//! `overcoat logs`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use clap::Args as ClapArgs;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::observer;
use super::records::{Flags, Place};
use crate::event::Event;
use crate::release::history::{Filter, History, Id, Record, State};

/// How often a log that grows is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Print what an operation said
///
/// Hooks, scripts and warnings, as they came. What the person saw beside it, progress of transfers, is not kept.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// `7`, `web/7`, `deploy/7`, `web/deploy/7`, or the beginning of a long id [default: the newest record]
    record: Option<String>,

    #[command(flatten)]
    environment: Flags,

    /// Go on until the operation ends
    #[arg(short, long)]
    follow: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let observer = observer(shared, false)?;
    let place = Place::open(shared)?;
    let contents = place.read(observer.as_ref())?;
    let filter = Filter {
        environment: args.environment.asked().map(str::to_owned),
        limit: args.record.is_none().then_some(1),
        ..Filter::default()
    };
    let record = match &args.record {
        Some(name) => contents.resolve(name, &filter)?,
        None => contents.select(&filter).pop().ok_or_else(|| {
            Diagnostic::new(Code::History, "there are no records")
                .hint("`overcoat build`, `push` and `deploy` make records")
        })?,
    };
    let path = place.history.log_path(&record.id);
    let mut log = File::open(&path).map_err(|error| no_log(&record, error, &path))?;
    let is_empty = log.metadata().is_ok_and(|metadata| metadata.len() == 0);
    if is_empty && !args.follow {
        observer.observe(Event::Warning {
            text: format!("the log of {} is empty", record.title()),
            hint: Some("`overcoat history` lists the others".to_owned()),
        });
    }
    let mut is_over = !args.follow || record.state != State::Running;
    loop {
        let has_reader = copy(&mut log).map_err(|error| {
            let reason = crate::fs::reason(&error);
            Diagnostic::new(
                Code::Output,
                format!("cannot print `{}`: {reason}", path.display()),
            )
        })?;
        if is_over || !has_reader {
            return Ok(());
        }
        if observer.is_cancelled() {
            return Err(Diagnostic::new(Code::Interrupted, "interrupted"));
        }
        // Asked before the last look at the file: what was written until then is printed.
        is_over = !is_running(&place.history, &record.id)?;
        if !is_over {
            std::thread::sleep(POLL);
        }
    }
}

fn is_running(history: &History, id: &Id) -> Result<bool, Diagnostic> {
    let contents = history.read()?;
    Ok(contents
        .by_id(id)
        .is_some_and(|record| record.state == State::Running))
}

/// Prints what is there now; false when nobody reads it any more.
fn copy(log: &mut File) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let mut buffer = [0; 1 << 14];
    loop {
        let count = log.read(&mut buffer)?;
        if count == 0 {
            return Ok(true);
        }
        match out.write_all(&buffer[..count]).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            written => written?,
        }
    }
}

fn no_log(record: &Record, error: io::Error, path: &std::path::Path) -> Diagnostic {
    match error.kind() {
        io::ErrorKind::NotFound => Diagnostic::new(
            Code::History,
            format!("the {record} has no log: `{}` is not there", path.display()),
        ),
        _ => crate::fs::Error::new("open", path, error).into(),
    }
}
