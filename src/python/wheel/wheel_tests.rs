//! Wheels made here; tests/it/wheels.rs compares with what pip installs.

use std::collections::BTreeSet;
use std::io::Read;

use super::*;
use crate::layer::EntryPath;
use crate::layer::zip::tests::{Made, archive};
use crate::python::Layout;

pub(crate) const METADATA: &str =
    "Metadata-Version: 2.1\nName: Zork\nVersion: 1.0\n\nName: other\n";
pub(crate) const WHEEL: &str = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2.py3-none-any\n";

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

fn layout() -> Layout {
    Layout {
        interpreter: "/opt/app/bin/python3".to_owned(),
        site_packages: path("opt/app/lib/python3.11/site-packages"),
        scripts: path("opt/app/bin"),
        data: path("opt/app"),
        headers: path("opt/app/include/site/python3.11"),
        uid: 1001,
        gid: 5,
        umask: 0o002,
    }
}

/// A wheel's archive: these files, `METADATA` and `WHEEL` unless they are among them, and their `RECORD`.
pub(crate) fn bytes(files: &[(&str, &str)]) -> Vec<u8> {
    let defaults = [
        ("zork-1.0.dist-info/METADATA", METADATA),
        ("zork-1.0.dist-info/WHEEL", WHEEL),
    ];
    let missing = defaults
        .iter()
        .filter(|(name, _)| files.iter().all(|(other, _)| name != other));
    let files: Vec<_> = files
        .iter()
        .chain(missing)
        .filter(|(_, text)| *text != "-")
        .collect();
    let rows: Vec<Row> = files
        .iter()
        .map(|(name, text)| Row::of((*name).to_owned(), text.as_bytes()))
        .collect();
    let record = Record::write(rows);
    let mut members: Vec<Made> = files
        .iter()
        .map(|(name, text)| Made::deflated(name, text.as_bytes()))
        .collect();
    if files.iter().all(|(name, _)| !name.ends_with("/RECORD")) {
        members.push(Made::deflated(
            "zork-1.0.dist-info/RECORD",
            record.as_bytes(),
        ));
    }
    archive(&members)
}

fn open(files: &[(&str, &str)]) -> Result<Wheel<Vec<u8>>, Error> {
    Wheel::open(bytes(files), "zork-1.0-py3-none-any.whl".parse().unwrap())
}

fn plan(wheel: &Wheel<Vec<u8>>) -> Result<Vec<Planned>, Error> {
    let (layout, existing) = (layout(), BTreeSet::new());
    let site = Site {
        layout: &layout,
        existing: &existing,
        epoch: 77,
    };
    install(wheel, &site, true, None)
}

