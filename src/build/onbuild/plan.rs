//! What triggers mean, found out before anything is done.

use std::collections::BTreeMap;

use super::instruction::{self, Refusal};
use super::{Action, Copy, OnBuild};
use crate::build::plan::{PlanError, last_wins, script_environment};
use crate::build::request::BuildRequest;
use crate::build::scripts::{Found, Scripts};
use crate::builder_image::{BuilderImage, Script};
use crate::image::edit::Changes;
use crate::sandbox::Process;
use crate::source::{SourceKind, SourceTree};

/// What an application's start is called when nothing else says, each also with `.sh`.
const ENTRYPOINTS: [&str; 4] = ["exec", "execute", "run", "start"];

/// The shell of instructions that name none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// What the instructions have made of an image's configuration so far.
struct State {
    environment: Vec<(String, String)>,
    arguments: Vec<(String, String)>,
    user: String,
    directory: String,
    shell: Vec<String>,
    actions: Vec<Action>,
    changes: Changes,
}

impl State {
    fn variables(&self) -> BTreeMap<String, String> {
        let all = self.arguments.iter().chain(&self.environment);
        all.cloned().collect()
    }

    fn set(&mut self, name: &str, value: &str) {
        let pair = (name.to_owned(), value.to_owned());
        self.environment.push(pair.clone());
        self.environment = last_wins(std::mem::take(&mut self.environment));
        self.changes.environment.push(pair);
    }

    fn absolute(&self, path: &str) -> String {
        match path.starts_with('/') {
            true => path.to_owned(),
            false => {
                let path = if path == "." { "./" } else { path };
                let path = path.strip_prefix("./").unwrap_or(path);
                format!("{}/{path}", self.directory.trim_end_matches('/'))
            }
        }
    }

    /// The words of a command in either form: as a program with arguments, or as a line for the shell.
    fn command(&self, text: &str) -> Vec<String> {
        instruction::json_words(text).unwrap_or_else(|| {
            let shell = self.shell.iter().cloned();
            shell.chain([text.to_owned()]).collect()
        })
    }

    fn run(&mut self, arguments: Vec<String>) {
        let environment = self.arguments.iter().chain(&self.environment);
        self.actions.push(Action::Run(Process {
            arguments,
            environment: last_wins(environment.cloned().collect()),
            working_directory: self.directory.clone(),
            user: self.user.clone(),
        }));
    }

    fn carry_out(&mut self, trigger: &str) -> Result<(), String> {
        let (name, rest) = instruction::split(trigger);
        let variables = self.variables();
        let words = |text: &str| instruction::words(text, &variables);
        let pairs = |text: &str| {
            instruction::pairs(text, &variables).ok_or_else(|| "expected NAME=VALUE".to_owned())
        };
        match name.as_str() {
            "RUN" => {
                let (flags, rest) = instruction::flags(rest);
                if let Some((flag, _)) = flags.first() {
                    return Err(format!("the flag `--{flag}` is not known"));
                }
                let command = self.command(rest);
                self.run(command);
            }
            "COPY" | "ADD" => {
                let copy = self.copy(&name, rest, &variables)?;
                self.actions.push(Action::Copy(copy));
            }
            "ENV" => {
                for (name, value) in pairs(rest)? {
                    self.set(&name, &value);
                }
            }
            "ARG" => {
                for word in words(rest) {
                    let (name, value) = word.split_once('=').unwrap_or((&word, ""));
                    self.arguments.push((name.to_owned(), value.to_owned()));
                }
            }
            "LABEL" => self.changes.labels.extend(pairs(rest)?),
            "USER" => {
                self.user = words(rest).join(" ");
                self.changes.user = Some(self.user.clone());
            }
            "WORKDIR" => {
                self.directory = self.absolute(words(rest).join(" ").trim_end_matches('/'));
                self.changes.working_directory = Some(self.directory.clone());
            }
            "EXPOSE" => {
                let port = |port: String| match port.contains('/') {
                    true => port,
                    false => format!("{port}/tcp"),
                };
                self.changes
                    .exposed_ports
                    .extend(words(rest).into_iter().map(port));
            }
            "VOLUME" => {
                let paths = instruction::json_words(rest).unwrap_or_else(|| words(rest));
                self.changes.volumes.extend(paths);
            }
            "STOPSIGNAL" => self.changes.stop_signal = Some(words(rest).join(" ")),
            "SHELL" => {
                let shell = instruction::json_words(rest);
                self.shell = shell.ok_or("it must be a list of words in JSON")?;
            }
            "CMD" => self.changes.command = Some(self.command(rest)),
            // The application's own takes its place.
            "ENTRYPOINT" | "MAINTAINER" => {}
            _ => return Err("the instruction is not known".to_owned()),
        }
        Ok(())
    }

