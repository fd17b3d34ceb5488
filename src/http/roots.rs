//! Trusted certificate authorities, read when the first server shows its certificate: most of a bundle's cost would
//! else be paid by commands that never speak TLS (a registry on loopback, or nothing at all).

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Checks servers exactly as rustls does by itself, against authorities that are parsed at the first check.
#[derive(Debug)]
pub(super) struct LazyRoots {
    /// PEM; what cannot be parsed in it is passed over.
    bundle: Vec<u8>,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
}

impl LazyRoots {
    pub(super) fn new(bundle: Vec<u8>, provider: Arc<CryptoProvider>) -> Self {
        Self {
            bundle,
            provider,
            verifier: OnceLock::new(),
        }
    }

    /// rustls's own verifier; `None` when no authority can be used.
    fn verifier(&self) -> Option<&Arc<WebPkiServerVerifier>> {
        let make = || {
            let mut roots = RootCertStore::empty();
            let certificates = CertificateDer::pem_slice_iter(&self.bundle).filter_map(Result::ok);
            roots.add_parsable_certificates(certificates);
            let provider = Arc::clone(&self.provider);
            // It refuses to be made of no authorities.
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .ok()
        };
        self.verifier.get_or_init(make).as_ref()
    }

    /// False when no server can be trusted.
    pub(super) fn has_any(&self) -> bool {
        self.verifier().is_some()
    }
}

impl ServerCertVerifier for LazyRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.verifier() {
            Some(verifier) => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Err(CertificateError::UnknownIssuer.into()),
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

    fn roots(bundle: &[u8]) -> LazyRoots {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        LazyRoots::new(bundle.to_vec(), provider)
    }

    #[test]
    fn without_authorities_every_server_is_refused_for_its_issuer() {
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for bundle in [&b""[..], b"no PEM", garbage] {
            let roots = roots(bundle);
            assert!(!roots.has_any());
            let refused = roots.verify_server_cert(
                &CertificateDer::from(vec![0x30]),
                &[],
                &"registry.example".try_into().unwrap(),
                &[],
                UnixTime::since_unix_epoch(std::time::Duration::ZERO),
            );
            assert_eq!(
                refused.unwrap_err(),
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)
            );
        }
        assert!(!roots(b"").supported_verify_schemes().is_empty());
    }
}
