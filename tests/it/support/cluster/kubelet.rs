//! A kubelet of the tests' own: pods of one namespace are bound to its node, and become what the test wants them to be. It
//! serves their logs over HTTPS as a kubelet does, so that `pods/log` works through the real API server.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::Api;

const TICK: Duration = Duration::from_millis(60);

/// What becomes of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It runs and is ready; the node has found the image under this `imageID`, or under one made of its name.
    Running(Option<String>),
    /// It runs, and its readiness probe fails (with an event).
    Unready,
    /// The image cannot be pulled (with events).
    ImagePullBackOff,
    /// It ends again and again with this status (with events).
    CrashLoopBackOff(i64),
    /// It has ended with this status; a pod whose containers all have is `Succeeded`, or `Failed`.
    Ended(i64),
    /// Nothing happens to its pod at all.
    Pending,
}

#[derive(Default)]
struct Shared {
    fates: BTreeMap<String, Fate>,
    logs: BTreeMap<String, Vec<(SystemTime, String)>>,
    previous_logs: BTreeMap<String, String>,
    /// `POD/CONTAINER` → image.
    images: BTreeMap<String, String>,
    /// What was asked of the log server: path and query.
    asked: Vec<String>,
}

/// A kubelet at work; it stops when dropped.
pub struct Kubelet {
    api: Arc<Api>,
    node: String,
    shared: Arc<Mutex<Shared>>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Kubelet {
    pub(super) fn start(api: Arc<Api>, namespace: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let node = format!("node-{namespace}");
        let object = json!({
            "apiVersion": "v1", "kind": "Node",
            // Daemon sets of other tests stay away by their node selectors (`objects::daemon_set`).
            "metadata": {"name": node, "labels": {"test": namespace}},
        });
        api.ok("POST", "/api/v1/nodes", &object);
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": "True"}],
            "capacity": {"pods": "110", "cpu": "8", "memory": "8Gi"},
            "allocatable": {"pods": "110", "cpu": "8", "memory": "8Gi"},
        }});
        api.ok("PATCH", &format!("/api/v1/nodes/{node}/status"), &status);
        let shared = Arc::new(Mutex::new(Shared::default()));
        let is_over = Arc::new(AtomicBool::new(false));
        let tls = tls(&api);
        let logs = {
            let (shared, is_over) = (Arc::clone(&shared), Arc::clone(&is_over));
            std::thread::spawn(move || serve(&listener, &tls, &shared, &is_over))
        };
        let pods = {
            let (shared, is_over) = (Arc::clone(&shared), Arc::clone(&is_over));
            let (api, node) = (Arc::clone(&api), node.clone());
            let mut round = Round {
                api,
                node,
                namespace,
                told: BTreeSet::new(),
            };
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    round.go(&shared);
                    std::thread::sleep(TICK);
                }
            })
        };
        Self {
            api,
            node,
            shared,
            is_over,
            threads: vec![logs, pods],
        }
    }

    /// What becomes of containers with this image, from now on; those that run already are changed too.
    pub fn fate(&self, image: &str, fate: Fate) {
        self.shared
            .lock()
            .unwrap()
            .fates
            .insert(image.to_owned(), fate);
    }

    /// Adds a line, printed now, to the logs of all containers with this image.
    pub fn log(&self, image: &str, line: &str) {
        let mut shared = self.shared.lock().unwrap();
        let lines = shared.logs.entry(image.to_owned()).or_default();
        lines.push((SystemTime::now(), line.to_owned()));
    }

    /// What the containers with this image printed before they were started anew (`previous=true`).
    pub fn previous_log(&self, image: &str, text: &str) {
        let mut shared = self.shared.lock().unwrap();
        shared
            .previous_logs
            .insert(image.to_owned(), text.to_owned());
    }

    /// What was asked of the log server so far: `/containerLogs/NAMESPACE/POD/CONTAINER?…`.
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().unwrap().asked.clone()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.api.call(
            "DELETE",
            &format!("/api/v1/nodes/{}", self.node),
            &Value::Null,
        );
    }
}

/// The loop over pods.
struct Round {
    api: Arc<Api>,
    node: String,
    namespace: String,
    /// Events that were sent: `POD-UID REASON`.
    told: BTreeSet<String>,
}

