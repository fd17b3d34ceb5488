//! The inputs of each step. docs/cache.md tells the same in words; what is not here does not make a step run again.

use std::collections::BTreeSet;

use super::key::Inputs;
use crate::build::assemble::Loan;
use crate::build::bytecode::Bytecode;
use crate::build::inputs::StepInputs;
use crate::build::packages::{
    PipSettings, Wanted, add_layout, parts_of_places, without_credentials,
};
use crate::build::plan::{BuildPlan, Direct};
use crate::build::{BuildRequest, Injection};
use crate::builder_image::BuilderImage;
use crate::digest::chain_ids;
use crate::image::edit::NewLayer;
use crate::layer::EntryPath;
use crate::python::Target;
use crate::python::requirements::Line;
use crate::sandbox::{Capability, Network, Process};
use crate::source::SourceTree;
use crate::source::content::Contents;

/// The step that runs `assemble`.
pub const ASSEMBLE: &str = "assemble";
/// The step that installs packages without executing anything.
pub const DEPENDENCIES: &str = "dependencies";
/// The step that compiles bytecode.
pub const BYTECODE: &str = "bytecode";
/// The step that writes the application's files.
pub const APPLICATION: &str = "application";

/// What `assemble` works with.
pub(in crate::build) struct AssembleStep<'a> {
    pub process: &'a Process,
    pub destination: &'a str,
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
        add_form(&mut inputs, self.request);
        inputs.add(
            "`--network`",
            match self.inputs.network {
                Network::Host => "host",
                Network::None => "none",
            },
        );
        inputs.add_list("cache mounts", &self.inputs.cache_mounts);
        // Only where there are some: keys of before know nothing of them.
        let StepInputs {
            hosts,
            dropped_capabilities: dropped,
            ..
        } = self.inputs;
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
        inputs
    }

    /// The same, and what counts on this machine alone. Secrets, injected files and the SSH agent count by their names: what they open is
    /// the same whatever the key, and an image does not depend on them.
    pub(in crate::build) fn local_inputs(&self, portable: &Inputs, loan: &Loan) -> Inputs {
        let mut inputs = of_this_machine(portable, loan);
        let secrets = self.inputs.secrets.iter().map(|secret| &secret.id);
        inputs.add_list("the names of secrets", secrets);
        let has_agent = self.inputs.agent.is_some();
        inputs.add("`--ssh`", if has_agent { "yes" } else { "no" });
        let injections = &self.inputs.injections;
        if !injections.is_empty() {
            let name = |one: &Injection| format!("{}:{}", one.source.display(), one.destination);
            inputs.add_list("the names of injected files", injections.iter().map(name));
        }
        inputs
    }

    /// False when the step is given what another's result may not have been made with.
    pub(in crate::build) fn can_be_taken(&self) -> bool {
        let StepInputs {
            secrets,
            agent,
            injections,
            ..
        } = self.inputs;
        secrets.is_empty() && agent.is_none() && injections.is_empty()
    }

    /// False when the step sees what no key can speak of: volumes of this machine.
    pub(in crate::build) fn can_be_kept(&self) -> bool {
        self.inputs.volumes.is_empty()
    }
}

/// What installing packages works with.
pub(in crate::build) struct DependenciesStep<'a> {
    pub wanted: &'a Wanted,
    pub settings: &'a PipSettings,
    pub target: &'a Target,
    pub source: &'a SourceTree,
    pub contents: &'a Contents,
    pub application_directory: &'a EntryPath,
    pub budget: usize,
    pub epoch: i64,
}

