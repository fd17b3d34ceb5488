//! Which deployment is taken.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::*;
use crate::digest::Digest;
use crate::release::history::{Begin, Ending, Facts, History, Outcome};

/// Records in a directory of their own.
struct Fixture {
    _directory: tempfile::TempDir,
    history: History,
    seconds: std::cell::Cell<u64>,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            history: History::at(directory.path()),
            _directory: directory,
            seconds: 0.into(),
        }
    }

    fn record(
        &self,
        operation: Operation,
        place: (&str, &str),
        ending: Ending,
        facts: Facts,
    ) -> Record {
        let seconds = self.seconds.get() + 1;
        self.seconds.set(seconds);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds);
        let begin = Begin {
            operation,
            application: place.0.to_owned(),
            environment: place.1.to_owned(),
            host: String::new(),
            user: String::new(),
            commit: None,
            labels: BTreeMap::new(),
            facts,
        };
        let outcome = Outcome {
            ending,
            error: None,
            facts: Facts::default(),
        };
        self.history
            .begin(begin, now)
            .unwrap()
            .finish(outcome, now)
            .unwrap()
    }

    fn deploy(&self, place: (&str, &str), tag: &str, ending: Ending) -> Record {
        let facts = Facts {
            image: Some(format!("r.example/web:{tag}")),
            digest: Some(Digest::of(tag.as_bytes())),
            ..Facts::default()
        };
        self.record(Operation::Deploy, place, ending, facts)
    }

    fn release(&self, deployment: &Record) -> Record {
        let facts = Facts {
            links: [(Operation::Deploy, deployment.id.clone())].into(),
            ..Facts::default()
        };
        let place = (
            deployment.application.as_str(),
            deployment.environment.as_str(),
        );
        self.record(Operation::Release, place, Ending::Success, facts)
    }

    fn contents(&self) -> Contents {
        self.history.read().unwrap()
    }
}

const PROD: (&str, &str) = ("web", "prod");

fn of<'a>(contents: &'a Contents, place: (&'a str, &'a str)) -> Deployments<'a> {
    Deployments {
        contents,
        application: place.0,
        environment: place.1,
    }
}

#[test]
fn the_one_before_has_another_image_and_succeeded_here() {
    let fixture = Fixture::new();
    let first = fixture.deploy(PROD, "v1", Ending::Success);
    fixture.deploy(PROD, "broken", Ending::Error);
    fixture.deploy(("web", "dev"), "elsewhere", Ending::Success);
    fixture.deploy(("api", "prod"), "another", Ending::Success);
    fixture.deploy(PROD, "v2", Ending::Success);
    let live = fixture.deploy(PROD, "v2", Ending::Success);
    fixture.deploy(PROD, "v3", Ending::Interrupted);
    let contents = fixture.contents();
    assert_eq!(of(&contents, PROD).live().unwrap(), live);
    assert_eq!(of(&contents, PROD).earlier(None).unwrap(), first);
}

#[test]
fn a_named_one_must_have_succeeded_in_this_environment() {
    let fixture = Fixture::new();
    let first = fixture.deploy(PROD, "v1", Ending::Success);
    fixture.deploy(PROD, "v2", Ending::Error);
    fixture.deploy(("web", "dev"), "v3", Ending::Success);
    let contents = fixture.contents();
    let deployments = of(&contents, PROD);
    for name in ["1", "v1", "web/1", first.id.as_str()] {
        assert_eq!(deployments.earlier(Some(name)).unwrap(), first, "{name}");
    }
    let error = deployments.earlier(Some("2")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the deploy 2 of web did not succeed: its state is `error`"
    );
    let error = deployments.earlier(Some("3")).unwrap_err();
    assert!(matches!(error, Error::History(_)), "{error}");
}

