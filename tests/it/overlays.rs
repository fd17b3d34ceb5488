//! `deploy` into files that are not alone: overlays elsewhere in the repository, several applications, registries that do not have the
//! image.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{Done, Overcoat, free_port};

const DIGEST: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn deployment(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  template:\n    spec:\n      \
         containers:\n      - name: {name}-app\n        image: {image}\n"
    )
}

fn write(overcoat: &Overcoat, name: &str, text: &str) {
    let path = overcoat.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(overcoat: &Overcoat, name: &str) -> String {
    fs::read_to_string(overcoat.path().join(name)).unwrap()
}

fn deploy(overcoat: &Overcoat, directory: &Path, arguments: &[&str]) -> Done {
    let mut command = overcoat.command(&[&["deploy"], arguments].concat());
    command.current_dir(directory).output().unwrap().into()
}

#[test]
fn an_overlay_that_says_the_image_is_not_unpinned_from_below() {
    let overcoat = Overcoat::new();
    let base = deployment("web", "acme/web:1");
    let overlay =
        "resources: [../../base]\nimages: [{name: acme/web, newName: eu.io/web, newTag: '1'}]\n";
    write(&overcoat, "base/d.yaml", &base);
    write(
        &overcoat,
        "base/kustomization.yaml",
        "resources: [d.yaml]\n",
    );
    write(&overcoat, "overlays/prod/kustomization.yaml", overlay);
    let image = format!("ghcr.io/acme/web:2@{DIGEST}");
    let flags = [
        "--no-verify",
        "--container",
        "web-app",
        "--image",
        &image,
        "--manifest",
    ];
    let here = overcoat.path().to_owned();
    // From anywhere: without a repository it is the working directory that is looked through; with one, that.
    fs::create_dir(here.join(".git")).unwrap();
    for (directory, file) in [(here.clone(), "base/d.yaml"), (here.join("base"), "d.yaml")] {
        let done = deploy(&overcoat, &directory, &[&flags[..], &[file]].concat());
        assert_eq!(done.code, Some(84), "{}", done.stderr);
        assert!(done.stderr.contains("overlays/prod"), "{}", done.stderr);
        let command = "overcoat deploy --kustomization";
        assert!(done.stderr.contains(command), "{}", done.stderr);
        assert!(
            done.stderr.contains("--base-image acme/web"),
            "{}",
            done.stderr
        );
        assert_eq!(read(&overcoat, "base/d.yaml"), base);
    }
    fs::remove_dir(here.join(".git")).unwrap();
    let done = deploy(&overcoat, &here, &[&flags[..], &["base/d.yaml"]].concat());
    assert_eq!(done.code, Some(84), "{}", done.stderr);

    // What the message says works, and an overlay of that overlay is seen too.
    let there = ["--no-verify", "--image", &image, "--base-image", "acme/web"];
    let there = [&there[..], &["--kustomization", "overlays/prod"]].concat();
    deploy(&overcoat, &here, &there).ok();
    let set = read(&overcoat, "overlays/prod/kustomization.yaml");
    assert!(
        set.contains("newName: ghcr.io/acme/web, newTag: '2'"),
        "{set}"
    );
    write(
        &overcoat,
        "overlays/eu/kustomization.yaml",
        "bases: [../prod]\nimages: [{name: ghcr.io/acme/web, newTag: '1'}]\n",
    );
    let done = deploy(&overcoat, &here, &there);
    assert_eq!(done.code, Some(84), "{}", done.stderr);
    assert!(done.stderr.contains("overlays/eu"), "{}", done.stderr);
    fs::remove_dir_all(here.join("overlays/eu")).unwrap();

    // On request the file is changed all the same, with a warning.
    let despite = [&flags[..], &["base/d.yaml", "--despite-overlays"]].concat();
    let done = deploy(&overcoat, &here, &despite).ok();
    assert!(done.stderr.contains("overlays/prod"), "{}", done.stderr);
    assert_eq!(
        read(&overcoat, "base/d.yaml"),
        base.replace("acme/web:1", &image)
    );

    // One that takes it and speaks of another image hinders nothing, and a broken one elsewhere is told.
    write(&overcoat, "base/d.yaml", &base);
    let other = overlay.replace("acme/web,", "acme/api,");
    write(&overcoat, "overlays/prod/kustomization.yaml", &other);
    write(&overcoat, "broken/kustomization.yaml", "resources: [\n");
    let done = deploy(&overcoat, &here, &[&flags[..], &["base/d.yaml"]].concat()).ok();
    assert!(
        done.stderr.contains("broken/kustomization.yaml"),
        "{}",
        done.stderr
    );
    assert_eq!(
        read(&overcoat, "base/d.yaml"),
        base.replace("acme/web:1", &image)
    );
}

/// A project of two applications with their images in a file of results.
fn shop(api: &str) -> Overcoat {
    let overcoat = Overcoat::new();
    let text = "project = \"shop\"\n[applications.web]\nimage = \"shop/web\"\ncontainer = \"web-app\"\n\
                [applications.api]\nimage = \"shop/api\"\ncontainer = \"api-app\"\n\
                [environments.dev]\nmanifests = [\"k8s/*.yaml\"]\n";
    write(&overcoat, "overcoat.toml", text);
    let both = format!(
        "{}---\n{}",
        deployment("web", "old/web:1"),
        deployment(api, "old/api:1")
    );
    write(&overcoat, "k8s/both.yaml", &both);
    let entry = |name: &str| {
        format!("{{\"imageName\":\"shop/{name}\",\"tag\":\"r.example/shop/{name}:2@{DIGEST}\"}}")
    };
    let results = format!("{{\"builds\":[{},{}]}}\n", entry("web"), entry("api"));
    write(&overcoat, "build_result.json", &results);
    overcoat
}

#[test]
fn several_applications_are_deployed_all_or_none() {
    let overcoat = shop("other");
    let before = read(&overcoat, "k8s/both.yaml");
    let here = overcoat.path().to_owned();
    let words = ["web", "api", "--environment", "dev", "--no-verify"];
    let done = deploy(&overcoat, &here, &words);
    assert_eq!(done.code, Some(85), "{}", done.stderr);
    assert_eq!(read(&overcoat, "k8s/both.yaml"), before);
    let refused = deploy(
        &overcoat,
        &here,
        &[&words[..], &["--container", "x"]].concat(),
    );
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("`--container` is of one"),
        "{}",
        refused.stderr
    );

    let overcoat = shop("api");
    let before = read(&overcoat, "k8s/both.yaml");
    let here = overcoat.path().to_owned();
    let check = deploy(&overcoat, &here, &[&words[..], &["--check"]].concat());
    assert_eq!(check.code, Some(86), "{}", check.stderr);
    let dry = deploy(
        &overcoat,
        &here,
        &[&words[..], &["--dry-run", "--format", "json"]].concat(),
    );
    let told: Value = serde_json::from_str(&dry.ok().stdout).unwrap();
    assert_eq!(told["edits"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(read(&overcoat, "k8s/both.yaml"), before);
    let done = deploy(&overcoat, &here, &words).ok();
    assert_eq!(done.stdout.lines().count(), 2, "{}", done.stdout);
    let image = |name: &str| format!("r.example/shop/{name}:2@{DIGEST}");
    let expected = before
        .replace("old/web:1", &image("web"))
        .replace("old/api:1", &image("api"));
    assert_eq!(read(&overcoat, "k8s/both.yaml"), expected);
    deploy(&overcoat, &here, &[&words[..], &["--check"]].concat()).ok();

    // A record each, with what was its own.
    let mut command = overcoat.command(&["history", "--json", "--operation", "deploy"]);
    let listed: Done = command.current_dir(&here).output().unwrap().into();
    let records: Vec<Value> = serde_json::from_str(&listed.ok().stdout).unwrap();
    for name in ["web", "api"] {
        let own = records.iter().find(|record| record["application"] == name);
        let own = own.unwrap_or_else(|| panic!("{name}: {records:?}"));
        assert_eq!(own["state"], "success", "{own}");
        let text = own.to_string();
        assert!(text.contains(&format!("old/{name}:1")), "{text}");
        assert!(text.contains(&format!("shop/{name}:2")), "{text}");
    }
}

#[test]
fn a_registry_out_of_reach_is_a_warning_and_the_file_is_written() {
    let overcoat = Overcoat::new();
    let text = deployment("web", "old/web:1");
    write(&overcoat, "d.yaml", &text);
    let image = format!("127.0.0.1:{}/web:2@{DIGEST}", free_port());
    let here = overcoat.path().to_owned();
    let words = ["--manifest", "d.yaml", "--image", &image];
    let done = deploy(&overcoat, &here, &words).ok();
    let warning = format!("whether its registry has `{image}` is not known");
    assert!(done.stderr.contains(&warning), "{}", done.stderr);
    assert_eq!(read(&overcoat, "d.yaml"), text.replace("old/web:1", &image));
    let done = deploy(&overcoat, &here, &[&words[..], &["--no-verify"]].concat()).ok();
    assert_eq!(done.stderr, "");
}

#[test]
fn a_tab_behind_a_colon_is_told_as_what_it_is() {
    let overcoat = Overcoat::new();
    let text = deployment("web", "old/web:1").replace("image: ", "image:\t");
    write(&overcoat, "d.yaml", &text);
    let image = format!("r.example/web:2@{DIGEST}");
    let words = ["--no-verify", "--manifest", "d.yaml", "--image", &image];
    let done = deploy(&overcoat, overcoat.path(), &words);
    assert_eq!(done.code, Some(84), "{}", done.stderr);
    assert!(
        done.stderr.contains("there is a tab behind the `:`"),
        "{}",
        done.stderr
    );
    assert_eq!(read(&overcoat, "d.yaml"), text);
}

#[test]
fn an_entry_that_gives_nobody_an_image_is_not_made() {
    let overcoat = Overcoat::new();
    write(&overcoat, "base/d.yaml", &deployment("api", "acme/api:old"));
    write(
        &overcoat,
        "base/kustomization.yaml",
        "resources: [d.yaml]\n",
    );
    let overlay = "resources: [../../base]\n";
    write(&overcoat, "overlays/pp/kustomization.yaml", overlay);
    let here = overcoat.path().to_owned();
    let set = |image: &str, more: &[&str]| {
        let words = [
            "--no-verify",
            "--kustomization",
            "overlays/pp",
            "--image",
            image,
        ];
        deploy(&overcoat, &here, &[&words[..], more].concat())
    };
    // The same last part: the name that the manifests have.
    let image = format!("eu.io/pp/api:2@{DIGEST}");
    set(&image, &[]).ok();
    let text = read(&overcoat, "overlays/pp/kustomization.yaml");
    assert!(text.contains("name: acme/api"), "{text}");
    assert!(text.contains("newName: eu.io/pp/api"), "{text}");
    write(&overcoat, "overlays/pp/kustomization.yaml", overlay);
    let image = format!("eu.io/pp/other:2@{DIGEST}");
    let done = set(&image, &[]);
    assert_eq!(done.code, Some(85), "{}", done.stderr);
    assert!(
        done.stderr.contains("there are `acme/api`"),
        "{}",
        done.stderr
    );
    assert_eq!(read(&overcoat, "overlays/pp/kustomization.yaml"), overlay);
    set(&image, &["--base-image", "acme/api"]).ok();
}
