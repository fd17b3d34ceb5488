//! Processes that are killed while they write, that write at once, and what the disk may leave.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::*;

/// Names the directory of records to [`process`].
const DIRECTORY: &str = "OVERCOAT_TEST_HISTORY";
/// How many records it is to write.
const COUNT: &str = "OVERCOAT_TEST_COUNT";

/// Writes records, and says on stdout what it has written: `began ID`, `ended ID`.
#[test]
#[ignore = "it is what the other tests of this file run as a process of its own"]
fn process() {
    let history = History::at(std::env::var_os(DIRECTORY).expect("the other tests say where"));
    let count: u64 = std::env::var(COUNT).unwrap().parse().unwrap();
    for number in 0..count {
        let running = history
            .begin(beginning(Operation::Build, "web"), at(number))
            .unwrap();
        say(&format!("began {}", running.id()));
        let facts = Facts {
            digest: Some(Digest::of(running.id().as_str().as_bytes())),
            ..Facts::default()
        };
        running.update(facts).unwrap();
        let id = running.id().clone();
        running
            .finish(outcome(Ending::Success), at(number))
            .unwrap();
        say(&format!("ended {id}"));
    }
}

/// A line of its own on stdout; the harness writes there too.
fn say(text: &str) {
    writeln!(std::io::stdout(), "\n{text}").unwrap();
}

fn start(history: &History, count: u64) -> Child {
    let name = module_path!().split_once("::").unwrap().1;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("{name}::process"), "--ignored"]);
    command.args(["--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, history.directory());
    command.env(COUNT, count.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// What a process said, up to so many of its own lines.
fn said(child: &mut Child, lines: usize) -> Vec<String> {
    let output = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let ours = output
        .map(Result::unwrap)
        .filter(|line| line.starts_with("began ") || line.starts_with("ended "));
    ours.take(lines).collect()
}

/// Numbers that look random and are the same in every run.
fn numbers() -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state)
    })
}

#[test]
fn killed_at_fifty_points_nothing_is_lost_or_duplicated() {
    let (_directory, history) = history();
    let mut told: Vec<String> = Vec::new();
    for random in numbers().take(50) {
        let mut child = start(&history, u64::MAX);
        told.extend(said(&mut child, 1 + usize::try_from(random % 5).unwrap()));
        // Somewhere in the next lines; where exactly, the machine decides.
        std::thread::sleep(Duration::from_micros(random % 3001));
        child.kill().unwrap();
        child.wait().unwrap();
        let contents = history.read().unwrap();
        assert_eq!(contents.damages, [], "readers pass over a torn end");
        assert!(
            contents
                .records
                .iter()
                .all(|record| record.state != State::Running)
        );
    }
    // The next writer mends what the last one left.
    let last = done(&history, Operation::Build, "web", 0);
    let contents = history.read().unwrap();
    assert_eq!(contents.damages, []);
    let sequences: Vec<u64> = contents.records.iter().map(|r| r.sequence).collect();
    let expected: Vec<u64> = (1..=last.sequence).collect();
    assert_eq!(sequences, expected);
    for line in told {
        let (what, id) = line.split_once(' ').unwrap();
        let id = Id::try_from(id.to_owned()).unwrap();
        let record = contents
            .by_id(&id)
            .unwrap_or_else(|| panic!("{id} is lost"));
        if what == "ended" {
            assert_eq!(record.state, State::Success, "{id}");
            assert_eq!(
                record.facts.digest,
                Some(Digest::of(id.as_str().as_bytes()))
            );
        }
    }
    let interrupted = |record: &&Record| record.state == State::Interrupted;
    assert!(contents.records.iter().filter(interrupted).count() <= 50);
}

#[test]
fn eight_processes_at_once_get_numbers_of_their_own() {
    for (processes, each) in [(2_u64, 40_u64), (8, 12)] {
        let (_directory, history) = history();
        let children: Vec<Child> = (0..processes).map(|_| start(&history, each)).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        let contents = history.read().unwrap();
        assert_eq!(contents.damages, []);
        let sequences: Vec<u64> = contents.records.iter().map(|r| r.sequence).collect();
        let expected: Vec<u64> = (1..=processes * each).collect();
        assert_eq!(sequences, expected);
        assert!(contents.records.iter().all(|r| r.state == State::Success));
    }
}

#[test]
fn a_file_that_ends_at_any_byte_loses_the_torn_line_only() {
    let (_directory, history) = history();
    let first = done(&history, Operation::Build, "web", 0);
    let path = history.directory().join("records.jsonl");
    let kept = fs::read(&path).unwrap();
    done(&history, Operation::Build, "web", 5);
    let whole = fs::read(&path).unwrap();
    let begun = kept.len()
        + whole[kept.len()..]
            .iter()
            .position(|b| *b == b'\n')
            .unwrap();
    for end in kept.len()..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let _ = fs::remove_file(history.directory().join("records.torn"));
        let before = history.read().unwrap();
        assert_eq!(before.damages, [], "{end}");
        // A line that lacks nothing but its end counts.
        let has_begun = end >= begun;
        assert_eq!(before.records.len(), 1 + usize::from(has_begun), "{end}");
        assert_eq!(before.records[0], first, "{end}");
        let next = done(&history, Operation::Build, "web", 9);
        let after = history.read().unwrap();
        assert_eq!(after.damages, [], "{end}");
        assert_eq!(
            after.records[..before.records.len()],
            before.records,
            "{end}"
        );
        assert_eq!(after.records.last(), Some(&next), "{end}");
        assert_eq!(next.sequence, 2 + u64::from(has_begun), "{end}");
        let start = if end > begun { begun + 1 } else { kept.len() };
        let torn = &whole[start..end];
        let is_kept_aside = !torn.is_empty() && end != begun && end + 1 != whole.len();
        let aside = fs::read(history.directory().join("records.torn")).unwrap_or_default();
        let expected = match is_kept_aside {
            true => [torn, b"\n"].concat(),
            false => Vec::new(),
        };
        assert_eq!(aside, expected, "{end}");
    }
}

