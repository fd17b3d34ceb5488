//! Builder images of the kinds that people have (`s2i-compat.md` §5), made by our own code from the Debian recipe and the
//! scripts of `testdata/builders`; once for a run, in `target/tmp`. **Needs the network**, for the recipe.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use overcoat::image::edit::{Changes, NewLayer, from_scratch};
use overcoat::image::{Descriptor, Platform, media_type};
use overcoat::layer::{Entry, EntryPath, Kind, LayerWriter, read};
use overcoat::store::BlobStore;

use super::super::flask;
use super::{Done, Overcoat, free_port, get};

/// Where the recipe's virtual environment is.
const RECIPE_VENV: &str = "/opt/app-root";
/// The user of the builders for OpenShift, with group 0.
const USER: u32 = 1001;
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ACTIVATE: &str = "/opt/app-root/etc/activate";

/// The flag of a build that uses what the previous image kept.
pub const INCREMENTAL: &[&str] = &["--incremental"];

/// A kind of builder image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    /// Daeploy's older ones: scripts at `/.s2i/bin` by a relative label, root, `/` for working directory, no `HOME`.
    DaeployOld,
    /// Daeploy's newer ones: scripts at `/usr/libexec/s2i`, `HOME` and working directory in `/opt/app-root/src`.
    DaeployNew,
    /// Those for OpenShift: uid 1001, an entry point, and a virtual environment that only `BASH_ENV` activates.
    Sclorg,
    /// Their minimal twins: no labels, no entry point, no `tar`.
    Minimal,
}

