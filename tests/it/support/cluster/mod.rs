//! A real Kubernetes API (`tests/cluster/build`), shared by the tests of a run, with a namespace and a kubelet of each
//! test's own; and, for the cases that no real server offers on request, a server of written replies.
//!
//! ```ignore
//! let Some(bed) = Bed::start("name_of_the_test") else { return };
//! bed.create("apps/v1", "deployments", &deployment("web", &bed, &[("web-app", "example.com/app:1")]));
//! let kubelet = bed.kubelet();
//! kubelet.fate("example.com/app:2", Fate::ImagePullBackOff);
//! ```

pub mod kubelet;
pub mod objects;
pub mod replies;
mod server;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use overcoat::event::Silent;
use overcoat::http::{Http, Settings};
use serde_json::{Value, json};

pub use kubelet::{Fate, Kubelet};
pub use server::{ADMIN, NOBODY};

use super::Overcoat;
use super::skip::skip;

/// The API with a namespace of this test. What is in the namespace is deleted with it.
pub struct Bed {
    api: Arc<Api>,
    namespace: String,
    directory: tempfile::TempDir,
    _in_use: File,
}

/// How requests of the tests themselves reach the API, as an administrator.
pub struct Api {
    http: Http,
    pub url: String,
    authority: String,
    /// The server's own files: `server.pem`, `server-key.pem`.
    pub files: PathBuf,
}

impl Bed {
    /// The API, and a fresh namespace; `None`, after saying so, where it has not been built.
    pub fn start(test: &str) -> Option<Self> {
        let binaries = match server::binaries() {
            Ok(binaries) => binaries,
            Err(why) => {
                skip(test, &why);
                return None;
            }
        };
        let (running, in_use) = server::running(&binaries);
        let authority = std::fs::read_to_string(running.files.join("ca.pem")).unwrap();
        let settings = Settings {
            certificates: authority.clone().into_bytes(),
            ..Settings::default()
        };
        let api = Api {
            http: Http::new(&settings).unwrap(),
            url: format!("https://127.0.0.1:{}", running.api_port),
            authority,
            files: running.files,
        };
        let directory = tempfile::tempdir().unwrap();
        let random = directory
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .to_lowercase();
        let random: String = random.chars().filter(char::is_ascii_alphanumeric).collect();
        let name: String = test.replace('_', "-").chars().take(40).collect();
        let namespace = format!("{}-{random}", name.trim_matches('-'));
        let bed = Self {
            api: Arc::new(api),
            namespace,
            directory,
            _in_use: in_use,
        };
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": bed.namespace}});
        bed.api.ok("POST", "/api/v1/namespaces", &object);
        Some(bed)
    }

    /// The namespace of this test.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Requests as an administrator.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.api.url
    }

    /// The server's certificate authority, PEM.
    pub fn authority(&self) -> &str {
        &self.api.authority
    }

    /// A kubeconfig file with the context `CONTEXT`, whose user has `token`, and whose namespace is the test's.
    pub fn kubeconfig(&self, context: &str, token: &str) -> PathBuf {
        let path = self
            .directory
            .path()
            .join(format!("kubeconfig-{context}-{token}"));
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [{"name": "cluster", "cluster": {
                "server": self.api.url,
                "certificate-authority": self.api.files.join("ca.pem"),
            }}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": context, "context": {
                "cluster": "cluster", "user": "user", "namespace": self.namespace,
            }}],
        });
        // Several threads of a test may ask for it at once.
        if !path.exists() {
            let mut file = tempfile::NamedTempFile::new_in(self.directory.path()).unwrap();
            std::io::Write::write_all(&mut file, text.to_string().as_bytes()).unwrap();
            file.persist(&path).unwrap();
        }
        path
    }

    /// The program with a kubeconfig of an administrator, context `k3d-test` (a local one: nothing asks for `--yes`).
    pub fn overcoat(&self) -> Overcoat {
        let kubeconfig = self.kubeconfig("k3d-test", ADMIN);
        Overcoat::new().with("KUBECONFIG", kubeconfig.to_str().unwrap())
    }

    /// A kubelet for the pods of this namespace.
    pub fn kubelet(&self) -> Kubelet {
        Kubelet::start(Arc::clone(&self.api), self.namespace.clone())
    }

    /// Where the objects of a resource of this namespace are: `("apps/v1", "deployments")`.
    pub fn path(&self, api_version: &str, resource: &str) -> String {
        let root = if api_version.contains('/') {
            "apis"
        } else {
            "api"
        };
        format!(
            "/{root}/{api_version}/namespaces/{}/{resource}",
            self.namespace
        )
    }

    /// Creates an object in the namespace; what the server made of it.
    #[track_caller]
    pub fn create(&self, api_version: &str, resource: &str, object: &Value) -> Value {
        self.api
            .ok("POST", &self.path(api_version, resource), object)
    }

    /// An object of the namespace, which must be there.
    #[track_caller]
    pub fn get(&self, api_version: &str, resource: &str, name: &str) -> Value {
        let path = format!("{}/{name}", self.path(api_version, resource));
        self.api.ok("GET", &path, &Value::Null)
    }

    /// Merges into an object of the namespace (JSON merge patch); `NAME/status` changes the status.
    #[track_caller]
    pub fn merge(&self, api_version: &str, resource: &str, name: &str, patch: &Value) -> Value {
        let path = format!("{}/{name}", self.path(api_version, resource));
        self.api.ok("PATCH", &path, patch)
    }

    /// The objects of a resource in the namespace.
    #[track_caller]
    pub fn list(&self, api_version: &str, resource: &str) -> Vec<Value> {
        let list = self
            .api
            .ok("GET", &self.path(api_version, resource), &Value::Null);
        list["items"].as_array().unwrap().clone()
    }

    /// Lets the user of [`NOBODY`] do `verbs` with `resources` (of the groups `""` and `apps`) in the namespace.
    pub fn allow_nobody(&self, verbs: &[&str], resources: &[&str]) {
        let rights = "rbac.authorization.k8s.io";
        let version = "rbac.authorization.k8s.io/v1";
        let name = format!("role-{}", verbs.concat());
        self.create(
            version,
            "roles",
            &json!({
                "apiVersion": version, "kind": "Role", "metadata": {"name": name},
                "rules": [{"apiGroups": ["", "apps"], "resources": resources, "verbs": verbs}],
            }),
        );
        self.create(
            version,
            "rolebindings",
            &json!({
                "apiVersion": version, "kind": "RoleBinding", "metadata": {"name": name},
                "roleRef": {"apiGroup": rights, "kind": "Role", "name": name},
                "subjects": [{"apiGroup": rights, "kind": "User", "name": "nobody"}],
            }),
        );
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        self.api.call("DELETE", &path, &Value::Null);
    }
}

impl Api {
    /// A request as an administrator: its status (0 when there was no answer) and the answer.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self
            .http
            .client()
            .request(method.parse().unwrap(), format!("{}{path}", self.url))
            .bearer_auth(ADMIN);
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = match body {
            Value::Null => request,
            body => request.header("content-type", kind).body(body.to_string()),
        };
        let work = async {
            let answer = request.send().await.ok()?;
            let status = answer.status().as_u16();
            let body = answer.bytes().await.ok()?;
            Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        let answer = self.http.run(&Silent, work).unwrap();
        answer.unwrap_or((0, Value::Null))
    }

    /// A request that must succeed; the answer.
    #[track_caller]
    pub fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }
}
