use super::*;

/// A stanza with made-up location; `more` is further fields.
pub(in super::super) fn stanza(name: &str, version: &str, more: &str) -> String {
    let digest = Digest::of(name.as_bytes());
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nDescription: something\n long: text\n{more}\
         Filename: pool/{name}_{version}.deb\nSize: 10\nSHA256: {}\n\n",
        digest.hex()
    )
}

pub(in super::super) fn index(stanzas: &[(&str, &str, &str)]) -> Index {
    let text: String = stanzas
        .iter()
        .map(|(name, version, more)| stanza(name, version, more))
        .collect();
    let mut index = Index::default();
    index
        .add(text.as_bytes(), "test", "amd64", Archive::Main)
        .unwrap();
    index
}

#[test]
fn the_newest_version_of_several_indexes_wins() {
    let mut index = index(&[("aa", "1.0-1", ""), ("bb", "2", "")]);
    let security = [("aa", "1.0-1+deb12u1", ""), ("bb", "1", "")];
    let text: String = security
        .iter()
        .map(|(name, version, more)| stanza(name, version, more))
        .collect();
    index
        .add(text.as_bytes(), "security", "amd64", Archive::Security)
        .unwrap();
    let of = |name| {
        index
            .get(name)
            .map(|package| (package.version().to_string(), package.archive))
            .unwrap()
    };
    assert_eq!(of("aa"), ("1.0-1+deb12u1".to_owned(), Archive::Security));
    assert_eq!(of("bb"), ("2".to_owned(), Archive::Main));
}

#[test]
fn other_architectures_are_left_out_and_a_last_stanza_needs_no_blank_line() {
    let foreign = stanza("foreign", "1", "").replace("amd64", "arm64");
    let common = stanza("common", "1", "Multi-Arch: same\n").replace("amd64", "all");
    let text = format!("\n\n{foreign}\n{}", common.trim_end());
    let mut index = Index::default();
    index
        .add(text.as_bytes(), "test", "amd64", Archive::Main)
        .unwrap();
    assert_eq!(index.len(), 1);
    assert!(index.get("common").unwrap().is_multi_arch_same());
}

#[test]
fn malformed_indexes_are_refused() {
    let good = stanza("aa", "1", "");
    let rows = [
        ("a line that is no field", "garbage\n".to_owned()),
        ("a bad name", good.replace("Package: aa", "Package: ../aa")),
        ("no version", good.replace("Version: 1", "X: 1")),
        ("a path upwards", good.replace("pool/", "pool/../../")),
        ("an absolute path", good.replace("pool/", "/pool/")),
        ("a path with a query", good.replace("pool/", "pool?/")),
        ("a size that is none", good.replace("Size: 10", "Size: -10")),
        ("a short digest", good.replace("SHA256: ", "SHA256: 00")),
        (
            "a field twice",
            good.replace("Size: 10", "Size: 10\nSize: 11"),
        ),
        (
            "an endless line",
            "Package: ".to_owned() + &"a".repeat(MAX_LINE as usize),
        ),
    ];
    for (what, text) in rows {
        let error = Index::default()
            .add(text.as_bytes(), "test", "amd64", Archive::Main)
            .unwrap_err();
        assert!(matches!(error, Error::Index { .. }), "{what}: {error}");
    }
    let broken = good
        .replace("something", "\u{0}")
        .into_bytes()
        .into_iter()
        .map(|byte| if byte == 0 { 0xff } else { byte });
    let broken: Vec<u8> = broken.collect();
    assert!(
        Index::default()
            .add(&broken[..], "test", "amd64", Archive::Main)
            .is_err()
    );
}
