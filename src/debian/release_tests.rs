use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, Deserializable, DetachedSignature, SignedKeyDetails,
    SignedPublicKey, SignedPublicSubKey,
};
use pgp::crypto::ed25519::{Mode, SecretKey as Ed25519};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{
    KeyFlags, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey, Signature,
    SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::types::{
    KeyVersion, PacketHeaderVersion, Password, PlainSecretParams, PublicParams, SecretParams,
    SigningKey, Tag, Timestamp,
};

use super::super::signature::{BEGIN_MESSAGE, BEGIN_SIGNATURE, ClearSigned, END_SIGNATURE, check};
use super::*;

const BORN: u32 = 1_700_000_000;
const NOW: u32 = 1_700_500_000;

fn now() -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.into()))
}

/// A certificate with a signing subkey, made from fixed bytes.
struct Signer {
    primary: SecretKey,
    subkey: SecretSubkey,
    public: SignedPublicKey,
}

impl Signer {
    /// A key that lasts `days`; 0 is forever.
    fn new(seed: u8, days: u32) -> Self {
        let (inner, secret) = key_pair(seed);
        let primary = SecretKey::new(PublicKey::from_inner(inner).unwrap(), secret).unwrap();
        let (inner, secret) = key_pair(seed + 1);
        let subkey = SecretSubkey::new(PublicSubkey::from_inner(inner).unwrap(), secret).unwrap();
        let name = UserId::from_str(PacketHeaderVersion::New, "Test <test@example.org>").unwrap();
        let lasts =
            SubpacketData::KeyExpirationTime(pgp::types::Duration::from_secs(days * 86_400));
        let on_name = config(
            &primary,
            SignatureType::CertPositive,
            HashAlgorithm::Sha256,
            vec![lasts.clone()],
        )
        .sign_certification(
            &primary,
            primary.public_key(),
            &Password::empty(),
            Tag::UserId,
            &name,
        )
        .unwrap();
        let back = config(
            &subkey,
            SignatureType::KeyBinding,
            HashAlgorithm::Sha256,
            vec![],
        )
        .sign_primary_key_binding(
            &subkey,
            subkey.public_key(),
            &Password::empty(),
            primary.public_key(),
        )
        .unwrap();
        let mut flags = KeyFlags::default();
        flags.set_sign(true);
        let of_binding = vec![
            lasts,
            SubpacketData::KeyFlags(flags),
            SubpacketData::EmbeddedSignature(Box::new(back)),
        ];
        let binding = config(
            &primary,
            SignatureType::SubkeyBinding,
            HashAlgorithm::Sha256,
            of_binding,
        )
        .sign_subkey_binding(
            &primary,
            primary.public_key(),
            &Password::empty(),
            subkey.public_key(),
        )
        .unwrap();
        let public = SignedPublicKey {
            primary_key: primary.public_key().clone(),
            details: SignedKeyDetails::new(vec![], vec![], vec![name.into_signed(on_name)], vec![]),
            public_subkeys: vec![SignedPublicSubKey::new(
                subkey.public_key().clone(),
                vec![binding],
            )],
        };
        Self {
            primary,
            subkey,
            public,
        }
    }

    fn keyring(&self) -> Keys {
        let armored = self
            .public
            .to_armored_bytes(ArmorOptions::default())
            .unwrap();
        Keys::parse(&[&armored]).unwrap()
    }

    fn sign(&self, text: &str) -> String {
        clear_sign(text, &self.subkey, HashAlgorithm::Sha256, vec![])
    }
}

fn key_pair(seed: u8) -> (PubKeyInner, SecretParams) {
    let secret = Ed25519::try_from_bytes([seed; 32], Mode::Ed25519).unwrap();
    let params = PublicParams::Ed25519((&secret).into());
    let born = Timestamp::from_secs(BORN);
    let inner = PubKeyInner::new(
        KeyVersion::V4,
        PublicKeyAlgorithm::Ed25519,
        born,
        None,
        params,
    )
    .unwrap();
    (
        inner,
        SecretParams::Plain(PlainSecretParams::Ed25519(secret)),
    )
}

fn config(
    key: &impl SigningKey,
    kind: SignatureType,
    hash: HashAlgorithm,
    more: Vec<SubpacketData>,
) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), hash);
    let mut data = vec![
        SubpacketData::SignatureCreationTime(Timestamp::from_secs(BORN)),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
    ];
    data.extend(more);
    config.hashed_subpackets = data
        .into_iter()
        .map(|data| Subpacket::regular(data).unwrap())
        .collect();
    config
}