#[test]
fn what_is_missing_is_said_with_where_it_is() {
    let fixture = Fixture::new();
    let contents = fixture.contents();
    let error = of(&contents, PROD).live().unwrap_err();
    assert!(error.hints()[0].contains("overcoat deploy"), "{error}");
    fixture.deploy(("web", "dev"), "v1", Ending::Success);
    fixture.deploy(("web", "pp"), "v1", Ending::Success);
    let contents = fixture.contents();
    let error = of(&contents, PROD).earlier(None).unwrap_err();
    assert!(matches!(error, Error::NoDeployment { .. }), "{error}");
    assert_eq!(
        error.hints(),
        ["name an environment that has one: `--environment dev`, `--environment pp`"]
    );
    let error = of(&contents, ("web", "dev")).earlier(None).unwrap_err();
    assert!(matches!(error, Error::NothingBefore { .. }), "{error}");
}

#[test]
fn a_second_rollback_goes_further_back_and_not_forward_again() {
    let fixture = Fixture::new();
    let [first, second, third] =
        ["v1", "v2", "v3"].map(|tag| fixture.deploy(PROD, tag, Ending::Success));
    let repeat = |earlier: &Record| {
        let mut facts = earlier.facts.clone();
        let id = earlier.id.to_string();
        facts.results.insert(ROLLBACK_OF.to_owned(), id);
        fixture.record(Operation::Deploy, PROD, Ending::Success, facts)
    };
    let earlier = || of(&fixture.contents(), PROD).earlier(None);
    assert_eq!(earlier().unwrap(), second);
    let back = repeat(&second);
    assert_eq!(earlier().unwrap(), first);
    // One that repeats a rollback stands where that one stands.
    repeat(&back);
    assert_eq!(earlier().unwrap(), first);
    repeat(&first);
    let error = earlier().unwrap_err();
    assert!(matches!(error, Error::NothingBefore { .. }), "{error}");
    // What was deployed anew afterwards is no rollback.
    fixture.deploy(PROD, "v4", Ending::Success);
    assert_eq!(earlier().unwrap().facts.digest, first.facts.digest);
    assert_eq!(
        of(&fixture.contents(), PROD).earlier(Some("3")).unwrap(),
        third
    );
    // Nonsense ends too.
    let mut facts = first.facts.clone();
    facts
        .results
        .insert(ROLLBACK_OF.to_owned(), "nonsense".to_owned());
    fixture.record(Operation::Deploy, PROD, Ending::Success, facts);
    assert_eq!(earlier().unwrap().facts.digest, Some(Digest::of(b"v4")));
}

#[test]
fn an_image_without_digest_is_not_gone_back_to() {
    let fixture = Fixture::new();
    let facts = Facts {
        image: Some("web:local".to_owned()),
        ..Facts::default()
    };
    fixture.record(Operation::Deploy, PROD, Ending::Success, facts);
    fixture.deploy(PROD, "v2", Ending::Success);
    let contents = fixture.contents();
    let error = of(&contents, PROD).earlier(None).unwrap_err();
    assert!(matches!(error, Error::NoDigest { .. }), "{error}");
}

#[test]
fn the_released_one_is_the_last_that_was_declared() {
    let fixture = Fixture::new();
    let first = fixture.deploy(PROD, "v1", Ending::Success);
    let second = fixture.deploy(PROD, "v2", Ending::Success);
    assert_eq!(of(&fixture.contents(), PROD).released(), None);
    fixture.release(&second);
    fixture.release(&first);
    let place = ("web", "dev");
    fixture.release(&fixture.deploy(place, "v3", Ending::Success));
    let contents = fixture.contents();
    assert_eq!(of(&contents, PROD).released(), Some(&first));
    let status = crate::release::status::of(&contents);
    let rows: Vec<_> = status
        .iter()
        .map(|status| {
            let live = status.live.as_ref().map(|record| record.sequence);
            let released = status.released.as_ref().map(|record| record.sequence);
            (status.environment.as_str(), live, released)
        })
        .collect();
    assert_eq!(
        rows,
        [("dev", Some(3), Some(3)), ("prod", Some(2), Some(1))]
    );
}

#[test]
fn the_same_image_in_another_place_is_another_deployment() {
    let fixture = Fixture::new();
    let one = fixture.deploy(PROD, "v1", Ending::Success);
    let mut other = one.clone();
    assert!(is_same_image(&one, &other));
    other.facts.target = Some(history::Target::Loader {
        destination: "k3d".to_owned(),
    });
    assert!(!is_same_image(&one, &other));
}

