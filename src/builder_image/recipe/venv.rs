//! The virtual environment, as `python3 -m venv` would make it, written as files.

use std::collections::BTreeMap;

use super::Error;
use super::definition::Venv;
use super::generated::{Generated, Owner, path};
use super::shipped;
use super::wheel::Wheel;
use crate::layer::Kind;
use crate::python::wheel::{Row, script};

const FILE: u32 = 0o664;
/// Directories and programs. The group may write: OpenShift runs images as a user of its own choosing in group 0.
const PROGRAM: u32 = 0o775;

/// Adds the virtual environment with the recipe's wheels; gives the names of their `.dist-info` directories. `version` is
/// the interpreter's full version.
pub(super) fn add(
    generated: &mut Generated<'_>,
    venv: &Venv,
    version: &str,
) -> Result<Vec<String>, Error> {
    let mut wheels = Vec::new();
    for pattern in &venv.wheels {
        for (path, bytes) in generated.matching(pattern, "the virtual environment")? {
            let wheel = Wheel::read(&path.to_string(), bytes).map_err(|reason| Error::Wheel {
                path: path.to_string(),
                reason,
            })?;
            wheels.push(wheel);
        }
    }
    let mut writer = Writer { generated, venv };
    writer.add_frame(version)?;
    wheels
        .iter()
        .try_for_each(|wheel| writer.add_wheel(wheel))?;
    Ok(wheels.into_iter().map(|wheel| wheel.dist_info).collect())
}

struct Writer<'a, 'b> {
    generated: &'a mut Generated<'b>,
    venv: &'a Venv,
}

impl Writer<'_, '_> {
    fn owner(&self) -> Owner {
        self.venv.owner
    }

    fn site_packages(&self) -> String {
        format!("lib/python{}/site-packages", self.venv.python_version())
    }

    /// Puts a file below the environment, and the directories above it.
    fn file(&mut self, name: &str, bytes: Vec<u8>, mode: u32) -> Result<(), Error> {
        if let Some((directory, _)) = name.rsplit_once('/') {
            self.directory(directory)?;
        }
        let path = path(&format!("{}/{name}", self.venv.path.text))?;
        self.generated.put_file(&path, bytes, mode, self.owner())
    }

    fn directory(&mut self, name: &str) -> Result<(), Error> {
        let mut directory = self.venv.path.text.clone();
        for part in name.split('/') {
            directory = format!("{directory}/{part}");
            self.generated
                .put(&path(&directory)?, Kind::Directory, PROGRAM, self.owner())?;
        }
        Ok(())
    }

    fn link(&mut self, name: &str, target: &str) -> Result<(), Error> {
        let path = path(&format!("{}/{name}", self.venv.path.text))?;
        self.generated.put_link(&path, target, self.owner())
    }

    /// Everything but the packages in it.
    fn add_frame(&mut self, version: &str) -> Result<(), Error> {
        let Venv { path, python, .. } = self.venv;
        let (home, program) = python.text.rsplit_once('/').unwrap_or_default();
        self.generated
            .put(&path.path, Kind::Directory, PROGRAM, self.owner())?;
        let config = format!(
            "home = {home}\ninclude-system-site-packages = false\nversion = {version}\nexecutable = {}\n\
             command = {} -m venv {}\n",
            python.text, python.text, path.text,
        );
        self.file("pyvenv.cfg", config.into_bytes(), FILE)?;
        let name = path.text.rsplit('/').next().unwrap_or_default();
        let activate = shipped::ACTIVATE
            .replace("@VENV@", &path.text)
            .replace("@NAME@", name);
        self.file("bin/activate", activate.into_bytes(), FILE)?;
        self.link(&format!("bin/{program}"), &python.text)?;
        self.link("bin/python3", program)?;
        self.link("bin/python", program)?;
        self.directory(&format!("include/{program}"))?;
        self.directory(&self.site_packages())?;
        self.link("lib64", "lib")
    }

    /// Installs a wheel as pip does, without bytecode.
    fn add_wheel(&mut self, wheel: &Wheel) -> Result<(), Error> {
        let site_packages = self.site_packages();
        let installer = format!("{}/INSTALLER", wheel.dist_info);
        let requested = format!("{}/REQUESTED", wheel.dist_info);
        let more = [(installer, b"pip\n".to_vec()), (requested, Vec::new())];
        let mut files = wheel.files.clone();
        files.extend(more);
        let mut rows = Vec::new();
        // Names that would need quoting are refused.
        let row = |name: &str, bytes: &[u8]| {
            let hash = Row::of(String::new(), bytes).hash_text;
            format!("{name},{hash},{}\n", bytes.len())
        };
        for (name, bytes) in files {
            rows.push(row(&name, &bytes));
            self.file(&format!("{site_packages}/{name}"), bytes, FILE)?;
        }
        for (name, script) in self.scripts(wheel) {
            rows.push(row(&format!("../../../bin/{name}"), script.as_bytes()));
            self.file(&format!("bin/{name}"), script.into_bytes(), PROGRAM)?;
        }
        let record = format!("{}/RECORD", wheel.dist_info);
        rows.push(format!("{record},,\n"));
        rows.sort();
        self.file(
            &format!("{site_packages}/{record}"),
            rows.concat().into_bytes(),
            FILE,
        )
    }

    /// The console scripts by name. pip's own are named for this interpreter, not for the one its wheel was made
    /// with.
    fn scripts(&self, wheel: &Wheel) -> Vec<(String, String)> {
        let calls = wheel.scripts.iter();
        let mut calls: BTreeMap<String, (&str, &str)> = calls
            .map(|script| (script.name.clone(), (&*script.module, &*script.function)))
            .collect();
        if let Some(pip) = calls.get("pip").copied() {
            calls.retain(|name, _| !is_versioned_pip(name));
            for version in ["3", self.venv.python_version()] {
                calls.insert(format!("pip{version}"), pip);
            }
        }
        let python = format!("{}/bin/python3", self.venv.path.text);
        let script = |(name, (module, function)): (String, (&str, &str))| {
            (name, script::entry_point(&python, module, function))
        };
        calls.into_iter().map(script).collect()
    }
}

fn is_versioned_pip(name: &str) -> bool {
    let version = name
        .strip_prefix("pip")
        .filter(|version| !version.is_empty());
    version.is_some_and(|version| {
        version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}
