//! Tables of a TOML file whose keys and values know their lines.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::listed;
use super::nearest::nearest;
use super::text::Text;
use super::{Error, Setting};
use crate::event::printable;

/// A table.
#[derive(Debug)]
pub(super) struct Table<'a> {
    file: &'a Text,
    /// In the order of the file.
    entries: Vec<Entry<'a>>,
    /// Where it begins.
    pub(super) line: usize,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    file: &'a Text,
    pub(super) key: &'a str,
    /// How messages call it: `[applications.web] path`.
    name: String,
    pub(super) line: usize,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Table<'a> {
    /// The whole of a file that was parsed already.
    pub(super) fn root(file: &'a Text, table: &'a DeTable<'a>) -> Self {
        Self::of(file, "", table, 1)
    }

    fn of(file: &'a Text, name: &str, table: &'a DeTable<'a>, line: usize) -> Self {
        let mut found: Vec<_> = table.iter().collect();
        // The parser keeps keys sorted; here their order in the file counts.
        found.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let word: &'a str = AsRef::<std::borrow::Cow<'a, str>>::as_ref(key);
            Entry {
                file,
                key: word,
                name: match name.is_empty() {
                    true => format!("`{}`", printable(word)),
                    false => format!("`{}` of {name}", printable(word)),
                },
                line: file.line_of(key.span().start),
                value,
            }
        };
        Self {
            file,
            entries: found.into_iter().map(entry).collect(),
            line,
        }
    }

    /// Its entries in the order of the file.
    pub(super) fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// The entry of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Refuses keys that are not among these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Error> {
        let unknown = self
            .entries
            .iter()
            .find(|entry| !known.contains(&entry.key));
        let Some(entry) = unknown else {
            return Ok(());
        };
        let hint = match nearest(entry.key, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys here are {}", listed(known)),
        };
        let reason = format!("there is no key {}", entry.name);
        Err(self.file.refuse_with(entry.line, reason, [hint]))
    }

    /// The text of a key, if it is there.
    pub(super) fn text(&self, key: &str) -> Result<Option<Setting<String>>, Error> {
        self.get(key).map(Entry::text).transpose()
    }

    /// The texts of a key, if it is there.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Setting<Vec<String>>>, Error> {
        self.get(key).map(Entry::texts).transpose()
    }

    /// The table of a key, if it is there.
    pub(super) fn table(&self, key: &str) -> Result<Option<Table<'a>>, Error> {
        let name = format!("[{key}]");
        self.get(key).map(|entry| entry.table(name)).transpose()
    }
}

impl<'a> Entry<'a> {
    /// The error of this entry.
    pub(super) fn refuse(&self, reason: impl AsRef<str>) -> Error {
        let reason = format!("{}: {}", self.name, reason.as_ref());
        self.file.refuse(self.line, reason)
    }

    fn expected(&self, what: &str, hint: Option<String>) -> Error {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "`true` or `false`",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let reason = format!("{}: expected {what}, found {found}", self.name);
        self.file.refuse_with(self.line, reason, hint)
    }

    /// Its text, not empty.
    pub(super) fn text(&self) -> Result<Setting<String>, Error> {
        let setting = self.any_text()?;
        match setting.value.is_empty() {
            true => Err(self.refuse("it is empty")),
            false => Ok(setting),
        }
    }

    /// Its text, perhaps empty.
    pub(super) fn any_text(&self) -> Result<Setting<String>, Error> {
        match self.value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                Err(self.refuse("it has a NUL character in it"))
            }
            DeValue::String(text) => {
                Ok(Setting::new(text.to_string(), self.file.origin(self.line)))
            }
            _ => Err(self.expected("text", Some("write it in quotes".to_owned()))),
        }
    }

    /// Its texts, none of them empty.
    pub(super) fn texts(&self) -> Result<Setting<Vec<String>>, Error> {
        let DeValue::Array(items) = self.value.get_ref() else {
            let hint = match self.value.get_ref() {
                DeValue::String(_) => Some(format!("write `{} = [\"…\"]`", printable(self.key))),
                _ => None,
            };
            return Err(self.expected("a list of texts", hint));
        };
        let item = |item: &Spanned<DeValue<'a>>| {
            let line = self.file.line_of(item.span().start);
            match item.get_ref() {
                DeValue::String(text) if text.is_empty() || text.contains('\0') => Err(self
                    .file
                    .refuse(line, format!("{}: an entry is empty", self.name))),
                DeValue::String(text) => Ok(text.to_string()),
                _ => Err(self
                    .file
                    .refuse(line, format!("{}: an entry is not text", self.name))),
            }
        };
        let items: Result<Vec<String>, Error> = items.iter().map(item).collect();
        Ok(Setting::new(items?, self.file.origin(self.line)))
    }

    /// Its table.
    pub(super) fn table(&self, name: String) -> Result<Table<'a>, Error> {
        match self.value.get_ref() {
            DeValue::Table(table) => Ok(Table::of(self.file, &printable(&name), table, self.line)),
            _ => Err(self.expected("a table", None)),
        }
    }

    /// Its tables, of `[[name]]`.
    pub(super) fn tables(&self) -> Result<Vec<Table<'a>>, Error> {
        let name = format!("[[{}]]", printable(self.key));
        let expected = || {
            let hint = format!("begin each with a line `{name}`");
            self.expected("a list of tables", Some(hint))
        };
        let DeValue::Array(items) = self.value.get_ref() else {
            return Err(expected());
        };
        let table = |item: &'a Spanned<DeValue<'a>>| {
            let line = self.file.line_of(item.span().start);
            match item.get_ref() {
                DeValue::Table(table) => Ok(Table::of(self.file, &name, table, line)),
                _ => Err(expected()),
            }
        };
        items.iter().map(table).collect()
    }
}
