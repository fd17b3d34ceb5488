//! What the labels of an image tell of its build: all that `rebuild` has.

use std::collections::BTreeMap;

use super::order::{DESCRIPTION, DISPLAY_NAME};
use crate::builder_image::labels::BUILD_IMAGE;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;

const LOCATION: &str = "io.openshift.s2i.build.source-location";
const CONTEXT: &str = "io.openshift.s2i.build.source-context-dir";
const REFERENCE: &str = "io.openshift.s2i.build.commit.ref";
const COMMIT: &str = "io.openshift.s2i.build.commit.id";

/// A build as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) source: String,
    pub(super) builder: String,
    pub(super) context_dir: Option<String>,
    pub(super) reference: Option<String>,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
}

/// Reads the labels of the image called `image`.
///
/// The source's branch is taken where it was one: its newest commit is built. A source that was at no branch is built at
/// the commit that it was at.
///
/// # Errors
/// [`Code::NoSource`], [`Code::NotABuilder`]: a label that is needed and not there.
///
/// # Spec
/// `s2i-compat.md` §2.22.
pub(super) fn read(labels: &BTreeMap<String, String>, image: &str) -> Result<Recorded, Diagnostic> {
    let label = |name: &str| labels.get(name).filter(|value| !value.is_empty()).cloned();
    let needed = |name: &str| {
        label(name).ok_or_else(|| {
            Diagnostic::new(
                Code::Usage,
                format!("cannot build `{image}` again: it has no label `{name}`"),
            )
            .hint("only what `s2i` or `overcoat build` made tells where it is from; use `build` and name the source")
        })
    };
    if needed(BUILD_IMAGE)?
        .parse::<crate::digest::Digest>()
        .is_ok()
    {
        // That of a layout or an archive: the path was left out, for it is this machine's.
        let text =
            format!("cannot build `{image}` again: its builder image had no name, only a digest");
        return Err(Diagnostic::new(Code::Usage, text)
            .hint("name the builder image: `s2i build SOURCE BUILDER TAG`"));
    }
    let branch = label(REFERENCE).filter(|name| name != "HEAD");
    Ok(Recorded {
        builder: needed(BUILD_IMAGE)?,
        source: needed(LOCATION)?,
        context_dir: label(CONTEXT),
        reference: branch.or_else(|| label(COMMIT)),
        name: label(DISPLAY_NAME),
        description: label(DESCRIPTION),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[(&str, &str)]) -> Result<Recorded, Diagnostic> {
        let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        read(&labels.iter().map(owned).collect(), "app")
    }

    #[test]
    fn what_is_needed_is_named_when_it_is_missing() {
        let error = of(&[(LOCATION, "/src")]).unwrap_err().to_string();
        assert!(
            error.contains("no label `io.openshift.s2i.build.image`"),
            "{error}"
        );
        let error = of(&[(BUILD_IMAGE, "b"), (LOCATION, "")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no label `io.openshift.s2i.build.source-location`"),
            "{error}"
        );
    }

    #[test]
    fn a_branch_is_built_at_its_tip_and_a_detached_head_at_its_commit() {
        let base = [(BUILD_IMAGE, "b"), (LOCATION, "/src"), (COMMIT, "c0ffee")];
        let reference = |name: &'static str| {
            of(&[&base[..], &[(REFERENCE, name)]].concat())
                .unwrap()
                .reference
        };
        assert_eq!(reference("main").as_deref(), Some("main"));
        assert_eq!(reference("HEAD").as_deref(), Some("c0ffee"));
        let copied = of(&base[..2]).unwrap();
        assert_eq!((copied.reference, copied.context_dir), (None, None));
        let more = [(CONTEXT, "sub"), (DISPLAY_NAME, "n"), (DESCRIPTION, "d")];
        let all = of(&[&base[..], &more].concat()).unwrap();
        assert_eq!(all.context_dir.as_deref(), Some("sub"));
        assert_eq!(all.name.as_deref(), Some("n"));
        assert_eq!(all.description.as_deref(), Some("d"));
    }
}
