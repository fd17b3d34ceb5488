//! `overcoat rm`.

use clap::Args as ClapArgs;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{find, gc, observer, open_store, print};
use crate::build;
use crate::event::{Event, Observer};
use crate::ui::size;

/// Remove an image from the store
///
/// Its layers are removed too, unless another image uses them. What is remembered of other builds stays; see
/// `overcoat gc`.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// An image of the store
    image: String,
}

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    let store = open_store(shared)?;
    let named = find(&store, &args.image)?;
    let store = match gc::as_their_owner(store, shared)? {
        gc::Turn::Here(store) => store,
        gc::Turn::Done(status) => return Ok(status),
    };
    let observer: Box<dyn Observer> = observer(shared, false)?;
    match build::gc::remove_image(&store, &named.name, &named.manifest)? {
        Some(removed) => {
            let blobs = removed.amounts().get(&build::gc::Kind::Blobs);
            let blobs = blobs.copied().unwrap_or_default();
            observer.observe(Event::StageFinished {
                name: "rm",
                detail: format!(
                    "{} blobs removed, {} freed",
                    blobs.count,
                    size(removed.total().bytes)
                ),
            });
        }
        None => observer.observe(Event::Warning {
            text: "another overcoat is using the store, so only the name was removed".to_owned(),
            hint: Some(
                "`overcoat gc` removes the layers: those that a step remembers when they have not \
                 been needed for 30 days, or at once with `--all`"
                    .to_owned(),
            ),
        }),
    }
    print(&format!("{}@{}", named.name, named.manifest.digest))?;
    Ok(Code::Success as u8)
}
