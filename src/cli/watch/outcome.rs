//! What is printed, and what people read when a watch ends badly.

use serde_json::{Value, json};

use crate::cli::args::Format;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{print as print_text, print_json};
use crate::kubernetes::watch::{Error, Watched};

/// One line for each workload, `NAMESPACE KIND/NAME IMAGE`; or a list of objects.
pub(super) fn print(watched: &[Watched], format: Format) -> Result<(), Diagnostic> {
    match format {
        Format::Table => {
            let line =
                |one: &Watched| format!("{} {} {}", one.namespace, one.workload, one.done.image);
            let lines: Vec<String> = watched.iter().map(line).collect();
            print_text(&lines.join("\n"))
        }
        Format::Json => print_json(&Value::Array(watched.iter().map(as_json).collect())),
    }
}

fn as_json(watched: &Watched) -> Value {
    json!({
        "workload": watched.workload,
        "namespace": watched.namespace,
        "container": watched.done.container,
        "image": watched.done.image,
        "pods": watched.done.pods,
        "said": watched.said,
        "notes": watched.done.notes,
    })
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::Cluster(error) => return error.into(),
            Error::Ambiguous { .. } => Code::Ambiguous,
            Error::NoNamespace { .. } | Error::NoWorkload { .. } | Error::NoContainer { .. } => {
                Code::NoContainer
            }
            Error::Unsupported(_) => Code::Usage,
            Error::Failed { .. } => Code::RolloutFailed,
            Error::Timeout { .. } | Error::Late { .. } => Code::RolloutTimeout,
            Error::NotReady { .. } => Code::NotReady,
            Error::Flux { .. } => Code::Cluster,
            Error::Interrupted => Code::Interrupted,
        };
        Self {
            because: error.because(),
            output: error.lines().to_vec(),
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}
