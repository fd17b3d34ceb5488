//! What dpkg would have recorded about packages, had dpkg unpacked them.
//!
//! ```text
//! /var/lib/dpkg/
//! ├── status                     one stanza for each package
//! ├── info/format                "1\n"
//! ├── info/NAME[:ARCH].list      its paths, `.md5sums`, `.conffiles`, maintainer scripts, …
//! └── triggers/                  who wants to be told about which path or name
//! ```
//!
//! With these, `dpkg -l`, `dpkg -L`, `dpkg -S` and `dpkg -V` answer, scanners find what is installed, and a later
//! `apt-get install` in an image built on top goes on from here. A path in `.list` is as the package has it:
//! `/bin/bash` stays so where `/bin` is a link, as dpkg keeps it.
//!
//! # Spec
//! dpkg(1), deb-control(5), deb-triggers(5).

use std::collections::BTreeMap;

use pgp::crypto::hash::HashAlgorithm;

use super::Error;

/// A package as it was unpacked.
#[derive(Clone, Debug)]
pub struct Installed {
    /// What `control.tar` holds, by name ([`super::archive::Deb::control_files`]).
    pub control_files: BTreeMap<String, Vec<u8>>,
    /// The paths of `data.tar` in its order, relative, the root as the empty text
    /// ([`super::archive::Member::path`]).
    pub paths: Vec<String>,
    /// The MD5 ([`md5`]) of each configuration file by path, relative. Others may be in it too.
    pub md5_by_path: BTreeMap<String, String>,
}

impl Installed {
    /// The paths, relative, of the package's configuration files whose MD5 is needed.
    pub fn conffiles(control_files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
        let text = control_files
            .get("conffiles")
            .map(|bytes| String::from_utf8_lossy(bytes));
        // A line with a flag before its path (`remove-on-upgrade`) names a file that the package does not have.
        let own = |line: &str| line.trim().strip_prefix('/').map(str::to_owned);
        text.iter()
            .flat_map(|text| text.lines())
            .filter_map(own)
            .collect()
    }

    /// The name by which dpkg knows the package's files: with the architecture for `Multi-Arch: same`.
    ///
    /// # Errors
    /// [`Error::Index`] when the control file is malformed.
    pub fn info_name(&self) -> Result<String, Error> {
        let control = self.control()?;
        let name = field(&control, "Package").unwrap_or_default();
        match (
            field(&control, "Multi-Arch"),
            field(&control, "Architecture"),
        ) {
            (Some("same"), Some(architecture)) => Ok(format!("{name}:{architecture}")),
            _ => Ok(name.to_owned()),
        }
    }

    /// The package's stanza in `status`, with the blank line that ends it.
    ///
    /// # Errors
    /// [`Error::Index`] when the control file is malformed.
    pub fn status_entry(&self) -> Result<String, Error> {
        let control = self.control()?;
        let mut entry = String::new();
        for line in control.lines().filter(|line| !line.trim().is_empty()) {
            if line.starts_with("Description:") {
                self.push_conffiles(&mut entry);
            }
            entry.push_str(line);
            entry.push('\n');
            if line.starts_with("Package:") {
                entry.push_str("Status: install ok installed\n");
            }
        }
        entry.push('\n');
        Ok(entry)
    }

    fn push_conffiles(&self, entry: &mut String) {
        let mut is_first = true;
        for path in Self::conffiles(&self.control_files) {
            if let Some(md5) = self.md5_by_path.get(&path) {
                if std::mem::take(&mut is_first) {
                    entry.push_str("Conffiles:\n");
                }
                entry.push_str(&format!(" /{path} {md5}\n"));
            }
        }
    }

    /// The files below `info/`, by name.
    ///
    /// # Errors
    /// [`Error::Index`] when the control file is malformed.
    pub fn info_files(&self) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let name = self.info_name()?;
        let line = |path: &String| {
            if path.is_empty() {
                "/.\n".to_owned()
            } else {
                format!("/{path}\n")
            }
        };
        let list: String = self.paths.iter().map(line).collect();
        let mut files = BTreeMap::from([(format!("{name}.list"), list.into_bytes())]);
        for (kind, bytes) in &self.control_files {
            if kind != "control" {
                files.insert(format!("{name}.{kind}"), bytes.clone());
            }
        }
        Ok(files)
    }

    fn control(&self) -> Result<String, Error> {
        let malformed = |reason: &str| Error::Index {
            index: "control".to_owned(),
            reason: reason.to_owned(),
        };
        let bytes = self
            .control_files
            .get("control")
            .ok_or_else(|| malformed("it is missing"))?;
        let text = String::from_utf8(bytes.clone()).map_err(|_| malformed("it is not UTF-8"))?;
        let name = field(&text, "Package").unwrap_or_default();
        let architecture = field(&text, "Architecture").unwrap_or("all");
        if !super::packages::is_package_name(name) || architecture.contains(['/', '\0']) {
            return Err(malformed("it has no usable `Package` or `Architecture`"));
        }
        Ok(text)
    }
}

