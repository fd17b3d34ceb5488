mod archive;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use archive::{Archive, Member, NOW, Package, deb, md5_of};
use tar::EntryType::{Directory, Link, Regular, Symlink};

use super::*;
use crate::debian;
use crate::event::Silent;
use crate::http::Settings;
use crate::layer::{Entry, Kind, read};
use crate::python::wheel::Row;

mod content;
mod failures;

const RECIPE: &str = r#"
format = 1
description = "small"
[debian]
suite = "zork"
components = ["main"]
keys = ["zork.asc"]
[packages]
essential = true
roots = ["python3.11-minimal", "pip-whl"]
[[layer]]
name = "base"
packages = "essential"
[[layer]]
name = "python"
packages = "rest"
[filesystem]
merged_usr = ["bin", "lib64"]
[venv]
path = "/opt/app-root"
python = "/usr/bin/python3.11"
wheels = ["/usr/share/wheels/zork-*.whl"]
owner = [1001, 0]
"#;

const FILES: &str = r#"
[[file]]
path = "/etc/passwd"
copy = "/usr/share/passwd.master"
append = "default\n"
[[file]]
path = "/etc/again"
copy = "/etc/passwd"
mode = "0600"
[[file]]
path = "/etc/bundle"
concat = "/usr/share/certs/*.crt"
[[file]]
path = "/etc/certs.conf"
list = "/usr/share/certs/*.crt"
strip = "/usr/share/"
[[file]]
path = "/bin/note"
text = "merged\n"
mode = "0755"
[[file]]
path = "/etc/ld.so.cache"
generate = "ld-cache"
[[file]]
paths = ["/srv", "/tmp/x"]
directory = true
owner = [0, 8]
[[file]]
path = "/var/run"
link = "/run"
[[alternative]]
name = "awk"
link = "/usr/bin/awk"
target = "/bin/tool"
priority = 5
slaves = [{ name = "nawk", link = "/usr/bin/nawk", target = "/usr/bin/again" }]
"#;

fn wheel() -> Vec<u8> {
    let entry_points =
        "[console_scripts]\npip = pip.main:main\npip3 = pip.main:main\npip3.9 = pip.main:main\n";
    crate::python::wheel::tests::bytes(&[
        ("pip/main.py", "def main(): pass\n"),
        ("zork-1.0.dist-info/entry_points.txt", entry_points),
    ])
}

/// Four packages: two essential ones, the interpreter, a wheel.
fn packages<'a>(wheel: &'a [u8], more: Vec<Member<'static>>) -> Vec<Package<'a>> {
    let directory = |path| (path, Directory, 0o755, "", &b""[..]);
    let package = |name, fields, conffiles, members| Package {
        name,
        version: "1:3.11.2-6",
        fields,
        conffiles,
        members,
    };
    let base = vec![
        directory("./"),
        directory("./etc/"),
        ("./etc/conf", Regular, 0o644, "", b"lamp\n"),
        ("./tmp/", Directory, 0o1777, "", b""),
        directory("./usr/"),
        directory("./usr/share/"),
        ("./usr/share/passwd.master", Regular, 0o644, "", b"root\n"),
        directory("./var/"),
        directory("./var/run/"),
    ];
    let mut tools = vec![
        directory("./bin/"),
        ("./bin/tool", Regular, 0o4755, "", b"tool"),
        ("./bin/again", Link, 0o4755, "./bin/tool", b""),
        ("./usr/", Directory, 0o700, "", b""),
        ("./usr/alias", Symlink, 0o777, "bin/tool", b""),
    ];
    tools.extend(more);
    let certificates = vec![
        directory("./usr/share/certs/"),
        ("./usr/share/certs/b.crt", Regular, 0o644, "", b"B"),
        ("./usr/share/certs/a.crt", Regular, 0o644, "", b"A"),
        ("./usr/share/certs/README", Regular, 0o644, "", b"no"),
        (
            "./usr/share/wheels/zork-1.0-py3-none-any.whl",
            Regular,
            0o644,
            "",
            wheel,
        ),
    ];
    let python = vec![("./usr/bin/python3.11", Regular, 0o755, "", &b"python"[..])];
    vec![
        package("aa-base", "Essential: yes\n", "/etc/conf\n", base),
        package("bb-tools", "Essential: yes\n", "", tools),
        package("pip-whl", "", "", certificates),
        package("python3.11-minimal", "", "", python),
    ]
}

/// A directory with a store and a recipe, and an archive to go with it.
struct Bench {
    directory: tempfile::TempDir,
    archive: Archive,
    http: Http,
}

impl Bench {
    fn new(recipe: &str) -> Self {
        let bench = Self {
            directory: tempfile::tempdir().unwrap(),
            archive: Archive::new(),
            http: Http::new(&Settings::default()).unwrap(),
        };
        bench.archive.publish(&packages(&wheel(), vec![]));
        bench.write_recipe(recipe);
        bench
    }

