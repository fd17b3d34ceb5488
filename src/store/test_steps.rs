//! Steps for tests: small scripts of file operations, run in a tree or over an overlay.
//!
//! One operation a line, words separated by spaces, `%xx` for any byte. What fails is passed over, as in a script
//! without `set -e`; it must fail in the same way everywhere.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs as rfs;

/// Where a step notes the owners that it asks for; without one, it changes them.
pub(super) const LEDGER: &str = "OVERCOAT_TEST_LEDGER";
const ROOT: &str = "OVERCOAT_TEST_ROOT";
const SCRIPT: &str = "OVERCOAT_TEST_SCRIPT";

fn decode(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(&more[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    bytes
}

/// Runs a script below `root`; with `ledger`, owners are noted there instead of set, as a seccomp supervisor does.
pub(super) fn run(root: &Path, script: &str, ledger: Option<&Path>) {
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let words: Vec<&str> = line.split(' ').collect();
        let _ = operation(root, &words, ledger);
    }
}

fn operation(root: &Path, words: &[&str], ledger: Option<&Path>) -> std::io::Result<()> {
    let bytes = |index: usize| decode(words[index]);
    let path = |index: usize| root.join(OsStr::from_bytes(&bytes(index)));
    let number = |index: usize| words[index].parse::<u64>().unwrap();
    let at = |mode| rfs::Mode::from_raw_mode(mode);
    let opens = [
        "write", "append", "open", "rewrite", "replace", "truncate", "touch",
    ];
    if opens.contains(&words[0]) && fs::metadata(path(1)).is_ok_and(|known| !known.is_file()) {
        // Opening a pipe would wait for somebody at its other end.
        return Ok(());
    }
    match words[0] {
        "write" => {
            // As tools do that replace a file: whatever was in the way stays.
            fs::write(path(1), bytes(2))?;
            fs::set_permissions(path(1), Permissions::from_mode(0o644))
        }
        "append" => File::options()
            .append(true)
            .open(path(1))?
            .write_all(&bytes(2)),
        "open" => File::options().write(true).open(path(1)).map(drop),
        "rewrite" => fs::write(path(1), fs::read(path(1))?),
        "replace" => {
            // `sed -i`: a new file with the old content and mode takes the name.
            let (old, new) = (path(1), path(1).with_extension("new"));
            let mode = fs::metadata(&old)?.permissions();
            fs::write(&new, fs::read(&old)?)?;
            fs::set_permissions(&new, mode)?;
            fs::rename(new, old)
        }
        "truncate" => File::options()
            .write(true)
            .open(path(1))?
            .set_len(number(2)),
        "chmod" => {
            let mode = u32::from_str_radix(words[2], 8).unwrap();
            if path(1).is_symlink() {
                return Ok(());
            }
            fs::set_permissions(path(1), Permissions::from_mode(mode))
        }
        "chown" => {
            let ids = [number(2) as u32, number(3) as u32];
            match ledger {
                None => std::os::unix::fs::lchown(path(1), Some(ids[0]), Some(ids[1])),
                Some(ledger) => {
                    // As the supervisor has to do it: the file is stamped, and overlay copies it up.
                    std::os::unix::fs::lchown(path(1), None, None)?;
                    let mut ledger = File::options().create(true).append(true).open(ledger)?;
                    writeln!(ledger, "{} {} {}", words[1], ids[0], ids[1])
                }
            }
        }
        "rm" => fs::remove_file(path(1)),
        "rmr" => fs::remove_dir_all(path(1)),
        "mkdir" => {
            fs::create_dir(path(1))?;
            let mode = fs::metadata(path(1))?.permissions().mode();
            fs::set_permissions(path(1), Permissions::from_mode(mode & 0o7000 | 0o755))
        }
        "mv" => match path(1).symlink_metadata()?.is_dir() {
            // Overlay refuses to rename lower directories, and `mv` copies them.
            true => {
                let status = Command::new("mv")
                    .arg("-T")
                    .args([path(1), path(2)])
                    .stderr(std::process::Stdio::null())
                    .status()?;
                assert!(status.code().is_some(), "{status}");
                Ok(())
            }
            false => fs::rename(path(1), path(2)),
        },
        "ln" => fs::hard_link(path(1), path(2)),
        "symlink" => symlink(OsStr::from_bytes(&bytes(1)), path(2)),
        "touch" => {
            let time = UNIX_EPOCH + Duration::from_secs(number(2));
            File::options()
                .write(true)
                .open(path(1))?
                .set_modified(time)
        }
        "xattr" => Ok(rfs::lsetxattr(
            path(1),
            words[2],
            &bytes(3),
            rfs::XattrFlags::empty(),
        )?),
        "unxattr" => Ok(rfs::lremovexattr(path(1), words[2])?),
        "fifo" => {
            rfs::mknodat(rfs::CWD, path(1), rfs::FileType::Fifo, at(0o600), 0)?;
            fs::set_permissions(path(1), Permissions::from_mode(0o640))
        }
        "mknod" => {
            let device = rfs::makedev(number(2) as u32, number(3) as u32);
            rfs::mknodat(
                rfs::CWD,
                path(1),
                rfs::FileType::CharacterDevice,
                at(0o600),
                device,
            )?;
            Ok(())
        }
        "socket" => Ok(rfs::mknodat(
            rfs::CWD,
            path(1),
            rfs::FileType::Socket,
            at(0o600),
            0,
        )?),
        other => panic!("no operation `{other}`"),
    }
}

/// What a step asked its ledger for, by path; the last word counts.
pub(super) fn ledger_of(file: &Path) -> Vec<(PathBuf, u32, u32)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let path = PathBuf::from(OsStr::from_bytes(&decode(words[0])));
            (path, words[1].parse().unwrap(), words[2].parse().unwrap())
        })
        .collect()
}

