//! Asking whether a registry is there: `GET /v2/`.

use reqwest::{Method, Url};

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
        let session = Session {
            client: self,
            observer,
            host: host.to_owned(),
            repository: String::new(),
            scopes: Vec::new(),
            subject: host.to_owned(),
            deadline: super::limits::deadline(&self.limits),
        };
        let mut url: Url = session.url("")?;
        url.set_path("/v2/");
        let request = Request::new(Method::GET, url);
        session.run(observer, session.exchange(&request))?;
        Ok(())
    }
}