fn clear_sign(
    text: &str,
    key: &impl SigningKey,
    hash: HashAlgorithm,
    more: Vec<SubpacketData>,
) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let signature = config(key, SignatureType::Text, hash, more)
        .sign(key, &Password::empty(), lines.join("\r\n").as_bytes())
        .unwrap();
    let armor = DetachedSignature::new(signature)
        .to_armored_string(ArmorOptions::default())
        .unwrap();
    let escape = |line: &str| {
        if line.starts_with('-') {
            format!("- {line}\n")
        } else {
            format!("{line}\n")
        }
    };
    let body: String = text.lines().map(escape).collect();
    format!("{BEGIN_MESSAGE}\nHash: SHA256\n\n{body}{armor}")
}

fn release_text() -> String {
    let digest = Digest::of(b"index");
    format!(
        "Origin: Test\nSuite: stable\nCodename: zurg\nAcquire-By-Hash: yes\nDescription: one\n - two\nSHA256:\n \
         {0} 5 main/binary-amd64/Packages.xz\n {0} 15 main/binary-arm64/Packages.gz\n",
        digest.hex()
    )
}

fn read(document: &str, keys: &Keys) -> Result<Release, Error> {
    Release::read(document.as_bytes(), "zurg", keys, now())
}

#[test]
fn a_release_signed_by_a_subkey_or_the_primary_key_is_read() {
    let signer = Signer::new(1, 30);
    let by_primary = clear_sign(
        &release_text(),
        &signer.primary,
        HashAlgorithm::Sha512,
        vec![],
    );
    for document in [
        signer.sign(&release_text()),
        by_primary.clone(),
        by_primary.replace('\n', "\r\n"),
    ] {
        let release = read(&document, &signer.keyring()).unwrap();
        assert_eq!(release.codename, "zurg");
        let index = release.packages("main", "amd64").unwrap();
        assert_eq!(
            (index.path.as_str(), index.size_bytes),
            ("main/binary-amd64/Packages.xz", 5)
        );
        let by_hash = format!(
            "main/binary-amd64/by-hash/SHA256/{}",
            Digest::of(b"index").hex()
        );
        assert_eq!(index.by_hash_path.unwrap(), by_hash);
        assert_eq!(
            release.packages("main", "arm64").unwrap().path,
            "main/binary-arm64/Packages.gz"
        );
        assert!(matches!(
            release.packages("main", "mips"),
            Err(Error::Release { .. })
        ));
    }
}

#[test]
fn one_good_signature_among_others_is_enough() {
    let (ours, other) = (Signer::new(1, 0), Signer::new(9, 0));
    let by_both = CleartextSignedMessage::new_many(&release_text(), |text| {
        // As `ClearSigned` hashes it: without the end of the last line.
        let text = text.trim_end().as_bytes();
        let sign = |key: &SecretSubkey| {
            let config = config(key, SignatureType::Text, HashAlgorithm::Sha256, vec![]);
            config.sign(key, &Password::empty(), text)
        };
        Ok(vec![sign(&other.subkey)?, sign(&ours.subkey)?])
    });
    let by_both = by_both
        .unwrap()
        .to_armored_string(ArmorOptions::default())
        .unwrap();
    let by_both = by_both.replace("\n\n-----BEGIN PGP SIG", "\n-----BEGIN PGP SIG");
    assert!(read(&by_both, &ours.keyring()).is_ok());
    assert!(read(&by_both, &other.keyring()).is_ok());
    let error = read(&by_both, &Signer::new(80, 0).keyring())
        .unwrap_err()
        .to_string();
    assert_eq!(error.matches("no trusted key").count(), 2, "{error}");
    assert!(read(&other.sign(&release_text()), &ours.keyring()).is_err());
}

