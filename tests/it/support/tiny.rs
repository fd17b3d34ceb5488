//! A builder image made of busybox and shell scripts: everything that S2I asks of one, nothing from the network.

use std::io::Read;
use std::path::{Path, PathBuf};

use overcoat::image::edit::{Changes, NewLayer, from_scratch};
use overcoat::image::{Descriptor, Image, Platform, media_type};
use overcoat::layer::{Entry, EntryPath, Kind, LayerWriter};
use overcoat::store::BlobStore;

const PROGRAMS: [&str; 24] = [
    "cat", "chmod", "cp", "echo", "env", "find", "grep", "httpd", "id", "kill", "ln", "ls",
    "mkdir", "mv", "nc", "rm", "sed", "sh", "sleep", "sort", "tar", "touch", "true", "wc",
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ndefault:x:1001:0::/opt/app-root/src:/bin/sh\n";

/// Moves the source in place and installs a "dependency": a file outside the application's directory.
pub const ASSEMBLE: &str = "#!/bin/sh\nset -eu\necho \"---> assembling as $(id -u):$(id -g)\"\n\
    cp -R /tmp/src/. /opt/app-root/src/\nrm -rf /tmp/src/* /tmp/src/.s2i\n\
    mkdir -p /opt/app-root/lib\necho dependency > /opt/app-root/lib/dependency\n";

const RUN: &str = "#!/bin/sh\nexec cat /opt/app-root/src/app.py\n";

/// What differs from the usual builder.
#[derive(Clone)]
pub struct Tiny {
    pub assemble: &'static str,
    pub labels: Vec<(&'static str, &'static str)>,
    pub user: &'static str,
    /// More files of root's in the lower of its two layers: paths without a leading slash, with their text.
    pub files: Vec<(&'static str, &'static str)>,
    /// Links in the same layer: paths without a leading slash, with their targets.
    pub links: Vec<(&'static str, String)>,
    /// Scripts by name in `/usr/libexec/s2i`, instead of `assemble` and the usual ones.
    pub scripts: Option<Vec<(&'static str, String)>>,
    /// Programs that it lacks: `tar`, `sh`.
    pub without: Vec<&'static str>,
    /// Directories that everybody may write to, paths without a leading slash.
    pub open: Vec<&'static str>,
    /// More variables of the image.
    pub variables: Vec<(&'static str, &'static str)>,
    /// The entry point; none when empty.
    pub entrypoint: Vec<&'static str>,
    /// `OnBuild` of the configuration: instructions of a Dockerfile.
    pub on_build: Vec<&'static str>,
}

impl Default for Tiny {
    fn default() -> Self {
        Self {
            assemble: ASSEMBLE,
            labels: vec![("io.openshift.s2i.scripts-url", "image:///usr/libexec/s2i")],
            user: "1001",
            files: Vec::new(),
            links: Vec::new(),
            scripts: None,
            without: Vec::new(),
            open: Vec::new(),
            variables: Vec::new(),
            entrypoint: Vec::new(),
            on_build: Vec::new(),
        }
    }
}

/// A script of the fake builder (`s2i-compat.md` §4.1), in `testdata/builders/fake`.
pub fn fake_script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/builders/fake");
    std::fs::read_to_string(path.join(name)).unwrap()
}

impl Tiny {
    /// The fake builder of `s2i-compat.md` §4.1: its scripts leave traces in `/sti-fake`. The scripts are in the image,
    /// and a label says where.
    pub fn fake() -> Self {
        let scripts = ["assemble", "run", "save-artifacts", "usage"];
        Self {
            scripts: Some(scripts.map(|name| (name, fake_script(name))).to_vec()),
            open: vec!["sti-fake"],
            user: "0",
            ..Self::default()
        }
    }

    /// The fake builder without scripts and without a label that names any: `--scripts-url` has to.
    pub fn fake_without_scripts() -> Self {
        Self {
            scripts: Some(Vec::new()),
            labels: Vec::new(),
            ..Self::fake()
        }
    }

    /// The same without a shell in its place; scripts name busybox for their interpreter.
    pub fn without_shell(mut self) -> Self {
        self.without.push("sh");
        for (_, text) in self.scripts.iter_mut().flatten() {
            *text = text.replacen("#!/bin/sh", "#!/bin/busybox sh", 1);
        }
        self
    }

    /// Writes the builder as a layout below `directory`; the text for `--build-image`.
    pub fn write(&self, directory: &Path) -> String {
        let layout = directory.join("builder");
        let store = BlobStore::open(&layout).unwrap();
        // Two layers, so that something lies under something.
        let layers = [self.base(&store), self.scripts(&store)];
        let changes = Changes {
            environment: [
                ("PATH", "/bin"),
                ("HOME", "/opt/app-root/src"),
                ("FROM_BUILDER", "yes"),
            ]
            .iter()
            .chain(&self.variables)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
            labels: self
                .labels
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            command: Some(vec!["/usr/libexec/s2i/usage".to_owned()]),
            entrypoint: Some(self.entrypoint.iter().map(ToString::to_string).collect()),
            user: Some(self.user.to_owned()),
            working_directory: Some("/opt/app-root/src".to_owned()),
            exposed_ports: vec!["8080/tcp".to_owned()],
            created: "1980-01-01T00:00:00Z".to_owned(),
            ..Changes::default()
        };
        let image = from_scratch(&Platform::host(), &layers, &changes).unwrap();
        let manifest = with_triggers(&store, &image, &self.on_build);
        store
            .tag(&"tiny".parse().unwrap(), &manifest, &Platform::host())
            .unwrap();
        drop(store);
        let readable = std::process::Command::new("chmod")
            .args(["-R", "a+rX"])
            .arg(directory)
            .status()
            .unwrap();
        assert!(readable.success());
        format!("oci:{}:tiny:latest", layout.display())
    }

    fn base(&self, store: &BlobStore) -> NewLayer {
        let busybox = busybox();
        let mut files: Vec<(&str, u32, &[u8])> = vec![
            ("bin/busybox", 0o755, &busybox),
            ("etc/group", 0o644, b"root:x:0:\n"),
            ("etc/passwd", 0o644, PASSWD.as_bytes()),
            ("usr/share/old/a", 0o644, b"a"),
            ("usr/share/old/b", 0o644, b"b"),
        ];
        let more = self.files.iter();
        files.extend(more.map(|(path, text)| (*path, 0o644, text.as_bytes())));
        files.sort();
        let mut directories = vec![
            "bin",
            "dev",
            "etc",
            "opt",
            "proc",
            "run",
            "tmp",
            "usr",
            "usr/share",
            "usr/share/old",
        ];
        for (path, _) in &self.files {
            let above = path.match_indices('/').map(|(end, _)| &path[..end]);
            directories.extend(above);
        }
        directories.sort();
        directories.dedup();
        directories.retain(|path| !self.links.iter().any(|(link, _)| link == path));
        let programs = PROGRAMS
            .iter()
            .filter(|name| !self.without.contains(name))
            .map(|name| (format!("bin/{name}"), "busybox".to_owned()));
        let more = self
            .links
            .iter()
            .map(|(path, target)| ((*path).to_owned(), target.clone()));
        let links: Vec<(String, String)> = programs.chain(more).collect();
        layer(store, "base", &directories, &self.open, &files, &links)
    }

    fn scripts(&self, store: &BlobStore) -> NewLayer {
        let usual = || {
            let scripts = [
                ("assemble", self.assemble),
                ("run", RUN),
                ("usage", "#!/bin/sh\necho usage\n"),
            ];
            scripts.map(|(name, text)| (name, text.to_owned())).to_vec()
        };
        let scripts = self.scripts.clone().unwrap_or_else(usual);
        let paths: Vec<(String, String)> = scripts
            .into_iter()
            .map(|(name, text)| (format!("usr/libexec/s2i/{name}"), text))
            .collect();
        let files: Vec<(&str, u32, &[u8])> = paths
            .iter()
            .map(|(path, text)| (path.as_str(), 0o755, text.as_bytes()))
            .collect();
        let directories = [
            "opt",
            "opt/app-root",
            "opt/app-root/src",
            "usr",
            "usr/libexec",
            "usr/libexec/s2i",
        ];
        layer(store, "scripts", &directories, &[], &files, &[])
    }
}

fn busybox() -> Vec<u8> {
    let path = ["/bin/busybox", "/usr/bin/busybox"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists());
    let path = path.expect("busybox-static, which ./test.sh installs");
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

/// Puts an image's documents into the store, with `OnBuild` when there are triggers; the manifest.
fn with_triggers(store: &BlobStore, image: &Image, triggers: &[&str]) -> Descriptor {
    if triggers.is_empty() {
        store.put_documents(image).unwrap();
        return image.manifest.descriptor.clone();
    }
    let mut config = image.config.parsed.value().clone();
    config["config"]["OnBuild"] = triggers.into();
    let config_bytes = config.to_string().into_bytes();
    let config = Descriptor::of(media_type::OCI_CONFIG, &config_bytes);
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    manifest["config"] = config.to_value();
    let manifest_bytes = manifest.to_string().into_bytes();
    let manifest = Descriptor::of(media_type::OCI_MANIFEST, &manifest_bytes);
    store.put(&config, &config_bytes).unwrap();
    store.put(&manifest, &manifest_bytes).unwrap();
    manifest
}

/// A layer of these members, parents first; `opt/app-root` and below belong to the application's user.
fn layer(
    store: &BlobStore,
    name: &str,
    directories: &[&str],
    open: &[&str],
    files: &[(&str, u32, &[u8])],
    links: &[(String, String)],
) -> NewLayer {
    let mut writer = LayerWriter::new(store.begin_blob().unwrap(), i64::MAX, 1);
    let entry = |path: &str, kind, mode| {
        let mut entry = Entry::new(EntryPath::parse(path.as_bytes()).unwrap(), kind, mode);
        entry.mtime = 1_600_000_000;
        if path.starts_with("opt/app-root") {
            entry.uid = 1001;
        }
        entry
    };
    for path in directories {
        let mode = match *path {
            "tmp" => 0o1777,
            path if path.starts_with("opt/app-root") => 0o775,
            _ => 0o755,
        };
        writer
            .append(&entry(path, Kind::Directory, mode), std::io::empty())
            .unwrap();
    }
    for path in open {
        let directory = entry(path, Kind::Directory, 0o777);
        writer.append(&directory, std::io::empty()).unwrap();
    }
    for (path, mode, content) in files {
        let size = content.len() as u64;
        writer
            .append(&entry(path, Kind::File { size }, *mode), *content)
            .unwrap();
    }
    for (path, target) in links {
        let target = target.as_bytes().to_vec();
        writer
            .append(
                &entry(path, Kind::Symlink { target }, 0o777),
                std::io::empty(),
            )
            .unwrap();
    }
    let (blob, written) = writer.finish().unwrap();
    let (digest, size) = blob.finish().unwrap();
    NewLayer {
        descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
        diff_id: written.diff_id,
        created_by: format!("tiny: {name}"),
    }
}
