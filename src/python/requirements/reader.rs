//! From files to [`Requirements`].

use std::collections::BTreeMap;

use super::files::{FileKind, MAX_FILE_BYTES, Place, SourceFiles, within};
use super::line::{self, Failure, Named, Parsed};
use super::options::{self, LineOptions};
use super::text::{self, MAX_LINE};
use super::{Error, FindLinks, Inexpressible, Line, Origin, Requirements, shown};

/// How many files are read at most, counted each time: a file may be included by several.
const MAX_INCLUDES: usize = 1000;
/// How many bytes all files together may have.
const MAX_TOTAL_BYTES: u64 = 2 * MAX_FILE_BYTES;
/// How deep files may include each other.
const MAX_DEPTH: usize = 50;

/// Reads a requirements file and everything that it includes. `file` is its path within the tree; `variables` are what
/// `${NAME}` stands for.
///
/// # Errors
/// [`Error::Line`] for what pip would refuse; [`Error::Absent`], [`Error::Outside`] and [`Error::Cycle`] for files that
/// cannot be included; [`Error::TooLarge`] beyond 16 MiB a file, 32 MiB in all, 1,000 files or a depth of 50;
/// [`Error::Encoding`]; [`Error::File`].
pub fn read(
    file: &str,
    files: &dyn SourceFiles,
    variables: &BTreeMap<String, String>,
) -> Result<Requirements, Error> {
    let mut reader = Reader {
        files,
        variables,
        found: Requirements::default(),
        open: Vec::new(),
        includes: 0,
        bytes: 0,
        no_binary: None,
    };
    reader.file(file, false, None)?;
    let mut found = reader.found;
    if let Some((origin, text)) = reader
        .no_binary
        .filter(|_| !found.options.formats.no_binary().is_empty())
    {
        let names: Vec<&str> = found
            .options
            .formats
            .no_binary()
            .iter()
            .map(String::as_str)
            .collect();
        let reason = format!(
            "`--no-binary` asks to build from source: {}",
            names.join(", ")
        );
        found.inexpressible.push(Inexpressible {
            origin,
            text,
            reason,
        });
    }
    Ok(found)
}

struct Reader<'a> {
    files: &'a dyn SourceFiles,
    variables: &'a BTreeMap<String, String>,
    found: Requirements,
    /// The files that are being read, outermost first.
    open: Vec<String>,
    includes: usize,
    bytes: u64,
    /// The last line that changed what must be built.
    no_binary: Option<(Origin, String)>,
}

