//! The first deployment: manifests with the image in them, or the script that came with the application.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::super::support::cluster::objects::deployment;
use super::super::support::cluster::{ADMIN, Bed};
use super::super::support::{Done, Overcoat};
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
    assert_eq!(
        dry.stdout,
        format!("{script} would be run\nnothing was done: --dry-run\n")
    );
    assert!(!dry.stderr.contains("said by the script"), "{}", dry.stderr);
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

/// A workload that comes first in its file, and what lies in `NAMESPACE` behind it.
fn with_more(namespace: &str) -> String {
    let (_, workload) = MANIFEST.split_once("---\n").unwrap();
    let ports = "        image: example.com/app:old\n        ports: [{containerPort: 80}]\n";
    format!(
        "{}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: {namespace}}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n",
        workload.replace("        image: example.com/app:old\n", ports)
    )
}

#[test]
fn a_first_deployment_that_the_server_refuses_a_part_of_does_nothing() {
    let test = "a_first_deployment_that_the_server_refuses_a_part_of_does_nothing";
    let Some(bed) = Bed::start(test) else { return };
    let directory = tempfile::tempdir().unwrap();
    let other = format!("{}-more", bed.namespace());
    let text = with_more(&other);
    let file = write(directory.path(), "web.yaml", &text);
    let image = format!("example.com/app:1@{}", digest("a"));
    let run = |more: &[&str]| {
        let flags = [
            "--container",
            "web-app",
            "--image",
            &image,
            "--apply",
            &file,
        ];
        deploy(&bed, &[&flags[..], more].concat())
    };
    for more in [&[][..], &["--dry-run"]] {
        let done = run(more);
        assert_eq!(done.code, Some(90), "{}", done.stderr);
        assert!(done.stderr.contains(&other), "{}", done.stderr);
        assert!(
            done.stderr.contains("nothing was applied"),
            "{}",
            done.stderr
        );
        assert!(bed.list("apps/v1", "deployments").is_empty());
        assert!(bed.list("v1", "services").is_empty());
    }
    // With the namespace among the files: it cannot be asked about what is in it before it is there.
    let namespace = format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {other}}}\n");
    write(directory.path(), "web.yaml", &format!("{text}{namespace}"));
    let expected = format!(
        "namespace/{other} created\nconfigmap/settings created\nservice/web created\ndeployment/web created\n"
    );
    let dry = run(&["--dry-run"]).ok();
    assert!(dry.stdout.starts_with(&expected), "{}", dry.stdout);
    assert!(bed.list("apps/v1", "deployments").is_empty());
    let done = run(&[]).ok();
    assert!(done.stdout.starts_with(&expected), "{}", done.stdout);
    assert_eq!(image_of(&bed, "deployments", "web", "web-app"), image);
    let service = bed.get("v1", "services", "web");
    assert_eq!(service["spec"]["ports"][0]["protocol"], "TCP");
    let map = format!("/api/v1/namespaces/{other}/configmaps/settings");
    bed.api().ok("GET", &map, &Value::Null);
    bed.api().ok(
        "DELETE",
        &format!("/api/v1/namespaces/{other}"),
        &Value::Null,
    );
}

#[test]
fn what_is_refused_only_once_its_namespace_is_there_leaves_the_workload_out() {
    let test = "what_is_refused_only_once_its_namespace_is_there_leaves_the_workload_out";
    let Some(bed) = Bed::start(test) else { return };
    let directory = tempfile::tempdir().unwrap();
    let other = format!("{}-more", bed.namespace());
    let namespace = format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {other}}}\n");
    let good = format!("{}{namespace}", with_more(&other));
    let bad = good.replace("kind: ConfigMap\n", "kind: ConfigMap\ndata: {\"a b\": c}\n");
    let file = write(directory.path(), "web.yaml", &bad);
    let image = format!("example.com/app:1@{}", digest("a"));
    let flags = [
        "--container",
        "web-app",
        "--image",
        &image,
        "--apply",
        &file,
    ];
    let done = deploy(&bed, &flags);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    let applied = format!("applied before that: namespace/{other}");
    assert!(done.stderr.contains(&applied), "{}", done.stderr);
    assert!(bed.list("apps/v1", "deployments").is_empty());
    assert!(bed.list("v1", "services").is_empty());
    // Mended, the same command completes it.
    write(directory.path(), "web.yaml", &good);
    let done = deploy(&bed, &flags).ok();
    let expected = format!(
        "namespace/{other} unchanged\nconfigmap/settings created\nservice/web created\ndeployment/web created\n"
    );
    assert!(done.stdout.starts_with(&expected), "{}", done.stdout);
    bed.api().ok(
        "DELETE",
        &format!("/api/v1/namespaces/{other}"),
        &Value::Null,
    );
}

