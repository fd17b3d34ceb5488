//! Everything that has to hold of a pod's `app.py` before it is built.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::compare::{self, Read, difference};
use super::hooks;
use super::imports::{self, Python};
use super::sections::Parts;
use super::{Error, MOST_MODULE_BYTES, Refused};
use crate::fs;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is built.
    Refusal,
    /// It is told.
    Warning,
}

/// Something found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub level: Level,
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, where there is one.
    pub line: Option<usize>,
    /// What it is.
    pub text: String,
    /// A unified diff that shows it.
    pub diff: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What was delivered, and where that is known from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// `the commit 1234567`, `.overcoat-hopr.lock`.
    pub from: String,
    /// The text outside of Section 1.
    pub parts: Parts,
}

/// Whether a change outside of Section 1 is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section2 {
    /// It is.
    Kept,
    /// `--allow-section2`: it is told as a warning.
    MayChange,
}

/// The text of a module.
///
/// # Errors
/// [`Error::NotText`], [`Error::File`] also for one of more than [`MOST_MODULE_BYTES`].
pub fn text(path: &Path) -> Result<String, Error> {
    let bytes = fs::read_limited(path, MOST_MODULE_BYTES)?;
    String::from_utf8(bytes).map_err(|_| Error::NotText {
        path: path.to_owned(),
    })
}

/// Checks the text of the `app.py` at `path` against a baseline, if there is one: what is found, refusals first, and the
/// text taken apart if that can be done.
pub fn check(
    path: &Path,
    text: &str,
    baseline: Option<&Baseline>,
    section2: Section2,
    python: Python,
) -> (Vec<Finding>, Option<Read>) {
    let finding = |level, line, text: String, hint: Option<String>| Finding {
        level,
        path: path.to_owned(),
        line,
        text,
        diff: None,
        hint,
    };
    let read = match compare::read(text) {
        Ok(read) => read,
        Err(Refused { line, reason }) => {
            let hint = "Section 1 begins at a comment `# ──── SECTION 1: …` and ends at `# ──── END SECTION 1 ────`";
            let is_mark = reason.contains("SECTION");
            let hint = is_mark.then(|| hint.to_owned());
            return (
                vec![finding(Level::Refusal, Some(line), reason, hint)],
                None,
            );
        }
    };
    let mut found = Vec::new();
    let change = baseline.and_then(|baseline| {
        let name = path.display().to_string();
        let diff = difference(&baseline.parts, &read.parts, &baseline.from, &name)?;
        Some((baseline, diff))
    });
    if let Some((baseline, diff)) = change {
        let level = match section2 {
            Section2::Kept => Level::Refusal,
            Section2::MayChange => Level::Warning,
        };
        let text = format!("it differs outside of Section 1 from {}", baseline.from);
        let hint = "move your change into Section 1, or allow it: `--allow-section2`";
        let hint = (level == Level::Refusal).then(|| hint.to_owned());
        found.push(Finding {
            diff: Some(diff),
            ..finding(level, None, text, hint)
        });
    }
    for mistake in hooks::mistakes(&read.module, read.place) {
        let hooks::Found { line, text, hint } = mistake;
        found.push(finding(Level::Refusal, Some(line), text, hint));
    }
    for warning in hooks::blocking(&read.module, read.place) {
        let hooks::Found { line, text, hint } = warning;
        found.push(finding(Level::Warning, Some(line), text, hint));
    }
    for (module, line) in missing_imports(path, &read, python) {
        let text =
            format!("`{module}` is imported, and `requirements.txt` has no project of that name");
        let hint = "add it, unless another requirement brings it".to_owned();
        found.push(finding(Level::Warning, Some(line), text, Some(hint)));
    }
    found.sort_by_key(|finding| finding.level);
    (found, Some(read))
}

/// Imports of Section 1 that nothing seems to bring. What cannot be read is taken for empty: the build will say so.
fn missing_imports(path: &Path, read: &Read, python: Python) -> Vec<(String, usize)> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let other = |name: &str| {
        // Only files beside it: a requirements file may name any path of the machine.
        let is_plain = !name.is_empty() && !name.contains("..") && !name.starts_with('/');
        let bytes = fs::read_limited(&directory.join(name), MOST_MODULE_BYTES).ok();
        String::from_utf8(bytes.filter(|_| is_plain)?).ok()
    };
    let text = other("requirements.txt").unwrap_or_default();
    let required = imports::required(&text, &other);
    let names = fs::list(directory).unwrap_or_default();
    let beside: BTreeSet<String> = names
        .iter()
        .filter(|name| {
            let is_module = name.extension().is_some_and(|extension| extension == "py");
            is_module || directory.join(name).is_dir()
        })
        .filter_map(|name| {
            name.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
        })
        .collect();
    let imported = read.module.imports(read.place.opening, read.place.closing);
    imports::missing(&imported, &required, &beside, python)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "import json\n# ── SECTION 1: yours ──\ndef on_trigger(payload, headers):\n    return {}\n# ── END SECTION 1 ──\ndef serve():\n    on_trigger({}, {})\n";

    fn baseline() -> Baseline {
        Baseline {
            from: "the lock".to_owned(),
            parts: compare::read(BASE).unwrap().parts,
        }
    }

    fn found(text: &str, section2: Section2) -> Vec<(Level, Option<usize>, String)> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.py");
        std::fs::write(directory.path().join("helper.py"), "").unwrap();
        std::fs::write(directory.path().join("requirements.txt"), "-r more.txt\n").unwrap();
        std::fs::write(directory.path().join("more.txt"), "numpy\n").unwrap();
        let (found, _) = check(&path, text, Some(&baseline()), section2, Python::V3_11);
        found
            .into_iter()
            .map(|finding| (finding.level, finding.line, finding.text))
            .collect()
    }

    #[test]
    fn an_untouched_pod_passes_and_so_does_a_change_of_section_1() {
        assert_eq!(found(BASE, Section2::Kept), []);
        let more = BASE.replace(
            "    return {}",
            "    import numpy, helper, os\n    return {'a': numpy}",
        );
        assert_eq!(found(&more, Section2::Kept), []);
    }

    #[test]
    fn each_rule_finds_its_mistake() {
        let section2 = BASE.replace("import json", "import os");
        let text = "it differs outside of Section 1 from the lock".to_owned();
        assert_eq!(
            found(&section2, Section2::Kept),
            [(Level::Refusal, None, text.clone())]
        );
        assert_eq!(
            found(&section2, Section2::MayChange),
            [(Level::Warning, None, text)]
        );
        let all = BASE.replace(
            "(payload, headers):\n",
            "(payload):\n    import pandas\n    time.sleep(1)\n",
        );
        let all = found(&all, Section2::Kept);
        let places: Vec<(Level, Option<usize>)> =
            all.iter().map(|(level, line, _)| (*level, *line)).collect();
        assert_eq!(
            places,
            [
                (Level::Refusal, Some(3)),
                (Level::Warning, Some(5)),
                (Level::Warning, Some(4))
            ],
            "{all:?}"
        );
        let broken = BASE.replace("return {}", "return {");
        let broken = found(&broken, Section2::Kept);
        assert_eq!(
            (broken[0].0, broken[0].1),
            (Level::Refusal, Some(4)),
            "{broken:?}"
        );
    }
}
