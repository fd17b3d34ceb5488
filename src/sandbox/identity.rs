//! Who is who: subordinate ids of this machine, and users of an image.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, StatusError};

/// A range of ids that a user may hand out in user namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubordinateIds {
    /// The first id.
    pub start: u32,
    /// How many.
    pub count: u32,
}

impl SubordinateIds {
    /// Finds a user's largest range in the text of `/etc/subuid` or `/etc/subgid`: lines `user:start:count`, where
    /// the user is a name or a number.
    pub fn find(text: &str, name: Option<&str>, uid: u32) -> Option<Self> {
        let range = |line: &str| {
            let mut fields = line.trim().split(':');
            let user = fields.next()?;
            if Some(user) != name && user.parse() != Ok(uid) {
                return None;
            }
            Some(Self {
                start: fields.next()?.parse().ok()?,
                count: fields.next()?.parse().ok()?,
            })
        };
        text.lines()
            .filter_map(range)
            .max_by_key(|range| range.count)
    }
}

/// How the ids of this process's user namespace map to those outside, from `/proc/self/uid_map`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap(Vec<(u32, u32, u32)>);

impl IdMap {
    /// Reads the map of this process.
    ///
    /// # Errors
    /// [`Error::File`] when `/proc` cannot be read.
    pub fn of_this_process() -> Result<Self, Error> {
        let bytes = crate::fs::read_limited(Path::new("/proc/self/uid_map"), 1 << 16)?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    pub(super) fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
            Some((numbers.next()??, numbers.next()??, numbers.next()??))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The map of a namespace below this one in which every id is itself, as `/proc/PID/uid_map` wants it.
    pub(super) fn to_identity(&self) -> String {
        let line = |(inner, _, count): &(u32, u32, u32)| format!("{inner} {inner} {count}\n");
        self.0.iter().map(line).collect()
    }

    /// True when the namespace knows the id.
    pub(super) fn has(&self, id: u32) -> bool {
        self.0
            .iter()
            .any(|(inner, _, count)| id >= *inner && id - inner < *count)
    }

    /// True when the namespace knows one id alone: files cannot be given to anybody.
    pub fn is_single(&self) -> bool {
        matches!(self.0.as_slice(), [] | [(_, _, 0 | 1)])
    }

    /// A name for this mapping that can be part of a path. Files made under one mapping have other owners under
    /// another, so what is unpacked is kept apart by it.
    pub fn key(&self) -> String {
        match self.0.as_slice() {
            [(0, 0, u32::MAX)] => "host".to_owned(),
            ranges => {
                let names: Vec<_> = ranges
                    .iter()
                    .map(|(inner, outer, count)| format!("{inner}-{outer}-{count}"))
                    .collect();
                names.join("_")
            }
        }
    }
}

/// A user of an image, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, by the image's `/etc/group`.
    pub groups: Vec<u32>,
    pub home: Option<String>,
}

/// Finds the user that an image's configuration names, in the text of the image's `/etc/passwd` and `/etc/group`.
/// A number need not be listed; its group is then 0, as Docker has it.
///
/// # Spec
/// OCI image-spec `config.md`, *User*.
pub(super) fn resolve(user: &str, passwd: &str, group: &str) -> Result<Identity, StatusError> {
    let (user, group_name) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let account = passwd
        .lines()
        .find_map(|line| Account::parse(line).filter(|account| account.answers_to(user)));
    let uid = match (&account, user.parse()) {
        (Some(account), _) => account.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err(unknown("user", user)),
    };
    let gid = match group_name {
        None => account.as_ref().map_or(0, |account| account.gid),
        Some(name) => find_group(group, name)?,
    };
    let groups = match (&account, group_name) {
        (Some(account), None) => supplementary(group, account.name, gid),
        _ => Vec::new(),
    };
    // The kernel takes it for "leave it as it is", which would be root.
    for (kind, id) in [("user", uid), ("group", gid)] {
        if id == u32::MAX {
            return Err(unknown(kind, &id.to_string()));
        }
    }
    let home = account
        .map(|account| account.home.to_owned())
        .filter(|home| !home.is_empty());
    Ok(Identity {
        uid,
        gid,
        groups,
        home,
    })
}

