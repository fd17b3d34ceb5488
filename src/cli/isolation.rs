//! The flags that choose how a step is kept apart, and what a person reads when that cannot be had.

use std::path::Path;

use clap::builder::PossibleValue;
use clap::{Args as ClapArgs, ValueEnum};

use super::diagnostic::Diagnostic;
use super::env;
use super::exit::Code;
use crate::sandbox::ladder::{Isolation, LadderError};
use crate::sandbox::probe::Prober;

/// How a step is to be kept apart.
#[derive(ClapArgs, Clone, Copy, Debug, Default)]
pub struct Flags {
    /// How scripts are kept apart from this machine
    ///
    /// `auto` takes the strongest that works here; `overcoat doctor` shows which that is.
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto")]
    pub isolation: Isolation,

    /// Build nothing where scripts can only be kept apart less well than this: userns, single-id, root, chroot, in-place
    #[arg(long, value_name = "HOW", value_parser = demand)]
    pub require_isolation: Option<Isolation>,
}

/// Reads a demand: `auto` and `none` would demand nothing, which nobody means who writes the flag.
fn demand(text: &str) -> Result<Isolation, String> {
    match text.parse() {
        Ok(Isolation::Auto | Isolation::None) => Err(format!(
            "`{text}` demands nothing; there are userns, single-id, root, chroot and in-place"
        )),
        Ok(isolation) => Ok(isolation),
        Err(error) => Err(error.to_string()),
    }
}

impl ValueEnum for Isolation {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Auto => "The strongest that works, of userns, single-id, root and chroot",
            Self::Userns => "A user namespace with a range of ids",
            Self::SingleId => "A user namespace with one id; owners are recorded",
            Self::Root => "The namespaces of a container, as real root",
            Self::Chroot => "Another root directory",
            Self::InPlace => "This container itself, which must be the builder image",
            Self::None => "Execute nothing",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

/// A prober for the store at `store`.
pub fn prober(program: &Path, store: &Path) -> Prober {
    Prober::new(program, store, &env::search_path())
}

impl From<LadderError> for Diagnostic {
    fn from(error: LadderError) -> Self {
        let code = match &error {
            LadderError::Contradiction { .. } => Code::Usage,
            LadderError::Store(refusal) if refusal.is_full() => Code::DiskFull,
            _ => Code::Sandbox,
        };
        Self {
            because: error.table().to_vec(),
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::ladder::{IsoCode, Refusal};

    #[test]
    fn values_are_those_of_the_library() {
        for isolation in Isolation::ALL {
            let value = isolation.to_possible_value().unwrap();
            assert_eq!(value.get_name(), isolation.name());
            assert_eq!(
                <Isolation as ValueEnum>::from_str(isolation.name(), false),
                Ok(isolation)
            );
        }
    }

    #[test]
    fn a_demand_must_demand_something() {
        assert_eq!(demand("single-id"), Ok(Isolation::SingleId));
        for text in ["auto", "none", "strong"] {
            assert!(demand(text).unwrap_err().contains(&format!("`{text}`")));
        }
    }

    #[test]
    fn an_error_of_the_ladder_has_its_table_and_hints() {
        let table = vec!["chroot         ISO14 …".to_owned()];
        let error = LadderError::NothingWorks {
            table: table.clone(),
            is_in_place_possible: true,
        };
        let diagnostic = Diagnostic::from(error);
        assert_eq!(
            (diagnostic.code, &diagnostic.because),
            (Code::Sandbox, &table)
        );
        assert_eq!(diagnostic.hints.len(), 3);
        let error = LadderError::Contradiction {
            wanted: Isolation::Chroot,
            required: Isolation::Userns,
        };
        assert_eq!(Diagnostic::from(error).code, Code::Usage);
    }

    #[test]
    fn a_full_store_is_a_full_disk_wherever_it_is_noticed() {
        let code = |code, call: &str| {
            let refusal = Refusal {
                code,
                cause: "it is refused".to_owned(),
                remedy: "allow it".to_owned(),
                call: call.to_owned(),
            };
            Diagnostic::from(LadderError::Store(refusal)).code
        };
        assert_eq!(code(IsoCode::Iso13, "write: ENOSPC"), Code::DiskFull);
        assert_eq!(code(IsoCode::Iso13, "mkdir: EDQUOT"), Code::DiskFull);
        assert_eq!(code(IsoCode::Iso13, "mkdir: EROFS"), Code::Sandbox);
        // Too many user namespaces are no full disk.
        assert_eq!(code(IsoCode::Iso05, "unshare: ENOSPC"), Code::Sandbox);
    }
}
