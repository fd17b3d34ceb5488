//! Wheels that requirements name by their place: what the image records of them, and when they are installed anew. On the
//! real recipe, whose packages need the network.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::flask::with_builder;
use super::support::{Done, Overcoat, tool};

/// Makes the wheel `sys.argv[1]/zork-1.0-py3-none-any.whl`, which prints `sys.argv[2]` when it is imported.
const MAKE: &str = r#"
import base64, hashlib, sys, zipfile
files = {
    "zork.py": f"print({sys.argv[2]!r})\n",
    "zork-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: zork\nVersion: 1.0\n",
    "zork-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
hashed = lambda text: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
rows = "".join(f"{name},sha256={hashed(text)},{len(text)}\n" for name, text in files.items())
files["zork-1.0.dist-info/RECORD"] = rows + "zork-1.0.dist-info/RECORD,,\n"
with zipfile.ZipFile(f"{sys.argv[1]}/zork-1.0-py3-none-any.whl", "w") as archive:
    for name, text in files.items():
        archive.writestr(zipfile.ZipInfo(name), text)
"#;

/// Prints what is recorded of `zork`: the files of its distribution, and the text of `direct_url.json`.
const SHOW: &str = r#"
import importlib.metadata, json
found = importlib.metadata.distribution("zork")
print(json.dumps({"files": sorted(str(file) for file in found.files if "__pycache__" not in str(file)), "url": found.read_text("direct_url.json")}))
"#;

struct Application {
    overcoat: Overcoat,
    source: PathBuf,
}

impl Application {
    /// With a wheel in the directory `wheels`, and these requirements.
    fn new(requirements: &str) -> Self {
        let overcoat = with_builder(Overcoat::new());
        let source = overcoat.path().join("app");
        fs::create_dir_all(source.join("wheels")).unwrap();
        fs::write(source.join("app.py"), "import zork\n").unwrap();
        fs::write(source.join("requirements.txt"), requirements).unwrap();
        make_wheel(&source, "first");
        Self { overcoat, source }
    }

    fn build(&self, strategy: &str) -> Done {
        let source = self.source.to_str().unwrap();
        let arguments = ["build", source, "-t", strategy, "--strategy", strategy];
        self.overcoat.run(&arguments).ok()
    }

    fn recorded(&self, image: &str) -> Value {
        let arguments = ["run", image, "--", "python", "-c", SHOW];
        serde_json::from_str(&self.overcoat.run(&arguments).ok().stdout).unwrap()
    }

    fn imported(&self) -> String {
        let arguments = ["run", "direct", "--", "python", "app.py"];
        self.overcoat.run(&arguments).ok().stdout
    }
}

fn make_wheel(source: &Path, text: &str) {
    let wheels = source.join("wheels");
    tool("python3", &["-c", MAKE, wheels.to_str().unwrap(), text]);
}

fn url(recorded: &Value) -> Value {
    serde_json::from_str(recorded["url"].as_str().unwrap()).unwrap()
}

#[test]
fn network_a_wheel_of_the_source_is_recorded_as_pip_records_it() {
    let application = Application::new("./wheels/zork-1.0-py3-none-any.whl\n");
    application.build("direct");
    application.build("assemble");
    let ours = application.recorded("direct");
    let theirs = application.recorded("assemble");
    assert_eq!(ours["files"], theirs["files"]);
    let (ours, theirs) = (url(&ours), url(&theirs));
    assert_eq!(ours["url"], theirs["url"]);
    let expected = "file:///opt/app-root/src/wheels/zork-1.0-py3-none-any.whl";
    assert_eq!(ours["url"], expected);
    // The builder's pip 23.0 knows a hash only where the requirement has one; 23.2 looks itself.
    let wheel = application.source.join("wheels/zork-1.0-py3-none-any.whl");
    let digest = tool("sha256sum", &[wheel.to_str().unwrap()]);
    let hex = digest.split(' ').next().unwrap();
    assert_eq!(ours["archive_info"]["hashes"]["sha256"], hex);
    assert_eq!(ours["archive_info"]["hash"], format!("sha256={hex}"));
    // What a lock lists came from the same place.
    let source = application.source.to_str().unwrap();
    application.overcoat.run(&["lock", source]).ok();
    application.build("direct");
    assert_eq!(url(&application.recorded("direct")), ours);
}

#[test]
fn network_a_wheel_that_is_built_again_under_its_name_is_installed_again() {
    for requirements in [
        "./wheels/zork-1.0-py3-none-any.whl\n",
        "--no-index\n--find-links wheels\nzork==1.0\n",
    ] {
        let application = Application::new(requirements);
        application.build("direct");
        assert_eq!(application.imported(), "first\n", "{requirements}");
        make_wheel(&application.source, "second");
        application.build("direct");
        assert_eq!(application.imported(), "second\n", "{requirements}");
        // Only a requirement's own place is recorded, not where an index or a directory had the file.
        let is_recorded = application.recorded("direct")["url"].is_string();
        assert_eq!(
            is_recorded,
            requirements.starts_with("./"),
            "{requirements}"
        );
        // An edit elsewhere leaves packages alone.
        fs::write(application.source.join("app.py"), "import zork as z\n").unwrap();
        let source = application.source.to_str().unwrap();
        let explained = ["build", source, "-t", "direct", "--explain"];
        let done = application.overcoat.run(&explained).ok();
        let text = format!("{}{}", done.stdout, done.stderr);
        assert!(text.contains("dependencies: hit"), "{requirements}\n{text}");
    }
}