fn unknown(kind: &str, name: &str) -> StatusError {
    StatusError::NoSuchUser {
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Account<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            [name, _, uid, gid, _, home, ..] => Some(Self {
                name,
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home,
            }),
            _ => None,
        }
    }

    fn answers_to(&self, user: &str) -> bool {
        self.name == user || user.parse() == Ok(self.uid)
    }
}

fn find_group(text: &str, name: &str) -> Result<u32, StatusError> {
    let gid = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (listed, gid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        (listed == name).then_some(gid)
    });
    gid.or_else(|| name.parse().ok())
        .ok_or_else(|| unknown("group", name))
}

fn supplementary(text: &str, user: &str, primary: u32) -> Vec<u32> {
    let member_of = |line: &str| {
        let mut fields = line.split(':');
        let gid: u32 = fields.nth(2)?.parse().ok()?;
        let is_member = fields.next()?.split(',').any(|member| member == user);
        (is_member && gid != primary && gid != u32::MAX).then_some(gid)
    };
    text.lines().filter_map(member_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "evil:x:4294967295:0::/:/bin/sh\nroot:x:0:0:root:/root:/bin/bash\ndefault:x:1001:0:App:/opt/app-root/src:/sbin/nologin\n\
        web:x:33:33::/var/www:/bin/sh\nbroken line\n";
    const GROUP: &str = "root:x:0:\nwww-data:x:33:\nextra:x:44:web,other\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let table = [
            ("", (0, 0, vec![], Some("/root"))),
            ("1001", (1001, 0, vec![], Some("/opt/app-root/src"))),
            ("default", (1001, 0, vec![], Some("/opt/app-root/src"))),
            ("web", (33, 33, vec![44], Some("/var/www"))),
            ("web:extra", (33, 44, vec![], Some("/var/www"))),
            ("web:7", (33, 7, vec![], Some("/var/www"))),
            ("123456", (123_456, 0, vec![], None)),
            ("123456:33", (123_456, 33, vec![], None)),
        ];
        for (user, (uid, gid, groups, home)) in table {
            let found =
                resolve(user, PASSWD, GROUP).unwrap_or_else(|error| panic!("{user}: {error:?}"));
            let expected = Identity {
                uid,
                gid,
                groups,
                home: home.map(str::to_owned),
            };
            assert_eq!(found, expected, "{user}");
        }
        for user in [
            "nobody-here",
            "web:nogroup",
            "-1",
            "4294967295",
            "web:4294967295",
            "evil",
        ] {
            assert!(resolve(user, PASSWD, GROUP).is_err(), "{user}");
        }
    }

    #[test]
    fn the_largest_range_of_a_user_is_taken() {
        let text = "alice:100000:1000\n1000:200000:65536\nbob:1:2\nalice:bad\n";
        let find = |name, uid| {
            SubordinateIds::find(text, name, uid).map(|range| (range.start, range.count))
        };
        assert_eq!(find(Some("alice"), 1000), Some((200_000, 65_536)));
        assert_eq!(find(Some("bob"), 5), Some((1, 2)));
        assert_eq!(find(None, 1000), Some((200_000, 65_536)));
        assert_eq!(find(Some("carol"), 7), None);
    }

    #[test]
    fn maps_have_names_that_tell_them_apart() {
        assert_eq!(
            IdMap::parse("         0          0 4294967295\n").key(),
            "host"
        );
        assert_eq!(
            IdMap::parse("0 1000 1\n1 100000 65536\n").key(),
            "0-1000-1_1-100000-65536"
        );
    }
}
