//! How fast wheels become layers: `cargo bench --bench splice -- FILE.whl …`.
//!
//! For each wheel, the best of several runs in MB of unpacked content a second: `splice` with one thread and with two,
//! `deflate` the same entries with `LayerWriter` (what everybody else does), `unpack` the spliced layer to disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use overcoat::digest::DigestWriter;
use overcoat::event::Silent;
use overcoat::image::media_type::Compression;
use overcoat::layer::{self, EntryPath, LayerWriter, Ownership};
use overcoat::python::wheel::{Content, Installation, Site, Wheel, install, write_layer};
use overcoat::python::{Layout, WheelName};

const RUNS: u32 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wheels: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument.ends_with(".whl"))
        .collect();
    let mut out = io::stdout().lock();
    if wheels.is_empty() {
        writeln!(
            out,
            "splice: name wheels to measure: cargo bench --bench splice -- numpy-….whl"
        )?;
        return Ok(());
    }
    writeln!(
        out,
        "{:<18} {:>7} {:>7} {:>7} {:>6} {:>13} {:>13} {:>13} {:>13}",
        "wheel", "files", "MB", "packed", "layer", "splice", "2 threads", "deflate", "unpack"
    )?;
    for wheel in wheels {
        measure(&mut out, Path::new(&wheel))?;
    }
    Ok(())
}

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn measure(out: &mut impl Write, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let layout = Layout {
        interpreter: "/opt/app-root/bin/python3".to_owned(),
        site_packages: path("opt/app-root/lib/python3.11/site-packages"),
        scripts: path("opt/app-root/bin"),
        data: path("opt/app-root"),
        headers: path("opt/app-root/include/site/python3.11"),
        uid: 1001,
        gid: 0,
        umask: 0o002,
    };
    let site = Site {
        layout: &layout,
        existing: &BTreeSet::new(),
        epoch: 315_532_800,
    };
    let name: WheelName = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .parse()?;
    let packed = file.metadata()?.len();
    let splice = |threads| -> Result<_, Box<dyn std::error::Error>> {
        let wheel = Wheel::open(File::open(file)?, name.clone())?;
        let sink = DigestWriter::new(Vec::new());
        let written = write_layer(&[Installation::new(wheel, true)], &site, sink, threads)?;
        Ok((written.sink.finish().0, written.layer))
    };
    let (bytes, layer) = splice(1)?;
    let wheel = Wheel::open(File::open(file)?, name.clone())?;
    let plan = install(&wheel, &site, true, None)?;
    let mut contents = Vec::new();
    for planned in &plan {
        contents.push(match &planned.content {
            Content::None => Vec::new(),
            Content::Generated(bytes) => bytes.clone(),
            Content::Member(member) => {
                let member = &wheel.archive().members()[*member];
                wheel.archive().read(member, u64::MAX)?
            }
        });
    }
    let deflate = || -> Result<(), Box<dyn std::error::Error>> {
        let mut writer = LayerWriter::new(DigestWriter::new(io::sink()), site.epoch, 1);
        for (planned, content) in plan.iter().zip(&contents) {
            writer.append(&planned.entry, &content[..])?;
        }
        writer.finish()?;
        Ok(())
    };
    let unpack = || -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        layer::apply(
            &bytes[..],
            Compression::Gzip,
            &layer.diff_id,
            directory.path(),
            Ownership::Recorded,
            &Silent,
        )?;
        Ok(())
    };
    let size = layer.uncompressed_bytes;
    let speed = |time: Duration| {
        let seconds = time.as_secs_f64();
        format!("{:.3} s {:>4.0}", seconds, size as f64 / 1e6 / seconds)
    };
    writeln!(
        out,
        "{:<18.18} {:>7} {:>7.1} {:>7.2} {:>5.1}% {:>13} {:>13} {:>13} {:>13}",
        name.to_string(),
        plan.len(),
        size as f64 / 1e6,
        packed as f64 / 1e6,
        bytes.len() as f64 * 100.0 / packed as f64,
        speed(best(RUNS, || splice(1).map(drop))?),
        speed(best(RUNS, || splice(2).map(drop))?),
        speed(best(1, deflate)?),
        speed(best(RUNS, unpack)?),
    )?;
    Ok(())
}

/// The shortest of several runs.
fn best<E>(runs: u32, mut work: impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
    let mut best = Duration::MAX;
    for _ in 0..runs {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}
