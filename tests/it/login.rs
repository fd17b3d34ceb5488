//! Who we are to registries: `login`, `logout`, `--creds`, and every place that credentials are found in; against
//! Debian's docker-registry with passwords and with tokens.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::support::registry::{PASSWORD, Registry, USERNAME};
use super::support::tiny::Tiny;
use super::support::token::{Manner, REFRESH_TOKEN, TokenServer};
use super::support::{Done, Overcoat, copy_of_app, tool};

/// An application and a builder.
struct Scene {
    _directory: tempfile::TempDir,
    builder: String,
    source: String,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let builder = Tiny::default().write(directory.path());
        let source = copy_of_app("no-requirements", directory.path());
        Self {
            builder,
            source: source.to_str().unwrap().to_owned(),
            _directory: directory,
        }
    }

    fn push<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let (source, builder) = (self.source.as_str(), self.builder.as_str());
        vec![
            "build",
            source,
            "-t",
            name,
            "--build-image",
            builder,
            "--push",
        ]
    }
}

/// Runs a command with a password on stdin.
fn typed(overcoat: &Overcoat, arguments: &[&str], password: &str) -> Done {
    let mut child = overcoat
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that wants none may have ended.
    let _ = child.stdin.take().unwrap().write_all(password.as_bytes());
    child.wait_with_output().unwrap().into()
}

fn log_in(overcoat: &Overcoat, registry: &Registry, password: &str) -> Done {
    let arguments = ["login", "-u", USERNAME, "--password-stdin", registry.host()];
    typed(overcoat, &arguments, password)
}

fn docker_config(overcoat: &Overcoat) -> PathBuf {
    overcoat.path().join(".docker/config.json")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What skopeo makes of the same file.
fn skopeo_reads(auth_file: &Path, image: &str) -> String {
    let (file, image) = (auth_file.to_str().unwrap(), format!("docker://{image}"));
    let inspected = tool(
        "skopeo",
        &["inspect", "--tls-verify=false", "--authfile", file, &image],
    );
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    inspected["Digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_login_is_checked_kept_used_by_us_and_by_skopeo_and_removed() {
    let (scene, overcoat, registry) = (Scene::new(), Overcoat::new(), Registry::with_login());
    let wrong = log_in(&overcoat, &registry, "hunter2");
    assert_eq!(wrong.code, Some(31), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("error: cannot log in to")
            && wrong
                .stderr
                .contains("check the user name and the password")
            && !wrong.stderr.contains("hunter2"),
        "{}",
        wrong.stderr
    );
    assert!(!docker_config(&overcoat).exists());

    let done = log_in(&overcoat, &registry, "password\n").ok();
    assert_eq!(done.stdout, "Login Succeeded\n");
    let file = docker_config(&overcoat);
    assert!(
        done.stderr.contains("unencrypted") && done.stderr.contains(file.to_str().unwrap()),
        "{}",
        done.stderr
    );
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let name = format!("{}/team/app:1", registry.host());
    let digest = overcoat.run(&scene.push(&name)).ok().digest(&name);
    assert_eq!(skopeo_reads(&file, &name), digest);

    let out = overcoat.run(&["logout", registry.host()]).ok();
    assert!(
        out.stdout.starts_with(&format!(
            "Removing login credentials for {}",
            registry.host()
        )),
        "{}",
        out.stdout
    );
    assert_eq!(overcoat.run(&["pull", &name]).code, Some(31));
    let again = overcoat.run(&["logout", registry.host()]).ok();
    assert_eq!(
        again.stdout,
        format!("Not logged in to {}\n", registry.host())
    );
}

#[test]
fn a_login_that_skopeo_made_is_found_and_logout_all_removes_it() {
    let (overcoat, registry) = (Overcoat::new(), Registry::with_login());
    let file = overcoat.path().join("auth.json");
    let file = file.to_str().unwrap();
    let arguments = [
        "login",
        "--tls-verify=false",
        "--authfile",
        file,
        "--username",
        USERNAME,
        "--password",
        PASSWORD,
        registry.host(),
    ];
    tool("skopeo", &arguments);
    let scene = Scene::new();
    let overcoat = overcoat.with("REGISTRY_AUTH_FILE", file);
    let name = format!("{}/team/app:1", registry.host());
    overcoat.run(&scene.push(&name)).ok();
    overcoat.run(&["logout", "--all"]).ok();
    assert_eq!(json(Path::new(file))["auths"], serde_json::json!({}));
    // The variable says where a new one goes, too.
    log_in(&overcoat, &registry, PASSWORD).ok();
    assert!(json(Path::new(file))["auths"][registry.host()]["auth"].is_string());
    assert!(!docker_config(&overcoat).exists());
}

/// A helper as docker-credential-helpers specifies them, that keeps one login in a file and writes down how it was
/// called.
const HELPER: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$@" >> calls
case "$1" in
store) cat > kept ;;
get) cat > asked; [ -s kept ] && cat kept || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) cat > erased; rm -f kept ;;
esac
"#;

