//! Functions of Section 1 called with sample arguments, in the image, before it is deployed.
//!
//! What Hopr calls them with when a pod starts is written down nowhere, so the arguments are the person's: a JSON object with the functions'
//! names, and for each an object with its parameters. [`CALL`] does it, in the directory of `app.py`: it executes the module up to the end
//! of Section 1, calls, and ends with [`REFUSED`] when a function raises, or returns something of another kind than Hopr expects.
//!
//! # Spec
//! `path-to-production.md` §3.4, *the hook is called with a synthetic payload at start*; §3.2 for what functions return.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::hopr::hooks::SIGNATURES;
use crate::fs;

/// The Python program.
pub const CALL: &str = include_str!("call.py");
/// The variable that tells it what to do.
pub const VARIABLE: &str = "OVERCOAT_SAMPLES";
/// The status with which it ends when a function fails.
pub const REFUSED: i32 = 97;
/// The most that a file of samples may have: it goes through a variable.
const MOST_BYTES: u64 = 64 << 10;

/// Why samples cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not what it should be.
    #[error("`{}` has no sample arguments: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
}

/// Sample arguments, by function, in the order of its parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(BTreeMap<String, Vec<Value>>);

impl Samples {
    /// Reads a file: `{"on_trigger": {"payload": {"number": 0}, "headers": {}}}`.
    ///
    /// # Errors
    /// [`Error::Form`] for what is no such object, a function that Hopr does not call, or other parameters than its; [`Error::File`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read_limited(path, MOST_BYTES)?;
        let refuse = |reason: String| Error::Form {
            path: path.to_owned(),
            reason: crate::event::printable(&reason),
        };
        let functions: BTreeMap<String, BTreeMap<String, Value>> =
            serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
        let mut samples = BTreeMap::new();
        for (name, mut given) in functions {
            let known = SIGNATURES.iter().find(|(known, _)| *known == name);
            let (_, parameters) = known.ok_or_else(|| {
                let names: Vec<&str> = SIGNATURES.iter().map(|(name, _)| *name).collect();
                refuse(format!(
                    "Hopr calls no function `{name}`; there are {}",
                    names.join(", ")
                ))
            })?;
            let arguments = parameters.iter().map(|parameter| {
                given
                    .remove(*parameter)
                    .ok_or_else(|| refuse(format!("`{name}` is called with `{parameter}` too")))
            });
            let arguments = arguments.collect::<Result<_, _>>()?;
            if let Some(more) = given.keys().next() {
                return Err(refuse(format!("`{name}` has no parameter `{more}`")));
            }
            samples.insert(name, arguments);
        }
        Ok(Self(samples))
    }

    /// Those of these functions that have no sample.
    pub fn lacking<'a>(&self, functions: &'a [String]) -> Vec<&'a str> {
        let names = functions.iter().map(String::as_str);
        names.filter(|name| !self.0.contains_key(*name)).collect()
    }

    /// What [`CALL`] is told for a module with these functions, whose Section 1 ends in the line `until`, from 1; `None` when none of them has a
    /// sample.
    pub fn order(&self, functions: &[String], until: usize) -> Option<String> {
        let calls = functions
            .iter()
            .filter_map(|name| Some(json!([name, self.0.get(name)?])));
        let calls: Vec<Value> = calls.collect();
        (!calls.is_empty()).then(|| json!({"until": until, "calls": calls}).to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn read(text: &str) -> Result<Samples, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samples.json");
        std::fs::write(&path, text).unwrap();
        Samples::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn samples_are_read_in_the_order_of_the_parameters() {
        let samples =
            read(r#"{"on_trigger": {"headers": {}, "payload": {"n": 1}}, "on_aggregate": {"partials": []}}"#).unwrap();
        let functions = ["on_trigger".to_owned(), "on_receive_relay".to_owned()];
        assert_eq!(
            samples.order(&functions, 9).unwrap(),
            r#"{"calls":[["on_trigger",[{"n":1},{}]]],"until":9}"#
        );
        assert_eq!(samples.lacking(&functions), ["on_receive_relay"]);
        assert_eq!(samples.order(&functions[1..], 9), None);
        for (text, reason) in [
            ("[]", "invalid type"),
            (r#"{"main": {}}"#, "Hopr calls no function `main`"),
            (r#"{"on_trigger": {"payload": 1}}"#, "with `headers` too"),
            (
                r#"{"on_aggregate": {"partials": [], "x": 1}}"#,
                "no parameter `x`",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    /// What the program says and how it ends, with the python3 of this machine.
    fn call(section1: &str, function: &str) -> (Option<i32>, String) {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "import helper\r\n# ── SECTION 1 ──\r\n{section1}\n# ── END SECTION 1 ──\nraise SystemExit('served')\n"
        );
        let lines = text.replace("\r\n", "\n");
        let until = lines.lines().position(|line| line.contains("END")).unwrap() + 1;
        std::fs::write(directory.path().join("app.py"), text).unwrap();
        std::fs::write(directory.path().join("helper.py"), "X = 1\n").unwrap();
        let samples = read(
            r#"{"on_trigger": {"payload": {"number": 7}, "headers": {}}, "on_receive_terminator": {"payload": {}}}"#,
        );
        let order = samples.unwrap().order(&[function.to_owned()], until);
        let done = Command::new("python3")
            .args(["-c", CALL])
            .current_dir(directory.path())
            .env(VARIABLE, order.unwrap())
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let said = [done.stdout, done.stderr].concat();
        (
            done.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    #[test]
    fn functions_are_called_as_hopr_does_and_nothing_after_section_1_is_executed() {
        let good = "async def on_trigger(payload, headers):\n    return {'n': payload['number'] + helper.X}";
        let (code, said) = call(good, "on_trigger");
        assert_eq!(
            (code, said.as_str()),
            (Some(0), "on_trigger returned dict\n")
        );
        let none = "def on_receive_terminator(payload):\n    pass";
        assert_eq!(call(none, "on_receive_terminator").0, Some(0));
        for (section1, expected) in [
            (
                "def on_trigger(payload, headers):\n    return payload['absent']",
                "KeyError: 'absent'",
            ),
            (
                "def on_trigger(payload, headers):\n    return 3",
                "`on_trigger` must return dict, and returned int",
            ),
            ("import no_such_module", "No module named 'no_such_module'"),
        ] {
            let (code, said) = call(section1, "on_trigger");
            assert_eq!(code, Some(REFUSED), "{said}");
            assert!(said.contains(expected), "{said}");
        }
        let (_, said) = call(
            "def on_trigger(payload, headers):\n    return payload['absent']",
            "on_trigger",
        );
        assert!(
            said.contains("File \"app.py\", line 4, in on_trigger"),
            "{said}"
        );
    }
}
