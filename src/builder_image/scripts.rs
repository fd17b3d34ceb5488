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
}

impl Script {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Assemble, Self::Run, Self::SaveArtifacts, Self::Usage];

    /// The script's file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Assemble => "assemble",
            Self::Run => "run",
            Self::SaveArtifacts => "save-artifacts",
            Self::Usage => "usage",
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
    /// An absolute path in the image.
    pub path: String,
    /// The label or variable that says so.
    pub declared_by: &'static str,
}

impl ScriptsDirectory {
    /// Reads a scripts URL: `image://` and a path, which is relative to the working directory when it does not begin
    /// with a slash.
    ///
    /// # Errors
    /// The URL itself, when its scheme is another one.
    pub fn from_url(
        url: &str,
        working_directory: &str,
        declared_by: &'static str,
    ) -> Result<Self, String> {
        let path = url.strip_prefix("image://").ok_or_else(|| url.to_owned())?;
        let path = path.trim_end_matches('/');
        let path = match path.starts_with('/') || path.is_empty() {
            true => path.to_owned(),
            false => format!("{}/{path}", working_directory.trim_end_matches('/')),
        };
        Ok(Self { path, declared_by })
    }

    /// The path of a script in the image.
    pub fn script(&self, script: Script) -> String {
        format!("{}/{script}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_paths_in_the_image() {
        let table = [
            (
                "image:///usr/libexec/s2i",
                "/opt",
                "/usr/libexec/s2i/assemble",
            ),
            (
                "image:///usr/libexec/s2i/",
                "/opt",
                "/usr/libexec/s2i/assemble",
            ),
            ("image://.s2i/bin", "/", "/.s2i/bin/assemble"),
            ("image://.s2i/bin", "/app", "/app/.s2i/bin/assemble"),
            ("image:///", "/app", "/assemble"),
        ];
        for (url, working_directory, expected) in table {
            let directory = ScriptsDirectory::from_url(url, working_directory, "test").unwrap();
            assert_eq!(directory.script(Script::Assemble), expected, "{url}");
        }
        assert!(ScriptsDirectory::from_url("https://example.com/scripts", "/", "test").is_err());
    }
}
