use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::strict_parser::{Instruction, parse};
use super::*;
use crate::event::Silent;
use crate::source::local;

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
        local::read(&self.path("app"), &Silent).unwrap()
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

/// Cases 189 and 190.
#[test]
fn a_scripts_url_may_have_one_script_only() {
    let place = Place::new();
    for (name, assemble, run) in [
        (
            "assemble",
            "/destination/scripts/assemble",
            "/usr/libexec/s2i/run",
        ),
        (
            "run",
            "/usr/libexec/s2i/assemble",
            "/destination/scripts/run",
        ),
    ] {
        let script = place.put(&format!("s/{name}"), name);
        let read = place.write(|request| {
            request.scripts.scripts_url = Some("file:///s".to_owned());
            request.scripts.from_scripts_url = BTreeMap::from([(name.to_owned(), script.clone())]);
            request.destination = Some("/destination".to_owned());
        });
        read.at("COPY --chown=1001:0 upload/scripts /destination/scripts");
        read.commands(assemble, run);
        let uploaded = place.path("out/upload/scripts").join(name);
        let mode = fs::metadata(&uploaded).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert_eq!(
            fs::read_dir(place.path("out/upload/scripts"))
                .unwrap()
                .count(),
            1
        );
    }
}

/// Case 191, and the part of case 181 that this module decides: without `--scripts-url` nothing has to be found.
#[test]
fn a_scripts_url_without_scripts_is_an_error_and_leaves_nothing() {
    let place = Place::new();
    let source = place.source();
    let mut request = DockerfileRequest {
        builder: "b".to_owned(),
        source: Some(&source),
        ..DockerfileRequest::default()
    };
    request.scripts.scripts_url = Some("https://user:secret@example.com/s".to_owned());
    let error = write(&request, &place.path("out/Dockerfile")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "none of the scripts `assemble`, `run`, `save-artifacts` was found at `https://example.com/s`"
    );
    assert!(!place.path("out").exists());
    request.scripts.scripts_url = None;
    request.scripts.image_scripts_url = Some("https://example.com/unreachable".to_owned());
    write(&request, &place.path("out/Dockerfile")).unwrap();
}

/// Cases 192 to 194.
#[test]
fn the_applications_scripts_are_used_unless_the_url_is_the_images() {
    for name in ["assemble", "run"] {
        for directory in [".s2i/bin", ".sti/bin"] {
            let place = Place::new();
            place.put(&format!("app/{directory}/{name}"), "own");
            place.put(&format!("app/{directory}/usage"), "usage");
            let commands = |read: &Read, image: &str| {
                let of = |script: &str| match script == name {
                    true => format!("/tmp/scripts/{script}"),
                    false => format!("{image}/{script}"),
                };
                read.commands(&of("assemble"), &of("run"));
                assert!(read.copies_scripts());
                // They move; the rest of the directory stays.
                assert_eq!(place.read(&format!("out/upload/scripts/{name}")), "own");
                let src = place.path("out/upload/src").join(directory);
                assert!(!src.join(name).exists() && src.join("usage").exists());
            };
            commands(&place.write(|_| ()), "/usr/libexec/s2i");
            let custom = || Some("image:///usr/custom/s2i".to_owned());
            let read = place.write(|request| request.scripts.image_scripts_url = custom());
            commands(&read, "/usr/custom/s2i");
            let read = place.write(|request| request.scripts.scripts_url = custom());
            read.commands("/usr/custom/s2i/assemble", "/usr/custom/s2i/run");
            assert!(!read.copies_scripts(), "{}", read.text);
            assert!(read.warnings[0].contains("not used"), "{:?}", read.warnings);
            let src = place.path("out/upload/src").join(directory);
            assert!(src.join(name).exists());
        }
    }
}

/// Cases 195 to 197.
#[test]
fn scripts_of_both_urls_the_scripts_url_first() {
    let place = Place::new();
    let fetched = |directory: &str, name: &str| {
        let path = place.put(&format!("{directory}/{name}"), directory);
        BTreeMap::from([(name.to_owned(), path)])
    };
    let url = || Some("file:///somewhere".to_owned());
    for (name, assemble, run) in [
        ("assemble", "/tmp/scripts/assemble", "/usr/libexec/s2i/run"),
        ("run", "/usr/libexec/s2i/assemble", "/tmp/scripts/run"),
    ] {
        let read = place.write(|request| {
            request.scripts.image_scripts_url = url();
            request.scripts.from_image_scripts_url = fetched("image", name);
        });
        read.commands(assemble, run);
        assert_eq!(place.read(&format!("out/upload/scripts/{name}")), "image");
        // A builder that says where its scripts are is believed.
        let read = place.write(|request| {
            request.scripts.image_scripts_url = url();
            request.scripts.from_image_scripts_url = fetched("image", name);
            request.builder_labels = map(&[("io.openshift.s2i.scripts-url", "image:///own")]);
        });
        read.commands("/own/assemble", "/own/run");
    }
    let read = place.write(|request| {
        request.scripts.scripts_url = url();
        request.scripts.from_scripts_url = fetched("first", "assemble");
        request.scripts.image_scripts_url = Some("image:///usr/some/dir".to_owned());
    });
    read.commands("/tmp/scripts/assemble", "/usr/some/dir/run");
    place.write(|request| {
        request.scripts.scripts_url = url();
        request.scripts.from_scripts_url = fetched("first", "assemble");
        request.scripts.image_scripts_url = url();
        request.scripts.from_image_scripts_url = fetched("second", "assemble");
    });
    assert_eq!(place.read("out/upload/scripts/assemble"), "first");
}

