//! Recipes and packages that cannot become an image.

use super::*;

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