/// Case M42: for all registries, and for one.
#[test]
fn a_configured_helper_keeps_the_login_and_sees_the_password_on_stdin_only() {
    let (scene, overcoat, registry) = (Scene::new(), Overcoat::new(), Registry::with_login());
    let programs = overcoat.path().join("bin");
    fs::create_dir(&programs).unwrap();
    let helper = programs.join("docker-credential-testing");
    fs::write(&helper, HELPER).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let file = docker_config(&overcoat);
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, r#"{"credsStore":"testing","other":{"kept":1}}"#).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let overcoat = overcoat.with("PATH", &path);

    let done = log_in(&overcoat, &registry, PASSWORD).ok();
    assert!(!done.stderr.contains("unencrypted"), "{}", done.stderr);
    let kept = json(&programs.join("kept"));
    let fields = ["ServerURL", "Username", "Secret"].map(|name| kept[name].as_str().unwrap());
    assert_eq!(fields, [registry.host(), USERNAME, PASSWORD]);
    let config = json(&file);
    assert_eq!(config["other"]["kept"], 1);
    assert_eq!(config["auths"][registry.host()], serde_json::json!({}));

    let name = format!("{}/team/app:1", registry.host());
    overcoat.run(&scene.push(&name)).ok();
    // The same helper for this registry alone; another one's does not count.
    let whole = fs::read(&file).unwrap();
    for (host, code) in [(registry.host(), 0), ("other.example", 31)] {
        let only = serde_json::json!({ "credHelpers": { host: "testing" } });
        fs::write(&file, only.to_string()).unwrap();
        let done = overcoat.run(&["tags", name.trim_end_matches(":1")]);
        assert_eq!(done.code, Some(code), "{host}: {}", done.stderr);
    }
    fs::write(&file, whole).unwrap();
    overcoat.run(&["logout", registry.host()]).ok();
    let read = |name: &str| fs::read_to_string(programs.join(name)).unwrap();
    assert_eq!(read("asked"), registry.host());
    assert_eq!(read("erased"), registry.host());
    let calls = read("calls");
    assert!(
        calls.starts_with("store\nget\nget\n") && calls.ends_with("erase\n"),
        "{calls}"
    );
    assert!(!calls.contains(PASSWORD));
    assert_eq!(overcoat.run(&["pull", &name]).code, Some(31));
}

#[test]
fn a_token_registry_is_pushed_to_and_pulled_from_with_a_password() {
    let scene = Scene::new();
    let manners = [
        Manner::default(),
        Manner {
            refuses_get: true,
            ..Manner::default()
        },
        Manner {
            is_stingy_at_first: true,
            ..Manner::default()
        },
    ];
    for manner in manners {
        let server = TokenServer::start(manner);
        let registry = Registry::with_tokens(&server);
        let (overcoat, other) = (Overcoat::new(), Overcoat::new());
        let file = registry.auth_file();
        let overcoat = overcoat.with("REGISTRY_AUTH_FILE", file.to_str().unwrap());
        let name = format!("{}/public/app:1", registry.host());
        let digest = overcoat.run(&scene.push(&name)).ok().digest(&name);
        if manner.refuses_get {
            // Nobody without a password can ask it for anything.
            assert_eq!(other.run(&["pull", &name]).code, Some(30));
            continue;
        }
        assert_eq!(other.run(&["pull", &name]).ok().digest(&name), digest);
        assert_eq!(skopeo_reads(&file, &name), digest);
        let stranger = other.run(&["push", &name, &format!("{name}-again")]);
        assert_eq!(stranger.code, Some(31), "{}", stranger.stderr);
        assert!(
            stranger.stderr.contains("overcoat login"),
            "{}",
            stranger.stderr
        );
    }
}

#[test]
fn a_token_server_is_asked_at_login_and_its_token_kept_in_the_passwords_place() {
    let server = TokenServer::start(Manner {
        gives_refresh_tokens: true,
        ..Manner::default()
    });
    let (scene, overcoat, registry) = (
        Scene::new(),
        Overcoat::new(),
        Registry::with_tokens(&server),
    );
    let wrong = log_in(&overcoat, &registry, "hunter2");
    assert_eq!(wrong.code, Some(31), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("incorrect username or password"),
        "{}",
        wrong.stderr
    );
    log_in(&overcoat, &registry, PASSWORD).ok();
    let file = docker_config(&overcoat);
    let text = fs::read_to_string(&file).unwrap();
    let entry = &json(&file)["auths"][registry.host()];
    assert_eq!(entry["identitytoken"], REFRESH_TOKEN);
    assert!(
        !text.contains(PASSWORD) && !text.contains("dXNlcjpwYXNzd29yZA"),
        "{text}"
    );
    let name = format!("{}/team/app:1", registry.host());
    let digest = overcoat.run(&scene.push(&name)).ok().digest(&name);
    assert_eq!(skopeo_reads(&file, &name), digest);
    let asked = server.requests();
    assert!(
        asked
            .iter()
            .any(|request| request.starts_with("POST /token grant_type=refresh_token"))
    );
    assert!(asked.iter().all(|request| !request.contains(PASSWORD)));
}

