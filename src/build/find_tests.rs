//! Pull policies, with an engine in this process and a registry that nobody is.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::super::engine::EngineAccess;
use super::super::gc::{self, Keep};
use super::super::test_engine::{self, State};
use super::super::{Host, about_builder, test_requests};
use super::*;
use crate::debian::mirror::Mirrors;
use crate::event::Silent;

/// Nobody listens there; whoever asks says so.
const NAME: &str = "localhost:1/team/builder:latest";

struct Bench {
    directory: tempfile::TempDir,
    store: BlobStore,
    access: EngineAccess,
    engine: Arc<Mutex<State>>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (access, engine) = test_engine::start(directory.path());
        Self {
            store: BlobStore::open(&directory.path().join("store")).unwrap(),
            directory,
            access,
            engine,
        }
    }

    fn tools(&self, engine: Option<EngineAccess>) -> Tools<'_> {
        let host = Host {
            network: crate::http::Settings::default(),
            registries: crate::registry::Settings {
                first_retry_delay: Duration::from_millis(1),
                ..Default::default()
            },
            mirrors: Mirrors::from_sources(&[]),
            program: "overcoat".into(),
            loan: Default::default(),
            now: SystemTime::UNIX_EPOCH,
            threads: 1,
            python_credentials: Default::default(),
        };
        let mut tools = Tools::new(&self.store, host);
        tools.engine = engine;
        tools
    }

    fn find(&self, policy: PullPolicy, engine: Option<&EngineAccess>) -> Result<Image, Error> {
        // Without a tag.
        let source = "localhost:1/team/builder".parse().unwrap();
        let tools = self.tools(engine.cloned());
        let (platform, bytes) = (Platform::host(), Bytes::All);
        let found = find_image(&source, &platform, policy, bytes, &tools, &Silent);
        found.map(|(image, _)| image)
    }

    fn give(&self, text: &str) -> String {
        test_engine::give(&self.engine, self.directory.path(), NAME, text)
    }

    /// What the engine was asked since the last time, in short.
    fn asked(&self) -> Vec<&'static str> {
        let requests = std::mem::take(&mut self.engine.lock().unwrap().requests);
        let short = |line: String| {
            if line.contains("/json ") {
                "look"
            } else {
                "export"
            }
        };
        requests.into_iter().map(short).collect()
    }
}

fn id(image: &Image) -> String {
    image.config.descriptor.digest.to_string()
}

#[test]
fn each_policy_looks_where_it_may() {
    let bench = Bench::new();
    let access = Some(&bench.access);
    // Nowhere.
    for (engine, place) in [
        (
            None,
            "`localhost:1/team/builder:latest` is not in this store,",
        ),
        (access, "the container engine"),
    ] {
        let error = bench.find(PullPolicy::Never, engine).unwrap_err();
        assert!(matches!(error, Error::NotHere { .. }), "{error}");
        assert!(error.to_string().contains(place), "{error}");
    }
    let error = bench.find(PullPolicy::IfNotPresent, access).unwrap_err();
    assert!(matches!(error, Error::Registry(_)), "{error}");
    assert_eq!(bench.asked(), ["look", "look"]);

    // In the engine.
    let given = bench.give("one");
    let error = bench.find(PullPolicy::Always, access).unwrap_err();
    assert!(matches!(error, Error::Registry(_)), "{error}");
    assert!(bench.asked().is_empty());
    assert!(bench.find(PullPolicy::Never, None).is_err());
    assert_eq!(id(&bench.find(PullPolicy::Never, access).unwrap()), given);
    assert_eq!(
        id(&bench.find(PullPolicy::IfNotPresent, access).unwrap()),
        given
    );

    // In the store, which comes first.
    let own = test_engine::image(&bench.store, "ours");
    let name: Reference = NAME.parse().unwrap();
    bench
        .store
        .tag(&name, &own.manifest.descriptor, &Platform::host())
        .unwrap();
    bench.asked();
    for policy in [PullPolicy::Never, PullPolicy::IfNotPresent] {
        assert_eq!(id(&bench.find(policy, access).unwrap()), id(&own));
    }
    assert!(bench.asked().is_empty());
    assert!(bench.find(PullPolicy::Always, access).is_err());
}

