//! The recipe's layers as a plain Python image, without labels and scripts.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Overcoat, tool};

/// The default builder's layers under a configuration that says nothing but where programs are: what a Python image of
/// anybody's may look like.
pub fn plain_image(overcoat: &Overcoat, environment: &[&str], more: Option<&Path>) -> String {
    let layout = overcoat.path().join("plain");
    let from = format!(
        "oci:{}:builder/python-3.11:latest",
        overcoat.store().display()
    );
    let copied = std::process::Command::new("skopeo")
        .args(["copy", "--quiet", &from])
        .arg(format!("oci:{}:p", layout.display()))
        .status()
        .unwrap();
    assert!(copied.success());
    let blob = |digest: &Value| {
        let digest = digest.as_str().unwrap().replace(':', "/");
        layout.join("blobs").join(digest)
    };
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let put = |document: &Value| {
        let bytes = document.to_string();
        let digest = overcoat::digest::Digest::of(bytes.as_bytes()).to_string();
        fs::write(blob(&json!(digest)), &bytes).unwrap();
        (json!(digest), json!(bytes.len()))
    };
    let mut index = read(&layout.join("index.json"));
    let mut manifest = read(&blob(&index["manifests"][0]["digest"]));
    let mut config = read(&blob(&manifest["config"]["digest"]));
    config["config"] = json!({ "Env": environment, "Cmd": ["python3"] });
    if let Some(directory) = more {
        let tar = overcoat.path().join("more.tar");
        let (tar, from) = (tar.to_str().unwrap(), directory.to_str().unwrap());
        tool(
            "tar",
            &[
                "--sort=name",
                "--owner=0",
                "--group=0",
                "-cf",
                tar,
                "-C",
                from,
                ".",
            ],
        );
        let bytes = fs::read(tar).unwrap();
        let digest = json!(overcoat::digest::Digest::of(&bytes).to_string());
        fs::write(blob(&digest), &bytes).unwrap();
        let layers = manifest["layers"].as_array_mut().unwrap();
        layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest,
            "size": bytes.len(),
        }));
        let diff_ids = config["rootfs"]["diff_ids"].as_array_mut().unwrap();
        diff_ids.push(digest);
        // As the official images tell it.
        let mut history = vec![json!({ "created_by": "RUN something" }); diff_ids.len()];
        history[0] =
            json!({ "created_by": "# debian.sh --arch 'amd64' out/ 'bookworm' '@1740355200'" });
        history.push(json!({ "created_by": "CMD [\"python3\"]", "empty_layer": true }));
        config["history"] = json!(history);
    }
    (manifest["config"]["digest"], manifest["config"]["size"]) = put(&config);
    let entry = &mut index["manifests"][0];
    (entry["digest"], entry["size"]) = put(&manifest);
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    format!("oci:{}:p", layout.display())
}
