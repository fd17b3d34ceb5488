//! The names of images in archives and engines.
//!
//! Engines keep images by names that are written out in full, `docker.io/library/app:1`. What makes a full one of a short
//! one differs: to podman `app:1` is `localhost/app:1`, to the kubelet's lookup it is `docker.io/library/app:1`, and
//! containerd takes it as it stands. So what we write is always full.

use super::Error;
use crate::reference::{DEFAULT_TAG, Reference};

/// The annotation that containerd and Docker 25 read first.
///
/// # Spec
/// containerd, `images/annotations.go`, `AnnotationImageName`.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// `name` written out in full: host, repository, tag. A digest is left out: it is what the image itself says.
pub(super) fn full(name: &str) -> Option<String> {
    let reference: Reference = name.parse().ok()?;
    Some(in_full(&reference))
}

fn in_full(reference: &Reference) -> String {
    let tag = reference.tag().unwrap_or(DEFAULT_TAG);
    format!("{}/{}:{tag}", reference.host(), reference.repository())
}

/// All names in full, each once, in the order given. `place` is for the message.
///
/// # Errors
/// [`Error::Name`] for one that is no reference.
pub(super) fn all_full(names: &[String], place: &str) -> Result<Vec<String>, Error> {
    let mut found: Vec<String> = Vec::new();
    for name in names {
        let reference: Reference =
            name.parse()
                .map_err(|error: crate::reference::ParseError| Error::Name {
                    path: place.to_owned(),
                    name: error.text,
                    reason: error.reason,
                })?;
        let name = in_full(&reference);
        if !found.contains(&name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// What a person asked for when they wrote a name behind a file's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// The only one.
    Only,
    /// `@N`: the one at this place, counted from 0, as skopeo has it.
    At(usize),
    /// The one with this name.
    Named(&'a str),
}

impl<'a> Wanted<'a> {
    pub(super) fn parse(name: Option<&'a str>) -> Self {
        match name {
            None => Self::Only,
            Some(name) => match name.strip_prefix('@').and_then(|at| at.parse().ok()) {
                Some(at) => Self::At(at),
                None => Self::Named(name),
            },
        }
    }

    /// Which of `entries` is meant, each given with its names: first by the name as it stands, then by what it means.
    /// `is_same` tells entries of the same image from others, for one image may have several.
    ///
    /// `None` when it is none of them, or not clear which.
    pub(super) fn choose(
        self,
        entries: &[Vec<String>],
        is_same: impl Fn(usize, usize) -> bool,
    ) -> Option<usize> {
        let unique = |fits: &dyn Fn(&Vec<String>) -> bool| {
            let mut fitting = (0..entries.len()).filter(|at| fits(&entries[*at]));
            let first = fitting.next()?;
            fitting.all(|other| is_same(first, other)).then_some(first)
        };
        match self {
            Self::Only => unique(&|_| true),
            Self::At(at) => (at < entries.len()).then_some(at),
            Self::Named(wanted) => {
                if let Some(found) = unique(&|names| names.iter().any(|name| name == wanted)) {
                    return Some(found);
                }
                let meant = full(wanted)?;
                unique(&|names| names.iter().any(|name| full(name).as_ref() == Some(&meant)))
            }
        }
    }

    /// For the message that there is none.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Only => "that is the only one".to_owned(),
            Self::At(at) => format!("at the place `@{at}`"),
            Self::Named(name) => format!("`{name}`"),
        }
    }
}

/// What there is, for the message that there is not what was wanted: at most 20 entries.
pub(super) fn describe(entries: &[Vec<String>]) -> String {
    const SHOWN: usize = 20;
    if entries.is_empty() {
        return "none".to_owned();
    }
    if entries.iter().all(Vec::is_empty) {
        return format!("{} without a name", entries.len());
    }
    let shown = |names: &Vec<String>| match names.first() {
        None => "one without a name".to_owned(),
        Some(name) => format!("`{}`", crate::event::printable(name)),
    };
    let mut texts: Vec<String> = entries.iter().take(SHOWN).map(shown).collect();
    if entries.len() > SHOWN {
        texts.push(format!("{} more", entries.len() - SHOWN));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: &[&[&str]]) -> Vec<Vec<String>> {
        let entry = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        names.iter().map(entry).collect()
    }

    #[test]
    fn names_are_written_out_and_each_only_once() {
        let names = ["app", "app:latest", "localhost:5000/a/b:2"].map(str::to_owned);
        assert_eq!(
            all_full(&names, "x").unwrap(),
            ["docker.io/library/app:latest", "localhost:5000/a/b:2"]
        );
        let error = all_full(&["UPPER".to_owned()], "x.tar").unwrap_err();
        assert!(error.to_string().contains("`UPPER`"), "{error}");
    }

    #[test]
    fn an_entry_is_chosen_by_its_name_its_meaning_or_its_place() {
        let list = entries(&[
            &["1", "docker.io/library/app:1"],
            &["docker.io/library/app:2"],
            &[],
        ]);
        let choose = |text: Option<&str>| Wanted::parse(text).choose(&list, |a, b| a == b);
        for (text, at) in [
            (Some("1"), Some(0)),
            (Some("app:1"), Some(0)),
            (Some("docker.io/app:2"), Some(1)),
            (Some("@2"), Some(2)),
            (Some("@3"), None),
            (Some("app"), None),
            (Some("..."), None),
            (None, None),
        ] {
            assert_eq!(choose(text), at, "{text:?}");
        }
        assert_eq!(Wanted::Only.choose(&list, |_, _| true), Some(0));
        assert_eq!(Wanted::Only.choose(&[], |_, _| true), None);
    }

    #[test]
    fn what_there_is_is_said_and_not_too_much_of_it() {
        assert_eq!(describe(&[]), "none");
        assert_eq!(describe(&entries(&[&[], &[]])), "2 without a name");
        assert_eq!(
            describe(&entries(&[&["a\u{1b}[2J", "b"], &[]])),
            "`a\u{fffd}[2J`, one without a name"
        );
        let many = vec![vec!["n".to_owned()]; 25];
        assert!(describe(&many).ends_with("`n`, 5 more"));
    }
}
