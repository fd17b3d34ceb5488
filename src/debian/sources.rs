//! The mirrors' addresses, where a host says that it has better ones, and how a step is told of them.

use std::collections::BTreeMap;

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

/// Addresses of Debian's own that a mirror of the archive stands in for, without a slash at their ends.
const ARCHIVE: [&str; 4] = [
    DEFAULT_MIRROR,
    "https://deb.debian.org/debian",
    "http://ftp.debian.org/debian",
    "https://ftp.debian.org/debian",
];
/// The same of the security archive.
const SECURITY: [&str; 4] = [
    DEFAULT_SECURITY_MIRROR,
    "https://deb.debian.org/debian-security",
    "http://security.debian.org/debian-security",
    "https://security.debian.org/debian-security",
];

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

    /// The text of a sources file (of either form) with these mirrors in the place of Debian's own addresses;
    /// `None` when that changes nothing. Every other address, option, key, suite and comment stays as it is.
    ///
    /// A word is replaced only when it is the whole base URI, a slash at its end aside: `…/debian-debug` is another
    /// archive.
    pub fn substitute(&self, text: &str) -> Option<String> {
        // A host that has none of its own has Debian's, and nothing to lend.
        let own = |mirror: &'_ str, official: &[&str]| !official.contains(&mirror);
        let (archive, security) = (own(&self.archive, &ARCHIVE), own(&self.security, &SECURITY));
        let lent = replace_words(text, |word| {
            let base = word.trim_end_matches('/');
            if archive && ARCHIVE.contains(&base) {
                Some(&self.archive)
            } else if security && SECURITY.contains(&base) {
                Some(&self.security)
            } else {
                None
            }
        });
        (lent != text).then_some(lent)
    }

    /// Undoes [`Self::substitute`] in what a step has made of its result. `text` is what is there now, `original` what
    /// was substituted in. Lines that the step did not touch become the original's, byte for byte; in others the
    /// mirrors' addresses become Debian's own.
    pub fn restore(&self, text: &str, original: &str) -> String {
        let lent = self
            .substitute(original)
            .unwrap_or_else(|| original.to_owned());
        let before: BTreeMap<&str, &str> = lent
            .split_inclusive('\n')
            .zip(original.split_inclusive('\n'))
            .collect();
        let official = |word: &str| {
            let base = word.trim_end_matches('/');
            if base == self.archive {
                Some(DEFAULT_MIRROR)
            } else if base == self.security {
                Some(DEFAULT_SECURITY_MIRROR)
            } else {
                None
            }
        };
        text.split_inclusive('\n')
            .map(|line| match before.get(line) {
                Some(original) => (*original).to_owned(),
                None => replace_words(line, official),
            })
            .collect()
    }
}

/// The text with some of its words replaced; white space and comment lines stay.
fn replace_words<'r>(text: &str, replace: impl Fn(&str) -> Option<&'r str>) -> String {
    let mut result = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('#') {
            result.push_str(line);
            continue;
        }
        for piece in line.split_inclusive(char::is_whitespace) {
            let word = piece.trim_end();
            // `URIs:http://…`, without a space, is allowed too.
            let (label, word) = match word.split_once(":http") {
                Some((label, _)) => word.split_at(label.len() + 1),
                None => ("", word),
            };
            result.push_str(label);
            result.push_str(replace(word).unwrap_or(word));
            result.push_str(&piece[label.len() + word.len()..]);
        }
    }
    result
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

    fn mirrors() -> Mirrors {
        Mirrors {
            archive: "https://mirror.example/debian".to_owned(),
            security: "http://user:word@security.example/s".to_owned(),
        }
    }

    #[test]
    fn only_debian_s_own_addresses_are_substituted_and_all_else_stays() {
        let text = "# deb http://deb.debian.org/debian bookworm main\n\
            deb [signed-by=/k.gpg]\thttp://deb.debian.org/debian/  bookworm main # http://deb.debian.org/debian-debug\n\
            deb https://security.debian.org/debian-security bookworm-security main\n\
            deb http://archive.debian.org/debian buster main\n\
            deb https://packages.example/debian x main\n\
            Types: deb\nURIs: http://deb.debian.org/debian http://deb.debian.org/debian-ports\n \
            http://deb.debian.org/debian-security\nuris:http://deb.debian.org/debian";
        let expected = text
            .replace(
                "\thttp://deb.debian.org/debian/ ",
                "\thttps://mirror.example/debian ",
            )
            .replace(
                "https://security.debian.org/debian-security",
                "http://user:word@security.example/s",
            )
            .replace(
                "URIs: http://deb.debian.org/debian ",
                "URIs: https://mirror.example/debian ",
            )
            .replace(
                "\n http://deb.debian.org/debian-security",
                "\n http://user:word@security.example/s",
            )
            .replace(
                "uris:http://deb.debian.org/debian",
                "uris:https://mirror.example/debian",
            );
        assert_eq!(mirrors().substitute(text), Some(expected.clone()));
        assert_eq!(mirrors().restore(&expected, text), text);
        assert_eq!(Mirrors::default().substitute(DEB822), None);
        let plain = format!("deb {DEFAULT_MIRROR} sid main\n");
        assert_eq!(
            Mirrors::default().substitute(&plain),
            None,
            "nothing is configured"
        );
        let safe = plain.replace("http:", "https:");
        assert_eq!(
            Mirrors::default().substitute(&safe),
            None,
            "https stays https"
        );
    }

    #[test]
    fn what_a_step_made_of_a_sources_file_names_debian_s_own_addresses_again() {
        let original = "deb http://deb.debian.org/debian/ sid main\ndeb http://deb.debian.org/debian-security s main\n";
        let lent = mirrors().substitute(original).unwrap();
        let edited = lent.replace("s main", "s main contrib") + "deb https://other.example/x ./\n";
        assert_eq!(
            mirrors().restore(&edited, original),
            "deb http://deb.debian.org/debian/ sid main\ndeb http://deb.debian.org/debian-security s main contrib\n\
             deb https://other.example/x ./\n"
        );
        assert_eq!(mirrors().restore("", original), "");
    }

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