    fn copy(
        &self,
        name: &str,
        text: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<Copy, String> {
        let (flags, rest) = instruction::flags(text);
        let (mut owner, mut mode) = (None, None);
        for (flag, value) in flags {
            match flag {
                "chown" => owner = Some(instruction::words(value, variables).join(" ")),
                "chmod" => {
                    let bits = u32::from_str_radix(value, 8)
                        .ok()
                        .filter(|bits| *bits <= 0o7777);
                    mode = Some(bits.ok_or_else(|| format!("`{value}` is no mode"))?);
                }
                "link" => {}
                flag => return Err(format!("the flag `--{flag}` is not known")),
            }
        }
        let words = instruction::json_words(rest);
        let mut words = words.unwrap_or_else(|| instruction::words(rest, variables));
        let target = words.pop().unwrap_or_default();
        if words.is_empty() {
            return Err("expected what to copy, and where to".to_owned());
        }
        let is_archive = |source: &String| {
            let endings = [".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst"];
            source.contains("://") || endings.iter().any(|ending| source.ends_with(ending))
        };
        if let Some(source) = words
            .iter()
            .find(|source| name == "ADD" && is_archive(source))
        {
            return Err(format!("`{source}` is an archive or a URL"));
        }
        let must_be_directory = words.len() > 1 || matches!(target.as_str(), "." | "./");
        let target = self.absolute(&target);
        let slash = if must_be_directory && !target.ends_with('/') {
            "/"
        } else {
            ""
        };
        Ok(Copy {
            target: target + slash,
            sources: words,
            owner,
            mode,
        })
    }
}

impl OnBuild {
    /// Decides what the triggers, the application's variables and its scripts come to, and adds what they change of the
    /// image's configuration to `changes`.
    ///
    /// # Errors
    /// [`PlanError::Trigger`] for an instruction that is not understood, [`PlanError::NoEntrypoint`].
    pub(in crate::build) fn plan(
        request: &BuildRequest,
        source: &SourceTree,
        builder: &BuilderImage,
        scripts: &Scripts,
        changes: &mut Changes,
    ) -> Result<Self, PlanError> {
        let config = &builder.image().config.parsed;
        let plain = BuildRequest {
            environment: Vec::new(),
            ..request.clone()
        };
        let nothing = SourceTree {
            environment: Vec::new(),
            ..source.clone()
        };
        let mut state = State {
            environment: script_environment(&plain, &nothing, builder),
            arguments: Vec::new(),
            user: config.user().to_owned(),
            directory: config.working_directory().to_owned(),
            shell: SHELL.map(str::to_owned).into(),
            actions: Vec::new(),
            changes: Changes::default(),
        };
        for trigger in config.on_build() {
            state.carry_out(&trigger).map_err(|reason| Refusal {
                trigger: trigger.clone(),
                reason,
            })?;
        }
        for (name, value) in source.environment.iter().chain(&request.environment) {
            state.set(name, value);
        }
        let brings_assemble = scripts
            .get(Script::Assemble)
            .is_some_and(Found::is_uploaded);
        if brings_assemble || is_program(source, "assemble", false) {
            if let Some(user) = &request.assemble_user {
                state.user.clone_from(user);
            }
            state.run(["sh", "assemble"].map(str::to_owned).into());
        }
        let entrypoint = entrypoint(source, scripts).ok_or(PlanError::NoEntrypoint)?;
        let State {
            changes: of_triggers,
            actions,
            directory,
            ..
        } = state;
        changes.environment = last_wins(of_triggers.environment);
        // Labels that were asked for are stronger.
        let asked_for = std::mem::replace(&mut changes.labels, of_triggers.labels);
        changes.labels.extend(asked_for);
        // An entry point of one's own makes what the image would run without one meaningless.
        changes.command = Some(of_triggers.command.unwrap_or_default());
        changes.entrypoint = Some(vec![format!("./{entrypoint}")]);
        changes.user = of_triggers.user;
        changes.working_directory = of_triggers.working_directory;
        changes.exposed_ports = of_triggers.exposed_ports;
        changes.volumes = of_triggers.volumes;
        changes.stop_signal = of_triggers.stop_signal;
        changes.are_triggers_spent = true;
        Ok(Self {
            actions,
            scripts: scripts.clone(),
            directory,
        })
    }
}

fn is_program(source: &SourceTree, name: &str, must_be_executable: bool) -> bool {
    let is_program = |kind: &SourceKind| match kind {
        SourceKind::File { is_executable, .. } => *is_executable || !must_be_executable,
        _ => false,
    };
    source
        .file(name)
        .is_some_and(|entry| is_program(&entry.kind))
}

/// The first program at the top of the source that is called as programs that start something are.
fn entrypoint(source: &SourceTree, scripts: &Scripts) -> Option<String> {
    let mut names: Vec<String> = ENTRYPOINTS
        .iter()
        .flat_map(|name| [(*name).to_owned(), format!("{name}.sh")])
        .collect();
    names.sort();
    let brings_run = scripts.get(Script::Run).is_some_and(Found::is_uploaded);
    let is_there = |name: &String| is_program(source, name, true) || (name == "run" && brings_run);
    names.into_iter().find(is_there)
}
