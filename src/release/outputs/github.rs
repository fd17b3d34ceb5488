//! What GitHub Actions read: outputs of a step, its summary, annotations.

use std::path::Path;

use super::{Facts, metadata};
use crate::digest::Digest;
use crate::event::printable;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `::error`.
    Error,
    /// `::warning`.
    Warning,
    /// `::notice`.
    Notice,
}

/// A line that shows `message` on the run's page, beside `file` and its line (from 1) where those are known.
pub fn annotation(level: Level, place: Option<(&Path, Option<usize>)>, message: &str) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Notice => "notice",
    };
    let place = match place {
        None => String::new(),
        Some((file, line)) => {
            let file = property(&file.to_string_lossy());
            let line = line.map(|line| format!(",line={line}"));
            format!("file={file}{}", line.unwrap_or_default())
        }
    };
    format!("::{level} {place}::{}", data(message))
}

/// The text of a message: a line end would end the command.
fn data(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D");
    printable(&text.replace('\n', "%0A"))
}

/// The value of a property, which commas and colons end as well.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// What is added to `$GITHUB_OUTPUT` for one value. A text of several lines stands between delimiters that are made of
/// its digest, so that no text can hold its own.
pub fn output(name: &str, value: &str) -> String {
    match value.contains(['\n', '\r']) {
        false => format!("{name}={value}\n"),
        true => {
            let delimiter = format!("overcoat_{}", Digest::of(value.as_bytes()).hex());
            format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
        }
    }
}

/// The outputs of a step that made these images: `digest`, `tag`, `image`, `imageid` and `metadata` of the last, and
/// `images`, all of them with their digests, a line each. An index has no `imageid`, and no line for it.
pub(super) fn outputs(images: &[Facts]) -> String {
    let Some(last) = images.last() else {
        return String::new();
    };
    let all: Vec<String> = images.iter().flat_map(Facts::pinned_all).collect();
    let config = last.config_digest.as_ref().map(ToString::to_string);
    let outputs = [
        ("digest", Some(last.digest.to_string())),
        ("tag", Some(last.tag().to_owned())),
        ("image", Some(last.pinned())),
        ("imageid", config),
        ("images", Some(all.join("\n"))),
        ("metadata", Some(metadata::object(last).to_string())),
    ];
    let outputs = outputs.iter();
    outputs
        .filter_map(|(name, value)| Some(output(name, value.as_ref()?)))
        .collect()
}

/// A table of what was made.
pub(super) fn summary(images: &[Facts]) -> String {
    let rows = images.iter().flat_map(|image| {
        let platforms = image.platforms.iter().map(|it| it.platform.to_string());
        let platforms = platforms.collect::<Vec<_>>().join(", ");
        let references = image.references.iter();
        references.map(move |reference| {
            vec![
                image.name.clone(),
                code(&reference.to_string()),
                code(&image.digest.to_string()),
                platforms.clone(),
            ]
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    table(
        "Images",
        &["image", "reference", "digest", "platforms"],
        &rows,
    )
}

/// A heading and a table in Markdown.
pub fn table(title: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let heads_row = row(heads.iter().map(|head| (*head).to_owned()).collect());
    let rule = row(heads.iter().map(|_| "---".to_owned()).collect());
    let rows = rows.iter().map(|cells| {
        // It would begin another cell.
        let cells = cells.iter().map(|cell| cell.replace('|', "\\|"));
        row(cells.map(|cell| printable(&cell)).collect())
    });
    let rows: String = rows.collect();
    format!("### {title}\n\n{heads_row}{rule}{rows}\n")
}

/// A text as it stands.
pub fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'"))
}
