//! Choosing how scripts are kept apart, and entering the user namespace that this takes.

use std::ffi::OsString;
use std::path::Path;

use clap::{Args as ClapArgs, ValueEnum};

use super::args::Shared;
use super::creds::Handed;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{isolation, run, s2i};
use crate::build::{Confinement, RootfsKind};
use crate::event::{Event, Observer, stage};
use crate::sandbox::ladder::{Chosen, Isolation, LadderError, Rung};
use crate::sandbox::{Network, UserNamespace};

/// Flags of every command that runs something.
#[derive(ClapArgs, Clone, Copy, Debug, Default)]
#[group(id = "confinement")]
pub(super) struct Flags {
    #[command(flatten)]
    pub(super) isolation: isolation::Flags,

    /// What the scripts' root file system is made of
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto")]
    rootfs: Rootfs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Rootfs {
    /// Overlay where the store's file system allows it.
    #[default]
    Auto,
    /// The builder's layers, stacked by overlay.
    Overlay,
    /// The builder's layers, extracted into one directory.
    Extracted,
}

impl Flags {
    /// True when an extracted root file system was asked for.
    pub(super) fn is_extracted(&self) -> bool {
        self.rootfs == Rootfs::Extracted
    }

    /// Those of `--check-with ISOLATION:ROOTFS`.
    pub(super) fn of_check(isolation: Isolation, rootfs: &str) -> Option<Self> {
        Some(Self {
            isolation: isolation::Flags {
                isolation,
                require_isolation: None,
            },
            rootfs: <Rootfs as ValueEnum>::from_str(rootfs, false).ok()?,
        })
    }
}

/// What a command does about its scripts.
pub(super) enum Way {
    /// Goes on.
    Here(Confinement),
    /// Goes on in this very container, for nothing better works; it must turn out to be the builder image.
    LastResort(Confinement, LadderError),
    /// Starts itself again in a user namespace.
    Inside(UserNamespace, String),
}

/// What a command wants beside isolation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    /// Which network its scripts get.
    pub(super) network: Network,
    /// Whether the container that it runs in will do, if that is the image.
    pub(super) may_be_in_place: bool,
}

fn is_last_resort(error: &LadderError) -> bool {
    matches!(
        error,
        LadderError::NothingWorks {
            is_in_place_possible: true,
            ..
        }
    )
}

/// True when [`decide`] may want this command to start itself again.
pub(super) fn may_go_inside(flags: &Flags, shared: &Shared) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    shared.entered.is_none() && (!is_root || flags.isolation.isolation == Isolation::SingleId)
}

/// Decides how scripts are kept apart, and says so.
///
/// # Errors
/// When what was asked for cannot be had here.
pub(super) fn decide(
    flags: &Flags,
    shared: &Shared,
    needs: Needs,
    program: &Path,
    store: &Path,
    observer: &dyn Observer,
) -> Result<Way, Diagnostic> {
    if let Some(entered) = &shared.entered {
        let confinement = parse(entered)
            .ok_or_else(|| Diagnostic::new(Code::Usage, "`--entered` is for overcoat itself"))?;
        announce(confinement, observer);
        return Ok(Way::Here(confinement));
    }
    let Flags { isolation, rootfs } = flags;
    let prober = isolation::prober(program, store);
    let (chosen, nothing_better) =
        match prober.choose(isolation.isolation, isolation.require_isolation) {
            Err(error) if needs.may_be_in_place && is_last_resort(&error) => {
                let chosen = prober.choose(Isolation::InPlace, isolation.require_isolation)?;
                (chosen, Some(error))
            }
            other => (other?, None),
        };
    let confinement = Confinement {
        rung: chosen.rung,
        rootfs: root_file_system(*rootfs, &chosen, observer)?,
    };
    if let (Network::None, Err(refusal)) = (needs.network, &chosen.details.network_namespace) {
        return Err(Diagnostic::new(
            Code::Sandbox,
            format!("`--network none` cannot be had here: {refusal}"),
        )
        .hint(refusal.remedy.clone()));
    }
    explain(&chosen, observer);
    let namespace = match chosen.rung {
        Rung::UsernsHelper => UserNamespace::for_this_user()?,
        Rung::SingleId => UserNamespace::of_one_id(),
        _ => {
            announce(confinement, observer);
            return Ok(match nothing_better {
                Some(error) => Way::LastResort(confinement, error),
                None => Way::Here(confinement),
            });
        }
    };
    Ok(Way::Inside(namespace, written(confinement)))
}

