//! Which cluster, and as whom: kubeconfig files as kubectl reads them, or the files that every pod has.
//!
//! Order, first hit wins: the contexts of the kubeconfigs (of which the first to say something is believed), then the pod's
//! own files. The namespace: what was asked for, the context's, the pod's, `default`.

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Error;
use super::no_proxy::is_excepted;
use crate::event::printable;
use crate::http::Proxies;
use crate::{fs, reference};

/// How large a kubeconfig may be.
const MOST_KUBECONFIG_BYTES: u64 = 16 << 20;
/// How large a pod's files may be.
const MOST_POD_FILE_BYTES: u64 = 1 << 20;

/// What this machine and this person's command line say about clusters.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Kubeconfig files, merged: the first that says something is believed.
    pub kubeconfigs: Vec<PathBuf>,
    /// True when the person named them one by one: each must be there. Of those in `KUBECONFIG`, kubectl passes over the absent.
    pub must_exist: bool,
    /// What a pod knows of its cluster, if we are in one.
    pub in_cluster: Option<InCluster>,
    /// The context that was asked for; else the current one.
    pub context: Option<String>,
    /// The namespace that was asked for.
    pub namespace: Option<String>,
    /// The machine's certificate authorities (PEM), for clusters whose kubeconfig names none.
    pub certificates: Vec<u8>,
    /// Proxies, for clusters whose kubeconfig names none.
    pub proxies: Proxies,
}

/// What a pod knows of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InCluster {
    /// `KUBERNETES_SERVICE_HOST`.
    pub host: String,
    /// `KUBERNETES_SERVICE_PORT`.
    pub port: String,
    /// The directory with `token`, `ca.crt` and `namespace`: `/var/run/secrets/kubernetes.io/serviceaccount`.
    pub directory: PathBuf,
}

/// A cluster that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Target {
    /// The context; none in a pod.
    pub context: Option<String>,
    /// The API server: `https://HOST:PORT`, without credentials.
    pub server: String,
    /// The namespace for whatever does not name one.
    pub namespace: String,
}

impl Target {
    /// True for a context of k3d, kind or minikube: a cluster on somebody's own machine.
    pub fn is_local(&self) -> bool {
        self.context.as_deref().is_some_and(is_local_context)
    }
}

/// True for the name of a context that k3d (`k3d-NAME`), kind (`kind-NAME`) or minikube made.
pub fn is_local_context(name: &str) -> bool {
    name.starts_with("k3d-") || name.starts_with("kind-") || name == "minikube"
}

/// The contexts of the kubeconfigs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contexts {
    /// The one that is used when none is asked for.
    pub current: Option<String>,
    /// All names, in the order of the files.
    pub names: Vec<String>,
}

impl Access {
    /// The contexts that there are; none at all where there is no kubeconfig.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`].
    pub fn contexts(&self) -> Result<Contexts, Error> {
        let kubeconfig = self.kubeconfig()?.unwrap_or_default();
        Ok(contexts(&kubeconfig))
    }

    /// The cluster that would be spoken with. Nothing is asked of it.
    ///
    /// # Errors
    /// [`Error::NoKubeconfig`], [`Error::Kubeconfig`], [`Error::UnknownContext`], [`Error::NoContext`], [`Error::Context`],
    /// [`Error::InCluster`].
    pub fn target(&self) -> Result<Target, Error> {
        self.config().map(|(_, target)| target)
    }

    /// The settings of a client.
    pub(super) fn config(&self) -> Result<(Config, Target), Error> {
        let kubeconfig = self.kubeconfig()?;
        let has_context =
            |config: &Kubeconfig| config.current_context.is_some() || !config.contexts.is_empty();
        let (mut config, context) = match (kubeconfig, &self.in_cluster) {
            (Some(kubeconfig), _) if self.context.is_some() || has_context(&kubeconfig) => {
                let (config, context) = self.of_context(kubeconfig)?;
                (config, Some(context))
            }
            (_, Some(pod)) if self.context.is_none() => (of_pod(pod)?, None),
            (Some(_), _) => return Err(Error::NoContext { known: Vec::new() }),
            (None, _) => {
                return Err(Error::NoKubeconfig {
                    looked: self.kubeconfigs.clone(),
                });
            }
        };
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        let server = server(&config);
        let target = Target {
            context,
            server,
            namespace: config.default_namespace.clone(),
        };
        self.check_scheme(&config, &target)?;
        if config.root_cert.is_none() {
            config.root_cert = self.machine_certificates();
        }
        config.connect_timeout = Some(std::time::Duration::from_secs(20));
        // kube's own retries would go on after we have told somebody that time is over.
        config.default_retry = false;
        Ok((config, target))
    }

