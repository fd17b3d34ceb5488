use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn hosts(&self, own: &str, containers: &str) -> Hosts {
        Hosts::new(Sources {
            given: Some(self.write("own.toml", own)),
            registries_conf: vec![self.write("registries.conf", containers)],
            ..Sources::default()
        })
    }
}

fn places(hosts: &Hosts, reference: &str) -> Vec<String> {
    let found = hosts.for_reading(&reference.parse().unwrap()).unwrap();
    let shown = |place: &Place| format!("{}/{}", place.host, place.repository);
    found.iter().map(shown).collect()
}

fn refusal(hosts: &Hosts, reference: &str) -> String {
    match hosts.for_reading(&reference.parse().unwrap()).unwrap_err() {
        Refusal::Settings(error) => error.to_string(),
        Refusal::Blocked(path) => format!("blocked by {}", path.display()),
    }
}

#[test]
fn a_prefix_covers_whole_parts_of_a_name() {
    let table = [
        ("quay.io/org/app", "quay.io", Some(7)),
        ("quay.io/org/app", "quay.io/org", Some(11)),
        ("quay.io/org/app", "quay.io/org/app", Some(15)),
        ("quay.io/org/app", "quay.io/or", None),
        ("quay.io:443/org", "quay.io", None),
        ("quay.iox/org", "quay.io", None),
        ("a.example.com/x", "*.example.com", Some(13)),
        ("a.b.example.com:5000/x", "*.example.com", Some(15)),
        ("example.com/x", "*.example.com", None),
        ("notexample.com/x", "*.example.com", None),
        ("x.io/a.example.com/x", "*.example.com", None),
    ];
    for (name, prefix, expected) in table {
        assert_eq!(matched(name, prefix), expected, "{name} {prefix}");
    }
}

#[test]
fn mirrors_are_asked_before_the_registry_and_only_for_reading() {
    let files = Files::new();
    let hosts = files.hosts(
        "[registry.'docker.io']\nmirrors = ['mirror.example:5000', 'cache.example/hub/']\n",
        "",
    );
    assert_eq!(
        places(&hosts, "python:3.12"),
        [
            "mirror.example:5000/library/python",
            "cache.example/hub/library/python",
            "docker.io/library/python"
        ]
    );
    let found = hosts.for_reading(&"python".parse().unwrap()).unwrap();
    let kinds: Vec<_> = found.iter().map(|place| place.is_mirror).collect();
    assert_eq!(kinds, [true, true, false]);
    let writing = hosts.for_writing("docker.io", "library/python").unwrap();
    assert_eq!(
        (writing.host.as_str(), writing.is_mirror),
        ("docker.io", false)
    );
    assert_eq!(places(&hosts, "quay.io/a"), ["quay.io/a"]);
}

#[test]
fn registries_conf_is_read_as_podman_reads_it() {
    let files = Files::new();
    let hosts = files.hosts(
        "",
        r#"
unqualified-search-registries = ["quay.io"]
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "by-digest.example"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "by-tag.example"
pull-from-mirror = "tag-only"
insecure = true
[[registry]]
prefix = "docker.io/special"
location = "internal:5000/special-images"
insecure = true
mirror-by-digest-only = true
[[registry.mirror]]
location = "other.example/x"
[[registry]]
prefix = "*.blocked.example"
blocked = true
[[registry]]
prefix = "*.wild.example"
[[registry.mirror]]
location = "wild-mirror.example"
[aliases]
x = "y.example/x"
"#,
    );
    assert_eq!(
        places(&hosts, "app:1"),
        ["by-tag.example/library/app", "docker.io/library/app"]
    );
    assert_eq!(
        places(&hosts, &format!("app@{DIGEST}")),
        ["by-digest.example/library/app", "docker.io/library/app"]
    );
    assert_eq!(
        places(&hosts, "special/a"),
        ["internal:5000/special-images/a"]
    );
    assert_eq!(
        places(&hosts, &format!("special/a:1@{DIGEST}")),
        ["other.example/x/a", "internal:5000/special-images/a"]
    );
    assert_eq!(
        places(&hosts, "a.wild.example/b/c"),
        ["wild-mirror.example/b/c", "a.wild.example/b/c"]
    );
    let found = hosts.for_reading(&"app:1".parse().unwrap()).unwrap();
    let how: Vec<_> = found
        .iter()
        .map(|place| (place.preference, place.tls.is_unverified))
        .collect();
    assert_eq!(
        how,
        [(Preference::TlsThenPlain, true), (Preference::Tls, false)]
    );
    let moved = hosts.for_reading(&"special/a".parse().unwrap()).unwrap();
    assert_eq!(moved[0].preference, Preference::TlsThenPlain);
    assert!(refusal(&hosts, "a.blocked.example/x").contains("registries.conf"));
    assert!(matches!(
        hosts.for_writing("a.blocked.example", "x"),
        Err(Refusal::Blocked(_))
    ));
}

