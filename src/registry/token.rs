//! Buying tokens from the server that a registry names.
//!
//! # Spec
//! Docker registry, *Token Authentication Specification* and *OAuth2 Token Authentication*.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use serde_json::Value;

use super::Error;
use super::auth::Authorization;
use super::credentials::{Credential, Found, Secret};
use super::error::{Answer, redacted};
use super::transport::{Body, Elsewhere, Request, Session};

/// No token is larger.
const MAX_TOKEN_BYTES: u64 = 1 << 20;
/// What we call ourselves towards OAuth2 servers.
const CLIENT_ID: &str = "overcoat";
/// How long a token lives if its server does not say, and at least.
///
/// # Spec
/// *Token Response Fields*, `expires_in`: 60 by default, and never less.
const LEAST_LIFETIME: Duration = Duration::from_secs(60);

/// What was bought.
pub(super) struct Token {
    pub(super) text: Secret,
    pub(super) lifetime: Duration,
}

/// A way of asking for a token.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    url: Url,
    /// What is posted; without it the request is a GET.
    form: Option<Secret>,
    basic: Option<Authorization>,
}

/// What a token is wanted for.
struct Wish<'a> {
    service: &'a str,
    scopes: &'a [String],
    /// Whether a token is wanted as well that buys others.
    is_offline: bool,
}