#[test]
fn a_script_that_failed_half_way_is_run_again_until_it_is_through() {
    let test = "a_script_that_failed_half_way_is_run_again_until_it_is_through";
    let Some(bed) = Bed::start(test) else { return };
    let directory = tempfile::tempdir().unwrap();
    let script = script(&bed, directory.path(), "");
    let whole = fs::read_to_string(&script).unwrap();
    fs::write(&script, format!("{whole}exit 7\n")).unwrap();
    let image = format!("example.com/app:1@{}", digest("a"));
    let flags = ["--container", "web-app", "--image", &image];
    let run = || {
        deploy(
            &bed,
            &[&flags[..], &["--first-deployment", &script]].concat(),
        )
    };
    let mark = || {
        let object = bed.get("apps/v1", "deployments", "web");
        object["metadata"]["annotations"]["io.overcoat.first-deployment"].clone()
    };
    let done = run();
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(7), ""),
        "{}",
        done.stderr
    );
    assert_eq!(mark(), "its script ended with 7");
    assert_eq!(
        image_of(&bed, "deployments", "web", "web-app"),
        "example.com/app:old"
    );
    fs::write(&script, "echo said again\nexit 8\n").unwrap();
    let done = run();
    assert_eq!(done.code, Some(8), "{}", done.stderr);
    assert_eq!(mark(), "its script ended with 8");
    // Whoever gives it an image without completing it is told.
    let done = deploy(&bed, &flags).ok();
    assert!(done.stderr.contains("was not completed"), "{}", done.stderr);
    fs::write(&script, "echo said again\n").unwrap();
    let done = run().ok();
    assert!(done.stderr.contains("said again"), "{}", done.stderr);
    assert!(done.stdout.contains("was run"), "{}", done.stdout);
    assert_eq!(mark(), Value::Null);
    assert_eq!(image_of(&bed, "deployments", "web", "web-app"), image);
    let done = run().ok();
    assert!(!done.stderr.contains("said again"), "{}", done.stderr);
}

#[test]
fn several_applications_come_with_their_images_by_one_apply() {
    let Some(bed) = Bed::start("several_applications_come_with_their_images_by_one_apply") else {
        return;
    };
    let overcoat = bed.overcoat();
    let root = overcoat.path().join("shop");
    fs::create_dir_all(&root).unwrap();
    let mut project = String::from("project = \"shop\"\n");
    let mut results = Vec::new();
    let mut files = Vec::new();
    let images = [("web", digest("a")), ("api", digest("b"))];
    for (name, digest) in &images {
        fs::create_dir_all(root.join(name)).unwrap();
        project += &format!(
            "[applications.{name}]\npath = \"{name}\"\nimage = \"team/{name}\"\ncontainer = \"{name}\"\n\
             workload = \"deployment/{name}\"\n"
        );
        results.push(serde_json::json!({"imageName": format!("team/{name}"), "tag": format!("example.com/team/{name}:1@{digest}")}));
        let object = deployment(name, &[(name, &format!("example.com/team/{name}:other"))]);
        files.push(write(&root, &format!("{name}.yaml"), &object.to_string()));
    }
    project += &format!(
        "[environments.prod]\ncontext = \"k3d-test\"\nnamespace = \"{}\"\n",
        bed.namespace()
    );
    fs::write(root.join("overcoat.toml"), project).unwrap();
    let results = serde_json::json!({"builds": results});
    fs::write(root.join("build_result.json"), results.to_string()).unwrap();
    let run = |more: &[&str]| -> Done {
        let words = [
            "deploy",
            "web",
            "api",
            "--environment",
            "prod",
            "--cluster",
            "--no-verify",
            "--apply",
            &files[0],
            &files[1],
        ];
        let mut command = overcoat.command(&[&words[..], more].concat());
        command.env_remove("OVERCOAT_HISTORY");
        command.env_remove("OVERCOAT_ENVIRONMENT");
        command.current_dir(&root).output().unwrap().into()
    };
    let dry = run(&["--dry-run"]).ok();
    for (name, _) in &images {
        let line = format!("deployment/{name} created\n");
        assert_eq!(dry.stdout.matches(&line).count(), 1, "{}", dry.stdout);
    }
    run(&[]).ok();
    for (name, digest) in &images {
        let image = format!("example.com/team/{name}:1@{digest}");
        assert_eq!(image_of(&bed, "deployments", name, name), image);
        let object = bed.get("apps/v1", "deployments", name);
        assert_eq!(object["metadata"]["generation"], 1, "one template, not two");
    }

    // One of them runs already: it has its own image all the time, and the other comes.
    bed.api().ok(
        "DELETE",
        &format!("{}/web", bed.path("apps/v1", "deployments")),
        &Value::Null,
    );
    run(&[]).ok();
    let object = bed.get("apps/v1", "deployments", "api");
    assert_eq!(object["metadata"]["generation"], 1, "it was never another");
    let image = format!("example.com/team/web:1@{}", images[0].1);
    assert_eq!(image_of(&bed, "deployments", "web", "web"), image);
}
