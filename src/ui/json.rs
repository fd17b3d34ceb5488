//! Events as JSON, one object a line.

use std::io::Write;

use crate::event::{Event, Observer};

pub(super) struct Json;

impl Observer for Json {
    fn observe(&self, event: Event) {
        if let Ok(text) = serde_json::to_string(&event) {
            // A reader that has gone is no reason to stop a build.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}
