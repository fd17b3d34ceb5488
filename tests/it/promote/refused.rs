//! Promotions that must not happen, and those that were cut short.

use super::*;

#[test]
fn a_tag_that_stands_for_something_else_is_not_moved_and_then_nothing_is() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    let other = image_at(
        bench.directory.path(),
        "other",
        &format!("{pp}/team/api:v1"),
    );
    let written = writes(&bench.pp);
    let out = bench.directory.path().join("digests");
    fs::write(&out, "old@sha256:of an earlier run").unwrap();
    let flags = ["--image-refs", out.to_str().unwrap()];
    let refused = bench.promote(&dev, &pp, &flags);
    assert_eq!(refused.code, Some(83), "{}", refused.stderr);
    let said = format!(
        "error: `{pp}/team/api:v1` stands for {other} already, not for {}; no tag was moved\nhint: ",
        bench.api
    );
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");
    assert_eq!(
        writes(&bench.pp),
        written,
        "the other image could have been promoted"
    );
    assert!(
        !out.exists(),
        "what an earlier run left would be taken for this one's"
    );
    let planned = bench.promote(&dev, &pp, &["--dry-run"]);
    assert_eq!(planned.code, Some(83), "{}", planned.stderr);

    bench.promote(&dev, &pp, &["--force"]).ok();
    assert_eq!(
        standing(&format!("{pp}/team/api:v1")),
        Some(bench.api.clone())
    );
    assert_eq!(standing(&format!("{pp}/web:v1")), Some(bench.web.clone()));
}

#[test]
fn two_images_that_would_be_one_are_refused() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    let [web, api] = [&bench.web, &bench.api];
    // Nobody knows these registries, so the last parts count; both are in the one repository.
    skopeo_copy(
        &format!("docker://{}", bench.place("team/api")),
        &format!("docker://{dev}/web:v2"),
        &[],
    );
    bench.results(&[
        ("a", &format!("x.example/a/web:v1@{web}")),
        ("b", &format!("x.example/b/web:v1@{api}")),
    ]);
    let refused = bench.promote(&dev, &pp, &[]);
    assert_eq!(refused.code, Some(83), "{}", refused.stderr);
    let said = format!("`a` and `b` would both be `{pp}/web:v1`, and are not the same");
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    // The same image twice is no trouble, and neither is an older result of the same name.
    bench.results(&[
        ("a", &format!("x.example/a/web:v1@{web}")),
        ("b", &format!("x.example/b/web:v1@{web}")),
    ]);
    let once = bench.promote(&dev, &pp, &[]).ok();
    assert_eq!(once.stdout, format!("{pp}/web:v1@{web}\n"));
    bench.results(&[
        ("c", &format!("x.example/web:v3@{api}")),
        ("c", &format!("x.example/web:v3@{web}")),
    ]);
    let last = bench.promote(&dev, &pp, &[]).ok();
    assert_eq!(last.stdout, format!("{pp}/web:v3@{web}\n"));
}

#[test]
fn an_image_that_is_gone_from_the_source_is_named_and_nothing_is_promoted() {
    let bench = bench();
    let [dev, pp, prod] = bench.registries();
    let gone = Digest::of(b"gone").to_string();
    bench.results(&[
        ("web", &format!("{}@{}", bench.place("web"), bench.web)),
        ("api", &format!("{}@{gone}", bench.place("team/api"))),
    ]);
    let failed = bench.promote(&dev, &pp, &[]);
    assert_eq!(failed.code, Some(4), "{}", failed.stderr);
    let said = format!(
        "`{dev}` does not have `api`, which was to be promoted from there: `{dev}/team/api:v1@{gone}`"
    );
    assert!(failed.stderr.contains(&said), "{}", failed.stderr);
    assert_eq!(writes(&bench.pp), [""; 0]);
    // What was never promoted to pp is not taken from dev.
    let skipped = bench.promote(&pp, &prod, &["--image-name", "web"]);
    assert_eq!(skipped.code, Some(4), "{}", skipped.stderr);
    assert!(
        skipped
            .stderr
            .contains(&format!("`{pp}` does not have `web`")),
        "{}",
        skipped.stderr
    );
}

#[test]
fn what_was_half_promoted_is_completed() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    bench.promote(&dev, &pp, &["--image-name", "web"]).ok();
    let done = bench.promote(&dev, &pp, &["--format", "json"]).ok();
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (&told[0]["already_there"], &told[1]["already_there"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        standing(&format!("{pp}/team/api:v1")),
        Some(bench.api.clone())
    );
}

