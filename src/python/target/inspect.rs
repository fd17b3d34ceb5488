//! A target from the files of an image. Nothing is executed.

use std::collections::BTreeMap;

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::files::{Files, Sort, list, read, resolve};
use super::installed::distributions;
use super::libc::positions;
use super::{
    Basics, Detected, Error, Layout, Provenance, elf, libc, machine, missing, owner, unsupported,
};
use crate::image::ImageConfiguration;
use crate::layer::EntryPath;

/// The largest interpreter or `libpython`, in bytes. Debian's has 7 MB, conda's 30.
const MAX_PROGRAM: u64 = 96 << 20;
/// The largest `pyvenv.cfg` or `patchlevel.h`.
const MAX_TEXT: u64 = 1 << 20;

/// Where an interpreter is.
struct Place {
    /// As `PATH` finds it: what `sys.executable` is.
    executable: String,
    /// Its file, without links.
    real: EntryPath,
    /// The installation that it belongs to, as `/usr/local`.
    base: String,
    /// The name of its library's directory, as `python3.11`.
    program: String,
    /// The virtual environment, if it is one's.
    venv: Option<Venv>,
}

struct Venv {
    root: String,
    has_system_packages: bool,
}

pub(super) fn detect(config: &ImageConfiguration, files: &dyn Files) -> Result<Detected, Error> {
    let place = find_interpreter(config, files)?;
    let Some(bytes) = files.read(&place.real, MAX_PROGRAM)? else {
        return missing(
            "the interpreter",
            format!(
                "`{}` is not a file of less than {MAX_PROGRAM} bytes",
                place.real
            ),
        );
    };
    let Some(program) = elf::read(&bytes) else {
        return missing(
            "the interpreter",
            format!(
                "`{}` is not a program for Linux, perhaps a script",
                place.real
            ),
        );
    };
    let declared = machine(&config.platform());
    let architecture = match (program.architecture, declared) {
        // One ELF machine is several architectures of 32-bit ARM; the image says which.
        (Some("armv7l"), Some(declared)) if declared.starts_with("arm") => declared,
        (Some(found), Some(declared)) if found != declared => {
            return unsupported(format!(
                "its interpreter is for {found} and its configuration says {declared}"
            ));
        }
        (found, declared) => match found.or(declared) {
            Some(architecture) => architecture,
            None => {
                return missing(
                    "the architecture",
                    "neither the interpreter nor the image's configuration says it",
                );
            }
        },
    };
    let libc = libc::find(files, &program)?;
    let version = find_version(config, files, &place, &bytes)?;
    drop(bytes);
    let Some(basics) = Basics::new(version, place.program.ends_with('t'), libc, architecture)
    else {
        return unsupported("its interpreter is not a release of CPython 3");
    };
    let (layout, installed) = find_layout(config, files, &place)?;
    match basics.detected(layout, installed, Provenance::Files, true) {
        Some(detected) => Ok(detected),
        None => missing("the version of the interpreter", "it has no two numbers"),
    }
}

/// The interpreter that `python`, else `python3`, starts.
fn find_interpreter(config: &ImageConfiguration, files: &dyn Files) -> Result<Place, Error> {
    let path = config.environment_variable("PATH");
    let path = path
        .as_deref()
        .unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    for name in ["python", "python3"] {
        for directory in path
            .split(':')
            .filter(|directory| directory.starts_with('/'))
        {
            let executable = format!("{}/{name}", directory.trim_end_matches('/'));
            let Some(real) = resolve(files, &executable)? else {
                continue;
            };
            let status = files.status(&real)?;
            if status.is_some_and(|status| status.sort == Sort::File && status.mode & 0o111 != 0) {
                return place(files, executable, real);
            }
        }
    }
    missing(
        "the interpreter",
        format!("there is neither `python` nor `python3` on `PATH` ({path})"),
    )
}

