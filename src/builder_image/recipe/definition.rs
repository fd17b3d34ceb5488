//! A recipe as it is written: `recipe.toml`, read and checked.
//!
//! `builders/README.md` tells what each field means. Everything that can be wrong with a text alone is found here,
//! with its line where the TOML reader knows it; nothing of it is found half-way through a download.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::content::File;
use super::{Error, shipped};
use crate::layer::EntryPath;

/// The only format there is.
const FORMAT: u32 = 1;
/// What the user of an application may not be able to do with root's ids; the S2I convention.
const DEFAULT_USER: &str = "1001";

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    format: u32,
    pub(super) description: String,
    pub(super) debian: Debian,
    pub(super) packages: Packages,
    #[serde(rename = "layer")]
    pub(super) layers: Vec<Layer>,
    #[serde(default)]
    pub(super) filesystem: Filesystem,
    #[serde(default)]
    pub(super) image: Image,
    pub(super) scripts: Option<Scripts>,
    pub(super) venv: Venv,
    #[serde(default, rename = "file")]
    pub(super) files: Vec<File>,
    #[serde(default, rename = "alternative")]
    pub(super) alternatives: Vec<Alternative>,
}

/// Where packages come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Debian {
    pub(super) suite: String,
    pub(super) updates: Option<String>,
    pub(super) security: Option<String>,
    pub(super) components: Vec<String>,
    /// File names of keyrings.
    pub(super) keys: Vec<String>,
}

/// Which packages are wanted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Packages {
    pub(super) essential: bool,
    pub(super) roots: Vec<String>,
}

/// One layer of packages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) packages: Share,
}

/// Which packages a layer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Share {
    /// What the essential packages need.
    Essential,
    /// What no layer before took.
    Rest,
}

/// The shape of the root directory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filesystem {
    #[serde(default)]
    pub(super) merged_usr: Vec<String>,
}

/// The image's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Image {
    pub(super) user: String,
    /// The virtual environment's `src` when it is not given.
    pub(super) workdir: Option<String>,
    pub(super) cmd: Vec<String>,
    pub(super) ports: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
}

impl Default for Image {
    /// A builder that is started tells how it is used, and its applications listen where the S2I scripts say.
    fn default() -> Self {
        Self {
            user: DEFAULT_USER.to_owned(),
            workdir: None,
            cmd: vec![format!("{}/usage", shipped::SCRIPTS_DIRECTORY)],
            ports: vec!["8080/tcp".to_owned()],
            env: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// S2I scripts of the recipe's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scripts {
    /// Where they are, below the recipe's directory.
    pub(super) directory: String,
}

/// The virtual environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Venv {
    pub(super) path: ImagePath,
    /// The interpreter, whose file name is `pythonX.Y`.
    pub(super) python: ImagePath,
    #[serde(default)]
    pub(super) wheels: Vec<Pattern>,
    #[serde(default)]
    pub(super) owner: (u32, u32),
}

impl Venv {
    /// `3.11`, of an interpreter that is called `python3.11`.
    pub(super) fn python_version(&self) -> &str {
        let name = self.python.text.rsplit('/').next().unwrap_or_default();
        name.strip_prefix("python").unwrap_or_default()
    }
}

/// A path in the image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ImagePath {
    /// As written: absolute, no slash at its end.
    pub(super) text: String,
    /// The same, not yet mapped to a merged `/usr`.
    pub(super) path: EntryPath,
}

impl TryFrom<String> for ImagePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let rest = text
            .strip_prefix('/')
            .ok_or_else(|| format!("the path `{text}` does not begin with `/`"))?;
        let path = EntryPath::parse(rest.as_bytes()).map_err(|error| error.to_string())?;
        if path.as_bytes() != rest.as_bytes() || path.is_root() {
            return Err(format!(
                "the path `{text}` is the root, ends in `/`, or has an empty or `.` component"
            ));
        }
        Ok(Self { text, path })
    }
}

/// Paths in one directory of the image: `*` in the last component stands for any characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern {
    /// As written.
    pub(super) text: String,
    /// The same as a path, `*` and all; not yet mapped to a merged `/usr`.
    pub(super) path: EntryPath,
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let ImagePath { text, path } = text.try_into()?;
        match text.rsplit_once('/') {
            Some((directory, _)) if directory.contains('*') => Err(format!(
                "the pattern `{text}` has a `*` before its last part"
            )),
            _ => Ok(Self { text, path }),
        }
    }
}

