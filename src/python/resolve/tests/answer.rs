use std::collections::BTreeMap;

use super::super::tests::universe::*;
use super::*;
use crate::event::Silent;
use crate::python::resolve::resolve;

const WORLD: &str = "
    a 1: b
    a 2: b>=2
    b 1
    b 2
";

const INDEX: &str = "https://pypi.org/simple";

fn record(ask: &Ask, made: u64) -> Record {
    let indexes = [INDEX.to_owned()];
    let key = AnswerKey::of(&ask.request(), &indexes);
    let solution = resolve(&ask.request(), &Universe::new(WORLD), &Silent).unwrap();
    Record::new(key, made, &indexes, solution)
}

fn key(ask: &Ask, indexes: &[&str]) -> AnswerKey {
    let indexes: Vec<String> = indexes.iter().map(|&url| url.to_owned()).collect();
    AnswerKey::of(&ask.request(), &indexes)
}

#[test]
fn a_record_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let ask = Ask::new(&["a[x]"]).installed(&["b==2"]);
    let record = record(&ask, 1_700_000_000);
    assert_eq!(find(path, &record.key), None);
    assert_eq!(previous(path, "app"), None);
    remember(path, "app", &record).unwrap();
    assert_eq!(find(path, &record.key).as_ref(), Some(&record));
    assert_eq!(previous(path, "app").as_ref(), Some(&record));
    assert_eq!(previous(path, "other"), None);
    assert_eq!(record.solution.satisfied.len(), 1);
}

#[test]
fn the_latest_record_of_a_slot_supplies_preferences() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    remember(path, "app", &record(&Ask::new(&["a"]), 1)).unwrap();
    remember(path, "app", &record(&Ask::new(&["a<2", "b<2"]), 2)).unwrap();
    let latest = previous(path, "app").unwrap();
    assert_eq!(latest.made, 2);
    let mut ask = Ask::new(&["a"]);
    ask.preferences = latest.preferences(&[INDEX.to_owned()]);
    assert_eq!(ask.answer(&Universe::new(WORLD)), "a==1 b==1");
    let has_wheel = |indexes: &[String]| {
        let preferences = latest.preferences(indexes);
        preferences
            .values()
            .all(|preference| preference.wheel.is_some())
    };
    // A password does not make another index, another host does.
    assert!(has_wheel(&["https://me:secret@pypi.org/simple".to_owned()]));
    assert!(!has_wheel(&["https://other.example/simple".to_owned()]));
}

#[test]
fn damaged_and_foreign_records_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let record = record(&Ask::new(&["a"]), 7);
    remember(path, "app", &record).unwrap();
    let file = record_path(path, record.key.digest());
    let good = std::fs::read(&file).unwrap();
    // Every shorter file, and every file with one other bit.
    for length in 0..good.len() {
        std::fs::write(&file, &good[..length]).unwrap();
        assert_eq!(find(path, &record.key), None, "{length} bytes");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&file, &bad).unwrap();
        assert_eq!(
            find(path, &record.key),
            None,
            "{}",
            String::from_utf8_lossy(&bad)
        );
    }
    std::fs::write(&file, &good).unwrap();
    assert!(find(path, &record.key).is_some());
    // A record under another's name.
    let other = key(&Ask::new(&["b"]), &[INDEX]);
    std::fs::copy(&file, record_path(path, other.digest())).unwrap();
    assert_eq!(find(path, &other), None);
    // A pointer to nothing.
    std::fs::write(slot_path(path, "app"), "sha256:../../etc/passwd").unwrap();
    assert_eq!(previous(path, "app"), None);
    remember(path, "app", &record).unwrap();
    assert!(previous(path, "app").is_some());
}

#[test]
fn records_that_could_not_have_been_written_are_none() {
    let good = record(&Ask::new(&["a"]), 7);
    let change = |change: &dyn Fn(&mut Body)| {
        let mut body = Body::from(&good);
        change(&mut body);
        body.record()
    };
    assert_eq!(change(&|_| {}).as_ref(), Some(&good));
    assert_eq!(
        change(&|body| body.packages[0].url = "ftp://x/a".into()),
        None
    );
    assert_eq!(
        change(&|body| body.packages[0].url = "https://u:p@x/a".into()),
        None
    );
    assert_eq!(
        change(&|body| body.packages[0].wheel = "b-1-py3-none-any.whl".into()),
        None
    );
    assert_eq!(change(&|body| body.packages[0].wheel = "../a".into()), None);
    assert_eq!(change(&|body| body.packages.reverse()), None);
}

#[test]
fn everything_that_changes_an_answer_changes_its_key() {
    let mut keys: BTreeMap<AnswerKey, String> = BTreeMap::new();
    let mut differs = |what: &str, key: AnswerKey| {
        let before = keys.insert(key, what.to_owned());
        assert_eq!(before, None, "{what}");
    };
    let ask = || Ask::new(&["a>=1", "b"]);
    differs("plain", key(&ask(), &[INDEX]));
    differs("index", key(&ask(), &["https://other.example/simple"]));
    differs("indexes", key(&ask(), &[INDEX, INDEX]));
    differs("joined", key(&Ask::new(&["a>=1"]), &[INDEX]));
    differs("specifier", key(&Ask::new(&["a>=2", "b"]), &[INDEX]));
    differs("extra", key(&Ask::new(&["a[x]>=1", "b"]), &[INDEX]));
    differs(
        "marker",
        key(&Ask::new(&["a>=1 ; os_name == 'nt'", "b"]), &[INDEX]),
    );
    differs("order", key(&Ask::new(&["b", "a>=1"]), &[INDEX]));
    differs("constraints", key(&ask().constrained(&["b<2"]), &[INDEX]));
    differs(
        "moved",
        key(&Ask::new(&["a>=1"]).constrained(&["b"]), &[INDEX]),
    );
    differs("installed", key(&ask().installed(&["b==1"]), &[INDEX]));
    let changed = |change: &dyn Fn(&mut Ask)| {
        let mut ask = ask();
        change(&mut ask);
        key(&ask, &[INDEX])
    };
    differs("pre", changed(&|ask| ask.pre = true));
    differs(
        "no binary",
        changed(&|ask| ask.formats.no_binary.all = true),
    );
    differs(
        "only binary",
        changed(&|ask| ask.formats.only_binary.all = true),
    );
    differs("prefer", changed(&|ask| ask.formats.prefer_binary = true));
    differs("hashes", changed(&|ask| ask.hashes = Some(BTreeMap::new())));
    differs("tags", changed(&|ask| ask.target.tags.clear()));
    differs(
        "python",
        changed(&|ask| ask.target.version = version("3.12")),
    );
    differs(
        "markers",
        changed(&|ask| {
            let markers = ask.target.markers.clone();
            ask.target.markers = markers.with_platform_machine("aarch64");
        }),
    );
}

#[test]
fn spelling_origins_and_passwords_do_not_change_a_key() {
    let plain = key(&Ask::new(&["flask-login[b,a]>=1,<2"]), &[INDEX]);
    let mut spelt = Ask::new(&["Flask_Login[ A , b ] >= 1 , < 2"]);
    spelt.requirements[0].origin = "other.txt:9".to_owned();
    assert_eq!(key(&spelt, &["https://u:p@pypi.org/simple"]), plain);
}
