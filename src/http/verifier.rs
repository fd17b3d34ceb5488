//! Whose certificates are believed.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Decides about the certificates of servers. That whoever shows one has its key is always checked.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Trust {
    /// Exactly as rustls does by itself, against authorities that are read when the first server shows its
    /// certificate: most of a bundle's cost would else be paid by commands that never speak TLS.
    Authorities {
        /// PEM; what cannot be parsed in it is passed over.
        bundle: Vec<u8>,
        /// `None` when no authority can be used.
        verifier: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
    },
    /// For hosts that the person trusts whatever they show.
    Anybody,
}

impl Verifier {
    /// Believes those whom an authority of `bundle` (PEM) vouches for.
    pub(super) fn of(bundle: Vec<u8>, provider: Arc<CryptoProvider>) -> Self {
        let verifier = OnceLock::new();
        let trust = Trust::Authorities { bundle, verifier };
        Self { trust, provider }
    }

    /// Believes everybody.
    pub(super) fn credulous(provider: Arc<CryptoProvider>) -> Self {
        let trust = Trust::Anybody;
        Self { trust, provider }
    }

    /// rustls's own verifier; `None` when no authority can be used, or none is needed.
    fn authorities(&self) -> Option<&Arc<WebPkiServerVerifier>> {
        let Trust::Authorities { bundle, verifier } = &self.trust else {
            return None;
        };
        let make = || {
            let mut roots = RootCertStore::empty();
            let certificates = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok);
            roots.add_parsable_certificates(certificates);
            let provider = Arc::clone(&self.provider);
            // It refuses to be made of no authorities.
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .ok()
        };
        verifier.get_or_init(make).as_ref()
    }

    /// False when no server can be trusted.
    pub(super) fn has_any(&self) -> bool {
        matches!(self.trust, Trust::Anybody) || self.authorities().is_some()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match (&self.trust, self.authorities()) {
            (Trust::Anybody, _) => Ok(ServerCertVerified::assertion()),
            (_, Some(verifier)) => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            (_, None) => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    fn ask(verifier: &Verifier) -> Result<ServerCertVerified, rustls::Error> {
        verifier.verify_server_cert(
            &CertificateDer::from(vec![0x30]),
            &[],
            &"registry.example".try_into().unwrap(),
            &[],
            UnixTime::since_unix_epoch(std::time::Duration::ZERO),
        )
    }

    #[test]
    fn without_authorities_every_server_is_refused_for_its_issuer() {
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for bundle in [&b""[..], b"no PEM", garbage] {
            let verifier = Verifier::of(bundle.to_vec(), provider());
            assert!(!verifier.has_any());
            assert_eq!(
                ask(&verifier).unwrap_err(),
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)
            );
            assert!(!verifier.supported_verify_schemes().is_empty());
        }
    }

    #[test]
    fn only_the_credulous_believes_everybody() {
        let verifier = Verifier::credulous(provider());
        assert!(verifier.has_any());
        assert!(ask(&verifier).is_ok());
        assert!(!verifier.supported_verify_schemes().is_empty());
    }
}