/// Files by which a command and the same command, started again, tell each other something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HandedFiles<'a> {
    /// What was brought here before: `--brought-file`.
    pub(super) brought: Option<&'a Path>,
    /// Is there in the end if the previous image gave artifacts: `--artifacts-file`.
    pub(super) artifacts: Option<&'a Path>,
    /// Has in the end what was built: `--report-file`.
    pub(super) report: Option<&'a Path>,
    /// The log of the record that it is a part of: `--log-file`.
    pub(super) log: Option<&'a Path>,
}

/// Starts this command again in `namespace`, where it knows what was decided, and finds the password that was read
/// here; its exit status.
///
/// # Errors
/// When the namespace cannot be made after all.
pub(super) fn go_inside(
    program: &Path,
    namespace: &UserNamespace,
    decided: &str,
    creds: Option<&Handed>,
    files: HandedFiles<'_>,
) -> Result<u8, Diagnostic> {
    let mut arguments = vec![OsString::from("--entered"), OsString::from(decided)];
    if let Some(handed) = creds {
        arguments.extend([OsString::from("--creds-file"), handed.path().into()]);
    }
    for (flag, file) in [
        ("--brought-file", files.brought),
        ("--artifacts-file", files.artifacts),
        ("--report-file", files.report),
        ("--log-file", files.log),
    ] {
        if let Some(file) = file {
            arguments.extend([OsString::from(flag), file.into()]);
        }
    }
    run::again_inside(program, namespace, &s2i::again(arguments))
}

fn root_file_system(
    wanted: Rootfs,
    chosen: &Chosen,
    observer: &dyn Observer,
) -> Result<RootfsKind, Diagnostic> {
    let refuse =
        |reason: String, hint: String| Err(Diagnostic::new(Code::Sandbox, reason).hint(hint));
    match (chosen.rung, wanted, &chosen.details.overlay) {
        (Rung::InPlace, Rootfs::Auto, _) => Ok(RootfsKind::Host),
        (Rung::InPlace, ..) => refuse(
            "`--isolation in-place` uses this container's own root file system".to_owned(),
            "leave `--rootfs` out".to_owned(),
        ),
        (Rung::Chroot, Rootfs::Overlay, _) => refuse(
            "`--rootfs overlay` needs mounts, which `--isolation chroot` has not".to_owned(),
            "leave `--rootfs` out".to_owned(),
        ),
        (Rung::Chroot, ..) | (_, Rootfs::Extracted, _) => Ok(RootfsKind::Extracted),
        (_, _, Ok(())) => Ok(RootfsKind::Overlay),
        (_, Rootfs::Overlay, Err(refusal)) => refuse(
            format!("`--rootfs overlay` cannot be had here: {refusal}"),
            refusal.remedy.clone(),
        ),
        (_, Rootfs::Auto, Err(refusal)) => {
            observer.observe(Event::Note {
                text: format!("{refusal}: the layers are extracted instead"),
            });
            Ok(RootfsKind::Extracted)
        }
    }
}

/// Names what was taken, in every build's log.
fn announce(confinement: Confinement, observer: &dyn Observer) {
    let Confinement { rung, rootfs } = confinement;
    stage(
        observer,
        "sandbox",
        format!("{} ({rootfs})", rung.isolation()),
    )
    .finish("");
}

/// Says what the step is not kept from, and why nothing better was taken.
fn explain(chosen: &Chosen, observer: &dyn Observer) {
    let reasons: Vec<String> = chosen
        .passed_over
        .iter()
        .map(|(rung, refusal)| format!("`{}` was not taken: {refusal}", rung.isolation()))
        .collect();
    if let Some(text) = chosen.warning() {
        observer.observe(Event::Warning {
            text: text.to_owned(),
            hint: Some("`overcoat doctor` tells what would keep it apart better".to_owned()),
        });
    }
    for text in reasons.into_iter().chain(chosen.details.notes.clone()) {
        observer.observe(Event::Note { text });
    }
}

/// `RUNG:ROOTFS`, for the same command inside.
fn written(confinement: Confinement) -> String {
    format!("{}:{}", confinement.rung.name(), confinement.rootfs)
}

fn parse(text: &str) -> Option<Confinement> {
    let (rung, rootfs) = text.split_once(':')?;
    let kinds = [RootfsKind::Overlay, RootfsKind::Extracted, RootfsKind::Host];
    Some(Confinement {
        rung: Rung::ALL.into_iter().find(|known| known.name() == rung)?,
        rootfs: kinds
            .into_iter()
            .find(|known| known.to_string() == rootfs)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_decided_arrives_inside() {
        for rung in Rung::ALL {
            for rootfs in [RootfsKind::Overlay, RootfsKind::Extracted, RootfsKind::Host] {
                let confinement = Confinement { rung, rootfs };
                assert_eq!(parse(&written(confinement)), Some(confinement));
            }
        }
        assert_eq!(parse("anything"), None);
    }
}
