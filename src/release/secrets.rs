//! Secrets among the files of a source, which would be in its image for everybody to read.
//!
//! Hopr's blueprints have a licence and keys beside the application; one directory too high is built, and they are published.
//!
//! # Spec
//! `path-to-production.md` §3.1.

use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::event::printable;
use crate::fs::{self, Context};
use crate::source::{SourceEntry, SourceKind, SourceTree};
use crate::yaml::{self, Node};

/// How much of a file is looked at in one go, and how much of it again in the next, so that nothing falls between two.
const CHUNK_BYTES: usize = 1 << 20;
const OVERLAP_BYTES: usize = 4 << 10;
/// How much of a file is looked at in all. Beyond it are data, not keys that somebody put there.
const MOST_BYTES: u64 = 64 << 20;
/// Documents of more than this are nobody's settings.
const MOST_DOCUMENT_BYTES: u64 = 1 << 20;

/// Names under which keys lie in a home directory.
const KEY_NAMES: [&str; 4] = ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"];
/// Endings of `.env` files that are made to be shown.
const SAMPLES: [&str; 5] = ["example", "sample", "template", "dist", "defaults"];

/// A private key in PEM, with at least a line of what it consists of behind its mark: a mark alone is code that looks for one.
static PRIVATE_KEY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let mark = r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----";
    let header = r"(?:[A-Za-z-]+: [^\n\\]*(?:\\n|\\r|\r?\n))";
    let between = r#"(?:\\n|\\r|[\s"',+|>]|HEADER)+"#.replace("HEADER", header);
    Regex::new(&format!("{mark}{between}[A-Za-z0-9+/=]{{32}}")).ok()
});

/// A secret access key of AWS beside its name; such keys have 40 characters.
static AWS_KEY: LazyLock<Option<regex::Regex>> = LazyLock::new(|| {
    regex::Regex::new(
        r#"(?i)aws_secret_access_key["']?[\t ]*[=:]\s*["']?[A-Za-z0-9/+]{40}(?:[^A-Za-z0-9/+=]|$)"#,
    )
    .ok()
});

/// The same in AWS's own file, where any value is one.
static AWS_ENTRY: LazyLock<Option<regex::Regex>> =
    LazyLock::new(|| regex::Regex::new(r"(?im)^[\t ]*aws_secret_access_key[\t ]*=[\t ]*\S").ok());

/// A URL with a password, the first group.
const URL: &str = r#"https?://[^\s/@:"']*:([^\s/@"']+)@"#;