#[test]
fn the_old_format_says_what_is_insecure_and_what_is_blocked() {
    let files = Files::new();
    let hosts = files.hosts(
        "",
        "[registries.search]\nregistries = ['a']\n[registries.insecure]\nregistries = ['lan:5000']\n[registries.block]\nregistries = ['bad.example']\n",
    );
    let lan = hosts.for_reading(&"lan:5000/a".parse().unwrap()).unwrap();
    assert_eq!(lan[0].preference, Preference::TlsThenPlain);
    assert!(refusal(&hosts, "bad.example/a").starts_with("blocked"));
}

#[test]
fn a_later_file_replaces_an_entry_and_ours_goes_before_both() {
    let files = Files::new();
    let main = "[[registry]]\nlocation = 'r.example'\n[[registry.mirror]]\nlocation = 'one.example'\n[[registry]]\nlocation = 's.example'\n[[registry.mirror]]\nlocation = 'two.example'\n";
    let drop_in =
        "[[registry]]\nlocation = 'r.example'\n[[registry.mirror]]\nlocation = 'three.example'\n";
    let own = "[registry.'s.example']\nplain-http = true\n[registry.'t.example']\nlocation='u.example/deep'\n[unrelated]\nx = 1\n";
    let sources = Sources {
        project: Some(files.write("overcoat.toml", own)),
        registries_conf: vec![
            files.write("registries.conf", main),
            files.0.path().join("absent.conf"),
            files.write("d/50.conf", drop_in),
        ],
        ..Sources::default()
    };
    let hosts = Hosts::new(sources.clone());
    assert_eq!(
        places(&hosts, "r.example/a"),
        ["three.example/a", "r.example/a"]
    );
    // A setting that ours does not have is taken from the other.
    assert_eq!(
        places(&hosts, "s.example/a"),
        ["two.example/a", "s.example/a"]
    );
    let plain = hosts.for_writing("s.example", "a").unwrap();
    assert_eq!(plain.preference, Preference::Plain);
    assert_eq!(places(&hosts, "t.example/a"), ["u.example/deep/a"]);
    let given = Hosts::new(Sources {
        given: Some(files.write("given.toml", "")),
        ..sources
    });
    assert_eq!(places(&given, "t.example/a"), ["t.example/a"]);
}

#[test]
fn certificates_come_from_our_file_and_from_the_directories_that_docker_and_podman_have() {
    let files = Files::new();
    files.write("one/r.example:5000/b.crt", "CA-B");
    files.write("one/r.example:5000/a.crt", "CA-A");
    files.write("one/r.example:5000/client.cert", "CERT");
    files.write("one/r.example:5000/client.key", "KEY");
    files.write("two/r.example:5000/c.crt", "never read");
    files.write("two/s.example/c.crt", "CA-S");
    files.write("certs/mine.pem", "MINE");
    let bases = ["one", "two"].map(|name| files.0.path().join(name));
    let own = "[registry.'r.example:5000']\nca = 'certs/mine.pem'\n";
    let hosts = |own: &str| {
        Hosts::new(Sources {
            given: Some(files.write("own.toml", own)),
            certs_d: bases.to_vec(),
            ..Sources::default()
        })
    };
    let identity = Identity {
        certificates: b"CERT".to_vec(),
        key: b"KEY".to_vec(),
    };
    let tls = hosts("").for_writing("r.example:5000", "a").unwrap().tls;
    assert_eq!(tls.authorities, b"CA-A\nCA-B\n");
    assert_eq!(tls.identity, Some(identity.clone()));
    let tls = hosts(own).for_writing("r.example:5000", "a").unwrap().tls;
    assert_eq!(
        (tls.authorities.as_slice(), tls.identity),
        (&b"MINE"[..], Some(identity))
    );
    // The port is part of the name.
    let tls = hosts("").for_writing("r.example", "a").unwrap().tls;
    assert_eq!(tls, Tls::default());

    // Who a registry sends us to sees neither its client certificate nor its exemption.
    let registry = hosts("[registry.'r.example:5000']\ninsecure = true\n");
    let place = registry.for_writing("r.example:5000", "a").unwrap();
    assert!(place.tls.is_unverified);
    let elsewhere = registry.tls_elsewhere("auth.example", &place.tls).unwrap();
    assert_eq!(elsewhere.authorities, place.tls.authorities);
    assert_eq!((elsewhere.identity, elsewhere.is_unverified), (None, false));
    let own = registry.tls_elsewhere("s.example", &place.tls).unwrap();
    assert_eq!(own.authorities, b"CA-S\n");
    for host in ["..", ".", "", "a/../one/r.example:5000"] {
        assert_eq!(
            registry.tls_elsewhere(host, &Tls::default()).unwrap(),
            Tls::default()
        );
    }
}