#[test]
fn an_image_of_the_engines_is_exported_once_and_a_new_one_of_its_name_is_seen() {
    let bench = Bench::new();
    let access = Some(&bench.access);
    let first = bench.give("one");
    for expected in [&["look", "export"][..], &["look"], &["look"]] {
        assert_eq!(id(&bench.find(PullPolicy::Never, access).unwrap()), first);
        assert_eq!(bench.asked(), expected);
    }
    let second = bench.give("two");
    assert_eq!(id(&bench.find(PullPolicy::Never, access).unwrap()), second);
    assert_eq!(bench.asked(), ["look", "export"]);
    // It has no name here: the engine's may mean something else tomorrow.
    assert!(bench.store.names().unwrap().is_empty());

    // Inside a user namespace the last answer is believed, and nothing is asked.
    let remembered = Some(&EngineAccess::Remembered);
    assert_eq!(
        id(&bench.find(PullPolicy::Never, remembered).unwrap()),
        second
    );
    bench.engine.lock().unwrap().has = None;
    assert!(bench.find(PullPolicy::Never, access).is_err());
    assert!(bench.find(PullPolicy::Never, remembered).is_err());
    assert_eq!(bench.asked(), ["look"]);
}

#[test]
fn garbage_collection_keeps_what_was_taken_lately_and_no_longer() {
    let bench = Bench::new();
    let access = Some(&bench.access);
    bench.give("one");
    let taken = bench.find(PullPolicy::Never, access).unwrap();
    bench.asked();
    let keep = Keep::Recent {
        since: SystemTime::UNIX_EPOCH,
        max_bytes: None,
    };
    gc::collect(&bench.store, keep).unwrap().unwrap();
    assert!(bench.store.lacks(&(&taken).into()).is_empty());
    bench.find(PullPolicy::Never, access).unwrap();
    assert_eq!(bench.asked(), ["look"]);

    let garbage = gc::collect(&bench.store, Keep::Nothing).unwrap().unwrap();
    // A record of the image, one of the name; a manifest, a configuration and a layer.
    let amounts = garbage.amounts();
    assert_eq!(
        (
            amounts[&gc::Kind::Records].count,
            amounts[&gc::Kind::Blobs].count
        ),
        (2, 3)
    );
    bench.find(PullPolicy::Never, access).unwrap();
    assert_eq!(bench.asked(), ["look", "export"]);
}

#[test]
fn a_record_that_is_damaged_or_lies_is_as_good_as_none() {
    let bench = Bench::new();
    let access = Some(&bench.access);
    let given = bench.give("one");
    bench.find(PullPolicy::Never, access).unwrap();
    let images = bench.store.cache("engine").join("images");
    let file = std::fs::read_dir(images)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let right = std::fs::read_to_string(&file).unwrap();
    for wrong in [
        "",
        "{",
        "{\"version\":1}",
        &right.replace("\"version\":1", "\"version\":2"),
        &right.replace(&given[..20], "sha256:0000000000000"),
    ] {
        std::fs::write(&file, wrong).unwrap();
        bench.asked();
        assert_eq!(id(&bench.find(PullPolicy::Never, access).unwrap()), given);
        assert_eq!(bench.asked(), ["look", "export"], "{wrong}");
    }
}

#[test]
fn an_engine_that_does_not_answer_is_no_obstacle_unless_nothing_else_may_be_asked() {
    let bench = Bench::new();
    let gone = bench.directory.path().join("engine.sock");
    std::fs::remove_file(&gone).unwrap();
    let access = Some(&bench.access);
    let error = bench.find(PullPolicy::IfNotPresent, access).unwrap_err();
    assert!(matches!(error, Error::Registry(_)), "{error}");
    let error = bench.find(PullPolicy::Never, access).unwrap_err();
    let request = test_requests::request(crate::build::Strategy::Auto);
    let text = about_builder(&request, error);
    let source = std::error::Error::source(&text).unwrap().to_string();
    assert!(
        source.contains("cannot speak with `docker`") && source.contains("engine.sock"),
        "{source}"
    );
}
