//! Debian within a step: mirrors, apt, dpkg.

use super::*;

/// Runs overcoat where `/etc/apt` holds nothing but `sources.list` with this text.
fn with_host_sources(overcoat: &Overcoat, text: &str, arguments: &[&str]) -> Done {
    let sources = overcoat.path().join("host-sources.list");
    fs::write(&sources, text).unwrap();
    fs::set_permissions(&sources, fs::Permissions::from_mode(0o644)).unwrap();
    let command = overcoat.command(arguments);
    let mount = "mount -t tmpfs -o mode=755 none /etc/apt && cp \"$1\" /etc/apt/sources.list && shift && exec \"$@\"";
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "sh", "-c", mount, "sh"]);
    shell
        .arg(&sources)
        .arg(command.get_program())
        .args(command.get_args());
    shell.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    shell.output().unwrap().into()
}

#[test]
fn a_step_sees_the_hosts_debian_mirror_and_the_image_never_does() {
    const SOURCES: &str = "Types: deb\nURIs: http://deb.debian.org/debian/\nSuites: bookworm\nComponents: main\n\n\
        Types: deb\nURIs: https://packages.example/debian\nSuites: other\nComponents: main\n";
    const HOST: &str = "deb http://user:hunter2@mirror.example/debian trixie main\n";
    let scene = Scene::new();
    let files = vec![
        ("etc/apt/sources.list.d/debian.sources", SOURCES),
        (
            "etc/apt/sources.list.d/edited.list",
            "deb http://deb.debian.org/debian sid main\n",
        ),
        (
            "etc/apt/sources.list.d/removed.list",
            "deb http://deb.debian.org/debian sid main\n",
        ),
        (
            "etc/apt/sources.list.d/third.list",
            "deb https://third.example/x ./\n",
        ),
    ];
    let builder = scene.builder(
        "#!/bin/sh\nset -e\ncd /etc/apt/sources.list.d\ncat debian.sources edited.list third.list\n\
         sed -i 's/main/main contrib/' edited.list\nrm removed.list\necho '# mine' > added.list\n",
        files,
    );
    let source = scene.source();
    let mut digests = Vec::new();
    for host in [HOST, "", "deb http://deb.debian.org/debian bookworm main\n"] {
        for isolation in &ISOLATIONS {
            let overcoat = (isolation.overcoat)();
            let arguments = ["build", &source, "-t", "app", "--build-image", &builder];
            let all = [&arguments, isolation.arguments].concat();
            let done = with_host_sources(&overcoat, host, &all).ok();
            let mirror = "user:hunter2@mirror.example/debian";
            assert_eq!(
                [
                    format!("URIs: http://{mirror}\n"),
                    format!("deb http://{mirror} sid main\n"),
                    "URIs: http://deb.debian.org/debian/\n".to_owned(),
                ]
                .map(|line| done.stderr.contains(&line)),
                [host == HOST, host == HOST, host != HOST],
                "{}",
                done.stderr
            );
            for kept in [
                "URIs: https://packages.example/debian\n",
                "deb https://third.example/x ./\n",
            ] {
                assert!(done.stderr.contains(kept), "{}", done.stderr);
            }
            let shown = overcoat
                .run(&[
                    "run",
                    "app",
                    "--",
                    "sh",
                    "-c",
                    "cd /etc/apt/sources.list.d; ls; cat edited.list debian.sources",
                ])
                .ok();
            let expected = format!(
                "added.list\ndebian.sources\nedited.list\nthird.list\ndeb http://deb.debian.org/debian sid main contrib\n{SOURCES}"
            );
            assert_eq!(shown.stdout, expected);
            let listing = overcoat.list_layer(&overcoat.layers("app")[2]);
            assert!(!listing.contains("debian.sources"), "{listing}");
            digests.push(done.digest("app"));
        }
    }
    assert!(
        digests.iter().all(|digest| *digest == digests[0]),
        "{digests:?}"
    );
}

