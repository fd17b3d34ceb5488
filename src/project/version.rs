//! Which tag an image gets.

use std::collections::BTreeMap;

use super::Origin;
use crate::digest::Digest;
use crate::source::git::Head;

/// The tag beside that of a release.
pub const LATEST: &str = "latest";
/// How many digits of a digest are a tag.
const CONTENT_DIGITS: usize = 12;
/// How many digits of a commit are a tag.
const COMMIT_DIGITS: usize = 7;
/// How many of them GitLab shows, and has in its variable.
const GITLAB_DIGITS: usize = 8;
/// The longest tag, in bytes.
///
/// # Spec
/// OCI distribution-spec, *Pulling manifests*.
const MOST_BYTES: usize = 128;
/// What is added to the tag of a commit when the tree has other changes.
const DIRTY: &str = "-dirty";

/// Where tags are taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagFrom {
    /// The image: the same content has the same tag.
    #[default]
    Content,
    /// The commit that is checked out.
    Git,
    /// What the CI says it builds; git where there is no CI.
    Ci,
}

/// A tag that somebody named, and that no registry takes. It is not cut: two releases could become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tag `{}…` of {origin} has {} characters, and registries take {MOST_BYTES}",
    tag.chars().take(32).collect::<String>(),
    tag.len()
)]
pub struct LongTag {
    /// The tag, with nothing but what registries take.
    pub tag: String,
    /// What said it.
    pub origin: Origin,
}

/// A choice that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// That of the content, which is known when the image is.
    Content,
    /// A commit.
    Commit {
        /// A tag that registries take.
        tag: String,
        /// What said it.
        origin: Origin,
    },
    /// A release, which is `latest` as well.
    Release {
        /// A tag that registries take.
        tag: String,
        /// What said it.
        origin: Origin,
    },
}

impl Tag {
    /// The tags of an image with this digest, the one that counts first.
    pub fn of(&self, digest: &Digest) -> Vec<String> {
        match self {
            Self::Content => vec![content(digest)],
            Self::Commit { tag, .. } => vec![tag.clone()],
            Self::Release { tag, .. } if tag == LATEST => vec![tag.clone()],
            Self::Release { tag, .. } => vec![tag.clone(), LATEST.to_owned()],
        }
    }
}

/// The tag of a content: the first 12 digits of its digest.
pub fn content(digest: &Digest) -> String {
    digest.hex().chars().take(CONTENT_DIGITS).collect()
}

impl TagFrom {
    /// True when the choice depends on what git says, so that it need not be asked otherwise.
    pub fn needs_git(self, variables: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Content => false,
            Self::Git => true,
            Self::Ci => of_ci(variables).is_none(),
        }
    }

    /// Chooses. `head` is what [`crate::source::git::head`] found, `None` where there is no commit; then, and in a CI that
    /// does not say what it builds, the content decides.
    ///
    /// # Errors
    /// [`LongTag`] for a release whose name is too long for a tag.
    ///
    /// # Spec
    /// `path-to-production.md` §1.2.2, §4.3: `refs/tags/v1.2.3` and a git tag on the commit are releases without their `v`; where
    /// a CI says that it builds no tag, git is not asked for one.
    pub fn choose(
        self,
        variables: &BTreeMap<String, String>,
        head: Option<&Head>,
    ) -> Result<Tag, LongTag> {
        let of_head = || head.map_or(Ok(Tag::Content), of_git);
        match self {
            Self::Content => Ok(Tag::Content),
            Self::Git => of_head(),
            Self::Ci => of_ci(variables).unwrap_or_else(of_head),
        }
    }
}

