//! Lists that a registry gives piece by piece: tags, referrers.
//!
//! A registry says with `Link` where a list goes on. It may say so for ever, or name another host: the address must be
//! the registry's own, and whoever reads a list says how long it may be.

use reqwest::header::{ACCEPT, LINK};
use reqwest::{Method, Url};

use super::Error;
use super::transport::{Request, Session, header};
use crate::image::MAX_DOCUMENT_BYTES;

/// After how many pages a list is taken for endless.
pub(super) const MAX_PAGES: usize = 10_000;

/// One page of a list.
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    /// Where the list goes on, when the registry says that it does.
    pub(super) next: Option<Url>,
}

/// Fetches one page of at most 4 MiB; `noun` is what the list is of.
///
/// # Spec
/// OCI distribution-spec, *Listing Tags*: `Link` as in RFC 5988, with `rel="next"`.
pub(super) async fn page(
    session: &Session<'_>,
    url: Url,
    accepted: &str,
    noun: &'static str,
) -> Result<Page, Error> {
    let mut request = Request::new(Method::GET, url);
    request.headers.push((ACCEPT, accepted.to_owned()));
    let list = format!("list of {noun}");
    let (from, headers, bytes) = session
        .retry(async || {
            let response = session.exchange(&request).await?;
            let (from, headers) = (response.url().clone(), response.headers().clone());
            let limit = MAX_DOCUMENT_BYTES;
            let bytes = session.read(response, limit, &list).await?;
            Ok((from, headers, bytes))
        })
        .await?;
    let next = match header(&headers, &LINK).and_then(next_target) {
        None => None,
        Some(target) => {
            let wrong = |reason: &str| request.protocol(format!("its `Link` {reason}"));
            let next = from.join(&target).map_err(|_| wrong("is no URL"))?;
            if next.origin() != session.url("")?.origin() {
                return Err(wrong("goes to another host, which is not followed"));
            }
            Some(next)
        }
    };
    Ok(Page { bytes, next })
}

/// The target of the first link whose relation is `next`: `<URL>; rel="next"`.
///
/// # Spec
/// RFC 8288, section 3. A target holds no `>`, a quoted parameter may hold anything.
pub fn next_target(value: &str) -> Option<String> {
    let mut rest = value;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let (parameters, others) = until_comma(after);
        let is_next = parameters.split(';').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let mut relations = value.trim().trim_matches('"').split_whitespace();
            name.trim().eq_ignore_ascii_case("rel")
                && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.trim().to_owned());
        }
        rest = others;
    }
}

/// What stands before the first comma that is not quoted, and what after it.
fn until_comma(text: &str) -> (&str, &str) {
    let mut is_quoted = false;
    for (position, c) in text.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => return (&text[..position], &text[position + 1..]),
            _ => {}
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::next_target;

    #[test]
    fn the_next_page_is_found_in_every_spelling_of_link() {
        let table = [
            (
                r#"</v2/a/tags/list?n=2&last=b>; rel="next""#,
                Some("/v2/a/tags/list?n=2&last=b"),
            ),
            ("<x>; rel=next", Some("x")),
            (r#"<x>;REL = "prev Next""#, Some("x")),
            (
                r#"<a>; rel="prev", <b>; title="x,<y>"; rel="next""#,
                Some("b"),
            ),
            (r#"<a>; rel="last""#, None),
            (r#"<a>; title="rel=next""#, None),
            ("<a", None),
            ("", None),
            (r#"rel="next""#, None),
        ];
        for (value, expected) in table {
            assert_eq!(next_target(value).as_deref(), expected, "{value}");
        }
    }
}
