//! Flags of the files that pipelines read, for every command that brings an image somewhere.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::diagnostic::Diagnostic;
use super::env::ci::{Ci, ci};
use crate::release::outputs::github::{self, Level};
use crate::release::outputs::{Others, Outputs, ResultFile, Tekton};

/// What is written for pipelines, after success alone; what an earlier run left is removed first.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "pipeline")]
pub(super) struct Flags {
    /// Write what was made to FILE: `build_result.json` as op and Skaffold know it
    ///
    /// Results of other images that are in it stay.
    #[arg(long, visible_alias = "result-out", value_name = "FILE")]
    result_file: Option<PathBuf>,

    /// Write the image's digest to FILE, without a line end
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,

    /// Write a line `NAME@DIGEST` for every name to FILE
    #[arg(long, value_name = "FILE")]
    image_name_with_digest_file: Option<PathBuf>,

    /// Write a line `NAME:TAG@DIGEST` for every name to FILE
    #[arg(long, value_name = "FILE")]
    image_name_tag_with_digest_file: Option<PathBuf>,

    /// Write what is known of the image to FILE, JSON with the keys of buildx
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,

    /// Write the digest of the image's configuration to FILE, as Docker does
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,

    /// Write a line `NAME:TAG@DIGEST` for every name to FILE, as ko does
    #[arg(long, value_name = "FILE")]
    image_refs: Option<PathBuf>,

    /// Write Tekton's results IMAGE_URL, IMAGE_DIGEST and IMAGES into DIR: `/tekton/results`
    #[arg(long, value_name = "DIR")]
    tekton_results: Option<PathBuf>,

    /// What stands before IMAGE_URL and IMAGE_DIGEST
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        requires = "tekton_results"
    )]
    tekton_prefix: String,

    /// Write variables to FILE for GitLab's `artifacts:reports:dotenv`
    #[arg(long, value_name = "FILE")]
    dotenv: Option<PathBuf>,

    /// Whether to tell GitHub Actions, where this runs on them, through $GITHUB_OUTPUT and $GITHUB_STEP_SUMMARY
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    ci_outputs: CiOutputs,
}

/// Whether the CI is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum CiOutputs {
    /// Where there is one.
    #[default]
    Auto,
    /// Never.
    None,
}

impl Flags {
    /// What is wanted, GitHub's files included where this runs on GitHub Actions.
    pub(super) fn outputs(&self) -> Outputs {
        self.outputs_on(match self.ci_outputs {
            CiOutputs::Auto => ci(),
            CiOutputs::None => Ci::default(),
        })
    }

    fn outputs_on(&self, ci: Ci) -> Outputs {
        Outputs {
            digest_file: self.digest_file.clone(),
            image_name_with_digest_file: self.image_name_with_digest_file.clone(),
            image_name_tag_with_digest_file: self.image_name_tag_with_digest_file.clone(),
            metadata_file: self.metadata_file.clone(),
            iidfile: self.iidfile.clone(),
            image_refs: self.image_refs.clone(),
            tekton: self.tekton_results.clone().map(|directory| Tekton {
                directory,
                prefix: self.tekton_prefix.clone(),
            }),
            github_output: ci.github_output,
            github_summary: ci.github_summary,
            dotenv: self.dotenv.clone(),
            result: self.result_file.clone().map(|path| ResultFile {
                path,
                others: Others::Stay,
            }),
            is_nested: false,
        }
    }
}

/// The line that shows an error on the page of a run of GitHub Actions.
pub(super) fn annotation(diagnostic: &Diagnostic) -> String {
    let because = diagnostic.because.iter().map(|it| format!("because: {it}"));
    let hints = diagnostic.hints.iter().map(|it| format!("hint: {it}"));
    let lines = std::iter::once(diagnostic.what.clone()).chain(because.chain(hints));
    github::annotation(Level::Error, None, &lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::super::exit::Code;
    use super::*;

    #[test]
    fn what_is_shown_on_the_page_is_all_that_is_known() {
        let diagnostic = Diagnostic::new(Code::Conflict, "50% moved")
            .also("why")
            .hint("do");
        assert_eq!(
            annotation(&diagnostic),
            "::error ::50%25 moved%0Abecause: why%0Ahint: do"
        );
    }

    #[test]
    fn github_s_files_are_taken_from_the_environment() {
        let ci = Ci {
            is_github: true,
            github_output: Some("o".into()),
            github_summary: Some("s".into()),
        };
        let outputs = Flags::default().outputs_on(ci);
        assert_eq!(outputs.github_output, Some("o".into()));
        assert_eq!(outputs.github_summary, Some("s".into()));
        assert_eq!(
            Flags::default().outputs_on(Ci::default()),
            Outputs::default()
        );
    }
}
