//! Rollbacks and pruning, where registries, manifests and clusters are told of them.

use super::*;

/// An image of its own for each text, under this name in the registry; its digest.
fn push(project: &Project, registry: &Registry, tag: &str) -> (String, String) {
    let layout = project.overcoat.path().join(format!("layout-{tag}"));
    let name = format!("{}/web:{tag}", registry.host());
    image(&layout, tag);
    let from = format!("oci:{}:{tag}", layout.display());
    let done = project.overcoat.run(&["copy", &from, &name]).ok();
    let digest = done.stdout.trim().rsplit_once('@').unwrap().1.to_owned();
    (name, digest)
}

/// An image without layers, as an OCI layout; the text makes it another one.
fn image(layout: &Path, text: &str) {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |value: &Value, kind: &str| {
        let bytes = value.to_string();
        let digest = Digest::of(bytes.as_bytes());
        fs::write(blobs.join(digest.hex()), &bytes).unwrap();
        json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    };
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Labels": { "text": text } },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let config = put(&config, "application/vnd.oci.image.config.v1+json");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [] });
    let mut manifest = put(&manifest, kind);
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": text });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(
        layout.join("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )
    .unwrap();
}

fn manifest(project: &Project, image: &str) -> PathBuf {
    let path = project.root.join("web.yaml");
    let text = format!(
        "# by hand\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  template:\n    spec:\n      \
         containers:\n        - name: web\n          image: {image}  # mine\n"
    );
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_rollback_brings_the_earlier_digest_back_where_it_was_or_changes_nothing() {
    let registry = Registry::start();
    let project = Project::new("");
    let images = ["v1", "v2", "v3"].map(|tag| push(&project, &registry, tag));
    let full = |index: usize| format!("{}@{}", images[index].0, images[index].1);
    let file = manifest(&project, &full(2));
    for (name, digest) in &images {
        project.deploy("prod", name, digest, Some(&file));
    }
    let before = fs::read_to_string(&file).unwrap();
    let rollback = |more: &[&str]| {
        let all = [&["rollback", "--environment", "prod"], more].concat();
        project.run(&all)
    };

    let dry = rollback(&["--dry-run"]).ok();
    assert!(
        dry.stdout
            .contains(&format!("+          image: {}  # mine", full(1))),
        "{}",
        dry.stdout
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(project.count(), 3);

    let done = rollback(&[]).ok();
    assert_eq!(done.stdout, format!("{}\n", full(1)));
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        before.replace(&full(2), &full(1))
    );
    let record = project.newest(Operation::Deploy);
    assert_eq!((record.sequence, record.state), (4, State::Success));
    assert_eq!(record.facts.previous, Some(full(2)));
    let second = &project.history.read().unwrap().records[1];
    assert_eq!(record.facts.results["rollback-of"], second.id.as_str());

    let same = rollback(&["--to", "2"]).ok();
    assert!(
        same.stderr.contains("is live already; nothing was done"),
        "{}",
        same.stderr
    );
    assert_eq!(project.count(), 4);
    rollback(&["--to", "web/deploy/v1"]).ok();
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        before.replace(&full(2), &full(0))
    );

    // The registry has lost the image.
    project.overcoat.run(&["delete", &full(2)]).ok();
    let gone = rollback(&["--to", "3"]);
    assert_eq!(gone.code, Some(4), "{}", gone.stderr);
    assert!(
        gone.stderr
            .contains("the image of the deploy 3 of web is gone from its registry"),
        "{}",
        gone.stderr
    );
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        before.replace(&full(2), &full(0))
    );
    assert_eq!(project.count(), 5);
}

#[test]
fn a_rollback_is_released_where_deployments_are_and_needs_to_know_where_it_was() {
    let registry = Registry::start();
    let project = Project::new("");
    let images = ["v1", "v2"].map(|tag| push(&project, &registry, tag));
    let file = manifest(&project, "web:old");
    for (name, digest) in &images {
        project.deploy("default", name, digest, Some(&file));
        project.run(&["release"]).ok();
    }
    project.run(&["rollback"]).ok();
    let release = project.newest(Operation::Release);
    let deployment = project.newest(Operation::Deploy);
    assert_eq!(release.sequence, 3);
    assert_eq!(release.link(Operation::Deploy), Some(&deployment.id));
    assert_eq!(deployment.facts.digest.unwrap().to_string(), images[0].1);

    for (name, digest) in &images {
        project.deploy("dev", name, digest, None);
    }
    let done = project.run(&["rollback", "--environment", "dev"]);
    assert_eq!(done.code, Some(96), "{}", done.stderr);
    assert!(
        done.stderr.contains("does not say where it was put"),
        "{}",
        done.stderr
    );
    let failed = project.newest(Operation::Deploy);
    assert_eq!(
        (failed.environment.as_str(), failed.state),
        ("dev", State::Error)
    );
}