/// What GitHub's or GitLab's CI says.
///
/// # Spec
/// GitHub, *Variables reference*; GitLab, *Predefined CI/CD variables reference*.
fn of_ci(variables: &BTreeMap<String, String>) -> Option<Result<Tag, LongTag>> {
    let variable = |name: &'static str| {
        let value = variables.get(name).filter(|value| !value.is_empty());
        value.map(|value| (value.as_str(), Origin::Variable(name.to_owned())))
    };
    let release = |text: &str, origin: Origin| {
        let tag = whole(without_v(text), "", &origin)?;
        Ok(Tag::Release { tag, origin })
    };
    let commit = |text: &str, digits, origin| Tag::Commit {
        tag: sanitised(&text.chars().take(digits).collect::<String>(), MOST_BYTES),
        origin,
    };
    if let Some((reference, origin)) = variable("GITHUB_REF") {
        return Some(match reference.strip_prefix("refs/tags/") {
            Some(tag) if !tag.is_empty() => release(tag, origin),
            _ => match variable("GITHUB_SHA") {
                Some((sha, origin)) => Ok(commit(sha, COMMIT_DIGITS, origin)),
                None => Ok(Tag::Content),
            },
        });
    }
    if let Some((tag, origin)) = variable("CI_COMMIT_TAG") {
        return Some(release(tag, origin));
    }
    if let Some((short, origin)) = variable("CI_COMMIT_SHORT_SHA") {
        return Some(Ok(commit(short, MOST_BYTES, origin)));
    }
    variable("CI_COMMIT_SHA").map(|(sha, origin)| Ok(commit(sha, GITLAB_DIGITS, origin)))
}

fn of_git(head: &Head) -> Result<Tag, LongTag> {
    let origin = || Origin::Commit(head.commit.clone());
    let versions = head.tags.iter();
    let is_version = |tag: &&String| without_v(tag).starts_with(|c: char| c.is_ascii_digit());
    let tag = versions.clone().find(is_version).or(head.tags.first());
    Ok(match (tag, head.is_dirty) {
        (Some(tag), false) => Tag::Release {
            tag: whole(without_v(tag), "", &origin())?,
            origin: origin(),
        },
        // What was released is something else than what is there.
        (Some(tag), true) => Tag::Commit {
            tag: whole(without_v(tag), DIRTY, &origin())?,
            origin: origin(),
        },
        (None, is_dirty) => {
            let mut tag: String = head.commit.chars().take(COMMIT_DIGITS).collect();
            if is_dirty {
                tag.push_str(DIRTY);
            }
            Tag::Commit {
                tag,
                origin: origin(),
            }
        }
    })
}

/// A tag that registries take, with all that the name has and `end` behind it.
///
/// # Errors
/// [`LongTag`] when that is too long.
pub fn whole(name: &str, end: &str, origin: &Origin) -> Result<String, LongTag> {
    let tag = sanitised(name, usize::MAX) + end;
    match tag.len() <= MOST_BYTES {
        true => Ok(tag),
        false => Err(LongTag {
            tag,
            origin: origin.clone(),
        }),
    }
}

/// A version without the `v` before its number.
fn without_v(text: &str) -> &str {
    let rest = text.strip_prefix('v');
    rest.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or(text)
}

