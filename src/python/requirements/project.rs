//! What the application says of itself as a Python project.

use pep440_rs::VersionSpecifiers;

use super::files::{FileKind, SourceFiles};

/// The file that makes an application a project which `assemble` installs as a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectFile {
    /// `setup.py`.
    SetupPy,
    /// `setup.cfg` with a `[metadata]` section, beside a `pyproject.toml`.
    SetupCfg,
    /// `pyproject.toml` with a `[build-system]`, `[project]` or `[tool.poetry]` section.
    PyprojectToml,
}

impl ProjectFile {
    /// The file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetupPy => "setup.py",
            Self::SetupCfg => "setup.cfg",
            Self::PyprojectToml => "pyproject.toml",
        }
    }

    /// The variable that keeps `assemble` from installing the project because of this file.
    pub fn disabled_by(self) -> &'static str {
        match self {
            Self::SetupPy | Self::SetupCfg => "DISABLE_SETUP_PY_PROCESSING",
            Self::PyprojectToml => "DISABLE_PYPROJECT_TOML_PROCESSING",
        }
    }
}

/// What the stock `assemble` would install as a package, if anything: the rule of `project_file` in
/// `s2i-scripts/python/assemble`. `is_set` says whether an environment variable has a value that is not empty.
///
/// # Errors
/// When a file that decides cannot be read.
pub fn project_file(
    files: &dyn SourceFiles,
    is_set: impl Fn(&str) -> bool,
) -> Result<Option<ProjectFile>, crate::fs::Error> {
    let is_file = |name| Ok::<_, crate::fs::Error>(files.kind(name)? == Some(FileKind::File));
    let has_pyproject = is_file("pyproject.toml")?;
    if !is_set(ProjectFile::SetupPy.disabled_by()) {
        if is_file("setup.py")? {
            return Ok(Some(ProjectFile::SetupPy));
        }
        if has_pyproject && is_file("setup.cfg")? {
            let text = files.read("setup.cfg")?.unwrap_or_default();
            if lines(&text).any(|line| line.starts_with(b"[metadata]")) {
                return Ok(Some(ProjectFile::SetupCfg));
            }
        }
    }
    if !is_set(ProjectFile::PyprojectToml.disabled_by()) && has_pyproject {
        let text = files.read("pyproject.toml")?.unwrap_or_default();
        if lines(&text).any(describes_a_project) {
            return Ok(Some(ProjectFile::PyprojectToml));
        }
    }
    Ok(None)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// `^[[:space:]]*\[(build-system|project|tool\.poetry)\]`
fn describes_a_project(line: &[u8]) -> bool {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b';
    let start = line
        .iter()
        .position(|byte| !is_space(byte))
        .unwrap_or(line.len());
    [&b"[build-system]"[..], b"[project]", b"[tool.poetry]"]
        .iter()
        .any(|section| line[start..].starts_with(section))
}

/// Why `requires-python` cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`pyproject.toml`: {reason}")]
pub struct NotAProject {
    /// What is wrong with it, with the line where there is one.
    pub reason: String,
}

/// The `requires-python` of a `pyproject.toml`; `None` when it has none, or no `[project]`.
///
/// # Errors
/// [`NotAProject`] when the file is no TOML or the field no version specifiers.
///
/// # Spec
/// packaging.python.org, *`pyproject.toml` specification*, `requires-python`.
pub fn requires_python(pyproject: &[u8]) -> Result<Option<VersionSpecifiers>, NotAProject> {
    let refuse = |reason: String| NotAProject { reason };
    let text = std::str::from_utf8(pyproject).map_err(|_| refuse("it is not UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error
            .span()
            .map(|span| text[..span.start.min(text.len())].lines().count().max(1));
        let line = at.map(|line| format!("line {line}: ")).unwrap_or_default();
        refuse(format!("{line}{}", error.message()))
    })?;
    let field = document
        .get("project")
        .and_then(|project| project.get("requires-python"));
    let Some(field) = field else {
        return Ok(None);
    };
    let specifiers = field.as_str().and_then(|text| text.parse().ok());
    match specifiers {
        Some(specifiers) => Ok(Some(specifiers)),
        None => Err(refuse(format!(
            "`requires-python = {field}` is not a version specifier as `\">=3.11\"`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn decided(files: &[(&str, &str)], set: &[&str]) -> Option<&'static str> {
        let files: BTreeMap<String, Vec<u8>> = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect();
        let found = project_file(&files, |name| set.contains(&name)).unwrap();
        found.map(ProjectFile::name)
    }

    #[test]
    fn a_project_is_what_assemble_takes_for_one() {
        const NO_SETUP: &str = "DISABLE_SETUP_PY_PROCESSING";
        const NO_PYPROJECT: &str = "DISABLE_PYPROJECT_TOML_PROCESSING";
        let setup_py = ("setup.py", "");
        let setup_cfg = ("setup.cfg", "[flake8]\n[metadata]\n");
        let project = ("pyproject.toml", "[tool.black]\n\t [project] # x\n");
        let linters = ("pyproject.toml", "[tool.black]\n# [project]\n[projects]\n");
        let poetry = ("pyproject.toml", "[tool.poetry]\n");
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], Option<&'a str>);
        let table: [Row<'_>; 11] = [
            (&[], &[], None),
            (&[setup_py, setup_cfg, project], &[], Some("setup.py")),
            (
                &[setup_py, setup_cfg, project],
                &[NO_SETUP],
                Some("pyproject.toml"),
            ),
            (
                &[setup_py, setup_cfg, project],
                &[NO_SETUP, NO_PYPROJECT],
                None,
            ),
            (&[setup_cfg, project], &[], Some("setup.cfg")),
            (&[setup_cfg, linters], &[NO_PYPROJECT], Some("setup.cfg")),
            (&[setup_cfg], &[], None),
            (&[("setup.cfg", " [metadata]\n"), linters], &[], None),
            (&[linters], &[], None),
            (&[poetry], &[], Some("pyproject.toml")),
            (&[("setup.py/x", ""), linters], &[], None),
        ];
        for (files, set, expected) in table {
            assert_eq!(decided(files, set), expected, "{files:?} {set:?}");
        }
    }

    #[test]
    fn requires_python_is_read() {
        let read = |text: &str| {
            requires_python(text.as_bytes()).map(|found| found.map(|found| found.to_string()))
        };
        assert_eq!(
            read("[project]\nrequires-python = \">=3.9, <4\"\n")
                .unwrap()
                .as_deref(),
            Some(">=3.9, <4")
        );
        assert_eq!(read("[tool.poetry]\n").unwrap(), None);
        assert!(
            read("[project]\nrequires-python = 3\n")
                .unwrap_err()
                .to_string()
                .contains("requires-python = 3")
        );
        assert!(
            read("a = 1\nb =\n")
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }
}
