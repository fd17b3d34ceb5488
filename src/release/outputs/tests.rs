//! The exact bytes of every file.

use std::fs;

use super::*;
use crate::digest::Digest;
use crate::image::Platform;
use crate::reference::Reference;

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn facts(name: &str, references: &[&str]) -> Facts {
    let digest = Digest::of(name.as_bytes());
    Facts {
        name: name.to_owned(),
        references: references.iter().map(|text| reference(text)).collect(),
        digest: digest.clone(),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        size_bytes: 1234,
        config_digest: Some(Digest::of(b"config")),
        platforms: vec![PlatformImage {
            platform: "linux/amd64".parse::<Platform>().unwrap(),
            digest,
        }],
        base: Some(Base {
            name: "builder:python-3.11".to_owned(),
            digest: Some(Digest::of(b"base")),
        }),
        is_pushed: true,
    }
}

/// Everything at once, below a directory that is not there yet.
fn all(directory: &Path) -> Outputs {
    let file = |name: &str| Some(directory.join("out").join(name));
    Outputs {
        digest_file: file("digest"),
        image_name_with_digest_file: file("name"),
        image_name_tag_with_digest_file: file("tag"),
        metadata_file: file("metadata"),
        iidfile: file("iid"),
        image_refs: file("refs"),
        tekton: Some(Tekton {
            directory: directory.join("tekton"),
            prefix: "app-".to_owned(),
        }),
        github_output: file("github"),
        github_summary: file("summary"),
        dotenv: file("dotenv"),
        result: Some(ResultFile {
            path: directory.join("out/build_result.json"),
            others: Others::Stay,
        }),
        is_nested: false,
    }
}

fn read(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).unwrap()
}

#[test]
fn every_file_has_the_bytes_of_its_convention() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let image = facts(
        "web",
        &[
            "ghcr.io/acme/web:latest",
            "ghcr.io/acme/web:1.2",
            "localhost:5000/w:1.2",
        ],
    );
    let digest = image.digest.to_string();
    let config = Digest::of(b"config").to_string();
    let outputs = all(directory);
    outputs.check(1, 1).unwrap();
    outputs.forget_stale(&["web"]).unwrap();
    outputs.write(std::slice::from_ref(&image)).unwrap();
    let pinned = format!("ghcr.io/acme/web:1.2@{digest}");
    let refs =
        format!("ghcr.io/acme/web:latest@{digest}\n{pinned}\nlocalhost:5000/w:1.2@{digest}\n");
    for (name, expected) in [
        ("out/digest", digest.clone()),
        (
            "out/name",
            format!("ghcr.io/acme/web@{digest}\nlocalhost:5000/w@{digest}\n"),
        ),
        ("out/tag", refs.clone()),
        ("out/refs", refs.clone()),
        ("out/iid", config.clone()),
        ("tekton/app-IMAGE_URL", "ghcr.io/acme/web:1.2".to_owned()),
        ("tekton/app-IMAGE_DIGEST", digest.clone()),
        ("tekton/IMAGES", refs.trim_end().to_owned()),
        (
            "out/dotenv",
            format!(
                "OVERCOAT_IMAGE={pinned}\nOVERCOAT_NAME=ghcr.io/acme/web\nOVERCOAT_TAG=1.2\nOVERCOAT_DIGEST={digest}\n"
            ),
        ),
        (
            "out/build_result.json",
            format!("{{\"builds\":[{{\"imageName\":\"web\",\"tag\":\"{pinned}\"}}]}}\n"),
        ),
        (
            "out/summary",
            format!(
                "### Images\n\n| image | reference | digest | platforms |\n| --- | --- | --- | --- |\n\
                 | web | `ghcr.io/acme/web:latest` | `{digest}` | linux/amd64 |\n\
                 | web | `ghcr.io/acme/web:1.2` | `{digest}` | linux/amd64 |\n\
                 | web | `localhost:5000/w:1.2` | `{digest}` | linux/amd64 |\n\n"
            ),
        ),
    ] {
        assert_eq!(read(directory, name), expected, "{name}");
    }
    let base = Digest::of(b"base");
    assert_eq!(
        read(directory, "out/metadata"),
        format!(
            r#"{{
  "containerimage.config.digest": "{config}",
  "containerimage.descriptor": {{
    "digest": "{digest}",
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "size": 1234
  }},
  "containerimage.digest": "{digest}",
  "image.name": "ghcr.io/acme/web:latest,ghcr.io/acme/web:1.2,localhost:5000/w:1.2",
  "overcoat.base": {{
    "digest": "{base}",
    "name": "builder:python-3.11"
  }},
  "overcoat.image": "{pinned}",
  "overcoat.name": "web",
  "overcoat.platforms": [
    {{
      "digest": "{digest}",
      "platform": "linux/amd64"
    }}
  ],
  "overcoat.pushed": true,
  "overcoat.tag": "1.2"
}}"#
        )
    );
    let github = read(directory, "out/github");
    let delimiter = format!("overcoat_{}", Digest::of(refs.trim_end().as_bytes()).hex());
    let beginning = format!(
        "digest={digest}\ntag=1.2\nimage={pinned}\nimageid={config}\nimages<<{delimiter}\n{refs}{delimiter}\nmetadata={{"
    );
    assert!(github.starts_with(&beginning), "{github}");
    assert_eq!(github.lines().count(), 10);
}

