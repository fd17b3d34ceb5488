//! `.registry`: where op pushes to.

use super::error::listed;
use super::nearest::nearest;
use super::text::Text;
use super::yaml_file::{Value, Yaml};
use super::{Destination, Destinations, Error, Setting};

const KEYS: [&str; 3] = ["local", "ci", "destinations"];

/// Reads the file; variables in its texts are not replaced yet.
///
/// # Errors
/// [`Error::Invalid`] with the line: no mapping, an unknown key, `ci` that is no list, an entry without `url`.
///
/// # Spec
/// `path-to-production.md` §1.3: what either generation of op reads, and an error where one of them reads nothing.
pub(super) fn read(file: &Text) -> Result<Destinations, Error> {
    let yaml = Yaml::parse(file)?;
    let anchors = yaml.anchors();
    let roots = yaml.roots(&anchors);
    let Some(root) = roots.first() else {
        return Ok(Destinations::default());
    };
    if let Some(second) = roots.get(1) {
        return Err(second.refuse("there is a second document"));
    }
    let mut found = Destinations::default();
    let mut older = None;
    for (key, value) in root.entries(".registry")? {
        match key {
            _ if !KEYS.contains(&key) => return Err(unknown(value, key)),
            _ if value.is_null() => {}
            "local" if value.is_list() => {
                return Err(value.refuse(
                    "`local` is one registry, `local: localhost:5001`, and this is a list; `ci` takes several",
                ));
            }
            "local" => found.local = Some(destination(value, "local")?),
            "ci" => found.ci = list(value, "ci")?,
            _ => older = Some(list(value, "destinations")?),
        }
    }
    if found.ci.is_empty() {
        found.ci = older.unwrap_or_default();
    }
    Ok(found)
}

fn unknown(value: Value<'_>, key: &str) -> Error {
    let meant = match nearest(key, &KEYS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the keys here are {}", listed(&KEYS)),
    };
    value.refuse(format!("there is no key `{key}`: {meant}"))
}

fn list(value: Value<'_>, name: &str) -> Result<Vec<Destination>, Error> {
    let items = value.items(name)?;
    items
        .into_iter()
        .map(|item| destination(item, name))
        .collect()
}

/// A text, or a mapping with `url` and perhaps `name`.
fn destination(value: Value<'_>, name: &str) -> Result<Destination, Error> {
    if value.is_text() {
        return Ok(Destination {
            name: None,
            written: Setting::new(value.text(name)?.to_owned(), value.origin()),
        });
    }
    let mut url = None;
    let mut called = None;
    for (key, value) in value.entries(name)? {
        match key {
            "url" => url = Some(value),
            "name" => called = Some(value.text("name")?.to_owned()),
            _ => return Err(value.refuse(format!("there is no key `{key}`: `url` and `name`"))),
        }
    }
    let url = url.ok_or_else(|| value.refuse(format!("an entry of `{name}` has no `url`")))?;
    Ok(Destination {
        name: called,
        written: Setting::new(url.text("url")?.to_owned(), url.origin()),
    })
}
