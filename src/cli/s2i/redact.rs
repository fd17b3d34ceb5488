//! What is shown of a build's settings, without the passwords of proxies.

use crate::build::BuildRequest;

/// The settings of a build, a line each: what `--loglevel 2` shows.
pub(super) fn request(request: &BuildRequest) -> Vec<String> {
    let mut lines = vec![
        format!("builder image: {}", request.builder),
        format!("builder pull policy: {}", request.s2i.pull),
        format!("source: {}", request.source.display()),
    ];
    let mut add = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("{name}: {value}")));
    };
    for tag in &request.tags {
        add("tag", Some(tag.typed.clone()));
    }
    add(
        "scripts URL",
        request.s2i.scripts_url.as_deref().map(user_information),
    );
    add("destination", request.s2i.destination.clone());
    add("assemble user", request.assemble_user.clone());
    add(
        "allowed uids",
        request.s2i.allowed_uids.as_ref().map(ToString::to_string),
    );
    if let Some(incremental) = &request.s2i.incremental {
        let text = format!(
            "{} (pull policy {})",
            incremental.previous, incremental.pull
        );
        add("incremental from", Some(text));
    }
    if let Some(runtime) = &request.s2i.runtime {
        add(
            "runtime image",
            Some(format!("{} (pull policy {})", runtime.image, runtime.pull)),
        );
        for artifact in &runtime.artifacts {
            let text = format!("{} to `{}`", artifact.source, artifact.destination);
            add("runtime artifact", Some(text));
        }
    }
    for (name, value) in &request.environment {
        add(
            "environment",
            Some(format!("{name}={}", proxy(name, value))),
        );
    }
    lines
}

/// The value of a variable as it may be shown: that of a proxy without its user and password.
///
/// # Spec
/// `s2i-compat.md` §2.23, cases 136 to 138.
fn proxy(name: &str, value: &str) -> String {
    match name.to_ascii_lowercase().contains("proxy") {
        true => user_information(value),
        false => value.to_owned(),
    }
}

/// A URL with `redacted` in the place of `USER:PASSWORD`; other texts as they are.
fn user_information(url: &str) -> String {
    let same = || url.to_owned();
    let Some((scheme, rest)) = url.split_once("://") else {
        return same();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => format!("{scheme}://redacted@{host}{path}"),
        _ => same(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case 136.
    #[test]
    fn proxies_lose_their_passwords_and_keep_their_ports() {
        for (name, value, expected) in [
            (
                "http_proxy",
                "http://user:password@host",
                "http://redacted@host",
            ),
            (
                "https_proxy",
                "https://user:password@host:8080",
                "https://redacted@host:8080",
            ),
            (
                "HTTP_PROXY",
                "http://user:password@host:80/x?y",
                "http://redacted@host:80/x?y",
            ),
            (
                "Https_Proxy",
                "socks5://u:p@w@host",
                "socks5://redacted@host",
            ),
        ] {
            assert_eq!(proxy(name, value), expected);
        }
    }

    /// Case 137.
    #[test]
    fn what_holds_no_password_is_shown_as_it_is() {
        for (name, value) in [
            ("http_proxy", "user:password@host"),
            ("http_proxy", "http://user@host:80"),
            ("http_proxy", "http://host/a:b@c"),
            ("http_proxy", "::"),
            ("MY_URL", "http://user:password@host"),
        ] {
            assert_eq!(proxy(name, value), value, "{name}");
        }
    }

    /// Case 138.
    #[test]
    fn the_settings_that_are_shown_hold_no_credentials() {
        let mut request = crate::cli::s2i::tests::request(&[
            "-e",
            "HTTPS_PROXY=http://u:hunter2@p:1",
            "-e",
            "A=b",
        ]);
        request.s2i.scripts_url = Some("https://u:hunter2@host/scripts".to_owned());
        let before = request.environment.clone();
        let lines = super::request(&request).join("\n");
        assert!(!lines.contains("hunter2"), "{lines}");
        assert!(
            lines.contains("environment: HTTPS_PROXY=http://redacted@p:1"),
            "{lines}"
        );
        assert!(lines.contains("environment: A=b"), "{lines}");
        assert_eq!(request.environment, before);
    }
}
