use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::strict_parser::{Instruction, parse};
use super::*;
use crate::event::Silent;
use crate::source::local;

mod context;
mod scripts;

/// A directory with an application, scripts and secrets, and a place for the result.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.put("app/app.py", "print(1)\n");
        place.put("app/data/x y", "1");
        symlink("app.py", place.path("app/link")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn source(&self) -> SourceTree {
        local::read(&self.path("app"), &Default::default(), &Silent).unwrap()
    }

    /// Writes a request for this application, changed by `change`; its instructions.
    #[track_caller]
    fn write(&self, change: impl FnOnce(&mut DockerfileRequest<'_>)) -> Read {
        let source = self.source();
        let mut request = DockerfileRequest {
            builder: "test/builder:1".to_owned(),
            source: Some(&source),
            ..DockerfileRequest::default()
        };
        change(&mut request);
        let written = write(&request, &self.path("out/MyDockerfile")).unwrap();
        assert_eq!(written.dockerfile, self.path("out/MyDockerfile"));
        Read::new(&written)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

/// A Dockerfile as the strict parser reads it: every test of this file is one of case 202, too.
struct Read {
    text: String,
    instructions: Vec<Instruction>,
    warnings: Vec<String>,
}

impl Read {
    #[track_caller]
    fn new(written: &Written) -> Self {
        let text = fs::read_to_string(&written.dockerfile).unwrap();
        let instructions = parse(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
        let warnings = written.warnings.clone();
        Self {
            text,
            instructions,
            warnings,
        }
    }

    fn all(&self, name: &str) -> Vec<&Instruction> {
        self.instructions
            .iter()
            .filter(|one| one.name == name)
            .collect()
    }

    /// Everything that `name` says, by name.
    fn values(&self, name: &str) -> BTreeMap<String, String> {
        let found = self.all(name);
        let pairs = found.iter().flat_map(|one| one.arguments.chunks(2));
        pairs
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect()
    }

    /// Where `line` stands.
    #[track_caller]
    fn at(&self, line: &str) -> usize {
        let found = self.text.lines().position(|other| other == line);
        found.unwrap_or_else(|| panic!("no line {line:?}:\n{}", self.text))
    }

    #[track_caller]
    fn commands(&self, assemble: &str, run: &str) {
        self.at(&format!("RUN {assemble}"));
        self.at(&format!("CMD {run}"));
    }

    fn copies_scripts(&self) -> bool {
        self.text.contains("COPY --chown=1001:0 upload/scripts ")
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

fn list(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

/// Case 8, and case 186: one instruction, in this order.
#[test]
fn values_are_quoted_and_come_out_as_they_went_in() {
    let place = Place::new();
    let environment = list(&[
        ("FOO", "BAR"),
        ("VARIABLE", "${value}"),
        ("QUOTED", "\"quoted\""),
        ("BACKSLASH", "a\\b"),
        ("LAST", "ends with \\"),
        ("EMPTY", ""),
        ("KEPT", "  ü # 'x' `y` \\$z\t"),
    ]);
    let read = place.write(|request| request.environment = environment.clone());
    assert_eq!(
        read.text
            .lines()
            .skip_while(|line| !line.starts_with("ENV"))
            .take(4)
            .collect::<Vec<_>>(),
        [
            "ENV FOO=\"BAR\" \\",
            "    VARIABLE=\"\\${value}\" \\",
            "    QUOTED=\"\\\"quoted\\\"\" \\",
            "    BACKSLASH=\"a\\\\b\" \\",
        ]
    );
    let [env] = read.all("ENV")[..] else {
        panic!("{}", read.text);
    };
    let found: Vec<_> = env
        .arguments
        .chunks(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect();
    assert_eq!(found, environment);
}

/// Case 184: with labels, user, order and source; the file has the name that was asked for.
#[test]
fn the_instructions_have_their_order() {
    let place = Place::new();
    let labels = map(&[
        (
            "io.openshift.s2i.build.commit.author",
            "A \"B\" <a@example.com>",
        ),
        (
            "io.openshift.s2i.build.commit.date",
            "Mon Jan 1 00:00:00 2024 +0000",
        ),
        ("io.openshift.s2i.build.commit.id", "0123abcd"),
        ("io.openshift.s2i.build.commit.message", "cost: $5"),
        ("io.openshift.s2i.build.commit.ref", "main"),
        ("io.openshift.s2i.build.image", "test/builder:1"),
        (
            "io.openshift.s2i.build.source-location",
            "https://example.com/x",
        ),
        ("io.k8s.display-name", "x"),
    ]);
    let read = place.write(|request| {
        request.labels = labels.clone();
        request.builder = "docker://test/builder:1".to_owned();
    });
    assert_eq!(read.values("LABEL"), labels);
    let order = [
        "FROM test/builder:1",
        "COPY --chown=1001:0 upload/src /tmp/src",
        "USER 1001",
        "RUN /usr/libexec/s2i/assemble",
        "CMD /usr/libexec/s2i/run",
    ];
    let places: Vec<usize> = order.iter().map(|line| read.at(line)).collect();
    assert!(places.is_sorted(), "{}", read.text);
    assert_eq!(read.all("LABEL").len(), 1);
    assert!(!read.copies_scripts());
    assert_eq!(place.read("out/upload/src/app.py"), "print(1)\n");
    assert_eq!(place.read("out/upload/src/data/x y"), "1");
    let link = fs::read_link(place.path("out/upload/src/link")).unwrap();
    assert_eq!(link, Path::new("app.py"));
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("out/MyDockerfile"), 0o644);
    assert_eq!(mode("out/upload/src/data"), 0o755);
    assert_eq!(mode("out/upload/src/app.py"), 0o644);
    // Again, the same bytes: labels have an order here.
    assert_eq!(
        place
            .write(|request| {
                request.labels = labels.clone();
                request.builder = "test/builder:1".to_owned();
            })
            .text,
        read.text
    );
}

/// Cases 185 and 229.
#[test]
fn a_directory_gets_a_file_called_dockerfile_and_is_made_if_need_be() {
    let place = Place::new();
    let source = place.source();
    let request = DockerfileRequest {
        builder: "b".to_owned(),
        source: Some(&source),
        ..DockerfileRequest::default()
    };
    fs::create_dir(place.path("there")).unwrap();
    for (out, expected) in [
        ("new/deep/", "new/deep/Dockerfile"),
        ("there", "there/Dockerfile"),
        ("other/deep/File", "other/deep/File"),
    ] {
        let written = write(&request, &place.path(out)).unwrap();
        assert_eq!(written.dockerfile, place.path(expected));
        assert_eq!(written.context, place.path(expected).parent().unwrap());
        assert!(written.context.join("upload/src/app.py").is_file());
    }
}

/// Case 187.
#[test]
fn labels_tell_of_the_flags_and_given_ones_are_stronger() {
    let place = Place::new();
    let read = place.write(|request| {
        request.scripts.scripts_url = Some("image:///scripts".to_owned());
        request.destination = Some("/destination".to_owned());
        request.labels = map(&[
            ("io.openshift.s2i.build.commit.author", "shadowman"),
            ("x", "y"),
        ]);
    });
    let expected = map(&[
        ("io.openshift.s2i.build.commit.author", "shadowman"),
        ("io.openshift.s2i.destination", "/destination"),
        ("io.openshift.s2i.scripts-url", "image:///scripts"),
        ("x", "y"),
    ]);
    assert_eq!(read.values("LABEL"), expected);
    read.at("COPY --chown=1001:0 upload/src /destination/src");
    read.commands("/scripts/assemble", "/scripts/run");

    let read = place.write(|request| {
        request.scripts.scripts_url =
            Some("https://user:secret@example.com/s?token=secret".to_owned());
        request.scripts.from_scripts_url =
            BTreeMap::from([("run".to_owned(), place.put("s/run", "r"))]);
    });
    assert!(!read.text.contains("secret"), "{}", read.text);
    assert_eq!(
        read.values("LABEL")["io.openshift.s2i.scripts-url"],
        "https://example.com/s"
    );
}

/// Case 188. What a Kubernetes volume looks like is injected as the files that it means.
#[test]
fn injections_are_copied_and_removed_unless_they_stay() {
    let place = Place::new();
    place.put("secrets/..data/token", "t");
    place.put("secrets/deep/key", "k");
    symlink("..data/token", place.path("secrets/token")).unwrap();
    symlink("..data", place.path("secrets/directory")).unwrap();
    let config = place.put("config/file", "c");
    let injection = |name: &str, destination: &str, is_kept| Injection {
        source: place.path(name),
        destination: destination.to_owned(),
        is_kept,
    };
    let read = place.write(|request| {
        request.working_directory = Some("/workdir".to_owned());
        request.injections = vec![
            injection("secrets", "injection1", false),
            injection("config", "/destination//injection2/", true),
            injection("config/file", "/etc/one", false),
            injection("config/file", "", false),
        ];
    });
    let here = place.0.path().to_str().unwrap();
    let copies = read.all("COPY");
    let pairs: Vec<_> = copies.iter().map(|copy| copy.arguments.clone()).collect();
    let expected = [
        ["upload/src".to_owned(), "/tmp/src".to_owned()],
        [
            format!("upload/injections{here}/secrets"),
            "/workdir/injection1".to_owned(),
        ],
        [
            format!("upload/injections{here}/config"),
            "/destination/injection2".to_owned(),
        ],
        [
            format!("upload/injections{here}/config/file"),
            "/etc/one".to_owned(),
        ],
        [
            format!("upload/injections{here}/config/file"),
            "/workdir/file".to_owned(),
        ],
    ];
    assert_eq!(pairs, expected);
    let removal = read.all("RUN")[1].arguments[0].clone();
    for name in ["..data/token", "deep/key", "token"] {
        let file = format!("/workdir/injection1/{name}");
        assert!(
            removal.contains(&format!("(rm -f {file} || : > {file})")),
            "{removal}"
        );
    }
    for file in ["/etc/one", "/workdir/file"] {
        assert!(removal.contains(&format!("rm -f {file} ")), "{removal}");
    }
    assert!(
        !removal.contains("injection2") && !removal.contains("directory"),
        "{removal}"
    );
    let below = format!("out/upload/injections{here}");
    assert_eq!(place.read(&format!("{below}/secrets/token")), "t");
    assert_eq!(place.read(&format!("{below}/config/file")), "c");
    assert!(config.exists());
    assert!(
        read.warnings[0].contains("lower one"),
        "{:?}",
        read.warnings
    );
    // Without the builder's working directory, that of most builders.
    let read = place.write(|request| request.injections = vec![injection("config", "x", true)]);
    assert_eq!(read.all("COPY")[1].arguments[1], "/opt/app-root/src/x");
    assert_eq!(read.warnings, Vec::<String>::new());
}

/// Cases 198 and 200: whatever image is given.
#[test]
fn an_incremental_build_has_two_stages() {
    let place = Place::new();
    for tag in ["test:tag", "incremental:tag"] {
        let read = place.write(|request| request.incremental = Some(tag.to_owned()));
        let script = "/usr/libexec/s2i/save-artifacts";
        let order = [
            format!("FROM {tag} as cached"),
            "USER 1001".to_owned(),
            format!("RUN if [ -s {script} ]; then {script} > /tmp/artifacts.tar; else touch /tmp/artifacts.tar; fi"),
            "FROM test/builder:1".to_owned(),
            "COPY --from=cached --chown=1001:0 /tmp/artifacts.tar /tmp/artifacts.tar".to_owned(),
            "COPY --chown=1001:0 upload/src /tmp/src".to_owned(),
            "RUN if [ -s /tmp/artifacts.tar ]; then mkdir -p /tmp/artifacts && tar -xf /tmp/artifacts.tar -C /tmp/artifacts; fi && rm /tmp/artifacts.tar".to_owned(),
            "RUN /usr/libexec/s2i/assemble".to_owned(),
        ];
        let places: Vec<usize> = order.iter().map(|line| read.at(line)).collect();
        assert!(places.is_sorted(), "{}", read.text);
        assert_eq!(read.all("USER").len(), 2);
    }
}

/// Case 199, both ways to give the script.
#[test]
fn an_own_save_artifacts_runs_in_the_first_stage() {
    for is_of_url in [true, false] {
        let place = Place::new();
        let script = place.put(
            if is_of_url {
                "s/save-artifacts"
            } else {
                "app/.s2i/bin/save-artifacts"
            },
            "own",
        );
        let read = place.write(|request| {
            request.incremental = Some("test:tag".to_owned());
            request.destination = Some("/destination".to_owned());
            if is_of_url {
                request.scripts.scripts_url = Some("file:///s".to_owned());
                request.scripts.from_scripts_url =
                    BTreeMap::from([("save-artifacts".to_owned(), script)]);
            }
        });
        let own = "/destination/scripts/save-artifacts";
        let copy = read.at(&format!(
            "COPY --chown=1001:0 upload/scripts/save-artifacts {own}"
        ));
        let run = read.at(&format!("RUN if [ -s {own} ]; then {own} > /tmp/artifacts.tar; else touch /tmp/artifacts.tar; fi"));
        assert!(copy < run && run < read.at("FROM test/builder:1"));
        assert!(
            read.text.contains("-C /destination/artifacts"),
            "{}",
            read.text
        );
        assert_eq!(place.read("out/upload/scripts/save-artifacts"), "own");
    }
}

/// Case 201, M38, and M27's result: the application runs as the builder's user, where that is known.
#[test]
fn the_user_is_always_written() {
    let place = Place::new();
    for (user, chown) in [
        ("2250", "2250:0"),
        ("root", "root:0"),
        ("0", "0:0"),
        ("5:6", "5:6"),
    ] {
        let read = place.write(|request| {
            request.assemble_user = Some(user.to_owned());
            request.incremental = Some("test:tag".to_owned());
        });
        assert!(
            read.all("COPY")
                .iter()
                .all(|copy| copy.flags["chown"] == chown),
            "{}",
            read.text
        );
        let users: Vec<_> = read
            .all("USER")
            .iter()
            .map(|one| one.arguments[0].clone())
            .collect();
        assert_eq!(users, [user, user]);
    }
    for (own, last) in [("1001", "1001"), ("", "root")] {
        let read = place.write(|request| {
            request.assemble_user = Some("0".to_owned());
            request.builder_user = Some(own.to_owned());
        });
        let users: Vec<_> = read
            .all("USER")
            .iter()
            .map(|one| one.arguments[0].clone())
            .collect();
        assert_eq!(users, ["0", last]);
        let assemble = read.at("RUN /usr/libexec/s2i/assemble");
        assert!(assemble < read.at(&format!("USER {last}")));
    }
}

/// Case M39: `generate` has no source, and what a builder's labels say of the destination is no description.
#[test]
fn without_a_source_the_directory_is_there_and_empty() {
    let place = Place::new();
    let read = place.write(|request| {
        request.source = None;
        request.builder_labels = map(&[("io.openshift.s2i.destination", "/labelled")]);
        request.labels = map(&[("io.openshift.s2i.build.image", "test/builder:1")]);
    });
    assert_eq!(
        read.values("LABEL"),
        map(&[("io.openshift.s2i.build.image", "test/builder:1")])
    );
    assert!(!read.text.contains("/labelled"), "{}", read.text);
    let entries = fs::read_dir(place.path("out/upload/src")).unwrap();
    assert_eq!(entries.count(), 0);
    read.at("COPY --chown=1001:0 upload/src /tmp/src");
}
