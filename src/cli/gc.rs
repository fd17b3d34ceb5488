//! `overcoat gc`.

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::{self, Format, Shared};
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{env, isolation, open_store, print, run as run_command};
use crate::build::gc::{self, Amount, Garbage, Keep};
use crate::sandbox::UserNamespace;
use crate::sandbox::ladder::Isolation;
use crate::store::BlobStore;
use crate::ui::size;

/// Remove what no image and no build has needed lately
///
/// Images that have a name stay, with all their layers; `overcoat rm` removes one. Of the caches (layers that only a
/// step remembers, wheels, pages of package indexes, Debian packages, pip's cache) what was not used for 30 days goes.
/// Anything that goes can be had or made again.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// Keep what of the caches was used in the last AGE, such as `12h` or `30d`
    #[arg(long, value_name = "AGE", value_parser = args::duration, default_value = "30d")]
    keep_since: Duration,

    /// Keep SIZE of the caches at most, such as `10GB`: the longest unused goes first
    #[arg(long, value_name = "SIZE", value_parser = args::bytes)]
    max_size: Option<u64>,

    /// Keep nothing but images
    #[arg(long, conflicts_with_all = ["keep_since", "max_size"])]
    all: bool,

    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// How to print what was removed
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    format: Format,
}

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    let store = open_store(shared)?;
    let keep = match args.all {
        true => Keep::Nothing,
        false => Keep::Recent {
            since: SystemTime::now()
                .checked_sub(args.keep_since)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            max_bytes: args.max_size,
        },
    };
    let store = match as_their_owner(store, shared)? {
        Turn::Here(store) => store,
        Turn::Done(status) => return Ok(status),
    };
    let garbage = match args.dry_run {
        true => gc::find(&store, keep)?,
        false => gc::collect(&store, keep)?.ok_or_else(|| {
            Diagnostic::new(Code::Store, "another overcoat is using the store")
                .attempting("nothing was removed")
                .hint("run `overcoat gc` again when it has ended; `--dry-run` works meanwhile")
        })?,
    };
    print(&match args.format {
        Format::Json => json(&garbage, args.dry_run),
        Format::Table => table(&garbage, args.dry_run),
    })?;
    Ok(Code::Success as u8)
}

fn json(garbage: &Garbage, is_dry_run: bool) -> String {
    let amount = |amount: Amount| json!({ "count": amount.count, "size_bytes": amount.bytes });
    let kinds = garbage.amounts().iter();
    let kinds: serde_json::Map<_, _> = kinds
        .map(|(kind, found)| (kind.name().to_owned(), amount(*found)))
        .collect();
    let value = json!({
        "dry_run": is_dry_run,
        "kinds": kinds,
        "total": amount(garbage.total()),
    });
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

fn table(garbage: &Garbage, is_dry_run: bool) -> String {
    let row = |name: &str, amount: Amount| {
        format!("{name:<9}  {:>7}  {:>8}", amount.count, size(amount.bytes))
    };
    let head = match is_dry_run {
        true => "WOULD GO",
        false => "REMOVED",
    };
    let mut lines = vec![format!("{head:<9}  {:>7}  {:>8}", "COUNT", "SIZE")];
    let kinds = garbage.amounts().iter();
    lines.extend(kinds.map(|(kind, amount)| row(kind.name(), *amount)));
    lines.push(row("total", garbage.total()));
    lines.join("\n")
}

/// Who can remove what is in the store.
pub(super) enum Turn {
    /// This process.
    Here(BlobStore),
    /// Nobody needs to any more: the command was run in a user namespace, and ended with this status.
    Done(u8),
}

/// Runs the same command in a user namespace if it has to: what was unpacked or cached in one belongs to ids that only
/// exist there. Where none can be had, nothing was made in one.
pub(super) fn as_their_owner(store: BlobStore, shared: &Shared) -> Result<Turn, Diagnostic> {
    let places = [store.root().join("unpacked"), store.cache("mounts")];
    if rustix::process::geteuid().is_root() || !places.iter().any(|place| place.exists()) {
        return Ok(Turn::Here(store));
    }
    let namespace = UserNamespace::for_this_user().unwrap_or_else(|_| UserNamespace::of_one_id());
    let program = env::host(shared)?.program;
    let prober = isolation::prober(&program, store.root());
    let chosen = prober.choose(Isolation::Auto, Some(Isolation::SingleId));
    if chosen.is_err() {
        return Ok(Turn::Here(store));
    }
    drop(store);
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    run_command::again_inside(&program, &namespace, &arguments).map(Turn::Done)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn line(arguments: &[&str]) -> Result<Args, clap::Error> {
        let line = Line::try_parse_from(std::iter::once(&"gc").chain(arguments));
        line.map(|line| line.args)
    }

    #[test]
    fn what_is_kept_is_a_time_and_a_size_or_nothing() {
        let args = line(&["--max-size", "10GB"]).unwrap();
        let month = Duration::from_secs(30 * 86_400);
        assert_eq!((args.keep_since, args.max_size), (month, Some(10 << 30)));
        assert_eq!(
            line(&["--keep-since", "0"]).unwrap().keep_since,
            Duration::ZERO
        );
        assert!(line(&["--all", "--dry-run"]).unwrap().all);
        for wrong in [
            &["--all", "--max-size", "1g"][..],
            &["--all", "--keep-since", "1d"],
            &["--max-size", "-1"],
            &["--keep-since", "soon"],
        ] {
            assert!(line(wrong).is_err(), "{wrong:?}");
        }
    }
}