/// Cases 178 to 180, and the parts of 182 and 183 that this module decides: an `image://` URL counts for all scripts.
#[test]
fn the_directory_of_the_images_scripts() {
    let (new, old) = ("io.openshift.s2i.scripts-url", "io.s2i.scripts-url");
    let found = BTreeMap::from([("run".to_owned(), PathBuf::from("/x/run"))]);
    let fetched = |url: Option<&str>| match url {
        Some(url) if url.starts_with("https:") => found.clone(),
        _ => BTreeMap::new(),
    };
    type Row<'a> = (
        Option<&'a str>,
        Option<&'a str>,
        &'a [(&'a str, &'a str)],
        &'a str,
    );
    let rows: [Row<'_>; 14] = [
        (None, None, &[], "/usr/libexec/s2i"),
        (Some("https://example.com/s"), None, &[], "/usr/libexec/s2i"),
        (None, Some("https://example.com/s"), &[], "/usr/libexec/s2i"),
        (Some("image:///usr/some/dir"), None, &[], "/usr/some/dir"),
        (None, Some("image:///usr/some/dir"), &[], "/usr/some/dir"),
        (Some("image:///a"), Some("image:///b"), &[], "/a"),
        (None, None, &[(new, "image:///new")], "/new"),
        (
            None,
            None,
            &[(new, "image:///new"), (old, "image:///old")],
            "/new",
        ),
        (None, None, &[(old, "image:///old")], "/old"),
        (None, Some("image:///b"), &[(old, "image:///old")], "/old"),
        (Some("image:///a"), None, &[(new, "image:///new")], "/a"),
        (None, None, &[(new, "")], "/usr/libexec/s2i"),
        (Some("image://.s2i/bin"), None, &[], ".s2i/bin"),
        (Some("image:////x/"), None, &[], "/x"),
    ];
    for (scripts_url, image_scripts_url, labels, expected) in rows {
        let request = DockerfileRequest {
            builder_labels: map(labels),
            scripts: ScriptSources {
                scripts_url: scripts_url.map(str::to_owned),
                from_scripts_url: fetched(scripts_url),
                image_scripts_url: image_scripts_url.map(str::to_owned),
                ..ScriptSources::default()
            },
            ..DockerfileRequest::default()
        };
        let chosen = scripts::choose(&request).unwrap();
        assert_eq!(
            chosen.image_directory, expected,
            "{scripts_url:?} {image_scripts_url:?} {labels:?}"
        );
        let is_fetched = scripts_url.is_some_and(|url| url.starts_with("https:"));
        let uploaded: Vec<_> = chosen.uploaded.into_keys().collect();
        assert_eq!(uploaded, if is_fetched { vec!["run"] } else { vec![] });
    }
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

#[test]
fn paths_with_spaces_are_lists_and_words() {
    let place = Place::new();
    place.put("two words/a b", "x");
    let source = place.path("two words");
    let read = place.write(|request| {
        request.destination = Some("/with space".to_owned());
        request.injections = vec![Injection {
            source,
            destination: "/in to".to_owned(),
            is_kept: false,
        }];
        request.scripts.scripts_url = Some("file:///s".to_owned());
        request.scripts.from_scripts_url =
            BTreeMap::from([("assemble".to_owned(), place.put("s/assemble", ""))]);
    });
    read.commands("'/with space/scripts/assemble'", "/usr/libexec/s2i/run");
    read.at("RUN (rm -f '/in to/a b' || : > '/in to/a b')");
    assert_eq!(read.all("COPY")[1].arguments[1], "/with space/src");
}