#[test]
fn one_whose_rollout_failed_is_neither_gone_back_to_nor_released() {
    let fixture = Fixture::new();
    let watch = |deployment: &Record, fate: Option<&str>, ending: Ending| {
        let mut facts = Facts {
            links: [(Operation::Deploy, deployment.id.clone())].into(),
            ..Facts::default()
        };
        let fate = fate.map(|fate| (rollouts::OUTCOME.to_owned(), fate.to_owned()));
        facts.results.extend(fate);
        fixture.record(Operation::Watch, PROD, ending, facts)
    };
    let first = fixture.deploy(PROD, "v1", Ending::Success);
    let second = fixture.deploy(PROD, "v2", Ending::Success);
    let third = fixture.deploy(PROD, "v3", Ending::Success);
    let earlier = || of(&fixture.contents(), PROD).earlier(None).unwrap();
    assert_eq!(earlier(), second);
    for fate in ["failed", "late", "not-ready"] {
        watch(&second, Some(fate), Ending::Error);
        assert_eq!(earlier(), first, "{fate}");
        watch(&second, Some("complete"), Ending::Success);
        assert_eq!(earlier(), second);
    }
    // A watch that could not ask, or that nobody waited for, tells nothing.
    watch(&second, None, Ending::Error);
    watch(&second, Some("failed"), Ending::Interrupted);
    assert_eq!(earlier(), second);
    // By its number it is taken all the same.
    watch(&first, Some("failed"), Ending::Error);
    let contents = fixture.contents();
    assert_eq!(of(&contents, PROD).earlier(Some("1")).unwrap(), first);

    assert_eq!(of(&contents, PROD).releasable().unwrap(), third);
    watch(&third, Some("failed"), Ending::Error);
    let contents = fixture.contents();
    let error = of(&contents, PROD).releasable().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the deploy 3 of web cannot be taken for the one that counts: its rollout has failed"
    );
    let status = crate::release::status::of(&contents).remove(0);
    assert_eq!(status.rollout.unwrap().fate, rollouts::Fate::Failed);
}

#[test]
fn a_place_is_the_same_however_older_versions_wrote_it_down() {
    let fixture = Fixture::new();
    let files = |file: &str, workload: &str| Target::Manifests {
        files: vec![file.to_owned()],
        outside: Vec::new(),
        container: Some("web".to_owned()),
        workload: Some(workload.to_owned()),
        namespace: None,
        init_containers: false,
        base_image: None,
    };
    let cluster = Target::Cluster {
        context: Some("k3d-a".to_owned()),
        namespace: "shop".to_owned(),
        workload: "deployment/web".to_owned(),
        container: "web".to_owned(),
    };
    let mut one = fixture.deploy(PROD, "v1", Ending::Success);
    one.facts.target = Some(files("/home/me/shop/k8s/web.yaml", "deployment/web"));
    let with = |change: &dyn Fn(&mut history::Facts)| {
        let mut other = one.clone();
        change(&mut other.facts);
        other
    };
    let newer = with(&|facts| facts.target = Some(files("k8s/web.yaml", "deployment/web")));
    assert!(is_same_image(&one, &newer) && is_same_image(&newer, &one));
    for (file, workload) in [
        ("k8s/api.yaml", "deployment/web"),
        ("8s/web.yaml", "deployment/web"),
        ("k8s/web.yaml", "deployment/api"),
    ] {
        let other = with(&|facts| facts.target = Some(files(file, workload)));
        assert!(!is_same_image(&one, &other), "{file} {workload}");
    }
    let mut both = newer.clone();
    both.facts.also = both
        .facts
        .target
        .replace(cluster.clone())
        .into_iter()
        .collect();
    assert!(!is_same_image(&newer, &both));

    let at = |server: &str| {
        let mut record = both.clone();
        record.facts.endpoint = Some(history::Endpoint {
            server: server.to_owned(),
            kubeconfig: None,
        });
        record
    };
    let (here, there) = (at("https://10.0.0.1:6443"), at("https://10.0.0.2:6443"));
    assert!(is_same_image(&both, &here));
    assert!(!is_same_image(&here, &there));
}
