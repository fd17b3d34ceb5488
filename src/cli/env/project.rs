//! What the environment says of a project: variables, and which files are named.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::variable;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;

/// The variable that names op's properties.
pub(in crate::cli) const PROPERTIES: &str = "OCTOPILOT_PIPELINE_PROPERTIES";

/// The variables that name other files than the usual ones; `overcoat op` sets them for what it starts.
pub(in crate::cli) const OCTOPILOT: &str = "OVERCOAT_OCTOPILOT_FILE";
pub(in crate::cli) const SKAFFOLD: &str = "OVERCOAT_SKAFFOLD_FILE";

/// The variable that holds those of an application, as JSON, for a command that this program has started itself: values
/// may be secrets, and what stands in a command line can be read by everybody.
pub(in crate::cli) const RUN_ENVIRONMENT: &str = "OVERCOAT_RUN_ENVIRONMENT";

/// The application's variables that another command of ours handed down.
///
/// # Errors
/// When they are none.
pub(in crate::cli) fn handed_environment() -> Result<Vec<(String, String)>, Diagnostic> {
    let Some(text) = variable(RUN_ENVIRONMENT) else {
        return Ok(Vec::new());
    };
    let found: BTreeMap<String, String> = serde_json::from_str(&text).map_err(|_| {
        // What is wrong with it is not said: it may be a secret.
        let what = format!("{RUN_ENVIRONMENT} is for overcoat itself, and is no JSON of texts");
        Diagnostic::new(Code::Usage, what).hint("unset it")
    })?;
    Ok(found.into_iter().collect())
}

/// All variables whose names and values are text.
pub(in crate::cli) fn variables() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// The properties file that the environment names.
pub(in crate::cli) fn properties() -> Option<PathBuf> {
    variable(PROPERTIES).map(PathBuf::from)
}

/// The file of op that the environment names.
pub(in crate::cli) fn octopilot() -> Option<PathBuf> {
    variable(OCTOPILOT).map(PathBuf::from)
}

/// The file of Skaffold that the environment names.
pub(in crate::cli) fn skaffold() -> Option<PathBuf> {
    variable(SKAFFOLD).map(PathBuf::from)
}

/// The directory that this program was started in.
///
/// # Errors
/// When it is gone.
pub(in crate::cli) fn directory() -> Result<PathBuf, Diagnostic> {
    std::env::current_dir().map_err(|error| {
        let reason = crate::fs::reason(&error);
        Diagnostic::new(
            Code::File,
            format!("cannot find the working directory: {reason}"),
        )
    })
}