/// A tag that registries take: what they do not take becomes `-`.
///
/// # Spec
/// OCI distribution-spec, *Pulling manifests*: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn sanitised(text: &str, most_bytes: usize) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() => c,
        '_' | '.' | '-' => c,
        _ => '-',
    };
    let text: String = text.chars().map(plain).collect();
    let text = text.trim_start_matches(['.', '-']);
    let mut tag: String = text.chars().take(most_bytes).collect();
    if tag.is_empty() {
        tag.push('_');
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    fn digest() -> Digest {
        Digest::of(b"content")
    }

    fn head(tags: &[&str], is_dirty: bool) -> Head {
        Head {
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            is_dirty,
        }
    }

    #[test]
    fn a_ci_says_which_release_it_builds_and_otherwise_git_does() {
        let digest_of_content = digest();
        let content = &digest_of_content.hex()[..12];
        let none = head(&[], false);
        let v2 = head(&["v2.0.0"], false);
        for (pairs, head, expected) in [
            (
                &[("GITHUB_REF", "refs/tags/v1.2.3")][..],
                Some(&v2),
                &["1.2.3", "latest"][..],
            ),
            (
                &[("GITHUB_REF", "refs/tags/1.2.3")],
                None,
                &["1.2.3", "latest"],
            ),
            (
                &[("GITHUB_REF", "refs/tags/team/v1+b")],
                None,
                &["team-v1-b", "latest"],
            ),
            (
                &[("GITHUB_REF", "refs/tags/version")],
                None,
                &["version", "latest"],
            ),
            (&[("GITHUB_REF", "refs/tags/latest")], None, &["latest"]),
            // Not a tag: git is not asked for one.
            (&[("GITHUB_REF", "refs/heads/main")], Some(&v2), &[content]),
            (
                &[
                    ("GITHUB_REF", "refs/heads/main"),
                    ("GITHUB_SHA", "abcdef0123456789"),
                ],
                Some(&v2),
                &["abcdef0"],
            ),
            (
                &[
                    ("CI_COMMIT_TAG", "v3.1"),
                    ("CI_COMMIT_SHA", "abcdef0123456789"),
                ],
                Some(&v2),
                &["3.1", "latest"],
            ),
            (
                &[("CI_COMMIT_TAG", ""), ("CI_COMMIT_SHA", "abcdef0123456789")],
                Some(&v2),
                &["abcdef01"],
            ),
            // What GitLab calls short is the tag as it is.
            (
                &[
                    ("CI_COMMIT_SHA", "0123456789abcdef"),
                    ("CI_COMMIT_SHORT_SHA", "01234567"),
                ],
                Some(&v2),
                &["01234567"],
            ),
            (&[], Some(&v2), &["2.0.0", "latest"]),
            (&[("GITHUB_REF", "")], Some(&v2), &["2.0.0", "latest"]),
            (&[], Some(&none), &["0123456"]),
            (&[], None, &[content]),
        ] {
            let variables = variables(pairs);
            let chosen = TagFrom::Ci.choose(&variables, head).unwrap();
            assert_eq!(chosen.of(&digest()), expected, "{pairs:?} {head:?}");
            let with_other_head = TagFrom::Ci.choose(&variables, Some(&none)).unwrap();
            let needs_git = TagFrom::Ci.needs_git(&variables);
            assert!(needs_git || with_other_head == chosen, "{pairs:?}");
        }
    }

    #[test]
    fn a_commit_is_called_by_its_version_else_by_its_id_and_changes_are_marked() {
        for (tags, is_dirty, expected) in [
            (&[][..], false, &["0123456"][..]),
            (&[], true, &["0123456-dirty"]),
            (&["v1.0.0"], false, &["1.0.0", "latest"]),
            (&["v1.0.0"], true, &["1.0.0-dirty"]),
            (
                &["nightly", "v1.10.0", "v1.9.0"],
                false,
                &["1.10.0", "latest"],
            ),
            (&["nightly"], false, &["nightly", "latest"]),
        ] {
            let head = head(tags, is_dirty);
            let ci = variables(&[("GITHUB_REF", "refs/tags/v9")]);
            let chosen = TagFrom::Git.choose(&ci, Some(&head)).unwrap();
            assert_eq!(chosen.of(&digest()), expected, "{tags:?}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_not_cut() {
        let none = BTreeMap::new();
        for (length, is_dirty, fits) in [
            (128, false, true),
            (129, false, false),
            (122, true, true),
            (123, true, false),
        ] {
            let name = "9".repeat(length);
            let tag = TagFrom::Git.choose(&none, Some(&head(&[&format!("v{name}")], is_dirty)));
            assert_eq!(tag.is_ok(), fits, "{length} {is_dirty}: {tag:?}");
            let ci = variables(&[("GITHUB_REF", &format!("refs/tags/v{name}"))]);
            assert_eq!(TagFrom::Ci.choose(&ci, None).is_ok(), length <= 128);
        }
        let ci = variables(&[("CI_COMMIT_TAG", &"9".repeat(300))]);
        let error = TagFrom::Ci.choose(&ci, None).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("300 characters"), "{text}");
        assert!(text.contains("CI_COMMIT_TAG"), "{text}");
        assert!(text.len() < 140, "{text}");
    }

    #[test]
    fn content_asks_nobody() {
        let ci = variables(&[("GITHUB_REF", "refs/tags/v9")]);
        assert!(!TagFrom::Content.needs_git(&ci));
        let chosen = TagFrom::default()
            .choose(&ci, Some(&head(&["v1"], false)))
            .unwrap();
        assert_eq!(chosen, Tag::Content);
        assert_eq!(chosen.of(&digest()), [&digest().hex()[..12]]);
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_tag(text in "\\PC{0,200}", most in 10_usize..=128) {
            let tag = sanitised(&text, most);
            prop_assert!(tag.len() <= most);
            let reference: crate::reference::Reference = format!("localhost/x:{tag}").parse().unwrap();
            prop_assert_eq!(reference.tag(), Some(tag.as_str()));
        }
    }
}
