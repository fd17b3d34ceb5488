//! Trying again what may go better next time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Error;
use super::transport::Session;
use crate::event::Event;

/// How often an operation is tried without getting any further.
pub(super) const MAX_ATTEMPTS: u32 = 4;
/// How long a registry may make us wait; when it wants more, the person should know.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// From which wait on the person is told what we wait for.
const NOTED_WAIT: Duration = Duration::from_secs(3);
/// How many new bytes of a blob count as progress, so that the next failure is the first again; or a twentieth of a
/// small blob. A transfer is thus broken off finitely often, whatever its size.
const PROGRESS_BYTES: u64 = 1 << 20;
const PROGRESS_PARTS: u64 = 20;

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
    furthest: u64,
}

impl Patience {
    /// Told how far a transfer of `total` bytes has come: counts anew after progress. What was lost and came again is
    /// none, or a registry that loses everything each time would be asked for ever.
    pub(super) fn reached(&mut self, bytes: u64, total: u64) {
        let step = (total / PROGRESS_PARTS).clamp(1, PROGRESS_BYTES);
        if bytes >= self.furthest.saturating_add(step) {
            self.furthest = bytes;
            self.failures = 0;
        }
    }

    /// Waits as long as is fit after `error`, or gives it back when there is no use in waiting.
    pub(super) async fn wait(&mut self, session: &Session<'_>, error: Error) -> Result<(), Error> {
        self.failures += 1;
        // Who has another place to ask does not wait for one that cannot be reached, or has had enough of us.
        let is_elsewhere =
            session.is_mirror && matches!(error, Error::Connect { .. } | Error::RateLimited { .. });
        if self.failures >= session.client.attempts || is_elsewhere || !error.is_transient() {
            return Err(error);
        }
        let backoff = session.client.first_retry_delay * 3_u32.pow(self.failures - 1);
        let delay = error
            .retry_after()
            .unwrap_or_else(|| session.client.jitter.apply(backoff));
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

/// Spreads delays, so that many clients do not come back at the same moment. What differs between them is the seed,
/// which is handed down: the library has no randomness of its own.
#[derive(Debug)]
pub(super) struct Jitter(AtomicU64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Between 3/4 and 5/4 of `delay`.
    fn apply(&self, delay: Duration) -> Duration {
        // SplitMix64 (Steele, Lea, Flood 2014): a counter, mixed.
        let mut bits = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        delay.mul_f64(0.75 + ((bits ^ (bits >> 31)) % 512) as f64 / 1024.0)
    }
}

/// How long `Retry-After` asks us to wait. A date is compared with the answer's own `Date`, so no clock is needed and
/// none must agree with the server's; without one it tells nothing.
///
/// # Spec
/// RFC 9110, sections 10.2.3 and 5.6.7.
pub(super) fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(date?.trim()).ok()?;
    // A moment that has passed: at once.
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_spread_and_differ_with_the_seed() {
        let spread = |seed| {
            let jitter = Jitter::new(seed);
            (0..100)
                .map(|_| jitter.apply(Duration::from_secs(1)).as_millis())
                .collect::<Vec<_>>()
        };
        let (one, other) = (spread(1), spread(2));
        assert_ne!(one, other);
        assert_eq!(one, spread(1));
        for delays in [one, other] {
            assert!(delays.iter().all(|delay| (750..=1250).contains(delay)));
            let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
            assert!(*least < 800 && *most > 1200, "{least} to {most}");
        }
    }

    #[test]
    fn a_wait_is_given_in_seconds_or_as_a_date_in_any_of_its_three_forms() {
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let table = [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", now, Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", now, Some(30)),
            ("Sun Nov  6 08:50:07 1994", now, Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", now, Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", None, None),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some("today"), None),
            ("soon", now, None),
            ("-1", now, None),
        ];
        for (value, date, seconds) in table {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(value, date), expected, "{value}");
        }
    }

    #[test]
    fn only_what_was_never_reached_before_is_progress() {
        let mut patience = Patience {
            failures: 3,
            furthest: 0,
        };
        let failures = |patience: &mut Patience, bytes| {
            patience.reached(bytes, 1000);
            std::mem::replace(&mut patience.failures, 3)
        };
        let reached = [49, 50, 50, 99, 100, 50, 100, 150].map(|at| failures(&mut patience, at));
        assert_eq!(reached, [3, 0, 3, 3, 0, 3, 3, 0]);
        patience.reached(5 << 40, 5 << 40);
        assert_eq!(patience.failures, 0);
    }
}
