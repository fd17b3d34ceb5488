//! What containers printed.

use super::ask::Ask;
use super::{Cluster, Error, Within, resource};

/// The most that is ever asked for, in bytes.
const MOST_BYTES: usize = 16 << 20;

/// Which part of a container's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// The container.
    pub container: String,
    /// Only the last lines, so many.
    pub tail_lines: Option<u64>,
    /// Only what was printed since then: RFC 3339, `2026-01-02T03:04:05Z`, by the node's clock.
    pub since_time: Option<String>,
    /// Only what was printed in the last seconds.
    pub since_seconds: Option<u64>,
    /// At most so many bytes, from the beginning of what the others leave; never more than 16 MiB.
    pub most_bytes: Option<usize>,
    /// Of the container before it was started anew.
    pub is_previous: bool,
    /// With the time before each line.
    pub has_timestamps: bool,
}

impl Cluster {
    /// What a container printed so far. Bytes that are no UTF-8 become `�`; control characters are still in it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] while the container has not been started; [`Error::Api`] when the node does not
    /// answer; else as [`Cluster::get`].
    pub fn logs(
        &self,
        within: Within<'_>,
        namespace: &str,
        pod: &str,
        logs: &Logs,
    ) -> Result<String, Error> {
        let most_bytes = logs.most_bytes.unwrap_or(MOST_BYTES).min(MOST_BYTES);
        let mut ask = Ask::new("get", &resource::POD, namespace)
            .name(pod)
            .subresource("log");
        ask = ask
            .query("container", logs.container.as_str())
            .query("limitBytes", most_bytes.to_string());
        if let Some(lines) = logs.tail_lines {
            ask = ask.query("tailLines", lines.to_string());
        }
        // The server refuses both at once.
        match (&logs.since_time, logs.since_seconds) {
            (Some(time), _) => ask = ask.query("sinceTime", time.as_str()),
            (None, Some(seconds)) => ask = ask.query("sinceSeconds", seconds.max(1).to_string()),
            (None, None) => {}
        }
        if logs.is_previous {
            ask = ask.query("previous", "true");
        }
        if logs.has_timestamps {
            ask = ask.query("timestamps", "true");
        }
        // A node that ignores the limit is caught by ours.
        let bytes = self.ask_bytes(within, &ask.most_bytes(most_bytes + 4096))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
