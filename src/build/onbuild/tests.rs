use serde_json::json;

use super::super::plan::PlanError;
use super::super::{Strategy, test_requests};
use super::instruction::{pairs, words};
use super::*;
use crate::source::{SourceEntry, SourceKind};

/// A source of these files; those that end in `*` can be executed.
fn source(files: &[&str]) -> SourceTree {
    let mut entries: Vec<SourceEntry> = files
        .iter()
        .map(|name| SourceEntry {
            path: name.trim_end_matches(['*', '/']).as_bytes().to_vec(),
            kind: match name.ends_with('/') {
                true => SourceKind::Directory,
                false => SourceKind::File {
                    is_executable: name.ends_with('*'),
                    size: 1,
                },
            },
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    SourceTree {
        root: "/source".into(),
        entries,
        environment: vec![("FILE".to_owned(), "1".to_owned())],
        links: crate::source::Links::Keep,
    }
}

fn planned(files: &[&str], triggers: &[&str]) -> Result<(OnBuild, Changes), PlanError> {
    let builder = test_requests::builder(&json!({
        "OnBuild": triggers, "Env": ["PATH=/bin"], "User": "7", "Cmd": ["old"], "Entrypoint": ["old"],
    }));
    let source = source(files);
    let mut request = test_requests::request(Strategy::Auto);
    request.environment = vec![("FLAG".to_owned(), "2".to_owned())];
    let scripts = Scripts::of_source(&source, &builder);
    let mut changes = Changes::default();
    let plan = OnBuild::plan(&request, &source, &builder, &scripts, &mut changes)?;
    Ok((plan, changes))
}

fn entrypoint(files: &[&str]) -> Option<String> {
    let (_, changes) = planned(files, &[]).ok()?;
    changes.entrypoint?.pop()
}

/// Cases 173 and 174.
#[test]
fn the_entry_point_is_the_first_program_with_such_a_name() {
    let table: [(&[&str], Option<&str>); 8] = [
        (&["run*"], Some("./run")),
        (&["start.sh*"], Some("./start.sh")),
        (&["execute*", "a*", "zebra"], Some("./execute")),
        (&["start*", "run*"], Some("./run")),
        (&[".s2i/bin/run"], Some("./run")),
        (&["run"], None),
        (&["run/"], None),
        (&["app.py"], None),
    ];
    for (files, expected) in table {
        assert_eq!(entrypoint(files).as_deref(), expected, "{files:?}");
    }
}

/// Cases 175, 176 and M37.
#[test]
fn triggers_come_first_then_variables_then_assemble() {
    let triggers = [
        "ENV HOME=/srv PORT=\"80 80\"",
        "WORKDIR $HOME/app",
        "COPY --chown=7:0 . .",
        "RUN make ${TARGET:-all}",
        "USER 1001",
        "RUN [\"./configure\", \"--x\"]",
        "EXPOSE 80 53/udp",
        "VOLUME /data",
        "LABEL a=b c=\"d e\"",
        "STOPSIGNAL SIGINT",
    ];
    let (plan, changes) = planned(&["run*", "assemble*"], &triggers).unwrap();
    assert_eq!(plan.directory, "/srv/app");
    let [
        Action::Copy(copy),
        Action::Run(make),
        Action::Run(configure),
        Action::Run(assemble),
    ] = plan.actions.as_slice()
    else {
        panic!("{:?}", plan.actions);
    };
    assert_eq!(
        (copy.target.as_str(), copy.owner.as_deref()),
        ("/srv/app/", Some("7:0"))
    );
    assert_eq!(make.arguments, ["/bin/sh", "-c", "make ${TARGET:-all}"]);
    assert_eq!(
        (make.user.as_str(), make.working_directory.as_str()),
        ("7", "/srv/app")
    );
    assert_eq!(configure.arguments, ["./configure", "--x"]);
    assert_eq!(configure.user, "1001");
    assert!(!make.environment.iter().any(|(name, _)| name == "FLAG"));
    assert_eq!(assemble.arguments, ["sh", "assemble"]);
    for (name, value) in [
        ("FILE", "1"),
        ("FLAG", "2"),
        ("PORT", "80 80"),
        ("PATH", "/bin"),
    ] {
        let pair = (name.to_owned(), value.to_owned());
        assert!(assemble.environment.contains(&pair), "{name}");
    }
    assert_eq!(
        changes.entrypoint.as_deref(),
        Some(&["./run".to_owned()][..])
    );
    assert_eq!(changes.command.as_deref(), Some(&[][..]));
    assert_eq!(changes.user.as_deref(), Some("1001"));
    assert_eq!(changes.exposed_ports, ["80/tcp", "53/udp"]);
    assert_eq!(changes.volumes, ["/data"]);
    assert_eq!(changes.labels["c"], "d e");
    assert_eq!(changes.stop_signal.as_deref(), Some("SIGINT"));
    assert!(changes.are_triggers_spent);
}

#[test]
fn what_cannot_be_carried_out_is_told_with_the_trigger() {
    let rows = [
        ("ADD https://example.com/x /x", "archive or a URL"),
        ("COPY x", "what to copy"),
        ("COPY --from=other /x /x", "--from"),
        ("FROM scratch", "not known"),
        ("ENV X", "NAME=VALUE"),
        ("RUN --mount=type=cache,target=/x make", "--mount"),
    ];
    for (trigger, expected) in rows {
        let error = planned(&["run*"], &[trigger]).unwrap_err().to_string();
        assert!(
            error.contains(trigger) && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn words_lose_their_quotes_and_variables_their_dollars() {
    let variables = [("A", "a b"), ("E", "")];
    let variables = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let table: [(&str, &[&str]); 9] = [
        ("a  b", &["a", "b"]),
        ("\"a b\" 'c $A'", &["a b", "c $A"]),
        ("$A/x ${A}y", &["a b/x", "a by"]),
        ("\"$A\"\\ x", &["a b x"]),
        (
            "${E:-other} ${N:-x} ${A:+set} ${N:+set}x",
            &["other", "x", "set", "x"],
        ),
        ("\\$A $", &["$A", "$"]),
        ("''", &[""]),
        ("", &[]),
        ("ünï ${A", &["ünï", "${A"]),
    ];
    for (text, expected) in table {
        assert_eq!(words(text, &variables), expected, "{text:?}");
    }
    let old = pairs("NAME a value", &variables).unwrap();
    assert_eq!(old, [("NAME".to_owned(), "a value".to_owned())]);
    assert_eq!(pairs("NAME", &variables), None);
}