    /// A token over plain HTTP is anybody's who listens.
    fn check_scheme(&self, config: &Config, target: &Target) -> Result<(), Error> {
        let host = config.cluster_url.host().unwrap_or_default();
        let reason = match config.cluster_url.scheme_str() {
            Some("https") if !host.is_empty() => return Ok(()),
            Some("http") if reference::is_loopback(host) => return Ok(()),
            Some("http") => {
                "its server is spoken with over plain HTTP, where credentials can be read by others; only https is accepted"
            }
            _ => "its server is no URL of a host",
        };
        let context = target.context.clone().unwrap_or_default();
        Err(Error::Context {
            context,
            reason: reason.to_owned(),
        })
    }

    /// All files, merged; `None` when there is none.
    fn kubeconfig(&self) -> Result<Option<Kubeconfig>, Error> {
        let mut merged: Option<Kubeconfig> = None;
        for path in &self.kubeconfigs {
            let unusable = |reason: String| Error::Kubeconfig {
                path: path.clone(),
                reason,
            };
            match fs::read_limited(path, MOST_KUBECONFIG_BYTES) {
                Err(error) if error.is_absent() && !self.must_exist => continue,
                Err(error) => return Err(unusable(error.to_string())),
                Ok(bytes) => check_text(&bytes).map_err(unusable)?,
            }
            // It makes relative paths absolute, as kubectl does.
            let next = Kubeconfig::read_from(path).map_err(|error| unusable(reason(&error)))?;
            merged = Some(match merged {
                None => next,
                Some(merged) => merged
                    .merge(next)
                    .map_err(|error| unusable(reason(&error)))?,
            });
        }
        Ok(merged)
    }

    fn of_context(&self, mut kubeconfig: Kubeconfig) -> Result<(Config, String), Error> {
        let known = contexts(&kubeconfig);
        let wanted = self.context.clone().or_else(|| known.current.clone());
        let name = wanted.ok_or_else(|| Error::NoContext {
            known: known.names.clone(),
        })?;
        if !known.names.contains(&name) {
            return Err(Error::UnknownContext {
                name,
                known: known.names,
            });
        }
        let unusable = |reason: String| Error::Context {
            context: name.clone(),
            reason,
        };
        let context = kubeconfig
            .contexts
            .iter()
            .find(|context| context.name == name);
        let context = context.and_then(|context| context.context.clone());
        let cluster = context.map(|context| context.cluster).unwrap_or_default();
        let entry = kubeconfig
            .clusters
            .iter_mut()
            .find(|entry| entry.name == cluster);
        let Some(entry) = entry.and_then(|entry| entry.cluster.as_mut()) else {
            return Err(unusable(format!("there is no cluster `{cluster}`")));
        };
        let own_proxy = entry.proxy_url.clone().filter(|url| !url.is_empty());
        let url = entry.server.clone().unwrap_or_default();
        // kube would look into the environment itself where this is not set; what it finds is replaced below.
        entry.proxy_url = Some(
            own_proxy
                .clone()
                .unwrap_or_else(|| "http://127.0.0.1".to_owned()),
        );
        let options = KubeConfigOptions {
            context: Some(name.clone()),
            cluster: None,
            user: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| Error::Start {
            reason: error.to_string(),
        })?;
        let config = runtime.block_on(Config::from_custom_kubeconfig(kubeconfig, &options));
        let mut config = config.map_err(|error| unusable(reason(&error)))?;
        config.proxy_url = match own_proxy {
            Some(_) => config.proxy_url,
            None => match self.proxy_for(&url, config.cluster_url.host().unwrap_or_default()) {
                None => None,
                Some(proxy) => Some(proxy.parse().map_err(|_| {
                    unusable("the proxy setting `HTTPS_PROXY` is not a URL".to_owned())
                })?),
            },
        };
        Ok((config, name))
    }

