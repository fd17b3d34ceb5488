//! Landlock: what a process may reach where there are no namespaces.
//!
//! Best effort by design: a kernel without it, or with an older one, confines less and says so in the note.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

/// Lets this thread and what it starts reach only what lies below `top`, trace only one another, and (Linux 6.12) signal
/// only one another. True when all of that is in force.
///
/// # Errors
/// What the kernel said, as text.
pub(super) fn below(top: BorrowedFd<'_>) -> Result<bool, String> {
    // The newest interface that is known here; what the kernel lacks is left out.
    let abi = ABI::V6;
    let restrict = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rule(PathBeneath::new(top, AccessFs::from_all(abi)))?
            .restrict_self()
    };
    let status = restrict().map_err(|error: landlock::RulesetError| error.to_string())?;
    Ok(status.ruleset == RulesetStatus::FullyEnforced)
}
