//! Answering a registry that asks who we are: Basic, or a Bearer token bought from the realm it names.
//!
//! Nothing is sent before it is asked for. What was found out is kept for the life of the client: how a host asks,
//! and one token for each (realm, service, scopes). A token's expiry is not looked at, for the library has no clock:
//! a 401 tells, and then a new token is bought once. Refused credentials are an error; there is no second try without.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, Response, Url};
use serde_json::Value;

use super::Error;
use super::credentials::{Credential, Found, Secret};
use super::error::{Answer, redacted};
use super::transport::{Body, Elsewhere, Request, Session};

/// No token is larger.
const MAX_TOKEN_BYTES: u64 = 1 << 20;
/// What we call ourselves towards OAuth2 servers.
const CLIENT_ID: &str = "overcoat";

/// What goes into the header `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authorization {
    Basic { username: String, password: Secret },
    Bearer(Secret),
}

/// How a host asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scheme {
    Basic,
    Bearer { realm: String, service: String },
}

/// What was found out, shared by all sessions of a client.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    methods: BTreeMap<String, Scheme>,
    authorizations: BTreeMap<(String, Scheme, Vec<String>), Authorization>,
    credentials: BTreeMap<(String, String), Option<Found>>,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    /// What to send unasked: what this host accepted for these scopes before.
    pub(super) fn authorization(&self) -> Option<Authorization> {
        let state = self.client.auth.lock();
        let method = state.methods.get(&self.host)?.clone();
        let key = (self.host.clone(), method, self.scopes.clone());
        state.authorizations.get(&key).cloned()
    }

    /// Where the credentials came from that were used for this session, if any were.
    pub(super) fn credentials_origin(&self) -> Option<String> {
        let key = (self.host.clone(), self.repository.clone());
        let state = self.client.auth.lock();
        let found = state.credentials.get(&key)?.as_ref()?;
        Some(found.origin.clone())
    }

    /// Finds an answer to a 401, other than `refused`; `None` when there is none.
    pub(super) async fn answer(
        &self,
        response: &Response,
        refused: Option<&Authorization>,
    ) -> Result<Option<Authorization>, Error> {
        let values = response.headers().get_all(WWW_AUTHENTICATE);
        let challenges: Vec<Challenge> = values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(parse_challenges)
            .collect();
        let Some((method, wanted)) = choose(&challenges) else {
            return Ok(None);
        };
        self.client
            .auth
            .lock()
            .methods
            .insert(self.host.clone(), method.clone());
        // Another request of this session may have renewed it meanwhile.
        let known = self.authorization();
        if known.is_some() && known.as_ref() != refused {
            return Ok(known);
        }
        let fresh = match &method {
            Scheme::Basic => self.basic().await?,
            Scheme::Bearer { realm, service } => {
                let scopes = united(&self.scopes, &wanted);
                Some(self.token(response.url(), realm, service, &scopes).await?)
            }
        };
        // A password that was refused once is refused again; a token may have been too old.
        let Some(fresh) = fresh.filter(|fresh| Some(fresh) != refused) else {
            return Ok(None);
        };
        let key = (self.host.clone(), method, self.scopes.clone());
        self.client
            .auth
            .lock()
            .authorizations
            .insert(key, fresh.clone());
        Ok(Some(fresh))
    }

    async fn basic(&self) -> Result<Option<Authorization>, Error> {
        let found = self.credentials().await?;
        Ok(found.and_then(|found| match found.credential {
            Credential::Password { username, password } => {
                Some(Authorization::Basic { username, password })
            }
            // It can only buy tokens, and this registry sells none.
            Credential::IdentityToken(_) => None,
        }))
    }

    async fn credentials(&self) -> Result<Option<Found>, Error> {
        let key = (self.host.clone(), self.repository.clone());
        if let Some(found) = self.client.auth.lock().credentials.get(&key) {
            return Ok(found.clone());
        }
        let (sources, (host, repository)) = (self.client.sources.clone(), key.clone());
        // A helper may wait for a person: it must not keep Ctrl-C from being seen.
        let found = tokio::task::spawn_blocking(move || sources.find(&host, &repository)).await;
        let found = found.map_err(|_| Error::Interrupted)??;
        self.client
            .auth
            .lock()
            .credentials
            .insert(key, found.clone());
        Ok(found)
    }

    /// Buys a token.
    ///
    /// # Spec
    /// Docker registry, *Token Authentication Specification* and *OAuth2 Token Authentication*.
    async fn token(
        &self,
        asked_by: &Url,
        realm: &str,
        service: &str,
        scopes: &[String],
    ) -> Result<Authorization, Error> {
        let found = self.credentials().await?;
        let url = realm_url(asked_by, realm)?;
        let (url, form, basic) = token_request(url, service, scopes, found.as_ref());
        let mut request = Request::new(
            if form.is_some() {
                Method::POST
            } else {
                Method::GET
            },
            url,
        );
        request.elsewhere = Elsewhere::Refused;
        if let Some(form) = &form {
            request
                .headers
                .push((CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned()));
            request.body = Body::Bytes(form.expose().as_bytes());
        }
        let bytes = self
            .retry(async || {
                let response = self.follow(&request, basic.as_ref(), &request.url).await?;
                if response.status().is_success() {
                    return self.read(response, MAX_TOKEN_BYTES, "token").await;
                }
                let answer = Answer::read(&request.method, response, self.client.limits).await;
                Err(self.token_refused(answer, form.is_some()))
            })
            .await?;
        let document: Option<Value> = serde_json::from_slice(&bytes).ok();
        let field = |name: &str| {
            document
                .as_ref()?
                .get(name)?
                .as_str()
                .filter(|token| !token.is_empty())
        };
        match field("token").or_else(|| field("access_token")) {
            Some(token) => Ok(Authorization::Bearer(Secret::new(token))),
            None => Err(Error::Protocol {
                method: request.method,
                url: redacted(&request.url),
                reason: "there is no token in it".to_owned(),
            }),
        }
    }

    fn token_refused(&self, answer: Answer, is_oauth: bool) -> Error {
        // RFC 6749, section 5.2: a refresh token that is not accepted is answered 400.
        if answer.status == 401 || (is_oauth && answer.status == 400) {
            return self.unauthorised(answer);
        }
        match answer.status {
            // A realm that is not there says nothing about the image.
            404 => Error::Answer(Box::new(answer)),
            _ => self.classify(answer),
        }
    }
}

