use serde_json::json;

use super::*;
use crate::build::BuildRequest;
use crate::build::test_requests::{self, request};

fn builder(labels: serde_json::Value) -> BuilderImage {
    test_requests::builder(&json!({ "User": "1001", "Labels": labels }))
}

fn stock() -> BuilderImage {
    builder(json!({
        labels::SCRIPTS_URL: "image:///usr/libexec/s2i",
        labels::STOCK_SCRIPTS: crate::builder_image::recipe::stock_scripts_digest(),
    }))
}

/// The obstacle for an application with these files and variables.
fn obstacle(
    files: &[(&str, &str)],
    variables: &[(&str, &str)],
    request: &BuildRequest,
    builder: &BuilderImage,
    are_labels_true: bool,
) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let source = crate::source::local::read(
        directory.path(),
        &crate::source::Rules::default(),
        &crate::event::Silent,
    )
    .unwrap();
    let environment: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let wanted = Wanted::read(&source, &std::collections::BTreeMap::new()).unwrap();
    let case = Case {
        request,
        source: &source,
        builder,
        scripts: &Scripts::of_source(&source, builder),
        environment: &environment,
        wanted: &wanted,
        settings: &PipSettings::read(&environment),
        are_labels_true,
    };
    case.obstacle().unwrap()
}

#[test]
fn an_application_of_wheels_needs_nothing_executed() {
    let files = [
        ("app.py", "x"),
        ("requirements.txt", "flask==3.0.0\n# a comment\n"),
        ("pyproject.toml", "[tool.ruff]\nline-length = 100\n"),
    ];
    let request = request(Strategy::Auto);
    assert_eq!(
        obstacle(&files, &[("PORT", "1")], &request, &stock(), true),
        None
    );
}

#[test]
fn whatever_the_stock_script_does_beyond_that_goes_to_the_sandbox() {
    type Row = (
        &'static [(&'static str, &'static str)],
        &'static [(&'static str, &'static str)],
        &'static str,
    );
    let rows: [Row; 12] = [
        (&[(".s2i/bin/assemble", "")], &[], ".s2i/bin/assemble"),
        (&[(".s2i/bin/run", "")], &[], ".s2i/bin/run"),
        (&[("setup.py", "")], &[], "setup.py"),
        (
            &[("pyproject.toml", "[project]\nname='x'\n")],
            &[],
            "pyproject.toml",
        ),
        (&[("requirements.txt", "-e .\n")], &[], "requirements.txt"),
        (
            &[("requirements.txt", "git+https://example.org/x.git\n")],
            &[],
            "requirements.txt",
        ),
        (
            &[("requirements.txt", "--no-binary :all:\nflask\n")],
            &[],
            "requirements.txt",
        ),
        (&[], &[("ENABLE_PIPENV", "1")], "ENABLE_PIPENV"),
        (&[], &[("ENABLE_MICROPIPENV", "1")], "ENABLE_MICROPIPENV"),
        (
            &[],
            &[("UPGRADE_PIP_TO_LATEST", "1")],
            "UPGRADE_PIP_TO_LATEST",
        ),
        (&[], &[("PIP_TARGET", "/x")], "PIP_TARGET"),
        (&[], &[("PIP_CONSTRAINT", "/x")], "PIP_CONSTRAINT"),
    ];
    let request = request(Strategy::Auto);
    for (files, variables, expected) in rows {
        let found = obstacle(files, variables, &request, &stock(), true).unwrap_or_default();
        assert!(
            found.contains(expected),
            "{files:?} {variables:?}: `{found}`"
        );
    }
    let unset = obstacle(
        &[("setup.py", "")],
        &[("DISABLE_SETUP_PY_PROCESSING", "1")],
        &request,
        &stock(),
        true,
    );
    assert_eq!(unset, None);
}

#[test]
fn scripts_that_are_not_ours_are_run_unless_direct_is_asked_for() {
    let foreign = builder(json!({ labels::SCRIPTS_URL: "image:///usr/libexec/s2i" }));
    let auto = request(Strategy::Auto);
    let found = obstacle(&[], &[], &auto, &foreign, true).unwrap();
    assert!(found.contains("S2I scripts of its own"), "{found}");
    // An image made on top of ours inherits the label, and may have changed the script.
    assert!(obstacle(&[], &[], &auto, &stock(), false).is_some());
    assert_eq!(
        obstacle(&[], &[], &request(Strategy::Direct), &foreign, true),
        None
    );
}

#[test]
fn what_is_given_for_scripts_sends_the_step_to_them() {
    let mut with_user = request(Strategy::Direct);
    with_user.assemble_user = Some("root".to_owned());
    let found = obstacle(&[], &[], &with_user, &stock(), true).unwrap();
    assert!(found.contains("--assemble-user root"), "{found}");
    let mut with_cache = request(Strategy::Auto);
    with_cache.inputs.cache_mounts.push("/cache".to_owned());
    let found = obstacle(&[], &[], &with_cache, &stock(), true).unwrap();
    assert!(found.contains("--cache-mount"), "{found}");
}

#[test]
fn static_files_of_django_are_collected_by_the_script() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("site")).unwrap();
    std::fs::write(directory.path().join("site/manage.py"), "").unwrap();
    let source = crate::source::local::read(
        directory.path(),
        &crate::source::Rules::default(),
        &crate::event::Silent,
    )
    .unwrap();
    let (request, builder) = (request(Strategy::Auto), stock());
    let (wanted, settings) = (Wanted::default(), PipSettings::default());
    let found = |variables: &[(&str, &str)], packages: &[&str]| {
        let environment: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let packages: Vec<String> = packages.iter().map(|name| (*name).to_owned()).collect();
        let case = Case {
            request: &request,
            source: &source,
            builder: &builder,
            scripts: &Scripts::of_source(&source, &builder),
            environment: &environment,
            wanted: &wanted,
            settings: &settings,
            are_labels_true: true,
        };
        case.obstacle_of(&packages).is_some()
    };
    assert!(found(&[("APP_HOME", "site")], &["asgiref", "django"]));
    assert!(!found(&[("APP_HOME", "site")], &["django-environ"]));
    assert!(!found(&[], &["django"]), "there is no manage.py at the top");
    let disabled = [("APP_HOME", "site"), ("DISABLE_COLLECTSTATIC", "1")];
    assert!(!found(&disabled, &["django"]));
}
