//! Finding engines, and commands that do and do not what they should.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::super::samples;
use super::*;
use crate::event::{Event, Silent};

/// A directory of programs that are scripts.
struct Programs {
    directory: tempfile::TempDir,
    store: BlobStore,
    image: Image,
}

impl Programs {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = samples::store(&directory.path().join("store"));
        let image = samples::image(&store, "linux/amd64");
        std::fs::create_dir(directory.path().join("bin")).unwrap();
        Self {
            directory,
            store,
            image,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path("bin").join(name);
        let place = self.directory.path().display();
        std::fs::write(&path, format!("#!/bin/sh\nplace={place}\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    fn places(&self) -> Places {
        Places {
            search_path: format!("relative::{}", self.path("bin").display()),
            ..Places::default()
        }
    }

    fn load(&self, engine: &str, observer: &dyn Observer) -> Result<Loaded, Error> {
        let engine: Engine = engine.parse().unwrap();
        let names = ["app:1".to_owned(), "localhost:5000/app".to_owned()];
        let host = Platform::host();
        let found = engine.find(&self.places())?;
        found.load(&(&self.image).into(), &names, &host, &self.store, observer)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

#[test]
fn engines_print_as_they_parse_and_nothing_else_parses() {
    for text in ["docker", "podman", "containerd", "containerd:k8s.io"] {
        assert_eq!(text.parse::<Engine>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "Docker",
        "docker:x",
        "containerd:",
        "containerd:--x",
        "containerd:a b",
        "k3d",
    ] {
        assert!(text.parse::<Engine>().is_err(), "{text:?}");
    }
}

/// Cases 162 and 163, as far as they are about the endpoint: certificates are the command's work, which reads the same
/// variables.
#[test]
fn docker_is_looked_for_where_its_own_command_would_look() {
    let programs = Programs::new();
    let socket = programs.path("docker.sock");
    let find = |places: &Places| Engine::Docker.find(places).map(|found| found.access);
    let mut places = programs.places();
    places.docker_sockets = vec![programs.path("none.sock"), socket.clone()];
    let error = find(&places).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("neither the socket") && text.contains("none.sock"),
        "{text}"
    );
    assert!(
        text.contains("nor the command `docker` in PATH (relative::/"),
        "{text}"
    );
    assert!(error.hints()[0].contains("-o archive:FILE"));

    let command = Access::Command(programs.program("docker", ""), Vec::new());
    assert_eq!(find(&places).unwrap(), command);
    let _listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(find(&places).unwrap(), Access::Socket(socket.clone()));
    places.has_docker_context = true;
    assert_eq!(find(&places).unwrap(), command);

    places.docker_host = Some(format!("unix://{}", socket.display()));
    assert_eq!(find(&places).unwrap(), Access::Socket(socket));
    places.docker_host = Some("unix:///no/such.sock".to_owned());
    let text = find(&places).unwrap_err().to_string();
    assert!(
        text.contains("`/no/such.sock`, which DOCKER_HOST names"),
        "{text}"
    );
    places.docker_host = Some("ssh://user:secret@build.example".to_owned());
    assert_eq!(find(&places).unwrap(), command);
    places.search_path = "/no/such/directory".to_owned();
    let text = find(&places).unwrap_err().to_string();
    assert!(
        text.contains("a DOCKER_HOST of `ssh`") && !text.contains("secret"),
        "{text}"
    );
}

#[test]
fn an_engine_that_is_not_there_is_said_to_be_looked_for() {
    let programs = Programs::new();
    let error = |engine: &str| programs.load(engine, &Silent).unwrap_err().to_string();
    assert!(error("podman").contains("there is no command `podman` in PATH ("));
    let text = error("containerd");
    assert!(
        text.contains("neither the command `ctr` nor the command `k3s` in PATH"),
        "{text}"
    );
}

#[test]
fn a_command_gets_the_archive_and_is_asked_for_each_name() {
    let programs = Programs::new();
    let config = programs.image.config.descriptor.digest.hex().to_owned();
    let script = format!(
        "echo \"$@\" >> $place/calls\nif [ $1 = load ]; then cat > $place/got; else echo {config}; fi"
    );
    programs.program("podman", &script);
    let loaded = programs.load("podman", &Silent).unwrap();
    let names = ["docker.io/library/app:1", "localhost:5000/app:latest"];
    assert_eq!(loaded.names, names);
    assert_eq!(loaded.id.hex(), config);
    let asked = names.map(|name| format!("image inspect --format {{{{.Id}}}} {name}\n"));
    assert_eq!(programs.text("calls"), format!("load\n{}", asked.concat()));

    // The bytes are those of the file that `-o archive:` writes.
    let file = programs.path("a.tar");
    let (content, names) = ((&programs.image).into(), names.map(str::to_owned));
    archive::write(
        &file,
        Format::Both,
        &content,
        &names,
        &programs.store,
        &Silent,
    )
    .unwrap();
    let read = |name: &str| std::fs::read(programs.path(name)).unwrap();
    assert!(read("got") == read("a.tar"));
}

#[test]
fn ctr_is_told_the_namespace_and_answers_with_a_table() {
    let programs = Programs::new();
    let digest = programs.image.digest();
    let script = format!(
        "echo \"$@\" >> $place/calls\ncase \"$*\" in *import*) cat > /dev/null;; \
         *) echo 'REF TYPE DIGEST SIZE'; echo \"app:1 application/x {digest} 1.1 KiB\";; esac"
    );
    programs.program("ctr", &script);
    assert_eq!(
        programs.load("containerd:k8s.io", &Silent).unwrap().id,
        *digest
    );
    let calls = programs.text("calls");
    let first = "--namespace k8s.io images import -\n\
                 --namespace k8s.io images list name==docker.io/library/app:1\n";
    assert!(calls.starts_with(first), "{calls}");
    std::fs::remove_file(programs.path("calls")).unwrap();
    std::fs::rename(programs.path("bin/ctr"), programs.path("bin/k3s")).unwrap();
    programs.load("containerd", &Silent).unwrap();
    assert!(programs.text("calls").starts_with("ctr images import -\n"));
}

#[test]
fn a_command_that_fails_is_quoted() {
    let programs = Programs::new();
    programs.program(
        "podman",
        "echo progress; echo 'no\tspace \x1b[2J' >&2; exit 3",
    );
    let error = programs.load("podman", &Silent).unwrap_err();
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    assert_eq!(error.output(), ["no\tspace \u{fffd}[2J"]);
    programs.program("podman", "cat > /dev/null; echo permission denied; exit 1");
    let error = programs.load("podman", &Silent).unwrap_err();
    assert_eq!(error.output(), ["permission denied"]);
    assert!(error.hints()[0].contains("sudo"));
}

#[test]
fn success_is_believed_only_with_the_right_image() {
    let programs = Programs::new();
    programs.program(
        "podman",
        "if [ $1 = load ]; then cat > /dev/null; else echo other; fi",
    );
    let error = programs.load("podman", &Silent).unwrap_err().to_string();
    assert!(
        error.contains("`docker.io/library/app:1`, but as `other`"),
        "{error}"
    );
    programs.program("ctr", "cat > /dev/null");
    let error = programs.load("containerd", &Silent).unwrap_err();
    assert!(matches!(error, Error::Different { found, .. } if found.is_empty()));
}

#[test]
fn a_blob_that_is_damaged_stops_the_command_before_it_sees_an_end() {
    let programs = Programs::new();
    // It would take the end of its input for the end of the archive.
    programs.program("podman", "cat > /dev/null; touch $place/ended");
    let layer = programs
        .store
        .blob_path(&programs.image.manifest.parsed.layers[1].digest);
    let mut bytes = std::fs::read(&layer).unwrap();
    bytes[20] ^= 1;
    std::fs::write(layer, bytes).unwrap();
    let error = programs.load("podman", &Silent).unwrap_err();
    let is_mismatch = |error: &super::super::Error| matches!(error, super::super::Error::Store(error) if error.is_mismatch());
    assert!(
        matches!(&error, Error::Archive(error) if is_mismatch(error)),
        "{error}"
    );
    assert!(!programs.path("ended").exists());
}

/// Somebody who has had enough once a file is there.
struct Until(PathBuf);

impl Observer for Until {
    fn observe(&self, _event: Event) {}

    fn is_cancelled(&self) -> bool {
        self.0.exists()
    }
}

#[test]
fn who_stops_waiting_stops_the_command_and_all_that_it_started() {
    let programs = Programs::new();
    let script = "mkfifo $place/never; cat $place/never & echo $! > $place/pid.new\n\
                  cat > /dev/null; mv $place/pid.new $place/pid; wait";
    programs.program("podman", script);
    let until = Until(programs.path("pid"));
    let error = programs.load("podman", &until).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    // Gone, or dead and not yet waited for by whoever inherited it.
    let status = format!("/proc/{}/status", programs.text("pid").trim());
    loop {
        match std::fs::read_to_string(&status) {
            Ok(status) if !status.contains("State:\tZ") => std::thread::yield_now(),
            _ => break,
        }
    }
}
