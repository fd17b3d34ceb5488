//! `overcoat status --cluster`: what runs now, beside what is on record. Asked on demand; nothing of it is kept.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::show::{as_json, as_table};
use crate::cli::args::Shared;
use crate::cli::cluster::Flags;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::records::{Place, reach};
use crate::cli::watch::expand::expand;
use crate::cli::{print, print_json};
use crate::event::{Event, Observer};
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::rollout::{Image, Kind, Report, Wanted};
use crate::kubernetes::watch::{self, Reconcile, Wish};
use crate::project::{Application, Environment};
use crate::release::history::{DEFAULT_ENVIRONMENT, Endpoint, Record, Target};
use crate::release::status::Status;

/// Who asks.
pub(super) struct Asked<'a> {
    pub(super) place: &'a Place,
    pub(super) shared: &'a Shared,
    pub(super) flags: &'a Flags,
    pub(super) observer: &'a dyn Observer,
}

/// An application in an environment, and where it should be.
pub(super) struct Row<'a> {
    pub(super) application: &'a str,
    pub(super) environment: &'a str,
    pub(super) status: Option<&'a Status>,
    pub(super) context: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) kind: Option<Kind>,
    pub(super) name: String,
    pub(super) container: Option<String>,
}

/// What a cluster says of it.
pub(super) struct Now {
    pub(super) cluster: String,
    pub(super) namespace: String,
    pub(super) workload: String,
    /// Nothing when there is no such workload or container.
    pub(super) report: Option<Report>,
    /// In what it differs from the records.
    pub(super) drift: Option<String>,
}

/// Asks, and prints; JSON is that of `overcoat status` with one key more, `cluster`.
///
/// # Errors
/// What a cluster that cannot be asked says, after the others were printed: [`Code::Cluster`], [`Code::Forbidden`].
pub(super) fn run(
    asked: &Asked<'_>,
    statuses: &[Status],
    applications: &[String],
    environment: Option<&str>,
    is_json: bool,
) -> Result<(), Diagnostic> {
    let rows = rows(asked.place, statuses, applications, environment)?;
    if rows.is_empty() {
        let text = "nothing was deployed, and no environment of the project has a context: there is no workload to ask for";
        asked.observer.observe(Event::Warning {
            text: text.to_owned(),
            hint: Some(
                "`--environment NAME` asks for all applications of the project there".to_owned(),
            ),
        });
        return if is_json {
            print_json(&json!([]))
        } else {
            Ok(())
        };
    }
    let mut clusters = BTreeMap::new();
    let mut found = Vec::new();
    for row in &rows {
        let now = ask(asked, row, &mut clusters);
        if let Err(diagnostic) = &now
            && diagnostic.code == Code::Interrupted
        {
            return now.map(|_| ());
        }
        found.push(now);
    }
    match is_json {
        true => {
            let values = rows.iter().zip(&found).map(|(row, now)| as_json(row, now));
            print_json(&Value::Array(values.collect()))?;
        }
        false => print(&as_table(&rows, &found))?,
    }
    for (row, now) in rows.iter().zip(&found) {
        let told = match now {
            Ok(now) => [now.drift.as_ref(), now.report.as_ref().map(|one| &one.why)],
            Err(_) => continue,
        };
        let told = told.into_iter().flatten().filter(|text| !text.is_empty());
        for text in told {
            let text = format!("{} in {}: {text}", row.application, row.environment);
            asked.observer.observe(Event::Warning { text, hint: None });
        }
    }
    match found.into_iter().find_map(Result::err) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

/// What is on record, and what the project says of environments that have a context, or of the one that was named.
fn rows<'a>(
    place: &'a Place,
    statuses: &'a [Status],
    applications: &[String],
    environment: Option<&'a str>,
) -> Result<Vec<Row<'a>>, Diagnostic> {
    let project = &place.project;
    let mut rows = Vec::new();
    for status in statuses {
        let of_project = project.environments.iter();
        let of_project = of_project
            .clone()
            .find(|one| one.name == status.environment);
        let known = project.application(&status.application).ok();
        let target = status
            .live
            .as_ref()
            .and_then(|live| live.facts.target.as_ref());
        let has_context = of_project.is_some_and(|one| one.context.is_some());
        if status.live.is_some() || has_context || environment.is_some() {
            let row = row(
                &status.application,
                &status.environment,
                known,
                of_project,
                target,
            );
            rows.push(Row {
                status: Some(status),
                ..row?
            });
        }
    }
    for one in &project.environments {
        let is_meant = match environment {
            Some(name) => name == one.name,
            None => one.context.is_some(),
        };
        for application in project.applications.iter().filter(|_| is_meant) {
            let is_there =
                |row: &Row<'_>| row.application == application.name && row.environment == one.name;
            let is_asked = applications.is_empty() || applications.contains(&application.name);
            if is_asked && !rows.iter().any(is_there) {
                rows.push(row(
                    &application.name,
                    &one.name,
                    Some(application),
                    Some(one),
                    None,
                )?);
            }
        }
    }
    rows.sort_by_key(|row| (row.application, row.environment));
    Ok(rows)
}