#[test]
fn killed_at_any_point_it_leaves_no_wrong_tag_and_is_completed_by_doing_it_again() {
    let bench = bench();
    let [dev, _, _] = bench.registries();
    let images = [("web", &bench.web), ("team/api", &bench.api)];
    let mut was_cut = 0;
    for point in 0..12 {
        let to = format!("{}/run{point}", bench.pp.host());
        let before = bench.pp.requests().len();
        let mut child = bench.command(&dev, &to, &["-q"]).spawn().unwrap();
        // Killed after so many answers of the destination, wherever that is.
        while child.try_wait().unwrap().is_none() && bench.pp.requests().len() < before + point * 4
        {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let _ = child.kill();
        was_cut += usize::from(!child.wait().unwrap().success());
        let found = images.map(|(name, _)| standing(&format!("{to}/{name}:v1")));
        for ((name, digest), found) in images.iter().zip(&found) {
            assert!(
                found.as_ref().is_none_or(|found| found == *digest),
                "{name} at {point}: {found:?}"
            );
        }
        if found.iter().any(Option::is_some) {
            // Tags come when all is there.
            for (name, digest) in images {
                let all = format!("{to}/{name}@{digest}");
                assert_eq!(standing(&all).as_ref(), Some(digest), "at {point}");
            }
        }
        bench.promote(&dev, &to, &[]).ok();
        for (name, digest) in images {
            assert_eq!(
                standing(&format!("{to}/{name}:v1")).as_ref(),
                Some(digest),
                "at {point}"
            );
        }
    }
    assert!(
        was_cut >= 4,
        "only {was_cut} of them were killed before their end"
    );
    bench.overcoat.run(&["gc"]).ok();
    assert_eq!(
        bench.overcoat.left_behind(),
        [""; 0],
        "what was on its way is swept"
    );
}

#[test]
fn what_cannot_be_promoted_is_said_in_one_message_with_a_code_of_its_own() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    let refused = |from: &str, to: &str, more: &[&str], code: i32, said: &str| {
        let done = bench.promote(from, to, more);
        assert_eq!(done.code, Some(code), "{}", done.stderr);
        assert!(done.stderr.contains(said), "{said}:\n{}", done.stderr);
        assert_eq!(done.stderr.matches("error: ").count(), 1, "{}", done.stderr);
        assert!(done.stderr.contains("\nhint: "), "{}", done.stderr);
        assert_eq!(done.stdout, "");
    };
    refused(&dev, &dev, &[], 2, "source and destination are the same");
    refused(
        &dev,
        &format!("{dev}/"),
        &[],
        2,
        "source and destination are the same",
    );
    refused(
        "https://r.example",
        &pp,
        &[],
        3,
        "`https://r.example` is not",
    );
    refused(
        &dev,
        &pp,
        &["--build-result", "no/such.json"],
        82,
        "there is no file of results: `no/such.json`",
    );
    let directory = bench.directory.path().join("web");
    let named = format!("{}/build_result.json", directory.display());
    refused(
        &dev,
        &pp,
        &["--build-result", directory.to_str().unwrap()],
        82,
        &named,
    );
    refused(
        &dev,
        &pp,
        &["--digest-file", "d"],
        2,
        "`--digest-file` is for one image, and 2 are built",
    );
    bench.results(&[]);
    refused(&dev, &pp, &[], 82, "no builds found in `build_result.json`");
    fs::write(bench.file(), "{}").unwrap();
    refused(&dev, &pp, &[], 82, "expected 'builds'");
    bench.results(&[("web", &format!("{dev}/web@{}", bench.web))]);
    refused(&dev, &pp, &[], 82, "has no tag");
    bench.results(&[("web", "web:v1@sha256:abc")]);
    refused(&dev, &pp, &[], 82, "the result of `web` cannot be used");
    assert_eq!(bench.pp.requests().len(), 0);
}

#[test]
fn a_registry_that_is_not_there_leaves_no_file_behind() {
    let bench = bench();
    let [dev, _, _] = bench.registries();
    let port = super::super::support::free_port();
    let refs = bench.directory.path().join("refs");
    fs::write(&refs, "old@sha256:0").unwrap();
    let flags = ["--image-refs", refs.to_str().unwrap()];
    let done = bench.promote(&dev, &format!("127.0.0.1:{port}/pp"), &flags);
    assert_eq!(done.code, Some(30), "{}", done.stderr);
    assert!(!refs.exists());
}
