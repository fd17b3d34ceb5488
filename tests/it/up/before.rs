//! What comes before a run: the plan, the lock; and runs for which there is nothing to do.

use serde_json::json;

use super::{Blueprint, no_kubeconfig};
use crate::support::registry::Registry;
use crate::support::{Overcoat, tool};

#[test]
fn who_may_not_write_anything_gets_the_plan_and_no_store_is_made_for_it() {
    let overcoat = Overcoat::as_ordinary_user().with("KUBECONFIG", "/nonexistent/kubeconfig");
    let blueprint = Blueprint::new(overcoat);
    let open = blueprint.directory.path().to_str().unwrap().to_owned();
    tool("chmod", &["-R", "a+rX,go-w", &open]);
    let before = blueprint.files();
    let plan = blueprint.json(&["--to", "registry", "--repo", "h.example/r", "--dry-run"]);
    assert_eq!(
        plan["steps"].as_array().unwrap().last().unwrap()["step"],
        "results"
    );
    assert_eq!(blueprint.files(), before);
    assert!(!blueprint.overcoat.store().exists());
    // What could have no effect is not taken.
    for flags in [["--to", "archive"], ["--no-deploy", "--dry-run"]] {
        let done = blueprint.up(&[&flags[..], &["--rollback-on-failure"]].concat());
        assert_eq!(done.code, Some(2), "{}", done.stderr);
    }
}

#[test]
fn what_the_registry_has_is_not_pushed_again_and_there_is_no_record_of_nothing() {
    let registry = Registry::start();
    let blueprint = Blueprint::new(no_kubeconfig()).locked();
    let repo = format!("{}/convoy", registry.host());
    let up = ["--to", "registry", "--repo", &repo, "--no-deploy", "sink"];
    let first = blueprint.json(&up);
    assert_eq!(first["pods"][0]["did"], json!(["build", "push", "edit"]));
    let (files, records) = (blueprint.files(), blueprint.records());
    assert_eq!(records.len(), 2, "{records:?}");
    let again = blueprint.json(&up);
    assert_eq!(again["pods"][0]["did"], json!([]));
    assert_eq!(again["pods"][0]["image"], first["pods"][0]["image"]);
    assert_eq!((blueprint.files(), blueprint.records()), (files, records));
    // A build that fails is on record, and what a pipeline reads is gone.
    let scripts = blueprint.root().join("sink/app/.s2i/bin");
    std::fs::create_dir_all(&scripts).unwrap();
    blueprint.write("sink/app/.s2i/bin/assemble", "#!/bin/sh\nexit 4\n");
    let script = scripts.join("assemble");
    tool("chmod", &["a+x", script.to_str().unwrap()]);
    let done = blueprint.up(&up);
    assert_eq!(done.code, Some(50), "{}", done.stderr);
    let newest = &blueprint.records()[0];
    assert_eq!(
        (&newest["operation"], &newest["state"]),
        (&json!("build"), &json!("error"))
    );
    assert!(!blueprint.root().join("build_result.json").exists());
}

#[test]
fn a_lock_is_not_written_on_what_git_knows_to_be_changed() {
    let blueprint = Blueprint::new(no_kubeconfig());
    let root = blueprint.root();
    let git = |arguments: &[&str]| {
        let root = root.to_str().unwrap();
        let identity = ["-C", root, "-c", "user.name=a", "-c", "user.email=a@b.c"];
        tool("git", &[&identity, arguments].concat());
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "delivered"]);
    // Section 1 is free.
    blueprint.replace("sink/app/app.py", "\"arrived\"", "\"here\"");
    blueprint.replace("relay-1/app/app.py", "\"8000\"", "\"9000\"");
    git(&["commit", "--quiet", "-am", "changed"]);
    let before = blueprint.files();
    let done = blueprint.up(&["--lock"]);
    assert_eq!(done.code, Some(97), "{}", done.stderr);
    for text in [
        "relay-1/app/app.py: it differs outside of Section 1 from the commit ",
        "+PORT = int(os.environ.get(\"PORT\", \"9000\"))",
        "hint: take the change back",
    ] {
        assert!(done.stderr.contains(text), "{}", done.stderr);
    }
    assert_eq!(blueprint.files(), before);
    // The person may know better: which commit has the delivered text, or that this is it.
    blueprint
        .up(&["--lock", "--baseline", "HEAD", "--dry-run"])
        .ok();
    assert_eq!(blueprint.files(), before);
    let done = blueprint.up(&["--lock", "--allow-section2"]).ok();
    assert!(
        done.stderr.contains("it differs outside of Section 1"),
        "{}",
        done.stderr
    );
    assert!(blueprint.read(".overcoat-hopr.lock").contains("9000"));
}

#[test]
fn hooks_of_builds_run_each_time_for_they_may_make_what_is_built() {
    let blueprint = Blueprint::new(no_kubeconfig()).locked();
    let project = "project = \"convoy\"\n[applications.end]\npath = \"sink/app\"\n\
        [[hooks]]\noperation = \"build\"\nwhen = \"before\"\napplications = [\"end\"]\n\
        command = [\"sh\", \"-c\", \"echo $OVERCOAT_APPLICATION >> hooked\"]\n";
    blueprint.write("overcoat.toml", project);
    for is_unchanged in [false, true] {
        let done = blueprint.json(&["--to", "archive", "sink"]);
        assert_eq!(done["pods"][0]["is_unchanged"], is_unchanged, "{done:#}");
    }
    assert_eq!(blueprint.read("hooked"), "end\nend\n");
    let records = blueprint.records();
    let told: Vec<(&str, &str)> = records
        .iter()
        .map(|record| {
            let text = |key: &str| record[key].as_str().unwrap();
            (text("title"), text("state"))
        })
        .collect();
    assert_eq!(
        told,
        [("end/build/2", "success"), ("end/build/1", "success")]
    );
}
