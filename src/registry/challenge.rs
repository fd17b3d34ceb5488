//! `WWW-Authenticate`: how a server wants to be told who asks.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How much of all challenges of an answer is read, in bytes; a hostile server may send any number.
const MAX_BYTES: usize = 16 << 10;
/// How many challenges are looked at.
const MAX_CHALLENGES: usize = 32;
/// How many parameters of one challenge are kept.
const MAX_PARAMETERS: usize = 32;
/// How many scopes that a registry asks for are passed on to its token server.
const MAX_SCOPES: usize = 16;

/// How a host asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scheme {
    Basic,
    Bearer { realm: String, service: String },
}

/// The challenges of an answer, in all its `WWW-Authenticate` headers.
pub(super) fn of_headers(headers: &HeaderMap) -> Vec<Challenge> {
    let mut left = MAX_BYTES;
    let mut challenges = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let text = String::from_utf8_lossy(value.as_bytes());
        // Half a header could be half a realm.
        if text.len() > left {
            break;
        }
        left -= text.len();
        challenges.extend(parse(&text));
    }
    challenges.truncate(MAX_CHALLENGES);
    challenges
}

/// True when a token was understood and does not allow what was asked.
///
/// # Spec
/// RFC 6750, section 3.1: `insufficient_scope`.
pub(super) fn wants_more(challenges: &[Challenge]) -> bool {
    let error = |challenge: &Challenge| challenge.parameters.get("error").cloned();
    challenges
        .iter()
        .any(|challenge| error(challenge).as_deref() == Some("insufficient_scope"))
}

/// The best challenge that we can answer, with the scopes it asks for.
pub(super) fn choose(challenges: &[Challenge]) -> Option<(Scheme, Vec<String>)> {
    let bearer = challenges.iter().find_map(|challenge| {
        let parameter = |name: &str| challenge.parameters.get(name).cloned();
        let realm = parameter("realm").filter(|_| challenge.scheme == "bearer")?;
        let service = parameter("service").unwrap_or_default();
        let scope = parameter("scope").unwrap_or_default();
        let scopes = scope.split_whitespace().map(str::to_owned);
        let scopes = scopes.take(MAX_SCOPES).collect();
        Some((Scheme::Bearer { realm, service }, scopes))
    });
    let has_basic = challenges
        .iter()
        .any(|challenge| challenge.scheme == "basic");
    bearer.or_else(|| has_basic.then(|| (Scheme::Basic, Vec::new())))
}

/// One challenge of a `WWW-Authenticate` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme, lower case: `bearer`, `basic`, `negotiate`.
    pub scheme: String,
    /// The parameters by lower-case name; of several with one name the first.
    pub parameters: BTreeMap<String, String>,
}

/// Reads the challenges of one `WWW-Authenticate` header, as many as can be understood; at most 32, of a header of at
/// most 16 KiB.
///
/// # Spec
/// RFC 9110, section 11.6.1: challenges and their parameters are both separated by commas, so only what follows a
/// word tells whether it is a scheme or a parameter's name.
pub fn parse(header: &str) -> Vec<Challenge> {
    let is_space = |c: char| c == ' ' || c == '\t';
    let mut challenges: Vec<Challenge> = Vec::new();
    if header.len() > MAX_BYTES {
        return challenges;
    }
    let mut rest = header;
    while challenges.len() <= MAX_CHALLENGES {
        rest = rest.trim_start_matches(|c| is_space(c) || c == ',');
        let end = rest
            .find(|c| is_space(c) || matches!(c, ',' | '=' | '"'))
            .unwrap_or(rest.len());
        let word = rest[..end].to_ascii_lowercase();
        if rest.is_empty() || (word.is_empty() && !rest.starts_with('=')) {
            // The end, or a quote where no value can be.
            break;
        }
        rest = rest[end..].trim_start_matches(is_space);
        match rest.strip_prefix('=') {
            None => challenges.push(Challenge {
                scheme: word,
                parameters: BTreeMap::new(),
            }),
            Some(after) => {
                let (value, after) = parse_value(after.trim_start_matches(is_space));
                rest = after;
                if let Some(challenge) = challenges.last_mut()
                    && challenge.parameters.len() < MAX_PARAMETERS
                {
                    // The first wins: nobody may change a realm by adding another.
                    challenge.parameters.entry(word).or_insert(value);
                }
            }
        }
    }
    challenges.truncate(MAX_CHALLENGES);
    challenges
}