impl Builder {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::DaeployOld,
        Self::DaeployNew,
        Self::Sclorg,
        Self::Minimal,
    ];

    /// Its name in the layout, and in test names.
    pub fn name(self) -> &'static str {
        match self {
            Self::DaeployOld => "daeploy-old",
            Self::DaeployNew => "daeploy-new",
            Self::Sclorg => "sclorg-like",
            Self::Minimal => "minimal",
        }
    }

    /// The text for `--build-image`.
    pub fn image(self) -> String {
        format!("oci:{}:{}", layout().display(), self.name())
    }

    /// The directory of its scripts in `testdata/builders`.
    fn scripts(self) -> &'static str {
        match self {
            Self::Sclorg | Self::Minimal => "sclorg",
            _ => self.name(),
        }
    }

    fn is_daeploys(self) -> bool {
        matches!(self, Self::DaeployOld | Self::DaeployNew)
    }

    /// Where its scripts are, without the leading slash.
    fn scripts_directory(self) -> &'static str {
        match self {
            Self::DaeployOld => ".s2i/bin",
            _ => "usr/libexec/s2i",
        }
    }

    /// Where its virtual environment is.
    fn venv(self) -> &'static str {
        match self.is_daeploys() {
            true => "/opt/venv",
            false => RECIPE_VENV,
        }
    }

    /// Where something of the recipe's last layer goes, if anywhere.
    fn place(self, path: &str) -> Option<String> {
        if path == "usr/libexec/s2i" || path.starts_with("usr/libexec/s2i/") {
            return None;
        }
        let venv = RECIPE_VENV.trim_start_matches('/');
        match path.strip_prefix(venv) {
            Some(rest) if self.is_daeploys() && rest.starts_with("/src") => None,
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                Some(format!("{}{rest}", self.venv().trim_start_matches('/')))
            }
            _ => Some(path.to_owned()),
        }
    }

    /// What lies on top of the recipe.
    fn own_files(self) -> Vec<(Entry, Vec<u8>)> {
        let mut members = Vec::new();
        let directory = self.scripts_directory();
        for (end, _) in directory.match_indices('/') {
            members.push(entry(&directory[..end], Kind::Directory, 0o755));
        }
        members.push(entry(directory, Kind::Directory, 0o755));
        let mut files: Vec<(String, &str, u32)> = ["assemble", "run", "usage"]
            .map(|name| (format!("{directory}/{name}"), name, 0o755))
            .to_vec();
        match self {
            Self::DaeployOld => {}
            Self::DaeployNew => {
                members.push(entry("opt/app-root", Kind::Directory, 0o755));
                members.push(entry("opt/app-root/src", Kind::Directory, 0o755));
            }
            Self::Sclorg | Self::Minimal => {
                members.push(entry("opt/app-root/etc", Kind::Directory, 0o775));
                for name in ["activate", "container-user"] {
                    files.push((format!("opt/app-root/etc/{name}"), name, 0o664));
                }
                files.push((
                    "usr/bin/fix-permissions".to_owned(),
                    "fix-permissions",
                    0o755,
                ));
            }
        }
        if self == Self::Sclorg {
            let name = "container-entrypoint";
            files.push((format!("usr/bin/{name}"), name, 0o755));
        }
        for (path, name, mode) in files {
            let text = fs::read(testdata(self.scripts()).join(name)).unwrap();
            members.push(file(&path, mode, text));
        }
        if self == Self::Minimal {
            members.push(file("usr/bin/.wh.tar", 0, Vec::new()));
        }
        for (entry, _) in &mut members {
            if !self.is_daeploys() && entry.path.as_bytes().starts_with(b"opt/") {
                entry.uid = USER;
            }
        }
        members
    }

    fn changes(self) -> Changes {
        let path = match self.is_daeploys() {
            true => format!("/opt/venv/bin:{SYSTEM_PATH}"),
            // Not the virtual environment's: that is what BASH_ENV is for.
            false => {
                format!("/opt/app-root/src/.local/bin:/opt/app-root/src/bin:{SYSTEM_PATH}")
            }
        };
        let scripts = format!("/{}", self.scripts_directory());
        let mut environment = vec![
            ("PATH", path.as_str()),
            ("LANG", "C.UTF-8"),
            ("PYTHONUNBUFFERED", "1"),
            ("STI_SCRIPTS_PATH", &scripts),
        ];
        environment.extend(match self {
            Self::DaeployOld => vec![("APP_ROOT", "/app_root")],
            Self::DaeployNew => vec![("APP_ROOT", "/opt/app-root"), ("HOME", "/opt/app-root/src")],
            Self::Sclorg | Self::Minimal => vec![
                ("APP_ROOT", "/opt/app-root"),
                ("HOME", "/opt/app-root/src"),
                ("BASH_ENV", ACTIVATE),
                ("ENV", ACTIVATE),
                ("PROMPT_COMMAND", ". /opt/app-root/etc/activate"),
                ("PYTHON_VERSION", "3.11"),
                ("PYTHONIOENCODING", "UTF-8"),
                ("LC_ALL", "C.UTF-8"),
                ("PIP_NO_CACHE_DIR", "off"),
                ("CNB_USER_ID", "1001"),
                ("CNB_GROUP_ID", "0"),
            ],
        });
        if self == Self::Sclorg {
            environment.push(("STI_SCRIPTS_URL", "image:///usr/libexec/s2i"));
        }
        let labels: &[(&str, &str)] = match self {
            Self::DaeployOld => &[("io.openshift.s2i.scripts-url", "image://.s2i/bin")],
            Self::DaeployNew => &[("io.openshift.s2i.scripts-url", "image:///usr/libexec/s2i")],
            Self::Sclorg => &[
                ("io.openshift.s2i.scripts-url", "image:///usr/libexec/s2i"),
                ("io.s2i.scripts-url", "image:///usr/libexec/s2i"),
            ],
            Self::Minimal => &[],
        };
        let common: &[(&str, &str)] = match self {
            Self::Minimal => &[],
            _ => &[
                ("io.k8s.display-name", "Python for tests"),
                ("io.openshift.expose-services", "8080:http"),
                ("io.openshift.tags", "builder,python"),
            ],
        };
        let usage: &[&str] = match self {
            Self::DaeployOld => &[".s2i/bin/usage"],
            // As it is there: nothing expands it, so it cannot be started.
            Self::DaeployNew => &["$STI_SCRIPTS_PATH/usage"],
            Self::Sclorg | Self::Minimal => &["/bin/sh", "-c", "$STI_SCRIPTS_PATH/usage"],
        };
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Changes {
            environment: environment.iter().map(owned).collect(),
            labels: labels.iter().chain(common).map(owned).collect(),
            command: Some(usage.iter().map(ToString::to_string).collect()),
            entrypoint: (self == Self::Sclorg).then(|| vec!["container-entrypoint".to_owned()]),
            user: (!self.is_daeploys()).then(|| USER.to_string()),
            working_directory: Some(
                match self {
                    Self::DaeployOld => "/",
                    _ => "/opt/app-root/src",
                }
                .to_owned(),
            ),
            exposed_ports: vec!["8080/tcp".to_owned()],
            created: "1980-01-01T00:00:00Z".to_owned(),
            ..Changes::default()
        }
    }
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/builders")
        .join(name)
}

fn entry(path: &str, kind: Kind, mode: u32) -> (Entry, Vec<u8>) {
    let path = EntryPath::parse(path.as_bytes()).unwrap();
    (Entry::new(path, kind, mode), Vec::new())
}

fn file(path: &str, mode: u32, content: Vec<u8>) -> (Entry, Vec<u8>) {
    let size = content.len() as u64;
    (entry(path, Kind::File { size }, mode).0, content)
}