#[test]
fn network_apt_a_compiler_and_git_work_in_a_hook_and_two_builds_agree() {
    let arguments = |source: &str| -> Vec<String> {
        [source, "--assemble-user", "root"]
            .map(str::to_owned)
            .to_vec()
    };
    let scene = Scene::new();
    let source = copy_of_app("native", scene.directory.path());
    let arguments = arguments(source.to_str().unwrap());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let overcoat = same_everywhere(with_builder, &arguments);
    let config = overcoat.inspect("app")["config"].clone();
    assert_eq!(config["User"], "1001", "the image's own user is not root");

    let builder_layers = overcoat.layers("builder/python-3.11").len();
    let dependencies = overcoat.list_layer(&overcoat.layers("app")[builder_layers]);
    let line = |name: &str| -> String {
        let end = format!(" {name}");
        let line = dependencies.lines().find(|line| line.ends_with(&end));
        let words: Vec<&str> = line
            .unwrap_or_default()
            .split_whitespace()
            .take(2)
            .collect();
        words.join(" ")
    };
    for (name, expected) in [
        ("usr/bin/jq", "-rwxr-xr-x 0/0"),
        ("opt/data/spool/", "drwxr-s--- 2000/2000"),
        ("opt/data/spool/job", "-rw-r--r-- 1001/2000"),
        ("home/worker/", "drwxr-xr-x 2000/2000"),
        // apt hands it to the user that downloads.
        ("var/lib/apt/lists/partial/", "drwx------ 42/0"),
        ("var/log/dpkg.log", ""),
    ] {
        assert_eq!(line(name), expected, "{name}");
    }
    assert!(
        !dependencies.contains("_InRelease"),
        "package lists are in the layer"
    );

    let shell = |script: &str| {
        let done = overcoat
            .run(&["run", "app", "--", "bash", "-c", script])
            .ok();
        done.stdout
    };
    assert_eq!(
        shell(
            "dpkg-query --show --showformat '${Status}\\n' jq; dpkg --audit; echo '[6,7]' | jq '.[0]*.[1]'"
        ),
        "install ok installed\n42\n"
    );
    let attributes = "import os; f = '/opt/data/data.txt'; \
        print(os.getxattr(f, 'user.origin').decode(), os.getxattr(f, 'security.capability').hex())";
    let capability = "0000000200040000000000000000000000000000";
    assert_eq!(
        shell(&format!("python -c \"{attributes}\"")),
        format!("git {capability}\n")
    );
    let port = free_port();
    let _running = overcoat.spawn(&["run", "app", "-e", &format!("PORT={port}")]);
    assert_eq!(
        wait_for("an answer", || get(port)),
        "Hello from native: 42, cloned\n"
    );
}

#[test]
fn network_dpkg_and_apt_find_nothing_wrong_with_our_builders() {
    let overcoat = with_builder(Overcoat::new());
    overcoat.run(&["builder", "build", "python-3.13"]).ok();
    let scene = Scene::new();
    let hooks = Path::new(&scene.source()).join(".s2i/bin");
    fs::create_dir_all(&hooks).unwrap();
    let hook = hooks.join("assemble");
    let script = "#!/bin/bash\nset -e\n\
        test -z \"$(dpkg --audit; dpkg --configure -a; apt-get -qq check 2>&1; dpkg -V)\"\n\
        apt-get update 2>&1 | tee /tmp/update\n! grep -E '^(W|E):' /tmp/update\n\
        apt-get install -y --no-install-recommends jq 2>&1 | tee /tmp/install\n\
        ! grep -E '^(W|E):|triggers for (ca-cert|debianutils)' /tmp/install\n\
        rm /tmp/update /tmp/install\ntest -z \"$(ls /var/cache/apt/*.bin /var/cache/apt/archives/*.deb 2>/dev/null)\"\n";
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    for builder in ["builder:python-3.11", "builder:python-3.13"] {
        let source = scene.source();
        let arguments = ["build", &source, "-t", "app", "--assemble-user", "root"];
        overcoat
            .run(&[&arguments[..], &["--build-image", builder]].concat())
            .ok();
        let version = overcoat.run(&["run", "app", "--", "jq", "--version"]).ok();
        assert!(version.stdout.starts_with("jq-1."), "{builder}");
    }
}
