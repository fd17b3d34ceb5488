//! Images of kustomizations.

use super::*;

#[test]
fn a_kustomization_gets_the_image_where_it_counts() {
    let overlay = "# prod\nresources:\n- ../base\nimages:\n- name: web # ours\n  newName: registry.example/team/web\n  newTag: \"1\"\n";
    let files = Files::new();
    files.write("prod/kustomization.yaml", overlay);
    let image = format!("registry.example/team/web:2.0@{DIGEST}");
    let done = files
        .deploy(&["--kustomization", "prod", "--image", &image])
        .ok();
    assert_eq!(
        done.stdout,
        format!("prod/kustomization.yaml:5: registry.example/team/web:1 -> {image}\n")
    );
    let changed = overlay.replace(
        "newTag: \"1\"",
        &format!("newTag: \"2.0\"\n  digest: {DIGEST}"),
    );
    assert_eq!(files.read("prod/kustomization.yaml"), changed);
    let check = files.deploy(&[
        "--kustomization",
        "prod/kustomization.yaml",
        "--image",
        &image,
        "--check",
    ]);
    check.ok();
    // The tag alone: the digest must not go on to count.
    files
        .deploy(&["--kustomization", "prod", "--image", &image, "--no-pin"])
        .ok();
    assert_eq!(
        files.read("prod/kustomization.yaml"),
        overlay.replace("\"1\"", "\"2.0\"")
    );
    // An image that nobody has said anything of.
    files
        .deploy(&[
            "--kustomization",
            "prod",
            "--image",
            "x/api:2024",
            "--base-image",
            "api",
        ])
        .ok();
    assert!(
        files
            .read("prod/kustomization.yaml")
            .ends_with("- name: api\n  newName: x/api\n  newTag: \"2024\"\n")
    );
    files.write(
        "flux/kustomization.yaml",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n",
    );
    failed(
        &files.deploy(&["--kustomization", "flux", "--image", &image]),
        84,
        &["kustomize.toolkit.fluxcd.io", "spec.images"],
    );
    // What chooses a container chooses nothing here, and is not passed over.
    let before = files.read("prod/kustomization.yaml");
    for flag in [
        &["--container", "web"][..],
        &["-n", "prod"],
        &["--workload", "web"],
    ] {
        let arguments = ["--kustomization", "prod", "--image", &image];
        failed(
            &files.deploy(&[&arguments[..], flag].concat()),
            2,
            &["says nothing to a kustomization", "--manifest FILE"],
        );
    }
    assert_eq!(files.read("prod/kustomization.yaml"), before);
    fs::create_dir(files.at("none")).unwrap();
    failed(
        &files.deploy(&["--kustomization", "none", "--image", &image]),
        63,
        &["no kustomization"],
    );
}

#[test]
fn a_manifest_below_a_kustomization_that_says_its_image_is_left_alone() {
    let files = Files::new();
    files.write("d.yaml", DEPLOYMENT);
    let own = "resources: [d.yaml]\nimages: [{name: registry.example/team/web, newTag: '1'}]\n";
    files.write("kustomization.yaml", own);
    let done = files.put(&["--manifest", "d.yaml"]).ok();
    assert!(
        done.stderr.contains("kustomization.yaml"),
        "{}",
        done.stderr
    );
    assert_eq!(files.read("d.yaml"), DEPLOYMENT);
    let expected = own.replace("'1'", &format!("'2', digest: {DIGEST}"));
    assert_eq!(files.read("kustomization.yaml"), expected);
    // One that takes it, and says nothing of its image, does not count.
    files.write("kustomization.yaml", "resources: [d.yaml]\n");
    files.put(&["--manifest", "d.yaml"]).ok();
    assert_eq!(files.read("d.yaml"), self::expected());
}
