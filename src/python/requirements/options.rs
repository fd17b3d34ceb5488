//! The options that a line may have, parsed as pip's `optparse` parses them.

use super::FormatControl;
use super::words;
use crate::python::file_hash::FileHash;

/// The options of one line.
#[derive(Debug, Default)]
pub(super) struct LineOptions {
    pub(super) index_url: Option<String>,
    pub(super) extra_index_urls: Vec<String>,
    pub(super) find_links: Vec<String>,
    pub(super) requirements: Vec<String>,
    pub(super) constraints: Vec<String>,
    pub(super) editables: Vec<String>,
    pub(super) trusted_hosts: Vec<String>,
    pub(super) features: Vec<String>,
    pub(super) hashes: Vec<FileHash>,
    /// `--global-option` and `--config-settings`: how to build.
    pub(super) build_options: Vec<String>,
    pub(super) no_index: bool,
    pub(super) prefer_binary: bool,
    pub(super) require_hashes: bool,
    pub(super) pre: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    IndexUrl,
    ExtraIndexUrl,
    NoIndex,
    Constraint,
    Requirement,
    Editable,
    FindLinks,
    NoBinary,
    OnlyBinary,
    PreferBinary,
    RequireHashes,
    Pre,
    TrustedHost,
    UseFeature,
    GlobalOption,
    Hash,
    ConfigSettings,
}

use Name::{
    ConfigSettings, Constraint, Editable, ExtraIndexUrl, FindLinks, GlobalOption, Hash, IndexUrl,
    NoBinary, NoIndex, OnlyBinary, Pre, PreferBinary, RequireHashes, Requirement, TrustedHost,
    UseFeature,
};

/// Every option with its long name, as in pip's `SUPPORTED_OPTIONS` and `SUPPORTED_OPTIONS_REQ`.
const LONG: [(&str, Name); 18] = [
    ("--index-url", IndexUrl),
    ("--pypi-url", IndexUrl),
    ("--extra-index-url", ExtraIndexUrl),
    ("--no-index", NoIndex),
    ("--constraint", Constraint),
    ("--requirement", Requirement),
    ("--editable", Editable),
    ("--find-links", FindLinks),
    ("--no-binary", NoBinary),
    ("--only-binary", OnlyBinary),
    ("--prefer-binary", PreferBinary),
    ("--require-hashes", RequireHashes),
    ("--pre", Pre),
    ("--trusted-host", TrustedHost),
    ("--use-feature", UseFeature),
    ("--global-option", GlobalOption),
    ("--hash", Hash),
    ("--config-settings", ConfigSettings),
];

const SHORT: [(char, Name); 6] = [
    ('i', IndexUrl),
    ('c', Constraint),
    ('r', Requirement),
    ('e', Editable),
    ('f', FindLinks),
    ('C', ConfigSettings),
];

impl Name {
    fn takes_value(self) -> bool {
        !matches!(self, NoIndex | PreferBinary | RequireHashes | Pre)
    }
}

/// The line's requirement, and its options, which begin at the first word with a hyphen. Divided at blanks only, as in
/// pip's `break_args_options`.
pub(super) fn divide(line: &str) -> (&str, &str) {
    let mut start = 0;
    for word in line.split(' ') {
        if word.starts_with('-') {
            return (
                line[..start].strip_suffix(' ').unwrap_or_default(),
                &line[start..],
            );
        }
        start += word.len() + 1;
    }
    (line, "")
}

/// Parses options. `formats` is what all lines of all files decide together.
///
/// # Errors
/// What pip would refuse: an option that there is none, one without its value, a hash that is none.
pub(super) fn parse(text: &str, formats: &mut FormatControl) -> Result<LineOptions, String> {
    let words =
        words::split(text).map_err(|reason| format!("the options cannot be read: {reason}"))?;
    let mut options = LineOptions::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        } else if word.starts_with("--") {
            let (given, value) = match word.split_once('=') {
                Some((given, value)) => (given, Some(value.to_owned())),
                None => (&word[..], None),
            };
            let (long, name) = find(given)?;
            let value = match (name.takes_value(), value) {
                (false, Some(_)) => return Err(format!("the option `{long}` takes no value")),
                (false, None) => String::new(),
                (true, Some(value)) => value,
                (true, None) => words
                    .next()
                    .ok_or_else(|| format!("the option `{long}` needs a value"))?,
            };
            options.apply(long, name, value, formats)?;
        } else if let Some(short) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            // All short options take a value, so there are no clusters.
            let mut chars = short.chars();
            let letter = chars.next().unwrap_or_default();
            let (_, name) = SHORT
                .iter()
                .find(|(known, _)| *known == letter)
                .ok_or_else(|| format!("there is no option `-{letter}` in requirements files"))?;
            let value = match chars.as_str() {
                "" => words
                    .next()
                    .ok_or_else(|| format!("the option `-{letter}` needs a value"))?,
                value => value.to_owned(),
            };
            options.apply(&format!("-{letter}"), *name, value, formats)?;
        }
        // A word between options is ignored, as pip ignores it.
    }
    Ok(options)
}

/// An option by its long name or by the beginning of only one.
fn find(given: &str) -> Result<(&'static str, Name), String> {
    if let Some(exact) = LONG.iter().find(|(long, _)| *long == given) {
        return Ok(*exact);
    }
    let matching: Vec<_> = LONG
        .iter()
        .filter(|(long, _)| long.starts_with(given))
        .collect();
    match matching[..] {
        [only] => Ok(*only),
        [] => Err(format!(
            "there is no option `{given}` in requirements files"
        )),
        _ => {
            let names: Vec<&str> = matching.iter().map(|(long, _)| *long).collect();
            Err(format!("`{given}` may be any of {}", names.join(", ")))
        }
    }
}

impl LineOptions {
    fn apply(
        &mut self,
        given: &str,
        name: Name,
        value: String,
        formats: &mut FormatControl,
    ) -> Result<(), String> {
        match name {
            IndexUrl => self.index_url = Some(value),
            ExtraIndexUrl => self.extra_index_urls.push(value),
            NoIndex => self.no_index = true,
            Constraint => self.constraints.push(value),
            Requirement => self.requirements.push(value),
            Editable => self.editables.push(value),
            FindLinks => self.find_links.push(value),
            NoBinary | OnlyBinary if value.starts_with('-') => {
                return Err(format!("the option `{given}` needs a value"));
            }
            NoBinary => formats.add_no_binary(&value),
            OnlyBinary => formats.add_only_binary(&value),
            PreferBinary => self.prefer_binary = true,
            RequireHashes => self.require_hashes = true,
            Pre => self.pre = true,
            TrustedHost => self.trusted_hosts.push(value),
            UseFeature => self.features.push(value),
            GlobalOption => self.build_options.push(format!("--global-option={value}")),
            Hash => self.hashes.push(
                value
                    .parse::<FileHash>()
                    .map_err(|error| error.to_string())?,
            ),
            ConfigSettings if !value.contains('=') => {
                return Err(format!(
                    "the value of `{given}` is not of the form KEY=VALUE"
                ));
            }
            ConfigSettings => self
                .build_options
                .push(format!("--config-settings={value}")),
        }
        Ok(())
    }
}
