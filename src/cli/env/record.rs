//! What the environment says of who does something, where it is recorded, and what hooks get.

use std::ffi::OsString;
use std::path::PathBuf;

use super::variable;

/// The directory of records that the environment names.
pub(in crate::cli) fn history() -> Option<PathBuf> {
    variable("OVERCOAT_HISTORY").map(PathBuf::from)
}

/// The environment of the project that operations are in.
pub(in crate::cli) fn environment() -> Option<String> {
    variable("OVERCOAT_ENVIRONMENT")
}

/// All variables of this process.
pub(in crate::cli) fn variables() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// The name of this machine.
pub(in crate::cli) fn machine() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// Who does it: the name in the environment, else the number.
pub(in crate::cli) fn user() -> String {
    let named = variable("USER").or_else(|| variable("LOGNAME"));
    named.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
}
