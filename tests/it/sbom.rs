//! Bills of materials: against pip and dpkg in real images, as referrers in Debian's docker-registry, and by the validators
//! of both formats.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::flask::with_builder;
use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, app, tool};

const STATUS: &str = "Package: busybox\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.35.0-4+b3\n\
                      Source: busybox (1:1.35.0-4)\n\nPackage: gone\nStatus: deinstall ok config-files\n\
                      Architecture: amd64\nVersion: 1\n\n";
const METADATA: &str = "Metadata-Version: 2.1\nName: Six.Pack\nVersion: 1.16.0\nLicense-Expression: MIT\n\nThe text.\n";

/// A builder with a distribution and a package database, and a script that removes one distribution and brings another.
fn builder() -> Tiny {
    Tiny {
        assemble: "#!/bin/sh\nset -eu\ncp -R /tmp/src/. /opt/app-root/src/\nrm -rf /opt/app-root/lib/old-1.dist-info\n\
                   mkdir -p /opt/app-root/lib/new-2.dist-info\n\
                   printf 'Metadata-Version: 2.1\\nName: new\\nVersion: 2\\n\\n' > /opt/app-root/lib/new-2.dist-info/METADATA\n",
        files: vec![
            ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
            ("var/lib/dpkg/status", STATUS),
            (
                "usr/lib/python3/dist-packages/six.pack-1.16.0.dist-info/METADATA",
                METADATA,
            ),
            (
                "opt/app-root/lib/old-1.dist-info/METADATA",
                "Name: old\nVersion: 1\n\n",
            ),
        ],
        open: vec!["opt/app-root/lib", "opt/app-root/lib/old-1.dist-info"],
        user: "0",
        ..Tiny::default()
    }
}

const EXPECTED: [&str; 3] = [
    "pkg:deb/debian/busybox@1:1.35.0-4%2Bb3?arch=amd64&distro=debian-12&upstream=busybox%401:1.35.0-4",
    "pkg:pypi/new@2",
    "pkg:pypi/six-pack@1.16.0",
];

struct Bench {
    overcoat: Overcoat,
    builder: String,
    source: PathBuf,
}

fn bench() -> Bench {
    let overcoat = Overcoat::new();
    let source = overcoat.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("app.py"), "print()\n").unwrap();
    Bench {
        builder: builder().write(overcoat.path()),
        overcoat,
        source,
    }
}

impl Bench {
    fn build(&self, more: &[&str]) -> Done {
        let source = self.source.to_str().unwrap();
        let words = [&["build", source, "--build-image", &self.builder], more].concat();
        self.overcoat.run(&words)
    }

    fn path(&self, name: &str) -> String {
        self.overcoat.path().join(name).to_str().unwrap().to_owned()
    }
}

fn parsed(text: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(text.as_ref()).unwrap()
}

fn purls(document: &Value) -> Vec<String> {
    let components = document["components"].as_array().unwrap().iter();
    let mut purls: Vec<String> = components
        .filter_map(|it| Some(it["purl"].as_str()?.to_owned()))
        .collect();
    purls.sort();
    purls
}

