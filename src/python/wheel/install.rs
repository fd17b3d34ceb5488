//! What an installation consists of, before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Record, Row};
use super::{EntryPoint, Error, Problem, Wheel, script};
use crate::layer::zip::{Member, ReadAt};
use crate::layer::{Entry, EntryPath, Kind};
use crate::python::Layout;

/// What `INSTALLER` says: who installed a distribution, and should remove it.
pub const INSTALLER: &str = "overcoat\n";

/// Where wheels are installed.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The target's directories, owner and umask.
    pub layout: &'a Layout,
    /// Directories that are known to be in the builder image, besides `site_packages`, `scripts`, `data` and what is
    /// above them: none of these is written, as that would change them.
    pub existing: &'a BTreeSet<EntryPath>,
    /// The modification time of everything, in seconds since 1970. Times in wheels are those of the machine that built
    /// them, in an unknown time zone; pip does not keep them either.
    pub epoch: i64,
}

impl Site<'_> {
    /// True for a directory that the builder image has.
    fn has(&self, directory: &EntryPath) -> bool {
        let Layout {
            site_packages,
            scripts,
            data,
            ..
        } = self.layout;
        [site_packages, scripts, data]
            .iter()
            .any(|known| known.is_within(directory))
            || self.existing.contains(directory)
    }

    fn entry(&self, path: EntryPath, kind: Kind, mode: u32) -> Entry {
        let mut entry = Entry::new(path, kind, mode);
        entry.uid = self.layout.uid;
        entry.gid = self.layout.gid;
        entry.mtime = self.epoch;
        entry
    }

    /// The directories above `path` that the builder image lacks.
    pub(super) fn directories_above(&self, path: &EntryPath) -> Vec<Entry> {
        let mut found = Vec::new();
        let mut above = path.parent();
        while let Some(directory) = above.filter(|directory| !self.has(directory)) {
            above = directory.parent();
            let mode = 0o777 & !self.layout.umask;
            found.push(self.entry(directory, Kind::Directory, mode));
        }
        found
    }

    /// As a new file gets it.
    fn file_mode(&self) -> u32 {
        0o666 & !self.layout.umask
    }

    /// pip's `set_extracted_file_to_default_mode_plus_executable`.
    fn program_mode(&self) -> u32 {
        0o777 & !self.layout.umask | 0o111
    }

    /// distlib's `set_executable_mode` for the scripts that it makes.
    fn script_mode(&self) -> u32 {
        self.file_mode() | 0o555
    }
}

/// Where the content of a planned entry comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// It is a directory and has none.
    None,
    /// The member of the wheel's archive at this place.
    Member(usize),
    /// Made here.
    Generated(Vec<u8>),
}

/// One entry of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Path, kind, mode, owner and time.
    pub entry: Entry,
    /// What is in it.
    pub content: Content,
    /// A file's row in the installed `RECORD`.
    pub row: Option<Row>,
}

/// Everything that installing `wheel` writes, sorted by path, with the directories that the builder image lacks.
///
/// As pip: files of the root and of `.data/{purelib,platlib}` go to `site_packages`, those of `headers`, `scripts` and
/// `data` to their places; scripts that begin with `#!python` get the target's interpreter; entry points become
/// scripts, and a script of the wheel with an entry point's name is left out; a file that the archive marks as
/// executable is; empty directories are not made; `INSTALLER`, `REQUESTED` if `is_requested`, `direct_url.json` with
/// `direct_url` as its content, and a new `RECORD` are added.
///
/// # Errors
/// [`Error::Wheel`] for files in `.data` that belong nowhere or go where the builder image may have a link, and paths that meet as file and directory.
pub fn install<R: ReadAt>(
    wheel: &Wheel<R>,
    site: &Site<'_>,
    is_requested: bool,
    direct_url: Option<&[u8]>,
) -> Result<Vec<Planned>, Error> {
    let plan = Plan {
        wheel,
        site,
        files: BTreeMap::new(),
    };
    plan.build(is_requested, direct_url)
        .map_err(|problem| problem.into_error(wheel.name.to_string()))
}

struct Plan<'a, R> {
    wheel: &'a Wheel<R>,
    site: &'a Site<'a>,
    files: BTreeMap<EntryPath, Planned>,
}

