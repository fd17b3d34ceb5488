use super::*;
use crate::cli::op::tests::text;

/// A context with these ports and variables.
fn run_context(ports: &[&str], environment: &[(&str, &str)]) -> RunContext {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    RunContext {
        ports: ports.iter().map(|port| (*port).to_owned()).collect(),
        environment: environment.iter().map(own).collect(),
        ..RunContext::default()
    }
}

/// How an application whose files name port 4321 is started, and with which variables, where these ports are taken.
fn started(context: &RunContext, taken: &[u16]) -> Result<(String, String), Diagnostic> {
    let is_free = |port| !taken.contains(&port);
    let step = super::step(&Settings::default(), "x/app:1", context, 4321, &is_free)?;
    let variables: Vec<String> = step
        .variables
        .iter()
        .map(|(name, value)| {
            assert_eq!(name, crate::cli::env::project::RUN_ENVIRONMENT);
            value.to_string_lossy().into_owned()
        })
        .collect();
    Ok((text(&step), variables.concat()))
}

#[test]
fn a_context_without_ports_is_reached_at_the_first_free_one_from_8080() {
    let none = RunContext::default();
    for (taken, expected, told) in [
        (&[][..], "127.0.0.1:8080:4321", "4321"),
        (&[8080, 8081], "127.0.0.1:8082:4321", "4321"),
        // The application has this machine's network, so its own port has to be free, too.
        (&[8080, 4321], "127.0.0.1:8081:8081", "8081"),
    ] {
        let (call, variables) = started(&none, taken).unwrap();
        assert_eq!(call, format!("run x/app:1 --publish={expected}"));
        assert_eq!(variables, format!("{{\"PORT\":\"{told}\"}}"));
    }
    let all: Vec<u16> = (8080..8180).collect();
    let error = started(&none, &all).unwrap_err();
    assert!(error.what.contains("no port from 8080 to 8179"), "{error}");
    assert!(started(&none, &all[..99]).is_ok());
}

#[test]
fn the_ports_and_variables_of_a_context_count_as_they_are() {
    let given = run_context(&["9000:80", "0.0.0.0:9001:81/tcp", "82"], &[("A", "b c")]);
    let (call, variables) = started(&given, &[9000]).unwrap();
    assert_eq!(
        call,
        "run x/app:1 --publish=127.0.0.1:9000:80 --publish=0.0.0.0:9001:81 --publish=127.0.0.1:82:82"
    );
    assert_eq!(variables, r#"{"A":"b c","PORT":"80"}"#);
    let (call, variables) = started(&run_context(&["9000:80"], &[("PORT", "1")]), &[]).unwrap();
    assert!(call.ends_with("=127.0.0.1:9000:80"), "{call}");
    assert_eq!(variables, r#"{"PORT":"1"}"#);
    // A port that the variables say is the one that is led to.
    let (call, variables) = started(&run_context(&[], &[("PORT", "5000")]), &[]).unwrap();
    assert!(call.ends_with("=127.0.0.1:8080:5000"), "{call}");
    assert_eq!(variables, r#"{"PORT":"5000"}"#);
    let error = started(&run_context(&[], &[("PORT", "5000")]), &[5000]).unwrap_err();
    assert!(error.what.contains("PORT is 5000"), "{error}");
    for wrong in ["x", "80-90:80-90", "53:53/udp"] {
        let error = started(&run_context(&[wrong], &[]), &[]).unwrap_err();
        assert!(
            error.what.contains(&format!("`{wrong}` is no port")),
            "{error}"
        );
    }
}

#[test]
fn the_volumes_of_a_context_are_passed_on() {
    let context = RunContext {
        volumes: vec!["./x:/x".to_owned(), "/etc:/host/etc:ro".to_owned()],
        ..RunContext::default()
    };
    let (call, _) = started(&context, &[]).unwrap();
    assert!(
        call.ends_with(" --volume=./x:/x --volume=/etc:/host/etc:ro"),
        "{call}"
    );
}