#[test]
fn an_open_registry_does_not_check_and_that_is_said() {
    let (overcoat, registry) = (Overcoat::new(), Registry::start());
    let done = log_in(&overcoat, &registry, PASSWORD).ok();
    assert!(done.stderr.contains("was not checked"), "{}", done.stderr);
}

#[test]
fn creds_are_for_one_command_and_come_from_stdin_too() {
    let (scene, registry) = (Scene::new(), Registry::with_login());
    let name = format!("{}/team/app:1", registry.host());
    let overcoat = Overcoat::new();
    let mut push = scene.push(&name);
    let both = format!("{USERNAME}:{PASSWORD}");
    push.extend(["--creds", &both]);
    overcoat.run(&push).ok();
    push.pop();
    push.push(USERNAME);
    typed(&overcoat, &push, PASSWORD).ok();
    let pull = ["pull", &name, "--creds", USERNAME];
    typed(&Overcoat::new(), &pull, PASSWORD).ok();
    assert_eq!(overcoat.run(&["pull", &name]).code, Some(31));
    let wrong = typed(&overcoat, &pull, "hunter2");
    assert_eq!(wrong.code, Some(31));
    assert!(
        wrong
            .stderr
            .contains("the credentials from the command line")
            && !wrong.stderr.contains("hunter2"),
        "{}",
        wrong.stderr
    );
    assert_eq!(overcoat.run(&pull).code, Some(2), "nothing on stdin");
    push.extend(["-t", "other.example/app"]);
    let several = typed(&overcoat, &push, PASSWORD);
    assert_eq!(several.code, Some(2), "{}", several.stderr);
    assert!(
        several.stderr.contains("other.example"),
        "{}",
        several.stderr
    );
    assert!(!docker_config(&overcoat).exists());
}

#[test]
fn a_password_from_stdin_arrives_where_the_command_starts_itself_again() {
    let (scene, registry) = (Scene::new(), Registry::with_login());
    let overcoat = Overcoat::as_ordinary_user();
    let name = format!("{}/team/app:1", registry.host());
    let temporary = overcoat.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o777)).unwrap();
    let overcoat = overcoat.with("TMPDIR", temporary.to_str().unwrap());
    let mut push = scene.push(&name);
    push.extend(["--strategy", "assemble", "--creds", USERNAME]);
    typed(&overcoat, &push, PASSWORD).ok();
    let left = fs::read_dir(&temporary).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.path()).collect();
    assert!(
        left.iter().all(|path| !path.is_file()),
        "no password is left: {left:?}"
    );
}

#[test]
fn credentials_are_found_in_netrc_and_in_a_cis_variables_and_messages_say_where() {
    let (scene, registry) = (Scene::new(), Registry::with_login());
    let host = registry.host();
    let name = format!("{host}/team/app:1");
    let overcoat = Overcoat::new();
    let netrc = overcoat.path().join(".netrc");
    let machine = |password: &str| {
        let text = format!("machine 127.0.0.1 login {USERNAME} password {password}\n");
        fs::write(&netrc, text).unwrap();
    };
    machine(PASSWORD);
    overcoat.run(&scene.push(&name)).ok();
    machine("hunter2");
    let refused = overcoat.run(&["pull", &name]);
    assert_eq!(refused.code, Some(31));
    assert!(
        refused.stderr.contains(netrc.to_str().unwrap()) && !refused.stderr.contains("hunter2"),
        "{}",
        refused.stderr
    );
    let ci = |password: &str| {
        let overcoat = Overcoat::new().with("CI_REGISTRY", host);
        overcoat
            .with("CI_REGISTRY_USER", USERNAME)
            .with("CI_REGISTRY_PASSWORD", password)
    };
    ci(PASSWORD).run(&["pull", &name]).ok();
    let refused = ci("hunter2").run(&["pull", &name]);
    assert!(
        refused.stderr.contains("`CI_REGISTRY_PASSWORD`") && !refused.stderr.contains("hunter2"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_terminal_is_asked_without_showing_the_password() {
    let (overcoat, registry) = (Overcoat::new(), Registry::with_login());
    // `script` gives the command a terminal, and what is on it to us.
    let program = env!("CARGO_BIN_EXE_overcoat");
    let line = format!("{program} login {}", registry.host());
    let mut child = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("HOME", overcoat.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut terminal = child.stdout.take().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut seen = String::new();
    let mut wait_for = |prompt: &str, seen: &mut String| {
        let mut byte = [0];
        while !seen.ends_with(prompt) {
            let size = std::io::Read::read(&mut terminal, &mut byte).unwrap();
            assert_eq!(size, 1, "the end instead of {prompt:?}: {seen:?}");
            seen.push(char::from(byte[0]));
        }
    };
    wait_for(": ", &mut seen);
    writeln!(stdin, "{USERNAME}").unwrap();
    wait_for("Password: ", &mut seen);
    writeln!(stdin, "wrong\x15passx\x7fword").unwrap();
    wait_for("Login Succeeded", &mut seen);
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert!(
        !seen.contains("passx") && !seen.contains("wrong"),
        "{seen:?}"
    );
    let file = docker_config(&overcoat);
    assert!(json(&file)["auths"][registry.host()]["auth"].is_string());
}
