//! Records chosen, ordered, and named by people.

use super::*;

fn titles(records: &[Record]) -> Vec<String> {
    records.iter().map(Record::title).collect()
}

/// web builds 1 and 2, api build 1, web deployment 1, which took long.
fn some() -> (tempfile::TempDir, History) {
    let (directory, history) = history();
    done(&history, Operation::Build, "web", 0);
    let deploy = Begin {
        environment: "prod".to_owned(),
        ..beginning(Operation::Deploy, "web")
    };
    let slow = history.begin(deploy, at(5)).unwrap();
    done(&history, Operation::Build, "api", 10);
    done(&history, Operation::Build, "web", 20);
    slow.finish(outcome(Ending::Error), at(90)).unwrap();
    (directory, history)
}

#[test]
fn filters_choose_and_order() {
    let (_directory, history) = some();
    let contents = history.read().unwrap();
    let select = |filter: Filter| titles(&contents.select(&filter));
    assert_eq!(
        select(Filter::default()),
        ["web/build/2", "api/build/1", "web/deploy/1", "web/build/1"]
    );
    let ascending = Filter {
        direction: Direction::Ascending,
        limit: Some(2),
        ..Filter::default()
    };
    assert_eq!(select(ascending), ["web/build/1", "web/deploy/1"]);
    let completed = Filter {
        order: Order::CompleteTime,
        limit: Some(2),
        ..Filter::default()
    };
    assert_eq!(select(completed), ["web/deploy/1", "web/build/2"]);
    let builds_of_web = Filter {
        application: Some("web".to_owned()),
        operations: vec![Operation::Build],
        ..Filter::default()
    };
    assert_eq!(select(builds_of_web), ["web/build/2", "web/build/1"]);
    let prod = Filter {
        environment: Some("prod".to_owned()),
        ..Filter::default()
    };
    assert_eq!(select(prod), ["web/deploy/1"]);
    let failed = Filter {
        states: vec![State::Error, State::Interrupted],
        ..Filter::default()
    };
    assert_eq!(select(failed), ["web/deploy/1"]);
}

#[test]
fn a_clock_that_was_set_back_does_not_reorder_what_began_at_the_same_time() {
    let (_directory, history) = history();
    for _ in 0..3 {
        done(&history, Operation::Build, "web", 0);
    }
    let newest = history.records(&Filter::default()).unwrap();
    assert_eq!(
        titles(&newest),
        ["web/build/3", "web/build/2", "web/build/1"]
    );
}

#[test]
fn people_name_records_by_numbers_and_by_first_letters() {
    let (_directory, history) = some();
    let contents = history.read().unwrap();
    let all = Filter::default();
    let deploy = contents.resolve("deploy/1", &all).unwrap();
    for name in [
        deploy.id.as_str(),
        &deploy.id.as_str()[..6],
        "web/deploy/1",
        "web/deploy/v1",
    ] {
        assert_eq!(contents.resolve(name, &all).unwrap(), deploy, "{name}");
    }
    for name in ["2", "v2", "web/2", "web/v2", "build/2"] {
        let found = contents.resolve(name, &all).unwrap();
        assert_eq!(found.title(), "web/build/2", "{name}");
    }
    let only_prod = Filter {
        environment: Some("prod".to_owned()),
        limit: Some(0),
        ..Filter::default()
    };
    assert_eq!(contents.resolve("1", &only_prod).unwrap(), deploy);
}

#[test]
fn a_name_of_no_record_or_of_several_says_which_there_are() {
    let (_directory, history) = some();
    let contents = history.read().unwrap();
    let resolve = |name: &str| contents.resolve(name, &Filter::default()).unwrap_err();
    let error = resolve("1");
    let Error::Ambiguous { candidates, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(candidates.len(), 3);
    assert!(error.to_string().contains("web/deploy/1 ("), "{error}");
    for absent in ["9", "web/9", "nix/1", "aaaa", "", "web/", "x/y"] {
        let error = resolve(absent);
        assert!(matches!(error, Error::NoRecord { .. }), "{absent}: {error}");
        assert!(error.hints()[0].contains("web/build/2"), "{error:?}");
    }
}
