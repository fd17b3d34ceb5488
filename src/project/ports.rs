//! Which port an application listens on, guessed from its files.

use std::path::Path;

use regex::Regex;

use super::Error;
use super::text::Text;

/// Where nothing says another one.
pub const DEFAULT: u16 = 8080;

/// The port that an application's files name: `Procfile` (its `web:` line, else the first), `project.toml` (8080 then),
/// `Dockerfile` (`EXPOSE`), `nginx.conf` (`listen`), else 8080.
///
/// # Errors
/// For a file that is there and cannot be read.
///
/// # Spec
/// `path-to-production.md` §1.7; a `Procfile` without a port leaves the others to say it, as in op's newer generation.
pub fn port_of(directory: &Path) -> Result<u16, Error> {
    let read = |name: &str| Text::read(&directory.join(name));
    if let Some(port) = read("Procfile")?.and_then(|file| of_procfile(&file.text)) {
        return Ok(port);
    }
    if read("project.toml")?.is_some() {
        return Ok(DEFAULT);
    }
    let patterns = [
        ("Dockerfile", r"(?im)^\s*EXPOSE\s+(\d+)"),
        ("nginx.conf", r"(?m)^\s*listen\s+(?:\S*:)?(\d+)"),
    ];
    for (name, pattern) in patterns {
        if let Some(file) = read(name)?
            && let Some(port) = first(pattern, &file.text)
        {
            return Ok(port);
        }
    }
    Ok(DEFAULT)
}

/// The port in the command of the process that serves.
fn of_procfile(text: &str) -> Option<u16> {
    let processes = || {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.filter_map(|line| line.split_once(':'))
    };
    let web = processes().find(|(name, _)| name.trim() == "web");
    let (_, command) = web.or_else(|| processes().next())?;
    [
        r"\$\{PORT:-(\d+)\}",
        r"--port[ =](\d+)",
        r"(?:^|\s)-p[ =]?(\d+)",
        r"(?:--bind|-b)[ =]\S*:(\d+)",
    ]
    .iter()
    .find_map(|pattern| first(pattern, command))
}

/// The port that the first group of a pattern matches.
fn first(pattern: &str, text: &str) -> Option<u16> {
    let pattern = Regex::new(pattern).ok()?;
    let port: u16 = pattern.captures(text)?.get(1)?.as_str().parse().ok()?;
    (port > 0).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_say_the_port_in_the_order_of_op() {
        for (files, expected) in [
            (&[("Procfile", "web: x --port ${PORT:-3000}")][..], 3000),
            (&[("Procfile", "web: x --port 4000")], 4000),
            (&[("Procfile", "web: x --port=4001")], 4001),
            (&[("Procfile", "web: x -p 4002")], 4002),
            (&[("Procfile", "web: gunicorn -b 0.0.0.0:4003 app")], 4003),
            (
                &[("Procfile", "# c\nworker: x --port 1\nweb: x --port 2")],
                2,
            ),
            (&[("Procfile", "worker: x --port 5555")], 5555),
            (
                &[("Procfile", "web: x"), ("Dockerfile", "EXPOSE 9090")],
                9090,
            ),
            (&[("Procfile", "web: x --port 99999")], 8080),
            (&[("Dockerfile", "FROM x\nexpose 9090/tcp\nEXPOSE 1")], 9090),
            (&[("project.toml", ""), ("Dockerfile", "EXPOSE 9090")], 8080),
            (&[("nginx.conf", "server {\n  listen 8888;\n}")], 8888),
            (&[("nginx.conf", "  listen 0.0.0.0:8889 ssl;")], 8889),
            (
                &[("Dockerfile", "FROM x"), ("nginx.conf", "listen 8888;")],
                8888,
            ),
            (&[], 8080),
        ] {
            let directory = tempfile::tempdir().unwrap();
            for (name, text) in files {
                std::fs::write(directory.path().join(name), text).unwrap();
            }
            assert_eq!(port_of(directory.path()), Ok(expected), "{files:?}");
        }
    }
}
