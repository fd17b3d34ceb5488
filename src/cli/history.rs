//! `overcoat history`.

use clap::{Args as ClapArgs, ValueEnum};

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::env::person;
use super::records::{Flags, Place, table};
use super::{observer, print, print_json};
use crate::event::Event;
use crate::project::Operation;
use crate::release::history::{Direction, Filter, Order, State};

/// List what was done: builds, pushes, promotions, deployments, watched rollouts and releases
///
/// The newest first, of all environments unless one is named. Marks: `●` running, `✔` success, `🚀` the released
/// deployment, `✖` error or a deployment whose rollout failed, `?` interrupted. With -v, also who did it, labels and errors.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// Of this application only
    #[arg(long, value_name = "APP")]
    application: Option<String>,

    #[command(flatten)]
    environment: Flags,

    /// Of this kind only; may be repeated
    #[arg(long, value_enum, value_name = "KIND")]
    operation: Vec<Kind>,

    /// In this state only; may be repeated
    #[arg(long, value_enum, value_name = "STATE")]
    state: Vec<Stand>,

    /// N records at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    /// By which time
    #[arg(long, value_enum, value_name = "TIME", default_value = "start-time")]
    order_by: By,

    /// The newest first, which is the default
    #[arg(long)]
    desc: bool,

    /// The oldest first
    #[arg(long, conflicts_with = "desc")]
    asc: bool,

    /// Show long ids beside the numbers
    #[arg(long)]
    long_ids: bool,

    /// Print JSON: an array, empty when there are none
    #[arg(long)]
    json: bool,
}

/// The operations, as the command line has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Build,
    Push,
    Promote,
    Deploy,
    Watch,
    Release,
}

/// The states, as the command line has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stand {
    Running,
    Success,
    Error,
    Interrupted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    StartTime,
    CompleteTime,
}

impl From<Kind> for Operation {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Build => Self::Build,
            Kind::Push => Self::Push,
            Kind::Promote => Self::Promote,
            Kind::Deploy => Self::Deploy,
            Kind::Watch => Self::Watch,
            Kind::Release => Self::Release,
        }
    }
}

impl From<Stand> for State {
    fn from(state: Stand) -> Self {
        match state {
            Stand::Running => Self::Running,
            Stand::Success => Self::Success,
            Stand::Error => Self::Error,
            Stand::Interrupted => Self::Interrupted,
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let observer = observer(shared, false)?;
    let place = Place::open(shared)?;
    let contents = place.read(observer.as_ref())?;
    let application = args.application.as_deref();
    let application = application
        .map(|name| place.application(Some(name), &contents))
        .transpose()?;
    let environment = args.environment.asked().map(str::to_owned);
    if let Some(name) = &environment {
        place.check_environment(name, &contents)?;
    }
    let filter = Filter {
        application,
        environment,
        operations: args.operation.iter().copied().map(Into::into).collect(),
        states: args.state.iter().copied().map(Into::into).collect(),
        order: match args.order_by {
            By::StartTime => Order::StartTime,
            By::CompleteTime => Order::CompleteTime,
        },
        direction: match args.asc {
            true => Direction::Ascending,
            false => Direction::Descending,
        },
        limit: args.limit,
    };
    let records = contents.select(&filter);
    if args.json {
        return print_json(&table::json_of(&records, &contents));
    }
    if records.is_empty() {
        let text = match contents.records.is_empty() {
            true => format!(
                "there are no records in `{}`",
                place.history.directory().display()
            ),
            false => "no record is as was asked for".to_owned(),
        };
        observer.observe(Event::Warning { text, hint: None });
        return Ok(());
    }
    let detail = table::Detail {
        has_long_ids: args.long_ids,
        is_verbose: shared.verbose,
    };
    print(&table::of(&records, &contents, person::now(), detail))
}
