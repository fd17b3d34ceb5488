//! The ingredients of a sandbox, one by one: what `overcoat doctor` lists below the rungs.

use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::facts::{Cgroups, Facts, Helper, WANTED_IDS};
use crate::sandbox::identity::SubordinateIds;
use crate::sandbox::ladder::{Details, IsoCode, Refusal, Rung, Verdict};

/// Whether an ingredient is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It works.
    Yes,
    /// It does not, and some rung wants it.
    No,
    /// Neither: something to know.
    Info,
}

/// One ingredient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ingredient {
    /// Its name, which stays the same: `user-namespaces`; a sysctl has its own.
    pub name: &'static str,
    /// Whether it is there.
    pub state: State,
    /// What was found, in a few words without a full stop.
    pub text: String,
}

/// The capabilities that rungs ask for.
const CAPABILITIES: [(&str, CapabilitySet); 7] = [
    ("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN),
    ("CAP_SYS_CHROOT", CapabilitySet::SYS_CHROOT),
    ("CAP_CHOWN", CapabilitySet::CHOWN),
    ("CAP_SETUID", CapabilitySet::SETUID),
    ("CAP_SETGID", CapabilitySet::SETGID),
    ("CAP_SETFCAP", CapabilitySet::SETFCAP),
    ("CAP_MKNOD", CapabilitySet::MKNOD),
];

/// Lists the ingredients, in an order that does not change. `verdicts` are those of a survey.
pub fn ingredients(facts: &Facts, verdicts: &[Verdict]) -> Vec<Ingredient> {
    let mut list = vec![
        of("kernel", State::Info, format!("Linux {}", facts.kernel)),
        of(
            "user",
            State::Info,
            format!(
                "{} (id {})",
                facts.user.as_deref().unwrap_or("without a name"),
                facts.uid
            ),
        ),
        of(
            "container",
            State::Info,
            facts.container.unwrap_or("no sign of one").to_owned(),
        ),
        of("capabilities", State::Info, capabilities(facts)),
        of(
            "seccomp-filter",
            State::Info,
            if facts.has_seccomp_filter {
                "one applies"
            } else {
                "none"
            }
            .to_owned(),
        ),
        no_new_privileges(facts),
        security_module(facts),
        user_namespaces(verdicts),
        of(
            "mapped-ids",
            State::Info,
            format!("{} from 0 on", facts.mapped_ids),
        ),
        sysctl(
            "user.max_user_namespaces",
            facts.max_user_namespaces,
            |value| value > 0,
        ),
        sysctl(
            "kernel.unprivileged_userns_clone",
            facts.unprivileged_userns_clone,
            |value| value > 0,
        ),
        sysctl(
            "kernel.apparmor_restrict_unprivileged_userns",
            facts.apparmor_restrict_unprivileged_userns,
            |value| value == 0,
        ),
    ];
    list.extend(facts.helpers.iter().map(|found| helper(facts, found)));
    list.push(subordinate(facts, "subuid", facts.subordinate[0]));
    list.push(subordinate(facts, "subgid", facts.subordinate[1]));
    list.extend(parts(verdicts));
    let fuse = if facts.has_fuse {
        "`/dev/fuse` can be opened"
    } else {
        "`/dev/fuse` cannot be opened"
    };
    list.push(of(
        "fuse",
        State::Info,
        format!("{fuse}; nothing here needs it"),
    ));
    list.push(cgroups(&facts.cgroups));
    list.push(store(facts));
    list.push(disk(facts));
    list
}

fn of(name: &'static str, state: State, text: String) -> Ingredient {
    Ingredient { name, state, text }
}

fn yes_or_no(works: bool) -> State {
    if works { State::Yes } else { State::No }
}

fn capabilities(facts: &Facts) -> String {
    let missing = facts.lacks(&CAPABILITIES);
    match missing.len() {
        0 => "all that a rung asks for".to_owned(),
        all if all == CAPABILITIES.len() => "none that a rung asks for".to_owned(),
        _ => format!("without {}", missing.join(", ")),
    }
}

fn no_new_privileges(facts: &Facts) -> Ingredient {
    // Root needs no setuid program.
    let matters = facts.has_no_new_privileges && !facts.is_root();
    let text = if facts.has_no_new_privileges {
        "set: setuid programs give no privileges"
    } else {
        "not set"
    };
    of(
        "no-new-privileges",
        if matters { State::No } else { State::Info },
        text.to_owned(),
    )
}

fn security_module(facts: &Facts) -> Ingredient {
    let modules = facts
        .security_modules
        .as_deref()
        .unwrap_or("cannot be listed");
    let confined = match &facts.confinement {
        Some(confinement) => format!("runs as `{confinement}`"),
        None => "is not confined".to_owned(),
    };
    of(
        "security-modules",
        State::Info,
        format!("{modules}; this process {confined}"),
    )
}

fn user_namespaces(verdicts: &[Verdict]) -> Ingredient {
    let refusals: Vec<&Refusal> = verdicts
        .iter()
        .filter(|verdict| verdict.rung <= Rung::SingleId)
        .filter_map(|verdict| verdict.outcome.as_ref().err())
        .collect();
    // Later obstacles mean that one could be made and used.
    let blocks =
        |refusal: &&&Refusal| refusal.code <= IsoCode::Iso05 || refusal.code == IsoCode::Iso13;
    let all = verdicts
        .iter()
        .filter(|verdict| verdict.rung <= Rung::SingleId)
        .count();
    match refusals.iter().find(blocks) {
        Some(refusal) if refusals.len() == all => {
            let text = match refusal.code {
                IsoCode::Iso13 => format!("not tried: {}", refusal.code),
                code => format!("{code} {}", refusal.call),
            };
            of("user-namespaces", State::No, text)
        }
        _ => of("user-namespaces", State::Yes, "one can be made".to_owned()),
    }
}

fn sysctl(name: &'static str, value: Option<u64>, is_good: fn(u64) -> bool) -> Ingredient {
    match value {
        Some(value) => of(name, yes_or_no(is_good(value)), value.to_string()),
        None => of(name, State::Info, "this kernel does not have it".to_owned()),
    }
}

fn helper(facts: &Facts, helper: &Helper) -> Ingredient {
    let Some(path) = &helper.path else {
        let state = if facts.is_root() {
            State::Info
        } else {
            State::No
        };
        let text = if facts.is_root() {
            "not found; root does without"
        } else {
            "not found"
        };
        return of(helper.name, state, text.to_owned());
    };
    let power = match (helper.is_setuid_root, helper.has_file_capabilities) {
        (true, _) => "set-user-id root",
        (false, true) => "file capabilities",
        (false, false) => "neither set-user-id root nor file capabilities",
    };
    let nosuid = if helper.is_on_nosuid {
        ", on a `nosuid` mount"
    } else {
        ""
    };
    let has_power = (helper.is_setuid_root || helper.has_file_capabilities) && !helper.is_on_nosuid;
    of(
        helper.name,
        yes_or_no(has_power),
        format!("`{}`, {power}{nosuid}", path.display()),
    )
}

fn subordinate(facts: &Facts, name: &'static str, range: Option<SubordinateIds>) -> Ingredient {
    let user = facts.user_shown();
    let text = match range {
        Some(range) => format!("{} from {} on for `{user}`", range.count, range.start),
        None => format!("no range for `{user}`"),
    };
    if facts.is_root() {
        return of(name, State::Info, format!("{text}; root does without"));
    }
    of(
        name,
        yes_or_no(range.is_some_and(|range| range.count >= WANTED_IDS - 1)),
        text,
    )
}

/// What the strongest rung that works can do.
fn parts(verdicts: &[Verdict]) -> Vec<Ingredient> {
    type Part = (&'static str, fn(&Details) -> &Result<(), Refusal>);
    const PARTS: [Part; 5] = [
        ("overlay", |details| &details.overlay),
        ("fresh-proc", |details| &details.fresh_proc),
        ("network-namespace", |details| &details.network_namespace),
        ("cgroup-namespace", |details| &details.cgroup_namespace),
        ("user-notification", |details| &details.ledger),
    ];
    let works = |verdict: &&Verdict| verdict.outcome.is_ok();
    let best = verdicts
        .iter()
        .find(works)
        .and_then(|verdict| Some((verdict.rung, verdict.outcome.as_ref().ok()?)));
    let ingredient = |(name, part): Part| match best {
        None => of(name, State::Info, "not tried: no rung works".to_owned()),
        Some((rung, details)) => match part(details) {
            Ok(()) => of(name, State::Yes, format!("works on rung `{rung}`")),
            Err(refusal) => of(
                name,
                State::No,
                format!("{} {}", refusal.code, refusal.cause),
            ),
        },
    };
    PARTS.into_iter().map(ingredient).collect()
}

fn cgroups(cgroups: &Cgroups) -> Ingredient {
    let (Some(path), version) = (&cgroups.path, cgroups.version) else {
        return of(
            "cgroups",
            State::No,
            "none: the memory and time of a step cannot be limited".to_owned(),
        );
    };
    let path = path.display();
    if !cgroups.missing.is_empty() {
        let missing = cgroups.missing.join(" and ");
        return of(
            "cgroups",
            State::No,
            format!(
                "version {version}; `{path}` lacks the controller {missing}, so a step cannot be limited"
            ),
        );
    }
    match (cgroups.is_writable, version) {
        (true, _) => of(
            "cgroups",
            State::Yes,
            format!("version {version}; `{path}` can be written, so a step can be limited"),
        ),
        (false, 2) => of(
            "cgroups",
            State::No,
            format!(
                "version 2; `{path}` cannot be written, so a step cannot be limited; `systemd-run --user --scope \
                 --property=Delegate=yes overcoat …` gives a group that can"
            ),
        ),
        (false, _) => of(
            "cgroups",
            State::No,
            format!("version {version}; `{path}` cannot be written, so a step cannot be limited"),
        ),
    }
}

fn store(facts: &Facts) -> Ingredient {
    let place = &facts.store;
    let options = [
        (place.is_read_only, "ro"),
        (place.is_noexec, "noexec"),
        (place.is_nodev, "nodev"),
    ];
    let options: Vec<_> = options
        .iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, name)| format!(", `{name}`"))
        .collect();
    let absent = if place.path == place.existing {
        ""
    } else {
        " (not made yet)"
    };
    let kind = super::parts::file_system(facts);
    let text = format!(
        "`{}`{absent} on {kind}{}",
        place.path.display(),
        options.concat()
    );
    of(
        "store",
        if place.is_read_only {
            State::No
        } else {
            State::Info
        },
        text,
    )
}

fn disk(facts: &Facts) -> Ingredient {
    /// Twice what the default builder image takes, packed and unpacked, with the packages it is made from.
    const COMFORTABLE_BYTES: u64 = 500_000_000;
    let megabytes = |bytes: u64| bytes / 1_000_000;
    let (free, total) = (facts.store.free_bytes, facts.store.total_bytes);
    let text = format!("{} MB of {} MB are free", megabytes(free), megabytes(total));
    match free {
        0..COMFORTABLE_BYTES => of(
            "free-disk",
            State::No,
            format!("{text}; the default builder alone takes some 250 MB"),
        ),
        _ => of("free-disk", State::Yes, text),
    }
}
