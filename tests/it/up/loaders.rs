//! Loaders, whose word is not taken: scripts in the place of k3d, kind and docker keep their arguments and the archive.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Blueprint, no_kubeconfig};
use crate::support::{Done, Overcoat};

/// Programs on the search path, in a directory of their own.
pub struct Fakes {
    directory: tempfile::TempDir,
}

/// Keeps its arguments, and does as k3d: imports the archive into "the nodes".
const K3D: &str = r#"#!/bin/sh
echo "k3d $*" >> "$STATE/calls"
case "$1 $2" in
"image import") cp "$3" "$(mktemp "$STATE/loaded.XXXXXX")"; echo "INFO[0001] Successfully imported 1 image(s) into 1 cluster(s)" ;;
"node list") echo '[{"name":"k3d-dev-server-0","role":"server","runtimeLabels":{"k3d.cluster":"dev"}},{"name":"k3d-dev-serverlb","role":"loadbalancer","runtimeLabels":{"k3d.cluster":"dev"}}]' ;;
esac
"#;

const KIND: &str = r#"#!/bin/sh
echo "kind $*" >> "$STATE/calls"
case "$1 $2" in
"load image-archive") cp "$3" "$(mktemp "$STATE/loaded.XXXXXX")" ;;
"get nodes") printf 'dev-control-plane\ndev-external-load-balancer\n' ;;
esac
"#;

/// The engine that has the nodes' containers: `crictl` in them tells the name and the configuration of what was loaded.
const DOCKER: &str = r#"#!/bin/sh
echo "docker $*" >> "$STATE/calls"
case "$1" in
container) echo true ;;
exec)
	list=
	for tar in "$STATE"/loaded.*; do
		[ -e "$tar" ] || continue
		manifest=$(tar --extract --to-stdout --file "$tar" manifest.json)
		config=$(echo "$manifest" | sed 's|.*"Config":"blobs/sha256/\([0-9a-f]*\)".*|\1|')
		tag=$(echo "$manifest" | sed "s|.*\"RepoTags\":\[\"\([^\"]*\)\".*|\1|; s|^docker.io/||")
		list="$list${list:+,}{\"id\":\"sha256:$config\",\"repoTags\":[\"docker.io/$tag\"]}"
	done
	echo "{\"images\":[$list]}" ;;
esac
"#;

