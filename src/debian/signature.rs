//! Clear-signed documents and the keys that are believed.
//!
//! The signature is checked over exactly the lines between the markers, and those lines alone are given out. A
//! document with anything before, after or between that is not signed is refused whole, so there is nothing to
//! confuse. We split the document ourselves: the `pgp` crate's own clear-text parser searches the whole text again
//! for every line, which a hostile mirror could turn into hours.

use std::time::{Duration, SystemTime};

use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag, Timestamp, VerifyingKey};

use super::Error;

pub(super) const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
pub(super) const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
pub(super) const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// How many signatures of one document are looked at; Debian makes two or three.
const MAX_SIGNATURES: usize = 16;

/// The OpenPGP keys whose signatures are believed.
#[derive(Clone, Debug)]
pub struct Keys(Vec<SignedPublicKey>);

impl Keys {
    /// Reads keyrings, each ASCII-armoured or binary, each with one key or several.
    ///
    /// # Errors
    /// [`Error::Keys`] when a keyring cannot be parsed or holds no key.
    pub fn parse(keyrings: &[&[u8]]) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Keys { reason };
        let mut keys = Vec::new();
        for &keyring in keyrings {
            let (found, _headers) = SignedPublicKey::from_reader_many(keyring)
                .map_err(|error| refuse(error.to_string()))?;
            let before = keys.len();
            for key in found {
                keys.push(key.map_err(|error| refuse(error.to_string()))?);
            }
            if keys.len() == before {
                return Err(refuse("a keyring has no key".to_owned()));
            }
        }
        Ok(Self(keys))
    }
}

/// The text that a trusted key has signed, lines ending in `\n`.
pub(super) fn verified_text(
    document: &[u8],
    suite: &str,
    keys: &Keys,
    now: Option<SystemTime>,
) -> Result<String, Error> {
    let message = ClearSigned::split(document).map_err(|reason| Error::NotSigned {
        suite: suite.to_owned(),
        reason,
    })?;
    let untrusted = |reason: String| Error::Untrusted {
        suite: suite.to_owned(),
        reason,
    };
    let (signatures, _headers) = DetachedSignature::from_armor_many(message.armor.as_bytes())
        .map_err(|error| untrusted(error.to_string()))?;
    let signed = message.lines.join("\r\n");
    let mut reasons = Vec::new();
    for signature in signatures.take(MAX_SIGNATURES) {
        let checked = signature
            .map_err(|error| error.to_string())
            .and_then(|signature| check(&signature.signature, signed.as_bytes(), keys, now));
        match checked {
            Ok(()) => return Ok(message.lines.join("\n")),
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() {
        reasons.push("there is none".to_owned());
    }
    Err(untrusted(reasons.join("; ")))
}

/// Succeeds when `signature` over `signed` holds and its key may make it.
pub(super) fn check(
    signature: &Signature,
    signed: &[u8],
    keys: &Keys,
    now: Option<SystemTime>,
) -> Result<(), String> {
    if !matches!(
        signature.typ(),
        Some(SignatureType::Text | SignatureType::Binary)
    ) {
        return Err("a signature is of another kind".to_owned());
    }
    let hash = signature.hash_alg();
    let is_strong = matches!(
        hash,
        Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512)
            | Some(HashAlgorithm::Sha3_256 | HashAlgorithm::Sha3_512)
    );
    if !is_strong {
        let name = hash.map_or("no hash".to_owned(), |hash| hash.to_string());
        return Err(format!("a signature uses {name}, which is too weak"));
    }
    let expires = expiry(signature.created(), signature.signature_expiration_time());
    if is_past(expires, now) {
        return Err("a signature has expired".to_owned());
    }
    let mut reason = format!("no trusted key has the id {}", issuer(signature));
    for key in &keys.0 {
        match check_with_key(signature, signed, key, now) {
            Ok(()) => return Ok(()),
            Err(Some(better)) => reason = better,
            Err(None) => {}
        }
    }
    Err(reason)
}

/// Tries the primary key and the signing subkeys of one certificate. `Err(None)`: the signature is another's.
fn check_with_key(
    signature: &Signature,
    signed: &[u8],
    key: &SignedPublicKey,
    now: Option<SystemTime>,
) -> Result<(), Option<String>> {
    let holds = |signer: &dyn Fn() -> bool, fingerprint: String, usable: bool| {
        if !signer() {
            return Err(Some(format!(
                "the signature by {fingerprint} does not match the text"
            )));
        }
        if !usable {
            return Err(Some(format!(
                "the key {fingerprint} has expired or may not sign"
            )));
        }
        Ok(())
    };
    let primary_usable = is_primary_usable(key, now);
    if is_issuer(signature, &key.primary_key) {
        let verify = || signature.verify(&key.primary_key, signed).is_ok();
        return holds(
            &verify,
            key.primary_key.fingerprint().to_string(),
            primary_usable,
        );
    }
    for subkey in &key.public_subkeys {
        if is_issuer(signature, &subkey.key) {
            let verify = || signature.verify(&subkey.key, signed).is_ok();
            let usable = primary_usable && is_subkey_usable(key, subkey, now);
            return holds(&verify, subkey.key.fingerprint().to_string(), usable);
        }
    }
    Err(None)
}

fn is_issuer(signature: &Signature, key: &impl VerifyingKey) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if fingerprints.is_empty() {
        return signature
            .issuer_key_id()
            .into_iter()
            .any(|id| *id == key.legacy_key_id());
    }
    fingerprints
        .into_iter()
        .any(|fingerprint| *fingerprint == key.fingerprint())
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature
        .issuer_fingerprint()
        .first()
        .map(|id| id.to_string());
    let id = || signature.issuer_key_id().first().map(|id| id.to_string());
    fingerprint
        .or_else(id)
        .unwrap_or_else(|| "(none)".to_owned())
}

