use super::*;

/// Every file of `testdata/python/tags`: its name without `.txt`, and the tags that it stands for.
fn oracles() -> Vec<(String, Vec<String>)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/python/tags");
    let mut found = Vec::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let platforms: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let mut tags = Vec::new();
        for line in lines {
            let parts: Vec<&str> = line.split(' ').collect();
            let any = ["any"];
            let platforms = match parts[2] {
                "*" => &platforms[..],
                _ => &any[..],
            };
            let tag = |platform: &&str| format!("{}-{}-{platform}", parts[0], parts[1]);
            tags.extend(platforms.iter().map(tag));
        }
        found.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), tags));
    }
    assert!(found.len() >= 9);
    found
}

/// Reads `cp313t-glibc2.41-x86_64`.
fn subject(name: &str) -> (Interpreter, Libc, String) {
    let parts: Vec<&str> = name.split('-').collect();
    let digits = parts[0].trim_start_matches("cp3").trim_end_matches('t');
    let interpreter = Interpreter {
        major: 3,
        minor: digits.parse().unwrap(),
        is_free_threaded: parts[0].ends_with('t'),
    };
    let libc = parts[1].replace("glibc", "glibc ").replace("musl", "musl ");
    (interpreter, libc.parse().unwrap(), parts[2].to_owned())
}

#[test]
fn tags_are_those_of_packaging_in_its_order() {
    for (name, expected) in oracles() {
        let (interpreter, libc, architecture) = subject(&name);
        assert_eq!(tags(&interpreter, libc, &architecture), expected, "{name}");
    }
}

fn ranking(name: &str) -> Ranking {
    let (interpreter, libc, architecture) = subject(name);
    Ranking::new(&tags(&interpreter, libc, &architecture))
}

fn wheel(tags: &str) -> WheelName {
    format!("zork-1-{tags}.whl").parse().unwrap()
}

#[test]
fn a_wheel_is_as_good_as_its_best_tag() {
    let ranking = ranking("cp311-glibc2.36-x86_64");
    let in_order = [
        "cp311-cp311-manylinux_2_36_x86_64",
        "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "cp311-cp311-manylinux1_x86_64",
        "cp311-cp311-linux_x86_64",
        "cp311-abi3-manylinux_2_28_x86_64",
        "cp39-abi3-manylinux_2_28_x86_64",
        "py3-none-manylinux2014_x86_64",
        "py311-none-any",
        "PY2.PY3-none-any",
        "py30-none-any",
    ];
    let ranks: Vec<Option<usize>> = in_order
        .iter()
        .map(|tags| ranking.rank(&wheel(tags)))
        .collect();
    assert!(ranks.iter().all(Option::is_some), "{ranks:?}");
    assert!(ranks.is_sorted_by(|one, other| one < other), "{ranks:?}");
    for tags in [
        "cp311-cp311-manylinux_2_37_x86_64",
        "cp311-cp311-musllinux_1_2_x86_64",
        "cp311-cp311-manylinux_2_17_aarch64",
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp312-abi3-manylinux_2_17_x86_64",
        "cp311-cp311t-manylinux_2_17_x86_64",
        "cp311-cp311-win_amd64",
        "py2-none-any",
        "py312-none-any",
    ] {
        assert_eq!(ranking.rank(&wheel(tags)), None, "{tags}");
    }
}

#[test]
fn the_best_wheel_does_not_depend_on_the_order_of_the_list() {
    let ranking = ranking("cp311-glibc2.36-x86_64");
    let tags = "cp311-cp311-manylinux_2_17_x86_64";
    let mut names: Vec<WheelName> = [
        "zork-1-py3-none-any.whl".to_owned(),
        format!("zork-1-2-{tags}.whl"),
        format!("zork-1-10a-{tags}.whl"),
        format!("zork-1-{tags}.whl"),
        "zork-1-cp27-none-any.whl".to_owned(),
    ]
    .iter()
    .map(|name| name.parse().unwrap())
    .collect();
    for _ in 0..names.len() {
        names.rotate_left(1);
        let best = ranking.best(names.iter()).unwrap();
        assert_eq!(names[best].as_str(), format!("zork-1-10a-{tags}.whl"));
    }
    assert_eq!(ranking.best(names[..0].iter()), None);
}

#[test]
fn c_libraries_are_read_as_they_are_written() {
    for text in ["glibc 2.36", "musl 1.2"] {
        assert_eq!(text.parse::<Libc>().unwrap().to_string(), text);
    }
    assert_eq!(
        "musl 1.2.4".parse::<Libc>().unwrap().to_string(),
        "musl 1.2"
    );
    for text in [
        "",
        "glibc",
        "glibc 2",
        "glibc 2.x",
        "uclibc 1.0",
        "glibc 2.4000000000",
        "glibc 2.99999",
        "musl 0.1",
    ] {
        assert!(text.parse::<Libc>().is_err(), "{text}");
    }
}
