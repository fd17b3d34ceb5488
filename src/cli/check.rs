//! `build --check`: the same build once more, kept apart in another way, and what differs.

use std::ffi::OsString;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal};

use super::args::Shared;
use super::confine::Flags;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{env, isolation, observer, open_store};
use crate::build::{RootfsKind, Tag, compare};
use crate::event::{Observer, stage};
use crate::reference::Reference;
use crate::sandbox::ladder::{Rung, Verdict};

/// More lines than anybody reads.
const SHOWN: usize = 60;

/// Builds once more and compares. `tag` names the first build's image.
///
/// # Errors
/// [`Code::NotReproducible`] with the differences; [`Code::Sandbox`] when this machine has no other way to build.
pub(super) fn run(flags: &Flags, tag: &Tag, shared: &Shared) -> Result<(), Diagnostic> {
    let program = env::host(shared)?.program;
    let store_root = env::store(shared)?;
    let observer = observer(shared, false)?;
    let prober = isolation::prober(&program, &store_root);
    let used = prober.choose(flags.isolation.isolation, flags.isolation.require_isolation)?;
    let verdicts = prober.survey();
    let other = another(&verdicts, used.rung, flags.is_extracted()).ok_or_else(|| {
        Diagnostic::new(
            Code::Sandbox,
            "`--check` has nothing to compare with: this machine allows only one way to build",
        )
        .hint("`overcoat doctor` tells what would enable another")
    })?;
    let way = format!("{}:{}", other.0.isolation(), other.1);
    let checking = stage(observer.as_ref(), "check", format!("once more with {way}"));
    let scratch = format!("overcoat.invalid/check:{}", std::process::id());
    // Global flags go before everything: what follows `--` of the first call is not for us.
    let mut arguments = vec![
        OsString::from("--check-with"),
        OsString::from(format!("{way}:{scratch}")),
    ];
    arguments.extend(std::env::args_os().skip(1));
    let mut child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        // Its result is read from the store.
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| crate::fs::Error::new("execute", &program, error))?;
    let status = wait(&mut child, observer.as_ref());
    let compared = match &status {
        Ok(status) if status.success() => Some(differences(tag, &scratch, shared)),
        _ => None,
    };
    forget(&scratch, shared)?;
    let status = status?;
    let Some(compared) = compared else {
        return Err(Diagnostic::new(
            Code::NotReproducible,
            format!("the build works, but not with {way} ({status})"),
        )
        .hint("what is above says why"));
    };
    let differences = compared?;
    if differences.is_empty() {
        checking.finish(format!("{way} gives the same digest"));
        return Ok(());
    }
    let mut lines: Vec<String> = differences.iter().take(SHOWN).cloned().collect();
    if differences.len() > SHOWN {
        lines.push(format!("… and {} more", differences.len() - SHOWN));
    }
    let mut diagnostic = Diagnostic::new(
        Code::NotReproducible,
        format!("the image is another one when it is built with {way}"),
    )
    .hint("a script writes something that differs from run to run, such as a time, or looks at owners");
    diagnostic.output = lines;
    Err(diagnostic)
}

/// Waits for the second build, and stops it when the person has had enough.
fn wait(child: &mut Child, observer: &dyn Observer) -> Result<ExitStatus, Diagnostic> {
    let failed = |error| crate::fs::Error::new("wait for", "the second build", error);
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return match status.code() {
                Some(code) if code == Code::Interrupted as i32 => {
                    Err(crate::build::Error::Interrupted.into())
                }
                _ => Ok(status),
            };
        }
        if observer.is_cancelled() {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // It puts everything away before it ends.
                let _ = rustix::process::kill_process(pid, Signal::TERM);
            }
            child.wait().map_err(failed)?;
            return Err(crate::build::Error::Interrupted.into());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The differences of the two images.
fn differences(tag: &Tag, scratch: &str, shared: &Shared) -> Result<Vec<String>, Diagnostic> {
    let store = open_store(shared)?;
    let image = |reference: &Reference| -> Result<_, Diagnostic> {
        let named = store.resolve(reference)?.ok_or_else(|| {
            Diagnostic::new(
                Code::NoSuchImage,
                format!("the store has no image `{reference}`"),
            )
        })?;
        Ok(store.image(&named.manifest)?)
    };
    let (first, second) = (image(&tag.reference)?, image(&scratch.parse()?)?);
    match first.digest() == second.digest() {
        true => Ok(Vec::new()),
        false => Ok(compare::compare(&store, &first, &second)?),
    }
}

/// Removes what only the comparison needed: the second image's name, and its log.
fn forget(scratch: &str, shared: &Shared) -> Result<(), Diagnostic> {
    let store = open_store(shared)?;
    if let Some(named) = store.resolve(&scratch.parse()?)? {
        store.untag(&named.name)?;
    }
    let log = crate::build::log_file(store.root(), scratch);
    match std::fs::remove_file(&log) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(crate::fs::Error::new("remove", log, error).into())
        }
        _ => Ok(()),
    }
}

/// Another way to build, as different as this machine allows: owners from records instead of the disk, an extracted
/// root file system instead of overlay.
fn another(verdicts: &[Verdict], used: Rung, is_extracted: bool) -> Option<(Rung, RootfsKind)> {
    let works = |rung: Rung| {
        verdicts
            .iter()
            .any(|verdict| verdict.rung == rung && verdict.outcome.is_ok())
    };
    let rungs = [
        Rung::SingleId,
        Rung::UsernsHelper,
        Rung::UsernsDirect,
        Rung::Root,
        Rung::Chroot,
    ];
    rungs
        .into_iter()
        .find(|rung| *rung != used && works(*rung))
        .or((used != Rung::InPlace && used != Rung::Chroot).then_some(used))
        .map(|rung| match is_extracted && rung != Rung::Chroot {
            true => (rung, RootfsKind::Overlay),
            false => (rung, RootfsKind::Extracted),
        })
}