/// True unless the key is revoked, expired, or lacks a signature over itself.
fn is_primary_usable(key: &SignedPublicKey, now: Option<SystemTime>) -> bool {
    let primary = &key.primary_key;
    let is_revoked = key
        .details
        .revocation_signatures
        .iter()
        .any(|revocation| revocation.verify_key(primary).is_ok());
    let on_key = key
        .details
        .direct_signatures
        .iter()
        .filter(|signature| signature.verify_key(primary).is_ok());
    let on_names = key.details.users.iter().flat_map(|user| {
        let holds = |signature: &&Signature| {
            signature
                .verify_certification(primary, Tag::UserId, &user.id)
                .is_ok()
        };
        user.signatures.iter().filter(holds)
    });
    // The newest word of the key about itself counts: keys are prolonged by signing them again.
    let newest = on_key
        .chain(on_names)
        .max_by_key(|signature| seconds(signature.created()));
    newest.is_some_and(|signature| {
        !is_revoked
            && !is_past(
                expiry(Some(primary.created_at()), signature.key_expiration_time()),
                now,
            )
    })
}

/// True when the newest binding lets the subkey sign, the subkey agrees (its back signature), and it has not expired.
fn is_subkey_usable(
    key: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: Option<SystemTime>,
) -> bool {
    let primary = &key.primary_key;
    let is_of = |signature: &&Signature, kind| signature.typ() == Some(kind);
    if subkey
        .signatures
        .iter()
        .any(|signature| is_of(&signature, SignatureType::SubkeyRevocation))
    {
        return false;
    }
    let bindings = subkey
        .signatures
        .iter()
        .filter(|signature| is_of(signature, SignatureType::SubkeyBinding))
        .filter(|signature| {
            signature
                .verify_subkey_binding(primary, &subkey.key)
                .is_ok()
        });
    let Some(binding) = bindings.max_by_key(|signature| seconds(signature.created())) else {
        return false;
    };
    let agrees = binding.embedded_signature().is_some_and(|back| {
        back.verify_primary_key_binding(&subkey.key, primary)
            .is_ok()
    });
    let expires = expiry(Some(subkey.key.created_at()), binding.key_expiration_time());
    binding.key_flags().sign() && agrees && !is_past(expires, now)
}

fn seconds(time: Option<Timestamp>) -> u32 {
    time.map_or(0, Timestamp::as_secs)
}

/// When something that was made at `created` ends; never without a duration, or with the duration zero.
fn expiry(created: Option<Timestamp>, lasts: Option<pgp::types::Duration>) -> Option<SystemTime> {
    let lasts = lasts.filter(|lasts| lasts.as_secs() != 0)?;
    let end = u64::from(seconds(created)) + u64::from(lasts.as_secs());
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(end))
}

fn is_past(end: Option<SystemTime>, now: Option<SystemTime>) -> bool {
    matches!((end, now), (Some(end), Some(now)) if end < now)
}

/// A clear-signed document taken apart.
pub(super) struct ClearSigned<'a> {
    /// The signed lines: dash escapes undone, white space at their ends gone, as they are hashed.
    pub(super) lines: Vec<&'a str>,
    /// The armoured signatures.
    pub(super) armor: String,
}

impl<'a> ClearSigned<'a> {
    /// Splits a document that is nothing but one signed text and its signatures.
    ///
    /// # Spec
    /// RFC 9580, section 7, *Cleartext Signature Framework*.
    pub(super) fn split(document: &'a [u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(document).map_err(|_| "it is not UTF-8")?;
        let mut lines = text
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line));
        if lines.next() != Some(BEGIN_MESSAGE) {
            return Err("it does not begin with a signed message");
        }
        loop {
            match lines.next() {
                Some("") => break,
                Some(header) if header.starts_with("Hash: ") => {}
                _ => return Err("its headers are malformed"),
            }
        }
        let mut signed = Vec::new();
        loop {
            let line = lines.next().ok_or("it has no signature")?;
            if line == BEGIN_SIGNATURE {
                break;
            }
            if line.contains(['\r', '\0']) {
                return Err("it has control characters");
            }
            let line = match line.strip_prefix("- ") {
                Some(escaped) => escaped,
                None if line.starts_with('-') => return Err("a line is not escaped"),
                None => line,
            };
            signed.push(line.trim_end_matches([' ', '\t']));
        }
        let mut armor = format!("{BEGIN_SIGNATURE}\n");
        loop {
            let line = lines.next().ok_or("its signature has no end")?;
            armor.push_str(line);
            armor.push('\n');
            if line == END_SIGNATURE {
                break;
            }
        }
        if lines.any(|line| !line.is_empty()) {
            return Err("text follows the signature");
        }
        Ok(Self {
            lines: signed,
            armor,
        })
    }
}
