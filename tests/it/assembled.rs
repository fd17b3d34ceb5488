//! Layers that stay the same, and bytecode that stays valid. What needs the real builder needs the network; those names
//! begin with `network_…`.

use std::fs;
use std::path::Path;

use super::flask::with_builder;
use super::support::tiny::Tiny;
use super::support::{Overcoat, tool};
use super::tiny::{application, shared};

/// Puts packages where people put them: below the application.
const PACKAGES_INSIDE: &str = "#!/bin/sh\nset -eu\ncp -R /tmp/src/. /opt/app-root/src/\nrm -rf /tmp/src/* /tmp/src/.s2i\n\
    cd /opt/app-root/src\nmkdir -p env/bin .venv front/node_modules/x lib/python3.11/site-packages\n\
    for d in env/bin .venv front/node_modules/x lib/python3.11/site-packages; do echo package > $d/file; done\n";

fn build(overcoat: &Overcoat, source: &str, builder: &str, more: &[&str]) -> String {
    let arguments = [
        &["build", source, "-t", "app", "--build-image", builder],
        more,
    ]
    .concat();
    overcoat.run(&arguments).ok().digest("app")
}

#[test]
fn packages_below_the_application_are_not_uploaded_again_with_it() {
    let directory = shared();
    let builder = Tiny {
        assemble: PACKAGES_INSIDE,
        ..Tiny::default()
    };
    let builder = builder.write(directory.path());
    let source = application(
        directory.path(),
        &[
            ("app.py", "1"),
            (".s2i/environment", "VIRTUAL_ENV=/opt/app-root/src/env\n"),
        ],
    );
    let overcoat = Overcoat::new();
    build(&overcoat, &source, &builder, &[]);
    let before = overcoat.layers("app");
    fs::write(Path::new(&source).join("app.py"), "2").unwrap();
    build(&overcoat, &source, &builder, &[]);
    let after = overcoat.layers("app");
    assert_eq!(before[..3], after[..3]);
    assert_ne!(before[3], after[3]);
    let files = |layer: &str| {
        let listed = overcoat.list_layer(layer);
        let names = listed.lines().filter(|line| line.starts_with('-'));
        names
            .filter_map(|line| line.rsplit("src/").next().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        files(&after[2]),
        [
            ".venv/file",
            "env/bin/file",
            "front/node_modules/x/file",
            "lib/python3.11/site-packages/file"
        ]
    );
    assert_eq!(files(&after[3]), [".s2i/environment", "app.py"]);
}

#[test]
fn t8_zstd_layers_are_the_same_again_and_others_read_them() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(directory.path(), &[("app.py", "print(1)\n")]);
    let overcoat = Overcoat::new();
    let gzip = build(&overcoat, &source, &builder, &[]);
    let zstd = build(&overcoat, &source, &builder, &["--compression", "zstd"]);
    assert_ne!(gzip, zstd);
    let user = Overcoat::as_ordinary_user();
    let again = build(&user, &source, &builder, &["--compression", "zstd"]);
    assert_eq!(zstd, again);
    assert_eq!(overcoat.run(&["run", "app"]).ok().stdout, "print(1)\n");

    let image = format!("oci:{}:app:latest", overcoat.store().display());
    let raw = tool("skopeo", &["inspect", "--raw", &image]);
    let manifest: serde_json::Value = serde_json::from_str(&raw).unwrap();
    let types: Vec<_> = manifest["layers"].as_array().unwrap()[2..]
        .iter()
        .map(|layer| layer["mediaType"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["application/vnd.oci.image.layer.v1.tar+zstd"; 2]);
    // skopeo decompresses them, and what comes out has the names that the configuration promises.
    let plain = directory.path().join("plain");
    let target = format!("dir:{}", plain.display());
    tool(
        "skopeo",
        &["copy", "--quiet", "--dest-decompress", &image, &target],
    );
    let config = tool("skopeo", &["inspect", "--config", "--raw", &image]);
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    for diff_id in &config["rootfs"]["diff_ids"].as_array().unwrap()[2..] {
        let name = diff_id.as_str().unwrap().trim_start_matches("sha256:");
        assert!(plain.join(name).exists(), "{name} is not among the tars");
    }
}

/// A hook that compiles with the times of the sources, as those do who do not know of `SOURCE_DATE_EPOCH`.
const HOOK: &str = "#!/bin/sh\nset -eu\n/usr/libexec/s2i/assemble\nunset SOURCE_DATE_EPOCH PYTHONDONTWRITEBYTECODE\n\
    touch package/*.py\npython3 -m compileall -q package\npython3 -O -m compileall -q package\n";

/// Imports every module and counts, in what Python says, the modules that came from bytecode and from source.
const COUNT: &str = "set -e; cd /opt/app-root/src; for flag in -v -Ov; do python3 $flag -c 'import package.all' 2>&1 \
    | grep -E 'code object from .*/package/' | sed -E \"s/.*(\\.pyc?)'.*/\\1/\" | sort | uniq -c; done";

#[test]
fn network_t19_every_import_uses_the_bytecode_of_a_clamped_source() {
    let directory = shared();
    let overcoat = with_builder(Overcoat::new());
    let all: String = (0..300)
        .map(|index| format!("import package.m{index}\n"))
        .collect();
    let modules: Vec<(String, String)> = (0..300)
        .map(|index| (format!("package/m{index}.py"), format!("value = {index}\n")))
        .collect();
    let mut files = vec![
        (".s2i/bin/assemble", HOOK),
        ("app.py", ""),
        ("package/__init__.py", ""),
        ("package/all.py", all.as_str()),
    ];
    files.extend(
        modules
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    let source = application(directory.path(), &files);
    let arguments = ["build", &source, "-t", "app"];
    let digest = overcoat.run(&arguments).ok().digest("app");
    let counted = overcoat
        .run(&["run", "app", "--", "bash", "-c", COUNT])
        .ok()
        .stdout;
    let counted: Vec<&str> = counted.split_whitespace().collect();
    assert_eq!(counted, ["302", ".pyc", "302", ".pyc"]);
    // The time of day at which the hook compiled is nowhere any more.
    assert_eq!(overcoat.run(&arguments).ok().digest("app"), digest);
}

#[test]
fn network_compiled_bytecode_is_a_layer_of_its_own_and_the_same_again() {
    let directory = shared();
    let source = application(
        directory.path(),
        &[
            ("app.py", "import package\n"),
            ("package/__init__.py", "NAMES = {'a', 'b', 'c'}\n"),
            ("package/broken.py", "def :\n"),
        ],
    );
    let arguments = ["build", &source, "-t", "app", "--compile-bytecode"];
    let overcoat = with_builder(Overcoat::new());
    let done = overcoat.run(&arguments).ok();
    assert!(
        done.stderr.contains("some files could not be compiled"),
        "{}",
        done.stderr
    );
    let digest = done.digest("app");
    let layers = overcoat.layers("app");
    let listed = overcoat.list_layer(layers.last().unwrap());
    let files: Vec<_> = listed
        .lines()
        .filter(|line| line.starts_with('-'))
        .collect();
    assert!(!files.is_empty());
    for line in &files {
        assert!(
            line.contains("/__pycache__/") && line.contains("1980-01-01"),
            "{line}"
        );
    }
    let has = |name: &str| files.iter().any(|line| line.contains(name));
    assert!(
        has("src/package/__pycache__/__init__.cpython-311.pyc"),
        "{listed}"
    );
    assert!(!has("broken"), "{listed}");
    let said = overcoat
        .run(&["run", "app", "--", "python3", "-v", "app.py"])
        .ok()
        .stderr;
    let used = "/opt/app-root/src/package/__pycache__/__init__.cpython-311.pyc'";
    assert!(
        said.contains(&format!("code object from '{used}")),
        "{said}"
    );
    assert_eq!(overcoat.run(&arguments).ok().digest("app"), digest);
    let user = with_builder(Overcoat::as_ordinary_user());
    assert_eq!(user.run(&arguments).ok().digest("app"), digest);
}
