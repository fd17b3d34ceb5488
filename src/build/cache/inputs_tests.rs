//! What of s2i's flags makes a step another one.

use serde_json::json;

use super::*;
use crate::build::test_requests::{builder, request};
use crate::build::{Injection, Strategy};
use crate::event::Silent;
use crate::source::local;

/// The portable and the local inputs of a step that is given `inputs`, and whether its result may come from elsewhere.
fn of(inputs: &StepInputs) -> (Inputs, Inputs, bool) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("app.py"), "1").unwrap();
    let source = local::read(directory.path(), &Silent).unwrap();
    let contents =
        Contents::read(&source, None, std::time::SystemTime::UNIX_EPOCH, 1, &Silent).unwrap();
    let process = Process {
        arguments: vec!["assemble".to_owned()],
        environment: Vec::new(),
        working_directory: "/".to_owned(),
        user: "0".to_owned(),
    };
    let request = request(Strategy::Assemble);
    let step = AssembleStep {
        process: &process,
        destination: "/tmp",
        application_directory: "app".to_owned(),
        request: &request,
        inputs,
    };
    let portable = step.inputs(&builder(&json!({})), &contents);
    let local = step.local_inputs(&portable, &Loan::default());
    (portable, local, step.can_be_taken())
}

#[test]
fn hosts_and_capabilities_make_another_step_and_their_order_and_spelling_none() {
    let (plain, ..) = of(&StepInputs::default());
    let hosts = |names: &[&str]| {
        let hosts = names
            .iter()
            .map(|name| (name.to_string(), "::1".to_owned()));
        let inputs = StepInputs {
            hosts: hosts.collect(),
            ..StepInputs::default()
        };
        let (portable, _, may_be_taken) = of(&inputs);
        assert!(may_be_taken);
        portable
    };
    let dropped = |texts: &[&str]| {
        let lists = texts
            .iter()
            .map(|text| Capability::parse_list(text).unwrap());
        let inputs = StepInputs {
            dropped_capabilities: lists.flatten().collect(),
            ..StepInputs::default()
        };
        of(&inputs).0
    };
    assert_eq!(plain.differences(&hosts(&[])), Vec::<String>::new());
    assert_eq!(plain.key(), hosts(&[]).key());
    assert_ne!(plain.key(), hosts(&["a"]).key());
    // The first match counts.
    assert_ne!(hosts(&["a", "b"]).key(), hosts(&["b", "a"]).key());
    assert_ne!(plain.key(), dropped(&["chown"]).key());
    assert_eq!(
        dropped(&["chown", "kill"]).key(),
        dropped(&["-CAP_KILL,CHOWN,kill"]).key()
    );
}

#[test]
fn injected_files_count_on_this_machine_by_their_names_and_nothing_is_taken_from_elsewhere() {
    let with = |source: &str| {
        of(&StepInputs {
            injections: vec![Injection {
                source: source.into(),
                destination: "/tmp".to_owned(),
            }],
            ..StepInputs::default()
        })
    };
    let (plain, plain_here, may_be_taken) = of(&StepInputs::default());
    assert!(may_be_taken);
    let (portable, here, may_be_taken) = with("/etc/one");
    assert!(!may_be_taken);
    assert_eq!(portable.key(), plain.key());
    assert_ne!(here.key(), plain_here.key());
    assert_ne!(here.key(), with("/etc/other").1.key());
    assert_eq!(here.key(), with("/etc/one").1.key());
}
