//! Lists from a registry that pages, and from one that lies.

use std::sync::Arc;

use serde_json::json;

use super::hostile::{Hostile, Reply, Seen};
use super::{Error, RegistryClient, Settings};
use crate::digest::Digest;
use crate::event::Silent;
use crate::http::Http;
use crate::image::{Descriptor, media_type};
use crate::reference::Reference;

fn client() -> RegistryClient {
    let settings = Settings {
        first_retry_delay: std::time::Duration::from_millis(1),
        ..Settings::default()
    };
    RegistryClient::new(Arc::new(Http::new(&Default::default()).unwrap()), settings)
}

fn repository(server: &Hostile) -> Reference {
    format!("{}/team/app", server.host()).parse().unwrap()
}

fn tags(server: &Hostile, limit: Option<usize>) -> Result<Vec<String>, Error> {
    client().tags(&repository(server), limit, &Silent)
}

fn list(tags: &[&str]) -> Reply {
    let body = json!({ "name": "team/app", "tags": tags }).to_string();
    Reply::new(200).body(body)
}

fn parameter(seen: &Seen, name: &str) -> Option<String> {
    let query = seen.target.split_once('?')?.1;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(have, _)| *have == name)?.1;
    Some(value.to_owned())
}

#[test]
fn tags_are_followed_from_page_to_page_and_sorted() {
    let server = Hostile::start(|seen| match parameter(seen, "last").as_deref() {
        None => {
            list(&["b", "a"]).header("link", r#"</v2/team/app/tags/list?last=a&n=2>; rel="next""#)
        }
        Some("a") => list(&["c", "a"]).header("link", "<list?last=c>; rel=next"),
        Some(_) => list(&["v1.0_x"]),
    });
    assert_eq!(tags(&server, None).unwrap(), ["a", "b", "c", "v1.0_x"]);
    assert_eq!(server.count("GET", "/v2/team/app/tags/list"), 3);
    assert_eq!(tags(&server, Some(1)).unwrap(), ["a"]);
    assert_eq!(server.count("GET", "/v2/team/app/tags/list?n=1"), 2);
}

#[test]
fn a_registry_that_knows_only_last_is_asked_for_what_follows() {
    let all: Vec<String> = (0..2300).map(|number| format!("t{number:05}")).collect();
    let shown = all.clone();
    let server = Hostile::start(move |seen| {
        let count = parameter(seen, "n").unwrap().parse().unwrap();
        let last = parameter(seen, "last").unwrap_or_default();
        let page = shown.iter().filter(|tag| **tag > last).take(count);
        list(&page.map(String::as_str).collect::<Vec<_>>())
    });
    assert_eq!(tags(&server, None).unwrap(), all);
    assert_eq!(server.count("GET", "tags/list"), 3);
    // One that knows neither gives everything, and is not asked for ever.
    let exactly = all[..1000].to_vec();
    let shown = exactly.clone();
    let server =
        Hostile::start(move |_| list(&shown.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(tags(&server, None).unwrap(), exactly);
    assert_eq!(server.count("GET", "tags/list"), 2);
}

#[test]
fn a_list_that_never_ends_is_given_up() {
    let link = "</v2/team/app/tags/list?last=x>; rel=next";
    let circle = Hostile::start(move |_| list(&["a", "b"]).header("link", link));
    let error = tags(&circle, None).unwrap_err();
    assert!(
        matches!(error, Error::Endless { noun: "tags", .. }),
        "{error}"
    );
    assert_eq!(circle.count("GET", ""), 2);
    // New tags on every page, for ever.
    let fountain = Hostile::start(|seen| {
        let start: usize = parameter(seen, "last").map_or(0, |last| last.parse().unwrap());
        let page: Vec<String> = (start..start + 20_000).map(|tag| tag.to_string()).collect();
        list(&page.iter().map(String::as_str).collect::<Vec<_>>()).header(
            "link",
            format!("</v2/team/app/tags/list?last={}>; rel=next", start + 20_000),
        )
    });
    let error = tags(&fountain, None).unwrap_err();
    assert!(error.to_string().contains("more than 250000"), "{error}");
    assert_eq!(tags(&fountain, Some(30_000)).unwrap().len(), 30_000);
}

#[test]
fn a_link_to_another_host_is_not_followed() {
    let trap = Hostile::start(|_| list(&["stolen"]));
    let elsewhere = trap.host();
    let server = Hostile::start(move |_| {
        let link = format!("<http://{elsewhere}/v2/team/app/tags/list?last=a>; rel=next");
        list(&["a"]).header("link", link)
    });
    let error = tags(&server, None).unwrap_err();
    assert!(error.to_string().contains("another host"), "{error}");
    assert!(trap.seen().is_empty());
    let odd = Hostile::start(|_| list(&["a"]).header("link", "<http://[>; rel=next"));
    let error = tags(&odd, None).unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}

#[test]
fn pages_that_are_too_large_or_no_lists_are_refused() {
    let huge = Hostile::start(|_| Reply::new(200).body(vec![b' '; (4 << 20) + 1]));
    let error = tags(&huge, None).unwrap_err();
    assert!(matches!(error, Error::Size { .. }), "{error}");
    let bodies = [
        "<html>",
        "[]",
        r#"{"tags":"a"}"#,
        r#"{"tags":["a b"]}"#,
        r#"{"tags":["a@b"]}"#,
        r#"{"tags":["a\u001b[2J"]}"#,
        r#"{"tags":[""]}"#,
    ];
    for body in bodies {
        let server = Hostile::start(move |_| Reply::new(200).body(body));
        let error = tags(&server, None).expect_err(body);
        assert!(matches!(error, Error::Protocol { .. }), "{body}: {error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
    let emptied = Hostile::start(|_| Reply::new(200).body(r#"{"name":"team/app","tags":null}"#));
    assert_eq!(tags(&emptied, None).unwrap(), [""; 0]);
}

#[test]
fn a_failing_page_is_asked_for_again() {
    let server = Hostile::start(|seen| match seen.earlier {
        0 => Reply::new(500),
        1 => list(&["a", "b"]).cut_after(10),
        _ => list(&["a", "b"]),
    });
    assert_eq!(tags(&server, None).unwrap(), ["a", "b"]);
    assert_eq!(server.count("GET", ""), 3);
}

#[test]
fn a_digest_is_had_from_head_or_else_from_the_document() {
    let document = json!({ "schemaVersion": 2, "manifests": [] }).to_string();
    let digest = Digest::of(document.as_bytes());
    for has_head in [true, false] {
        let (body, shown) = (document.clone(), digest.to_string());
        let server = Hostile::start(move |seen| {
            let reply = Reply::new(200).header("content-type", media_type::OCI_INDEX);
            match (seen.method.as_str(), has_head) {
                ("HEAD", true) => reply
                    .header("docker-content-digest", shown.clone())
                    .body(body.clone()),
                ("HEAD", false) => Reply::new(405),
                _ => reply.body(body.clone()),
            }
        });
        let found = client().resolve(&repository(&server), &Silent).unwrap();
        assert_eq!(
            (found.digest, found.size),
            (digest.clone(), document.len() as u64)
        );
        assert_eq!(server.seen().len(), if has_head { 1 } else { 2 });
    }
}

#[test]
fn deletion_is_by_digest_and_a_refusal_is_told_as_one() {
    let digest = Digest::of(b"gone");
    for status in [202, 405, 404] {
        let server = Hostile::start(move |_| Reply::new(status));
        let done = client().delete(&repository(&server), &digest, &Silent);
        match status {
            202 => done.unwrap(),
            405 => assert!(matches!(done, Err(Error::NoDeletion { .. })), "{done:?}"),
            _ => assert!(done.unwrap_err().is_not_found()),
        }
        assert_eq!(
            server.count("DELETE", &format!("/v2/team/app/manifests/{digest}")),
            1
        );
    }
    let unsupported = r#"{"errors":[{"code":"UNSUPPORTED","message":"?"}]}"#;
    let server = Hostile::start(move |_| Reply::new(400).body(unsupported));
    let done = client().delete(&repository(&server), &digest, &Silent);
    assert!(matches!(done, Err(Error::NoDeletion { .. })), "{done:?}");
}

/// Three referrers, in pages of two where `pages`, filtered where `filters`.
fn referrers_api(pages: bool, filters: bool) -> (Hostile, Vec<Descriptor>) {
    let entries: Vec<Descriptor> = ["a", "b", "c"]
        .map(|text| Descriptor::of(media_type::OCI_MANIFEST, text.as_bytes()))
        .into();
    let listed = entries.clone();
    let server = Hostile::start(move |seen| {
        if !seen.target.contains("/referrers/sha256:") {
            return Reply::new(404);
        }
        let wanted = parameter(seen, "artifactType").filter(|_| filters);
        let is_second = seen.target.contains("page=2");
        let entries = listed.iter().zip(["x", "y", "x"]).enumerate();
        let entries: Vec<_> = entries
            .filter(|(_, (_, kind))| wanted.as_deref().is_none_or(|wanted| wanted == *kind))
            .filter(|(position, _)| !pages || (*position >= 2) == is_second)
            .map(|(_, (entry, kind))| {
                let mut value = entry.to_value();
                value["artifactType"] = json!(kind);
                value
            })
            .collect();
        let body =
            json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries });
        let reply = Reply::new(200)
            .header("content-type", media_type::OCI_INDEX)
            .body(body.to_string());
        let reply = match filters {
            true => reply.header("oci-filters-applied", "artifactType"),
            false => reply,
        };
        match pages && !is_second {
            true => reply.header(
                "link",
                format!(
                    "<{}?page=2>; rel=next",
                    seen.target.split('?').next().unwrap()
                ),
            ),
            false => reply,
        }
    });
    (server, entries)
}

#[test]
fn referrers_come_in_pages_filtered_by_the_registry_or_by_us() {
    for (pages, filters) in [(false, false), (false, true), (true, false), (true, true)] {
        let (server, entries) = referrers_api(pages, filters);
        let subject = Digest::of(b"subject");
        let find = |wanted: Option<&str>| {
            let found = client().referrers(&repository(&server), &subject, wanted, &Silent);
            let found = found.unwrap().into_iter();
            found
                .map(|entry| entry.descriptor.digest)
                .collect::<Vec<_>>()
        };
        let digest = |position: usize| entries[position].digest.clone();
        assert_eq!(find(None), [digest(0), digest(1), digest(2)]);
        assert_eq!(find(Some("x")), [digest(0), digest(2)], "{pages} {filters}");
        assert_eq!(find(Some("z")), []);
        // The tag that stands in for the API is not looked at where there is one.
        assert_eq!(server.count("GET", "/manifests/"), 0);
    }
}

#[test]
fn lists_of_referrers_that_lie_are_refused() {
    let subject = Digest::of(b"subject");
    let find = |reply: Reply| {
        let server = Hostile::start(move |_| reply.clone());
        client().referrers(&repository(&server), &subject, None, &Silent)
    };
    let index = |entries: serde_json::Value| {
        let body =
            json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries });
        Reply::new(200)
            .header("content-type", media_type::OCI_INDEX)
            .body(body.to_string())
    };
    let entry = Descriptor::of(media_type::OCI_MANIFEST, b"a").to_value();
    let circle = find(index(json!([entry])).header("link", "<?again>; rel=next")).unwrap_err();
    assert!(
        matches!(
            circle,
            Error::Endless {
                noun: "referrers",
                ..
            }
        ),
        "{circle}"
    );
    let many: Vec<_> = (0..5000_u32)
        .map(|number| Descriptor::of(media_type::OCI_MANIFEST, &number.to_le_bytes()).to_value())
        .collect();
    let many = find(index(json!(many))).unwrap_err();
    assert!(many.to_string().contains("more than 4096"), "{many}");
    let mut evil = entry.clone();
    evil["digest"] = json!("sha256:../../etc/passwd");
    let evil = find(index(json!([evil]))).unwrap_err();
    assert!(matches!(evil, Error::Document { .. }), "{evil}");
    let denied = find(Reply::new(403)).unwrap_err();
    assert!(matches!(denied, Error::Denied { .. }), "{denied}");
}
