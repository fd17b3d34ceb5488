//! `buildCommand: overcoat build`: what Skaffold tells a custom builder by variables.
//!
//! # Spec
//! `path-to-production.md` §4.1.

use std::fmt;

use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::image::Platform;

/// What Skaffold wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `IMAGE`: the name, with its tag.
    pub(super) image: String,
    /// `PUSH_IMAGE`.
    pub(super) push: bool,
    /// `BUILD_CONTEXT`: the source.
    pub(super) context: String,
    /// `PLATFORMS`; none when it is empty or `all`.
    pub(super) platforms: Vec<Platform>,
    /// True when `PLATFORMS` is `all`: every platform is no list that could be built.
    pub(super) is_all_platforms: bool,
}

impl fmt::Display for Wanted {
    /// What was received, as it would be written in a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "IMAGE={} PUSH_IMAGE={} BUILD_CONTEXT={} PLATFORMS={}",
            self.image,
            self.push,
            self.context,
            match self.is_all_platforms {
                true => "all".to_owned(),
                false => {
                    let platforms = self.platforms.iter().map(ToString::to_string);
                    platforms.collect::<Vec<_>>().join(",")
                }
            }
        )
    }
}

impl Wanted {
    /// What the variables say; nothing unless `IMAGE`, `PUSH_IMAGE` and `BUILD_CONTEXT` are all there, which is so under
    /// Skaffold alone.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub(super) fn read(
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Diagnostic> {
        let all = (
            variable("IMAGE"),
            variable("PUSH_IMAGE"),
            variable("BUILD_CONTEXT"),
        );
        let (Some(image), Some(push), Some(context)) = all else {
            return Ok(None);
        };
        let refuse = |text: String| {
            Diagnostic::new(Code::Usage, text)
                .hint("these variables are read because Skaffold sets all of IMAGE, PUSH_IMAGE and BUILD_CONTEXT; a \
                       variable that the shell had before wins over Skaffold's: unset it, or name the image with `-t`")
        };
        let push = match push.as_str() {
            "true" => true,
            "false" => false,
            other => {
                return Err(refuse(format!(
                    "PUSH_IMAGE is `{other}`, neither `true` nor `false`"
                )));
            }
        };
        let listed = variable("PLATFORMS").unwrap_or_default();
        let is_all_platforms = listed.trim() == "all";
        let mut platforms = Vec::new();
        let parts = listed.split(',').map(str::trim);
        for part in parts.filter(|part| !part.is_empty() && *part != "all") {
            let platform = part
                .parse()
                .map_err(|error| refuse(format!("PLATFORMS has `{part}`: {error}")))?;
            platforms.push(platform);
        }
        Ok(Some(Self {
            image,
            push,
            context,
            platforms,
            is_all_platforms,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Wanted>, Diagnostic> {
        Wanted::read(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const ALL: [(&str, &str); 3] = [
        ("IMAGE", "reg.example/app:v1"),
        ("PUSH_IMAGE", "true"),
        ("BUILD_CONTEXT", "/src"),
    ];

    #[test]
    fn one_variable_missing_is_no_skaffold() {
        for missing in 0..3 {
            let mut some = ALL.to_vec();
            some.remove(missing);
            assert_eq!(read(&some).unwrap(), None);
        }
    }

    #[test]
    fn platforms_may_be_empty_or_all() {
        for (text, count, is_all) in [
            ("", 0, false),
            ("all", 0, true),
            ("linux/amd64,linux/arm64", 2, false),
        ] {
            let mut variables = ALL.to_vec();
            variables.push(("PLATFORMS", text));
            let wanted = read(&variables).unwrap().unwrap();
            assert_eq!(
                (wanted.platforms.len(), wanted.is_all_platforms),
                (count, is_all),
                "{text}"
            );
        }
    }

    #[test]
    fn nonsense_is_told() {
        for (name, value) in [("PUSH_IMAGE", "yes"), ("PLATFORMS", "linux/amd64,§")] {
            let mut variables: Vec<_> = ALL
                .into_iter()
                .filter(|(known, _)| *known != name)
                .collect();
            variables.push((name, value));
            assert!(read(&variables).unwrap_err().what.contains(name));
        }
    }
}
