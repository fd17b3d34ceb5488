//! What a plan says of itself: one line for each decision.

use super::plan::{Direct, INTERPRETER, Steps};
use super::request::BuildRequest;
use crate::builder_image::BuilderImage;
use crate::image::edit::Changes;
use crate::source::SourceTree;

/// The lines of `--plan`: names and what was decided. Values of variables are left out, they may be secrets.
pub(super) fn lines(
    request: &BuildRequest,
    source: &SourceTree,
    builder: &BuilderImage,
    steps: &Steps,
    why: &str,
    changes: &Changes,
    application: &str,
) -> Vec<(&'static str, String)> {
    let files = source
        .entries
        .iter()
        .filter(|entry| matches!(entry.kind, crate::source::SourceKind::File { .. }));
    // Only a recipe that was not made yet is without layers.
    let identity = match builder.image().manifest.parsed.layers.is_empty() {
        true => "to be made first".to_owned(),
        false => builder.image().digest().to_string(),
    };
    let mut lines = vec![
        (
            "source",
            format!(
                "{} ({} files, {} bytes)",
                // Of a clone, where it comes from: its directory is gone soon.
                match &request.s2i.identity {
                    Some(identity) => identity.trim().to_owned(),
                    None => source.root.display().to_string(),
                },
                files.count(),
                source.size_bytes()
            ),
        ),
        ("builder", format!("{} ({identity})", builder.name())),
        ("platform", request.platform.to_string()),
    ];
    match steps {
        Steps::Direct(Direct {
            uid,
            gid,
            packages,
            versions,
            ..
        }) => {
            lines.push(("strategy", format!("direct: {why}")));
            match packages {
                Some(0) => {}
                Some(count) => lines.push(("packages", format!("{count}, {versions}"))),
                None => lines.push(("packages", versions.clone())),
            }
            lines.push((
                "application",
                format!("written to {application} for {uid}:{gid}"),
            ));
        }
        Steps::Assemble {
            process,
            destination,
            ..
        } => {
            lines.push(("strategy", format!("assemble: {why}")));
            lines.push(("source goes to", format!("{destination}/src")));
            let user = if process.user.is_empty() {
                "root"
            } else {
                &process.user
            };
            lines.push((
                "assemble",
                format!("{} as {user}", process.arguments.join(" ")),
            ));
            lines.push((
                "layers",
                format!("dependencies; application ({application})"),
            ));
        }
        Steps::OnBuild(_) => {}
    }
    if let Steps::OnBuild(on_build) = steps {
        lines.push(("strategy", format!("assemble: {why}")));
        lines.push(("triggers", format!("{} steps", on_build.actions.len())));
    }
    if request.compile_bytecode {
        lines.push((
            "bytecode",
            format!("{INTERPRETER} compiles installed packages and {application} in the sandbox"),
        ));
    }
    lines.push((
        "command",
        changes.command.clone().unwrap_or_default().join(" "),
    ));
    for (name, _) in &changes.environment {
        lines.push(("sets", name.clone()));
    }
    for tag in &request.tags {
        let push = if request.push.is_wanted() {
            ", pushed to its registry"
        } else {
            ""
        };
        let name = match tag.is_of_content {
            true => tag.typed.clone(),
            false => tag.reference.to_string(),
        };
        lines.push(("name", format!("{name}{push}")));
    }
    lines.extend(
        request
            .outputs
            .iter()
            .map(|output| ("writes", output.to_string())),
    );
    let loads = request.loads.iter();
    lines.extend(loads.map(|engine| ("loads into", engine.to_string())));
    lines
}
