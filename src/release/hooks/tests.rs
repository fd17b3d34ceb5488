//! Hooks that are real shell scripts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::event::{Silent, Stream};
use crate::project::Origin;

/// Remembers what it was told; asks to stop once a line of output says so.
#[derive(Default)]
struct Watch {
    events: Mutex<Vec<Event>>,
    stops_at: Option<&'static str>,
    is_cancelled: AtomicBool,
}

impl Observer for Watch {
    fn observe(&self, event: Event) {
        if let Event::Output { line, .. } = &event
            && self.stops_at == Some(line.as_str())
        {
            self.is_cancelled.store(true, Ordering::Relaxed);
        }
        self.events.lock().unwrap().push(event);
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

impl Watch {
    fn lines(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let line = |event: &Event| match event {
            Event::Output { line, .. } => Some(line.clone()),
            _ => None,
        };
        events.iter().filter_map(line).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let text = |event: &Event| match event {
            Event::Warning { text, .. } => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(text).collect()
    }
}

fn shell(script: &str) -> Hook {
    Hook {
        operation: Operation::Push,
        when: When::Before,
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        on_failure: OnFailure::Fail,
        timeout: None,
        applications: Vec::new(),
        environments: Vec::new(),
        origin: Origin::File {
            path: "overcoat.toml".into(),
            line: 7,
        },
    }
}

fn tolerant(script: &str) -> Hook {
    Hook {
        on_failure: OnFailure::Continue,
        ..shell(script)
    }
}

fn project() -> (tempfile::TempDir, Context) {
    let root = tempfile::tempdir().unwrap();
    let variables = [("PATH", "/usr/bin:/bin"), ("OVERCOAT_ERROR", "of others")];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let context = Context {
        application: "web".to_owned(),
        environment: "prod".to_owned(),
        ..Context::of(root.path(), variables.to_vec())
    };
    (root, context)
}

fn before(hooks: &[Hook], context: &Context, observer: &dyn Observer) -> Result<(), Error> {
    run(hooks, Operation::Push, When::Before, context, observer)
}

#[test]
fn hooks_run_in_their_order_in_the_project_without_a_shell_and_without_input() {
    let (root, context) = project();
    let watch = Watch::default();
    let words = Hook {
        command: ["printf", "%s\\n", "$HOME; a b"]
            .map(str::to_owned)
            .to_vec(),
        ..shell("")
    };
    let hooks = [shell("pwd; cat"), words, shell("echo third >&2")];
    before(&hooks, &context, &watch).unwrap();
    let root = root.path().canonicalize().unwrap();
    assert_eq!(
        watch.lines(),
        [root.to_str().unwrap(), "$HOME; a b", "third"]
    );
    let events = watch.events.lock().unwrap();
    let third = events.iter().find_map(|event| match event {
        Event::Output { step, stream, line } if line == "third" => Some((step.clone(), *stream)),
        _ => None,
    });
    assert_eq!(
        third,
        Some(("hook `sh` before push".to_owned(), Stream::Err))
    );
}

#[test]
fn the_first_failure_stops_and_a_later_tolerant_one_does_not_erase_it() {
    let (root, context) = project();
    let hooks = [
        shell("echo one >> done"),
        shell("echo two >> done; echo reason; exit 3"),
        tolerant("echo three >> done; exit 4"),
        shell("echo four >> done"),
    ];
    let error = before(&hooks, &context, &Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the hook `sh` before push (`overcoat.toml`, line 7) ended with status 3"
    );
    assert_eq!(error.tail(), ["reason"]);
    let done = std::fs::read_to_string(root.path().join("done")).unwrap();
    assert_eq!(done, "one\ntwo\n");
}

#[test]
fn a_failure_that_does_not_matter_is_a_warning_and_the_next_hook_runs() {
    let (root, context) = project();
    let watch = Watch::default();
    let absent = Hook {
        command: vec!["no-such-program".to_owned()],
        ..tolerant("")
    };
    let hooks = [tolerant("kill -9 $$"), absent, shell("touch ran")];
    before(&hooks, &context, &watch).unwrap();
    let warnings = watch.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("was ended by signal 9; the work goes on"));
    assert!(warnings[1].contains("no program `no-such-program`"));
    assert!(root.path().join("ran").exists());
}

#[test]
fn only_the_hooks_of_this_operation_time_application_and_environment_run() {
    let (root, context) = project();
    let named = |name: &str| shell(&format!("echo {name} >> ran"));
    let mut hooks = ["meant", "build", "after", "api", "web", "dev", "prod"].map(named);
    hooks[1].operation = Operation::Build;
    hooks[2].when = When::After;
    hooks[3].applications = vec!["api".to_owned()];
    hooks[4].applications = vec!["api".to_owned(), "web".to_owned()];
    hooks[5].environments = vec!["dev".to_owned()];
    hooks[6].environments = vec!["prod".to_owned()];
    before(&hooks, &context, &Silent).unwrap();
    let ran = std::fs::read_to_string(root.path().join("ran")).unwrap();
    assert_eq!(ran, "meant\nweb\nprod\n");
}

#[test]
fn hooks_are_told_what_they_stand_beside_and_nothing_of_another_operation() {
    let (_root, mut context) = project();
    context.program = Some("/bin/overcoat".into());
    context.project = Some("shop".to_owned());
    context.image = Some("localhost:5000/acme/web:v1".to_owned());
    context.digest = Some("sha256:abc".to_owned());
    context.platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
    context.result_file = Some("/p/build_result.json".into());
    context.record = Some("kkkk".to_owned());
    context.source = Some("/p/web".into());
    let watch = Watch::default();
    before(
        &[shell("env | grep ^OVERCOAT | LC_ALL=C sort")],
        &context,
        &watch,
    )
    .unwrap();
    let expected = [
        "OVERCOAT=/bin/overcoat",
        "OVERCOAT_APPLICATION=web",
        "OVERCOAT_DIGEST=sha256:abc",
        "OVERCOAT_ENVIRONMENT=prod",
        "OVERCOAT_IMAGE=localhost:5000/acme/web:v1",
        "OVERCOAT_OPERATION=push",
        "OVERCOAT_PLATFORMS=linux/amd64,linux/arm64",
        "OVERCOAT_PROJECT=shop",
        "OVERCOAT_RECORD=kkkk",
        "OVERCOAT_RESULT_FILE=/p/build_result.json",
        "OVERCOAT_SOURCE=/p/web",
        "OVERCOAT_STAGE=before",
        "OVERCOAT_TAG=v1",
        "OVERCOAT_WORKSPACE=prod",
    ];
    assert_eq!(watch.lines(), expected);
    assert_eq!(tag("localhost:5000/web"), None);
    assert_eq!(tag("web:v1@sha256:abc"), Some("v1"));
}

#[test]
fn programs_are_of_the_project_or_of_the_path_or_clearly_absent() {
    let (root, context) = project();
    let script = root.path().join("notify.sh");
    std::fs::write(&script, "#!/bin/sh\necho \"notified $1\"\n").unwrap();
    let hook = |words: &[&str]| Hook {
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        ..shell("")
    };
    let watch = Watch::default();
    let own = hook(&["./notify.sh", "all"]);
    let error = before(std::slice::from_ref(&own), &context, &watch).unwrap_err();
    assert!(matches!(error, Error::Start { .. }), "{error}");
    assert!(error.to_string().contains("permission denied"), "{error}");
    assert!(error.hints()[0].contains("chmod +x"));
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    before(std::slice::from_ref(&own), &context, &watch).unwrap();
    assert_eq!(watch.lines(), ["notified all"]);
    // Written as a line of shell, which it is not.
    let error = before(&[hook(&["./notify.sh all"])], &context, &watch).unwrap_err();
    assert!(matches!(error, Error::NoProgram { .. }), "{error}");
    assert!(error.hints()[0].contains("without a shell"));
    let error = before(&[hook(&["notify.sh"])], &context, &watch).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no program `notify.sh` in the directories of PATH"),
        "{error}"
    );
    let error = before(&[hook(&[])], &context, &watch).unwrap_err();
    assert!(matches!(error, Error::NoCommand { .. }), "{error}");
    std::fs::write(&script, "#!/no/such/shell\n").unwrap();
    let error = before(&[own], &context, &watch).unwrap_err();
    assert!(error.hints()[0].contains("first line"), "{error}");
}

/// Waits until a process has gone, or is waited for by nobody.
fn wait_until_gone(pid: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{pid} still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_hook_whose_time_is_over_goes_with_all_that_it_has_started() {
    let (_root, context) = project();
    let watch = Watch::default();
    let script = "trap '' TERM; sleep 1000 & echo $!; echo waiting; wait; sleep 1000";
    let hook = Hook {
        timeout: Some(Duration::from_secs(3)),
        ..shell(script)
    };
    let error = before(&[hook], &context, &watch).unwrap_err();
    assert!(
        error.to_string().ends_with("did not end within 3s"),
        "{error}"
    );
    let lines = watch.lines();
    assert_eq!(error.tail(), lines);
    wait_until_gone(&lines[0]);
}

#[test]
fn an_interrupted_hook_goes_with_all_that_it_has_started_even_if_its_failure_does_not_matter() {
    let (root, context) = project();
    let watch = Watch {
        stops_at: Some("now"),
        ..Watch::default()
    };
    let script = "sleep 1000 & echo $!; trap 'echo tidied; exit 1' TERM; echo now; wait";
    let hooks = [tolerant(script), shell("touch ran")];
    let error = before(&hooks, &context, &watch).unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    let lines = watch.lines();
    assert_eq!(&lines[1..], ["now", "tidied"]);
    wait_until_gone(&lines[0]);
    assert!(!root.path().join("ran").exists());
}

#[test]
fn a_process_that_a_hook_leaves_behind_does_not_hold_us() {
    let (_root, context) = project();
    let watch = Watch::default();
    before(
        &[shell("sleep 1000 & echo $!; echo done")],
        &context,
        &watch,
    )
    .unwrap();
    let lines = watch.lines();
    assert_eq!(lines[1], "done");
    assert!(Path::new("/proc").join(&lines[0]).exists(), "it may go on");
    let pid = rustix::process::Pid::from_raw(lines[0].parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn lines_without_end_and_bytes_that_are_no_text_are_cut_and_made_safe() {
    let (_root, context) = project();
    let watch = Watch::default();
    let script =
        "head -c 40000 /dev/zero | tr '\\0' x; printf '\\n\\033[2J\\377\\r\\n'; printf 'no end'";
    before(&[shell(script)], &context, &watch).unwrap();
    let lines = watch.lines();
    let lengths: Vec<usize> = lines[..3].iter().map(String::len).collect();
    assert_eq!(lengths, [16384, 16384, 7232]);
    assert_eq!(&lines[3..], ["\u{fffd}[2J\u{fffd}", "no end"]);
}

#[test]
fn a_context_does_not_show_variables() {
    let (_root, mut context) = project();
    context.variables.push(("TOKEN".into(), "hunter2".into()));
    assert!(!format!("{context:?}").contains("hunter2"));
}