#[test]
fn what_cannot_be_used_is_told_with_its_file_and_place() {
    let own = [
        ("[registry.'r.example']\nmirors = []\n", "line 2"),
        ("[registry.'https://r.example']\n", "leave out `https://`"),
        (
            "[registry.'r.example']\nmirrors = ['a_b.example']\n",
            "not a registry host",
        ),
        ("[registry.'r.example']\ncert = 'x'\n", "needs its `key`"),
        ("[registry.'r.example']\nkey = 'x'\n", "needs its `cert`"),
        (
            "[registry.'r.example']\nca = '/nonexistent'\n",
            "no such file",
        ),
        (
            "[registry.'r.example']\nlocation = 'x.example/UPPER'\n",
            "lower case",
        ),
        ("not toml", "line 1"),
    ];
    let files = Files::new();
    for (text, part) in own {
        let told = refusal(&files.hosts(text, ""), "r.example/a");
        assert!(told.contains(part), "{told}");
    }
    let containers = [
        ("[[registry]]\n", "not a registry host"),
        (
            "[[registry]]\nlocation = 'r.example'\n[[registry.mirror]]\nlocation = 'm.example'\npull-from-mirror = 'never'\n",
            "`never`",
        ),
        (
            "[[registry]]\nlocation = 'r.example'\n[registries.block]\n",
            "mixes",
        ),
        ("[[registry]]\nlocation = 7\n", "line 2"),
    ];
    for (text, part) in containers {
        let told = refusal(&files.hosts("", text), "r.example/a");
        assert!(
            told.contains(part) && told.contains("registries.conf"),
            "{told}"
        );
    }
    let absent = Hosts::new(Sources {
        given: Some("/nonexistent/x.toml".into()),
        ..Sources::default()
    });
    assert!(refusal(&absent, "a").contains("no such file"));
    for (name, part) in [
        ("x.cert", "key beside it"),
        ("x.key", "certificate beside it"),
    ] {
        let files = Files::new();
        files.write(&format!("d/r.example/{name}"), "x");
        let hosts = Hosts::new(Sources {
            certs_d: vec![files.0.path().join("d")],
            ..Sources::default()
        });
        assert!(refusal(&hosts, "r.example/a").contains(part));
    }
}

#[test]
fn loopback_and_listed_hosts_are_spoken_to_plainly() {
    let files = Files::new();
    let hosts = Hosts::new(Sources {
        given: Some(files.write("own.toml", "[registry.'localhost:1']\nplain-http = false\n")),
        plain_http: vec!["registry.lan:5000".to_owned()],
        ..Sources::default()
    });
    let table = [
        ("docker.io", Preference::Tls),
        ("localhost:5000", Preference::Plain),
        ("localhost:1", Preference::Tls),
        ("[::1]:5000", Preference::Plain),
        ("127.0.0.1.example", Preference::Tls),
        ("registry.lan:5000", Preference::Plain),
        ("registry.lan", Preference::Tls),
    ];
    for (host, expected) in table {
        let place = hosts.for_writing(host, "a").unwrap();
        assert_eq!(place.preference, expected, "{host}");
    }
}