#[test]
fn what_a_dockerfile_cannot_say_is_refused_by_name_before_anything_is_written() {
    let place = Place::new();
    let source = place.source();
    let request = || DockerfileRequest {
        builder: "b".to_owned(),
        source: Some(&source),
        ..DockerfileRequest::default()
    };
    let environment = |name: &str, value: &str| DockerfileRequest {
        environment: list(&[(name, value)]),
        ..request()
    };
    let destination = |text: &str| DockerfileRequest {
        destination: Some(text.to_owned()),
        ..request()
    };
    let user = |text: &str| DockerfileRequest {
        assemble_user: Some(text.to_owned()),
        ..request()
    };
    let builder = |text: &str| DockerfileRequest {
        builder: text.to_owned(),
        ..request()
    };
    let injection = |destination: &str| DockerfileRequest {
        injections: vec![Injection {
            source: place.path("app"),
            destination: destination.to_owned(),
            is_kept: false,
        }],
        ..request()
    };
    let rows = [
        (
            environment("A", "secret\nRUN x"),
            "the variable `A` cannot be written",
        ),
        (environment("export A", "secret"), "the variable `export A`"),
        (environment("# x", "secret"), "the variable `# x`"),
        (
            DockerfileRequest {
                labels: map(&[("l", "secret\r")]),
                ..request()
            },
            "the label `l`",
        ),
        (destination("relative"), "the destination `relative`"),
        (destination("/"), "it is the root directory"),
        (destination("/a/../b"), "the destination `/a/../b`"),
        (destination("/$HOME"), "the destination `/$HOME`"),
        (destination("/a\nRUN x"), "the destination `/a\\nRUN x`"),
        (user("root;x"), "the user `root;x`"),
        (user(""), "the user ``"),
        (builder("b as c"), "the builder image `b as c`"),
        (builder("$B"), "the builder image `$B`"),
        (builder("--platform=x"), "the builder image"),
        (injection("../../etc"), "the injection's destination"),
        (injection("/a*"), "the injection's destination"),
    ];
    for (request, expected) in rows {
        let error = write(&request, &place.path("out/Dockerfile")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(expected) && !text.contains("secret"),
            "{text}"
        );
        assert_eq!(error.hints().len(), 1);
        assert!(!place.path("out").exists());
    }
}

#[test]
fn an_upload_is_replaced_if_it_is_ours_and_nothing_else_is_touched() {
    let place = Place::new();
    place.write(|_| ());
    let stale = place.put("out/upload/src/stale", "");
    let other = place.put("out/other", "mine");
    place.write(|_| ());
    assert!(!stale.exists() && other.exists());
    let names: Vec<_> = crate::fs::list(&place.path("out")).unwrap();
    assert_eq!(
        names,
        ["MyDockerfile", "other", "upload"].map(PathBuf::from)
    );

    // An application may have a directory of this name.
    let kept = place.put("app/upload/photo", "mine");
    let source = place.source();
    let request = DockerfileRequest {
        builder: "b".to_owned(),
        source: Some(&source),
        ..DockerfileRequest::default()
    };
    let error = write(&request, &place.path("app/Dockerfile")).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert_eq!(fs::read(kept).unwrap(), b"mine");
    assert!(!place.path("app/Dockerfile").exists());
}

#[test]
fn a_context_in_the_source_does_not_hold_itself() {
    let place = Place::new();
    let write = || {
        let source = place.source();
        let request = DockerfileRequest {
            builder: "b".to_owned(),
            source: Some(&source),
            ..DockerfileRequest::default()
        };
        super::write(&request, &place.path("app/Dockerfile")).unwrap();
        crate::fs::list(&place.path("app/upload/src")).unwrap()
    };
    let expected = ["app.py", "data", "link"].map(PathBuf::from);
    assert_eq!((write(), write()), (expected.to_vec(), expected.to_vec()));
}

#[test]
fn a_hostile_tree_is_not_written_elsewhere_and_leaves_nothing() {
    let place = Place::new();
    let file = |path: &str| crate::source::SourceEntry {
        path: path.as_bytes().to_vec(),
        kind: crate::source::SourceKind::File {
            is_executable: false,
            size: 0,
        },
    };
    let link = crate::source::SourceEntry {
        path: b"a".to_vec(),
        kind: crate::source::SourceKind::Symlink {
            target: place
                .path("elsewhere")
                .into_os_string()
                .into_encoded_bytes(),
        },
    };
    fs::create_dir(place.path("elsewhere")).unwrap();
    for entries in [
        vec![file("../x")],
        vec![file("/x")],
        vec![link, file("a/app.py")],
    ] {
        let source = SourceTree {
            entries,
            ..place.source()
        };
        let request = DockerfileRequest {
            builder: "b".to_owned(),
            source: Some(&source),
            ..DockerfileRequest::default()
        };
        let error = write(&request, &place.path("out/Dockerfile")).unwrap_err();
        assert!(matches!(error, Error::Unsafe { .. }), "{error}");
        assert_eq!(
            crate::fs::list(&place.path("out")).unwrap(),
            Vec::<PathBuf>::new()
        );
        assert_eq!(
            crate::fs::list(&place.path("elsewhere")).unwrap(),
            Vec::<PathBuf>::new()
        );
    }
}
