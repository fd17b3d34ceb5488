//! Finding and starting the process's program, and saying why it cannot be.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs as rfs;
use rustix::process::Pid;

use super::{Process, StatusError, identity};

/// What reads scripts that name nothing.
const SHELL: &str = "/bin/sh";

/// Starts the process, with the streams that this one has.
pub(super) fn start(process: &Process) -> Result<Pid, StatusError> {
    let refuse = |command: &str, reason: &str| StatusError::Command {
        command: command.to_owned(),
        reason: reason.to_owned(),
    };
    let Some((command, arguments)) = process.arguments.split_first() else {
        return Err(refuse("", "the image names no command, and none was given"));
    };
    let search = process
        .environment
        .iter()
        .rev()
        .find(|(name, _)| name == "PATH");
    let search = search.map_or(
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        |(_, path)| path,
    );
    let program = find_program(command, search).map_err(|reason| refuse(command, &reason))?;
    let mut command_line = Command::new(&program);
    command_line
        .arg0(command)
        .args(arguments)
        .env_clear()
        .envs(process.environment.iter().cloned());
    if !process.environment.iter().any(|(name, _)| name == "HOME") {
        command_line.env("HOME", home(process));
    }
    let mut spawned = command_line.spawn();
    if let Err(error) = &spawned
        && error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
        && is_text(&program)
    {
        // A script without `#!`: what shells, and execvp(3), do with it.
        let mut shell = Command::new(SHELL);
        shell.arg(&program).args(arguments).env_clear();
        shell.envs(
            command_line
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        spawned = shell.spawn();
    }
    let child = spawned.map_err(|error| {
        let reason = match error.kind() {
            // The file is there (it was found), so what is missing is what its first line or its ELF header names.
            io::ErrorKind::NotFound => format!(
                "its interpreter is not in the image ({})",
                interpreter(&program)
            ),
            _ => crate::fs::reason(&error),
        };
        refuse(command, &reason)
    })?;
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| refuse(command, "it has no process id"))
}

/// True for what may be a script, and is no program for another machine.
fn is_text(program: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(program)
        .and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, 200), &mut head));
    read.is_ok() && !head.contains(&0) && !head.starts_with(b"\x7fELF")
}

fn home(process: &Process) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let identity = identity::resolve(&process.user, &read("/etc/passwd"), &read("/etc/group"));
    identity
        .ok()
        .and_then(|identity| identity.home)
        .unwrap_or_else(|| "/".to_owned())
}

fn find_program(command: &str, search: &str) -> Result<PathBuf, String> {
    let executable =
        |path: &Path| rfs::access(path, rfs::Access::EXEC_OK).is_ok() && path.is_file();
    if command.contains('/') {
        let path = Path::new(command);
        return match path.metadata() {
            Err(error) => Err(crate::fs::reason(&error)),
            Ok(_) if executable(path) => Ok(path.to_owned()),
            Ok(_) => Err("it is not an executable file; `chmod +x` it".to_owned()),
        };
    }
    let candidates = search
        .split(':')
        .map(|directory| Path::new(directory).join(command));
    candidates
        .into_iter()
        .find(|path| executable(path))
        .ok_or_else(|| format!("it is nowhere in PATH ({search})"))
}

fn interpreter(program: &Path) -> String {
    let mut head = Vec::new();
    if let Ok(file) = File::open(program) {
        let _ = io::Read::read_to_end(&mut io::Read::take(file, 200), &mut head);
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.starts_with(b"#!") && line.ends_with(b"\r") {
        return "the script has Windows line ends, so its name ends with a carriage return; convert it with `dos2unix`"
            .to_owned();
    }
    match line.strip_prefix(b"#!") {
        Some(name) => format!(
            "`{}`",
            crate::event::printable(String::from_utf8_lossy(name).trim())
        ),
        None => "the loader that its ELF header names".to_owned(),
    }
}
