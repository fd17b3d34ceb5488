//! What is known of each `app.py` as it was delivered, best first: the commit that the command line names, the lock file, git, the image that the manifest names now,
//! another pod of the same kind.

use super::{Args, Plan};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{env, open_store, project};
use crate::event::{Event, Observer};
use crate::image::{Image, Platform};
use crate::reference::Reference;
use crate::registry::{Layers, RegistryClient};
use crate::release::hopr::{
    Baseline, Lock, MOST_MODULE_BYTES, Pod, baseline, check, compare, hooks, lock,
};
use crate::release::inside;
use crate::source;
use crate::store::BlobStore;

/// Where an application's files are, in images of ours and in those of the delivered Dockerfile.
const PLACES: [&str; 2] = ["/app/app.py", "/opt/app-root/src/app.py"];

/// All that may know of delivered texts.
pub(super) struct Baselines<'a> {
    args: &'a Args,
    root: std::path::PathBuf,
    lock: Option<Lock>,
    git: source::Host,
    /// Where images are looked for and pulled to; one of our own for a dry run, with the person's beside it.
    store: BlobStore,
    beside: Option<BlobStore>,
    _scratch: Option<tempfile::TempDir>,
    client: RegistryClient,
    /// Each pod with its text taken apart, if that can be done.
    others: Vec<(Pod, Option<compare::Read>)>,
}

impl<'a> Baselines<'a> {
    pub(super) fn new(args: &'a Args, plan: &Plan, shared: &Shared) -> Result<Self, Diagnostic> {
        let others = plan.pods.iter().map(|planned| {
            let text = check::text(&planned.pod.module())?;
            Ok((planned.pod.clone(), compare::read(&text).ok()))
        });
        let (store, beside, scratch) = stores(args, shared)?;
        Ok(Self {
            args,
            root: plan.root.clone(),
            lock: Lock::read(&plan.root)?,
            git: env::git(),
            store,
            beside,
            _scratch: scratch,
            client: project::registry_client(shared, &plan.place.project)?,
            others: others.collect::<Result<_, crate::release::hopr::Error>>()?,
        })
    }

    /// The best that is known of a pod whose text is this now.
    ///
    /// # Errors
    /// [`Code::Refused`] when the commit that the command line names cannot be compared with: nothing else takes its place.
    pub(super) fn of(
        &self,
        pod: &Pod,
        text: &str,
        observer: &dyn Observer,
    ) -> Result<Option<Baseline>, Diagnostic> {
        match &self.args.baseline {
            Some(revision) => self.at_revision(pod, revision).map(Some),
            None => Ok(self.known(pod, text, observer)),
        }
    }

