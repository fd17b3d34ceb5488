//! Finding out whether a registry accepts a name and a password before they are kept.

use super::credentials::{Credential, Found};
use super::{Error, RegistryClient};
use crate::event::Observer;

/// What a registry said to a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It accepted. The credential is what to keep: the one given, or a token that its token server gave in its place.
    Accepted(Credential),
    /// It lets everybody in and did not ask.
    NotAsked,
}

impl RegistryClient {
    /// Asks a registry whether it accepts `credential`; its token server, if it has one, is asked for a token that can
    /// be kept in the password's place. `host` is as references name it.
    ///
    /// # Errors
    /// [`Error::Unauthorised`] when it does not accept; otherwise as [`Self::ping`].
    ///
    /// # Spec
    /// OCI distribution-spec, *Determining Support*; Docker's *Token Authentication Specification*, `offline_token`.
    pub fn log_in(
        &self,
        host: &str,
        credential: &Credential,
        observer: &dyn Observer,
    ) -> Result<Checked, Error> {
        let session = self.session_with_host(host, observer)?;
        let found = Found {
            credential: credential.clone(),
            origin: "this login".to_owned(),
        };
        self.auth.log_in(host, found);
        session.run(observer, session.ping())?;
        if !session.is_known() {
            return Ok(Checked::NotAsked);
        }
        let token = self.auth.refresh_token(host);
        let kept = token.map_or_else(|| credential.clone(), Credential::IdentityToken);
        Ok(Checked::Accepted(kept))
    }
}
