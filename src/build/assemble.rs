//! Layers by running `assemble` in the sandbox.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::agent::Proxy;
use super::inputs::{AGENT_SOCKET, PIP_CACHE, Redaction, SecretInput, StepInputs, show_hosts};
use super::plan::last_wins;
use super::rootfs::{RootFs, Wanted};
use super::scripts::{Found, Scripts};
use super::step_output::{LOGS, StepOutput};
use super::{Error, ScriptFailure, Tools, apt, commit, metadata, onbuild, volatile};
use crate::event::{Event, Observer, stage};
use crate::image::Image;
use crate::image::edit::NewLayer;
use crate::layer::{EntryPath, change};
use crate::sandbox::{
    self, Access, Bind, Capture, Exit, IdMap, Input, Process, RootFilesystem, Sandbox, Secret,
    Upload, UploadContent,
};
use crate::source::{SourceKind, SourceTree};

/// Where a step finds the host's certificates; a mount, never in the image.
const CERTIFICATES: &str = "/run/overcoat/ca-certificates.crt";

/// By which names programs look for certificates.
const CERTIFICATE_VARIABLES: [&str; 6] = [
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
];

/// What this machine lends to a step.
#[derive(Clone, Default)]
pub struct Loan {
    /// Variables for the step alone: proxies, package indexes. They give way to the image's and the person's.
    pub environment: Vec<(String, String)>,
    /// Certificate authorities as a PEM bundle; may be empty.
    pub certificates: Vec<u8>,
    /// Settings of the host's apt for a step's: names and values, as apt.conf(5) has them. They give way to the image's.
    pub apt: Vec<(String, String)>,
    /// The host's name resolution: files to show as `/etc/resolv.conf` and `/etc/hosts`, where they exist.
    pub resolution: Vec<(PathBuf, &'static str)>,
}

impl std::fmt::Debug for Loan {
    /// Proxy and index URLs may hold passwords: only the names are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Loan")
            .field("environment", &names)
            .finish_non_exhaustive()
    }
}

/// Where a process finds what is lent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In its own root file system.
    Inside,
    /// Where it lies on this machine, whose root file system the process shares.
    Here,
}

impl Place {
    fn file(self, source: &Path, target: &str) -> String {
        match self {
            Self::Inside => target.to_owned(),
            Self::Here => source.to_string_lossy().into_owned(),
        }
    }
}

impl Loan {
    /// Variables and files for a process in the sandbox; what must be written is written below `directory`.
    ///
    /// # Errors
    /// [`crate::fs::Error`] when it cannot be.
    pub fn lend(
        &self,
        directory: &Path,
        place: Place,
        process: &mut Process,
    ) -> Result<Vec<Bind>, crate::fs::Error> {
        let mut files = Vec::new();
        let mut variables = self.environment.clone();
        let mut certificates = CERTIFICATES.to_owned();
        if !self.certificates.is_empty() {
            let source = directory.join("ca-certificates.crt");
            crate::fs::write_atomic(&source, &self.certificates)?;
            certificates = place.file(&source, CERTIFICATES);
            variables
                .extend(CERTIFICATE_VARIABLES.map(|name| (name.to_owned(), certificates.clone())));
            files.push(Bind {
                source,
                target: certificates.clone(),
                access: Access::ReadOnly,
                is_per_user: false,
            });
        }
        if let Some(text) = apt::configuration(self, &certificates) {
            let source = directory.join("apt.conf");
            crate::fs::write_atomic(&source, text.as_bytes())?;
            let target = place.file(&source, apt::CONFIGURATION);
            variables.push((apt::CONFIGURATION_VARIABLE.to_owned(), target.clone()));
            files.push(Bind {
                source,
                target,
                access: Access::ReadOnly,
                is_per_user: false,
            });
        }
        for (source, target) in &self.resolution {
            // Copied: the host's file may be a link into a directory that the step cannot see, or be replaced.
            let bytes = crate::fs::read_limited(source, 1 << 20)?;
            let copy = directory.join(target.trim_start_matches('/').replace('/', "-"));
            crate::fs::write_atomic(&copy, &bytes)?;
            files.push(Bind {
                source: copy,
                target: (*target).to_owned(),
                access: Access::ReadOnly,
                is_per_user: false,
            });
        }
        variables.append(&mut process.environment);
        process.environment = last_wins(variables);
        if place == Place::Here {
            // They are where they are.
            files.clear();
        }
        Ok(files)
    }
}

