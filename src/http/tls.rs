//! TLS settings of single hosts: further authorities, certificates of our own, no verification.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::verifier::Verifier;
use super::{Error, Http, IDLE_TIMEOUT, builder};

/// How TLS is spoken with one host, where that differs from what holds for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tls {
    /// Certificate authorities that are trusted beside those of the machine: PEM, may be empty.
    pub authorities: Vec<u8>,
    /// Who we are, for servers that ask (mutual TLS).
    pub identity: Option<Identity>,
    /// True when whatever certificate the server shows is believed. Somebody on the way can be whoever they like.
    pub is_unverified: bool,
}

/// A certificate of our own and its key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The certificate and those between it and its authority: PEM.
    pub certificates: Vec<u8>,
    /// The private key: PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    /// The key is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity([hidden])")
    }
}

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// As [`Http::client`].
    Usual,
    /// As [`Http::upload_client`].
    Upload,
}

impl Http {
    /// The client for hosts with these settings, made when it is first asked for. Clients with other settings have
    /// other connections: a host never sees a certificate that is meant for another.
    ///
    /// # Errors
    /// [`Error::Identity`] for a certificate or key that is none; [`Error::Start`].
    pub fn client_for(&self, tls: &Tls, purpose: Purpose) -> Result<reqwest::Client, Error> {
        let start = |error: reqwest::Error| Error::Start {
            reason: error.to_string(),
        };
        if *tls == Tls::default() {
            return match purpose {
                Purpose::Usual => Ok(self.client.clone()),
                Purpose::Upload => self.upload_client().cloned().map_err(start),
            };
        }
        let key = (tls.clone(), purpose);
        let lock = || {
            self.special_clients
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some((client, _)) = lock().get(&key) {
            return Ok(client.clone());
        }
        let (config, presenter) = self.config_for(tls)?;
        let client = builder(&config, &self.proxies);
        let client = match purpose {
            Purpose::Usual => client.read_timeout(IDLE_TIMEOUT),
            Purpose::Upload => client,
        };
        let client = client.build().map_err(start)?;
        let mut clients = lock();
        let (client, _) = clients.entry(key).or_insert((client, presenter));
        Ok(client.clone())
    }

    /// True when a server that was reached with these settings wanted to see a certificate of ours. With TLS 1.3 and
    /// HTTP/2 nothing else tells that a connection ended because it saw none, or one that it does not know.
    pub fn was_asked_who_we_are(&self, tls: &Tls) -> bool {
        if *tls == Tls::default() {
            return self.presenter.was_asked();
        }
        let clients = self
            .special_clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut presenters = clients.iter().filter(|((settings, _), _)| settings == tls);
        presenters.any(|(_, (_, presenter))| presenter.was_asked())
    }

    /// False when no certificate authority is trusted with these settings: every HTTPS request will fail.
    pub fn has_certificates_for(&self, tls: &Tls) -> bool {
        tls.is_unverified || !tls.authorities.is_empty() || self.has_certificates()
    }

    fn config_for(&self, tls: &Tls) -> Result<(ClientConfig, Arc<Presenter>), Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let identity = tls.identity.as_ref();
        let certified = identity.map(|identity| certified(&provider, identity));
        let presenter = Arc::new(Presenter {
            certified: certified.transpose()?.map(Arc::new),
            was_asked: AtomicBool::new(false),
        });
        let verifier = if tls.is_unverified {
            Verifier::credulous(provider)
        } else {
            let bundle = [&self.certificates[..], b"\n", &tls.authorities].concat();
            Verifier::of(bundle, provider)
        };
        let mut config = self.tls.clone();
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(verifier));
        config.client_auth_cert_resolver = Arc::<Presenter>::clone(&presenter);
        Ok((config, presenter))
    }
}

/// A client, and who it shows to servers.
pub(super) type SpecialClient = (reqwest::Client, Arc<Presenter>);

/// Shows servers who we are, if anybody, and remembers that one asked.
#[derive(Debug, Default)]
pub(super) struct Presenter {
    certified: Option<Arc<CertifiedKey>>,
    was_asked: AtomicBool,
}

impl Presenter {
    fn was_asked(&self) -> bool {
        self.was_asked.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Presenter {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.certified.clone()
    }

    fn has_certs(&self) -> bool {
        self.certified.is_some()
    }
}

fn certified(provider: &CryptoProvider, identity: &Identity) -> Result<CertifiedKey, Error> {
    let refuse = |reason: String| Error::Identity { reason };
    let chain = CertificateDer::pem_slice_iter(&identity.certificates)
        .map(|certificate| certificate.map(CertificateDer::into_owned))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| refuse("its certificate is not PEM".to_owned()))?;
    if chain.is_empty() {
        return Err(refuse("there is no certificate in it".to_owned()));
    }
    // The parser's own message could quote what it could not read.
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|_| {
        refuse("its key is not an unencrypted private key in the form of PEM".to_owned())
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http() -> Http {
        Http::new(&Default::default()).unwrap()
    }

    #[test]
    fn a_client_certificate_that_is_none_is_refused_and_its_key_never_shown() {
        let http = http();
        let identity = |certificates: &str, key: &str| Tls {
            identity: Some(Identity {
                certificates: certificates.into(),
                key: key.into(),
            }),
            ..Tls::default()
        };
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let table = [
            ("", "hunter2", "no certificate"),
            (certificate, "hunter2", "not an unencrypted private key"),
        ];
        for (certificates, key, part) in table {
            let tls = identity(certificates, key);
            let error = http.client_for(&tls, Purpose::Usual).unwrap_err();
            let text = format!("{error} {error:?} {tls:?}");
            assert!(text.contains(part) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn only_what_is_trusted_counts_as_trust() {
        let http = http();
        let of = |authorities: &[u8], is_unverified| Tls {
            authorities: authorities.to_vec(),
            is_unverified,
            ..Tls::default()
        };
        assert!(!http.has_certificates_for(&Tls::default()));
        assert!(http.has_certificates_for(&of(b"PEM", false)));
        assert!(http.has_certificates_for(&of(b"", true)));
    }
}
