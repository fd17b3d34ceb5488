//! `.netrc`: names and passwords by host, as ftp, curl and pip read them.

use std::fmt;

/// A `machine` of a `.netrc`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The host; none for `default`, which means every other.
    pub host: Option<String>,
    /// The name; may be empty.
    pub login: String,
    /// The password; may be empty.
    pub password: String,
}

impl fmt::Debug for Machine {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Reads a `.netrc`. What cannot be understood ends the file, as far as it is of use to us.
///
/// # Spec
/// `ftp(1)`, *THE .netrc FILE*; quoting and comments as Python's `netrc`.
pub fn machines(text: &str) -> Vec<Machine> {
    let mut found: Vec<Machine> = Vec::new();
    let mut words = Words { rest: text };
    let mut is_in_machine = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "machine" | "default" => {
                let host = (word == "machine").then(|| words.next().unwrap_or_default());
                found.push(Machine {
                    host,
                    ..Machine::default()
                });
                is_in_machine = true;
            }
            "macdef" => words.skip_macro(),
            "login" | "user" | "password" | "account" if is_in_machine => {
                let value = words.next().unwrap_or_default();
                if let Some(machine) = found.last_mut() {
                    match word.as_str() {
                        "password" => machine.password = value,
                        "account" => {}
                        _ => machine.login = value,
                    }
                }
            }
            _ => is_in_machine = false,
        }
    }
    found
}

struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    fn next(&mut self) -> Option<String> {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                break;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, after)| after);
        }
        let mut word = String::new();
        let mut letters = self.rest.char_indices();
        let is_quoted = self.rest.starts_with('"');
        if is_quoted {
            letters.next();
        }
        let end = loop {
            match letters.next() {
                None => break self.rest.len(),
                Some((end, '"')) if is_quoted => break end + 1,
                Some((end, letter)) if !is_quoted && letter.is_whitespace() => break end,
                Some((_, '\\')) => word.extend(letters.next().map(|(_, letter)| letter)),
                Some((_, letter)) => word.push(letter),
            }
        };
        self.rest = &self.rest[end..];
        (end > 0).then_some(word)
    }

    /// A macro goes to the next empty line.
    fn skip_macro(&mut self) {
        self.rest = self.rest.split_once("\n\n").map_or("", |(_, after)| after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_comments_and_quotes_are_understood_and_half_a_file_is_no_trouble() {
        let text = "# mine\nmachine one.example login me password \"a b\\\"c\"\n\nmacdef init\ncd /pub\nmachine evil login no password no\n\n\
            machine two.example\n\tuser you\n\taccount x\n\tpassword p#w\\\\d # secret\ndefault login anonymous password user@site\n";
        let found = machines(text);
        let found: Vec<_> = found
            .iter()
            .map(|machine| {
                (
                    machine.host.as_deref(),
                    machine.login.as_str(),
                    machine.password.as_str(),
                )
            })
            .collect();
        let expected = [
            (Some("one.example"), "me", "a b\"c"),
            (Some("two.example"), "you", "p#w\\d"),
            (None, "anonymous", "user@site"),
        ];
        assert_eq!(found, expected);
        for text in [
            "",
            "machine",
            "machine a login",
            "login x password y",
            "\"",
            "\\",
            "macdef",
            "é \"é",
        ] {
            assert!(machines(text).len() <= 1, "{text}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let found = machines("machine a login b password hunter2");
        assert!(!format!("{found:?}").contains("hunter2"));
    }
}
