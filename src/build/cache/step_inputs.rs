//! The inputs of steps that run something in the sandbox.

use std::collections::BTreeSet;

use super::inputs::{
    ASSEMBLE, ASSEMBLE_RUNTIME, add_file_system, add_form, add_source, of_this_machine,
};
use super::key::Inputs;
use crate::build::assemble::Loan;
use crate::build::inputs::StepInputs;
use crate::build::onbuild::{Action, OnBuild};
use crate::build::runtime::RuntimePlan;
use crate::build::scripts::{Found, Scripts};
use crate::build::{BuildRequest, Injection};
use crate::builder_image::BuilderImage;
use crate::digest::chain_ids;
use crate::image::edit::NewLayer;
use crate::sandbox::{Capability, Network, Process};
use crate::source::content::Contents;

/// What `assemble` works with.
pub(in crate::build) struct AssembleStep<'a> {
    pub process: &'a Process,
    pub destination: &'a str,
    pub scripts: &'a Scripts,
    pub application_directory: String,
    pub request: &'a BuildRequest,
    pub inputs: &'a StepInputs,
}

impl AssembleStep<'_> {
    /// All that can change what the step makes, wherever it is made. Limits and time-outs end a step or do not; they do
    /// not change it.
    pub(in crate::build) fn inputs(&self, builder: &BuilderImage, contents: &Contents) -> Inputs {
        let mut inputs = Inputs::new(ASSEMBLE);
        add_file_system(&mut inputs, builder);
        add_source(&mut inputs, contents);
        add_process(&mut inputs, self.process);
        inputs.add("the destination", self.destination);
        for (script, found) in self.scripts.uploaded() {
            // Those of the source are among its files.
            if let Found::File { digest, .. } = found {
                inputs.add_digest(format!("the script `{script}`"), digest);
            }
        }
        inputs.add("the application directory", &self.application_directory);
        add_form(&mut inputs, self.request);
        add_step(&mut inputs, self.inputs);
        if self.request.s2i.incremental.is_some() {
            // What an older image keeps is not to be taken for the same as nothing.
            inputs.add("`--incremental`", "yes");
        }
        inputs
    }
}

/// What the sandbox of a step changes of its result.
fn add_step(inputs: &mut Inputs, step: &StepInputs) {
    inputs.add(
        "`--network`",
        match step.network {
            Network::Host => "host",
            Network::None => "none",
        },
    );
    inputs.add_list("cache mounts", &step.cache_mounts);
    // Only where there are some: keys of before know nothing of them.
    let StepInputs {
        hosts,
        dropped_capabilities: dropped,
        ..
    } = step;
    if !hosts.is_empty() {
        let hosts = hosts
            .iter()
            .map(|(name, address)| format!("{name} {address}"));
        inputs.add_list("`--add-host`", hosts);
    }
    if !dropped.is_empty() {
        let names: BTreeSet<&str> = dropped.iter().map(Capability::name).collect();
        inputs.add_list("`--cap-drop`", names);
    }
}

/// The same, and what counts on this machine alone. Secrets, injected files and the SSH agent count by their names: what they
/// open is the same whatever the key, and an image does not depend on them.
pub(in crate::build) fn local_of_step(portable: &Inputs, step: &StepInputs, loan: &Loan) -> Inputs {
    let mut inputs = of_this_machine(portable, loan);
    let secrets = step.secrets.iter().map(|secret| &secret.id);
    inputs.add_list("the names of secrets", secrets);
    let has_agent = step.agent.is_some();
    inputs.add("`--ssh`", if has_agent { "yes" } else { "no" });
    let injections = &step.injections;
    if !injections.is_empty() {
        let name = |one: &Injection| format!("{}:{}", one.source.display(), one.destination);
        inputs.add_list("the names of injected files", injections.iter().map(name));
    }
    inputs
}

/// What goes into the runtime image, and what is done with it there.
pub(in crate::build) fn runtime_inputs(
    runtime: &RuntimePlan,
    builder: &BuilderImage,
    layers: &[NewLayer],
    contents: &Contents,
    request: &BuildRequest,
) -> Inputs {
    let mut inputs = Inputs::new(ASSEMBLE_RUNTIME);
    add_file_system(&mut inputs, builder);
    let chain = chain_ids(runtime.image.image().config.parsed.diff_ids()).pop();
    let chain = chain.map(|id| id.to_string()).unwrap_or_default();
    inputs.add("the runtime image", chain);
    let diff_ids = layers.iter().map(|layer| layer.diff_id.0.to_string());
    inputs.add_list("what the builder made", diff_ids);
    let artifacts = runtime.artifacts.iter();
    let artifacts = artifacts.flat_map(|it| [it.source.as_str(), it.destination.as_str()]);
    inputs.add_list("the runtime artifacts", artifacts);
    for (script, found) in runtime.scripts.uploaded() {
        let digest = match found {
            Found::File { digest, .. } => Some(digest),
            Found::Source(path) => contents.entries().get(path.as_bytes()),
            Found::Image(_) => None,
        };
        if let Some(digest) = digest {
            inputs.add_digest(format!("the script `{script}`"), digest);
        }
    }
    add_process(&mut inputs, &runtime.process);
    add_form(&mut inputs, request);
    add_step(&mut inputs, &request.inputs);
    inputs
}

/// What the triggers of a builder image do.
pub(in crate::build) fn on_build_inputs(
    on_build: &OnBuild,
    builder: &BuilderImage,
    contents: &Contents,
    request: &BuildRequest,
) -> Inputs {
    let mut inputs = Inputs::new(ASSEMBLE);
    add_file_system(&mut inputs, builder);
    add_source(&mut inputs, contents);
    for (number, action) in on_build.actions.iter().enumerate() {
        match action {
            Action::Copy(copy) => inputs.add(format!("action {number}"), format!("{copy:?}")),
            Action::Run(process) => {
                inputs.add(format!("action {number}"), "run");
                add_process(&mut inputs, process);
            }
        }
    }
    for (script, found) in on_build.scripts.uploaded() {
        if let Found::File { digest, .. } = found {
            inputs.add_digest(format!("the script `{script}`"), digest);
        }
    }
    inputs.add("the application directory", &on_build.directory);
    add_form(&mut inputs, request);
    add_step(&mut inputs, &request.inputs);
    inputs
}

fn add_process(inputs: &mut Inputs, process: &Process) {
    let Process {
        arguments,
        environment,
        working_directory,
        user,
    } = process;
    inputs.add_list("the command", arguments);
    for (name, value) in environment {
        inputs.add(format!("variable `{name}`"), value);
    }
    inputs.add("the working directory", working_directory);
    inputs.add("the user", user);
}

#[cfg(test)]
#[path = "step_inputs_tests.rs"]
mod tests;