    /// The machine's proxy for a server, unless its host is excepted.
    fn proxy_for(&self, url: &str, host: &str) -> Option<String> {
        let proxy = match url.starts_with("https:") {
            true => self.proxies.https.clone(),
            false => None,
        };
        let excepted = self.proxies.none.as_deref().unwrap_or_default();
        proxy.filter(|proxy| !proxy.is_empty() && !is_excepted(host, excepted))
    }

    /// Those of the machine's authorities that can be used.
    fn machine_certificates(&self) -> Option<Vec<Vec<u8>>> {
        let mut usable = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&self.certificates).filter_map(Result::ok)
        {
            if RootCertStore::empty().add(certificate.clone()).is_ok() {
                usable.push(certificate.to_vec());
            }
        }
        (!usable.is_empty()).then_some(usable)
    }
}

fn contexts(kubeconfig: &Kubeconfig) -> Contexts {
    let names = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.clone());
    Contexts {
        current: kubeconfig
            .current_context
            .clone()
            .filter(|name| !name.is_empty()),
        names: names.collect(),
    }
}

/// What a pod's files say.
fn of_pod(pod: &InCluster) -> Result<Config, Error> {
    let unusable = |reason: String| Error::InCluster { reason };
    let host = match pod.host.contains(':') {
        true => format!("[{}]", pod.host),
        false => pod.host.clone(),
    };
    let url = format!("https://{host}:{}", pod.port);
    let url = url
        .parse()
        .map_err(|_| unusable(format!("`{}` is no URL", printable(&url))))?;
    let read = |name: &str| {
        let path = pod.directory.join(name);
        fs::read_limited(&path, MOST_POD_FILE_BYTES).map_err(|error| unusable(error.to_string()))
    };
    let authority = read("ca.crt")?;
    let certificates = CertificateDer::pem_slice_iter(&authority).filter_map(Result::ok);
    let certificates: Vec<Vec<u8>> = certificates
        .map(|certificate| certificate.to_vec())
        .collect();
    if certificates.is_empty() {
        return Err(unusable(format!(
            "`{}` has no certificate",
            pod.directory.join("ca.crt").display()
        )));
    }
    read("token")?;
    let mut config = Config::new(url);
    config.root_cert = Some(certificates);
    config.auth_info.token_file = Some(pod.directory.join("token").to_string_lossy().into_owned());
    if let Ok(namespace) = read("namespace") {
        config.default_namespace = String::from_utf8_lossy(&namespace).trim().to_owned();
    }
    Ok(config)
}

/// The URL without whatever may be secret in it.
fn server(config: &Config) -> String {
    let url = &config.cluster_url;
    let host = url.host().unwrap_or_default();
    let port = url
        .port_u16()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{host}{port}", url.scheme_str().unwrap_or_default())
}

/// That it is text and YAML; kube's own words for what is not may quote secrets.
fn check_text(bytes: &[u8]) -> Result<(), String> {
    // kube reads UTF-16 as well.
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Ok(());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    crate::yaml::parse(text)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// What kube says, where that cannot quote a secret.
fn reason(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(_) => "it is YAML, but not what a kubeconfig is".to_owned(),
        KubeconfigError::ParseProxyUrl(_) => "its `proxy-url` is no URL".to_owned(),
        KubeconfigError::ParseClusterUrl(_) => "its `server` is no URL".to_owned(),
        KubeconfigError::MissingClusterUrl => "its cluster has no `server`".to_owned(),
        KubeconfigError::LoadCertificateAuthority(error) => {
            format!(
                "its certificate authority cannot be read: {}",
                printable(&error.to_string())
            )
        }
        KubeconfigError::ParseCertificates(_) => "its certificate authority is not PEM".to_owned(),
        error => printable(&error.to_string()),
    }
}

/// The first line of what something outside said, short and safe to show.
pub(super) fn one_line(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let short: String = line.chars().take(400).collect();
    let mut shown = printable(&short);
    if short.len() < line.len() {
        shown.push('…');
    }
    shown
}

/// Whether something is a file, for messages about credential plugins.
pub(super) fn program_name(command: &str) -> String {
    let name = Path::new(command)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    printable(&name.unwrap_or_else(|| command.to_owned()))
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
