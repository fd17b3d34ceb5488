use super::*;

const SHA: &str = "f4bcbefc124291925f1a26446da31a5178f9483862233b23c0c96a20701f670c";

fn url() -> Url {
    Url::parse("https://index.example/simple/flask/").unwrap()
}

fn name() -> PackageName {
    "flask".parse().unwrap()
}

fn files(media_type: &str, body: &str) -> Vec<File> {
    let name = name();
    let mut reader = Reader::new(&name);
    let links = links(&url(), media_type, body.as_bytes()).unwrap();
    links.iter().filter_map(|link| reader.file(link)).collect()
}

fn refused(media_type: &str, body: &str) -> String {
    links(&url(), media_type, body.as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_json_page_is_read_with_all_its_fields() {
    let body = format!(
        r#"{{"meta": {{"api-version": "1.3", "_last-serial": 5}}, "name": "flask", "versions": ["3.1.3"], "files": [
        {{"filename": "flask-3.1.3-py3-none-any.whl", "url": "../../files/flask-3.1.3-py3-none-any.whl",
          "hashes": {{"md5": "0", "sha256": "{SHA}"}}, "requires-python": ">=3.9", "size": 103424, "yanked": false,
          "core-metadata": {{"sha256": "{SHA}"}}, "dist-info-metadata": false, "upload-time": "2026-02-19T05:00:56Z"}},
        {{"filename": "Flask-3.0-py3-none-any.whl", "url": "https://files.example/a?token=1#sha256=00", "hashes": {{}},
          "requires-python": null, "yanked": "broken", "dist-info-metadata": true}},
        {{"filename": "flask-2.tar.gz", "url": "flask-2.tar.gz", "hashes": {{"sha512": "zz"}}, "yanked": true}}]}}"#
    );
    let found = files(JSON, &body);
    assert_eq!(found.len(), 3);
    let first = &found[0];
    assert_eq!(
        first.url,
        "https://index.example/files/flask-3.1.3-py3-none-any.whl"
    );
    assert_eq!(first.digest.as_ref().unwrap().hex(), SHA);
    assert_eq!(first.size, Some(103_424));
    assert_eq!(first.requires_python.as_ref().unwrap().to_string(), ">=3.9");
    assert_eq!(
        first.metadata,
        CoreMetadata::Promised(first.digest.clone().unwrap())
    );
    assert_eq!(
        (&first.yanked, first.version().to_string()),
        (&None, "3.1.3".to_owned())
    );
    assert_eq!(found[1].url, "https://files.example/a?token=1");
    assert_eq!(found[1].yanked.as_deref(), Some("broken"));
    assert_eq!(found[1].metadata, CoreMetadata::Offered);
    assert_eq!(
        (&found[1].digest, &found[1].requires_python),
        (&None, &None)
    );
    assert_eq!(found[2].yanked.as_deref(), Some(""));
    assert!(found[2].wheel().is_none());
    assert_eq!(first.wheel().unwrap().size, Some(103_424));
}

#[test]
fn an_html_page_says_the_same() {
    let body = format!(
        r#"<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.1"><base href="/files/"></head>
        <a href="flask-3.1.3-py3-none-any.whl#sha256={SHA}" data-requires-python="&gt;=3.9" data-core-metadata="sha256={SHA}">x</a>
        <a href="flask-3.0%2Bcpu-py3-none-any.whl#md5=00" data-yanked="it&#39;s broken" data-dist-info-metadata="true">x</a>
        <a href="https://files.example/Flask-0.1.tar.gz#egg=x&sha256={SHA}" data-requires-python="nonsense">x</a>"#
    );
    let found = files("text/html", &body);
    assert_eq!(found.len(), 3);
    assert_eq!(
        found[0].url,
        "https://index.example/files/flask-3.1.3-py3-none-any.whl"
    );
    assert_eq!(found[0].digest.as_ref().unwrap().hex(), SHA);
    assert!(matches!(found[0].metadata, CoreMetadata::Promised(_)));
    assert_eq!(
        found[0].requires_python.as_ref().unwrap().to_string(),
        ">=3.9"
    );
    assert_eq!(found[1].filename, "flask-3.0+cpu-py3-none-any.whl");
    assert_eq!(found[1].version().to_string(), "3.0+cpu");
    assert_eq!(found[1].yanked.as_deref(), Some("it's broken"));
    assert_eq!(found[1].metadata, CoreMetadata::Offered);
    assert_eq!(found[1].digest, None);
    assert_eq!(found[2].version().to_string(), "0.1");
    assert!(found[2].digest.is_some() && found[2].requires_python.is_none());
}

#[test]
fn files_of_other_projects_and_links_to_nowhere_are_left_out() {
    let body = "<a href=flask-evil-1.0-py3-none-any.whl><a href=flask_login-1.0.tar.gz><a href=flask-1.0-py3-none-any.whl>\
        <a href=file:///etc/flask-2.0-py3-none-any.whl><a href='javascript:flask-3.tar.gz'><a href='https:///'><a href=''><a>\
        <a href=../flask/flask-x.tar.gz><a href=flask-1.0.exe><a href='data:,flask-1.whl'><a href=flask-.tar.gz>\
        <a href='https://user:pw@files.example/flask-4.0.zip'><a href='x%2fflask-5.0.zip'><a href='%ff-1.zip'>";
    let found = files("text/html", body);
    let urls: Vec<&str> = found.iter().map(|file| file.url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "https://index.example/simple/flask/flask-1.0-py3-none-any.whl",
            "https://files.example/flask-4.0.zip"
        ]
    );
    let body = r#"{"files": [{"filename": "flask-1.tar.gz", "url": "file:///etc/passwd"}, {"filename": "../flask-1.tar.gz", "url": "x"}]}"#;
    assert_eq!(files(JSON, body), []);
}

#[test]
fn old_names_with_hyphens_are_source_of_the_right_project() {
    let project = "zope-interface".parse().unwrap();
    let version = |filename: &str| match kind(filename, &project) {
        Some(FileKind::Sdist(version)) => Some(version.to_string()),
        _ => None,
    };
    assert_eq!(version("zope.interface-5.0.tar.gz").unwrap(), "5.0");
    assert_eq!(version("zope-interface-5.0-1.tar.gz").unwrap(), "5.0.post1");
    assert_eq!(version("zope_interface-5.0.tar.bz2").unwrap(), "5.0");
    assert_eq!(version("zope-5.0.tar.gz"), None);
    assert_eq!(version("zope-interface-extra-5.0.tar.gz"), None);
    assert_eq!(version(&format!("{}.zip", "-".repeat(100_000))), None);
}

#[test]
fn what_is_no_page_is_refused_by_name() {
    for (media_type, body, reason) in [
        ("application/pdf", "", "its type is `application/pdf`"),
        ("", "", "its type is ``"),
        (JSON, "{", "EOF while parsing"),
        (
            JSON,
            r#"{"meta": {"api-version": "2.0"}, "files": []}"#,
            "version 2.0 of the index protocol",
        ),
        (
            "text/html",
            "<meta name='pypi:repository-version' content='3.1'>",
            "version 3.1 of the index protocol",
        ),
        (JSON, r#"{"files": [{"filename": 1}]}"#, "invalid type"),
    ] {
        let found = refused(media_type, body);
        assert!(found.contains(reason), "{found}");
        assert!(found.starts_with("`https://index.example/simple/flask/` is no page"));
    }
    let nested = format!("{{\"files\": {}", "[".repeat(1 << 20));
    assert!(refused(JSON, &nested).contains("is no page"));
}