#[test]
fn pruning_forgets_what_is_old_and_deletes_only_what_nothing_names() {
    let registry = Registry::start();
    let project = Project::new("");
    let images = ["v1", "v2", "v3", "v4", "v5"].map(|tag| push(&project, &registry, tag));
    // v1 also has a tag that nobody has on record; v2 stands in a manifest.
    let other = format!("{}/web:keep", registry.host());
    let first = format!("{}@{}", images[0].0, images[0].1);
    project.overcoat.run(&["copy", &first, &other]).ok();
    let file = manifest(&project, &format!("{}@{}", images[1].0, images[1].1));
    for (name, digest) in &images {
        project.deploy("prod", name, digest, Some(&file));
    }
    let tags = || {
        let name = format!("{}/web", registry.host());
        project.overcoat.run(&["tags", &name]).ok().stdout
    };
    let all = "keep\nv1\nv2\nv3\nv4\nv5\n";
    assert_eq!(tags(), all);

    let arguments = ["prune", "--retain", "2", "--delete-tags", "--json"];
    let dry = project.json(&[&arguments[..], &["--dry-run"]].concat());
    let third = format!("{}/web@{}", registry.host(), images[2].1);
    assert_eq!(dry["images"], json!([third]));
    assert_eq!((project.count(), tags().as_str()), (5, all));

    let done = project.run(&arguments).ok();
    assert!(
        done.stderr.contains("stays: it is also called keep"),
        "{}",
        done.stderr
    );
    let done: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(done["images"], dry["images"]);
    assert_eq!(done["records"].as_array().unwrap().len(), 2);
    assert_eq!(tags(), "keep\nv1\nv2\nv4\nv5\n");
    let left = project.json(&["history", "--json"]);
    let left: Vec<&Value> = left
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["sequence"])
        .collect();
    assert_eq!(left, [5, 4, 2]);
    let again = project.run(&arguments[..4]).ok();
    assert_eq!(again.stdout, "0 records and 0 images are gone\n");
    // Without the flag, registries are left alone.
    project.run(&["prune", "--retain", "1"]).ok();
    assert_eq!(
        (project.count(), tags().as_str()),
        (2, "keep\nv1\nv2\nv4\nv5\n")
    );
    let next = project.deploy("prod", &images[0].0, &images[0].1, None);
    assert_eq!(next.sequence, 6, "numbers are not given again");
}

fn deployment(name: &str, image: &str) -> Value {
    let labels = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            // No pods: how far the controller has come with them is of no matter.
            "replicas": 0,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [
                    { "name": "sidecar", "image": "sidecar:1" },
                    { "name": "web", "image": image },
                ] },
            },
        },
    })
}

#[test]
fn a_cluster_is_told_of_a_rollback_and_asked_before_images_are_deleted() {
    let test = "a_cluster_is_told_of_a_rollback_and_asked_before_images_are_deleted";
    let Some(bed) = Bed::start(test) else {
        return;
    };
    let registry = Registry::start();
    let project = Project::of(bed.overcoat(), "");
    let images = ["v0", "v1", "v2", "v3"].map(|tag| push(&project, &registry, tag));
    let full = |index: usize| format!("{}@{}", images[index].0, images[index].1);
    bed.create("apps/v1", "deployments", &deployment("web", &full(3)));
    // Somebody else still runs an old one.
    bed.create("apps/v1", "deployments", &deployment("old", &full(1)));
    for (name, digest) in &images {
        let target = Target::Cluster {
            context: Some("k3d-test".to_owned()),
            namespace: bed.namespace().to_owned(),
            workload: "deployment/web".to_owned(),
            container: "web".to_owned(),
        };
        project.deploy_to("prod", name, digest, Some(target));
    }
    let template = || bed.get("apps/v1", "deployments", "web")["spec"]["template"]["spec"].clone();
    let before = template();
    let dry = project
        .run(&["rollback", "--environment", "prod", "--dry-run"])
        .ok();
    assert!(
        dry.stdout.contains(&format!("{} -> {}", full(3), full(2))),
        "{}",
        dry.stdout
    );
    assert_eq!(template(), before);
    project.run(&["rollback", "--environment", "prod"]).ok();
    let mut expected = before;
    expected["containers"][1]["image"] = json!(full(2));
    assert_eq!(template(), expected);
    let record = project.newest(Operation::Deploy);
    assert_eq!((record.sequence, record.facts.previous), (5, Some(full(3))));

    let arguments = ["prune", "--retain", "1", "--delete-tags", "--json"];
    let mut command = project.overcoat.command(&arguments);
    command.env("KUBECONFIG", project.root.join("no-such-file"));
    let unknown: Done = command.current_dir(&project.root).output().unwrap().into();
    assert_eq!(unknown.code, Some(90), "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("nothing was removed"),
        "{}",
        unknown.stderr
    );
    assert_eq!(project.count(), 5);
    let done = project.json(&arguments);
    // The record that stays names the image that it replaced.
    let first = format!("{}/web@{}", registry.host(), images[0].1);
    assert_eq!(done["images"], json!([first]));
    // The one that runs, whoever runs it, stays on record.
    assert_eq!(project.count(), 2);
}
