//! `build --check`: the same build once more, kept apart in another way, and what differs.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use super::args::Shared;
use super::confine::Flags;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{env, isolation, observer, open_store};
use crate::build::{RootfsKind, Tag, compare};
use crate::event::stage;
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
    let other = another(&verdicts, used.rung).ok_or_else(|| {
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
    let output = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| crate::fs::Error::new("execute", &program, error))?;
    if !output.status.success() {
        return Err(Diagnostic::new(
            Code::NotReproducible,
            format!("the build works, but not with {way}"),
        )
        .hint("what is above says why"));
    }
    let differences = differences(tag, &scratch, shared)?;
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

/// The differences of the two images, after which the second has no name any more.
fn differences(tag: &Tag, scratch: &str, shared: &Shared) -> Result<Vec<String>, Diagnostic> {
    let store = open_store(shared)?;
    let image = |reference: &Reference| -> Result<_, Diagnostic> {
        let named = store.resolve(reference)?.ok_or_else(|| {
            Diagnostic::new(
                Code::NoSuchImage,
                format!("the store has no image `{reference}`"),
            )
        })?;
        Ok((store.image(&named.manifest)?, named.name))
    };
    let (first, _) = image(&tag.reference)?;
    let (second, name) = image(&scratch.parse()?)?;
    let found = match first.digest() == second.digest() {
        true => Vec::new(),
        false => compare::compare(&store, &first, &second)?,
    };
    store.untag(&name)?;
    Ok(found)
}

/// Another way to build, as different as this machine allows: owners from records instead of the disk, an extracted
/// root file system instead of overlay.
fn another(verdicts: &[Verdict], used: Rung) -> Option<(Rung, RootfsKind)> {
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
        .map(|rung| (rung, RootfsKind::Extracted))
}
