//! How an application is started on a plain Python image, which has no `run` script that finds out.
//!
//! The variables and the order are those of the stock script (`s2i-scripts/python/run`).

use super::plan::PlanError;
use crate::source::SourceTree;

/// The command, relative to the application directory.
///
/// # Errors
/// [`PlanError::NoCommand`] when nothing says.
pub(super) fn of(
    source: &SourceTree,
    environment: &[(String, String)],
    builder: &str,
) -> Result<Vec<String>, PlanError> {
    let variable = |name: &str| {
        let mut last = environment.iter().rev();
        let value = last
            .find(|(known, _)| known == name)
            .map(|(_, value)| value);
        value
            .map(|value| unquoted(value).to_owned())
            .filter(|value| !value.is_empty())
    };
    let home = variable("APP_HOME").unwrap_or_default();
    let home = home.trim_matches('/').trim_start_matches("./");
    let within = |file: &str| match home {
        "" | "." => file.to_owned(),
        home => format!("{home}/{file}"),
    };
    let words = |words: &[&str]| Ok(words.iter().map(|word| (*word).to_owned()).collect());
    let names = ["APP_SCRIPT", "APP_FILE", "APP_MODULE"].map(variable);
    let [script, file, module] = match names {
        [None, None, None] => {
            let there = |name: &str| source.file(&within(name)).map(|_| name.to_owned());
            [there("app.sh"), there("app.py"), None]
        }
        names => names,
    };
    if let Some(script) = script {
        return words(&["sh", &within(&script)]);
    }
    if let Some(file) = file {
        return words(&["python", &within(&file)]);
    }
    let module = module.or_else(|| source.file(&within("wsgi.py")).map(|_| "wsgi".to_owned()));
    if let Some(module) = module {
        let mut command = vec!["gunicorn".to_owned(), "--bind=0.0.0.0:8080".to_owned()];
        if !matches!(home, "" | ".") {
            command.push(format!("--chdir={home}"));
        }
        if let Some(config) = variable("APP_CONFIG") {
            command.push(format!("--config={config}"));
        }
        command.push(module);
        return Ok(command);
    }
    if source.file(&within("manage.py")).is_some() {
        return words(&["python", &within("manage.py"), "runserver", "0.0.0.0:8080"]);
    }
    Err(PlanError::NoCommand {
        builder: builder.to_owned(),
    })
}

/// s2i keeps quotes in `.s2i/environment`.
fn unquoted(value: &str) -> &str {
    let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{SourceEntry, SourceKind};

    fn command(files: &[&str], variables: &[(&str, &str)]) -> Option<String> {
        let mut entries: Vec<SourceEntry> = files
            .iter()
            .map(|path| SourceEntry {
                path: path.as_bytes().to_vec(),
                kind: SourceKind::File {
                    is_executable: false,
                    size: 1,
                },
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let source = SourceTree {
            root: "/src".into(),
            entries,
            environment: Vec::new(),
            links: crate::source::Links::Keep,
        };
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        of(&source, &variables, "python:3")
            .ok()
            .map(|words| words.join(" "))
    }

    #[test]
    fn commands_are_found_in_the_order_of_the_stock_script() {
        type Row = (
            &'static [&'static str],
            &'static [(&'static str, &'static str)],
            Option<&'static str>,
        );
        let rows: [Row; 9] = [
            (&["app.py"], &[], Some("python app.py")),
            (&["app.py", "app.sh"], &[], Some("sh app.sh")),
            (
                &["app.py", "x.py"],
                &[("APP_FILE", "\"x.py\"")],
                Some("python x.py"),
            ),
            (&["a/app.py"], &[("APP_HOME", "a")], Some("python a/app.py")),
            (&["wsgi.py"], &[], Some("gunicorn --bind=0.0.0.0:8080 wsgi")),
            (
                &["app.py"],
                &[("APP_MODULE", "app:app")],
                Some("gunicorn --bind=0.0.0.0:8080 app:app"),
            ),
            (
                &["p/wsgi.py"],
                &[("APP_HOME", "p"), ("APP_CONFIG", "c.py")],
                Some("gunicorn --bind=0.0.0.0:8080 --chdir=p --config=c.py wsgi"),
            ),
            (
                &["manage.py"],
                &[],
                Some("python manage.py runserver 0.0.0.0:8080"),
            ),
            (&["other.py"], &[], None),
        ];
        for (files, variables, expected) in rows {
            assert_eq!(
                command(files, variables).as_deref(),
                expected,
                "{files:?} {variables:?}"
            );
        }
    }
}
