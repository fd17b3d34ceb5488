//! The connection below an exchange: TLS or not, which certificates, and what is in the way when there is none.

use std::io;

use reqwest::{Method, Response, StatusCode, Url};
use rustls::AlertDescription;

use super::challenge;
use super::error::{Answer, Error, Obstacle, shown};
use super::hosts::Preference;
use super::transport::{Request, Session, broken, is_same_origin};
use crate::http::{self, Tls};

impl Session<'_> {
    /// True when a host that may be spoken to in either way has no TLS.
    pub(super) fn may_go_plain(&self, request: &Request<'_>, error: &Error) -> bool {
        let is_own = self
            .url("")
            .is_ok_and(|own| is_same_origin(&own, &request.url));
        self.preference == Preference::TlsThenPlain
            && request.url.scheme() == "https"
            && is_own
            && matches!(
                error,
                Error::Connect {
                    obstacle: Obstacle::PlainHttp | Obstacle::Network,
                    ..
                }
            )
    }

    /// True when the token was understood, is of somebody who is known, and does not allow what was asked: another
    /// password would change nothing.
    pub(super) fn lacks_rights(&self, response: &Response) -> bool {
        response.status() == StatusCode::UNAUTHORIZED
            && self.credentials_origin().is_some()
            && challenge::wants_more(&challenge::of_headers(response.headers()))
    }

    /// The TLS settings for a URL: another host than the registry sees neither its client certificate nor its
    /// exemptions.
    pub(super) fn tls_for(&self, url: &Url) -> Result<Tls, Error> {
        let own = self.url("")?;
        let address = |url: &Url| (url.host_str().map(str::to_owned), url.port());
        if url.scheme() != "https" || address(url) == address(&own) {
            return Ok(self.tls.clone());
        }
        Ok(self
            .client
            .hosts
            .tls_elsewhere(&shown_host(url), &self.tls)?)
    }

    pub(super) fn failed(&self, method: &Method, url: &Url, error: reqwest::Error) -> Error {
        let http = &self.client.http;
        let tls = self.tls_for(url).unwrap_or_default();
        let mut obstacle = obstacle(&error, http.has_certificates_for(&tls));
        // With TLS 1.3 a server that does not know us ends the connection when we think that all is well.
        let is_unknown = url.scheme() == "https"
            && !self.client.has_answered(url)
            && http.was_asked_who_we_are(&tls);
        if !error.is_connect() && is_unknown {
            obstacle = Obstacle::ClientCertificate;
        }
        if !error.is_connect() && obstacle != Obstacle::ClientCertificate {
            return broken(method, url, error);
        }
        Error::Connect {
            host: shown_host(url),
            obstacle,
            cause: if error.is_timeout() {
                "it takes too long".to_owned()
            } else {
                shown(&http::cause(error))
            },
        }
    }
}

/// Go's server and nginx answer so to plain HTTP on a TLS port.
pub(super) fn is_tls_complaint(request: &Request<'_>, answer: &Answer) -> bool {
    let body = answer.body.to_ascii_lowercase();
    request.url.scheme() == "http"
        && answer.status == 400
        && (body.contains("http request to an https server")
            || body.contains("plain http request was sent to https"))
}

/// Host and port of a URL, as messages and directories of certificates name them.
pub(super) fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

pub(super) fn with_scheme<'a>(request: &Request<'a>, scheme: &str) -> Request<'a> {
    let mut again = request.clone();
    // Between `http` and `https` every URL may change.
    let _ = again.url.set_scheme(scheme);
    again
}

fn obstacle(error: &reqwest::Error, has_certificates: bool) -> Obstacle {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = source {
        match current.downcast_ref() {
            Some(rustls::Error::InvalidMessage(_)) => return Obstacle::PlainHttp,
            Some(rustls::Error::AlertReceived(alert)) => {
                return match alert {
                    AlertDescription::CertificateRequired
                    | AlertDescription::BadCertificate
                    | AlertDescription::UnknownCA => Obstacle::ClientCertificate,
                    _ => Obstacle::Other,
                };
            }
            Some(rustls::Error::InvalidCertificate(_)) if has_certificates => {
                return Obstacle::Certificate;
            }
            Some(rustls::Error::InvalidCertificate(_)) => return Obstacle::NoAuthorities,
            Some(_) => return Obstacle::Other,
            None => {}
        }
        // An I/O error does not give what it wraps as its source.
        let wrapped = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        source = match wrapped {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    Obstacle::Network
}
