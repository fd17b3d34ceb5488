//! Who does what here, and when.

use std::ffi::OsString;
use std::time::SystemTime;

use super::variable;

/// The environment that is meant when no flag says so; `--environment` has it as its default.
pub(in crate::cli) const ENVIRONMENT: &str = "OVERCOAT_ENVIRONMENT";

/// Who runs this program. On a machine of a pipeline, the person that the pipeline runs for.
pub(in crate::cli) fn user() -> String {
    let names = ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"];
    names
        .into_iter()
        .find_map(variable)
        .unwrap_or_else(|| format!("uid {}", rustix::process::geteuid().as_raw()))
}

/// The name of this machine.
pub(in crate::cli) fn machine() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// This program, for hooks that call it; none when the system does not say where it is.
pub(in crate::cli) fn program() -> Option<std::path::PathBuf> {
    std::env::current_exe().ok()
}

/// All variables, as they are handed on to hooks.
pub(in crate::cli) fn variables() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// The time.
pub(in crate::cli) fn now() -> SystemTime {
    SystemTime::now()
}