impl Pattern {
    /// A pattern for exactly one path.
    pub(super) fn exactly(path: &ImagePath) -> Self {
        let ImagePath { text, path } = path.clone();
        Self { text, path }
    }
}

/// A program that goes by a name of its choosers'.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alternative {
    pub(super) name: String,
    pub(super) link: ImagePath,
    pub(super) target: ImagePath,
    pub(super) priority: i32,
    #[serde(default)]
    pub(super) slaves: Vec<Slave>,
}

/// What changes with an [`Alternative`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slave {
    pub(super) name: String,
    pub(super) link: ImagePath,
    pub(super) target: ImagePath,
}

impl Definition {
    /// Reads a recipe. `recipe` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Definition`], with the line where one is to blame.
    pub(super) fn parse(text: &str, recipe: &str) -> Result<Self, Error> {
        let refuse = |line, reason: &str| Error::Definition {
            recipe: recipe.to_owned(),
            line,
            reason: reason.to_owned(),
        };
        let definition: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            refuse(line, error.message().trim_end())
        })?;
        definition.check().map_err(|reason| refuse(None, &reason))?;
        Ok(definition)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!(
                "it has the format {}, and this version knows {FORMAT} only",
                self.format
            ));
        }
        let debian = &self.debian;
        let suites = [
            Some(&debian.suite),
            debian.updates.as_ref(),
            debian.security.as_ref(),
        ];
        for word in suites.into_iter().flatten().chain(&debian.components) {
            if !is_word(word) {
                return Err(format!("`{word}` is no name of a suite or a component"));
            }
        }
        if debian.components.is_empty() || debian.keys.is_empty() {
            return Err(
                "`[debian]` needs at least one of `components` and one of `keys`".to_owned(),
            );
        }
        if let Some(key) = debian.keys.iter().find(|key| !is_word(key)) {
            return Err(format!("`{key}` is no name of a key file"));
        }
        let mut merged = self.filesystem.merged_usr.iter();
        if let Some(name) = merged.find(|name| !is_word(name)) {
            return Err(format!(
                "`{name}` in `merged_usr` is no name of a top directory"
            ));
        }
        if let Some(Scripts { directory }) = &self.scripts
            && !directory.split('/').all(is_word_of_a_path)
        {
            return Err(format!(
                "`{directory}` in `[scripts]` is no path below the recipe's directory"
            ));
        }
        self.check_layers()?;
        self.check_names()
    }

    fn check_layers(&self) -> Result<(), String> {
        let shares: Vec<Share> = self.layers.iter().map(|layer| layer.packages).collect();
        match shares[..] {
            [Share::Rest] | [Share::Essential, Share::Rest] => Ok(()),
            _ => Err("the layers take `rest`, or `essential` and then `rest`".to_owned()),
        }
    }

    fn check_names(&self) -> Result<(), String> {
        for alternative in &self.alternatives {
            let slaves = alternative.slaves.iter().map(|slave| &slave.name);
            let mut names = slaves.chain([&alternative.name]);
            if let Some(name) = names.find(|name| !is_word(name)) {
                return Err(format!("`{name}` is no name of an alternative"));
            }
        }
        // The path stands in shebangs and shell scripts, where anything else would need quoting or not work at all.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        let venv = &self.venv.path.text;
        if !venv.bytes().all(is_plain) || venv.len() > 100 {
            return Err(format!(
                "the virtual environment's path `{venv}` has characters that scripts cannot hold, or is too long"
            ));
        }
        let version = self.venv.python_version().split_once('.');
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !version.is_some_and(|(major, minor)| is_number(major) && is_number(minor)) {
            return Err(format!(
                "the interpreter `{}` is not called like `python3.11`",
                self.venv.python.text
            ));
        }
        Ok(())
    }
}

/// True for one component of a path on this machine that leads down; it may be hidden, as `.s2i` is.
fn is_word_of_a_path(text: &str) -> bool {
    is_word(text.strip_prefix('.').unwrap_or(text))
}

/// True for a text that is one safe component of paths and URLs.
fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed) && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recipe with nothing but what is needed.
    pub(crate) const SMALL: &str = r#"
