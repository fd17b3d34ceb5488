//! One short question to a registry: does it have this image, and what is it? Whoever deploys or watches asks it by the way, and must
//! not wait for a registry that cannot be reached from here: perhaps only the cluster can reach it.

use std::time::{Duration, Instant};

use super::diagnostic::Diagnostic;
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::reference::Reference;
use crate::registry::{Error, RegistryClient};

/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The answer.
pub(super) enum Answer {
    /// It has it, and this is its digest: that of the index for several platforms.
    Has(Digest),
    /// It does not have it, or something else under the digest.
    HasNot(Diagnostic),
    /// It did not say: out of reach, denied, too slow.
    Unknown(String),
}

/// Asks once. `client` is one that does not try again ([`RegistryClient::asking_once`]).
///
/// # Errors
/// When the person asked to stop.
pub(super) fn ask(
    client: &RegistryClient,
    image: &Reference,
    patience: Duration,
    observer: &dyn Observer,
) -> Result<Answer, Diagnostic> {
    let hurried = Hurried {
        observer,
        end: Instant::now() + patience,
    };
    let error = match client.resolve(image, &hurried) {
        Ok(found) => return Ok(Answer::Has(found.digest)),
        Err(error) => error,
    };
    Ok(match error.at_the_registry() {
        Error::Interrupted if observer.is_cancelled() => return Err(error.into()),
        Error::Interrupted => Answer::Unknown(format!(
            "`{}` did not answer within {}",
            image.host(),
            humantime::format_duration(patience)
        )),
        Error::NotFound { .. } | Error::Digest { .. } => Answer::HasNot(error.into()),
        _ => Answer::Unknown(error.to_string()),
    })
}

/// Asks to stop when the time is over; tells nobody anything.
struct Hurried<'a> {
    observer: &'a dyn Observer,
    end: Instant,
}

impl Observer for Hurried<'_> {
    fn observe(&self, _: Event) {}

    fn is_cancelled(&self) -> bool {
        self.observer.is_cancelled() || Instant::now() >= self.end
    }
}
