//! Generated files as a recipe describes them: the `[[file]]` tables of `recipe.toml`.

use serde::Deserialize;

use super::definition::{ImagePath, Pattern};

/// A generated file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "WrittenFile")]
pub(super) struct File {
    pub(super) paths: Vec<ImagePath>,
    pub(super) content: Content,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
}

/// What a generated file consists of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// This text.
    Text(String),
    /// What another file has, and this text.
    Copy {
        /// The other file.
        from: ImagePath,
        /// What follows.
        append: String,
    },
    /// What several files have, sorted by name.
    Concat(Pattern),
    /// The names of several files, sorted, a line each.
    List {
        /// Which files.
        pattern: Pattern,
        /// What is cut off the beginning of each.
        strip: String,
    },
    /// A symbolic link.
    Link(String),
    /// An empty directory, or an existing one with other owner and mode.
    Directory,
    /// The dynamic linker's index.
    LdCache,
    /// Where apt finds the suites of the recipe, at Debian's own address.
    AptSources,
}

/// A `[[file]]` before it is known to make sense.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    path: Option<ImagePath>,
    paths: Option<Vec<ImagePath>>,
    mode: Option<String>,
    #[serde(default)]
    owner: (u32, u32),
    text: Option<String>,
    copy: Option<ImagePath>,
    concat: Option<Pattern>,
    list: Option<Pattern>,
    strip: Option<String>,
    link: Option<String>,
    directory: Option<bool>,
    generate: Option<Generator>,
    append: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Generator {
    LdCache,
    AptSources,
}

impl TryFrom<WrittenFile> for File {
    type Error = String;

    fn try_from(mut file: WrittenFile) -> Result<Self, String> {
        let paths = match (file.path.take(), file.paths.take()) {
            (Some(path), None) => vec![path],
            (None, Some(paths)) if !paths.is_empty() => paths,
            _ => return Err("a file has either `path` or `paths`".to_owned()),
        };
        let (owner, mode) = (file.owner, file.mode.take());
        let content = file.content(&paths[0].text)?;
        let usual = match content {
            Content::Directory => 0o755,
            Content::Link(_) => 0o777,
            _ => 0o644,
        };
        let mode = match mode {
            Some(_) if matches!(content, Content::Link(_)) => {
                return Err(format!(
                    "`{}` is a link, which has no `mode`",
                    paths[0].text
                ));
            }
            Some(text) => parse_mode(&text)
                .ok_or_else(|| format!("the mode `{text}` is not octal, as in `0644`"))?,
            None => usual,
        };
        Ok(Self {
            paths,
            content,
            mode,
            owner,
        })
    }
}

impl WrittenFile {
    fn content(self, path: &str) -> Result<Content, String> {
        let append = self.append.is_some();
        let text = self.append.unwrap_or_default();
        let contents = [
            self.text.map(|own| Content::Text(own + &text)),
            self.copy.map(|from| Content::Copy { from, append: text }),
            self.concat.map(Content::Concat),
            self.list.map(|pattern| Content::List {
                pattern,
                strip: self.strip.clone().unwrap_or_default(),
            }),
            self.link.map(Content::Link),
            self.directory.filter(|is| *is).map(|_| Content::Directory),
            self.generate.map(|generator| match generator {
                Generator::LdCache => Content::LdCache,
                Generator::AptSources => Content::AptSources,
            }),
        ];
        let mut given = contents.into_iter().flatten();
        let (Some(content), None) = (given.next(), given.next()) else {
            return Err(format!(
                "`{path}` needs exactly one of `text`, `copy`, `concat`, `list`, `link`, `directory = true` and `generate`"
            ));
        };
        if append && !matches!(content, Content::Text(_) | Content::Copy { .. }) {
            return Err(format!(
                "`{path}` has `append`, which goes with `text` and `copy` only"
            ));
        }
        if self.strip.is_some() && !matches!(content, Content::List { .. }) {
            return Err(format!("`{path}` has `strip`, which goes with `list` only"));
        }
        match &content {
            Content::Link(target) if target.is_empty() || target.contains('\0') => {
                Err(format!("`{path}` is a link without a usable target"))
            }
            _ => Ok(content),
        }
    }
}

fn parse_mode(text: &str) -> Option<u32> {
    let mode = u32::from_str_radix(text, 8).ok()?;
    (mode <= 0o7777 && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(mode)
}
