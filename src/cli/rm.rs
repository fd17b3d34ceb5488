//! `overcoat rm`.

use std::ffi::OsString;

use clap::Args as ClapArgs;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{env, find, isolation, open_store, print, run as run_command};
use crate::event::{Event, Observer};
use crate::sandbox::UserNamespace;
use crate::sandbox::ladder::Isolation;
use crate::ui::size;

/// Remove an image from the store
///
/// Its layers are removed too, unless another image uses them.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// An image of the store
    image: String,
}

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    let store = open_store(shared)?;
    let named = find(&store, &args.image)?;
    if !rustix::process::geteuid().is_root() && store.root().join("unpacked").exists() {
        // What was unpacked in a user namespace belongs to ids that only exist there.
        // Where none can be had, nothing was unpacked in one.
        let namespace =
            UserNamespace::for_this_user().unwrap_or_else(|_| UserNamespace::of_one_id());
        let program = env::host(shared)?.program;
        let prober = isolation::prober(&program, store.root());
        if prober
            .choose(Isolation::Auto, Some(Isolation::SingleId))
            .is_ok()
        {
            drop(store);
            let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
            return run_command::again_inside(&program, &namespace, &arguments);
        }
    }
    store.untag(&named.name)?;
    let observer: Box<dyn Observer> = super::observer(shared, false)?;
    match store.collect_garbage()? {
        Some(removed) => observer.observe(Event::StageFinished {
            name: "rm",
            detail: format!(
                "{} blobs removed, {} freed",
                removed.blobs,
                size(removed.bytes)
            ),
        }),
        None => observer.observe(Event::Warning {
            text: "another overcoat is using the store, so only the name was removed".to_owned(),
            hint: Some("the layers go with the next `overcoat rm`".to_owned()),
        }),
    }
    print(&format!("{}@{}", named.name, named.manifest.digest))?;
    Ok(Code::Success as u8)
}