/// The realm's address; it must be at least as well protected as the registry that names it.
fn realm_url(asked_by: &Url, realm: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| Error::Protocol {
        method: Method::GET,
        url: redacted(asked_by),
        reason: reason.to_owned(),
    };
    let url = asked_by
        .join(realm)
        .map_err(|_| refuse("the token realm is not a URL"))?;
    match (asked_by.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => Ok(url),
        _ => Err(refuse(
            "it wants the credentials to be sent without encryption",
        )),
    }
}

/// URL, form and Basic authorization for buying a token.
fn token_request(
    mut url: Url,
    service: &str,
    scopes: &[String],
    found: Option<&Found>,
) -> (Url, Option<Secret>, Option<Authorization>) {
    let credential = found.map(|found| &found.credential);
    if let Some(Credential::IdentityToken(token)) = credential {
        let mut form = url.clone();
        form.set_query(None);
        form.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", service)
            .append_pair("client_id", CLIENT_ID)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("refresh_token", token.expose());
        return (url, form.query().map(Secret::new), None);
    }
    if !service.is_empty() {
        url.query_pairs_mut().append_pair("service", service);
    }
    for scope in scopes {
        url.query_pairs_mut().append_pair("scope", scope);
    }
    let basic = credential.and_then(|credential| match credential {
        Credential::Password { username, password } => Some(Authorization::Basic {
            username: username.clone(),
            password: password.clone(),
        }),
        Credential::IdentityToken(_) => None,
    });
    (url, None, basic)
}

/// Our scopes and those that the registry asks for and ours do not cover.
fn united(ours: &[String], wanted: &[String]) -> Vec<String> {
    let covers = |have: &str, want: &str| {
        let (Some((have, can)), Some((want, must))) =
            (have.rsplit_once(':'), want.rsplit_once(':'))
        else {
            return have == want;
        };
        have == want
            && must
                .split(',')
                .all(|action| can.split(',').any(|have| have == action))
    };
    let mut all = ours.to_vec();
    for scope in wanted {
        if !all.iter().any(|have| covers(have, scope)) {
            all.push(scope.clone());
        }
    }
    all
}

