//! Debian version numbers and their order.

use std::cmp::Ordering;
use std::fmt;

/// A version of a package, `[epoch:]upstream[-revision]`, kept as it was written.
///
/// Order and equality follow the archive's rules, so `1.0` equals `1.00` and `0:1-0`, and `1~rc1` comes before `1`.
///
/// # Spec
/// deb-version(7), *Sorting algorithm*; Debian policy 5.6.12.
#[derive(Clone)]
pub struct Version(Box<str>);

/// Why a text is not a version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a Debian version")]
pub struct ParseError {
    /// What was given, cut to 100 characters.
    pub text: String,
}

impl Version {
    /// Parses a version; white space around it is not part of it.
    ///
    /// # Errors
    /// [`ParseError`] for an empty text or upstream part, an epoch that is no number, and for characters that no
    /// version has.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let parts = Parts::of(text);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".+~-:".contains(&byte);
        let is_number =
            !parts.epoch.is_empty() && parts.epoch.bytes().all(|byte| byte.is_ascii_digit());
        if parts.upstream.is_empty() || !is_number || !text.bytes().all(allowed) {
            let text = text.chars().take(100).collect();
            return Err(ParseError { text });
        }
        Ok(Self(text.into()))
    }

    /// The version as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (Parts::of(&self.0), Parts::of(&other.0));
        compare_numbers(left.epoch, right.epoch)
            .then_with(|| compare_part(left.upstream, right.upstream))
            .then_with(|| compare_part(left.revision, right.revision))
    }
}

/// A version taken apart; a missing epoch is `0`, a missing revision is empty, which sorts as `0` does.
struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self {
            epoch,
            upstream,
            revision,
        }
    }
}

/// Compares an upstream part or a revision: stretches of non-digits and of digits by turns, from the left.
fn compare_part(mut left: &str, mut right: &str) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (left_text, left_rest) = split_while(left, |byte| !byte.is_ascii_digit());
        let (right_text, right_rest) = split_while(right, |byte| !byte.is_ascii_digit());
        let (left_digits, left_next) = split_while(left_rest, |byte| byte.is_ascii_digit());
        let (right_digits, right_next) = split_while(right_rest, |byte| byte.is_ascii_digit());
        let order = compare_text(left_text, right_text)
            .then_with(|| compare_numbers(left_digits, right_digits));
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_next, right_next);
    }
    Ordering::Equal
}

fn split_while(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|byte| !belongs(byte))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Compares non-digits: a tilde sorts before the end, the end before letters, letters before everything else.
fn compare_text(left: &str, right: &str) -> Ordering {
    let weight = |byte: Option<u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(letter),
        Some(other) => i32::from(other) + 256,
    };
    let (mut left, mut right) = (left.bytes(), right.bytes());
    loop {
        let (one, other) = (left.next(), right.next());
        if one.is_none() && other.is_none() {
            return Ordering::Equal;
        }
        let order = weight(one).cmp(&weight(other));
        if order.is_ne() {
            return order;
        }
    }
}

/// Compares digits of any length; an empty text is zero.
fn compare_numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_compare_as_the_archive_compares_them() {
        // Each row was checked against `dpkg --compare-versions`.
        let rows = [
            ("1", Ordering::Less, "2"),
            ("1.2", Ordering::Equal, "1.2"),
            ("1.0", Ordering::Equal, "1.00"),
            ("1.2", Ordering::Less, "1.10"),
            ("1.2", Ordering::Less, "1.2.1"),
            ("1.2.", Ordering::Greater, "1.2"),
            ("1", Ordering::Equal, "1-0"),
            ("1", Ordering::Equal, "0:1"),
            ("0:1-0", Ordering::Equal, "1"),
            ("1-1", Ordering::Less, "1-2"),
            ("1-9", Ordering::Less, "1-10"),
            ("1", Ordering::Less, "1-1"),
            ("1-1", Ordering::Less, "1-1.1"),
            ("1-1", Ordering::Less, "1-1+b1"),
            ("1-1+b9", Ordering::Less, "1-1+b13"),
            ("2-1", Ordering::Greater, "1-9"),
            ("1:0.1", Ordering::Greater, "9.9"),
            ("2:1", Ordering::Less, "10:1"),
            ("00:1", Ordering::Equal, "1"),
            ("1.0~rc1", Ordering::Less, "1.0"),
            ("1.0~rc1", Ordering::Less, "1.0~rc2"),
            ("1.0~~", Ordering::Less, "1.0~"),
            ("1.0~~a", Ordering::Less, "1.0~"),
            ("1.0~", Ordering::Less, "1.0"),
            ("1.0~rc1-1", Ordering::Less, "1.0-1"),
            ("1.0-1~bpo12+1", Ordering::Less, "1.0-1"),
            ("1.0-1~deb12u1", Ordering::Less, "1.0-1"),
            ("1.0-1+deb12u1", Ordering::Greater, "1.0-1"),
            ("1.0a", Ordering::Greater, "1.0"),
            ("1.0a", Ordering::Less, "1.0b"),
            ("1.0a", Ordering::Less, "1.0+"),
            ("1.0Z", Ordering::Less, "1.0a"),
            ("1.0+dfsg", Ordering::Greater, "1.0"),
            ("1.0.dfsg", Ordering::Greater, "1.0+dfsg"),
            ("1.a", Ordering::Less, "1.+"),
            ("a1", Ordering::Less, "a2"),
            ("1a1", Ordering::Less, "1a01b"),
            ("1-2-3", Ordering::Greater, "1-2"),
            ("1-2-3", Ordering::Less, "1.2-3"),
            ("20230311", Ordering::Less, "20230311+deb12u1"),
            ("2.36-9+deb12u9", Ordering::Less, "2.36-9+deb12u10"),
            ("3.11.2-6+deb12u6", Ordering::Less, "3.11.2-6+deb12u13"),
            ("5.2.15-2+b13", Ordering::Greater, "5.2.15-2+b8"),
            (
                "99999999999999999999999998",
                Ordering::Less,
                "99999999999999999999999999",
            ),
            ("1:2:3", Ordering::Less, "1:2:4"),
        ];
        for (left, expected, right) in rows {
            assert_eq!(
                version(left).cmp(&version(right)),
                expected,
                "{left} against {right}"
            );
            assert_eq!(
                version(right).cmp(&version(left)),
                expected.reverse(),
                "{right} against {left}"
            );
        }
    }

    #[test]
    fn only_versions_parse_and_they_print_as_written() {
        assert_eq!(version(" 1:1.0-1 ").to_string(), "1:1.0-1");
        for text in [
            "", " ", ":1", "a:1", "1:", "1:-1", "-1", "1.0 2", "1/2", "1_2", "1.0\n2", "é",
        ] {
            assert!(Version::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_antisymmetric_and_transitive(
            texts in proptest::array::uniform3("([0-2]:)?[0-3a-bZ.+~]{0,4}[0-9a]([-][0-2a~+.]{0,3})?"),
        ) {
            let [a, b, c] = texts.map(|text| Version(text.into()));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert!(a == a.clone());
            if a <= b && b <= c {
                prop_assert!(a <= c, "{a} <= {b} <= {c}");
            }
        }
    }
}
