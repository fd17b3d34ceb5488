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
fn packages_become_layers_with_a_merged_usr_and_every_directory_once() {
    let bench = Bench::new(&format!("{RECIPE}{FILES}"));
    let store = bench.store("store");
    let image = bench.make(&store, 2, Refresh::IfAbsent).unwrap();
    let base = [
        "d 755 0:8 /etc",
        "- 644 0:8 /etc/conf",
        "d 1777 0:8 /tmp",
        "d 755 0:8 /usr",
        "d 755 0:8 /usr/share",
        "- 644 0:8 /usr/share/passwd.master",
        "d 755 0:8 /var",
        "d 755 0:8 /var/run",
        "l 777 0:0 /bin -> usr/bin",
        "d 755 0:8 /usr/bin",
        "- 4755 0:8 /usr/bin/tool",
        "h 4755 0:8 /usr/bin/again = /usr/bin/tool",
        "l 777 0:8 /usr/alias -> bin/tool",
    ];
    let members = layer(&store, &image, 0);
    assert_eq!(lines(&members), base);
    assert_eq!(members[1].0.mtime, NOW as i64);
    assert_eq!(members[8].0.mtime, EPOCH, "a link that nobody packaged");
    let python = [
        "d 755 0:8 /usr",
        "d 755 0:8 /usr/share",
        "d 755 0:8 /usr/share/certs",
        "- 644 0:8 /usr/share/certs/b.crt",
        "- 644 0:8 /usr/share/certs/a.crt",
        "- 644 0:8 /usr/share/certs/README",
        "d 755 0:0 /usr/share/wheels",
        "- 644 0:8 /usr/share/wheels/zork-1.0-py3-none-any.whl",
        "d 755 0:8 /usr/bin",
        "- 755 0:8 /usr/bin/python3.11",
    ];
    assert_eq!(lines(&layer(&store, &image, 1)), python);
}

#[test]
fn the_layer_on_top_has_every_kind_of_generated_file() {
    let bench = Bench::new(&format!("{RECIPE}{FILES}"));
    let store = bench.store("store");
    let image = bench.make(&store, 2, Refresh::IfAbsent).unwrap();
    let members = layer(&store, &image, 2);
    let is_ours = |line: &&String| !line.contains("/opt/app-root/") && !line.contains("/dpkg/");
    let expected = [
        "d 755 0:8 /etc",
        "- 600 0:0 /etc/again",
        "d 755 0:0 /etc/alternatives",
        "l 777 0:0 /etc/alternatives/awk -> /bin/tool",
        "l 777 0:0 /etc/alternatives/nawk -> /usr/bin/again",
        "- 644 0:0 /etc/bundle",
        "- 644 0:0 /etc/certs.conf",
        "- 644 0:0 /etc/ld.so.cache",
        "- 644 0:0 /etc/passwd",
        "d 755 0:0 /opt",
        "d 775 1001:0 /opt/app-root",
        "d 755 0:8 /srv",
        "d 1777 0:8 /tmp",
        "d 755 0:8 /tmp/x",
        "d 755 0:8 /usr",
        "d 755 0:8 /usr/bin",
        "l 777 0:0 /usr/bin/awk -> /etc/alternatives/awk",
        "l 777 0:0 /usr/bin/nawk -> /etc/alternatives/nawk",
        "- 755 0:0 /usr/bin/note",
        "d 755 0:0 /usr/libexec",
        "d 755 0:0 /usr/libexec/s2i",
        "- 755 0:0 /usr/libexec/s2i/assemble",
        "- 755 0:0 /usr/libexec/s2i/run",
        "- 755 0:0 /usr/libexec/s2i/save-artifacts",
        "- 755 0:0 /usr/libexec/s2i/usage",
        "d 755 0:8 /var",
        "d 755 0:0 /var/lib",
        "d 755 0:0 /var/lib/dpkg",
        "l 777 0:0 /var/run -> /run",
    ];
    assert_eq!(
        lines(&members).iter().filter(is_ours).collect::<Vec<_>>(),
        expected
    );
    let content: BTreeMap<String, &str> = members
        .iter()
        .map(|(entry, text)| (entry.path.to_string(), text.as_str()))
        .collect();
    assert_eq!(content["/etc/passwd"], "root\ndefault\n");
    assert_eq!(content["/etc/again"], "root\ndefault\n");
    assert_eq!(content["/etc/bundle"], "AB");
    assert_eq!(content["/etc/certs.conf"], "certs/a.crt\ncerts/b.crt\n");
    let record = "auto\n/usr/bin/awk\nnawk\n/usr/bin/nawk\n\n/bin/tool\n5\n/usr/bin/again\n\n";
    assert_eq!(content["/var/lib/dpkg/alternatives/awk"], record);
    let conffile = format!("Conffiles:\n /etc/conf {}\n", md5_of("lamp\n"));
    assert!(content["/var/lib/dpkg/status"].contains(&conffile));
    let list = "/bin\n/bin/tool\n/bin/again\n/usr\n/usr/alias\n";
    assert_eq!(content["/var/lib/dpkg/info/bb-tools.list"], list);
    assert!(lines(&members).contains(&"- 755 0:0 /var/lib/dpkg/info/bb-tools.postinst".to_owned()));
}

