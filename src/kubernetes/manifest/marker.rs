//! The marks of Flux's image automation.

use std::sync::LazyLock;

use regex::Regex;

/// A comment that tells Flux to write a value: `# {"$imagepolicy": "NAMESPACE:POLICY[:FIELD]"}`.
///
/// # Spec
/// Flux, *Image Update Automations*, *Update markers*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// `NAMESPACE:POLICY`.
    pub policy: String,
    /// What Flux writes there.
    pub field: Field,
}

/// Which part of a reference Flux writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// All of it.
    Reference,
    /// The name without tag and digest.
    Name,
    /// The tag.
    Tag,
    /// The digest.
    Digest,
}

static MARKER: LazyLock<Regex> = LazyLock::new(|| {
    let pattern =
        r#"#\s*\{\s*"\$imagepolicy"\s*:\s*"([^":\s]+:[^":\s]+)(?::(name|tag|digest))?"[^}]*\}"#;
    #[expect(
        clippy::unwrap_used,
        reason = "the pattern is a constant, and a test uses it"
    )]
    Regex::new(pattern).unwrap()
});

/// The mark on the rest of the line behind byte `end` of a text.
pub(in super::super) fn behind(text: &str, end: usize) -> Option<Marker> {
    let line = text.get(end..)?.lines().next()?;
    let found = MARKER.captures(line)?;
    Some(Marker {
        policy: found[1].to_owned(),
        field: match found.get(2).map(|field| field.as_str()) {
            Some("name") => Field::Name,
            Some("tag") => Field::Tag,
            Some("digest") => Field::Digest,
            _ => Field::Reference,
        },
    })
}