/// A token or a quoted string, and what follows it.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((position, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[position + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn best(challenges: &[Challenge]) -> Option<(String, String, Vec<String>)> {
        match choose(challenges)? {
            (Scheme::Bearer { realm, service }, scopes) => Some((realm, service, scopes)),
            (Scheme::Basic, _) => Some(("basic".into(), String::new(), Vec::new())),
        }
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn challenges_are_read_in_all_their_spellings() {
        let realm = "https://a/t";
        // header, realm, service, number of scopes
        let table = [
            (
                r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull,push""#,
                realm,
                "s",
                1,
            ),
            (r#"bearer REALM = "https://a/t" , Service=s"#, realm, "s", 0),
            ("Bearer realm=https://a/t,service=s", realm, "s", 0),
            (
                "Bearer realm=https://a/t?x=y,service=s",
                "https://a/t?x=y",
                "s",
                0,
            ),
            (
                r#"Bearer realm="https://a/t" service="s" scope="a b""#,
                realm,
                "s",
                2,
            ),
            (
                "Bearer\trealm=\"https://a/t\",\tservice=\"s\"",
                realm,
                "s",
                0,
            ),
            (
                r#"Basic realm="x, Bearer realm=no", Bearer realm="https://a/t""#,
                realm,
                "",
                0,
            ),
            (
                r#"Negotiate abc==, Bearer realm="https://a/t",service="a\"b""#,
                realm,
                "a\"b",
                0,
            ),
            (
                r#"NTLM, Digest realm="d", nonce="n,=", Bearer realm="https://a/t""#,
                realm,
                "",
                0,
            ),
            (
                r#",, Bearer realm="https://a/t",realm="https://evil/",scope="a:b:c d:e:f""#,
                realm,
                "",
                2,
            ),
            (r#"Bearer realm="https:\/\/a/t""#, realm, "", 0),
            (r#"Bearer realm="https://a/t"#, realm, "", 0),
            (r#"BASIC realm="x""#, "basic", "", 0),
            ("Basic", "basic", "", 0),
        ];
        for (header, realm, service, scopes) in table {
            let found = best(&parse(header)).unwrap_or_else(|| panic!("{header}"));
            assert_eq!(
                (found.0.as_str(), found.1.as_str(), found.2.len()),
                (realm, service, scopes),
                "{header}"
            );
        }
        for header in [
            "",
            "Bearer",
            "Negotiate",
            "Bearer service=\"x\"",
            "\"",
            "=,=",
            "realm=\"x\"",
        ] {
            assert_eq!(best(&parse(header)), None, "{header}");
        }
    }

    #[test]
    fn several_headers_are_one_list_and_the_token_is_preferred() {
        let both = headers(&["Basic realm=\"x\"", "Bearer realm=\"https://a/t\""]);
        assert_eq!(best(&of_headers(&both)).unwrap().0, "https://a/t");
        let mut odd = headers(&["Negotiate"]);
        let bytes = b"Bearer realm=\"https://a/\xff\"".as_slice();
        odd.append(WWW_AUTHENTICATE, bytes.try_into().unwrap());
        assert_eq!(best(&of_headers(&odd)).unwrap().0, "https://a/\u{fffd}");
    }

    #[test]
    fn what_never_ends_is_read_up_to_a_limit() {
        let long = format!("Bearer realm=\"https://a/{}\"", "x".repeat(MAX_BYTES));
        assert_eq!(parse(&long), []);
        let after = headers(&["Basic", &long, "Bearer realm=\"https://late/\""]);
        assert_eq!(best(&of_headers(&after)).unwrap().0, "basic");
        assert_eq!(parse(&"a,".repeat(5000)).len(), MAX_CHALLENGES);
        let many: String = (0..1000).map(|number| format!("p{number}=1,")).collect();
        let many = parse(&format!("Bearer {many}"));
        assert_eq!(many[0].parameters.len(), MAX_PARAMETERS);
        let scopes = format!(
            "Bearer realm=\"https://a/\",scope=\"{}\"",
            "a:b:c ".repeat(500)
        );
        assert_eq!(best(&parse(&scopes)).unwrap().2.len(), MAX_SCOPES);
        let many = headers(&["Basic"; 500]);
        assert_eq!(of_headers(&many).len(), MAX_CHALLENGES);
    }

    #[test]
    fn a_token_that_does_not_allow_enough_is_told_from_others() {
        let with = |error: &str| parse(&format!("Bearer realm=\"https://a/\",error=\"{error}\""));
        assert!(wants_more(&with("insufficient_scope")));
        assert!(!wants_more(&with("invalid_token")));
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic_or_hang(header in "[ ,=\"\\\\a-zé]{0,40}") {
            parse(&header);
        }
    }
}
