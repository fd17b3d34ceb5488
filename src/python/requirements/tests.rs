use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn tree(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect()
}

fn read_all(files: &[(&str, &str)]) -> Result<Requirements, Error> {
    read("requirements.txt", &tree(files), &BTreeMap::new())
}

fn read_text(text: &str) -> Result<Requirements, Error> {
    read_all(&[("requirements.txt", text)])
}

#[test]
fn lines_know_where_they_are() {
    let files = [
        ("requirements.txt", "a\n\n-r sub/b.txt\nc \\\n ==1"),
        ("sub/b.txt", "# x\nb"),
    ];
    let found = read_all(&files).unwrap();
    let origins: Vec<String> = found
        .requirements
        .iter()
        .map(|line| line.origin.to_string())
        .collect();
    assert_eq!(
        origins,
        [
            "`requirements.txt`, line 1",
            "`sub/b.txt`, line 2",
            "`requirements.txt`, line 4"
        ]
    );
    assert_eq!(found.files, ["requirements.txt", "sub/b.txt"]);
}

#[test]
fn errors_name_file_line_and_text_but_no_password() {
    let error = read_text("a\n\nhttps://me:s3cret@x.example/a.whl").unwrap_err();
    let expected = "`requirements.txt`, line 3: `https://****@x.example/a.whl`: `a.whl` is not the file name of a wheel: \
                    it has not five or six parts";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.hints().len(), 1);
    // What a variable stands for is often a secret.
    let variables = BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]);
    for text in ["flask==${TOKEN}x", "https://${TOKEN}@x.example/a.whl"] {
        let error = read(
            "requirements.txt",
            &tree(&[("requirements.txt", text)]),
            &variables,
        )
        .unwrap_err();
        assert!(error.to_string().contains(&shown(text)), "{error}");
    }
}

#[test]
fn files_outside_of_the_tree_and_circles_are_refused_by_name() {
    let error = read_text("-r ../../x.txt").unwrap_err().to_string();
    assert_eq!(
        error,
        "`requirements.txt`, line 1: `../../x.txt` lies outside of the source tree"
    );
    let files = [
        ("requirements.txt", "-r d/a.txt"),
        ("d/a.txt", "\n-c ../d/b.txt"),
        ("d/b.txt", "-r a.txt"),
    ];
    let error = read_all(&files).unwrap_err().to_string();
    assert_eq!(
        error,
        "`d/b.txt`, line 1: the file includes itself: d/a.txt → d/b.txt → d/a.txt"
    );
    let error = read_text("a\n-r none.txt").unwrap_err().to_string();
    assert_eq!(
        error,
        "`none.txt` is not there, and `requirements.txt`, line 2 includes it"
    );
    assert!(matches!(
        read("none.txt", &tree(&[]), &BTreeMap::new()),
        Err(Error::Absent { from: None, .. })
    ));
}

#[test]
fn what_only_pip_can_do_is_listed_with_its_reason() {
    let text = "-e .\ngit+https://t0ken@git.example/x.git\nhttps://x.example/x.tar.gz\n.\n-r https://x.example/r.txt\n\
                -c /etc/constraints.txt\n/opt/x-1-py3-none-any.whl\nflask -C a=b\n-f ../links\n--no-binary numpy\n\
                zork ; sys_platform > os_name\n";
    let found = read_text(text).unwrap();
    let reasons: Vec<(usize, &str)> = found
        .inexpressible
        .iter()
        .map(|entry| (entry.origin.line, &*entry.reason))
        .collect();
    let expected = [
        (1, "`.` is editable"),
        (2, "it comes from a version control system"),
        (3, "its URL is not that of a wheel"),
        (4, "it is a local project"),
        (5, "it includes a file by its URL"),
        (6, "it includes a file of the builder image"),
        (7, "it is a path outside of the source tree"),
        (8, "`--config-settings=a=b` says how to build it"),
        (
            9,
            "it looks for files at a place that is not in the source tree",
        ),
    ];
    assert_eq!(reasons[..9], expected);
    assert!(
        reasons
            .iter()
            .any(|(line, reason)| *line == 11 && reason.starts_with("its marker")),
        "{reasons:?}"
    );
    assert!(
        reasons.contains(&(10, "`--no-binary` asks to build from source: numpy")),
        "{reasons:?}"
    );
    assert!(!format!("{:?}", found.inexpressible).contains("t0ken"));
    let undone = read_text("--no-binary numpy\n--no-binary :none:\n").unwrap();
    assert_eq!(undone.inexpressible, []);
}

