//! Images in one file: tars of an OCI layout, and the archives of `docker save`.
//!
//! Archives are read member by member into the store. Members are found by their digests, never written by their
//! names, so nothing in an archive can reach a path. What is written has fixed headers in a fixed order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Error, oci_layout};
use crate::digest::{Algorithm, DiffId, Digest, DigestWriter, Digester};
use crate::event::Observer;
use crate::fs::Context;
use crate::image::{Content, Descriptor, Image, Index, MAX_DOCUMENT_BYTES, Platform, media_type};
use crate::layer::{self, EntryPath, Kind};
use crate::store::BlobStore;

const OCI: &str = "OCI archive";
/// Docker writes one for the image, one for each layer in its old format, and an index.
const MAX_DOCUMENTS: usize = 256;
const DOCKER: &str = "image archive of Docker's";

/// Reads the image of an `oci-archive` into the store.
///
/// # Errors
/// [`Error::Format`] for other files; otherwise as [`oci_layout::read`].
pub fn read_oci(
    file: &Path,
    platform: &Platform,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Image, Error> {
    let format = |reason: &str| Error::Format {
        format: OCI,
        path: file.display().to_string(),
        reason: reason.to_owned(),
    };
    let index = unpack_oci(file, store, observer)?;
    let present = |blob: &Descriptor| match store.has(blob) {
        true => Ok(()),
        false => Err(format(&format!(
            "the blob `{}` is missing from it",
            blob.digest
        ))),
    };
    oci_layout::import(
        &file.display().to_string(),
        &index,
        None,
        platform,
        store,
        &present,
    )
}

/// Reads every blob of an `oci-archive` into the store; its index.
///
/// # Errors
/// [`Error::Format`] for other files; [`Error::Store`] for bytes that are not what their name says.
pub fn unpack_oci(file: &Path, store: &BlobStore, observer: &dyn Observer) -> Result<Index, Error> {
    let format = |reason: &str| Error::Format {
        format: OCI,
        path: file.display().to_string(),
        reason: reason.to_owned(),
    };
    let mut index = None;
    members(file, OCI, observer, |path, content| {
        if path == b"index.json" {
            index = Some(small(file, content)?);
        } else if let Some(digest) = blob_name(path) {
            store_member(file, &digest, content, store)?;
        }
        Ok(())
    })?;
    let index = index.ok_or_else(|| format("it has no `index.json`"))?;
    Index::parse(&index).map_err(|error| format(&error.to_string()))
}

fn blob_name(path: &[u8]) -> Option<Digest> {
    let name = std::str::from_utf8(path).ok()?.strip_prefix("blobs/")?;
    name.replacen('/', ":", 1).parse().ok()
}

fn store_member(
    file: &Path,
    digest: &Digest,
    content: &mut dyn Read,
    store: &BlobStore,
) -> Result<(), Error> {
    let mut writer = store.begin_blob()?;
    let size = io::copy(content, &mut writer).context("read", file)?;
    Ok(writer.finish_as(&Descriptor::new("", digest.clone(), size))?)
}

/// Reads the only image of a `docker-archive` into the store, as an OCI image.
///
/// # Errors
/// [`Error::Format`] for other files and archives of several images.
pub fn read_docker(
    file: &Path,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Image, Error> {
    let shown = file.display().to_string();
    let format = |reason: String| Error::Format {
        format: DOCKER,
        path: shown.clone(),
        reason,
    };
    let mut documents: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut blobs: BTreeMap<Vec<u8>, (Descriptor, DiffId)> = BTreeMap::new();
    members(file, DOCKER, observer, |path, content| {
        if path.ends_with(b".json") {
            if documents.len() == MAX_DOCUMENTS {
                let reason = format!("it has more than {MAX_DOCUMENTS} JSON files");
                return Err(Error::Format {
                    format: DOCKER,
                    path: file.display().to_string(),
                    reason,
                });
            }
            documents.insert(path.to_vec(), small(file, content)?);
        } else if path != b"VERSION"
            && !path.ends_with(b"/VERSION")
            && path != b"repositories"
            && path != b"oci-layout"
        {
            blobs.insert(path.to_vec(), store_layer(file, content, store)?);
        }
        Ok(())
    })?;
    let manifest = documents
        .get(&b"manifest.json"[..])
        .ok_or_else(|| format("it has no `manifest.json`".into()))?;
    let manifest: Value =
        serde_json::from_slice(manifest).map_err(|error| format(error.to_string()))?;
    let [image] = manifest.as_array().map(Vec::as_slice).unwrap_or_default() else {
        return Err(format("it does not hold exactly one image".into()));
    };
    let config_name = image["Config"].as_str().unwrap_or_default().as_bytes();
    let config = match (documents.get(config_name), blobs.get(config_name)) {
        (Some(bytes), _) => bytes.clone(),
        // Docker 25 and later call it by its digest below `blobs/`.
        (None, Some((blob, _))) => store.read_document(&Descriptor {
            media_type: String::new(),
            ..blob.clone()
        })?,
        (None, None) => return Err(format("its image configuration is missing".into())),
    };
    let mut layers = Vec::new();
    for name in image["Layers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        let layer = blobs
            .get(name.as_bytes())
            .ok_or_else(|| format(format!("its layer `{name}` is missing")))?;
        layers.push(layer.clone());
    }
    let image = image_of(&config, &layers).map_err(|source| Error::Image {
        path: shown.clone(),
        source,
    })?;
    for ((_, found), expected) in layers.iter().zip(image.config.parsed.diff_ids()) {
        if found != expected {
            return Err(format(format!(
                "a layer has the diff id `{found}` where `{expected}` should be"
            )));
        }
    }
    store.put_documents(&image)?;
    Ok(image)
}

/// A manifest for the configuration and layers of a Docker archive, which has none.
fn image_of(config: &[u8], layers: &[(Descriptor, DiffId)]) -> Result<Image, crate::image::Error> {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": Descriptor::of(media_type::OCI_CONFIG, config).to_value(),
        "layers": layers.iter().map(|(layer, _)| layer.to_value()).collect::<Vec<_>>(),
    });
    Image::parse(
        media_type::OCI_MANIFEST,
        manifest.to_string().into_bytes(),
        config.to_vec(),
    )
}

