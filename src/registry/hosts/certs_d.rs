//! Directories of certificates: `certs.d/HOST[:PORT]/`, with `*.crt` of authorities, and `*.cert` with `*.key` of ours.
//!
//! # Spec
//! `containers-certs.d(5)`; Docker's *Verify repository client with certificates*.

use std::path::{Path, PathBuf};

use super::{Error, read};
use crate::fs;
use crate::http::{Identity, Tls};

/// Reads what the first of `bases` that has a directory for `host` has in it; of several client certificates the first
/// by name is used.
pub(super) fn find(bases: &[PathBuf], host: &str) -> Result<Tls, Error> {
    // Hosts come from references, which are checked, and from redirects, which could be `..`.
    if host.is_empty() || host.starts_with('.') || host.contains('/') {
        return Ok(Tls::default());
    }
    let directory = bases.iter().map(|base| base.join(host));
    match directory.into_iter().find(|directory| directory.is_dir()) {
        Some(directory) => of_directory(&directory),
        None => Ok(Tls::default()),
    }
}

fn of_directory(directory: &Path) -> Result<Tls, Error> {
    let refuse = |path: &Path, reason: &str| Error {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let names =
        fs::list(directory).map_err(|error| refuse(directory, &fs::reason(&error.source)))?;
    let mut tls = Tls::default();
    for name in names {
        let path = directory.join(name);
        match path.extension().and_then(|kind| kind.to_str()) {
            Some("crt") => {
                tls.authorities.extend(read(&path)?);
                tls.authorities.push(b'\n');
            }
            Some("cert") => {
                let key = path.with_extension("key");
                if !key.is_file() {
                    return Err(refuse(
                        &path,
                        "the key beside it, of the same name with `.key`, is missing; an authority's certificate ends with `.crt`",
                    ));
                }
                if tls.identity.is_none() {
                    tls.identity = Some(Identity {
                        certificates: read(&path)?,
                        key: read(&key)?,
                    });
                }
            }
            Some("key") if !path.with_extension("cert").is_file() => {
                return Err(refuse(
                    &path,
                    "the certificate beside it, of the same name with `.cert`, is missing",
                ));
            }
            _ => {}
        }
    }
    Ok(tls)
}
