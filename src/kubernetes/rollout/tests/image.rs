//! References and image ids.

use super::super::image::{Named, Running};
use super::*;

#[test]
fn images_are_compared_as_references_and_by_digest() {
    let (a, b) = (digest("a"), digest("b"));
    let rows = [
        // wanted, in the template, what it is
        (
            "reg.example/app:v1",
            "reg.example/app:v1".to_owned(),
            Named::ByTag,
        ),
        (
            "reg.example/app:v1",
            format!("reg.example/app:v1@{a}"),
            Named::ByTag,
        ),
        (
            "reg.example/app:v1",
            format!("reg.example/app@{a}"),
            Named::Other,
        ),
        (
            "app",
            "docker.io/library/app:latest".to_owned(),
            Named::ByTag,
        ),
        (
            "app:v1",
            "index.docker.io/library/app:v1".to_owned(),
            Named::ByTag,
        ),
        (
            "team/app:v1",
            "docker.io/team/app:v1".to_owned(),
            Named::ByTag,
        ),
        (
            "reg.example:5000/app:v1",
            "reg.example:5000/app:v1".to_owned(),
            Named::ByTag,
        ),
        (
            "reg.example:5000/app:v1",
            "reg.example:5001/app:v1".to_owned(),
            Named::Other,
        ),
        ("reg.example/app:v1", "bad..ref::".to_owned(), Named::Other),
        ("reg.example/app:v1", String::new(), Named::Other),
        (
            "reg.example/app:v1@A",
            format!("reg.example/app:v1@{a}"),
            Named::ByDigest,
        ),
        // The bytes are the identity: a promoted image is called otherwise.
        (
            "reg.example/app:v1@A",
            format!("prod.example/app@{a}"),
            Named::ByDigest,
        ),
        (
            "reg.example/app:v1@A",
            format!("reg.example/app:v1@{b}"),
            Named::Other,
        ),
        (
            "reg.example/app:v1@A",
            "reg.example/app:v1".to_owned(),
            Named::ByTag,
        ),
        (
            "reg.example/app:v1@A",
            "reg.example/app:v2".to_owned(),
            Named::Other,
        ),
        (
            "reg.example/app@A",
            "reg.example/app:v2".to_owned(),
            Named::Perhaps,
        ),
        (
            "reg.example/app@A",
            "reg.example/other:v2".to_owned(),
            Named::Other,
        ),
    ];
    for (wanted, there, expected) in rows {
        let wanted = wanted.replace("@A", &format!("@{a}"));
        let image = Image::new(wanted.parse().unwrap());
        assert_eq!(image.named_by(&there), expected, "{wanted} against {there}");
    }
}

#[test]
fn an_image_may_have_several_names_and_the_digests_of_its_platforms() {
    let mut image = Image::new(
        format!("dev.example/app:v1@{}", digest("index"))
            .parse()
            .unwrap(),
    );
    image
        .references
        .push("prod.example/app:v1".parse().unwrap());
    image.digests.insert(digest("amd64"));
    assert_eq!(image.named_by("prod.example/app:v1"), Named::ByTag);
    assert_eq!(
        image.named_by(&format!("x.example/app@{}", digest("amd64"))),
        Named::ByDigest
    );
    assert_eq!(
        image.run_as(&format!("x.example/app@{}", digest("amd64"))),
        Running::Wanted
    );
    assert_eq!(
        image.run_as(&format!("x.example/app@{}", digest("index"))),
        Running::Wanted
    );
}

#[test]
fn image_ids_are_read_in_the_forms_of_all_runtimes() {
    let (manifest, config, other) = (digest("manifest"), digest("config"), digest("other"));
    let mut image = Image::new(format!("reg.example/app:v1@{manifest}").parse().unwrap());
    let row = |image: &Image, id: String, expected: Running| {
        assert_eq!(image.run_as(&id), expected, "{id}");
    };
    row(
        &image,
        format!("docker-pullable://reg.example/app@{manifest}"),
        Running::Wanted,
    );
    row(
        &image,
        format!("reg.example/app@{manifest}"),
        Running::Wanted,
    );
    row(
        &image,
        format!("reg.example/app@{other}"),
        Running::Other(other.clone()),
    );
    // The image's own id is the digest of its configuration, which nobody told.
    row(&image, format!("docker://{config}"), Running::Unknown);
    row(&image, format!("{config}"), Running::Unknown);
    row(&image, String::new(), Running::Unknown);
    row(&image, "sha256:short".to_owned(), Running::Unknown);
    row(
        &image,
        "reg.example/app@sha256:nonsense".to_owned(),
        Running::Unknown,
    );
    image.configs.insert(config.clone());
    row(&image, format!("docker://{config}"), Running::Wanted);
    row(&image, format!("{config}"), Running::Wanted);
    row(&image, format!("{other}"), Running::Other(other));
}

#[test]
fn an_image_id_that_tells_nothing_is_said_and_a_pinned_template_needs_none() {
    let mut state = deployment(NEW, 1);
    app(&mut state, 0)["imageID"] = json!("sha256:0");
    let pinned = format!("{NEW}@{}", digest("app"));
    let by_tag = done(judge(&state, &wanted(&pinned)));
    assert!(
        by_tag.notes[0].contains("cannot be told by its image id `sha256:0`"),
        "{by_tag:?}"
    );
    let mut state = deployment(&pinned, 1);
    app(&mut state, 0)["imageID"] = json!(format!(
        "x.example/app@{}",
        digest("its platform's manifest")
    ));
    assert!(done(judge(&state, &wanted(&pinned))).notes.is_empty());
}

#[test]
fn a_wanted_digest_without_a_tag_is_decided_by_the_pods() {
    let by_digest = wanted(&format!("registry.example.com/team/app@{}", digest("app")));
    done(judge(&deployment(NEW, 1), &by_digest));
    let mut state = deployment(NEW, 1);
    app(&mut state, 0)["imageID"] =
        json!(format!("registry.example.com/team/app@{}", digest("old")));
    assert!(why(&judge(&state, &by_digest)).contains("not yet what is wanted"));
}

#[test]
fn without_a_wanted_image_whatever_is_named_is_watched() {
    let any = Wanted {
        container: Some("web-app".to_owned()),
        image: None,
    };
    let mut state = deployment(NEW, 2);
    assert_eq!(done(judge(&state, &any)).image, NEW);
    state.workload["status"]["availableReplicas"] = json!(1);
    assert!(why(&judge(&state, &any)).contains("1 of 2 new pods are available"));
}
