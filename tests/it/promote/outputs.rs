//! What a pipeline reads after a promotion.

use super::*;

#[test]
fn every_convention_gets_its_file_at_once() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    bench.results(&[("web", &format!("{}@{}", bench.place("web"), bench.web))]);
    let directory = bench.directory.path().join("out");
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let github = [path("github"), path("summary")];
    let done: Done = bench
        .command(
            &dev,
            &pp,
            &[
                "--digest-file",
                &path("digest"),
                "--image-name-with-digest-file",
                &path("name"),
                "--image-name-tag-with-digest-file",
                &path("tag"),
                "--metadata-file",
                &path("metadata"),
                "--iidfile",
                &path("iid"),
                "--image-refs",
                &path("refs"),
                "--tekton-results",
                &path("tekton"),
                "--tekton-prefix",
                "web-",
                "--dotenv",
                &path("dotenv"),
                "--result-out",
                &path("build_result.json"),
            ],
        )
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_OUTPUT", &github[0])
        .env("GITHUB_STEP_SUMMARY", &github[1])
        .output()
        .unwrap()
        .into();
    done.ok();
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let digest = &bench.web;
    let pinned = format!("{pp}/web:v1@{digest}");
    let manifest: Value =
        serde_json::from_str(&skopeo_raw(&format!("docker://{pp}/web:v1"))).unwrap();
    for (name, expected) in [
        ("digest", digest.clone()),
        ("name", format!("{pp}/web@{digest}\n")),
        ("tag", format!("{pinned}\n")),
        ("refs", format!("{pinned}\n")),
        (
            "iid",
            manifest["config"]["digest"].as_str().unwrap().to_owned(),
        ),
        ("tekton/web-IMAGE_URL", format!("{pp}/web:v1")),
        ("tekton/web-IMAGE_DIGEST", digest.clone()),
        ("tekton/IMAGES", pinned.clone()),
        (
            "build_result.json",
            format!("{{\"builds\":[{{\"imageName\":\"web\",\"tag\":\"{pinned}\"}}]}}\n"),
        ),
        (
            "summary",
            format!(
                "### Promotion\n\n| artifact | source | destination | digest |\n| --- | --- | --- | --- |\n\
                 | web | `{dev}/web:v1@{digest}` | `{pp}/web:v1` | `{digest}` |\n\n"
            ),
        ),
    ] {
        assert_eq!(read(name), expected, "{name}");
    }
    assert!(read("github").starts_with(&format!("digest={digest}\ntag=v1\nimage={pinned}\n")));
    assert!(read("dotenv").contains(&format!("OVERCOAT_DIGEST={digest}\n")));
    let metadata: Value = serde_json::from_str(&read("metadata")).unwrap();
    assert_eq!(metadata["containerimage.digest"], **digest);
}

#[test]
fn the_file_that_was_read_may_be_the_one_that_is_written() {
    let bench = bench();
    let [dev, pp, prod] = bench.registries();
    let text = fs::read_to_string(bench.file()).unwrap();
    let with_more = text.replacen(
        "\"imageName\":\"web\"",
        "\"imageName\":\"web\",\"runtimeType\":\"python\"",
        1,
    );
    fs::write(bench.file(), with_more).unwrap();
    let file = bench.file();
    bench
        .promote(&dev, &pp, &["--result-out", file.to_str().unwrap()])
        .ok();
    let written: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        written,
        json!({ "builds": [
            { "imageName": "web", "tag": format!("{pp}/web:v1@{}", bench.web), "runtimeType": "python" },
            { "imageName": "api", "tag": format!("{pp}/team/api:v1@{}", bench.api) },
        ]})
    );
    // A failure leaves it as it is.
    let before = fs::read_to_string(&file).unwrap();
    let failed = bench.promote(
        &dev,
        "127.0.0.1:1/x",
        &["--result-out", file.to_str().unwrap()],
    );
    assert_eq!(failed.code, Some(30), "{}", failed.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    bench.promote(&pp, &prod, &[]).ok();
    assert_eq!(
        standing(&format!("{prod}/team/api:v1")),
        Some(bench.api.clone())
    );
}

#[test]
fn on_github_a_failure_is_an_annotation_and_elsewhere_it_is_not() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    bench.results(&[]);
    let run = |actions: &str| -> Done {
        let mut command = bench.command(&dev, &pp, &[]);
        command.env("GITHUB_ACTIONS", actions);
        command.output().unwrap().into()
    };
    let there = run("true");
    assert_eq!(there.code, Some(82));
    let expected = "\n::error ::no builds found in `build_result.json`%0Ahint: ";
    assert!(there.stderr.contains(expected), "{}", there.stderr);
    assert!(!run("false").stderr.contains("::error"));
}