static URL_OF_INDEX: LazyLock<Option<regex::Regex>> =
    LazyLock::new(|| regex::Regex::new(&format!(r#"(?i)index[-_]url["']?[\s=:"'\[(]+{URL}"#)).ok());

static ANY_URL: LazyLock<Option<regex::Regex>> =
    LazyLock::new(|| regex::Regex::new(&format!("(?i){URL}")).ok());

/// A Kubernetes Secret in a text that is no YAML by itself, as templates are not.
static SECRET_KIND: LazyLock<Option<regex::Regex>> = LazyLock::new(|| {
    regex::Regex::new(r#"(?m)^\s*["']?kind["']?\s*:\s*["']?Secret["']?\s*,?\s*(?:#.*)?$"#).ok()
});

/// A file with something in it that must not be in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The file's path below the source's root, made harmless for showing.
    pub path: String,
    /// The line, from 1, where what was found has one.
    pub line: Option<usize>,
    /// What it is, behind `it is` or `it has`: `a Kubernetes Secret`.
    pub what: &'static str,
}

/// Looks for secrets in the files of a source that would be built: at most one for each file, sorted by path. What `rules` left
/// out of the tree is not looked at.
///
/// # Errors
/// [`fs::Error`] for a file that cannot be read.
pub fn find(tree: &SourceTree) -> Result<Vec<Secret>, fs::Error> {
    let mut found = Vec::new();
    for entry in &tree.entries {
        let SourceKind::File { size, .. } = entry.kind else {
            continue;
        };
        let shown = printable(&String::from_utf8_lossy(&entry.path));
        let secret = match by_name(entry) {
            Some(what) => Some((None, what)),
            None => by_content(&path_of(tree, entry), size)?,
        };
        if let Some((line, what)) = secret {
            found.push(Secret {
                path: shown,
                line,
                what,
            });
        }
    }
    Ok(found)
}

fn path_of(tree: &SourceTree, entry: &SourceEntry) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStrExt;
    tree.root.join(std::ffi::OsStr::from_bytes(&entry.path))
}

fn by_name(entry: &SourceEntry) -> Option<&'static str> {
    let path = String::from_utf8_lossy(&entry.path).into_owned();
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let directory = directory.rsplit('/').next().unwrap_or_default();
    if name == ".env" {
        return Some("a file of variables, which are passwords as a rule");
    }
    if let Some(kind) = name.strip_prefix(".env.") {
        let is_sample = kind.split('.').any(|part| SAMPLES.contains(&part));
        return (!is_sample).then_some("a file of variables, which are passwords as a rule");
    }
    if let Some(kind) = name.strip_suffix(".env") {
        let is_sample = kind
            .split(['.', '-', '_'])
            .any(|part| SAMPLES.contains(&part));
        return (!is_sample).then_some("a file of variables, which are passwords as a rule");
    }
    match (directory, name) {
        (_, ".dockerconfigjson" | ".dockercfg") | (".docker", "config.json") => {
            Some("credentials for registries")
        }
        (_, "kubeconfig") | (".kube", "config") => Some("the credentials of a cluster's user"),
        (_, ".netrc" | "_netrc" | ".pypirc" | ".pgpass" | ".git-credentials") => {
            Some("a file of passwords")
        }
        (_, name) if KEY_NAMES.contains(&name) => Some("a private key"),
        _ => None,
    }
}

fn by_content(path: &Path, size: u64) -> Result<Option<(Option<usize>, &'static str)>, fs::Error> {
    if let Some(line) = private_key(path)? {
        return Ok(Some((Some(line), "a private key")));
    }
    if size > MOST_DOCUMENT_BYTES {
        return Ok(None);
    }
    let Ok(text) = String::from_utf8(fs::read_limited(path, 2 * MOST_DOCUMENT_BYTES)?) else {
        return Ok(None);
    };
    if let Some(found) = in_settings(path, &text) {
        return Ok(Some(found));
    }
    // Most files have none of these words, and are not taken apart.
    let is_suspect = ["Secret", "auths", ".dockerconfigjson", "clusters"]
        .iter()
        .any(|word| text.contains(word));
    match is_suspect {
        true => Ok(in_document(path, &text)),
        false => Ok(None),
    }
}

/// A key of AWS, or the password of a package index.
fn in_settings(path: &Path, text: &str) -> Option<(Option<usize>, &'static str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let line = |at: usize| Some(text[..at].matches('\n').count() + 1);
    let aws = match name {
        Some("credentials") => &AWS_ENTRY,
        _ => &AWS_KEY,
    };
    if let Some(found) = aws.as_ref()?.find(text) {
        return Some((line(found.start()), "a secret access key of AWS"));
    }
    let url = match name {
        Some("pip.conf" | "pip.ini" | "uv.toml") => &ANY_URL,
        _ => &URL_OF_INDEX,
    };
    // What is put in later is none.
    let is_placeholder = |password: &str| password.starts_with(['$', '{', '<', '*', '%']);
    let found = url.as_ref()?.captures_iter(text).find_map(|found| {
        let password = found.get(1)?;
        (!is_placeholder(password.as_str())).then_some(password.start())
    })?;
    Some((line(found), "a password in a package index's URL"))
}

/// The line in which a private key begins.
fn private_key(path: &Path) -> Result<Option<usize>, fs::Error> {
    let Some(pattern) = PRIVATE_KEY.as_ref() else {
        return Ok(None);
    };
    let mut file = fs::open(path)?.take(MOST_BYTES);
    let mut buffer = Vec::with_capacity(CHUNK_BYTES + OVERLAP_BYTES);
    let mut lines_before = 0;
    loop {
        let kept = buffer.len();
        let mut part = file.by_ref().take(CHUNK_BYTES as u64);
        let count = part.read_to_end(&mut buffer).context("read", path)?;
        let newlines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        if let Some(found) = pattern.find(&buffer) {
            return Ok(Some(lines_before + newlines(&buffer[..found.start()]) + 1));
        }
        // In UTF-16, and among padding, the same text has NUL bytes in it.
        if buffer.contains(&0) {
            let dense: Vec<u8> = buffer.iter().copied().filter(|byte| *byte != 0).collect();
            if let Some(found) = pattern.find(&dense) {
                return Ok(Some(lines_before + newlines(&dense[..found.start()]) + 1));
            }
        }
        if count == 0 || buffer.len() == kept {
            return Ok(None);
        }
        let cut = buffer.len().saturating_sub(OVERLAP_BYTES);
        lines_before += newlines(&buffer[..cut]);
        buffer.drain(..cut);
    }
}

fn in_document(path: &Path, text: &str) -> Option<(Option<usize>, &'static str)> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_document = matches!(
        extension,
        Some("yaml" | "yml" | "json" | "conf" | "cfg" | "txt") | None
    );
    // A program may be YAML by accident, and then speaks of what it only handles.
    if !is_document {
        return None;
    }
    match yaml::parse(text) {
        Ok(documents) => documents
            .iter()
            .find_map(|document| secret_in(document.root.as_ref()?)),
        Err(_) => {
            let found = SECRET_KIND.as_ref()?.find(text)?;
            let start = found.start() + found.as_str().len() - found.as_str().trim_start().len();
            let line = text[..start].matches('\n').count() + 1;
            Some((Some(line), "a Kubernetes Secret"))
        }
    }
}

