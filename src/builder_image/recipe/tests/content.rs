//! What is in the layers.

use super::*;

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