    fn write_recipe(&self, text: &str) {
        self.archive.write_recipe(&self.path("zork"), text);
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn make(&self, store: &BlobStore, threads: usize, refresh: Refresh) -> Result<Image, Error> {
        let recipe = find(self.path("zork").to_str().unwrap())?;
        let supplies = Supplies {
            store,
            http: &self.http,
            mirrors: &self.archive.mirrors,
            now: UNIX_EPOCH + Duration::from_secs(NOW),
            threads,
        };
        let platform = "linux/amd64".parse().unwrap();
        materialise(&recipe, &platform, &supplies, refresh, &Silent)
    }

    fn store(&self, name: &str) -> BlobStore {
        BlobStore::open(&self.path(name)).unwrap()
    }

    /// Why a recipe with these packages cannot be made.
    fn failure(&self, store: &str) -> String {
        let result = self.make(&self.store(store), 2, Refresh::Always);
        result.unwrap_err().to_string()
    }
}

/// What a layer holds, in order.
fn layer(store: &BlobStore, image: &Image, index: usize) -> Vec<(Entry, String)> {
    let (descriptor, _) = image.layers().nth(index).unwrap();
    let blob = store.open_blob(descriptor).unwrap();
    let mut tar = flate2::read::MultiGzDecoder::new(blob);
    let mut members = Vec::new();
    read::for_each(&mut tar, |entry, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).unwrap();
        members.push((entry, String::from_utf8_lossy(&bytes).into_owned()));
        Ok(())
    })
    .unwrap();
    members
}

/// One line for each member: type, mode, owner, path, target.
fn lines(members: &[(Entry, String)]) -> Vec<String> {
    let line = |(entry, _): &(Entry, String)| {
        let (kind, target) = match &entry.kind {
            Kind::Directory => ("d", String::new()),
            Kind::Symlink { target } => ("l", format!(" -> {}", String::from_utf8_lossy(target))),
            Kind::HardLink { target } => ("h", format!(" = {target}")),
            _ => ("-", String::new()),
        };
        let Entry {
            mode,
            uid,
            gid,
            path,
            ..
        } = entry;
        format!("{kind} {mode:o} {uid}:{gid} {path}{target}")
    };
    members.iter().map(line).collect()
}

#[test]
fn the_number_of_threads_and_the_machine_do_not_matter() {
    let one = Bench::new(&format!("{RECIPE}{FILES}"));
    let other = Bench::new(&format!("{RECIPE}{FILES}"));
    assert_ne!(one.archive.mirrors, other.archive.mirrors);
    let first = one.make(&one.store("store"), 1, Refresh::IfAbsent).unwrap();
    let second = other
        .make(&other.store("elsewhere"), 8, Refresh::Always)
        .unwrap();
    assert_eq!(first, second);
}

#[test]
fn an_image_is_made_again_only_when_there_is_a_reason() {
    let bench = Bench::new(RECIPE);
    let store = bench.store("store");
    let first = bench.make(&store, 2, Refresh::IfAbsent).unwrap();
    let requests = bench.archive.requests();
    assert_eq!(bench.make(&store, 2, Refresh::IfAbsent).unwrap(), first);
    assert_eq!(
        bench.archive.requests(),
        requests,
        "the archive was asked without need"
    );
    assert_eq!(bench.make(&store, 2, Refresh::Always).unwrap(), first);
    assert_eq!(
        bench.archive.requests(),
        requests + 1,
        "only `InRelease` is new each time"
    );

    let wheel = wheel();
    let mut all = packages(&wheel, vec![]);
    all[0].version = "1:3.11.2-7";
    bench.archive.publish(&all);
    assert_eq!(bench.make(&store, 2, Refresh::IfAbsent).unwrap(), first);
    let second = bench.make(&store, 2, Refresh::Always).unwrap();
    assert_ne!(second.digest(), first.digest());
    assert_eq!(bench.make(&store, 2, Refresh::IfAbsent).unwrap(), second);

    bench.write_recipe(&format!("{RECIPE}\n# changed\n"));
    let third = bench.make(&store, 2, Refresh::IfAbsent).unwrap();
    assert_ne!(
        third.digest(),
        second.digest(),
        "the recipe's digest is in the manifest"
    );
    let layers = |image: &Image| image.manifest.parsed.layers.clone();
    assert_eq!(layers(&third), layers(&second));

    let lost = third.manifest.parsed.layers[0].clone();
    std::fs::remove_file(store.blob_path(&lost.digest)).unwrap();
    assert_eq!(bench.make(&store, 2, Refresh::IfAbsent).unwrap(), third);
    assert!(store.has(&lost));
}

#[test]
fn a_package_s_own_link_of_a_merged_directory_is_the_same_link() {
    let bench = Bench::new(RECIPE);
    let link = ("./lib64", Symlink, 0o777, "usr/lib64", &b""[..]);
    let file = ("./lib64/ld.so", Regular, 0o755, "", &b"ld"[..]);
    bench
        .archive
        .publish(&packages(&wheel(), vec![link, file, link]));
    let store = bench.store("store");
    let image = bench.make(&store, 2, Refresh::IfAbsent).unwrap();
    let members = layer(&store, &image, 0);
    let expected = [
        "l 777 0:0 /lib64 -> usr/lib64",
        "d 755 0:0 /usr/lib64",
        "- 755 0:8 /usr/lib64/ld.so",
    ];
    assert_eq!(lines(&members)[13..], expected);
    assert_eq!(members[13].0.mtime, NOW as i64);
}

