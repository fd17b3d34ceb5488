//! What can be wrong with requirements.

use super::Origin;

/// Why requirements cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line is wrong; pip would refuse it, too.
    #[error("{origin}: `{text}`: {reason}")]
    Line {
        /// Where it is.
        origin: Origin,
        /// The line as it is in the file, variables unexpanded, passwords masked, cut to 300 characters.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not there.
    #[error("`{file}` is not there{}", included(from.as_ref()))]
    Absent {
        /// Its path within the source tree.
        file: String,
        /// The line that names it.
        from: Option<Origin>,
    },
    /// A file to include lies outside of the source tree.
    #[error("{origin}: `{path}` lies outside of the source tree")]
    Outside {
        /// The line that names it.
        origin: Origin,
        /// The path as the line has it.
        path: String,
    },
    /// Files include each other.
    #[error("{origin}: the file includes itself: {}", chain.join(" → "))]
    Cycle {
        /// The line that closes the circle.
        origin: Origin,
        /// The files, from the first to the one that comes again.
        chain: Vec<String>,
    },
    /// More than anybody needs.
    #[error("`{file}`: {reason}")]
    TooLarge {
        /// The file at which it became too much.
        file: String,
        /// What is too much, with the limit.
        reason: String,
    },
    /// A file is no text.
    #[error("`{file}` cannot be read as text: {reason}")]
    Encoding {
        /// The file.
        file: String,
        /// Why not.
        reason: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
}

fn included(from: Option<&Origin>) -> String {
    from.map(|origin| format!(", and {origin} includes it"))
        .unwrap_or_default()
}

impl Error {
    /// What a person can do about it, best first; may be empty.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Line { origin, .. } => {
                format!("correct the line; `pip install --dry-run -r {}` says what pip thinks of it", origin.file)
            }
            Self::Absent { from: None, .. } => "check the file's name".to_owned(),
            Self::Absent { .. } => {
                "the path is relative to the file that includes it; add the file, or correct the path".to_owned()
            }
            Self::Outside { .. } => {
                "only the source tree becomes part of the image: move the file into it".to_owned()
            }
            Self::Cycle { .. } => "remove one of the `-r` or `-c` lines".to_owned(),
            Self::TooLarge { .. } => "split the application, or check whether the file is what it should be".to_owned(),
            Self::Encoding { .. } => "save it as UTF-8".to_owned(),
            Self::File(_) => return Vec::new(),
        };
        vec![hint]
    }
}

/// A text for people: passwords in URLs masked, one line, at most 300 characters.
pub(crate) fn shown(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        masked.push_str(before);
        let authority = after
            .find(|c: char| c == '/' || c == '?' || c == '#' || c.is_whitespace())
            .unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(at) => {
                masked.push_str("****");
                &after[at..]
            }
            None => after,
        };
    }
    masked.push_str(rest);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    masked.chars().take(300).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let text = "-i https://me:s3cret@index.example/simple --extra-index-url http://token@x y://a@b@c/p@q\n";
        let expected =
            "-i https://****@index.example/simple --extra-index-url http://****@x y://****@c/p@q ";
        assert_eq!(shown(text), expected);
        assert_eq!(shown(&"x".repeat(1000)).len(), 300);
    }
}
