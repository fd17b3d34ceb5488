//! A project's build and push: two operations, each with its hooks and its record.

use std::path::Path;
use std::sync::Arc;

use super::{Delivered, Order, Told, Watcher, facts, perform, told};
use crate::build::{self, BuildReport, BuildRequest};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::records::Place;
use crate::cli::{env, observer};
use crate::event::{Observer, Silent};
use crate::http::Http;
use crate::project::{Operation, Project};
use crate::registry::RegistryClient;
use crate::release::history;
use crate::release::operation::Done;
use crate::release::propagation::Pushed;
use crate::source::git;

impl Order<'_> {
    /// The build, and the push, each with its hooks and its record.
    pub(super) fn recorded(
        &self,
        request: &BuildRequest,
        project: &Project,
        application: &str,
        told: &Told<'_>,
    ) -> Result<Delivered, Diagnostic> {
        let place = Place::of(project.clone(), self.shared)?;
        let environment = self.args.records.asked();
        let commit = git::commit(&env::git(), &request.source, &Silent);
        let begin = |operation, facts| {
            let mut begin = place.beginning(operation, application, environment, facts);
            begin.commit.clone_from(&commit);
            begin.labels.extend(self.args.labels.iter().cloned());
            begin
        };
        let observer = observer(self.shared, self.args.s2i.common.quiet)?;
        let is_pushed = request.push.is_wanted();
        // A file that cannot be written takes back nothing of what was done.
        let mut untold = None;
        let built = place.perform(
            begin(Operation::Build, history::Facts::default()),
            observer.as_ref(),
            |observer, running| {
                let log = running.map(|running| place.history.log_path(running.id()));
                let watcher = Watcher {
                    observer,
                    log: log.as_deref(),
                };
                let delivered = self.build(request, Some(watcher))?;
                let Some(report) = &delivered.report else {
                    return Err(Diagnostic::told(delivered.status));
                };
                let mut result_file = None;
                if !is_pushed {
                    untold = told.write(report).err();
                    result_file = told.result_file().filter(|_| untold.is_none());
                }
                Ok(Done {
                    facts: facts::recorded(&facts::of(report, None)?),
                    platforms: told::platforms(report),
                    result_file,
                    value: delivered,
                })
            },
        )?;
        let delivered = match is_pushed {
            false => built.value,
            true => {
                let record = built.record.iter();
                let links = record.map(|record| (Operation::Build, record.id.clone()));
                let facts = match &built.value.report {
                    Some(report) => facts::recorded(&facts::of(report, None)?),
                    None => history::Facts::default(),
                };
                let facts = history::Facts {
                    links: links.collect(),
                    ..facts
                };
                let begin = begin(Operation::Push, facts);
                let pushed = place.perform(begin, observer.as_ref(), |observer, _| {
                    let (delivered, report) = self.push(built.value, observer)?;
                    untold = told.write(&report).err();
                    Ok(Done {
                        value: delivered,
                        facts: history::Facts::default(),
                        platforms: told::platforms(&report),
                        result_file: told.result_file().filter(|_| untold.is_none()),
                    })
                })?;
                pushed.value
            }
        };
        untold.map_or(Ok(delivered), Err)
    }

    /// Sends what was built to the registries of its names, and tells who started this command.
    fn push(
        &self,
        built: Delivered,
        observer: &dyn Observer,
    ) -> Result<(Delivered, BuildReport), Diagnostic> {
        let (Some(sender), Some(mut report)) = (&built.sender, built.report.clone()) else {
            let what = "nothing was prepared for the push";
            return Err(Diagnostic::new(Code::Internal, what));
        };
        sender.send(&report, &built.tags, self.shared, observer)?;
        self.await_sight(&built, observer)?;
        report.is_pushed = true;
        if let Some(file) = &self.shared.report_file {
            perform::write_report(file, &report)?;
        }
        let report_of_all = report.clone();
        let built = Delivered {
            report: Some(report),
            ..built
        };
        Ok((built, report_of_all))
    }

    /// Waits until what was pushed is seen, if that was asked for.
    pub(super) fn await_sight(
        &self,
        delivered: &Delivered,
        observer: &dyn Observer,
    ) -> Result<(), Diagnostic> {
        let propagation = self.args.propagation;
        let (true, Some(report)) = (propagation.is_given(), &delivered.report) else {
            return Ok(());
        };
        let mut host = env::host_for(self.shared, Path::new(&self.target.source))?;
        if let Some(file) = self.args.s2i.common.dockercfg() {
            host.registries.auth_files.insert(0, file.to_owned());
        }
        let hosts = delivered.tags.iter().map(|tag| tag.reference.host());
        let creds = &self.args.creds;
        creds.apply(&mut host.registries, hosts, self.shared, false)?;
        let http = Http::new(&host.network).map_err(build::Error::from)?;
        let registry = RegistryClient::new(Arc::new(http), host.registries);
        let pushed = delivered.tags.iter().map(|tag| Pushed {
            reference: tag.reference.clone(),
            digest: report.digest.clone(),
        });
        propagation.wait(&pushed.collect::<Vec<_>>(), &registry, observer)
    }
}