/// What a step is given.
pub(super) struct Step<'a> {
    /// What runs.
    pub script: &'static str,
    pub process: &'a Process,
    pub destination: &'a str,
    pub scripts: &'a Scripts,
    pub application_directory: &'a EntryPath,
    pub form: commit::Form,
    pub inputs: &'a StepInputs,
    /// What the person called the builder image.
    pub builder: &'a str,
    /// The image's name: its log is called so.
    pub name: &'a str,
    /// Where its standard output goes, when that is not for people.
    pub capture: Option<&'a Capture>,
}

impl Step<'_> {
    /// The entry point of the image that wraps the script, if one does. Triggers are commands of their own.
    fn entrypoint(&self) -> Option<&str> {
        match &self.process.arguments[..] {
            [entrypoint, .., _] if self.script != onbuild::SCRIPT => Some(entrypoint),
            _ => None,
        }
    }
}

/// Runs a script over an image's layers and makes layers of what it changed.
pub(super) fn layers(
    step: &Step<'_>,
    mut uploads: Vec<Upload>,
    ours: &[PathBuf],
    builder: &Image,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<NewLayer>, Error> {
    let store = tools.store;
    let confinement = tools.confinement.ok_or(Error::NothingMayRun)?;
    let ours = [ours, &[store.root().to_owned(), tools.program.clone()]].concat();
    let wanted = Wanted {
        image: builder,
        name: step.builder,
        confinement,
        threads: tools.threads,
        ours: &ours,
    };
    let directory = store.workspace()?.join(step.script);
    let root = RootFs::prepare(&wanted, store, directory, observer)?;
    let sandbox = root.sandbox(&tools.program)?;
    let sources = apt::Sources::find(root.lowers(), &tools.mirrors, &step.process.user)?;
    uploads.extend(sources.lend(&sandbox.directory)?);
    let (exit, scaffolding) = run(step, uploads, &sandbox, tools, observer)?;

    let writing = stage(observer, "write layers", "");
    let layers = root.with_changes(&exit, observer, |mut changed| {
        let changes = &mut changed.changes;
        changes.retain(|change| !scaffolding.covers(change));
        sources.take_back(changes, &sandbox.directory)?;
        changes.retain(|change| !volatile::is_volatile(change));
        let labels = metadata::written(changes)?;
        let mut layers = commit::layers(changed, step, tools, observer)?;
        metadata::attach(&labels, &mut layers);
        Ok(layers)
    })?;
    writing.finish(commit::describe(&layers));
    root.finish(observer)?;
    Ok(layers)
}

/// Runs the script: how it ended, and what is in the root file system because of us.
pub(super) fn run(
    step: &Step<'_>,
    uploads: Vec<Upload>,
    sandbox: &Sandbox,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(Exit, Scaffolding), Error> {
    let inputs = step.inputs;
    let key = IdMap::of_this_process()?.key();
    let mut process = step.process.clone();
    let is_here = matches!(sandbox.root, RootFilesystem::Host);
    // This directory is closed to other users; root copies what another one is to see.
    let place = match is_here && sandbox.rung.keeps_ledger() {
        true => Place::Here,
        false => Place::Inside,
    };
    let mut binds = tools.loan.lend(&sandbox.directory, place, &mut process)?;
    if is_here {
        // The container has its own name resolution.
        binds.retain(|bind| !bind.target.starts_with("/etc/"));
    }
    let directory = &sandbox.directory;
    show_hosts(&inputs.hosts, directory, is_here, &mut binds, observer)?;
    let has_caches = sandbox.rung.has_mounts();
    let is_told = process
        .environment
        .iter()
        .any(|(name, _)| name == "PIP_CACHE_DIR");
    if is_told {
        // The image or the person has a place for it.
    } else if has_caches {
        process
            .environment
            .push(("PIP_CACHE_DIR".to_owned(), PIP_CACHE.to_owned()));
    } else {
        process
            .environment
            .push(("PIP_NO_CACHE_DIR".to_owned(), "1".to_owned()));
        if !inputs.cache_mounts.is_empty() {
            observer.observe(Event::Note {
                text:
                    "cache mounts begin empty and are not kept: this needs mounts of the step's own"
                        .to_owned(),
            });
        }
    }
    let pip = (has_caches && !is_told).then(|| PIP_CACHE.to_owned());
    let caches: Vec<String> = pip
        .into_iter()
        .chain(inputs.cache_mounts.iter().cloned())
        .collect();
    for target in &caches {
        let name = match &inputs.cache_scope {
            Some(scope) if target == PIP_CACHE => format!("{target} {scope}"),
            _ => target.clone(),
        };
        let source = cache_directory(&tools.store.root().join("cache/mounts").join(&key), &name);
        crate::fs::create_private_dir(&tools.store.root().join("cache"))?;
        crate::fs::create_dir_all(&source)?;
        crate::fs::touch(&source);
        binds.push(Bind {
            source,
            target: target.clone(),
            access: Access::ReadWrite,
            is_per_user: true,
        });
    }
    binds.extend(inputs.volumes.iter().map(|volume| Bind {
        source: volume.source.clone(),
        target: volume.target.clone(),
        access: volume.access,
        is_per_user: false,
    }));
    if !has_caches && (inputs.agent.is_some() || !inputs.volumes.is_empty()) {
        return Err(sandbox::Error::Setup {
            step: "show volumes or the SSH agent to the step".to_owned(),
            reason: format!(
                "on the rung `{}` it has no mounts of its own",
                sandbox.rung.isolation()
            ),
            hint: Some("leave `--volume` and `--ssh` out, or see `overcoat doctor`".to_owned()),
        }
        .into());
    }
    let agent = inputs
        .agent
        .as_deref()
        .map(|agent| Proxy::start(agent, &sandbox.directory))
        .transpose()?;
    if let Some(agent) = &agent {
        process
            .environment
            .push(("SSH_AUTH_SOCK".to_owned(), AGENT_SOCKET.to_owned()));
        binds.push(Bind {
            source: agent.socket().to_owned(),
            target: AGENT_SOCKET.to_owned(),
            access: Access::ReadOnly,
            is_per_user: false,
        });
    }
    make_repeatable(&mut process, step.form.epoch);
    let secrets = inputs.secrets.iter().map(|secret| Secret {
        target: secret.target(),
        content: secret.content.clone(),
    });
    let injections = inputs
        .injections
        .iter()
        .map(|injection| injection.resolve(&process.working_directory, step.form.epoch));
    let input = Input {
        uploads,
        binds,
        secrets: secrets.collect(),
        injections: injections.collect::<Result<_, _>>()?,
        dropped: inputs.dropped_capabilities.clone(),
        network: inputs.network,
        limits: inputs.limits,
        timeout: inputs.timeout,
        capture: step.capture.cloned(),
    };
    let output = StepOutput::new(
        observer,
        Redaction::new(&inputs.secrets),
        &tools.store.root().join(LOGS),
        step.name,
    )?;
    let name = step.script;
    let running = stage(observer, name, process.arguments.join(" "));
    let ended = sandbox.run_step(name, &process, input, &output);
    let forgotten = sandbox.forget(inputs.secrets.iter().map(SecretInput::target));
    let taken_back = sandbox.take_back_injections();
    let failed = |how, tail: Vec<String>, output: StepOutput<'_>| Error::Script {
        script: name,
        how,
        tail: output.hide(tail),
        log: output.finish(),
        entrypoint: step.entrypoint().map(str::to_owned),
    };
    let exit = match ended {
        Err(sandbox::Error::TimedOut { limit, tail }) => {
            let error = sandbox::Error::TimedOut {
                limit,
                tail: Vec::new(),
            };
            let how = ScriptFailure::Time(error.to_string().replacen("the step ", "", 1));
            return Err(failed(how, tail, output));
        }
        other => other?,
    };
    match (exit.status, inputs.limits.memory) {
        (0, _) => {}
        (_, Some(limit)) if exit.ran_out_of_memory => {
            return Err(failed(ScriptFailure::Memory(limit), exit.tail, output));
        }
        (status, _) => return Err(failed(ScriptFailure::Status(status), exit.tail, output)),
    }
    forgotten?;
    taken_back?;
    output.finish();
    running.finish("");
    let scaffolding = Scaffolding::new(&exit, &caches, step);
    Ok((exit, scaffolding))
}

/// Where the cache for `target` is kept: its name is the path, in letters that a file name can have.
fn cache_directory(caches: &Path, target: &str) -> PathBuf {
    let name = target
        .trim_start_matches('/')
        .replace('%', "%25")
        .replace('/', "%2F");
    // A path may be longer than a file name.
    match name.len() {
        0..=200 => caches.join(name),
        _ => caches.join(crate::digest::Digest::of(name.as_bytes()).hex()),
    }
}

/// What makes Python and others write the same bytes again. Checked-hash `.pyc` files (which `SOURCE_DATE_EPOCH`
/// asks for) do not depend on file times (T19); modules that are merely imported meanwhile leave none.
pub(super) fn make_repeatable(process: &mut Process, epoch: i64) {
    let ours = [
        ("SOURCE_DATE_EPOCH", epoch.to_string()),
        ("PYTHONHASHSEED", "0".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()),
        ("PIP_ROOT_USER_ACTION", "ignore".to_owned()),
        ("PIP_PROGRESS_BAR", "off".to_owned()),
        // Nobody is there to answer.
        ("DEBIAN_FRONTEND", "noninteractive".to_owned()),
    ];
    for (name, value) in ours {
        if !process.environment.iter().any(|(known, _)| known == name) {
            process.environment.push((name.to_owned(), value));
        }
    }
}

/// The source and the scripts, each in its place.
pub(super) fn uploads(step: &Step<'_>, source: &SourceTree) -> Vec<Upload> {
    let place = |path: String, content| Upload {
        target: path.into_bytes(),
        content,
        mtime: step.form.epoch,
    };
    let destination = step.destination;
    let mut uploads = vec![
        place(format!("{destination}/src"), UploadContent::Directory),
        place(format!("{destination}/scripts"), UploadContent::Directory),
    ];
    for (script, found) in step.scripts.uploaded() {
        // Scripts may always be executed.
        let host = match found {
            Found::Source(path) => source.root.join(path),
            Found::File { path, .. } => path.clone(),
            Found::Image(_) => continue,
        };
        let content = UploadContent::File {
            source: host.into_os_string().as_bytes().to_vec(),
            mode: 0o755,
        };
        uploads.push(place(format!("{destination}/scripts/{script}"), content));
    }
    for entry in &source.entries {
        if step.scripts.takes(&entry.path) {
            // It has moved out of the source.
            continue;
        }
        let host = source
            .root
            .join(std::ffi::OsStr::from_bytes(&entry.path))
            .into_os_string()
            .as_bytes()
            .to_vec();
        let content = match &entry.kind {
            SourceKind::Directory => UploadContent::Directory,
            SourceKind::Symlink { target } => UploadContent::Symlink {
                target: target.clone(),
            },
            SourceKind::File { is_executable, .. } => UploadContent::File {
                source: host,
                mode: if *is_executable { 0o755 } else { 0o644 },
            },
        };
        uploads.push(Upload {
            target: [destination.as_bytes(), b"/src/", &entry.path].concat(),
            content,
            mtime: step.form.epoch,
        });
    }
    uploads
}

/// What is there because of us and is no change of the step's: mount points, copies of what could not be mounted, and
/// directories that received the source and are left empty.
pub(super) struct Scaffolding {
    paths: BTreeSet<EntryPath>,
    /// With all that is below them.
    trees: Vec<EntryPath>,
    received: Vec<EntryPath>,
}

impl Scaffolding {
    fn new(exit: &Exit, caches: &[String], step: &Step<'_>) -> Self {
        let parse = |path: &[u8]| EntryPath::parse(path).ok();
        let kernel_s = ["dev", "proc", "sys", "run/secrets", "run/overcoat"];
        let received = ["src", "scripts"].map(|name| format!("{}/{name}", step.destination));
        Self {
            paths: exit
                .scaffolding
                .iter()
                .filter_map(|path| parse(path))
                .collect(),
            trees: kernel_s
                .into_iter()
                .chain(caches.iter().map(String::as_str))
                .filter_map(|path| parse(path.as_bytes()))
                .chain(exit.caches.iter().filter_map(|path| parse(path)))
                .collect(),
            received: received
                .iter()
                .filter_map(|path| parse(path.as_bytes()))
                .collect(),
        }
    }

    fn covers(&self, change: &change::Change) -> bool {
        let path = change.path();
        // Written back as the parent of something, if there is something.
        let is_bare_directory = matches!(change, change::Change::Present { entry, .. } if entry.kind == crate::layer::Kind::Directory);
        self.paths.contains(path)
            || self.trees.iter().any(|tree| path.is_within(tree))
            || (is_bare_directory && self.received.contains(path))
    }
}
