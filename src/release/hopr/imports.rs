//! Whether what a module imports will be there: in the standard library, beside it, or in `requirements.txt`.

use std::collections::{BTreeMap, BTreeSet};

/// Modules of the standard library in Python 3.11 and 3.13 alike (`sys.stdlib_module_names`).
const STANDARD: &str = "abc antigravity argparse array ast asyncio atexit base64 bdb binascii bisect builtins bz2 cProfile calendar \
    cmath cmd code codecs codeop collections colorsys compileall concurrent configparser contextlib contextvars \
    copy copyreg csv ctypes curses dataclasses datetime dbm decimal difflib dis doctest email encodings \
    ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc genericpath \
    getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib importlib \
    inspect io ipaddress itertools json keyword linecache locale logging lzma mailbox marshal math mimetypes \
    mmap modulefinder msvcrt multiprocessing netrc nt ntpath nturl2path numbers opcode operator optparse os \
    pathlib pdb pickle pickletools pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty \
    pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib resource rlcompleter \
    runpy sched secrets select selectors shelve shlex shutil signal site smtplib socket socketserver sqlite3 \
    sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess symtable sys \
    sysconfig syslog tabnanny tarfile tempfile termios textwrap this threading time timeit tkinter token \
    tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest urllib \
    uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xml xmlrpc zipapp zipfile zipimport zlib \
    zoneinfo";

/// Those that Python 3.11 has and 3.13 has no more (PEP 594, and what 3.12 removed).
const ONLY_3_11: &str = "aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp lib2to3 mailcap msilib nis \
    nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib";

/// Projects whose modules are called otherwise: `MODULE PROJECT…`.
const CALLED_OTHERWISE: [&str; 24] = [
    "yaml pyyaml",
    "PIL pillow",
    "cv2 opencv-python opencv-python-headless opencv-contrib-python",
    "sklearn scikit-learn",
    "skimage scikit-image",
    "bs4 beautifulsoup4",
    "dateutil python-dateutil",
    "dotenv python-dotenv",
    "jwt pyjwt",
    "jose python-jose",
    "Crypto pycryptodome pycrypto",
    "Cryptodome pycryptodomex",
    "OpenSSL pyopenssl",
    "nacl pynacl",
    "serial pyserial",
    "zmq pyzmq",
    "attr attrs",
    "magic python-magic",
    "psycopg2 psycopg2 psycopg2-binary",
    "MySQLdb mysqlclient",
    "multipart python-multipart",
    "slugify python-slugify",
    "docx python-docx",
    "pkg_resources setuptools",
];

/// A version of Python whose standard library is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Python {
    /// 3.11.
    V3_11,
    /// 3.13.
    V3_13,
}

/// The projects that the lines of a requirements file name, normalised as package indexes do. `read` gives the file that a
/// line `-r NAME` means, or nothing if it cannot be had.
///
/// # Spec
/// PEP 503, *Normalized Names*; pip, *Requirements File Format*.
pub fn required(text: &str, read: &dyn Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(text, read, 0, &mut found);
    found
}

/// More files than that do not include each other in good faith.
const MOST_INCLUDED: usize = 8;

fn collect(
    text: &str,
    read: &dyn Fn(&str) -> Option<String>,
    depth: usize,
    found: &mut BTreeSet<String>,
) {
    for line in super::sections::normalised(text).lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let included = line
            .strip_prefix("-r")
            .or_else(|| line.strip_prefix("--requirement"));
        if let Some(name) = included {
            let name = name.trim_start_matches(['=', ' ', '\t']);
            if let Some(text) = read(name).filter(|_| depth < MOST_INCLUDED) {
                collect(&text, read, depth + 1, found);
            }
            continue;
        }
        let egg = line.split_once("#egg=").map(|(_, name)| name);
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = egg.unwrap_or(line);
        let name = &name[..name.find(|c| !is_letter(c)).unwrap_or(name.len())];
        if name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            found.insert(normalised(name));
        }
    }
}

/// The name of a project as indexes compare it.
fn normalised(name: &str) -> String {
    let mut out = String::new();
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !out.is_empty() {
            out.push('-');
        }
        out.push_str(&part.to_ascii_lowercase());
    }
    out
}

/// True when a module is in the standard library.
pub fn is_standard(module: &str, python: Python) -> bool {
    let is_in = |list: &str| list.split_whitespace().any(|name| name == module);
    module == "__future__"
        || is_in(STANDARD)
        || (python == Python::V3_11 && is_in(ONLY_3_11))
        // Underscored ones are the standard library's own.
        || (module.starts_with('_') && is_in(module.trim_start_matches('_')))
}

/// Which of the imported modules nothing brings, each with the line of its first import. `beside` are the modules next to the
/// importing one.
pub fn missing(
    imports: &[(String, usize)],
    required: &BTreeSet<String>,
    beside: &BTreeSet<String>,
    python: Python,
) -> Vec<(String, usize)> {
    let otherwise: BTreeMap<&str, Vec<&str>> = CALLED_OTHERWISE
        .iter()
        .filter_map(|row| {
            let mut words = row.split_whitespace();
            Some((words.next()?, words.collect()))
        })
        .collect();
    let is_there = |module: &str| {
        let names = otherwise.get(module);
        is_standard(module, python)
            || beside.contains(module)
            || required.contains(&normalised(module))
            || names.is_some_and(|names| names.iter().any(|name| required.contains(*name)))
            // Projects like `google-cloud-storage` share a first name.
            || required
                .iter()
                .any(|name| name.starts_with(&format!("{}-", normalised(module))))
    };
    let mut found: Vec<(String, usize)> = Vec::new();
    for (module, line) in imports {
        if !is_there(module) && !found.iter().any(|(name, _)| name == module) {
            found.push((module.clone(), *line));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn requirements_are_names_however_they_are_written() {
        let text = "\u{feff}# Flask\r\nFlask_Login[x]==1.0 ; python_version > '3' # c\n\n-r more.txt\n--index-url https://x\n\
            git+https://h/x#egg=My.Pkg&sub=1\n  pyyaml>=6\\\n    --hash=sha256:abc\n-c constraints.txt\na @ https://h/a.whl\n";
        let more = |name: &str| (name == "more.txt").then(|| "more\n-r more.txt\n".to_owned());
        assert_eq!(
            required(text, &more),
            set(&["flask-login", "my-pkg", "pyyaml", "more", "a"])
        );
    }

    #[test]
    fn what_nothing_brings_is_found_once() {
        let imports: Vec<(String, usize)> = [
            "os",
            "yaml",
            "numpy",
            "helper",
            "google",
            "cgi",
            "numpy",
            "__future__",
            "telnetlib",
        ]
        .iter()
        .enumerate()
        .map(|(line, name)| ((*name).to_owned(), line + 1))
        .collect();
        let required = set(&["pyyaml", "google-cloud-storage"]);
        let beside = set(&["helper"]);
        assert_eq!(
            missing(&imports, &required, &beside, Python::V3_11),
            [("numpy".to_owned(), 3)]
        );
        assert_eq!(
            missing(&imports, &required, &beside, Python::V3_13),
            [
                ("numpy".to_owned(), 3),
                ("cgi".to_owned(), 6),
                ("telnetlib".to_owned(), 9)
            ]
        );
    }
}
