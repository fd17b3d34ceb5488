//! What trees of many small files cost: `cargo bench --bench trees`, one word after `--` for one part of it.
//!
//! `source` digests a source (10,000 files), `unpack` makes directories of a layer (10,000 files), `merged` keeps a root
//! file system as one directory, where overlay is refused (100,000 files). Each time is the best of several runs, or of one
//! where a run changes what it measures; the page cache is warm. `TMPDIR` says on which file system.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use overcoat::digest::Digest;
use overcoat::event::Silent;
use overcoat::image::edit::{Changes, NewLayer, from_scratch};
use overcoat::image::media_type::Compression;
use overcoat::image::{Descriptor, Platform, media_type};
use overcoat::layer::change::{self, Layers};
use overcoat::layer::owners::RealOwners;
use overcoat::layer::snapshot::{self, Snapshot};
use overcoat::layer::stack::Stack;
use overcoat::layer::{self, Entry, EntryPath, Kind, LayerWriter, Ownership};
use overcoat::source::content::Contents;
use overcoat::source::{Rules, local};
use overcoat::store::{BlobStore, Lease, unpack_layers};

type Outcome = Result<(), Box<dyn std::error::Error>>;
type Part = fn(&mut Table<'_>) -> Outcome;

const RUNS: u32 = 5;
/// Files in a directory.
const EACH: usize = 100;
/// What a small file of an application holds, in bytes.
const SIZE: usize = 4 << 10;

fn main() -> Outcome {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let parts: [(&str, Part); 3] = [("source", source), ("unpack", unpack), ("merged", merged)];
    let is_named = |name: &str| wanted.iter().any(|word| word == name);
    let is_any_named = parts.iter().any(|(name, _)| is_named(name));
    let mut out = io::stdout().lock();
    writeln!(out, "{:<48} {:>12}", "work", "time")?;
    for (name, part) in parts {
        if !is_any_named || is_named(name) {
            part(&mut Table {
                out: &mut out,
                name,
            })?;
        }
    }
    Ok(())
}

/// Where the times go.
struct Table<'a> {
    out: &'a mut dyn Write,
    name: &'static str,
}

impl Table<'_> {
    /// The shortest of `runs` runs.
    fn time<T, E>(
        &mut self,
        what: &str,
        runs: u32,
        mut work: impl FnMut() -> Result<T, E>,
    ) -> Result<T, Box<dyn std::error::Error>>
    where
        Box<dyn std::error::Error>: From<E>,
    {
        let (mut best, mut result) = (Duration::MAX, None);
        for _ in 0..runs {
            let start = Instant::now();
            result = Some(work()?);
            best = best.min(start.elapsed());
        }
        let name = format!("{}: {what}", self.name);
        writeln!(self.out, "{name:<48} {:>9.1} ms", best.as_secs_f64() * 1e3)?;
        result.ok_or_else(|| "no run".into())
    }
}

/// The content of a small file, another one for each.
fn content(number: usize) -> Vec<u8> {
    let line = format!("line of the file {number}\n");
    line.bytes().cycle().take(SIZE).collect()
}

fn fill(root: &Path, files: usize) -> io::Result<()> {
    for number in 0..files {
        let directory = root.join(format!("{}", number / EACH));
        if number % EACH == 0 {
            fs::create_dir_all(&directory)?;
        }
        fs::write(directory.join(format!("{number}.py")), content(number))?;
    }
    Ok(())
}

fn source(table: &mut Table<'_>) -> Outcome {
    let place = tempfile::tempdir()?;
    let root = place.path().join("source");
    fill(&root, 10_000)?;
    let memory = place.path().join("memory");
    let tree = table.time("list", RUNS, || {
        local::read(&root, &Rules::default(), &Silent)
    })?;
    // Only what has rested is believed; the files have, at this time.
    let later = SystemTime::now() + Duration::from_secs(10);
    let mut read = |what: &str, memory: Option<&Path>, threads| {
        table.time(what, RUNS, || {
            Contents::read(&tree, memory, later, threads, &Silent)
        })
    };
    let cold = read("digest, nothing remembered, 1 thread", None, 1)?;
    read("digest, nothing remembered, 2 threads", None, 2)?;
    Contents::read(&tree, Some(&memory), later, 2, &Silent)?;
    let warm = read("digest, all remembered", Some(&memory), 2)?;
    if warm.tree() != cold.tree() {
        return Err("the memory gives another digest".into());
    }
    table.time("look once more for edits", RUNS, || cold.still_holds(&tree))
}