/// Everything below `/var/lib/dpkg` for a set of packages, by path relative to it, in which nothing depends on the
/// order of `installed`.
///
/// # Errors
/// [`Error::Index`] when a control file is malformed.
pub fn database(installed: &[Installed]) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut files = BTreeMap::from([
        ("info/format".to_owned(), b"1\n".to_vec()),
        // No trigger waits. Where the file is missing, dpkg takes the database for one of before there were triggers
        // and activates all of them with the first package that is installed (`trig_transitional_activate`).
        ("triggers/Unincorp".to_owned(), Vec::new()),
    ]);
    let mut entries = BTreeMap::new();
    let mut triggers: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut sorted = Vec::new();
    for package in installed {
        sorted.push((package.info_name()?, package));
    }
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, package) in sorted {
        for (file, bytes) in package.info_files()? {
            files.insert(format!("info/{file}"), bytes);
        }
        if let Some(text) = package.control_files.get("triggers") {
            add_triggers(&mut triggers, &name, &String::from_utf8_lossy(text));
        }
        entries.insert(name, package.status_entry()?);
    }
    files.extend(triggers);
    files.insert(
        "status".to_owned(),
        entries.into_values().collect::<String>().into_bytes(),
    );
    Ok(files)
}

/// Enters what one package wants to be told about: paths into `triggers/File`, names into a file each.
fn add_triggers(files: &mut BTreeMap<String, Vec<u8>>, package: &str, text: &str) {
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let mark = match words.next() {
            Some("interest" | "interest-await") => "",
            Some("interest-noawait") => "/noawait",
            _ => continue,
        };
        let is_file_name = |name: &&str| !name.contains('/') && !name.starts_with('.');
        match words.next() {
            Some(path) if path.starts_with('/') => {
                let entry = format!("{path} {package}{mark}\n");
                files
                    .entry("triggers/File".to_owned())
                    .or_default()
                    .extend(entry.into_bytes());
            }
            Some(name) if is_file_name(&name) => {
                let entry = format!("{package}{mark}\n");
                files
                    .entry(format!("triggers/{name}"))
                    .or_default()
                    .extend(entry.into_bytes());
            }
            _ => {}
        }
    }
}

/// The MD5 of a file's content in hexadecimal, as dpkg records it. It protects nothing; the SHA-256 of the package
/// did that.
pub fn md5(content: &[u8]) -> String {
    let digest = HashAlgorithm::Md5.digest(content).unwrap_or_default();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of a single-line field of a stanza.
fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    stanza.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL: &str = "Package: libzork1\nSource: zork\nVersion: 1:2-3\nArchitecture: amd64\nMulti-Arch: same\n\
                           Description: a great underground empire\n You are likely to be eaten.\n";

    fn installed(control: &str) -> Installed {
        let files = [
            ("control", control),
            (
                "conffiles",
                "/etc/zork.conf\nremove-on-upgrade /etc/old.conf\n",
            ),
            ("md5sums", "d41d8cd98f00b204e9800998ecf8427e  usr/zork\n"),
            (
                "triggers",
                "# comment\ninterest-noawait /usr/share/zork\ninterest ldconfig\nactivate x\ninterest ../x\n",
            ),
        ];
        let own = |(name, text): (&str, &str)| (name.to_owned(), text.as_bytes().to_vec());
        Installed {
            control_files: files.into_iter().map(own).collect(),
            paths: ["", "etc", "etc/zork.conf", "usr", "usr/zork"]
                .map(str::to_owned)
                .to_vec(),
            md5_by_path: BTreeMap::from([("etc/zork.conf".to_owned(), md5(b"lamp"))]),
        }
    }

    #[test]
    fn a_status_entry_is_what_dpkg_writes() {
        let expected = "Package: libzork1\nStatus: install ok installed\nSource: zork\nVersion: 1:2-3\n\
                        Architecture: amd64\nMulti-Arch: same\nConffiles:\n \
                        /etc/zork.conf c675e7a5cf4a5f25ed5d7ca5a4f5fabc\n\
                        Description: a great underground empire\n You are likely to be eaten.\n\n";
        let entry = installed(CONTROL).status_entry().unwrap();
        assert_eq!(
            entry.replace(&md5(b"lamp"), "c675e7a5cf4a5f25ed5d7ca5a4f5fabc"),
            expected
        );
        assert_eq!(md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn the_database_has_lists_scripts_and_triggers_named_as_dpkg_names_them() {
        let other = CONTROL
            .replace("libzork1", "adventure")
            .replace("same", "foreign");
        let packages = [installed(CONTROL), installed(&other)];
        let files = database(&packages).unwrap();
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let expected = [
            "info/adventure.conffiles",
            "info/adventure.list",
            "info/adventure.md5sums",
            "info/adventure.triggers",
            "info/format",
            "info/libzork1:amd64.conffiles",
            "info/libzork1:amd64.list",
            "info/libzork1:amd64.md5sums",
            "info/libzork1:amd64.triggers",
            "status",
            "triggers/File",
            "triggers/Unincorp",
            "triggers/ldconfig",
        ];
        assert_eq!(names, expected);
        let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
        assert_eq!(
            text("info/adventure.list"),
            "/.\n/etc\n/etc/zork.conf\n/usr\n/usr/zork\n"
        );
        assert_eq!(text("triggers/ldconfig"), "adventure\nlibzork1:amd64\n");
        let file = "/usr/share/zork adventure/noawait\n/usr/share/zork libzork1:amd64/noawait\n";
        assert_eq!(text("triggers/File"), file);
        let reversed = [installed(&other), installed(CONTROL)];
        assert_eq!(database(&reversed).unwrap(), files);
    }

    #[test]
    fn a_control_file_cannot_choose_a_path() {
        for control in [
            "",
            "Package: ../../etc/x\n",
            &CONTROL.replace("amd64", "../x"),
        ] {
            assert!(database(&[installed(control)]).is_err(), "{control:?}");
        }
    }
}
