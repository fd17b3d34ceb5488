//! Tags, digests and documents read, images deleted.

use super::*;

#[test]
fn tags_digests_and_documents_are_read_with_few_requests() {
    let bench = bench();
    let host = bench.registry.host();
    for tag in ["2", "latest"] {
        bench.copy(&bench.name, &format!("{host}/team/app:{tag}"), &[]);
    }
    let raw = skopeo_raw(&format!("docker://{}", bench.name));
    let digest = digest_of(&raw);
    let fresh = Overcoat::new();
    let requests = |arguments: &[&str]| {
        let before = bench.registry.requests().len();
        let done = fresh.run(arguments).ok();
        (done.stdout, bench.registry.requests().split_off(before))
    };
    let (tags, asked) = requests(&["tags", &format!("{host}/team/app")]);
    assert_eq!(tags, "1\n2\nlatest\n");
    assert_eq!(asked.len(), 1, "{asked:?}");
    let (tags, _) = requests(&[
        "tags",
        &format!("{host}/team/app"),
        "--format",
        "json",
        "--limit",
        "2",
    ]);
    let expected = json!({ "repository": format!("{host}/team/app"), "tags": ["1", "2"] });
    assert_eq!(serde_json::from_str::<Value>(&tags).unwrap(), expected);
    let (found, asked) = requests(&["digest", &bench.name]);
    assert_eq!(found, format!("{digest}\n"));
    assert_eq!(asked, ["HEAD /v2/team/app/manifests/1 200"]);
    let (found, asked) = requests(&["inspect", "--remote", &bench.name]);
    assert_eq!(asked.len(), 2, "{asked:?}");
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["digest"], digest.as_str());
    assert_eq!(found["layers"].as_array().unwrap().len(), 2);
    let (found, asked) = requests(&["inspect", "--remote", &bench.name, "--raw"]);
    assert_eq!((found, asked.len()), (raw, 1));
    assert!(!fresh.store().exists());

    let absent = format!("{host}/team/absent:1");
    for command in [
        &["digest"][..],
        &["tags"],
        &["inspect", "--remote"],
        &["delete"],
        &["referrers"],
    ] {
        let failed = bench.overcoat.run(&[command, &[&absent]].concat());
        assert_eq!(failed.code, Some(4), "{command:?}: {}", failed.stderr);
        assert!(failed.stderr.contains("team/absent"), "{}", failed.stderr);
    }
}

#[test]
fn an_image_is_deleted_with_all_its_tags_and_they_are_named() {
    let bench = bench();
    let host = bench.registry.host();
    let digest = digest_of(&skopeo_raw(&format!("docker://{}", bench.name)));
    for tag in ["old", "same"] {
        bench.copy(&bench.name, &format!("{host}/team/app:{tag}"), &[]);
    }
    let other = artifact(host, "team/app", "text/x", "other", None);
    let kind = other.descriptor.media_type.clone();
    http(
        host,
        "PUT /v2/team/app/manifests/other",
        &kind,
        &other.bytes,
    );
    let dry = ["delete", &bench.name, "--dry-run", "--format", "json"];
    let dry: Value = serde_json::from_str(&bench.overcoat.run(&dry).ok().stdout).unwrap();
    assert_eq!(dry["other_tags"], json!(["old", "same"]));
    assert_eq!(
        (&dry["deleted"], &dry["all_tags_known"]),
        (&json!(false), &json!(true))
    );
    let done = bench.overcoat.run(&["delete", &bench.name]).ok();
    assert_eq!(done.digest(&format!("{host}/team/app")), digest);
    assert!(
        done.stderr.contains("also called old, same"),
        "{}",
        done.stderr
    );
    for tag in ["1", "old", "same"] {
        let gone = bench
            .overcoat
            .run(&["digest", &format!("{host}/team/app:{tag}")]);
        assert_eq!(gone.code, Some(4), "{tag}: {}", gone.stderr);
    }
    bench
        .overcoat
        .run(&["digest", &format!("{host}/team/app:other")])
        .ok();
    // By digest.
    let pinned = format!("{host}/team/app@{}", other.descriptor.digest);
    bench.overcoat.run(&["delete", &pinned]).ok();
    assert_eq!(bench.overcoat.run(&["delete", &pinned]).code, Some(4));

    let strict = Registry::without_deletion();
    let kept = format!("{}/team/app:1", strict.host());
    skopeo_copy(&bench.layout, &format!("docker://{kept}"), &[]);
    let refused = bench.overcoat.run(&["delete", &kept]);
    assert_eq!(refused.code, Some(30), "{}", refused.stderr);
    let said = format!("`{}` does not allow images to be deleted", strict.host());
    assert!(
        refused.stderr.contains(&said) && refused.stderr.contains("hint: "),
        "{}",
        refused.stderr
    );
    bench.overcoat.run(&["digest", &kept]).ok();
}