/// Where an application should be: where it was deployed to, else as the project says.
fn row<'a>(
    application: &'a str,
    environment: &'a str,
    known: Option<&Application>,
    place: Option<&Environment>,
    target: Option<&Target>,
) -> Result<Row<'a>, Diagnostic> {
    let setting = |setting: Option<&crate::project::Setting<String>>| {
        setting.map(|setting| setting.value.clone())
    };
    let mut context = setting(place.and_then(|place| place.context.as_ref()));
    let mut namespace = setting(place.and_then(|place| place.namespace.as_ref()));
    let mut workload = setting(known.and_then(|known| known.workload.as_ref()));
    let mut container = setting(known.and_then(|known| known.container.as_ref()));
    match target {
        Some(Target::Cluster {
            context: to,
            namespace: within,
            workload: name,
            container: inner,
        }) => {
            context = to.clone().or(context);
            namespace = Some(within.clone());
            (workload, container) = (Some(name.clone()), Some(inner.clone()));
        }
        Some(Target::Manifests {
            workload: name,
            container: inner,
            namespace: within,
            ..
        }) => {
            namespace = within.clone().or(namespace);
            workload = name.clone().or(workload);
            container = inner.clone().or(container);
        }
        _ => {}
    }
    let workload = workload.unwrap_or_else(|| application.to_owned());
    let (kind, name) = match workload.split_once('/') {
        None => (None, workload.clone()),
        Some((kind, name)) => {
            let kind: Kind = kind.parse().map_err(|error| {
                Diagnostic::new(Code::Usage, error)
                    .attempting(format!("cannot ask for {application} in {environment}"))
            })?;
            (Some(kind), name.to_owned())
        }
    };
    Ok(Row {
        application,
        environment,
        status: None,
        context,
        namespace,
        kind,
        name,
        container: container.filter(|name| !name.is_empty()),
    })
}

/// By context, namespace and how it was reached at the deployment.
type Clusters =
    BTreeMap<(Option<String>, Option<String>, Option<Endpoint>), Result<Cluster, Diagnostic>>;

/// Asks one cluster for one workload. A cluster is connected with once; one that cannot be is not tried again.
fn ask(asked: &Asked<'_>, row: &Row<'_>, clusters: &mut Clusters) -> Result<Now, Diagnostic> {
    let live = row.status.and_then(|status| status.live.as_ref());
    let endpoint = live.and_then(|live| live.facts.endpoint.clone());
    let key = (row.context.clone(), row.namespace.clone(), endpoint);
    if !clusters.contains_key(&key) {
        clusters.insert(key.clone(), connect(asked, row));
    }
    let cluster = match &clusters[&key] {
        Ok(cluster) => cluster,
        Err(diagnostic) => return Err(diagnostic.clone()),
    };
    let mut wishes = [Wish {
        namespace: cluster.namespace().to_owned(),
        kind: row.kind,
        name: row.name.clone(),
        wanted: Wanted {
            container: row.container.clone(),
            image: live.and_then(recorded),
        },
        reconcile: Reconcile::Never,
        with_source: false,
        awaits_creation: false,
        ready: Vec::new(),
    }];
    let deadline = Instant::now() + asked.flags.cluster_timeout;
    let objects = watch::Asked::new(cluster, asked.observer, deadline);
    let mut found = watch::look(&objects, &wishes[0]);
    if let Ok((_, report)) = &found
        && report.is_perhaps_platform
        && expand(
            &mut wishes,
            asked.shared,
            &asked.place.project,
            asked.observer,
        )
    {
        found = watch::look(&objects, &wishes[0]);
    }
    let target = cluster.target();
    let mut now = Now {
        cluster: target
            .context
            .clone()
            .unwrap_or_else(|| target.server.clone()),
        namespace: cluster.namespace().to_owned(),
        workload: match row.kind {
            Some(kind) => format!("{kind}/{}", row.name),
            None => row.name.clone(),
        },
        report: None,
        drift: None,
    };
    match found {
        Ok((kind, report)) => {
            now.workload = format!("{kind}/{}", row.name);
            now.drift.clone_from(&report.drift);
            now.report = Some(report);
        }
        // That something on record is not there is what was asked; with nothing on record there is nothing to differ from.
        Err(error @ (watch::Error::NoWorkload { .. } | watch::Error::NoContainer { .. })) => {
            now.drift = live.map(|_| error.to_string());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(now)
}

fn connect(asked: &Asked<'_>, row: &Row<'_>) -> Result<Cluster, Diagnostic> {
    let live = row.status.and_then(|status| status.live.as_ref());
    let endpoint = live.and_then(|live| live.facts.endpoint.as_ref());
    let (flags, access) = match (endpoint, &row.namespace) {
        // The same cluster as then, by the same kubeconfig.
        (Some(_), Some(namespace)) => {
            let at = reach::At {
                context: row.context.as_deref(),
                namespace,
                endpoint,
            };
            let then = reach::Asked {
                root: &asked.place.project.root,
                flags: asked.flags,
                is_confirmed: false,
                shared: asked.shared,
            };
            reach::access(&at, &then)?
        }
        _ => {
            let flags = Flags {
                context: asked.flags.context.clone().or_else(|| row.context.clone()),
                ..asked.flags.clone()
            };
            let access = flags.access(asked.shared, None, row.namespace.as_deref())?;
            (flags, access)
        }
    };
    let cluster = Cluster::connect(&access, flags.within(asked.observer));
    cluster.map_err(|error| {
        Diagnostic::from(error).attempting(format!(
            "what runs of {} in {} is not known",
            row.application,
            match row.environment {
                DEFAULT_ENVIRONMENT => "the default environment",
                name => name,
            }
        ))
    })
}

/// The image that a deployment brought.
fn recorded(live: &Record) -> Option<Image> {
    let mut image = Image::new(live.image()?.parse().ok()?);
    image.digests.extend(live.facts.digest.clone());
    Some(image)
}
