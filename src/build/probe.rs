//! Asking a builder image's interpreter what it is, once for each image.

use super::Error;
use super::cache::Inputs;
use super::cache::inputs::add_file_system;
use super::deciding::Deciding;
use super::errand::{self, Errand, MADE};
use crate::event::stage;
use crate::python::target::{self, Detected, probe};
use crate::sandbox::{Network, Process};

/// The report's name in [`MADE`].
const REPORT: &str = "report.json";
/// By which names an interpreter is found, as pip's users call it.
const FIND: &str = "command -v python || command -v python3";

impl Deciding<'_> {
    /// What the interpreter says of itself: remembered for these layers, or asked now. `None` where it cannot be asked.
    ///
    /// # Errors
    /// [`Error::NothingMayRun`] when it has to be asked and there is no sandbox yet; [`Error::Target`] for an interpreter
    /// that cannot be served; [`Error::Store`] and [`Error::Sandbox`] when the sandbox fails.
    pub(super) fn probe(&self) -> Result<Option<Detected>, Error> {
        let image = self.builder.image();
        let config = &image.config.parsed;
        let mut inputs = Inputs::new("probe");
        add_file_system(&mut inputs, &self.builder);
        inputs.add("the user", config.user());
        inputs.add_list("the variables", config.environment());
        inputs.add("the program", probe::PROGRAM);
        let path = self.tools.store.cache("targets");
        let path = path.join(format!("{}.json", inputs.key()));
        if let Ok(report) = crate::fs::read_limited(&path, probe::MAX_REPORT)
            && let Ok(found) = probe::read(&report)
        {
            crate::fs::touch(&path);
            return Ok(Some(found));
        }
        let Some(confinement) = &self.tools.confinement else {
            return Err(Error::NothingMayRun);
        };
        if !errand::are_possible(confinement) {
            return Ok(None);
        }
        self.fetch_builder()?;
        let asking = stage(self.observer, "ask", "the interpreter what it is");
        let script = format!(
            "python=$({FIND}) || {{ echo 'there is no Python on PATH' >&2; exit 127; }}; \
             exec \"$python\" -c \"$1\" {MADE}/{REPORT}"
        );
        let variable = |line: &String| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let process = Process {
            // Not as the shell's name, which it shows in its messages.
            arguments: ["/bin/sh", "-c", &script, "sh", probe::PROGRAM]
                .map(str::to_owned)
                .to_vec(),
            environment: config.environment().iter().filter_map(variable).collect(),
            working_directory: "/".to_owned(),
            user: config.user().to_owned(),
        };
        let errand = Errand {
            name: "probe",
            purpose: "ask the builder image's interpreter what it is".to_owned(),
            image,
            image_name: self.builder.name(),
            process,
            file: None,
            network: Network::None,
            epoch: self.request.epoch,
            log: "builder",
        };
        let report = errand.run(self.tools, self.observer, |made| {
            Ok(errand::read(&made.join(REPORT), probe::MAX_REPORT)?)
        });
        let report = match report {
            Err(error @ Error::Errand { .. }) => {
                return Err(target::Error::Missing {
                    what: "the interpreter",
                    reason: error.to_string(),
                }
                .into());
            }
            other => other?,
        };
        asking.finish("");
        let found = probe::read(&report)?;
        crate::fs::create_dir_all(&self.tools.store.cache("targets"))?;
        crate::fs::replace(&path, &report)?;
        Ok(Some(found))
    }
}
