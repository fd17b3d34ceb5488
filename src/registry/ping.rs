//! Asking whether a registry is there: `GET /v2/`.

use reqwest::{Method, Url};

use super::sessions::refused;
use super::transport::{Request, Session};
use super::{Error, RegistryClient};
use crate::event::Observer;

impl RegistryClient {
    /// Asks a registry whether it is there and lets us in, once and with the credentials that there are. `host` is as
    /// references name it: `docker.io`, `localhost:5000`.
    ///
    /// # Errors
    /// What it said instead: [`Error::Connect`] with the kind of obstacle, [`Error::Unauthorised`] when it is there and
    /// wants (other) credentials, [`Error::NotFound`] from a server that is no registry, …
    ///
    /// # Spec
    /// OCI distribution-spec, *Determining Support*.
    pub fn ping(&self, host: &str, observer: &dyn Observer) -> Result<(), Error> {
        let session = self.session_with_host(host, observer)?;
        session.run(observer, session.ping())
    }

    /// A session for no repository.
    pub(super) fn session_with_host<'a>(
        &'a self,
        host: &str,
        observer: &'a dyn Observer,
    ) -> Result<Session<'a>, Error> {
        let place = self.hosts.for_writing(host, "");
        let place = place.map_err(|refusal| refused(refusal, host))?;
        Ok(self.session_at(place, Vec::new(), host.to_owned(), observer))
    }
}

impl Session<'_> {
    /// `GET /v2/`.
    pub(super) async fn ping(&self) -> Result<(), Error> {
        let mut url: Url = self.url("")?;
        url.set_path("/v2/");
        self.exchange(&Request::new(Method::GET, url)).await?;
        Ok(())
    }
}
