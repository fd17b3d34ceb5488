//! Package URLs.
//!
//! # Spec
//! package-url/purl-spec: `PURL-SPECIFICATION.rst` and `PURL-TYPES.rst` (`pypi`, `deb`, `apk`, `generic`).

use std::collections::BTreeMap;

/// A package URL: `pkg:TYPE/NAMESPACE/NAME@VERSION?QUALIFIERS`, with the qualifiers in their order and empty ones left out.
pub(super) fn purl(
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    version: &str,
    qualifiers: &[(&str, &str)],
) -> String {
    let mut url = format!("pkg:{kind}/");
    if let Some(namespace) = namespace {
        url.push_str(&encoded(namespace));
        url.push('/');
    }
    url.push_str(&encoded(name));
    if !version.is_empty() {
        url.push('@');
        url.push_str(&encoded(version));
    }
    let qualifiers: BTreeMap<&str, &str> = qualifiers
        .iter()
        .copied()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    for (position, (key, value)) in qualifiers.into_iter().enumerate() {
        url.push(if position == 0 { '?' } else { '&' });
        url.push_str(key);
        url.push('=');
        url.push_str(&encoded(value));
    }
    url
}

/// Percent-encoded, but for letters, digits, `-._~` and the colon.
fn encoded(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                url.push(char::from(byte));
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// The normal form of a Python distribution's name.
///
/// # Spec
/// PEP 503, *Normalized Names*.
pub(super) fn normalised(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.push(c.to_ascii_lowercase()),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_the_specification() {
        let arch = [("distro", "debian-12"), ("arch", "amd64"), ("upstream", "")];
        assert_eq!(
            purl("deb", Some("debian"), "libstdc++6", "1:12.2.0-14+b1", &arch),
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bb1?arch=amd64&distro=debian-12"
        );
        assert_eq!(
            purl(
                "pypi",
                None,
                &normalised("Flask_SQL.Alchemy--x"),
                "3.1+cpu",
                &[]
            ),
            "pkg:pypi/flask-sql-alchemy-x@3.1%2Bcpu"
        );
        assert_eq!(
            purl(
                "pypi",
                None,
                "a",
                "1",
                &[("vcs_url", "git+https://h/x@c?y#z")]
            ),
            "pkg:pypi/a@1?vcs_url=git%2Bhttps:%2F%2Fh%2Fx%40c%3Fy%23z"
        );
    }
}