fn place(files: &dyn Files, executable: String, real: EntryPath) -> Result<Place, Error> {
    let real_text = real.to_string();
    let bin = real_text.rsplit_once('/').map_or("", |(bin, _)| bin);
    let base = bin.rsplit_once('/').map_or("", |(base, _)| base).to_owned();
    let venv = find_venv(files, &executable)?;
    let name = real_text.rsplit('/').next().unwrap_or_default();
    let mut candidates = vec![name.to_owned()];
    candidates.extend(list(files, &format!("{base}/lib"))?);
    for program in candidates {
        let digits = program
            .strip_prefix("python3.")
            .map(|rest| rest.strip_suffix('t').unwrap_or(rest));
        let is_program = digits.is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        if is_program && resolve(files, &format!("{base}/lib/{program}/os.py"))?.is_some() {
            return Ok(Place {
                executable,
                real,
                base,
                program,
                venv,
            });
        }
        if is_program && resolve(files, &format!("{base}/lib64/{program}/os.py"))?.is_some() {
            return match &venv {
                Some(_) => Ok(Place {
                    executable,
                    real,
                    base,
                    program,
                    venv,
                }),
                None => unsupported(
                    "it keeps packages with compiled parts in `lib64`, apart from others",
                ),
            };
        }
    }
    let listed = list(files, &format!("{base}/lib64"))?;
    for program in listed
        .into_iter()
        .filter(|name| name.starts_with("python3."))
    {
        if venv.is_some() && resolve(files, &format!("{base}/lib64/{program}/os.py"))?.is_some() {
            return Ok(Place {
                executable,
                real,
                base,
                program,
                venv,
            });
        }
    }
    missing(
        "the interpreter's library",
        format!("there is no `{base}/lib/python3.*/os.py` for `{executable}`"),
    )
}

/// The virtual environment that an executable belongs to.
///
/// # Spec
/// Python documentation, `site`: `pyvenv.cfg` beside the executable or one directory above.
fn find_venv(files: &dyn Files, executable: &str) -> Result<Option<Venv>, Error> {
    let Some((bin, _)) = executable.rsplit_once('/') else {
        return Ok(None);
    };
    let above = bin.rsplit_once('/').map_or("", |(above, _)| above);
    for directory in [bin, above] {
        let Some(bytes) = read(files, &format!("{directory}/pyvenv.cfg"), MAX_TEXT)? else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let settings: BTreeMap<String, &str> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
            .collect();
        if settings.contains_key("home") {
            let system = settings.get("include-system-site-packages");
            return Ok(Some(Venv {
                root: above.to_owned(),
                has_system_packages: system.is_some_and(|value| value.eq_ignore_ascii_case("true")),
            }));
        }
    }
    Ok(None)
}

/// The full version: from `patchlevel.h`, from the interpreter or its library, or from `PYTHON_VERSION`.
fn find_version(
    config: &ImageConfiguration,
    files: &dyn Files,
    place: &Place,
    interpreter: &[u8],
) -> Result<Version, Error> {
    let Place { base, program, .. } = place;
    let minor = program.trim_start_matches("python").trim_end_matches('t');
    let look = |path: String, limit, find: fn(&[u8], &str) -> Option<Version>| {
        let bytes = read(files, &path, limit)?;
        Ok::<_, Error>(bytes.as_deref().and_then(|bytes| find(bytes, minor)))
    };
    let header = format!("{base}/include/{program}/patchlevel.h");
    if let Some(version) = look(header, MAX_TEXT, patchlevel)? {
        return Ok(version);
    }
    if let Some(version) = embedded(interpreter, minor) {
        return Ok(version);
    }
    let suffix = if program.ends_with('t') { "t" } else { "" };
    for directory in ["lib", "lib64"] {
        let library = format!("{base}/{directory}/libpython{minor}{suffix}.so.1.0");
        if let Some(version) = look(library, MAX_PROGRAM, embedded)? {
            return Ok(version);
        }
    }
    let variable = config
        .environment_variable("PYTHON_VERSION")
        .unwrap_or_default();
    let is_full = variable
        .strip_prefix(minor)
        .is_some_and(|rest| rest.starts_with('.'));
    match variable.parse().ok().filter(|_| is_full) {
        Some(version) => Ok(version),
        None => missing(
            "the version of the interpreter",
            format!(
                "neither `patchlevel.h` nor the interpreter, its library or `PYTHON_VERSION` has one that begins with {minor}"
            ),
        ),
    }
}