/// The best challenge that we can answer, with the scopes it asks for.
fn choose(challenges: &[Challenge]) -> Option<(Scheme, Vec<String>)> {
    let bearer = challenges.iter().find_map(|challenge| {
        let parameter = |name: &str| challenge.parameters.get(name).cloned();
        let realm = parameter("realm").filter(|_| challenge.scheme == "bearer")?;
        let service = parameter("service").unwrap_or_default();
        let scope = parameter("scope").unwrap_or_default();
        let scopes = scope.split_whitespace().map(str::to_owned).collect();
        Some((Scheme::Bearer { realm, service }, scopes))
    });
    let has_basic = challenges
        .iter()
        .any(|challenge| challenge.scheme == "basic");
    bearer.or_else(|| has_basic.then(|| (Scheme::Basic, Vec::new())))
}

/// One challenge of a `WWW-Authenticate` header; names are lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: BTreeMap<String, String>,
}

/// Reads the challenges of one header, as many as can be understood.
///
/// # Spec
/// RFC 9110, section 11.6.1: challenges and their parameters are both separated by commas, so only what follows a
/// word tells whether it is a scheme or a parameter's name.
fn parse_challenges(header: &str) -> Vec<Challenge> {
    let is_space = |c: char| c == ' ' || c == '\t';
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches(|c| is_space(c) || c == ',');
        let end = rest
            .find(|c| is_space(c) || matches!(c, ',' | '=' | '"'))
            .unwrap_or(rest.len());
        let word = rest[..end].to_ascii_lowercase();
        if rest.is_empty() || (word.is_empty() && !rest.starts_with('=')) {
            // The end, or a quote where no value can be.
            return challenges;
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
                if let Some(challenge) = challenges.last_mut() {
                    // The first wins: nobody may change a realm by adding another.
                    challenge.parameters.entry(word).or_insert(value);
                }
            }
        }
    }
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

    fn bearer(header: &str) -> Option<(String, String, Vec<String>)> {
        match choose(&parse_challenges(header))? {
            (Scheme::Bearer { realm, service }, scopes) => Some((realm, service, scopes)),
            (Scheme::Basic, _) => Some(("basic".into(), String::new(), Vec::new())),
        }
    }

    #[test]
    fn challenges_are_read_in_all_their_spellings() {
        let table = [
            (
                r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull,push""#,
                "https://a/t",
                "s",
                1,
            ),
            (
                r#"bearer REALM = "https://a/t" , Service=s"#,
                "https://a/t",
                "s",
                0,
            ),
            (
                r#"Basic realm="x, Bearer realm=no", Bearer realm="https://a/t""#,
                "https://a/t",
                "",
                0,
            ),
            (
                r#"Negotiate abc==, Bearer realm="https://a/t",service="a\"b""#,
                "https://a/t",
                "a\"b",
                0,
            ),
            (
                r#",, Bearer realm="https://a/t",realm="https://evil/",scope="a:b:c d:e:f""#,
                "https://a/t",
                "",
                2,
            ),
            (r#"BASIC realm="x""#, "basic", "", 0),
            ("Basic", "basic", "", 0),
        ];
        for (header, realm, service, scopes) in table {
            let found = bearer(header).unwrap_or_else(|| panic!("{header}"));
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
            assert_eq!(bearer(header), None, "{header}");
        }
    }

    #[test]
    fn only_scopes_that_ours_do_not_cover_are_added() {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let ours = list("repository:a:pull,push");
        assert_eq!(united(&ours, &list("repository:a:pull")), ours);
        assert_eq!(united(&ours, &list("repository:a:push,pull")), ours);
        assert_eq!(united(&ours, &list("registry:catalog:*")).len(), 2);
    }

    #[test]
    fn credentials_go_to_a_realm_only_if_it_is_as_well_protected_as_the_registry() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(realm_url(&url("https://r/"), "https://auth/t").is_ok());
        assert!(realm_url(&url("http://localhost/"), "http://localhost/t").is_ok());
        assert!(realm_url(&url("https://r/"), "http://auth/t").is_err());
        assert!(realm_url(&url("https://r/"), "file:///t").is_err());
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic_or_hang(header in "[ ,=\"\\\\a-zé]{0,40}") {
            parse_challenges(&header);
        }
    }
}
