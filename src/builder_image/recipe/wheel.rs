//! A wheel for the virtual environment, read whole and checked.
//!
//! # Spec
//! packaging.python.org, *Binary distribution format* and *Recording installed projects*.

use std::collections::BTreeMap;

use crate::python::WheelName;
use crate::python::wheel::{self, EntryPoint};

/// How large a wheel may be, unpacked, in bytes. pip has 11 MB.
const MAX_UNPACKED: u64 = 64 << 20;

/// What a wheel consists of.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The name of the `.dist-info` directory.
    pub(super) dist_info: String,
    /// The files without `RECORD`, by path relative to `site-packages`.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// The console scripts.
    pub(super) scripts: Vec<EntryPoint>,
}

impl Wheel {
    /// Reads a wheel whose files all go into `site-packages`. Every file must be in `RECORD`, with its digest. `path` is
    /// where the wheel is; it ends with the name that it was published with.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(path: &str, bytes: &[u8]) -> Result<Self, String> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let name: WheelName = name.parse().map_err(|error| format!("{error}"))?;
        let wheel = wheel::Wheel::open(bytes, name).map_err(reason)?;
        let record = format!("{}/RECORD", wheel.dist_info());
        let mut files = BTreeMap::new();
        let mut left = MAX_UNPACKED;
        for (index, member) in wheel.archive().members().iter().enumerate() {
            if let Some((top, _)) = member.name.split_once('/')
                && top.ends_with(".data")
            {
                return Err(format!(
                    "it has `{top}`: only wheels that go into `site-packages` whole can be used here"
                ));
            }
            // They would need quoting in `RECORD`.
            if member.name.contains([',', '"', '\n', '\r', '\\']) {
                return Err(format!(
                    "its member `{:.200}` has no usable name",
                    member.name.escape_debug()
                ));
            }
            if member.is_directory() || member.name == record {
                continue;
            }
            let content = wheel.read(index, left).map_err(reason)?;
            left -= content.len() as u64;
            files.insert(member.name.clone(), content);
        }
        let scripts = wheel.scripts().iter().filter(|script| !script.is_gui);
        Ok(Self {
            dist_info: wheel.dist_info().to_owned(),
            files,
            scripts: scripts.cloned().collect(),
        })
    }
}

/// Why, without the wheel's name, which whoever asked adds.
fn reason(error: wheel::Error) -> String {
    match error {
        wheel::Error::Wheel { reason, .. } => reason,
        wheel::Error::Layer { source, .. } | wheel::Error::Write(source) => source.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::wheel::tests::bytes;

    const PATH: &str = "usr/share/wheels/zork-1.0-py3-none-any.whl";

    #[test]
    fn a_wheel_gives_its_files_and_scripts() {
        let entry_points =
            "[other]\nx = a:b\n[gui_scripts]\ny = a:b\n[console_scripts]\nzork = zork.main:run\n";
        let bytes = bytes(&[
            ("zork/__init__.py", "x = 1\n"),
            ("zork-1.0.dist-info/entry_points.txt", entry_points),
        ]);
        let wheel = Wheel::read(PATH, &bytes).unwrap();
        assert_eq!(wheel.dist_info, "zork-1.0.dist-info");
        let names: Vec<&str> = wheel.files.keys().map(String::as_str).collect();
        let expected = [
            "zork-1.0.dist-info/METADATA",
            "zork-1.0.dist-info/WHEEL",
            "zork-1.0.dist-info/entry_points.txt",
            "zork/__init__.py",
        ];
        assert_eq!(names, expected);
        assert_eq!(wheel.files["zork/__init__.py"], b"x = 1\n");
        let [script] = &wheel.scripts[..] else {
            panic!("{:?}", wheel.scripts);
        };
        let found = [&script.name, &script.module, &script.function];
        assert_eq!(found, ["zork", "zork.main", "run"]);
    }

    #[test]
    fn a_wheel_that_cannot_be_used_here_is_refused() {
        let row = |path: &str, text: &str| {
            let hash = wheel::Row::of(String::new(), text.as_bytes()).hash_text;
            format!("{path},{hash},{}\r\n", text.len())
        };
        let documents = [
            row("zork-1.0.dist-info/METADATA", wheel::tests::METADATA),
            row("zork-1.0.dist-info/WHEEL", wheel::tests::WHEEL),
        ]
        .concat();
        // The same size, so that only the content tells.
        let wrong = format!("{documents}{}", row("zork.py", "x=2"));
        let record = "zork-1.0.dist-info/RECORD";
        let rows: [(&[(&str, &str)], &str); 5] = [
            (&[("../zork.py", "")], "`../zork.py`"),
            (&[("a,b.py", "")], "no usable name"),
            (&[("zork-1.0.data/scripts/x", "")], "`zork-1.0.data`"),
            (
                &[("zork.py", "x=1"), (record, &documents)],
                "`zork.py` is not in its `RECORD`",
            ),
            (
                &[("zork.py", "x=1"), (record, &wrong)],
                "`zork.py` is not as its `RECORD` says",
            ),
        ];
        for (files, expected) in rows {
            let error = Wheel::read(PATH, &bytes(files)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let good = bytes(&[("zork.py", "x=1")]);
        assert!(Wheel::read(PATH, &good).is_ok());
        assert!(Wheel::read("usr/share/zork.whl", &good).is_err());
        assert!(Wheel::read(PATH, b"PK").is_err());
    }
}
