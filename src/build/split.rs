//! Which changes go into the layer of dependencies and which into that of the application: by path alone, so that the
//! same path is in the same layer whatever else a step did. docs/image-format.md, *Which layer*, has the rules.

use crate::layer::EntryPath;

/// Directories that hold other people's packages wherever they are, by name.
const PACKAGES: [&[u8]; 4] = [
    b"site-packages",
    b"dist-packages",
    b"node_modules",
    // Where uv, Poetry, Pipenv and PDM put an environment that is below the project.
    b".venv",
];

/// The rules for one build.
#[derive(Debug)]
pub(super) struct Split {
    application: Vec<EntryPath>,
    environment: Option<EntryPath>,
}

impl Split {
    /// What is within one of `application` is the application's, but for packages and the virtual environment that
    /// `variables` name (`VIRTUAL_ENV`), if that is below the application.
    pub(super) fn new(application: Vec<EntryPath>, variables: &[(String, String)]) -> Self {
        let environment = variables
            .iter()
            .find(|(name, _)| name == "VIRTUAL_ENV")
            .and_then(|(_, value)| EntryPath::parse(value.as_bytes()).ok())
            // An environment that holds the application is no part of it.
            .filter(|environment| {
                let is_below = |directory: &EntryPath| {
                    environment != directory && environment.is_within(directory)
                };
                application.iter().any(is_below)
            });
        Self {
            application,
            environment,
        }
    }

    /// True for what goes into the layer of the application.
    pub(super) fn is_application(&self, path: &EntryPath) -> bool {
        let within = self
            .application
            .iter()
            .find(|directory| path.is_within(directory));
        let Some(directory) = within else {
            return false;
        };
        let environment = self.environment.as_ref();
        if environment.is_some_and(|environment| path.is_within(environment)) {
            return false;
        }
        let below = path.as_bytes().get(directory.as_bytes().len()..);
        !below
            .unwrap_or_default()
            .split(|byte| *byte == b'/')
            .any(|component| PACKAGES.contains(&component))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    fn split(application: &[&str], environment: Option<&str>) -> Split {
        let variables = environment.map(|value| ("VIRTUAL_ENV".to_owned(), value.to_owned()));
        Split::new(
            application.iter().map(|text| path(text)).collect(),
            &variables.into_iter().collect::<Vec<_>>(),
        )
    }

    #[test]
    fn packages_below_the_application_are_dependencies() {
        let split = split(&["app", "tmp/src"], Some("/app/env"));
        let table = [
            ("app", true),
            ("app/app.py", true),
            ("app/__pycache__/app.cpython-311.pyc", true),
            ("app/site-packages.txt", true),
            ("app/environment", true),
            ("app/lib/python3.11/site-packages", false),
            ("app/lib/python3.11/site-packages/flask/app.py", false),
            ("app/front/node_modules/.bin/vite", false),
            ("app/.venv/pyvenv.cfg", false),
            ("app/env", false),
            ("app/env/bin/python", false),
            ("usr/lib/x.so", false),
            ("tmp/src/x", true),
            ("application/x", false),
        ];
        for (text, expected) in table {
            assert_eq!(split.is_application(&path(text)), expected, "{text}");
        }
    }

    #[test]
    fn an_environment_around_the_application_does_not_take_it() {
        for environment in ["/opt/app-root", "/opt/app-root/src", "/", "opt/../x"] {
            let split = split(&["opt/app-root/src"], Some(environment));
            assert!(split.is_application(&path("opt/app-root/src/app.py")));
            assert!(!split.is_application(&path("opt/app-root/lib/x")));
        }
    }

    #[test]
    fn an_application_whose_own_path_has_such_a_name_stays_one() {
        let split = split(&["srv/node_modules/app"], None);
        assert!(split.is_application(&path("srv/node_modules/app/index.js")));
        assert!(!split.is_application(&path("srv/node_modules/app/node_modules/x")));
    }
}
