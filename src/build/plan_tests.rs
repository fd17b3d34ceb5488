use serde_json::json;

use super::*;
use crate::build::Strategy;
use crate::build::test_requests::{self, builder};
use crate::source::{SourceEntry, SourceKind};

fn s2i_builder() -> BuilderImage {
    builder(&json!({
        "User": "1001", "WorkingDir": "/opt/app-root/src", "Env": ["PATH=/bin", "A=builder"],
        "Labels": { labels::SCRIPTS_URL: "image:///usr/libexec/s2i" },
    }))
}

fn source(files: &[&str]) -> SourceTree {
    let mut entries: Vec<_> = files
        .iter()
        .map(|path| SourceEntry {
            path: path.as_bytes().to_vec(),
            kind: SourceKind::File {
                is_executable: false,
                size: 10,
            },
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    SourceTree {
        root: "/src/app".into(),
        entries,
        environment: vec![("A".into(), "file".into()), ("B".into(), "file".into())],
        links: crate::source::Links::Keep,
    }
}

fn request(strategy: Strategy) -> BuildRequest {
    BuildRequest {
        environment: vec![("B".into(), "flag".into())],
        labels: BTreeMap::from([("team".into(), "blue".into())]),
        ..test_requests::request(strategy)
    }
}

fn plan(
    strategy: Strategy,
    files: &[&str],
    builder: &BuilderImage,
) -> Result<BuildPlan, PlanError> {
    let way = match strategy {
        Strategy::Direct => Way::Direct(direct(), "a test".to_owned()),
        _ => Way::Assemble("a test".to_owned()),
    };
    make(&request(strategy), &source(files), builder, way)
}

fn make(
    request: &BuildRequest,
    source: &SourceTree,
    builder: &BuilderImage,
    way: Way,
) -> Result<BuildPlan, PlanError> {
    let scripts = Scripts::of_source(source, builder);
    BuildPlan::new(request, source, builder, &scripts, way)
}

fn direct() -> Direct {
    let (uid, gid) = owner_by_user(&s2i_builder()).unwrap();
    Direct {
        uid,
        gid,
        umask: 0o002,
        packages: Some(0),
        versions: String::new(),
    }
}

fn assembled(request: &BuildRequest, builder: &BuilderImage) -> BuildPlan {
    let way = Way::Assemble("a test".to_owned());
    make(request, &source(&["app.py"]), builder, way).unwrap()
}

#[test]
fn the_builders_scripts_are_used_and_the_applications_own_go_before_them() {
    let plan_of = |files: &[&str]| {
        let plan = plan(Strategy::Auto, files, &s2i_builder()).unwrap();
        let Steps::Assemble { process, .. } = plan.steps else {
            panic!("not assembled")
        };
        (
            process.arguments[0].clone(),
            plan.changes.command.unwrap()[0].clone(),
        )
    };
    let stock = (
        "/usr/libexec/s2i/assemble".to_owned(),
        "/usr/libexec/s2i/run".to_owned(),
    );
    assert_eq!(plan_of(&["app.py"]), stock);
    let own = (
        "/tmp/scripts/assemble".to_owned(),
        "/tmp/scripts/run".to_owned(),
    );
    assert_eq!(plan_of(&[".s2i/bin/assemble", ".s2i/bin/run"]), own);
    assert_eq!(plan_of(&[".s2i/bin/assemble"]), (own.0, stock.1));
}

#[test]
fn variables_of_the_builder_give_way_to_the_file_and_the_file_to_the_flag() {
    let plan = plan(Strategy::Auto, &["app.py"], &s2i_builder()).unwrap();
    let Steps::Assemble { process, .. } = &plan.steps else {
        panic!("not assembled")
    };
    let variable = |name: &str| {
        process
            .environment
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(
        (variable("PATH"), variable("A"), variable("B")),
        (Some("/bin"), Some("file"), Some("flag"))
    );
    assert_eq!(
        plan.changes.environment,
        [("A".into(), "file".into()), ("B".into(), "flag".into())]
    );
    assert_eq!(plan.changes.labels["team"], "blue");
    assert_eq!(
        plan.changes.labels[labels::BUILD_IMAGE],
        "quay.io/builder:1"
    );
}

#[test]
fn an_image_without_scripts_needs_an_application_that_brings_both() {
    let plain = builder(&json!({ "WorkingDir": "/app" }));
    let missing = |files: &[&str]| match plan(Strategy::Auto, files, &plain) {
        Err(PlanError::Builder(builder_image::Error::NotABuilder { script, .. })) => Some(script),
        other => other.map(|_| None).unwrap(),
    };
    assert_eq!(missing(&["app.py"]), Some(Script::Run));
    assert_eq!(missing(&[".s2i/bin/run"]), Some(Script::Assemble));
    assert_eq!(missing(&[".s2i/bin/run", ".s2i/bin/assemble"]), None);
}

#[test]
fn a_plain_image_gets_a_command_and_a_directory() {
    let plain = builder(&json!({ "Env": ["PATH=/usr/local/bin"] }));
    let found = plan(Strategy::Direct, &["app.py"], &plain).unwrap();
    assert_eq!(
        found.changes.command,
        Some(vec!["python".to_owned(), "app.py".to_owned()])
    );
    assert_eq!(found.application_directory.to_string(), "/app");
    assert_eq!(found.changes.working_directory.as_deref(), Some("/app"));
    assert!(!found.needs_sandbox());
    let nothing = plan(Strategy::Direct, &["other.py"], &plain);
    assert!(matches!(nothing, Err(PlanError::NoCommand { .. })));
}

#[test]
fn who_assembles_is_the_flag_else_the_label_else_the_image_and_the_result_keeps_its_user() {
    let labelled = builder(&json!({
        "User": "1001", "WorkingDir": "/opt/app-root/src",
        "Labels": { labels::SCRIPTS_URL: "image:///x", labels::ASSEMBLE_USER: "builder" },
    }));
    let rows = [
        (&s2i_builder(), None, "1001"),
        (&labelled, None, "builder"),
        (&labelled, Some("root"), "root"),
        (&s2i_builder(), Some("7:8"), "7:8"),
    ];
    for (builder, flag, expected) in rows {
        let mut request = request(Strategy::Auto);
        request.assemble_user = flag.map(str::to_owned);
        let plan = assembled(&request, builder);
        let Steps::Assemble { process, .. } = &plan.steps else {
            panic!("not assembled")
        };
        assert_eq!(process.user, expected, "{flag:?}");
        assert_eq!(plan.changes.user, None, "the result keeps the image's user");
        assert!(plan.to_string().contains(&format!(" as {expected}\n")));
    }
}

#[test]
fn the_application_directory_is_where_builders_keep_it() {
    let directory = |config: serde_json::Value| {
        let plan = plan(
            Strategy::Auto,
            &[".s2i/bin/run", ".s2i/bin/assemble"],
            &builder(&config),
        )
        .unwrap();
        plan.application_directory.to_string()
    };
    assert_eq!(
        directory(json!({ "WorkingDir": "/opt/app-root/src" })),
        "/opt/app-root/src"
    );
    assert_eq!(
        directory(json!({ "WorkingDir": "/", "Env": ["APP_ROOT=/app_root"] })),
        "/app_root/src"
    );
    assert_eq!(directory(json!({ "Env": ["HOME=/home/app"] })), "/home/app");
    assert_eq!(directory(json!({})), "/tmp");
}

#[test]
fn a_plan_tells_no_values_of_variables() {
    let mut request = request(Strategy::Auto);
    request.environment.push(("TOKEN".into(), "hunter2".into()));
    let plan = assembled(&request, &s2i_builder());
    let text = plan.to_string();
    assert!(
        text.contains("TOKEN") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn bytecode_is_compiled_only_when_asked_for_and_needs_the_sandbox() {
    let mut request = request(Strategy::Direct);
    let plan = |request: &BuildRequest| {
        let way = Way::Direct(direct(), "a test".to_owned());
        make(request, &source(&[]), &s2i_builder(), way).unwrap()
    };
    assert!(plan(&request).bytecode.is_none());
    request.compile_bytecode = true;
    let plan = plan(&request);
    assert!(plan.needs_sandbox());
    assert!(plan.to_string().contains("bytecode "), "{plan}");
    let bytecode = plan.bytecode.unwrap();
    assert_eq!(bytecode.directories, [plan.application_directory]);
    assert_eq!(bytecode.interpreter.working_directory, "/");
}

#[test]
fn labels_that_a_person_gave_are_annotations_and_no_others_are() {
    let builder = s2i_builder();
    let annotations = |labels: &[(&str, &str)]| {
        let own = labels.iter();
        let own = own.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut request = request(Strategy::Assemble);
        request.labels = own.collect();
        request.s2i.generated_labels =
            BTreeMap::from([("io.k8s.display-name".to_owned(), "app".to_owned())]);
        let way = Way::Assemble("a test".to_owned());
        let plan = make(&request, &source(&["app.py"]), &builder, way).unwrap();
        plan.changes.annotations
    };
    // Without labels, what it was before: the same bytes.
    let without = annotations(&[]);
    let keys: Vec<&str> = without.keys().map(String::as_str).collect();
    assert_eq!(keys, [labels::BASE_DIGEST, labels::BASE_NAME]);
    let with = annotations(&[("team", "blue"), (labels::BASE_NAME, "elsewhere")]);
    assert_eq!(with["team"], "blue");
    assert_eq!(with[labels::BASE_NAME], without[labels::BASE_NAME]);
    assert_eq!(with.len(), 3);
}