format = 1
description = "small"
[debian]
suite = "zork"
components = ["main"]
keys = ["zork.asc"]
[packages]
essential = true
roots = ["python3"]
[[layer]]
name = "all"
packages = "rest"
[venv]
path = "/opt/app-root"
python = "/usr/bin/python3.11"
"#;

    fn refusal(more: &str) -> String {
        Definition::parse(&format!("{SMALL}{more}"), "zork")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_missing_has_the_convention_for_its_value() {
        let definition = Definition::parse(SMALL, "zork").unwrap();
        assert_eq!(definition.image.user, "1001");
        assert_eq!(definition.image.cmd, ["/usr/libexec/s2i/usage"]);
        assert_eq!(definition.image.ports, ["8080/tcp"]);
        assert_eq!(definition.venv.python_version(), "3.11");
    }

    #[test]
    fn errors_name_the_recipe_the_line_and_the_reason() {
        let rows = [
            (
                "[image]\nuser = 7\n",
                "the recipe `zork` is invalid at line 18: ",
            ),
            ("[image]\nusr = \"7\"\n", "unknown field `usr`"),
            ("x = \n", "line 17"),
            (
                "[[file]]\npath = \"etc/x\"\ntext = \"\"\n",
                "the path `etc/x` does not begin with `/`",
            ),
            (
                "[[file]]\npath = \"/etc/../x\"\ntext = \"\"\n",
                "points outside with `..`",
            ),
            ("[[file]]\npath = \"/etc/x/\"\ntext = \"\"\n", "ends in `/`"),
            ("[[file]]\npath = \"/\"\ndirectory = true\n", "is the root"),
            (
                "[[file]]\npath = \"/x\"\n",
                "`/x` needs exactly one of `text`",
            ),
            (
                "[[file]]\npath = \"/x\"\ntext = \"\"\nlink = \"y\"\n",
                "needs exactly one of",
            ),
            (
                "[[file]]\npath = \"/x\"\ntext = \"\"\nmode = \"rw\"\n",
                "the mode `rw` is not octal",
            ),
            (
                "[[file]]\npath = \"/x\"\nlink = \"y\"\nmode = \"0777\"\n",
                "a link, which has no `mode`",
            ),
            (
                "[[file]]\npath = \"/x\"\nlink = \"y\"\nappend = \"z\"\n",
                "has `append`",
            ),
            (
                "[[file]]\npath = \"/x\"\ntext = \"y\"\nstrip = \"z\"\n",
                "has `strip`",
            ),
            (
                "[[file]]\npath = \"/x\"\nconcat = \"/*/y\"\n",
                "has a `*` before its last part",
            ),
            ("[[file]]\ntext = \"\"\n", "either `path` or `paths`"),
            (
                "[[layer]]\nname = \"b\"\npackages = \"rest\"\n",
                "`essential` and then `rest`",
            ),
            (
                "[filesystem]\nmerged_usr = [\"a/b\"]\n",
                "`a/b` in `merged_usr`",
            ),
            ("[scripts]\ndirectory = \"../x\"\n", "`../x` in `[scripts]`"),
            ("[scripts]\ndirectory = \"/x\"\n", "`/x` in `[scripts]`"),
            ("[scripts]\ndirectory = \"\"\n", "`` in `[scripts]`"),
            ("[scripts]\n", "missing field `directory`"),
        ];
        for (more, expected) in rows {
            let text = refusal(more);
            assert!(text.contains(expected), "{more:?}: {text}");
        }
    }

    #[test]
    fn values_that_would_end_up_in_urls_or_scripts_are_checked() {
        let rows = [
            ("format = 1", "format = 2", "the format 2"),
            ("\"zork\"", "\"zo/rk\"", "`zo/rk` is no name of a suite"),
            (
                "zork.asc",
                "../zork.asc",
                "`../zork.asc` is no name of a key file",
            ),
            ("/opt/app-root", "/opt/a b", "`/opt/a b` has characters"),
            (
                "/usr/bin/python3.11",
                "/usr/bin/python3",
                "is not called like `python3.11`",
            ),
            ("[\"main\"]", "[]", "`components`"),
        ];
        for (from, to, expected) in rows {
            let text = Definition::parse(&SMALL.replacen(from, to, 1), "zork")
                .unwrap_err()
                .to_string();
            assert!(text.contains(expected), "{to}: {text}");
        }
    }
}
