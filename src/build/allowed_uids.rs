//! `--allowed-uids`: which users may run scripts.

use std::fmt;
use std::str::FromStr;

/// A list of ranges of numeric user ids.
///
/// # Spec
/// `s2i-compat.md` §2.14: `n`, `a-b`, `a-`, `-b` in a comma list; an empty range allows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedUids(Vec<Range>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    Empty,
    Of { first: u32, last: u32 },
}

impl Range {
    fn holds(self, uid: u32) -> bool {
        matches!(self, Self::Of { first, last } if (first..=last).contains(&uid))
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let parsed = part.parse::<u32>().ok().filter(|_| is_number);
            parsed.ok_or_else(|| format!("`{text}` is no range of user ids"))
        };
        let (first, last) = match text.split_once('-') {
            None if text.is_empty() => return Ok(Self::Empty),
            None => (number(text)?, number(text)?),
            Some(("", last)) => (0, number(last)?),
            Some((first, "")) => (number(first)?, u32::MAX),
            Some((first, last)) => (number(first)?, number(last)?),
        };
        if first > last {
            return Err(format!("`{text}` ends before it begins"));
        }
        Ok(Self::Of { first, last })
    }
}

impl FromStr for AllowedUids {
    type Err = String;

    /// Reads `N`, `A-B`, `A-` and `-B`, separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let ranges = text.split(',').map(|part| part.trim().parse());
        Ok(Self(ranges.collect::<Result<_, _>>()?))
    }
}

/// A user that may not run scripts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{whose} is `{user}`, {why} `--allowed-uids {allowed}`")]
pub struct Forbidden {
    /// Who says that this user runs something.
    pub whose: String,
    /// The user, as it is written there.
    pub user: String,
    why: &'static str,
    allowed: String,
}

impl AllowedUids {
    /// Checks all who would run something: first every `USER` of the builder image's ONBUILD triggers, then the one who runs
    /// `assemble`, `user`, of whom `whose` tells where it is said.
    ///
    /// # Errors
    /// [`Forbidden`] for the first one who is not allowed, or is no number: which number a name has only the image knows,
    /// and the image is what is not trusted.
    pub fn check(&self, on_build: &[String], whose: &str, user: &str) -> Result<(), Forbidden> {
        for trigger in on_build {
            if let Some((instruction, user)) = trigger.trim().split_once(char::is_whitespace)
                && instruction.eq_ignore_ascii_case("USER")
            {
                self.check_one(
                    "the user of the builder image's ONBUILD trigger",
                    user.trim(),
                )?;
            }
        }
        self.check_one(whose, user)
    }

    fn check_one(&self, whose: &str, user: &str) -> Result<(), Forbidden> {
        let (uid, _) = user.split_once(':').unwrap_or((user, ""));
        // An image without a user runs as root.
        let uid = if uid.is_empty() { "0" } else { uid };
        let forbidden = |why| Forbidden {
            whose: whose.to_owned(),
            user: match user.is_empty() {
                true => "0".to_owned(),
                false => user.to_owned(),
            },
            why,
            allowed: self.to_string(),
        };
        match uid.parse::<u32>() {
            Ok(uid) if self.holds(uid) => Ok(()),
            Ok(_) => Err(forbidden("who is not among")),
            Err(_) => Err(forbidden(
                "which is a name, and numbers alone can be checked against",
            )),
        }
    }

    fn holds(&self, uid: u32) -> bool {
        self.0.iter().any(|range| range.holds(uid))
    }
}

impl fmt::Display for AllowedUids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.0.iter().map(|range| match *range {
            Range::Empty => String::new(),
            Range::Of {
                first,
                last: u32::MAX,
            } => format!("{first}-"),
            Range::Of { first, last } if first == last => first.to_string(),
            Range::Of { first, last } => format!("{first}-{last}"),
        });
        f.write_str(&ranges.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases 139 to 141.
    #[test]
    fn ranges_are_closed_single_open_or_empty() {
        let of = |first, last| Ok(Range::Of { first, last });
        let table = [
            ("1-5", of(1, 5)),
            ("7", of(7, 7)),
            ("1-", of(1, u32::MAX)),
            ("-1000", of(0, 1000)),
            ("", Ok(Range::Empty)),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
        for wrong in ["--", "4-5-1", "-1-5", "abc", "+1", "1 2", "5-1", "-"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
        let table = [
            (0, "0-4", true),
            (0, "1-", false),
            (5000, "-5001", true),
            (5000, "-4999", false),
            (5000, "", false),
        ];
        for (uid, range, expected) in table {
            assert_eq!(
                range.parse::<Range>().unwrap().holds(uid),
                expected,
                "{uid} in {range:?}"
            );
        }
    }

    /// Cases 142 to 144.
    #[test]
    fn lists_are_ranges_with_commas() {
        for text in ["1-5,5,2-", ",4-5,0-", "5", "0-5"] {
            assert_eq!(text.parse::<AllowedUids>().unwrap().to_string(), text);
        }
        assert_eq!("-5".parse::<AllowedUids>().unwrap().to_string(), "0-5");
        for wrong in ["abc", "{1-5}", "1-5-,2-"] {
            assert!(wrong.parse::<AllowedUids>().is_err(), "{wrong}");
        }
        let table = [
            (10, "0-9,10,20-30", true),
            (5, "3-4,6-7", false),
            (5000, "", false),
        ];
        for (uid, list, expected) in table {
            assert_eq!(
                list.parse::<AllowedUids>().unwrap().holds(uid),
                expected,
                "{uid} in {list}"
            );
        }
    }

    /// Cases 146 to 158. Without a list (case 145) nothing is checked.
    #[test]
    fn every_user_of_a_trigger_counts_and_then_the_one_of_assemble() {
        let rows: [(&str, &str, &[&str], bool); 21] = [
            ("0", "default", &[], false),
            ("1-", "0", &[], false),
            ("1-", "", &[], false),
            ("1-10,30-", "100", &["USER default"], false),
            ("1-10,30-", "200", &["VOLUME /data"], true),
            ("200,500-", "200", &["USER 500", "VOLUME /data"], true),
            ("1-", "200", &["VOLUME /data", "USER 0"], false),
            ("-1000", "80", &["VOLUME /data", "USER 501"], true),
            ("1-", "5:5000", &[], true),
            ("1-", "5:group", &[], true),
            ("1-", "root:wheel", &[], false),
            ("1-", "200", &["USER 10:100"], true),
            ("1-", "200", &["USER root:wheel"], false),
            ("1-", "200", &["USER 10:wheel"], true),
            // `--assemble-user` or the label took the place of user 200, or of user 0.
            ("1-", "10", &[], true),
            ("1-", "0", &[], false),
            ("1-", "10", &["USER root:wheel", "RUN x", "USER 10"], false),
            ("1-", "10", &["USER 10", "user 0"], false),
            ("1-", "10", &["RUN x && USER 0"], true),
            ("1-", "5:6", &[], true),
            ("1-", "99999999999", &[], false),
        ];
        for (allowed, user, triggers, expected) in rows {
            let triggers: Vec<String> = triggers.iter().map(|text| (*text).to_owned()).collect();
            let allowed: AllowedUids = allowed.parse().unwrap();
            let result = allowed.check(&triggers, "the user", user);
            assert_eq!(
                result.is_ok(),
                expected,
                "{allowed} {user} {triggers:?}: {result:?}"
            );
        }
    }
}
