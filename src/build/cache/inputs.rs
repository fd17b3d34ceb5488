//! The inputs of each step. docs/cache.md tells the same in words; what is not here does not make a step run again.

use super::key::Inputs;
use crate::build::assemble::Loan;
use crate::build::direct::Placement;
use crate::build::inputs::StepInputs;
use crate::builder_image::BuilderImage;
use crate::digest::chain_ids;
use crate::sandbox::{Network, Process};
use crate::source::content::Contents;

/// The step that runs `assemble`.
pub const ASSEMBLE: &str = "assemble";
/// The step that writes the application's files.
pub const APPLICATION: &str = "application";

/// What `assemble` works with.
pub(in crate::build) struct AssembleStep<'a> {
    pub process: &'a Process,
    pub destination: &'a str,
    pub application_directory: String,
    pub epoch: i64,
    pub inputs: &'a StepInputs,
}

impl AssembleStep<'_> {
    /// All that can change what the step makes. Secrets and the SSH agent count by their names alone: what they open is
    /// the same whatever the key. Limits and time-outs end a step or do not; they do not change it.
    pub(in crate::build) fn inputs(&self, builder: &BuilderImage, contents: &Contents) -> Inputs {
        let mut inputs = Inputs::new(ASSEMBLE);
        add_file_system(&mut inputs, builder);
        add_source(&mut inputs, contents);
        let Process {
            arguments,
            environment,
            working_directory,
            user,
        } = self.process;
        inputs.add_list("the command", arguments);
        for (name, value) in environment {
            inputs.add(format!("variable `{name}`"), value);
        }
        inputs.add("the working directory", working_directory);
        inputs.add("the user", user);
        inputs.add("the destination", self.destination);
        inputs.add("the application directory", &self.application_directory);
        inputs.add("the time that files show", self.epoch.to_string());
        inputs.add(
            "`--network`",
            match self.inputs.network {
                Network::Host => "host",
                Network::None => "none",
            },
        );
        let secrets = self.inputs.secrets.iter().map(|secret| &secret.id);
        inputs.add_list("the names of secrets", secrets);
        inputs.add_list("cache mounts", &self.inputs.cache_mounts);
        let has_agent = self.inputs.agent.is_some();
        inputs.add("`--ssh`", if has_agent { "yes" } else { "no" });
        inputs
    }

    /// False when the step sees what no key can speak of: volumes of this machine.
    pub(in crate::build) fn can_be_kept(&self) -> bool {
        self.inputs.volumes.is_empty()
    }
}

impl Placement<'_> {
    pub(in crate::build) fn inputs(&self, contents: &Contents) -> Inputs {
        let mut inputs = Inputs::new(APPLICATION);
        add_source(&mut inputs, contents);
        inputs.add("the application directory", self.directory.as_bytes());
        inputs.add("the owner", format!("{}:{}", self.uid, self.gid));
        inputs.add("the time that files show", self.epoch.to_string());
        inputs
    }
}

/// What counts on this machine alone, and is not written into images: package indexes that stand in for each other are
/// not the same to someone who has just changed from one to the other.
pub(in crate::build) fn of_this_machine(portable: &Inputs, loan: &Loan) -> Inputs {
    let mut inputs = portable.clone();
    let is_index = |name: &str| name.ends_with("INDEX_URL") || name == "PIP_NO_INDEX";
    for (name, value) in loan.environment.iter().filter(|(name, _)| is_index(name)) {
        inputs.add(format!("this machine's `{name}`"), value);
    }
    inputs
}

fn add_source(inputs: &mut Inputs, contents: &Contents) {
    for (path, digest) in contents.entries() {
        let path = String::from_utf8_lossy(path);
        inputs.add_digest(format!("`{path}`"), digest);
    }
}

/// The builder's files, whatever its name, labels and documents are.
fn add_file_system(inputs: &mut Inputs, builder: &BuilderImage) {
    let config = &builder.image().config.parsed;
    let chain = chain_ids(config.diff_ids()).pop();
    inputs.add(
        "the builder image",
        chain.map(|id| id.to_string()).unwrap_or_default(),
    );
    inputs.add("the platform", config.platform().to_string());
}
