//! Whether layers that are written directly are what the stock `assemble` would make, and if not, why.
//!
//! The rule is to be the same or to say so: whatever the stock script does beyond copying the source and installing
//! wheels sends the step to the sandbox, where the script itself does it.

use super::packages::{PipSettings, Wanted};
use super::request::{BuildRequest, Strategy};
use super::scripts::{Found, Scripts};
use crate::builder_image::{BuilderImage, Script, labels};
use crate::python::requirements::{DirectoryFiles, project::project_file};
use crate::sandbox::Network;
use crate::source::SourceTree;

/// Variables that make the stock script do something else, with what that is.
const TO_THE_SANDBOX: [(&str, &str); 3] = [
    ("ENABLE_PIPENV", "installs with Pipenv"),
    ("ENABLE_MICROPIPENV", "installs with micropipenv"),
    ("UPGRADE_PIP_TO_LATEST", "upgrades pip"),
];

/// What the decision is made of.
pub(super) struct Case<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) source: &'a SourceTree,
    pub(super) builder: &'a BuilderImage,
    /// Where the scripts are.
    pub(super) scripts: &'a Scripts,
    /// The variables that a script would see, without those of this machine.
    pub(super) environment: &'a [(String, String)],
    pub(super) wanted: &'a Wanted,
    pub(super) settings: &'a PipSettings,
    /// Whether the builder image's labels speak of the very layers that it has.
    pub(super) are_labels_true: bool,
}

impl Case<'_> {
    fn is_set(&self, name: &str) -> bool {
        let mut last = self.environment.iter().rev();
        last.find(|(known, _)| known == name)
            .is_some_and(|(_, value)| !value.is_empty())
    }

    /// Why something must be executed; `None` when nothing needs to be.
    ///
    /// # Errors
    /// When a file of the source that decides cannot be read.
    pub(super) fn obstacle(&self) -> Result<Option<String>, crate::fs::Error> {
        let inputs = &self.request.inputs;
        let some = |text: String| Ok(Some(text));
        if self.request.s2i.runtime.is_some() {
            return some(
                "`--runtime-image` takes over what the `assemble` script makes".to_owned(),
            );
        }
        if !self.builder.image().config.parsed.on_build().is_empty() {
            return some("the builder image has ONBUILD triggers".to_owned());
        }
        if let Some(found) = self
            .scripts
            .get(Script::Assemble)
            .filter(|found| found.is_uploaded())
        {
            return some(brought(found, "and that is to be run"));
        }
        let is_stock = self.are_labels_true && has_stock_scripts(self.builder);
        // Whoever asks for `direct` knows that they are not run.
        let is_asked_for = self.request.strategy == Strategy::Direct;
        if self.builder.scripts().is_some() && !is_stock && !is_asked_for {
            return some("the builder image has S2I scripts of its own".to_owned());
        }
        if let Some((_, found)) = self.scripts.uploaded().next() {
            return some(brought(found, "which the assemble step would install"));
        }
        for script in [Script::Assemble, Script::Run] {
            let own = self
                .builder
                .scripts()
                .and_then(|own| own.place.path_in_image(script));
            if let Some(Found::Image(path)) = self.scripts.get(script)
                && Some(path) != own.as_ref()
            {
                return some(format!("`--scripts-url` names `{path}`"));
            }
        }
        if let Some(user) = &self.request.assemble_user {
            return some(format!(
                "`--assemble-user {user}` says who runs the `assemble` script"
            ));
        }
        let flags = [
            ("--secret", !inputs.secrets.is_empty()),
            ("--volume", !inputs.volumes.is_empty()),
            ("--cache-mount", !inputs.cache_mounts.is_empty()),
            ("--ssh", inputs.agent.is_some()),
            ("--network none", inputs.network == Network::None),
        ];
        if let Some((flag, _)) = flags.into_iter().find(|(_, is_given)| *is_given) {
            return some(format!("`{flag}` is for the `assemble` script"));
        }
        for (name, does) in TO_THE_SANDBOX {
            if self.is_set(name) {
                return some(format!("`{name}` is set, with which `assemble` {does}"));
            }
        }
        if let Some(name) = &self.settings.unknown {
            return some(format!("`{name}` is set, and only pip knows what it means"));
        }
        if let Some(reason) = self.wanted.inexpressible() {
            return some(format!(
                "only pip can install what the application requires ({reason})"
            ));
        }
        let files = DirectoryFiles::open(&self.source.root)?;
        if let Some(file) = project_file(&files, |name| self.is_set(name))? {
            return some(format!(
                "the application is itself a package (`{}`; `{}=1` says that it is none)",
                file.name(),
                file.disabled_by()
            ));
        }
        Ok(None)
    }

    /// Why something must be executed once it is known what is installed: Django's static files.
    pub(super) fn obstacle_of(&self, packages: &[String]) -> Option<String> {
        let has_django = packages.iter().any(|name| name == "django");
        if !has_django || self.is_set("DISABLE_COLLECTSTATIC") {
            return None;
        }
        let home = self
            .environment
            .iter()
            .rev()
            .find(|(name, _)| name == "APP_HOME");
        let home = home.map_or("", |(_, value)| value.trim_matches('/'));
        let manage = match home {
            "" | "." => "manage.py".to_owned(),
            home => format!("{}/manage.py", home.trim_start_matches("./")),
        };
        let is_there = self.source.file(&manage).is_some();
        is_there.then(|| {
            format!("`{manage}` collects Django's static files (`DISABLE_COLLECTSTATIC=1` says that it should not)")
        })
    }
}

/// Says of a script that it is not the builder image's.
fn brought(found: &Found, what: &str) -> String {
    match found {
        Found::Source(path) => format!("the application brings `{path}`, {what}"),
        Found::File { from, .. } => format!("`--scripts-url` brings `{from}`, {what}"),
        Found::Image(path) => format!("there is `{path}`, {what}"),
    }
}

/// True for builders whose scripts are those that this program ships, and whose behaviour it therefore knows.
fn has_stock_scripts(builder: &BuilderImage) -> bool {
    let config = &builder.image().config.parsed;
    let declared = config.labels().get(labels::STOCK_SCRIPTS).cloned();
    declared.is_some_and(|digest| digest == crate::builder_image::recipe::stock_scripts_digest())
}

#[cfg(test)]
#[path = "fidelity_tests.rs"]
mod tests;
