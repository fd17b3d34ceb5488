//! `--rm`, in Docker's store: §2.15.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::support::engine::Engine;
use super::super::support::tiny::Tiny;
use super::super::support::{Done, Overcoat};
use super::Core;

/// Cases 98, 100, 213 and 214: the previous image goes when that is asked for and artifacts were taken from it, and only
/// then; one that is in use stays, and the build is a success.
#[test]
fn the_previous_image_is_removed_from_docker_after_an_incremental_build_alone() {
    let docker = Engine::docker();
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&docker.socket(), 0o666);
    open(docker.socket().parent().unwrap(), 0o755);
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        let core = Core::of(overcoat, &Tiny::fake());
        let build = |text: &str, flags: &[&str]| -> (String, String) {
            core.put("Gemfile", text);
            let source = core.source.to_str().unwrap();
            let arguments = ["build", source, &core.builder, "app:1"];
            let mut command = core.overcoat.called("s2i", &[&arguments, flags].concat());
            command.env_remove("OVERCOAT_S2I_LOAD");
            let host = format!("unix://{}", docker.socket().display());
            command.env("DOCKER_HOST", host);
            let done = Done::from(command.output().unwrap()).ok();
            let id = ["image", "inspect", "--format", "{{.Id}}", "app:1"];
            (docker.docker_command(&id).trim().to_owned(), done.stderr)
        };
        let has = |id: &str| {
            let all = ["images", "--all", "--no-trunc", "--quiet"];
            docker.docker_command(&all).contains(id)
        };
        let (first, _) = build("1", &["--incremental", "--rm"]);
        let (second, _) = build("2", &["--incremental"]);
        assert!(has(&first), "it was not asked for");
        let (third, _) = build("3", &["--rm"]);
        assert!(has(&second), "it was no incremental build");
        let (fourth, _) = build("4", &["--incremental", "--rm"]);
        assert!(!has(&third) && has(&first) && has(&second));
        // Nothing is done, so nothing is replaced.
        let (same, _) = build("4", &["--incremental", "--rm"]);
        assert!(same == fourth && has(&fourth));
        let container = docker.docker_command(&["create", "app:1"]);
        let (_, log) = build("5", &["--incremental", "--rm", "--loglevel=2"]);
        assert!(has(&fourth), "a container needs it");
        assert!(
            log.contains("`app:1` is not removed: `docker` keeps it"),
            "{log}"
        );
        docker.docker_command(&["rm", container.trim()]);
        core.no_work_is_left();
    }
}
