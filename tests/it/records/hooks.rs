//! Hooks around a release: their order, failures, interruption and death.

use super::*;

#[test]
fn a_release_runs_its_hooks_once_and_is_on_record() {
    let project = Project::new(
        "[[hooks]]\noperation = \"release\"\nwhen = \"before\"\n\
         command = [\"sh\", \"-c\", \"echo open $OVERCOAT_IMAGE $OVERCOAT_DIGEST in $OVERCOAT_ENVIRONMENT >> opened; echo said\"]\n",
    );
    let digest = digest("v1");
    let deployment = project.deploy("prod", "r.example/web:v1", &digest, None);
    let done = project
        .run(&["release", "web", "--environment", "prod"])
        .ok();
    assert_eq!(done.stdout, format!("r.example/web:v1@{digest}\n"));
    let opened = || fs::read_to_string(project.root.join("opened")).unwrap();
    let line = format!("open r.example/web:v1 {digest} in prod\n");
    assert_eq!(opened(), line);
    let record = project.newest(Operation::Release);
    assert_eq!(record.state, State::Success);
    assert_eq!(record.link(Operation::Deploy), Some(&deployment.id));
    assert_eq!(
        project.run(&["logs", "release/1"]).ok().stdout,
        "==> run hook: `sh` before release\n  | said\n"
    );
    assert!(
        project
            .run(&["history"])
            .ok()
            .stdout
            .contains("🚀  1   web          deploy")
    );

    let again = project.run(&["release", "--environment", "prod"]).ok();
    assert!(
        again.stderr.contains("released already; nothing was done"),
        "{}",
        again.stderr
    );
    assert_eq!(opened(), line);
    project
        .run(&["release", "--environment", "prod", "--repeat", "--to", "1"])
        .ok();
    assert_eq!(opened(), format!("{line}{line}"));
    let done = project.run(&["release", "--environment", "dev"]);
    assert_eq!(done.code, Some(96), "{}", done.stderr);
    assert!(
        done.stderr.contains("--environment prod"),
        "{}",
        done.stderr
    );
}

#[test]
fn hooks_that_fail_end_the_command_before_or_after_the_fact() {
    let hook = |when: &str| {
        format!(
            "[[hooks]]\noperation = \"release\"\nwhen = \"{when}\"\nenvironments = [\"{}\"]\n\
             command = [\"sh\", \"-c\", \"echo what went wrong; exit 3\"]\n\n",
            if when == "before" { "dev" } else { "prod" }
        )
    };
    let project = Project::new(&(hook("before") + &hook("after")));
    for environment in ["dev", "prod"] {
        project.deploy(environment, "r.example/web:v1", &digest("v1"), None);
    }
    let done = project.run(&["release", "--environment", "dev"]);
    assert_eq!(done.code, Some(95), "{}", done.stderr);
    assert!(
        done.stderr.contains("error: nothing was done\n"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("ended with status 3") && done.stderr.contains("| what went wrong"),
        "{}",
        done.stderr
    );
    assert_eq!(project.newest(Operation::Release).state, State::Error);

    let done = project.run(&["release", "--environment", "prod"]);
    assert_eq!(done.code, Some(95), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("the release was done, but a hook after it failed"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("on record as web/release/2"),
        "{}",
        done.stderr
    );
    let record = project.newest(Operation::Release);
    assert_eq!(record.state, State::Success);
    assert!(record.error.unwrap().contains("ended with status 3"));
}

/// A hook that says that it runs, in a file, and does not end by itself.
const WAITING: &str = "[[hooks]]\noperation = \"release\"\nwhen = \"before\"\n\
                       command = [\"sh\", \"-c\", \"test -e again || { echo $$ > hook; exec sleep 1000; }\"]\n";

fn wait_for_hook(project: &Project) -> String {
    wait_for("the hook", || {
        let pid = fs::read_to_string(project.root.join("hook")).ok()?;
        pid.ends_with('\n').then(|| pid.trim().to_owned())
    })
}

#[test]
fn an_interrupted_command_ends_its_hook_and_is_on_record_as_interrupted() {
    let project = Project::new(WAITING);
    project.deploy("default", "r.example/web:v1", &digest("v1"), None);
    let root = project.root.join("overcoat.toml");
    let arguments = ["release", "--config", root.to_str().unwrap(), "web"];
    let running = project.overcoat.spawn(&arguments);
    let pid = wait_for_hook(&project);
    assert_eq!(project.newest(Operation::Release).state, State::Running);
    running.signal("INT");
    let (done, _) = running.wait(Duration::from_secs(60));
    assert_eq!(done.code, Some(130), "{}", done.stderr);
    assert!(!Path::new("/proc").join(pid).exists());
    assert_eq!(project.newest(Operation::Release).state, State::Interrupted);
}

#[test]
fn what_was_done_is_said_to_be_done_when_the_hook_after_it_is_interrupted() {
    let project = Project::new(&WAITING.replace("before", "after"));
    project.deploy("default", "r.example/web:v1", &digest("v1"), None);
    let root = project.root.join("overcoat.toml");
    let arguments = ["release", "--config", root.to_str().unwrap(), "web"];
    let running = project.overcoat.spawn(&arguments);
    let pid = wait_for_hook(&project);
    running.signal("INT");
    let (done, _) = running.wait(Duration::from_secs(60));
    assert_eq!(done.code, Some(130), "{}", done.stderr);
    assert!(!Path::new("/proc").join(pid).exists());
    let said = "the release was done, and the hooks after it were not run to their end";
    assert!(done.stderr.contains(said), "{}", done.stderr);
    assert!(!done.stderr.contains("failed"), "{}", done.stderr);
    assert!(
        done.stderr.contains("on record as web/release/1"),
        "{}",
        done.stderr
    );
    assert_eq!(project.newest(Operation::Release).state, State::Success);
}

#[test]
fn a_killed_command_reads_as_interrupted_and_can_be_run_again() {
    let project = Project::new(WAITING);
    project.deploy("default", "r.example/web:v1", &digest("v1"), None);
    let root = project.root.join("overcoat.toml");
    let arguments = ["release", "--config", root.to_str().unwrap(), "web"];
    let running = project.overcoat.spawn(&arguments);
    let pid = wait_for_hook(&project);
    assert_eq!(project.json(&["history", "--json"])[0]["state"], "running");
    running.signal("KILL");
    running.wait(Duration::from_secs(60));
    assert_eq!(
        project.json(&["history", "--json"])[0]["state"],
        "interrupted"
    );
    // Killed, it could end nothing itself.
    wait_for("the end of the hook", || {
        (!Path::new("/proc").join(&pid).exists()).then_some(())
    });
    fs::write(project.root.join("again"), "").unwrap();
    project.run(&["release"]).ok();
    let record = project.newest(Operation::Release);
    assert_eq!((record.state, record.sequence), (State::Success, 2));
    assert_eq!(project.count(), 3);
}
