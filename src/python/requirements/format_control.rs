//! `--no-binary` and `--only-binary`.

use std::collections::BTreeSet;

use pep508_rs::PackageName;

/// Which packages must be built from source, and which must not.
///
/// # Spec
/// pip's `models.format_control.FormatControl`: `:all:`, `:none:`, or normalised names; the last word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormatControl {
    no_binary: BTreeSet<String>,
    only_binary: BTreeSet<String>,
}

const ALL: &str = ":all:";
const NONE: &str = ":none:";

impl FormatControl {
    /// Adds the value of a `--no-binary` option.
    pub fn add_no_binary(&mut self, value: &str) {
        add(value, &mut self.no_binary, &mut self.only_binary);
    }

    /// Adds the value of an `--only-binary` option.
    pub fn add_only_binary(&mut self, value: &str) {
        add(value, &mut self.only_binary, &mut self.no_binary);
    }

    /// True when wheels of this package may be used.
    pub fn allows_wheel(&self, name: &PackageName) -> bool {
        let name = name.as_ref();
        self.only_binary.contains(name)
            || !self.no_binary.contains(name)
                && (self.only_binary.contains(ALL) || !self.no_binary.contains(ALL))
    }

    /// True when this package may be built from source.
    pub fn allows_source(&self, name: &PackageName) -> bool {
        let name = name.as_ref();
        !self.only_binary.contains(name)
            && (self.no_binary.contains(name) || !self.only_binary.contains(ALL))
    }

    /// The packages that must be built from source, or `:all:`; empty when wheels may be used for all.
    pub fn no_binary(&self) -> &BTreeSet<String> {
        &self.no_binary
    }

    /// The packages that must not be built from source, or `:all:`.
    pub fn only_binary(&self) -> &BTreeSet<String> {
        &self.only_binary
    }
}

fn add(value: &str, target: &mut BTreeSet<String>, other: &mut BTreeSet<String>) {
    let mut names: Vec<&str> = value.split(',').collect();
    while let Some(all) = names.iter().position(|name| *name == ALL) {
        other.clear();
        target.clear();
        target.insert(ALL.to_owned());
        names.drain(..=all);
        if !names.contains(&NONE) {
            return;
        }
    }
    for name in names {
        if name == NONE {
            target.clear();
            continue;
        }
        let name = canonical(name);
        other.remove(&name);
        target.insert(name);
    }
}

/// Any text as pip's `canonicalize_name` makes it.
fn canonical(name: &str) -> String {
    let mut canonical = String::new();
    for c in name.chars() {
        if !matches!(c, '-' | '_' | '.') {
            canonical.extend(c.to_lowercase());
        } else if !canonical.ends_with('-') {
            canonical.push('-');
        }
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let name = |text: &str| PackageName::new(text.to_owned()).unwrap();
        let allowed = |control: &FormatControl, text: &str| {
            (
                control.allows_wheel(&name(text)),
                control.allows_source(&name(text)),
            )
        };
        let mut control = FormatControl::default();
        assert_eq!(allowed(&control, "a"), (true, true));
        control.add_only_binary("a,B__c");
        assert_eq!(allowed(&control, "b-c"), (true, false));
        control.add_no_binary(":all:");
        assert_eq!(allowed(&control, "a"), (false, true));
        control.add_only_binary("A");
        assert_eq!(allowed(&control, "a"), (true, false));
        assert_eq!(allowed(&control, "b"), (false, true));
        control.add_no_binary("x,:all:,y,:none:,z");
        assert_eq!(control.no_binary().iter().collect::<Vec<_>>(), ["z"]);
        assert!(control.only_binary().is_empty());
        control.add_only_binary(":all:");
        control.add_no_binary("z");
        assert_eq!(allowed(&control, "z"), (false, true));
        assert_eq!(allowed(&control, "y"), (true, false));
    }
}
