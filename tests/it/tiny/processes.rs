//! What runs, what ends it, and what is left of it.

use super::*;

#[test]
fn a_dangling_link_in_the_way_of_a_mount_leaves_no_trace() {
    let directory = shared();
    let tiny = Tiny {
        assemble: "#!/bin/sh\nset -e\nln -s ../run/systemd/resolve/stub-resolv.conf /opt/resolv.conf\nln -s /opt /etc/opt\n",
        user: "0",
        ..Tiny::default()
    };
    let builder = tiny.write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    let overcoat = Overcoat::new();
    // The builder's own assemble cannot replace /etc/resolv.conf, on which a file is mounted; umoci can.
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("../run/systemd/resolve/stub-resolv.conf", &link).unwrap();
    let layout = format!("{}:tiny:latest", directory.path().join("builder").display());
    tool(
        "umoci",
        &[
            "insert",
            "--image",
            &layout,
            link.to_str().unwrap(),
            "/etc/resolv.conf",
        ],
    );
    build(&overcoat, &source, &builder);
    let layers = overcoat.layers("app");
    let below: String = layers[..3]
        .iter()
        .map(|layer| overcoat.list_layer(layer))
        .collect();
    assert!(
        below.contains("etc/resolv.conf -> ../run/systemd"),
        "{below}"
    );
    let ours: String = layers[3..]
        .iter()
        .map(|layer| overcoat.list_layer(layer))
        .collect();
    assert!(ours.contains("opt/resolv.conf -> "), "{ours}");
    assert!(!ours.contains(" run/"), "{ours}");
}

#[test]
fn several_builds_at_once_share_a_store_and_a_layout() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    let overcoat = Overcoat::new();
    let layout = directory.path().join("shared-layout");
    let builds: Vec<_> = (0..6)
        .map(|number| {
            let (name, output) = (
                format!("app{number}"),
                format!("oci:{}:n{number}", layout.display()),
            );
            overcoat.spawn(&[
                "build",
                &source,
                "-t",
                &name,
                "--build-image",
                &builder,
                "-o",
                &output,
            ])
        })
        .collect();
    for build in builds {
        let (done, _) = build.wait(Duration::from_secs(60));
        done.ok();
    }
    let index = fs::read_to_string(layout.join("index.json")).unwrap();
    for number in 0..6 {
        assert_eq!(
            overcoat.run(&["run", &format!("app{number}")]).ok().stdout,
            "1"
        );
        assert!(
            index.contains(&format!("\"n{number}\"")),
            "n{number} is not in {index}"
        );
    }
    assert_eq!(overcoat.left_behind(), Vec::<String>::new());
}

#[test]
fn a_signal_that_comes_early_or_twice_is_for_the_process() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    let overcoat = Overcoat::new();
    build(&overcoat, &source, &builder);
    overcoat.run(&["run", "app"]).ok();
    for delay in [2, 5, 8, 12, 16, 25] {
        let running = overcoat.spawn(&["run", "app", "--", "sleep", "20"]);
        std::thread::sleep(Duration::from_millis(delay));
        running.signal("TERM");
        running.wait(Duration::from_secs(5));
    }
    let trap =
        "n=0; trap 'n=$((n+1))' HUP; echo ready; while [ $n -lt 2 ]; do sleep 0.05; done; exit 6";
    let mut running = overcoat.spawn(&["run", "app", "--", "sh", "-c", trap]);
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(running.child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    running.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    running.signal("HUP");
    let (done, _) = running.wait(Duration::from_secs(5));
    assert_eq!(done.code, Some(6), "{}", done.stderr);
}

#[test]
fn run_passes_on_arguments_variables_signals_and_the_exit_status() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(directory.path(), &[("app.py", "1")]);
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        build(&overcoat, &source, &builder);
        let done = overcoat.run(&[
            "run",
            "app",
            "-e",
            "X=1",
            "--",
            "sh",
            "-c",
            "echo $X $FROM_BUILDER $HOME; exit 7",
        ]);
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (Some(7), "1 yes /opt/app-root/src\n")
        );
        let trap = "trap 'echo got it; exit 3' USR1; touch /dev/shm/ready; echo ready; while true; do sleep 0.05; done";
        let mut running = overcoat.spawn(&["run", "app", "--", "sh", "-c", trap]);
        let mut stdout = std::io::BufReader::new(running.child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        running.signal("USR1");
        let (done, _) = running.wait(Duration::from_secs(5));
        assert_eq!(done.code, Some(3), "{}", done.stderr);
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn nothing_outlives_overcoat_when_it_is_killed() {
    let directory = shared();
    let marker = format!("31{:05}.5", std::process::id() % 100_000);
    let builder = Tiny::default().write(directory.path());
    let hook = format!("#!/bin/sh\nsleep {marker} &\nsleep {marker}\n");
    let source = application(
        directory.path(),
        &[("app.py", "1"), (".s2i/bin/assemble", &hook)],
    );
    let sleepers = || {
        let listed = std::process::Command::new("pgrep")
            .args(["-fc", &format!("^sleep {marker}")])
            .output()
            .unwrap();
        String::from_utf8_lossy(&listed.stdout)
            .trim()
            .parse::<u32>()
            .unwrap_or(0)
    };
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        let running = overcoat.spawn(&["build", &source, "-t", "app", "--build-image", &builder]);
        wait_for("the step to start", || (sleepers() == 2).then_some(()));
        running.signal("KILL");
        wait_for("the step to end", || (sleepers() == 0).then_some(()));
        drop(running);
        // The next build removes what the killed one could not.
        assert_ne!(overcoat.left_behind(), Vec::<String>::new());
        fs::write(
            directory.path().join("app/.s2i/bin/assemble"),
            "#!/bin/sh\n",
        )
        .unwrap();
        build(&overcoat, &source, &builder);
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
        fs::write(directory.path().join("app/.s2i/bin/assemble"), &hook).unwrap();
    }
}
