//! `--load`: giving an image of the store to a container engine of this machine.

use clap::Args as ClapArgs;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::{env, find, observer, open_store};
use crate::event::stage;
use crate::image::Platform;
use crate::output::load::{Engine, Found};
use crate::reference::Reference;

/// The flag of every command that has an image in the end.
#[derive(ClapArgs, Debug)]
#[group(skip)]
pub(super) struct Flags {
    /// Also load the image into `docker`, `containerd[:NAMESPACE]` or `podman` on this machine; may be repeated
    ///
    /// Docker is found by DOCKER_HOST, its context or its socket, containerd by `ctr`, podman by `podman`. The kubelet's
    /// images are in containerd's namespace `k8s.io`.
    #[arg(long = "load", value_name = "ENGINE")]
    pub(super) engines: Vec<Engine>,
}

impl Flags {
    /// Looks for the engines that are wanted, before work is done in vain.
    ///
    /// # Errors
    /// [`super::exit::Code::Output`] when one is not there, with what was looked for.
    pub(super) fn find(&self) -> Result<Vec<(Engine, Found)>, Diagnostic> {
        let places = env::engines();
        let found = |engine: &Engine| Ok((engine.clone(), engine.find(&places)?));
        self.engines.iter().map(found).collect()
    }
}

/// Loads the image of the store that `image` names there, under all `references`.
///
/// # Errors
/// [`super::exit::Code::Output`] with what the engine said, [`super::exit::Code::NoSuchImage`].
pub(super) fn load(
    engines: &[(Engine, Found)],
    image: &str,
    references: &[Reference],
    shared: &Shared,
    quiet: bool,
) -> Result<(), Diagnostic> {
    if engines.is_empty() {
        return Ok(());
    }
    let store = open_store(shared)?;
    let stored = store.stored(&find(&store, image)?.manifest)?;
    let observer = observer(shared, quiet)?;
    let names: Vec<String> = references
        .iter()
        .map(|reference| reference.without_digest().to_string())
        .collect();
    for (engine, found) in engines {
        let loading = stage(observer.as_ref(), "load", format!("{image} into {engine}"));
        let host = Platform::host();
        let loaded = found.load(&stored.content(), &names, &host, &store, observer.as_ref())?;
        loading.finish(format!("{} as {}", loaded.names.join(", "), loaded.id));
    }
    Ok(())
}