#[test]
fn zeros_that_a_power_failure_left_at_the_end_are_kept_aside() {
    let (_directory, history) = history();
    let first = done(&history, Operation::Build, "web", 0);
    let path = history.directory().join("records.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(vec![0; 200_000]);
    fs::write(&path, bytes).unwrap();
    assert_eq!(
        history.read().unwrap().records,
        std::slice::from_ref(&first)
    );
    let second = done(&history, Operation::Build, "web", 2);
    let contents = history.read().unwrap();
    assert_eq!(contents.damages, []);
    assert_eq!(contents.records, [first, second]);
    let aside = fs::read(history.directory().join("records.torn")).unwrap();
    assert_eq!(aside.len(), 200_001);
}

#[test]
fn a_damaged_line_is_named_and_all_others_are_read() {
    let (_directory, history) = history();
    let first = done(&history, Operation::Build, "web", 0);
    done(&history, Operation::Build, "web", 2);
    let third = done(&history, Operation::Build, "web", 4);
    let path = history.directory().join("records.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[2] = "{\"line\":\"begin\",\"version\":1,oops".to_owned();
    lines.insert(4, "x".repeat(3 << 20));
    lines.push(lines[5].clone());
    lines.push(lines[6].clone());
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let contents = history.read().unwrap();
    let reasons: Vec<(usize, &str)> = contents
        .damages
        .iter()
        .map(|damage| (damage.line, damage.reason.as_str()))
        .collect();
    // The end of the record whose beginning is damaged is not told once more.
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert_eq!(reasons[0], (3, "key must be a string, at its byte 29"));
    assert_eq!(reasons[1], (5, "it has more than 1048576 bytes"));
    assert!(reasons[2].0 == 8 && reasons[2].1.contains("begins a second time"));
    assert!(reasons[3].0 == 9 && reasons[3].1.contains("ends a second time"));
    assert_eq!(contents.records, [first, third]);
    // The number that may have been in the damaged line is not given again.
    fs::remove_file(history.directory().join("sequences.json")).unwrap();
    let next = done(&history, Operation::Build, "web", 9).sequence;
    assert!(next > 3, "{next}");
}

#[test]
fn a_torn_first_line_is_one_loss_and_told_once() {
    let (_directory, history) = history();
    done(&history, Operation::Build, "web", 0);
    let second = done(&history, Operation::Build, "web", 2);
    let path = history.directory().join("records.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let damages = |text: &str| {
        fs::write(&path, text).unwrap();
        let contents = history.read().unwrap();
        assert_eq!(contents.records, std::slice::from_ref(&second), "{text}");
        let damages = contents.damages.into_iter();
        damages
            .map(|damage| (damage.line, damage.reason))
            .collect::<Vec<_>>()
    };
    let torn = damages(&text[20..]);
    assert_eq!(torn.len(), 1, "{torn:?}");
    assert_eq!(torn[0].0, 1);
    // Without a torn line before it, an end alone is a loss that nothing else tells.
    let gone = damages(&text[text.find('\n').unwrap() + 1..]);
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(
        gone[0].0 == 1 && gone[0].1.contains("has no beginning"),
        "{gone:?}"
    );
}

#[test]
fn hostile_lines_are_damage() {
    let (_directory, history) = history();
    let good = done(&history, Operation::Build, "web", 0);
    let path = history.directory().join("records.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let end = text.lines().last().unwrap();
    let wrong = [
        "null".to_owned(),
        "[]".to_owned(),
        String::new(),
        "[".repeat(100_000),
        end.replace(good.id.as_str(), "../../../etc/passwd"),
        end.replace("success", "splendid"),
        end.replace("2026-", "20x6-"),
    ];
    let count = wrong.len();
    fs::write(&path, text + &wrong.join("\n") + "\n").unwrap();
    let contents = history.read().unwrap();
    assert_eq!(contents.damages.len(), count, "{:?}", contents.damages);
    assert_eq!(contents.records, [good]);
}

#[test]
fn a_file_of_too_many_bytes_is_not_read() {
    let (_directory, history) = history();
    done(&history, Operation::Build, "web", 0);
    let path = history.directory().join("records.jsonl");
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len((256 << 20) + 1).unwrap();
    let error = history.read().unwrap_err();
    assert!(matches!(error, Error::TooMuch { .. }), "{error}");
}
