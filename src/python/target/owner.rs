//! Whose installed files are.

use super::files::{Files, read, resolve};
use super::{Error, missing};

/// The largest `/etc/passwd` or `/etc/group`.
const MAX_FILE: u64 = 4 << 20;

/// Owner, group and umask of what the image's user would install into a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ownership {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) umask: u32,
}

/// The image's user if the directory is its own, else root. Where the group may write, it may write what is installed,
/// too: that is the convention of images which run as an arbitrary user of group 0.
///
/// # Errors
/// [`Error::Missing`] for a user that the image does not have.
pub(super) fn find(files: &dyn Files, user: &str, site_packages: &str) -> Result<Ownership, Error> {
    let root = Ownership {
        uid: 0,
        gid: 0,
        umask: 0o022,
    };
    let (uid, gid) = ids(files, user)?;
    let status = match resolve(files, site_packages)? {
        Some(path) => files.status(&path)?,
        None => None,
    };
    let Some(status) = status.filter(|status| status.uid == uid) else {
        return Ok(root);
    };
    let is_shared = status.mode & 0o020 != 0 && status.gid == gid;
    let umask = if is_shared { 0o002 } else { 0o022 };
    Ok(Ownership { uid, gid, umask })
}

/// The numbers of a user as image configurations write it: `name`, `uid`, with `:group` or `:gid`; nothing is root.
fn ids(files: &dyn Files, user: &str) -> Result<(u32, u32), Error> {
    let (user, group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let passwd = database(files, "/etc/passwd")?;
    let field =
        |line: &[String], index: usize| line.get(index).and_then(|text| text.parse::<u32>().ok());
    let known = passwd
        .iter()
        .find(|line| line.first().is_some_and(|name| name == user));
    let number = user.parse::<u32>().ok();
    let known = known.or_else(|| {
        passwd
            .iter()
            .find(|line| number.is_some() && field(line, 2) == number)
    });
    let Some(uid) = known.and_then(|line| field(line, 2)).or(number) else {
        return missing("the image's user", format!("`/etc/passwd` has no `{user}`"));
    };
    let gid = match group {
        None => known.and_then(|line| field(line, 3)).or(Some(0)),
        Some(group) => {
            let groups = database(files, "/etc/group")?;
            let named = groups
                .iter()
                .find(|line| line.first().is_some_and(|name| name == group));
            named.and_then(|line| field(line, 2)).or(group.parse().ok())
        }
    };
    match gid {
        Some(gid) => Ok((uid, gid)),
        None => missing(
            "the image's group",
            format!("`/etc/group` has no `{}`", group.unwrap_or_default()),
        ),
    }
}

/// The lines of `/etc/passwd` or `/etc/group`, each with its fields.
fn database(files: &dyn Files, path: &str) -> Result<Vec<Vec<String>>, Error> {
    let bytes = read(files, path, MAX_FILE)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text
        .lines()
        .map(|line| line.split(':').map(str::to_owned).collect())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::files::{MapFiles, Sort};
    use super::*;

    #[test]
    fn users_are_looked_up_and_directories_asked() {
        let mut files = MapFiles::default();
        let mut put = |path: &str, text: &str| {
            files
                .files
                .insert(path.to_owned(), (Sort::File, text.as_bytes().to_vec()))
        };
        put(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\napp:x:1001:7::/:/bin/sh\n",
        );
        put("/etc/group", "root:x:0:\nstaff:x:50:\n");
        put("/site/a", "");
        let find = |files: &MapFiles, user: &str| {
            let found = find(files, user, "/site").unwrap();
            (found.uid, found.gid, found.umask)
        };
        assert_eq!(find(&files, ""), (0, 0, 0o022));
        assert_eq!(find(&files, "app"), (0, 0, 0o022));
        files.status.insert("/site".to_owned(), (1001, 0, 0o775));
        assert_eq!(find(&files, "app"), (1001, 7, 0o022));
        assert_eq!(find(&files, "1001:0"), (1001, 0, 0o002));
        assert_eq!(find(&files, "app:staff"), (1001, 50, 0o022));
        assert_eq!(find(&files, "1002"), (0, 0, 0o022));
        for user in ["nobody", "app:nobody"] {
            assert!(super::find(&files, user, "/site").is_err(), "{user}");
        }
    }
}
