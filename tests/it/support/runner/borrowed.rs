//! What a builder image lacks and a job in it gets from this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where this machine says how to reach registries and package indexes; the paths that exist.
pub fn configuration() -> Vec<PathBuf> {
    let files = [
        "/etc/hosts",
        "/etc/pip.conf",
        "/etc/resolv.conf",
        "/etc/ssl/certs",
    ];
    let mut paths: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT"];
    paths.extend(named.iter().filter_map(std::env::var_os).map(PathBuf::from));
    paths.retain(|path| path.is_absolute() && path.exists());
    paths.sort();
    paths.dedup();
    // What lies below a directory of the list comes with it.
    let all = paths.clone();
    paths.retain(|path| {
        !all.iter()
            .any(|other| other != path && path.starts_with(other))
    });
    paths
}

/// The shared libraries of a program and their loader; none when it is linked statically.
pub fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let listing = String::from_utf8(output.stdout).unwrap();
    let paths = listing
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}
