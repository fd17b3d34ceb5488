//! What is known of where a source comes from, and the labels that say so.

use std::collections::BTreeMap;

/// The labels of OpenShift's `s2i` begin so.
const S2I: &str = "io.openshift.s2i.build.";
/// Those of OpenShift's builds.
const OPENSHIFT: &str = "io.openshift.build.";
const COMMIT_AUTHOR: &str = "commit.author";
const COMMIT_DATE: &str = "commit.date";
const COMMIT_ID: &str = "commit.id";
const COMMIT_REF: &str = "commit.ref";
const COMMIT_MESSAGE: &str = "commit.message";
const SOURCE_LOCATION: &str = "source-location";
const SOURCE_CONTEXT_DIR: &str = "source-context-dir";
/// The annotations of the image specification.
const OCI_SOURCE: &str = "org.opencontainers.image.source";
const OCI_REVISION: &str = "org.opencontainers.image.revision";
/// The most characters of a commit's subject that are kept.
const MAX_SUBJECT: usize = 80;

/// Where a source comes from. No credentials are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// What the person named: of a directory that is read where it is as typed, of a local repository that was cloned its
    /// absolute path (`file://` stays). `None` for standard input and for no source at all.
    pub location_shown: Option<String>,
    /// `--context-dir` as given; `None` when it is the top.
    pub context_dir: Option<String>,
    /// What git knows; `None` when nothing was cloned.
    pub git: Option<GitFacts>,
}

/// What git knows of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitFacts {
    /// Where it was cloned from, without credentials: an address that others can use, or `None` for one of this machine.
    pub origin: Option<String>,
    /// The full commit id.
    pub commit: String,
    /// The branch that is checked out; `HEAD` for tags and commits.
    pub reference: String,
    /// Who wrote it.
    pub author_name: String,
    /// Their e-mail address.
    pub author_email: String,
    /// Who committed it.
    pub committer_name: String,
    /// Their e-mail address.
    pub committer_email: String,
    /// When it was written, as `git log` shows it: `Wed Nov 5 14:31:07 2025 +0100`.
    pub date: String,
    /// When it was committed, in seconds since 1970.
    pub committed_at_seconds: i64,
    /// The message's first line; of more than 80 characters the first 78 and two dots.
    pub subject: String,
}

impl GitFacts {
    /// Cuts a message's first line as s2i does.
    pub(super) fn cut_subject(subject: &str) -> String {
        if subject.chars().count() <= MAX_SUBJECT {
            return subject.to_owned();
        }
        let start: String = subject.chars().take(MAX_SUBJECT - 2).collect();
        format!("{start}..")
    }
}

impl Provenance {
    /// The labels that say so: those of s2i, of OpenShift and of the image specification; none that would be empty.
    ///
    /// # Spec
    /// `s2i-compat.md` §2.12; image-spec, `annotations.md`, *Pre-Defined Annotation Keys*.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                for prefix in [S2I, OPENSHIFT] {
                    labels.insert(format!("{prefix}{key}"), value.to_owned());
                }
            }
        };
        add(
            SOURCE_LOCATION,
            self.location_shown.as_deref().unwrap_or_default(),
        );
        add(
            SOURCE_CONTEXT_DIR,
            self.context_dir.as_deref().unwrap_or_default(),
        );
        if let Some(git) = &self.git {
            add(
                COMMIT_AUTHOR,
                &format!("{} <{}>", git.author_name, git.author_email),
            );
            add(COMMIT_DATE, &git.date);
            add(COMMIT_ID, &git.commit);
            add(COMMIT_REF, &git.reference);
            add(COMMIT_MESSAGE, &git.subject);
            labels.insert(OCI_REVISION.to_owned(), git.commit.clone());
            if let Some(origin) = &git.origin {
                labels.insert(OCI_SOURCE.to_owned(), origin.clone());
            }
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_all_three_spellings_and_nothing_empty() {
        let provenance = Provenance {
            location_shown: Some("https://h/app.git".to_owned()),
            context_dir: None,
            git: Some(GitFacts {
                origin: Some("https://h/app.git".to_owned()),
                commit: "0123".to_owned(),
                reference: "main".to_owned(),
                author_name: "Ada L".to_owned(),
                author_email: "a@h".to_owned(),
                date: "Wed Nov 5 14:31:07 2025 +0100".to_owned(),
                subject: String::new(),
                ..GitFacts::default()
            }),
        };
        let labels = provenance.labels();
        let expected = [
            ("io.openshift.build.commit.author", "Ada L <a@h>"),
            (
                "io.openshift.build.commit.date",
                "Wed Nov 5 14:31:07 2025 +0100",
            ),
            ("io.openshift.build.commit.id", "0123"),
            ("io.openshift.build.commit.ref", "main"),
            ("io.openshift.build.source-location", "https://h/app.git"),
            ("io.openshift.s2i.build.commit.author", "Ada L <a@h>"),
            (
                "io.openshift.s2i.build.commit.date",
                "Wed Nov 5 14:31:07 2025 +0100",
            ),
            ("io.openshift.s2i.build.commit.id", "0123"),
            ("io.openshift.s2i.build.commit.ref", "main"),
            (
                "io.openshift.s2i.build.source-location",
                "https://h/app.git",
            ),
            ("org.opencontainers.image.revision", "0123"),
            ("org.opencontainers.image.source", "https://h/app.git"),
        ];
        let found: Vec<(&str, &str)> = labels
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, expected);
        assert!(Provenance::default().labels().is_empty());
    }

    #[test]
    fn long_subjects_end_in_two_dots() {
        let cut = |count| GitFacts::cut_subject(&"\u{e9}".repeat(count));
        assert_eq!(cut(80), "\u{e9}".repeat(80));
        assert_eq!(cut(81), format!("{}..", "\u{e9}".repeat(78)));
    }
}
