//! Limits on memory and processor time, where control groups are delegated to us.
//!
//! Version 2 asks for an ancestor of our group that we may write to and that hands the wanted controllers down: our own
//! group has processes in it and so may not (cgroup-v2, *No Internal Process Constraint*). Version 1 takes a group below
//! our own in each hierarchy, which only root may make.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a step may use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Processors, as a number that may have a fraction.
    pub cpus: Option<f64>,
}

/// The period over which processor time is counted, in microseconds: the kernel's default.
const PERIOD: f64 = 100_000.0;

impl Limits {
    /// True when nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.memory.is_none() && self.cpus.is_none()
    }

    fn quota(&self) -> Option<u64> {
        // Below a millisecond the kernel refuses.
        self.cpus.map(|cpus| ((cpus * PERIOD) as u64).max(1000))
    }
}

/// A control group of our own; removed, with what runs in it, when dropped.
#[derive(Debug)]
pub struct ControlGroup {
    directories: Vec<PathBuf>,
}

impl ControlGroup {
    /// Makes a group with `limits`. `name` must be unlike that of any other group.
    ///
    /// # Errors
    /// A sentence that tells why none can be had here.
    pub fn create(limits: &Limits, name: &str) -> Result<Self, String> {
        let groups = fs::read_to_string("/proc/self/cgroup")
            .map_err(|error| format!("/proc/self/cgroup: {}", crate::fs::reason(&error)))?;
        let mounts = fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| format!("/proc/self/mountinfo: {}", crate::fs::reason(&error)))?;
        let mounts = Mount::parse_all(&mounts);
        match Self::unified(limits, name, &groups, &mounts) {
            Ok(group) => Ok(group),
            Err(reason) => Self::legacy(limits, name, &groups, &mounts).map_err(|old| match old {
                // No hierarchy of version 1: what version 2 said is the answer.
                None => reason,
                Some(old) => old,
            }),
        }
    }

    fn unified(
        limits: &Limits,
        name: &str,
        groups: &str,
        mounts: &[Mount],
    ) -> Result<Self, String> {
        let own = groups.lines().find_map(|line| line.strip_prefix("0::"));
        let mount = mounts.iter().find(|mount| mount.kind == "cgroup2");
        let (Some(own), Some(mount)) = (own, mount) else {
            return Err("control groups of version 2 are not mounted".to_owned());
        };
        let mut wanted = Vec::new();
        wanted.extend(limits.memory.map(|_| "memory"));
        wanted.extend(limits.cpus.map(|_| "cpu"));
        let mut group = mount.directory_of(own);
        let mut refused = String::from("no group above this process hands them down");
        while group.starts_with(&mount.point) {
            let handed_down =
                fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default();
            let has_all = wanted
                .iter()
                .all(|wanted| handed_down.split_whitespace().any(|name| name == *wanted));
            if has_all {
                match Self::make(&group.join(name), &limits.of_version_2()) {
                    Ok(made) => return Ok(made),
                    Err(error) => {
                        refused = format!("`{}`: {}", group.display(), crate::fs::reason(&error))
                    }
                }
            }
            if !group.pop() {
                break;
            }
        }
        Err(format!(
            "the controllers {} are not delegated to this user: {refused}",
            wanted.join(" and ")
        ))
    }

    /// `Err(None)` when there is nothing of version 1.
    fn legacy(
        limits: &Limits,
        name: &str,
        groups: &str,
        mounts: &[Mount],
    ) -> Result<Self, Option<String>> {
        let mut made = Self {
            directories: Vec::new(),
        };
        for (controller, files) in limits.of_version_1() {
            let mount = mounts.iter().find(|mount| {
                mount.kind == "cgroup"
                    && mount.options.split(',').any(|option| option == controller)
            });
            let own = groups.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':');
                let controllers = fields.nth(1)?;
                controllers
                    .split(',')
                    .any(|name| name == controller)
                    .then(|| fields.next())?
            });
            let (Some(mount), Some(own)) = (mount, own) else {
                return Err(None);
            };
            let directory = mount.directory_of(own).join(name);
            let group = Self::make(&directory, &files).map_err(|error| {
                Some(format!(
                    "`{}`: {}",
                    directory.display(),
                    crate::fs::reason(&error)
                ))
            })?;
            made.directories.extend(group.into_directories());
        }
        Ok(made)
    }

    fn make(directory: &Path, files: &[(&'static str, String)]) -> io::Result<Self> {
        fs::create_dir(directory)?;
        let made = Self {
            directories: vec![directory.to_owned()],
        };
        for (file, value) in files {
            fs::write(directory.join(file), value)?;
        }
        Ok(made)
    }

    fn into_directories(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.directories)
    }

    /// Moves a process into the group; what it starts afterwards is in it too.
    ///
    /// # Errors
    /// The kernel's, when that is not allowed.
    pub fn add(&self, pid: u32) -> io::Result<()> {
        self.directories
            .iter()
            .try_for_each(|directory| fs::write(directory.join("cgroup.procs"), pid.to_string()))
    }

    /// True when the kernel has killed a process of the group because memory ran out.
    pub fn has_run_out_of_memory(&self) -> bool {
        let killed = |directory: &PathBuf| {
            ["memory.events", "memory.oom_control"].iter().any(|file| {
                let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
                text.lines()
                    .filter_map(|line| line.strip_prefix("oom_kill "))
                    .any(|count| count.trim() != "0")
            })
        };
        self.directories.iter().any(killed)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            let _ = fs::write(directory.join("cgroup.kill"), "1");
            // The kernel needs a moment to forget a process that has just been killed.
            for _ in 0..50 {
                match fs::remove_dir(directory) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    }
                    _ => break,
                }
            }
        }
    }
}