/// Stores a layer as it is, compressed or not, and finds its diff id.
fn store_layer(
    file: &Path,
    content: &mut dyn Read,
    store: &BlobStore,
) -> Result<(Descriptor, DiffId), Error> {
    let mut writer = store.begin_blob()?;
    io::copy(content, &mut writer).context("read", file)?;
    let (digest, size) = writer.finish()?;
    let path = store.blob_path(&digest);
    let mut start = [0; 4];
    let count = crate::fs::open(&path)?
        .read(&mut start)
        .context("read", &path)?;
    let media_type = match &start[..count] {
        [0x1f, 0x8b, ..] => media_type::OCI_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media_type::OCI_LAYER_ZSTD,
        _ => media_type::OCI_LAYER,
    };
    let blob = Descriptor::new(media_type, digest, size);
    let mut hash = DigestWriter::new(io::sink());
    let mut tar = open_tar(&blob, store)?;
    io::copy(&mut tar, &mut hash).context("decompress", &path)?;
    Ok((blob, DiffId(hash.finish().1)))
}

fn open_tar<'a>(blob: &Descriptor, store: &'a BlobStore) -> Result<Box<dyn Read + 'a>, Error> {
    let compression =
        media_type::layer_compression(&blob.media_type).ok_or_else(|| Error::Layer {
            digest: blob.digest.clone(),
            reason: format!("its media type is `{}`", blob.media_type),
        })?;
    let reader = io::BufReader::with_capacity(128 << 10, store.open_blob(blob)?);
    Ok(layer::decompress(reader, compression).context("read", &store.blob_path(&blob.digest))?)
}

fn small(file: &Path, content: &mut dyn Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    content
        .take(MAX_DOCUMENT_BYTES + 1)
        .read_to_end(&mut bytes)
        .context("read", file)?;
    if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
        return Err(Error::Format {
            format: "archive",
            path: file.display().to_string(),
            reason: format!("a document in it is larger than {MAX_DOCUMENT_BYTES} bytes"),
        });
    }
    Ok(bytes)
}

/// Calls `visit` with the path and content of every regular file in a tar. Links are followed within what was
/// read, as old Docker archives share layers by them: they are reported as an error, for the layer is then missing.
fn members(
    file: &Path,
    format: &'static str,
    observer: &dyn Observer,
    mut visit: impl FnMut(&[u8], &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = io::BufReader::with_capacity(128 << 10, crate::fs::open(file)?);
    let mut failed = None;
    let walked = layer::read::for_each(&mut reader, |entry, content| {
        if observer.is_cancelled() {
            return Err(layer::Error::Interrupted);
        }
        if let Kind::File { .. } = entry.kind
            && let Err(error) = visit(entry.path.as_bytes(), content)
        {
            failed = Some(error);
            return Err(layer::Error::Interrupted);
        }
        Ok(())
    });
    match (failed, walked) {
        (Some(error), _) => Err(error),
        (None, Err(layer::Error::Interrupted)) => Err(Error::Interrupted),
        (None, Err(error)) => Err(Error::Format {
            format,
            path: file.display().to_string(),
            reason: error.to_string(),
        }),
        (None, Ok(())) => Ok(()),
    }
}

/// Writes an `oci-archive`: the layout's files in a tar, without compression (the layers are compressed).
///
/// # Errors
/// [`Error::File`] for the file, [`Error::Store`] for damaged blobs.
pub fn write_oci(
    file: &Path,
    content: &Content<'_>,
    names: &[String],
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let entries: Vec<Value> = names
        .iter()
        .map(|name| {
            let mut entry = Descriptor {
                platform: content.platform(),
                ..content.descriptor().clone()
            };
            entry
                .annotations
                .insert("org.opencontainers.image.ref.name".to_owned(), name.clone());
            entry.to_value()
        })
        .collect();
    let index =
        json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries });
    let mut archive = Archive::create(file)?;
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.file("index.json", index.to_string().as_bytes())?;
    for (descriptor, bytes) in content.documents() {
        archive.file(&blob_member(descriptor), bytes)?;
    }
    for layer in content.layers() {
        archive.stream(
            &blob_member(layer),
            layer.size,
            &mut store.open_blob(layer)?,
            observer,
        )?;
    }
    archive.finish()
}

