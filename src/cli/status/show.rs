//! What clusters say, as people and programs read it.

use serde_json::{Value, json};

use super::cluster::{Now, Row};
use super::json_of;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::records::table;
use crate::event::printable;
use crate::kubernetes::rollout::Health;

/// One element of the JSON.
pub(super) fn as_json(row: &Row<'_>, now: &Result<Now, Diagnostic>) -> Value {
    let mut value = match row.status {
        Some(status) => json_of(status),
        None => json!({"application": row.application, "environment": row.environment}),
    };
    value["cluster"] = match now {
        Err(diagnostic) => json!({"error": diagnostic.what}),
        Ok(now) => {
            let report = now.report.as_ref();
            json!({
                "cluster": now.cluster,
                "namespace": now.namespace,
                "workload": now.workload,
                "container": report.map(|report| &report.container),
                "image": report.map(|report| &report.image),
                "digests": report.map(|report| &report.digests),
                "ready": report.map(|report| report.ready),
                "desired": report.map(|report| report.desired),
                "health": health(now),
                "why": report.map(|report| &report.why).filter(|why| !why.is_empty()),
                "drift": now.drift,
            })
        }
    };
    value
}

fn health(now: &Now) -> &'static str {
    now.report
        .as_ref()
        .map_or("absent", |report| Health::name(report.health))
}

/// The table.
pub(super) fn as_table(rows: &[Row<'_>], found: &[Result<Now, Diagnostic>]) -> String {
    let head = [
        "APPLICATION",
        "ENVIRONMENT",
        "CLUSTER",
        "NAMESPACE",
        "WORKLOAD",
        "IMAGE",
        "READY",
        "HEALTH",
        "RECORD",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().zip(found).map(|(row, now)| {
        let mut cells = vec![row.application.to_owned(), row.environment.to_owned()];
        let dash = || "-".to_owned();
        let has_record = row.status.is_some_and(|status| status.live.is_some());
        match now {
            Err(_) => {
                let context = row.context.clone().unwrap_or_else(dash);
                let namespace = row.namespace.clone().unwrap_or_else(dash);
                cells.extend([context, namespace, row.name.clone(), dash(), dash()]);
                let unknown = || "unknown".to_owned();
                cells.extend([unknown(), if has_record { unknown() } else { dash() }]);
            }
            Ok(now) => {
                let report = now.report.as_ref();
                let pods = report.map(|report| format!("{}/{}", report.ready, report.desired));
                cells.extend([
                    now.cluster.clone(),
                    now.namespace.clone(),
                    now.workload.clone(),
                    report.map_or_else(dash, |report| shortened(&report.image)),
                    pods.unwrap_or_else(dash),
                    health(now).to_owned(),
                ]);
                cells.push(match (&now.drift, has_record) {
                    (Some(_), _) => "differs".to_owned(),
                    (None, true) => "same".to_owned(),
                    (None, false) => dash(),
                });
            }
        }
        cells
    }));
    table::columns(&lines)
}

/// An image with the beginning of its digest, as lists of records show it.
fn shortened(image: &str) -> String {
    match image.split_once("@sha256:") {
        Some((name, hex)) => {
            let hex: String = hex.chars().take(12).collect();
            printable(&format!("{name} {hex}"))
        }
        None => printable(image),
    }
}
