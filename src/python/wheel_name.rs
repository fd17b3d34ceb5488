//! File names of wheels.

use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::PackageName;

/// `{distribution}-{version}(-{build})?-{python}-{abi}-{platform}.whl`, taken apart.
///
/// # Spec
/// packaging.python.org, *Binary distribution format*, "File name convention".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelName {
    text: String,
    /// The normalised name of the distribution.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The build tag: its number, then what follows; `None` sorts before every build tag.
    pub build: Option<(u64, String)>,
    /// Python tags, as `cp311` or `py3`; any of them will do.
    pub pythons: Vec<String>,
    /// ABI tags, as `cp311`, `abi3` or `none`.
    pub abis: Vec<String>,
    /// Platform tags, as `manylinux_2_17_x86_64` or `any`.
    pub platforms: Vec<String>,
}

/// Why a file name is no wheel's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not the file name of a wheel: {reason}")]
pub struct NotAWheel {
    /// The name, cut to 200 characters.
    pub name: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl WheelName {
    /// The file name as it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for WheelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for WheelName {
    type Err = NotAWheel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| NotAWheel {
            name: text.chars().take(200).collect(),
            reason,
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+!".contains(&byte);
        if !text.bytes().all(allowed) || text.len() > 255 {
            return Err(refuse("it has characters that no wheel's name has"));
        }
        let stem = text
            .strip_suffix(".whl")
            .ok_or_else(|| refuse("it does not end with `.whl`"))?;
        let parts: Vec<&str> = stem.split('-').collect();
        if parts[0].is_empty() {
            return Err(refuse("it does not begin with a package's name"));
        }
        let (build, tags) = match parts.len() {
            5 => (None, &parts[2..]),
            6 => (Some(parts[2]), &parts[3..]),
            _ => return Err(refuse("it has not five or six parts")),
        };
        let build = match build {
            None => None,
            Some(build) => {
                let digits = build.bytes().take_while(u8::is_ascii_digit).count();
                let number = build[..digits].parse();
                let number = number.map_err(|_| refuse("its build tag begins with no number"))?;
                Some((number, build[digits..].to_owned()))
            }
        };
        let split = |tag: &str| tag.split('.').map(str::to_owned).collect();
        Ok(Self {
            name: PackageName::new(parts[0].to_owned())
                .map_err(|_| refuse("it does not begin with a package's name"))?,
            version: parts[1]
                .replace('_', "-")
                .parse()
                .map_err(|_| refuse("its version is none"))?,
            build,
            pythons: split(tags[0]),
            abis: split(tags[1]),
            platforms: split(tags[2]),
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name: WheelName = "Flask_SQLAlchemy-3.1.1-2b-py2.py3-none-any.whl"
            .parse()
            .unwrap();
        assert_eq!(name.name.as_ref(), "flask-sqlalchemy");
        assert_eq!(name.version.to_string(), "3.1.1");
        assert_eq!(name.build, Some((2, "b".to_owned())));
        assert_eq!(name.pythons, ["py2", "py3"]);
        assert_eq!(
            (name.abis, name.platforms),
            (vec!["none".to_owned()], vec!["any".to_owned()])
        );
        let local: WheelName =
            "torch-2.1.0+cpu-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
                .parse()
                .unwrap();
        assert_eq!(local.version.to_string(), "2.1.0+cpu");
        assert_eq!(local.platforms.len(), 2);
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            "a-1.tar.gz",
            "a-1-py3-none.whl",
            "a-1-b-py3-none-any.whl",
            "../a-1-py3-none-any.whl",
            "a-x.y-py3-none-any.whl",
            "-1-py3-none-any.whl",
        ] {
            assert!(text.parse::<WheelName>().is_err(), "{text}");
        }
    }
}
