//! AppArmor's profile for this program, for systems that restrict user namespaces to programs with one.

use std::path::Path;

/// The text of a profile that lets `program` use user namespaces and confines nothing, as Ubuntu's own profiles for
/// sandboxing programs are made. Comments say how to install it.
pub fn profile(program: &Path) -> String {
    let quoted = quoted(&program.to_string_lossy());
    format!(
        "# AppArmor's profile for overcoat: it may use user namespaces. Install it as root:\n\
         #\n\
         #   overcoat doctor --apparmor > /etc/apparmor.d/overcoat\n\
         #   apparmor_parser --replace /etc/apparmor.d/overcoat\n\
         #\n\
         # It goes by the program's path. Whoever can write to that file can use user namespaces with any program, so\n\
         # keep it where only root can, for instance in /usr/local/bin; print the profile again when it has moved.\n\
         # To take it back: apparmor_parser --remove /etc/apparmor.d/overcoat && rm /etc/apparmor.d/overcoat\n\
         \n\
         abi <abi/4.0>,\n\
         include <tunables/global>\n\
         \n\
         profile overcoat {quoted} flags=(unconfined) {{\n\
         \x20 userns,\n\
         \n\
         \x20 include if exists <local/overcoat>\n\
         }}"
    )
}

/// A path as AppArmor reads it: quoted, with what would be a pattern or a variable escaped.
fn quoted(path: &str) -> String {
    let mut text = String::from("\"");
    for letter in path.chars() {
        if matches!(
            letter,
            '\\' | '"' | '*' | '?' | '[' | ']' | '{' | '}' | '^' | '@' | '#'
        ) {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_for_this_path_and_no_pattern() {
        let text = profile(Path::new("/opt/my tools/over*coat"));
        assert!(
            text.contains(
                "\nprofile overcoat \"/opt/my tools/over\\*coat\" flags=(unconfined) {\n  userns,\n"
            ),
            "{text}"
        );
        assert!(text.contains("apparmor_parser --replace /etc/apparmor.d/overcoat"));
    }
}
