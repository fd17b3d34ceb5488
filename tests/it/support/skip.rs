//! Tests that need what this machine lacks say so by name; they never pass in silence.
//!
//! A test calls [`skip`] and returns. `test.sh` empties the directory before a run and compares it afterwards with
//! `tests/skips.txt` (`tests/compare-skips`), so a test that stops being run is a failure until somebody writes it down.

use std::fs;
use std::path::Path;

/// Reports that the test `name` was not run, because of `why`.
pub fn skip(name: &str, why: &str) {
    record(
        &Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped"),
        name,
        why,
    );
}

/// One file a test, for the tests run in processes of their own, side by side.
#[expect(clippy::print_stderr, reason = "a skipped test is not silent")]
fn record(directory: &Path, name: &str, why: &str) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join(name), format!("{why}\n")).unwrap();
    eprintln!("SKIPPED {name}: {why}");
}

mod tests {
    use std::process::Command;

    use super::super::Done;
    use super::*;

    /// `tests/compare-skips` on a list and the names of skipped tests.
    fn compare(list: &str, skipped: &[&str], more: &[&str]) -> Done {
        let directory = tempfile::tempdir().unwrap();
        let (expected, records) = (
            directory.path().join("list"),
            directory.path().join("skipped"),
        );
        fs::write(&expected, list).unwrap();
        for name in skipped {
            record(&records, name, "no such kernel");
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compare-skips");
        let mut command = Command::new(script);
        command.args(more).args([expected, records]);
        command.output().unwrap().into()
    }

    #[test]
    fn a_skip_list_that_agrees_is_accepted() {
        compare("", &[], &[]).ok();
        let done = compare("# why\n\na\nb # and why\n", &["b", "a"], &[]).ok();
        assert!(done.stderr.ends_with(": a b\n"), "{}", done.stderr);
    }

    #[test]
    fn a_test_that_was_skipped_unlisted_fails_the_run_with_its_reason() {
        let done = compare("a\n", &["a", "b"], &[]);
        assert_eq!(done.code, Some(1));
        assert!(
            done.stderr
                .contains("skipped, but not listed: b: no such kernel\n"),
            "{}",
            done.stderr
        );
        assert!(
            done.stderr
                .ends_with("test.sh: listed: a\ntest.sh: skipped: a b\n"),
            "{}",
            done.stderr
        );
        assert_eq!(compare("a\n", &["a", "b"], &["--some"]).code, Some(1));
    }

    #[test]
    fn a_listed_test_that_was_run_fails_a_whole_run_and_no_part_of_one() {
        let done = compare("a\nb\n", &["a"], &[]);
        assert_eq!(done.code, Some(1));
        assert!(
            done.stderr.contains("listed, but not skipped: b\n"),
            "{}",
            done.stderr
        );
        compare("a\nb\n", &["a"], &["--some"]).ok();
    }
}