#[test]
fn an_installation_has_everything_in_its_place() {
    let python_script = "#!pythonw -x\nprint(1)\n";
    let wheel = open(&[
        ("zork/__init__.py", "x = 1\n"),
        ("zork-1.0.data/scripts/tool", python_script),
        ("zork-1.0.data/scripts/sh", "#!/bin/sh\n"),
        ("zork-1.0.data/scripts/run-script.py", "#!python\n"),
        ("zork-1.0.data/data/share/zork/x", "x"),
        ("zork-1.0.data/headers/zork.h", "h"),
        ("zork-1.0.data/platlib/native.so", "so"),
        (
            "zork-1.0.dist-info/entry_points.txt",
            "[console_scripts]\nrun = zork:Main.run\n",
        ),
    ])
    .unwrap();
    let plan = plan(&wheel).unwrap();
    let shown: Vec<String> = plan
        .iter()
        .map(|planned| {
            let Planned { entry, .. } = planned;
            assert_eq!((entry.uid, entry.gid, entry.mtime), (1001, 5, 77));
            format!("{} {:o}", entry.path, entry.mode)
        })
        .collect();
    let site = "/opt/app/lib/python3.11/site-packages";
    let expected = [
        "/opt/app/bin/run 775".to_owned(),
        "/opt/app/bin/sh 664".to_owned(),
        "/opt/app/bin/tool 664".to_owned(),
        "/opt/app/include 775".to_owned(),
        "/opt/app/include/site 775".to_owned(),
        "/opt/app/include/site/python3.11 775".to_owned(),
        "/opt/app/include/site/python3.11/Zork 775".to_owned(),
        "/opt/app/include/site/python3.11/Zork/zork.h 664".to_owned(),
        format!("{site}/native.so 664"),
        format!("{site}/zork 775"),
        format!("{site}/zork-1.0.dist-info 775"),
        format!("{site}/zork-1.0.dist-info/INSTALLER 664"),
        format!("{site}/zork-1.0.dist-info/METADATA 664"),
        format!("{site}/zork-1.0.dist-info/RECORD 664"),
        format!("{site}/zork-1.0.dist-info/REQUESTED 664"),
        format!("{site}/zork-1.0.dist-info/WHEEL 664"),
        format!("{site}/zork-1.0.dist-info/entry_points.txt 664"),
        format!("{site}/zork/__init__.py 664"),
        "/opt/app/share 775".to_owned(),
        "/opt/app/share/zork 775".to_owned(),
        "/opt/app/share/zork/x 664".to_owned(),
    ];
    assert_eq!(shown, expected);
    let content = |name: &str| {
        let planned = plan
            .iter()
            .find(|planned| planned.entry.path == path(name))
            .unwrap();
        match &planned.content {
            Content::Generated(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{name}: {other:?}"),
        }
    };
    assert_eq!(
        content("opt/app/bin/tool"),
        "#!/opt/app/bin/python3\nprint(1)\n"
    );
    assert!(content("opt/app/bin/run").contains("\nfrom zork import Main\n"));
    assert!(content("opt/app/bin/run").contains("    sys.exit(Main.run())\n"));
    let record = content("opt/app/lib/python3.11/site-packages/zork-1.0.dist-info/RECORD");
    let rows = Record::parse(&record).unwrap();
    let paths: Vec<&str> = rows.rows().iter().map(|row| row.path.as_str()).collect();
    assert_eq!(
        paths[..3],
        ["../../../bin/run", "../../../bin/sh", "../../../bin/tool"]
    );
    assert!(paths.is_sorted());
    assert_eq!(paths.len(), 13);
    let tool = Row::of(
        "../../../bin/tool".to_owned(),
        content("opt/app/bin/tool").as_bytes(),
    );
    assert!(rows.rows().contains(&tool));
    assert!(record.contains("\r\nzork-1.0.dist-info/RECORD,,\r\n"));
}

#[test]
fn wheels_that_are_not_as_they_say_are_refused() {
    let hash = Row::of("zork.py".to_owned(), b"x=1");
    let hash = &hash.hash_text;
    let own = "zork-1.0.dist-info/RECORD,,\n";
    let others = format!(
        "{}{}{own}",
        Record::write(vec![Row::of(
            "zork-1.0.dist-info/METADATA".to_owned(),
            METADATA.as_bytes()
        )]),
        Record::write(vec![Row::of(
            "zork-1.0.dist-info/WHEEL".to_owned(),
            WHEEL.as_bytes()
        )]),
    );
    let record = |row: &str| format!("{row}{others}");
    let table: Vec<(Vec<(&str, String)>, &str)> = vec![
        (
            vec![("zork-1.0.dist-info/WHEEL", "-".to_owned())],
            "it has no `zork-1.0.dist-info/WHEEL`",
        ),
        (
            vec![("zork-1.0.dist-info/METADATA", "-".to_owned())],
            "it has no `zork-1.0.dist-info/METADATA`",
        ),
        (
            vec![("other-1.dist-info/x", String::new())],
            "not exactly one",
        ),
        (
            vec![("zork-1.0.dist-info/WHEEL", WHEEL.replace("1.0", "2.0"))],
            "version 2.0 of the format",
        ),
        (
            vec![(
                "zork-1.0.dist-info/WHEEL",
                WHEEL.replace("py2.py3", "cp311"),
            )],
            "is for `cp311-none-any`",
        ),
        (
            vec![(
                "zork-1.0.dist-info/WHEEL",
                WHEEL.replace("Root-Is-Purelib", "X"),
            )],
            "no `Root-Is-Purelib`",
        ),
        (
            vec![(
                "zork-1.0.dist-info/METADATA",
                METADATA.replace("Zork", "Bork"),
            )],
            "`METADATA` is of `Bork`",
        ),
        (
            vec![(
                "zork-1.0.dist-info/METADATA",
                METADATA.replace("1.0", "1.1"),
            )],
            "of the version `1.1`",
        ),
        (
            vec![("zork-1.0.dist-info/RECORD", own.to_owned())],
            "is not in its `RECORD`",
        ),
        (
            vec![
                ("zork.py", "x=1".to_owned()),
                ("zork-1.0.dist-info/RECORD", record("zork.py,,3\n")),
            ],
            "has no hash for `zork.py`",
        ),
        (
            vec![
                ("zork.py", "x=1".to_owned()),
                (
                    "zork-1.0.dist-info/RECORD",
                    record("zork.py,md5=1B2M2Y8AsgTpgAmY7PhCfg,3\n"),
                ),
            ],
            "weaker than SHA-256",
        ),
        (
            vec![
                ("zork.py", "x=1".to_owned()),
                (
                    "zork-1.0.dist-info/RECORD",
                    record(&format!("zork.py,{hash},4\n")),
                ),
            ],
            "has not the size",
        ),
        (
            vec![("zork-1.0.dist-info/RECORD", record("gone.py,,\n"))],
            "has `gone.py`, which is not in it",
        ),
        (
            vec![("zork-1.0.dist-info/RECORD", record(own))],
            "has `zork-1.0.dist-info/RECORD` twice",
        ),
        (
            vec![(
                "zork-1.0.dist-info/entry_points.txt",
                "[console_scripts]\na/b = c:d\n".to_owned(),
            )],
            "script `a/b = c:d`",
        ),
        (
            vec![
                ("zork-1.0.data/scripts/x", "#!python\n".to_owned()),
                (
                    "zork-1.0.dist-info/RECORD",
                    record(&format!("zork-1.0.data/scripts/x,{hash},9\n")),
                ),
            ],
            "is not as its `RECORD` says",
        ),
    ];
    for (files, expected) in table {
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let error = open(&files).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error} (expected: {expected})");
        assert!(
            error.starts_with("the wheel `zork-1.0-py3-none-any.whl` cannot be used: "),
            "{error}"
        );
    }
    let other = Wheel::open(bytes(&[]), "zork-1.1-py3-none-any.whl".parse().unwrap()).unwrap_err();
    assert!(
        other.to_string().contains("of another distribution"),
        "{other}"
    );
    for (name, expected) in [
        ("zork-1.0.data/x", "in none of the directories"),
        (
            "zork-1.0.data/other/x",
            "in no directory of `.data` that is known",
        ),
        ("zork-1.0.data/data/lib", "which is a directory"),
        (
            "zork-1.0.data/data/bin/run/x",
            "as a file and as a directory",
        ),
    ] {
        let entry_points = (
            "zork-1.0.dist-info/entry_points.txt",
            "[console_scripts]\nrun = a:b\n",
        );
        let wheel = open(&[(name, "x"), entry_points]).unwrap();
        let error = plan(&wheel).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

fn other(files: &[(&str, &str)], name: &str) -> Installation<Vec<u8>> {
    let rename = |text: &str| text.replace("zork", name).replace("Zork", name);
    let files: Vec<(String, String)> = files
        .iter()
        .map(|(path, text)| (rename(path), (*text).to_owned()))
        .collect();
    let info = format!("{name}-1.0.dist-info");
    let fixed = [
        (format!("{info}/METADATA"), rename(METADATA)),
        (format!("{info}/WHEEL"), WHEEL.to_owned()),
    ];
    let files: Vec<_> = files.into_iter().chain(fixed).collect();
    let rows = files
        .iter()
        .map(|(path, text)| Row::of(path.clone(), text.as_bytes()))
        .collect();
    let record = (format!("{info}/RECORD"), Record::write(rows));
    let members: Vec<Made> = files
        .iter()
        .chain([&record])
        .map(|(path, text)| Made::deflated(path, text.as_bytes()))
        .collect();
    let wheel = Wheel::open(
        archive(&members),
        format!("{name}-1.0-py3-none-any.whl").parse().unwrap(),
    );
    Installation::new(wheel.unwrap(), false)
}

#[test]
fn wheels_share_a_layer_in_any_order() {
    let (layout, existing) = (layout(), BTreeSet::new());
    let site = Site {
        layout: &layout,
        existing: &existing,
        epoch: 77,
    };
    let large = "x = 1\n".repeat(2000);
    let a = || {
        other(
            &[("shared/same.py", &large), ("shared/differs.py", "a")],
            "aaa",
        )
    };
    let b = || {
        other(
            &[("shared/same.py", &large), ("shared/differs.py", "b")],
            "bbb",
        )
    };
    let one = write_layer(&[a(), b()], &site, Vec::new(), 1).unwrap();
    let two = write_layer(&[b(), a()], &site, Vec::new(), 2).unwrap();
    assert!(one.sink == two.sink && one.layer == two.layer);
    let conflicts: Vec<_> = one
        .conflicts
        .iter()
        .map(|c| format!("{} {} {}", c.path, c.kept, c.dropped))
        .collect();
    assert_eq!(
        conflicts,
        ["/opt/app/lib/python3.11/site-packages/shared/differs.py bbb aaa"]
    );
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(&one.sink[..])
        .read_to_end(&mut tar)
        .unwrap();
    let mut found = Vec::new();
    crate::layer::read::for_each(&mut &tar[..], |entry, content| {
        let mut text = String::new();
        content.read_to_string(&mut text).unwrap();
        found.push((entry.path, text));
        Ok(())
    })
    .unwrap();
    assert!(found.is_sorted_by_key(|(path, _)| path.clone()));
    let differs = path("opt/app/lib/python3.11/site-packages/shared/differs.py");
    assert!(found.contains(&(differs, "b".to_owned())));
    let c = other(&[("shared", "")], "ccc");
    let error = write_layer(&[a(), c], &site, Vec::new(), 1)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("directory in `aaa-1.0-py3-none-any.whl`"),
        "{error}"
    );
}

#[test]
fn content_that_is_not_as_its_record_says_is_found_while_it_is_written() {
    let files = [("zork.py", "x=1")];
    let good = bytes(&files);
    let record = Row::of("zork.py".to_owned(), b"x=2");
    let others = Record::write(vec![
        Row::of(
            "zork-1.0.dist-info/METADATA".to_owned(),
            METADATA.as_bytes(),
        ),
        Row::of("zork-1.0.dist-info/WHEEL".to_owned(), WHEEL.as_bytes()),
    ]);
    let record = Record::write(vec![record]) + &others;
    let wrong = bytes(&[files[0], ("zork-1.0.dist-info/RECORD", &record)]);
    let (layout, existing) = (layout(), BTreeSet::new());
    let site = Site {
        layout: &layout,
        existing: &existing,
        epoch: 77,
    };
    for threads in [1, 2] {
        let write = |bytes: &[u8]| {
            let wheel =
                Wheel::open(bytes.to_vec(), "zork-1.0-py3-none-any.whl".parse().unwrap()).unwrap();
            write_layer(
                &[Installation::new(wheel, true)],
                &site,
                Vec::new(),
                threads,
            )
            .map(drop)
        };
        write(&good).unwrap();
        let error = write(&wrong).unwrap_err().to_string();
        assert!(error.contains("zork-1.0-py3-none-any.whl` cannot be used: `/opt/app/lib/python3.11/site-packages/zork.py` does not have the SHA-256"), "{error}");
    }
}

#[test]
fn pip_gets_the_names_of_the_target() {
    let text = "[console_scripts]\npip = pip:main\npip3.9 = pip:main\npip3 = pip:main\npipx = pip:x\neasy_install = e:m\neasy_install-2.7 = e:m\n";
    let wheel = open(&[("zork-1.0.dist-info/entry_points.txt", text)]).unwrap();
    let names: Vec<String> = plan(&wheel)
        .unwrap()
        .iter()
        .filter_map(|planned| {
            planned
                .entry
                .path
                .to_string()
                .strip_prefix("/opt/app/bin/")
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(
        names,
        [
            "easy_install",
            "easy_install-3.11",
            "pip",
            "pip3",
            "pip3.11",
            "pipx"
        ]
    );
}

#[test]
fn interpreters_that_no_first_line_can_hold_are_started_by_sh() {
    assert_eq!(script::shebang("/x/python3"), "#!/x/python3\n");
    let long = format!("/{}/python3", "x".repeat(120));
    assert_eq!(
        script::shebang(&long),
        format!("#!/bin/sh\n'''exec' {long} \"$0\" \"$@\"\n' '''\n")
    );
    let spaced = script::shebang("/a b/python3");
    assert_eq!(
        spaced,
        "#!/bin/sh\n'''exec' \"/a b/python3\" \"$0\" \"$@\"\n' '''\n"
    );
    assert_eq!(script::with_interpreter(b"#!python", "/p"), b"#!/p\n");
}

#[test]
fn a_wheel_that_did_not_come_from_an_index_says_where_it_came_from() {
    let wheel = open(&[("zork.py", "x = 1\n")]).unwrap();
    let (layout, existing) = (layout(), BTreeSet::new());
    let site = Site {
        layout: &layout,
        existing: &existing,
        epoch: 77,
    };
    let text = direct_url(
        "https://example.org/zork.whl",
        &crate::digest::Digest::of(b""),
    );
    let plan = install(&wheel, &site, false, Some(&text)).unwrap();
    let name = "/opt/app/lib/python3.11/site-packages/zork-1.0.dist-info/";
    let find = |file: &str| {
        let path = format!("{name}{file}");
        plan.iter()
            .find(|planned| planned.entry.path.to_string() == path)
    };
    let found = find("direct_url.json").unwrap();
    assert_eq!(found.content, Content::Generated(text.clone()));
    assert_eq!(found.entry.mode, 0o664);
    let row = Row::of("zork-1.0.dist-info/direct_url.json".to_owned(), &text);
    let Content::Generated(record) = &find("RECORD").unwrap().content else {
        panic!("RECORD is made");
    };
    let record = Record::parse(std::str::from_utf8(record).unwrap()).unwrap();
    assert!(record.rows().contains(&row));
    assert!(find("REQUESTED").is_none());
}

#[test]
fn what_would_go_through_a_link_of_the_builder_image_is_refused() {
    let refusal = |file: &str, data: &str| {
        let wheel = open(&[(&format!("zork-1.0.data/data/{file}"), "x")]).unwrap();
        let existing = BTreeSet::new();
        let layout = Layout {
            data: path(data),
            ..layout()
        };
        let site = Site {
            layout: &layout,
            existing: &existing,
            epoch: 77,
        };
        let planned = install(&wheel, &site, true, None);
        planned.err().map(|error| error.to_string())
    };
    for (file, data) in [("lib64/x.so", "opt/app"), ("man/man1/zork.1", "usr/local")] {
        let text = refusal(file, data).unwrap();
        assert!(
            text.contains(file) && text.contains("may be a link"),
            "{text}"
        );
    }
    assert_eq!(refusal("man/man1/zork.1", "opt/app"), None);
    assert_eq!(refusal("share/man/man1/zork.1", "usr/local"), None);
    assert_eq!(refusal("lib64x/zork", "opt/app"), None);
}