/// `#define PY_VERSION "3.11.2"`
fn patchlevel(header: &[u8], minor: &str) -> Option<Version> {
    let text = String::from_utf8_lossy(header).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("#define PY_VERSION "))?;
    full(line.trim().trim_matches('"'), minor)
}

/// The only full version that a program has as a text of its own, between NUL bytes.
fn embedded(program: &[u8], minor: &str) -> Option<Version> {
    let marker = format!("\0{minor}.");
    let mut versions = positions(program, marker.as_bytes()).filter_map(|at| {
        let start = at - marker.len() + 1;
        let length = program[start..]
            .iter()
            .take(24)
            .position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(&program[start..start + length]).ok()?;
        full(text, minor)
    });
    let first = versions.next()?;
    versions.all(|other| other == first).then_some(first)
}

/// A version with three numbers that belongs to `minor`, as `3.11.2` or `3.14.0rc1`. A `+` at the end, which builds
/// between releases have, is not part of it.
fn full(text: &str, minor: &str) -> Option<Version> {
    let text = text.trim_end_matches('+');
    let rest = text.strip_prefix(minor)?.strip_prefix('.')?;
    let is_number = rest
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit());
    let version: Version = text.parse().ok()?;
    (is_number && version.release().len() == 3).then_some(version)
}

fn find_layout(
    config: &ImageConfiguration,
    files: &dyn Files,
    place: &Place,
) -> Result<(Layout, BTreeMap<PackageName, Version>), Error> {
    let Place {
        base,
        program,
        venv,
        ..
    } = place;
    let debian = format!("{base}/lib/python3/dist-packages");
    let is_debian = base == "/usr" && resolve(files, &debian)?.is_some();
    let mut others = Vec::new();
    let (data, site_packages, headers) = match venv {
        Some(venv) => {
            let root = &venv.root;
            let site_packages = format!("{root}/lib/{program}/site-packages");
            if venv.has_system_packages {
                others.extend(match is_debian {
                    true => vec![debian, format!("/usr/local/lib/{program}/dist-packages")],
                    false => vec![format!("{base}/lib/{program}/site-packages")],
                });
            }
            // pip names it by the version alone, also without the lock.
            let headers = format!("{root}/include/site/{}", program.trim_end_matches('t'));
            (root.clone(), site_packages, headers)
        }
        None => {
            let mark = format!("{base}/lib/{program}/EXTERNALLY-MANAGED");
            if resolve(files, &mark)?.is_some() {
                return unsupported(format!(
                    "`{mark}` says that pip must not install there; use a virtual environment"
                ));
            }
            if is_debian {
                others.push(debian);
                let local = "/usr/local".to_owned();
                let site_packages = format!("{local}/lib/{program}/dist-packages");
                (
                    local.clone(),
                    site_packages,
                    format!("{local}/include/{program}"),
                )
            } else {
                (
                    base.clone(),
                    format!("{base}/lib/{program}/site-packages"),
                    format!("{base}/include/{program}"),
                )
            }
        }
    };
    let library = format!("{data}/lib");
    let real = resolve(files, &site_packages)?;
    // Layers name files by their real paths: a link above would be replaced by a directory.
    let is_plain = real
        .as_ref()
        .is_none_or(|real| real.to_string() == site_packages);
    let is_split = resolve(files, &format!("{data}/lib64/{program}"))?
        .is_some_and(|path| !path.to_string().starts_with(&format!("{library}/")));
    if !is_plain || (venv.is_some() && is_split) {
        return unsupported(format!(
            "`{site_packages}` is behind a link, or apart from `{data}/lib64`"
        ));
    }
    let mut installed = BTreeMap::new();
    others.push(site_packages.clone());
    for directory in others {
        installed.extend(distributions(files, &directory)?);
    }
    let ownership = owner::find(files, config.user(), &site_packages)?;
    let path = |text: &str| {
        EntryPath::parse(text.as_bytes()).map_err(|error| Error::Unsupported {
            reason: error.to_string(),
        })
    };
    let layout = Layout {
        interpreter: place.executable.clone(),
        site_packages: path(&site_packages)?,
        scripts: path(&format!("{data}/bin"))?,
        data: path(&data)?,
        headers: path(&headers)?,
        uid: ownership.uid,
        gid: ownership.gid,
        umask: ownership.umask,
    };
    Ok((layout, installed))
}
