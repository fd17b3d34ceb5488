//! `entry_points.txt`: the scripts that a distribution wants.
//!
//! # Spec
//! packaging.python.org, *Entry points specification*, read as `importlib.metadata` and distlib do for pip.

use std::collections::BTreeMap;

/// A script that calls a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    /// The script's file name.
    pub name: String,
    /// The module that is imported, as `flask.cli`.
    pub module: String,
    /// What is called in it, as `main` or `App.run`.
    pub function: String,
    /// True in `gui_scripts`; on Unix the script is the same.
    pub is_gui: bool,
}

/// The console and GUI scripts, sorted by name. Of two with one name the later counts, and a GUI script more than a
/// console script, as with pip, which writes them in this order.
pub(super) fn scripts(text: &str) -> Result<Vec<EntryPoint>, String> {
    let mut found = BTreeMap::new();
    let mut group = "";
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            group = section;
            continue;
        }
        let is_gui = match group {
            "console_scripts" => false,
            "gui_scripts" => true,
            _ => continue,
        };
        let entry = parse(line, is_gui).ok_or_else(|| {
            format!("its `entry_points.txt` has the script `{line:.200}`, which is none")
        })?;
        found.insert((entry.is_gui, entry.name.clone()), entry);
    }
    let by_name = found.into_values().map(|entry| (entry.name.clone(), entry));
    Ok(by_name.collect::<BTreeMap<_, _>>().into_values().collect())
}

/// `name = module:function [extras]`. What follows without brackets is passed over, as distlib does.
fn parse(line: &str, is_gui: bool) -> Option<EntryPoint> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = |c: char| c == '_' || c == '-' || c == '.' || c == '+' || c.is_alphanumeric();
    if name.is_empty()
        || name == "."
        || name == ".."
        || name.len() > 255
        || !name.chars().all(is_name)
    {
        return None;
    }
    let is_callable = |c: char| c == '_' || c == '.' || c == ':' || c.is_alphanumeric();
    let end = value.find(|c| !is_callable(c)).unwrap_or(value.len());
    let (callable, rest) = value.split_at(end);
    let (module, function) = callable.split_once(':')?;
    let is_path = |path: &str| {
        path.split('.')
            .all(|word| !word.is_empty() && !word.contains(':'))
    };
    let rest = rest.trim();
    let is_rest_right = match rest.strip_prefix('[') {
        Some(extras) => extras
            .split_once(']')
            .is_some_and(|(_, after)| !after.contains(['[', ']'])),
        None => !rest.contains(['[', ']']),
    };
    (is_path(module) && is_path(function) && is_rest_right).then(|| EntryPoint {
        name: name.to_owned(),
        module: module.to_owned(),
        function: function.to_owned(),
        is_gui,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_and_sorted() {
        let text = "# comment\n[other]\nx\n[console_scripts]\nz = a.b:c\n a=a:B.run [x, y]\nc = m:f # note\n\
                    d = m:one\nd = m:two\n[gui_scripts]\nc = g:f\n";
        let scripts: Vec<_> = scripts(text)
            .unwrap()
            .into_iter()
            .map(|entry| {
                format!(
                    "{}={}:{} {}",
                    entry.name, entry.module, entry.function, entry.is_gui
                )
            })
            .collect();
        assert_eq!(
            scripts,
            [
                "a=a:B.run false",
                "c=g:f true",
                "d=m:two false",
                "z=a.b:c false"
            ]
        );
    }

    #[test]
    fn what_is_no_script_is_refused() {
        for line in [
            "a",
            "a = ",
            "a = m",
            "a = m:",
            "a = :f",
            "a = m:f:g",
            "a = m;x:f",
            "a/b = m:f",
            ".. = m:f",
            "= m:f",
            "a b = m:f",
            "a = m:f [x",
            "a = m:f ]",
            "a = m..n:f",
            "a = m :f",
        ] {
            let text = format!("[console_scripts]\n{line}\n");
            let error = scripts(&text).unwrap_err();
            assert!(error.contains(line.trim()), "{error}");
        }
    }
}