#[test]
fn what_a_mirror_could_do_to_a_signed_text_is_refused() {
    let signer = Signer::new(1, 30);
    let good = signer.sign(&release_text());
    let rows = [
        (
            "another digit",
            good.replace(" 5 main", " 6 main"),
            "does not match the text",
        ),
        (
            "a line more",
            good.replace("Origin: Test", "Origin: Test\nX: y"),
            "does not match the text",
        ),
        (
            "text before",
            format!("Codename: evil\n{good}"),
            "does not begin with",
        ),
        (
            "text after",
            format!("{good}Codename: evil\n"),
            "text follows",
        ),
        (
            "no signature",
            good[..good.find(BEGIN_SIGNATURE).unwrap()].to_owned(),
            "no signature",
        ),
        (
            "a cut signature",
            good.replace(END_SIGNATURE, ""),
            "has no end",
        ),
        (
            "a header of its own",
            good.replace("Hash: SHA256", "Codename: evil"),
            "headers",
        ),
        ("a second message", format!("{good}{good}"), "text follows"),
        (
            "an unescaped dash",
            good.replace("Origin: Test", "-----BEGIN X-----"),
            "not escaped",
        ),
        (
            "a bare carriage return",
            good.replace("Origin: Test", "Origin: Test\rCodename: evil"),
            "control",
        ),
        ("nothing", String::new(), "does not begin with"),
        ("no armour", good.replace("\n=", "\n%"), ""),
        (
            "an HTML page",
            "<html>log in</html>\n".to_owned(),
            "does not begin with",
        ),
    ];
    for (what, document, expected) in rows {
        let error = read(&document, &signer.keyring()).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn keys_and_signatures_that_may_not_count_do_not() {
    let signer = Signer::new(1, 30);
    let text = release_text();
    let forger = Signer::new(40, 30);
    let expired = Signer::new(1, 5);
    let brief = SubpacketData::SignatureExpirationTime(pgp::types::Duration::from_secs(60));
    let brief = clear_sign(&text, &signer.subkey, HashAlgorithm::Sha256, vec![brief]);
    let mut unbound = Signer::new(1, 30);
    unbound.public.public_subkeys = forger.public.public_subkeys.clone();
    let mut adopted = Signer::new(60, 30);
    // The subkey of someone else, with its old binding, under another primary key.
    adopted.public.public_subkeys = signer.public.public_subkeys.clone();
    let rows = [
        ("a stranger", forger.sign(&text), &signer, "no trusted key"),
        (
            "an expired key",
            expired.sign(&text),
            &expired,
            "has expired or may not sign",
        ),
        (
            "an expired signature",
            brief,
            &signer,
            "a signature has expired",
        ),
        (
            "a subkey that is not there",
            signer.sign(&text),
            &unbound,
            "no trusted key",
        ),
        (
            "a subkey bound to another key",
            signer.sign(&text),
            &adopted,
            "may not sign",
        ),
    ];
    for (what, document, trusted, expected) in rows {
        let error = read(&document, &trusted.keyring()).unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{what}: {error}");
        assert!(error.to_string().contains(expected), "{what}: {error}");
    }
    let timeless = Release::read(
        expired.sign(&text).as_bytes(),
        "zurg",
        &expired.keyring(),
        None,
    );
    assert!(timeless.is_ok(), "without a clock nothing expires");
}

#[test]
fn weak_hashes_are_refused_whatever_they_match() {
    let signer = Signer::new(1, 30);
    let document = signer.sign(&release_text());
    let message = ClearSigned::split(document.as_bytes()).unwrap();
    let (signature, _) = DetachedSignature::from_armor_single(message.armor.as_bytes()).unwrap();
    for hash in [
        HashAlgorithm::Sha1,
        HashAlgorithm::Md5,
        HashAlgorithm::Ripemd160,
        HashAlgorithm::Sha224,
    ] {
        let mut config = signature.signature.config().unwrap().clone();
        config.hash_alg = hash;
        let bytes = signature.signature.signature().unwrap().clone();
        let weak = Signature::from_config(config, [0, 0], bytes).unwrap();
        let error = check(&weak, b"", &signer.keyring(), now()).unwrap_err();
        assert!(error.contains("too weak"), "{hash}: {error}");
    }
}

#[test]
fn a_genuine_release_of_another_suite_or_another_time_is_refused() {
    let signer = Signer::new(1, 30);
    let keys = signer.keyring();
    let document = signer.sign(&release_text());
    assert!(Release::read(document.as_bytes(), "stable", &keys, now()).is_ok());
    let error = Release::read(document.as_bytes(), "oldzurg", &keys, now()).unwrap_err();
    assert!(matches!(error, Error::WrongSuite { .. }), "{error}");
    let old = signer.sign(&format!(
        "Valid-Until: Sun, 19 Nov 2023 00:00:00 UTC\n{}",
        release_text()
    ));
    assert!(matches!(read(&old, &keys), Err(Error::Expired { .. })));
    assert!(Release::read(old.as_bytes(), "zurg", &keys, None).is_ok());
    let odd = signer.sign(&format!("Valid-Until: tomorrow\n{}", release_text()));
    assert!(matches!(read(&odd, &keys), Err(Error::Release { .. })));
    let twice = signer.sign(&format!("Codename: evil\n{}", release_text()));
    assert!(matches!(read(&twice, &keys), Err(Error::Release { .. })));
}

#[test]
fn dates_of_the_archive_parse() {
    let seconds = |text| {
        parse_date(text).map(|time| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs()
        })
    };
    assert_eq!(
        seconds("Sat, 11 Jul 2026 10:16:37 UTC"),
        Some(1_783_764_997)
    );
    assert_eq!(
        seconds("Thu, 29 Feb 2024 23:59:59 UTC"),
        Some(1_709_251_199)
    );
    assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
    for text in [
        "",
        "tomorrow",
        "Sat, 11 Jul 2026 10:16 UTC",
        "Sat, 32 Jul 2026 10:16:37 UTC",
        "Sat, 11 Jul 2026 10:16:37 CET",
    ] {
        assert_eq!(seconds(text), None, "{text:?}");
    }
}