impl Round {
    fn go(&mut self, shared: &Mutex<Shared>) {
        let pods = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let (_, list) = self.api.call("GET", &pods, &Value::Null);
        for pod in list["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                let now =
                    json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
                self.api.call("DELETE", &format!("{pods}/{name}"), &now);
                continue;
            }
            if pod["spec"]["nodeName"].is_null() {
                let binding = json!({
                    "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": self.node},
                });
                self.api
                    .call("POST", &format!("{pods}/{name}/binding"), &binding);
            }
            let empty = Vec::new();
            let containers = pod["spec"]["containers"].as_array().unwrap_or(&empty);
            let fates: Vec<(String, String, Fate)> = {
                let mut shared = shared.lock().unwrap();
                let fates = containers.iter().map(|container| {
                    let text = |key: &str| container[key].as_str().unwrap_or_default().to_owned();
                    let (container, image) = (text("name"), text("image"));
                    let fate = shared
                        .fates
                        .get(&image)
                        .cloned()
                        .unwrap_or(Fate::Running(None));
                    shared
                        .images
                        .insert(format!("{name}/{container}"), image.clone());
                    (container, image, fate)
                });
                fates.collect()
            };
            if fates.iter().any(|(_, _, fate)| *fate == Fate::Pending) {
                continue;
            }
            // What is as it should be stays: a status that changes all the time would never settle.
            let wanted = format!("{fates:?}");
            let current = &pod["metadata"]["annotations"]["test/fates"];
            if current.as_str() == Some(&wanted) {
                continue;
            }
            for (container, image, fate) in &fates {
                self.tell(pod, container, image, fate);
            }
            let (code, _) =
                self.api
                    .call("PATCH", &format!("{pods}/{name}/status"), &status(&fates));
            if code == 200 {
                let mark = json!({"metadata": {"annotations": {"test/fates": wanted}}});
                self.api.call("PATCH", &format!("{pods}/{name}"), &mark);
            }
        }
    }

    /// Events as a kubelet sends them, once a pod and reason.
    fn tell(&mut self, pod: &Value, container: &str, image: &str, fate: &Fate) {
        let (reason, message) = match fate {
            Fate::Running(_) | Fate::Ended(_) | Fate::Pending => return,
            Fate::Unready => (
                "Unhealthy",
                "Readiness probe failed: HTTP probe failed with statuscode: 503".to_owned(),
            ),
            Fate::ImagePullBackOff => (
                "Failed",
                format!(
                    "Failed to pull image \"{image}\": rpc error: code = NotFound desc = failed to resolve reference \"{image}\": not found"
                ),
            ),
            Fate::CrashLoopBackOff(_) => {
                ("BackOff", "Back-off restarting failed container".to_owned())
            }
        };
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        if !self.told.insert(format!("{uid} {reason}")) {
            return;
        }
        let now = now();
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "event-", "namespace": self.namespace},
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod", "namespace": self.namespace, "name": pod["metadata"]["name"], "uid": uid,
                "fieldPath": format!("spec.containers{{{container}}}"),
            },
            "reason": reason, "message": message, "type": "Warning", "count": 1,
            "firstTimestamp": now, "lastTimestamp": now, "source": {"component": "kubelet", "host": self.node},
        });
        let events = format!("/api/v1/namespaces/{}/events", self.namespace);
        self.api.call("POST", &events, &event);
    }
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// The patch of a pod's status that says so.
fn status(fates: &[(String, String, Fate)]) -> Value {
    let now = now();
    let statuses = fates.iter().map(|(name, image, fate)| {
        let id = match fate {
            Fate::Running(Some(id)) => id.clone(),
            Fate::ImagePullBackOff => String::new(),
            _ if image.contains('@') => image.clone(),
            _ => format!("docker-pullable://{image}"),
        };
        let (state, last, restarts) = match fate {
            Fate::Running(_) | Fate::Unready | Fate::Pending => (json!({"running": {"startedAt": now}}), json!({}), 0),
            Fate::ImagePullBackOff => {
                let message = format!("Back-off pulling image \"{image}\"");
                (json!({"waiting": {"reason": "ImagePullBackOff", "message": message}}), json!({}), 0)
            }
            Fate::Ended(code) => {
                let reason = if *code == 0 { "Completed" } else { "Error" };
                (json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": now, "finishedAt": now}}), json!({}), 0)
            }
            Fate::CrashLoopBackOff(code) => {
                let message = format!("back-off 40s restarting failed container={name}");
                let ended = json!({"exitCode": code, "reason": "Error", "startedAt": now, "finishedAt": now});
                (json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}}), json!({"terminated": ended}), 3)
            }
        };
        json!({
            "name": name, "image": image, "imageID": id, "ready": matches!(fate, Fate::Running(_)),
            "started": matches!(fate, Fate::Running(_) | Fate::Unready), "restartCount": restarts,
            "state": state, "lastState": last, "containerID": format!("containerd://{name}"),
        })
    });
    let statuses: Vec<Value> = statuses.collect();
    let is_ready = fates
        .iter()
        .all(|(_, _, fate)| matches!(fate, Fate::Running(_)));
    let is_pulled = fates
        .iter()
        .all(|(_, _, fate)| *fate != Fate::ImagePullBackOff);
    let ends = fates.iter().map(|(_, _, fate)| match fate {
        Fate::Ended(code) => Some(*code == 0),
        _ => None,
    });
    let phase = match ends.collect::<Option<Vec<bool>>>() {
        Some(ends) if ends.iter().all(|is_good| *is_good) => "Succeeded",
        Some(_) => "Failed",
        None if is_pulled => "Running",
        None => "Pending",
    };
    let condition = |kind: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        json!({"type": kind, "status": status, "lastTransitionTime": now})
    };
    json!({"status": {
        "phase": phase,
        "hostIP": "127.0.0.1", "podIP": "127.0.0.1", "startTime": now,
        "conditions": [
            condition("Initialized", true), condition("Ready", is_ready),
            condition("ContainersReady", is_ready), condition("PodScheduled", true),
        ],
        "containerStatuses": statuses,
    }})
}