#[test]
fn scripts_of_a_recipe_s_own_take_the_place_of_the_stock_ones() {
    let bench = Bench::new(&format!("{RECIPE}[scripts]\ndirectory = \".s2i/bin\"\n"));
    let directory = bench.path("zork/.s2i/bin");
    let find = || find(bench.path("zork").to_str().unwrap());
    assert!(find().unwrap_err().to_string().contains(".s2i/bin"));
    std::fs::create_dir_all(&directory).unwrap();
    let text = find().unwrap_err().to_string();
    assert!(
        text.ends_with("`.s2i/bin` in `[scripts]` has no file"),
        "{text}"
    );

    std::fs::write(directory.join("assemble"), "own\n").unwrap();
    std::fs::write(directory.join("helper"), "more\n").unwrap();
    std::fs::write(directory.join(".hidden"), "no\n").unwrap();
    let store = bench.store("store");
    let image = bench.make(&store, 2, Refresh::IfAbsent).unwrap();
    let top = image.layers().count() - 1;
    let members = layer(&store, &image, top);
    let content = |name: &str| {
        let path = format!("/usr/libexec/s2i/{name}");
        let found = members
            .iter()
            .find(|(entry, _)| entry.path.to_string() == path);
        found.map(|(entry, text)| (entry.mode, text.clone()))
    };
    assert_eq!(content("assemble"), Some((0o755, "own\n".to_owned())));
    assert_eq!(content("helper"), Some((0o755, "more\n".to_owned())));
    assert_eq!(content(".hidden"), None);
    let stock = content("run").unwrap().1;
    assert!(stock.contains("# run: starts the application"), "{stock}");
    // Nobody but the scripts themselves knows what they do.
    let labels = image.config.parsed.labels().clone();
    assert!(!labels.contains_key(crate::builder_image::labels::STOCK_SCRIPTS));
    assert!(labels.contains_key(crate::builder_image::labels::SCRIPTS_URL));

    // An edit of a script is another image.
    assert_eq!(bench.make(&store, 2, Refresh::IfAbsent).unwrap(), image);
    std::fs::write(directory.join("helper"), "else\n").unwrap();
    let second = bench.make(&store, 2, Refresh::IfAbsent).unwrap();
    assert_ne!(second.digest(), image.digest());

    std::os::unix::fs::symlink("assemble", directory.join("link")).unwrap();
    let text = find().unwrap_err().to_string();
    assert!(
        text.ends_with("`.s2i/bin/link` is no file, as scripts are"),
        "{text}"
    );
}

#[test]
fn shipped_recipes_are_found_by_name_and_others_by_directory() {
    let names: Vec<String> = list()
        .iter()
        .map(|recipe| recipe.name().to_owned())
        .collect();
    assert_eq!(names, ["python-3.11", "python-3.13"]);
    assert!(
        list()
            .iter()
            .all(|recipe| recipe.description().starts_with("Python 3.1"))
    );
    let unknown = find("python-2.7").unwrap_err();
    assert!(unknown.is_unknown());
    let text = "there is no recipe `python-2.7`; there are `python-3.11` and `python-3.13`";
    assert_eq!(unknown.to_string(), text);
    assert!(find("./python-2.7").unwrap_err().is_unknown());

    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("builders/python-3.13");
    let by_path = find(source.to_str().unwrap()).unwrap();
    assert_eq!(
        (by_path.name(), &by_path.digest),
        ("python-3.13", &find("python-3.13").unwrap().digest)
    );
    let dotted = find(&format!("{}/.", source.display())).unwrap();
    assert_eq!(dotted.name(), "python-3.13");

    let bench = Bench::new(&RECIPE.replace("zork.asc", "gone.asc"));
    let text = find(bench.path("zork").to_str().unwrap())
        .unwrap_err()
        .to_string();
    assert!(text.contains("believes the key `gone.asc`"), "{text}");
    bench.archive.write_recipe(&bench.path("Zork"), RECIPE);
    let text = find(bench.path("Zork").to_str().unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("`Zork` cannot be the name of a recipe"),
        "{text}"
    );
}

#[test]
fn platforms_are_debian_s_architectures() {
    let recipe = find("python-3.13").unwrap();
    let rows = [
        ("linux/amd64", Some(("linux/amd64", "amd64"))),
        ("linux/arm64/v8", Some(("linux/arm64", "arm64"))),
        ("linux/arm", Some(("linux/arm/v7", "armhf"))),
        ("linux/386", Some(("linux/386", "i386"))),
        ("linux/arm/v6", None),
        ("linux/wasm", None),
        ("windows/amd64", None),
    ];
    for (text, expected) in rows {
        let found = selection::debian_platform(&recipe, &text.parse().unwrap()).ok();
        let found = found.map(|(platform, name)| (platform.to_string(), name));
        assert_eq!(
            found
                .as_ref()
                .map(|(platform, name)| (platform.as_str(), *name)),
            expected
        );
    }
}