fn layer_of(document: &Value, purl: &str) -> String {
    let components = document["components"].as_array().unwrap();
    let component = components.iter().find(|it| it["purl"] == purl).unwrap();
    let properties = component["properties"].as_array().unwrap();
    let layer = properties.iter().find(|it| it["name"] == "overcoat:layer");
    layer.unwrap()["value"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_says_what_is_in_it_wherever_it_is_and_always_the_same() {
    let bench = bench();
    let plain = bench.build(&["-t", "app"]).ok().digest("app");
    let file = bench.path("made/app.json");
    let with = bench
        .build(&["-t", "app", "--sbom", &file])
        .ok()
        .digest("app");
    assert_eq!(plain, with);
    let written = fs::read(&file).unwrap();
    let document = parsed(&written);
    assert_eq!(purls(&document), EXPECTED);
    let layers = bench.overcoat.layers("app");
    assert_eq!(layer_of(&document, EXPECTED[0]), layers[0]);
    assert_eq!(layer_of(&document, EXPECTED[2]), layers[0]);
    assert!(
        layers[2..].contains(&layer_of(&document, EXPECTED[1])),
        "{layers:?}"
    );
    assert_eq!(document["metadata"]["component"]["version"], with.as_str());

    // By the command, from a layout, from archives, from a store that has nothing yet, and without the layers' blobs.
    let (layout, archive) = (bench.path("layout"), bench.path("a.tar"));
    bench
        .overcoat
        .run(&["copy", "app", &format!("oci:{layout}:app")])
        .ok();
    bench
        .overcoat
        .run(&["copy", "app", &format!("archive:{archive}")])
        .ok();
    let other = Overcoat::new();
    for (overcoat, image) in [
        (&bench.overcoat, "app".to_owned()),
        (&other, format!("oci:{layout}:app")),
        (&other, format!("archive:{archive}")),
        (&bench.overcoat, format!("oci-archive:{archive}")),
    ] {
        let done = overcoat.run(&["sbom", &image]).ok();
        assert_eq!(done.stdout.as_bytes(), written, "{image}");
    }
    for layer in &layers {
        fs::remove_file(
            bench
                .overcoat
                .store()
                .join("blobs")
                .join(layer.replace(':', "/")),
        )
        .unwrap();
    }
    assert_eq!(
        bench.overcoat.run(&["sbom", "app"]).ok().stdout.as_bytes(),
        written
    );
    let spdx = parsed(
        bench
            .overcoat
            .run(&["sbom", "app", "--format", "spdx"])
            .ok()
            .stdout,
    );
    assert_eq!(
        spdx["packages"].as_array().unwrap().len(),
        2 + EXPECTED.len()
    );
    // Without what is remembered, the layers are needed.
    fs::remove_dir_all(bench.overcoat.store().join("cache/sbom")).unwrap();
    let refused = bench.overcoat.run(&["sbom", "app"]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("layer"), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_built() {
    let bench = bench();
    let foreign = bench.path("notes.txt");
    fs::write(&foreign, "mine").unwrap();
    for (words, code, said) in [
        (&["-t", "app", "--attach-sbom"][..], 2, "--push"),
        (&["-t", "app", "--sbom", &foreign], 2, "something else"),
        (
            &["-t", "app", "--sbom", "a", "--sbom-dir", "b"],
            2,
            "cannot be used with",
        ),
        (
            &[
                "-t",
                "app",
                "--sbom",
                "a",
                "--platform",
                "linux/amd64,linux/arm64",
            ],
            2,
            "--sbom-dir",
        ),
    ] {
        let done = bench.build(words);
        assert_eq!(done.code, Some(code), "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{words:?}: {}", done.stderr);
    }
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    let listed = bench.overcoat.run(&["images"]).ok().stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    // An earlier run's goes when a build fails.
    let file = bench.path("app.json");
    bench.build(&["-t", "app", "--sbom", &file]).ok();
    fs::write(bench.source.join("requirements.txt"), "x").unwrap();
    fs::create_dir(bench.source.join(".s2i")).unwrap();
    fs::create_dir(bench.source.join(".s2i/bin")).unwrap();
    fs::write(
        bench.source.join(".s2i/bin/assemble"),
        "#!/bin/sh\nexit 3\n",
    )
    .unwrap();
    let failed = bench.build(&["-t", "app", "--sbom", &file]);
    assert_eq!(failed.code, Some(50), "{}", failed.stderr);
    assert!(!Path::new(&file).exists());
    for (words, code) in [
        (&["sbom", "nothing"][..], 4),
        (&["sbom", "app", "--attach"], 2),
        (&["sbom", "app", "--platform", "linux/s390x"], 22),
    ] {
        let done = bench.overcoat.run(words);
        assert_eq!(done.code, Some(code), "{words:?}: {}", done.stderr);
    }
}

#[test]
fn it_is_attached_listed_and_promoted_where_the_registry_has_no_api_for_that() {
    let bench = bench();
    let (one, two) = (Registry::start(), Registry::start());
    let name = format!("{}/team/app:1", one.host());
    let done = bench.build(&["-t", &name, "--push", "--attach-sbom"]).ok();
    let digest = done.digest(&name);
    let list = |name: &str| -> Vec<Value> {
        let done = bench
            .overcoat
            .run(&["referrers", name, "--format", "json"])
            .ok();
        parsed(done.stdout)["referrers"].as_array().unwrap().clone()
    };
    let listed = list(&name);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["artifact_type"], "application/vnd.cyclonedx+json");
    // The image is what it was.
    assert_eq!(
        bench.overcoat.run(&["digest", &name]).ok().stdout.trim(),
        digest
    );

    // The same again adds nothing; the other format does.
    let attach = |format: &str| {
        let words = [
            "sbom",
            "--attach",
            &format!("docker://{name}"),
            "--format",
            format,
        ];
        bench.overcoat.run(&words).ok().stdout.trim().to_owned()
    };
    let first = attach("cyclonedx");
    assert!(
        first.ends_with(listed[0]["digest"].as_str().unwrap()),
        "{first}"
    );
    let spdx = attach("spdx");
    let types: BTreeSet<String> = list(&name)
        .iter()
        .map(|it| it["artifact_type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        types.into_iter().collect::<Vec<_>>(),
        ["application/spdx+json", "application/vnd.cyclonedx+json"]
    );

    // Others find the document: a manifest with a subject, and one layer that is the document's very bytes.
    let manifest = tool(
        "skopeo",
        &[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{spdx}"),
        ],
    );
    let manifest = parsed(manifest);
    assert_eq!(manifest["subject"]["digest"], digest.as_str());
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.oci.empty.v1+json"
    );
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let written = bench
        .overcoat
        .run(&["sbom", &name, "--format", "spdx"])
        .ok()
        .stdout;
    let own = overcoat::digest::Digest::of(written.as_bytes()).to_string();
    assert_eq!(layer, own);

    // Where the image goes, they go.
    let there = format!("{}/prod/app:1", two.host());
    bench
        .overcoat
        .run(&["copy", "--referrers", &name, &there])
        .ok();
    assert_eq!(list(&there).len(), 2);
    // A bill of an image that is not there is attached to nothing.
    let missing = format!("docker://{}/team/none:1", one.host());
    assert_eq!(
        bench.overcoat.run(&["sbom", "--attach", &missing]).code,
        Some(4)
    );
    bench
        .build(&["-t", &format!("{}/other/app:1", two.host())])
        .ok();
    let refused = bench
        .overcoat
        .run(&["sbom", "--attach", &format!("{}/other/app:1", two.host())]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("overcoat push"),
        "{}",
        refused.stderr
    );
    // A store that has nothing of it reads it from the registry, and keeps none of its layers.
    let other = Overcoat::new();
    let from_there = other.run(&["sbom", &there, "--format", "spdx"]).ok().stdout;
    assert_eq!(from_there, written);
    assert_eq!(
        fs::read_dir(other.store().join("blobs/sha256"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(other.left_behind(), Vec::<String>::new());
}

#[test]
fn each_application_gets_a_file_of_its_own_also_from_op() {
    let overcoat = Overcoat::new();
    let directory = overcoat.path().join("project");
    fs::create_dir(&directory).unwrap();
    let image = builder().write(&directory);
    let mut own = String::new();
    for name in ["base", "web"] {
        fs::create_dir(directory.join(name)).unwrap();
        fs::write(directory.join(name).join("app.py"), name).unwrap();
        own += &format!("[applications.{name}]\npath = \"{name}\"\nbuilder = \"{image}\"\n");
    }
    fs::write(directory.join("overcoat.toml"), own).unwrap();
    let run =
        |mut command: Command| -> Done { command.current_dir(&directory).output().unwrap().into() };
    let names = |at: &str| -> Vec<String> {
        let entries = fs::read_dir(directory.join(at)).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let done = run(overcoat.command(&["build", "--all", "--sbom", "x"]));
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    run(overcoat.command(&[
        "build",
        "--all",
        "--sbom-dir",
        "bills",
        "--sbom-format",
        "spdx",
    ]))
    .ok();
    assert_eq!(names("bills"), ["base.spdx.json", "web.spdx.json"]);
    let of = |file: &str| parsed(fs::read(directory.join(file)).unwrap());
    assert_ne!(
        of("bills/base.spdx.json")["name"],
        of("bills/web.spdx.json")["name"]
    );

    let mut command = overcoat.called("op", &["build", "--sbom-output", "op-bills"]);
    command.env_remove("GITHUB_ACTIONS");
    run(command).ok();
    assert_eq!(names("op-bills"), ["base.cdx.json", "web.cdx.json"]);
    assert_eq!(purls(&of("op-bills/web.cdx.json")), EXPECTED);
    // One of them fails: nobody's file is left.
    fs::create_dir_all(directory.join("web/.s2i/bin")).unwrap();
    fs::write(
        directory.join("web/.s2i/bin/assemble"),
        "#!/bin/sh\nexit 3\n",
    )
    .unwrap();
    let failed = run(overcoat.command(&["build", "--all", "--sbom-dir", "op-bills"]));
    assert_ne!(failed.code, Some(0));
    assert_eq!(names("op-bills"), Vec::<String>::new());
}

/// What validates documents, from the package index, made once for a run.
fn validators() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sbom-validators");
    fs::create_dir_all(directory.parent().unwrap()).unwrap();
    let lock = fs::File::create(directory.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !directory.join("complete").exists() {
        let _ = fs::remove_dir_all(&directory);
        tool("python3", &["-m", "venv", directory.to_str().unwrap()]);
        let pip = directory.join("bin/pip");
        tool(
            pip.to_str().unwrap(),
            &[
                "install",
                "--quiet",
                "cyclonedx-python-lib[json-validation]==11.12.0",
                "spdx-tools==0.8.5",
            ],
        );
        fs::write(directory.join("complete"), "").unwrap();
    }
    directory.join("bin/python")
}

const VALIDATE: &str = r#"
import sys
from cyclonedx.validation.json import JsonStrictValidator
from cyclonedx.schema import SchemaVersion
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
if wrong: print(wrong)
for message in validate_full_spdx_document(parse_file(sys.argv[2])):
    print(message.validation_message, message.context.spdx_id)
"#;

#[test]
fn network_it_is_what_pip_and_dpkg_say_and_both_formats_are_valid() {
    let overcoat = with_builder(Overcoat::new());
    let [cdx, spdx] = ["a.cdx.json", "a.spdx.json"].map(|name| overcoat.path().join(name));
    let source = app("flask-hello");
    let source = source.to_str().unwrap();
    overcoat
        .run(&[
            "build",
            source,
            "-t",
            "app",
            "--sbom",
            cdx.to_str().unwrap(),
        ])
        .ok();
    overcoat
        .run(&[
            "sbom",
            "app",
            "--format",
            "spdx",
            "-o",
            spdx.to_str().unwrap(),
        ])
        .ok();
    let document = parsed(fs::read(&cdx).unwrap());
    let components = document["components"].as_array().unwrap();
    let listed = |kind: &str, place: &str| -> BTreeSet<(String, String)> {
        let is_it = |it: &&Value| {
            let location = it["evidence"]["occurrences"][0]["location"].as_str();
            it["purl"]
                .as_str()
                .is_some_and(|purl| purl.starts_with(kind))
                && location.is_some_and(|location| {
                    let rest = location.strip_prefix(place);
                    // Not what a distribution carries inside.
                    rest.is_some_and(|rest| kind != "pkg:pypi/" || rest.matches('/').count() == 1)
                })
        };
        let pair = |it: &Value| {
            let text = |name: &str| it[name].as_str().unwrap().to_owned();
            (text("name"), text("version"))
        };
        components.iter().filter(is_it).map(pair).collect()
    };
    let say = |words: &[&str]| {
        let all = [&["run", "app", "--"], words].concat();
        overcoat.run(&all).ok().stdout
    };
    let site = say(&[
        "python",
        "-c",
        "import sysconfig; print(sysconfig.get_path('purelib'))",
    ]);
    let pip = parsed(say(&["python", "-m", "pip", "list", "--format", "json"]));
    let pip: BTreeSet<(String, String)> = pip
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (
                it["name"].as_str().unwrap().to_owned(),
                it["version"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert!(pip.iter().any(|(name, _)| name == "Flask"), "{pip:?}");
    assert_eq!(listed("pkg:pypi/", &format!("{}/", site.trim())), pip);

    let dpkg = say(&[
        "dpkg-query",
        "-W",
        "-f",
        "${Status}\t${Package}\t${Version}\n",
    ]);
    let dpkg: BTreeSet<(String, String)> = dpkg
        .lines()
        .filter_map(|line| {
            let (name, version) = line
                .strip_prefix("install ok installed\t")?
                .split_once('\t')?;
            Some((name.to_owned(), version.to_owned()))
        })
        .collect();
    assert!(dpkg.len() > 50, "{dpkg:?}");
    assert_eq!(listed("pkg:deb/debian/", "/var/lib/dpkg/"), dpkg);

    let version = say(&[
        "python",
        "-c",
        "import platform; print(platform.python_version())",
    ]);
    let interpreters: BTreeSet<String> = listed("pkg:generic/python", "/")
        .into_iter()
        .map(|it| it.1)
        .collect();
    assert_eq!(interpreters, BTreeSet::from([version.trim().to_owned()]));
    assert_eq!(
        document["compositions"][0]["aggregate"], "unknown",
        "{:#}",
        document["metadata"]
    );

    let script = overcoat.path().join("validate.py");
    fs::write(&script, VALIDATE).unwrap();
    let python = validators();
    let said = tool(
        python.to_str().unwrap(),
        &[
            script.to_str().unwrap(),
            cdx.to_str().unwrap(),
            spdx.to_str().unwrap(),
        ],
    );
    assert_eq!(said, "");
}
