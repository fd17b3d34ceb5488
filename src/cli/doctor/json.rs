//! The findings for programs. Keys are an interface: docs/doctor.md lists them.

use serde_json::{Value, json};

use super::Findings;
use crate::sandbox::ladder::{Chosen, Details, LadderError, Refusal, Verdict};

/// Counts up when a key changes its meaning or goes.
const SCHEMA: u32 = 1;

pub(super) fn json(findings: &Findings) -> Value {
    let rungs: Vec<_> = findings
        .verdicts
        .iter()
        .map(|verdict| rung(verdict, findings.prober.is_meant(verdict.rung)))
        .collect();
    json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "can_build": findings.chosen.is_ok(),
        "chosen": findings.chosen.as_ref().ok().map(chosen),
        "error": findings.chosen.as_ref().err().map(error),
        "rungs": rungs,
        "ingredients": findings.ingredients,
        "registry": findings.registry,
    })
}

fn chosen(chosen: &Chosen) -> Value {
    json!({
        "rung": chosen.rung,
        "isolation": chosen.rung.isolation().name(),
        "warning": chosen.warning(),
    })
}

fn error(error: &LadderError) -> Value {
    json!({ "message": error.to_string(), "hints": error.hints() })
}

fn rung(verdict: &Verdict, is_meant: bool) -> Value {
    json!({
        "rung": verdict.rung,
        "isolation": verdict.rung.isolation().name(),
        "for_this_user": is_meant,
        "works": verdict.outcome.is_ok(),
        "refusal": verdict.outcome.as_ref().err(),
        "parts": verdict.outcome.as_ref().ok().map(parts),
        "notes": verdict.outcome.as_ref().map(|details| details.notes.clone()).unwrap_or_default(),
    })
}

fn parts(details: &Details) -> Value {
    let part = |result: &Result<(), Refusal>| json!({ "works": result.is_ok(), "refusal": result.as_ref().err() });
    json!({
        "overlay": part(&details.overlay),
        "fresh_proc": part(&details.fresh_proc),
        "network_namespace": part(&details.network_namespace),
        "cgroup_namespace": part(&details.cgroup_namespace),
        "ledger": part(&details.ledger),
    })
}
