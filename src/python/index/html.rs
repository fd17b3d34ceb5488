//! The little of HTML that index pages are made of: start tags with their attributes.
//!
//! Everything else is passed over. Each byte is looked at a bounded number of times, whatever the page holds: what is
//! opened and never closed (a comment, a quoted value) ends the page.

use std::borrow::Cow;

/// A start tag of one of the [`WANTED`] elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// `a`, `base` or `meta`.
    pub(super) name: &'static str,
    /// Attributes in their order: lower-case name, value with its references replaced.
    pub(super) attributes: Vec<(String, Cow<'a, str>)>,
}

/// Elements that say something in an index page.
const WANTED: [&str; 3] = ["a", "base", "meta"];
/// How many attributes of one tag are kept; the pages that exist have up to seven.
const MAX_ATTRIBUTES: usize = 32;

impl Tag<'_> {
    /// The value of an attribute: of two with the same name the first counts.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        attributes
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_ref())
    }
}

/// The wanted start tags of a page, in their order.
///
/// # Spec
/// HTML standard, §13.2.5 *Tokenization*, as far as start tags go; PEP 503.
pub(super) fn tags(page: &str) -> Tags<'_> {
    Tags { page, position: 0 }
}

/// See [`tags`].
#[derive(Debug)]
pub(super) struct Tags<'a> {
    page: &'a str,
    position: usize,
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            self.position += self.rest().find('<')? + 1;
            if let Some(comment) = self.rest().strip_prefix("!--") {
                self.position += 3 + comment.find("-->")? + 3;
                continue;
            }
            let name = self.take_while(|byte| byte.is_ascii_alphanumeric());
            if name.is_empty() {
                continue;
            }
            let wanted = WANTED
                .into_iter()
                .find(|wanted| name.eq_ignore_ascii_case(wanted));
            let attributes = self.attributes(wanted.is_some())?;
            if let Some(name) = wanted {
                return Some(Tag { name, attributes });
            }
        }
    }
}

impl<'a> Tags<'a> {
    fn rest(&self) -> &'a str {
        self.page.get(self.position..).unwrap_or_default()
    }

    /// Moves over the bytes that fit. They may be any but a part of a character that the predicate tears apart.
    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !fits(byte));
        let (taken, _) = rest.split_at(length.unwrap_or(rest.len()));
        self.position += taken.len();
        taken
    }

    /// Reads to the end of a tag; `None` when the page ends before.
    fn attributes(&mut self, is_wanted: bool) -> Option<Vec<(String, Cow<'a, str>)>> {
        let mut found = Vec::new();
        loop {
            self.take_while(|byte| byte.is_ascii_whitespace() || byte == b'/');
            match self.rest().bytes().next()? {
                b'>' => {
                    self.position += 1;
                    return Some(found);
                }
                // A name may begin with `=`, so that there is always progress.
                b'=' => self.position += 1,
                _ => {}
            }
            let name =
                self.take_while(|byte| !byte.is_ascii_whitespace() && !b"/>=".contains(&byte));
            let value = self.value()?;
            if is_wanted && !name.is_empty() && found.len() < MAX_ATTRIBUTES {
                found.push((name.to_ascii_lowercase(), decoded(value)));
            }
        }
    }

    /// Reads `= value` where there is one.
    fn value(&mut self) -> Option<&'a str> {
        self.take_while(|byte| byte.is_ascii_whitespace());
        if !self.rest().starts_with('=') {
            return Some("");
        }
        self.position += 1;
        self.take_while(|byte| byte.is_ascii_whitespace());
        let quote = self.rest().chars().next()?;
        if !matches!(quote, '"' | '\'') {
            return Some(self.take_while(|byte| !byte.is_ascii_whitespace() && byte != b'>'));
        }
        self.position += 1;
        let length = self.rest().find(quote)?;
        let value = &self.rest()[..length];
        self.position += length + 1;
        Some(value)
    }
}

/// Replaces character references: numeric ones and the five that escaping functions write. Others stay as they are.
fn decoded(value: &str) -> Cow<'_, str> {
    /// No reference that means a character is longer.
    const MAX_REFERENCE: usize = 10;
    if !value.contains('&') {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find('&') {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest
            .bytes()
            .take(MAX_REFERENCE)
            .position(|byte| byte == b';');
        match end.and_then(|end| Some((character(&rest[1..end])?, end + 1))) {
            Some((character, length)) => {
                text.push(character);
                rest = &rest[length..];
            }
            None => {
                text.push('&');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

fn character(reference: &str) -> Option<char> {
    if let Some(number) = reference.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?);
    }
    Some(match reference {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(page: &str) -> Vec<Tag<'_>> {
        tags(page).collect()
    }

    #[test]
    fn anchors_are_found_however_they_are_written() {
        let page = "<!DOCTYPE html><html><head><BASE HREF='x/'></head><body class=\"a>b\">\n\
            <!-- <a href=\"hidden\"> --><A\n Href = \"one?a=1&amp;b=2#sha256=0\" data-requires-python='&gt;=3.9, &#60;4&#x21;' data-yanked>one</a\
            ><a href=two/ ><abbr href=no><br/>";
        let found = all(page);
        assert_eq!(
            found.iter().map(|tag| tag.name).collect::<Vec<_>>(),
            ["base", "a", "a"]
        );
        assert_eq!(found[0].get("href"), Some("x/"));
        assert_eq!(found[1].get("href"), Some("one?a=1&b=2#sha256=0"));
        assert_eq!(found[1].get("data-requires-python"), Some(">=3.9, <4!"));
        assert_eq!(found[1].get("data-yanked"), Some(""));
        assert_eq!(found[1].get("data-size"), None);
        assert_eq!(found[2].get("href"), Some("two/"));
    }

    #[test]
    fn what_is_never_closed_ends_the_page() {
        for page in [
            "<a href=\"x",
            "<a href=x",
            "<a",
            "<",
            "<!-- <a href=x>",
            "<a =",
        ] {
            assert_eq!(all(page), [], "{page}");
        }
        assert_eq!(all("<a =x=y é='ü'>")[0].get("x"), Some("y"));
    }

    #[test]
    fn references_that_mean_nothing_stay() {
        for text in ["&", "&&", "&;", "&#;", "&#xd800;", "&nosuchname;", "é&é;é&"] {
            assert_eq!(decoded(text), text);
        }
        assert_eq!(decoded("&amp;amp;&#233;"), "&amp;é");
    }

    #[test]
    fn hostile_pages_take_linear_time_and_little_memory() {
        // Ten megabytes each: anything quadratic would not come back.
        for piece in [
            "<",
            "<!--",
            "<a ",
            "<a href=\"",
            "<a href='",
            "&",
            "</",
            "<a b",
        ] {
            let page = piece.repeat((10 << 20) / piece.len());
            assert!(all(&page).len() <= 1, "{piece}");
        }
        let page = format!("<a {}href=x>", "a=\"b\" ".repeat(1 << 20));
        assert_eq!(all(&page)[0].attributes.len(), MAX_ATTRIBUTES);
        let value = "&".repeat(1 << 20);
        assert_eq!(decoded(&value).len(), value.len());
    }
}
