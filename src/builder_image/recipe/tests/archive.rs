//! A signed Debian archive of a few packages, made here and served on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use pgp::composed::{ArmorOptions, DetachedSignature, SignedKeyDetails, SignedPublicKey};
use pgp::crypto::ed25519::{Mode, SecretKey as Ed25519};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{
    PubKeyInner, PublicKey, SecretKey, SignatureConfig, SignatureType, Subpacket, SubpacketData,
    UserId,
};
use pgp::types::{
    KeyDetails as _, KeyVersion, PacketHeaderVersion, Password, PlainSecretParams, PublicParams,
    SecretParams, Tag, Timestamp,
};
use tar::EntryType;

use crate::debian::mirror::Mirrors;
use crate::debian::status::md5;
use crate::digest::Digest;

/// When the key and the signatures were made.
pub(super) const NOW: u64 = 1_700_000_000;

/// A member of a package: path, type, mode, link, content.
pub(super) type Member<'a> = (&'a str, EntryType, u32, &'a str, &'a [u8]);

/// A package: name, version, further fields of `control` (each line ends in `\n`), conffiles, members.
pub(super) struct Package<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) fields: &'a str,
    pub(super) conffiles: &'a str,
    pub(super) members: Vec<Member<'a>>,
}

/// Files by path, and how often anything was asked for.
#[derive(Default)]
struct Served {
    files: BTreeMap<String, Vec<u8>>,
    requests: usize,
}

/// The archive; its server lives as long as the tests do.
pub(super) struct Archive {
    key: SecretKey,
    pub(super) mirrors: Mirrors,
    served: Arc<Mutex<Served>>,
}

impl Archive {
    /// An archive with nothing in it.
    pub(super) fn new() -> Self {
        let secret = Ed25519::try_from_bytes([7; 32], Mode::Ed25519).unwrap();
        let params = PublicParams::Ed25519((&secret).into());
        let (algorithm, born) = (
            PublicKeyAlgorithm::Ed25519,
            Timestamp::from_secs(NOW as u32),
        );
        let inner = PubKeyInner::new(KeyVersion::V4, algorithm, born, None, params).unwrap();
        let secret = SecretParams::Plain(PlainSecretParams::Ed25519(secret));
        let key = SecretKey::new(PublicKey::from_inner(inner).unwrap(), secret).unwrap();
        let (address, served) = serve();
        let mirrors = Mirrors {
            archive: address.clone(),
            security: address,
        };
        Self {
            key,
            mirrors,
            served,
        }
    }

    /// How many requests there have been.
    pub(super) fn requests(&self) -> usize {
        self.served.lock().unwrap().requests
    }