impl Limits {
    fn of_version_2(&self) -> Vec<(&'static str, String)> {
        let mut files = Vec::new();
        if let Some(bytes) = self.memory {
            files.push(("memory.max", bytes.to_string()));
            // All of it dies, not the process that happened to ask last.
            files.push(("memory.oom.group", "1".to_owned()));
        }
        if let Some(quota) = self.quota() {
            files.push(("cpu.max", format!("{quota} {PERIOD}")));
        }
        files
    }

    fn of_version_1(&self) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
        let mut controllers = Vec::new();
        if let Some(bytes) = self.memory {
            controllers.push(("memory", vec![("memory.limit_in_bytes", bytes.to_string())]));
        }
        if let Some(quota) = self.quota() {
            controllers.push(("cpu", vec![("cpu.cfs_quota_us", quota.to_string())]));
        }
        controllers
    }
}

/// A mounted hierarchy.
#[derive(Debug)]
struct Mount {
    /// Which part of the hierarchy is mounted.
    root: PathBuf,
    point: PathBuf,
    kind: String,
    options: String,
}

impl Mount {
    /// Reads `/proc/self/mountinfo` (proc(5)).
    fn parse_all(text: &str) -> Vec<Self> {
        let parse = |line: &str| {
            let (before, after) = line.split_once(" - ")?;
            let before: Vec<&str> = before.split(' ').collect();
            let mut after = after.split(' ');
            Some(Self {
                root: PathBuf::from(before.get(3)?),
                point: PathBuf::from(before.get(4)?),
                kind: after.next()?.to_owned(),
                options: after.nth(1)?.to_owned(),
            })
        };
        text.lines().filter_map(parse).collect()
    }

    /// Where the group `name` of the hierarchy is.
    fn directory_of(&self, name: &str) -> PathBuf {
        let below = Path::new(name)
            .strip_prefix(&self.root)
            .unwrap_or(Path::new(""));
        let below = below.strip_prefix("/").unwrap_or(below);
        self.point.join(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_and_groups_found_below_them() {
        let text = "30 20 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                    31 20 0:27 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\nbroken\n";
        let mounts = Mount::parse_all(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(
            mounts[0].directory_of("/a/b"),
            Path::new("/sys/fs/cgroup/memory/a/b")
        );
        assert_eq!(
            mounts[1].directory_of("/docker/abc/x"),
            Path::new("/sys/fs/cgroup/x")
        );
        assert_eq!(mounts[1].directory_of("/"), Path::new("/sys/fs/cgroup"));
    }

    #[test]
    fn limits_are_spelled_as_each_version_wants_them() {
        let limits = Limits {
            memory: Some(1 << 20),
            cpus: Some(1.5),
        };
        let named = |name: &str| {
            let files = limits.of_version_2();
            files
                .into_iter()
                .find(|(file, _)| *file == name)
                .map(|(_, value)| value)
        };
        assert_eq!(named("memory.max").as_deref(), Some("1048576"));
        assert_eq!(named("cpu.max").as_deref(), Some("150000 100000"));
        let old = limits.of_version_1();
        assert_eq!(old[0].1, [("memory.limit_in_bytes", "1048576".to_owned())]);
        assert_eq!(old[1].1, [("cpu.cfs_quota_us", "150000".to_owned())]);
    }
}
