//! The container engines that get the image.

use super::Order;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::env;
use crate::output::load::{Engine, Found};

impl Order<'_> {
    /// True when Skaffold will look for the image in Docker's own store.
    fn is_for_docker(&self) -> bool {
        let wanted = self.target.skaffold.as_ref();
        wanted.is_some_and(|wanted| !wanted.push)
    }

    /// Why the image has to be in Docker's store, where nobody asked for that but Skaffold.
    pub(super) fn of_skaffold(&self, error: Diagnostic) -> Diagnostic {
        match self.is_for_docker() {
            false => error,
            true => error
                .attempting("PUSH_IMAGE is `false`: Skaffold will look for the image in Docker's own store")
                .hint("let Skaffold push: `build.local.push: true` in skaffold.yaml, or `skaffold build --push`"),
        }
    }

    /// The engines that get the image.
    pub(super) fn engines(&self) -> Result<Vec<(Engine, Found)>, Diagnostic> {
        let mut engines = self.args.load.find()?;
        if self.is_for_docker() && !engines.iter().any(|(engine, _)| *engine == Engine::Docker) {
            let found = Engine::Docker.find(&env::engines());
            let found = found.map_err(|error| self.of_skaffold(error.into()))?;
            engines.push((Engine::Docker, found));
        }
        Ok(engines)
    }
}
