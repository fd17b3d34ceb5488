//! What makes an application S2I-ready: `.s2i/environment` and `.s2iignore`, hooks on request.
//!
//! How the application is started is found by looking, in the order in which the stock `run` script would prefer it.

use std::path::Path;

use super::ScaffoldFile;

/// The largest file that is looked into, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Names that a file which is started often has, most telling first.
const STARTED: [&str; 7] = [
    "app.py",
    "main.py",
    "server.py",
    "service.py",
    "run.py",
    "application.py",
    "__main__.py",
];
/// Files that may list what the application requires.
const REQUIREMENTS: [&str; 4] = ["requirements.txt", "pyproject.toml", "Pipfile", "setup.cfg"];

/// A file with the reason for what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The file.
    pub file: ScaffoldFile,
    /// Why it says what it says, for people: `APP_FILE=main.py, because `main.py` is there`.
    pub why: String,
}

/// A variable, or none, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    line: Option<String>,
    why: String,
}

impl Finding {
    fn set(name: &str, value: &str, why: String) -> Self {
        Self {
            line: Some(format!("{name}={value}")),
            why,
        }
    }

    fn nothing(why: impl Into<String>) -> Self {
        Self {
            line: None,
            why: why.into(),
        }
    }
}

/// Looks at the application in `directory` and says which files it should have; with `hooks` also scripts that call the
/// builder image's own.
///
/// # Errors
/// [`crate::fs::Error`] when the directory cannot be read. A file in it that cannot is as one that says nothing.
pub fn advise(directory: &Path, hooks: bool) -> Result<Vec<Advice>, crate::fs::Error> {
    let names: Vec<String> = crate::fs::list(directory)?
        .into_iter()
        .filter_map(|name| name.to_str().map(str::to_owned))
        .collect();
    let application = Application { directory, names };
    let findings: Vec<Finding> = [Some(application.start()), application.packages()]
        .into_iter()
        .flatten()
        .collect();
    let mut text =
        "# Variables for building and running, NAME=value: no quotes, nothing is expanded. They stay in the image.\n"
            .to_owned();
    for finding in &findings {
        text.push_str(&format!("\n# {}\n", sentence(&finding.why)));
        if let Some(line) = &finding.line {
            text.push_str(&format!("{line}\n"));
        }
    }
    let reason = |finding: &Finding| match &finding.line {
        Some(line) => format!("{line}, because {}", finding.why),
        None => finding.why.clone(),
    };
    let reasons: Vec<String> = findings.iter().map(reason).collect();
    let advice = |path: &str, mode, text: String, why: &str| Advice {
        file: ScaffoldFile {
            path: path.to_owned(),
            mode,
            text,
        },
        why: why.to_owned(),
    };
    let ignored = include_str!("application/s2iignore").to_owned();
    let mut all = vec![
        advice(".s2i/environment", 0o644, text, &reasons.join("; ")),
        advice(
            ".s2iignore",
            0o644,
            ignored,
            "histories, environments, bytecode and `.env` stay out of the image",
        ),
    ];
    if hooks {
        let (assemble, run) = (
            include_str!("application/assemble").to_owned(),
            include_str!("application/run").to_owned(),
        );
        all.push(advice(
            ".s2i/bin/assemble",
            0o755,
            assemble,
            "a place for steps of your own before and after the builder image's `assemble`",
        ));
        all.push(advice(
            ".s2i/bin/run",
            0o755,
            run,
            "a place for what comes before the builder image's `run`",
        ));
    }
    Ok(all)
}

fn sentence(why: &str) -> String {
    let mut letters = why.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

struct Application<'a> {
    directory: &'a Path,
    /// What is at its top, sorted.
    names: Vec<String>,
}