impl Session<'_> {
    /// Buys a token.
    pub(super) async fn token(
        &self,
        asked_by: &Url,
        realm: &str,
        service: &str,
        scopes: &[String],
    ) -> Result<Token, Error> {
        let found = self.credentials().await?;
        let url = realm_url(asked_by, realm)?;
        let wish = Wish {
            service,
            scopes,
            is_offline: self.client.auth.wants_offline_token(&self.host),
        };
        let (first, second) = offers(&url, &wish, found.as_ref());
        let bytes = match (self.buy(&first).await, second) {
            // It knows OAuth2 only.
            (Err(Error::Answer(answer)), Some(second)) if matches!(answer.status, 404 | 405) => {
                self.buy(&second).await?
            }
            (bought, _) => bought?,
        };
        let document: Option<Value> = serde_json::from_slice(&bytes).ok();
        let field = |name: &str| {
            let text = document.as_ref()?.get(name)?.as_str();
            text.filter(|token| !token.is_empty()).map(Secret::new)
        };
        if let Some(token) = field("refresh_token") {
            if wish.is_offline {
                self.client.auth.keep_refresh_token(&self.host, token);
            } else if matches!(
                found.map(|found| found.credential),
                Some(Credential::IdentityToken(_))
            ) {
                self.renew_identity(token);
            }
        }
        let seconds = document
            .as_ref()
            .and_then(|it| it.get("expires_in")?.as_u64());
        let lifetime = Duration::from_secs(seconds.unwrap_or(0)).max(LEAST_LIFETIME);
        match field("token").or_else(|| field("access_token")) {
            Some(text) => Ok(Token { text, lifetime }),
            None => Err(first.request().protocol("there is no token in it")),
        }
    }

    async fn buy(&self, offer: &Offer) -> Result<Vec<u8>, Error> {
        let request = offer.request();
        self.retry(async || {
            let owner = &request.url;
            let response = self.follow(&request, offer.basic.as_ref(), owner).await?;
            if response.status().is_success() {
                return self.read(response, MAX_TOKEN_BYTES, "token").await;
            }
            let answer = Answer::read(&request.method, response, self.client.limits).await;
            Err(self.token_refused(answer, offer.form.is_some()))
        })
        .await
    }

    fn token_refused(&self, answer: Answer, is_oauth: bool) -> Error {
        // RFC 6749, section 5.2: a refresh token or a password that is not accepted is answered 400.
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

impl Offer {
    fn request(&self) -> Request<'_> {
        let method = match self.form {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let mut request = Request::new(method, self.url.clone());
        request.elsewhere = Elsewhere::Refused;
        if let Some(form) = &self.form {
            request
                .headers
                .push((CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned()));
            request.body = Body::Bytes(form.expose().as_bytes());
        }
        request
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

/// The usual way to ask for a token, and one for servers that do not know it.
fn offers(url: &Url, wish: &Wish<'_>, found: Option<&Found>) -> (Offer, Option<Offer>) {
    let access_type = match wish.is_offline {
        true => "offline",
        false => "online",
    };
    match found.map(|found| &found.credential) {
        None => (query(url, wish, None), None),
        Some(Credential::Password { username, password }) => {
            let basic = Authorization::Basic {
                username: username.clone(),
                password: password.clone(),
            };
            let grant = [
                ("grant_type", "password"),
                ("access_type", access_type),
                ("username", username),
                ("password", password.expose()),
            ];
            let usual = query(url, wish, Some((username, basic)));
            (usual, Some(form(url, wish, &grant)))
        }
        Some(Credential::IdentityToken(token)) => {
            let grant = [
                ("grant_type", "refresh_token"),
                ("refresh_token", token.expose()),
            ];
            (form(url, wish, &grant), None)
        }
    }
}

fn query(url: &Url, wish: &Wish<'_>, who: Option<(&str, Authorization)>) -> Offer {
    let mut url = url.clone();
    if !wish.service.is_empty() {
        url.query_pairs_mut().append_pair("service", wish.service);
    }
    for scope in wish.scopes {
        url.query_pairs_mut().append_pair("scope", scope);
    }
    if wish.is_offline
        && let Some((username, _)) = &who
    {
        url.query_pairs_mut()
            .append_pair("account", username)
            .append_pair("client_id", CLIENT_ID)
            .append_pair("offline_token", "true");
    }
    Offer {
        url,
        form: None,
        basic: who.map(|(_, basic)| basic),
    }
}

fn form(url: &Url, wish: &Wish<'_>, grant: &[(&str, &str)]) -> Offer {
    let mut form = url.clone();
    form.set_query(None);
    form.query_pairs_mut()
        .extend_pairs(grant)
        .append_pair("service", wish.service)
        .append_pair("client_id", CLIENT_ID);
    if !wish.scopes.is_empty() {
        form.query_pairs_mut()
            .append_pair("scope", &wish.scopes.join(" "));
    }
    Offer {
        url: url.clone(),
        form: form.query().map(Secret::new),
        basic: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_a_realm_only_if_it_is_as_well_protected_as_the_registry() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(realm_url(&url("https://r/"), "https://auth/t").is_ok());
        assert!(realm_url(&url("http://localhost/"), "http://localhost/t").is_ok());
        assert!(realm_url(&url("https://r/"), "http://auth/t").is_err());
        assert!(realm_url(&url("https://r/"), "file:///t").is_err());
        assert!(realm_url(&url("https://r/"), "https://").is_err());
    }

    fn asked(credential: Option<Credential>, is_offline: bool) -> (Offer, Option<Offer>) {
        let found = credential.map(|credential| Found {
            credential,
            origin: String::new(),
        });
        let wish = Wish {
            service: "s 1",
            scopes: &[
                "repository:a:pull".to_owned(),
                "repository:b:pull".to_owned(),
            ],
            is_offline,
        };
        let url = Url::parse("https://auth/token?account=x").unwrap();
        offers(&url, &wish, found.as_ref())
    }

    fn posted(offer: &Offer) -> &str {
        offer.form.as_ref().unwrap().expose()
    }

    #[test]
    fn secrets_are_in_headers_and_forms_and_never_in_urls() {
        let password = || Credential::Password {
            username: "u&v".to_owned(),
            password: Secret::new("hunter2&x=y"),
        };
        let (anonymous, none) = asked(None, false);
        assert_eq!(
            anonymous.url.as_str(),
            "https://auth/token?account=x&service=s+1&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull"
        );
        assert_eq!((anonymous.basic, none), (None, None));

        let (usual, other) = asked(Some(password()), false);
        assert_eq!(usual.url, anonymous.url);
        assert!(
            matches!(&usual.basic, Some(Authorization::Basic { username, .. }) if username == "u&v")
        );
        assert_eq!(
            posted(&other.unwrap()),
            "grant_type=password&access_type=online&username=u%26v&password=hunter2%26x%3Dy&service=s+1&client_id=overcoat&scope=repository%3Aa%3Apull+repository%3Ab%3Apull"
        );

        let (usual, other) = asked(Some(password()), true);
        let (url, other) = (usual.url.as_str(), other.unwrap());
        assert!(
            url.ends_with("&account=u%26v&client_id=overcoat&offline_token=true"),
            "{url}"
        );
        assert!(posted(&other).contains("access_type=offline"));
        assert!(!other.url.as_str().contains("hunter2"));

        let token = Credential::IdentityToken(Secret::new("hunter2"));
        let (usual, other) = asked(Some(token), false);
        assert!(
            posted(&usual).starts_with("grant_type=refresh_token&refresh_token=hunter2&service=")
        );
        assert_eq!(
            (usual.url.as_str(), other),
            ("https://auth/token?account=x", None)
        );
        assert!(!format!("{usual:?}").contains("hunter2"));
    }
}
