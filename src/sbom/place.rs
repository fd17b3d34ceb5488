//! Which files of an image say what is in it.

use crate::layer::EntryPath;

/// What a file is by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `METADATA` of a `.dist-info`, `PKG-INFO` of a `.egg-info`, or a `.egg-info` that is a file.
    Metadata,
    /// `INSTALLER` beside it.
    Installer,
    /// `REQUESTED` beside it.
    Requested,
    /// `RECORD` beside it.
    Record,
    /// `direct_url.json` beside it.
    DirectUrl,
    /// dpkg's database, or a part of it.
    Dpkg,
    /// A package's `copyright`.
    Copyright,
    /// apk's database.
    Apk,
    /// RPM's database.
    Rpm,
    /// `os-release`.
    OsRelease,
    /// An interpreter called `python3.N`; the text is `3.N`.
    Interpreter(String),
    /// Its library.
    Library(String),
    /// `patchlevel.h` of its headers.
    Header(String),
}

/// Where RPM keeps its database, in each of its forms.
const RPM: [&str; 6] = [
    "usr/lib/sysimage/rpm/Packages",
    "usr/lib/sysimage/rpm/Packages.db",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/rpmdb.sqlite",
];
/// dpkg's database.
pub(super) const DPKG_STATUS: &str = "var/lib/dpkg/status";
/// dpkg's database in images that have no dpkg: a file for each package.
const DPKG_PARTS: &str = "var/lib/dpkg/status.d";
/// What `os-release` is called, the first that is there counts.
///
/// # Spec
/// os-release(5).
pub(super) const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// A path as text, without a leading slash. Bytes that are no UTF-8 are escaped.
pub(super) fn text(path: &EntryPath) -> String {
    match std::str::from_utf8(path.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => path.as_bytes().escape_ascii().to_string(),
    }
}

/// What the file at a path is; `None` for most.
pub(super) fn kind(path: &str) -> Option<Kind> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if parent.ends_with(".dist-info") {
        return match name {
            "METADATA" => Some(Kind::Metadata),
            "INSTALLER" => Some(Kind::Installer),
            "REQUESTED" => Some(Kind::Requested),
            "RECORD" => Some(Kind::Record),
            "direct_url.json" => Some(Kind::DirectUrl),
            _ => None,
        };
    }
    let directory = parent.rsplit('/').next().unwrap_or_default();
    match name {
        "PKG-INFO" if parent.ends_with(".egg-info") || directory == "EGG-INFO" => {
            return Some(Kind::Metadata);
        }
        "status" if path == DPKG_STATUS => return Some(Kind::Dpkg),
        "installed" if matches!(parent, "lib/apk/db" | "usr/lib/apk/db") => {
            return Some(Kind::Apk);
        }
        "os-release" if OS_RELEASE.contains(&path) => return Some(Kind::OsRelease),
        "copyright" => {
            let package = parent.strip_prefix("usr/share/doc/")?;
            return (!package.contains('/')).then_some(Kind::Copyright);
        }
        "patchlevel.h" => {
            let above = parent.strip_suffix(directory)?;
            let minor = minor(directory)?;
            return above.ends_with("include/").then_some(Kind::Header(minor));
        }
        _ => {}
    }
    if parent == DPKG_PARTS && !name.contains('.') {
        return Some(Kind::Dpkg);
    }
    if RPM.contains(&path) {
        return Some(Kind::Rpm);
    }
    if name.ends_with(".egg-info") {
        return Some(Kind::Metadata);
    }
    if directory == "bin" {
        return minor(name).map(Kind::Interpreter);
    }
    let library = name.strip_prefix("lib")?.strip_suffix(".so.1.0")?;
    minor(library).map(Kind::Library)
}

/// `3.11` of `python3.11` and of `python3.13t`.
fn minor(name: &str) -> Option<String> {
    let digits = name.strip_prefix("python3.")?;
    let digits = digits.strip_suffix('t').unwrap_or(digits);
    let is_number =
        !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("3.{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_paths() {
        let python = |minor: &str| minor.to_owned();
        let table = [
            (
                "opt/venv/lib/python3.11/site-packages/a-1.dist-info/METADATA",
                Some(Kind::Metadata),
            ),
            ("a-1.dist-info/RECORD", Some(Kind::Record)),
            ("a-1.dist-info/licenses/METADATA", None),
            (
                "usr/lib/python3/dist-packages/six-1.16.0.egg-info",
                Some(Kind::Metadata),
            ),
            (
                "x/six-1.16.0-py3.11.egg-info/PKG-INFO",
                Some(Kind::Metadata),
            ),
            ("x/a.egg/EGG-INFO/PKG-INFO", Some(Kind::Metadata)),
            ("src/a/PKG-INFO", None),
            ("var/lib/dpkg/status", Some(Kind::Dpkg)),
            ("srv/var/lib/dpkg/status", None),
            ("var/lib/dpkg/status.d/base-files", Some(Kind::Dpkg)),
            ("var/lib/dpkg/status.d/base-files.md5sums", None),
            ("usr/share/doc/libc6/copyright", Some(Kind::Copyright)),
            ("usr/share/doc/a/b/copyright", None),
            ("lib/apk/db/installed", Some(Kind::Apk)),
            ("var/lib/rpm/rpmdb.sqlite", Some(Kind::Rpm)),
            ("etc/os-release", Some(Kind::OsRelease)),
            (
                "usr/local/bin/python3.11",
                Some(Kind::Interpreter(python("3.11"))),
            ),
            ("bin/python3.13t", Some(Kind::Interpreter(python("3.13")))),
            ("usr/bin/python3", None),
            ("usr/bin/python3.11-config", None),
            (
                "usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0",
                Some(Kind::Library(python("3.11"))),
            ),
            (
                "usr/local/include/python3.12/patchlevel.h",
                Some(Kind::Header(python("3.12"))),
            ),
            ("src/python3.12/patchlevel.h", None),
            ("METADATA", None),
            ("", None),
        ];
        for (path, expected) in table {
            assert_eq!(kind(path), expected, "{path}");
        }
    }
}