fn tls(api: &Api) -> Arc<ServerConfig> {
    let certificates = CertificateDer::pem_file_iter(api.files.join("server.pem")).unwrap();
    let certificates = certificates.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(api.files.join("server-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key);
    Arc::new(config.unwrap())
}

fn serve(
    listener: &TcpListener,
    tls: &Arc<ServerConfig>,
    shared: &Arc<Mutex<Shared>>,
    is_over: &AtomicBool,
) {
    listener.set_nonblocking(true).unwrap();
    while !is_over.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let (tls, shared) = (Arc::clone(tls), Arc::clone(shared));
                std::thread::spawn(move || answer(stream, tls, &shared));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// One request for a log. Whoever asks wrongly gets no answer, and the test sees that.
fn answer(stream: TcpStream, tls: Arc<ServerConfig>, shared: &Mutex<Shared>) -> Option<()> {
    stream.set_nonblocking(false).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let mut stream = StreamOwned::new(ServerConnection::new(tls).ok()?, stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.split(' ').nth(1)?.to_owned();
    let (status, body) = match log(&target, &mut shared.lock().unwrap()) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", format!("no such container: {target}")),
    };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

/// `/containerLogs/NAMESPACE/POD/CONTAINER?tailLines=…&sinceSeconds=…&sinceTime=…&limitBytes=…&previous=…&timestamps=…`.
fn log(target: &str, shared: &mut Shared) -> Option<String> {
    shared.asked.push(target.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parts = path.strip_prefix("/containerLogs/")?.splitn(3, '/');
    let (_, pod, container) = (parts.next()?, parts.next()?, parts.next()?);
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.replace("%3A", ":"))
    };
    let image = shared.images.get(&format!("{pod}/{container}"))?;
    if value("previous").as_deref() == Some("true") {
        return shared.previous_logs.get(image).cloned();
    }
    let since = match (value("sinceSeconds"), value("sinceTime")) {
        (Some(seconds), _) => {
            SystemTime::now().checked_sub(Duration::from_secs(seconds.parse().ok()?))?
        }
        (None, Some(time)) => humantime::parse_rfc3339(&time).ok()?,
        (None, None) => SystemTime::UNIX_EPOCH,
    };
    let lines = shared.logs.get(image).map_or(&[][..], Vec::as_slice);
    let lines: Vec<String> = lines
        .iter()
        .filter(|(at, _)| *at >= since)
        .map(|(at, line)| match value("timestamps").as_deref() {
            Some("true") => format!("{} {line}\n", humantime::format_rfc3339_nanos(*at)),
            _ => format!("{line}\n"),
        })
        .collect();
    let tail = value("tailLines")
        .and_then(|tail| tail.parse().ok())
        .unwrap_or(lines.len());
    let mut text = lines[lines.len().saturating_sub(tail)..].concat();
    if let Some(limit) = value("limitBytes").and_then(|limit| limit.parse().ok()) {
        text.truncate(limit);
    }
    Some(text)
}