/// Writes an `oci-archive` of documents and blobs as they are: `entries` become the index, and `open` gives a reader for
/// a blob, one after the other. The file appears whole or not at all.
///
/// # Errors
/// What `open` says, and as [`write_oci`].
pub fn write_graph<E: From<Error>>(
    file: &Path,
    entries: &[Descriptor],
    documents: &[(&Descriptor, &[u8])],
    blobs: &[&Descriptor],
    observer: &dyn Observer,
    mut open: impl FnMut(&Descriptor) -> Result<Box<dyn Read>, E>,
) -> Result<(), E> {
    let entries: Vec<Value> = entries.iter().map(Descriptor::to_value).collect();
    let index =
        json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries });
    let mut archive = Archive::create(file)?;
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.file("index.json", index.to_string().as_bytes())?;
    let mut written = std::collections::BTreeSet::new();
    for (descriptor, bytes) in documents {
        if written.insert(&descriptor.digest) {
            archive.file(&blob_member(descriptor), bytes)?;
        }
    }
    for blob in blobs {
        if written.insert(&blob.digest) {
            let mut reader = open(blob)?;
            archive.stream(&blob_member(blob), blob.size, &mut reader, observer)?;
        }
    }
    Ok(archive.finish()?)
}

fn blob_member(blob: &Descriptor) -> String {
    format!(
        "blobs/{}/{}",
        blob.digest.algorithm().name(),
        blob.digest.hex()
    )
}

/// Writes a `docker-archive`: layers as plain tars, which every version of Docker loads.
///
/// # Errors
/// As [`write_oci`].
pub fn write_docker(
    file: &Path,
    image: &Image,
    names: &[String],
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let mut archive = Archive::create(file)?;
    let mut written: Vec<String> = Vec::new();
    let mut members = Vec::new();
    for (layer, diff_id) in image.layers() {
        let member = format!("{}.tar", diff_id.0.hex());
        if !written.contains(&member) {
            // The header comes before the content and holds its size, so the layer is decompressed twice.
            let size = io::copy(&mut open_tar(layer, store)?, &mut io::sink())
                .context("read", &store.blob_path(&layer.digest))?;
            archive.stream(&member, size, &mut open_tar(layer, store)?, observer)?;
            written.push(member.clone());
        }
        members.push(member);
    }
    let mut digester = Digester::new(Algorithm::Sha256);
    digester.update(&image.config.bytes);
    let config = format!("{}.json", digester.finish().hex());
    archive.file(&config, &image.config.bytes)?;
    let manifest = json!([{ "Config": config, "RepoTags": names, "Layers": members }]);
    archive.file("manifest.json", manifest.to_string().as_bytes())?;
    archive.finish()
}

/// A tar being written beside its final name.
struct Archive {
    builder: tar::Builder<io::BufWriter<tempfile::NamedTempFile>>,
    path: PathBuf,
}

impl Archive {
    fn create(path: &Path) -> Result<Self, Error> {
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let file = tempfile::Builder::new()
            .prefix(".overcoat-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(directory)
            .context("write to", directory)?;
        Ok(Self {
            builder: tar::Builder::new(io::BufWriter::new(file)),
            path: path.to_owned(),
        })
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.member(name, bytes.len() as u64, &mut &*bytes)
    }

    fn stream(
        &mut self,
        name: &str,
        size: u64,
        content: &mut dyn Read,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        self.member(name, size, content)?;
        // The end of a verifying reader is where it checks.
        io::copy(content, &mut io::sink()).context("read", Path::new(name))?;
        Ok(())
    }

    fn member(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        debug_assert!(EntryPath::parse(name.as_bytes()).is_ok());
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        // `append_data` writes GNU's record for names that the header cannot hold (SHA-512).
        self.builder
            .append_data(&mut header, name, content)
            .context("write", &self.path)?;
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        let path = self.path;
        let mut file = self.builder.into_inner().context("write", &path)?;
        file.flush().context("write", &path)?;
        let file = file
            .into_inner()
            .map_err(|error| crate::fs::Error::new("write", &path, error.into_error()))?;
        let sync: io::Result<()> = File::sync_all(file.as_file());
        sync.context("sync", &path)?;
        file.persist(&path)
            .map_err(|error| error.error)
            .context("write", &path)?;
        Ok(())
    }
}
