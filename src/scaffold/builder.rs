//! A builder image of one's own: recipe, S2I scripts, a test and its application.

use super::ScaffoldFile;

/// What stands for the image's name in the templates.
const IMAGE: &str = "@IMAGE@";

/// The files by path, with mode and template.
const TEMPLATES: [(&str, u32, &str); 10] = [
    ("Dockerfile", 0o644, include_str!("builder/Dockerfile")),
    ("Makefile", 0o644, include_str!("builder/Makefile")),
    ("README.md", 0o644, include_str!("builder/README.md")),
    (
        "s2i/bin/assemble",
        0o755,
        include_str!("builder/bin/assemble"),
    ),
    ("s2i/bin/run", 0o755, include_str!("builder/bin/run")),
    (
        "s2i/bin/save-artifacts",
        0o755,
        include_str!("builder/bin/save-artifacts"),
    ),
    ("s2i/bin/usage", 0o755, include_str!("builder/bin/usage")),
    ("test/run", 0o755, include_str!("builder/test-run")),
    ("test/test-app/.s2i/environment", 0o644, "APP_FILE=app.py\n"),
    (
        "test/test-app/app.py",
        0o644,
        include_str!("builder/test-app.py"),
    ),
];

/// The recipe that a new one begins as, and what is changed in it.
const RECIPE: &str = include_str!("../../builders/python-3.11/recipe.toml");
const CHANGES: [(&str, &str); 4] = [
    (
        "# A Python 3.11 builder on Debian 12 (bookworm).\n# What the fields mean, and why each file is here, is told in ../README.md.\n",
        "# The builder image @IMAGE@: Python 3.11 on Debian 12 (bookworm).\n# What the fields mean, and why each file is here, is told in overcoat's builders/README.md.\n",
    ),
    (
        "description = \"Python 3.11 on Debian 12 (bookworm)\"\n",
        "description = \"@IMAGE@: Python 3.11 on Debian 12 (bookworm)\"\n",
    ),
    (
        "\"io.k8s.display-name\" = \"Python 3.11\"\n",
        "\"io.k8s.display-name\" = \"@IMAGE@\"\n",
    ),
    (
        "[venv]\n",
        "# What is in this directory takes the place of overcoat's own scripts in /usr/libexec/s2i.\n[scripts]\ndirectory = \"s2i/bin\"\n\n[venv]\n",
    ),
];

/// The files of a builder image called `image`, sorted by path.
///
/// # Errors
/// A sentence about a name that shells, make and recipes would read as something else: letters, digits and `. _ - / :` are
/// allowed.
///
/// # Spec
/// `s2i-compat.md` §3.1; `docs/scaffold.md` has what differs.
pub fn files(image: &str) -> Result<Vec<ScaffoldFile>, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
    if image.is_empty() || image.starts_with('-') || !image.bytes().all(is_plain) {
        return Err(format!(
            "`{}` cannot be a builder image's name: letters, digits and `. _ - / :` are allowed",
            image.escape_debug()
        ));
    }
    let templates = TEMPLATES.map(|(path, mode, text)| (path, mode, text.to_owned()));
    let recipe = ("recipe.toml", 0o644, recipe());
    let file = |(path, mode, text): (&str, u32, String)| ScaffoldFile {
        path: path.to_owned(),
        mode,
        text: text.replace(IMAGE, image),
    };
    let mut files: Vec<_> = templates.into_iter().chain([recipe]).map(file).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn recipe() -> String {
    let change = |text: String, (from, to): &(&str, &str)| text.replacen(from, to, 1);
    CHANGES.iter().fold(RECIPE.to_owned(), change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_is_the_shipped_one_with_every_change() {
        for (from, _) in CHANGES {
            assert_eq!(RECIPE.matches(from).count(), 1, "{from}");
        }
        let recipe = recipe();
        assert!(recipe.contains("directory = \"s2i/bin\""));
        let lines = recipe.lines().count();
        assert_eq!(lines, RECIPE.lines().count() + 4);
    }

    #[test]
    fn the_name_is_everywhere_and_can_do_no_harm() {
        let files = files("registry.example:5000/team/builder:1.0").unwrap();
        for file in &files {
            assert!(!file.text.contains(IMAGE), "{}", file.path);
            let mode = if file.text.starts_with("#!") {
                0o755
            } else {
                0o644
            };
            assert_eq!(file.mode, mode, "{}", file.path);
            assert!(file.text.ends_with('\n'), "{}", file.path);
        }
        for path in [
            "Makefile",
            "recipe.toml",
            "s2i/bin/usage",
            "test/run",
            "Dockerfile",
        ] {
            let file = files.iter().find(|file| file.path == path).unwrap();
            assert!(file.text.contains("team/builder:1.0"), "{path}");
        }
        for wrong in [
            "",
            "a b",
            "$(id)",
            "a\"b",
            "a\nb",
            "--x",
            "a@sha256:0",
            "a'b",
        ] {
            assert!(super::files(wrong).is_err(), "{wrong:?}");
        }
    }
}
