//! What the machines of a CI say of themselves, and where they want to be told something.

use std::path::PathBuf;

use super::variable;

/// Where this runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Ci {
    /// On GitHub Actions, or on what behaves like them.
    pub(in crate::cli) is_github: bool,
    /// The file that outputs of this step are added to.
    pub(in crate::cli) github_output: Option<PathBuf>,
    /// The file that the summary of this step is added to.
    pub(in crate::cli) github_summary: Option<PathBuf>,
}

/// Asks the environment. The files count only where GitHub says that it is there: somebody's shell may have them from
/// elsewhere.
pub(in crate::cli) fn ci() -> Ci {
    of(variable)
}

fn of(variable: impl Fn(&str) -> Option<String>) -> Ci {
    if variable("GITHUB_ACTIONS").as_deref() != Some("true") {
        return Ci::default();
    }
    let file = |name| variable(name).map(PathBuf::from);
    Ci {
        is_github: true,
        github_output: file("GITHUB_OUTPUT"),
        github_summary: file("GITHUB_STEP_SUMMARY"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_count_where_github_says_that_it_is_there() {
        let with = |actions: &'static str| {
            move |name: &str| match name {
                "GITHUB_ACTIONS" => Some(actions.to_owned()),
                "GITHUB_OUTPUT" => Some("/o".to_owned()),
                _ => None,
            }
        };
        let there = of(with("true"));
        assert!(there.is_github);
        assert_eq!(there.github_output, Some(PathBuf::from("/o")));
        assert_eq!(there.github_summary, None);
        assert_eq!(of(with("false")), Ci::default());
        assert_eq!(of(|_| None), Ci::default());
    }
}