#[test]
fn apt_s_source_file_names_the_suites_at_debian_s_own_address_and_never_the_mirror() {
    let keyring = "./usr/share/keyrings/debian-archive-keyring.gpg";
    let bench = Bench::new(&format!(
        "{RECIPE}[[file]]\npath = \"/etc/apt/sources.list.d/debian.sources\"\ngenerate = \"apt-sources\"\n"
    ));
    assert_eq!(
        bench.failure("without keys"),
        "no package has `/usr/share/keyrings/debian-archive-keyring.gpg`, which is needed by \
         `/etc/apt/sources.list.d/debian.sources`"
    );
    let keys = vec![(keyring, Regular, 0o644, "", &b"keys"[..])];
    bench.archive.publish(&packages(&wheel(), keys));
    let store = bench.store("store");
    let image = bench.make(&store, 2, Refresh::Always).unwrap();
    let expected = "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: zork\nComponents: main\n\
        Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
    let members = layer(&store, &image, 2);
    let file = members
        .iter()
        .find(|(entry, _)| entry.path.as_bytes().ends_with(b"debian.sources"));
    assert_eq!(file.unwrap().1, expected);

    let shipped = find("python-3.13").unwrap();
    assert_eq!(
        generated::apt_sources(&shipped.definition.debian),
        "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie trixie-updates\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
         Types: deb\nURIs: http://deb.debian.org/debian-security\nSuites: trixie-security\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    );
}

#[test]
fn the_virtual_environment_is_what_venv_and_pip_would_have_made() {
    let bench = Bench::new(RECIPE);
    let store = bench.store("store");
    let image = bench.make(&store, 2, Refresh::IfAbsent).unwrap();
    let members = layer(&store, &image, 2);
    let lines = lines(&members);
    let ours = lines
        .iter()
        .filter_map(|line| line.split_once(" /opt/app-root/"));
    let expected = [
        "d 775 bin",
        "- 664 bin/activate",
        "- 775 bin/pip",
        "- 775 bin/pip3",
        "- 775 bin/pip3.11",
        "l 777 bin/python -> python3.11",
        "l 777 bin/python3 -> python3.11",
        "l 777 bin/python3.11 -> /usr/bin/python3.11",
        "d 775 include",
        "d 775 include/python3.11",
        "d 775 lib",
        "d 775 lib/python3.11",
        "d 775 lib/python3.11/site-packages",
        "d 775 lib/python3.11/site-packages/pip",
        "- 664 lib/python3.11/site-packages/pip/main.py",
        "d 775 lib/python3.11/site-packages/zork-1.0.dist-info",
        "- 664 lib/python3.11/site-packages/zork-1.0.dist-info/INSTALLER",
        "- 664 lib/python3.11/site-packages/zork-1.0.dist-info/METADATA",
        "- 664 lib/python3.11/site-packages/zork-1.0.dist-info/RECORD",
        "- 664 lib/python3.11/site-packages/zork-1.0.dist-info/REQUESTED",
        "- 664 lib/python3.11/site-packages/zork-1.0.dist-info/WHEEL",
        "- 664 lib/python3.11/site-packages/zork-1.0.dist-info/entry_points.txt",
        "l 777 lib64 -> lib",
        "- 664 pyvenv.cfg",
        "d 775 src",
    ];
    let ours: Vec<String> = ours
        .map(|(head, path)| format!("{} {path}", head.strip_suffix(" 1001:0").unwrap_or(head)))
        .collect();
    assert_eq!(ours, expected);
    let text = |path: &str| {
        let is_it = |(entry, _): &&(Entry, String)| {
            entry.path.to_string() == format!("/opt/app-root/{path}")
        };
        members.iter().find(is_it).unwrap().1.clone()
    };
    assert!(text("pyvenv.cfg").contains("home = /usr/bin\n"));
    assert!(text("pyvenv.cfg").contains("version = 3.11.2\n"));
    let script = text("bin/pip3.11");
    assert!(
        script.starts_with("#!/opt/app-root/bin/python3\n"),
        "{script}"
    );
    assert!(script.contains("from pip.main import main\n"), "{script}");
    let record = text("lib/python3.11/site-packages/zork-1.0.dist-info/RECORD");
    let names: Vec<&str> = record
        .lines()
        .filter_map(|line| line.split(',').next())
        .collect();
    let expected = [
        "../../../bin/pip",
        "../../../bin/pip3",
        "../../../bin/pip3.11",
        "pip/main.py",
        "zork-1.0.dist-info/INSTALLER",
        "zork-1.0.dist-info/METADATA",
        "zork-1.0.dist-info/RECORD",
        "zork-1.0.dist-info/REQUESTED",
        "zork-1.0.dist-info/WHEEL",
        "zork-1.0.dist-info/entry_points.txt",
    ];
    assert_eq!(names, expected);
    let digest = Row::of(String::new(), script.as_bytes()).hash_text;
    assert!(record.contains(&format!("../../../bin/pip3.11,{digest},{}\n", script.len())));
    assert!(text("bin/activate").contains("VIRTUAL_ENV=/opt/app-root\n"));
}

#[test]
fn the_configuration_is_the_recipe_s_over_the_convention() {
    let more = "[image]\ncmd = [\"python3\"]\nports = [\"80/tcp\"]\n[image.env]\nLANG = \"de\"\n[image.labels]\na = \"b\"\n";
    let bench = Bench::new(&format!("{RECIPE}{more}"));
    let store = bench.store("store");
    let image = bench.make(&store, 2, Refresh::IfAbsent).unwrap();
    let config = &image.config.parsed;
    let expected = [
        "APP_ROOT=/opt/app-root",
        "HOME=/opt/app-root/src",
        "LANG=de",
        "LC_ALL=C.UTF-8",
        "PATH=/opt/app-root/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PIP_DISABLE_PIP_VERSION_CHECK=1",
        "PYTHONIOENCODING=UTF-8",
        "PYTHONUNBUFFERED=1",
        "PYTHON_VERSION=3.11",
        "STI_SCRIPTS_PATH=/usr/libexec/s2i",
        "VIRTUAL_ENV=/opt/app-root",
    ];
    assert_eq!(config.environment(), expected);
    let scripts = "image:///usr/libexec/s2i".to_owned();
    let labels = config.labels();
    assert_eq!(labels.get("io.openshift.s2i.scripts-url"), Some(&scripts));
    assert_eq!(labels.get("a"), Some(&"b".to_owned()));
    assert_eq!(
        (config.user(), config.working_directory()),
        ("1001", "/opt/app-root/src")
    );
    let value = config.value();
    assert_eq!(value["config"]["Cmd"], serde_json::json!(["python3"]));
    assert_eq!(
        value["config"]["ExposedPorts"],
        serde_json::json!({"80/tcp": {}})
    );
    assert_eq!(value["created"], "1980-01-01T00:00:00Z");
    let histories = value["history"].as_array().unwrap();
    assert_eq!(histories[0]["created_by"], "overcoat: base (2 packages)");
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
fn packages_that_do_not_go_together_are_named() {
    let rows: [(Member<'static>, &str); 5] = [
        (
            ("./etc/conf", Regular, 0o644, "", b"x"),
            "the packages `aa-base` and `bb-tools` both have `/etc/conf`",
        ),
        (
            ("./usr/bin/tool", Regular, 0o644, "", b"x"),
            "the packages `bb-tools` and `bb-tools` both have `/usr/bin/tool`",
        ),
        (
            ("./usr/alias/x", Regular, 0o644, "", b"x"),
            "`/usr/alias/x` cannot be made: `/usr/alias`, which is from `bb-tools`, is no directory",
        ),
        (
            ("./lost", Link, 0o644, "./gone", b""),
            "no package has `/gone`, which is needed by `/lost`",
        ),
        (
            ("./bin", Symlink, 0o777, "elsewhere", b""),
            "both have `/usr/bin`",
        ),
    ];
    let bench = Bench::new(RECIPE);
    for (member, expected) in rows {
        bench.archive.publish(&packages(&wheel(), vec![member]));
        let text = bench.failure("store");
        assert!(text.contains(expected), "{text}");
    }
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
fn a_damaged_package_is_named_and_nothing_is_kept() {
    let bench = Bench::new(RECIPE);
    let wheel = wheel();
    let packages = packages(&wheel, vec![]);
    let mut files: Vec<(&Package<'_>, Vec<u8>)> = packages
        .iter()
        .map(|package| (package, deb(package)))
        .collect();
    let large = &mut files[2].1;
    let at = large
        .windows(5)
        .rposition(|bytes| bytes == b"ustar")
        .unwrap();
    large[at + 20] ^= 1;
    bench.archive.publish_files(&files);
    let store = bench.store("store");
    let error = bench.make(&store, 2, Refresh::Always).unwrap_err();
    assert!(
        matches!(error, Error::Debian(debian::Error::Deb { .. })),
        "{error}"
    );
    assert_eq!(store.names().unwrap(), []);
}

#[test]
fn a_recipe_that_asks_for_what_is_not_there_is_told_so() {
    let file = |line: &str| format!("[[file]]\npath = \"/etc/x\"\n{line}\n");
    let rows = [
        (file("copy = \"/etc/gone\""), "no package has `/etc/gone`, which is needed by `/etc/x`"),
        (file("concat = \"/etc/*.crt\""), "no package has `/etc/*.crt`"),
        (file("list = \"/etc/*.crt\""), "no package has `/etc/*.crt`"),
        (
            "[[file]]\npath = \"/etc\"\ntext = \"\"\n".to_owned(),
            "the recipe cannot make `/etc`: a directory is there",
        ),
        (
            "[[file]]\npath = \"/etc\"\nlink = \"x\"\n".to_owned(),
            "a directory that is not empty is there",
        ),
        (
            "[[file]]\npath = \"/etc/conf\"\ndirectory = true\n".to_owned(),
            "the recipe cannot make `/etc/conf`: a file is there",
        ),
        (
            "[[alternative]]\nname = \"x\"\nlink = \"/usr/bin/x\"\ntarget = \"/usr/bin/y\"\npriority = 1\n".to_owned(),
            "no package has `/usr/bin/y`, which is needed by `the alternative x`",
        ),
    ];
    let bench = Bench::new(RECIPE);
    for (more, expected) in rows {
        bench.write_recipe(&format!("{RECIPE}{more}"));
        let text = bench.failure("store");
        assert!(text.contains(expected), "{text}");
    }
    let wheels = [
        (
            "zork-*.whl",
            "zip-*.whl",
            "no package has `/usr/share/wheels/zip-*.whl`",
        ),
        (
            "wheels/zork-*.whl",
            "certs/a.crt",
            "the wheel `/usr/share/certs/a.crt` cannot be used",
        ),
        (
            "python3.11\"\nwheels",
            "python3.12\"\nwheels",
            "no package has `/usr/bin/python3.12`",
        ),
    ];
    for (from, to, expected) in wheels {
        bench.write_recipe(&RECIPE.replace(from, to));
        let text = bench.failure("store");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn an_untrusted_archive_is_refused() {
    let bench = Bench::new(RECIPE);
    let shipped = RECIPE.replace("zork.asc", "debian-archive-trixie-stable.asc");
    bench.write_recipe(&shipped);
    let error = bench
        .make(&bench.store("store"), 2, Refresh::IfAbsent)
        .unwrap_err();
    assert!(
        matches!(error, Error::Debian(debian::Error::Untrusted { .. })),
        "{error}"
    );
    assert!(!error.hints().is_empty());
}

#[test]
fn someone_who_asks_to_stop_is_heard_and_nothing_is_kept() {
    struct Impatient(std::sync::atomic::AtomicBool);
    impl Observer for Impatient {
        fn observe(&self, event: crate::event::Event) {
            let crate::event::Event::StageStarted { name, .. } = event else {
                return;
            };
            self.0.fetch_or(
                name == "write builder layers",
                std::sync::atomic::Ordering::SeqCst,
            );
        }
        fn is_cancelled(&self) -> bool {
            self.0.load(std::sync::atomic::Ordering::SeqCst)
        }
    }
    let bench = Bench::new(RECIPE);
    let store = bench.store("store");
    let recipe = find(bench.path("zork").to_str().unwrap()).unwrap();
    let supplies = Supplies {
        store: &store,
        http: &bench.http,
        mirrors: &bench.archive.mirrors,
        now: UNIX_EPOCH + Duration::from_secs(NOW),
        threads: 2,
    };
    let platform = "linux/amd64".parse().unwrap();
    let observer = Impatient(false.into());
    let result = materialise(&recipe, &platform, &supplies, Refresh::IfAbsent, &observer);
    assert!(result.unwrap_err().is_interrupted());
    assert_eq!(store.names().unwrap(), []);
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
