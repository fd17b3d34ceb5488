//! Trying again what may go better next time.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use super::Error;
use super::transport::Session;
use crate::event::Event;

/// How often an operation is tried.
const MAX_ATTEMPTS: u32 = 4;
/// How long a registry may make us wait; when it wants more, the person should know.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// From which wait on the person is told what we wait for.
const NOTED_WAIT: Duration = Duration::from_secs(3);

impl Session<'_> {
    /// Runs `operation` until it succeeds, fails for good, or has failed often enough.
    pub(super) async fn retry<T>(
        &self,
        mut operation: impl AsyncFnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut patience = Patience::default();
        loop {
            match operation().await {
                Ok(value) => return Ok(value),
                Err(error) => patience.wait(self, error).await?,
            }
        }
    }
}

/// How often something has failed, and how long to wait before it is tried again.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// Starts counting anew, after progress.
    pub(super) fn renew(&mut self) {
        self.failures = 0;
    }

    /// Waits as long as is fit after `error`, or gives it back when there is no use in waiting.
    pub(super) async fn wait(&mut self, session: &Session<'_>, error: Error) -> Result<(), Error> {
        self.failures += 1;
        // Who has another place to ask does not wait for one that cannot be reached, or has had enough of us.
        let is_elsewhere =
            session.is_mirror && matches!(error, Error::Connect { .. } | Error::RateLimited { .. });
        if self.failures >= MAX_ATTEMPTS || is_elsewhere || !error.is_transient() {
            return Err(error);
        }
        let backoff = session.client.first_retry_delay * 3_u32.pow(self.failures - 1);
        let delay = error.retry_after().unwrap_or_else(|| jittered(backoff));
        if delay > MAX_WAIT {
            return Err(error);
        }
        if delay >= NOTED_WAIT {
            let text = format!("trying again in {} s: {error}", delay.as_secs());
            session.observer.observe(Event::Note { text });
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// Between 3/4 and 5/4 of `delay`, so that many clients do not come back at the same moment.
fn jittered(delay: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 512;
    delay.mul_f64(0.75 + random as f64 / 1024.0)
}
