//! The first deployment: manifests with the image in them, or the script that came with the application.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::super::support::Overcoat;
use super::super::support::cluster::objects::deployment;
use super::super::support::cluster::{ADMIN, Bed};
use super::{deploy, digest, image_of};

const MANIFEST: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {mode: \"0644\"}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: wosp
        image: example.com/wosp:1
      - name: web-app
        image: example.com/app:old
";

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn manifests_are_applied_with_the_image_the_first_time_only() {
    let Some(bed) = Bed::start("manifests_are_applied_with_the_image_the_first_time_only") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "web.yaml", MANIFEST);
    let image = format!("example.com/app:1@{}", digest("a"));
    let run = |more: &[&str]| {
        deploy(
            &bed,
            &[&["--container", "web-app", "--apply", &file], more].concat(),
        )
    };

    let dry = run(&["--image", &image, "--dry-run"]).ok();
    assert!(
        dry.stdout
            .starts_with("configmap/settings created\ndeployment/web created\n"),
        "{}",
        dry.stdout
    );
    assert!(bed.list("apps/v1", "deployments").is_empty());

    let done = run(&["--image", &image]).ok();
    let expected = format!(
        "configmap/settings created\ndeployment/web created\nweb-app of deployment/web in {} has {image}\n",
        bed.namespace()
    );
    assert_eq!(done.stdout, expected);
    assert_eq!(image_of(&bed, "deployments", "web", "web-app"), image);
    assert_eq!(
        image_of(&bed, "deployments", "web", "wosp"),
        "example.com/wosp:1"
    );
    assert_eq!(
        bed.get("v1", "configmaps", "settings")["data"]["mode"],
        "0644"
    );
    let object = bed.get("apps/v1", "deployments", "web");
    assert_eq!(object["metadata"]["generation"], 1, "one template, not two");
    assert_eq!(
        object["metadata"]["managedFields"][0]["manager"],
        "overcoat"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), MANIFEST);

    // From now on the image alone is changed, whatever the file says.
    fs::write(&file, MANIFEST.replace("replicas: 1", "replicas: 5")).unwrap();
    let next = format!("example.com/app:2@{}", digest("b"));
    run(&["--image", &next]).ok();
    assert_eq!(image_of(&bed, "deployments", "web", "web-app"), next);
    assert_eq!(
        bed.get("apps/v1", "deployments", "web")["spec"]["replicas"],
        1
    );
}

#[test]
fn manifests_that_do_not_fit_are_refused_before_anything_is_applied() {
    let Some(bed) = Bed::start("manifests_that_do_not_fit_are_refused_before_anything_is_applied")
    else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let image = format!("example.com/app:1@{}", digest("a"));
    for (text, container, code, said) in [
        (
            MANIFEST.to_owned(),
            "other",
            85,
            "the manifests of `--apply` do not have",
        ),
        (
            MANIFEST.replace("name: wosp\n", "name: web-app\n        name: web-app\n"),
            "web-app",
            84,
            "is there twice",
        ),
        ("a: [\n".to_owned(), "web-app", 84, "cannot be applied"),
    ] {
        let file = write(directory.path(), "web.yaml", &text);
        let done = deploy(
            &bed,
            &[
                "--container",
                container,
                "--apply",
                &file,
                "--image",
                &image,
            ],
        );
        assert_eq!(done.code, Some(code), "{}", done.stderr);
        assert!(done.stderr.contains(said), "{}", done.stderr);
    }
    assert!(bed.list("apps/v1", "deployments").is_empty());
    let maps = bed.list("v1", "configmaps");
    assert!(maps.iter().all(|map| map["metadata"]["name"] != "settings"));
}

/// A script that creates the deployment through the API, as `kubectl apply` would.
fn script(bed: &Bed, directory: &Path, end: &str) -> String {
    let object = deployment("web", &[("web-app", "example.com/app:old")]);
    fs::write(directory.join("object.json"), object.to_string()).unwrap();
    let url = format!("{}{}", bed.url(), bed.path("apps/v1", "deployments"));
    let authority = bed.api().files.join("ca.pem");
    let text = format!(
        "set -eu\necho said by the script\n{end}\ncurl --fail --silent --cacert {} -H 'Authorization: Bearer {ADMIN}' \
         -H 'Content-Type: application/json' --data @object.json {url} >/dev/null\n",
        authority.display()
    );
    write(directory, "deploy.sh", &text)
}

#[test]
fn the_script_of_the_application_is_run_the_first_time_and_the_image_comes_after() {
    let Some(bed) =
        Bed::start("the_script_of_the_application_is_run_the_first_time_and_the_image_comes_after")
    else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let script = script(&bed, directory.path(), "");
    let image = format!("example.com/app:1@{}", digest("a"));
    let run = |more: &[&str]| {
        deploy(
            &bed,
            &[
                &[
                    "--container",
                    "web-app",
                    "--first-deployment",
                    &script,
                    "--image",
                    &image,
                ],
                more,
            ]
            .concat(),
        )
    };
    let dry = run(&["--dry-run"]).ok();
    assert!(
        dry.stderr.contains("would be run") && !dry.stderr.contains("said by the script"),
        "{}",
        dry.stderr
    );
    let done = run(&[]).ok();
    assert!(
        done.stderr.contains("said by the script"),
        "{}",
        done.stderr
    );
    assert!(
        !done.stdout.contains("said by the script"),
        "{}",
        done.stdout
    );
    assert_eq!(image_of(&bed, "deployments", "web", "web-app"), image);
    let again = run(&[]).ok();
    assert!(
        !again.stderr.contains("said by the script"),
        "{}",
        again.stderr
    );
}

#[test]
fn the_exit_code_of_the_script_is_passed_on() {
    let Some(bed) = Bed::start("the_exit_code_of_the_script_is_passed_on") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let script = script(&bed, directory.path(), "exit 7");
    let image = format!("example.com/app:1@{}", digest("a"));
    let done = deploy(
        &bed,
        &[
            "--container",
            "web-app",
            "--first-deployment",
            &script,
            "--image",
            &image,
        ],
    );
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(7), ""),
        "{}",
        done.stderr
    );
    assert!(bed.list("apps/v1", "deployments").is_empty());
}

#[test]
fn the_script_is_not_run_for_another_cluster_than_the_current_one() {
    let Some(bed) = Bed::start("the_script_is_not_run_for_another_cluster_than_the_current_one")
    else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let script = script(&bed, directory.path(), "");
    let path = bed.kubeconfig("k3d-one", ADMIN);
    let mut kubeconfig: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut other = kubeconfig["contexts"][0].clone();
    other["name"] = "k3d-two".into();
    kubeconfig["contexts"].as_array_mut().unwrap().push(other);
    fs::write(&path, kubeconfig.to_string()).unwrap();
    let overcoat = Overcoat::new().with("KUBECONFIG", path.to_str().unwrap());
    let done = overcoat.run(&[
        "deploy",
        "--cluster",
        "--no-verify",
        "--context",
        "k3d-two",
        "--container",
        "web-app",
        "--first-deployment",
        &script,
        "--image",
        "example.com/app:1",
    ]);
    assert_eq!(done.code, Some(97), "{}", done.stderr);
    assert!(
        done.stderr.contains("the current context is not `k3d-two`"),
        "{}",
        done.stderr
    );
    assert!(bed.list("apps/v1", "deployments").is_empty());
}