fn unpack(table: &mut Table<'_>) -> Outcome {
    let place = tempfile::tempdir()?;
    let store = BlobStore::open(&place.path().join("store"))?;
    let mut writer = LayerWriter::new(store.begin_blob()?, 0, 1);
    let (uid, gid) = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    let mut append = |name: String, kind: Kind, mode, content: &[u8]| -> Outcome {
        let mut entry = Entry::new(EntryPath::parse(name.as_bytes())?, kind, mode);
        (entry.uid, entry.gid) = (uid, gid);
        Ok(writer.append(&entry, content)?)
    };
    for number in 0..10_000 {
        let directory = format!("{}", number / EACH);
        if number % EACH == 0 {
            append(directory.clone(), Kind::Directory, 0o755, &[])?;
        }
        let size = SIZE as u64;
        let name = format!("{directory}/{number}.py");
        append(name, Kind::File { size }, 0o644, &content(number))?;
    }
    let (blob, written) = writer.finish()?;
    let (digest, size) = blob.finish()?;
    let layer = NewLayer {
        descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
        diff_id: written.diff_id.clone(),
        created_by: "a measurement".to_owned(),
    };
    let image = from_scratch(&Platform::host(), &[layer], &Changes::default())?;
    store.put_documents(&image)?;
    let bytes = fs::read(store.blob_path(&image.manifest.parsed.layers[0].digest))?;
    let mut number = 0;
    table.time("a layer to disk", RUNS, || -> Outcome {
        number += 1;
        let directory = place.path().join(format!("{number}"));
        fs::create_dir(&directory)?;
        let (gzip, real) = (Compression::Gzip, Ownership::Real);
        layer::apply(
            &bytes[..],
            gzip,
            &written.diff_id,
            &directory,
            real,
            &Silent,
        )?;
        Ok(())
    })?;
    table.time("an image, synced to disk", RUNS, || -> Outcome {
        let unpacked = store.root().join("unpacked");
        if unpacked.exists() {
            fs::rename(&unpacked, place.path().join(format!("old-{number}")))?;
            number += 1;
        }
        unpack_layers(&store, &image, "bench", Ownership::Real, 2, &Silent)?;
        Ok(())
    })?;
    let again = || unpack_layers(&store, &image, "bench", Ownership::Real, 2, &Silent);
    table.time("an image that is unpacked", RUNS, again)?;
    Ok(())
}

fn merged(table: &mut Table<'_>) -> Outcome {
    let place = tempfile::tempdir()?;
    let store = BlobStore::open(&place.path().join("store"))?;
    let [top, bottom] = ["top", "bottom"].map(|name| place.path().join(name));
    fill(&bottom, 100_000)?;
    fs::create_dir(&top)?;
    fs::write(top.join("new"), "above")?;
    let lowers: Vec<PathBuf> = vec![top, bottom];
    let chain_id = Digest::of(b"an image");
    let real = Ownership::Real;
    let lease = || Lease::take(&store, &lowers, &chain_id, "bench", real, &Silent);
    let look = |root: &Path, contents| Snapshot::look(root, &[], contents, &Silent);
    let first = table.time("make the tree", 1, lease)?;
    let tree = first.tree().to_owned();
    let found = table.time("look", RUNS, || look(&tree, snapshot::Contents::Listed))?;
    table.time("look, with contents", 1, || {
        look(&tree, snapshot::Contents::Hashed)
    })?;
    table.time("a snapshot to bytes and back", RUNS, || {
        Snapshot::parse(&found.to_bytes())
    })?;
    fs::write(tree.join("7/707.py"), "changed")?;
    let (stack, owners) = (Stack::new(&lowers), RealOwners);
    let before = Layers {
        stack: &stack,
        owners: &owners,
    };
    let changes = table.time("find one change", RUNS, || {
        change::from_tree(&tree, first.snapshot(), &before, &owners, &[], &Silent)
    })?;
    if changes.len() != 1 {
        return Err(format!("{} changes were found instead of one", changes.len()).into());
    }
    let mut held = Some(first);
    let put_back = |table: &mut Table<'_>, what: &str, held: &mut Option<Lease>| {
        table.time(what, 1, || match held.take() {
            Some(lease) => lease.restore(&Silent),
            None => Ok(()),
        })
    };
    put_back(table, "put one change back", &mut held)?;
    let mut held = Some(table.time("lease again", 1, lease)?);
    for number in 0..100_000 / EACH {
        fs::remove_dir_all(tree.join(format!("{number}")))?;
    }
    put_back(table, "put everything back", &mut held)
}