#[test]
fn requirements_are_complete_when_all_are_pinned_and_hashed() {
    let hash = format!("--hash=sha256:{}", "a".repeat(64));
    let wheel = "https://x.example/zork-1-py3-none-any.whl";
    for (text, is_complete, needs_hashes) in [
        (format!("a==1 {hash}\nb===2 {hash}"), true, true),
        (format!("{wheel}#sha256={}", "a".repeat(64)), true, true),
        (format!("a==1 {hash}\nb==2"), false, true),
        (format!("a==1.* {hash}"), false, true),
        (format!("a>=1 {hash}"), false, true),
        (format!("a==1,>=2 {hash}"), false, true),
        (format!("a==1 {hash}\n-e ."), false, true),
        ("a==1".to_owned(), false, false),
        ("a==1\n--require-hashes".to_owned(), false, true),
        (wheel.to_owned(), false, false),
    ] {
        let found = read_text(&text).unwrap();
        assert_eq!(
            (found.is_pinned_and_hashed(), found.needs_hashes()),
            (is_complete, needs_hashes),
            "{text}"
        );
    }
}

#[test]
fn a_wheel_by_its_location_has_name_and_version_of_the_wheel() {
    let found = read_text(
        "Zork[X] @ https://me:s3cret@x.example/zork-1.0-py3-none-any.whl#egg=zork ; os_name=='nt'",
    )
    .unwrap();
    let line = &found.requirements[0];
    assert_eq!(
        line.requirement.to_string(),
        "zork[x]==1.0 ; os_name == 'nt'"
    );
    let location = &line.wheel.as_ref().unwrap().location;
    assert_eq!(
        *location,
        Location::Url("https://me:s3cret@x.example/zork-1.0-py3-none-any.whl".to_owned())
    );
    let error = read_text("zork @ https://x.example/other-1.0-py3-none-any.whl")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it asks for `zork` and names a wheel of `other`"),
        "{error}"
    );
    let found = read_text(
        "https://x.example/zork-1.0-py3-none-any.whl#md5=d41d8cd98f00b204e9800998ecf8427e",
    )
    .unwrap();
    assert_eq!(
        found.inexpressible[0].reason,
        "its hash is of the weak kind md5"
    );
}

#[test]
fn hostile_files_are_bounded() {
    let long = "a".repeat((1 << 20) + 1);
    assert!(matches!(read_text(&long), Err(Error::Line { .. })));
    // Sixteen files that each include the next twice: 65,535 in all.
    let mut files: Vec<(String, String)> = (0..16)
        .map(|n| (format!("{n}.txt"), format!("-r {}.txt\n", n + 1).repeat(2)))
        .collect();
    files.push(("16.txt".to_owned(), String::new()));
    let files: BTreeMap<String, Vec<u8>> = files
        .into_iter()
        .map(|(name, text)| (name, text.into_bytes()))
        .collect();
    assert!(matches!(
        read("0.txt", &files, &BTreeMap::new()),
        Err(Error::TooLarge { .. })
    ));
    let deep: BTreeMap<String, Vec<u8>> = (0..60)
        .map(|n| (format!("{n}.txt"), format!("-r {}.txt", n + 1).into_bytes()))
        .collect();
    assert!(matches!(
        read("0.txt", &deep, &BTreeMap::new()),
        Err(Error::TooLarge { .. })
    ));
    let large = BTreeMap::from([(
        "requirements.txt".to_owned(),
        vec![b'\n'; MAX_FILE_BYTES as usize + 1],
    )]);
    assert!(matches!(
        read("requirements.txt", &large, &BTreeMap::new()),
        Err(Error::TooLarge { .. })
    ));
}

/// Pieces that lines are made of, so that random ones get far.
fn piece() -> impl Strategy<Value = String> {
    let known = [
        "flask",
        "==1.0",
        ">=2,<3",
        "[a,b]",
        "; ",
        "python_version",
        " < '3'",
        " in ",
        "extra == ",
        "-r ",
        "-c ",
        "--hash=",
        "sha256:",
        "\\\n",
        "#",
        " ",
        "\n",
        "'",
        "\"",
        "${A}",
        "@ ",
        "https://",
        "file:",
        "x-1-py3-none-any.whl",
        "../",
        "/",
        "--no-binary=",
        ":all:",
        "--",
        "-e ",
        "git+",
        "%2",
        "é",
        "\u{2028}",
        "requirements.txt",
        "a.txt",
        "\u{feff}",
        "(",
        ")",
        "&",
        "=",
        "]",
        "@",
    ];
    prop_oneof![
        4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,3}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(pieces in prop::collection::vec(piece(), 0..12), other in prop::collection::vec(piece(), 0..4)) {
        let files = BTreeMap::from([
            ("requirements.txt".to_owned(), pieces.concat().into_bytes()),
            ("a.txt".to_owned(), other.concat().into_bytes()),
        ]);
        let variables = BTreeMap::from([("A".to_owned(), "${A}x".to_owned())]);
        if let Ok(found) = read("requirements.txt", &files, &variables) {
            // Whatever is accepted is text that is accepted again.
            for line in found.requirements.iter().filter(|line| line.wheel.is_none()) {
                let again = read_text(&line.requirement.to_string());
                prop_assert!(again.is_ok(), "{} {again:?}", line.requirement);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let files = BTreeMap::from([("requirements.txt".to_owned(), bytes)]);
        let _ = read("requirements.txt", &files, &BTreeMap::new());
    }
}