#[test]
fn an_index_has_no_image_id_to_tell_github() {
    let index = Facts {
        config_digest: None,
        ..facts("web", &["w.example/web:1"])
    };
    let text = github::outputs(&[index]);
    assert!(!text.contains("imageid"), "{text}");
    assert!(text.contains("\nimage=w.example/web:1@sha256:"), "{text}");
}

#[test]
fn what_an_earlier_run_left_is_gone_before_the_work() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let outputs = all(directory);
    outputs
        .write(&[facts("web", &["w.example/web:1"])])
        .unwrap();
    outputs.forget_stale(&["web"]).unwrap();
    let mut left: Vec<String> = ["out", "tekton"]
        .iter()
        .flat_map(|name| fs::read_dir(directory.join(name)).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["github", "summary"], "others write to these as well");
    outputs.forget_stale(&["web"]).unwrap();
}

#[test]
fn the_file_of_results_keeps_others_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("build_result.json");
    let outputs = |others| Outputs {
        result: Some(ResultFile {
            path: path.clone(),
            others,
        }),
        ..Outputs::default()
    };
    let names = || BuildResult::read(&path).unwrap().names();
    outputs(Others::Stay)
        .write(&[facts("a", &["r.example/a:1"])])
        .unwrap();
    outputs(Others::Stay)
        .write(&[facts("b", &["r.example/b:1"])])
        .unwrap();
    assert_eq!(names(), ["a", "b"]);
    outputs(Others::Stay).forget_stale(&["a"]).unwrap();
    assert_eq!(names(), ["b"]);
    outputs(Others::Go)
        .write(&[facts("c", &["r.example/c:1"])])
        .unwrap();
    assert_eq!(names(), ["c"]);
    outputs(Others::Go).forget_stale(&["d"]).unwrap();
    assert!(!path.exists());
}

#[test]
fn without_a_push_the_result_has_no_digest() {
    let image = Facts {
        is_pushed: false,
        ..facts("web", &["web:1"])
    };
    assert_eq!(image.entry().tag, "web:1");
}

#[test]
fn several_images_are_all_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let outputs = Outputs {
        digest_file: None,
        iidfile: None,
        ..all(directory)
    };
    outputs.check(2, 2).unwrap();
    let images = [
        facts("team/web", &["r.example/web:1"]),
        facts("api", &["r.example/api:2"]),
    ];
    outputs.write(&images).unwrap();
    let [web, api] = [&images[0], &images[1]].map(Facts::pinned);
    assert_eq!(read(directory, "out/refs"), format!("{web}\n{api}\n"));
    assert_eq!(read(directory, "tekton/IMAGES"), format!("{web}\n{api}"));
    assert_eq!(read(directory, "tekton/app-IMAGE_URL"), "r.example/api:2");
    let dotenv = read(directory, "out/dotenv");
    assert!(
        dotenv.starts_with(&format!("OVERCOAT_IMAGE={api}\n")),
        "{dotenv}"
    );
    let end = format!("OVERCOAT_TEAM_WEB_IMAGE={web}\nOVERCOAT_API_IMAGE={api}\n");
    assert!(dotenv.ends_with(&end), "{dotenv}");
    let metadata: serde_json::Value =
        serde_json::from_str(&read(directory, "out/metadata")).unwrap();
    assert_eq!(metadata["team/web"]["image.name"], "r.example/web:1");
    assert_eq!(metadata["api"]["overcoat.tag"], "2");
    let one = Outputs {
        is_nested: true,
        ..outputs
    };
    one.write(&images[1..]).unwrap();
    let metadata: serde_json::Value =
        serde_json::from_str(&read(directory, "out/metadata")).unwrap();
    assert_eq!(metadata["api"]["overcoat.tag"], "2", "as bake has it");
}