/// The layout that has them all.
fn layout() -> PathBuf {
    let seed = flask::seed();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("s2i-builders");
    let lock = File::create(directory.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !directory.join("complete").exists() {
        let _ = fs::remove_dir_all(&directory);
        let recipes = BlobStore::open(&seed).unwrap();
        let store = BlobStore::open(&directory).unwrap();
        for builder in Builder::ALL {
            write(builder, &recipes, &store);
        }
        fs::write(directory.join("complete"), "").unwrap();
    }
    directory
}

/// Makes one: Debian's packages as they are, the recipe's generated files with the virtual environment where this builder
/// has it, and its own files.
fn write(builder: Builder, recipes: &BlobStore, store: &BlobStore) {
    let recipe = recipes
        .resolve(&"builder/python-3.11".parse().unwrap())
        .unwrap()
        .expect("flask::seed makes it");
    let recipe = recipes.image(&recipe.manifest).unwrap();
    let blobs = &recipe.manifest.parsed.layers;
    let (generated, packages) = blobs.split_last().unwrap();
    let mut layers = Vec::new();
    for (layer, diff_id) in packages.iter().zip(recipe.config.parsed.diff_ids()) {
        if !store.has(layer) {
            let mut blob = recipes.open_blob(layer).unwrap();
            let mut writer = store.begin_blob().unwrap();
            std::io::copy(&mut blob, &mut writer).unwrap();
            writer.finish_as(layer).unwrap();
        }
        layers.push(NewLayer {
            descriptor: layer.clone(),
            diff_id: diff_id.clone(),
            created_by: "packages".to_owned(),
        });
    }
    let tar = recipes.open_blob(generated).unwrap();
    let mut members = Vec::new();
    read::for_each(&mut MultiGzDecoder::new(tar), |mut entry, content| {
        let path = String::from_utf8(entry.path.as_bytes().to_vec()).unwrap();
        let Some(place) = builder.place(&path) else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).unwrap();
        if place != path {
            // It moved, and what is text names the place. It is root's there.
            bytes = moved(bytes, builder.venv());
            (entry.uid, entry.gid) = (0, 0);
        }
        if let Kind::File { size } = &mut entry.kind {
            *size = bytes.len() as u64;
        }
        entry.path = EntryPath::parse(place.as_bytes()).unwrap();
        members.push((entry, bytes));
        Ok(())
    })
    .unwrap();
    layers.push(layer(store, &members, "generated files"));
    layers.push(layer(store, &builder.own_files(), "scripts"));
    let image = from_scratch(&Platform::host(), &layers, &builder.changes()).unwrap();
    store.put_documents(&image).unwrap();
    store
        .tag_as(
            builder.name(),
            &image.manifest.descriptor,
            &Platform::host(),
        )
        .unwrap();
}

/// A file of the recipe's virtual environment as it is in one at `venv`.
fn moved(bytes: Vec<u8>, venv: &str) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(text) => text.replace(RECIPE_VENV, venv).into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

fn layer(store: &BlobStore, members: &[(Entry, Vec<u8>)], name: &str) -> NewLayer {
    let mut writer = LayerWriter::new(store.begin_blob().unwrap(), i64::MAX, 1);
    for (entry, content) in members {
        writer.append(entry, content.as_slice()).unwrap();
    }
    let (blob, written) = writer.finish().unwrap();
    let (digest, size) = blob.finish().unwrap();
    NewLayer {
        descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
        diff_id: written.diff_id,
        created_by: name.to_owned(),
    }
}

/// What `s2i build SOURCE BUILDER TAG FLAGS` does. This is the one place that says how.
pub fn s2i_build(
    overcoat: &Overcoat,
    source: &Path,
    builder: &str,
    tag: &str,
    flags: &[&str],
) -> Done {
    let source = source.to_str().unwrap();
    overcoat.run(
        &[
            &["build", source, "--build-image", builder, "-t", tag],
            flags,
        ]
        .concat(),
    )
}

/// Starts an image on a free port and waits for its answer to `GET /`. It is ended before this returns; an image that ends
/// by itself fails the test with what it said.
#[track_caller]
pub fn answer(overcoat: &Overcoat, image: &str) -> String {
    let port = free_port();
    let mut running = overcoat.spawn(&["run", image, "-e", &format!("PORT={port}")]);
    let start = std::time::Instant::now();
    loop {
        if let Some(body) = get(port) {
            return body;
        }
        let is_over = running.child.try_wait().unwrap().is_some();
        if is_over || start.elapsed().as_secs() > 60 {
            let _ = running.child.kill();
            let (done, _) = running.wait(std::time::Duration::from_secs(5));
            panic!("`{image}` gave no answer: {done:#?}");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