    fn git(&self) -> Option<baseline::Git<'_>> {
        Some(baseline::Git {
            program: self.git.git.as_ref()?,
            variables: &self.git.variables,
        })
    }

    fn at_revision(&self, pod: &Pod, revision: &str) -> Result<Baseline, Diagnostic> {
        let path = pod.module();
        let refused = |why: &str| {
            let name = lock::name(&self.root, &path);
            Diagnostic::new(
                Code::Refused,
                format!("`--baseline {revision}`: {why} that has `{name}`"),
            )
            .hint("name a commit of the blueprint's git repository, `git log` lists them; without `--baseline` it is found out what was delivered")
        };
        let git = self
            .git()
            .ok_or_else(|| refused("there is no `git` to find a commit"))?;
        let (text, commit) = baseline::at_revision(&git, &path, revision)
            .ok_or_else(|| refused("git knows no such commit"))?;
        let from = commit_named(&commit);
        let read = compare::read(&text)
            .map_err(|_| refused("Section 2 cannot be made out in the text of the commit"))?;
        let parts = read.parts;
        Ok(Baseline { from, parts })
    }

    fn known(&self, pod: &Pod, text: &str, observer: &dyn Observer) -> Option<Baseline> {
        let parts = |text: &str| Some(compare::read(text).ok()?.parts);
        let path = pod.module();
        let locked = self
            .lock
            .as_ref()
            .and_then(|known| known.get(&lock::name(&self.root, &path)));
        if let Some(parts) = locked {
            let from = lock::FILE.to_owned();
            return Some(Baseline { from, parts });
        }
        let in_git = self.git().map(|git| baseline::at_first_commit(&git, &path));
        match in_git {
            Some(baseline::Known::Text { text, commit }) => {
                let from = commit_named(&commit);
                return parts(&text).map(|parts| Baseline { from, parts });
            }
            Some(baseline::Known::Shallow) => {
                observer.observe(super::checks::shallow(&lock::name(&self.root, &path)));
            }
            Some(baseline::Known::Nothing) | None => {}
        }
        let image = pod
            .workload
            .image
            .as_deref()
            .and_then(|image| image.parse::<Reference>().ok());
        if let Some(image) = image {
            match self.in_image(&image, observer) {
                Ok(Some(text)) => {
                    let from = format!("the image {image}");
                    return parts(&text).map(|parts| Baseline { from, parts });
                }
                Ok(None) => {}
                Err(error) => observer.observe(Event::Note {
                    text: format!(
                        "the image `{image}` cannot be compared with: {}",
                        error.what
                    ),
                }),
            }
        }
        let own = compare::read(text).ok()?;
        let kind = hooks::defined(&own.module, own.place);
        let mut others = self
            .others
            .iter()
            .filter(|(other, _)| other.name != pod.name);
        let alike = others.find_map(|(other, read)| {
            let read = read.as_ref()?;
            let is_alike = !kind.is_empty() && hooks::defined(&read.module, read.place) == kind;
            is_alike.then_some((other, read))
        });
        let (other, read) = alike?;
        Some(Baseline {
            from: format!("the pod `{}`", other.name),
            parts: read.parts.clone(),
        })
    }

    /// An image that is here already. Of the store that a dry run must not write to, only one that is whole.
    fn stored(&self, name: &Reference) -> Result<Option<(Image, &BlobStore)>, Diagnostic> {
        for store in std::iter::once(&self.store).chain(&self.beside) {
            let is_own = std::ptr::eq(store, &self.store);
            let known = store.resolve(name)?;
            let image = known.and_then(|named| store.image(&named.manifest).ok());
            if let Some(image) =
                image.filter(|image| is_own || store.lacks(&image.into()).is_empty())
            {
                return Ok(Some((image, store)));
            }
        }
        Ok(None)
    }

    /// `app.py` as an image has it: of the store, else of its registry.
    fn in_image(
        &self,
        name: &Reference,
        observer: &dyn Observer,
    ) -> Result<Option<String>, Diagnostic> {
        let (image, store): (Image, &BlobStore) = match self.stored(name)? {
            Some(found) => found,
            None => {
                let pulled =
                    self.client
                        .pull(name, &Platform::host(), &self.store, Layers::None, observer);
                (pulled?, &self.store)
            }
        };
        let directory = image
            .config
            .parsed
            .working_directory()
            .trim_end_matches('/');
        let mut places = vec![format!("{directory}/app.py")];
        places.extend(PLACES.map(str::to_owned));
        places.dedup();
        let mut fetch = |layer: &crate::image::Descriptor| {
            if !store.has(layer) {
                self.client
                    .fetch_blobs(vec![layer], name, store, observer)?;
            }
            Ok(())
        };
        for place in places {
            let found = inside::file(&image, &place, MOST_MODULE_BYTES, store, &mut fetch);
            if let Some(bytes) =
                found.map_err(|error| Diagnostic::new(Code::DamagedImage, error))?
            {
                return Ok(String::from_utf8(bytes).ok());
            }
        }
        Ok(None)
    }
}

/// A dry run writes nothing, not even an empty store.
fn stores(
    args: &Args,
    shared: &Shared,
) -> Result<(BlobStore, Option<BlobStore>, Option<tempfile::TempDir>), Diagnostic> {
    if !args.dry_run {
        return Ok((open_store(shared)?, None, None));
    }
    let scratch = tempfile::tempdir().map_err(|error| {
        crate::fs::Error::new("create a directory in", std::env::temp_dir(), error)
    })?;
    let root = env::store(shared)?;
    let beside = match root.join("oci-layout").exists() {
        true => Some(BlobStore::open(&root)?),
        false => None,
    };
    Ok((BlobStore::open(scratch.path())?, beside, Some(scratch)))
}

pub(super) fn commit_named(commit: &str) -> String {
    format!("the commit {}", &commit[..12.min(commit.len())])
}
