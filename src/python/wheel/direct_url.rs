//! `direct_url.json`: that a distribution did not come from an index, but from where a requirement said.
//!
//! # Spec
//! packaging.python.org, *Recording the Direct URL Origin of installed distributions* (PEP 610).

use std::fmt::Write;

use crate::digest::Digest;
use crate::layer::EntryPath;

/// The file's content for a wheel at `url`, which has this SHA-256: byte for byte as pip 23.2 writes it, with the hash in
/// its old and in its new form. `url` has neither fragment nor credentials.
pub fn direct_url(url: &str, digest: &Digest) -> Vec<u8> {
    let (algorithm, hex) = (digest.algorithm().name(), digest.hex());
    let url = serde_json::Value::from(url);
    format!(
        "{{\"archive_info\": {{\"hash\": \"{algorithm}={hex}\", \"hashes\": {{\"{algorithm}\": \"{hex}\"}}}}, \"url\": {url}}}"
    )
    .into_bytes()
}

/// The URL of the file `path` below `directory` of an image, as pip's `path_to_url` has it: what is neither a letter, a
/// digit, nor one of `/_.-~` is percent-encoded.
pub fn file_url(directory: &EntryPath, path: &str) -> String {
    let mut url = String::from("file:///");
    let parts = [directory.as_bytes(), b"/", path.as_bytes()];
    for byte in parts.concat() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'_' | b'.' | b'-' | b'~' => {
                url.push(char::from(byte));
            }
            // Writing to a `String` cannot fail.
            byte => drop(write!(url, "%{byte:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_pip() {
        // What pip 23.2.1 wrote for `./wheels/idna-3.20-py3-none-any.whl` in the directory `/tmp/my dir+x`.
        let hex = "ab7ae7122974553370f0bdb919e1a960b2cd1bc1ef0276416d896db81c14582c";
        let expected = r#"{"archive_info": {"hash": "sha256=ab7ae7122974553370f0bdb919e1a960b2cd1bc1ef0276416d896db81c14582c", "hashes": {"sha256": "ab7ae7122974553370f0bdb919e1a960b2cd1bc1ef0276416d896db81c14582c"}}, "url": "file:///tmp/my%20dir%2Bx/wheels/idna-3.20-py3-none-any.whl"}"#;
        let directory = EntryPath::parse(b"/tmp/my dir+x").unwrap();
        let url = file_url(&directory, "wheels/idna-3.20-py3-none-any.whl");
        let digest = format!("sha256:{hex}").parse().unwrap();
        let text = String::from_utf8(direct_url(&url, &digest)).unwrap();
        assert_eq!(text, expected);
    }

    #[test]
    fn no_url_can_leave_its_quotes() {
        let digest = Digest::of(b"");
        let url = "https://example.org/a\"b\\c";
        let text = direct_url(url, &digest);
        let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(read["url"], url);
        assert_eq!(
            read["archive_info"]["hashes"]["sha256"],
            read["archive_info"]["hash"].as_str().unwrap()[7..]
        );
    }
}
