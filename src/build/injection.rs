//! `--inject SRC[:DST]`: files of this machine that scripts see and nobody finds in the image.

use std::path::PathBuf;

use super::volume_spec;

/// A file or directory of this machine, and where scripts see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Where it is here; relative paths are against the working directory.
    pub source: PathBuf,
    /// Where it is there; relative (also `.`) to the builder image's working directory.
    pub destination: String,
}

impl Injection {
    /// Reads the value of `--inject`: one or several `SRC[:DST]`, joined by `;`. What is absent is `.`.
    ///
    /// # Errors
    /// A sentence that says what is wrong; then none of them counts.
    ///
    /// # Spec
    /// `s2i-compat.md` §2.13, cases 10 to 21.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let injection = |spec: volume_spec::Spec| Self {
            source: PathBuf::from(spec.source),
            destination: spec.destination,
        };
        let specs = volume_spec::parse_list(text)?;
        Ok(specs.into_iter().map(injection).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases 19 and 21; the grammar is tested where it is.
    #[test]
    fn one_argument_holds_several() {
        let of = |source: &str, destination: &str| Injection {
            source: source.into(),
            destination: destination.to_owned(),
        };
        let expected = vec![of("/test/foo", "/ss"), of("ss", ".")];
        assert_eq!(Injection::parse_list("/test/foo:/ss;ss"), Ok(expected));
        assert!(Injection::parse_list("/test/foo:/ss;s!s").is_err());
    }
}