    /// Replaces everything by these packages.
    pub(super) fn publish(&self, packages: &[Package<'_>]) {
        let debs: Vec<Vec<u8>> = packages.iter().map(deb).collect();
        let all: Vec<(&Package<'_>, Vec<u8>)> = packages.iter().zip(debs).collect();
        self.publish_files(&all);
    }

    /// Replaces everything by these packages, whose files are as given.
    pub(super) fn publish_files(&self, packages: &[(&Package<'_>, Vec<u8>)]) {
        let (mut index, mut files) = (String::new(), BTreeMap::new());
        for (package, deb) in packages {
            let path = format!("pool/{}_{}.deb", package.name, package.version);
            let (size, digest) = (deb.len(), Digest::of(deb));
            let control = control(package);
            index.push_str(&format!(
                "{control}Filename: {path}\nSize: {size}\nSHA256: {}\n\n",
                digest.hex()
            ));
            files.insert(path, deb.clone());
        }
        let digest = Digest::of(index.as_bytes());
        let release = format!(
            "Suite: stable\nCodename: zork\nSHA256:\n {} {} main/binary-amd64/Packages",
            digest.hex(),
            index.len()
        );
        let signed = self.sign(&release).into_bytes();
        files.insert("dists/zork/InRelease".to_owned(), signed);
        files.insert(
            "dists/zork/main/binary-amd64/Packages".to_owned(),
            index.into_bytes(),
        );
        self.served.lock().unwrap().files = files;
    }

    /// Writes a recipe with the archive's key beside it.
    pub(super) fn write_recipe(&self, directory: &Path, text: &str) {
        std::fs::create_dir_all(directory.join("keys")).unwrap();
        std::fs::write(directory.join("keys/zork.asc"), self.keyring()).unwrap();
        std::fs::write(directory.join("recipe.toml"), text).unwrap();
    }

    fn keyring(&self) -> Vec<u8> {
        let name = UserId::from_str(PacketHeaderVersion::New, "Test <test@example.org>").unwrap();
        let (key, public) = (&self.key, self.key.public_key());
        let on_name = self
            .config(SignatureType::CertPositive)
            .sign_certification(key, public, &Password::empty(), Tag::UserId, &name)
            .unwrap();
        let certificate = SignedPublicKey {
            primary_key: public.clone(),
            details: SignedKeyDetails::new(vec![], vec![], vec![name.into_signed(on_name)], vec![]),
            public_subkeys: vec![],
        };
        certificate
            .to_armored_bytes(ArmorOptions::default())
            .unwrap()
    }

    fn config(&self, kind: SignatureType) -> SignatureConfig {
        let mut config = SignatureConfig::v4(kind, self.key.algorithm(), HashAlgorithm::Sha256);
        let born = Timestamp::from_secs(NOW as u32);
        config.hashed_subpackets = [
            SubpacketData::SignatureCreationTime(born),
            SubpacketData::IssuerFingerprint(self.key.fingerprint()),
        ]
        .map(|data| Subpacket::regular(data).unwrap())
        .to_vec();
        config
    }

    fn sign(&self, text: &str) -> String {
        let lines = text.replace('\n', "\r\n");
        let signature = self
            .config(SignatureType::Text)
            .sign(&self.key, &Password::empty(), lines.as_bytes())
            .unwrap();
        let armor = DetachedSignature::new(signature)
            .to_armored_string(ArmorOptions::default())
            .unwrap();
        format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{text}\n{armor}")
    }
}

fn serve() -> (String, Arc<Mutex<Served>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::new(Mutex::new(Served::default()));
    let ours = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            lines.find(|line| line.is_empty());
            let path = request.split(' ').nth(1).unwrap_or_default();
            let mut served = ours.lock().unwrap();
            served.requests += 1;
            let found = served.files.get(path.trim_start_matches('/'));
            let status = found.map_or("404 Not Found", |_| "200 OK");
            let body = found.map(Vec::as_slice).unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = (&stream).write_all(&[head.as_bytes(), body].concat());
        }
    });
    (address, served)
}

fn control(package: &Package<'_>) -> String {
    format!(
        "Package: {}\nVersion: {}\nArchitecture: amd64\n{}",
        package.name, package.version, package.fields
    )
}

/// The package's file.
pub(super) fn deb(package: &Package<'_>) -> Vec<u8> {
    let file = EntryType::Regular;
    let control = control(package) + "Description: made for a test\n";
    let control = tar_of(&[
        ("./control", file, 0o644, "", control.as_bytes()),
        ("./conffiles", file, 0o644, "", package.conffiles.as_bytes()),
        ("./postinst", file, 0o755, "", b"#!/bin/sh\nexit 1\n"),
    ]);
    let data = tar_of(&package.members);
    let parts: [(&str, &[u8]); 3] = [
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control),
        ("data.tar", &data),
    ];
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, body) in parts {
        let numbers = format!("{:<12}{:<6}{:<6}{:<8}{:<10}", 0, 0, 0, 100_644, body.len());
        bytes.extend(format!("{name:<16}{numbers}`\n").into_bytes());
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

fn tar_of(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, mode, link, body) in members {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(8);
        header.set_mtime(NOW);
        header.set_size(body.len() as u64);
        header.set_cksum();
        builder.append(&header, *body).unwrap();
    }
    builder.into_inner().unwrap()
}

/// dpkg's digest of a file's content.
pub(super) fn md5_of(text: &str) -> String {
    md5(text.as_bytes())
}