impl Fakes {
    pub fn new() -> Self {
        let fakes = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(fakes.path("bin")).unwrap();
        fs::create_dir(fakes.path("state")).unwrap();
        for (name, script) in [("k3d", K3D), ("kind", KIND), ("docker", DOCKER)] {
            fakes.program(name, script);
        }
        fakes
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The program under test with these before all others.
    pub fn before(&self, overcoat: Overcoat) -> Overcoat {
        let path = format!(
            "{}:{}",
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        overcoat
            .with("PATH", &path)
            .with("STATE", self.path("state").to_str().unwrap())
    }

    /// The nodes lose every image that was loaded.
    pub fn lose_images(&self) {
        for entry in fs::read_dir(self.path("state")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_stem().is_some_and(|name| name == "loaded") {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// What was called since the last time.
    pub fn new_calls(&self) -> Vec<String> {
        let calls = self.calls();
        let _ = fs::remove_file(self.path("state").join("calls"));
        calls.iter().map(|call| shape(call)).collect()
    }

    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("state").join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn load(fakes: &Fakes, to: &str) -> (Blueprint, Done) {
    let blueprint = Blueprint::new(fakes.before(no_kubeconfig())).locked();
    let done = blueprint.up(&["--to", to, "--no-deploy", "gateway"]);
    (blueprint, done)
}

/// The arguments of a call, with the archive's path as `FILE`.
fn shape(call: &str) -> String {
    let words = call
        .split(' ')
        .map(|word| match Path::new(word).extension() {
            Some(extension) if extension == "tar" && word.starts_with('/') => "FILE",
            _ => word,
        });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn images_are_loaded_by_file_and_the_nodes_are_asked() {
    for (to, expected) in [
        (
            "k3d:dev",
            [
                "k3d image import FILE --mode direct -c dev",
                "k3d node list -o json",
                "docker container inspect --format {{.State.Running}} k3d-dev-server-0",
                "docker exec k3d-dev-server-0 crictl images -o json",
            ],
        ),
        (
            "kind:dev",
            [
                "kind load image-archive FILE --name dev",
                "kind get nodes --name dev",
                "docker container inspect --format {{.State.Running}} dev-control-plane",
                "docker exec dev-control-plane crictl images -o json",
            ],
        ),
    ] {
        let fakes = Fakes::new();
        let (blueprint, done) = load(&fakes, to);
        let done = done.ok();
        // The cluster is asked before anything is built, the nodes before and after they are given the image.
        let asked = &expected[1..];
        let all = [&asked[..1], asked, &expected].concat();
        assert_eq!(fakes.new_calls(), all);
        // A loaded image is known by its tag alone.
        let image = blueprint.image("gateway");
        assert_eq!(done.stdout, format!("gateway {image}\n"));
        assert!(
            !image.contains('@') && !image.ends_with(":delivered"),
            "{image}"
        );
        assert!(blueprint.overcoat.left_behind().is_empty());
        // Again: nobody is given anything, no file changes, and there is no record of it.
        let (files, records) = (blueprint.files(), blueprint.records());
        let again = blueprint.up(&["--to", to, "--no-deploy", "gateway"]).ok();
        assert_eq!(fakes.new_calls(), [&asked[..1], asked].concat());
        assert_eq!(again.stdout, done.stdout);
        let said = format!("==> unchanged: gateway: {image} is where it is wanted\n");
        assert!(again.stderr.contains(&said), "{}", again.stderr);
        assert_eq!(blueprint.records(), records);
        assert_eq!(blueprint.files(), files);
    }
}

#[test]
fn a_loader_or_cluster_that_is_not_there_is_known_before_anything_is_built() {
    let fakes = Fakes::new();
    fs::remove_file(fakes.path("bin").join("kind")).unwrap();
    for (to, text) in [
        ("kind:dev", "there is no program `kind`"),
        (
            "k3d:other",
            "the k3d cluster `other` has no nodes, as far as `k3d` knows",
        ),
    ] {
        let blueprint = Blueprint::new(fakes.before(no_kubeconfig())).locked();
        let before = blueprint.files();
        let done = blueprint.up(&["--to", to, "--no-deploy", "gateway"]);
        assert_eq!(done.code, Some(98), "{}", done.stderr);
        assert!(done.stderr.contains(text), "{}", done.stderr);
        assert!(!done.stderr.contains("==> pod"), "{}", done.stderr);
        assert_eq!(blueprint.files(), before);
    }
}

#[test]
fn a_loader_that_failed_is_not_believed_whatever_its_status() {
    let says = |line: &str, status: u8| {
        format!(
            "#!/bin/sh\necho \"k3d $*\" >> \"$STATE/calls\"\n[ \"$1\" = image ] || exec true\nprintf '%b\\n' '{line}' >&2\nexit {status}\n"
        )
    };
    let other = DOCKER.replace("sha256:$config", "sha256:0000");
    let empty = DOCKER.replace("docker.io/$tag", "docker.io/$tag-old");
    for (what, program, script, text) in [
        (
            "k3d says that it failed, and ends with 0",
            "k3d",
            says(
                "\\033[31mERRO\\033[0m[0002] failed to import images in node: exit code 1",
                0,
            ),
            "it ended with success, but said `ERRO[0002] failed to import images in node: exit code 1`",
        ),
        (
            "k3d ends with 1",
            "k3d",
            says("FATA[0000] no such cluster", 1),
            "failed: exit status: 1",
        ),
        (
            "nothing was imported",
            "docker",
            empty,
            "the node `k3d-dev-server-0` does not have `small-convoy/gateway:",
        ),
        (
            "another image has the name",
            "docker",
            other,
            "has another image as `small-convoy/gateway:",
        ),
    ] {
        let fakes = Fakes::new();
        fakes.program(program, &script);
        let (blueprint, done) = load(&fakes, "k3d:dev");
        assert_eq!(done.code, Some(98), "{what}: {}", done.stderr);
        assert!(done.stderr.contains(text), "{what}: {}", done.stderr);
        assert!(blueprint.image("gateway").ends_with(":delivered"), "{what}");
        assert!(
            !blueprint.root().join("build_result.json").exists(),
            "{what}"
        );
    }
    // Nobody can be asked: that is said, and the pods' imageID will tell.
    let fakes = Fakes::new();
    fakes.program("docker", "#!/bin/sh\nexit 1\n");
    fakes.program("podman", "#!/bin/sh\nexit 1\n");
    let (_, done) = load(&fakes, "k3d:dev");
    let done = done.ok();
    assert!(
        done.stderr
            .contains("could not be verified: neither `docker` nor `podman` knows the nodes"),
        "{}",
        done.stderr
    );
}

#[test]
fn the_context_chooses_the_cluster_and_others_are_not_told() {
    let fakes = Fakes::new();
    let kubeconfig = |context: &str| {
        let file = fakes.path(&format!("kubeconfig-{context}"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {context}\nclusters:\n- name: c\n  cluster: {{server: 'https://127.0.0.1:1'}}\n\
             users:\n- name: u\n  user: {{token: x}}\ncontexts:\n- name: {context}\n  context: {{cluster: c, user: u}}\n"
        );
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let run = |context: &str, arguments: &[&str]| {
        let overcoat = Overcoat::new().with("KUBECONFIG", &kubeconfig(context));
        let blueprint = Blueprint::new(fakes.before(overcoat)).locked();
        blueprint.up(&[&["--no-deploy", "--dry-run", "gateway"], arguments].concat())
    };
    for (context, said) in [
        (
            "k3d-dev",
            "==> target: the k3d cluster `dev`\n    the context is `k3d-dev`",
        ),
        (
            "kind-dev",
            "==> target: the kind cluster `dev`\n    the context is `kind-dev`",
        ),
        (
            "minikube",
            "==> target: the minikube profile `minikube`\n    the context is `minikube`",
        ),
    ] {
        let done = run(context, &[]).ok();
        assert!(done.stderr.contains(said), "{}", done.stderr);
    }
    let done = run("production", &[]);
    assert_eq!(done.code, Some(97), "{}", done.stderr);
    assert!(
        done.stderr
            .starts_with("error: the context `production` is no cluster of this machine's\nhint: "),
        "{}",
        done.stderr
    );
    run("production", &["--yes"]).ok();
    run("production", &["--to", "registry"]).ok();
    let done = run("production", &["--to", "k3d"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("no k3d cluster is named: the context is `production`"),
        "{}",
        done.stderr
    );
    // Loading into one cluster and telling another would be a mistake.
    let done = run("production", &["--to", "k3d:dev", "--json"]).ok();
    assert!(
        done.stdout.contains("\"context\": \"k3d-dev\""),
        "{}",
        done.stdout
    );
    let done = run("k3d-dev", &["--to", "nowhere"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
}

#[test]
fn deploy_loads_an_image_of_the_store_and_writes_its_tag() {
    let fakes = Fakes::new();
    let blueprint = Blueprint::new(fakes.before(no_kubeconfig())).locked();
    let made = blueprint.json(&["--to", "archive", "--no-edit", "gateway"]);
    let image = made["pods"][0]["image"].as_str().unwrap();
    let pinned = format!("{image}@{}", made["pods"][0]["digest"].as_str().unwrap());
    let deploy = |arguments: &[&str]| -> Done {
        let all = [&["deploy", "--image", &pinned], arguments].concat();
        let mut command = blueprint.overcoat.command(&all);
        command
            .current_dir(blueprint.root())
            .output()
            .unwrap()
            .into()
    };
    let manifest = [
        "--manifest",
        "gateway/03-deployment.yaml",
        "--container",
        "web-app",
    ];
    let done = deploy(&[&["--to", "k3d:dev"], &manifest[..]].concat()).ok();
    assert!(
        done.stdout.starts_with(&format!("{image}\n")),
        "{}",
        done.stdout
    );
    assert_eq!(blueprint.image("gateway"), image);
    assert!(
        fakes
            .new_calls()
            .contains(&"k3d image import FILE --mode direct -c dev".to_owned())
    );
    // To a file, which is as the one of `up`.
    let done = deploy(&["--to", "archive:here.tar", "--format", "json"]).ok();
    assert!(
        done.stdout.contains("\"archive\": \"here.tar\""),
        "{}",
        done.stdout
    );
    let bytes = |name: &str| fs::read(blueprint.root().join(name)).unwrap();
    assert_eq!(bytes("here.tar"), bytes("gateway.tar"));
    // Nothing is loaded in a dry run.
    let before = fakes.calls();
    deploy(&["--to", "kind:dev", "--dry-run"]).ok();
    assert_eq!(fakes.calls(), before);
    let done = deploy(&["--to", "k3d"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    // An image that is nowhere.
    let absent = [
        "deploy",
        "--image",
        "localhost:1/no/such:1",
        "--to",
        "archive",
    ];
    let done = blueprint.overcoat.run(&absent);
    assert_eq!(done.code, Some(30), "{}", done.stderr);
}

#[test]
fn what_a_pipeline_reads_never_names_what_an_image_is_made_of() {
    let blueprint = Blueprint::new(no_kubeconfig()).locked();
    let output = blueprint.root().join("github-output");
    let mut command = blueprint.command(&["gateway", "--to", "archive"]);
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_OUTPUT", &output);
    let done: Done = command.output().unwrap().into();
    done.ok();
    let said = fs::read_to_string(&output).unwrap_or_default();
    assert!(!said.contains("overcoat-up"), "{said}");
    // A build of the same source by itself does write there: the variable is heeded.
    let words = ["build", "gateway/app", "--build-image", &blueprint.builder];
    let mut command = blueprint.overcoat.command(&words);
    command.current_dir(blueprint.root());
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_OUTPUT", &output);
    let done: Done = command.output().unwrap().into();
    done.ok();
    assert!(
        fs::read_to_string(&output)
            .unwrap()
            .contains("digest=sha256:")
    );
}

#[test]
fn a_cluster_that_does_not_answer_is_known_before_anything_is_built() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let port = crate::support::free_port();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: k3d-dev\nclusters: [{{name: c, cluster: {{server: \"http://127.0.0.1:{port}\"}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: k3d-dev, context: {{cluster: c, user: u}}}}]\n"
    );
    fs::write(&kubeconfig, text).unwrap();
    let overcoat = Overcoat::new().with("KUBECONFIG", kubeconfig.to_str().unwrap());
    let fakes = Fakes::new();
    let blueprint = Blueprint::new(fakes.before(overcoat)).locked();
    let before = blueprint.files();
    let done = blueprint.up(&["sink"]);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(!done.stderr.contains("==> pod"), "{}", done.stderr);
    assert_eq!(blueprint.files(), before);
}