/// A program that runs with its own mounts, and as root of a user namespace when this user is not root.
pub(super) fn unshared() -> Command {
    let mut command = Command::new("unshare");
    command.arg("-m");
    if !rustix::process::geteuid().is_root() {
        command.arg("-Ur");
    }
    command
}

/// This test program again, for one test that only runs as a child.
pub(super) fn child(mut command: Command, test: &str) -> Command {
    command.arg(std::env::current_exe().unwrap()).args([
        "--ignored",
        "--exact",
        "--nocapture",
        test,
    ]);
    command
}

/// Runs a script over an overlay of `lowers` (topmost first) with these `upper` and `work` directories.
pub(super) fn run_over_overlay(
    lowers: &[PathBuf],
    upper: &Path,
    work: &Path,
    script: &str,
    ledger: Option<&Path>,
) {
    let place = work.with_file_name("mount");
    fs::create_dir(&place).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let stack: Vec<String> = lowers.iter().map(|lower| text(lower)).collect();
    let options = format!(
        "userxattr,lowerdir={},upperdir={},workdir={}",
        stack.join(":"),
        text(upper),
        text(work)
    );
    let file = work.with_file_name("script");
    fs::write(&file, script).unwrap();
    let mut command = unshared();
    command.args([
        "sh",
        "-c",
        "mount -t overlay overlay -o \"$0\" \"$1\" && shift && exec \"$@\"",
        &options,
        &text(&place),
    ]);
    let mut command = child(command, "store::test_steps::child_runs_a_script");
    command.env(ROOT, &place).env(SCRIPT, &file);
    if let Some(ledger) = ledger {
        command.env(LEDGER, ledger);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "the half of other tests that runs under an overlay; it needs their environment"]
fn child_runs_a_script() {
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let script = fs::read_to_string(std::env::var_os(SCRIPT).unwrap()).unwrap();
    let ledger = std::env::var_os(LEDGER).map(PathBuf::from);
    run(Path::new(&root), &script, ledger.as_deref());
}
