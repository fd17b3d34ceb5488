//! `RECORD`: the list of a distribution's files with their hashes.
//!
//! # Spec
//! packaging.python.org, *Recording installed projects*, "The RECORD file"; the form is that of Python's `csv` module.

use sha2::{Digest as _, Sha256};

use crate::layer::splice::ContentHash;

/// The rows of a `RECORD`, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(Vec<Row>);

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its path, relative to `site-packages`.
    pub path: String,
    /// Its hash, if there is one that can be relied on: SHA-256, SHA-384 or SHA-512.
    pub hash: Option<ContentHash>,
    /// The second column as it stands; may be empty.
    pub hash_text: String,
    /// Its size in bytes, if it is there.
    pub size: Option<u64>,
}

impl Row {
    /// A row for a file with this content.
    pub fn of(path: String, content: &[u8]) -> Self {
        let hash: [u8; 32] = Sha256::digest(content).into();
        Self {
            path,
            hash: Some(ContentHash::Sha256(hash)),
            hash_text: format!("sha256={}", base64(&hash)),
            size: Some(content.len() as u64),
        }
    }

    /// A row that only names a file, as that of `RECORD` itself.
    pub fn without_hash(path: String) -> Self {
        Self {
            path,
            hash: None,
            hash_text: String::new(),
            size: None,
        }
    }
}

impl Record {
    /// Reads a `RECORD`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rows = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let fields;
            (fields, rest) = take_line(rest)?;
            if fields == [""] {
                continue;
            }
            let mut fields = fields.into_iter();
            let path = fields.next().unwrap_or_default();
            let hash_text = fields.next().unwrap_or_default();
            let size = fields.next().unwrap_or_default();
            let size = match size.trim() {
                "" => None,
                size => Some(size.parse().map_err(|_| {
                    format!("its `RECORD` has `{size:.40}` for the size of `{path:.200}`")
                })?),
            };
            rows.push(Row {
                path,
                hash: parse_hash(&hash_text),
                hash_text,
                size,
            });
        }
        Ok(Self(rows))
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    /// Writes rows as pip does: sorted, lines ended by CR LF, fields quoted where they must be.
    pub fn write(mut rows: Vec<Row>) -> String {
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        let mut text = String::new();
        for row in rows {
            if row.path.contains([',', '"', '\r', '\n']) {
                text.push('"');
                text.push_str(&row.path.replace('"', "\"\""));
                text.push('"');
            } else {
                text.push_str(&row.path);
            }
            let size = row.size.map(|size| size.to_string()).unwrap_or_default();
            text.push_str(&format!(",{},{size}\r\n", row.hash_text));
        }
        text
    }
}

/// The fields of the first line, and what follows it.
fn take_line(text: &str) -> Result<(Vec<String>, &str), String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let field = fields.last_mut().expect("there is always a field");
        match character {
            '"' if is_quoted && characters.next_if(|(_, next)| *next == '"').is_some() => {
                field.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            ',' if !is_quoted => fields.push(String::new()),
            '\r' if !is_quoted && text[at + 1..].starts_with('\n') => {}
            '\n' if !is_quoted => return Ok((fields, &text[at + 1..])),
            character => field.push(character),
        }
        if fields.len() > 16 {
            return Err("its `RECORD` has a line of too many fields".to_owned());
        }
    }
    if is_quoted {
        return Err("its `RECORD` has a quotation without an end".to_owned());
    }
    Ok((fields, ""))
}

fn parse_hash(text: &str) -> Option<ContentHash> {
    let (algorithm, value) = text.split_once('=')?;
    let bytes = from_base64(value.trim_end_matches('='))?;
    match algorithm {
        "sha256" => bytes.try_into().ok().map(ContentHash::Sha256),
        "sha384" => bytes.try_into().ok().map(ContentHash::Sha384),
        "sha512" => bytes.try_into().ok().map(ContentHash::Sha512),
        _ => None,
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648 base64 for URLs, without padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0, |number: u32, index| {
            number << 8 | u32::from(chunk.get(index).copied().unwrap_or(0))
        });
        for index in 0..=chunk.len() {
            text.push(DIGITS[(number >> (18 - 6 * index) & 63) as usize] as char);
        }
    }
    text
}

/// The bytes of a hash; `None` for anything that [`base64`] would not write, or that is longer than any hash.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    if text.len() > 128 {
        return None;
    }
    let (mut held, mut bits) = (0_u32, 0);
    let mut bytes = Vec::new();
    for digit in text.bytes() {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        held = held << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    (held == 0 && bits < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_written_and_read_as_record_has_them() {
        let row = Row::of("x".to_owned(), b"");
        assert_eq!(
            row.hash_text,
            "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        );
        assert_eq!(parse_hash(&row.hash_text), row.hash);
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"\xff\xff", "__8"),
        ] {
            assert_eq!(base64(bytes), text);
            assert_eq!(from_base64(text).unwrap(), bytes);
        }
        let md5 = "md5=1B2M2Y8AsgTpgAmY7PhCfg";
        for weak in [
            "",
            "sha256=",
            "sha256=Zg",
            "sha1=2jmj7l5rSw0yVb_vlWAYkK_YBwk",
            md5,
            "sha256=47DEQpj8HBSa+_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
        ] {
            assert_eq!(parse_hash(weak), None, "{weak}");
        }
    }

    #[test]
    fn lines_are_read_as_csv() {
        let text = "a,,\r\n\"b,\"\"c\"\"\",sha256=x,3\n\nd\n\"e\nf\",,4";
        let record = Record::parse(text).unwrap();
        let paths: Vec<_> = record
            .rows()
            .iter()
            .map(|row| (row.path.as_str(), row.size))
            .collect();
        assert_eq!(
            paths,
            [
                ("a", None),
                ("b,\"c\"", Some(3)),
                ("d", None),
                ("e\nf", Some(4))
            ]
        );
        for wrong in ["\"a", "a,,x\n", "a,,-1", ",,,,,,,,,,,,,,,,,,,,\n"] {
            assert!(Record::parse(wrong).is_err(), "{wrong}");
        }
        let rows = record.rows().to_vec();
        let again = Record::parse(&Record::write(rows.clone())).unwrap();
        assert_eq!(again.rows().len(), rows.len());
        assert!(rows.iter().all(|row| again.rows().contains(row)));
    }
}
