//! The S2I scripts and where they come from.

use std::fmt;

use serde::Serialize;

/// A script of the S2I contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Script {
    /// Builds the application. Required.
    Assemble,
    /// Starts the application. Required.
    Run,
    /// Streams what a later build can use again.
    SaveArtifacts,
    /// Says how to use the builder.
    Usage,
    /// Finishes the application in the runtime image, when that is not the builder.
    AssembleRuntime,
}

impl Script {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Assemble,
        Self::Run,
        Self::SaveArtifacts,
        Self::Usage,
        Self::AssembleRuntime,
    ];

    /// The script's file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Assemble => "assemble",
            Self::Run => "run",
            Self::SaveArtifacts => "save-artifacts",
            Self::Usage => "usage",
            Self::AssembleRuntime => "assemble-runtime",
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the scripts of a builder image are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptsDirectory {
    /// In the image or elsewhere.
    pub place: ScriptsPlace,
    /// The label or variable that says so.
    pub declared_by: &'static str,
}

/// What a scripts URL stands for.
///
/// # Spec
/// `s2i-compat.md` §2.8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptsPlace {
    /// `image://`: an absolute path in the image, without a trailing slash.
    Image(String),
    /// Any other URL, as it is written. A script's own URL is this, a slash, and the script's name.
    Elsewhere(String),
}

impl ScriptsPlace {
    /// Reads a scripts URL. The path of an `image://` URL is relative to the working directory when it does not begin with
    /// a slash.
    pub fn from_url(url: &str, working_directory: &str) -> Self {
        let Some(path) = url.strip_prefix("image://") else {
            return Self::Elsewhere(url.to_owned());
        };
        let path = path.trim_end_matches('/');
        Self::Image(match path.starts_with('/') || path.is_empty() {
            true => path.to_owned(),
            false => format!("{}/{path}", working_directory.trim_end_matches('/')),
        })
    }

    /// The path of a script, if that is in the image.
    pub fn path_in_image(&self, script: Script) -> Option<String> {
        match self {
            Self::Image(path) => Some(format!("{path}/{script}")),
            Self::Elsewhere(_) => None,
        }
    }

    /// The URL of a script.
    pub fn url(&self, script: Script) -> String {
        match self {
            Self::Image(path) => format!("image://{path}/{script}"),
            Self::Elsewhere(url) => format!("{url}/{script}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases 79, 84 and 85 (what the URL means).
    #[test]
    fn urls_are_paths_in_the_image_or_elsewhere() {
        let table = [
            (
                "image:///usr/libexec/s2i",
                "/opt",
                Some("/usr/libexec/s2i/assemble"),
            ),
            (
                "image:///usr/libexec/s2i/",
                "/opt",
                Some("/usr/libexec/s2i/assemble"),
            ),
            ("image://.s2i/bin", "/", Some("/.s2i/bin/assemble")),
            ("image://.s2i/bin", "/app", Some("/app/.s2i/bin/assemble")),
            ("image:///", "/app", Some("/assemble")),
            ("https://example.com/scripts", "/", None),
        ];
        for (url, working_directory, expected) in table {
            let place = ScriptsPlace::from_url(url, working_directory);
            let found = place.path_in_image(Script::Assemble);
            assert_eq!(found.as_deref(), expected, "{url}");
        }
        let place = ScriptsPlace::from_url("https://example.com/s", "/");
        assert_eq!(place.url(Script::Run), "https://example.com/s/run");
    }
}
