//! The ladder: in which ways a step can be kept apart, and which of them is taken. Pure; what works on this machine is
//! found out by [`super::probe`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use super::refusal::{IsoCode, Refusal};

/// How a step is kept apart (DESIGN §5). Ordered: the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// A user namespace; its range of ids is written by `newuidmap` and `newgidmap`. For ordinary users.
    UsernsHelper,
    /// A user namespace; its range of ids is written by ourselves, for we are root with `CAP_SETUID` and `CAP_SETGID`.
    UsernsDirect,
    /// A user namespace with one id. Changes of owner are answered by a supervisor that records them.
    SingleId,
    /// The namespaces of a container without a user namespace: real root with `CAP_SYS_ADMIN`.
    Root,
    /// Only another root directory: root with `CAP_SYS_CHROOT`.
    Chroot,
    /// Nothing: the step runs in the container that we are in, which is the builder image.
    InPlace,
}

impl Rung {
    /// Every rung, the strongest first.
    pub const ALL: [Self; 6] = [
        Self::UsernsHelper,
        Self::UsernsDirect,
        Self::SingleId,
        Self::Root,
        Self::Chroot,
        Self::InPlace,
    ];

    /// The rung's name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::UsernsHelper => "userns-helper",
            Self::UsernsDirect => "userns-direct",
            Self::SingleId => "single-id",
            Self::Root => "root",
            Self::Chroot => "chroot",
            Self::InPlace => "in-place",
        }
    }

    /// The value of `--isolation` that asks for it. The two rungs with a range of ids share one.
    pub fn isolation(self) -> Isolation {
        match self {
            Self::UsernsHelper | Self::UsernsDirect => Isolation::Userns,
            Self::SingleId => Isolation::SingleId,
            Self::Root => Isolation::Root,
            Self::Chroot => Isolation::Chroot,
            Self::InPlace => Isolation::InPlace,
        }
    }

    /// True where the step has mounts of its own: an overlay, a `/proc`, a `/dev`.
    pub fn has_mounts(self) -> bool {
        matches!(
            self,
            Self::UsernsHelper | Self::UsernsDirect | Self::SingleId | Self::Root
        )
    }

    /// True where files on disk can have all the owners that an image gives them.
    pub fn has_real_owners(self) -> bool {
        self != Self::SingleId
    }

    /// True where this process cannot give files away, so that a supervisor answers the step's `chown` and its kin.
    pub fn keeps_ledger(self) -> bool {
        match self {
            Self::SingleId => true,
            Self::InPlace => !rustix::process::geteuid().is_root(),
            _ => false,
        }
    }

    /// What it is, in a few words.
    pub fn summary(self) -> &'static str {
        match self {
            Self::UsernsHelper => "a user namespace; `newuidmap` maps a range of ids",
            Self::UsernsDirect => "a user namespace; root maps its own ids",
            Self::SingleId => "a user namespace with one id; owners are recorded",
            Self::Root => "namespaces of real root, without a user namespace",
            Self::Chroot => "another root directory and nothing else",
            Self::InPlace => "this container itself, if it is the builder image; the last resort",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a person asks for: the value of `--isolation` and of `--require-isolation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// The strongest that works; never [`Rung::InPlace`].
    #[default]
    Auto,
    /// A user namespace with a range of ids.
    Userns,
    /// A user namespace with one id.
    SingleId,
    /// Namespaces without a user namespace.
    Root,
    /// Another root directory.
    Chroot,
    /// The container that we are in.
    InPlace,
    /// Nothing may be executed.
    None,
}

impl Isolation {
    /// Every value, in the ladder's order.
    pub const ALL: [Self; 7] = [
        Self::Auto,
        Self::Userns,
        Self::SingleId,
        Self::Root,
        Self::Chroot,
        Self::InPlace,
        Self::None,
    ];

    /// The value as it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Userns => "userns",
            Self::SingleId => "single-id",
            Self::Root => "root",
            Self::Chroot => "chroot",
            Self::InPlace => "in-place",
            Self::None => "none",
        }
    }

    /// The rungs that serve it, in the order in which they are tried.
    pub fn rungs(self) -> &'static [Rung] {
        match self {
            Self::Auto => &Rung::ALL[..5],
            Self::Userns => &Rung::ALL[..2],
            Self::SingleId => &[Rung::SingleId],
            Self::Root => &[Rung::Root],
            Self::Chroot => &[Rung::Chroot],
            Self::InPlace => &[Rung::InPlace],
            Self::None => &[],
        }
    }

    /// True when `rung` is at least as strong as this demands. [`Self::Auto`] and [`Self::None`] demand nothing.
    pub fn is_met_by(self, rung: Rung) -> bool {
        match self {
            Self::Auto | Self::None => true,
            demanded => demanded
                .rungs()
                .last()
                .is_none_or(|weakest| rung <= *weakest),
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no isolation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no isolation; there are auto, userns, single-id, root, chroot, in-place and none"
)]
pub struct UnknownIsolation(pub String);

impl FromStr for Isolation {
    type Err = UnknownIsolation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |isolation: &Self| isolation.name() == text;
        Self::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| UnknownIsolation(text.to_owned()))
    }
}

/// What a rung that works gives, and what it has to do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// A `/proc` of the step's own pid namespace can be mounted. Else the outer one must be shown (`ISO11`), or there is
    /// none (`ISO12`).
    pub fresh_proc: Result<(), Refusal>,
    /// Layers can be stacked by overlay in the store. Else they must be extracted.
    pub overlay: Result<(), Refusal>,
    /// `--network none` can be had.
    pub network_namespace: Result<(), Refusal>,
    /// Cgroups can be hidden from the step.
    pub cgroup_namespace: Result<(), Refusal>,
    /// Changes of owner can be answered and recorded: seccomp user notification.
    pub ledger: Result<(), Refusal>,
    /// What else a person should know; sentences without a full stop.
    pub notes: Vec<String>,
}

/// What trying one rung gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The rung.
    pub rung: Rung,
    /// Whether it works.
    pub outcome: Result<Details, Refusal>,
}

/// The rung that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The rung.
    pub rung: Rung,
    /// What it gives.
    pub details: Details,
    /// The stronger rungs that were tried, and why they were not taken; the strongest first.
    pub passed_over: Vec<(Rung, Refusal)>,
}

impl Chosen {
    /// A warning for the weak rungs: what the step is not kept from. Without a full stop.
    pub fn warning(&self) -> Option<&'static str> {
        match self.rung {
            Rung::UsernsHelper | Rung::UsernsDirect | Rung::SingleId => None,
            Rung::Root => Some("the step runs as this machine's root, with fewer capabilities"),
            Rung::Chroot => Some(
                "the step sees this machine's processes and network and could leave its root directory",
            ),
            Rung::InPlace => Some("the step changes the container that overcoat runs in"),
        }
    }
}

/// Why no rung is taken. Nothing was built when it is met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LadderError {
    /// The isolation that was asked for does not work here.
    #[error(
        "{} `--isolation={wanted}` cannot be had here: {refusal}",
        IsoCode::Iso16
    )]
    Unavailable {
        /// What was asked for.
        wanted: Isolation,
        /// Why not.
        refusal: Refusal,
        /// The strongest that works.
        instead: Option<Rung>,
    },
    /// The strongest that works is weaker than what is required.
    #[error(
        "{} `--require-isolation={required}` is not met: {} because {refusal}. Nothing was built",
        IsoCode::Iso16, best_available(*best)
    )]
    NotMet {
        /// What is required.
        required: Isolation,
        /// Why that cannot be had.
        refusal: Refusal,
        /// The strongest that works.
        best: Option<Rung>,
    },
    /// The two flags contradict each other.
    #[error(
        "{} `--isolation={wanted}` is weaker than `--require-isolation={required}`",
        IsoCode::Iso16
    )]
    Contradiction {
        /// What was asked for.
        wanted: Isolation,
        /// What is required.
        required: Isolation,
    },
    /// No rung works.
    #[error("nothing can be executed here: no kind of isolation works")]
    NothingWorks {
        /// Every rung with the reason.
        table: Vec<String>,
        /// True when the container could be used itself.
        is_in_place_possible: bool,
    },
    /// Nothing can be built, whether it executes something or not: the store cannot be written to.
    #[error("nothing can be built here: {0}")]
    Store(Refusal),
    /// `--isolation=none`: nothing may be executed.
    #[error(
        "`--isolation=none` allows nothing to be executed, and this build has to execute something"
    )]
    NothingAllowed {
        /// Every rung that was tried.
        table: Vec<String>,
    },
}

fn best_available(best: Option<Rung>) -> String {
    match best {
        Some(rung) => format!("the best available is `{}`", rung.isolation()),
        None => "nothing is available".to_owned(),
    }
}

impl LadderError {
    /// The lines of the table of rungs, where the error has one.
    pub fn table(&self) -> &[String] {
        match self {
            Self::NothingWorks { table, .. } | Self::NothingAllowed { table } => table,
            _ => &[],
        }
    }

    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        match self {
            Self::Unavailable {
                refusal, instead, ..
            } => {
                hints.push(refusal.remedy.clone());
                hints.extend(
                    instead.map(|rung| format!("`--isolation={}` works here", rung.isolation())),
                );
            }
            Self::NotMet { refusal, .. } => hints.push(refusal.remedy.clone()),
            Self::Contradiction { .. } => hints.push("leave one of the two flags out".to_owned()),
            Self::NothingWorks {
                is_in_place_possible,
                ..
            } => {
                hints.push(SEE_DOCTOR.to_owned());
                if *is_in_place_possible {
                    hints.push(IN_PLACE.to_owned());
                }
                hints.push(DIRECT.to_owned());
            }
            Self::Store(refusal) => hints.push(refusal.remedy.clone()),
            Self::NothingAllowed { .. } => hints.push(DIRECT.to_owned()),
        }
        hints
    }
}

/// When [`Rung::InPlace`] may be used.
pub const IN_PLACE: &str = "if this container was started from the builder image, `--isolation=in-place` runs the scripts in it, and changes it";
/// Where the table is, with all reasons.
pub const SEE_DOCTOR: &str = "`overcoat doctor` says what would enable each";
const DIRECT: &str = "`--strategy direct` works everywhere: it executes nothing";

/// Takes a rung. `verdicts` are those of the rungs that were tried, at most one for each; a rung without a verdict
/// counts as one that does not work, so `wanted` and everything stronger should have been tried.
///
/// # Errors
/// [`LadderError`], when nothing works, or not what is `wanted` or `required`.
pub fn choose(
    verdicts: &[Verdict],
    wanted: Isolation,
    required: Option<Isolation>,
) -> Result<Chosen, LadderError> {
    if wanted == Isolation::None {
        return Err(LadderError::NothingAllowed {
            table: table(verdicts),
        });
    }
    let required = required
        .filter(|required| !required.rungs().is_empty())
        .unwrap_or_default();
    let is_contradiction =
        wanted != Isolation::Auto && !wanted.rungs().iter().any(|rung| required.is_met_by(*rung));
    if is_contradiction {
        return Err(LadderError::Contradiction { wanted, required });
    }
    // In place nothing of the store is executed: what stops it there stops every build.
    let in_place = verdicts
        .iter()
        .find(|verdict| verdict.rung == Rung::InPlace);
    if let Some(Err(refusal)) = in_place.map(|verdict| &verdict.outcome)
        && refusal.code == IsoCode::Iso13
    {
        return Err(LadderError::Store(refusal.clone()));
    }
    let best = best_of(verdicts, Isolation::Auto.rungs());
    let Some((rung, details)) = best_of(verdicts, wanted.rungs()) else {
        if wanted != Isolation::Auto {
            let instead = best.map(|(rung, _)| rung);
            return Err(LadderError::Unavailable {
                wanted,
                refusal: decisive(verdicts, wanted),
                instead,
            });
        }
        if required != Isolation::Auto {
            return Err(LadderError::NotMet {
                required,
                refusal: decisive(verdicts, required),
                best: None,
            });
        }
        return Err(LadderError::NothingWorks {
            table: table(verdicts),
            is_in_place_possible: best_of(verdicts, Isolation::InPlace.rungs()).is_some(),
        });
    };
    if !required.is_met_by(rung) {
        let refusal = decisive(verdicts, required);
        return Err(LadderError::NotMet {
            required,
            refusal,
            best: Some(rung),
        });
    }
    let refused = |verdict: &Verdict| Some((verdict.rung, verdict.outcome.clone().err()?));
    let mut passed_over: Vec<_> = verdicts
        .iter()
        .filter(|verdict| verdict.rung < rung)
        .filter_map(refused)
        .collect();
    passed_over.sort_by_key(|(rung, _)| *rung);
    Ok(Chosen {
        rung,
        details: details.clone(),
        passed_over,
    })
}

fn best_of<'a>(verdicts: &'a [Verdict], rungs: &[Rung]) -> Option<(Rung, &'a Details)> {
    let works = |rung: &Rung| {
        let verdict = verdicts.iter().find(|verdict| verdict.rung == *rung)?;
        Some((*rung, verdict.outcome.as_ref().ok()?))
    };
    rungs.iter().find_map(works)
}

/// The refusal that a person must deal with to get `wanted`: of several rungs, that of the one that is meant for this
/// user, which is the one that is not refused as such.
fn decisive(verdicts: &[Verdict], wanted: Isolation) -> Refusal {
    let refusals = || {
        let of = |rung: &Rung| verdicts.iter().find(|verdict| verdict.rung == *rung);
        wanted
            .rungs()
            .iter()
            .filter_map(of)
            .filter_map(|verdict| verdict.outcome.as_ref().err())
    };
    let decisive = refusals()
        .find(|refusal| refusal.code != IsoCode::Iso16)
        .or_else(|| refusals().next());
    decisive.cloned().unwrap_or_else(|| Refusal {
        code: IsoCode::Iso16,
        cause: format!("`{wanted}` was not tried"),
        remedy: "see `overcoat doctor`".to_owned(),
        call: "not tried".to_owned(),
    })
}

/// One line for each verdict: the rung, whether it works, why not.
pub fn table(verdicts: &[Verdict]) -> Vec<String> {
    let line = |verdict: &Verdict| match &verdict.outcome {
        Ok(_) => format!("{:<13}  works", verdict.rung),
        Err(refusal) => format!("{:<13}  {refusal}", verdict.rung),
    };
    verdicts.iter().map(line).collect()
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