#[test]
fn what_cannot_be_had_is_said_before_the_work() {
    let file = |name: &str| Some(PathBuf::from(name));
    let digest = Outputs {
        digest_file: file("d"),
        ..Outputs::default()
    };
    digest.check(1, 3).unwrap();
    assert_eq!(
        digest.check(2, 1).unwrap_err().to_string(),
        "`--digest-file` is for one image, and 2 are built"
    );
    let iid = Outputs {
        iidfile: file("i"),
        ..Outputs::default()
    };
    assert_eq!(
        iid.check(1, 2).unwrap_err().to_string(),
        "`--iidfile` is for one platform, and the image is for 2"
    );
    let same = Outputs {
        iidfile: file("i"),
        image_refs: file("i"),
        ..Outputs::default()
    };
    assert_eq!(
        same.check(1, 1).unwrap_err().to_string(),
        "`--iidfile` and `--image-refs` name the same file, `i`"
    );
}

#[test]
fn nothing_is_written_when_one_of_the_texts_cannot_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let outputs = all(directory.path());
    let index = Facts {
        config_digest: None,
        ..facts("web", &["r.example/web:1"])
    };
    assert!(matches!(
        outputs.write(&[index]),
        Err(Error::NoConfiguration { .. })
    ));
    let many: Vec<Facts> = (0..60)
        .map(|number| facts(&format!("app{number}"), &["r.example/app:1"]))
        .collect();
    assert!(matches!(
        outputs.write(&many),
        Err(Error::TooLarge { limit: 5120, .. })
    ));
    let twins = [
        facts("a-b", &["r.example/a:1"]),
        facts("a/b", &["r.example/b:1"]),
    ];
    assert!(matches!(
        outputs.write(&twins),
        Err(Error::SameVariable { .. })
    ));
    assert!(!directory.path().join("out").exists());
    assert!(!directory.path().join("tekton").exists());
}

#[test]
fn values_of_several_lines_cannot_end_themselves() {
    assert_eq!(github::output("a", "b=c"), "a=b=c\n");
    let value = "x\nEOF\ny";
    let text = github::output("a", value);
    let delimiter = text.lines().next().unwrap().strip_prefix("a<<").unwrap();
    assert!(!value.contains(delimiter));
    assert_eq!(text, format!("a<<{delimiter}\n{value}\n{delimiter}\n"));
}

#[test]
fn annotations_are_one_line_whatever_they_say() {
    use github::{Level, annotation};
    assert_eq!(
        annotation(Level::Error, None, "100% wrong\nsee below\r\u{1b}[31m"),
        "::error ::100%25 wrong%0Asee below%0D\u{fffd}[31m"
    );
    assert_eq!(
        annotation(
            Level::Warning,
            Some((Path::new("a,b:c.toml"), Some(7))),
            "x"
        ),
        "::warning file=a%2Cb%3Ac.toml,line=7::x"
    );
    assert_eq!(
        annotation(Level::Notice, Some((Path::new("f"), None)), "x"),
        "::notice file=f::x"
    );
}

#[test]
fn a_cell_of_a_table_stays_one() {
    let rows = [vec!["a|b".to_owned(), github::code("c`d\ne")]];
    assert_eq!(
        github::table("T", &["x", "y"], &rows),
        "### T\n\n| x | y |\n| --- | --- |\n| a\\|b | `c'd\u{fffd}e` |\n\n"
    );
}
