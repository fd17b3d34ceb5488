//! The mirrors' addresses, and where a host says that it has better ones.

/// Debian's own address for releases and updates.
pub const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
/// Debian's own address for security updates.
pub const DEFAULT_SECURITY_MIRROR: &str = "http://deb.debian.org/debian-security";

/// The names of suites that Debian itself has, without their `-updates` and the like.
const SUITES: [&str; 10] = [
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "bullseye",
    "stable",
    "oldstable",
    "testing",
    "unstable",
    "sid",
];

/// The base URLs of a Debian archive, without a slash at their ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrors {
    /// Where the releases and their updates are.
    pub archive: String,
    /// Where the security updates are.
    pub security: String,
}

impl Default for Mirrors {
    fn default() -> Self {
        Self {
            archive: DEFAULT_MIRROR.to_owned(),
            security: DEFAULT_SECURITY_MIRROR.to_owned(),
        }
    }
}

/// One URI of a sources file with the suites it is for.
struct Source {
    uri: String,
    suites: Vec<String>,
}

impl Mirrors {
    /// The mirrors that a Debian host is configured with, out of the text of its apt sources files (of either form,
    /// the more important files first). What is disabled, not Debian's own, or not HTTP is ignored; what is missing
    /// is Debian's default.
    ///
    /// # Spec
    /// sources.list(5).
    pub fn from_sources(texts: &[&str]) -> Self {
        let sources: Vec<Source> = texts.iter().flat_map(|text| parse(text)).collect();
        let first = |is_wanted: fn(&str) -> bool| {
            let serves = |source: &&Source| {
                is_http(&source.uri) && source.suites.iter().any(|suite| is_wanted(suite))
            };
            sources
                .iter()
                .find(serves)
                .map(|source| source.uri.trim_end_matches('/').to_owned())
        };
        let default = Self::default();
        Self {
            archive: first(is_archive_suite).unwrap_or(default.archive),
            security: first(is_security_suite).unwrap_or(default.security),
        }
    }
}

fn is_http(uri: &str) -> bool {
    let is_plain = |rest: &str| !rest.is_empty() && !rest.contains(['?', '#', '"', '\\']);
    uri.strip_prefix("http://")
        .or_else(|| uri.strip_prefix("https://"))
        .is_some_and(is_plain)
}

fn is_archive_suite(suite: &str) -> bool {
    let name = suite.trim_end_matches('/');
    SUITES.contains(&name.strip_suffix("-updates").unwrap_or(name))
}

fn is_security_suite(suite: &str) -> bool {
    let name = suite.trim_end_matches('/');
    // `bullseye/updates` was the form before Debian 11.
    name.strip_suffix("-security")
        .is_some_and(|name| SUITES.contains(&name))
}

fn parse(text: &str) -> Vec<Source> {
    let is_entry = |line: &str| {
        line.trim_start().starts_with("deb ") || line.trim_start().starts_with("deb\t")
    };
    if text.lines().any(is_entry) {
        return text
            .lines()
            .filter(|line| is_entry(line))
            .filter_map(parse_line)
            .collect();
    }
    let mut sources = Vec::new();
    let mut stanza = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(parse_stanza(&stanza));
            stanza.clear();
        } else {
            stanza.push(line);
        }
    }
    sources
}

/// `deb [OPTIONS] URI SUITE COMPONENT…`
fn parse_line(line: &str) -> Option<Source> {
    let line = line
        .split('#')
        .next()?
        .trim()
        .strip_prefix("deb")?
        .trim_start();
    let line = match line.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => line,
    };
    let mut words = line.split_whitespace();
    Some(Source {
        uri: words.next()?.to_owned(),
        suites: vec![words.next()?.to_owned()],
    })
}

/// A stanza of a `.sources` file: one source for each of its URIs.
fn parse_stanza(lines: &[&str]) -> Vec<Source> {
    let value = |wanted: &str| {
        let mut words = Vec::new();
        let mut is_inside = false;
        for line in lines {
            let rest = match line.split_once(':') {
                _ if line.starts_with([' ', '\t']) => line,
                Some((name, rest)) => {
                    is_inside = name.eq_ignore_ascii_case(wanted);
                    rest
                }
                None => continue,
            };
            if is_inside {
                words.extend(rest.split_whitespace().map(str::to_owned));
            }
        }
        words
    };
    let is_off = |word: &String| {
        ["no", "false", "off", "0", "without", "disable"].contains(&word.to_lowercase().as_str())
    };
    if value("Enabled").first().is_some_and(is_off)
        || !value("Types").iter().any(|kind| kind == "deb")
    {
        return Vec::new();
    }
    let suites = value("Suites");
    let source = |uri| Source {
        uri,
        suites: suites.clone(),
    };
    value("URIs").into_iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
# Debian's own
Types: deb deb-src
URIs: https://mirror.example/debian/
Suites: bookworm
 bookworm-updates
Components: main
# a comment between
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
uris: http://security.example/debian-security
Suites: bookworm-security
Components: main
";

    #[test]
    fn the_host_s_mirrors_are_found_in_either_form() {
        let defaults = (DEFAULT_MIRROR, DEFAULT_SECURITY_MIRROR);
        let own = (
            "https://mirror.example/debian",
            "http://security.example/debian-security",
        );
        let line = "# deb http://no.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/x.gpg] https://mirror.example/debian/ trixie main # here\n\
                    deb-src http://src.example/debian trixie main\n\
                    deb\thttp://security.example/debian-security trixie-security main\n";
        let other = "deb https://packages.example/apt cloud-sdk-bookworm main\n";
        let disabled = DEB822.replace("Types: deb deb-src", "Enabled: no\nTypes: deb deb-src");
        let rows: &[(&str, &[&str], (&str, &str))] = &[
            ("none", &[], defaults),
            ("deb822", &[DEB822], own),
            ("one-line", &[line], own),
            ("another's repository first", &[other, DEB822], own),
            ("only another's repository", &[other], defaults),
            ("disabled", &[&disabled], (DEFAULT_MIRROR, own.1)),
            (
                "the first of two",
                &[DEB822, "deb http://late.example/debian bookworm main"],
                own,
            ),
            (
                "only updates",
                &["deb http://u.example/debian stable-updates main"],
                ("http://u.example/debian", defaults.1),
            ),
            (
                "a flat repository",
                &["deb http://flat.example ./"],
                defaults,
            ),
            (
                "a list of mirrors",
                &["deb mirror+file:/etc/apt/mirrors/debian.list bookworm main"],
                defaults,
            ),
            ("a disc", &["deb cdrom:[Debian]/ bookworm main"], defaults),
            (
                "a file",
                &[
                    "Types: deb\nURIs: file:///srv/debian http://second.example/debian\nSuites: sid\n",
                ],
                ("http://second.example/debian", defaults.1),
            ),
            (
                "sources only",
                &["Types: deb-src\nURIs: http://src.example/debian\nSuites: sid\n"],
                defaults,
            ),
            (
                "Ubuntu",
                &["deb http://archive.ubuntu.example/ubuntu noble main"],
                defaults,
            ),
            (
                "garbage",
                &["\u{0}deb \n: :\n\n deb", "deb [never closed"],
                defaults,
            ),
        ];
        for (what, texts, (archive, security)) in rows {
            let found = Mirrors::from_sources(texts);
            assert_eq!(
                (found.archive.as_str(), found.security.as_str()),
                (*archive, *security),
                "{what}"
            );
        }
    }
}