fn secret_in(root: &Node) -> Option<(Option<usize>, &'static str)> {
    let found = |node: &Node, what| Some((Some(node.line), what));
    let kind = root.get("kind").and_then(Node::text);
    if let Some(items) = root
        .get("items")
        .filter(|_| kind.is_some_and(|kind| kind.ends_with("List")))
    {
        return items.items().iter().find_map(secret_in);
    }
    match kind {
        Some("Secret") => {
            return found(root.get("kind").unwrap_or(root), "a Kubernetes Secret");
        }
        Some("Config") if root.get("clusters").is_some() && root.get("users").is_some() => {
            return found(root, "the credentials of a cluster's user");
        }
        _ => {}
    }
    let has_any = |node: &Node| !node.entries().is_empty();
    if let Some(auths) = root.get("auths").filter(|auths| has_any(auths)) {
        return found(auths, "credentials for registries");
    }
    let data = [root.get("data"), root.get("stringData"), Some(root)];
    let entry = |node: &Node| node.get(".dockerconfigjson").map(|entry| entry.line);
    let line = data.into_iter().flatten().find_map(entry)?;
    Some((Some(line), "credentials for registries"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Silent;
    use crate::source::{IgnoreFile, Rules, local};

    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nMIIEowIBAAKCAQEAx1x1x1x1x1x1x1x1x1x1x1x1x1x1x1\n-----END RSA PRIVATE KEY-----\n";

    fn found(files: &[(&str, &str)]) -> Vec<(String, Option<usize>, &'static str)> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let rules = Rules {
            ignore_files: vec![IgnoreFile::S2i],
            ..Rules::default()
        };
        let tree = local::read(directory.path(), &rules, &Silent).unwrap();
        let found = find(&tree).unwrap().into_iter();
        found
            .map(|secret| (secret.path, secret.line, secret.what))
            .collect()
    }

    #[test]
    fn each_kind_is_found_by_name_or_content() {
        let secret = "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: v1\nkind: Secret\nstringData: {HOPR_LICENSE: x}\n";
        let one_line = KEY.replace('\n', "\\n");
        for (name, text, line, what) in [
            (".env", "", None, "variables"),
            ("a/.env.production", "", None, "variables"),
            ("kubeconfig", "", None, "cluster"),
            (".kube/config", "", None, "cluster"),
            ("x/.dockerconfigjson", "", None, "registries"),
            (".ssh/id_ed25519", "", None, "private key"),
            ("02-secrets.yaml", secret, Some(5), "Secret"),
            (
                "any.json",
                "{\"kind\": \"List\", \"items\": [\n{\"kind\": \"Secret\"}]}",
                Some(2),
                "Secret",
            ),
            (
                "chart.yaml",
                "{{- if x }}\n\nkind: Secret\na: [\n",
                Some(3),
                "Secret",
            ),
            (
                "c.json",
                "{\n\"auths\": {\"ghcr.io\": {\"auth\": \"eDp5\"}}}",
                Some(2),
                "registries",
            ),
            (
                "d.yaml",
                "data:\n  .dockerconfigjson: e30=\n",
                Some(2),
                "registries",
            ),
            (
                "admin.conf",
                "kind: Config\nclusters: []\nusers: []\n",
                Some(1),
                "cluster",
            ),
            ("server.key", KEY, Some(1), "private key"),
            ("a.bin", &format!("\0\0\n\0{KEY}\0"), Some(2), "private key"),
            (
                "utf-16.txt",
                &KEY.chars().flat_map(|c| [c, '\0']).collect::<String>(),
                Some(1),
                "private key",
            ),
            ("prod.env", "", None, "variables"),
            (
                ".aws/credentials",
                "[default]\naws_secret_access_key = x\n",
                Some(2),
                "AWS",
            ),
            (
                "settings.ini",
                "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
                Some(1),
                "AWS",
            ),
            (
                "pip.conf",
                "[global]\nextra-index-url =\n  https://u:p4ss@host.example/simple\n",
                Some(3),
                "password",
            ),
            (
                "requirements.txt",
                "flask\n--index-url https://u:p4ss@host.example/simple\n",
                Some(2),
                "password",
            ),
            (
                "settings.py",
                &format!("a = 1\nKEY = '''{KEY}'''\n"),
                Some(2),
                "private key",
            ),
            (
                "account.json",
                &format!("{{\"private_key\": \"{one_line}\"}}"),
                Some(1),
                "private key",
            ),
        ] {
            let found = found(&[("app.py", "x = 1\n"), (name, text)]);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert_eq!((found[0].0.as_str(), found[0].1), (name, line), "{found:?}");
            assert!(found[0].2.contains(what), "{name}: {found:?}");
        }
    }

    #[test]
    fn what_only_speaks_of_secrets_is_none() {
        for (name, text) in [
            (".env.example", "A=\n"),
            ("example.env", "A=\n"),
            ("a.py", "connect(aws_secret_access_key=settings.secret)\n"),
            (
                "pip.conf",
                "index-url = https://u:${TOKEN}@host.example/simple\n",
            ),
            (
                "requirements.txt",
                "--index-url https://host.example:8443/simple\n",
            ),
            (
                "keys.py",
                "if text.startswith('-----BEGIN PRIVATE KEY-----'):\n    kind = 'Secret'\n",
            ),
            (
                "cert.pem",
                "-----BEGIN CERTIFICATE-----\nMIIEowIBAAKCAQEAx1x1x1x1x1x1x1x1x1x1x1\n",
            ),
            (
                "public.pem",
                "-----BEGIN PUBLIC KEY-----\nMIIEowIBAAKCAQEAx1x1x1x1x1x1x1x1x1x1x1\n",
            ),
            ("rbac.yaml", "kind: Role\nrules:\n- resources: [Secret]\n"),
            ("sealed.yaml", "kind: SealedSecret\nspec: {}\n"),
            ("c.json", "{\"auths\": {}}"),
            ("notes.md", "kind: Secret\n"),
            ("bytes.bin", "\u{0}Secret"),
        ] {
            assert_eq!(found(&[(name, text)]), [], "{name}");
        }
    }

    #[test]
    fn what_is_not_built_is_not_looked_at() {
        let files = [
            (".s2iignore", "*.yaml\n"),
            ("s.yaml", "kind: Secret\n"),
            ("t.yml", "kind: Secret\n"),
        ];
        assert_eq!(
            found(&files),
            [("t.yml".to_owned(), Some(1), "a Kubernetes Secret")]
        );
    }

    #[test]
    fn a_key_across_two_chunks_is_found() {
        for shift in [0, 10, 40, 100] {
            let text = format!("{}\n{KEY}", "x".repeat(CHUNK_BYTES - shift));
            assert_eq!(
                found(&[("a.bin", &text)]),
                [("a.bin".to_owned(), Some(2), "a private key")]
            );
        }
    }
}
