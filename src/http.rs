//! One HTTP client for everything that is fetched: TLS roots, proxies and time limits decided once.
//!
//! Asynchronous work stays behind [`Http::run`]: callers above are synchronous. The certificates are given, never
//! looked up, so a machine without any still reaches plain-HTTP registries, and the reason for a failing HTTPS
//! request can be told.

mod get;
pub mod netrc;
mod tls;
mod verifier;

pub use get::GetError;
pub use tls::{Identity, Purpose, Tls};
use tls::{Presenter, SpecialClient};

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;

use self::verifier::Verifier;
use crate::event::Observer;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection may be silent in the middle of an answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often waiting work looks whether the person asked to stop.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// What a client needs to know of its host.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Trusted certificate authorities as a PEM bundle; may be empty.
    pub certificates: Vec<u8>,
    /// Proxy settings as the host gives them.
    pub proxies: Proxies,
}

/// Proxy URLs by the scheme they serve, as in `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<String>,
    /// For `https` URLs.
    pub https: Option<String>,
    /// Hosts that are reached directly, comma-separated.
    pub none: Option<String>,
}

impl std::fmt::Debug for Proxies {
    /// Proxy URLs carry passwords: only says which are set.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("none", &self.none)
            .finish()
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A proxy setting is not a URL.
    #[error("the proxy setting `{variable}` is not a URL")]
    Proxy {
        /// The environment variable's usual name.
        variable: &'static str,
    },
    /// A certificate or a key of our own that cannot be used.
    #[error("the client certificate cannot be used: {reason}")]
    Identity {
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library or the runtime refused to start.
    #[error("cannot start the HTTP client: {reason}")]
    Start {
        /// What it said.
        reason: String,
    },
}

/// The person asked to stop while a request was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// An HTTP client with the threads it needs.
pub struct Http {
    client: reqwest::Client,
    upload_client: OnceLock<reqwest::Client>,
    unverified_client: OnceLock<reqwest::Client>,
    /// Of hosts with TLS settings of their own.
    special_clients: Mutex<BTreeMap<(Tls, Purpose), SpecialClient>>,
    presenter: Arc<Presenter>,
    certificates: Vec<u8>,
    tls: ClientConfig,
    verifier: Arc<Verifier>,
    proxies: Vec<reqwest::Proxy>,
    runtime: tokio::runtime::Runtime,
}

impl std::fmt::Debug for Http {
    /// What reqwest shows of a proxy has its password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Http {
    /// Starts a client that identifies itself as overcoat, follows no redirect by itself, and decodes no content. It
    /// is cheap: certificates are parsed when the first server shows its own.
    ///
    /// # Errors
    /// [`Error::Proxy`] for a proxy that is no URL; [`Error::Start`] when the system has no room for its threads.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let start = |error: &dyn std::fmt::Display| Error::Start {
            reason: error.to_string(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::of(settings.certificates.clone(), Arc::clone(&provider));
        let verifier = Arc::new(verifier);
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| start(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Verifier>::clone(&verifier))
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let presenter = Arc::new(Presenter::default());
        tls.client_auth_cert_resolver = Arc::<Presenter>::clone(&presenter);
        let proxies = proxies(&settings.proxies)?;
        let client = builder(&tls, &proxies).read_timeout(IDLE_TIMEOUT).build();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| start(&error))?;
        Ok(Self {
            client: client.map_err(|error| start(&error))?,
            upload_client: OnceLock::new(),
            unverified_client: OnceLock::new(),
            special_clients: Mutex::default(),
            presenter,
            certificates: settings.certificates.clone(),
            tls,
            verifier,
            proxies,
            runtime,
        })
    }

    /// The client, for building requests within [`Http::run`].
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The client for requests with a long body. reqwest counts silence from the start of a request, so an upload of
    /// more than a minute would be cut: this one has no such limit, and the body must watch its own progress. It has
    /// connections of its own.
    ///
    /// # Errors
    /// What reqwest says when it cannot be started.
    pub fn upload_client(&self) -> reqwest::Result<&reqwest::Client> {
        if let Some(client) = self.upload_client.get() {
            return Ok(client);
        }
        let client = builder(&self.tls, &self.proxies).build()?;
        Ok(self.upload_client.get_or_init(|| client))
    }

    /// The client for hosts that the person trusts whatever certificate they show (pip's `--trusted-host`). Somebody on
    /// the way can be whoever they like to it.
    ///
    /// # Errors
    /// What reqwest says when it cannot be started.
    pub fn unverified_client(&self) -> reqwest::Result<&reqwest::Client> {
        if let Some(client) = self.unverified_client.get() {
            return Ok(client);
        }
        let mut tls = self.tls.clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        tls.dangerous()
            .set_certificate_verifier(Arc::new(Verifier::credulous(provider)));
        let client = builder(&tls, &self.proxies).read_timeout(IDLE_TIMEOUT);
        let client = client.build()?;
        Ok(self.unverified_client.get_or_init(|| client))
    }

    /// False when no certificate authority is trusted: every HTTPS request will fail.
    pub fn has_certificates(&self) -> bool {
        self.verifier.has_any()
    }

    /// Waits for `work`, or for the person to ask to stop. May be called from several threads at once.
    pub fn run<T>(
        &self,
        observer: &dyn Observer,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupted> {
        let cancelled = async {
            while !observer.is_cancelled() {
                tokio::time::sleep(CANCEL_POLL).await;
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancelled => Err(Interrupted),
                done = work => Ok(done),
            }
        })
    }
}

/// What both clients have in common.
fn builder(tls: &ClientConfig, proxies: &[reqwest::Proxy]) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .user_agent(concat!("overcoat/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .no_proxy();
    proxies
        .iter()
        .fold(builder, |builder, proxy| builder.proxy(proxy.clone()))
}

fn proxies(settings: &Proxies) -> Result<Vec<reqwest::Proxy>, Error> {
    let bypass = settings
        .none
        .as_deref()
        .and_then(reqwest::NoProxy::from_string);
    let mut proxies = Vec::new();
    if let Some(url) = &settings.http {
        let proxy = reqwest::Proxy::http(url).map_err(|_| Error::Proxy {
            variable: "HTTP_PROXY",
        })?;
        proxies.push(proxy.no_proxy(bypass.clone()));
    }
    if let Some(url) = &settings.https {
        let proxy = reqwest::Proxy::https(url).map_err(|_| Error::Proxy {
            variable: "HTTPS_PROXY",
        })?;
        proxies.push(proxy.no_proxy(bypass));
    }
    Ok(proxies)
}

/// The innermost cause of a failed request, without its URL: URLs can carry secrets.
pub fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut source: &dyn std::error::Error = &error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    crate::fs::plain(&source.to_string())
}
