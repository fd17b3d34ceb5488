//! Which C library a program uses, and its version.

use super::files::{list, read, resolve};
use super::{Error, Files, elf, missing};
use crate::python::tags::{Libc, version_pair};

/// The largest C library, in bytes. glibc's has 2 MB.
const MAX_LIBRARY: u64 = 16 << 20;

/// Finds the C library of a program by its dynamic linker.
///
/// # Errors
/// [`Error::Missing`] for a static program, and for a library that is not there or does not say its version.
pub(super) fn find(files: &dyn Files, program: &elf::Program) -> Result<Libc, Error> {
    const WHAT: &str = "the C library";
    let Some(linker) = &program.linker else {
        return missing(WHAT, "the interpreter is a static program");
    };
    let name = linker.rsplit('/').next().unwrap_or_default();
    if name.starts_with("ld-musl-") {
        let library = read(files, linker, MAX_LIBRARY)?;
        return match library.as_deref().and_then(musl_version) {
            Some(libc) => Ok(libc),
            None => missing(
                WHAT,
                format!("`{linker}` is not there or does not say its version"),
            ),
        };
    }
    if !name.starts_with("ld-linux") && !name.starts_with("ld64.so") && !name.starts_with("ld.so") {
        return missing(
            WHAT,
            format!("the dynamic linker `{linker}` is neither glibc's nor musl's"),
        );
    }
    for directory in directories(files, linker)? {
        let path = format!("{directory}/libc.so.6");
        let Some(real) = resolve(files, &path)? else {
            continue;
        };
        // Up to 2.33 the file's own name has the version: `libc-2.31.so`.
        let name = String::from_utf8_lossy(real.file_name()).into_owned();
        let by_name = name
            .strip_prefix("libc-")
            .and_then(version_pair)
            .and_then(|(major, minor)| Libc::glibc(major, minor));
        let by_text = match by_name {
            Some(libc) => Some(libc),
            None => files
                .read(&real, MAX_LIBRARY)?
                .as_deref()
                .and_then(glibc_version),
        };
        if let Some(libc) = by_text {
            return Ok(libc);
        }
    }
    missing(
        WHAT,
        "no `libc.so.6` that says its version is where the dynamic linker looks",
    )
}

/// Where `libc.so.6` may be: beside the linker, then where distributions have it.
fn directories(files: &dyn Files, linker: &str) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    if let Some(parent) = resolve(files, linker)?.and_then(|path| path.parent()) {
        found.push(parent.to_string());
    }
    for base in ["/lib", "/usr/lib"] {
        for name in list(files, base)? {
            // Debian's multiarch directories, as `x86_64-linux-gnu`.
            if name.contains("-linux-gnu") {
                found.push(format!("{base}/{name}"));
            }
        }
    }
    found.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned));
    Ok(found)
}

/// The version in glibc's banner (`GNU C Library (…) stable release version 2.36.`), else the highest of the versions
/// that its symbols have.
fn glibc_version(bytes: &[u8]) -> Option<Libc> {
    let after =
        |marker: &'static str| positions(bytes, marker.as_bytes()).map(move |at| &bytes[at..]);
    let text = |bytes: &[u8]| {
        let end = bytes.len().min(24);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let banner = after(" release version ").find_map(|rest| version_pair(&text(rest)));
    let (major, minor) = banner.or_else(|| {
        after("GLIBC_")
            .filter_map(|rest| version_pair(&text(rest)))
            .max()
    })?;
    Libc::glibc(major, minor)
}

/// The version that musl has as a text of its own: `1.2.4`, perhaps with `-git-…`.
fn musl_version(bytes: &[u8]) -> Option<Libc> {
    let texts = bytes.split(|byte| *byte == 0);
    let versions = texts
        .filter(|text| (5..=40).contains(&text.len()))
        .filter_map(|text| {
            let text = std::str::from_utf8(text).ok()?;
            let number = text.split('-').next()?;
            let is_version = number.split('.').count() == 3
                && number
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.');
            is_version.then(|| version_pair(number))?
        });
    // musl is at 1 since 2014; other numbers of this form are addresses or limits.
    let (major, minor) = versions.filter(|(major, _)| *major == 1).max()?;
    Libc::musl(major, minor)
}

/// The places right after each occurrence of `marker`.
pub(super) fn positions(bytes: &[u8], marker: &[u8]) -> impl Iterator<Item = usize> {
    let first = marker.first().copied().unwrap_or_default();
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + bytes.get(from..)?.iter().position(|byte| *byte == first)?;
            from = at + 1;
            if bytes[at..].starts_with(marker) {
                return Some(at + marker.len());
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_say_their_versions() {
        let text = |libc: Option<Libc>| libc.map(|libc| libc.to_string());
        let banner = b"\0GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\nCopyright\0";
        assert_eq!(text(glibc_version(banner)).as_deref(), Some("glibc 2.36"));
        assert_eq!(
            text(glibc_version(
                b"\0GLIBC_2.9\0GLIBC_2.35\0GLIBC_2.4\0GLIBC_PRIVATE\0"
            ))
            .as_deref(),
            Some("glibc 2.35")
        );
        assert_eq!(glibc_version(b"nothing"), None);
        assert_eq!(
            text(musl_version(b"\x01\x02\x00127.0.0.1\x001.2.4\0musl libc")).as_deref(),
            Some("musl 1.2")
        );
        assert_eq!(
            text(musl_version(b"\x001.2.5-git-12-gabcdef\0")).as_deref(),
            Some("musl 1.2")
        );
        assert_eq!(musl_version(b"\x001.2\x000.0.0.0\0"), None);
    }
}
