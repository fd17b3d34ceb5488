//! What pip's variables say, as far as installing without pip can do the same.

use std::collections::BTreeMap;

use crate::python::index::{Credentials, IndexSettings};
use crate::python::requirements::{FindLinks, FormatControl, IndexOptions, Requirements};

/// Variables of pip that change how it works and not what it installs.
const WITHOUT_EFFECT: [&str; 18] = [
    "PIP_CACHE_DIR",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PIP_NO_CACHE_DIR",
    "PIP_NO_COLOR",
    "PIP_NO_COMPILE",
    "PIP_NO_INPUT",
    "PIP_NO_WARN_SCRIPT_LOCATION",
    "PIP_PROGRESS_BAR",
    "PIP_PROXY",
    "PIP_QUIET",
    "PIP_RETRIES",
    "PIP_ROOT_USER_ACTION",
    "PIP_TIMEOUT",
    "PIP_VERBOSE",
    "PIP_CONFIG_FILE",
];

/// Where packages come from and which may be taken, by the variables of a build.
#[derive(Clone, Debug, Default)]
pub(in crate::build) struct PipSettings {
    index_url: Option<String>,
    extra_index_urls: Vec<String>,
    trusted_hosts: Vec<String>,
    find_links: Vec<String>,
    no_index: bool,
    pre: bool,
    prefer_binary: bool,
    formats: FormatControl,
    /// The first variable that only pip knows what to do with.
    pub(in crate::build) unknown: Option<String>,
}

/// A URL without a user name and password.
pub(in crate::build) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

fn is_true(value: &str) -> bool {
    matches!(
        value.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "on" | "y" | "t"
    )
}

impl PipSettings {
    /// Reads variables; of two with the same name the last counts.
    pub(in crate::build) fn read<'a>(
        variables: impl IntoIterator<Item = &'a (String, String)>,
    ) -> Self {
        let last: BTreeMap<&str, &str> = variables
            .into_iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut settings = Self::default();
        for (name, value) in last {
            let words = || value.split_whitespace().map(str::to_owned).collect();
            match name {
                _ if !name.starts_with("PIP_") || value.is_empty() => {}
                "PIP_INDEX_URL" => settings.index_url = Some(value.trim().to_owned()),
                "PIP_EXTRA_INDEX_URL" => settings.extra_index_urls = words(),
                "PIP_TRUSTED_HOST" => settings.trusted_hosts = words(),
                "PIP_NO_INDEX" => settings.no_index = is_true(value),
                "PIP_PRE" => settings.pre = is_true(value),
                "PIP_PREFER_BINARY" => settings.prefer_binary = is_true(value),
                "PIP_NO_BINARY" => settings.formats.add_no_binary(value),
                "PIP_ONLY_BINARY" => settings.formats.add_only_binary(value),
                // A directory would be one of the image's.
                "PIP_FIND_LINKS"
                    if value
                        .split_whitespace()
                        .all(|word| word.starts_with("http")) =>
                {
                    settings.find_links = words();
                }
                _ if WITHOUT_EFFECT.contains(&name) => {}
                _ => {
                    settings.unknown.get_or_insert_with(|| name.to_owned());
                }
            }
        }
        settings
    }

    /// These settings with what a requirements file says, which goes before; `root` is the source's directory.
    pub(in crate::build) fn index(
        &self,
        options: &IndexOptions,
        root: &std::path::Path,
        credentials: Credentials,
    ) -> IndexSettings {
        let default = self.index_url.clone();
        let default = default.unwrap_or_else(|| crate::python::index::DEFAULT_INDEX.to_owned());
        let mut indexes = options
            .indexes(&default, &self.extra_index_urls)
            .into_iter();
        let find_links = options.find_links.iter().map(|link| match link {
            FindLinks::Url(url) => url.clone(),
            FindLinks::Path(path) => root.join(path).to_string_lossy().into_owned(),
        });
        let trusted = self.trusted_hosts.iter().chain(&options.trusted_hosts);
        IndexSettings {
            index_url: indexes.next(),
            extra_index_urls: indexes.collect(),
            find_links: find_links.chain(self.find_links.iter().cloned()).collect(),
            no_index: self.no_index || options.no_index,
            trusted_hosts: trusted.cloned().collect(),
            credentials,
        }
    }

    /// What counts among the inputs of a step: everything but user names and passwords.
    pub(in crate::build) fn parts(&self) -> Vec<String> {
        let urls = self.index_url.iter().chain(&self.extra_index_urls);
        let shown = urls
            .chain(&self.find_links)
            .map(|url| without_credentials(url));
        let flags = format!(
            "{} {} {} {:?}",
            self.no_index, self.pre, self.prefer_binary, self.formats
        );
        shown.chain([flags]).collect()
    }

    /// Whether pre-releases may be taken.
    pub(in crate::build) fn pre(&self, requirements: &Requirements) -> bool {
        self.pre || requirements.options.pre
    }

    /// Whether an older wheel goes before a newer source distribution.
    pub(in crate::build) fn prefers_binary(&self, requirements: &Requirements) -> bool {
        self.prefer_binary || requirements.options.prefer_binary
    }

    /// Which kinds of files may be taken, by these variables and then by a requirements file.
    pub(in crate::build) fn formats(&self, requirements: &Requirements) -> FormatControl {
        let mut formats = self.formats.clone();
        let file = &requirements.options.formats;
        for name in file.no_binary() {
            formats.add_no_binary(name);
        }
        for name in file.only_binary() {
            formats.add_only_binary(name);
        }
        formats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(rows: &[(&str, &str)]) -> PipSettings {
        let rows: Vec<(String, String)> = rows
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        PipSettings::read(&rows)
    }

    #[test]
    fn variables_are_understood_or_left_to_pip() {
        let found = settings(&[
            ("PIP_INDEX_URL", "https://a.example/simple"),
            ("PIP_INDEX_URL", "https://b.example/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://c.example https://d.example"),
            ("PIP_NO_CACHE_DIR", "1"),
            ("PIP_USER", ""),
            ("PATH", "/bin"),
        ]);
        assert_eq!(found.unknown, None);
        let index = found.index(
            &IndexOptions::default(),
            std::path::Path::new("/src"),
            Credentials::default(),
        );
        assert_eq!(index.index_url.as_deref(), Some("https://b.example/simple"));
        assert_eq!(index.extra_index_urls.len(), 2);
        for name in ["PIP_USER", "PIP_TARGET", "PIP_CONSTRAINT", "PIP_ISOLATED"] {
            assert_eq!(settings(&[(name, "x")]).unknown.as_deref(), Some(name));
        }
        let directory = settings(&[("PIP_FIND_LINKS", "/opt/wheels")]);
        assert_eq!(directory.unknown.as_deref(), Some("PIP_FIND_LINKS"));
    }
}
