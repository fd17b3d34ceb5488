//! What others made: their repositories, which execute nothing, and their archives.

use super::*;

/// A repository that was made to do harm runs nothing here: neither its hooks nor what its configuration names.
#[test]
fn nothing_of_a_repository_is_executed() {
    let source = repository_with(&[("a", "1"), (".gitattributes", "* filter=evil\n")]);
    let at = source.path();
    let marker = at.join("marker");
    let script = format!("#!/bin/sh\ntouch '{}'\ncat\n", marker.display());
    for hook in ["post-checkout", "post-upload-pack", "pre-commit", "evil"] {
        let path = at.join(".git/hooks").join(hook);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &script).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let evil = text(&at.join(".git/hooks/evil"));
    for key in [
        "core.fsmonitor",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "uploadpack.packObjectsHook",
        "core.sshCommand",
        "core.gitProxy",
        "diff.external",
        "log.showSignature",
    ] {
        git(at, &["config", key, &evil]);
    }
    git(at, &["config", "gpg.program", &evil]);
    fs::write(at.join("a"), "edited").unwrap();
    let got = got(&wanted(&text(at)));
    assert_eq!(got.read("a").as_deref(), Some("1"));
    assert!(got.heard[0].contains("`a`"), "{:?}", got.heard);
    assert!(!marker.exists());
}

/// Directories unpacked by another user have another owner; the person named them all the same.
#[test]
fn a_repository_of_another_owner_is_cloned() {
    let source = repository_with(&[("a", "1")]);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        for entry in walkdir::WalkDir::new(source.path()) {
            std::os::unix::fs::lchown(entry.unwrap().path(), Some(12345), Some(12345)).unwrap();
        }
    }
    assert_eq!(is_foreign(source.path()), is_root);
    let got = got(&wanted(&text(source.path())));
    assert_eq!(got.read("a").as_deref(), Some("1"));
    assert_eq!(got.directory.path().join("gitconfig").exists(), is_root);
}

#[test]
fn archives_come_from_files_and_from_standard_input() {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("app-1.0")).unwrap();
    fs::write(source.path().join("app-1.0/app.py"), "x").unwrap();
    let file = source.path().join("app.tar.gz");
    let tar = std::process::Command::new("tar")
        .args(["-czf"])
        .arg(&file)
        .args(["-C", &text(source.path()), "app-1.0"])
        .output()
        .unwrap();
    assert!(tar.status.success(), "{tar:?}");
    let from_file = got(&wanted(&text(&file)));
    assert_eq!(from_file.fetched().how, How::Unpacked);
    assert_eq!(from_file.read("app-1.0/app.py").as_deref(), Some("x"));
    assert!(
        from_file.heard[0].contains("--context-dir app-1.0"),
        "{:?}",
        from_file.heard
    );
    assert_eq!(
        from_file.fetched().provenance.location_shown,
        Some(text(&file))
    );

    let below = Wanted {
        context_dir: Some("app-1.0".to_owned()),
        ..wanted("-")
    };
    let (directory, heard) = (tempfile::tempdir().unwrap(), Heard::default());
    let bytes = fs::read(&file).unwrap();
    let fetched = fetch(
        &below,
        &host(),
        directory.path(),
        Some(&mut &bytes[..]),
        &heard,
    )
    .unwrap();
    assert_eq!(fs::read(fetched.root.join("app.py")).unwrap(), b"x");
    assert_eq!(fetched.provenance.location_shown, None);
    assert!(heard.all().is_empty());

    assert!(matches!(got(&wanted("-")).error(), Error::NoInput));
    let other = source.path().join("app.tar.bz2");
    fs::write(&other, "BZh91AY&SY").unwrap();
    let other = got(&wanted(&text(&other)));
    assert!(
        other.error().to_string().contains("bzip2"),
        "{}",
        other.error()
    );
}

#[test]
fn one_may_not_execute_what_was_not_asked_for() {
    let marker = tempfile::tempdir().unwrap();
    let path = marker.path().join("ran");
    // A submodule that would run a command, or read another repository of this machine.
    let victim = repository_with(&[("secret", "x")]);
    for url in [
        format!("ext::touch {}", path.display()),
        text(victim.path()),
    ] {
        let source = repository_with(&[(
            ".gitmodules",
            &format!("[submodule \"s\"]\n\tpath = s\n\turl = \"{url}\"\n"),
        )]);
        let id = git(victim.path(), &["rev-parse", "HEAD"]);
        git(
            source.path(),
            &[
                "update-index",
                "--add",
                "--cacheinfo",
                &format!("160000,{id},s"),
            ],
        );
        git(source.path(), &["commit", "-q", "-m", "submodule"]);
        let directory = tempfile::tempdir().unwrap();
        let mut remote = Git::new(
            Path::new("git"),
            &host(),
            Origin::Remote(None),
            "x".to_owned(),
            None,
            &Silent,
        );
        remote.silence_ssh().unwrap();
        let order = Order {
            address: &file_url_of(source.path()),
            reference: None,
            ignores_submodules: false,
        };
        let error = clone::clone(&remote, &order, &directory.path().join("t")).unwrap_err();
        assert!(error.to_string().contains("not allowed"), "{error}");
        assert!(!path.exists());
    }
}