impl Reader<'_> {
    fn file(
        &mut self,
        file: &str,
        is_constraint: bool,
        from: Option<&Origin>,
    ) -> Result<(), Error> {
        let too_large = |reason: String| Error::TooLarge {
            file: file.to_owned(),
            reason,
        };
        self.includes += 1;
        if self.includes > MAX_INCLUDES || self.open.len() >= MAX_DEPTH {
            let reason =
                format!("more than {MAX_INCLUDES} files are included, or deeper than {MAX_DEPTH}");
            return Err(too_large(reason));
        }
        let bytes = self.files.read(file)?.ok_or_else(|| Error::Absent {
            file: file.to_owned(),
            from: from.cloned(),
        })?;
        self.bytes += bytes.len() as u64;
        if bytes.len() as u64 > MAX_FILE_BYTES || self.bytes > MAX_TOTAL_BYTES {
            return Err(too_large(format!(
                "it has more than {MAX_FILE_BYTES} bytes, or all files together more than {MAX_TOTAL_BYTES}"
            )));
        }
        if !self.found.files.iter().any(|known| known == file) {
            self.found.files.push(file.to_owned());
        }
        let text = text::decode(&bytes).map_err(|reason| Error::Encoding {
            file: file.to_owned(),
            reason,
        })?;
        drop(bytes);
        self.open.push(file.to_owned());
        for logical in text::logical_lines(&text) {
            let origin = Origin {
                file: file.to_owned(),
                line: logical.number,
            };
            self.line(&logical.text, is_constraint, origin)?;
        }
        self.open.pop();
        Ok(())
    }

    fn line(&mut self, written: &str, is_constraint: bool, origin: Origin) -> Result<(), Error> {
        let wrong = |reason: String| Error::Line {
            origin: origin.clone(),
            text: shown(written),
            reason,
        };
        if written.len() > MAX_LINE {
            return Err(wrong(format!("it has more than {MAX_LINE} bytes")));
        }
        let expanded =
            text::expand(written, self.variables).map_err(|reason| wrong(reason.to_owned()))?;
        let (requirement, rest) = options::divide(&expanded);
        let before = self.found.options.formats.no_binary().clone();
        let options = options::parse(rest, &mut self.found.options.formats).map_err(wrong)?;
        if *self.found.options.formats.no_binary() != before {
            self.no_binary = Some((origin.clone(), shown(written)));
        }
        if !requirement.is_empty() {
            return self.requirement(requirement, written, options, is_constraint, origin);
        }
        if let Some(target) = options.editables.first() {
            self.inexpressible(written, line::editable(target), origin);
            return Ok(());
        }
        // Only the first of each counts, and nothing else on the line: so it is in pip.
        match (options.requirements.first(), options.constraints.first()) {
            (Some(path), _) => self.include(path, written, false, &origin),
            (None, Some(path)) => self.include(path, written, true, &origin),
            (None, None) => self.options(options, written, &origin),
        }
    }

    fn inexpressible(&mut self, written: &str, reason: String, origin: Origin) {
        self.found.inexpressible.push(Inexpressible {
            origin,
            text: shown(written),
            reason,
        });
    }

    fn requirement(
        &mut self,
        text: &str,
        written: &str,
        options: LineOptions,
        is_constraint: bool,
        origin: Origin,
    ) -> Result<(), Error> {
        let wrong = |reason: String| Error::Line {
            origin: origin.clone(),
            text: shown(written),
            reason,
        };
        let parsed = line::parse(text, self.files).map_err(|failure| match failure {
            Failure::Wrong(reason) => wrong(shown(&reason)),
            Failure::File(error) => Error::File(error),
        })?;
        let Named {
            requirement,
            wheel,
            hash,
        } = match parsed {
            Parsed::Requirement(named) => *named,
            Parsed::Inexpressible(reason) => {
                self.inexpressible(written, reason, origin);
                return Ok(());
            }
        };
        if is_constraint && !requirement.extras.is_empty() {
            return Err(wrong("constraints cannot have extras".to_owned()));
        }
        if let Some(option) = options.build_options.first() {
            self.inexpressible(
                written,
                format!("`{}` says how to build it", shown(option)),
                origin.clone(),
            );
        }
        let mut hashes = options.hashes;
        hashes.extend(hash.filter(|hash| !hashes.contains(hash)));
        let line = Line {
            requirement,
            wheel,
            hashes,
            origin,
        };
        match is_constraint {
            true => self.found.constraints.push(line),
            false => self.found.requirements.push(line),
        }
        Ok(())
    }

    fn include(
        &mut self,
        path: &str,
        written: &str,
        is_constraint: bool,
        origin: &Origin,
    ) -> Result<(), Error> {
        let lower = path.to_ascii_lowercase();
        if ["http:", "https:", "file:"]
            .iter()
            .any(|scheme| lower.starts_with(scheme))
        {
            self.inexpressible(
                written,
                "it includes a file by its URL".to_owned(),
                origin.clone(),
            );
            return Ok(());
        }
        let directory = origin
            .file
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        let file = match within(directory, path) {
            Place::Within(file) => file,
            Place::Absolute => {
                self.inexpressible(
                    written,
                    "it includes a file of the builder image".to_owned(),
                    origin.clone(),
                );
                return Ok(());
            }
            Place::Outside => {
                return Err(Error::Outside {
                    origin: origin.clone(),
                    path: path.chars().take(300).collect(),
                });
            }
        };
        if self.open.contains(&file) {
            let chain = self.open.iter().skip_while(|open| **open != file);
            return Err(Error::Cycle {
                origin: origin.clone(),
                chain: chain.cloned().chain([file.clone()]).collect(),
            });
        }
        self.file(&file, is_constraint, Some(origin))
    }

    /// A line that has nothing but options, as pip's `handle_option_line`.
    fn options(&mut self, line: LineOptions, written: &str, origin: &Origin) -> Result<(), Error> {
        let all = &mut self.found.options;
        all.require_hashes |= line.require_hashes;
        all.pre |= line.pre;
        all.prefer_binary |= line.prefer_binary;
        if line.no_index {
            all.no_index = true;
            all.index_url = None;
            all.extra_index_urls.clear();
        }
        if !all.no_index {
            if let Some(url) = line.index_url.filter(|url| !url.is_empty()) {
                all.index_url = Some(url);
                all.extra_index_urls.clear();
            }
            all.extra_index_urls.extend(line.extra_index_urls);
        }
        for feature in line.features {
            if !all.features.contains(&feature) {
                all.features.push(feature);
            }
        }
        all.trusted_hosts.extend(line.trusted_hosts);
        match line.find_links.first() {
            Some(links) => self.find_links(links, written, origin),
            None => Ok(()),
        }
    }

    /// A path is relative to the file, or, if nothing is there, to the directory where pip runs.
    fn find_links(&mut self, links: &str, written: &str, origin: &Origin) -> Result<(), Error> {
        let lower = links.to_ascii_lowercase();
        if lower.starts_with("http:") || lower.starts_with("https:") {
            self.found
                .options
                .find_links
                .push(FindLinks::Url(links.to_owned()));
            return Ok(());
        }
        let directory = origin
            .file
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        for directory in [directory, ""] {
            if let Place::Within(path) = within(directory, links)
                && matches!(
                    self.files.kind(&path)?,
                    Some(FileKind::Directory | FileKind::File)
                )
            {
                self.found.options.find_links.push(FindLinks::Path(path));
                return Ok(());
            }
        }
        self.inexpressible(
            written,
            "it looks for files at a place that is not in the source tree".to_owned(),
            origin.clone(),
        );
        Ok(())
    }
}
