//! Whom to ask: the registry, its mirrors before it, and how each wants to be spoken to.

use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use reqwest::Url;

use super::connection::shown_host;
use super::error::Obstacle;
use super::hosts::{Place, Preference, Refusal};
use super::transport::Session;
use super::{Access, Error, RegistryClient, limits};
use crate::event::{Event, Observer};
use crate::reference::{DEFAULT_REGISTRY, Reference};

/// Docker Hub's API does not live at the host that its references name.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

impl RegistryClient {
    /// A session with the registry that the reference names.
    pub(super) fn session<'a>(
        &'a self,
        reference: &Reference,
        access: Access,
        observer: &'a dyn Observer,
    ) -> Result<Session<'a>, Error> {
        let (host, repository) = (reference.host(), reference.repository());
        let place = self.hosts.for_writing(host, repository);
        let place = place.map_err(|refusal| refused(refusal, &reference.to_string()))?;
        let scopes = scopes(&place, access);
        Ok(self.session_at(place, scopes, reference.to_string(), observer))
    }

    /// Sessions for reading, in the order in which to ask: mirrors, then the registry.
    fn sessions<'a>(
        &'a self,
        reference: &Reference,
        observer: &'a dyn Observer,
    ) -> Result<Vec<Session<'a>>, Error> {
        let places = self.hosts.for_reading(reference);
        let places = places.map_err(|refusal| refused(refusal, &reference.to_string()))?;
        let session = |place: Place| {
            let subject = match place.is_mirror {
                false => reference.to_string(),
                true => format!("{reference} on {}/{}", place.host, place.repository),
            };
            let scopes = scopes(&place, Access::Pull);
            self.session_at(place, scopes, subject, observer)
        };
        Ok(places.into_iter().map(session).collect())
    }

    /// All sessions for reading what any of `references` names.
    pub(super) fn sessions_of<'a, 'r>(
        &'a self,
        references: impl Iterator<Item = &'r Reference>,
        observer: &'a dyn Observer,
    ) -> Result<Vec<Session<'a>>, Error> {
        let mut all = Vec::new();
        for reference in references {
            all.extend(self.sessions(reference, observer)?);
        }
        Ok(all)
    }

    /// Does `work` where it succeeds first: at a mirror, or else at the registry. Also the sessions for what belongs to
    /// it, the successful one first.
    ///
    /// A mirror that fails is passed over whatever its reason, for the next place may do; the person is told, unless it
    /// just does not have the image.
    pub(super) fn reading<'a, T>(
        &'a self,
        reference: &Reference,
        observer: &'a dyn Observer,
        work: impl Fn(&Session<'a>) -> Result<T, Error>,
    ) -> Result<(T, Vec<Session<'a>>), Error> {
        let mut sessions = self.sessions(reference, observer)?;
        let mut passed_over = Vec::new();
        loop {
            let session = &sessions[0];
            let error = match work(session) {
                Ok(done) => return Ok((done, sessions)),
                Err(error @ (Error::Interrupted | Error::Store(_))) => return Err(error),
                Err(error) if !session.is_mirror && passed_over.is_empty() => return Err(error),
                Err(error) if !session.is_mirror => {
                    return Err(Error::Mirrors {
                        source: Box::new(error),
                        mirrors: passed_over,
                    });
                }
                Err(error) => error,
            };
            let mirror = format!("{}/{}", session.host, session.repository);
            if !error.is_not_found() {
                let text = format!("the mirror `{mirror}` is passed over: {error}");
                observer.observe(Event::Note { text });
            }
            passed_over.push(format!("`{mirror}` ({error})"));
            sessions.remove(0);
        }
    }

    pub(super) fn session_at<'a>(
        &'a self,
        place: Place,
        scopes: Vec<String>,
        subject: String,
        observer: &'a dyn Observer,
    ) -> Session<'a> {
        Session {
            client: self,
            observer,
            host: place.host,
            repository: place.repository,
            preference: place.preference,
            tls: place.tls,
            is_mirror: place.is_mirror,
            scopes,
            subject,
            deadline: limits::deadline(&self.limits),
        }
    }

    /// The scheme and the host to speak to for a host as references name it.
    pub(super) fn endpoint<'a>(
        &self,
        host: &'a str,
        preference: Preference,
    ) -> (&'static str, &'a str) {
        let known = || locked(&self.schemes).get(host).copied();
        let scheme = match preference {
            // Whatever was found out for a part of the host that may be spoken to plainly.
            Preference::Tls => "https",
            Preference::Plain => known().unwrap_or("http"),
            Preference::TlsThenPlain => known().unwrap_or("https"),
        };
        match host {
            DEFAULT_REGISTRY => (scheme, DOCKER_HUB_API),
            host => (scheme, host),
        }
    }

    pub(super) fn remember_scheme(&self, host: &str, scheme: &'static str) {
        locked(&self.schemes).insert(host.to_owned(), scheme);
    }

    /// Remembers that a mirror cannot be reached, so that nobody waits for it again.
    pub(super) fn give_up(&self, session: &Session<'_>) {
        if session.is_mirror {
            locked(&self.given_up).insert(session.host.clone());
        }
    }

    pub(super) fn remember_answer(&self, url: &Url) {
        if url.scheme() == "https" {
            locked(&self.answered).insert(shown_host(url));
        }
    }

    /// True when a host has ever answered over TLS: then it knows us well enough.
    pub(super) fn has_answered(&self, url: &Url) -> bool {
        locked(&self.answered).contains(&shown_host(url))
    }

    /// Why a mirror is not asked again.
    pub(super) fn gave_up(&self, session: &Session<'_>) -> Option<Error> {
        let is_over = session.is_mirror && locked(&self.given_up).contains(&session.host);
        is_over.then(|| Error::Connect {
            host: session.host.clone(),
            cause: "it could not be reached before".to_owned(),
            obstacle: Obstacle::Network,
        })
    }
}

fn scopes(place: &Place, access: Access) -> Vec<String> {
    let actions = match access {
        Access::Pull => "pull",
        Access::PullAndPush => "pull,push",
    };
    vec![format!("repository:{}:{actions}", place.repository)]
}

pub(super) fn refused(refusal: Refusal, subject: &str) -> Error {
    let blocked = |path: PathBuf| Error::Blocked {
        subject: subject.to_owned(),
        path,
    };
    match refusal {
        Refusal::Settings(error) => error.into(),
        Refusal::Blocked(path) => blocked(path),
    }
}

fn locked<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