impl<R: ReadAt> Plan<'_, R> {
    fn build(
        mut self,
        is_requested: bool,
        direct_url: Option<&[u8]>,
    ) -> Result<Vec<Planned>, Problem> {
        let layout = self.site.layout;
        let (mut root, mut data, mut scripts) = (Vec::new(), Vec::new(), Vec::new());
        for (index, member) in self.wheel.archive.members().iter().enumerate() {
            if member.is_directory() {
                continue;
            }
            match member.name.split_once('/') {
                Some((top, _)) if top.ends_with(".data") && super::is_script(member) => {
                    scripts.push(index);
                }
                Some((top, _)) if top.ends_with(".data") => data.push(index),
                _ => root.push(index),
            }
        }
        // pip's order: where two meet, the later stays.
        for index in root {
            let path = join(
                &layout.site_packages,
                &self.wheel.archive.members()[index].name,
            )?;
            self.add_member(index, path)?;
        }
        for index in data.into_iter().chain(scripts) {
            if let Some(path) = self.data_path(&self.wheel.archive.members()[index])? {
                self.add_member(index, path)?;
            }
        }
        for entry_point in self.entry_points() {
            let EntryPoint {
                name,
                module,
                function,
                ..
            } = &entry_point;
            let path = join(&layout.scripts, name)?;
            let text = script::entry_point(&layout.interpreter, module, function);
            self.add_generated(path, text.into_bytes(), self.site.script_mode());
        }
        let mode = self.site.file_mode();
        let installer = self.in_dist_info("INSTALLER")?;
        self.add_generated(installer, INSTALLER.as_bytes().to_vec(), mode);
        if let Some(direct_url) = direct_url {
            let path = self.in_dist_info("direct_url.json")?;
            self.add_generated(path, direct_url.to_vec(), mode);
        }
        if is_requested {
            let path = self.in_dist_info("REQUESTED")?;
            self.add_generated(path, Vec::new(), mode);
        }
        self.add_record()?;
        self.with_directories()
    }

    fn in_dist_info(&self, name: &str) -> Result<EntryPath, Problem> {
        let name = format!("{}/{name}", self.wheel.dist_info);
        join(&self.site.layout.site_packages, &name)
    }

    /// Where a file in `.data` goes; `None` for a script that an entry point replaces.
    fn data_path(&self, member: &Member) -> Result<Option<EntryPath>, Problem> {
        let layout = self.site.layout;
        let mut parts = member.name.splitn(3, '/').skip(1);
        let (Some(key), Some(rest)) = (parts.next(), parts.next()) else {
            let name = &member.name;
            return Err(format!("`{name}` is in none of the directories of `.data`").into());
        };
        let base = match key {
            "purelib" | "platlib" => layout.site_packages.clone(),
            "headers" => join(&layout.headers, &self.wheel.distribution)?,
            "data" => {
                self.check_links(rest)?;
                layout.data.clone()
            }
            "scripts" if self.is_wrapper(rest) => return Ok(None),
            "scripts" => layout.scripts.clone(),
            _ => {
                let name = &member.name;
                return Err(format!("`{name}` is in no directory of `.data` that is known").into());
            }
        };
        join(&base, rest).map(Some)
    }

    /// Refuses what would go through a link of the builder image, whose files nobody has looked at: a layer would put a
    /// directory in the link's place, with everything that is behind it out of sight. `venv` makes `lib64` a link on
    /// 64-bit systems, Debian makes `/usr/local/man` one.
    fn check_links(&self, path: &str) -> Result<(), Problem> {
        let data = &self.site.layout.data;
        let top = path.split('/').next().unwrap_or(path);
        let is_link = top == "lib64" || top == "man" && data.as_bytes() == b"usr/local";
        if is_link && !self.site.has(&join(data, top)?) {
            return Err(format!(
                "it installs `{path}` below `{data}`, where `{top}` may be a link, which only pip can follow: \
                 `--strategy assemble`"
            )
            .into());
        }
        Ok(())
    }

    /// pip's `is_entrypoint_wrapper`: a script that setuptools made for an entry point.
    fn is_wrapper(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let lower = name.to_ascii_lowercase();
        let ending = [".exe", "-script.py", ".pya"]
            .into_iter()
            .find(|ending| lower.ends_with(ending));
        let stem = &name[..name.len() - ending.map_or(0, str::len)];
        self.wheel.scripts.iter().any(|entry| entry.name == stem)
    }

    /// The scripts to make. pip's own and `easy_install` are named for the target's interpreter, not for the one that
    /// their wheels were made with.
    fn entry_points(&self) -> Vec<EntryPoint> {
        let mut scripts = self.wheel.scripts.clone();
        for (name, mark) in [("pip", ""), ("easy_install", "-")] {
            let Some(base) = scripts.iter().find(|entry| entry.name == name).cloned() else {
                continue;
            };
            scripts.retain(|entry| entry.is_gui || !is_versioned(&entry.name, name, mark));
            let minor = self.site.layout.python_minor();
            let mut names = vec![name.to_owned()];
            names.extend(minor.map(|minor| format!("{name}{mark}{minor}")));
            if name == "pip" {
                names.push("pip3".to_owned());
            }
            scripts.extend(names.into_iter().map(|name| EntryPoint {
                name,
                ..base.clone()
            }));
        }
        scripts
    }

    fn add_member(&mut self, index: usize, path: EntryPath) -> Result<(), Problem> {
        let member = &self.wheel.archive.members()[index];
        let mode = if member.is_executable() {
            self.site.program_mode()
        } else {
            self.site.file_mode()
        };
        if let Some(script) = self.wheel.python_scripts.get(&index) {
            let interpreter = &self.site.layout.interpreter;
            self.add_generated(path, script::with_interpreter(script, interpreter), mode);
            return Ok(());
        }
        let recorded = relative(&self.site.layout.site_packages, &path);
        let row = match self.wheel.row(index) {
            Some(row) => Row {
                path: recorded,
                size: row.size.or(Some(member.size)),
                ..row.clone()
            },
            None => Row::without_hash(recorded),
        };
        let kind = Kind::File { size: member.size };
        let planned = Planned {
            entry: self.site.entry(path.clone(), kind, mode),
            content: Content::Member(index),
            row: Some(row),
        };
        self.files.insert(path, planned);
        Ok(())
    }

    fn add_generated(&mut self, path: EntryPath, bytes: Vec<u8>, mode: u32) {
        let recorded = relative(&self.site.layout.site_packages, &path);
        let size = bytes.len() as u64;
        let planned = Planned {
            row: Some(Row::of(recorded, &bytes)),
            entry: self.site.entry(path.clone(), Kind::File { size }, mode),
            content: Content::Generated(bytes),
        };
        self.files.insert(path, planned);
    }

    fn add_record(&mut self) -> Result<(), Problem> {
        let path = self.in_dist_info("RECORD")?;
        self.files.remove(&path);
        let mut rows: Vec<Row> = self
            .files
            .values()
            .filter_map(|file| file.row.clone())
            .collect();
        let own = Row::without_hash(relative(&self.site.layout.site_packages, &path));
        rows.push(own.clone());
        let text = Record::write(rows);
        self.add_generated(path.clone(), text.into_bytes(), self.site.file_mode());
        if let Some(planned) = self.files.get_mut(&path) {
            planned.row = Some(own);
        }
        Ok(())
    }

    fn with_directories(mut self) -> Result<Vec<Planned>, Problem> {
        let mut directories = BTreeMap::new();
        for path in self.files.keys() {
            for entry in self.site.directories_above(path) {
                directories.insert(entry.path.clone(), entry);
            }
        }
        for (path, entry) in directories {
            let planned = Planned {
                entry,
                content: Content::None,
                row: None,
            };
            if self.files.insert(path.clone(), planned).is_some() {
                return Err(format!("it installs `{path}` as a file and as a directory").into());
            }
        }
        if let Some(path) = self.files.iter().find_map(|(path, planned)| {
            (planned.content != Content::None && self.site.has(path)).then_some(path)
        }) {
            return Err(format!("it installs a file as `{path}`, which is a directory").into());
        }
        Ok(self.files.into_values().collect())
    }
}

/// True for `pip3`, `pip3.11`, `easy_install-3.11`: names that setup scripts made for one interpreter.
fn is_versioned(script: &str, name: &str, mark: &str) -> bool {
    let version = script
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix(mark));
    script == name
        || version.is_some_and(|version| {
            let mut parts = version.splitn(2, '.');
            parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        })
}

fn join(directory: &EntryPath, name: &str) -> Result<EntryPath, Problem> {
    directory
        .join(name.as_bytes())
        .map_err(|error| Problem::Reason(error.to_string()))
}

/// `path` as it is seen from `directory`, with `..` where it must be.
fn relative(directory: &EntryPath, path: &EntryPath) -> String {
    let text = |path: &EntryPath| String::from_utf8_lossy(path.as_bytes()).into_owned();
    let (from, to) = (text(directory), text(path));
    let from: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    let to: Vec<&str> = to.split('/').collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut parts = vec![".."; from.len() - shared];
    parts.extend(&to[shared..]);
    parts.join("/")
}