impl Application<'_> {
    fn has(&self, name: &str) -> bool {
        self.directory.join(name).is_file()
    }

    /// A file's text; empty when there is none.
    fn text(&self, name: &str) -> String {
        let path = self.directory.join(name);
        if !path.is_file() {
            return String::new();
        }
        let bytes = crate::fs::read_limited(&path, MAX_BYTES).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn requires_gunicorn(&self) -> Option<&'static str> {
        let names_it = |line: &str| {
            let line = line.trim_start_matches([' ', '\t', '"', '\'', '[', ',']);
            let rest = line.to_ascii_lowercase();
            rest.strip_prefix("gunicorn").is_some_and(|rest| {
                !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || "-_.".contains(c))
            })
        };
        REQUIREMENTS.into_iter().find(|name| {
            let text = self.text(name);
            // `dependencies = ["flask", "gunicorn>=20"]` has several in a line.
            text.lines().any(|line| {
                let line = line.split('#').next().unwrap_or_default();
                names_it(line) || (line.contains('"') && line.split('"').any(names_it))
            })
        })
    }

    /// How it is started.
    fn start(&self) -> Finding {
        if self.text("gunicorn.conf.py").contains("wsgi_app") {
            return Finding::nothing(
                "`gunicorn.conf.py` says what gunicorn serves; no variable is needed",
            );
        }
        let gunicorn = self.requires_gunicorn();
        if self.has("manage.py") {
            return self.django(gunicorn);
        }
        if let Some(list) = gunicorn
            && let Some((module, callable)) = self.served()
        {
            let why = format!("`{list}` has gunicorn, and `{module}.py` defines `{callable}`");
            let callable = match callable.starts_with("create_app") {
                true => "create_app()",
                false => callable,
            };
            return Finding::set("APP_MODULE", &format!("{module}:{callable}"), why);
        }
        if let Some(list) = gunicorn
            && self.has("setup.py")
        {
            return Finding::nothing(format!(
                "`{list}` has gunicorn, which serves the package that `setup.py` names; no variable is needed"
            ));
        }
        if self.has("app.sh") {
            return Finding::set("APP_SCRIPT", "app.sh", "`app.sh` is there".to_owned());
        }
        if let Some(name) = STARTED.into_iter().find(|name| self.has(name)) {
            return Finding::set("APP_FILE", name, format!("`{name}` is there"));
        }
        if let Some(file) = self.package() {
            let mut why = format!("`{file}` makes its package a program");
            if self
                .text(&file)
                .lines()
                .any(|line| line.trim_start().starts_with("from ."))
            {
                why.push_str(" (its `from .` imports must name the package, for the file is started by its path)");
            }
            return Finding::set("APP_FILE", &file, why);
        }
        let is_program =
            |name: &&String| name.ends_with(".py") && *name != "setup.py" && self.has(name);
        let programs: Vec<&String> = self.names.iter().filter(is_program).collect();
        match programs[..] {
            [name] => Finding::set(
                "APP_FILE",
                name,
                format!("`{name}` is the only Python file"),
            ),
            _ if self.has("wsgi.py") => Finding::nothing(
                "`wsgi.py` is there; put gunicorn into `requirements.txt`, and it is served",
            ),
            _ => Finding::nothing(
                "nothing that could be started was found; set APP_FILE=file.py, APP_SCRIPT=script.sh, or (with gunicorn) \
                 APP_MODULE=module:application",
            ),
        }
    }

    fn django(&self, gunicorn: Option<&str>) -> Finding {
        let project = self
            .names
            .iter()
            .find(|name| self.has(&format!("{name}/wsgi.py")) && !name.starts_with('.'));
        match (gunicorn, project) {
            (Some(list), Some(project)) => Finding::set(
                "APP_MODULE",
                &format!("{project}.wsgi:application"),
                format!("`{list}` has gunicorn, and `{project}/wsgi.py` is Django's"),
            ),
            _ => Finding::nothing(
                "`manage.py` is there, so Django's own server is started; put gunicorn into `requirements.txt` for \
                 production",
            ),
        }
    }

    /// A module at the top with something that gunicorn can serve, and its name.
    fn served(&self) -> Option<(&str, &'static str)> {
        let modules = ["wsgi", "app", "main", "application", "server"];
        modules.into_iter().find_map(|module| {
            let text = self.text(&format!("{module}.py"));
            let defines = |start: &str| text.lines().any(|line| line.starts_with(start));
            let assigned = |name: &str| {
                defines(&format!("{name} ="))
                    || defines(&format!("{name}="))
                    || defines(&format!("{name}:"))
            };
            let callable = if assigned("application") || defines("def application(") {
                "application"
            } else if assigned("app") || defines("def app(") {
                "app"
            } else if defines("def create_app(") {
                "create_app"
            } else {
                return None;
            };
            Some((module, callable))
        })
    }

    /// A package at the top, or in `src`, that can be run.
    fn package(&self) -> Option<String> {
        let inner = crate::fs::list(&self.directory.join("src")).unwrap_or_default();
        let inner = inner
            .iter()
            .filter_map(|name| Some(format!("src/{}", name.to_str()?)));
        let all = self.names.iter().cloned().chain(inner);
        all.map(|name| format!("{name}/__main__.py"))
            .find(|path| !path.starts_with('.') && self.has(path))
    }

    /// How its packages are installed, where that needs a variable.
    fn packages(&self) -> Option<Finding> {
        if self.has("requirements.txt") {
            return None;
        }
        let lock = ["Pipfile.lock", "poetry.lock"]
            .into_iter()
            .find(|name| self.has(name))?;
        let why =
            format!("the packages are locked in `{lock}`, and there is no `requirements.txt`");
        Some(Finding::set("ENABLE_MICROPIPENV", "1", why))
    }
}
