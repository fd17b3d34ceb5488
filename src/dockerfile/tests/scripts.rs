//! Which script comes from where.

use super::*;

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
        let chosen = crate::dockerfile::scripts::choose(&request).unwrap();
        assert_eq!(
            chosen.image_directory, expected,
            "{scripts_url:?} {image_scripts_url:?} {labels:?}"
        );
        let is_fetched = scripts_url.is_some_and(|url| url.starts_with("https:"));
        let uploaded: Vec<_> = chosen.uploaded.into_keys().collect();
        assert_eq!(uploaded, if is_fetched { vec!["run"] } else { vec![] });
    }
}
