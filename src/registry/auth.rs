//! Answering a registry that asks who we are: Basic, or a Bearer token bought from the realm it names.
//!
//! Nothing is sent before it is asked for. What was found out is kept for the life of the client: how a host asks,
//! and one token for each (realm, service, scopes). A token that is about to expire is replaced before it is used;
//! one that is refused all the same is replaced once. Refused credentials are an error; there is no second try without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Response, Url};

use super::Error;
use super::challenge::{self, Scheme};
use super::credentials::{Credential, Found, Secret};
use super::transport::Session;

/// What goes into the header `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authorization {
    Basic { username: String, password: Secret },
    Bearer(Secret),
}

/// What was found out, shared by all sessions of a client.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    methods: BTreeMap<String, Scheme>,
    authorizations: BTreeMap<Key, Kept>,
    credentials: BTreeMap<(String, String), Option<Found>>,
    /// One for each host: who waits for it finds what the holder bought.
    purchases: BTreeMap<String, Arc<tokio::sync::Mutex<()>>>,
    /// Hosts for which a token is wanted that buys others.
    offline: BTreeSet<String>,
    /// Such tokens, by host.
    refresh: BTreeMap<String, Secret>,
}

/// Host, how it asks, and what is wanted.
type Key = (String, Scheme, Vec<String>);

/// What a host accepted, or probably will.
#[derive(Clone, Debug)]
struct Kept {
    authorization: Authorization,
    validity: Option<Validity>,
}

/// How long a token can be used, and what to do then.
#[derive(Clone, Debug)]
struct Validity {
    bought: Instant,
    lifetime: Duration,
    asked_by: Url,
    /// All that it was bought for.
    scopes: Vec<String>,
}

impl Validity {
    /// A tenth of its life is for the way to the registry, and for clocks that differ.
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.bought) >= self.lifetime.mul_f64(0.9)
    }
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `found` what is known of who we are at `host`, and wants of its token server a token that buys others.
    pub(super) fn log_in(&self, host: &str, found: Found) {
        let mut state = self.lock();
        let key = (host.to_owned(), String::new());
        state.credentials.insert(key, Some(found));
        state.offline.insert(host.to_owned());
    }

    pub(super) fn wants_offline_token(&self, host: &str) -> bool {
        self.lock().offline.contains(host)
    }

    pub(super) fn keep_refresh_token(&self, host: &str, token: Secret) {
        self.lock().refresh.insert(host.to_owned(), token);
    }

    pub(super) fn refresh_token(&self, host: &str) -> Option<Secret> {
        self.lock().refresh.get(host).cloned()
    }
}

impl Session<'_> {
    fn key(&self, method: Scheme) -> Key {
        (self.host.clone(), method, self.scopes.clone())
    }

    fn kept(&self) -> Option<Kept> {
        let state = self.client.auth.lock();
        let method = state.methods.get(&self.host)?.clone();
        state.authorizations.get(&self.key(method)).cloned()
    }

    /// What to send unasked: what this host accepted for these scopes before, renewed when it is too old.
    pub(super) async fn authorization(&self) -> Result<Option<Authorization>, Error> {
        let Some(kept) = self.kept() else {
            return Ok(None);
        };
        let Some(validity) = &kept.validity else {
            return Ok(Some(kept.authorization));
        };
        if !validity.is_over(Instant::now()) {
            return Ok(Some(kept.authorization));
        }
        let method = self.client.auth.lock().methods.get(&self.host).cloned();
        let Some(method) = method else {
            return Ok(None);
        };
        let (asked_by, scopes) = (&validity.asked_by, &validity.scopes);
        self.fresh(&method, asked_by, scopes, Some(&kept.authorization))
            .await
    }

    /// True when something was shown to this host that it asked for.
    pub(super) fn is_known(&self) -> bool {
        self.kept().is_some()
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
        let challenges = challenge::of_headers(response.headers());
        let Some((method, wanted)) = challenge::choose(&challenges) else {
            return Ok(None);
        };
        self.client
            .auth
            .lock()
            .methods
            .insert(self.host.clone(), method.clone());
        let scopes = united(&self.scopes, &wanted);
        self.fresh(&method, response.url(), &scopes, refused).await
    }

    /// Something else to show than `refused`; bought once, however many requests need it at the same time.
    async fn fresh(
        &self,
        method: &Scheme,
        asked_by: &Url,
        scopes: &[String],
        refused: Option<&Authorization>,
    ) -> Result<Option<Authorization>, Error> {
        let purchase = {
            let mut state = self.client.auth.lock();
            Arc::clone(state.purchases.entry(self.host.clone()).or_default())
        };
        let _turn = purchase.lock().await;
        // Another request may have renewed it meanwhile.
        if let Some(kept) = self.kept()
            && Some(&kept.authorization) != refused
        {
            return Ok(Some(kept.authorization));
        }
        let fresh = match method {
            Scheme::Basic => self.basic().await?.map(|authorization| Kept {
                authorization,
                validity: None,
            }),
            Scheme::Bearer { realm, service } => {
                let token = self.token(asked_by, realm, service, scopes).await?;
                Some(Kept {
                    authorization: Authorization::Bearer(token.text),
                    validity: Some(Validity {
                        bought: Instant::now(),
                        lifetime: token.lifetime,
                        asked_by: asked_by.clone(),
                        scopes: scopes.to_vec(),
                    }),
                })
            }
        };
        // A password that was refused once is refused again; a token may have been too old.
        let Some(fresh) = fresh.filter(|fresh| Some(&fresh.authorization) != refused) else {
            return Ok(None);
        };
        let key = self.key(method.clone());
        let mut state = self.client.auth.lock();
        state.authorizations.insert(key, fresh.clone());
        Ok(Some(fresh.authorization))
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

    /// Who we are at this session's host, looked up once.
    pub(super) async fn credentials(&self) -> Result<Option<Found>, Error> {
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

    /// Replaces what a token server has replaced: it gave a new token that buys others with the last one it bought.
    pub(super) fn renew_identity(&self, token: Secret) {
        let key = (self.host.clone(), self.repository.clone());
        let mut state = self.client.auth.lock();
        if let Some(Some(found)) = state.credentials.get_mut(&key) {
            found.credential = Credential::IdentityToken(token);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scopes_that_ours_do_not_cover_are_added() {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let ours = list("repository:a:pull,push");
        assert_eq!(united(&ours, &list("repository:a:pull")), ours);
        assert_eq!(united(&ours, &list("repository:a:push,pull")), ours);
        assert_eq!(united(&ours, &list("registry:catalog:*")).len(), 2);
        assert_eq!(united(&ours, &list("repository:b:pull")).len(), 2);
    }

    #[test]
    fn a_token_is_too_old_when_nine_tenths_of_its_life_are_over() {
        let bought = Instant::now();
        let validity = Validity {
            bought,
            lifetime: Duration::from_secs(60),
            asked_by: Url::parse("https://r/").unwrap(),
            scopes: Vec::new(),
        };
        for (seconds, expected) in [(0, false), (53, false), (54, true), (600, true)] {
            let now = bought + Duration::from_secs(seconds);
            assert_eq!(validity.is_over(now), expected, "{seconds}");
        }
    }
}
