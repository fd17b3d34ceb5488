//! Names of capabilities, as people write them for `--cap-drop`.
//!
//! # Spec
//! capabilities(7); docker-run(1), `--cap-drop`; `s2i-compat.md` §1.6.

use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use super::privileges::CAPABILITIES;

/// A capability of the kernel's, by its name: `CAP_CHOWN`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Capability(String);

impl Capability {
    /// Reads a comma list, as s2i and Docker take it: `CHOWN`, `CAP_CHOWN`, `-chown`, or `all` for everything that a step
    /// has. Sorted, each once.
    ///
    /// # Errors
    /// A sentence that names what is no capability.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let mut found = Vec::new();
        for word in text.split(',') {
            let name = word.trim().trim_start_matches('-').to_ascii_uppercase();
            let name = name.strip_prefix("CAP_").unwrap_or(&name);
            if name == "ALL" {
                found.extend(CAPABILITIES.iter_names().map(|(name, _)| Self::of(name)));
            } else if CapabilitySet::from_name(name).is_some() {
                found.push(Self::of(name));
            } else {
                return Err(format!(
                    "`{word}` is not a capability; expected a name of capabilities(7) such as `CAP_NET_RAW`, or `all`"
                ));
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn of(name: &str) -> Self {
        Self(format!("CAP_{name}"))
    }

    /// Its name, with `CAP_`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// All of a list, for the kernel.
    pub(super) fn set(list: &[Self]) -> CapabilitySet {
        let of_one = |capability: &Self| {
            let name = capability.0.strip_prefix("CAP_").unwrap_or(&capability.0);
            CapabilitySet::from_name(name).unwrap_or(CapabilitySet::empty())
        };
        list.iter()
            .map(of_one)
            .fold(CapabilitySet::empty(), CapabilitySet::union)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_however_they_are_written() {
        let names = |text: &str| -> Vec<String> {
            let list = Capability::parse_list(text).unwrap();
            list.iter().map(|one| one.name().to_owned()).collect()
        };
        assert_eq!(names("CHOWN"), ["CAP_CHOWN"]);
        assert_eq!(
            names("-net_raw,CAP_CHOWN, -CAP_MKNOD,chown"),
            ["CAP_CHOWN", "CAP_MKNOD", "CAP_NET_RAW"]
        );
        assert_eq!(names("sys_admin"), ["CAP_SYS_ADMIN"]);
        let all = Capability::parse_list("all").unwrap();
        assert_eq!(all, Capability::parse_list("kill,ALL").unwrap());
        assert_eq!((all.len(), Capability::set(&all)), (14, CAPABILITIES));
        for wrong in ["", ",", "CAP_", "CHOWN,,KILL", "CAP_EVERYTHING", "7"] {
            let reason = Capability::parse_list(wrong).unwrap_err();
            assert!(reason.contains("not a capability"), "{wrong}: {reason}");
        }
    }
}
