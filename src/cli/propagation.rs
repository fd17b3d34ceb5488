//! `--propagation-timeout`: a push is over when its registry shows it.

use std::time::{Duration, Instant};

use clap::Args;

use super::args;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use crate::event::Observer;
use crate::reference::Reference;
use crate::registry::{Access, RegistryClient};
use crate::release::propagation::{self, Clock, Pushed};

/// The flag of commands that push.
#[derive(Args, Clone, Copy, Debug, Default)]
#[group(skip)]
pub(super) struct Flag {
    /// Wait until the registry shows what was pushed, by its digest, and fail after this time: `90s`, `3m` [default: do not
    /// look]
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    propagation_timeout: Option<Duration>,
}

impl Flag {
    /// True when a wait was asked for.
    pub(super) fn is_given(self) -> bool {
        self.propagation_timeout.is_some()
    }

    /// Waits, if that was asked for.
    ///
    /// # Errors
    /// As [`wait`].
    pub(super) fn wait(
        self,
        pushed: &[Pushed],
        registry: &RegistryClient,
        observer: &dyn Observer,
    ) -> Result<(), Diagnostic> {
        match self.propagation_timeout {
            None => Ok(()),
            Some(timeout) => Ok(wait(pushed, timeout, registry, observer)?),
        }
    }
}

/// Waits until a registry shows what was pushed to it.
///
/// # Errors
/// As [`propagation::wait`].
pub(super) fn wait(
    pushed: &[Pushed],
    timeout: Duration,
    registry: &RegistryClient,
    observer: &dyn Observer,
) -> Result<(), propagation::Error> {
    let begin = Instant::now();
    let look = |reference: &Reference| {
        // The registry itself is asked, with the rights of the push.
        let found = registry.manifest(reference, Access::PullAndPush, observer)?;
        Ok(found.map(|document| document.descriptor.digest))
    };
    let clock = Clock {
        now: &|| begin.elapsed(),
        pause: &|pause| std::thread::sleep(pause),
    };
    propagation::wait(pushed, timeout, &look, clock, observer)
}

impl From<propagation::Error> for Diagnostic {
    fn from(error: propagation::Error) -> Self {
        match error {
            propagation::Error::Registry(error) => Self::from(error)
                .attempting("cannot look whether the registry shows what was pushed"),
            propagation::Error::Unseen { .. } => Self::new(Code::Registry, error).hint(
                "what was pushed is there or on its way: allow more time, or leave `--propagation-timeout` out",
            ),
        }
    }
}
