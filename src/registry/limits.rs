//! How long a registry may take, and how much may move at once.

use std::ops::Deref;
use std::time::Duration;

use reqwest::{Method, Response, Url};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{Error, redacted};
use super::transport::{Session, broken};
use crate::event::Observer;

/// Limits of time and number for one client. The defaults suit slow lines as well as fast ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many connections to one host there are at most, which is also how many blobs move at once; 4, for
    /// registries begin to refuse at more. At least one.
    pub connections: usize,
    /// How long an answer may take to begin, and within which time [`Self::least_bytes`] of it must come; 60 s.
    pub idle: Duration,
    /// How many bytes must come (or be taken) within [`Self::idle`]; 60 KiB. What trickles more slowly is broken off
    /// and tried again.
    pub least_bytes: u64,
    /// How long a registry may take to file away what it has received whole; 300 s, for object stores copy large blobs
    /// at this point.
    pub answer: Duration,
    /// How long one operation (a pull, a push) may take altogether; no limit by default, for each step has its own.
    pub overall: Option<Duration>,
    /// In which pieces a blob is sent to a registry that does not take it in one, in bytes; 16 MiB.
    pub chunk_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4,
            idle: Duration::from_secs(60),
            least_bytes: 60 << 10,
            answer: Duration::from_secs(300),
            overall: None,
            chunk_bytes: 16 << 20,
        }
    }
}

/// Watches that an answer keeps coming: [`Limits::least_bytes`] within [`Limits::idle`]. Only waiting counts, not what
/// is done with the bytes in between.
#[derive(Debug)]
pub(super) struct Pace {
    limits: Limits,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// The next piece of a body; `None` at its end.
    pub(super) async fn chunk(
        &mut self,
        method: &Method,
        response: &mut Response,
    ) -> Result<Option<impl Deref<Target = [u8]> + use<>>, Error> {
        let began = Instant::now();
        let left = self.limits.idle.saturating_sub(self.waited);
        let Ok(received) = timeout(left, response.chunk()).await else {
            let cause = match self.bytes {
                0 => "nothing came for too long".to_owned(),
                bytes => format!("only {bytes} bytes came in {} s", seconds(self.limits.idle)),
            };
            return Err(stalled(method, response.url(), cause));
        };
        let piece = received.map_err(|error| broken(method, response.url(), error))?;
        self.waited += began.elapsed();
        self.bytes += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.bytes >= self.limits.least_bytes {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
        Ok(piece)
    }
}

/// A connection that is open and of no use.
pub(super) fn stalled(method: &Method, url: &Url, cause: impl Into<String>) -> Error {
    Error::Broken {
        method: method.clone(),
        url: redacted(url),
        cause: cause.into(),
    }
}

/// Seconds for people: whole ones, but for less than one.
pub(super) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0 => duration.as_secs_f32().to_string(),
        whole => whole.to_string(),
    }
}

impl Session<'_> {
    /// Waits for `work`, for the person to ask to stop, or for the operation's time to be over.
    pub(super) fn run<T>(
        &self,
        observer: &dyn Observer,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limited = async {
            match self.deadline {
                Some(deadline) => match timeout_at(deadline, work).await {
                    Ok(done) => done,
                    Err(_) => Err(Error::TooLong {
                        subject: self.subject.clone(),
                        limit: self.client.limits.overall.unwrap_or_default(),
                    }),
                },
                None => work.await,
            }
        };
        self.client.http.run(observer, limited)?
    }
}

/// When an operation that begins now must be over.
pub(super) fn deadline(limits: &Limits) -> Option<Instant> {
    Instant::now().checked_add(limits.overall?)
}