impl DependenciesStep<'_> {
    /// What is required, as it is understood: comments, white space and the names of files do not count. With a lock,
    /// what the lock says.
    pub(in crate::build) fn inputs(&self) -> Inputs {
        let mut inputs = Inputs::new(DEPENDENCIES);
        match (self.wanted.current_lock(), &self.wanted.requirements) {
            (Some(lock), _) => inputs.add("the lock", format!("{:?}", lock.packages)),
            (None, Some(requirements)) => {
                let shown = |line: &Line| {
                    let wheel = line.wheel.as_ref().map(|wheel| wheel.name.to_string());
                    let hashes: Vec<String> = line.hashes.iter().map(ToString::to_string).collect();
                    [
                        line.requirement.to_string(),
                        wheel.unwrap_or_default(),
                        hashes.join(" "),
                    ]
                    .join(" ")
                };
                for (number, line) in requirements.requirements.iter().enumerate() {
                    let name = &line.requirement.name;
                    inputs.add(format!("requirement `{name}` ({number})"), shown(line));
                }
                inputs.add_list(
                    "the constraints",
                    requirements.constraints.iter().map(shown),
                );
                let options = &requirements.options;
                let urls = options.index_url.iter().chain(&options.extra_index_urls);
                inputs.add_list(
                    "the indexes of the requirements",
                    urls.map(|url| without_credentials(url)),
                );
                let others = format!(
                    "{:?} {} {} {} {} {}",
                    options.formats,
                    options.no_index,
                    options.pre,
                    options.prefer_binary,
                    options.require_hashes,
                    options.find_links.len(),
                );
                inputs.add("the options of the requirements", others);
            }
            (None, None) => {}
        }
        let places = parts_of_places(
            self.wanted,
            self.target,
            self.source,
            self.contents,
            self.application_directory,
        );
        if !places.is_empty() {
            inputs.add_list("what the requirements name by its place", places);
        }
        inputs.add_list("the indexes of this build", self.settings.parts());
        let Target {
            version,
            tags,
            layout,
            installed,
            ..
        } = self.target;
        inputs.add("the version of Python", version.to_string());
        inputs.add_list("what wheels it can use", tags);
        let installed = installed
            .iter()
            .map(|(name, version)| format!("{name}=={version}"));
        inputs.add_list("what the builder has installed", installed);
        add_layout(&mut inputs, layout);
        inputs.add("`--max-layers`", self.budget.to_string());
        inputs.add("the time that files show", self.epoch.to_string());
        inputs
    }
}

/// What the application's files are, where they go, and whose they are.
pub(in crate::build) fn application(
    plan: &BuildPlan,
    direct: &Direct,
    request: &BuildRequest,
    contents: &Contents,
) -> Inputs {
    let mut inputs = Inputs::new(APPLICATION);
    add_source(&mut inputs, contents);
    inputs.add(
        "the application directory",
        plan.application_directory.as_bytes(),
    );
    let Direct {
        uid, gid, umask, ..
    } = direct;
    inputs.add("the owner", format!("{uid}:{gid} {umask:o}"));
    add_form(&mut inputs, request);
    inputs
}

/// What is compiled: the files below, whatever made them, and the interpreter.
pub(in crate::build) fn bytecode_inputs(
    bytecode: &Bytecode,
    builder: &BuilderImage,
    layers: &[NewLayer],
    request: &BuildRequest,
) -> Inputs {
    let mut inputs = Inputs::new(BYTECODE);
    add_file_system(&mut inputs, builder);
    let diff_ids = layers.iter().map(|layer| layer.diff_id.0.to_string());
    inputs.add_list("the layers below", diff_ids);
    let Process {
        arguments,
        environment,
        user,
        ..
    } = &bytecode.interpreter;
    inputs.add_list("the interpreter", arguments);
    inputs.add_list(
        "the variables",
        environment.iter().flat_map(|(name, value)| [name, value]),
    );
    inputs.add("the user", user);
    let directories = bytecode.directories.iter().map(|path| path.as_bytes());
    inputs.add_list("the directories", directories);
    add_form(&mut inputs, request);
    inputs
}

/// How layers are written.
fn add_form(inputs: &mut Inputs, request: &BuildRequest) {
    inputs.add("the time that files show", request.epoch.to_string());
    inputs.add("`--compression`", format!("{:?}", request.compression));
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
pub(in crate::build) fn add_file_system(inputs: &mut Inputs, builder: &BuilderImage) {
    let config = &builder.image().config.parsed;
    let chain = chain_ids(config.diff_ids()).pop();
    inputs.add(
        "the builder image",
        chain.map(|id| id.to_string()).unwrap_or_default(),
    );
    inputs.add("the platform", config.platform().to_string());
}

#[cfg(test)]
#[path = "inputs_tests.rs"]
mod tests;
